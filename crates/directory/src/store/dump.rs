//! A whole directory out of the store, in the form that it is loaded from.

use super::change::read_endpoint;
use super::definition::{Definition, Kind, file_of};
use super::{Error, Store};
use crate::cache::Version;
use crate::model::{Endpoint, Group, Plan};
use crate::spreadsheet::guarded;
use rating::Mode;
use std::borrow::Cow;

/// Where endpoints go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Csv {
    /// Into the YAML with all others.
    No,
    /// Into CSV, as far as a row can hold them.
    Endpoints,
}

/// Everything that the store holds, as text.
#[derive(Debug)]
pub struct Contents {
    /// The version.
    pub version: Version,
    /// Definitions as YAML.
    pub yaml: String,
    /// Endpoints as CSV, where asked for.
    pub csv: Option<String>,
}

impl Store {
    /// Everything that the store holds now. `progress` hears how many endpoints were read.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn dump(&self, csv: Csv, progress: &mut dyn FnMut(u64)) -> Result<Contents, Error> {
        let head = self.head_row().await?.head;
        let all = self.everything(&head, progress).await?;
        let mut rows = String::from("endpoint,customer,imsi,iccid,msisdn,group,active,plan_tariff\n");
        let mut kept: Vec<&Definition> = Vec::new();
        for definition in &all {
            let row =
                if csv == Csv::Endpoints && definition.kind == Kind::Endpoint { row_of(definition) } else { None };
            match row {
                Some(row) => rows.push_str(&row),
                None => kept.push(definition),
            }
        }
        let csv = (csv == Csv::Endpoints).then_some(rows);
        Ok(Contents { version: head.version, yaml: file_of(&kept), csv })
    }
}

/// An endpoint as a row, if a row can hold it. Names and digits need no quotes.
fn row_of(definition: &Definition) -> Option<String> {
    let endpoint = read_endpoint(&definition.name, &definition.body)?;
    let Endpoint { customer, identities, group, active, plan, changes } = &endpoint;
    if !changes.is_empty() {
        return None;
    }
    let tariff = match plan.as_deref() {
        None => "",
        Some(Plan { tariff: Some(tariff), mode: Mode::Postpaid, bundles, .. }) if bundles.is_empty() => &tariff.value,
        Some(_) => return None,
    };
    let group = match group {
        Group::Default => "",
        Group::Without => "none",
        Group::Named(name) => name,
    };
    let mut cells = vec![definition.name.to_string(), customer.value.to_string()];
    cells.extend(identities.each_ref().map(|held| held.texts().join(";")));
    cells.extend([group.to_owned(), active.map_or_else(String::new, |at| at.to_string()), tariff.to_owned()]);
    Some(row(&cells))
}

/// Names may begin with what a spreadsheet takes for a formula; then they are guarded.
fn row(cells: &[String]) -> String {
    let cells: Vec<Cow<'_, str>> = cells.iter().map(|cell| guarded(cell)).collect();
    format!("{}\n", cells.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_no_formula() {
        let cells = ["-meter", "acme", "001010000000001;001010000000002", "", "", "none", "", "-retail"];
        assert_eq!(row(&cells.map(str::to_owned)), "'-meter,acme,001010000000001;001010000000002,,,none,,'-retail\n");
    }
}
