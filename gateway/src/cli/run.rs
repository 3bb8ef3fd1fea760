//! `gateway run`: serve until SIGTERM or SIGINT; reload on SIGHUP, and when the configuration file is another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use ledger::SystemClock;
use settings::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, configuration, logging};
use crate::{Options, Running};

/// How often the configuration file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let settings = configuration::load(file)?;
    logging::start(&settings.log);
    runtime(settings.server.threads)?.block_on(serve(file, &settings))
}

/// The one runtime: the proxy, the admin API and the background work share it.
pub(super) fn runtime(threads: u64) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(usize::try_from(threads).context("server.threads")?);
    }
    Ok(builder.enable_all().build().context("no runtime")?)
}

async fn serve(file: &Path, settings: &Settings) -> Result<(), Failure> {
    let options = Options::from_settings(settings).map_err(|error| Failure::Usage(format!("{error:#}")))?;
    let (mut terminate, mut interrupt, mut hang_up) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?);
    let mut configuration = Watched::new(file);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let running = crate::start(options, Arc::new(SystemClock)).await?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = running.superseded() => {
                tracing::info!("the next gateway takes over");
                break;
            }
            _ = hang_up.recv() => reload(file, settings, &running),
            _ = looks.tick() => {
                if configuration.has_changed() {
                    reload(file, settings, &running);
                }
            }
        }
    }
    tracing::info!("draining");
    running.stop().await;
    Ok(())
}

pub(super) fn on(kind: SignalKind) -> Result<Signal, Failure> {
    Ok(signal(kind).context("signals cannot be received")?)
}

/// Takes over what can change while serving: routes, limits on bodies, the settlement policy. A configuration with a
/// fault changes nothing.
fn reload(file: &Path, started_with: &Settings, running: &Running) {
    let refused = |why: String| {
        running.reload_refused();
        tracing::error!(why, "the configuration was not reloaded: the old one stays");
    };
    let settings = match configuration::load(file) {
        Ok(settings) => settings,
        Err(Failure::Usage(why)) => return refused(why),
        Err(_) => return refused("it cannot be read".to_owned()),
    };
    for key in settings.fixed_keys_changed(started_with) {
        tracing::warn!(key, "this key changes with a restart only");
    }
    match Options::from_settings(&settings).and_then(|options| running.reload(&options)) {
        Ok(()) => tracing::info!("the configuration was reloaded"),
        Err(error) => refused(format!("{error:#}")),
    }
}

/// A file that may be replaced, as deployments do: by writing it, by renaming, by turning a link.
struct Watched {
    file: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl Watched {
    fn new(file: &Path) -> Self {
        let mut watched = Self { file: file.to_owned(), seen: None };
        watched.seen = watched.look();
        watched
    }

    /// Whether it is another than when it was last looked at. One that is away for a moment is not.
    fn has_changed(&mut self) -> bool {
        let seen = self.look();
        let changed = seen.is_some() && seen != self.seen;
        if changed {
            self.seen = seen;
        }
        changed
    }

    fn look(&self) -> Option<(SystemTime, u64)> {
        let metadata = std::fs::metadata(&self.file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_changed_once_however_it_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str, age_s: u64| {
            std::fs::write(at(name), text).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 - age_s);
            std::fs::File::options().write(true).open(at(name)).unwrap().set_modified(time).unwrap();
        };
        write("one", "a", 30);
        std::os::unix::fs::symlink(at("one"), at("link")).unwrap();
        let mut watched = Watched::new(&at("link"));
        assert!(!watched.has_changed());
        write("one", "b", 20);
        assert!(watched.has_changed() && !watched.has_changed(), "written");
        write("two", "c", 10);
        std::fs::rename(at("two"), at("one")).unwrap();
        assert!(watched.has_changed() && !watched.has_changed(), "renamed");
        write("three", "d", 5);
        std::fs::remove_file(at("link")).unwrap();
        assert!(!watched.has_changed(), "away for a moment");
        std::os::unix::fs::symlink(at("three"), at("link")).unwrap();
        assert!(watched.has_changed() && !watched.has_changed(), "another link");
    }
}
