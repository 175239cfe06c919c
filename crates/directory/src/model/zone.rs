//! Rate zones.

use rating::{Grade, Plmn};

use super::Spanned;

/// Where use happens and which numbers it calls. At least one of the two lists is not empty.
#[derive(Debug)]
pub struct Zone {
    /// Networks; empty: any.
    pub networks: Vec<Spanned<Plmn>>,
    /// Called prefixes; empty: any number, or none.
    pub to: Vec<Spanned<Box<str>>>,
}

impl Zone {
    /// How specific the zone is, by the same rule as the compiled one.
    pub fn grade(&self) -> Grade {
        rating::Zone::new("", self.networks.iter().map(|network| network.value).collect(), Vec::new()).grade()
    }
}
