//! Reference data as written, typed, with the place of everything that can still turn out wrong.
//!
//! Owns the shapes between reading and compiling. A value in here is well-formed in itself; whether names are defined and parts agree is what
//! `validate` finds out. Quantities are base units already, prices exact decimals. References are names: nothing here is an index.

mod account;
mod bundle;
mod catalog;
mod endpoint;
mod tariff;
mod zone;

pub use account::{Account, AccountChange, AccountState, Properties};
pub use bundle::{Bundle, Element, Grant};
pub use catalog::{Catalog, Item};
pub use endpoint::{Endpoint, EndpointChange, EndpointState, EndpointStatus, Group, Identities, IdentityKind, Plan};
pub use tariff::{Alias, Band, BandTime, Markup, Master, Price, Pricing, Rate, Tariff, Tier, Version, WrittenMarkup};
pub use zone::Zone;

use rating::KeyFilter;

use crate::source::Span;

/// Before everything: the first moment of what holds until the first change.
pub(crate) const BEGINNING: rating::Timestamp = rating::Timestamp::from_millis(i64::MIN);

/// A value and where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

/// The name of something defined elsewhere.
pub type Reference = Spanned<Box<str>>;

/// Whether one record could satisfy both (rule 9).
pub(crate) fn compatible(a: &KeyFilter, b: &KeyFilter) -> bool {
    a.is_compatible(b)
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Model {
    /// Without the built-in `root`.
    pub zones: Catalog<Zone>,
    /// Masters and aliases.
    pub tariffs: Catalog<Tariff>,
    /// Templates.
    pub bundles: Catalog<Bundle>,
    /// The hierarchy.
    pub accounts: Catalog<Account>,
    /// SIMs, from YAML and CSV.
    pub endpoints: Catalog<Endpoint>,
}
