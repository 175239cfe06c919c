//! Records as decoded, before anything is believed: what the wire formats hand to intake.

use std::borrow::Cow;
use std::sync::Arc;

/// A value as decoded: text formats give text, binary formats integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RawValue<'a> {
    /// Not given, null or empty.
    #[default]
    Absent,
    /// Text; may hold a number.
    Text(Cow<'a, str>),
    /// An integer.
    Integer(i64),
    /// A number with a fraction or an exponent, or beyond 64 bits, as written.
    Number(Cow<'a, str>),
    /// A value of a kind that no field has (a list, bytes), in words.
    Other(Cow<'a, str>),
}

macro_rules! fields {
    ($($variant:ident = $name:literal;)+) => {
        /// The fields of a usage record, named as in `schemas/usage-record.avsc`. A payload is hashed with the place of each field in this list
        /// ([`identity`](crate::identity)): a new one goes to its end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Field { $(#[doc = concat!("`", $name, "`")] $variant,)+ }

        impl Field {
            /// Every field.
            pub const ALL: &'static [Field] = &[$(Field::$variant,)+];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)+ }
            }

            /// The inverse of [`Field::name`].
            pub fn parse(name: &str) -> Option<Field> {
                match name {
                    $($name => Some(Field::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

fields! {
    Id = "id";
    Source = "source";
    Service = "service";
    Quantity = "quantity";
    Unit = "unit";
    EventTime = "event_time";
    EndTime = "end_time";
    Imsi = "imsi";
    Iccid = "iccid";
    Msisdn = "msisdn";
    EndpointId = "endpoint_id";
    AccountId = "account_id";
    Imei = "imei";
    Mcc = "mcc";
    Mnc = "mnc";
    Destination = "destination";
    Direction = "direction";
    QuantityUp = "quantity_up";
    QuantityDown = "quantity_down";
    Apn = "apn";
    Rat = "rat";
    SessionId = "session_id";
    Sequence = "sequence";
    Final = "final";
    ClosingCause = "closing_cause";
    RatingGroup = "rating_group";
    Sponsor = "sponsor";
}

/// How many fields there are.
pub const FIELD_COUNT: usize = Field::ALL.len();

/// A usage record as decoded.
#[derive(Clone, Debug, Default)]
pub struct RawUsage<'a> {
    values: [RawValue<'a>; FIELD_COUNT],
    /// Further attributes by name.
    pub attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// A remark for whoever mends the record: names that nothing reads and that look like fields.
    pub hint: Option<Arc<str>>,
}

impl<'a> RawUsage<'a> {
    /// A field's value.
    pub fn get(&self, field: Field) -> &RawValue<'a> {
        &self.values[field as usize]
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, value: RawValue<'a>) {
        self.values[field as usize] = value;
    }
}

/// An account command as decoded: fields by the names of `schemas/account-command.avsc`.
#[derive(Clone, Debug, Default)]
pub struct RawCommand<'a> {
    /// `command_id`
    pub command_id: Option<Cow<'a, str>>,
    /// `kind`
    pub kind: Option<Cow<'a, str>>,
    /// `account_id`
    pub account_id: Option<Cow<'a, str>>,
    /// `issued_by`
    pub issued_by: Option<Cow<'a, str>>,
    /// `effective_time`, RFC 3339 or milliseconds
    pub effective_time: Option<Cow<'a, str>>,
    /// `amount`, exact decimal text
    pub amount: Option<Cow<'a, str>>,
    /// `currency`
    pub currency: Option<Cow<'a, str>>,
    /// `bundle_id`
    pub bundle_id: Option<Cow<'a, str>>,
    /// `endpoint_id`
    pub endpoint_id: Option<Cow<'a, str>>,
    /// `note`
    pub note: Option<Cow<'a, str>>,
    /// `reference`
    pub reference: Option<Cow<'a, str>>,
    /// Fields that are given but not understood yet ([`UNSUPPORTED`]).
    pub unsupported: Vec<&'static str>,
}

/// Fields of commands that the contract has and no kind of command takes yet: a command that gives one is refused, because an option without effect is
/// an error.
pub const UNSUPPORTED: [&str; 18] = [
    "anchor",
    "expires_at",
    "fee_waived",
    "identities",
    "limit",
    "number",
    "on_behalf_of",
    "partial",
    "rating_groups",
    "received_time",
    "remaining",
    "reverses",
    "session_id",
    "terminate",
    "thresholds",
    "ttl",
    "units",
    "until",
];

/// What these fields say where they are not given: then a sender may as well give it.
pub const DEFAULTS: [(&str, &str); 3] = [("fee_waived", "false"), ("partial", "true"), ("terminate", "false")];
