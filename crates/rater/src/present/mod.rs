//! How facts look: exact amounts, readable quantities, aligned tables.

pub(crate) mod edges;
pub(crate) mod explanation;
mod money;
mod quantity;
mod table;
pub(crate) mod totals;

pub(crate) use money::money;
pub(crate) use quantity::quantity;
pub(crate) use table::{Align, Table};
