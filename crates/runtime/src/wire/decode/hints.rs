//! Names that nothing reads and that look like a field: said where a field is missing.

use pipeline::Field;
use std::sync::Arc;

/// Most names that one remark has.
const MAX_HINTS: usize = 5;

/// Most characters of a name that are shown.
const MAX_NAME: usize = 40;

/// Names that others use, in small letters and digits only.
const OTHER_NAMES: [(Field, &[&str]); 12] = [
    (Field::Id, &["uuid", "recordid", "usageid", "cdrid", "uniqueid", "identifier", "eventid"]),
    (Field::Service, &["servicetype", "usagetype", "eventtype", "calltype"]),
    (Field::Quantity, &["duration", "billsec", "volume", "bytes", "octets", "seconds", "totalbytes", "usage", "units"]),
    (
        Field::EventTime,
        &["timestamp", "time", "date", "datetime", "start", "starttime", "startdate", "calldate", "recordopeningtime"],
    ),
    (Field::Imsi, &["servedimsi", "subscriberimsi", "subscriber"]),
    (Field::Iccid, &["sim", "simid", "icc"]),
    (Field::Msisdn, &["servedmsisdn", "phone", "phonenumber", "caller", "callingnumber", "anumber"]),
    (Field::EndpointId, &["endpoint", "device", "deviceid"]),
    (Field::AccountId, &["account", "customer", "customerid"]),
    (Field::Destination, &["called", "callednumber", "calledparty", "bnumber", "dst", "to"]),
    (Field::Apn, &["accesspointname", "accesspointnameni"]),
    (Field::Rat, &["rattype", "radioaccesstype"]),
];

/// Returns the field that a name looks like: in other letters, or under another name.
pub(super) fn likeness(name: &str) -> Option<Field> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = plain(name);
    if wanted.is_empty() || name.len() > 4 * MAX_NAME {
        return None;
    }
    let same = Field::ALL.iter().find(|field| plain(field.name()) == wanted).copied();
    same.or_else(|| OTHER_NAMES.iter().find(|(_, names)| names.contains(&&*wanted)).map(|(field, _)| *field))
}

/// Returns a remark on the names that nothing reads; `None` if none looks like a field that `is_missing`.
pub(super) fn hint<'n>(
    what: &str,
    unread: impl IntoIterator<Item = &'n str>,
    is_missing: impl Fn(Field) -> bool,
) -> Option<Arc<str>> {
    let alike = unread.into_iter().filter_map(|name| Some((name, likeness(name)?)));
    let mut remarks: Vec<String> = Vec::new();
    for (name, field) in alike.filter(|(_, field)| is_missing(*field)).take(MAX_HINTS) {
        let name: String = name.chars().take(MAX_NAME).flat_map(char::escape_debug).collect();
        remarks.push(format!("{what} \"{name}\" looks like {}", field.name()));
    }
    (!remarks.is_empty()).then(|| remarks.join(", ").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_like_fields() {
        let cases = [
            ("IMSI", Some(Field::Imsi)),
            ("Event Time", Some(Field::EventTime)),
            ("eventTime", Some(Field::EventTime)),
            ("timestamp", Some(Field::EventTime)),
            ("billsec", Some(Field::Quantity)),
            ("endpoint-id", Some(Field::EndpointId)),
            ("tag_name", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(likeness(name), expected, "{name}");
        }
        let hint = hint("column", ["IMSI", "note", "timestamp", "Apn"], |field| field != Field::Apn);
        assert_eq!(
            hint.as_deref(),
            Some("column \"IMSI\" looks like imsi, column \"timestamp\" looks like event_time")
        );
    }
}
