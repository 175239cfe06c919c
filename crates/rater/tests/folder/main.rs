//! The folder that `rater rate` writes: who may read and write it, and what else the program does without services.

mod cells;
mod edited;
#[cfg(feature = "kafka")]
mod grants;
mod horizon;
mod private;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
