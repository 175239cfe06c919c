//! Ticks: how late it is at least, as the ticker says it and the log dates it.

use crate::worker::NoTick;
use pipeline::times::read_time;
use rating::Timestamp;
use serde_json::{Map, Value};

/// Reads a message of the topic of ticks. One process whose clock is wrong must not move anybody's: a tick may be ahead of the moment at
/// which the log appended it by `future_ms` milliseconds at most.
///
/// # Errors
/// It is no tick, or does not count.
pub(super) fn read(value: &[u8], appended: Option<Timestamp>, future_ms: i64) -> Result<Timestamp, NoTick> {
    let foreign = |why: &str| NoTick::Foreign(why.to_owned());
    let message: Option<Map<String, Value>> = serde_json::from_slice(value).ok();
    // Nothing else beside the time: what has more is something else.
    let message = message.filter(|message| message.len() == 1);
    let time = message.as_ref().and_then(|message| message.get("tick")?.as_str());
    let time = time.ok_or_else(|| foreign("not {\"tick\":\"TIME\"}"))?;
    let instant = read_time(time).ok();
    let instant = instant.ok_or_else(|| foreign("its time cannot be read"))?;
    let appended =
        appended.ok_or_else(|| foreign("the topic does not date it: message.timestamp.type is not LogAppendTime"))?;
    match instant.millis() > appended.millis().saturating_add(future_ms) {
        true => Err(NoTick::Ahead { instant, appended }),
        false => Ok(instant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        read_time(text).expect("a time")
    }

    #[test]
    fn a_tick_is_measured_by_the_time_of_the_log() {
        let appended = Some(at("2026-05-01T00:00:00Z"));
        let tick = |text: &str| read(format!("{{\"tick\":\"{text}\"}}").as_bytes(), appended, 3_600_000);
        for fine in ["2026-05-01T00:00:00Z", "2026-05-01T01:00:00Z", "2026-04-01T00:00:00Z"] {
            assert_eq!(tick(fine), Ok(at(fine)));
        }
        for ahead in ["2026-05-01T01:00:00.001Z", "2026-05-31T00:00:00Z"] {
            assert!(matches!(tick(ahead), Err(NoTick::Ahead { .. })), "{ahead}");
        }
        assert!(matches!(tick("never"), Err(NoTick::Foreign(_))));
        assert!(matches!(tick("0026-05-01T00:00:00Z"), Err(NoTick::Foreign(_))));
    }

    #[test]
    fn what_others_write_is_no_tick() {
        let appended = Some(at("2026-05-01T00:00:00Z"));
        let foreign: [&[u8]; 8] = [
            b"",
            b"tick",
            b"{}",
            b"\xff\x00",
            b"{\"tick\":1}",
            b"[\"2026-05-01T00:00:00Z\"]",
            b"{\"tick\":\"2026-05-01T00:00:00Z\",\"id\":\"r1\"}",
            b"{\"tick\":\"2026-05-01T00:00:00Z\"} {}",
        ];
        for value in foreign {
            let read = read(value, appended, 0);
            assert!(matches!(read, Err(NoTick::Foreign(_))), "{}: {read:?}", String::from_utf8_lossy(value));
        }
        let undated = read(b"{\"tick\":\"2026-05-01T00:00:00Z\"}", None, 0);
        assert!(undated.is_err_and(|why| why.to_string().contains("LogAppendTime")));
    }
}
