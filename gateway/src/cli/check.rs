//! `gateway check`: everything that `run` would load, tried without serving; one line a fault. It makes and changes
//! nothing.

use std::path::Path;
use std::sync::Arc;

use access::Authenticator;
use ledger::{Clock, EventType, SystemClock};
use pricing::Plugin;
use settings::Settings;
use store::{Occupancy, OpenError};

use super::run::runtime;
use super::{Failure, configuration, say};
use crate::Options;

pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let settings = match configuration::load(file) {
        Ok(settings) => settings,
        Err(Failure::Usage(faults)) => return Err(Failure::Faults(faults.lines().map(str::to_owned).collect())),
        Err(other) => return Err(other),
    };
    let faults = runtime(1)?.block_on(faults(&settings));
    if faults.is_empty() {
        say(&format!("{}: sound", file.display()));
        return Ok(());
    }
    Err(Failure::Faults(faults.into_iter().map(|fault| format!("{}: {fault}", file.display())).collect()))
}

async fn faults(settings: &Settings) -> Vec<String> {
    let mut faults = Vec::new();
    let options = match Options::from_settings(settings) {
        Ok(options) => options,
        Err(error) => return vec![format!("{error:#}")],
    };
    if let Err(error) = options.rules() {
        faults.push(format!("routes: {error:#}"));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let access = options.access.clone();
    // Asking an address for its keys blocks.
    match tokio::task::spawn_blocking(move || Authenticator::start(access, clock).map(drop)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => faults.push(format!("auth: {error}")),
        Err(error) => faults.push(format!("auth: {error}")),
    }
    if tokio::net::lookup_host((settings.upstream.host.as_str(), settings.upstream.port)).await.is_err() {
        faults.push(format!(
            "upstream.url: {} does not resolve; allowed: a host name or address",
            settings.upstream.host
        ));
    }
    let plugin = match Plugin::load(&options.pricing) {
        Ok(plugin) => Some(plugin),
        Err(error) => {
            faults.push(format!("pricing.plugin: {}: {error}", options.pricing.path.display()));
            None
        }
    };
    let defined = defined(&options, &mut faults).await;
    for (index, route) in settings.routes.iter().enumerate() {
        let event_type = &route.event_type;
        if defined.as_ref().is_some_and(|defined| !defined.contains(event_type)) {
            faults.push(format!(
                "routes[{index}].event_type: {event_type} has no event definition; allowed: one that has"
            ));
        }
        if plugin.as_ref().is_some_and(|plugin| !plugin.prices(event_type)) {
            faults.push(format!(
                "routes[{index}].event_type: {event_type} is not priced by the plugin; allowed: one that is"
            ));
        }
    }
    faults
}

/// The event types that have a definition; `None` where the database is not there yet and will be made.
async fn defined(options: &Options, faults: &mut Vec<String>) -> Option<Vec<EventType>> {
    let visit = store::Options { occupancy: Occupancy::Visitor, ..options.store.clone() };
    let store = match store::open(visit).await {
        Ok(store) => store,
        Err(OpenError::Missing(_)) => return None,
        Err(error) => {
            faults.push(format!("database.url: {error}"));
            return None;
        }
    };
    let definitions = store.event_definitions().await;
    store.close().await;
    match definitions {
        Ok(definitions) => Some(definitions.into_iter().map(|definition| definition.event_type).collect()),
        Err(error) => {
            faults.push(format!("database.url: {error}"));
            None
        }
    }
}
