//! The log of `rater run`: events as lines on stderr, for people or for machines.

use crate::args::{LogFormat, LogLevel, TelemetryOptions};
use crate::console::{Console, Verbosity};
use directory::{visible, visible_json};
use runtime::stages::PERSONAL;
use std::io::Write;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Sends events to stderr from now on, and the error that ends the program as well. Once per process: a second call changes nothing.
pub(crate) fn start(options: &TelemetryOptions, console: &mut Console) {
    let level = match (options.log_level, console.verbosity()) {
        (Some(level), _) => filter_of(level),
        (None, Verbosity::Quiet) => LevelFilter::ERROR,
        (None, Verbosity::Normal) => LevelFilter::INFO,
        (None, Verbosity::Verbose) => LevelFilter::DEBUG,
    };
    // What identifies a person is written at debug; whoever wants it gets it without all the rest.
    let personal = if options.log_personal_data { level.max(LevelFilter::DEBUG) } else { level };
    let targets = Targets::new().with_default(level).with_target(PERSONAL, personal);
    let form = options.log_format;
    let lines = fmt::layer().with_writer(move || Lines { form }).with_ansi(false).with_target(false);
    let layer = match options.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => {
            console.talk_in_events();
            lines.json().flatten_event(true).with_current_span(false).boxed()
        }
    };
    // It fails where events go elsewhere already.
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
}

/// Writes events to stderr, one line each: what is foreign in one is shown, and neither obeyed by a terminal nor taken for another event.
struct Lines {
    form: LogFormat,
}

impl Write for Lines {
    /// Takes a whole event.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.trim_end_matches('\n');
        let shown = match self.form {
            LogFormat::Text => visible(line),
            LogFormat::Json => visible_json(line),
        };
        std::io::stderr().write_all(format!("{shown}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
