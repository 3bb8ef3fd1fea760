//! The host of pricing plugins: it compiles a WebAssembly component aside, tries it, swaps it in, and calls it for a
//! price in a fresh instance each time.
//!
//! A plugin's answer is treated like a stranger's. This crate must never let a plugin reach anything: a component
//! with an import is refused.

mod answer;
mod contract;
mod engine;
mod error;
mod golden;
mod options;
mod plugin;
mod report;
mod watch;

pub use error::{LoadError, PricingError};
pub use golden::{Cases, Difference};
pub use options::Options;
pub use plugin::{Call, CallOutcome, Plugin, Quote, Settled};
pub use report::{LoadedPlugin, PricingReport, RejectedFile};
pub use watch::{Active, Observer, Pricing};
