//! `gateway run`: serve until SIGTERM or SIGINT; reload on SIGHUP.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ledger::SystemClock;
use settings::Settings;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, configuration, logging};
use crate::{Options, Running};

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
    let running = crate::start(options, Arc::new(SystemClock)).await?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => reload(file, settings, &running),
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
