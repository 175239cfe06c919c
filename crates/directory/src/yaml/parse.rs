//! From events of the YAML parser to nodes.

use std::borrow::Cow;

use hashbrown::HashMap;
use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks};

use super::{Entry, Node, Scalar, Value};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::source::{FileId, Sources, Span};

/// Deepest nesting accepted; the form of reference data needs about ten levels.
const MAX_DEPTH: usize = 64;

/// Takes definitions out of a file while it is read. A tree of a million of them would take many times the memory of what is made of it.
pub(crate) trait Definitions {
    /// The keys of the file whose maps are taken apart.
    fn sections(&self) -> &'static [&'static str];

    /// Takes a definition of a section, given by its position. Whether the rest of the file can be read is not known yet.
    fn take(&mut self, section: usize, definition: &Entry<'_>);
}

/// The only document of a file. `None` if there is none or it could not be read to its end; then an error was reported, except for an empty
/// file.
#[cfg(any(test, feature = "store"))]
pub(crate) fn parse<'s>(sources: &'s Sources, file: FileId, errors: &mut Diagnostics) -> Option<Node<'s>> {
    build(sources, file, errors, None)
}

/// As [`parse`], but for sections of definitions: each definition is given away, and the section is left as an empty map.
pub(crate) fn parse_file<'s>(
    sources: &'s Sources,
    file: FileId,
    errors: &mut Diagnostics,
    definitions: &mut dyn Definitions,
) -> Option<Node<'s>> {
    build(sources, file, errors, Some(definitions))
}

fn build<'s, 'd>(
    sources: &'s Sources,
    file: FileId,
    errors: &'d mut Diagnostics,
    definitions: Option<&'d mut (dyn Definitions + 'd)>,
) -> Option<Node<'s>> {
    let whole = sources.file(file).text();
    // The parser takes NUL for the end of the input, which would drop the rest of the file in silence.
    if let Some(at) = memchr::memchr(0, whole.as_bytes()) {
        let span = Span { file, start: at as u32, end: at as u32 + 1 };
        errors.push(Diagnostic::new(Code::Syntax, span, "the file holds a NUL character").label("not text"));
        return None;
    }
    let body = whole.strip_prefix('\u{feff}').unwrap_or(whole);
    let mut builder = Builder {
        errors,
        definitions,
        places: Places::new(file, body, whole.len() - body.len()),
        open: Vec::new(),
        root: None,
        documents: 0,
        text: body,
        base: whole.len() - body.len(),
    };
    let mut parser = Parser::new_from_str(body);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, marks)) => match builder.event(event, marks) {
                Step::Continue => {}
                Step::Done => break,
                Step::GiveUp => return None,
            },
            Err(error) => {
                builder.syntax(error.marker().index(), error.info());
                return None;
            }
        }
    }
    builder.root
}

enum Step {
    Continue,
    /// All that counts has been read.
    Done,
    /// Reading on makes no sense; the error was reported.
    GiveUp,
}

/// Turns the parser's character positions into bytes. Positions mostly grow, so a cursor beats a table.
struct Places<'s> {
    file: FileId,
    text: &'s str,
    base: usize,
    ascii: bool,
    chars: usize,
    byte: usize,
}

impl<'s> Places<'s> {
    fn new(file: FileId, text: &'s str, base: usize) -> Self {
        Places { file, text, base, ascii: text.is_ascii(), chars: 0, byte: 0 }
    }

    fn byte(&mut self, index: usize) -> u32 {
        if self.ascii {
            return (self.base + index.min(self.text.len())) as u32;
        }
        while self.chars < index {
            let Some(next) = self.text[self.byte..].chars().next() else { break };
            self.chars += 1;
            self.byte += next.len_utf8();
        }
        while self.chars > index {
            let Some(previous) = self.text[..self.byte].chars().next_back() else { break };
            self.chars -= 1;
            self.byte -= previous.len_utf8();
        }
        (self.base + self.byte) as u32
    }

    fn span(&mut self, marks: Marks) -> Span {
        let start = self.byte(marks.start.index());
        let end = self.byte(marks.end.index()).max(start);
        Span { file: self.file, start, end }
    }
}

/// A list or map whose end has not been seen yet.
enum Open<'s> {
    List { span: Span, items: Vec<Node<'s>> },
    Map { span: Span, entries: Entries<'s>, seen: Seen<'s>, key: Option<Key<'s>> },
}

/// The entries of a map so far.
enum Entries<'s> {
    Listed(Vec<Entry<'s>>),
    /// The definitions of a section, by its position: they are given away. Of the first the key's place is left, of the last the value's.
    Given {
        section: usize,
        places: Option<(Span, Span)>,
    },
}

impl<'s> Entries<'s> {
    /// The place of the first key, and that of the last value.
    fn ends(&self) -> Option<(Span, Span)> {
        match self {
            Entries::Listed(entries) => Some((entries.first()?.key_span, entries.last()?.value.span)),
            Entries::Given { places, .. } => *places,
        }
    }

    fn listed(&self) -> Option<&[Entry<'s>]> {
        match self {
            Entries::Listed(entries) => Some(entries),
            Entries::Given { .. } => None,
        }
    }

    fn into_listed(self) -> Vec<Entry<'s>> {
        match self {
            Entries::Listed(entries) => entries,
            Entries::Given { .. } => Vec::new(),
        }
    }
}

struct Key<'s> {
    text: Cow<'s, str>,
    span: Span,
    /// The key was refused, so its value is read and dropped.
    refused: bool,
}

/// Keys of a map so far. Small maps are searched; large ones, and those whose entries are given away, are hashed.
#[derive(Default)]
struct Seen<'s> {
    large: HashMap<Cow<'s, str>, Span, foldhash::fast::RandomState>,
}

impl<'s> Seen<'s> {
    const SMALL: usize = 16;

    fn find(&mut self, entries: &Entries<'s>, key: &str) -> Option<Span> {
        if let Some(entries) = entries.listed() {
            if entries.len() < Self::SMALL {
                return entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_span);
            }
            if self.large.is_empty() {
                self.large.extend(entries.iter().map(|entry| (entry.key.clone(), entry.key_span)));
            }
        }
        self.large.get(key).copied()
    }

    fn is_hashed(&self, entries: &Entries<'s>) -> bool {
        entries.listed().is_none() || !self.large.is_empty()
    }
}

struct Builder<'s, 'd> {
    errors: &'d mut Diagnostics,
    definitions: Option<&'d mut dyn Definitions>,
    places: Places<'s>,
    open: Vec<Open<'s>>,
    root: Option<Node<'s>>,
    documents: usize,
    text: &'s str,
    base: usize,
}

impl<'s> Builder<'s, '_> {
    fn event(&mut self, event: Event<'_>, marks: Marks) -> Step {
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => Step::Continue,
            Event::StreamEnd => Step::Done,
            Event::DocumentStart(_) => self.document(marks),
            Event::Alias(_) => {
                let span = self.places.span(marks);
                self.errors
                    .push(Diagnostic::new(Code::Anchor, span, "an alias of YAML is used").label("write the value out"));
                self.add(Node { span, value: Value::Broken });
                Step::Continue
            }
            Event::Scalar(text, style, anchor, tag) => {
                let span = self.tight_span(marks, style);
                self.refuse_decoration(span, anchor, tag.is_some());
                let text = self.borrow(text, span);
                let quoted = style != ScalarStyle::Plain;
                self.add(Node { span, value: Value::Scalar(Scalar { text, quoted }) });
                Step::Continue
            }
            Event::SequenceStart(anchor, tag) => {
                let span = self.places.span(marks);
                self.refuse_decoration(span, anchor, tag.is_some());
                self.begin(Open::List { span, items: Vec::new() }, span)
            }
            Event::MappingStart(anchor, tag) => {
                let span = self.places.span(marks);
                self.refuse_decoration(span, anchor, tag.is_some());
                let entries = self.entries();
                self.begin(Open::Map { span, entries, seen: Seen::default(), key: None }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let end = self.places.span(marks);
                // A bracket is one byte; the parser's range runs on over blanks and a comment.
                self.finish(Span { end: end.end.min(end.start + 1), ..end });
                Step::Continue
            }
        }
    }

    fn document(&mut self, marks: Marks) -> Step {
        self.documents += 1;
        if self.documents == 1 {
            return Step::Continue;
        }
        let span = self.places.span(marks);
        self.errors.push(
            Diagnostic::new(Code::SeveralDocuments, span, "a second document begins")
                .label("put it into a file of its own"),
        );
        Step::Done
    }

    fn syntax(&mut self, index: usize, info: &str) {
        let start = self.places.byte(index);
        let end = self.places.byte(index.saturating_add(1));
        let span = Span { file: self.places.file, start, end: end.max(start) };
        let (code, message) = match info {
            // The parser looks anchors up itself; an unknown one is no better than a known one.
            info if info.contains("unknown anchor") => (Code::Anchor, "an alias of YAML is used".to_owned()),
            info => (Code::Syntax, format!("the file is not well-formed YAML: {info}")),
        };
        self.errors.push(Diagnostic::new(code, span, message));
    }

    fn refuse_decoration(&mut self, span: Span, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.errors.push(Diagnostic::new(Code::Anchor, span, "an anchor of YAML is used").label("has an anchor"));
        }
        if tagged {
            self.errors.push(Diagnostic::new(Code::Tag, span, "a tag of YAML is used").label("has a tag"));
        }
    }

    /// The parser's range of a quoted scalar includes the blanks and the comment behind it; this one ends with the quote.
    fn tight_span(&mut self, marks: Marks, style: ScalarStyle) -> Span {
        let span = self.places.span(marks);
        let from = span.start as usize - self.base;
        let Some(source) = self.text.get(from..span.end as usize - self.base) else { return span };
        let bytes = source.as_bytes();
        let length = match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                let quote = bytes.first().copied().unwrap_or_default();
                let mut at = 1;
                loop {
                    match bytes.get(at) {
                        Some(b'\\') if quote == b'"' => at += 2,
                        Some(b) if *b == quote && quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 2,
                        Some(b) if *b == quote => break at + 1,
                        Some(_) => at += 1,
                        None => break source.len(),
                    }
                }
            }
            ScalarStyle::Plain | ScalarStyle::Literal | ScalarStyle::Folded => source.trim_end().len(),
        };
        Span { end: span.start + length as u32, ..span }
    }

    /// The parser hands out copies; nearly always they equal the source, which then is borrowed instead.
    fn borrow(&self, text: Cow<'_, str>, span: Span) -> Cow<'s, str> {
        let within = |at: u32| (at as usize).saturating_sub(self.base);
        let unquoted = self.text.get(within(span.start)..within(span.end));
        let quoted = self.text.get(within(span.start) + 1..within(span.end).saturating_sub(1));
        match (unquoted, quoted) {
            (Some(source), _) if source == text => Cow::Borrowed(source),
            (_, Some(source)) if source == text => Cow::Borrowed(source),
            _ => Cow::Owned(text.into_owned()),
        }
    }

    /// The entries of a map that begins: definitions, if it is the value of a section's key.
    fn entries(&self) -> Entries<'s> {
        let section = match (&self.definitions, &*self.open) {
            (Some(definitions), [Open::Map { key: Some(Key { text, refused: false, .. }), .. }]) => {
                definitions.sections().iter().position(|section| **section == **text)
            }
            _ => None,
        };
        section.map_or(Entries::Listed(Vec::new()), |section| Entries::Given { section, places: None })
    }

    fn begin(&mut self, open: Open<'s>, span: Span) -> Step {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} levels deep");
            self.errors.push(Diagnostic::new(Code::TooDeep, span, message));
            return Step::GiveUp;
        }
        self.open.push(open);
        Step::Continue
    }

    /// Closes the innermost list or map. A block ends where its last part ends, not where the next token begins.
    fn finish(&mut self, end: Span) {
        let node = match self.open.pop() {
            Some(Open::List { span, items }) => {
                let last = if end.start == end.end { items.last().map(|item| item.span) } else { Some(end) };
                Node { span: last.map_or(span, |last| span.to(last)), value: Value::List(items) }
            }
            Some(Open::Map { span, entries, .. }) => {
                let ends = entries.ends();
                let (first, last) = match ends.filter(|_| end.start == end.end) {
                    Some((first, last)) => (first, Some(last)),
                    None => (span, (end.start != end.end).then_some(end)),
                };
                let value = Value::Map(entries.into_listed());
                Node { span: last.map_or(first, |last| first.to(last)), value }
            }
            None => return,
        };
        self.add(node);
    }

    fn add(&mut self, node: Node<'s>) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, seen, key, .. }) => match key.take() {
                None => *key = Some(accept_key(node, entries, seen, self.errors)),
                Some(key) if key.refused => {}
                Some(Key { text, span, .. }) => {
                    if seen.is_hashed(entries) {
                        seen.large.insert(text.clone(), span);
                    }
                    let entry = Entry { key: text, key_span: span, value: node };
                    match (entries, &mut self.definitions) {
                        (Entries::Given { section, places }, Some(definitions)) => {
                            let first = places.map_or(span, |(first, _)| first);
                            *places = Some((first, entry.value.span));
                            definitions.take(*section, &entry);
                        }
                        (Entries::Listed(entries), _) => entries.push(entry),
                        (Entries::Given { .. }, None) => unreachable!("only definitions are given away"),
                    }
                }
            },
        }
    }
}

fn accept_key<'s>(node: Node<'s>, entries: &Entries<'s>, seen: &mut Seen<'s>, errors: &mut Diagnostics) -> Key<'s> {
    let span = node.span;
    let Value::Scalar(Scalar { text, .. }) = node.value else {
        if !matches!(node.value, Value::Broken) {
            errors.push(Diagnostic::new(
                Code::KeyNotText,
                span,
                format!("{} stands where a key is expected", node.kind()),
            ));
        }
        return Key { text: Cow::Borrowed(""), span, refused: true };
    };
    let first = seen.find(entries, &text);
    if let Some(first) = first {
        let message = format!("the key \"{text}\" is given twice");
        errors
            .push(Diagnostic::new(Code::DuplicateKey, span, message).label("again here").related(first, "first here"));
    }
    Key { text, span, refused: first.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, check: impl FnOnce(Option<&Node<'_>>, &Sources, &[Code])) {
        let mut sources = Sources::new();
        let file = sources.add("test.yaml", text).unwrap();
        let mut errors = Diagnostics::new();
        let node = parse(&sources, file, &mut errors);
        let codes: Vec<Code> = errors.iter().map(|d| d.code).collect();
        check(node.as_ref(), &sources, &codes);
    }

    fn entries<'n, 's>(node: Option<&'n Node<'s>>) -> &'n [Entry<'s>] {
        match &node.unwrap().value {
            Value::Map(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_text_and_place() {
        read("ü: 010\nb: { c: '0.10', d: \"1e3\" } # it's \"so\"\n", |node, sources, codes| {
            assert!(codes.is_empty());
            let map = entries(node);
            assert_eq!(sources.text(map[0].key_span), "ü");
            assert_eq!(sources.text(map[0].value.span), "010");
            assert_eq!(sources.text(map[1].value.span), "{ c: '0.10', d: \"1e3\" }");
            let inner = entries(Some(&map[1].value));
            assert_eq!(sources.text(inner[1].value.span), "\"1e3\"");
            assert!(matches!(&inner[0].value.value, Value::Scalar(s) if s.text == "0.10" && s.quoted));
            assert!(matches!(&inner[1].value.value, Value::Scalar(s) if matches!(s.text, Cow::Borrowed("1e3"))));
        });
    }

    #[test]
    fn blocks_end_where_their_last_part_ends() {
        read("a:\n  b: 1\n  c:\n    - x\n    - y\n\n\nd: 2\n", |node, sources, _| {
            let map = entries(node);
            assert_eq!(sources.text(map[0].value.span), "b: 1\n  c:\n    - x\n    - y");
        });
    }

    #[test]
    fn what_is_refused() {
        for (text, code) in [
            ("a: &x 1\n", Code::Anchor),
            ("a: *x\n", Code::Anchor),
            ("a: !t 1\n", Code::Tag),
            ("a: 1\na: 2\n", Code::DuplicateKey),
            ("a: 1\n---\nb: 2\n", Code::SeveralDocuments),
            ("[a]: 1\n", Code::KeyNotText),
            ("a: [1\n", Code::Syntax),
            ("a: 1\0b: 2\n", Code::Syntax),
            (&"[".repeat(100), Code::TooDeep),
            (&"- ".repeat(100), Code::TooDeep),
        ] {
            read(text, |_, _, codes| assert_eq!(codes, [code], "{text:?}"));
        }
        let many: String = (0..40).map(|n| format!("k{n}: 1\n")).chain(["k7: 2\n".to_owned()]).collect();
        read(&many, |node, _, codes| {
            assert_eq!(codes, [Code::DuplicateKey]);
            assert_eq!(entries(node).len(), 40);
        });
        read("", |node, _, codes| assert!(node.is_none() && codes.is_empty()));
    }
}
