//! pricing.
