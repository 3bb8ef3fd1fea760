//! What the platform's operators keep: organisations, members, plans, prices. Every write is idempotent: its path names
//! what it makes, and made twice it is there once.

pub(crate) mod event_definitions;
pub(crate) mod members;
pub(crate) mod organizations;
pub(crate) mod plans;
pub(crate) mod pricing;
pub(crate) mod rollout;

use std::fmt::Display;
use std::str::FromStr;

use refusal::Refusal;

use crate::bounded::Given;

/// A name from the path.
fn named<T: FromStr<Err: Display>>(name: &str) -> Result<T, Refusal> {
    name.parse().map_err(|why: T::Err| Refusal::InvalidRequest(format!("The path names it wrongly: {why}.")))
}

/// A name that the body repeats must be the path's.
fn repeated<T: PartialEq + Display>(field: &str, path: &T, body: Option<T>) -> Result<(), Refusal> {
    match body {
        Some(body) if body != *path => {
            Err(Refusal::InvalidRequest(format!("{field}: the path says {path}; allowed: the same, or none.")))
        }
        _ => Ok(()),
    }
}

/// A field that must have a value: as given, else as it is at present. Null would be no value.
fn required<T>(field: &str, given: Given<T>, present: Option<T>, what: &str) -> Result<T, Refusal> {
    match (given, present) {
        (Given::Value(value), _) | (Given::Absent, Some(value)) => Ok(value),
        (Given::Absent, None) => Err(Refusal::InvalidRequest(format!("{field}: missing; {what} needs it."))),
        (Given::Null, _) => {
            Err(Refusal::InvalidRequest(format!("{field}: null; allowed: a value, since it has no default.")))
        }
    }
}
