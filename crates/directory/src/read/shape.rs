//! Which keys stand where, as tables.
//!
//! Readers refuse unknown keys and missing ones by these tables, and the JSON Schema for editors is made of them, so the two cannot differ.

use crate::model::IdentityKind;

/// A map with known keys.
pub(crate) struct Shape {
    /// What it is, in messages and in the schema.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
    /// The form of values under keys of the writer's own choosing, where such keys stand beside the known ones.
    pub(crate) others: Option<Form>,
    /// Keys that are understood and refused, with the reason.
    pub(crate) unsupported: &'static [(&'static str, &'static str)],
}

/// A key of a map.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) need: Need,
    pub(crate) form: Form,
    /// One line for editors.
    pub(crate) text: &'static str,
}

/// Whether a key may be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
}

/// The form of a value.
pub(crate) enum Form {
    Text,
    Name,
    Quantity,
    Amount,
    Price,
    Money,
    Time,
    Length,
    Network,
    Prefix,
    Identity(IdentityKind),
    Integer(i64, i64),
    Percent,
    Flag,
    Currency,
    TimeZone,
    Days,
    Hours,
    Word(&'static [&'static str]),
    List(&'static Form),
    /// Names of the reader's own choosing as keys.
    Map(&'static Form),
    Object(&'static Shape),
    Either(&'static [Form]),
    /// Or nothing, which takes the thing away.
    OrNothing(&'static Form),
}

const fn required(name: &'static str, form: Form, text: &'static str) -> Key {
    Key { name, need: Need::Required, form, text }
}

const fn optional(name: &'static str, form: Form, text: &'static str) -> Key {
    Key { name, need: Need::Optional, form, text }
}

const fn shape(name: &'static str, keys: &'static [Key]) -> Shape {
    Shape { name, keys, others: None, unsupported: &[] }
}

pub(crate) static FILE: Shape = shape(
    "file",
    &[
        required("format", Form::Word(&["rater/v1"]), "version of this form"),
        optional("zones", Form::Map(&Form::Object(&ZONE)), "where use happens; `root` is built in"),
        optional("tariffs", Form::Map(&Form::Either(&[Form::Object(&TARIFF), Form::Object(&ALIAS)])), "prices"),
        optional("bundles", Form::Map(&Form::Object(&BUNDLE)), "what is sold"),
        optional("accounts", Form::Map(&Form::Object(&ACCOUNT)), "the hierarchy"),
        optional("endpoints", Form::Map(&Form::Object(&ENDPOINT)), "SIMs"),
    ],
);

pub(crate) static ZONE: Shape = shape(
    "zone",
    &[
        optional("networks", Form::List(&Form::Network), "MCCs and MCC-MNCs"),
        optional("to", Form::List(&Form::Prefix), "called-number prefixes; with `$` behind the digits a whole number"),
    ],
);

const COMMITMENT: &str = "a minimum commitment is not supported yet";
pub(crate) const UNIT_SYSTEMS: &[&str] = &["decimal", "binary"];
const UNITS: Key =
    optional("units", Form::Word(UNIT_SYSTEMS), "what KB, MB, GB and TB mean: powers of 1000 (default) or of 1024");

pub(crate) static TARIFF: Shape = Shape {
    name: "tariff",
    keys: &[
        required("currency", Form::Currency, "of every price; equals that of the accounts that use the tariff"),
        UNITS,
        optional("rounding", Form::Object(&ROUNDING), "of a charge; default scale 6, half-up"),
        optional("time_zone", Form::TimeZone, "of the time bands; default UTC"),
        optional("codes", Form::Map(&Form::Text), "ledger and tax codes copied onto charges"),
        required("versions", Form::List(&Form::Object(&VERSION)), "ascending; each holds until the next"),
    ],
    others: None,
    unsupported: &[("commitment", COMMITMENT)],
};

pub(crate) const ROUNDING_MODES: &[&str] = &["half-up", "half-even", "up", "down"];
pub(crate) static ROUNDING: Shape = shape(
    "rounding",
    &[
        optional("scale", Form::Integer(0, 10), "decimal places kept; default 6"),
        optional("mode", Form::Word(ROUNDING_MODES), "default half-up"),
    ],
);

pub(crate) static VERSION: Shape = Shape {
    name: "version",
    keys: &[
        required("from", Form::Time, "first moment"),
        optional("cap", Form::Money, "most that is charged per calendar month on an edge"),
        required("rates", Form::List(&Form::Object(&RATE)), "prices; the most specific one that matches applies"),
    ],
    others: None,
    unsupported: &[("commitment", COMMITMENT)],
};

const ZONE_OF: Key = optional("zone", Form::Name, "name of a zone; default root");
const RATING_GROUP: Key = optional("rating_group", Form::Integer(0, i64::MAX), "only for this rating group");
const APN: Key = optional("apn", Form::Text, "only for this access point");
const RAT: Key = optional("rat", Form::Text, "only for this radio access technology");
const DIRECTION: Key = optional("direction", Form::Text, "only for this direction");
const SPONSOR: Key = optional("sponsor", Form::Text, "only for this sponsor network");

const VOLUME: &str = "pricing all units by the tier that is reached is not supported yet";
pub(crate) const SCOPES: &[&str] = &["record", "session", "month"];
pub(crate) static RATE: Shape = Shape {
    name: "rate",
    keys: &[
        required("service", Form::Name, "`data`, `voice`, `sms` or any other name"),
        ZONE_OF,
        RATING_GROUP,
        APN,
        RAT,
        DIRECTION,
        SPONSOR,
        optional("price", Form::Price, "of every unit"),
        optional("tiers", Form::List(&Form::Object(&TIER)), "graduated prices"),
        optional("bands", Form::List(&Form::Object(&BAND)), "prices by time of day and week"),
        optional("package", Form::Object(&PACKAGE), "price of whole blocks"),
        optional("blocked", Form::Flag, "the use is refused"),
        optional("increment", Form::Quantity, "rating increment; default 1 base unit"),
        optional("minimum", Form::Quantity, "least billed per scope, if anything was used; default 0"),
        optional(
            "per",
            Form::Word(SCOPES),
            "scope of increments, minimum, free units and tiers; default record, with tiers month",
        ),
        optional("free", Form::Quantity, "free units of the scope; default 0"),
        optional("connect", Form::Money, "once per session, if a unit is priced; default 0"),
    ],
    others: None,
    unsupported: &[("volume_tiers", VOLUME), ("tier_mode", VOLUME), ("volume", VOLUME)],
};

pub(crate) static TIER: Shape = shape(
    "tier",
    &[
        optional("up_to", Form::Quantity, "end of the tier; the last one has none"),
        required("price", Form::Price, "of each unit in it"),
        optional("flat", Form::Money, "charged once, when its first unit is billed; default 0"),
    ],
);

pub(crate) static BAND: Shape = shape(
    "band",
    &[
        optional("days", Form::Days, "default all"),
        optional("hours", Form::Hours, "default all"),
        optional("otherwise", Form::Flag, "whenever no other band holds"),
        optional("connect", Form::Money, "once per session, if its first unit is in this band; default 0"),
        required("price", Form::Price, "of each unit"),
    ],
);

pub(crate) static PACKAGE: Shape = shape(
    "package",
    &[required("size", Form::Quantity, "of one block"), required("price", Form::Money, "of one block")],
);

pub(crate) static ALIAS: Shape = shape(
    "alias",
    &[
        required("alias_of", Form::Name, "name of the tariff that it follows"),
        optional(
            "markup",
            Form::Either(&[Form::Map(&Form::Price), Form::List(&Form::Object(&MARKUP))]),
            "by service, what is added to unit prices; or a list of such maps with `from`",
        ),
    ],
);

/// Beside `from`, the keys are names of services.
pub(crate) static MARKUP: Shape = Shape {
    name: "markup",
    keys: &[required("from", Form::Time, "first moment")],
    others: Some(Form::Price),
    unsupported: &[],
};

const RENEWAL: &str = "a bundle that renews is not supported yet";
const ROLL_OVER: &str = "roll-over of allowances is not supported yet";
pub(crate) const STARTS: &[&str] = &["date", "first_use", "activation"];
pub(crate) const BUNDLE_SCOPES: &[&str] = &["customer", "endpoint"];
pub(crate) static BUNDLE: Shape = Shape {
    name: "bundle",
    keys: &[
        optional("currency", Form::Currency, "needed only where there is no price"),
        optional("price", Form::Money, "fee, charged when an instance becomes active"),
        UNITS,
        optional("starts", Form::Word(STARTS), "default date"),
        optional("lasts", Form::Length, "default for ever"),
        optional("scope", Form::Word(BUNDLE_SCOPES), "who draws: all endpoints below the payer (default), or one"),
        optional("promotional", Form::Flag, "drawn before paid bundles"),
        optional("warn_at", Form::List(&Form::Percent), "thresholds that notify once each; default 100 %"),
        required("elements", Form::List(&Form::Object(&ELEMENT)), "allowances"),
    ],
    others: None,
    unsupported: &[("iterations", RENEWAL), ("renews_on", RENEWAL), ("roll_over", ROLL_OVER), ("rollover", ROLL_OVER)],
};

pub(crate) static ELEMENT: Shape = shape(
    "element",
    &[
        optional("priority", Form::Integer(0, u32::MAX as i64), "lower is drawn first; default 1"),
        required("service", Form::Name, "`data`, `voice`, `sms` or any other name"),
        ZONE_OF,
        RATING_GROUP,
        APN,
        RAT,
        DIRECTION,
        SPONSOR,
        required("amount", Form::Amount, "a quantity, or `unlimited`"),
        optional("fair_use", Form::Flag, "drawn last"),
    ],
);

pub(crate) static GRANT: Shape = shape(
    "grant",
    &[
        required("bundle", Form::Name, "name of a bundle"),
        optional("at", Form::Time, "start; default 1970-01-01T00:00:00Z"),
        optional("endpoint", Form::Name, "for scope endpoint"),
    ],
);

static GRANT_FORM: Form = Form::Either(&[Form::Name, Form::Object(&GRANT)]);
const GRANTS: Key = optional("bundles", Form::List(&GRANT_FORM), "grants");

pub(crate) const KINDS: &[&str] = &["operator", "reseller", "customer"];
pub(crate) const MODES: &[&str] = &["postpaid", "prepaid"];
pub(crate) const ACCOUNT_STATUS: &[&str] = &["active", "suspended", "closed"];

pub(crate) static ACCOUNT: Shape = Shape {
    name: "account",
    keys: &[
        required("kind", Form::Word(KINDS), "exactly one operator, the root"),
        optional("parent", Form::Name, "who charges it; not for the operator"),
        required("currency", Form::Currency, "fixed for ever"),
        optional("tariff", Form::Name, "what the parent charges by"),
        optional("default_customer_tariff", Form::Name, "for direct customers without a tariff of their own"),
        optional("mode", Form::Word(MODES), "default postpaid"),
        optional("time_zone", Form::TimeZone, "of calendar months and bundle lengths; default UTC"),
        optional("status", Form::Word(ACCOUNT_STATUS), "default active"),
        optional("sponsors", Form::List(&Form::Text), "what may be used; absent: anything"),
        optional("subscription_types", Form::List(&Form::Text), "what may be used; absent: anything"),
        optional("properties", Form::Map(&Form::Text), "custom properties, copied onto charges"),
        GRANTS,
        optional("changes", Form::List(&Form::Object(&ACCOUNT_CHANGE)), "what holds from a moment on"),
    ],
    others: None,
    unsupported: &[
        ("pots", "a credit pot is not supported yet"),
        ("credit_limit", "the limit of a postpaid account is not supported yet"),
        ("commitment", COMMITMENT),
    ],
};

pub(crate) static ACCOUNT_CHANGE: Shape = Shape {
    name: "change",
    keys: &[
        required("from", Form::Time, "first moment"),
        optional("parent", Form::Name, "new parent"),
        optional("tariff", Form::OrNothing(&Form::Name), "new tariff, or `~` for none"),
        optional("default_customer_tariff", Form::OrNothing(&Form::Name), "new default, or `~` for none"),
        optional("status", Form::Word(ACCOUNT_STATUS), "new status"),
        optional("sponsors", Form::OrNothing(&Form::List(&Form::Text)), "new list, or `~` for anything"),
        optional("subscription_types", Form::OrNothing(&Form::List(&Form::Text)), "new list, or `~` for anything"),
        optional("properties", Form::Map(&Form::Text), "in place of all earlier ones"),
    ],
    others: None,
    unsupported: &[
        ("currency", "a change of an account's currency is not possible"),
        ("mode", "a change between prepaid and postpaid is not supported yet"),
        ("kind", "a change of an account's kind is not possible"),
        ("time_zone", "a change of an account's time zone is not supported yet"),
    ],
};

const IMSI: Form = Form::Identity(IdentityKind::Imsi);
const IMSIS: Form = Form::Either(&[IMSI, Form::List(&IMSI)]);

pub(crate) static ENDPOINT: Shape = shape(
    "endpoint",
    &[
        required("customer", Form::Name, "the customer it belongs to"),
        optional("imsi", IMSIS, "one, or a list of those that the SIM uses in turn; unique at any moment"),
        optional("iccid", Form::Identity(IdentityKind::Iccid), "unique at any moment"),
        optional("msisdn", Form::Identity(IdentityKind::Msisdn), "unique at any moment"),
        optional("group", Form::Name, "endpoint group; `none`: cannot be active"),
        optional("active", Form::Time, "first moment at which it is active; default always"),
        optional("plan", Form::OrNothing(&Form::Object(&PLAN)), "gives it an account of its own"),
        optional("changes", Form::List(&Form::Object(&ENDPOINT_CHANGE)), "what holds from a moment on"),
    ],
);

pub(crate) static PLAN: Shape = shape(
    "plan",
    &[
        optional("tariff", Form::Name, "what the customer charges by"),
        optional("mode", Form::Word(MODES), "default postpaid"),
        GRANTS,
    ],
);

pub(crate) const ENDPOINT_STATUS: &[&str] = &["active", "inactive"];
pub(crate) static ENDPOINT_CHANGE: Shape = shape(
    "change",
    &[
        required("from", Form::Time, "first moment"),
        optional("customer", Form::Name, "new customer"),
        optional("status", Form::Word(ENDPOINT_STATUS), "new status"),
        optional("imsi", Form::OrNothing(&IMSIS), "new IMSI or IMSIs in place of all before, or `~` for none"),
        optional("iccid", Form::OrNothing(&Form::Identity(IdentityKind::Iccid)), "new ICCID, or `~` for none"),
        optional("msisdn", Form::OrNothing(&Form::Identity(IdentityKind::Msisdn)), "new MSISDN, or `~` for none"),
        optional("plan", Form::OrNothing(&Form::Object(&PLAN)), "new plan, or `~` for none"),
        optional("group", Form::Name, "new group"),
    ],
);

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(shape: &'static Shape, keys: &mut Vec<(&'static str, &'static str)>) {
        for key in shape.keys {
            keys.push((shape.name, key.name));
            collect_form(&key.form, keys);
        }
    }

    fn collect_form(form: &'static Form, keys: &mut Vec<(&'static str, &'static str)>) {
        match form {
            Form::List(inner) | Form::Map(inner) | Form::OrNothing(inner) => collect_form(inner, keys),
            Form::Object(shape) => collect(shape, keys),
            Form::Either(forms) => forms.iter().for_each(|form| collect_form(form, keys)),
            _ => {}
        }
    }

    #[test]
    fn every_key_is_described_in_the_contract() {
        let contract = include_str!("../../../../docs/reference-data.md");
        let contract = contract.split("# Input").next().unwrap_or_default();
        let mut keys = Vec::new();
        collect(&FILE, &mut keys);
        assert!(keys.len() > 80, "{}", keys.len());
        for (shape, key) in keys {
            let is_word = |at: usize| {
                let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
                edge(contract[..at].chars().next_back()) && edge(contract[at + key.len()..].chars().next())
            };
            assert!(contract.match_indices(key).any(|(at, _)| is_word(at)), "{shape}: {key} is not described");
        }
    }
}
