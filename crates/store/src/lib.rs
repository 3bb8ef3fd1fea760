//! The ledger's stores over SQLite and PostgreSQL: usage events and what they add up to, organisations, prices, audit.
//!
//! Each statement exists once, in `ops/<aggregate>.rs`, and runs on an open connection: *what* is apart from *when*, which
//! `directory`, `usage` and `reconciliation` say. Only `dialect`, `sqlite` and `postgres` know what a database has for itself. This crate
//! must never decide between reading and writing: a limit is a guarded statement or the ledger's own.

mod adjusting;
mod api_keys;
mod batch;
mod claim;
mod dialect;
mod directory;
mod error;
mod granting;
mod idempotency;
mod open;
mod ops;
mod postgres;
mod price_list;
mod reconciliation;
mod recorded;
mod rerating;
mod rollouts;
mod sql_store;
mod sqlite;
mod usage;

#[cfg(test)]
mod contract;

pub use error::OpenError;
pub use open::{Maintained, Occupancy, Options, Store, is_shared, lacks, open};
pub use price_list::standard_definitions;
pub use reconciliation::{
    BalanceDifference, Compared, Difference, Reconciliation, Repaired, RollupDifference, RollupSum,
};
pub use recorded::Recorded;
