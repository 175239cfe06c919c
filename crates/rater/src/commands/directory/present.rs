//! How changes look.

use crate::console::{Console, Paint};
use crate::present::{Align, Table};
use directory::store::{Change, Effect, Kind, What};
use indicatif::{ProgressBar, ProgressStyle};
use rating::Timestamp;
use serde_json::{Value, json};

/// Most changes shown as text; the rest is counted.
const MAX_SHOWN: usize = 200;

/// A bar, where there is a terminal.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(total: u64, console: &Console) -> Progress {
        if !console.shows_progress() || total == 0 {
            return Progress(None);
        }
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{pos} of {len} {bar:20} {percent} %  {per_sec}") {
            bar.set_style(style.progress_chars("━━╌"));
        }
        Progress(Some(bar))
    }

    pub(super) fn show(&mut self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    pub(super) fn end(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A moment from which answers differ.
pub(super) fn effect_text(effect: Effect) -> String {
    match effect {
        Effect::Always => "always".to_owned(),
        Effect::From(moment) => moment.to_string(),
        Effect::Never => "never".to_owned(),
    }
}

/// Changes as a table.
pub(super) fn table(changes: &[Change], now: Timestamp, paint: Paint) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("KIND", Align::Left),
        ("NAME", Align::Left),
        ("ANSWERS DIFFER FROM", Align::Left),
    ]);
    for change in changes.iter().take(MAX_SHOWN) {
        let effect = change.effect();
        let remark = if change.is_retroactive(effect, now) { "retroactive: rate again" } else { "" };
        let sign = match change.what() {
            What::Added => "+",
            What::Changed => "~",
            What::Removed => "-",
        };
        let cells =
            vec![sign.to_owned(), change.kind.as_str().to_owned(), change.name.to_string(), effect_text(effect)];
        table.row(cells, remark);
    }
    let mut text = table.render(paint);
    if changes.len() > MAX_SHOWN {
        text.push_str(&format!("… {} more\n", changes.len() - MAX_SHOWN));
    }
    text
}

/// Changes as JSON.
pub(super) fn to_json(changes: &[Change], now: Timestamp) -> Value {
    let one = |change: &Change| {
        let effect = change.effect();
        json!({
            "kind": change.kind.as_str(),
            "name": change.name,
            "what": change.what().as_str(),
            "from": effect.to_json(),
            "retroactive": change.is_retroactive(effect, now),
            "old": change.old,
            "new": change.new,
        })
    };
    changes.iter().map(one).collect()
}

/// How many endpoints get plans with bundles.
pub(super) fn plans_with_bundles(changes: &[Change]) -> usize {
    changes.iter().filter(|change| change.grants_bundles()).count()
}

/// Says who buys bundles in plans, if there are any.
pub(super) fn say_plans(count: usize, console: &mut Console) {
    if count == 0 {
        return;
    }
    let note = console.talk_paint().warn("note");
    let plans = if count == 1 {
        "the plan of 1 endpoint grants".to_owned()
    } else {
        format!("the plans of {count} endpoints grant")
    };
    console.say(&format!("{note}      {plans} bundles: rater run buys them, rater rate does not from a store"));
}

/// How many of each kind, in words.
pub(super) fn counts(changes: &[Change]) -> String {
    let of = |kind: Kind| changes.iter().filter(|change| change.kind == kind).count();
    let part = |kind: Kind| {
        let count = of(kind);
        let word = if count == 1 { kind.as_str() } else { kind.section() };
        (count > 0).then(|| format!("{count} {word}"))
    };
    let parts: Vec<String> = Kind::ALL.into_iter().filter_map(part).collect();
    parts.join(", ")
}

/// The same for tools.
pub(super) fn counts_json(changes: &[Change]) -> Value {
    let of = |kind: Kind| changes.iter().filter(|change| change.kind == kind).count();
    Kind::ALL
        .into_iter()
        .map(|kind| (kind.section().to_owned(), json!(of(kind))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
