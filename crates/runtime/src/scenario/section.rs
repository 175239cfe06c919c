//! The sections of a scenario and the columns of their tables.

use super::value::Kind;

/// What a heading of the second level announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// How the session rates.
    Settings,
    /// Usage records.
    Usage,
    /// Account commands.
    Commands,
    /// The clock moves.
    Tick,
    /// What waits is tried again.
    Recycle,
    /// What is expected.
    Expect(Subject),
}

/// What an expectation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Charges since the last comparison.
    Charges,
    /// What was suspended since the last comparison.
    Suspense,
    /// What bundles hold.
    Allowances,
    /// What accounts have, and how many deltas since the last comparison.
    Balances,
    /// Deltas since the last comparison.
    Deltas,
    /// Notifications since the last comparison.
    Notifications,
    /// Duplicates since the last comparison.
    Duplicates,
}

impl Subject {
    /// The heading.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Charges => "Charges",
            Subject::Suspense => "Suspense",
            Subject::Allowances => "Allowances",
            Subject::Balances => "Balances",
            Subject::Deltas => "Deltas",
            Subject::Notifications => "Notifications",
            Subject::Duplicates => "Duplicates",
        }
    }

    /// The columns that its table may have.
    pub(super) fn columns(self) -> &'static [(&'static str, Kind)] {
        use Kind::{Amount, Draws, Integer, Quantity, Text, Time, Waiver};
        match self {
            Subject::Charges => &[
                ("usage", Text),
                ("source", Text),
                ("level", Integer),
                ("payer", Text),
                ("payer_kind", Text),
                ("payee", Text),
                ("endpoint", Text),
                ("kind", Text),
                ("service", Text),
                ("event_time", Time),
                ("quantity", Quantity),
                ("amount", Amount),
                ("currency", Text),
                ("reason", Text),
                ("covered", Quantity),
                ("uncovered", Quantity),
                ("billable", Quantity),
                ("free", Quantity),
                ("connect", Waiver),
                ("flat", Waiver),
                ("drawn", Draws),
                ("bundle", Text),
                ("waived", Waiver),
                ("tariff", Text),
                ("version", Time),
                ("zone", Text),
                ("balance_after", Amount),
            ],
            Subject::Suspense => &[
                ("usage", Text),
                ("level", Integer),
                ("reason", Text),
                ("detail", Text),
                ("stage", Text),
                ("attempt", Integer),
            ],
            Subject::Allowances => &[
                ("account", Text),
                ("bundle", Text),
                ("instance", Text),
                ("endpoint", Text),
                ("element", Integer),
                ("left", Quantity),
                ("used", Quantity),
                ("state", Text),
                ("payee", Text),
                ("start", Time),
                ("end", Time),
            ],
            Subject::Balances => &[("account", Text), ("balance", Amount), ("deltas", Integer)],
            Subject::Deltas => &[
                ("account", Text),
                ("sequence", Integer),
                ("kind", Text),
                ("amount", Amount),
                ("currency", Text),
                ("balance_after", Amount),
                ("command", Text),
                ("actor", Text),
                ("reason", Text),
                ("effective_time", Time),
            ],
            Subject::Notifications => &[
                ("account", Text),
                ("kind", Text),
                ("threshold", Integer),
                ("usage", Text),
                ("bundle", Text),
                ("instance", Text),
                ("endpoint", Text),
                ("remaining", Quantity),
                ("balance", Amount),
                ("currency", Text),
                ("tariff", Text),
                ("reason", Text),
                ("period_start", Time),
                ("event_time", Time),
            ],
            Subject::Duplicates => &[],
        }
    }

    /// Columns by which rows are told apart where the order of rows means nothing.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Subject::Allowances => &["account", "bundle", "instance", "endpoint", "element"],
            Subject::Balances => &["account"],
            Subject::Charges | Subject::Suspense | Subject::Deltas | Subject::Notifications | Subject::Duplicates => {
                &[]
            }
        }
    }
}

const ALL: [(&str, Section); 12] = [
    ("Settings", Section::Settings),
    ("Usage", Section::Usage),
    ("Commands", Section::Commands),
    ("Tick", Section::Tick),
    ("Recycle", Section::Recycle),
    ("Charges", Section::Expect(Subject::Charges)),
    ("Suspense", Section::Expect(Subject::Suspense)),
    ("Allowances", Section::Expect(Subject::Allowances)),
    ("Balances", Section::Expect(Subject::Balances)),
    ("Deltas", Section::Expect(Subject::Deltas)),
    ("Notifications", Section::Expect(Subject::Notifications)),
    ("Duplicates", Section::Expect(Subject::Duplicates)),
];

impl Section {
    /// The section that a heading announces.
    ///
    /// # Errors
    /// There is none of this name.
    pub(super) fn of(heading: &str) -> Result<Section, String> {
        ALL.iter().find(|(name, _)| *name == heading).map(|(_, section)| *section).ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
            format!("\"{heading}\" is not a section; sections are {}", names.join(", "))
        })
    }
}
