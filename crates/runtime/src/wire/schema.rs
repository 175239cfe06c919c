//! The message contracts, as compiled into the program.

use serde_json::Value;

/// A version of the contracts, as `schemas/history` has them. Files that were begun with one go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contracts {
    /// The first.
    V1,
    /// With causes, ancestors, booked times, periods and corrections; with life events.
    V2,
}

impl Contracts {
    /// What is written where nothing was written before.
    pub const NEWEST: Contracts = Contracts::V2;

    /// The messages that a run on files keeps, in the order in which it does.
    pub fn kept(self) -> &'static [Message] {
        match self {
            Contracts::V1 => &Message::KEPT[..4],
            Contracts::V2 => Message::KEPT,
        }
    }
}

/// A message that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The priced outcome of one leg, or a fee.
    Charge,
    /// One change of one account's balance.
    BalanceDelta,
    /// Something that waits.
    Suspense,
    /// Something that an account should know.
    Notification,
    /// What became of a command.
    CommandReply,
    /// What became of something of an account.
    LifeEvent,
}

impl Message {
    /// Every message.
    pub const ALL: &'static [Message] = Message::KEPT;

    /// Those that a run on files keeps, in the order in which it does.
    pub const KEPT: &'static [Message] = &[
        Message::Charge,
        Message::BalanceDelta,
        Message::Suspense,
        Message::Notification,
        Message::CommandReply,
        Message::LifeEvent,
    ];

    /// Name of its file, without ending.
    pub fn file_stem(self) -> &'static str {
        match self {
            Message::Charge => "charges",
            Message::BalanceDelta => "balance-deltas",
            Message::Suspense => "suspense",
            Message::Notification => "notifications",
            Message::CommandReply => "command-replies",
            Message::LifeEvent => "life-events",
        }
    }

    /// The Avro schema.
    pub fn schema(self) -> &'static str {
        self.schema_of(Contracts::NEWEST)
    }

    /// The Avro schema of a version. What a version does not have is that of the first that has it.
    pub fn schema_of(self, contracts: Contracts) -> &'static str {
        // Frozen copies: containers that were begun hold their text, and marks between their blocks are made of it.
        match (self, contracts) {
            (Message::Charge, Contracts::V1) => include_str!("../../../../schemas/history/v1/charge.avsc"),
            (Message::Charge, Contracts::V2) => include_str!("../../../../schemas/history/v2/charge.avsc"),
            (Message::BalanceDelta, Contracts::V1) => include_str!("../../../../schemas/history/v1/balance-delta.avsc"),
            (Message::BalanceDelta, Contracts::V2) => include_str!("../../../../schemas/history/v2/balance-delta.avsc"),
            (Message::Suspense, Contracts::V1) => include_str!("../../../../schemas/history/v1/suspense.avsc"),
            (Message::Suspense, Contracts::V2) => include_str!("../../../../schemas/history/v2/suspense.avsc"),
            (Message::Notification, Contracts::V1) => include_str!("../../../../schemas/history/v1/notification.avsc"),
            (Message::Notification, Contracts::V2) => include_str!("../../../../schemas/history/v2/notification.avsc"),
            (Message::CommandReply, Contracts::V1) => include_str!("../../../../schemas/history/v1/command-reply.avsc"),
            (Message::CommandReply, Contracts::V2) => include_str!("../../../../schemas/history/v2/command-reply.avsc"),
            (Message::LifeEvent, Contracts::V1 | Contracts::V2) => {
                include_str!("../../../../schemas/history/v2/life-event.avsc")
            }
        }
    }

    /// Names of its fields in a version, in order.
    pub fn field_names(self, contracts: Contracts) -> Vec<String> {
        let schema: Value = serde_json::from_str(self.schema_of(contracts)).unwrap_or_default();
        let fields = schema.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        fields.iter().filter_map(|field| field.get("name")?.as_str().map(str::to_owned)).collect()
    }
}
