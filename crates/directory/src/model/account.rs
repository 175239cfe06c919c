//! Accounts and what changes about them.

use rating::{AccountKind, Currency, Mode, Status, TimeZone, Timestamp};

use super::{BEGINNING, Grant, Reference, Spanned};
use crate::source::Span;

/// A node of the hierarchy.
#[derive(Debug)]
pub struct Account {
    /// Operator, reseller or customer.
    pub kind: Spanned<AccountKind>,
    /// Fixed for ever (rule 8).
    pub currency: Spanned<Currency>,
    /// Prepaid or postpaid.
    pub mode: Mode,
    /// Calendar of months and lengths.
    pub time_zone: TimeZone,
    /// What holds before the first change.
    pub parent: Option<Reference>,
    /// What the parent charges by.
    pub tariff: Option<Reference>,
    /// What direct customers without a tariff are charged by.
    pub default_customer_tariff: Option<Reference>,
    /// Whether use is charged.
    pub status: Status,
    /// Sponsors that may be used; none: any.
    pub sponsors: Option<Vec<Box<str>>>,
    /// Subscription types that may be used; none: any.
    pub subscription_types: Option<Vec<Box<str>>>,
    /// Custom properties and external references.
    pub properties: Properties,
    /// Bundles.
    pub bundles: Vec<Grant>,
    /// Ascending.
    pub changes: Vec<AccountChange>,
}

/// Custom properties in the order written.
pub type Properties = Vec<(Box<str>, Box<str>)>;

/// What holds from a moment on; what is not given stays as it was. An inner `None` takes a thing away.
#[derive(Debug)]
pub struct AccountChange {
    /// The change as written.
    pub span: Span,
    /// First moment.
    pub from: Spanned<Timestamp>,
    /// New parent.
    pub parent: Option<Reference>,
    /// New tariff.
    pub tariff: Option<Option<Reference>>,
    /// New default for customers.
    pub default_customer_tariff: Option<Option<Reference>>,
    /// New status.
    pub status: Option<Spanned<Status>>,
    /// New sponsors.
    pub sponsors: Option<Option<Vec<Box<str>>>>,
    /// New subscription types.
    pub subscription_types: Option<Option<Vec<Box<str>>>>,
    /// New properties, in place of all earlier ones.
    pub properties: Option<Properties>,
}

/// Everything about an account that can change, as of one moment.
#[derive(Clone, Copy, Debug)]
pub struct AccountState<'m> {
    /// Parent.
    pub parent: Option<&'m Reference>,
    /// Tariff.
    pub tariff: Option<&'m Reference>,
    /// Default for customers.
    pub default_customer_tariff: Option<&'m Reference>,
    /// Status.
    pub status: Status,
    /// Sponsors.
    pub sponsors: Option<&'m [Box<str>]>,
    /// Subscription types.
    pub subscription_types: Option<&'m [Box<str>]>,
    /// Properties.
    pub properties: &'m Properties,
}

impl Account {
    /// States with their first moments, ascending, the first from the beginning of time.
    pub fn states(&self) -> Vec<(Timestamp, AccountState<'_>)> {
        let mut state = AccountState {
            parent: self.parent.as_ref(),
            tariff: self.tariff.as_ref(),
            default_customer_tariff: self.default_customer_tariff.as_ref(),
            status: self.status,
            sponsors: self.sponsors.as_deref(),
            subscription_types: self.subscription_types.as_deref(),
            properties: &self.properties,
        };
        let mut states = Vec::with_capacity(1 + self.changes.len());
        states.push((BEGINNING, state));
        for change in &self.changes {
            if let Some(parent) = &change.parent {
                state.parent = Some(parent);
            }
            if let Some(tariff) = &change.tariff {
                state.tariff = tariff.as_ref();
            }
            if let Some(tariff) = &change.default_customer_tariff {
                state.default_customer_tariff = tariff.as_ref();
            }
            if let Some(status) = change.status {
                state.status = status.value;
            }
            if let Some(sponsors) = &change.sponsors {
                state.sponsors = sponsors.as_deref();
            }
            if let Some(types) = &change.subscription_types {
                state.subscription_types = types.as_deref();
            }
            if let Some(properties) = &change.properties {
                state.properties = properties;
            }
            states.push((change.from.value, state));
        }
        states
    }
}
