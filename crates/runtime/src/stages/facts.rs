//! What a leg or command needs besides the record, as bytes: edges, rates, bundle templates, commands. Once per message, in its dictionary.

use super::bytes::Reader;
use crate::state::{Corrupt, Stored, as_number, as_other, record};
use rating::command::{BundleRef, Command, CommandKind};
use rating::money::{Rounding, RoundingMode, UnitPrice};
use rating::rate::{BandSpec, PricingSpec, Rate, RateSpec, Scope, TierSpec, VersionFacts};
use rating::{AccountKind, Edge, Mode, TimeZone};
use rust_decimal::Decimal;
use std::sync::Arc;

as_number!(AccountKind, "a kind of account", Operator = 0, Reseller = 1, Customer = 2, Endpoint = 3);
as_number!(Mode, "a mode of payment", Prepaid = 0, Postpaid = 1);
as_number!(Scope, "a scope", Record = 0, Session = 1, Month = 2);
as_number!(RoundingMode, "a mode of rounding", HalfUp = 0, HalfEven = 1, Up = 2, Down = 3);
as_other!(TimeZone as Box<str>, |zone| zone.name().into(), |name| TimeZone::named(&name), "a zone of time");
as_other!(
    Rounding as (u32, RoundingMode),
    |rounding| (rounding.scale(), rounding.mode()),
    |parts| Rounding::new(parts.0, parts.1),
    "a rounding"
);
as_other!(
    UnitPrice as (Decimal, u64),
    |price| (price.price(), price.per_units()),
    |parts| UnitPrice::new(parts.0, parts.1),
    "a price"
);

impl Stored for Decimal {
    fn write(&self, out: &mut Vec<u8>) {
        self.mantissa().write(out);
        self.scale().write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Decimal, Corrupt> {
        let (mantissa, scale) = (i128::read(input)?, u32::read(input)?);
        Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| Corrupt { what: "a decimal", left: input.len() })
    }
}

impl<T: Stored> Stored for Arc<[T]> {
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u64).write(out);
        for item in &**self {
            item.write(out);
        }
    }

    fn read(input: &mut &[u8]) -> Result<Arc<[T]>, Corrupt> {
        Vec::read(input).map(Into::into)
    }
}

record!(Edge {
    payer,
    payer_kind,
    payee,
    level,
    currency,
    mode,
    status,
    time_zone,
    sponsors,
    subscription_types,
    properties,
});
record!(TierSpec { up_to, price, flat });
record!(BandSpec { week, connect, price });
record!(RateSpec { applies, unit, pricing, increment, minimum, scope, free, connect });
record!(BundleRef { name, endpoint });

impl Stored for Command {
    fn write(&self, out: &mut Vec<u8>) {
        // Destructured without `..`, so that a new field does not compile until it is sent.
        let Command { id, kind, account_id, issued_by, effective_time, currency, note, reference } = self;
        id.write(out);
        kind.write(out);
        account_id.write(out);
        issued_by.write(out);
        effective_time.write(out);
        currency.write(out);
        note.write(out);
        reference.write(out);
    }

    /// Reads a command that ends its entry. What was sent before there were packed messages of version 4 ends with the note.
    fn read(input: &mut &[u8]) -> Result<Command, Corrupt> {
        let command = Command {
            id: Stored::read(input)?,
            kind: Stored::read(input)?,
            account_id: Stored::read(input)?,
            issued_by: Stored::read(input)?,
            effective_time: Stored::read(input)?,
            currency: Stored::read(input)?,
            note: Stored::read(input)?,
            reference: None,
        };
        let reference = if input.is_empty() { None } else { Stored::read(input)? };
        Ok(Command { reference, ..command })
    }
}

impl Stored for PricingSpec {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            PricingSpec::Unit(price) => {
                out.push(0);
                price.write(out);
            }
            PricingSpec::Tiers(tiers) => {
                out.push(1);
                tiers.write(out);
            }
            PricingSpec::Package { size, price } => {
                out.push(2);
                size.write(out);
                price.write(out);
            }
            PricingSpec::Bands(bands) => {
                out.push(3);
                bands.write(out);
            }
            PricingSpec::Blocked => out.push(4),
        }
    }

    fn read(input: &mut &[u8]) -> Result<PricingSpec, Corrupt> {
        Ok(match u8::read(input)? {
            0 => PricingSpec::Unit(Stored::read(input)?),
            1 => PricingSpec::Tiers(Stored::read(input)?),
            2 => PricingSpec::Package { size: Stored::read(input)?, price: Stored::read(input)? },
            3 => PricingSpec::Bands(Stored::read(input)?),
            4 => PricingSpec::Blocked,
            _ => return Err(Corrupt { what: "a way of pricing", left: input.len() }),
        })
    }
}

impl Stored for CommandKind {
    fn write(&self, out: &mut Vec<u8>) {
        let mut kind = |number: u8| out.push(number);
        match self {
            CommandKind::TopUp(amount) => {
                kind(0);
                amount.write(out);
            }
            CommandKind::Debit(amount) => {
                kind(1);
                amount.write(out);
            }
            CommandKind::Credit(amount) => {
                kind(2);
                amount.write(out);
            }
            CommandKind::BuyBundle { bundle, endpoint } => {
                kind(3);
                bundle.write(out);
                endpoint.write(out);
            }
            CommandKind::CancelBundle(of) => {
                kind(4);
                of.write(out);
            }
            CommandKind::SuspendBundle(of) => {
                kind(5);
                of.write(out);
            }
            CommandKind::ActivateBundle(of) => {
                kind(6);
                of.write(out);
            }
            CommandKind::SuspendAccount => kind(7),
            CommandKind::ActivateAccount => kind(8),
        }
    }

    fn read(input: &mut &[u8]) -> Result<CommandKind, Corrupt> {
        Ok(match u8::read(input)? {
            0 => CommandKind::TopUp(Stored::read(input)?),
            1 => CommandKind::Debit(Stored::read(input)?),
            2 => CommandKind::Credit(Stored::read(input)?),
            3 => CommandKind::BuyBundle { bundle: Stored::read(input)?, endpoint: Stored::read(input)? },
            4 => CommandKind::CancelBundle(Stored::read(input)?),
            5 => CommandKind::SuspendBundle(Stored::read(input)?),
            6 => CommandKind::ActivateBundle(Stored::read(input)?),
            7 => CommandKind::SuspendAccount,
            8 => CommandKind::ActivateAccount,
            _ => return Err(Corrupt { what: "a kind of command", left: input.len() }),
        })
    }
}

/// A compiled rate as bytes: what it was compiled from.
pub(super) fn write_rate(rate: &Rate, out: &mut Vec<u8>) {
    // Destructured without `..`, so that a new field does not compile until it is sent.
    let VersionFacts { tariff_id, version_from, rounding, time_zone, cap, codes, has_connect, versions } = &*rate.facts;
    tariff_id.write(out);
    version_from.write(out);
    rounding.write(out);
    time_zone.write(out);
    cap.write(out);
    codes.write(out);
    has_connect.write(out);
    rate.spec.write(out);
    versions.write(out);
}

/// The rate, compiled again. What was sent before there were packed messages of version 3 ends with the specification.
pub(super) fn read_rate(bytes: &[u8]) -> Result<Rate, Corrupt> {
    let input = &mut &*bytes;
    let facts = VersionFacts {
        tariff_id: Stored::read(input)?,
        version_from: Stored::read(input)?,
        rounding: Stored::read(input)?,
        time_zone: Stored::read(input)?,
        cap: Stored::read(input)?,
        codes: Stored::read(input)?,
        has_connect: Stored::read(input)?,
        versions: Vec::new().into(),
    };
    let spec = RateSpec::read(input)?;
    let versions = if input.is_empty() { facts.versions.clone() } else { Stored::read(input)? };
    let facts = Arc::new(VersionFacts { versions, ..facts });
    Rate::compile(&facts, &spec).map_err(|_| Corrupt { what: "a rate that can be compiled", left: input.len() })
}

/// A value that fills all of the bytes.
pub(super) fn read_whole<T: Stored>(reader: Reader<'_>) -> Result<T, Corrupt> {
    let input = &mut &*reader.0;
    let value = T::read(input)?;
    if input.is_empty() { Ok(value) } else { Err(Corrupt { what: "the end", left: input.len() }) }
}

/// An edge with the names above its payer, from the root down, with slashes between.
#[derive(Debug)]
pub(super) struct KnownEdge {
    pub(super) edge: Edge,
    pub(super) ancestors: Box<str>,
}

impl KnownEdge {
    /// Reads both. What was sent before there were packed messages of version 4 ends with the edge.
    pub(super) fn read(encoded: &[u8]) -> Result<KnownEdge, Corrupt> {
        let input = &mut &*encoded;
        let edge = Edge::read(input)?;
        let mut rest = Reader(input);
        let ancestors = if rest.is_empty() { "" } else { rest.text()? };
        match rest.is_empty() {
            true => Ok(KnownEdge { edge, ancestors: ancestors.into() }),
            false => Err(rest.corrupt("the end of an edge")),
        }
    }
}

/// Edges and rates that were read before: most messages name the same ones again.
#[derive(Debug, Default)]
pub(super) struct KnownFacts {
    pub(super) edges: Known<KnownEdge>,
    pub(super) rates: Known<Rate>,
}

/// Values by their bytes.
#[derive(Debug)]
pub(super) struct Known<T>(hashbrown::HashMap<Box<[u8]>, Arc<T>>);

/// At this many values of a kind all are forgotten and read again.
const MAX_KNOWN: usize = 100_000;

impl<T> Default for Known<T> {
    fn default() -> Known<T> {
        Known(hashbrown::HashMap::new())
    }
}

impl<T> Known<T> {
    /// The value of these bytes, which are read if they are new.
    ///
    /// # Errors
    /// They are no such value.
    pub(super) fn get(
        &mut self,
        bytes: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Corrupt>,
    ) -> Result<Arc<T>, Corrupt> {
        if let Some(value) = self.0.get(bytes) {
            return Ok(value.clone());
        }
        let value = Arc::new(read(bytes)?);
        if self.0.len() >= MAX_KNOWN {
            self.0.clear();
        }
        self.0.insert(bytes.into(), value.clone());
        Ok(value)
    }
}
