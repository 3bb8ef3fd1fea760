//! From bytes to a plugin that may set prices: signature, compilation, trial, golden cases, in this order.

use std::sync::Arc;
use std::time::Instant;

use ledger::{EventType, PluginFile, PluginHash, PluginIdentity};

use crate::engine::Engines;
use crate::error::LoadError;
use crate::golden::{self, Cases};
use crate::lineup::Shared;
use crate::options::Options;
use crate::plugin::{Plugin, sha256};
use crate::report::LoadedPlugin;
use crate::signature::must_be_signed;

/// Where a plugin comes from that lies in no folder.
pub(crate) const UPLOADED: &str = "(uploaded)";

/// A plugin that is ready to be asked.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) shown: LoadedPlugin,
}

/// What an upload turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Name, version and hash.
    pub identity: Arc<PluginIdentity>,
    /// Its hash as the store names it.
    pub hash: PluginHash,
    /// Length of its file in bytes.
    pub bytes: u64,
    /// The event types that it names; none means all.
    pub event_types: Vec<EventType>,
    /// How many golden cases it was tried with.
    pub golden_cases: u64,
}

/// Tries an upload without keeping anything of it: for whoever has no gateway at hand.
pub fn check(file: &PluginFile, options: &Options) -> Result<Checked, LoadError> {
    let engines = Engines::new(options).map_err(LoadError::Host)?;
    check_with(file, &engines, options)
}

pub(crate) fn check_with(file: &PluginFile, engines: &Engines, options: &Options) -> Result<Checked, LoadError> {
    let cases = file.cases.as_deref().map(Cases::parse).transpose().map_err(LoadError::Golden)?;
    let plugin = prepare(file.clone(), engines, options)?;
    let event_types = plugin.event_types();
    Ok(Checked {
        identity: Arc::clone(plugin.identity()),
        hash: plugin.identity().sha256.parse().map_err(LoadError::Description)?,
        bytes: plugin.bytes(),
        event_types: event_types.into_iter().filter_map(|event_type| event_type.parse().ok()).collect(),
        golden_cases: cases.map_or(0, |cases| u64::try_from(cases.count()).unwrap_or(u64::MAX)),
    })
}

/// Loads what was uploaded, which must be what its hash says.
pub(crate) fn uploaded(hash: &PluginHash, file: PluginFile, shared: &Shared) -> Result<Loaded, LoadError> {
    let started = Instant::now();
    if sha256(&file.content) != hash.as_str() {
        return Err(LoadError::OtherContent);
    }
    let plugin = prepare(file, &shared.engines, &shared.options)?;
    Ok(Loaded::new(plugin, UPLOADED.to_owned(), started, shared))
}

/// Nothing of a file is looked at before its signature holds.
pub(crate) fn prepare(file: PluginFile, engines: &Engines, options: &Options) -> Result<Plugin, LoadError> {
    let PluginFile { content, cases, signature } = file;
    let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
    if bytes > options.file_bytes_max {
        return Err(LoadError::TooLarge { bytes, bytes_max: options.file_bytes_max });
    }
    must_be_signed(&options.signing_keys, &content, signature.as_deref().map(str::as_bytes))?;
    let cases = cases.as_deref().map(golden::parse_bounded).transpose().map_err(LoadError::Golden)?;
    let plugin = Plugin::from_bytes(content, engines, options)?;
    plugin.must_pass(cases.as_ref())?;
    Ok(plugin)
}

impl Loaded {
    pub(crate) fn new(plugin: Plugin, path: String, started: Instant, shared: &Shared) -> Self {
        let identity = Arc::clone(plugin.identity());
        let shown = LoadedPlugin {
            name: identity.name.clone(),
            version: identity.version.clone(),
            sha256: identity.sha256.clone(),
            bytes: plugin.bytes(),
            path,
            loaded_at: shared.clock.now(),
            load_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            event_types: plugin.event_types().into_iter().map(str::to_owned).collect(),
        };
        Self { plugin: Arc::new(plugin), shown }
    }
}
