//! A usage record in packed messages: plain bytes, because each record passes here twice.

use super::bytes::{Reader, bytes, varint};
use crate::state::Corrupt;
use rating::{Plmn, Timestamp, Unit, UsageRecord};

/// The optional texts of a record, in the order of their bits.
fn texts(record: &UsageRecord) -> [&Option<Box<str>>; 12] {
    // Destructured without `..`, so that a new field does not compile until it is sent.
    let UsageRecord {
        id: _,
        source: _,
        service: _,
        quantity: _,
        unit: _,
        event_time: _,
        imsi,
        iccid,
        msisdn,
        endpoint_id,
        account_id,
        network: _,
        destination,
        direction,
        apn,
        rat,
        session_id,
        rating_group: _,
        sponsor,
        subscription_type,
    } = record;
    [
        imsi,
        iccid,
        msisdn,
        endpoint_id,
        account_id,
        destination,
        direction,
        apn,
        rat,
        session_id,
        sponsor,
        subscription_type,
    ]
}

/// How many of them, at the beginning, say whose the record is. Guide has found that out.
pub(super) const IDENTITIES: usize = 5;
/// How many of those name an endpoint: all but the account.
pub(super) const IDENTITIES_OF_ENDPOINTS: usize = 4;

const HAS_NETWORK: u64 = 1 << 12;
const HAS_RATING_GROUP: u64 = 1 << 13;

/// Writes a record without the first `skipped` of its optional texts.
pub(super) fn write_record(record: &UsageRecord, skipped: usize, out: &mut Vec<u8>) {
    let texts = texts(record);
    let mut present = 0;
    for (bit, text) in texts.iter().enumerate().skip(skipped) {
        present |= u64::from(text.is_some()) << bit;
    }
    present |= if record.network.is_some() { HAS_NETWORK } else { 0 };
    present |= if record.rating_group.is_some() { HAS_RATING_GROUP } else { 0 };
    varint(present, out);
    out.push(match record.unit {
        Unit::Octets => 0,
        Unit::Seconds => 1,
        Unit::Messages => 2,
        Unit::Units => 3,
    });
    varint(record.quantity, out);
    out.extend_from_slice(&record.event_time.millis().to_le_bytes());
    for text in
        [&record.id, &record.source, &record.service].into_iter().chain(texts.into_iter().skip(skipped).flatten())
    {
        bytes(text.as_bytes(), out);
    }
    if let Some(network) = record.network {
        varint(network.packed().into(), out);
    }
    if let Some(group) = record.rating_group {
        out.extend_from_slice(&group.to_le_bytes());
    }
}

pub(super) fn read_record(reader: &mut Reader<'_>) -> Result<UsageRecord, Corrupt> {
    let present = reader.varint()?;
    let unit = match reader.byte()? {
        0 => Unit::Octets,
        1 => Unit::Seconds,
        2 => Unit::Messages,
        3 => Unit::Units,
        _ => return Err(reader.corrupt("a unit")),
    };
    let quantity = reader.varint()?;
    let event_time = Timestamp::from_millis(reader.millis()?);
    let mut text = || reader.text().map(Box::<str>::from);
    let (id, source, service) = (text()?, text()?, text()?);
    let mut optional = |bit: u32| if present >> bit & 1 == 1 { text().map(Some) } else { Ok(None) };
    let mut record = UsageRecord {
        id,
        source,
        service,
        quantity,
        unit,
        event_time,
        imsi: optional(0)?,
        iccid: optional(1)?,
        msisdn: optional(2)?,
        endpoint_id: optional(3)?,
        account_id: optional(4)?,
        network: None,
        destination: optional(5)?,
        direction: optional(6)?,
        apn: optional(7)?,
        rat: optional(8)?,
        session_id: optional(9)?,
        rating_group: None,
        sponsor: optional(10)?,
        subscription_type: optional(11)?,
    };
    if present & HAS_NETWORK != 0 {
        let network = Plmn::from_packed(reader.small("a network")?);
        record.network = Some(network.ok_or_else(|| reader.corrupt("a network"))?);
    }
    if present & HAS_RATING_GROUP != 0 {
        record.rating_group = Some(reader.millis()?);
    }
    Ok(record)
}
