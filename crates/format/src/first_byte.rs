//! What a part of a state begins with: a byte that says what follows. Logs of changes and checkpoints of all formats share these numbers, which are
//! written down: they never change, and none is used twice.

/// Gives each number its meaning.
macro_rules! first_bytes {
    (
        rows { $($(#[$about_row:meta])* $row:ident = $row_byte:literal,)+ }
        others { $($(#[$about:meta])* $other:ident = $other_byte:literal,)+ }
    ) => {
        /// What a row begins with, and what the rows of an account begin with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum RowByte {
            $($(#[$about_row])* $row = $row_byte,)+
        }

        impl RowByte {
            /// What a byte says; `None` where no row begins with it.
            pub fn of(byte: u8) -> Option<RowByte> {
                match byte {
                    $($row_byte => Some(RowByte::$row),)+
                    _ => None,
                }
            }
        }

        $($(#[$about])* pub const $other: u8 = $other_byte;)+

        #[cfg(test)]
        pub(crate) mod all {
            use super::RowByte;

            pub(crate) const ROWS: &[RowByte] = &[$(RowByte::$row),+];
            pub(super) const BYTES: &[u8] = &[$($row_byte,)+ $($other_byte),+];
        }
    };
}

first_bytes! {
    rows {
        /// Name of an account: the rows up to the next such byte, or a head, are its rows.
        Account = 9,
        /// A zone of the dictionary: address (16 bytes).
        Zone = 10,
        /// A template of the dictionary: address (16 bytes).
        Template = 11,
        /// An account, as before its rows, and its head: name.
        Head = 12,
        /// A counter of a month: key (16 bytes).
        Counter = 13,
        /// A cap: key (16 bytes).
        Cap = 14,
        /// A session: key of the endpoint (8 bytes), key (16 bytes).
        Session = 15,
        /// A counter of a session: key of the endpoint (8 bytes), key (16 bytes).
        SessionCounter = 16,
        /// An instance: holder (length and one, or 0 for a pool), id.
        Instance = 17,
        /// What the directory says of an account over time: no key.
        Timeline = 20,
    }
    others {
        /// An account of state stores up to format 2 and rate's changelog up to format 3: without currency.
        OLDEST_ACCOUNT = 0,
        /// A member of the same formats: without sessions.
        OLDEST_MEMBER = 1,
        /// Rate's progress, and the place in its changelog of what comes next.
        PROGRESS = 2,
        /// An account of the oldest formats with those counters that changed.
        OLDEST_ACCOUNT_PART = 3,
        /// A member of the oldest formats with those counters that changed.
        OLDEST_MEMBER_PART = 4,
        /// An account of formats before rows: name, value with all counters.
        OLDER_ACCOUNT = 5,
        /// A member, of a payer and an endpoint: account, endpoint, value with all sessions and counters.
        OLDER_MEMBER = 6,
        /// An account with those counters that changed; the others stay as they are.
        OLDER_ACCOUNT_PART = 7,
        /// A member with those sessions and counters that changed; the others stay as they are.
        OLDER_MEMBER_PART = 8,
        /// A part of the state of one shard of an embedded job: number of the shard. Its rows follow.
        SHARD = 18,
        /// The horizon behind which rows may have left.
        FORGOTTEN = 19,
    }
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::collections::BTreeSet;

    #[test]
    fn no_byte_has_two_meanings() {
        let different: BTreeSet<&u8> = all::BYTES.iter().collect();
        assert_eq!(different.len(), all::BYTES.len());
    }
}
