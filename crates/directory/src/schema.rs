//! The JSON Schema of reference data, for editors.
//!
//! Made of the tables that the reader refuses unknown keys by, so that what an editor completes is what the loader accepts. It says less than
//! the loader: references, order in time and everything else that needs more than one place is checked on loading only.

use serde_json::{Map, Value, json};

use crate::model::IdentityKind;
use crate::read::shape::{FILE, Form, Need, Shape};

/// The content of `schemas/rating.schema.json` (draft 7, which editors of YAML understand).
pub fn json_schema() -> Value {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Reference data of Rater",
        "description": "The form that docs/reference-data.md describes.",
    });
    if let (Some(schema), Value::Object(file)) = (schema.as_object_mut(), object(&FILE)) {
        schema.extend(file);
    }
    schema
}

fn object(shape: &Shape) -> Value {
    let mut properties = Map::new();
    for key in shape.keys {
        let mut value = form(&key.form);
        if let Some(value) = value.as_object_mut() {
            value.insert("description".to_owned(), json!(key.text));
        }
        properties.insert(key.name.to_owned(), value);
    }
    let required: Vec<&str> = shape.keys.iter().filter(|key| key.need == Need::Required).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema["additionalProperties"] = shape.others.as_ref().map_or(json!(false), form);
    schema
}

const NUMBER: &str = r"[0-9]+(\.[0-9]{1,10})?";
const UNITS: &str = "B|[KMGT]i?B|s|min|h|messages?|units?";

/// Values are texts to the loader; to an editor, unquoted ones may be numbers, which patterns then do not judge.
fn text(pattern: String) -> Value {
    json!({ "type": ["string", "number"], "pattern": pattern })
}

fn form(form_of: &Form) -> Value {
    match form_of {
        Form::Text => json!({ "type": ["string", "number", "boolean"] }),
        Form::Name => text("^[a-z0-9_-]+$".to_owned()),
        Form::Quantity => text(format!("^{NUMBER} *({UNITS})?$")),
        Form::Amount => text(format!("^({NUMBER} *({UNITS})?|unlimited)$")),
        Form::Price => text(format!("^-?{NUMBER} */ *({NUMBER} *)?({UNITS})?$")),
        Form::Money => text(format!("^{NUMBER}( +[A-Z]{{3}})?$")),
        Form::Time => {
            let pattern =
                r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$";
            json!({ "type": "string", "pattern": pattern })
        }
        Form::Length => text("^[0-9]+ +(hour|day|week|month|year)s?$".to_owned()),
        Form::Network => text("^[0-9]{3}(-[0-9]{2,3})?$".to_owned()),
        Form::Prefix => text("^[0-9]{1,15}\\$?$".to_owned()),
        Form::Identity(kind) => text(
            match kind {
                IdentityKind::Imsi => "^[0-9]{6,15}$",
                IdentityKind::Iccid => "^[0-9]{18,20}$",
                IdentityKind::Msisdn => "^[0-9]{3,15}$",
            }
            .to_owned(),
        ),
        Form::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Percent => json!({ "type": "string", "pattern": "^[0-9]{1,3} *%$" }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Currency => json!({ "type": "string", "pattern": "^[A-Z]{3}$" }),
        Form::TimeZone => json!({ "type": "string" }),
        Form::Days => {
            let day = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
            text(format!("^{day}(-{day})?(, *{day}(-{day})?)*$"))
        }
        Form::Hours => text("^[0-2][0-9]:[0-5][0-9] *- *[0-2][0-9]:[0-5][0-9]$".to_owned()),
        Form::Word(words) => json!({ "enum": words }),
        Form::List(item) => json!({ "type": "array", "items": form(item) }),
        Form::Map(value) => json!({ "type": ["object", "null"], "additionalProperties": form(value) }),
        Form::Object(shape) => object(shape),
        Form::Either(forms) => json!({ "anyOf": forms.iter().map(form).collect::<Vec<_>>() }),
        Form::OrNothing(value) => json!({ "anyOf": [form(value), { "type": "null" }] }),
    }
}
