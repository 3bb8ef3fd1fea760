//! `gateway plugin upload|shadow|canary|activate|rollback|list`: the life of a plugin, from the command line. It writes to
//! the database; gateways follow within a second.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ledger::{
    Actor, CanaryShare, Change, Clock as _, EventType, PluginFile, PluginHash, Rollout, Step, StepRefused,
    StoredPlugin, SystemClock,
};
use pricing::Cases;
use settings::Settings;
use store::{Occupancy, Store};

use crate::cli::run::runtime;
use crate::cli::{Failure, configuration, say};
use crate::options::store_options;

/// The role that the audit trail shows for whoever has the configuration.
const ROLE: &str = "command_line";
/// The longest reason in bytes, as the operators' API takes it.
const REASON_BYTES_MAX: usize = 200;
/// The shortest part of a hash that may stand for it.
const HASH_PART_MIN: usize = 8;

#[derive(Subcommand)]
pub(in crate::cli) enum Life {
    /// Check a plugin, its golden cases and its signature, and keep it in the database. It sets no prices yet.
    #[command(
        after_help = "Example:\n  gateway plugin upload new.wasm --config config/gateway.toml --reason \"prices of 2027\"

NAME.cases.toml and NAME.wasm.sig beside NAME.wasm are kept with it."
    )]
    Upload {
        /// The plugin, a WebAssembly component.
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// Ask an uploaded plugin beside the active one; it charges nothing, and what it would have charged is reported.
    #[command(after_help = "Examples:
  gateway plugin shadow 3f9a1c20 --config config/gateway.toml --reason \"what would 2027 cost?\"
  gateway plugin shadow --stop --config config/gateway.toml --reason \"seen enough\"")]
    Shadow {
        /// The plugin's SHA-256, or its first 8 digits or more.
        #[arg(required_unless_present = "stop", conflicts_with = "stop")]
        plugin: Option<String>,
        /// Ask nobody beside any more.
        #[arg(long)]
        stop: bool,
        #[command(flatten)]
        by: By,
    },
    /// Let an uploaded plugin set prices for a share of organisations.
    #[command(
        after_help = "Example:\n  gateway plugin canary 3f9a1c20 --share 250 --config config/gateway.toml --reason \"2.5 % first\""
    )]
    Canary {
        /// The plugin's SHA-256, or its first 8 digits or more.
        plugin: String,
        /// How many of 10 000 organisations.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        share: u16,
        #[command(flatten)]
        by: By,
    },
    /// Let an uploaded plugin set all prices.
    #[command(
        after_help = "Example:\n  gateway plugin activate 3f9a1c20 --config config/gateway.toml --reason \"it is right\""
    )]
    Activate {
        /// The plugin's SHA-256, or its first 8 digits or more.
        plugin: String,
        #[command(flatten)]
        by: By,
    },
    /// Take the canary back, or return to the plugin before where there is none.
    #[command(after_help = "Example:\n  gateway plugin rollback --config config/gateway.toml --reason \"too dear\"")]
    Rollback {
        #[command(flatten)]
        by: By,
    },
    /// List the uploaded plugins and which of them sets prices for whom.
    #[command(after_help = "Example:\n  gateway plugin list --config config/gateway.toml")]
    List {
        /// The configuration that names the database.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// On which database, why and by whom.
#[derive(Args)]
pub(in crate::cli) struct By {
    /// The configuration that names the database.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Why, for the audit trail.
    #[arg(long)]
    reason: String,
    /// Who, for the audit trail; the system's user unless given.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl By {
    fn change(&self) -> Result<Change, Failure> {
        change(&self.reason, self.by.as_deref())
    }
}

/// Whose change it is, now.
pub(super) fn change(reason: &str, by: Option<&str>) -> Result<Change, Failure> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Failure::Usage(format!("--reason: allowed are 1 to {REASON_BYTES_MAX} bytes")));
    }
    let user_id = by.map(str::to_owned).or_else(configuration::user).unwrap_or_else(|| "unknown".to_owned());
    let actor = Actor { user_id, role: ROLE.to_owned(), remote_address: None, request_id: None };
    Ok(Change { actor, at: SystemClock.now() })
}

pub(super) fn run(life: &Life) -> Result<(), Failure> {
    match life {
        Life::Upload { file, by } => upload(file, by),
        Life::Shadow { plugin: Some(plugin), by, .. } => {
            step(by, |plugins| Ok(Step::Shadow { sha256: find(plugins, plugin)? }))
        }
        Life::Shadow { plugin: None, by, .. } => step(by, |_| Ok(Step::StopShadow)),
        Life::Canary { plugin, share, by } => {
            let share = CanaryShare::try_from(*share).map_err(|why| Failure::Usage(format!("--share: {why}")))?;
            step(by, |plugins| Ok(Step::Canary { sha256: find(plugins, plugin)?, share }))
        }
        Life::Activate { plugin, by } => step(by, |plugins| Ok(Step::Activate { sha256: find(plugins, plugin)? })),
        Life::Rollback { by } => step(by, |_| Ok(Step::Rollback)),
        Life::List { config, json } => list(config, *json),
    }
}

fn upload(file: &Path, by: &By) -> Result<(), Failure> {
    let (change, settings) = (by.change()?, configuration::load(&by.config)?);
    let options =
        admin_api::pricing_options(&settings.pricing).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let name = file.display();
    let fault = |why: String| Failure::Faults(vec![format!("{name}: {why}")]);
    let content = std::fs::read(file).with_context(|| format!("{name}"))?;
    let cases = Cases::path_for(file);
    let cases = cases.exists().then(|| std::fs::read_to_string(&cases)).transpose().context("the golden cases")?;
    let signature = pricing::signature_beside(file).map_err(|error| fault(error.to_string()))?;
    let upload = PluginFile { content, cases, signature };
    let checked = pricing::check(&upload, &options).map_err(|error| fault(format!("{}: {error}", error.cause())))?;
    let plugin = StoredPlugin {
        sha256: checked.hash,
        name: checked.identity.name.clone(),
        version: checked.identity.version.clone(),
        bytes: checked.bytes,
        event_types: checked.event_types,
        golden_cases: checked.golden_cases,
        signed: upload.signature.is_some(),
        uploaded_at: change.at,
        uploaded_by: change.actor.user_id.clone(),
    };
    let kept = runtime(1)?.block_on(async {
        let store = open(&settings).await?;
        let kept = store.put_plugin(&plugin, &upload, &by.reason, &change).await.context("database.url");
        store.close().await;
        kept
    })?;
    let kept = kept.ok_or_else(|| fault("as many plugins are kept as there may be".to_owned()))?;
    say(&format!("kept: {} {} {}", kept.name, kept.version, kept.sha256));
    Ok(())
}

fn step(by: &By, make: impl FnOnce(&[StoredPlugin]) -> Result<Step, Failure>) -> Result<(), Failure> {
    let (change, settings) = (by.change()?, configuration::load(&by.config)?);
    let in_use: Vec<EventType> = settings.routes.iter().map(|route| route.event_type.clone()).collect();
    runtime(1)?.block_on(async {
        let store = open(&settings).await?;
        let plugins = store.plugins().await.context("database.url")?;
        let made = store.step(&make(&plugins)?, &in_use, &by.reason, &change).await.context("database.url")?;
        store.close().await;
        let rollout = made.map_err(|refused: StepRefused| Failure::Faults(vec![refused.to_string()]))?;
        for line in shown(&plugins, &rollout) {
            say(&line);
        }
        say("gateways follow within a second");
        Ok(())
    })
}

fn list(config: &Path, json: bool) -> Result<(), Failure> {
    let settings = configuration::load(config)?;
    let (plugins, rollout) = runtime(1)?.block_on(async {
        let store = open(&settings).await?;
        let read = (store.plugins().await.context("database.url")?, store.rollout().await.context("database.url")?);
        store.close().await;
        anyhow::Ok(read)
    })?;
    if json {
        say(&serde_json::json!({ "plugins": plugins, "rollout": rollout }).to_string());
        return Ok(());
    }
    for plugin in &plugins {
        say(&format!(
            "{}  {} {}, {} bytes, by {}",
            plugin.sha256, plugin.name, plugin.version, plugin.bytes, plugin.uploaded_by
        ));
    }
    for line in shown(&plugins, &rollout) {
        say(&line);
    }
    Ok(())
}

pub(super) async fn open(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    let options = store::Options { occupancy: Occupancy::Companion, ..store_options(&settings.database) };
    store::open(options).await.context("database.url")
}

/// The plugin whose hash begins so.
fn find(plugins: &[StoredPlugin], part: &str) -> Result<PluginHash, Failure> {
    let mut found = plugins.iter().filter(|plugin| plugin.sha256.as_str().starts_with(part));
    match (found.next(), found.next()) {
        _ if part.len() < HASH_PART_MIN => Err(Failure::Usage(format!(
            "{part}: a plugin is named by its SHA-256, or {HASH_PART_MIN} digits or more of it"
        ))),
        (Some(plugin), None) => Ok(plugin.sha256.clone()),
        (None, _) => Err(Failure::Faults(vec![format!(
            "no plugin {part} was uploaded: gateway plugin upload FILE keeps one, gateway plugin list shows them"
        )])),
        (Some(_), Some(_)) => Err(Failure::Faults(vec![format!("{part} begins several plugins: give more of it")])),
    }
}

/// Which plugin sets prices for whom, a line a stage.
fn shown(plugins: &[StoredPlugin], rollout: &Rollout) -> Vec<String> {
    let named = |hash: Option<&PluginHash>| {
        let Some(hash) = hash else { return "the configured file".to_owned() };
        let plugin = plugins.iter().find(|plugin| plugin.sha256 == *hash);
        plugin.map_or_else(|| hash.to_string(), |plugin| format!("{} {} {hash}", plugin.name, plugin.version))
    };
    let mut lines = vec![format!("active    {}", named(rollout.active.as_ref()))];
    if let Some(canary) = &rollout.canary {
        lines.push(format!(
            "canary    {} for {} of 10000 organisations",
            named(Some(&canary.sha256)),
            canary.share.parts()
        ));
    }
    if let Some(shadow) = &rollout.shadow {
        lines.push(format!("shadow    {}", named(Some(shadow))));
    }
    if let Some(before) = rollout.earlier.first() {
        lines.push(format!("before    {}", named(before.as_ref())));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_found_by_enough_of_its_hash() {
        let plugin = |hash: String| StoredPlugin {
            sha256: hash.parse().unwrap(),
            name: "prices".into(),
            version: "1".into(),
            bytes: 1,
            event_types: Vec::new(),
            golden_cases: 0,
            signed: false,
            uploaded_at: SystemClock.now(),
            uploaded_by: "me".into(),
        };
        let plugins = [plugin(format!("{}0", "a".repeat(63))), plugin(format!("{}1", "a".repeat(63)))];
        assert!(find(&plugins, "aaaaaaaa").is_err(), "both begin so");
        assert!(find(&plugins, "aaaaaaa").is_err() && find(&plugins, "bbbbbbbb").is_err());
        let whole = plugins[1].sha256.to_string();
        assert!(find(&plugins, &whole).is_ok_and(|found| found == plugins[1].sha256));
    }
}
