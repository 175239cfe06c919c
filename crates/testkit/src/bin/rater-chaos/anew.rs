//! The usage topic is deleted and made anew under workers that run: they have to end and say so, whoever starts has to end in the same way, and who is
//! told that it is another topic reads all of it.

use super::torment::Torment;
use super::{MADE_ANEW, SHAPE};
use std::process::Command;
use std::time::Duration;
use testkit::chaos::{Mood, Workers, in_words};
use testkit::load;
use testkit::verify::{self, EarlierTopic};

/// How long workers may take to notice.
const NOTICE: Duration = Duration::from_secs(120);
/// Of this many messages of the old topic, one is sent again to the new one.
const SENT_AGAIN: usize = 100;

/// Makes it anew; what the old one held. Workers are as many and as well as before, started with `anew`.
pub(super) fn make_anew<'w>(
    torment: &Torment<'_>,
    workers: &mut Workers<'w>,
    anew: &'w dyn Fn(Mood) -> Command,
) -> Result<EarlierTopic, String> {
    let (connection, usage) = (&torment.connection, torment.usage());
    torment.wait_until_drained()?;
    let read_until = verify::ends_of(connection, &usage).map_err(in_words)?;
    if torment.arguments.unread > 0 {
        workers.freeze_all();
        let unread = (0..torment.arguments.unread).map(unread);
        load::to_any_partition(connection, &usage, unread).map_err(in_words)?;
    }
    let earlier = EarlierTopic::read(connection, &usage, read_until).map_err(in_words)?;
    torment.kafka.delete_topic(&usage).map_err(in_words)?;
    let partitions = u16::try_from(SHAPE.partitions.inputs).unwrap_or(u16::MAX);
    torment.kafka.create_topic(&usage, partitions, &[]).map_err(in_words)?;
    // Whoever fills it sends some of the old again, and more than has to be read for the first to end.
    let again = earlier.values().rev().step_by(SENT_AGAIN).map(<[u8]>::to_vec);
    load::to_any_partition(connection, &usage, again).map_err(in_words)?;
    workers.thaw_all();
    let words = format!("--topic-made-anew {usage}");
    workers.wait_until_all_end(MADE_ANEW.into(), &words, NOTICE)?;
    // Without being told, nobody goes on.
    workers.start_all(Mood::Calm).map_err(in_words)?;
    workers.wait_until_all_end(MADE_ANEW.into(), &words, NOTICE)?;
    workers.start_as(anew).map_err(in_words)?;
    eprintln!("{usage} was made anew");
    Ok(earlier)
}

/// A record that may go with its topic.
fn unread(number: u32) -> Vec<u8> {
    format!(
        r#"{{"id":"unread-{number}","source":"unread","service":"data","quantity":1000000,"unit":"octets","event_time":"2026-01-30T12:00:00Z","imsi":"00101{:010}"}}"#,
        number % 100
    )
    .into_bytes()
}
