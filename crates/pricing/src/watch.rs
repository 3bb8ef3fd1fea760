//! The watch over the configured file: what lands there is tried aside and swapped in whole, or rejected.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use notify::{EventKind, RecursiveMode, Watcher as _};

use crate::error::LoadError;
use crate::golden::{self, Cases};
use crate::lineup::Pricing;
use crate::options::Options;
use crate::plugin::{read, sha256};
use crate::signature::signature_beside;

impl Pricing {
    /// Looks at the file: loads it if it changed. `rejected` is what the last look found wanting, if it did, so that it
    /// is tried and reported once.
    pub(crate) fn look(&self, rejected: &mut Option<String>) {
        let shared = &self.shared;
        let path = || shared.options.path.display().to_string();
        let error = match Landed::read(&shared.options) {
            // Between the removal of the old file and the arrival of the new one there is none.
            Err(error) if error.is_absent() => return *rejected = None,
            Err(error) => error,
            Ok(landed) => {
                let hash = sha256(&landed.plugin);
                if hash == self.file_hash() {
                    return *rejected = None;
                }
                // Better cases, or the signature, may arrive after the plugin.
                let beside = [&landed.cases, &landed.signature].map(|text| text.as_deref().unwrap_or_default());
                let tried = format!("{hash} {}", beside.join(" "));
                if rejected.as_ref() == Some(&tried) {
                    return;
                }
                match shared.load(landed) {
                    Ok(loaded) => {
                        self.take_file(loaded);
                        return *rejected = None;
                    }
                    Err(error) => {
                        // What found no compiler was not tried: the next look tries it.
                        if !matches!(error, LoadError::CompilersBusy(_)) {
                            *rejected = Some(tried);
                        }
                        return shared.reject(path(), Some(hash), &error);
                    }
                }
            }
        };
        let now = error.to_string();
        if rejected.as_ref() != Some(&now) {
            *rejected = Some(now);
            shared.reject(path(), None, &error);
        }
    }
}

/// What lies in the folder now.
pub(crate) struct Landed {
    pub(crate) plugin: Vec<u8>,
    /// The text of its golden cases.
    pub(crate) cases: Option<String>,
    /// The signature beside it, where one is asked for.
    pub(crate) signature: Option<String>,
}

impl Landed {
    pub(crate) fn read(options: &Options) -> Result<Self, LoadError> {
        let plugin = read(&options.path, options.file_bytes_max)?;
        let cases = golden::read(&Cases::path_for(&options.path)).map_err(LoadError::Golden)?;
        let signature = if options.signing_keys.is_empty() { None } else { signature_beside(&options.path)? };
        Ok(Self { plugin, cases, signature })
    }
}

/// Watches the file's folder, not the file: editors and orchestrators replace files by renaming or by swapping a link.
pub(crate) fn start(pricing: &Arc<Pricing>, wake: mpsc::Sender<()>, woken: mpsc::Receiver<()>) -> std::io::Result<()> {
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
