//! What is wrong with reference data, and where.
//!
//! Owns [`Diagnostic`], the list they are collected in, and their three forms: for people (as compilers show them), JSON for tools, and the
//! explanation of a code. Every error is collected; nothing stops at the first. Deliberately has no warnings: what is accepted is
//! accepted without reservation.

mod code;
mod render;
mod suggest;

pub use code::Code;
pub use render::{explain, reference_page, render, render_all, to_json};
pub(crate) use suggest::closest;

use crate::source::{Sources, Span};

/// A further place that belongs to an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What is there, in a few words.
    pub label: String,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable number.
    pub code: Code,
    /// What is wrong: lower-case, without full stop, naming the thing.
    pub message: String,
    /// Where; none for what is missing as a whole.
    pub span: Option<Span>,
    /// A few words at the marked place; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places, such as the first of two definitions.
    pub related: Vec<Related>,
}

impl Diagnostic {
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            help: None,
            related: Vec::new(),
        }
    }

    pub(crate) fn nowhere(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { code, message: message.into(), span: None, label: String::new(), help: None, related: Vec::new() }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds "did you mean", if something is near.
    pub(crate) fn did_you_mean(self, near: Option<&str>) -> Self {
        match near {
            Some(near) => self.help(format!("did you mean \"{near}\"?")),
            None => self,
        }
    }

    pub(crate) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Related { span, label: label.into() });
        self
    }
}

/// Most errors kept of one load. A file of a million wrong lines is wrong in one way; the rest is only counted.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// The errors of one load, in the order of files and lines once sorted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    dropped: usize,
}

impl Diagnostics {
    /// No errors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; beyond [`MAX_DIAGNOSTICS`] it is only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds those of another list, behind these.
    pub(crate) fn append(&mut self, others: Diagnostics) {
        others.list.into_iter().for_each(|diagnostic| self.push(diagnostic));
        self.dropped += others.dropped;
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many errors there are, including those that were only counted.
    pub fn count(&self) -> usize {
        self.list.len() + self.dropped
    }

    /// How many were only counted.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// The errors kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Orders by file and place; what has no place comes last.
    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|d| (d.span.is_none(), d.span.map(|s| (s.file, s.start, s.end)), d.code));
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Errors together with the texts they point into: what a failed load returns.
#[derive(Debug)]
pub struct Refused {
    /// The files.
    pub sources: Sources,
    /// Everything that is wrong with them; never empty.
    pub diagnostics: Diagnostics,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&render_all(&self.sources, &self.diagnostics, render::Style::Plain))
    }
}

impl std::error::Error for Refused {}
pub use render::Style;
