//! The forms in which errors are shown.

use std::borrow::Cow;
use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::{Code, Diagnostic, Diagnostics};
use crate::source::{Sources, Span};
use crate::visible::visible;

/// Whether escape codes for colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text only, ASCII lines.
    Plain,
    /// With colours of a terminal.
    Coloured,
}

/// One error as a compiler shows it, without a line break at its end. Names and excerpts are [visible].
pub fn render(sources: &Sources, diagnostic: &Diagnostic, style: Style) -> String {
    let title = visible(&diagnostic.message);
    let mut group: Group<'_> = Group::with_title(Level::ERROR.primary_title(title).id(diagnostic.code.number()));
    for snippet in snippets(sources, diagnostic) {
        group = group.element(snippet);
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    renderer.render(&[group])
}

/// Marked lines: one snippet for each place, because places far apart (or in other files) do not share an excerpt.
fn snippets<'a>(
    sources: &'a Sources,
    diagnostic: &'a Diagnostic,
) -> impl Iterator<Item = Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let primary = diagnostic.span.map(|span| (AnnotationKind::Primary, span, &diagnostic.label));
    let related = diagnostic.related.iter().map(|r| (AnnotationKind::Context, r.span, &r.label));
    primary.into_iter().chain(related).map(move |(kind, span, label)| {
        let (excerpt, range) = sources.excerpt(span);
        let label = (!label.is_empty()).then(|| visible(label));
        // Snippets of several lines are folded by the renderer, so their first line carries the mark.
        let end = excerpt.text[range.clone()].find('\n').map_or(range.end, |line| range.start + line);
        Snippet::source(plain(excerpt.text))
            .path(visible(sources.file(span.file).name()))
            .line_start(excerpt.first_line)
            .annotation(kind.span(range.start..end).label(label))
    })
}

/// An excerpt in which marks stand where they stood: the renderer replaces other controls, but not those of two bytes (C1).
fn plain(excerpt: &str) -> Cow<'_, str> {
    match excerpt.contains(|found: char| ('\u{80}'..='\u{9f}').contains(&found)) {
        true => {
            excerpt.chars().map(|found| if ('\u{80}'..='\u{9f}').contains(&found) { '\u{b7}' } else { found }).collect()
        }
        false => Cow::Borrowed(excerpt),
    }
}

/// All errors, a blank line after each, and a last line that counts them.
pub fn render_all(sources: &Sources, diagnostics: &Diagnostics, style: Style) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render(sources, diagnostic, style));
        text.push_str("\n\n");
    }
    match diagnostics.count() {
        0 => text.push_str("no errors\n"),
        1 => text.push_str("1 error\n"),
        many => {
            let _ = writeln!(text, "{many} errors");
        }
    }
    if diagnostics.dropped() > 0 {
        let _ = writeln!(text, "the last {} are not shown", diagnostics.dropped());
    }
    text
}

/// One error for tools: `code, title, message, label?, help?`, its place and `related`. Places have `file`, `line` and `column` (from 1, in
/// characters) and `start` and `end` (bytes).
pub fn to_json(sources: &Sources, diagnostic: &Diagnostic) -> Value {
    let mut object = json!({
        "code": diagnostic.code.number(),
        "title": diagnostic.code.title(),
        "message": diagnostic.message,
    });
    if !diagnostic.label.is_empty() {
        object["label"] = json!(diagnostic.label);
    }
    if let Some(help) = &diagnostic.help {
        object["help"] = json!(help);
    }
    if let Some(span) = diagnostic.span {
        object["at"] = place(sources, span);
    }
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().map(|r| json!({ "at": place(sources, r.span), "label": r.label }));
        object["related"] = related.collect();
    }
    object
}

fn place(sources: &Sources, span: Span) -> Value {
    let at = sources.location(span);
    json!({
        "file": sources.file(span.file).name(),
        "line": at.line,
        "column": at.column,
        "start": span.start,
        "end": span.end,
    })
}

/// What `rater explain R103` shows.
pub fn explain(code: Code) -> String {
    format!("{}: {}\n\n{}\n", code.number(), code.title(), fill(code.explanation(), 100))
}

/// The page `docs/reference-errors.md`.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Errors of reference data\n\nMade from the table in `crates/directory/src/diagnostic/code.rs`; a test keeps the two equal. \
         `rater explain R103` shows the same on the command line.\n",
    );
    for code in Code::ALL {
        let _ = write!(page, "\n## {}: {}\n\n{}\n", code.number(), code.title(), fill(code.explanation(), 140));
    }
    page
}

/// Breaks lines at spaces so that they have at most `width` characters where that is possible.
fn fill(text: &str, width: usize) -> String {
    let mut filled = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            filled.push('\n');
            column = 0;
        } else if column > 0 {
            filled.push(' ');
            column += 1;
        }
        filled.push_str(word);
        column += length;
    }
    filled
}
