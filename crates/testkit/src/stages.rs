//! Stages set up for topics in memory, under the names of a deployment without a prefix: for tests and benches that run them without a broker.

use directory::Directory;
use pipeline::duplicates::DEFAULT_STATE_HORIZON_H;
use rating::Timestamp;
use runtime::stages::{
    CycleSettings, CycleStage, GuideInput, GuideSettings, GuideStage, Inbound, IntakeSettings, IntakeStage,
    RateSettings, RateStage,
};
use runtime::wire::{FramedDecoder, Frames, Limits};
use std::sync::Arc;

/// What stands before each datum: the fingerprint of its schema.
pub fn frames() -> Frames {
    Frames::single_object().unwrap_or_else(|error| panic!("{error}"))
}

/// Takes in what others write, whatever its time.
pub fn inbound(default_source: &str) -> Inbound {
    let decoder = FramedDecoder::new(None, Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    Inbound::new(decoder, default_source, 0, || Timestamp::LATEST)
}

/// Intake of `usage`.
pub fn intake(intaken_partitions: u32, inbound: Inbound) -> IntakeStage {
    let settings = IntakeSettings {
        inputs: vec!["usage".to_owned()],
        ticks: "ticks".to_owned(),
        retries: "retries".to_owned(),
        changelog: "intake-changelog".to_owned(),
        intaken: "intaken".to_owned(),
        intaken_partitions,
        suspense: "suspense".to_owned(),
        waiting: "waiting".to_owned(),
        frames: frames(),
        events: None,
    };
    IntakeStage::new(settings, inbound)
}

/// Guide behind intake, which reads so many partitions; or, where there is no intake, of `usage`.
pub fn guide(
    senders: Option<usize>,
    guided_partitions: u32,
    inbound: Inbound,
    directory: Arc<dyn Directory>,
) -> GuideStage {
    GuideStage::new(guide_settings(senders, guided_partitions), inbound, directory)
}

/// The settings of that.
pub fn guide_settings(senders: Option<usize>, guided_partitions: u32) -> GuideSettings {
    let input = match senders {
        Some(senders) => GuideInput::Intaken { senders },
        None => GuideInput::Usage {
            inputs: vec!["usage".to_owned()],
            ticks: "ticks".to_owned(),
            retries: "retries".to_owned(),
        },
    };
    GuideSettings {
        input,
        intaken: "intaken".to_owned(),
        changelog: "guide-changelog".to_owned(),
        guided: "guided".to_owned(),
        guided_partitions,
        suspense: "suspense".to_owned(),
        waiting: "waiting".to_owned(),
        notifications: "notifications".to_owned(),
        replies: "command-replies".to_owned(),
        frames: frames(),
        events: None,
        duplicate_window_h: None,
        command_memory_h: pipeline::duplicates::DEFAULT_COMMAND_HOURS,
        state_horizon_h: DEFAULT_STATE_HORIZON_H,
    }
}

/// Cycle of a directory, which buys the bundles that it grants.
pub fn cycle(guided_partitions: u32, directory: Arc<dyn Directory>) -> CycleStage {
    CycleStage::new(cycle_settings(guided_partitions), directory)
}

/// The settings of that.
pub fn cycle_settings(guided_partitions: u32) -> CycleSettings {
    CycleSettings {
        ticks: "ticks".to_owned(),
        changelog: "cycle-changelog".to_owned(),
        guided: "guided".to_owned(),
        guided_partitions,
        notifications: "notifications".to_owned(),
        replies: "command-replies".to_owned(),
        frames: frames(),
        events: None,
        default_source: "file".to_owned(),
        buys_grants: true,
        walk_every_ms: 3_600_000,
        future_ms: 0,
        now: || Timestamp::LATEST,
    }
}

/// Rate behind guide, which reads so many partitions.
pub fn rate(guided_partitions: u32, senders: usize) -> RateStage {
    RateStage::new(rate_settings(guided_partitions, senders))
}

/// The settings of that.
pub fn rate_settings(guided_partitions: u32, senders: usize) -> RateSettings {
    RateSettings {
        guided: "guided".to_owned(),
        guided_partitions,
        senders,
        timeless: "ticks".to_owned(),
        changelog: "rate-changelog".to_owned(),
        charges: "charges".to_owned(),
        deltas: "balance-deltas".to_owned(),
        notifications: "notifications".to_owned(),
        suspense: "suspense".to_owned(),
        waiting: "waiting".to_owned(),
        life_events: "life-events".to_owned(),
        replies: "command-replies".to_owned(),
        frames: frames(),
        events: None,
        duplicate_window_h: None,
        state_horizon_h: DEFAULT_STATE_HORIZON_H,
    }
}
