//! `rater suspense`: what waits in the pipeline on Kafka.

use super::run::{kafka_settings, of_log, registry_config, topic_names};
use crate::args::{Command, SuspenseArgs, SuspenseCommand};
use crate::config_file;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use clap::ArgMatches;
use directory::visible;
use runtime::kafka::KafkaLog;
use runtime::registry::Registry;
use runtime::service::TopicNames;
use runtime::service::suspense::{list, recycle};
use runtime::service::tail::MessageReader;
use runtime::stages::{Open, RecycleRequest};
use runtime::wire::text_or_base64;
use runtime::worker::log::LogError;
use runtime::worker::trace::TraceContext;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lists, shows, or asks for something to be tried again or given up.
///
/// # Errors
/// Settings, or a cluster that does not answer. `recycle` and `write-off` without `--apply`: [`Failure::Findings`] where there is something to do.
pub(crate) fn run(command: &SuspenseCommand, matches: &ArgMatches, console: &mut Console) -> Result<(), Failure> {
    let args = command.args();
    let merged;
    let args = match &args.config {
        None => args,
        Some(path) => {
            let action = matches.subcommand().and_then(|(_, inner)| inner.subcommand_name()).unwrap_or_default();
            match config_file::merge(path, &["suspense", action], matches)?.0.command {
                Command::Suspense(command) => merged = command,
                _ => return Err(Failure::Data(format!("{}: not for this command", path.display()))),
            }
            merged.args()
        }
    };
    let topics = topic_names(&args.topics);
    let log = KafkaLog::new(kafka_settings(&args.kafka)?).map_err(failure)?;
    let request = request(command, args)?;
    let mut open = list(&log, &topics).map_err(failure)?;
    open.retain(|open| request.is_about(&open.waited));
    match command {
        SuspenseCommand::Ls(_) => {}
        SuspenseCommand::Show(_) => {
            let registry = registry_config(&args.registry)?.map(|config| Registry::new(&config)).transpose();
            let registry = registry.map_err(|error| Failure::Data(format!("schema registry: {error}")))?;
            return show(&open, MessageReader::new(registry), console);
        }
        SuspenseCommand::Recycle(_) | SuspenseCommand::WriteOff(_) => {
            return ask((&log, &topics), &request, args, &open, console);
        }
    }
    if console.json {
        return console.print_json(&Value::Array(open.iter().map(|open| json_of(open, None)).collect()));
    }
    let text = table(&open).render(console.paint());
    console.print(&format!("{text}\n{} wait\n", open.len()))
}

/// What is asked for; of what is only listed, all that there is.
fn request(command: &SuspenseCommand, args: &SuspenseArgs) -> Result<RecycleRequest, Failure> {
    let (late, write_off) = match command {
        SuspenseCommand::Ls(_) | SuspenseCommand::Show(_) => (true, None),
        SuspenseCommand::Recycle(_) => (args.late, None),
        SuspenseCommand::WriteOff(_) => {
            let because = args.because.clone();
            let because =
                because.ok_or_else(|| Failure::Data("--because TEXT is needed: why it is given up".to_owned()))?;
            if args.ids.is_empty() && args.reason.is_empty() {
                return Err(Failure::Data("name what is given up: --reason REASON, or ids".to_owned()));
            }
            // Nothing is charged by this, so nothing can be charged twice.
            (true, Some(because))
        }
    };
    Ok(RecycleRequest { reasons: args.reason.clone(), ids: args.ids.clone(), late, write_off })
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
fn json_of(open: &Open, reader: Option<&mut MessageReader>) -> Value {
    let Open { waited, due, since, .. } = open;
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
    for (name, text) in open.trace().into_iter().flat_map(TraceContext::headers) {
        value[name] = json!(text);
    }
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
            text.push_str(&format!("  {name:<12}  {}\n", visible(&shown)));
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
        let end = match (open.is_empty(), args.apply, &request.write_off) {
            (true, _, _) => "nothing waits that this is about\n",
            (false, true, None) => {
                "asked: what can be rated now is charged; what cannot waits again, with one more attempt\n"
            }
            (false, true, Some(_)) => "asked: these are given up, which the topic of suspense tells of each\n",
            (false, false, None) => "nothing is done yet: --apply has these tried again\n",
            (false, false, Some(_)) => "nothing is done yet: --apply has these given up, for good\n",
        };
        console.print(&format!("{}{end}", lines.collect::<String>()))?;
    }
    if open.is_empty() || args.apply { Ok(()) } else { Err(Failure::Findings) }
}
