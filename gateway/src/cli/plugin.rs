//! `gateway plugin`: the pricing team's tools, which need no gateway, and the life of a plugin (`rollout`).

pub(super) mod rollout;

mod compare;
mod recorded;
mod replay;
mod report;
mod rerate;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ledger::{Credits, EventDefinition, EventType, PlanName, Signals, UsageEventId};
use payload::signals::{Extractor, SignalRules, TextJoin};
use pricing::{Call, Cases, Plugin as Loaded, PricingError, Quote, rerate};

use self::compare::{DiffArgs, ReplayArgs};
use self::recorded::Recorded;
use self::rerate::RerateArgs;
use super::run::runtime;
use super::{Failure, say};

/// How long a plugin may take to compile here: nobody waits for it but who asked.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(600);
/// Calls that are timed.
const CALLS_TIMED: u32 = 50;

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
    #[command(flatten)]
    Life(rollout::Life),
    /// Price recorded calls once more: totals, and the largest differences by organisation and event type.
    #[command(
        after_help = "Example:\n  gateway plugin replay new.wasm --config config/gateway.toml --from 2026-10 --to 2026-11 --html report.html"
    )]
    Replay(ReplayArgs),
    /// Price recorded calls anew: make a plan of all that differs, then apply it as adjustments beside the calls.
    #[command(
        after_help = "Examples:\n  gateway plugin rerate new.wasm --config config/gateway.toml --from 2026-10 --to 2026-10 --plan-file october.plan
  gateway plugin rerate --apply october.plan --config config/gateway.toml --reason \"o3 was priced twice too high\""
    )]
    Rerate(RerateArgs),
    /// Say where two plugins differ: over golden cases, or over recorded calls with --config.
    #[command(
        after_help = "Examples:\n  gateway plugin diff old.wasm new.wasm --cases pricing-plugins/standard.cases.toml
  gateway plugin diff old.wasm new.wasm --config config/gateway.toml --from 2026-11 --to 2026-11"
    )]
    Diff(DiffArgs),
}

#[derive(Args)]
pub(super) struct QuoteArgs {
    /// The plugin, a WebAssembly component.
    file: PathBuf,
    /// The event type; its definition is the standard price list's unless --definition is given.
    #[arg(long, required_unless_present = "event_id")]
    event: Option<EventType>,
    /// A recorded event, priced once more from what it stored, its settlement included; needs --config.
    #[arg(long, conflicts_with = "event", requires = "config")]
    event_id: Option<UsageEventId>,
    /// The configuration that names the database of the event. It is only read.
    #[arg(long, short, value_name = "FILE", requires = "event_id")]
    config: Option<PathBuf>,
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
        Plugin::Replay(args) => compare::replay(args),
        Plugin::Rerate(args) => rerate::run(args),
        Plugin::Diff(args) => compare::diff(args),
        Plugin::Test { file, cases } => test(file, cases.as_deref()),
        Plugin::Life(life) => rollout::run(life),
    }
}

/// Loads a plugin, whatever its golden cases say: `test` is there to tell.
fn load(file: &Path) -> Result<Loaded, Failure> {
    let options = pricing::Options { compile_time_max: COMPILE_TIME_MAX, ..pricing::Options::new(file) };
    let loaded = Loaded::load_untested(&options);
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
    say(&format!("exports       {}", plugin.exports().join(", ")));
    say("imports       none");
    say(&format!("load time     {} ms", loaded_in.as_millis()));
    if loaded_in > pricing::Options::new(file).compile_time_max {
        say("              longer than a gateway waits: it would refuse this file");
    }
    say(&format!("call time     {}", call_time(&plugin)?));
    Ok(())
}

/// How long a quote takes in a fresh instance: the least and the middle of some calls.
fn call_time(plugin: &Loaded) -> Result<String, Failure> {
    let named = plugin.event_types().first().map_or("structuring_diagnose", |named| *named).to_owned();
    let event_type: EventType = named.parse().context("the plugin's event type")?;
    let definition = EventDefinition {
        name: event_type.to_string(),
        event_type,
        category: "inspect".to_owned(),
        base_credits: Credits::from_micros(Credits::MICROS_PER_CREDIT),
        complexity: None,
        features: std::collections::BTreeMap::new(),
        version: 1,
    };
    let (plan, signals) = ("free".parse().context("a plan")?, Signals::default());
    let call = Call { definition: &definition, plan: &plan, signals: &signals };
    let mut times: Vec<Duration> = (0..CALLS_TIMED)
        .map(|_| {
            let started = Instant::now();
            let _ = plugin.quote(&call);
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(0, Duration::as_micros);
    Ok(format!("{} µs at least, {} µs in the middle of {CALLS_TIMED}", at(0), at(times.len() / 2)))
}

/// A recorded event, priced as it was: its definition, plan, signals and answer are what it stored.
fn quote_recorded(args: &QuoteArgs, plugin: &Loaded, config: &Path, id: UsageEventId) -> Result<(), Failure> {
    let priced = runtime(0)?.block_on(async {
        let recorded = Recorded::open(config).await?;
        let event = recorded.event(id).await?;
        let definition = recorded.definition(&event);
        let unknown = || {
            vec![format!("{}: version {} of its definition is not known", event.event_type, event.definition_version)]
        };
        let definition = definition.ok_or_else(|| Failure::Faults(unknown()))?;
        let settled = rerate(plugin, &event, definition, &args.plan);
        let signals = event.signals.clone();
        recorded.close().await;
        Ok::<_, Failure>((settled, signals, event.credits))
    })?;
    let (settled, signals, charged) = priced;
    let settled = settled.map_err(|error| Failure::Faults(vec![format!("{}: {error}", error.cause())]))?;
    show(args, plugin, &settled.quote, &signals);
    if !args.json {
        let estimated = if settled.estimated { ", as an estimate" } else { "" };
        say(&format!("{:<24} {:>16}{estimated}", "charged then", charged.to_string()));
    }
    Ok(())
}

fn show(args: &QuoteArgs, plugin: &Loaded, quote: &Quote, signals: &Signals) {
    if args.json {
        return say(&as_json(plugin, quote, signals));
    }
    for item in &quote.items {
        say(&format!("{:<24} {:>16}", item.label, item.credits.to_string()));
    }
    say(&format!("{:<24} {:>16}", "total", quote.credits.to_string()));
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
    if let (Some(id), Some(config)) = (args.event_id, &args.config) {
        return quote_recorded(args, &plugin, config, id);
    }
    let Some(event_type) = &args.event else {
        return Err(Failure::Usage("say which call: --event, or --event-id with --config".to_owned()));
    };
    let definition = definition(args, event_type)?;
    let signals = signals(args)?;
    let asked = Call { definition: &definition, plan: &args.plan, signals: &signals };
    match plugin.quote(&asked) {
        Ok(quote) => show(args, &plugin, &quote, &signals),
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
fn definition(args: &QuoteArgs, event_type: &EventType) -> Result<EventDefinition, Failure> {
    if let Some(text) = &args.definition {
        let mut document: serde_json::Value =
            serde_json::from_str(text).map_err(|why| Failure::word("--definition", why))?;
        if let Some(members) = document.as_object_mut() {
            members.entry("eventType").or_insert_with(|| event_type.as_str().into());
            members.entry("name").or_insert_with(|| event_type.as_str().into());
            members.entry("category").or_insert_with(|| "custom".into());
        }
        return serde_json::from_value(document).map_err(|why| Failure::word("--definition", why));
    }
    let known = store::standard_definitions().context("the standard price list")?;
    let names: Vec<String> = known.iter().map(|definition| definition.event_type.to_string()).collect();
    let found = known.into_iter().find(|definition| definition.event_type == *event_type);
    let unknown = || {
        format!("{} is not on the standard price list: give --definition, or one of {}", event_type, names.join(", "))
    };
    found.ok_or_else(|| Failure::Usage(unknown()))
}

/// The signals given, or those of the body.
fn signals(args: &QuoteArgs) -> Result<Signals, Failure> {
    if let Some(text) = &args.signals {
        return serde_json::from_str(text).map_err(|why| Failure::word("--signals", why));
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
    let extractor = Extractor::new(rules).map_err(|why| Failure::word("--text or --flag", why))?;
    Ok(extractor.extract(&body).map_err(|why| Failure::word("--body", why))?.signals)
}
