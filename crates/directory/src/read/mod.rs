//! From nodes to the model.
//!
//! Owns which key means what. Every error is reported where it stands and reading goes on behind it; what is broken is left out, and its
//! owner is marked unsound, so that no later check complains about the consequences. Does not look anything up by name: that is
//! `validate`'s.

mod account;
mod bundle;
mod csv;
mod endpoint;
mod fields;
pub(crate) mod shape;
mod tariff;
mod zone;

pub(crate) use csv::read_csv;
pub(crate) use fields::{Least, Thing, with_article};

use rating::{KeyFilter, MatchKeys};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{Catalog, Item, Model, Reference};
use crate::source::Span;
use crate::value::{self, parse_integer};
use crate::yaml::{Definitions, Entry, Node, Value};
use fields::{Fields, Reader, bad_name};

/// Whether a file could be read; if not, names defined in it are unknown and must not be missed elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Read,
    Unreadable,
}

/// Keys of the sections of a file, in the order in which their errors are reported.
const SECTIONS: &[&str] = &["zones", "tariffs", "bundles", "accounts", "endpoints"];

/// The definitions of a file that is still read: they are in the model, and what is wrong with them is not reported yet. Whoever finds that the
/// file cannot be read takes all of them back.
pub(crate) struct Sections<'m> {
    model: &'m mut Model,
    /// How many definitions there were of each section before.
    before: [usize; SECTIONS.len()],
    errors: [Diagnostics; SECTIONS.len()],
}

impl<'m> Sections<'m> {
    /// Begins a file.
    pub(crate) fn begin(model: &'m mut Model) -> Sections<'m> {
        let Model { zones, tariffs, bundles, accounts, endpoints } = &*model;
        let before = [zones.len(), tariffs.len(), bundles.len(), accounts.len(), endpoints.len()];
        Sections { model, before, errors: Default::default() }
    }

    /// Takes back all definitions of the file, with what is wrong with them.
    pub(crate) fn take_back(self) {
        let [zones, tariffs, bundles, accounts, endpoints] = self.before;
        self.model.zones.truncate(zones);
        self.model.tariffs.truncate(tariffs);
        self.model.bundles.truncate(bundles);
        self.model.accounts.truncate(accounts);
        self.model.endpoints.truncate(endpoints);
    }
}

impl Definitions for Sections<'_> {
    fn sections(&self) -> &'static [&'static str] {
        SECTIONS
    }

    fn take(&mut self, section: usize, definition: &Entry<'_>) {
        let Sections { model, errors, .. } = self;
        let mut reader = Reader::new(&mut errors[section]);
        match SECTIONS[section] {
            "zones" => read_definition(&mut reader, "zone", &mut model.zones, definition, zone::read),
            "tariffs" => read_definition(&mut reader, "tariff", &mut model.tariffs, definition, tariff::read),
            "bundles" => read_definition(&mut reader, "bundle", &mut model.bundles, definition, bundle::read),
            "accounts" => read_definition(&mut reader, "account", &mut model.accounts, definition, account::read),
            _ => read_definition(&mut reader, "endpoint", &mut model.endpoints, definition, endpoint::read),
        }
    }
}

/// Reads what is left of a YAML file whose definitions were taken out. `start` is where the file begins.
pub(crate) fn read_file(
    root: Option<&Node<'_>>,
    start: Span,
    sections: Sections<'_>,
    errors: &mut Diagnostics,
) -> Outcome {
    let thing = Thing { kind: "reference data", name: "" };
    let mut reader = Reader::new(errors);
    let Some(root) = root else {
        let message = format!("{thing}: the key \"format\" of the file is missing");
        reader.report(Diagnostic::new(Code::Format, start, message).help("begin the file with `format: rater/v1`"));
        sections.take_back();
        return Outcome::Unreadable;
    };
    if let Err(()) = check_format(&mut reader, thing, start, root) {
        sections.take_back();
        return Outcome::Unreadable;
    }
    let Some(file) = reader.object(thing, start, root, &shape::FILE) else {
        sections.take_back();
        return Outcome::Unreadable;
    };
    let mut outcome = Outcome::Read;
    for (key, found) in SECTIONS.iter().zip(sections.errors) {
        // The definitions of a section that is a map have been taken out of it.
        if file.get(key).is_some_and(|node| reader.map(thing, key, node).is_none()) {
            outcome = Outcome::Unreadable;
        }
        reader.errors.append(found);
    }
    outcome
}

/// Reads the definition of one endpoint, as it stands behind its name.
///
/// # Errors
/// The first thing that is wrong, with its code and its place in the definition.
#[cfg(feature = "store")]
pub(crate) fn read_endpoint(name: &str, definition: &str) -> Result<crate::model::Endpoint, Flaw> {
    let (mut sources, mut errors) = (crate::source::Sources::new(), Diagnostics::new());
    let file = sources.add(name, definition).map_err(|_| Flaw::new(Code::Unreadable, 0, "it is larger than 1 GiB"))?;
    let node = crate::yaml::parse(&sources, file, &mut errors);
    let endpoint = node.and_then(|value| {
        let entry = Entry { key: name.into(), key_span: Span { file, start: 0, end: 0 }, value };
        let mut reader = Reader::new(&mut errors);
        let endpoint = endpoint::read(&mut reader, Thing { kind: "endpoint", name }, &entry)?;
        (reader.flaws == 0).then_some(endpoint)
    });
    endpoint.ok_or_else(|| match errors.iter().next() {
        Some(first) => Flaw::new(first.code, first.span.map_or(0, |span| span.start), &*first.message),
        None => Flaw::new(Code::Syntax, 0, "there is no definition"),
    })
}

/// What is wrong with one definition.
#[cfg(feature = "store")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) code: Code,
    /// Byte of the definition at which it stands.
    pub(crate) at: u32,
    pub(crate) message: String,
}

#[cfg(feature = "store")]
impl Flaw {
    pub(crate) fn new(code: Code, at: u32, message: impl Into<String>) -> Flaw {
        Flaw { code, at, message: message.into() }
    }
}

/// The format decides how everything else is read, so nothing else is looked at if it is another one.
fn check_format(reader: &mut Reader<'_>, thing: Thing<'_>, start: Span, root: &Node<'_>) -> Result<(), ()> {
    let Value::Map(entries) = &root.value else {
        reader.wrong_kind(thing, "the file", root, "a map");
        return Err(());
    };
    match entries.iter().find(|entry| entry.key == "format").map(|entry| &entry.value) {
        None => {
            let message = format!("{thing}: the key \"format\" of the file is missing");
            reader.report(Diagnostic::new(Code::Format, start, message).help("begin the file with `format: rater/v1`"));
            Err(())
        }
        Some(node) => match &node.value {
            Value::Scalar(scalar) if scalar.text == "rater/v1" => Ok(()),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) | Value::Broken => {
                let message = format!("{thing}: the format of the file is unknown");
                reader.report(
                    Diagnostic::new(Code::Format, node.span, message)
                        .label("not a known format")
                        .help("write `format: rater/v1`"),
                );
                Err(())
            }
        },
    }
}

/// Reads one definition.
fn read_definition<'n, 's, T>(
    reader: &mut Reader<'_>,
    kind: &'static str,
    catalog: &mut Catalog<T>,
    entry: &'n Entry<'s>,
    read: impl Fn(&mut Reader<'_>, Thing<'_>, &'n Entry<'s>) -> Option<T>,
) {
    let thing = Thing { kind, name: &entry.key };
    if !value::is_name(&entry.key) {
        reader.value_error(thing, "name", entry.key_span, bad_name(&entry.key));
    }
    let before = reader.flaws;
    let value = read(reader, thing, entry);
    let sound = reader.flaws == before;
    define(reader, catalog, thing, Item { name: Box::from(&*entry.key), span: entry.key_span, value, sound });
}

/// Adds a definition, unless its name is taken.
fn define<T>(reader: &mut Reader<'_>, catalog: &mut Catalog<T>, thing: Thing<'_>, item: Item<T>) {
    let span = item.span;
    if let Err(first) = catalog.add(item) {
        let diagnostic = Diagnostic::new(Code::DefinedTwice, span, format!("{thing} is defined twice"));
        reader.report(diagnostic.label("again here").related(first, "first here"));
    }
}

/// The service, zone and further keys that rates and elements share. `None` if the service could not be read.
fn usage_match(
    reader: &mut Reader<'_>,
    fields: &Fields<'_, '_, '_>,
) -> Option<(Reference, Option<Reference>, KeyFilter)> {
    let thing = fields.thing;
    let service = fields.get("service").and_then(|node| reader.name(thing, "service", node));
    let zone = fields.get("zone").and_then(|node| reader.name(thing, "zone", node));
    let mut text = |key| fields.get(key).and_then(|node| reader.text(thing, key, node)).map(Box::from);
    let (apn, rat, direction, sponsor) = (text("apn"), text("rat"), text("direction"), text("sponsor"));
    let rating_group = reader.optional(fields, "rating_group", |text| match parse_integer::<i64>(text)? {
        negative if negative < 0 => Err(value::ValueError::new(Code::Negative, format!("{text} is negative"))),
        group => Ok(group),
    });
    let keys = MatchKeys { rating_group: rating_group.map(|group| group.value), apn, rat, direction, sponsor };
    Some((service?, zone, keys.into()))
}

/// A map from texts to texts.
fn texts(reader: &mut Reader<'_>, thing: Thing<'_>, key: &str, node: &Node<'_>) -> Vec<(Box<str>, Box<str>)> {
    let entries = reader.map(thing, key, node).unwrap_or_default();
    let pair = |entry: &Entry<'_>| Some((Box::from(&*entry.key), Box::from(reader.text(thing, key, &entry.value)?)));
    entries.iter().filter_map(pair).collect()
}

/// A list of texts, each once.
fn text_list(reader: &mut Reader<'_>, thing: Thing<'_>, key: &str, node: &Node<'_>) -> Option<Vec<Box<str>>> {
    let mut list: Vec<Box<str>> = Vec::new();
    for item in reader.list(thing, key, node)? {
        let Some(text) = reader.text(thing, key, item) else { continue };
        if list.iter().any(|earlier| **earlier == *text) {
            reader.report(Diagnostic::new(
                Code::ListedTwice,
                item.span,
                format!("{thing}: {key}: \"{text}\" is listed twice"),
            ));
            continue;
        }
        list.push(Box::from(text));
    }
    Some(list)
}
