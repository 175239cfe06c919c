//! Identities of records and commands, and hashes of their payloads: which bytes each of them is a hash of.
//!
//! All of them keep their values for ever. They are remembered to know what comes again, and ids of charges and notifications begin with them.

use crate::raw::{Field, RawUsage, RawValue};
use rating::command::{BundleRef, CommandKind};
use rating::identity::{IdHasher, IdHasher64, IdHasher128};
use rating::{Amount, Command, Timestamp, Unit, UsageRecord};

/// The identity of a record, as in CloudEvents: a hash of (source, id).
#[inline]
pub fn record_key(source: &str, id: &str) -> u128 {
    let mut hasher = IdHasher128::with_keys(0x7261_7465_7263_6f72, 0x6964_656e_7469_7479);
    hasher.text(source);
    hasher.text(id);
    hasher.finish()
}

/// Everything but the identity, normalised: so that the same record in another format is the same payload.
pub(crate) fn payload_hash(raw: &RawUsage<'_>, record: &UsageRecord, end_time: Option<Timestamp>) -> u64 {
    let mut hasher = IdHasher64::with_keys(0x7261_7465_7270_6179, 0x6c6f_6164_6861_7368);
    hasher.text(&record.service);
    hasher.u64(record.quantity);
    hasher.variant(match record.unit {
        Unit::Octets => 0,
        Unit::Seconds => 1,
        Unit::Messages => 2,
        Unit::Units => 3,
    });
    hasher.i64(record.event_time.millis());
    hasher.optional(end_time.map(Timestamp::millis), IdHasher::i64);
    let normalised =
        [Field::Id, Field::Source, Field::Service, Field::Quantity, Field::Unit, Field::EventTime, Field::EndTime];
    for field in Field::ALL {
        // An end that cannot be read is part of the payload as it is written.
        let is_normalised = normalised.contains(field) && (*field != Field::EndTime || end_time.is_some());
        match raw.get(*field) {
            _ if is_normalised => {}
            RawValue::Absent => {}
            RawValue::Text(text) | RawValue::Number(text) | RawValue::Other(text) => {
                hasher.u8(*field as u8);
                hasher.text(text);
            }
            RawValue::Integer(integer) => {
                hasher.u8(*field as u8);
                hasher.text(&integer.to_string());
            }
        }
    }
    if !raw.attributes.is_empty() {
        let mut attributes: Vec<_> = raw.attributes.iter().collect();
        attributes.sort_unstable();
        hasher.length(attributes.len());
        for (name, value) in attributes {
            hasher.text(name);
            hasher.text(value);
        }
    }
    hasher.finish()
}

/// The payload of a command, as remembered beside its id.
pub(crate) fn command_hash(command: &Command) -> u64 {
    let mut hasher = IdHasher64::with_keys(0x7261_7465_7270_6179, 0x636f_6d6d_616e_6473);
    // Destructured without `..`, so that a new field does not compile until it is fed: at the end, by its name, and only where it is given. So what was
    // remembered of commands without it stays the same.
    let Command { id, kind, account_id, issued_by, effective_time, currency, note, reference } = command;
    hasher.text(id);
    feed_kind(kind, &mut hasher);
    hasher.text(account_id.as_str());
    hasher.text(issued_by);
    hasher.i64(effective_time.millis());
    hasher.optional(currency.as_ref(), |hasher, currency| hasher.bytes(currency.as_str().as_bytes()));
    hasher.optional(note.as_deref(), IdHasher::text);
    if let Some(reference) = reference {
        hasher.text("reference");
        hasher.text(reference);
    }
    hasher.finish()
}

/// Feeds what a command does. The numbers are those that the kinds had when they were first remembered; a new kind takes the next one.
fn feed_kind(kind: &CommandKind, hasher: &mut IdHasher64) {
    let amount = |hasher: &mut IdHasher64, number: u64, amount: &Amount| {
        hasher.variant(number);
        hasher.i128(amount.unscaled());
    };
    let bundle = |hasher: &mut IdHasher64, number: u64, name: &str, endpoint: &Option<Box<str>>| {
        hasher.variant(number);
        hasher.text(name);
        hasher.optional(endpoint.as_deref(), IdHasher::text);
    };
    match kind {
        CommandKind::TopUp(paid) => amount(hasher, 0, paid),
        CommandKind::Debit(debited) => amount(hasher, 1, debited),
        CommandKind::Credit(credited) => amount(hasher, 2, credited),
        CommandKind::BuyBundle { bundle: template, endpoint } => bundle(hasher, 3, template, endpoint),
        CommandKind::CancelBundle(BundleRef { name, endpoint }) => bundle(hasher, 4, name, endpoint),
        CommandKind::SuspendBundle(BundleRef { name, endpoint }) => bundle(hasher, 5, name, endpoint),
        CommandKind::ActivateBundle(BundleRef { name, endpoint }) => bundle(hasher, 6, name, endpoint),
        CommandKind::SuspendAccount => hasher.variant(7),
        CommandKind::ActivateAccount => hasher.variant(8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guide::shard_of;
    use rating::{AccountId, Currency};

    fn payload(
        unit: Unit,
        end_time: Option<Timestamp>,
        fields: &[(Field, RawValue<'_>)],
        more: &[(&str, &str)],
    ) -> u64 {
        let mut raw = RawUsage::default();
        fields.iter().for_each(|(field, value)| raw.set(*field, value.clone()));
        raw.attributes = more.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let record = UsageRecord {
            quantity: 5,
            unit,
            ..UsageRecord::new("r1", "ggsn", "data", Timestamp::from_millis(1_772_323_200_123))
        };
        payload_hash(&raw, &record, end_time)
    }

    fn command(kind: CommandKind) -> u64 {
        command_hash(&Command {
            id: "c1".into(),
            kind,
            account_id: AccountId::new("acme"),
            issued_by: "alpha".into(),
            effective_time: Timestamp::from_millis(1_772_323_200_000),
            currency: None,
            note: None,
            reference: None,
        })
    }

    /// The values were written down when the standard library chose the bytes. What is remembered has them: a line never changes.
    #[test]
    fn identities_and_payloads_keep_their_values() {
        let amount = |unscaled| Amount::from_unscaled(unscaled).expect("an amount");
        let of =
            |name: &str, endpoint: Option<&str>| BundleRef { name: name.into(), endpoint: endpoint.map(Box::from) };
        let buy = |bundle: &str, endpoint: Option<&str>| CommandKind::BuyBundle {
            bundle: bundle.into(),
            endpoint: endpoint.map(Box::from),
        };
        let with = |currency: Option<&str>, note: Option<&str>| {
            command_hash(&Command {
                id: "".into(),
                kind: CommandKind::SuspendAccount,
                account_id: AccountId::new("acme/meter-1"),
                issued_by: "".into(),
                effective_time: Timestamp::EPOCH,
                currency: currency.and_then(Currency::parse),
                note: note.map(Box::from),
                reference: None,
            })
        };
        let text = |text: &'static str| RawValue::Text(text.into());
        let end = Some(Timestamp::from_millis(1_772_323_260_000));
        let up_to_sponsor = &Field::ALL[..=Field::Sponsor as usize];
        let every_field: Vec<_> = up_to_sponsor.iter().map(|field| (*field, text("7"))).collect();
        let shard = |account: &str, shards: usize| shard_of(&AccountId::new(account), shards) as u128;
        let rows: [(&str, u128, u128); _] = [
            ("record", record_key("ggsn", "r1"), 0x547a_cb3c_4343_4955_4c64_b03a_f3c0_f02c),
            ("record: no names", record_key("", ""), 0xdeb9_dd25_0985_ed2c_c504_7232_3139_514e),
            ("record: no source", record_key("", "ggsnr1"), 0xe2c3_0adf_2959_38e9_9583_b430_eb2b_ba7c),
            (
                "record: other letters",
                record_key("p\u{e4}ge", "\u{1f4f6} 7"),
                0x065a_b0f7_5e5f_cf25_8247_94c5_f5c4_d95d,
            ),
            (
                "record: long",
                record_key("ggsn", "0123456789012345678901234567890123456789"),
                0x8364_9f9d_c15c_2b96_a803_80b9_a666_7d6f,
            ),
            ("record: a command", record_key("\u{1}command", "c1"), 0xbe97_b3e4_e77e_d5d1_c42d_5ce5_70ec_dc5c),
            ("usage: octets", payload(Unit::Octets, None, &[], &[]).into(), 0xb933_37b4_2e98_5717),
            ("usage: seconds", payload(Unit::Seconds, None, &[], &[]).into(), 0xe233_a581_e88c_30e1),
            ("usage: messages", payload(Unit::Messages, None, &[], &[]).into(), 0x2802_79d0_f825_003b),
            ("usage: units", payload(Unit::Units, None, &[], &[]).into(), 0x57cd_1750_2f9f_d296),
            (
                "usage: an end",
                payload(Unit::Octets, end, &[(Field::EndTime, text("2026"))], &[]).into(),
                0xaa86_8366_0f5b_dede,
            ),
            (
                "usage: no such end",
                payload(Unit::Octets, None, &[(Field::EndTime, text("2026"))], &[]).into(),
                0x2c80_6050_8450_edd4,
            ),
            (
                "usage: identity is no payload",
                payload(Unit::Octets, None, &[(Field::Id, text("r2")), (Field::Source, text("x"))], &[]).into(),
                0xb933_37b4_2e98_5717,
            ),
            (
                "usage: a text",
                payload(Unit::Octets, None, &[(Field::Imsi, text("001010000000001"))], &[]).into(),
                0x83ed_bb13_04c1_2219,
            ),
            (
                "usage: an integer",
                payload(Unit::Octets, None, &[(Field::Imsi, RawValue::Integer(-7))], &[]).into(),
                0x25a3_3c03_b872_990c,
            ),
            (
                "usage: a number",
                payload(Unit::Octets, None, &[(Field::Mcc, RawValue::Number("1e3".into()))], &[]).into(),
                0x04d3_61a8_59ca_b96e,
            ),
            (
                "usage: the last field",
                payload(Unit::Octets, None, &[(Field::Sponsor, RawValue::Other("a list".into()))], &[]).into(),
                0x6a6a_9fcc_2343_ceb9,
            ),
            (
                "usage: every field up to the sponsor",
                payload(Unit::Octets, None, &every_field, &[]).into(),
                0xa278_28c5_e3b1_96c7,
            ),
            (
                "usage: an attribute",
                payload(Unit::Octets, None, &[], &[("site", "north")]).into(),
                0x35ae_35f5_b361_a63d,
            ),
            (
                "usage: attributes",
                payload(Unit::Octets, None, &[], &[("site", "north"), ("b", ""), ("", "\u{e4}")]).into(),
                0xb901_6852_eed2_fb07,
            ),
            ("command: top_up", command(CommandKind::TopUp(amount(100_000_000_000))).into(), 0x5714_3a36_c6c4_3f2b),
            ("command: debit", command(CommandKind::Debit(amount(1))).into(), 0xfc15_f41a_9d9c_2741),
            ("command: credit", command(CommandKind::Credit(amount(-1))).into(), 0xa1f9_1b5a_fb11_91d8),
            ("command: buy_bundle", command(buy("pool", None)).into(), 0x04d8_6ec2_4ef1_91d9),
            ("command: buy_bundle of an endpoint", command(buy("own", Some("meter-1"))).into(), 0xdc5e_8826_5ddc_e435),
            (
                "command: cancel_bundle",
                command(CommandKind::CancelBundle(of("b1", None))).into(),
                0x76e0_5f44_4bce_8f79,
            ),
            (
                "command: cancel_bundle of an endpoint",
                command(CommandKind::CancelBundle(of("b1", Some("meter-1")))).into(),
                0x3bab_c974_25af_b6a5,
            ),
            (
                "command: suspend a bundle",
                command(CommandKind::SuspendBundle(of("b1", None))).into(),
                0x8433_50fd_19c1_7d0c,
            ),
            (
                "command: suspend a bundle without a name",
                command(CommandKind::SuspendBundle(of("", Some("")))).into(),
                0x3cb2_612c_71e6_edc3,
            ),
            (
                "command: activate a bundle",
                command(CommandKind::ActivateBundle(of("b1", Some("meter-1")))).into(),
                0x601d_104c_50a6_ce6a,
            ),
            ("command: suspend", command(CommandKind::SuspendAccount).into(), 0x4f9c_7a4e_be8a_5b5b),
            ("command: activate", command(CommandKind::ActivateAccount).into(), 0x4f15_b3b8_b1be_aa40),
            ("command: no names", with(None, None).into(), 0x8cae_1217_06da_2732),
            ("command: a currency", with(Some("GBP"), None).into(), 0x5b8e_68b9_64dc_f4cd),
            ("command: an empty note", with(None, Some("")).into(), 0x0e7b_eb34_f405_1ba9),
            ("command: currency and note", with(Some("EUR"), Some("by c\u{e4}rd\n")).into(), 0xd74f_e95a_5d14_e428),
            ("shard", shard("acme", 1 << 32), 0xf3d2_0d8c),
            ("shard of its endpoint", shard("acme/meter-1", 1 << 32), 0xf3d2_0d8c),
            ("shard: no name", shard("", 1 << 32), 0x4fd0_bfc1),
            ("shard of 1024", shard("northstar", 1024), 0x0023),
        ];
        let wrong: Vec<String> = rows
            .iter()
            .filter(|(_, found, expected)| found != expected)
            .map(|(name, found, expected)| format!("{name}: {found:#x} instead of {expected:#x}"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
