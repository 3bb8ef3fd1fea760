//! The host of pricing plugins: it compiles a WebAssembly component aside, tries it, swaps it in, and calls it for a
//! price in a fresh instance each time.
//!
//! A plugin's answer is treated like a stranger's. This crate must never let a plugin reach anything: a component
//! with an import is refused.

mod active;
mod answer;
mod contract;
mod engine;
mod error;
mod golden;
mod lineup;
mod load;
mod options;
mod plugin;
mod report;
mod rerate;
mod shadow;
mod signature;
mod watch;

pub use active::Active;
pub use error::{LoadError, PricingError};
pub use golden::{Cases, Difference};
pub use lineup::{Observer, Pricing};
pub use load::{Checked, check};
pub use options::Options;
pub use plugin::{Call, CallOutcome, Plugin, Quote, Settled};
pub use report::{CanaryReport, LoadedPlugin, PricingReport, RejectedFile, ShadowReport};
pub use rerate::rerate;
pub use shadow::{Compared, LargeDifference, Shadow, ShadowCall, ShadowFigures, TypeFigures};
pub use signature::{SigningKey, signature_beside, signature_path};
