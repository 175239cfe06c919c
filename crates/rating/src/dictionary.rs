//! Bundle templates and zones, each kept once however many instances were bought of it, and addressed by what it says.
//!
//! An entry is written down before the first instance that names it, and with every cycle after that; it leaves when nothing names it any more. So
//! its table knows no changes: whether an entry was written is all that has to be undone.

use crate::bundle::{BundleScope, BundleTemplate, Element, Starts};
use crate::identity::{template_address, zone_address};
use crate::matching::UsageMatch;
use crate::table::Table;
use crate::zone::Zone;
use hashbrown::{HashMap, HashSet};
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
    /// The entry of a template, made where there is none.
    pub fn template(&mut self, template: &BundleTemplate) -> Arc<KnownTemplate> {
        let mut address = template_address(template);
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
        let mut address = zone_address(zone);
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

    /// Stands for a template that was not read yet, until restoring ends.
    pub fn awaited(&mut self, address: Address) -> Arc<KnownTemplate> {
        self.awaited.entry(address).or_insert_with(|| Arc::new(KnownTemplate::awaited(address))).clone()
    }

    /// Drops entries that were last written before a cycle: remnants of a log that is being compacted. Kept, they would count as written, and what
    /// names them next would not be found again. One that an instance names stays, and is written again before the next one that names it; what was
    /// never written down was made from instances of earlier formats, and stays.
    pub(crate) fn drop_remnants(&mut self, since: u32, named: &HashSet<Address>) {
        self.templates.drop_remnants(since, |address| named.contains(address));
        let zones: HashSet<Address> = self.templates.iter().flat_map(|(.., known)| known.zones.to_vec()).collect();
        self.zones.drop_remnants(since, |address| zones.contains(address));
    }

    /// Gives every template that was restored its zones. One that lacks a zone is a remnant of a log that is being compacted, or will be missed.
    pub(crate) fn find_zones(&mut self) {
        let places: Vec<_> = self.templates.iter().map(|(place, ..)| place).collect();
        for place in places {
            let known = Arc::make_mut(self.templates.at_mut(place).expect("a place that was taken has a row"));
            let mut is_whole = true;
            for (element, address) in known.template.elements.iter_mut().zip(&known.zones) {
                match self.zones.get(address) {
                    Some(zone) => element.applies.zone = zone.clone(),
                    None => is_whole = false,
                }
            }
            if !is_whole {
                self.templates.drop_row(place);
            }
        }
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
