//! The ledger's stores over SQLite: usage events and what they add up to, organisations, prices, audit.
//!
//! Each statement exists once, in `ops/<aggregate>.rs`, and takes an open connection: *what* is apart from *when*.
//! Only `sqlite` and `connection` name the database, so that another one needs no second copy of anything. This crate
//! must never decide between reading and writing: a limit is a guarded statement or the ledger's own.

mod connection;
mod error;
mod ops;
mod price_list;
mod sqlite;

#[cfg(test)]
mod contract;

pub use error::OpenError;
pub use price_list::standard_definitions;
pub use sqlite::{Occupancy, Options, SqliteStore};
