//! Values in Avro, and bytes, as JSON.

use apache_avro::types::Value as Avro;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rating::Timestamp;
use serde_json::{Value, json};

/// Reads a datum: amounts become text, and each field of a record what `field` makes of it, or nothing.
pub(crate) fn of_avro(value: Avro, field: fn(String, Avro) -> Option<(String, Value)>) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(flag) => flag.into(),
        Avro::Int(number) => number.into(),
        Avro::Long(number) => number.into(),
        Avro::String(text) | Avro::Enum(_, text) => text.into(),
        Avro::TimestampMillis(millis) => Timestamp::from_millis(millis).to_string().into(),
        Avro::Decimal(decimal) => amount(&Vec::<u8>::try_from(decimal).unwrap_or_default()).into(),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => text_or_base64(&bytes),
        Avro::Union(_, value) => of_avro(*value, field),
        Avro::Array(values) => values.into_iter().map(|value| of_avro(value, field)).collect(),
        Avro::Map(values) => {
            Value::Object(values.into_iter().map(|(name, value)| (name, of_avro(value, field))).collect())
        }
        Avro::Record(fields) => {
            Value::Object(fields.into_iter().filter_map(|(name, value)| field(name, value)).collect())
        }
        other => format!("{other:?}").into(),
    }
}

/// Reads a decimal of ten places, as the contracts have it.
fn amount(bytes: &[u8]) -> String {
    let is_negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if is_negative { -1_i128 } else { 0 };
    let unscaled = bytes.iter().fold(start, |value, byte| value << 8 | i128::from(*byte));
    rating::Sum::from_unscaled(unscaled).to_string()
}

/// Shows bytes to people: text where it is text that can be shown, else `{"base64": ...}`.
pub fn text_or_base64(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.into(),
        Ok(_) | Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_their_sign_and_places() {
        for (bytes, text) in [(&[][..], "0"), (&[0x01][..], "0.0000000001"), (&[0xff][..], "-0.0000000001")] {
            assert_eq!(amount(bytes), text);
        }
        assert_eq!(amount(&(-25_i128 * 10_i128.pow(9)).to_be_bytes()), "-2.5");
    }
}
