//! `rater schema`: the message contracts and a schema registry.

use super::run::{registry_config, topic_names};
use crate::args::SchemaCommand;
use crate::console::Console;
use crate::exit::Failure;
use crate::present::{Align, Table};
use runtime::registry::{ACCOUNT_COMMAND, Registry, RegistryError, Standing, USAGE_RECORD};
use runtime::service::TopicNames;
use runtime::wire::{Message, subject};
use serde_json::json;

/// What is said of one subject.
struct Line {
    subject: String,
    state: &'static str,
    id: Option<u32>,
    detail: String,
    is_finding: bool,
}

/// Checks or registers the contracts.
///
/// # Errors
/// A finding if a contract is incompatible; the configuration; a registry that cannot be reached.
pub(crate) fn run(command: &SchemaCommand, console: &mut Console) -> Result<(), Failure> {
    let (SchemaCommand::Check(args) | SchemaCommand::Register(args)) = command;
    let config = registry_config(&args.registry)?;
    let config = config.ok_or_else(|| Failure::Data("no registry: give --registry-url".to_owned()))?;
    let registry = Registry::new(&config).map_err(failure)?;
    let mut lines = Vec::new();
    for (topic, schema) in contracts(&topic_names(&args.topics)) {
        let subject = subject(&topic);
        let line = match command {
            SchemaCommand::Check(_) => check(&registry, schema, &subject),
            SchemaCommand::Register(_) => register(&registry, schema, &subject),
        };
        lines.push(line.map_err(|error| named(&subject, error))?);
    }
    show(&lines, console)?;
    if lines.iter().any(|line| line.is_finding) { Err(Failure::Findings) } else { Ok(()) }
}

/// The topics that others read or write, with their schemas.
fn contracts(names: &TopicNames) -> Vec<(String, &'static str)> {
    let usage = names.usage.iter().map(|topic| (topic.clone(), USAGE_RECORD));
    let commands = names.commands.iter().map(|topic| (topic.clone(), ACCOUNT_COMMAND));
    let outputs = Message::ALL.iter().map(|message| (names.output(*message), message.schema()));
    usage.chain(commands).chain(outputs).collect()
}

fn check(registry: &Registry, schema: &str, subject: &str) -> Result<Line, RegistryError> {
    let standing = registry.standing(subject, schema)?;
    let (state, id, detail) = match standing {
        Standing::Registered(id) => ("registered", Some(id.0), registry.compatibility(subject)?.name().to_owned()),
        Standing::New => ("new", None, String::new()),
        Standing::Compatible => ("compatible", None, registry.compatibility(subject)?.name().to_owned()),
        Standing::Incompatible(messages) => ("incompatible", None, messages.join("; ")),
    };
    Ok(line(subject, state, id, detail))
}

fn register(registry: &Registry, schema: &str, subject: &str) -> Result<Line, RegistryError> {
    match registry.publish(subject, schema) {
        Ok(id) => Ok(line(subject, "registered", Some(id.0), "FULL_TRANSITIVE".to_owned())),
        Err(RegistryError::Incompatible(what)) => Ok(line(subject, "incompatible", None, what)),
        Err(error) => Err(error),
    }
}

fn line(subject: &str, state: &'static str, id: Option<u32>, detail: String) -> Line {
    let is_finding = state == "incompatible";
    Line { subject: subject.to_owned(), state, id, detail, is_finding }
}

fn show(lines: &[Line], console: &mut Console) -> Result<(), Failure> {
    if console.json {
        let shown = lines
            .iter()
            .map(|line| json!({ "subject": line.subject, "state": line.state, "id": line.id, "detail": line.detail }));
        return console.print_json(&shown.collect());
    }
    let header = [("SUBJECT", Align::Left), ("STATE", Align::Left), ("ID", Align::Right), ("DETAIL", Align::Left)];
    let mut table = Table::new(&header);
    for line in lines {
        let id = line.id.map_or_else(|| "–".to_owned(), |id| id.to_string());
        let cells = vec![line.subject.clone(), line.state.to_owned(), id, line.detail.clone()];
        table.row(cells, "");
    }
    let text = table.render(console.paint());
    console.print(&text)
}

fn named(subject: &str, error: RegistryError) -> Failure {
    match failure(error) {
        Failure::Data(what) => Failure::Data(format!("subject \"{subject}\": {what}")),
        Failure::Surroundings(what) => Failure::Surroundings(format!("subject \"{subject}\": {what}")),
        other => other,
    }
}

/// What we sent or configured is ours; what the registry does is not.
fn failure(error: RegistryError) -> Failure {
    let text = error.to_string();
    match error {
        RegistryError::Config(_) | RegistryError::InvalidSchema(_) | RegistryError::Incompatible(_) => {
            Failure::Data(text)
        }
        RegistryError::Refused { status: 401 | 403, .. } => Failure::Data(text),
        RegistryError::SubjectUnknown
        | RegistryError::VersionUnknown
        | RegistryError::SchemaUnknown
        | RegistryError::NotConfigured
        | RegistryError::Refused { .. }
        | RegistryError::Unreachable { .. }
        | RegistryError::Garbled(_)
        | RegistryError::TooLong(_) => Failure::Surroundings(text),
    }
}
