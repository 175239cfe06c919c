//! A store that makes its rows up when it is asked: 200 customers, and as many endpoints as there are numbers, with three identities each.

use directory::cache::{
    Changes, Edition, EndpointRow, Head, IdentityKey, KeyKind, Rows, SCAN_PARTS, StoreError, Version,
};
use directory::model::IdentityKind;
use directory::value::Digits;
use directory::{Input, InputKind};
use std::fmt::Write;

const CATALOG: &str = "format: rater/v1
accounts:
  op: { kind: operator, currency: GBP }
";

/// The store.
pub(crate) struct MadeUp {
    /// How many endpoints it has, if it is read as a whole.
    pub(crate) endpoints: u64,
}

fn row(number: u64) -> EndpointRow {
    EndpointRow { endpoint: format!("meter-{number:07}").into(), definition: Ok(definition(number).into()) }
}

pub(crate) fn imsi(number: u64) -> String {
    format!("00101{number:010}")
}

pub(crate) fn definition(number: u64) -> String {
    let customer = number % 200;
    let imsi = imsi(number);
    format!(
        "{{ customer: c{customer}, imsi: \"{imsi}\", iccid: \"89440000{number:011}\", msisdn: \"4477{number:08}\" }}"
    )
}

pub(crate) fn catalog() -> String {
    (0..200).fold(CATALOG.to_owned(), |mut text, number| {
        let _ = writeln!(text, "  c{number}: {{ kind: customer, parent: op, currency: GBP }}");
        text
    })
}

impl Rows for MadeUp {
    async fn head(&self) -> Result<Head, StoreError> {
        Ok(Head { version: Version(1), ..Head::default() })
    }

    async fn catalog(&self, _: &Head) -> Result<Vec<Input>, StoreError> {
        Ok(vec![Input { name: "store".into(), bytes: catalog().into(), kind: InputKind::Yaml }])
    }

    async fn endpoints(
        &self,
        _: &Head,
        keys: &[IdentityKey],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError> {
        let rows = |key: &IdentityKey| {
            let number = match key {
                IdentityKey::Identity(_, digits) => digits.to_string().get(5..).and_then(|text| text.parse().ok()),
                IdentityKey::Name(_) => None,
            };
            let number: u64 = number.ok_or_else(|| StoreError::Corrupt(format!("{key} was never made up")))?;
            Ok((key.clone(), vec![row(number)]))
        };
        keys.iter().map(rows).collect()
    }

    /// IMSIs only.
    async fn scan(
        &self,
        _: &Head,
        part: u32,
        _: &[KeyKind],
    ) -> Result<Vec<(IdentityKey, Vec<EndpointRow>)>, StoreError> {
        let numbers = (u64::from(part)..self.endpoints).step_by(SCAN_PARTS as usize);
        Ok(numbers.map(|number| (key(number), vec![row(number)])).collect())
    }

    async fn changes(&self, after: &Edition, _: &Head) -> Result<Changes, StoreError> {
        Err(StoreError::Corrupt(format!("nothing changes after {}", after.version)))
    }
}

/// The key of an endpoint's IMSI.
pub(crate) fn key(number: u64) -> IdentityKey {
    IdentityKey::Identity(IdentityKind::Imsi, Digits::parse(&imsi(number)).expect("digits"))
}
