//! Reading of accounts.

use rating::{AccountKind, Mode, Status, TimeZone};

use super::bundle::grants;
use super::fields::{Fields, Reader, Thing};
use super::{shape, text_list, texts};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Account, AccountChange, Reference, Spanned};
use crate::value;
use crate::yaml::{Entry, Node, Value};

pub(super) fn read(reader: &mut Reader<'_>, thing: Thing<'_>, entry: &Entry<'_>) -> Option<Account> {
    let fields = reader.object(thing, entry.key_span, &entry.value, &shape::ACCOUNT)?;
    let kind = fields.get("kind").and_then(|node| reader.word(thing, "kind", node, shape::KINDS));
    let currency = reader.optional(&fields, "currency", value::parse_currency);
    let mut name = |key| fields.get(key).and_then(|node| reader.name(thing, key, node));
    let (parent, tariff, default_customer_tariff) = (name("parent"), name("tariff"), name("default_customer_tariff"));
    let mode = mode(reader, &fields);
    let time_zone =
        reader.optional(&fields, "time_zone", value::parse_zone).map_or_else(TimeZone::utc, |zone| zone.value);
    let status = status(reader, &fields).map_or(Status::Active, |status| status.value);
    let mut list = |key| fields.get(key).and_then(|node| text_list(reader, thing, key, node));
    let (sponsors, subscription_types) = (list("sponsors"), list("subscription_types"));
    let properties = fields.get("properties").map(|node| texts(reader, thing, "properties", node)).unwrap_or_default();
    let bundles = grants(reader, &fields);
    let mut changes = Vec::new();
    for item in fields.get("changes").and_then(|node| reader.list(thing, "changes", node)).unwrap_or_default() {
        changes.extend(change(reader, thing, item));
    }
    let kind = kind?;
    let kind = Spanned {
        value: [AccountKind::Operator, AccountKind::Reseller, AccountKind::Customer][kind.value],
        span: kind.span,
    };
    refuse_keys_of_others(reader, &fields, kind.value);
    if kind.value != AccountKind::Operator && fields.get("parent").is_none() {
        let diagnostic = Diagnostic::new(Code::NoParent, entry.key_span, format!("{thing} has no parent"));
        reader.report(diagnostic.label("needs `parent`"));
    }
    // What was refused takes no part in what follows.
    let parent = parent.filter(|_| kind.value != AccountKind::Operator);
    Some(Account {
        kind,
        currency: currency?,
        mode,
        time_zone,
        parent,
        tariff,
        default_customer_tariff,
        status,
        sponsors,
        subscription_types,
        properties,
        bundles,
        changes,
    })
}

/// Keys that mean nothing for this kind of account, in the account and in its changes.
fn refuse_keys_of_others(reader: &mut Reader<'_>, fields: &Fields<'_, '_, '_>, kind: AccountKind) {
    const ABOVE: &[&str] = &["parent", "tariff", "mode", "bundles", "sponsors", "subscription_types"];
    let (code, keys, why): (Code, &[&str], &str) = match kind {
        AccountKind::Operator => {
            (Code::OperatorKey, ABOVE, "is for accounts that pay a parent, and the operator pays nobody")
        }
        AccountKind::Customer => (
            Code::KeyOfKind,
            &["default_customer_tariff"],
            "is for the customers of a reseller, and this is a customer",
        ),
        AccountKind::Reseller | AccountKind::Endpoint => return,
    };
    let changes = match fields.get("changes").map(|node| &node.value) {
        Some(Value::List(items)) => &items[..],
        Some(Value::Scalar(_) | Value::Map(_) | Value::Broken) | None => &[],
    };
    let changed = changes.iter().flat_map(|change| match &change.value {
        Value::Map(entries) => &entries[..],
        Value::Scalar(_) | Value::List(_) | Value::Broken => &[],
    });
    for entry in fields.entries().iter().chain(changed).filter(|entry| keys.contains(&&*entry.key)) {
        let message = format!("{}: \"{}\" {why}", fields.thing, entry.key);
        reader.report(Diagnostic::new(code, entry.key_span, message).label("remove this"));
    }
}

/// Prepaid or postpaid, which is the default.
pub(super) fn mode(reader: &mut Reader<'_>, fields: &Fields<'_, '_, '_>) -> Mode {
    let word = fields.get("mode").and_then(|node| reader.word(fields.thing, "mode", node, shape::MODES));
    word.map_or(Mode::Postpaid, |word| [Mode::Postpaid, Mode::Prepaid][word.value])
}

fn status(reader: &mut Reader<'_>, fields: &Fields<'_, '_, '_>) -> Option<Spanned<Status>> {
    let word =
        fields.get("status").and_then(|node| reader.word(fields.thing, "status", node, shape::ACCOUNT_STATUS))?;
    Some(Spanned { value: [Status::Active, Status::Suspended, Status::Closed][word.value], span: word.span })
}

fn change(reader: &mut Reader<'_>, thing: Thing<'_>, node: &Node<'_>) -> Option<AccountChange> {
    let fields = reader.object(thing, node.span, node, &shape::ACCOUNT_CHANGE)?;
    let from = reader.optional(&fields, "from", value::parse_time);
    let parent = fields.get("parent").and_then(|node| reader.name(thing, "parent", node));
    let tariff = or_nothing(fields.get("tariff"), |node| reader.name(thing, "tariff", node));
    let default_customer_tariff: Option<Option<Reference>> =
        or_nothing(fields.get("default_customer_tariff"), |node| reader.name(thing, "default_customer_tariff", node));
    let status = status(reader, &fields);
    let sponsors = or_nothing(fields.get("sponsors"), |node| text_list(reader, thing, "sponsors", node));
    let subscription_types =
        or_nothing(fields.get("subscription_types"), |node| text_list(reader, thing, "subscription_types", node));
    let properties = fields.get("properties").map(|node| texts(reader, thing, "properties", node));
    Some(AccountChange {
        span: node.span,
        from: from?,
        parent,
        tariff,
        default_customer_tariff,
        status,
        sponsors,
        subscription_types,
        properties,
    })
}

/// A new value, or `~`, which takes the old one away. What is broken counts as no change.
pub(super) fn or_nothing<'n, 's, T>(
    node: Option<&'n Node<'s>>,
    read: impl FnOnce(&'n Node<'s>) -> Option<T>,
) -> Option<Option<T>> {
    let node = node?;
    if node.is_null() { Some(None) } else { read(node).map(Some) }
}
