//! Serves the API on `admin.listen` until SIGTERM or SIGINT. It opens the database beside the gateway that owns it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access::Authenticator;
use admin_api::{
    Context, NoGateway, NoLiveBook, Operations, access_options, operations_router, pricing_options, router,
};
use anyhow::Context as _;
use ledger::SystemClock;
use settings::Settings;
use store::{Occupancy, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// Reading connections to the database.
const DATABASE_READERS: u32 = 4;
/// How often the database is asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn until_told_to_stop(settings: &Settings) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock);
    let authenticator = Authenticator::start(access_options(&settings.auth)?, clock.clone()).context("auth")?;
    let options = store::Options {
        url: settings.database.url.clone(),
        readers: DATABASE_READERS,
        occupancy: Occupancy::Companion,
    };
    let store = store::open(options).await.context("database.url")?;
    let in_use = settings.routes.iter().map(|route| route.event_type.clone()).collect();
    let context = Context {
        directory: store.clone(),
        rollouts: store.clone(),
        usage: store.clone(),
        adjustments: store.clone(),
        credit_grants: store.clone(),
        api_keys: store.clone(),
        authenticator,
        clock,
        live: Arc::new(NoLiveBook),
        pricing: Arc::new(NoGateway::new(pricing_options(&settings.pricing)?, in_use)),
    };
    let store_up = Arc::new(AtomicBool::new(true));
    let probe = tokio::spawn(probe(Arc::clone(&store), Arc::clone(&store_up)));
    let service = operations_router(operations(store_up)).merge(router(Arc::new(context)));
    let listen = settings.admin.listen;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("admin.listen: cannot listen on {listen}"))?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tracing::info!(address = %listener.local_addr()?, "the admin API serves");

    let (stop, mut stopping) = tokio::sync::watch::channel(false);
    let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
    let service = service.into_make_service_with_connect_info::<SocketAddr>();
    let mut serving =
        tokio::spawn(axum::serve(admin_api::bounded(listener), service).with_graceful_shutdown(stopped).into_future());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut serving => ended.context("the listener ended")?.context("the listener ended")?,
    }
    stop.send_replace(true);
    if !serving.is_finished() && timeout(settings.server.shutdown_grace, &mut serving).await.is_err() {
        tracing::warn!("the grace time is over: connections are cut");
        serving.abort();
    }
    probe.abort();
    store.close().await;
    tracing::info!("the admin API stopped");
    Ok(())
}

fn operations(store_up: Arc<AtomicBool>) -> Operations {
    let for_metrics = Arc::clone(&store_up);
    Operations {
        metrics: Arc::new(move || {
            let up = u8::from(for_metrics.load(Ordering::Relaxed));
            let version = env!("CARGO_PKG_VERSION");
            format!(
                "# HELP admin_api_info The program's version.\n# TYPE admin_api_info gauge\nadmin_api_info{{version=\"{version}\"}} 1\n\
                 # HELP admin_api_store_up Whether the database answers.\n# TYPE admin_api_store_up gauge\nadmin_api_store_up {up}\n"
            )
        }),
        ready: Arc::new(move || store_up.load(Ordering::Relaxed).then_some(()).ok_or("the database does not answer")),
    }
}

async fn probe(store: Arc<dyn Store>, up: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(PROBE_EVERY);
    loop {
        ticks.tick().await;
        up.store(store.revision().await.is_ok(), Ordering::Relaxed);
    }
}
