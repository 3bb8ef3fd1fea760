//! `gateway check`: everything that `run` would load, tried without serving; one line a fault, all of them in one run. It
//! makes and changes nothing.

mod disk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::{Authenticator, KeySource};
use ledger::{Clock, EventType, SystemClock};
use pricing::Plugin;
use settings::{Auth, Inspected};
use store::{Occupancy, OpenError};

use super::run::runtime;
use super::{Failure, configuration, say};
use crate::options::{RESERVED, store_options};

pub(super) fn run(file: &Path) -> Result<(), Failure> {
    let mut inspected = configuration::inspect(file).map_err(|faults| Failure::Faults(lines(&faults.0)))?;
    runtime(1)?.block_on(look(&mut inspected));
    let faults = inspected.faults();
    if faults.is_empty() {
        say(&format!("{}: sound", file.display()));
        return Ok(());
    }
    Err(Failure::Faults(lines(&faults)))
}

fn lines(faults: &[settings::Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// Looks at every file and address that the configuration names, where its own key is sound.
async fn look(inspected: &mut Inspected) {
    own_paths(inspected);
    keys(inspected).await;
    backend(inspected).await;
    let plugin = plugin(inspected);
    let defined = database(inspected).await;
    journal(inspected);
    event_types(inspected, plugin.as_ref(), defined.as_deref());
}

fn own_paths(inspected: &mut Inspected) {
    for route in inspected.settings.routes.clone() {
        if admin_api::is_reserved(&route.path) {
            let allowed = "a path that is not below /api/admin or an organization's usage";
            inspected.fault(&format!("routes[{}].path", route.index), &format!("{} {RESERVED}", route.path), allowed);
        }
    }
}

/// Each source of keys by itself, so that one does not hide another.
async fn keys(inspected: &mut Inspected) {
    let auth = inspected.settings.auth.clone();
    let sources = match admin_api::access_options(&auth) {
        Ok(options) => vec![options],
        Err(error) => {
            let why = format!("{error:#}");
            let why = why.strip_prefix("auth.hs256_secret_file: ").unwrap_or(&why);
            inspected.fault("auth.hs256_secret_file", why, "a file that can be read");
            admin_api::access_options(&Auth { hs256_secret_file: None, ..auth }).into_iter().collect()
        }
    };
    let in_environment = inspected.settings.auth.hs256_secret.is_some();
    let secret_key = if in_environment { "auth.hs256_secret" } else { "auth.hs256_secret_file" };
    for source in sources.iter().flat_map(|options| &options.keys) {
        let (key, allowed) = match source {
            KeySource::Address(_) | KeySource::File(_) => ("auth.jwks", "a JWKS with a key of ours that can be read"),
            KeySource::Secret(_) => (secret_key, "a secret of 32 bytes or more"),
        };
        let auth = &inspected.settings.auth;
        let access = access::Options::new(&auth.issuer, &auth.audience, vec![source.clone()]);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // Asking an address for its keys blocks.
        match tokio::task::spawn_blocking(move || Authenticator::start(access, clock).map(drop)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let why = error.to_string();
                inspected.fault(key, why.split("; allowed: ").next().unwrap_or(&why), allowed);
            }
            Err(error) => inspected.fault(key, &error.to_string(), allowed),
        }
    }
}

async fn backend(inspected: &mut Inspected) {
    let (host, port) = (inspected.settings.upstream.host.clone(), inspected.settings.upstream.port);
    if inspected.is_sound("upstream.url") && tokio::net::lookup_host((host.as_str(), port)).await.is_err() {
        inspected.fault("upstream.url", &format!("{host} does not resolve"), "a host name or address");
    }
}

fn plugin(inspected: &mut Inspected) -> Option<Plugin> {
    if !inspected.is_sound("pricing.plugin") {
        return None;
    }
    let path = inspected.settings.pricing.plugin.display().to_string();
    let loaded = admin_api::pricing_options(&inspected.settings.pricing).map(|options| Plugin::load(&options));
    let why = match loaded {
        Ok(Ok(plugin)) => return Some(plugin),
        Ok(Err(error)) => error.to_string(),
        Err(error) => {
            let why = format!("{error:#}");
            let keys = why.strip_prefix("pricing.signing_keys");
            let keys = keys.map(|rest| rest.split("; allowed: ").next().unwrap_or(rest).to_owned());
            if let Some(what) = keys {
                let allowed = "ed25519 public keys in base64, as openssl pkey -pubout prints them";
                inspected.fault("pricing.signing_keys", &what, allowed);
                return None;
            }
            why
        }
    };
    inspected.fault("pricing.plugin", &format!("{path}: {why}"), "a pricing plugin's file");
    None
}

/// The event types that have a definition; `None` where the database is not there yet and will be made.
async fn database(inspected: &mut Inspected) -> Option<Vec<EventType>> {
    const KEY: &str = "database.url";
    const FILE: &str = "a file that can be made, read and written";
    const SERVER: &str =
        "a PostgreSQL database that can be reached and written, whose tables are, or can be, the user's own";
    if !inspected.is_sound(KEY) {
        return None;
    }
    let url = inspected.settings.database.url.clone();
    if let Some(why) = file_of(&url).and_then(|file| disk::file_fault(&file)) {
        inspected.fault(KEY, &why, FILE);
        return None;
    }
    let allowed = if file_of(&url).is_some() { FILE } else { SERVER };
    let visit = store::Options { occupancy: Occupancy::Visitor, ..store_options(&inspected.settings.database) };
    // What cannot be reached says so when it is opened.
    let lacks = store::lacks(&visit).await.unwrap_or_default();
    for lack in &lacks {
        inspected.fault(KEY, lack, allowed);
    }
    let read = match store::open(visit).await {
        _ if !lacks.is_empty() => return None,
        Err(OpenError::Missing(_)) => return None,
        Err(error) => Err(error.to_string()),
        Ok(store) => {
            let read = store.event_definitions().await.map_err(|error| error.to_string());
            store.close().await;
            read
        }
    };
    match read {
        Ok(definitions) => Some(definitions.into_iter().map(|definition| definition.event_type).collect()),
        Err(why) => {
            // Where an address is none, the store knows best what is one.
            let (why, allowed) = why.split_once("; allowed: ").unwrap_or((&why, allowed));
            inspected.fault(KEY, why, allowed);
            None
        }
    }
}

/// The file of an embedded database.
fn file_of(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).map(PathBuf::from)
}

fn journal(inspected: &mut Inspected) {
    if !inspected.is_sound("journal.directory") {
        return;
    }
    if let Some(why) = disk::folder_fault(&inspected.settings.journal.directory) {
        inspected.fault("journal.directory", &why, "a folder that can be made and written to");
    }
}

fn event_types(inspected: &mut Inspected, plugin: Option<&Plugin>, defined: Option<&[EventType]>) {
    for route in inspected.settings.routes.clone() {
        let (key, event_type) = (format!("routes[{}].event_type", route.index), route.event_type);
        if defined.is_some_and(|defined| !defined.contains(&event_type)) {
            inspected.fault(&key, &format!("{event_type} has no event definition"), "one that has");
        }
        if plugin.is_some_and(|plugin| !plugin.prices(&event_type)) {
            inspected.fault(&key, &format!("{event_type} is not priced by the plugin"), "one that is");
        }
    }
}

#[cfg(test)]
mod tests;
