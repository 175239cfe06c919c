//! Reading of zones.

use super::fields::{Reader, Thing};
use super::shape;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Spanned, Zone};
use crate::value::{ValueError, parse_network, parse_prefix};
use crate::yaml::{Entry, Node};

pub(super) fn read(reader: &mut Reader<'_>, thing: Thing<'_>, entry: &Entry<'_>) -> Option<Zone> {
    if entry.key == "root" {
        let diagnostic =
            Diagnostic::new(Code::ReservedZone, entry.key_span, format!("{thing} is built in and cannot be defined"));
        reader.report(diagnostic);
        return None;
    }
    let fields = reader.object(thing, entry.key_span, &entry.value, &shape::ZONE)?;
    let before = reader.flaws;
    let networks =
        fields.get("networks").map(|node| each(reader, thing, "networks", node, parse_network)).unwrap_or_default();
    let to = fields.get("to").map(|node| each(reader, thing, "to", node, parse_prefix)).unwrap_or_default();
    if reader.flaws != before {
        return None;
    }
    if networks.is_empty() && to.is_empty() {
        let diagnostic = Diagnostic::new(Code::EmptyZone, entry.key_span, format!("{thing} matches nothing"));
        reader.report(diagnostic.help("give it `networks`, `to` or both"));
        return None;
    }
    Some(Zone { networks, to })
}

/// Entries of a list, each once.
pub(super) fn each<T: PartialEq>(
    reader: &mut Reader<'_>,
    thing: Thing<'_>,
    key: &str,
    node: &Node<'_>,
    parse: impl Fn(&str) -> Result<T, ValueError>,
) -> Vec<Spanned<T>> {
    let mut all: Vec<Spanned<T>> = Vec::new();
    for item in reader.full_list(thing, key, node).unwrap_or_default() {
        let Some(value) = reader.value(thing, key, item, &parse) else { continue };
        if let Some(first) = all.iter().find(|earlier| earlier.value == value.value) {
            let diagnostic =
                Diagnostic::new(Code::ListedTwice, value.span, format!("{thing}: {key}: an entry is listed twice"));
            reader.report(diagnostic.label("again here").related(first.span, "first here"));
            continue;
        }
        all.push(value);
    }
    all
}
