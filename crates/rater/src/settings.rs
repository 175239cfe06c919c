//! Options as the runtime takes them.

use crate::args::{DoubtOptions, Form, InputOptions, KindOption, Preset, RateArgs, RecordOptions, RunOptions};
use crate::exit::Failure;
use directory::value::{UnitSystem, base_units};
use jiff::SpanRelativeTo;
use pipeline::intake::earliest_event;
use pipeline::{Doubts, InternationalPrefixes, Kind, Kinds, QuantityLimit, QuantityLimits};
use rating::Timestamp;
use runtime::embedded::{InputFile, InterruptedInputs, Recycle, RunSettings, Until};
use runtime::session;
use runtime::wire::{CsvMapping, Ending, InputFormat, OutputFormat};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Settings of a run into a folder.
///
/// # Errors
/// A time or a length that is none.
pub(crate) fn run_settings(args: &RateArgs, output: PathBuf) -> Result<RunSettings, Failure> {
    let options = &args.options;
    Ok(RunSettings {
        inputs: args.files.iter().map(|path| input_file(path, &options.input)).collect(),
        ending: if args.is_final { Ending::IsComplete } else { Ending::MayGrow },
        interrupted: if args.leave_interrupted { InterruptedInputs::AreLeft } else { InterruptedInputs::ComeFirst },
        recycle: match (args.recycle, args.recycle_late) {
            (false, _) => Recycle::Nothing,
            (true, false) => Recycle::Waiting,
            (true, true) => Recycle::WaitingAndLate,
        },
        output,
        format: match options.output.format {
            Form::Jsonl => OutputFormat::JsonLines,
            Form::Csv => OutputFormat::Csv,
            Form::Avro => OutputFormat::Avro,
        },
        threads: threads(&options.run),
        batch_records: options.run.batch_records as usize,
        commit_records: options.run.commit_records,
        now: now(&options.run)?,
        future_tolerance_ms: future_tolerance_ms(&options.records)?,
        past_tolerance_ms: past_tolerance_ms(&options.records.doubts)?,
        doubts: doubts(&options.records.doubts, &options.records.only),
        duplicate_window_h: duplicate_window_h(&options.records)?,
        command_memory_h: command_memory_h(&options.records.command_memory)?,
        state_horizon_h: state_horizon_h(&options.records.state_horizon)?,
        default_source: options.records.source.clone(),
        until: until(&options.run)?,
    })
}

/// Settings of a run in memory that repeats what a folder was rated with, when it was `now`.
///
/// # Errors
/// As [`run_settings`].
pub(crate) fn session_settings(options: &RecordOptions, now: Timestamp) -> Result<session::Settings, Failure> {
    let latest = now.millis().saturating_add(future_tolerance_ms(options)?);
    Ok(session::Settings {
        latest_event: Timestamp::from_millis(latest),
        earliest_event: earliest_event(now, past_tolerance_ms(&options.doubts)?),
        doubts: doubts(&options.doubts, &options.only),
        default_source: options.source.clone(),
        duplicate_window_h: duplicate_window_h(options)?,
        command_memory_h: command_memory_h(&options.command_memory)?,
        state_horizon_h: state_horizon_h(&options.state_horizon)?,
        threads: machine_threads(),
    })
}

fn threads(options: &RunOptions) -> usize {
    options.threads.map_or_else(machine_threads, usize::from)
}

/// As many threads as the machine runs at once.
pub(crate) fn machine_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn input_file(path: &Path, options: &InputOptions) -> InputFile {
    let is_csv = path.extension().is_some_and(|ending| ending == "csv");
    let format = match options.input_format {
        Some(Form::Jsonl) => Some(InputFormat::JsonLines),
        Some(Form::Avro) => Some(InputFormat::Avro),
        Some(Form::Csv) => Some(InputFormat::Csv(mapping(options))),
        None if is_csv => Some(InputFormat::Csv(mapping(options))),
        None => None,
    };
    InputFile { path: path.to_owned(), format }
}

fn mapping(options: &InputOptions) -> CsvMapping {
    let mut mapping = match options.preset {
        Preset::Plain => CsvMapping::plain(),
        Preset::Pgw => CsvMapping::pgw(),
        Preset::PgwSummed => CsvMapping::pgw_summed(),
    };
    for (field, column) in &options.map {
        mapping.set_column(field, column);
    }
    mapping
}

fn now(options: &RunOptions) -> Result<Timestamp, Failure> {
    match &options.now {
        Some(text) => time("--now", text),
        None => Ok(machine_now()),
    }
}

/// Up to when things are done at the end of a run.
fn until(options: &RunOptions) -> Result<Until, Failure> {
    match options.until.as_deref() {
        None => Ok(Until::Charged),
        Some("none") => Ok(Until::Ticks),
        Some(text) => {
            let (at, now) = (time("--until", text)?, now(options)?);
            if at > now {
                let what = format!(
                    "--until: {text} lies ahead of {now}, and what was done stays done; --now says what time it is"
                );
                return Err(Failure::Data(what));
            }
            Ok(Until::At(at))
        }
    }
}

/// The clock of the machine.
pub(crate) fn machine_now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// A time given to an option.
///
/// # Errors
/// Anything but RFC 3339 with an offset and at most milliseconds.
pub(crate) fn time(option: &str, text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text)
        .ok_or_else(|| Failure::Data(format!("{option}: \"{text}\" is not a time such as 2026-01-01T00:00:00Z")))
}

fn future_tolerance_ms(options: &RecordOptions) -> Result<i64, Failure> {
    milliseconds("--future-tolerance", &options.future_tolerance)
}

/// How far behind now usage may lie, in milliseconds; `None` for any time.
///
/// # Errors
/// The option is no length.
pub(crate) fn past_tolerance_ms(options: &DoubtOptions) -> Result<Option<i64>, Failure> {
    past_ms(&options.past_tolerance).map_err(|what| Failure::Data(format!("--past-tolerance: {what}")))
}

/// As [`length_ms`], with years of 365.25 days; `forever` is `None`.
pub(crate) fn past_ms(text: &str) -> Result<Option<i64>, String> {
    const YEAR_MS: i64 = 31_557_600_000;
    if text == "forever" {
        return Ok(None);
    }
    let years = ["years", "year", "y"].into_iter().find_map(|unit| text.strip_suffix(unit));
    let years = years.and_then(|number| number.trim_end().parse::<i64>().ok());
    match years.filter(|years| *years >= 0).and_then(|years| years.checked_mul(YEAR_MS)) {
        Some(length) => Ok(Some(length)),
        None => length_ms(text).map(Some),
    }
}

/// What is doubted of records.
pub(crate) fn doubts(options: &DoubtOptions, only: &[KindOption]) -> Doubts {
    let kind = |option: &KindOption| match option {
        KindOption::Usage => Kind::Usage,
        KindOption::Command => Kind::Command,
        KindOption::Tick => Kind::Tick,
    };
    let prefixes: Box<[Box<str>]> = options.international_prefix.iter().map(|prefix| Box::from(&**prefix)).collect();
    Doubts {
        limits: QuantityLimits::new(options.max_quantity.iter().cloned()),
        accepts: if only.is_empty() { Kinds::ALL } else { Kinds::of(only.iter().map(kind)) },
        international: match &*prefixes {
            [] => InternationalPrefixes::Doubted,
            all if all.iter().any(|prefix| &**prefix == "none") => InternationalPrefixes::Kept,
            _ => InternationalPrefixes::Stripped(prefixes),
        },
    }
}

/// `SERVICE=QUANTITY`, such as `data=10 TB`.
pub(crate) fn quantity_limit(text: &str) -> Result<QuantityLimit, String> {
    let (service, quantity) = text.split_once('=').ok_or("write SERVICE=QUANTITY, such as \"data=10 TB\"")?;
    let (quantity, unit) = base_units(quantity.trim(), UnitSystem::Decimal)?;
    let quantity = u64::try_from(quantity).map_err(|_| format!("{text}: the quantity is negative"))?;
    let service = service.trim();
    if service.is_empty() {
        return Err("write SERVICE=QUANTITY, such as \"data=10 TB\"".to_owned());
    }
    Ok(QuantityLimit { service: service.into(), quantity, unit })
}

fn duplicate_window_h(options: &RecordOptions) -> Result<Option<u32>, Failure> {
    window_h("--duplicate-window", &options.duplicate_window)
}

/// A finite number of whole hours given to `--command-memory`.
///
/// # Errors
/// Anything else, `forever` too.
pub(crate) fn command_memory_h(text: &str) -> Result<u32, Failure> {
    horizon_hours(text).map_err(|what| Failure::Data(format!("--command-memory: {what}")))
}

/// The state horizon in whole hours.
///
/// # Errors
/// Anything else, `forever` too.
pub(crate) fn state_horizon_h(text: &str) -> Result<u32, Failure> {
    horizon_hours(text).map_err(|what| Failure::Data(format!("--state-horizon: {what}")))
}

/// A finite number of whole hours, for whoever knows the option.
pub(crate) fn horizon_hours(text: &str) -> Result<u32, String> {
    hours(text)?.ok_or_else(|| format!("\"{text}\" is not a number of whole hours"))
}

/// A number of whole hours; `forever` is `None`.
///
/// # Errors
/// Anything else.
pub(crate) fn window_h(option: &str, text: &str) -> Result<Option<u32>, Failure> {
    hours(text).map_err(|what| Failure::Data(format!("{option}: {what}")))
}

/// As [`window_h`], for whoever knows the option.
pub(crate) fn hours(text: &str) -> Result<Option<u32>, String> {
    if text == "forever" {
        return Ok(None);
    }
    let length = length_ms(text)?;
    let hours = (length > 0 && length % 3_600_000 == 0).then(|| u32::try_from(length / 3_600_000).ok()).flatten();
    hours.map(Some).ok_or_else(|| format!("\"{text}\" is not a number of whole hours"))
}

/// A length of time given to an option.
///
/// # Errors
/// It is none.
pub(crate) fn milliseconds(option: &str, text: &str) -> Result<i64, Failure> {
    length_ms(text).map_err(|what| Failure::Data(format!("{option}: {what}")))
}

/// As [`milliseconds`], for whoever knows the option.
pub(crate) fn length_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("\"{text}\" is not a length such as 5 min, 48 h or 32 days");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    // Lengths of options are not calendar lengths: a day is 24 hours, months are refused.
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    i64::try_from(length.as_millis()).ok().filter(|length| *length >= 0).ok_or_else(wrong)
}

/// No two processes that run have the same.
#[cfg(any(feature = "kafka", feature = "store"))]
pub(crate) fn instance() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "machine".to_owned());
    // Containers may share the name of the machine, and each has a process number 1: the moment in nanoseconds tells them apart.
    let moment = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    format!("{}-{}-{moment:x}", machine.trim(), std::process::id())
}

/// A password from a file, or else from the environment; it is never an argument, which everybody on the machine could see.
///
/// # Errors
/// The file cannot be read.
#[cfg(any(feature = "kafka", feature = "store"))]
pub(crate) fn password(file: Option<&Path>, variable: &str) -> Result<Option<String>, Failure> {
    match file {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| Failure::Data(format!("{}: {error}", path.display())))?;
            Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
        }
        None => Ok(std::env::var(variable).ok()),
    }
}
