//! The process in the cluster: its name, which no other process may have at the same time, and whether the cluster answers it.
//!
//! Transactional ids carry the name. Two processes of one name would fence each other for ever, each after every restart, and nothing would
//! be charged. So a name that somebody gave is held as the only partition of the ticks is held in a group of that name: whoever has it keeps it
//! until it ends or is not heard of for a session.

use crate::kafka::block_on;
use crate::worker::log::{Batch, Consumer, Event, GatherLimits, Log, LogError, Partition};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a round lasts: it asks the cluster once.
const ROUND: Duration = Duration::from_millis(500);
/// The partition that stands for the name.
const NAME: Partition = Partition { topic: 0, number: 0 };
/// Whoever joins a group may have to wait for its other members' answers; after this somebody else must have the name.
const JOINING: Duration = Duration::from_secs(4);

/// What it is about.
pub(super) struct Presence<'p, L> {
    pub(super) log: &'p L,
    /// The name, where somebody gave it: another process may have been given the same.
    pub(super) name: Option<Name>,
    /// The topic of ticks.
    pub(super) ticks: String,
    /// Partitions whose ends are asked for: of each broker that leads one, whether it answers.
    pub(super) places: Vec<(String, u32)>,
}

/// A name that is to be held.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) instance: String,
    pub(super) group: String,
    /// How long the holder may have it after all: a dead one for a session.
    pub(super) patience: Duration,
}

/// Whether the name is ours.
enum Holding<C> {
    /// It is nobody's business.
    Free,
    /// Since then it is wanted, by a member that has joined or has yet to.
    Wanted(Option<C>, Instant),
    /// It is.
    Ours(C),
}

impl<L: Log> Presence<'_, L> {
    /// Runs until it is told to stop. Sets `is_named` once workers may begin. Tells whenever why it cannot be at work changes.
    ///
    /// # Errors
    /// Another process has the name.
    pub(super) fn run(
        &self,
        stop: &AtomicBool,
        is_named: &AtomicBool,
        tell: impl Fn(Option<&str>),
    ) -> Result<(), String> {
        let mut holding = match &self.name {
            None => Holding::Free,
            Some(_) => Holding::Wanted(None, Instant::now()),
        };
        let mut told: Option<String> = None;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let mut why = self.hold(&mut holding);
            if let Err(error) = block_on(self.log.uncommitted_ends(&self.places)) {
                why = Some(error.to_string());
                // Who does not answer cannot tell who has the name.
                if let Holding::Wanted(_, since) = &mut holding {
                    *since = Instant::now();
                }
            }
            is_named.fetch_or(matches!(holding, Holding::Free | Holding::Ours(_)), Ordering::Relaxed);
            if why != told {
                tell(why.as_deref());
                told = why;
            }
            if let (Holding::Wanted(_, since), Some(name)) = (&holding, &self.name)
                && since.elapsed() > name.patience
            {
                return Err(name.is_taken());
            }
            block_on(self.log.pause(ROUND.saturating_sub(begun.elapsed())));
        }
        Ok(())
    }

    /// Asks the group for news of the name; why it is not ours, once that is clear.
    fn hold(&self, holding: &mut Holding<L::Consumer>) -> Option<String> {
        let name = self.name.as_ref()?;
        let failed = |error: LogError| Some(error.to_string());
        let (consumer, since) = match holding {
            Holding::Free => return None,
            Holding::Wanted(Some(consumer), since) => (consumer, Some(*since)),
            Holding::Ours(consumer) => (consumer, None),
            Holding::Wanted(None, since) => {
                let joined = block_on(async {
                    let mut consumer = self.log.consumer(&name.group, std::slice::from_ref(&self.ticks)).await?;
                    consumer.hold().await?;
                    Ok(consumer)
                });
                return match joined {
                    Ok(consumer) => {
                        *holding = Holding::Wanted(Some(consumer), *since);
                        None
                    }
                    Err(error) => failed(error),
                };
            }
        };
        let news = block_on(self.news(consumer));
        *holding = match (news, std::mem::replace(holding, Holding::Free)) {
            (Ok(Some(true)), Holding::Wanted(Some(consumer), _)) => Holding::Ours(consumer),
            (Ok(Some(false)), Holding::Ours(consumer)) => Holding::Wanted(Some(consumer), Instant::now()),
            (Ok(_), as_before) => as_before,
            (Err(error), _) => {
                *holding = Holding::Wanted(None, since.unwrap_or_else(Instant::now));
                return failed(error);
            }
        };
        match holding {
            Holding::Wanted(_, since) if since.elapsed() > JOINING => Some(name.is_taken()),
            Holding::Wanted(..) | Holding::Ours(_) | Holding::Free => None,
        }
    }

    /// What the group has told of the name since: given, taken away, or nothing.
    async fn news(&self, consumer: &mut L::Consumer) -> Result<Option<bool>, LogError> {
        let news_only = GatherLimits { messages: 0, bytes: 0, wait: Duration::from_millis(50) };
        let mut last = None;
        loop {
            match consumer.gather(&mut Batch::default(), &news_only).await? {
                Event::Gathered => return Ok(last),
                Event::Assigned(partitions) => {
                    let mut positions = Vec::with_capacity(partitions.len());
                    for partition in partitions {
                        positions.push((partition, self.log.uncommitted_end(&self.ticks, partition.number).await?));
                    }
                    consumer.start(&positions).await?;
                    if positions.iter().any(|(partition, _)| *partition == NAME) {
                        last = Some(true);
                    }
                }
                Event::Revoked(partitions) | Event::Lost(partitions) => {
                    consumer.release(&partitions).await?;
                    if partitions.contains(&NAME) {
                        last = Some(false);
                    }
                }
            }
        }
    }
}

impl Name {
    fn is_taken(&self) -> String {
        let instance = &self.instance;
        format!(
            "another process runs under the name {instance:?}, and two of one name would fence each other for ever: give each its own with --instance"
        )
    }
}
