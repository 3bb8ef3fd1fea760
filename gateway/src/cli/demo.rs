//! `gateway demo`: a stand-in backend, two organisations with users in every role and some weeks of history, the gateway
//! and the admin API, on this machine, in a folder that is gone afterwards.

mod history;
mod people;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ledger::{Clock as _, SystemClock};
use settings::{Log, LogFormat, Settings};
use standin::{Mint, Standin};
use store::Occupancy;
use tempfile::TempDir;
use tokio::signal::unix::SignalKind;

use super::run::{on, runtime};
use super::{Failure, logging, say};
use crate::Options;

/// The standard plugin, so that the demo runs from any folder.
const PLUGIN: &[u8] = include_bytes!("../../../pricing-plugins/standard.wasm");
/// The routes of the existing app, from the annotated configuration.
const ANNOTATED: &str = include_str!("../../../config/gateway.toml");
const ISSUER: &str = "https://id.demo.example";
const AUDIENCE: &str = "gateway";
/// For how long the demo's credentials are good: eight hours.
const CREDENTIALS_MS: i64 = 8 * 3_600_000;

#[derive(Args)]
pub(super) struct Demo {
    /// Where users call. A port that is taken is replaced by a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where operators call. A port that is taken is replaced by a free one.
    #[arg(long, default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,
    /// How long the stand-in backend thinks, in milliseconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=standin::DELAY_MS_MAX))]
    delay_ms: u64,
}

pub(super) fn run(demo: &Demo) -> Result<(), Failure> {
    logging::start(&Log { level: "warn".to_owned(), format: LogFormat::Auto });
    runtime(0)?.block_on(serve(demo))
}

async fn serve(demo: &Demo) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let folder = tempfile::Builder::new().prefix("gateway-demo-").tempdir().context("no folder for the demo")?;
    let backend = standin::Options { delay: Duration::from_millis(demo.delay_ms), ..standin::Options::default() };
    let backend = Standin::start(backend).await.context("the stand-in backend")?;
    let secret = Mint::fresh_secret().context("no secret")?;
    let settings = settings(demo, &folder, &backend, &secret)?;
    furnish(&settings).await?;
    hand_out_credentials(folder.path(), &secret)?;
    let running = crate::start(Options::from_settings(&settings)?, Arc::new(SystemClock)).await?;
    for line in people::what_to_try(running.address, running.admin_address, folder.path()) {
        say(&line);
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    say("\nThe demo ends; its folder is removed.");
    running.stop().await;
    backend.stop().await;
    folder.close().context("the demo's folder stays")?;
    Ok(())
}

fn settings(demo: &Demo, folder: &TempDir, backend: &Standin, secret: &str) -> anyhow::Result<Settings> {
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("standard.wasm"), PLUGIN)?;
    let text = |path: std::path::PathBuf| path.display().to_string();
    let set = [
        ("SERVER__LISTEN", free(demo.listen)?.to_string()),
        ("SERVER__SHUTDOWN_GRACE", "3s".to_owned()),
        ("ADMIN__LISTEN", free(demo.admin_listen)?.to_string()),
        ("UPSTREAM__URL", format!("http://{}", backend.address())),
        ("DATABASE__URL", format!("sqlite:{}", text(at("usage.db")))),
        ("JOURNAL__DIRECTORY", text(at("journal"))),
        ("AUTH__ISSUER", ISSUER.to_owned()),
        ("AUTH__AUDIENCE", AUDIENCE.to_owned()),
        ("AUTH__JWKS", String::new()),
        ("AUTH__HS256_SECRET", secret.to_owned()),
        ("PRICING__PLUGIN", text(at("standard.wasm"))),
    ];
    let env = set.into_iter().map(|(key, value)| (format!("GATEWAY__{key}"), value));
    settings::parse("the demo's configuration", ANNOTATED, env).map_err(|faults| anyhow::anyhow!("{faults}"))
}

/// The address, or a free port beside it.
fn free(wanted: SocketAddr) -> anyhow::Result<SocketAddr> {
    if std::net::TcpListener::bind(wanted).is_ok() {
        return Ok(wanted);
    }
    let other = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?.local_addr()?;
    say(&format!("{wanted} is taken: {other} is used."));
    Ok(other)
}

/// Organisations, members and some weeks of events, priced by the plugin itself.
async fn furnish(settings: &Settings) -> anyhow::Result<()> {
    let options = Options::from_settings(settings)?;
    let plugin = pricing::Plugin::load(&options.pricing)?;
    let store = store::open(store::Options { occupancy: Occupancy::Gateway, ..options.store }).await?;
    let now = SystemClock.now();
    people::settle_in(&*store, now).await?;
    history::write(&*store, &plugin, now).await?;
    store.close().await;
    Ok(())
}

/// A file a person, which only the one who runs the demo can read.
fn hand_out_credentials(folder: &Path, secret: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mint = Mint::new(ISSUER, AUDIENCE, secret.as_bytes());
    let expires = SystemClock.now().plus_millis(CREDENTIALS_MS);
    for (file, person) in people::credentials() {
        let credential = mint.credential(&person, expires)?;
        let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(folder.join(file))?;
        file.write_all(credential.as_bytes())?;
    }
    Ok(())
}
