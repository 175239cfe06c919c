//! The kind of a record, from the fields that it has (docs/input.md, "Kinds of records").

use pipeline::{Fault, Field, Kind};
use rating::SuspenseReason;

/// Fields of which only usage has one, and every usage record has all.
const OF_USAGE: [Field; 3] = [Field::Service, Field::Quantity, Field::EventTime];

/// Fields of usage that say nothing about the kind: others put them on everything that they send.
const OF_ANYTHING: [Field; 2] = [Field::Id, Field::Source];

/// Fields of commands, besides `command_id`, that no tick has.
const OF_COMMANDS: [&str; 9] = [
    "issued_by",
    "effective_time",
    "amount",
    "currency",
    "bundle_id",
    "expires_at",
    "reverses",
    "account_id",
    "endpoint_id",
];

/// Signs of a kind, collected from the fields that are there and not null.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signs {
    /// The kind that the record names.
    pub(super) named: Option<Kind>,
    /// The field that makes it a tick.
    tick: Option<&'static str>,
    has_command_id: bool,
    has_empty_command_id: bool,
    usage: Option<&'static str>,
    /// The first field that usage or commands have and ticks do not.
    more: Option<&'static str>,
}

impl Signs {
    /// Notes a field of usage.
    pub(super) fn field(&mut self, field: Field) {
        if OF_USAGE.contains(&field) {
            self.usage.get_or_insert(field.name());
        } else if !OF_ANYTHING.contains(&field) {
            self.more.get_or_insert(field.name());
        }
    }

    /// Notes the field `command_id`.
    pub(super) fn command_id(&mut self) {
        self.has_command_id = true;
    }

    /// Notes an empty `command_id`: absent in usage, a fault in a command.
    pub(super) fn empty_command_id(&mut self) {
        self.has_empty_command_id = true;
    }

    /// Notes the field that makes a tick: `tick` in JSON, `tick_id` in Avro.
    pub(super) fn tick(&mut self, name: &'static str) {
        self.tick = Some(name);
    }

    /// Notes a field of commands other than `command_id`.
    pub(super) fn of_command(&mut self, name: &'static str) {
        self.more.get_or_insert(name);
    }

    /// Returns the kind: the one that is named, else the only one that the fields can mean.
    ///
    /// # Errors
    /// `wrong_kind` for a record that could be two things, or whose name contradicts its fields.
    pub(super) fn kind(&self) -> Result<Kind, Fault> {
        let command = self.has_command_id.then_some("command_id");
        let of = |kind| match kind {
            Kind::Usage => self.usage,
            Kind::Command => command,
            Kind::Tick => self.tick,
        };
        if let Some(named) = self.named {
            let other = Kind::ALL.into_iter().find_map(|kind| of(kind).map(|field| (kind, field)));
            return match (of(named), other) {
                (None, Some((kind, field))) => Err(wrong_kind(format!(
                    "`type` says {}, but only {} has a field `{field}`",
                    named.phrase(),
                    kind.phrase()
                ))),
                (None, None) | (Some(_), _) => Ok(named),
            };
        }
        match (self.tick, command, self.usage.or(self.more)) {
            (Some(tick), Some(field), _) => Err(two(Kind::Tick, tick, Kind::Command, field)),
            (Some(tick), None, Some(field)) if self.usage.is_some() || Field::parse(field).is_some() => {
                Err(two(Kind::Tick, tick, Kind::Usage, field))
            }
            (Some(tick), None, Some(field)) => Err(two(Kind::Tick, tick, Kind::Command, field)),
            (Some(_), None, None) => Ok(Kind::Tick),
            (None, Some(command), Some(field)) if self.usage.is_some() => {
                Err(two(Kind::Command, command, Kind::Usage, field))
            }
            (None, Some(_), _) => Ok(Kind::Command),
            (None, None, _) if self.has_empty_command_id && self.usage.is_none() => Ok(Kind::Command),
            (None, None, _) => Ok(Kind::Usage),
        }
    }
}

/// Returns the name under which a field of commands, other than `command_id`, is noted; `None` for any other field.
pub(super) fn command_field(name: &str) -> Option<&'static str> {
    OF_COMMANDS.into_iter().find(|known| *known == name)
}

fn two(first: Kind, first_field: &str, second: Kind, second_field: &str) -> Fault {
    wrong_kind(format!(
        "could be {} (field `{first_field}`) or {} (field `{second_field}`); name its kind in the field `type`",
        first.phrase(),
        second.phrase()
    ))
}

fn wrong_kind(detail: String) -> Fault {
    Fault::new(SuspenseReason::WrongKind, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field as a decoder would note it.
    fn note(signs: &mut Signs, name: &str) {
        match name.strip_prefix("type=") {
            Some(named) => signs.named = Kind::parse(named),
            None => match (name, Field::parse(name), command_field(name)) {
                ("tick", _, _) => signs.tick("tick"),
                ("command_id", _, _) => signs.command_id(),
                (_, Some(field), _) => signs.field(field),
                (_, None, Some(name)) => signs.of_command(name),
                (_, None, None) => {}
            },
        }
    }

    #[test]
    fn fields_mean_a_kind_or_two() {
        let cases = [
            ("", "usage"),
            ("id service quantity", "usage"),
            ("amount currency", "usage"),
            ("command_id kind account_id amount", "command"),
            ("command_id account_id imsi source id", "command"),
            ("command_id quantity", "wrong"),
            ("command_id service id", "wrong"),
            ("tick", "tick"),
            ("tick id source", "tick"),
            ("tick service", "wrong"),
            ("tick imsi", "wrong"),
            ("tick account_id", "wrong"),
            ("tick amount", "wrong"),
            ("tick command_id", "wrong"),
            ("type=usage tick service", "usage"),
            ("type=usage command_id event_time", "usage"),
            ("type=usage imsi", "usage"),
            ("type=usage command_id account_id", "wrong"),
            ("type=usage tick", "wrong"),
            ("type=command command_id service quantity event_time", "command"),
            ("type=command account_id", "command"),
            ("type=command service", "wrong"),
            ("type=tick tick imsi", "tick"),
            ("type=tick", "tick"),
            ("type=tick event_time", "wrong"),
            ("type=s1.fast service", "usage"),
        ];
        for (fields, expected) in cases {
            let mut signs = Signs::default();
            fields.split_whitespace().for_each(|name| note(&mut signs, name));
            let found = signs.kind().map_or("wrong", Kind::name);
            assert_eq!(found, expected, "{fields}");
        }
    }
}
