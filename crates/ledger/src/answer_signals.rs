//! What a backend's answer says of its work. Unknown is not zero: a zero is one that the backend wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Scalar;

/// Tokens and model, as the backend counted and named them, and what the route's configuration extracts besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelUsage {
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens that the model read, those from a cache included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens that it wrote, those of its reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Of the input tokens, those that a cache already had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Of the input tokens, those that were written into a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Of the output tokens, those of reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Chosen scalar fields, by the last segment of their pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scalars: BTreeMap<String, Scalar>,
}

impl ModelUsage {
    /// Whether the backend counted any token.
    pub fn counts_tokens(&self) -> bool {
        let Self { input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens, .. } = self;
        [input_tokens, output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens]
            .iter()
            .any(|count| count.is_some())
    }
}

/// An answer, as a settlement sees it: stored with the event, so that a charge can be computed again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerSignals {
    /// Length of the answer's body in bytes, as far as it came.
    pub response_bytes: u64,
    /// Whether it came whole.
    pub complete: bool,
    /// What it says of the work.
    #[serde(flatten)]
    pub usage: ModelUsage,
    /// Whether the charge is the quote because the work is not known well enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}
