//! Kinds of records, and sets of them: which kinds a door takes.

use std::fmt;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A measured use of a service.
    Usage,
    /// An instruction for an account.
    Command,
    /// A statement that it is at least this late.
    Tick,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Usage, Kind::Command, Kind::Tick];

    /// The stable name: the value of the field `type`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Command => "command",
            Kind::Tick => "tick",
        }
    }

    /// The inverse of [`Kind::name`].
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name with its article, for messages.
    pub fn phrase(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Command => "a command",
            Kind::Tick => "a tick",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Kind::Usage => 1,
            Kind::Command => 2,
            Kind::Tick => 4,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// All kinds.
    pub const ALL: Kinds = Kinds(7);

    /// The set of one kind.
    #[must_use]
    pub fn only(kind: Kind) -> Kinds {
        Kinds(kind.bit())
    }

    /// The set of these kinds.
    #[must_use]
    pub fn of(kinds: impl IntoIterator<Item = Kind>) -> Kinds {
        Kinds(kinds.into_iter().fold(0, |bits, kind| bits | kind.bit()))
    }

    /// The set with one kind more.
    #[must_use]
    pub fn with(self, kind: Kind) -> Kinds {
        Kinds(self.0 | kind.bit())
    }

    /// Returns true if the set holds the kind.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Kind::ALL.into_iter().filter(|kind| self.contains(*kind)).map(Kind::name).collect();
        f.write_str(if names.is_empty() { "nothing" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kinds({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_names_its_kinds() {
        assert_eq!(Kinds::ALL, Kinds::of(Kind::ALL));
        let cases: [(&[Kind], &str); 4] = [
            (&[], "nothing"),
            (&[Kind::Usage], "usage"),
            (&[Kind::Tick, Kind::Usage], "usage, tick"),
            (&Kind::ALL, "usage, command, tick"),
        ];
        for (kinds, shown) in cases {
            let set = Kinds::of(kinds.iter().copied());
            assert_eq!(set.to_string(), shown);
            for kind in Kind::ALL {
                assert_eq!(set.contains(kind), kinds.contains(&kind), "{shown}: {}", kind.name());
                assert_eq!(Kind::parse(kind.name()), Some(kind));
            }
        }
    }
}
