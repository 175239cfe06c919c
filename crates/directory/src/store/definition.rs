//! Definitions as the store keeps them: one text each, in the form of reference data.
//!
//! Zones, tariffs, bundles and accounts are written from the tree that was read, so that nothing is lost: scalars as the text that
//! stands there, known keys in the order of `read::shape`, keys of the writer's own choosing in theirs. Endpoints are written
//! from the model, which YAML and CSV share (`endpoint_text`). Equal texts mean equal definitions; the converse is not promised (`1000 MB` is not `1 GB`).

use super::endpoint_text::endpoint_text;
use crate::load::{Input, InputKind, add, read};
use crate::model::Model;
use crate::read::Outcome;
use crate::read::shape::{self, Form, Shape};
use crate::source::{Sources, Span};
use crate::yaml::{self, Node, Value};
use crate::{Diagnostics, Refused};
use std::fmt::Write;

/// What can be defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A zone.
    Zone,
    /// A tariff, or an alias of one.
    Tariff,
    /// A bundle.
    Bundle,
    /// An account.
    Account,
    /// An endpoint.
    Endpoint,
}

impl Kind {
    /// All kinds, each behind those that it leans on.
    pub const ALL: [Kind; 5] = [Kind::Zone, Kind::Tariff, Kind::Bundle, Kind::Account, Kind::Endpoint];
    /// Those of which all are read at once.
    pub const CATALOG: [Kind; 4] = [Kind::Zone, Kind::Tariff, Kind::Bundle, Kind::Account];

    /// As people say it, and as the store keeps it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Zone => "zone",
            Kind::Tariff => "tariff",
            Kind::Bundle => "bundle",
            Kind::Account => "account",
            Kind::Endpoint => "endpoint",
        }
    }

    /// The key in a file under which definitions of this kind stand.
    pub const fn section(self) -> &'static str {
        match self {
            Kind::Zone => "zones",
            Kind::Tariff => "tariffs",
            Kind::Bundle => "bundles",
            Kind::Account => "accounts",
            Kind::Endpoint => "endpoints",
        }
    }

    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it defines.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: Box<str>,
    /// A mapping in flow style.
    pub body: Box<str>,
}

/// What files define, read but not validated as a whole.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) model: Model,
    pub(super) definitions: Vec<Definition>,
    pub(super) sources: Sources,
}

/// Reads files.
///
/// # Errors
/// Whatever is wrong in each of them alone.
pub(super) fn read_files(inputs: &[Input]) -> Result<Files, Refused> {
    let mut sources = Sources::new();
    let mut errors = Diagnostics::new();
    let mut model = Model::default();
    let mut definitions = Vec::new();
    for input in inputs {
        let Some(file) = add(&mut sources, input.clone(), &mut errors) else { continue };
        let outcome = read(&sources, file, input.kind, &mut model, &mut errors);
        if outcome == Outcome::Read && input.kind == InputKind::Yaml {
            let tree = yaml::parse(&sources, file, &mut Diagnostics::new());
            catalog_definitions(tree.as_ref(), &mut definitions);
        }
    }
    if !errors.is_empty() {
        errors.sort();
        return Err(Refused { sources, diagnostics: errors });
    }
    definitions.extend(endpoint_definitions(&model));
    Ok(Files { model, definitions, sources })
}

/// Definitions of inputs that were validated; endpoints from their model.
pub(super) fn definitions_of(inputs: &[Input], model: &Model) -> Vec<Definition> {
    let mut definitions = Vec::new();
    for input in inputs.iter().filter(|input| input.kind == InputKind::Yaml) {
        let mut sources = Sources::new();
        let Some(file) = add(&mut sources, input.clone(), &mut Diagnostics::new()) else { continue };
        catalog_definitions(yaml::parse(&sources, file, &mut Diagnostics::new()).as_ref(), &mut definitions);
    }
    definitions.extend(endpoint_definitions(model));
    definitions
}

fn endpoint_definitions(model: &Model) -> impl Iterator<Item = Definition> {
    let body = |name: &str, endpoint| Definition {
        kind: Kind::Endpoint,
        name: Box::from(name),
        body: endpoint_text(endpoint).into_boxed_str(),
    };
    model.endpoints.values().map(move |(name, endpoint)| body(name, endpoint))
}

fn catalog_definitions(root: Option<&Node<'_>>, definitions: &mut Vec<Definition>) {
    let Some(Node { value: Value::Map(sections), .. }) = root else { return };
    for kind in Kind::CATALOG {
        let section = sections.iter().find(|entry| entry.key == kind.section());
        let Some(Value::Map(entries)) = section.map(|section| &section.value.value) else { continue };
        let form = shape::FILE.keys.iter().find(|key| key.name == kind.section()).map(|key| match &key.form {
            Form::Map(inner) => inner,
            other => other,
        });
        definitions.extend(entries.iter().map(|entry| {
            let mut body = String::new();
            write_node(&entry.value, form, &mut body);
            Definition { kind, name: Box::from(&*entry.key), body: body.into_boxed_str() }
        }));
    }
}

/// A file of definitions, in the order given, each on one line.
pub fn file_of(definitions: &[&Definition]) -> String {
    let mut text = String::from("format: rater/v1\n");
    for kind in Kind::ALL {
        let mut of_kind = definitions.iter().filter(|definition| definition.kind == kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        let _ = writeln!(text, "{}:", kind.section());
        for definition in of_kind {
            text.push_str("  ");
            write_scalar(&definition.name, &mut text);
            let _ = writeln!(text, ": {}", definition.body);
        }
    }
    text
}

/// The value under a key of a body, as it stands there; none where there is no such key, or no plain text under it.
pub(super) fn field(body: &str, key: &str) -> Option<String> {
    let mut found = None;
    with_tree(body, |root| {
        let Value::Map(entries) = &root.value else { return };
        let entry = entries.iter().find(|entry| entry.key == key);
        if let Some(Value::Scalar(scalar)) = entry.map(|entry| &entry.value.value) {
            found = Some(scalar.text.clone().into_owned());
        }
    });
    found
}

/// Shows a body as a tree. Bodies are written by this module, so that one which is none is passed over.
pub(super) fn with_tree(body: &str, look: impl FnOnce(&Node<'_>)) {
    let mut sources = Sources::new();
    let Ok(file) = sources.add("", body) else { return };
    if let Some(root) = yaml::parse(&sources, file, &mut Diagnostics::new()) {
        look(&root);
    }
}

/// A node in flow style.
pub(super) fn write_node(node: &Node<'_>, form: Option<&Form>, text: &mut String) {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_null() => text.push('~'),
        Value::Scalar(scalar) => write_scalar(&scalar.text, text),
        Value::List(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                write_node(item, form.and_then(|form| item_form(form)), text);
            }
            text.push(']');
        }
        Value::Map(entries) => {
            let shape = form.and_then(|form| shape_of(form, &|key| entries.iter().any(|entry| entry.key == key)));
            let place = |key: &str| shape.and_then(|shape| shape.keys.iter().position(|known| known.name == key));
            let mut entries: Vec<_> = entries.iter().collect();
            // A stable sort: keys that no shape knows stay as they were, behind the known ones.
            entries.sort_by_key(|entry| place(&entry.key).unwrap_or(usize::MAX));
            text.push('{');
            for (at, entry) in entries.into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                write_scalar(&entry.key, text);
                text.push_str(": ");
                let known = shape.and_then(|shape| shape.keys.iter().find(|known| known.name == entry.key));
                write_node(&entry.value, known.map(|known| &known.form).or(map_form(form)), text);
            }
            text.push('}');
        }
        // Trees of what was validated hold nothing broken.
        Value::Broken => text.push('~'),
    }
}

/// The form of the items of a list.
fn item_form(form: &Form) -> Option<&Form> {
    match form {
        Form::List(inner) => Some(inner),
        Form::OrNothing(inner) => item_form(inner),
        Form::Either(forms) => forms.iter().find_map(item_form),
        _ => None,
    }
}

/// The form of values under keys of the writer's own choosing.
fn map_form(form: Option<&Form>) -> Option<&Form> {
    match form? {
        Form::Map(inner) => Some(inner),
        Form::OrNothing(inner) => map_form(Some(inner)),
        _ => None,
    }
}

/// The shape that a map with these keys has; of several, the one that knows a key that it has to have.
fn shape_of<'f>(form: &'f Form, has: &dyn Fn(&str) -> bool) -> Option<&'f Shape> {
    match form {
        Form::Object(shape) => Some(shape),
        Form::OrNothing(inner) => shape_of(inner, has),
        Form::Either(forms) => {
            let shapes: Vec<&Shape> = forms.iter().filter_map(|form| shape_of(form, has)).collect();
            let knows = |shape: &&&Shape| {
                shape.keys.iter().filter(|key| key.need == shape::Need::Required).all(|key| has(key.name))
            };
            shapes.iter().find(knows).or(shapes.first()).copied()
        }
        _ => None,
    }
}

/// A text as a scalar: plain where no reader could take it for anything else.
pub(super) fn write_scalar(scalar: &str, text: &mut String) {
    if is_plain(scalar) {
        text.push_str(scalar);
        return;
    }
    text.push('"');
    for character in scalar.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control
                if control.is_control() || ('\u{2028}'..='\u{2029}').contains(&control) || control == '\u{feff}' =>
            {
                let _ = write!(text, "\\u{:04X}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

fn is_plain(scalar: &str) -> bool {
    let bytes = scalar.as_bytes();
    let is_inner = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'+' | b':' | b'%' | b' ')
    };
    let is_outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'%');
    is_outer(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| is_inner(*byte))
        && !scalar.contains(": ")
        && !scalar.contains("  ")
        && !matches!(scalar, "null" | "Null" | "NULL")
}

/// Where a file defines something.
pub(super) fn span_of(model: &Model, kind: Kind, name: &str) -> Option<Span> {
    fn find<T>(catalog: &crate::model::Catalog<T>, name: &str) -> Option<Span> {
        catalog.find(name).map(|at| catalog.item(at).span)
    }
    match kind {
        Kind::Zone => find(&model.zones, name),
        Kind::Tariff => find(&model.tariffs, name),
        Kind::Bundle => find(&model.bundles, name),
        Kind::Account => find(&model.accounts, name),
        Kind::Endpoint => find(&model.endpoints, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    const EVERYTHING: &str = include_str!("../../tests/data/everything.yaml");

    fn input(text: &str) -> Input {
        Input { name: "rating.yaml".into(), bytes: text.as_bytes().to_vec(), kind: InputKind::Yaml }
    }

    fn again(text: &str) -> (String, String) {
        let loaded = load(vec![input(text)]).unwrap_or_else(|refused| panic!("{refused}\n{text}"));
        let definitions = definitions_of(&[input(text)], &loaded.model);
        let written = file_of(&definitions.iter().collect::<Vec<_>>());
        (without_places(&format!("{:?}", loaded.model)), written)
    }

    /// The model without the places of its parts.
    fn without_places(model: &str) -> String {
        let mut kept = String::new();
        for (at, part) in model.split("Span { ").enumerate() {
            kept.push_str(if at == 0 { part } else { part.split_once('}').map_or(part, |(_, rest)| rest) });
        }
        kept
    }

    #[test]
    fn nothing_is_lost_on_the_way_to_the_store_and_back() {
        let (model, written) = again(EVERYTHING);
        let (same, fixed) = again(&written);
        assert_eq!(model, same, "{written}");
        assert_eq!(written, fixed);
        assert!(model.len() > 10_000);
    }

    #[test]
    fn texts_that_could_be_something_else_are_quoted() {
        for text in [
            "", "~", "null", "a: b", "x #y", "- a", "é", "a\nb", "\"", "\\", "[a]", "a, b", " a", "a ", "a:", "\u{1}",
            "\u{2028}",
        ] {
            let yaml = format!(
                "format: rater/v1\naccounts: {{ x: {{ kind: operator, currency: GBP, properties: {{ k: {} }} }} }}\n",
                serde_json::Value::from(text)
            );
            let (model, written) = again(&yaml);
            assert_eq!(again(&written).0, model, "{text:?}: {written}");
        }
    }

    #[test]
    fn the_order_of_known_keys_does_not_matter() {
        let one =
            again("format: rater/v1\naccounts: { x: { currency: GBP, kind: operator, properties: { b: 1, a: 2 } } }\n");
        assert!(one.1.contains("x: {kind: operator, currency: GBP, properties: {b: 1, a: 2}}"), "{}", one.1);
    }
}
