//! The active plugin, and the watch over its file: what lands there is tried aside and swapped in whole, or rejected.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ledger::{Clock, PluginIdentity};
use notify::{EventKind, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use wasmtime::Engine;

use crate::engine;
use crate::error::{LoadError, PricingError};
use crate::golden::{self, Cases};
use crate::options::Options;
use crate::plugin::{Call, CallOutcome, Plugin, Quote, Settled, read, sha256};
use crate::report::{LoadedPlugin, PricingReport, RejectedFile};

/// Rejected files that are remembered.
const REJECTED_MAX: usize = 20;

/// Who counts what happens to plugins.
pub trait Observer: Send + Sync + 'static {
    /// A plugin was asked: which function, how long it took, and the cause where it failed.
    fn called(&self, function: &'static str, took: Duration, fault: Option<&'static str>);
    /// A plugin became active.
    fn loaded(&self, identity: &PluginIdentity);
    /// A file was rejected, and its cause.
    fn rejected(&self, cause: &'static str);
}

/// The plugin that sets prices now, and those before it.
pub struct Pricing {
    active: ArcSwap<Active>,
    shared: Arc<Shared>,
    wake: mpsc::Sender<()>,
}

impl Drop for Pricing {
    /// Wakes the watcher, which then finds nothing to watch for.
    fn drop(&mut self) {
        let _ = self.wake.send(());
    }
}

/// A plugin together with who counts its calls: what a call keeps from its quote to its settlement.
pub struct Active {
    plugin: Plugin,
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    engine: Engine,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    report: Mutex<PricingReport>,
}

impl Active {
    /// Name, version and hash.
    pub fn identity(&self) -> &Arc<PluginIdentity> {
        self.plugin.identity()
    }

    /// See [`Plugin::settles_at_quote`].
    pub fn settles_at_quote(&self) -> bool {
        self.plugin.settles_at_quote()
    }

    /// See [`Plugin::prices`].
    pub fn prices(&self, event_type: &ledger::EventType) -> bool {
        self.plugin.prices(event_type)
    }

    /// See [`Plugin::quote`].
    pub fn quote(&self, call: &Call<'_>) -> Result<Quote, PricingError> {
        self.observed("quote", || self.plugin.quote(call))
    }

    /// See [`Plugin::settle`].
    pub fn settle(&self, call: &Call<'_>, quote: &Quote, outcome: &CallOutcome) -> Result<Settled, PricingError> {
        self.observed("settle", || self.plugin.settle(call, quote, outcome))
    }

    fn observed<T>(
        &self,
        function: &'static str,
        ask: impl FnOnce() -> Result<T, PricingError>,
    ) -> Result<T, PricingError> {
        let started = Instant::now();
        let answered = ask();
        self.shared.observer.called(function, started.elapsed(), answered.as_ref().err().map(PricingError::cause));
        answered
    }
}

impl Pricing {
    /// Loads the first plugin, which must succeed, and watches its folder from then on.
    pub fn start(options: Options, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Result<Arc<Self>, LoadError> {
        let engine = engine::new(&options).map_err(LoadError::Host)?;
        let shared = Arc::new(Shared { options, engine, clock, observer, report: Mutex::default() });
        let first = shared.activate(Landed::read(&shared.options)?)?;
        let (wake, woken) = mpsc::channel();
        let pricing = Arc::new(Self { active: ArcSwap::from_pointee(first), shared, wake: wake.clone() });
        watch(&pricing, wake, woken).map_err(|error| LoadError::Host(error.to_string()))?;
        Ok(pricing)
    }

    /// The active plugin. A call that was quoted by one settles with the same one.
    pub fn current(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// What there is to see.
    pub fn report(&self) -> PricingReport {
        self.shared.report.lock().clone()
    }

    /// Looks at the file: loads it if it changed. `rejected` is what the last look found wanting, if it did, so that it
    /// is tried and reported once.
    fn look(&self, rejected: &mut Option<String>) {
        let shared = &self.shared;
        let error = match Landed::read(&shared.options) {
            // Between the removal of the old file and the arrival of the new one there is none.
            Err(error) if error.is_absent() => return *rejected = None,
            Err(error) => error,
            Ok(landed) => {
                let hash = sha256(&landed.plugin);
                if hash == self.active.load().identity().sha256 {
                    return *rejected = None;
                }
                // Better cases may arrive after the plugin.
                let tried = format!("{hash} {}", landed.cases.as_deref().unwrap_or_default());
                if rejected.as_ref() == Some(&tried) {
                    return;
                }
                match shared.activate(landed) {
                    Ok(active) => {
                        self.active.store(Arc::new(active));
                        return *rejected = None;
                    }
                    Err(error) => {
                        *rejected = Some(tried);
                        return shared.reject(Some(hash), &error);
                    }
                }
            }
        };
        let now = error.to_string();
        if rejected.as_ref() != Some(&now) {
            *rejected = Some(now);
            shared.reject(None, &error);
        }
    }
}

/// What lies in the folder now.
struct Landed {
    plugin: Vec<u8>,
    /// The text of its golden cases.
    cases: Option<String>,
}

impl Landed {
    fn read(options: &Options) -> Result<Self, LoadError> {
        let plugin = read(&options.path, options.file_bytes_max)?;
        let cases = golden::read(&Cases::path_for(&options.path)).map_err(LoadError::Golden)?;
        Ok(Self { plugin, cases })
    }
}

impl Shared {
    /// Loads a plugin and notes it as the active one.
    fn activate(self: &Arc<Self>, landed: Landed) -> Result<Active, LoadError> {
        let started = Instant::now();
        let cases = landed.cases.as_deref().map(Cases::parse).transpose().map_err(LoadError::Golden)?;
        let plugin = Plugin::from_bytes(landed.plugin, &self.engine, &self.options)?;
        plugin.must_pass(cases.as_ref())?;
        let identity = Arc::clone(plugin.identity());
        let loaded = LoadedPlugin {
            name: identity.name.clone(),
            version: identity.version.clone(),
            sha256: identity.sha256.clone(),
            bytes: plugin.bytes(),
            path: self.options.path.display().to_string(),
            loaded_at: self.clock.now(),
            load_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            event_types: plugin.event_types().into_iter().map(str::to_owned).collect(),
        };
        tracing::info!(
            name = identity.name,
            version = identity.version,
            sha256 = identity.sha256,
            "a pricing plugin is active"
        );
        self.observer.loaded(&identity);
        let mut report = self.report.lock();
        report.previous = report.active.replace(loaded);
        drop(report);
        Ok(Active { plugin, shared: Arc::clone(self) })
    }

    fn reject(&self, sha256: Option<String>, error: &LoadError) {
        let (cause, reason) = (error.cause(), error.to_string());
        let path = self.options.path.display().to_string();
        tracing::error!(path, cause, reason, "a pricing plugin was rejected: the old one stays");
        self.observer.rejected(cause);
        let mut report = self.report.lock();
        report.rejected.insert(0, RejectedFile { path, sha256, cause, reason, at: self.clock.now() });
        report.rejected.truncate(REJECTED_MAX);
    }
}

/// Watches the file's folder, not the file: editors and orchestrators replace files by renaming or by swapping a link.
fn watch(pricing: &Arc<Pricing>, wake: mpsc::Sender<()>, woken: mpsc::Receiver<()>) -> std::io::Result<()> {
    let options = pricing.shared.options.clone();
    let folder = options.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| std::path::PathBuf::from("."), std::path::Path::to_path_buf);
    let pricing = Arc::downgrade(pricing);
    let watcher = std::thread::Builder::new().name("pricing-watch".to_owned());
    let watching = watcher.spawn(move || {
        let notice = move |event: notify::Result<notify::Event>| {
            // Our own reading raises access events.
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                let _ = wake.send(());
            }
        };
        let watcher = notify::recommended_watcher(notice).and_then(|mut watcher| {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, folder = %folder.display(), "the plugin's folder cannot be watched: it is polled");
        }
        let mut rejected = None;
        loop {
            match woken.recv_timeout(options.poll) {
                Ok(()) => settle_down(&woken, &options),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            match pricing.upgrade() {
                Some(pricing) => pricing.look(&mut rejected),
                None => return,
            }
        }
    });
    watching.map(drop)
}

/// Waits until the folder is quiet, but no longer than a poll: something else in it may never be.
fn settle_down(woken: &mpsc::Receiver<()>, options: &Options) {
    let started = Instant::now();
    while woken.recv_timeout(options.debounce).is_ok() && started.elapsed() < options.poll {}
}

#[cfg(test)]
mod tests;
