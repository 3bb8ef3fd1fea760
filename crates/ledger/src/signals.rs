//! What of a request a price may depend on. Never the prompt itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the route's configuration extracts from a request's body; stored with the event, so that a charge can be
/// computed again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signals {
    /// Length of the text that sets complexity, in UTF-16 code units.
    pub text_units: u64,
    /// How many items the text had where it was an array of strings, blank ones left out.
    pub item_count: u64,
    /// The feature flags that are true, by the last segment of their pointer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Chosen scalar fields, by the last segment of their pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scalars: BTreeMap<String, Scalar>,
    /// Length of the body in bytes.
    pub body_bytes: u64,
}

/// A scalar of the request's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A truth value.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// A text, or any other number as it was written.
    Text(String),
}
