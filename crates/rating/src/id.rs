//! Names of things: accounts and currencies. Cheap to clone, compared by text.

use std::fmt;
use std::sync::Arc;

/// The name of a monetary account: a moniker (`[a-z0-9_-]+`, rule 33), or `customer/endpoint` for the account of an
/// endpoint at its customer (rule 1, detail G), which no moniker can collide with.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// An account named by its moniker.
    pub fn new(name: &str) -> AccountId {
        AccountId(Arc::from(name))
    }

    /// The account of an endpoint at its customer: one per (endpoint, customer), detail G.
    pub fn of_endpoint(customer: &str, endpoint: &str) -> AccountId {
        AccountId(Arc::from(format!("{customer}/{endpoint}")))
    }

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account whose owner holds this one's state: an endpoint account lives with its customer (rule 1).
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(customer, _)| customer)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What an account is in the hierarchy (rule 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKind {
    /// The root; pays nobody.
    Operator,
    /// A tenant; resellers nest without limit.
    Reseller,
    /// An enterprise: a leaf that holds endpoints.
    Customer,
    /// An endpoint to which its customer gave a plan.
    Endpoint,
}

impl AccountKind {
    /// The stable name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            AccountKind::Operator => "operator",
            AccountKind::Reseller => "reseller",
            AccountKind::Customer => "customer",
            AccountKind::Endpoint => "endpoint",
        }
    }
}

/// An ISO 4217 code: three upper-case letters. Nothing converts between currencies (rule 8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// No currency (ISO 4217, `XXX`).
    pub(crate) const NONE: Currency = Currency(*b"XXX");

    /// Parses `GBP`; `None` for anything but three letters A-Z.
    pub fn parse(text: &str) -> Option<Currency> {
        let bytes: [u8; 3] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
