//! A usage record after intake: validated, in base units.

use crate::calendar::Timestamp;
use crate::quantity::{Unit, unit_of_service};
use crate::zone::Plmn;

/// One measured use of a service. Its identity is (source, id), as in CloudEvents; its event time is the start of the
/// (partial) record (rule 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRecord {
    /// Unique within the source.
    pub id: Box<str>,
    /// Who measured.
    pub source: Box<str>,
    /// `data`, `voice`, `sms` or any other name.
    pub service: Box<str>,
    /// In base units of [`UsageRecord::unit`]; at most [`crate::quantity::MAX_QUANTITY`].
    pub quantity: u64,
    /// The base unit.
    pub unit: Unit,
    /// Start of the (partial) record.
    pub event_time: Timestamp,
    /// SIM identity.
    pub imsi: Option<Box<str>>,
    /// SIM card number.
    pub iccid: Option<Box<str>>,
    /// Phone number of the SIM.
    pub msisdn: Option<Box<str>>,
    /// Name of the endpoint.
    pub endpoint_id: Option<Box<str>>,
    /// Name of the account, for use that no endpoint made (detail o).
    pub account_id: Option<Box<str>>,
    /// Network on which the use happened.
    pub network: Option<Plmn>,
    /// Called number.
    pub destination: Option<Box<str>>,
    /// `up`, `down`, `mo`, `mt`, or any other name.
    pub direction: Option<Box<str>>,
    /// Access point name.
    pub apn: Option<Box<str>>,
    /// Radio access type.
    pub rat: Option<Box<str>>,
    /// Session of which this is a partial record.
    pub session_id: Option<Box<str>>,
    /// Rating group of the charging rule.
    pub rating_group: Option<i64>,
    /// Sponsor operator.
    pub sponsor: Option<Box<str>>,
    /// Subscription type (attribute `subscription_type`).
    pub subscription_type: Option<Box<str>>,
}

impl UsageRecord {
    /// A record that says no more than this: quantity 0, in the unit of its service.
    pub fn new(id: &str, source: &str, service: &str, event_time: Timestamp) -> UsageRecord {
        UsageRecord {
            id: id.into(),
            source: source.into(),
            service: service.into(),
            quantity: 0,
            unit: unit_of_service(service),
            event_time,
            imsi: None,
            iccid: None,
            msisdn: None,
            endpoint_id: None,
            account_id: None,
            network: None,
            destination: None,
            direction: None,
            apn: None,
            rat: None,
            session_id: None,
            rating_group: None,
            sponsor: None,
            subscription_type: None,
        }
    }
}
