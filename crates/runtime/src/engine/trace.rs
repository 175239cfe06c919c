//! What a leg could have drawn from and been priced by, and why it was not (rule 28): for explanations, never on the way of a batch.

use super::take::take;
use super::{BatchInput, Engine};
use directory::Needs;
use directory::snapshot::LineageEdge;
use pipeline::{Taken, guide};
use rating::Amount;
use rating::draw;
use rating::{KeyFilter, Leg, MatchKeys, Timestamp, UsageMatch, UsageRecord};

/// Everything that was looked at for one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegTrace {
    /// Level of the edge.
    pub level: u8,
    /// Who pays.
    pub payer: String,
    /// Who charges.
    pub payee: String,
    /// Network of the use, if it is known.
    pub network: Option<String>,
    /// Bundles of the payer, in no particular order.
    pub bundles: Vec<BundleCandidate>,
    /// The tariff and the start of its version in force; `None` without a tariff or without a version.
    pub tariff: Option<(String, Timestamp)>,
    /// Rates of that version for the service, in the order written.
    pub rates: Vec<RateCandidate>,
}

/// An element of a bundle instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleCandidate {
    /// The bundle.
    pub bundle: String,
    /// The instance.
    pub instance: String,
    /// Position of the element.
    pub element: usize,
    /// Units left before the record; `None` is unlimited.
    pub left: Option<u64>,
    /// Why it is not drawn from; `None` if it may be.
    pub rejected: Option<&'static str>,
}

/// A rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCandidate {
    /// The zone.
    pub zone: String,
    /// Further keys, as written.
    pub keys: String,
    /// Why it does not price the record; `None` for the one that does.
    pub rejected: Option<String>,
}

impl Engine {
    /// Looks at a record of a batch as it would be rated now. `None` if it has no legs, or the directory cannot answer.
    pub fn trace(&self, batch: BatchInput<'_>, position: usize) -> Option<Vec<LegTrace>> {
        let Taken::Usage(intaken) = take(batch, position, &self.rules) else { return None };
        let mut needs = Needs::default();
        needs.add_record(&intaken.record);
        let snapshot = self.directory.snapshot_for(&needs).ok()?;
        let legs = guide(&intaken, &snapshot, self.duplicates.state_horizon()).ok()?.legs();
        let lineage = snapshot.lineage_for(&intaken.record).ok()?;
        Some(legs.zip(lineage.edges()).map(|(leg, step)| self.trace_leg(&leg, step)).collect())
    }

    fn trace_leg(&self, leg: &Leg<'_>, step: &LineageEdge) -> LegTrace {
        let version = step.tariff().and_then(|tariff| Some((tariff, tariff.version_at(leg.usage.event_time)?)));
        let chosen = step.tariff().and_then(|tariff| tariff.rate_for(leg.usage));
        let rates = version.map_or(&[][..], |(_, version)| version.rates()).iter();
        let rates = rates.filter(|rate| rate.spec.applies.service == leg.usage.service).map(|rate| {
            let is_chosen = chosen.is_some_and(|chosen| std::ptr::eq(chosen, &**rate));
            RateCandidate {
                zone: rate.spec.applies.zone.name().to_string(),
                keys: keys_text(&rate.spec.applies.keys),
                rejected: (!is_chosen).then(|| rejection(&rate.spec.applies, leg.usage)),
            }
        });
        LegTrace {
            level: leg.edge.level,
            payer: leg.edge.payer.to_string(),
            payee: leg.edge.payee.to_string(),
            network: leg.usage.network.map(|network| network.to_string()),
            bundles: self.bundles(leg),
            tariff: version.map(|(tariff, version)| (tariff.id().to_string(), version.from())),
            rates: rates.collect(),
        }
    }

    fn bundles(&self, leg: &Leg<'_>) -> Vec<BundleCandidate> {
        let state = self.state_of(&leg.edge.payer);
        let balance = state.known_account(&leg.edge.payer).map_or(Amount::ZERO, |account| state.head(account).balance);
        let instances = draw::instances(state, &leg.edge.payer, leg.endpoint).into_iter();
        let elements = instances
            .flat_map(|instance| (0..instance.template.elements.len()).map(move |element| (instance, element)));
        let candidate = |(instance, element): (&rating::Instance, usize)| BundleCandidate {
            bundle: instance.template.id.to_string(),
            instance: instance.id.to_string(),
            element,
            left: instance.left(element),
            rejected: draw::rejection(leg, balance, instance, element).map(draw::Rejection::text),
        };
        elements.map(candidate).collect()
    }
}

fn rejection(applies: &UsageMatch, usage: &UsageRecord) -> String {
    if applies.specificity(usage).is_some() {
        return "less specific".to_owned();
    }
    if !applies.zone.holds_network(usage.network) {
        return usage.network.map_or("no network is known".to_owned(), |at| format!("does not hold {at}"));
    }
    if applies.zone.prefix_length(usage.destination.as_deref()).is_none() {
        let called = usage.destination.as_deref().unwrap_or("nothing");
        return format!("no prefix of {called}");
    }
    "another key".to_owned()
}

fn keys_text(keys: &KeyFilter) -> String {
    let MatchKeys { rating_group, apn, rat, direction, sponsor } = &**keys;
    let texts = [("apn", apn), ("rat", rat), ("direction", direction), ("sponsor", sponsor)];
    let group = rating_group.map(|group| format!("rating_group {group}"));
    let others = texts.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")));
    group.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}
