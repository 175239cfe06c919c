//! What a Prometheus would have scraped a week ago, for panels and alerts that look back.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

const WEEK_S: u64 = 7 * 86_400;
/// Scraped from so long before the moment a week ago until so long after it.
const AROUND_S: u64 = 4_200;
const EVERY_S: u64 = 60;

/// Families without `_total`, and the labels of one series each.
const COUNTERS: [(&str, &str); 5] = [
    ("rater_records", r#"service="data",outcome="guided""#),
    ("rater_usage_bytes", r#"outcome="guided""#),
    ("rater_usage_seconds", r#"outcome="guided""#),
    ("rater_usage_messages", r#"outcome="guided""#),
    ("rater_charged_amount", r#"level="1",currency="GBP""#),
];

/// Counters that grew by one a second, as OpenMetrics text.
pub(crate) fn a_week_ago(now: SystemTime, instance: &str) -> String {
    let now_s = now.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let mut text = String::new();
    for (family, labels) in COUNTERS {
        writeln!(text, "# TYPE {family} counter").expect("text");
        for at_s in (now_s - WEEK_S - AROUND_S..now_s - WEEK_S + AROUND_S).step_by(EVERY_S as usize) {
            let value = at_s - (now_s - WEEK_S - AROUND_S);
            writeln!(text, "{family}_total{{job=\"rater\",instance=\"{instance}\",{labels}}} {value} {at_s}")
                .expect("text");
        }
    }
    text.push_str("# EOF\n");
    text
}
