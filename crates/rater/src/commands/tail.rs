//! `rater tail`: messages of a topic, decoded, one JSON object to a line.

use crate::args::{LastMessages, TailArgs};
use crate::commands::run::{kafka_settings, registry_config};
use crate::console::Console;
use crate::exit::Failure;
use runtime::kafka::{KafkaLog, block_on};
use runtime::registry::Registry;
use runtime::service::tail::{Enough, MessageReader, Then, Which, tail};
use runtime::worker::log::LogError;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Shows messages.
///
/// # Errors
/// Settings, or a cluster that does not answer.
pub(crate) fn run(args: &TailArgs, console: &mut Console) -> Result<(), Failure> {
    let in_words = |error: LogError| match error {
        LogError::Unavailable(what) => Failure::Surroundings(what),
        LogError::Missing(what) | LogError::Refused(what) => Failure::Data(what),
    };
    let log = KafkaLog::new(kafka_settings(&args.kafka)?).map_err(in_words)?;
    let registry = registry_config(&args.registry)?.map(|config| Registry::new(&config)).transpose();
    let registry = registry.map_err(|error| Failure::Data(format!("schema registry: {error}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|error| Failure::Surroundings(format!("signals: {error}")))?;
    }
    let which = match args.last {
        LastMessages::All => Which::All,
        LastMessages::Count(count) => Which::Last(count),
    };
    let then = if args.follow { Then::Follow } else { Then::Stop };
    let mut failure = None;
    let mut reader = MessageReader::new(registry);
    let shown = tail(&log, &args.topic, (which, then), &mut reader, &stop, |message| {
        let line = message.to_string();
        if args.grep.as_ref().is_some_and(|text| !line.contains(text.as_str())) {
            return Enough::NotYet;
        }
        match console.print_json_line(&line) {
            Ok(()) => Enough::NotYet,
            Err(error) => {
                failure = Some(error);
                Enough::Yes
            }
        }
    });
    block_on(shown).map_err(in_words)?;
    failure.map_or(Ok(()), Err)
}
