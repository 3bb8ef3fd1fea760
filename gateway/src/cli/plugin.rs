//! `gateway plugin`: the pricing team's tools, which need no gateway.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ledger::{EventDefinition, EventType, PlanName};
use payload::signals::{Extractor, SignalRules, TextJoin};
use pricing::{Call, Plugin as Loaded, PricingError, Quote};

use super::Failure;

#[derive(Subcommand)]
pub(super) enum Plugin {
    /// Say what a plugin is: name, version, hash, size, event types, how long it takes to load and to quote.
    #[command(after_help = "Example:\n  gateway plugin inspect pricing-plugins/standard.wasm")]
    Inspect {
        /// The plugin, a WebAssembly component.
        file: PathBuf,
    },
    /// Price one call, item by item.
    #[command(after_help = "Example:\n  gateway plugin quote pricing-plugins/standard.wasm --event structuring_diagnose \\
    --text /content --flag /echo --body '{\"content\":[\"It is slow.\"],\"echo\":true}'")]
    Quote(QuoteArgs),
}

#[derive(Args)]
pub(super) struct QuoteArgs {
    /// The plugin, a WebAssembly component.
    file: PathBuf,
    /// The event type; its definition is the standard price list's unless --definition is given.
    #[arg(long)]
    event: EventType,
    /// An event definition as JSON, as the operators' API takes it.
    #[arg(long)]
    definition: Option<String>,
    /// The request's body, as JSON; @FILE reads it from a file.
    #[arg(long, default_value = "{}")]
    body: String,
    /// The organisation's plan.
    #[arg(long, default_value = "free")]
    plan: PlanName,
    /// A JSON pointer to the text that sets complexity; repeatable.
    #[arg(long, default_value = "/content")]
    text: Vec<String>,
    /// A JSON pointer to a feature flag; repeatable.
    #[arg(long, default_values = ["/echo", "/traceback"])]
    flag: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Plugin) -> Result<(), Failure> {
    match command {
        Plugin::Inspect { file } => inspect(file),
        Plugin::Quote(args) => quote(args),
    }
}
