//! Reads one YAML document into a tree whose scalars are all text.
//!
//! Numbers stay the text that was written, so that no price ever passes through a float. Deliberately without anchors, tags and several documents:
//! the reference data of tests has none.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// A node of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A plain `~`, `null` or nothing at all.
    Null,
    /// Any other scalar, as written.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of `key`, if this is a mapping that has it and it is not null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.get_or_null(key).filter(|node| **node != Node::Null)
    }

    /// The value of `key`, a null included: some keys give null a meaning.
    pub(super) fn get_or_null(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            Node::Null | Node::Text(_) | Node::List(_) => None,
        }
    }

    /// The text of the scalar under `key`.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::as_text)
    }

    /// The text of a scalar.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            Node::Null | Node::List(_) | Node::Map(_) => None,
        }
    }

    /// The items of a sequence, nothing for anything else.
    pub(super) fn items(&self) -> &[Node] {
        match self {
            Node::List(items) => items,
            Node::Null | Node::Text(_) | Node::Map(_) => &[],
        }
    }

    /// The items of the sequence under `key`, nothing if it is absent.
    pub(super) fn list(&self, key: &str) -> &[Node] {
        self.get(key).map(Node::items).unwrap_or_default()
    }

    /// The entries of the mapping under `key`, nothing if it is absent.
    pub(super) fn entries(&self, key: &str) -> &[(String, Node)] {
        match self.get(key) {
            Some(Node::Map(entries)) => entries,
            _ => &[],
        }
    }
}

/// Reads `text`, one document.
pub(super) fn read(text: &str) -> Result<Node, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = Node::Null;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("yaml: {error}"))?;
        let node = match event {
            Event::Scalar(text, style, _, _) => scalar(&text, style),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Node::List(items),
                Some(Open::Map(entries, _)) => Node::Map(entries),
                None => return Err("yaml: an end without a start".to_owned()),
            },
            Event::Alias(_) => return Err("yaml: aliases are not read here".to_owned()),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        };
        match open.last_mut() {
            None => root = node,
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map(entries, key @ None)) => {
                let name =
                    node.as_text().ok_or_else(|| format!("yaml: line {}: a key that is no text", span.start.line()))?;
                if entries.iter().any(|(known, _)| known == name) {
                    return Err(format!("yaml: line {}: key {name:?} twice", span.start.line()));
                }
                *key = Some(name.to_owned());
            }
            Some(Open::Map(entries, key)) => {
                if let Some(name) = key.take() {
                    entries.push((name, node));
                }
            }
        }
    }
    Ok(root)
}

enum Open {
    List(Vec<Node>),
    Map(Vec<(String, Node)>, Option<String>),
}

fn scalar(text: &str, style: ScalarStyle) -> Node {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null") => Node::Null,
        _ => Node::Text(text.to_owned()),
    }
}
