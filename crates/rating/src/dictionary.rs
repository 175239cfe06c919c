//! Bundle templates and zones, each kept once however many instances were bought of it, and addressed by what it says.
//!
//! An entry is written down before the first instance that names it, and with every cycle after that; it leaves when nothing names it any more. So
//! its table knows no changes: whether an entry was written is all that has to be undone.

use crate::bundle::{BundleScope, BundleTemplate, Element, ElementClass, Starts};
use crate::calendar::Length;
use crate::matching::{MatchKeys, UsageMatch};
use crate::table::Table;
use crate::zone::Zone;
use hashbrown::HashMap;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

/// Names a template or a zone by its content.
pub type Address = u128;

/// A template with its place in the dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTemplate {
    /// Where it stands.
    pub address: Address,
    /// Where the zones of its elements stand, element by element.
    pub zones: Box<[Address]>,
    template: BundleTemplate,
}

impl KnownTemplate {
    /// A template that was written down, whose zones are still to be found.
    pub fn restored(address: Address, zones: Box<[Address]>, template: BundleTemplate) -> KnownTemplate {
        KnownTemplate { address, zones, template }
    }

    /// Stands for a template that has not been read yet.
    fn awaited(address: Address) -> KnownTemplate {
        let template = BundleTemplate {
            id: Arc::from(""),
            currency: crate::id::Currency::NONE,
            fee: None,
            starts: Starts::Date,
            lasts: None,
            scope: BundleScope::Customer,
            promotional: false,
            warn_at: Box::default(),
            elements: Box::default(),
        };
        KnownTemplate { address, zones: Box::default(), template }
    }
}

impl Deref for KnownTemplate {
    type Target = BundleTemplate;

    fn deref(&self) -> &BundleTemplate {
        &self.template
    }
}

/// The templates and zones that the instances of a shard name.
#[derive(Debug, Default)]
pub struct Dictionary {
    pub(crate) zones: Table<Address, Arc<Zone>>,
    pub(crate) templates: Table<Address, Arc<KnownTemplate>>,
    /// What instances name that was restored before its template.
    awaited: HashMap<Address, Arc<KnownTemplate>>,
}

impl Dictionary {
    pub(crate) fn allow_undo(&mut self) {
        self.zones.allow_undo();
        self.templates.allow_undo();
    }

    /// The entry of a template, made where there is none.
    pub fn template(&mut self, template: &BundleTemplate) -> Arc<KnownTemplate> {
        let mut address = address_of_template(template);
        // Should two contents ever have one address, the later one goes to the next.
        while let Some(known) = self.templates.get(&address) {
            if known.template == *template {
                return known.clone();
            }
            address = address.wrapping_add(1);
        }
        let zones = template.elements.iter().map(|element| self.zone(&element.applies.zone)).collect::<Vec<_>>();
        let elements = template.elements.iter().zip(&zones).map(|(element, (_, zone))| Element {
            applies: UsageMatch { zone: zone.clone(), ..element.applies.clone() },
            ..element.clone()
        });
        let own = BundleTemplate { elements: elements.collect(), ..template.clone() };
        let zones = zones.iter().map(|(address, _)| *address).collect();
        let known = Arc::new(KnownTemplate { address, zones, template: own });
        self.templates.restore(&address, Some(known.clone()), 0);
        known
    }

    fn zone(&mut self, zone: &Zone) -> (Address, Arc<Zone>) {
        let mut address = address_of_zone(zone);
        while let Some(known) = self.zones.get(&address) {
            if **known == *zone {
                return (address, known.clone());
            }
            address = address.wrapping_add(1);
        }
        let known = Arc::new(zone.clone());
        self.zones.restore(&address, Some(known.clone()), 0);
        (address, known)
    }

    /// Puts back a zone that was written down, or that it is gone.
    pub fn restore_zone(&mut self, address: Address, zone: Option<Zone>, cycle: u32) {
        self.zones.restore(&address, zone.map(Arc::new), cycle);
    }

    /// Puts back a template that was written down, or that it is gone.
    pub fn restore_template(&mut self, address: Address, template: Option<KnownTemplate>, cycle: u32) {
        self.templates.restore(&address, template.map(Arc::new), cycle);
    }

    /// Stands for a template until [`Dictionary::find_zones`] and [`Dictionary::find`] have found it.
    pub fn awaited(&mut self, address: Address) -> Arc<KnownTemplate> {
        self.awaited.entry(address).or_insert_with(|| Arc::new(KnownTemplate::awaited(address))).clone()
    }

    /// Gives every template that was restored its zones.
    ///
    /// # Errors
    /// A zone that is not there.
    pub(crate) fn find_zones(&mut self) -> Result<(), Address> {
        let places: Vec<_> = self.templates.iter().map(|(place, ..)| place).collect();
        for place in places {
            let Some(known) = self.templates.at_mut(place) else { continue };
            let known = Arc::make_mut(known);
            for (element, address) in known.template.elements.iter_mut().zip(&known.zones) {
                element.applies.zone = self.zones.get(address).ok_or(*address)?.clone();
            }
        }
        Ok(())
    }

    /// The template that stood for another one.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn find(&self, awaited: &KnownTemplate) -> Result<Arc<KnownTemplate>, Address> {
        self.templates.get(&awaited.address).cloned().ok_or(awaited.address)
    }

    /// Everything that was awaited has been found.
    pub(crate) fn end_waiting(&mut self) {
        self.awaited = HashMap::new();
    }
}

/// Feeds a content to a hasher, every part behind its length or in a fixed width.
struct Content(SipHasher13);

impl Content {
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.write(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.write(&number.to_le_bytes());
    }

    /// A number that may be missing.
    fn optional(&mut self, number: Option<u64>) {
        self.number(number.is_some().into());
        self.number(number.unwrap_or_default());
    }

    fn optional_text(&mut self, text: Option<&str>) {
        self.number(text.is_some().into());
        self.text(text.unwrap_or_default());
    }

    fn end(self) -> Address {
        self.0.finish128().as_u128()
    }
}

fn address_of_zone(zone: &Zone) -> Address {
    let mut content = Content(SipHasher13::new_with_keys(0x7261_7465_7220_7a6f, 0x6e65_7320_6173_206f));
    content.text(zone.name());
    content.number(zone.networks().len() as u64);
    zone.networks().iter().for_each(|network| content.number(network.packed().into()));
    content.number(zone.prefixes().len() as u64);
    zone.prefixes().iter().for_each(|prefix| content.text(prefix));
    content.end()
}

fn address_of_template(template: &BundleTemplate) -> Address {
    // Destructured without `..`, so that a new field does not compile until it tells templates apart. It is fed only where it is present, so
    // that what was bought before keeps its address.
    let BundleTemplate { id, currency, fee, starts, lasts, scope, promotional, warn_at, elements } = template;
    let mut content = Content(SipHasher13::new_with_keys(0x7261_7465_7220_6275, 0x6e64_6c65_7320_6173));
    content.text(id);
    content.text(currency.as_str());
    content.number(fee.is_some().into());
    content.0.write(&fee.map_or(0, crate::money::Amount::unscaled).to_le_bytes());
    content.number(match starts {
        Starts::Date => 0,
        Starts::FirstUse => 1,
        Starts::Activation => 2,
    });
    let (kind, count) = match lasts {
        None => (0, 0),
        Some(Length::Months(count)) => (1, *count),
        Some(Length::Days(count)) => (2, *count),
        Some(Length::Hours(count)) => (3, *count),
    };
    content.number(kind);
    content.number(count.into());
    content.number(match scope {
        BundleScope::Customer => 0,
        BundleScope::Endpoint => 1,
    });
    content.number((*promotional).into());
    content.number(warn_at.len() as u64);
    content.0.write(warn_at);
    content.number(elements.len() as u64);
    for Element { priority, applies, unit, amount, class } in elements {
        let UsageMatch { service, zone, keys } = applies;
        let MatchKeys { rating_group, apn, rat, direction, sponsor } = &**keys;
        content.number((*priority).into());
        content.text(service);
        content.0.write(&address_of_zone(zone).to_le_bytes());
        content.optional(rating_group.map(i64::cast_unsigned));
        [apn, rat, direction, sponsor].into_iter().for_each(|key| content.optional_text(key.as_deref()));
        content.text(unit.name());
        content.optional(*amount);
        content.number(match class {
            ElementClass::Standard => 0,
            ElementClass::FairUse => 1,
        });
    }
    content.end()
}
