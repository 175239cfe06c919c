//! Endpoints and what changes about them.

use rating::{Mode, Timestamp};

use super::{BEGINNING, Grant, Reference, Spanned};
use crate::source::Span;
use crate::value::Digits;

/// A SIM and its device.
#[derive(Debug)]
pub struct Endpoint {
    /// The customer it belongs to.
    pub customer: Reference,
    /// IMSIs, ICCID and MSISDN, in the order of [`IdentityKind`].
    pub identities: [Identities; 3],
    /// Endpoint group.
    pub group: Group,
    /// First moment at which it is active; none: always.
    pub active: Option<Timestamp>,
    /// Gives it an account of its own.
    pub plan: Option<Box<Plan>>,
    /// Ascending.
    pub changes: Vec<EndpointChange>,
}

/// What a record can name an endpoint by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    /// Of the subscription.
    Imsi,
    /// Of the card.
    Iccid,
    /// The number.
    Msisdn,
}

impl IdentityKind {
    /// All three.
    pub const ALL: [IdentityKind; 3] = [IdentityKind::Imsi, IdentityKind::Iccid, IdentityKind::Msisdn];

    /// As a key.
    pub const fn as_str(self) -> &'static str {
        match self {
            IdentityKind::Imsi => "imsi",
            IdentityKind::Iccid => "iccid",
            IdentityKind::Msisdn => "msisdn",
        }
    }
}

/// Identities of one kind that an endpoint has at a moment. Nearly all have one at most; a SIM of several sponsor operators has several IMSIs.
#[derive(Clone, Debug, Default)]
pub enum Identities {
    /// None.
    #[default]
    None,
    /// One.
    One(Spanned<Digits>),
    /// Several, each once.
    Several(Box<[Spanned<Digits>]>),
}

impl Identities {
    /// All of them, as written.
    pub fn as_slice(&self) -> &[Spanned<Digits>] {
        match self {
            Identities::None => &[],
            Identities::One(one) => std::slice::from_ref(one),
            Identities::Several(several) => several,
        }
    }

    /// Texts of all of them.
    #[cfg(feature = "store")]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.as_slice().iter().map(|identity| identity.value.to_string()).collect()
    }
}

impl From<Vec<Spanned<Digits>>> for Identities {
    fn from(all: Vec<Spanned<Digits>>) -> Identities {
        match all[..] {
            [] => Identities::None,
            [one] => Identities::One(one),
            _ => Identities::Several(all.into()),
        }
    }
}

/// Endpoint group: without one an endpoint cannot be active (rule 7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// `none`
    Without,
    /// `default`
    #[default]
    Default,
    /// Any other name.
    Named(Box<str>),
}

/// An endpoint account (rule 1).
#[derive(Debug)]
pub struct Plan {
    /// The plan as written.
    pub span: Span,
    /// What the customer charges by.
    pub tariff: Option<Reference>,
    /// How the endpoint account pays.
    pub mode: Mode,
    /// Bundles of the endpoint account.
    pub bundles: Vec<Grant>,
}

/// Whether an endpoint may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointStatus {
    /// It may.
    Active,
    /// Its records wait as a whole.
    Inactive,
}

/// What holds from a moment on; what is not given stays as it was. An inner `None` takes a thing away.
#[derive(Debug)]
pub struct EndpointChange {
    /// The change as written.
    pub span: Span,
    /// First moment.
    pub from: Spanned<Timestamp>,
    /// New customer.
    pub customer: Option<Reference>,
    /// New status.
    pub status: Option<EndpointStatus>,
    /// New identities, in the order of [`IdentityKind`].
    pub identities: [Option<Identities>; 3],
    /// New plan.
    pub plan: Option<Option<Box<Plan>>>,
    /// New group.
    pub group: Option<Group>,
}

/// Everything about an endpoint, as of one moment.
#[derive(Clone, Copy, Debug)]
pub struct EndpointState<'m> {
    /// Customer.
    pub customer: &'m Reference,
    /// Status; whether the endpoint is active also depends on the group.
    pub status: EndpointStatus,
    /// IMSIs, ICCID and MSISDN.
    pub identities: [&'m [Spanned<Digits>]; 3],
    /// Plan.
    pub plan: Option<&'m Plan>,
    /// Group.
    pub group: &'m Group,
}

impl EndpointState<'_> {
    /// Active, with an endpoint group (rule 7).
    pub fn is_active(&self) -> bool {
        self.status == EndpointStatus::Active && *self.group != Group::Without
    }
}

impl Endpoint {
    /// Whether one state holds for ever, as for most endpoints.
    pub fn never_changes(&self) -> bool {
        self.active.is_none() && self.changes.is_empty()
    }

    /// All plans that it has at some time, with the instants from which they hold.
    pub(crate) fn plans(&self) -> impl Iterator<Item = (Timestamp, &Plan)> {
        let later =
            self.changes.iter().filter_map(|change| Some((change.from.value, change.plan.as_ref()?.as_deref()?)));
        self.plan.as_deref().map(|plan| (BEGINNING, plan)).into_iter().chain(later)
    }

    /// When a grant of a plan that begins at an instant is due, and what holds then; `None` if it is not that plan.
    pub(crate) fn granted(
        &self,
        start: Timestamp,
        plan: &Plan,
        grant: &Grant,
    ) -> (Timestamp, Option<EndpointState<'_>>) {
        let at = grant.at.map_or(start.max(Timestamp::EPOCH), |at| at.value);
        let states = self.states();
        let state = states.into_iter().rev().find(|(from, _)| *from <= at).map(|(_, state)| state);
        (at, state.filter(|state| state.plan.is_some_and(|held| held.span == plan.span)))
    }

    /// States with their first moments, ascending, the first from the beginning of time. The moment from which the endpoint is active is one
    /// of them.
    pub fn states(&self) -> Vec<(Timestamp, EndpointState<'_>)> {
        let mut state = EndpointState {
            customer: &self.customer,
            status: if self.active.is_some() { EndpointStatus::Inactive } else { EndpointStatus::Active },
            identities: self.identities.each_ref().map(Identities::as_slice),
            plan: self.plan.as_deref(),
            group: &self.group,
        };
        let mut states = Vec::with_capacity(2 + self.changes.len());
        states.push((BEGINNING, state));
        let mut activation = self.active;
        for change in &self.changes {
            if let Some(at) = activation.filter(|at| *at <= change.from.value) {
                activation = None;
                state.status = EndpointStatus::Active;
                if at < change.from.value {
                    states.push((at, state));
                }
            }
            if let Some(customer) = &change.customer {
                state.customer = customer;
            }
            if let Some(status) = change.status {
                state.status = status;
            }
            for (identity, new) in state.identities.iter_mut().zip(&change.identities) {
                if let Some(new) = new {
                    *identity = new.as_slice();
                }
            }
            if let Some(plan) = &change.plan {
                state.plan = plan.as_deref();
            }
            if let Some(group) = &change.group {
                state.group = group;
            }
            states.push((change.from.value, state));
        }
        if let Some(at) = activation {
            state.status = EndpointStatus::Active;
            states.push((at, state));
        }
        states
    }
}
