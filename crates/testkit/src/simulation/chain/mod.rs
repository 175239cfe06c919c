//! The stages of the product, all of them, under a seed: from what comes in to what was charged and bought.
//!
//! | module | owns |
//! | --- | --- |
//! | [`world`] | reference data, what comes in, a directory that changes and fails |
//! | [`logs`] | the committed messages, read once |
//! | [`check`] | what has to hold of them, counted independently of the stages |
//! | [`intaken`] | what came in against what intake handed on: nothing lost, no tick ahead of usage |
//! | [`guide`] | what intake handed on against what guide made of it, record by record |
//! | [`outcomes`] | what became of each record, command and grant |
//! | [`told`] | what an account was told of the directory against its last edition |
//! | [`tally`] | how often each thing happened |
//! | [`engine`] | the guided log through the engine of the embedded runtime: the same effects for each account |

mod check;
mod engine;
mod guide;
mod intaken;
mod logs;
mod outcomes;
mod tally;
mod told;
mod world;

use super::planted::Bug;
use super::{Outcome, Simulation, Telling};
use crate::stages;
use rating::Timestamp;
use runtime::stages::{
    CycleSettings, CycleStage, GuideSettings, GuideStage, Inbound, RateSettings, RateStage, RecycleSettings,
    RecycleStage, ScratchSettings,
};
use runtime::wire::{FramedDecoder, Frames, Limits};
use std::sync::{Arc, OnceLock};
use world::{Editions, PARTITIONS, SOURCE, STATE_HORIZON_H, USAGE_PARTITIONS, WINDOW_H};

/// Topics and how many partitions they have.
const TOPICS: [(&str, u32); 17] = [
    ("usage", USAGE_PARTITIONS),
    ("ticks", 1),
    ("retries", USAGE_PARTITIONS),
    ("intake-changelog", USAGE_PARTITIONS),
    ("intaken", PARTITIONS),
    ("guide-changelog", PARTITIONS),
    ("guided", PARTITIONS),
    ("rate-changelog", PARTITIONS),
    ("waiting", PARTITIONS),
    ("recycle-changelog", PARTITIONS),
    ("cycle-changelog", 1),
    ("charges", PARTITIONS),
    ("balance-deltas", PARTITIONS),
    ("notifications", 1),
    ("suspense", PARTITIONS),
    ("command-replies", 1),
    ("life-events", PARTITIONS),
];

/// What stands before each datum, worked out once.
fn frames() -> Frames {
    static FRAMES: OnceLock<Frames> = OnceLock::new();
    *FRAMES.get_or_init(stages::frames)
}

fn inbound() -> Inbound {
    let decoder = FramedDecoder::new(None, Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    Inbound::new(decoder, SOURCE, 0, || Timestamp::LATEST)
}

fn guide_stage(directory: Arc<Editions>) -> GuideStage {
    let settings = GuideSettings {
        duplicate_window_h: Some(WINDOW_H),
        state_horizon_h: STATE_HORIZON_H,
        ..stages::guide_settings(Some(USAGE_PARTITIONS as usize), PARTITIONS)
    };
    GuideStage::new(settings, inbound(), directory)
}

fn rate_stage() -> RateStage {
    RateStage::new(RateSettings {
        duplicate_window_h: Some(WINDOW_H),
        state_horizon_h: STATE_HORIZON_H,
        ..stages::rate_settings(PARTITIONS, PARTITIONS as usize)
    })
}

fn recycle_stage() -> RecycleStage {
    RecycleStage::new(RecycleSettings {
        waiting: "waiting".to_owned(),
        ticks: "ticks".to_owned(),
        changelog: "recycle-changelog".to_owned(),
        inputs: vec![("usage".to_owned(), USAGE_PARTITIONS)],
        retries: "retries".to_owned(),
        suspense: "suspense".to_owned(),
        frames: frames(),
        events: None,
        future_ms: 0,
        scratch: ScratchSettings::default(),
    })
}

fn cycle_stage(directory: Arc<Editions>) -> CycleStage {
    CycleStage::new(
        CycleSettings { default_source: SOURCE.to_owned(), ..stages::cycle_settings(PARTITIONS) },
        directory,
    )
}

/// Runs all stages under a seed.
pub fn run_chain(seed: u64, bug: Bug, telling: Telling) -> Outcome {
    let mut simulation = Simulation::new(seed, bug);
    simulation.shared.borrow_mut().is_told = telling == Telling::Everything;
    for (topic, partitions) in TOPICS {
        simulation.add_topic(topic, partitions);
    }
    let directory = Arc::new(Editions::default());
    let (of_guide, of_cycle) = (Arc::clone(&directory), Arc::clone(&directory));
    simulation.add_role("intake", || stages::intake(PARTITIONS, inbound()));
    simulation.add_role("guide", move || guide_stage(Arc::clone(&of_guide)));
    simulation.add_role("rate", rate_stage);
    simulation.add_role("recycle", recycle_stage);
    simulation.add_role("cycle", move || cycle_stage(Arc::clone(&of_cycle)));
    world::fill(&mut simulation, seed, &directory);
    simulation.run(check::check)
}
