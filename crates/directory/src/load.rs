//! One load of reference data: read, validate as a whole, compile.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use rating::{AccountId, Currency};
use siphasher::sip::SipHasher13;

use crate::compile::{Found, Tariffs, Zones, snapshot};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Refused};
use crate::model::{Model, Tariff, Version};
use crate::needs::{Directory, Whole};
use crate::read::{Outcome, Sections, read_csv, read_file};
use crate::snapshot::{Grant, Snapshot};
use crate::source::{FileId, Sources, Span};
use crate::validate::{Check, Units, check_accounts, check_bundles, check_endpoints, check_grants};
use crate::yaml;

/// One input of a load.
#[derive(Clone, Debug)]
pub struct Input {
    /// Shown in errors; usually a path.
    pub name: String,
    /// Its text. Bytes that are not UTF-8 are an error with a place.
    pub bytes: Vec<u8>,
    /// Its form.
    pub kind: InputKind,
}

/// The forms of reference data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// A document of definitions.
    Yaml,
    /// Endpoints in bulk.
    EndpointCsv,
}

/// The result of a load.
#[derive(Debug)]
pub struct Loaded {
    /// The hierarchy of payers and their tariffs, at any time.
    pub snapshot: Arc<Snapshot>,
    /// Hash of all inputs in their order: equal for equal texts, on every machine. Names of inputs do not count.
    pub hash: u64,
    /// The definitions as written, for tools that show or count them; rating does not need them.
    pub model: Model,
    /// Places of the currencies of accounts, in the order of the model: `FILE:LINE:COLUMN`.
    currency_places: Vec<Box<str>>,
    /// The directory that batches ask, if it is not the snapshot.
    asked: Option<Arc<dyn Directory>>,
}

impl Loaded {
    /// The version named on charges: the hash in hexadecimal.
    pub fn version(&self) -> String {
        self.snapshot.version().to_string()
    }

    /// Bundles granted in reference data, by their moments; for one moment in the order written.
    pub fn grants(&self) -> &[Grant] {
        self.snapshot.catalog().grants()
    }

    /// Returns the directory that batches ask: the whole snapshot, unless [`Loaded::asking`] named another one.
    pub fn directory(&self) -> Arc<dyn Directory> {
        self.asked.clone().unwrap_or_else(|| Arc::new(Whole(self.snapshot.clone())))
    }

    /// Compares an account that has state in a currency with the reference data. An account that they do not define is none of theirs, nor is an
    /// endpoint's account whose customer they do not define.
    ///
    /// # Errors
    /// They give it another currency.
    pub fn check_currency(&self, account: &AccountId, was: Currency) -> Result<(), CurrencyChanged> {
        let owner = account.as_str().split_once('/').map_or(account.as_str(), |(customer, _)| customer);
        let accounts = &self.model.accounts;
        let found = accounts.find(owner).and_then(|at| Some((accounts.item(at).value.as_ref()?.currency.value, at)));
        match found.filter(|(now, _)| *now != was) {
            None => Ok(()),
            Some((now, at)) => {
                let place = self.currency_places[at].clone();
                Err(CurrencyChanged { account: account.clone(), was, now, place })
            }
        }
    }

    /// Makes batches ask another directory: where these texts are only a part, such as the accounts of a store.
    pub fn asking(self, directory: Arc<dyn Directory>) -> Loaded {
        Loaded { asked: Some(directory), ..self }
    }
}

/// An account whose currency in the reference data is not the one that its state is in (rule 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrencyChanged {
    /// The account, or the account of an endpoint.
    pub account: AccountId,
    /// The currency of its state.
    pub was: Currency,
    /// The currency in the reference data.
    pub now: Currency,
    /// The place of that currency: `FILE:LINE:COLUMN`.
    pub place: Box<str>,
}

impl fmt::Display for CurrencyChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CurrencyChanged { account, was, now, place } = self;
        let code = Code::CurrencyMismatch;
        write!(
            f,
            "{code}: {place}: account \"{account}\" was charged in {was} before and its currency never changes: {now} is refused; \
             give it {was} again, or open an account of another name"
        )
    }
}

/// The fate of a tariff's versions as they were written, once it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// They stay in the model.
    Kept,
    /// They are let go.
    Dropped,
}

/// Loads, validates as a whole and compiles.
///
/// # Errors
/// Everything that is wrong, in the order of inputs and lines, with the texts that the errors point into.
pub fn load(inputs: Vec<Input>) -> Result<Loaded, Refused> {
    load_and(Written::Kept, inputs)
}

/// Loads for rating: like [`load`], but the tariffs of the model have no versions. They are dropped as they are compiled, which saves the memory
/// that they take where there are millions.
///
/// # Errors
/// Those of [`load`].
pub fn load_to_rate(inputs: Vec<Input>) -> Result<Loaded, Refused> {
    load_and(Written::Dropped, inputs)
}

fn load_and(written: Written, inputs: Vec<Input>) -> Result<Loaded, Refused> {
    let hash = hash_of(&inputs);
    let mut sources = Sources::new();
    let mut errors = Diagnostics::new();
    let mut model = Model::default();
    let mut complete = true;
    for input in inputs {
        let kind = input.kind;
        let outcome = match add(&mut sources, input, &mut errors) {
            Some(file) => read(&sources, file, kind, &mut model, &mut errors),
            None => Outcome::Unreadable,
        };
        complete &= outcome == Outcome::Read;
    }
    let zones = Zones::compile(&model);
    let units = Units::collect(&mut Check { model: &model, errors: &mut errors, complete });
    let versions = take_versions(&mut model);
    let mut kept = Vec::new();
    let found = {
        let mut check = Check { model: &model, errors: &mut errors, complete };
        let tariffs = Tariffs::compile(&mut check, &zones, &units, versions, |versions| match written {
            Written::Kept => kept.push(versions),
            Written::Dropped => {}
        });
        check_bundles(&mut check);
        let hierarchy = check_accounts(&mut check, &tariffs);
        let held = check_endpoints(&mut check, &tariffs);
        let grants = check_grants(&mut check, &hierarchy);
        let found = Found { zones, units, tariffs, hierarchy, held };
        errors.is_empty().then(|| snapshot(&model, &found, grants, version_of(hash)))
    };
    for (tariff, versions) in model.tariffs.values_mut().zip(kept) {
        if let Some(Tariff::Master(master)) = tariff {
            master.versions = versions;
        }
    }
    match found {
        Some(snapshot) => {
            let snapshot = Arc::new(snapshot);
            let currency_places = currency_places(&sources, &model);
            Ok(Loaded { snapshot, hash, model, currency_places, asked: None })
        }
        None => {
            errors.sort();
            Err(Refused { sources, diagnostics: errors })
        }
    }
}

/// Takes over a text. What is not UTF-8 is kept with replacement characters, so that the error can show its place.
pub(crate) fn add(sources: &mut Sources, input: Input, errors: &mut Diagnostics) -> Option<FileId> {
    let Input { name, bytes, .. } = input;
    let (text, broken) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let byte = bytes[at];
            (String::from_utf8_lossy(&bytes).into_owned(), Some((at, byte)))
        }
    };
    let Ok(file) = sources.add(name.clone(), text) else {
        errors.push(Diagnostic::nowhere(Code::Unreadable, format!("{name} is larger than 1 GiB")));
        return None;
    };
    let Some((at, byte)) = broken else { return Some(file) };
    let start = at as u32;
    let span = Span { file, start, end: start + '\u{fffd}'.len_utf8() as u32 };
    errors.push(
        Diagnostic::new(Code::Unreadable, span, format!("{name} is not UTF-8")).label(format!("the byte 0x{byte:02X}")),
    );
    None
}

/// Adds what an input defines to the model.
pub(crate) fn read(
    sources: &Sources,
    file: FileId,
    kind: InputKind,
    model: &mut Model,
    errors: &mut Diagnostics,
) -> Outcome {
    match kind {
        InputKind::EndpointCsv => read_csv(sources, file, &mut model.endpoints, errors),
        InputKind::Yaml => {
            let before = errors.count();
            let mut sections = Sections::begin(model);
            let root = yaml::parse_file(sources, file, errors, &mut sections);
            if root.is_none() && errors.count() > before {
                sections.take_back();
                return Outcome::Unreadable;
            }
            let start = Span { file, start: 0, end: 0 };
            read_file(root.as_ref(), start, sections, errors)
        }
    }
}

/// Takes the versions out of all tariffs, by their positions.
fn take_versions(model: &mut Model) -> Vec<Vec<Version>> {
    let taken = model.tariffs.values_mut().map(|tariff| match tariff {
        Some(Tariff::Master(master)) => std::mem::take(&mut master.versions),
        Some(Tariff::Alias(_)) | None => Vec::new(),
    });
    taken.collect()
}

/// Returns the place of each account's currency.
fn currency_places(sources: &Sources, model: &Model) -> Vec<Box<str>> {
    let place = |span: Span| {
        let at = sources.location(span);
        format!("{}:{}:{}", sources.file(span.file).name(), at.line, at.column).into()
    };
    let accounts = model.accounts.items().iter();
    accounts.map(|account| account.value.as_ref().map_or_else(Box::default, |it| place(it.currency.span))).collect()
}

fn version_of(hash: u64) -> Arc<str> {
    format!("{hash:016x}").into()
}

fn hash_of(inputs: &[Input]) -> u64 {
    let mut hasher = SipHasher13::new();
    for input in inputs {
        hasher.write_u8(match input.kind {
            InputKind::Yaml => 1,
            InputKind::EndpointCsv => 2,
        });
        hasher.write_u64((input.bytes.len() as u64).to_le());
        hasher.write(&input.bytes);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Node, Value};

    const EVERYTHING: &str = include_str!("../tests/data/everything.yaml");

    fn values(node: &Node<'_>, found: &mut Vec<Span>) {
        match &node.value {
            Value::Scalar(_) => found.push(node.span),
            Value::List(items) => items.iter().for_each(|item| values(item, found)),
            Value::Map(entries) => entries.iter().for_each(|entry| values(&entry.value, found)),
            Value::Broken => {}
        }
    }

    fn load_text(text: String) -> Result<Loaded, Refused> {
        load(vec![Input { name: "rating.yaml".into(), bytes: text.into_bytes(), kind: InputKind::Yaml }])
    }

    /// Every value in turn becomes a list of lists, which none of them can be: it has to be refused where it stands.
    #[test]
    fn every_value_broken_in_turn_is_reported_at_its_place() {
        let mut sources = Sources::new();
        let file = sources.add("everything.yaml", EVERYTHING).unwrap();
        let mut found = Vec::new();
        values(&yaml::parse(&sources, file, &mut Diagnostics::new()).unwrap(), &mut found);
        assert!(found.len() > 150, "{}", found.len());
        for span in found {
            let broken = format!("{}[[]]{}", &EVERYTHING[..span.start as usize], &EVERYTHING[span.end as usize..]);
            let value = sources.text(span);
            let line = sources.location(span).line;
            let Err(refused) = load_text(broken) else { panic!("line {line}: {value} may be a list") };
            let is_there = |d: &Diagnostic| d.span.is_some_and(|s| (span.start..span.start + 2).contains(&s.start));
            assert!(refused.diagnostics.iter().any(is_there), "line {line}: {value} is not blamed:\n{refused}");
        }
    }

    fn inputs(texts: &[&str]) -> Vec<Input> {
        let input = |(number, text): (usize, &&str)| Input {
            name: format!("{number}.yaml"),
            bytes: text.as_bytes().to_vec(),
            kind: InputKind::Yaml,
        };
        texts.iter().enumerate().map(input).collect()
    }

    /// Definitions are read before it is known whether their file can be: then none of them may count, and nothing is said of what is wrong
    /// with them.
    #[test]
    fn definitions_of_a_file_that_cannot_be_read_are_taken_back() {
        let account = "accounts: { top: { kind: operator, currency: GBP }, odd: { kind: what } }\n";
        let good = "format: rater/v1\naccounts: { top: { kind: operator, currency: GBP } }\n";
        for (broken, code) in [
            (format!("format: rater/v1\n{account}zones: [\n"), Code::Syntax),
            (format!("{account}zones: {{}}\n"), Code::Format),
            (format!("{account}format: rater/v2\n"), Code::Format),
            (format!("format: rater/v1\n{account}zones: {}\n", "[".repeat(70)), Code::TooDeep),
        ] {
            let refused = load(inputs(&[&broken, good])).expect_err("broken");
            let codes: Vec<Code> = refused.diagnostics.iter().map(|found| found.code).collect();
            assert_eq!(codes, [code], "{broken}\n{refused}");
        }
        let last = format!("{account}format: rater/v1\n").replace(", odd: { kind: what }", "");
        assert_eq!(load(inputs(&[&last])).expect("valid").model.accounts.len(), 1);
    }

    /// A section that is no map is refused, and the others are read all the same.
    #[test]
    fn a_section_given_twice_or_as_a_list_costs_itself_only() {
        let text = "format: rater/v1\nzones: [uk]\naccounts: { top: { kind: operator, currency: GBP }, top: { kind: what } }\naccounts: { x: y }\n";
        let refused = load(inputs(&[text])).expect_err("broken");
        let found: Vec<(Code, &str)> = refused
            .diagnostics
            .iter()
            .map(|found| (found.code, refused.sources.text(found.span.expect("a place"))))
            .collect();
        assert_eq!(found, [(Code::WrongKind, "[uk]"), (Code::DuplicateKey, "top"), (Code::DuplicateKey, "accounts")]);
    }

    #[test]
    fn who_rates_gets_the_same_without_the_prices_as_written() {
        let (kept, dropped) =
            (load_text(EVERYTHING.to_owned()).expect("valid"), load_to_rate(inputs(&[EVERYTHING])).expect("valid"));
        let versions = |loaded: &Loaded| {
            let tariffs = loaded.model.tariffs.values();
            tariffs
                .map(|(_, tariff)| if let Tariff::Master(master) = tariff { master.versions.len() } else { 0 })
                .sum::<usize>()
        };
        assert!(versions(&kept) > 0);
        assert_eq!(versions(&dropped), 0);
        assert_eq!(
            (kept.hash, kept.grants(), kept.model.tariffs.len()),
            (dropped.hash, dropped.grants(), dropped.model.tariffs.len())
        );
    }
}
