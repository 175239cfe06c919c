//! Everything that needs more than one place of reference data.
//!
//! Owns the checks that one definition alone cannot answer: whether names are defined, whether parts agree with each other and over time, and
//! whether every record could be matched to exactly one rate and one endpoint. Each check reports all that it finds and passes over what was
//! reported before. What the checks work out on the way (the hierarchy over time, who held which identity, grants) is handed on to
//! `compile`, so that nothing is worked out twice.

mod account;
mod endpoint;
mod grant;
mod overlap;
mod tariff;
mod units;

pub(crate) use account::{Hierarchy, check_accounts};
pub(crate) use endpoint::{Held, check_endpoints};
pub(crate) use grant::check_grants;
pub(crate) use tariff::{check_bundles, check_tariff};
pub(crate) use units::Units;

use rating::Timestamp;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, closest};
use crate::model::{Catalog, Model, Reference, Spanned};
use crate::read::Thing;

/// A running validation.
pub(crate) struct Check<'m, 'd> {
    pub(crate) model: &'m Model,
    pub(crate) errors: &'d mut Diagnostics,
    /// Whether every file could be read. If not, names that are missing may stand in what could not be read.
    pub(crate) complete: bool,
}

/// Suggestions compare with every name, so they are made only while errors are few and names not too many.
const MAX_SUGGESTIONS: usize = 100;
const MAX_CANDIDATES: usize = 20_000;

impl Check<'_, '_> {
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    /// How many errors there are so far: what is compared before and after tells whether something is flawed.
    pub(crate) fn count(&self) -> usize {
        self.errors.count()
    }

    /// Position of the definition that is meant; reports that there is none.
    pub(crate) fn find<T>(
        &mut self,
        catalog: &Catalog<T>,
        kind: NameKind,
        thing: Thing<'_>,
        name: &Reference,
    ) -> Option<usize> {
        let found = catalog.find(&name.value);
        if found.is_none() && self.complete {
            let (code, kind) = (kind.code(), kind.as_str());
            let suggest = self.errors.count() < MAX_SUGGESTIONS && catalog.len() <= MAX_CANDIDATES;
            let names = catalog.items().iter().map(|item| &*item.name).chain((kind == "zone").then_some("root"));
            let near = if suggest { closest(&name.value, names) } else { None };
            let message = format!("{thing}: {kind} \"{}\" is not defined", name.value);
            let diagnostic = Diagnostic::new(code, name.span, message).label(format!("no {kind} of this name"));
            self.report(diagnostic.did_you_mean(near));
        }
        found
    }

    /// Reports moments that do not ascend strictly, and returns whether all do.
    pub(crate) fn ascending<'t>(
        &mut self,
        thing: Thing<'_>,
        what: &str,
        moments: impl IntoIterator<Item = &'t Spanned<Timestamp>>,
    ) -> bool {
        let mut latest: Option<&Spanned<Timestamp>> = None;
        let mut ascends = true;
        for moment in moments {
            match latest {
                Some(before) if moment.value <= before.value => {
                    ascends = false;
                    let message = format!("{thing}: {what}: {} does not follow {}", moment.value, before.value);
                    let diagnostic = Diagnostic::new(Code::NotAscending, moment.span, message);
                    self.report(diagnostic.label("not later").related(before.span, "than this"));
                }
                Some(_) | None => latest = Some(moment),
            }
        }
        ascends
    }
}

/// What a name can be the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    Zone,
    Tariff,
    Bundle,
    Account,
    Endpoint,
}

impl NameKind {
    fn as_str(self) -> &'static str {
        match self {
            NameKind::Zone => "zone",
            NameKind::Tariff => "tariff",
            NameKind::Bundle => "bundle",
            NameKind::Account => "account",
            NameKind::Endpoint => "endpoint",
        }
    }

    fn code(self) -> Code {
        match self {
            NameKind::Zone => Code::UndefinedZone,
            NameKind::Tariff => Code::UndefinedTariff,
            NameKind::Bundle => Code::UndefinedBundle,
            NameKind::Account => Code::UndefinedAccount,
            NameKind::Endpoint => Code::UndefinedEndpoint,
        }
    }
}
