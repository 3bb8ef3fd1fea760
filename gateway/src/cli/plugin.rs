//! `gateway plugin`: the pricing team's tools, which need no gateway.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ledger::{Credits, EventDefinition, EventType, PlanName, Signals};
use payload::signals::{Extractor, SignalRules, TextJoin};
use pricing::{Call, Cases, Plugin as Loaded, PricingError, Quote};

use super::{Failure, say};

#[derive(Subcommand)]
pub(super) enum Plugin {
    /// Say what a plugin is: name, version, hash, size, event types, how long it takes to load and to quote.
    #[command(after_help = "Example:\n  gateway plugin inspect pricing-plugins/standard.wasm")]
    Inspect {
        /// The plugin, a WebAssembly component.
        file: PathBuf,
    },
    /// Price one call, item by item.
    #[command(
        after_help = "Example:\n  gateway plugin quote pricing-plugins/standard.wasm --event structuring_diagnose \\
    --text /content --flag /echo --body '{\"content\":[\"It is slow.\"],\"echo\":true}'"
    )]
    Quote(QuoteArgs),
    /// Price the golden cases and say what differs: those beside the plugin, or those of another file.
    #[command(after_help = "Example:\n  gateway plugin test pricing-plugins/standard.wasm
  gateway plugin test new.wasm --cases pricing-plugins/standard.cases.toml")]
    Test {
        /// The plugin, a WebAssembly component.
        file: PathBuf,
        /// The cases; those of NAME.wasm are in NAME.cases.toml.
        #[arg(long)]
        cases: Option<PathBuf>,
    },
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
    /// The signals of a recorded event, as JSON, in place of a body.
    #[arg(long)]
    signals: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Plugin) -> Result<(), Failure> {
    match command {
        Plugin::Inspect { file } => inspect(file),
        Plugin::Quote(args) => quote(args),
        Plugin::Test { file, cases } => test(file, cases.as_deref()),
    }
}

/// Loads a plugin, whatever its golden cases say: `test` is there to tell.
fn load(file: &Path) -> Result<Loaded, Failure> {
    let loaded = Loaded::load_untested(&pricing::Options::new(file));
    loaded.map_err(|error| Failure::Faults(vec![format!("{}: {}: {error}", file.display(), error.cause())]))
}

fn inspect(file: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    let plugin = load(file)?;
    let loaded_in = started.elapsed();
    let identity = plugin.identity();
    say(&format!("name          {}", identity.name));
    say(&format!("version       {}", identity.version));
    say(&format!("sha256        {}", identity.sha256));
    say(&format!("size          {} bytes", plugin.bytes()));
    let event_types = plugin.event_types();
    let named = if event_types.is_empty() { "all that have a definition".to_owned() } else { event_types.join(", ") };
    say(&format!("event types   {named}"));
    say(&format!("contract      {}", plugin.contract()));
    say(&format!("settlement    {}", plugin.settlement()));
    say(&format!("load time     {} ms", loaded_in.as_millis()));
    Ok(())
}

fn test(file: &Path, cases: Option<&Path>) -> Result<(), Failure> {
    let plugin = load(file)?;
    let of = cases.map_or_else(|| Cases::path_for(file), Path::to_path_buf);
    let text = std::fs::read_to_string(&of).with_context(|| format!("the golden cases {}", of.display()))?;
    let cases = Cases::parse(&text).map_err(|why| Failure::Usage(format!("{}: {why}", of.display())))?;
    let differences = cases.differences(&plugin);
    if differences.is_empty() {
        say(&format!("{}: {} calls priced as in {}", file.display(), cases.count(), of.display()));
        return Ok(());
    }
    let told = |difference: &pricing::Difference| {
        format!("{}\n  - {}\n  + {}", difference.case, difference.wanted, difference.answered)
    };
    Err(Failure::Faults(differences.iter().map(told).collect()))
}

fn quote(args: &QuoteArgs) -> Result<(), Failure> {
    let plugin = load(&args.file)?;
    let definition = definition(args)?;
    let signals = signals(args)?;
    let asked = Call { definition: &definition, plan: &args.plan, signals: &signals };
    match plugin.quote(&asked) {
        Ok(quote) if args.json => say(&as_json(&plugin, &quote, &signals)),
        Ok(quote) => {
            for item in &quote.items {
                say(&format!("{:<24} {:>16}", item.label, item.credits.to_string()));
            }
            say(&format!("{:<24} {:>16}", "total", quote.credits.to_string()));
        }
        Err(PricingError::Refused(why)) => return Err(Failure::Faults(vec![format!("declined: {why}")])),
        Err(error) => return Err(Failure::Faults(vec![format!("{}: {error}", error.cause())])),
    }
    Ok(())
}

fn as_json(plugin: &Loaded, quote: &Quote, signals: &Signals) -> String {
    serde_json::json!({
        "credits": as_number(quote.credits),
        "items": quote.items,
        "plugin": &**plugin.identity(),
        "signals": signals,
    })
    .to_string()
}

/// Exact, where a JSON value of its own would go through a float.
fn as_number(credits: Credits) -> serde_json::Value {
    serde_json::to_value(credits).unwrap_or_default()
}

/// The definition given, or the standard price list's.
fn definition(args: &QuoteArgs) -> Result<EventDefinition, Failure> {
    if let Some(text) = &args.definition {
        let mut document: serde_json::Value = serde_json::from_str(text).context("--definition")?;
        if let Some(members) = document.as_object_mut() {
            members.entry("eventType").or_insert_with(|| args.event.as_str().into());
            members.entry("name").or_insert_with(|| args.event.as_str().into());
            members.entry("category").or_insert_with(|| "custom".into());
        }
        return Ok(serde_json::from_value(document).context("--definition")?);
    }
    let known = store::standard_definitions().context("the standard price list")?;
    let names: Vec<String> = known.iter().map(|definition| definition.event_type.to_string()).collect();
    let found = known.into_iter().find(|definition| definition.event_type == args.event);
    let unknown = || {
        format!("{} is not on the standard price list: give --definition, or one of {}", args.event, names.join(", "))
    };
    found.ok_or_else(|| Failure::Usage(unknown()))
}

/// The signals given, or those of the body.
fn signals(args: &QuoteArgs) -> Result<Signals, Failure> {
    if let Some(text) = &args.signals {
        return Ok(serde_json::from_str(text).context("--signals")?);
    }
    let body = match args.body.strip_prefix('@') {
        Some(file) => std::fs::read(file).with_context(|| format!("--body {file}"))?,
        None => args.body.clone().into_bytes(),
    };
    let rules = SignalRules {
        text: args.text.clone(),
        join: TextJoin::First,
        flags: args.flag.clone(),
        ..SignalRules::default()
    };
    let extractor = Extractor::new(rules).context("--text or --flag")?;
    Ok(extractor.extract(&body).context("--body")?.signals)
}
