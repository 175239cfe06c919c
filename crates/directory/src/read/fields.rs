//! Reading of maps, lists and single values, with errors that say whose they are.

use std::fmt;

use rating::{Amount, Currency, Unit, UnitPrice};
use rust_decimal::Decimal;

use super::shape::{Need, Shape};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, closest};
use crate::model::{Price, Reference, Spanned};
use crate::source::Span;
use crate::value::{self, UnitSystem, ValueError};
use crate::yaml::{Entry, Node, Value};

/// What an error is about: `tariff "retail"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thing<'t> {
    pub(crate) kind: &'static str,
    pub(crate) name: &'t str,
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() { f.write_str(self.kind) } else { write!(f, "{} \"{}\"", self.kind, self.name) }
    }
}

/// Collects errors and counts flaws: everything wrong, also what was reported by someone else before.
pub(crate) struct Reader<'d> {
    pub(crate) errors: &'d mut Diagnostics,
    pub(crate) flaws: usize,
}

/// A map whose keys have been checked.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n, 's, 't> {
    pub(crate) thing: Thing<'t>,
    pub(crate) span: Span,
    shape: &'static Shape,
    entries: &'n [Entry<'s>],
}

impl<'n, 's> Fields<'n, 's, '_> {
    /// The value under a key of the shape.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node<'s>> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// All keys, also unknown ones, which have been reported.
    pub(crate) fn entries(&self) -> &'n [Entry<'s>] {
        self.entries
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&'n Entry<'s>> {
        debug_assert!(
            self.shape.keys.iter().any(|known| known.name == key),
            "{key} is not a key of {}",
            self.shape.name
        );
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl<'d> Reader<'d> {
    pub(crate) fn new(errors: &'d mut Diagnostics) -> Self {
        Reader { errors, flaws: 0 }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.flaws += 1;
        self.errors.push(diagnostic);
    }

    /// Something of another kind than expected. What was reported before is passed over.
    pub(crate) fn wrong_kind(&mut self, thing: Thing<'_>, key: &str, node: &Node<'_>, expected: &str) {
        if matches!(node.value, Value::Broken) {
            self.flaws += 1;
            return;
        }
        let message = format!("{thing}: {key}: {expected} is expected, not {}", node.kind());
        self.report(Diagnostic::new(Code::WrongKind, node.span, message).label(format!("expected {expected}")));
    }

    /// The entries of a map with keys of the writer's choosing. Nothing at all is an empty map.
    pub(crate) fn map<'n, 's>(&mut self, thing: Thing<'_>, key: &str, node: &'n Node<'s>) -> Option<&'n [Entry<'s>]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ if node.is_null() => Some(&[]),
            Value::Scalar(_) | Value::List(_) | Value::Broken => {
                self.wrong_kind(thing, key, node, "a map");
                None
            }
        }
    }

    pub(crate) fn list<'n, 's>(&mut self, thing: Thing<'_>, key: &str, node: &'n Node<'s>) -> Option<&'n [Node<'s>]> {
        match &node.value {
            Value::List(items) => Some(items),
            Value::Scalar(_) | Value::Map(_) | Value::Broken => {
                self.wrong_kind(thing, key, node, "a list");
                None
            }
        }
    }

    /// A list with at least one entry.
    pub(crate) fn full_list<'n, 's>(
        &mut self,
        thing: Thing<'_>,
        key: &str,
        node: &'n Node<'s>,
    ) -> Option<&'n [Node<'s>]> {
        let items = self.list(thing, key, node)?;
        if items.is_empty() {
            self.report(Diagnostic::new(Code::EmptyList, node.span, format!("{thing}: {key}: the list is empty")));
            return None;
        }
        Some(items)
    }

    pub(crate) fn text<'n>(&mut self, thing: Thing<'_>, key: &str, node: &'n Node<'_>) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(scalar) if !scalar.is_null() => Some(&scalar.text),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) | Value::Broken => {
                self.wrong_kind(thing, key, node, "a text");
                None
            }
        }
    }

    /// A single value of some form.
    pub(crate) fn value<T>(
        &mut self,
        thing: Thing<'_>,
        key: &str,
        node: &Node<'_>,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<Spanned<T>> {
        let text = self.text(thing, key, node)?;
        match parse(text) {
            Ok(value) => Some(Spanned { value, span: node.span }),
            Err(error) => {
                self.value_error(thing, key, node.span, error);
                None
            }
        }
    }

    pub(crate) fn value_error(&mut self, thing: Thing<'_>, key: &str, span: Span, error: ValueError) {
        let diagnostic = Diagnostic::new(error.code, span, format!("{thing}: {key}: {}", error.reason));
        self.report(Diagnostic { help: error.help, ..diagnostic });
    }

    /// The value under a key, if the key is there.
    pub(crate) fn optional<T>(
        &mut self,
        fields: &Fields<'_, '_, '_>,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<Spanned<T>> {
        let node = fields.get(key)?;
        self.value(fields.thing, key, node, parse)
    }

    /// One of some words, by its position among them.
    pub(crate) fn word(
        &mut self,
        thing: Thing<'_>,
        key: &str,
        node: &Node<'_>,
        words: &[&str],
    ) -> Option<Spanned<usize>> {
        let text = self.text(thing, key, node)?;
        if let Some(value) = words.iter().position(|word| *word == text) {
            return Some(Spanned { value, span: node.span });
        }
        let diagnostic = Diagnostic::new(
            Code::UnknownWord,
            node.span,
            format!("{thing}: {key}: \"{text}\" is not one of the words known here"),
        );
        let diagnostic = match closest(text, words.iter().copied()) {
            Some(near) => diagnostic.did_you_mean(Some(near)),
            None => diagnostic.help(format!("write {}", enumerate(words))),
        };
        self.report(diagnostic);
        None
    }

    pub(crate) fn flag(&mut self, fields: &Fields<'_, '_, '_>, key: &str) -> Option<Spanned<bool>> {
        let word = self.word(fields.thing, key, fields.get(key)?, &["false", "true"])?;
        Some(Spanned { value: word.value == 1, span: word.span })
    }

    /// A name of the form that names have.
    pub(crate) fn name(&mut self, thing: Thing<'_>, key: &str, node: &Node<'_>) -> Option<Reference> {
        self.value(thing, key, node, |text| match value::is_name(text) {
            true => Ok(Box::from(text)),
            false => Err(bad_name(text)),
        })
    }

    /// Money that is not negative, in `currency` if it says one at all.
    pub(crate) fn money(
        &mut self,
        fields: &Fields<'_, '_, '_>,
        key: &str,
        currency: Option<Currency>,
    ) -> Option<Decimal> {
        let money = self.optional(fields, key, value::parse_money)?;
        let thing = fields.thing;
        if let (Some(written), Some(expected)) = (money.value.currency, currency)
            && written != expected
        {
            let message = format!("{thing}: {key}: the amount is in {written}, but the currency here is {expected}");
            self.report(Diagnostic::new(Code::CurrencyMismatch, money.span, message));
            return None;
        }
        if money.value.amount.is_sign_negative() && !money.value.amount.is_zero() {
            self.report(Diagnostic::new(
                Code::Negative,
                money.span,
                format!("{thing}: {key}: {} is negative", money.value.amount),
            ));
            return None;
        }
        Some(money.value.amount)
    }

    /// Like [`money`](Self::money), in the form in which amounts are booked.
    pub(crate) fn amount(
        &mut self,
        fields: &Fields<'_, '_, '_>,
        key: &str,
        currency: Option<Currency>,
    ) -> Option<Amount> {
        let money = self.money(fields, key, currency)?;
        let amount = Amount::from_decimal(money);
        if amount.is_none() {
            // Money as written has at most ten decimal places and fits; this keeps the reader total if one of the two limits moves.
            let error = ValueError::new(Code::OutOfRange, format!("{money} is out of range"));
            self.value_error(fields.thing, key, fields.span, error);
        }
        amount
    }

    /// A quantity of at least `least` base units; the unit that it names is noted.
    pub(crate) fn quantity(
        &mut self,
        fields: &Fields<'_, '_, '_>,
        key: &str,
        least: Least,
        system: UnitSystem,
        measured: &mut Vec<Spanned<Unit>>,
    ) -> Option<Spanned<u64>> {
        let written = self.optional(fields, key, value::parse_quantity)?;
        let base = match written.value.base_units(system).and_then(|base| least.check(base)) {
            Ok(base) => base,
            Err(error) => {
                self.value_error(fields.thing, key, written.span, error);
                return None;
            }
        };
        measured.extend(written.value.unit().map(|unit| Spanned { value: unit, span: written.span }));
        Some(Spanned { value: base, span: written.span })
    }

    /// A price that is not negative; the unit that it names is noted.
    pub(crate) fn price(
        &mut self,
        thing: Thing<'_>,
        node: &Node<'_>,
        system: UnitSystem,
        measured: &mut Vec<Spanned<Unit>>,
    ) -> Option<Price> {
        let written = self.value(thing, "price", node, value::parse_price)?;
        let per = match written.value.per.base_units(system).and_then(|base| Least::One.check(base)) {
            Ok(per) => per,
            Err(error) => {
                self.value_error(thing, "price", written.span, error);
                return None;
            }
        };
        let amount = written.value.amount;
        if amount.is_sign_negative() && !amount.is_zero() {
            self.report(Diagnostic::new(Code::Negative, written.span, format!("{thing}: price: {amount} is negative")));
            return None;
        }
        measured.extend(written.value.per.unit().map(|unit| Spanned { value: unit, span: written.span }));
        Some(Price { value: UnitPrice::new(amount, per)?, span: written.span })
    }

    /// A map with known keys: reports unknown ones and missing ones. `at` is shown where a key is missing.
    pub(crate) fn object<'n, 's, 't>(
        &mut self,
        thing: Thing<'t>,
        at: Span,
        node: &'n Node<'s>,
        shape: &'static Shape,
    ) -> Option<Fields<'n, 's, 't>> {
        let entries: &[Entry<'_>] = match &node.value {
            Value::Map(entries) => entries,
            _ if node.is_null() => &[],
            Value::Scalar(_) | Value::List(_) | Value::Broken => {
                self.wrong_kind(thing, shape.name, node, "a map");
                return None;
            }
        };
        let mut guessed = Vec::new();
        for entry in entries.iter().filter(|entry| shape.keys.iter().all(|key| key.name != entry.key)) {
            guessed.extend(self.unknown_key(thing, shape, entry));
        }
        self.require(thing, at, shape, entries, &guessed);
        Some(Fields { thing, span: node.span, shape, entries })
    }

    /// Reports the required keys that are neither given nor probably misspelt.
    pub(crate) fn require(
        &mut self,
        thing: Thing<'_>,
        at: Span,
        shape: &Shape,
        entries: &[Entry<'_>],
        guessed: &[&str],
    ) {
        for key in shape.keys.iter().filter(|key| key.need == Need::Required) {
            if entries.iter().any(|entry| entry.key == key.name) {
                continue;
            }
            if guessed.contains(&key.name) {
                self.flaws += 1;
                continue;
            }
            let message = format!("{thing}: the key \"{}\" of the {} is missing", key.name, shape.name);
            self.report(Diagnostic::new(Code::MissingKey, at, message).label(format!("needs `{}`", key.name)));
        }
    }

    /// Reports a key that the shape does not know, and returns the key that was probably meant.
    fn unknown_key(&mut self, thing: Thing<'_>, shape: &'static Shape, entry: &Entry<'_>) -> Option<&'static str> {
        let key = &entry.key;
        if let Some((_, reason)) = shape.unsupported.iter().find(|(name, _)| name == key) {
            let message = format!("{thing}: {reason}");
            self.report(Diagnostic::new(Code::NotSupported, entry.key_span, message).label("refused"));
            return None;
        }
        let near = closest(key, shape.keys.iter().map(|known| known.name));
        let diagnostic =
            Diagnostic::new(Code::UnknownKey, entry.key_span, format!("{thing}: the key \"{key}\" is unknown"))
                .label(format!("not a key of {}", with_article(shape.name)));
        self.report(match near {
            Some(near) => diagnostic.did_you_mean(Some(near)),
            None => {
                let known: Vec<&str> = shape.keys.iter().map(|key| key.name).collect();
                diagnostic.help(format!("keys are {}", enumerate(&known)))
            }
        });
        near.and_then(|near| shape.keys.iter().map(|known| known.name).find(|name| *name == near))
    }
}

/// Least value of a quantity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Least {
    Zero,
    One,
}

impl Least {
    pub(crate) fn check(self, base: i64) -> Result<u64, ValueError> {
        match u64::try_from(base) {
            Err(_) => Err(ValueError::new(Code::Negative, "the quantity is negative")),
            Ok(0) if self == Least::One => {
                Err(ValueError::new(Code::OutOfRange, "the quantity is 0").help("it must be more than 0"))
            }
            Ok(base) => Ok(base),
        }
    }
}

pub(crate) fn bad_name(text: &str) -> ValueError {
    let error = ValueError::new(Code::BadName, format!("\"{text}\" is not a name"));
    let repaired: String =
        text.to_lowercase().chars().map(|c| if value::is_name(c.encode_utf8(&mut [0; 4])) { c } else { '-' }).collect();
    match value::is_name(&repaired) && repaired.bytes().any(|b| b.is_ascii_alphanumeric()) {
        true => error.help(format!("names match [a-z0-9_-]+, for example \"{repaired}\"")),
        false => error.help("names match [a-z0-9_-]+"),
    }
}

/// `a rate`, `an alias`
pub(crate) fn with_article(noun: &str) -> String {
    format!("{} {noun}", if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" })
}

/// `a, b or c` in backquotes.
pub(crate) fn enumerate(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
