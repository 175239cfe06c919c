//! Files of each form, rated whole, in pieces, as pipes, again, and in other batches.

use crate::count::{Found, Outcomes, count};
use crate::grammar::{self, REFERENCE, Reused};
use crate::reading::{self, Read, Rows};
use directory::{Input, InputKind, Loaded};
use pipeline::{ControlTotals, Doubts, Kind, Kinds, QuantityLimits};
use rating::Timestamp;
use runtime::embedded::{InputFile, InterruptedInputs, Recycle, Report, RunError, RunSettings, Until, run};
use runtime::wire::{Ending, OutputFormat};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use testkit::generator::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Avro,
}

#[derive(Clone, Debug)]
struct Options {
    only: Option<Kind>,
    window_h: Option<u32>,
    is_final: bool,
    is_doubting: bool,
    /// Records to a batch, records to a commit, threads; of the first run and of the one that is compared with it.
    batches: [(usize, u64, usize); 2],
    /// After how many of a thousand bytes a run ends in between.
    pieces: Vec<u64>,
    is_piped: bool,
    /// What becomes of a container: cut after so many of a thousand bytes, or one byte changed there.
    cut: Option<u64>,
    changed: Option<(u64, u8)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    form: Form,
    head: Vec<u8>,
    /// Each with its line break, or the fields of a datum.
    rows: Vec<Vec<u8>>,
    options: Options,
}

const COLUMNS: [&str; 8] =
    ["id", "service", "quantity", "event_time", "imsi", "source", "attributes.text", "session_id"];

impl Case {
    pub(crate) fn new(seed: u64) -> Case {
        let random = &mut Random::new(seed);
        let form = *random.pick(&[Form::Json, Form::Csv, Form::Csv, Form::Avro]);
        let size = *random.pick(&[5, 30, 100, 400]);
        let count = random.between(1, size) as usize;
        let window_h = random.chance(300).then(|| *random.pick(&[1, 24, 960]));
        let reused = Reused::within(window_h);
        let mixed = ["\n", "\r\n", "\r", "\n\n", "\r\r\n", "\n  \n", "\n\t\r"];
        let all_ends: [&[&str]; 5] = [&["\n"], &["\n"], &["\r\n"], &["\r"], &mixed];
        let ends = *random.pick(&all_ends);
        let mut head = random.pick(&[&b""[..], b"", b"\xef\xbb\xbf"]).to_vec();
        let (mut columns, mut known) = (Vec::new(), Vec::new());
        if form == Form::Csv {
            columns = COLUMNS.to_vec();
            for other in ["destination", "mcc", "mnc", "apn", "rat", "final", "end_time", "unread", "unread"] {
                if random.chance(300) {
                    columns.push(other);
                }
            }
            if random.chance(300) {
                columns.sort_by_key(|_| random.bits());
            }
            head.extend(columns.join(",").bytes());
            head.extend(ends[0].bytes());
        }
        let mut rows = Vec::new();
        for number in 0..count {
            let mut row = match form {
                Form::Json => grammar::line(random, number, &known, reused),
                Form::Csv => csv_row(random, number, &columns, &known, reused),
                Form::Avro => datum(random, number, &known, reused),
            };
            if row.len() < 10_000 {
                known.push(row.clone());
            }
            if form != Form::Avro && (number + 1 < count || random.chance(700)) {
                row.extend(random.pick(ends).bytes());
            }
            rows.push(row);
        }
        let mut batch =
            || (*random.pick(&[1, 2, 7, 50, 1024]), *random.pick(&[1, 10, 100, 65_536]), random.between(1, 4) as usize);
        let batches = [batch(), batch()];
        let options = Options {
            only: random.chance(150).then(|| *random.pick(&Kind::ALL)),
            window_h,
            is_final: random.chance(500),
            is_doubting: random.chance(700),
            batches,
            pieces: (0..random.below(4)).map(|_| random.below(1001)).collect(),
            is_piped: random.chance(100),
            cut: (form == Form::Avro && random.chance(300)).then(|| random.below(1001)),
            changed: (form == Form::Avro && random.chance(200)).then(|| (random.below(1001), random.bits() as u8)),
        };
        Case { form, head, rows, options }
    }

    fn bytes(&self) -> Vec<u8> {
        if self.form == Form::Avro {
            return self.container();
        }
        let mut bytes = self.head.clone();
        self.rows.iter().for_each(|row| bytes.extend(row));
        bytes
    }

    fn container(&self) -> Vec<u8> {
        let schema = apache_avro::Schema::parse_str(
            r#"{"type":"record","name":"U","fields":[{"name":"id","type":"string"},{"name":"service","type":"string"},
            {"name":"quantity","type":"long"},{"name":"event_time","type":["long","string"]},{"name":"imsi","type":"string"},
            {"name":"source","type":["null","string"]}]}"#,
        )
        .expect("a schema");
        let codec = [apache_avro::Codec::Null, apache_avro::Codec::Deflate(Default::default())][self.rows.len() % 2];
        let mut writer = apache_avro::Writer::with_codec(&schema, Vec::new(), codec).expect("a writer");
        for (row, number) in self.rows.iter().zip(1..) {
            let fields: BTreeMap<String, String> = serde_json::from_slice(row).expect("fields of a datum");
            let mut record = apache_avro::types::Record::new(&schema).expect("a record");
            for name in ["id", "service", "imsi"] {
                record.put(name, fields[name].clone());
            }
            record.put("quantity", fields["quantity"].parse::<i64>().unwrap_or(-1));
            let time = &fields["event_time"];
            use apache_avro::types::Value;
            record.put(
                "event_time",
                match time.parse::<i64>() {
                    Ok(number) => Value::Union(0, Box::new(Value::Long(number))),
                    Err(_) => Value::Union(1, Box::new(Value::String(time.clone()))),
                },
            );
            record.put(
                "source",
                match fields.get("source") {
                    Some(source) => Value::Union(1, Box::new(Value::String(source.clone()))),
                    None => Value::Union(0, Box::new(Value::Null)),
                },
            );
            writer.append_value(record).expect("a value");
            if number % 7 == 0 {
                writer.flush().expect("a block");
            }
        }
        let mut bytes = writer.into_inner().expect("bytes");
        let at = |per_mille: u64, length: usize| (length as u64 * per_mille / 1001) as usize;
        if let Some((per_mille, byte)) = self.options.changed {
            let at = at(per_mille, bytes.len());
            bytes[at] ^= byte;
        }
        if let Some(per_mille) = self.options.cut {
            bytes.truncate(at(per_mille, bytes.len()));
        }
        bytes
    }

    pub(crate) fn smaller(&self) -> Vec<Case> {
        let plainer = |change: fn(&mut Options)| {
            let mut case = self.clone();
            change(&mut case.options);
            case
        };
        let mut cases: Vec<Case> =
            crate::fewer(&self.rows).into_iter().map(|rows| Case { rows, ..self.clone() }).collect();
        let options = &self.options;
        if !options.pieces.is_empty() {
            cases.push(plainer(|options| options.pieces.truncate(options.pieces.len() - 1)));
        }
        if options.is_piped {
            cases.push(plainer(|options| options.is_piped = false));
        }
        if options.only.is_some() {
            cases.push(plainer(|options| options.only = None));
        }
        if options.window_h.is_some() {
            cases.push(plainer(|options| options.window_h = None));
        }
        cases
    }

    pub(crate) fn show(&self) -> String {
        let mut bytes = self.bytes();
        bytes.truncate(4000);
        format!("{:?}\n{:?}\n{:?}", self.form, self.options, String::from_utf8_lossy(&bytes))
    }

    fn rows(&self, bytes: &[u8]) -> Rows {
        match self.form {
            Form::Json => reading::json_lines(bytes, self.options.is_final),
            Form::Csv => reading::csv(bytes, self.options.is_final),
            Form::Avro => reading::avro(bytes),
        }
    }

    fn settings(&self, input: &Path, output: PathBuf, batches: (usize, u64, usize)) -> RunSettings {
        let options = &self.options;
        let (batch_records, commit_records, threads) = batches;
        let doubts = Doubts {
            accepts: options.only.map_or(Kinds::ALL, Kinds::only),
            limits: if options.is_doubting { QuantityLimits::new([]) } else { QuantityLimits::none() },
            ..Doubts::default()
        };
        RunSettings {
            inputs: vec![InputFile { path: input.to_owned(), format: None }],
            ending: if options.is_final { Ending::IsComplete } else { Ending::MayGrow },
            interrupted: InterruptedInputs::ComeFirst,
            recycle: Recycle::Nothing,
            output,
            format: OutputFormat::JsonLines,
            threads,
            batch_records,
            commit_records,
            now: Timestamp::parse("2026-12-01T00:00:00Z").expect("a time"),
            future_tolerance_ms: 0,
            past_tolerance_ms: options.is_doubting.then_some(10 * 366 * 86_400_000),
            doubts,
            duplicate_window_h: options.window_h,
            command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
            state_horizon_h: pipeline::duplicates::DEFAULT_STATE_HORIZON_H,
            default_source: "file".to_owned(),
            until: Until::default(),
        }
    }
}

/// A row of columns; marks, breaks and cells are now and then wrong.
fn csv_row(random: &mut Random, number: usize, columns: &[&str], known: &[Vec<u8>], reused: Reused) -> Vec<u8> {
    if random.chance(100) && !known.is_empty() {
        return random.pick(known).clone();
    }
    let rough = *random.pick(&[0, 20, 20, 250]);
    let is_reused = random.chance(40) && reused == Reused::WithOthers;
    let id = if is_reused { random.index(number + 1) } else { number };
    let mut fields = grammar::usage(random, &format!("r{id}"), rough);
    let texts =
        ["", "", "x", "5\"", "\"5", "a,b", "a\nb", "a\r\nb", "\"", "a,\nb", "say \"x\"", "\0", "é", "a\n\nb", "tick"];
    fields.push(("attributes.text", (*random.pick(&texts)).to_owned(), true));
    let is_careless = random.chance(300);
    let mut cells: Vec<String> = columns
        .iter()
        .map(|name| {
            let value = fields.iter().find(|(known, ..)| known == name).map_or("", |(_, value, _)| value);
            let needs_marks = value.contains([',', '"', '\n', '\r']);
            if (needs_marks && !is_careless) || random.chance(20) {
                format!("\"{}\"", value.replace('"', "\"\""))
            } else {
                value.to_owned()
            }
        })
        .collect();
    match random.below(60) {
        0 => drop(cells.pop()),
        1 => cells.push("more".to_owned()),
        2 | 3 => cells.extend(["".to_owned(), "".to_owned()]),
        4 => cells.truncate(1),
        _ => {}
    }
    let mut row = cells.join(",").into_bytes();
    if random.chance(40) {
        grammar::mutate(random, &mut row);
    }
    row
}

/// Fields of a datum, in JSON until they are encoded.
fn datum(random: &mut Random, number: usize, known: &[Vec<u8>], reused: Reused) -> Vec<u8> {
    if random.chance(100) && !known.is_empty() {
        return random.pick(known).clone();
    }
    let is_reused = random.chance(40) && reused == Reused::WithOthers;
    let id = if is_reused { random.index(number + 1) } else { number };
    let fields = grammar::usage(random, &format!("r{id}"), 60);
    let fields: BTreeMap<&str, String> = fields.into_iter().map(|(name, value, _)| (name, value)).collect();
    serde_json::to_vec(&fields).expect("texts")
}

fn loaded() -> &'static Loaded {
    static LOADED: OnceLock<Loaded> = OnceLock::new();
    LOADED.get_or_init(|| {
        let bytes = REFERENCE.as_bytes().to_vec();
        let input = Input { name: "rating.yaml".to_owned(), bytes, kind: InputKind::Yaml };
        directory::load(vec![input]).unwrap_or_else(|refused| panic!("{refused}"))
    })
}

fn rate(settings: &RunSettings) -> Result<Report, RunError> {
    run(loaded(), settings, &mut |_| {})
}

/// The outputs of a folder; hidden is what Rater keeps for itself.
fn outputs(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let files = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let files = files.filter(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    files
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("a file"))
        })
        .collect()
}

fn ensure(is_so: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(why()) }
}

/// Rates a case in all its ways; returns its rows.
pub(crate) fn check(case: &Case) -> Result<u64, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let extension = match case.form {
        Form::Json => "jsonl",
        Form::Csv => "csv",
        Form::Avro => "avro",
    };
    let input = folder.path().join(format!("usage.{extension}"));
    let bytes = case.bytes();
    std::fs::write(&input, &bytes).expect("written");
    let out = |name: &str| folder.path().join(name);
    let settings = case.settings(&input, out("once"), case.options.batches[0]);
    let rows = case.rows(&bytes);
    let once = rate(&settings);
    let ended = match &once {
        Ok(report) => report.clone(),
        Err(error) => {
            let may_be_refused = case.form == Form::Avro
                && (case.options.cut.is_some() || case.options.changed.is_some())
                || bytes.iter().take(6).any(|byte| matches!(byte, 0 | 0xff | 0xfe));
            ensure(may_be_refused, || format!("refused: {error}"))?;
            return broken(case, &settings, rows.rows.len() as u64);
        }
    };
    let totals = &ended.run;
    totals.check().map_err(|error| error.to_string())?;
    let is_whole = case.options.changed.is_none();
    if is_whole {
        let count = rows.rows.len() as u64;
        ensure(totals.received == count, || format!("{count} rows, {} received", totals.received))?;
        let unfinished: Vec<u64> = ended.unfinished.iter().map(|unfinished| unfinished.place).collect();
        if case.form != Form::Avro {
            ensure(unfinished == Vec::from_iter(rows.unfinished), || {
                format!("{:?} is not finished, {unfinished:?} is said to be", rows.unfinished)
            })?;
        }
        if case.options.window_h.is_none() || !has_reused_ids(&rows) {
            let outcomes = counted(&settings.output, &rows)?;
            compare(totals, outcomes)?;
        }
    }
    let first = outputs(&settings.output);

    let again = rate(&settings).map_err(|error| format!("again: {error}"))?;
    ensure(again.run.received == 0 && outputs(&settings.output) == first, || {
        format!("a second run changes something: {:?}", again.run)
    })?;

    let other = case.settings(&input, out("other"), case.options.batches[1]);
    rate(&other).map_err(|error| format!("in other batches: {error}"))?;
    ensure(outputs(&other.output) == first, || "other batches and threads, other outputs".to_owned())?;

    if case.options.is_piped {
        piped(case, &bytes, &first, folder.path(), extension)?;
    }
    if !case.options.pieces.is_empty() && is_whole {
        let settings = case.settings(&input, out("pieces"), case.options.batches[1]);
        let mut cuts: Vec<usize> =
            case.options.pieces.iter().map(|cut| (bytes.len() as u64 * cut / 1000) as usize).collect();
        cuts.sort_unstable();
        for cut in cuts {
            std::fs::write(&input, &bytes[..cut]).expect("written");
            let open = RunSettings { ending: Ending::MayGrow, ..settings.clone() };
            rate(&open).map_err(|error| format!("{cut} bytes of it: {error}"))?;
        }
        std::fs::write(&input, &bytes).expect("written");
        let last = rate(&settings).map_err(|error| format!("in pieces: {error}"))?;
        if !rows.has_long_rows {
            ensure(outputs(&settings.output) == first, || "rated in pieces, other outputs".to_owned())?;
            let received = last.progress.totals.received;
            ensure(received == totals.received, || format!("in pieces {received}, at once {}", totals.received))?;
        }
    }
    Ok(rows.rows.len() as u64 + u64::from(rows.unfinished.is_some()))
}

/// Whether an id stands in rows that are no copies of each other: a byte that was changed may make it so.
fn has_reused_ids(rows: &Rows) -> bool {
    let mut known = BTreeMap::new();
    rows.rows.iter().any(|row| match &row.read {
        Read::Usage(source, id) => *known.entry((source, id)).or_insert(&row.bytes) != &row.bytes,
        Read::Command(_) | Read::Tick | Read::Nothing => false,
    })
}

fn counted(output: &Path, rows: &Rows) -> Result<Outcomes, String> {
    if rows.rows.is_empty() && !output.join("charges.jsonl").exists() {
        return Ok(Outcomes::default());
    }
    let source_of = |place: u64| {
        let row = rows.rows.iter().find(|row| row.place == place)?;
        if let Read::Usage(source, _) = &row.read { Some(source.clone()) } else { None }
    };
    let found = Found::read(output, source_of)?;
    count(&rows.rows, found)
}

fn compare(totals: &ControlTotals, outcomes: Outcomes) -> Result<(), String> {
    let said = Outcomes {
        guided: totals.guided,
        duplicates: totals.duplicates,
        suspended: totals.suspended,
        commands: totals.commands,
        ticks: totals.ticks,
    };
    ensure(said == outcomes, || format!("counted {outcomes:?}, control totals {said:?}"))
}

/// What is refused, or rated up to where it breaks: the same each time, and nothing more of it is invented.
fn broken(case: &Case, settings: &RunSettings, rows: u64) -> Result<u64, String> {
    let first = outputs(&settings.output);
    let again = rate(settings);
    ensure(again.is_err(), || "refused, and then rated".to_owned())?;
    ensure(outputs(&settings.output) == first, || "refused, and changed all the same".to_owned())?;
    let charged = settings.output.join("charges.jsonl");
    if charged.exists() {
        let found = Found::read(&settings.output, |_| Some(String::new()))?;
        let whole = found.whole.values().map(Vec::len).sum::<usize>();
        let most = case.rows.len();
        ensure(whole <= most, || format!("{whole} wait, of {most} at most"))?;
    }
    Ok(rows.max(1))
}

/// The same through a pipe, twice.
fn piped(
    case: &Case,
    bytes: &[u8],
    first: &BTreeMap<String, Vec<u8>>,
    folder: &Path,
    extension: &str,
) -> Result<(), String> {
    let pipe = folder.join(format!("piped.{extension}"));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success(), "mkfifo");
    let settings = case.settings(&pipe, folder.join("piped"), case.options.batches[1]);
    let through = |settings: &RunSettings| {
        std::thread::scope(|scope| {
            scope.spawn(|| drop(std::fs::write(&pipe, bytes)));
            rate(settings).map_err(|error| format!("through a pipe: {error}"))
        })
    };
    through(&settings)?;
    let shown = |outputs: &BTreeMap<String, Vec<u8>>| -> Vec<(String, String)> {
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("/piped.", "/usage.");
        outputs.iter().map(|(file, bytes)| (file.clone(), name(bytes))).collect()
    };
    let piped = outputs(&settings.output);
    ensure(shown(&piped) == shown(first), || "through a pipe, other outputs".to_owned())?;
    let again = through(&settings)?;
    ensure(again.run.guided == 0 || case.options.window_h.is_some(), || {
        format!("through a pipe again: {:?}", again.run)
    })?;
    let charged = |outputs: &BTreeMap<String, Vec<u8>>| outputs.get("charges.jsonl").map(Vec::len);
    ensure(charged(&outputs(&settings.output)) == charged(&piped) || case.options.window_h.is_some(), || {
        "charged again through a pipe".to_owned()
    })
}
