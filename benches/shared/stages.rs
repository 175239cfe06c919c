//! Stages that run in memory: messages go from the outputs of one straight into the batches of the next.

use directory::Loaded;
use runtime::stages::GuideStage;
use runtime::worker::log::{Batch, Incoming, Offset, Partition};
use runtime::worker::{Output, Stage};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use testkit::stages::{self, inbound};

/// Bytes of a batch, as in the bench of the whole pipeline.
const BATCH_BYTES: usize = 6 << 20;

pub(crate) fn setting<N: std::str::FromStr>(name: &str, default: N) -> N {
    let text = std::env::var(format!("RATER_BENCH_{name}")).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{text}: no number")))
}

/// A message: key and value.
pub(crate) type Message = (Vec<u8>, Vec<u8>);

/// Messages by topic and partition.
pub(crate) type Topics = BTreeMap<(String, u32), Vec<Message>>;

/// What a stage took: CPU time in seconds, and batches.
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) batches: usize,
}

/// Guide, behind intake or not.
pub(crate) fn guide(loaded: &Loaded, partitions: u32, is_behind_intake: bool) -> GuideStage {
    let senders = is_behind_intake.then_some(partitions as usize);
    stages::guide(senders, partitions, inbound("bench"), loaded.directory())
}

/// CPU time of this thread so far, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Runs a stage over all of its input, the partitions in turn.
pub(crate) fn run(stage: &mut impl Stage, topics: &Topics, out: &mut Topics) -> Taken {
    let input = stage.inputs()[0].clone();
    let numbers: Vec<u32> = topics.keys().filter(|(topic, _)| *topic == input).map(|(_, number)| *number).collect();
    let most: usize = setting("TRANSACTION", 20_000);
    let mut positions: BTreeMap<u32, usize> = numbers.iter().map(|number| (*number, 0)).collect();
    for number in numbers {
        let partition = Partition { topic: 0, number };
        stage.create(partition);
        stage.restored(partition).expect("empty state");
    }
    let (mut batch, mut output) = (Batch::default(), Output::default());
    let mut taken = Taken { seconds: 0.0, batches: 0 };
    loop {
        batch.clear();
        for (number, position) in &mut positions {
            let share = (most - batch.len()).min(most.div_ceil(4));
            let messages = topics.get(&(input.clone(), *number)).map_or(&[][..], Vec::as_slice);
            for (key, value) in messages.iter().skip(*position).take(share) {
                if batch.size_bytes() >= BATCH_BYTES {
                    break;
                }
                let partition = Partition { topic: 0, number: *number };
                let offset = Offset::try_from(*position).expect("an offset");
                batch.push(Incoming { partition, side: None, offset, key: Some(key), value, trace: None });
                *position += 1;
            }
        }
        if batch.is_empty() {
            return taken;
        }
        let start = cpu_seconds();
        output.clear();
        stage.prepare(&batch).expect("facts");
        stage.execute(&batch, &mut output).expect("executed");
        taken.seconds += cpu_seconds() - start;
        for message in output.messages(stage.outputs()) {
            let partition = message.partition.unwrap_or_default();
            let (key, value) = (message.key.unwrap_or_default(), message.value.unwrap_or_default());
            out.entry((message.topic.to_owned(), partition)).or_default().push((key.to_vec(), value.to_vec()));
        }
        let start = cpu_seconds();
        stage.settle();
        taken.seconds += cpu_seconds() - start;
        taken.batches += 1;
    }
}
