//! `rater suspense`: what waits in the pipeline on Kafka.

use super::run::{kafka_settings, of_log, registry_config, topic_names};
use crate::args::{Command, SuspenseArgs, SuspenseCommand};
use crate::config_file;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use clap::ArgMatches;
use runtime::kafka::KafkaLog;
use runtime::registry::Registry;
use runtime::service::TopicNames;
use runtime::service::suspense::{list, recycle};
use runtime::service::tail::{MessageReader, text_or_base64};
use runtime::stages::{Open, RecycleRequest};
use runtime::worker::log::LogError;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lists, shows or asks.
///
/// # Errors
/// Settings, or a cluster that does not answer. `recycle` without `--apply`: [`Failure::Findings`] where there is something to do.
pub(crate) fn run(command: &SuspenseCommand, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    let (SuspenseCommand::Ls(args) | SuspenseCommand::Show(args) | SuspenseCommand::Recycle(args)) = command;
    let merged;
    let args = match &args.config {
        None => args,
        Some(path) => {
            let action = matches.subcommand().and_then(|(_, inner)| inner.subcommand_name()).unwrap_or_default();
            match config_file::merge(path, &["suspense", action], matches)?.0.command {
                Command::Suspense(
                    SuspenseCommand::Ls(args) | SuspenseCommand::Show(args) | SuspenseCommand::Recycle(args),
                ) => merged = args,
                _ => return Err(Failure::Data(format!("{}: not for this command", path.display()))),
            }
            &merged
        }
    };
    let topics = topic_names(&args.topics);
    let log = KafkaLog::new(kafka_settings(&args.kafka)?).map_err(failure)?;
    let request = RecycleRequest { reasons: args.reason.clone(), ids: args.ids.clone(), late: args.late };
    let mut open = list(&log, &topics).map_err(failure)?;
    match command {
        SuspenseCommand::Ls(_) => {
            open.retain(|open| RecycleRequest { late: true, ..request.clone() }.is_about(&open.waited))
        }
        SuspenseCommand::Show(_) => {
            open.retain(|open| RecycleRequest { late: true, ..request.clone() }.is_about(&open.waited));
            let registry = registry_config(&args.registry)?.map(|config| Registry::new(&config)).transpose();
            let registry = registry.map_err(|error| Failure::Data(format!("schema registry: {error}")))?;
            return show(&open, MessageReader::new(registry), console);
        }
        SuspenseCommand::Recycle(_) => {
            open.retain(|open| request.is_about(&open.waited));
            return ask((&log, &topics), &request, args, &open, console);
        }
    }
    if console.json {
        return console.print_json(&Value::Array(open.iter().map(|open| json_of(open, None)).collect()));
    }
    let text = table(&open).render(console.paint());
    console.print(&format!("{text}\n{} wait\n", open.len()))
}

fn failure(error: LogError) -> Failure {
    of_log(&error, error.to_string())
}

fn table(open: &[Open]) -> Table {
    let mut table = Table::new(&[
        ("FROM", Align::Left),
        ("LEVEL", Align::Right),
        ("ID", Align::Left),
        ("EVENT TIME", Align::Left),
        ("TRIED", Align::Right),
        ("REASON", Align::Left),
        ("DETAIL", Align::Left),
    ]);
    for Open { waited, .. } in open {
        let level = waited.level.map_or("all".to_owned(), |level| level.to_string());
        table.row(
            vec![
                format!("{}:{}:{}", waited.topic, waited.partition, waited.offset),
                level,
                waited.usage_id.clone().unwrap_or_default(),
                waited.event_time.map_or(String::new(), |at| at.to_string()),
                waited.attempt.to_string(),
                waited.reason.name().to_owned(),
                waited.detail.clone(),
            ],
            "",
        );
    }
    table
}

/// With a reader of messages, the original too.
fn json_of(Open { waited, due, since, .. }: &Open, reader: Option<&mut MessageReader>) -> Value {
    let mut value = json!({
        "topic": waited.topic,
        "partition": waited.partition,
        "offset": waited.offset,
        "level": waited.level,
        "id": waited.usage_id,
        "event_time": waited.event_time.map(|at| at.to_string()),
        "attempt": waited.attempt,
        "reason": waited.reason.name(),
        "detail": waited.detail,
        "stage": waited.stage,
        "since": since.map(|since| since.to_string()),
        "due": due.map(|due| due.to_string()),
    });
    if let Some(reader) = reader {
        value["content_type"] = json!(waited.content_type);
        value["original"] = reader.value(&waited.original.0);
        value["key"] = waited.key.as_ref().map_or(Value::Null, |key| text_or_base64(&key.0));
    }
    value
}

fn show(open: &[Open], mut reader: MessageReader, console: &mut Console) -> Result<(), Failure> {
    let all: Vec<Value> = open.iter().map(|open| json_of(open, Some(&mut reader))).collect();
    if console.json {
        return console.print_json(&Value::Array(all));
    }
    let mut text = String::new();
    for (open, value) in open.iter().zip(&all) {
        let level = open.waited.level.map_or(String::new(), |level| format!(" level {level}"));
        text.push_str(&format!("{}{level}\n", console.paint().bold(&open.waited.place())));
        for (name, value) in value.as_object().into_iter().flatten() {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("  {name:<12}  {shown}\n"));
        }
        let reason = open.waited.reason;
        text.push_str(&format!(
            "  {:<12}  {}\n  {:<12}  {}\n",
            "meaning",
            reason.meaning(),
            "what to do",
            reason.remedy()
        ));
    }
    console.print(&text)
}

fn ask(
    (log, topics): (&KafkaLog, &TopicNames),
    request: &RecycleRequest,
    args: &SuspenseArgs,
    open: &[Open],
    console: &mut Console,
) -> Result<(), Failure> {
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
    for open in open {
        *by_reason.entry(open.waited.reason.name()).or_default() += 1;
    }
    if args.apply && !open.is_empty() {
        recycle(log, topics, request).map_err(failure)?;
    }
    if console.json {
        console.print_json(
            &json!({ "asked": args.apply && !open.is_empty(), "matching": open.len(), "by_reason": by_reason }),
        )?;
    } else {
        let lines = by_reason.iter().map(|(reason, count)| format!("{count:>9}  {reason}\n"));
        let end = match (open.is_empty(), args.apply) {
            (true, _) => "nothing waits that this is about\n".to_owned(),
            (false, true) => {
                "asked: what can be rated now is charged; what cannot waits again, with one more attempt\n".to_owned()
            }
            (false, false) => "nothing is done yet: --apply has these tried again\n".to_owned(),
        };
        console.print(&format!("{}{end}", lines.collect::<String>()))?;
    }
    if open.is_empty() || args.apply { Ok(()) } else { Err(Failure::Findings) }
}
