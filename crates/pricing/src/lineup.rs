//! Who sets prices now: the active plugin, a canary for a share of organisations, a shadow that charges nothing. They are
//! swapped in together, whole.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ledger::{CanaryShare, Clock, OrganizationId, PluginFile, PluginHash, PluginIdentity, Rollout};
use parking_lot::Mutex;

use crate::active::Active;
use crate::engine::Engines;
use crate::error::{LoadError, PricingError};
use crate::load::{self, Checked, Loaded};
use crate::options::Options;
use crate::plugin::{Call, Quote};
use crate::report::{CanaryReport, PricingReport, RejectedFile, ShadowReport};
use crate::shadow::{Compared, Shadow};
use crate::watch::{self, Landed};

/// Rejected files that are remembered.
pub(crate) const REJECTED_MAX: usize = 20;

/// Who counts what happens to plugins.
pub trait Observer: Send + Sync + 'static {
    /// A plugin was asked: which, which function, how long it took, and the cause where it failed.
    fn called(&self, plugin: &PluginIdentity, function: &'static str, took: Duration, fault: Option<&'static str>);
    /// A plugin became active.
    fn loaded(&self, identity: &PluginIdentity);
    /// Other plugins are asked from now on: each with its stage, `active`, `canary` or `shadow`.
    fn arranged(&self, live: &[(&'static str, &PluginIdentity)]);
    /// The shadow was asked, or should have been.
    fn shadowed(&self, compared: Compared);
    /// A file was rejected, and its cause.
    fn rejected(&self, cause: &'static str);
}

/// The plugins that set prices now, and those before them.
pub struct Pricing {
    lineup: ArcSwap<Lineup>,
    state: Mutex<State>,
    pub(crate) shared: Arc<Shared>,
    wake: mpsc::Sender<()>,
}

impl Drop for Pricing {
    /// Wakes the watcher, which then finds nothing to watch for.
    fn drop(&mut self) {
        let _ = self.wake.send(());
    }
}

/// Who is asked.
struct Lineup {
    active: Arc<Active>,
    canary: Option<Canary>,
    shadow: Option<Arc<Shadow>>,
}

#[derive(Clone)]
struct Canary {
    plugin: Arc<Active>,
    share: CanaryShare,
    number: i64,
}

/// What lineups are made of.
struct State {
    /// The plugin of the configured file.
    file: Loaded,
    /// Uploaded plugins that are compiled.
    uploaded: HashMap<PluginHash, Loaded>,
    rollout: Rollout,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) engines: Engines,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) report: Mutex<PricingReport>,
}

impl Pricing {
    /// Loads the plugin of the configured file, which must succeed, and watches its folder from then on. It sets prices
    /// until a rollout says otherwise.
    pub fn start(options: Options, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Result<Arc<Self>, LoadError> {
        let engines = Engines::new(&options).map_err(LoadError::Host)?;
        let shared = Arc::new(Shared { options, engines, clock, observer, report: Mutex::default() });
        let file = shared.load(Landed::read(&shared.options)?)?;
        let active = Arc::new(shared.activate(&file));
        let (wake, woken) = mpsc::channel();
        let pricing = Arc::new(Self {
            lineup: ArcSwap::from_pointee(Lineup { active, canary: None, shadow: None }),
            state: Mutex::new(State { file, uploaded: HashMap::new(), rollout: Rollout::default() }),
            shared,
            wake: wake.clone(),
        });
        pricing.arranged();
        watch::start(&pricing, wake, woken).map_err(|error| LoadError::Host(error.to_string()))?;
        Ok(pricing)
    }

    /// The active plugin. A call that was quoted by one settles with the same one.
    pub fn current(&self) -> Arc<Active> {
        Arc::clone(&self.lineup.load().active)
    }

    /// The most that a call of an organisation can cost, and the plugin that says so and will settle it. Where the canary
    /// fails, the active plugin is asked: a canary refuses nobody by its faults.
    pub fn quote(&self, organization: &OrganizationId, call: &Call<'_>) -> Result<(Quote, Arc<Active>), PricingError> {
        let lineup = self.lineup.load();
        if let Some(canary) = lineup.canary.as_ref().filter(|canary| canary.share.has(organization))
            && !canary.plugin.is_failing()
        {
            match canary.plugin.quote(call) {
                Err(fault) if fault.is_fault() => {
                    tracing::warn!(cause = fault.cause(), "the canary gave no quote: the active plugin is asked");
                }
                answered => return answered.map(|quote| (quote, Arc::clone(&canary.plugin))),
            }
        }
        lineup.active.quote(call).map(|quote| (quote, Arc::clone(&lineup.active)))
    }

    /// The plugin that is asked beside, where there is one.
    pub fn shadow(&self) -> Option<Arc<Shadow>> {
        self.lineup.load().shadow.clone()
    }

    /// The number of the canary's step and why it must be taken back, where it failed too often here. It sets no more
    /// prices here from then on.
    pub fn failing_canary(&self) -> Option<(i64, String)> {
        let lineup = self.lineup.load();
        let canary = lineup.canary.as_ref().filter(|canary| canary.plugin.is_failing())?;
        let (calls, faults) = canary.plugin.counts();
        let most = self.shared.options.canary_faults_max;
        let why = format!("it failed in {faults} of {calls} calls of one gateway; allowed are {most} of 10000");
        Some((canary.number, why))
    }

    /// Tries an upload without keeping anything of it.
    pub fn check(&self, file: &PluginFile) -> Result<Checked, LoadError> {
        load::check_with(file, &self.shared.engines, &self.shared.options)
    }

    /// The plugins of a rollout that are not compiled yet.
    pub fn missing(&self, rollout: &Rollout) -> Vec<PluginHash> {
        let state = self.state.lock();
        rollout.wanted().filter(|hash| !state.uploaded.contains_key(*hash)).cloned().collect()
    }

    /// Compiles an uploaded plugin and keeps it for the next [`Pricing::arrange`]. What cannot be loaded is reported.
    pub fn load(&self, hash: &PluginHash, file: PluginFile) -> Result<(), LoadError> {
        match load::uploaded(hash, file, &self.shared) {
            Ok(loaded) => {
                self.state.lock().uploaded.insert(hash.clone(), loaded);
                Ok(())
            }
            Err(error) => {
                self.shared.reject(load::UPLOADED.to_owned(), Some(hash.to_string()), &error);
                Err(error)
            }
        }
    }

    /// Lets a rollout set prices. Where its active plugin is not compiled nothing changes, and that plugin is answered; a
    /// canary or shadow that is not is left out.
    pub fn arrange(&self, rollout: Rollout) -> Result<(), PluginHash> {
        let mut state = self.state.lock();
        if let Some(active) = rollout.active.as_ref().filter(|active| !state.uploaded.contains_key(*active)) {
            return Err(active.clone());
        }
        // The one before stays compiled, so that a rollback is in force at once.
        let before = rollout.earlier.first().and_then(Option::as_ref);
        state.uploaded.retain(|hash, _| rollout.wanted().chain(before).any(|kept| kept == hash));
        state.rollout = rollout;
        self.swap(&state);
        Ok(())
    }

    /// Takes over another plugin from the configured file. It sets prices where no uploaded one does.
    pub(crate) fn take_file(&self, file: Loaded) {
        let mut state = self.state.lock();
        state.file = file;
        self.swap(&state);
    }

    /// The hash of the configured file's plugin.
    pub(crate) fn file_hash(&self) -> String {
        self.state.lock().file.shown.sha256.clone()
    }

    /// Makes a lineup of the state. What stays keeps its counts.
    fn swap(&self, state: &State) {
        let (shared, old, rollout) = (&self.shared, self.lineup.load_full(), &state.rollout);
        let wanted = rollout.active.as_ref().and_then(|active| state.uploaded.get(active)).unwrap_or(&state.file);
        let stays = old.active.identity().sha256 == wanted.shown.sha256;
        let active = if stays { Arc::clone(&old.active) } else { Arc::new(shared.activate(wanted)) };
        let canary = rollout.canary.as_ref().and_then(|canary| {
            if let Some(same) = old.canary.as_ref().filter(|old| old.number == canary.number) {
                return Some(same.clone());
            }
            let loaded = state.uploaded.get(&canary.sha256)?;
            let plugin = Arc::new(shared.active(loaded));
            Some(Canary { plugin, share: canary.share, number: canary.number })
        });
        let shadow = rollout.shadow.as_ref().and_then(|shadow| {
            if let Some(same) = old.shadow.as_ref().filter(|old| old.identity().sha256 == shadow.as_str()) {
                return Some(Arc::clone(same));
            }
            shared.shadow(state.uploaded.get(shadow)?)
        });
        self.lineup.store(Arc::new(Lineup { active, canary, shadow }));
        self.arranged();
    }

    /// Tells who is asked now.
    fn arranged(&self) {
        let lineup = self.lineup.load_full();
        let mut live = vec![("active", &**lineup.active.identity())];
        live.extend(lineup.canary.as_ref().map(|canary| ("canary", &**canary.plugin.identity())));
        live.extend(lineup.shadow.as_ref().map(|shadow| ("shadow", &**shadow.identity())));
        self.shared.observer.arranged(&live);
    }

    /// What there is to see.
    pub fn report(&self) -> PricingReport {
        let state = self.state.lock();
        let (lineup, mut report) = (self.lineup.load_full(), self.shared.report.lock().clone());
        let shown = |identity: &PluginIdentity| {
            let of = identity.sha256.parse().ok().and_then(|hash: PluginHash| state.uploaded.get(&hash));
            of.map(|loaded| loaded.shown.clone())
        };
        report.rollout = state.rollout.clone();
        report.faults = lineup.active.faults();
        report.canary = lineup.canary.as_ref().and_then(|canary| {
            let (calls, faults) = canary.plugin.counts();
            let plugin = shown(canary.plugin.identity())?;
            let (causes, failing) = (canary.plugin.faults(), canary.plugin.is_failing());
            Some(CanaryReport { plugin, share: canary.share, calls, faults, causes, failing })
        });
        report.shadow = lineup.shadow.as_ref().and_then(|shadow| {
            let plugin = shown(shadow.identity())?;
            Some(ShadowReport { plugin, since: shadow.since(), figures: shadow.figures() })
        });
        report
    }
}

impl Shared {
    /// Loads what lies in the folder.
    pub(crate) fn load(&self, landed: Landed) -> Result<Loaded, LoadError> {
        let started = Instant::now();
        let Landed { plugin, cases, signature } = landed;
        let file = PluginFile { content: plugin, cases, signature };
        let path = self.options.path.display().to_string();
        load::prepare(file, &self.engines, &self.options).map(|plugin| Loaded::new(plugin, path, started, self))
    }

    fn active(&self, loaded: &Loaded) -> Active {
        Active::new(Arc::clone(&loaded.plugin), Arc::clone(&self.observer), &self.options)
    }

    /// Notes a plugin as the active one.
    fn activate(&self, loaded: &Loaded) -> Active {
        let identity = loaded.plugin.identity();
        tracing::info!(
            name = identity.name,
            version = identity.version,
            sha256 = identity.sha256,
            "a pricing plugin is active"
        );
        self.observer.loaded(identity);
        let mut shown = loaded.shown.clone();
        shown.loaded_at = self.clock.now();
        let mut report = self.report.lock();
        report.previous = report.active.replace(shown);
        drop(report);
        self.active(loaded)
    }

    fn shadow(&self, loaded: &Loaded) -> Option<Arc<Shadow>> {
        let (plugin, observer) = (Arc::clone(&loaded.plugin), Arc::clone(&self.observer));
        match Shadow::start(plugin, observer, self.clock.now(), self.options.shadow_queue_max) {
            Ok(shadow) => Some(Arc::new(shadow)),
            Err(error) => {
                tracing::error!(%error, "a shadow has no thread: nobody is asked beside");
                None
            }
        }
    }

    pub(crate) fn reject(&self, path: String, sha256: Option<String>, error: &LoadError) {
        let (cause, reason) = (error.cause(), error.to_string());
        tracing::error!(path, cause, reason, "a pricing plugin was rejected: the old one stays");
        self.observer.rejected(cause);
        let mut report = self.report.lock();
        report.rejected.insert(0, RejectedFile { path, sha256, cause, reason, at: self.clock.now() });
        report.rejected.truncate(REJECTED_MAX);
    }
}

#[cfg(test)]
mod tests;
