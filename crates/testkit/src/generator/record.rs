//! One usage record as the generators see it, and how it is written as a JSON line and as a CSV row.
//!
//! Owns the field names of the input (docs/reference-data.md, "Usage"). It writes by hand, because a benchmark file has a million lines.

use std::io::{self, Write};

/// The header of the CSV form; the columns of [`UsageRecord::write_csv`].
pub const CSV_HEADER: &str = "id,source,service,quantity,event_time,imsi,iccid,msisdn,endpoint_id,account_id,mcc,mnc,destination,direction,\
apn,rat,session_id,sequence,final,rating_group,sponsor,attributes.subscription_type";

/// A usage record. Texts are plain ASCII without quotes, commas and backslashes: the writers do not escape. Empty texts are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the usage-record schema, under the same names")]
pub struct UsageRecord {
    pub id: String,
    pub source: String,
    pub service: &'static str,
    pub quantity: u64,
    /// Milliseconds since 1970.
    pub event_time_ms: i64,
    pub imsi: String,
    pub iccid: String,
    pub msisdn: String,
    pub endpoint_id: String,
    pub account_id: String,
    pub mcc: &'static str,
    pub mnc: &'static str,
    pub destination: String,
    pub direction: &'static str,
    pub apn: &'static str,
    pub rat: &'static str,
    pub session_id: String,
    pub sequence: Option<u64>,
    pub last: bool,
    pub rating_group: Option<u64>,
    pub sponsor: &'static str,
    pub subscription_type: &'static str,
}

/// `milliseconds` since 1970 as RFC 3339 text in UTC. Times outside jiff's range do not occur here.
#[must_use]
pub fn time_text(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default().to_string()
}

impl UsageRecord {
    /// Writes one JSON object and a line feed.
    ///
    /// # Errors
    /// Whatever `output` answers.
    pub fn write_json(&self, output: &mut impl Write) -> io::Result<()> {
        write!(output, "{{\"id\":\"{}\"", self.id)?;
        for (name, text) in self.texts_before() {
            write_text(output, name, text)?;
        }
        write!(output, ",\"quantity\":{},\"event_time\":\"{}\"", self.quantity, time_text(self.event_time_ms))?;
        for (name, text) in self.texts_after() {
            write_text(output, name, text)?;
        }
        if let Some(sequence) = self.sequence {
            write!(output, ",\"sequence\":{sequence}")?;
        }
        if self.last {
            write!(output, ",\"final\":true")?;
        }
        if let Some(rating_group) = self.rating_group {
            write!(output, ",\"rating_group\":{rating_group}")?;
        }
        write_text(output, "sponsor", self.sponsor)?;
        if !self.subscription_type.is_empty() {
            write!(output, ",\"attributes\":{{\"subscription_type\":\"{}\"}}", self.subscription_type)?;
        }
        output.write_all(b"}\n")
    }

    /// Writes one row in the order of [`CSV_HEADER`] and a line feed.
    ///
    /// # Errors
    /// Whatever `output` answers.
    pub fn write_csv(&self, output: &mut impl Write) -> io::Result<()> {
        write!(
            output,
            "{},{},{},{},{}",
            self.id,
            self.source,
            self.service,
            self.quantity,
            time_text(self.event_time_ms)
        )?;
        for (_, text) in self.texts_after() {
            write!(output, ",{text}")?;
        }
        let sequence = self.sequence.map(|number| number.to_string()).unwrap_or_default();
        let last = if self.last { "true" } else { "" };
        let rating_group = self.rating_group.map(|number| number.to_string()).unwrap_or_default();
        writeln!(output, ",{sequence},{last},{rating_group},{},{}", self.sponsor, self.subscription_type)
    }

    fn texts_before(&self) -> [(&'static str, &str); 2] {
        [("source", &self.source), ("service", self.service)]
    }

    fn texts_after(&self) -> [(&'static str, &str); 12] {
        [
            ("imsi", &self.imsi),
            ("iccid", &self.iccid),
            ("msisdn", &self.msisdn),
            ("endpoint_id", &self.endpoint_id),
            ("account_id", &self.account_id),
            ("mcc", self.mcc),
            ("mnc", self.mnc),
            ("destination", &self.destination),
            ("direction", self.direction),
            ("apn", self.apn),
            ("rat", self.rat),
            ("session_id", &self.session_id),
        ]
    }
}

fn write_text(output: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    if text.is_empty() { Ok(()) } else { write!(output, ",\"{name}\":\"{text}\"") }
}
