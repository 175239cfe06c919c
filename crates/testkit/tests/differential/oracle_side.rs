//! What the oracle says about a case.

use crate::Case;
use crate::facts::Facts;
use oracle::{Charge, ChargeKind, CommandResult, Leg, News, Oracle, Outcome};
use std::fmt::Write as _;
use testkit::generator::traffic::Step;

/// # Errors
/// When the reference cannot be read.
pub(crate) fn facts(case: &Case) -> Result<Facts, String> {
    let mut oracle = Oracle::with_latest_event(&case.reference, case.latest_event.unwrap_or(i64::MAX))?;
    let mut facts = Facts::default();
    for step in &case.steps {
        match step {
            Step::Replace(reference) => oracle.replace_reference(reference)?,
            Step::Recycle => {
                for recycled in oracle.recycle() {
                    match recycled.result {
                        Ok(legs) => add_legs(&recycled.original, &legs, &mut facts),
                        Err(reason) => add_suspense(&recycled.original, recycled.level, reason.code(), &mut facts),
                    }
                }
            }
            Step::Line(line) => add_line(&mut oracle, line, &mut facts),
        }
    }
    for grant in oracle.take_grants() {
        grant.fees.iter().for_each(|fee| add_fee(fee, &mut facts));
    }
    for delta in oracle.take_deltas() {
        let subject = format!("account {}", delta.account);
        let text = format!("delta {} {} {} balance {}", delta.sequence, delta.kind, delta.amount, delta.balance_after);
        facts.add(subject, text);
    }
    for told in oracle.take_notifications() {
        let news = match told.news {
            News::AllowanceThreshold { instance, element, percent, remaining } => {
                format!("allowance_threshold {instance}:{element} {percent} % left {remaining}")
            }
            News::BalanceExhausted(balance) => format!("balance_exhausted {balance}"),
            News::CapReached(tariff) => format!("cap_reached {tariff}"),
            News::ActivationFailed(_) => "activation_failed".to_owned(),
            News::CommandRefused => "command_refused".to_owned(),
        };
        facts.add(format!("account {}", told.account), format!("told {news} by {}", told.caused_by));
    }
    Ok(facts)
}

fn add_line(oracle: &mut Oracle, line: &[u8], facts: &mut Facts) {
    match oracle.feed_line(line) {
        Outcome::Guided { legs, .. } => add_legs(line, &legs, facts),
        Outcome::Suspended { reason, .. } => add_suspense(line, None, reason.code(), facts),
        Outcome::Duplicate { .. } => facts.add("totals", "duplicate"),
        Outcome::Command(outcome) => {
            if outcome.result == CommandResult::Duplicate {
                facts.add("totals", "duplicate");
            }
            outcome.fees.iter().for_each(|fee| add_fee(fee, facts));
        }
        Outcome::Tick | Outcome::Blank => {}
    }
}

fn add_suspense(original: &[u8], level: Option<u32>, reason: &str, facts: &mut Facts) {
    let level = level.map_or(String::new(), |level| format!("level {level} "));
    facts.add(crate::subject_of_line(original), format!("{level}waits: {reason}"));
}

fn add_legs(original: &[u8], legs: &[Leg], facts: &mut Facts) {
    for leg in legs {
        leg.fees.iter().for_each(|fee| add_fee(fee, facts));
        match &leg.result {
            Err(reason) => add_suspense(original, Some(leg.level), reason.code(), facts),
            Ok(charge) => add_charge(original, leg.level, charge, facts),
        }
    }
}

fn add_fee(fee: &Charge, facts: &mut Facts) {
    let Charge { kind, payer, payee, amount, currency, event_time, delta_sequence, balance_after, .. } = fee;
    debug_assert!(matches!(kind, ChargeKind::BundleFee(_)));
    let sequence = delta_sequence.unwrap_or_default();
    facts.add(
        format!("account {payer}"),
        format!("fee to {payee} {amount} {currency} at {event_time} delta {sequence} balance {balance_after}"),
    );
}

fn add_charge(original: &[u8], level: u32, charge: &Charge, facts: &mut Facts) {
    facts.charges += 1;
    let subject = crate::subject_of_charge(original, level);
    facts.add(&subject, format!("{} pays {} in {}", charge.payer, charge.payee, charge.currency));
    facts.add(&subject, format!("at {} endpoint {:?}", charge.event_time, charge.endpoint));
    facts.add(&subject, format!("amount {} waived {} {}", charge.amount, charge.waived, charge.reason.code()));
    // Without a delta the balance is what it was, and not said.
    let delta = charge.delta_sequence.map(|sequence| format!("delta {sequence} balance {}", charge.balance_after));
    facts.add(&subject, delta.unwrap_or("no delta".to_owned()));
    let mut draws = String::from("draws");
    for draw in &charge.draws {
        let left = |units: Option<u128>| units.map_or("-".to_owned(), |units| units.to_string());
        let (before, after) = (left(draw.before), left(draw.after));
        let _ = write!(draws, " {}:{} {} ({before} to {after})", draw.instance, draw.element, draw.units);
    }
    facts.add(&subject, draws);
    let (mut by, mut billed, mut free, mut exact) = ("nothing".to_owned(), String::new(), 0, Default::default());
    let mut codes = Vec::new();
    if let Some(priced) = &charge.priced_by {
        by = format!("{}@{} zone {}", priced.tariff, priced.version, priced.zone);
        for (price, units) in priced.billed.iter().filter(|(_, units)| **units > 0) {
            let _ = write!(billed, " {units} x {price}");
        }
        free = priced.free;
        codes.clone_from(&priced.codes);
        exact = priced.exact.clone();
    }
    facts.add(&subject, format!("uncovered {} of which free {free}, priced by {by}", charge.uncovered));
    facts.add(&subject, format!("connect {} billed {}:{billed}", charge.connect, charge.billable));
    facts.add(&subject, format!("properties {:?} codes {codes:?}", charge.properties));
    facts.add_sum(subject, exact, 0);
}
