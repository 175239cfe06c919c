//! Checks of tariffs and bundles: zones, tiers and time bands.

use super::overlap::check_overlaps;
use super::{Check, NameKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Band, BandTime, Pricing, Reference, Tier, Version};
use crate::read::Thing;
use crate::value::{DaySet, MINUTES_PER_DAY};

/// Everything about a tariff with prices of its own, except what mark-ups of others make of it.
pub(crate) fn check_tariff(check: &mut Check<'_, '_>, thing: Thing<'_>, versions: &[Version]) {
    check.ascending(thing, "versions", versions.iter().map(|version| &version.from));
    for version in versions {
        for zone in &version.loose_zones {
            check_zone(check, thing, Some(zone));
        }
        for rate in &version.rates {
            check_zone(check, thing, rate.zone.as_ref());
            match &rate.pricing {
                Pricing::Tiers(tiers) => check_tiers(check, thing, tiers),
                Pricing::Bands(bands) => check_bands(check, thing, bands),
                Pricing::Price(_) | Pricing::Package { .. } | Pricing::Blocked => {}
            }
        }
        check_overlaps(check, thing, &version.rates);
    }
}

/// Zones of the elements of bundles.
pub(crate) fn check_bundles(check: &mut Check<'_, '_>) {
    let model = check.model;
    for (name, bundle) in model.bundles.values() {
        for element in &bundle.elements {
            check_zone(check, Thing { kind: "bundle", name }, element.zone.as_ref());
        }
    }
}

fn check_zone(check: &mut Check<'_, '_>, thing: Thing<'_>, zone: Option<&Reference>) {
    if let Some(zone) = zone.filter(|zone| &*zone.value != "root") {
        let model = check.model;
        check.find(&model.zones, NameKind::Zone, thing, zone);
    }
}

/// Ascending, and just the last one open (detail n).
fn check_tiers(check: &mut Check<'_, '_>, thing: Thing<'_>, tiers: &[Tier]) {
    let Some((last, rest)) = tiers.split_last() else { return };
    if let Some(end) = last.up_to {
        let message = format!("{thing}: the last tier ends, so units above it have no price");
        check.report(Diagnostic::new(Code::LastTier, end.span, message).help("leave out `up_to` in the last tier"));
    }
    for open in rest.iter().filter(|tier| tier.up_to.is_none()) {
        let message = format!("{thing}: a tier without an end is followed by another");
        check.report(Diagnostic::new(Code::LastTier, open.span, message).label("needs `up_to`"));
    }
    let mut before = None;
    for end in tiers.iter().filter_map(|tier| tier.up_to) {
        if let Some(before) = before.filter(|before: &crate::model::Spanned<u64>| end.value <= before.value) {
            let message =
                format!("{thing}: a tier ends at {}, where the one before ends at {}", end.value, before.value);
            let diagnostic = Diagnostic::new(Code::TiersNotAscending, end.span, message).label("not higher");
            check.report(diagnostic.related(before.span, "than this"));
        }
        before = Some(end);
    }
}

/// Every moment of a week in exactly one band (detail n).
fn check_bands(check: &mut Check<'_, '_>, thing: Thing<'_>, bands: &[Band]) {
    let before = check.count();
    let mut otherwise: Option<&Band> = None;
    for (at, band) in bands.iter().enumerate() {
        match (&band.time, otherwise) {
            (BandTime::Otherwise, Some(first)) => {
                let diagnostic =
                    Diagnostic::new(Code::BandsOverlap, band.span, format!("{thing}: two bands say `otherwise`"));
                check.report(diagnostic.label("the second").related(first.span, "the first"));
            }
            (BandTime::Otherwise, None) => otherwise = Some(band),
            (BandTime::At(..), _) => {
                for earlier in &bands[..at] {
                    if let Some(moment) = first_shared(&earlier.time, &band.time) {
                        let message = format!("{thing}: two bands cover {moment}");
                        let diagnostic = Diagnostic::new(Code::BandsOverlap, band.span, message);
                        check.report(diagnostic.label("the second").related(earlier.span, "the first"));
                    }
                }
            }
        }
    }
    if otherwise.is_none()
        && check.count() == before
        && let Some(moment) = first_gap(bands)
    {
        let Some(last) = bands.last() else { return };
        let message = format!("{thing}: no band covers {moment}");
        let diagnostic = Diagnostic::new(Code::BandsGap, last.span, message).label("the last band");
        check.report(diagnostic.help("add a band, for example with `otherwise: true`"));
    }
}

fn first_shared(a: &BandTime, b: &BandTime) -> Option<String> {
    let (BandTime::At(a_days, a_hours), BandTime::At(b_days, b_hours)) = (a, b) else { return None };
    let start = a_hours.start.max(b_hours.start);
    let day = (0..7).find(|day| a_days.contains(*day) && b_days.contains(*day))?;
    (start < a_hours.end.min(b_hours.end)).then(|| moment(day, start))
}

/// Bands do not overlap, so the first gap of a day is where the sorted ranges stop meeting each other.
fn first_gap(bands: &[Band]) -> Option<String> {
    for day in 0..7 {
        let mut ranges: Vec<_> = bands
            .iter()
            .filter_map(|band| match &band.time {
                BandTime::At(days, hours) if days.contains(day) => Some((hours.start, hours.end)),
                BandTime::At(..) | BandTime::Otherwise => None,
            })
            .collect();
        ranges.sort_unstable();
        let covered =
            ranges.iter().fold(0, |covered, (from, to)| if *from <= covered { covered.max(*to) } else { covered });
        if covered < MINUTES_PER_DAY {
            return Some(moment(day, covered));
        }
    }
    None
}

fn moment(day: usize, minute: u16) -> String {
    format!("{} {:02}:{:02}", DaySet::name(day), minute / 60, minute % 60)
}
