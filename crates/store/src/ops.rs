//! The statements, a file an aggregate: their texts at the top, and a function each that takes an open connection.
//!
//! Markers are `$1`, amounts and times 64-bit integers, documents JSON text; lists travel as one JSON parameter, so that
//! a batch is one statement.

pub(crate) mod audit;
pub(crate) mod balances;
pub(crate) mod definitions;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod members;
pub(crate) mod organizations;
pub(crate) mod plans;
pub(crate) mod rollups;

use ledger::{Credits, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::damaged;

/// A document as text.
fn to_text(document: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(document).map_err(|error| damaged("document", error))
}

/// A document from its text.
fn from_text<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(what, error))
}

/// An identifier from its text.
fn id<T: std::str::FromStr<Err: std::fmt::Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| damaged(what, error))
}

/// A count, which is never below zero.
fn count(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|error| damaged("count", error))
}

/// An amount.
fn credits(stored: i64) -> Credits {
    Credits::from_micros(stored)
}
