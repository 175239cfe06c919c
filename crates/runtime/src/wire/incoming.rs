//! Records in, as messages: what [`Decoder`](super::Decoder) does for the records of a file, for messages that each say what they are.
//!
//! It is done in two steps, because a registry that cannot be reached is no fault of the data. [`FramedDecoder::prepare`] fetches what a
//! batch needs and may fail as a whole; then [`Prepared::decode`] is a total function of the bytes, for any number of threads.
//!
//! | what | kept | limit |
//! | --- | --- | --- |
//! | a schema by its id, readable or not | for ever: ids do not change their meaning | [`Limits::schemas`] and [`Limits::schema_bytes`] beyond what the last batch used |
//! | that an id is unknown, or its answer too long | [`Limits::unknown_for`]: it may be registered a moment later | [`Limits::unknown`] beyond what the last batch used |
//!
//! A batch may need any number of ids: that is bounded by the batch. Deliberately not done: telling usage topics from command topics.

use super::decode::{Decoded, Plan, decode_json, undecodable};
use super::fingerprint::Fingerprint;
use super::framing::Framing;
use crate::registry::{Registered, Registry, RegistryError, SchemaId};
use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use pipeline::Fault;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest message, in bytes, as of records in files.
const MAX_MESSAGE_BYTES: usize = super::decode::MAX_RECORD_BYTES;

/// Longest schema, in bytes.
const MAX_SCHEMA_BYTES: usize = 1 << 20;

/// Most of a library's message that is passed on, in characters.
const MAX_REASON_CHARS: usize = 200;

/// Our schemas of what comes in, each with those that were ever published; the present one first.
const CONTRACTS: [&[&str]; 3] = [
    &[
        include_str!("../../../../schemas/usage-record.avsc"),
        include_str!("../../../../schemas/history/v1/usage-record.avsc"),
    ],
    &[
        include_str!("../../../../schemas/account-command.avsc"),
        include_str!("../../../../schemas/history/v1/account-command.avsc"),
    ],
    &[include_str!("../../../../schemas/tick.avsc"), include_str!("../../../../schemas/history/v1/tick.avsc")],
];

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Schemas.
    pub schemas: usize,
    /// Bytes of their texts. What is kept of a schema takes a few times as much.
    pub schema_bytes: usize,
    /// Ids that the registry does not know.
    pub unknown: usize,
    /// How long an id is taken for unknown before the registry is asked again.
    pub unknown_for: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { schemas: 1000, schema_bytes: 64 << 20, unknown: 10_000, unknown_for: Duration::from_secs(5) }
    }
}

/// The registry gave no usable answer, so that nothing can be said about the data: try the same batch again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryUnreachable {
    /// The id asked for.
    pub id: SchemaId,
    /// The trouble. It may be one that does not pass by itself, such as wrong credentials.
    pub error: RegistryError,
}

impl fmt::Display for RegistryUnreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema id {}: {}", self.id, self.error)
    }
}

impl std::error::Error for RegistryUnreachable {}

/// How datums of a schema are read; or why not, in words.
type Reading = Result<Arc<Plan>, Arc<str>>;

#[derive(Debug)]
struct Known {
    reading: Reading,
    /// Until when it holds; `None`: for ever.
    until: Option<Instant>,
    /// Of the schema's text.
    bytes: usize,
    /// Number of the last batch that needed it.
    used: u64,
}

/// Reads messages.
#[derive(Debug)]
pub struct FramedDecoder {
    registry: Option<Registry>,
    limits: Limits,
    readers: Vec<Schema>,
    by_fingerprint: Arc<HashMap<Fingerprint, Arc<Plan>>>,
    by_id: HashMap<SchemaId, Known>,
    batch: u64,
}

/// All that a batch needs to be decoded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    has_registry: bool,
    by_fingerprint: Arc<HashMap<Fingerprint, Arc<Plan>>>,
    by_id: Arc<HashMap<SchemaId, Reading>>,
}

impl FramedDecoder {
    /// Without a registry, messages with a schema id cannot be decoded.
    ///
    /// # Errors
    /// None for the schemas compiled in, which tests prove; an error in words all the same.
    pub fn new(registry: Option<Registry>, limits: Limits) -> Result<FramedDecoder, String> {
        FramedDecoder::reading(registry, limits, &CONTRACTS)
    }

    fn reading(registry: Option<Registry>, limits: Limits, contracts: &[&[&str]]) -> Result<FramedDecoder, String> {
        let parse = |text: &str| Schema::parse_str(text).map_err(|error| error.to_string());
        let mut readers = Vec::with_capacity(contracts.len());
        let mut by_fingerprint = HashMap::new();
        for versions in contracts {
            let Some(present) = versions.first() else { continue };
            let reader = parse(present)?;
            for version in *versions {
                let writer = parse(version)?;
                let plan = Arc::new(Plan::resolved(&writer, &reader)?);
                for fingerprint in [Fingerprint::of(version)?, Fingerprint::of_library(&writer)] {
                    by_fingerprint.entry(fingerprint).or_insert_with(|| Arc::clone(&plan));
                }
            }
            readers.push(reader);
        }
        let by_fingerprint = Arc::new(by_fingerprint);
        Ok(FramedDecoder { registry, limits, readers, by_fingerprint, by_id: HashMap::new(), batch: 0 })
    }

    /// Fetches the schemas of all ids that a batch needs and that are not known yet, each once.
    ///
    /// # Errors
    /// The registry gave no usable answer for an id. What was fetched before it is kept, so that trying again gets further.
    pub fn prepare<'b>(&mut self, batch: impl IntoIterator<Item = &'b [u8]>) -> Result<Prepared, RegistryUnreachable> {
        self.batch += 1;
        let mut needed = HashMap::new();
        for message in batch {
            let Ok(Framing::Confluent(id, _)) = Framing::of(message) else { continue };
            if self.registry.is_none() || needed.contains_key(&id) {
                continue;
            }
            needed.insert(id, self.reading_of(id)?);
        }
        self.forget();
        Ok(Prepared {
            has_registry: self.registry.is_some(),
            by_fingerprint: Arc::clone(&self.by_fingerprint),
            by_id: Arc::new(needed),
        })
    }

    fn reading_of(&mut self, id: SchemaId) -> Result<Reading, RegistryUnreachable> {
        if let Some(known) = self.by_id.get_mut(&id)
            && known.until.is_none_or(|until| Instant::now() < until)
        {
            known.used = self.batch;
            return Ok(known.reading.clone());
        }
        let Some(registry) = &self.registry else { return Ok(Err("there is no schema registry".into())) };
        let for_a_while = || Some(Instant::now() + self.limits.unknown_for);
        let (reading, until, bytes) = match registry.schema(id) {
            Ok(registered) => (self.read_by(&registered), None, registered.schema.len()),
            Err(RegistryError::SchemaUnknown) => (Err("is unknown".to_owned()), for_a_while(), 0),
            // It is so however often it is asked for: the messages wait, not the partition.
            Err(RegistryError::TooLong(limit)) => (Err(format!("is longer than {limit} bytes")), for_a_while(), 0),
            Err(error) => return Err(RegistryUnreachable { id, error }),
        };
        let reading: Reading = match reading {
            Ok(plan) => Ok(Arc::new(plan)),
            Err(why) => Err(format!("schema id {id} {why}").into()),
        };
        self.by_id.insert(id, Known { reading: reading.clone(), until, bytes, used: self.batch });
        Ok(reading)
    }

    /// How to read datums of a schema from the registry.
    fn read_by(&self, registered: &Registered) -> Result<Plan, String> {
        let Registered { schema, kind, references } = registered;
        if kind != "AVRO" {
            return Err(format!("is of kind {}, not AVRO", cut(kind)));
        }
        if *references > 0 {
            return Err("refers to other schemas, which is not supported".to_owned());
        }
        if schema.len() > MAX_SCHEMA_BYTES {
            return Err(format!("is longer than {MAX_SCHEMA_BYTES} bytes"));
        }
        let writer = Schema::parse_str(schema).map_err(|error| format!("is no schema: {}", cut(&error.to_string())))?;
        let reader = self.reader_of(&writer);
        let Some(reader) = reader else { return Err("has no reader".to_owned()) };
        let name = reader.name().map(ToString::to_string).unwrap_or_default();
        let unreadable = |why: String| format!("cannot be read as {name}: {}", cut(&why));
        SchemaCompatibility::can_read(&writer, reader).map_err(|error| unreadable(error.to_string()))?;
        Plan::resolved(&writer, reader).map_err(unreadable)
    }

    /// Our schema of the writer's name; usage records for any other name.
    fn reader_of(&self, writer: &Schema) -> Option<&Schema> {
        let wanted = writer.name().map(|name| name.name());
        let same = self.readers.iter().find(|reader| reader.name().map(|name| name.name()) == wanted);
        same.or(self.readers.first())
    }

    /// Drops what was used longest ago beyond the limits, and never what this batch used.
    fn forget(&mut self) {
        for (is_unknown, limit) in [(false, self.limits.schemas), (true, self.limits.unknown)] {
            let kept = self.by_id.iter().filter(|(_, known)| known.until.is_some() == is_unknown);
            let mut bytes: usize = kept.clone().map(|(_, known)| known.bytes).sum();
            let mut count = kept.clone().count();
            if count <= limit && bytes <= self.limits.schema_bytes {
                continue;
            }
            let mut ages: Vec<(u64, SchemaId, usize)> =
                kept.map(|(id, known)| (known.used, *id, known.bytes)).collect();
            ages.sort_unstable();
            for (used, id, freed) in ages {
                if used == self.batch || (count <= limit && bytes <= self.limits.schema_bytes) {
                    break;
                }
                self.by_id.remove(&id);
                (count, bytes) = (count - 1, bytes - freed);
            }
        }
    }

    /// How many ids are remembered, known and unknown ones.
    pub fn remembered(&self) -> usize {
        self.by_id.len()
    }
}

impl Prepared {
    /// Decodes a message of the batch.
    ///
    /// # Errors
    /// `undecodable`, with the reason; `invalid_record` for a field of the wrong kind.
    pub fn decode<'a>(&'a self, message: &'a [u8]) -> Result<Decoded<'a>, Fault> {
        if message.len() >= MAX_MESSAGE_BYTES {
            return Err(undecodable(format!("is longer than {MAX_MESSAGE_BYTES} bytes")));
        }
        match Framing::of(message).map_err(undecodable)? {
            Framing::Json(text) => decode_json(text),
            Framing::SingleObject(fingerprint, datum) => match self.by_fingerprint.get(&fingerprint) {
                Some(plan) => plan.decode(datum),
                None => Err(undecodable(format!("schema fingerprint {fingerprint} is unknown"))),
            },
            Framing::Confluent(id, datum) => match self.by_id.get(&id) {
                Some(Ok(plan)) => plan.decode(datum),
                Some(Err(why)) => Err(undecodable(&**why)),
                None if self.has_registry => Err(undecodable(format!("schema id {id} was not asked for"))),
                None => Err(undecodable(format!("schema id {id}: there is no schema registry"))),
            },
        }
    }

    /// Media type of a message, as suspense tells it.
    pub fn content_type(message: &[u8]) -> &'static str {
        match Framing::of(message) {
            Ok(Framing::Json(_)) => "application/json",
            Ok(Framing::SingleObject(..) | Framing::Confluent(..)) => "application/avro",
            Err(_) => "application/octet-stream",
        }
    }
}

/// A message of a library in one line, and not too long.
fn cut(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = words.char_indices().nth(MAX_REASON_CHARS) {
        words.truncate(at);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::{Field, RawValue};

    /// No schema of ours has an alias yet; one that gets some has to read what was written before.
    #[test]
    fn fields_are_known_by_the_aliases_of_the_reader() {
        let present = r#"{"type":"record","name":"UsageRecord","fields":[
            {"name":"service","type":"string","aliases":["kind","what"]},{"name":"id","type":"string","aliases":["record_id"]}]}"#;
        let before = r#"{"type":"record","name":"UsageRecord","fields":[
            {"name":"record_id","type":"string"},{"name":"what","type":"bytes"}]}"#;
        let contracts: [&[&str]; 1] = [&[present, before]];
        let mut decoder = FramedDecoder::reading(None, Limits::default(), &contracts).expect("a decoder");
        let frame = crate::wire::Frame::single_object(Fingerprint::of(before).expect("a fingerprint"));
        let message = [frame.as_bytes(), b"\x04r1\x06sms"].concat();
        let prepared = decoder.prepare([&*message]).expect("nothing is asked");
        let Ok(Decoded::Usage(usage)) = prepared.decode(&message) else { panic!("a usage record") };
        assert_eq!(usage.get(Field::Id), &RawValue::Text("r1".into()));
        assert_eq!(usage.get(Field::Service), &RawValue::Text("sms".into()));
    }
}
