//! Accounts, endpoints, tariffs and bundles as reference data, validated as a whole, answered as of a time.

#[cfg(feature = "store")]
pub mod cache;
mod compile;
mod diagnostic;
mod load;
pub mod model;
mod needs;
mod read;
mod schema;
mod secret;
pub mod snapshot;
mod source;
pub mod spreadsheet;
#[cfg(feature = "store")]
pub mod store;
mod validate;
pub mod value;
mod visible;
mod yaml;

pub use diagnostic::{
    Code, Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Refused, Related, Style, explain, reference_page, render,
    render_all, to_json,
};
pub use load::{CurrencyChanged, Input, InputKind, Loaded, load, load_to_rate};
pub use needs::{Changed, Directory, Needs, RecordNeeds, SaidOfEndpoints, Unavailable, Walk, Whole};
pub use schema::json_schema;
pub use secret::{Secret, without_credentials};
pub use snapshot::{AccountTimeline, Grant};
pub use source::{FileId, Location, SourceFile, Sources, Span, TooLarge};
pub use visible::{visible, visible_json, visible_lines};
