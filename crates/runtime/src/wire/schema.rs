//! The message contracts, as compiled into the program.

use serde_json::Value;

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
}

impl Message {
    /// Every message.
    pub const ALL: &'static [Message] =
        &[Message::Charge, Message::BalanceDelta, Message::Suspense, Message::Notification, Message::CommandReply];

    /// Those that a run on files keeps, in the order in which it does.
    pub const KEPT: &'static [Message] =
        &[Message::Charge, Message::BalanceDelta, Message::Suspense, Message::Notification];

    /// Name of its file, without ending.
    pub fn file_stem(self) -> &'static str {
        match self {
            Message::Charge => "charges",
            Message::BalanceDelta => "balance-deltas",
            Message::Suspense => "suspense",
            Message::Notification => "notifications",
            Message::CommandReply => "command-replies",
        }
    }

    /// The Avro schema.
    pub fn schema(self) -> &'static str {
        match self {
            Message::Charge => include_str!("../../../../schemas/charge.avsc"),
            Message::BalanceDelta => include_str!("../../../../schemas/balance-delta.avsc"),
            Message::Suspense => include_str!("../../../../schemas/suspense.avsc"),
            Message::Notification => include_str!("../../../../schemas/notification.avsc"),
            Message::CommandReply => include_str!("../../../../schemas/command-reply.avsc"),
        }
    }

    /// Names of its fields, in order.
    pub fn field_names(self) -> Vec<String> {
        let schema: Value = serde_json::from_str(self.schema()).unwrap_or_default();
        let fields = schema.get("fields").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        fields.iter().filter_map(|field| field.get("name")?.as_str().map(str::to_owned)).collect()
    }
}
