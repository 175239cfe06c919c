//! Copies within and behind the window, other payloads, recycling and giving up, in any order and however rough it gets: each record is charged once on
//! each level, and no id is held when nothing waits.
//!
//! `RATER_WINDOWS_SEEDS=1000` tries more histories, `RATER_WINDOWS_SEED=7` one.

use super::load;
use super::recycled::{Pipeline, REFERENCE, TURNED_UP};
use directory::Loaded;
use runtime::stages::RecycleRequest;
use std::collections::BTreeMap;
use testkit::generator::random::Random;

const WINDOW_H: i64 = 6;
const IDS: usize = 12;
const SOURCES: [&str; 2] = ["usage", "intaken"];

/// What became of a record, as far as a history has to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Never,
    /// Nobody knows of a copy in time.
    TooLate,
    Waits,
    /// Perhaps everything was charged, and the id is known for a window from this hour on.
    Charged(i64),
    GivenUp,
}

/// The reference data in four steps: an endpoint turns up, then rates.
fn steps() -> [Loaded; 4] {
    let endpoint = format!("{REFERENCE}{TURNED_UP}");
    let retail = endpoint.replacen("price: 0.10/MB }", "price: 0.10/MB }, { service: sms, price: 0.01/message }", 1);
    let all = retail.replacen("price: 0.05/MB }", "price: 0.05/MB }, { service: sms, price: 0.01/message }", 1);
    assert!(retail != endpoint && all != retail);
    [REFERENCE, &endpoint, &retail, &all].map(load)
}

/// The step that charges all of a record at once.
fn step_of(number: usize) -> usize {
    [1, 3, 3, 0][number % 4]
}

fn usage(number: usize, times: u32) -> Vec<u8> {
    let imsi = if number.is_multiple_of(2) { "001010000000002" } else { "001010000000001" };
    let (service, unit, quantity) =
        if matches!(number % 4, 1 | 2) { ("sms", "messages", 1) } else { ("data", "octets", 1_000_000) };
    format!(
        "{{\"id\":\"r{number}\",\"source\":\"s\",\"service\":\"{service}\",\"quantity\":{},\"unit\":\"{unit}\",\
         \"event_time\":\"2026-05-01T{:02}:10:00Z\",\"imsi\":\"{imsi}\"}}",
        quantity * times,
        2 * number
    )
    .into_bytes()
}

fn seeds() -> std::ops::Range<u64> {
    let read = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    match read("RATER_WINDOWS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..read("RATER_WINDOWS_SEEDS").unwrap_or(60),
    }
}

/// A history and the pipeline that it happens to.
struct History<'l> {
    steps: &'l [Loaded; 4],
    pipeline: Pipeline,
    random: Random,
    sent: [Sent; IDS],
    hour: i64,
    step: usize,
    is_shown: bool,
}

impl History<'_> {
    fn show(&self, what: std::fmt::Arguments<'_>) {
        if self.is_shown {
            println!("  hour {} step {}: {what}", self.hour, self.step);
        }
    }

    /// What waits and can be charged now may be charged now.
    fn may_be_charged(&mut self) {
        for (number, sent) in self.sent.iter_mut().enumerate() {
            if *sent == Sent::Waits && step_of(number) <= self.step {
                *sent = Sent::Charged(self.hour.max(2 * number as i64));
            }
        }
    }

    fn usage(&mut self) {
        for _ in 0..1 + self.random.below(4) {
            let number = self.random.index(IDS);
            let hour = 2 * number as i64;
            let horizon = self.hour - WINDOW_H;
            let sent = &mut self.sent[number];
            match sent {
                Sent::GivenUp => continue,
                Sent::Charged(known) if *known < horizon => continue,
                Sent::Never if hour < horizon => *sent = Sent::TooLate,
                Sent::Never if step_of(number) <= self.step => *sent = Sent::Charged(hour),
                Sent::Never => *sent = Sent::Waits,
                Sent::Charged(_) | Sent::TooLate | Sent::Waits => {}
            }
            let times = if self.random.chance(150) { 2 } else { 1 };
            self.show(format_args!("r{number} times {times}"));
            self.pipeline.write(number as u32, usage(number, times));
        }
        self.pipeline.settle();
    }

    fn tick(&mut self, hours: i64) {
        self.hour += hours;
        self.show(format_args!("tick"));
        let tick = format!("{{\"tick\":\"2026-05-{:02}T{:02}:30:00Z\"}}", 1 + self.hour / 24, self.hour % 24);
        self.pipeline.topics.append("ticks", 0, (None, Some(tick.into_bytes())));
        self.pipeline.settle();
        self.may_be_charged();
    }

    fn ask(&mut self, request: &RecycleRequest) {
        self.show(format_args!("{request:?}"));
        self.pipeline.everywhere("waiting", &request.message());
        self.pipeline.settle();
        if request.write_off.is_none() {
            for sent in &mut self.sent {
                if *sent == Sent::TooLate && request.late {
                    *sent = Sent::Waits;
                }
            }
            self.may_be_charged();
        }
    }

    fn something(&mut self) {
        let id = self.random.index(IDS);
        let all = RecycleRequest::default();
        match self.random.below(12) {
            0..=4 => self.usage(),
            5 | 6 => {
                let hours = *self.random.pick(&[0, 1, 2, 5, 30]);
                self.tick(hours);
            }
            7 => self.ask(&RecycleRequest { late: true, ..all }),
            8 => self.ask(&all),
            9 => {
                let reasons =
                    vec![(*self.random.pick(&["no_rate", "unknown_endpoint", "duplicate_conflict"])).to_owned()];
                self.ask(&RecycleRequest { reasons, ..all });
            }
            10 => match self.random.chance(300) {
                true => {
                    self.sent[id] = Sent::GivenUp;
                    let write_off = Some("a test".to_owned());
                    self.ask(&RecycleRequest { ids: vec![format!("r{id}")], late: true, write_off, ..all });
                }
                false => self.ask(&RecycleRequest { ids: vec![format!("r{id}")], ..all }),
            },
            _ => {
                self.step = (self.step + 1).min(3);
                self.pipeline.restart_guide(&self.steps[self.step]);
            }
        }
    }

    /// Everything can be charged; another payload under an id that was charged is given up.
    fn end(&mut self) {
        self.step = 3;
        self.pipeline.restart_guide(&self.steps[3]);
        for _ in 0..2 {
            self.tick(1);
            self.ask(&RecycleRequest { late: true, ..RecycleRequest::default() });
        }
        let (reasons, write_off) = (vec!["duplicate_conflict".to_owned()], Some("the first one counts".to_owned()));
        self.ask(&RecycleRequest { reasons, write_off, ..RecycleRequest::default() });
        self.pipeline.settle();
    }

    /// Ids that the state of guide holds.
    fn held(&self) -> usize {
        let mut last = BTreeMap::new();
        for partition in 0..3 {
            for (key, value) in self.pipeline.topics.messages("guide-changelog", partition) {
                last.insert((partition, key.clone().unwrap_or_default()), value.is_some());
            }
        }
        let is_held = |key: &[u8]| SOURCES.iter().any(|topic| key.starts_with(&[topic.as_bytes(), b"\0h"].concat()));
        last.iter().filter(|((_, key), is_there)| **is_there && is_held(key)).count()
    }
}

#[test]
fn any_history_charges_each_record_once_and_holds_nothing_for_ever() {
    let steps = steps();
    let (mut charges, mut most_held) = (0, 0);
    for seed in seeds() {
        println!("seed {seed}");
        let shape = (1 + (seed % 3) as u32, seed % 2 == 0);
        let pipeline = Pipeline::with_window(seed, shape, Some(WINDOW_H as u32), &steps[0]);
        let mut history = History {
            steps: &steps,
            pipeline,
            random: Random::new(seed + 1_000_000),
            sent: [Sent::Never; IDS],
            hour: 0,
            step: 0,
            is_shown: std::env::var_os("RATER_WINDOWS_SEED").is_some(),
        };
        for _ in 0..30 {
            history.something();
            most_held = most_held.max(history.held());
        }
        history.end();
        assert_eq!(history.pipeline.recycle.0.open_count(), 0, "seed {seed}: something waits");
        assert_eq!(history.held(), 0, "seed {seed}: ids that are held for nothing");
        let charged = history.pipeline.charged();
        assert!(charged.values().all(|count| *count == 1), "seed {seed}: {charged:?}");
        for (number, sent) in history.sent.iter().enumerate() {
            let levels = charged.keys().filter(|(id, _)| *id == format!("r{number}").into_bytes()).count();
            match sent {
                Sent::Never => assert_eq!(levels, 0, "seed {seed}: r{number}"),
                Sent::GivenUp => {}
                Sent::TooLate | Sent::Waits | Sent::Charged(_) => {
                    assert_eq!(levels, 2, "seed {seed}: r{number} is lost")
                }
            }
        }
        charges += charged.len();
    }
    assert!(charges > 8 * seeds().count() && most_held > 3, "{charges} charges, {most_held} ids held");
}
