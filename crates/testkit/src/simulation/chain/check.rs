//! What has to hold of the committed messages when everything has come to an end.

use super::logs::Logs;
use super::{engine, guide, intaken, outcomes, tally, told};
use crate::simulation::Simulation;

/// Looks for the first thing that is wrong.
///
/// # Errors
/// What it is.
pub(super) fn check(simulation: &Simulation) -> Result<(), String> {
    let logs = Logs::read(simulation)?;
    check_sequences(&logs)?;
    intaken::check(&logs)?;
    guide::check(&logs)?;
    outcomes::check(&logs)?;
    told::check(&logs)?;
    engine::check(&logs)?;
    tally::tally(&logs).into_iter().for_each(|(name, count)| simulation.add_happened(name, count));
    Ok(())
}

/// Packed messages have sequences without gaps, for each source and target.
fn check_sequences(logs: &Logs<'_>) -> Result<(), String> {
    let intaken = logs.intaken.iter().enumerate();
    let intaken =
        intaken.flat_map(|(at, all)| all.iter().map(move |message| ("intaken", at, &message.source, message.sequence)));
    let guided = logs.guided.iter().enumerate();
    let guided =
        guided.flat_map(|(at, all)| all.iter().map(move |message| ("guided", at, &message.source, message.sequence)));
    let mut last = std::collections::BTreeMap::new();
    for (topic, target, source, sequence) in intaken.chain(guided) {
        let before = last.insert((topic, target, source), sequence).unwrap_or(0);
        if sequence != before + 1 {
            return Err(format!("{topic} {target}: message {sequence} of {source:?} comes after {before}"));
        }
    }
    Ok(())
}
