//! Start-up and shut-down: the parts in the order in which they depend on each other, and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use access::Authenticator;
use anyhow::Context as _;
use arc_swap::ArcSwap;
use journal::Journal;
use ledger::Clock;
use pricing::Pricing;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::accept;
use crate::applier::{self, Destination};
use crate::background;
use crate::books::Books;
use crate::embedded::{Embedded, Plugins};
use crate::gateway::Gateway;
use crate::leases::Leases;
use crate::life::{self, Life};
use crate::metrics::Metrics;
use crate::once::{self, Ended, Once};
use crate::options::Options;
use crate::organizations::Organizations;
use crate::rollout::Follower;
use crate::room::Room;
use crate::tls::Tls;
use crate::upstream::Upstream;

/// A stop waits for the store until it failed this often.
const FAILURES_MAX: u32 = 2;
/// How long connections to the store may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why a gateway did not start: what was being done, and the cause.
pub type StartError = anyhow::Error;

/// A gateway that serves.
pub struct Running {
    /// Where clients call.
    pub address: SocketAddr,
    /// Where operators call: metrics, health, the admin API.
    pub admin_address: SocketAddr,
    gateway: Arc<Gateway>,
    tls: Option<Arc<Tls>>,
    store: Arc<dyn Store>,
    destination: Destination,
    stop_accepting: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    connections: JoinHandle<()>,
    admin: JoinHandle<()>,
    background: JoinSet<()>,
    leases: Option<Arc<Leases>>,
    /// Has the applier try at once.
    hurry: Arc<Notify>,
    /// How often it failed.
    failures: watch::Receiver<u64>,
    grace: Duration,
}

/// Starts every part and binds both ports. On return the gateway takes calls.
pub async fn start(options: Options, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let listener = bind(options.listen, "server.listen").await?;
    let admin_listener = bind(options.admin_listen, "admin.listen").await?;
    let tls = options.tls.clone().map(Tls::load).transpose()?;
    let store = store::open(options.store.clone()).await.context("database.url")?;
    let metrics = Metrics::new().context("metrics")?;
    let (journal, life) = open_journal(&options, &metrics, &*clock, &store).await?;
    let hurry = Arc::new(Notify::new());
    let (gateway, keys_ended) = assemble(&options, clock, &store, journal, &life, metrics, &hurry).await?;
    let gateway = Arc::new(gateway);
    let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
    let (stop_accepting, accepting) = watch::channel(false);
    let (stop_admin, administering) = watch::channel(false);
    let (failing, failures) = watch::channel(0);
    let mut background = JoinSet::new();
    background.spawn(applier::run(
        gateway.journal.clone(),
        life.destination.clone(),
        Arc::clone(&gateway.metrics),
        Arc::clone(&hurry),
        failing,
    ));
    if let Some(leases) = &life.leases {
        background.spawn(Arc::clone(leases).run());
    }
    background.spawn(once::run(Arc::clone(&gateway.once), keys_ended));
    background.spawn(Arc::clone(&gateway.rollout).run());
    background.spawn(background::follow_changes(Arc::clone(&gateway)));
    background.spawn(background::sample(Arc::clone(&gateway)));
    background.spawn(background::maintain(Arc::clone(&gateway), Arc::clone(&store), options.keep_months));
    background.spawn(Arc::clone(&gateway.upstream).follow_name());
    background.spawn(Arc::clone(&gateway.upstream).sweep_idle());
    if let Some(tls) = &tls {
        background.spawn(Arc::clone(tls).follow());
    }
    let admin = tokio::spawn(serve_admin(admin_listener, Arc::clone(&gateway), options.embedded_admin, administering));
    let connections =
        tokio::spawn(accept::run(listener, Arc::clone(&gateway), tls.clone(), accepting, options.shutdown_grace));
    tracing::info!(%address, %admin_address, plugin = %gateway.pricing.current().identity().version, "the gateway serves");
    Ok(Running {
        address,
        admin_address,
        gateway,
        tls,
        store,
        destination: life.destination,
        stop_accepting,
        stop_admin,
        connections,
        admin,
        background,
        leases: life.leases,
        hurry,
        failures,
        grace: options.shutdown_grace,
    })
}

impl Running {
    /// Swaps the reloadable part of the configuration in. Calls on their way end by the old one.
    pub fn reload(&self, options: &Options) -> Result<(), StartError> {
        let rules = options.rules();
        let taken = rules.is_ok();
        self.gateway.metrics.reloaded(taken);
        self.gateway.rules.store(Arc::new(rules.context("routes")?));
        if let Some(Err(error)) = self.tls.as_ref().map(|tls| tls.reload()) {
            tracing::error!(error = format!("{error:#}"), "the certificate stays as it was");
        }
        Ok(())
    }

    /// Notes a configuration that was refused: the old one stays.
    pub fn reload_refused(&self) {
        self.gateway.metrics.reloaded(false);
    }

    /// Takes no new calls, lets those on their way end within the grace time, writes everything down.
    pub async fn stop(mut self) {
        self.gateway.shutting_down.store(true, Ordering::SeqCst);
        self.stop_accepting.send_replace(true);
        if let Err(error) = (&mut self.connections).await {
            tracing::error!(%error, "the accept loop ended badly");
        }
        let caught_up = self.catch_up().await;
        if !caught_up {
            tracing::warn!("usage events stay in the journal: the next start applies them");
        }
        self.stop_admin.send_replace(true);
        if timeout(self.grace, &mut self.admin).await.is_err() {
            self.admin.abort();
        }
        self.background.shutdown().await;
        if caught_up && let Err(error) = applier::persist(&self.gateway.journal, &self.destination).await {
            tracing::warn!(%error, "applied usage events stay in the journal: the next start looks at them again");
        }
        if let Some(leases) = self.leases.filter(|_| caught_up) {
            leases.retire(self.grace).await;
        }
        if let Err(error) = self.gateway.journal.close().await {
            tracing::error!(%error, "the journal did not close cleanly");
        }
        // Connections to a database that does not answer are not waited for.
        let _ = timeout(CLOSE_WITHIN, self.store.close()).await;
        tracing::info!("the gateway stopped");
    }
}

impl Running {
    /// Waits until every event has reached the store, within the grace time and as long as the store takes any: what it
    /// does not take now is safe in the journal.
    async fn catch_up(&mut self) -> bool {
        let (hurry, journal, failures) = (&self.hurry, &self.gateway.journal, &mut self.failures);
        let refused = async {
            // A try that was on its way may have met what has passed since: the next one counts.
            for _ in 0..FAILURES_MAX {
                hurry.notify_one();
                failures.mark_unchanged();
                if failures.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let caught_up = timeout(self.grace, journal.caught_up());
        tokio::select! {
            caught_up = caught_up => caught_up.is_ok(),
            () = refused => false,
        }
    }
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))
}

/// Opens the journal and applies what an earlier life left in it: balances are complete before the first call.
async fn open_journal(
    options: &Options,
    metrics: &Arc<Metrics>,
    clock: &dyn Clock,
    store: &Arc<dyn Store>,
) -> Result<(Journal, Life), StartError> {
    let (opened, now, observer) = (options.journal.clone(), clock.now(), Arc::clone(metrics));
    let opening = tokio::task::spawn_blocking(move || Journal::open(opened, observer, now));
    let (journal, recovery) = opening.await?.context("journal.directory")?;
    for record in &recovery.set_aside {
        tracing::error!(record, "a damaged record of the journal was set aside");
    }
    let life = life::begin(store, &journal, &options.journal.directory, now).await?;
    if life.replayed > 0 {
        tracing::info!(
            replayed = life.replayed,
            interrupted = recovery.interrupted.len(),
            "the journal of an earlier life was replayed"
        );
    }
    Ok((journal, life))
}

async fn assemble(
    options: &Options,
    clock: Arc<dyn Clock>,
    store: &Arc<dyn Store>,
    journal: Journal,
    life: &Life,
    metrics: Arc<Metrics>,
    hurry: &Arc<Notify>,
) -> Result<(Gateway, UnboundedReceiver<Ended>), StartError> {
    let organizations = Arc::new(Organizations::open(store.clone()).await.context("database.url")?);
    let books = Books::new(store.clone(), life.leases.clone());
    let books = Arc::new(books.behind(journal.clone(), Arc::clone(hurry)));
    let authenticator = Authenticator::start(options.access.clone(), Arc::clone(&clock)).context("auth")?;
    let (pricing_options, pricing_clock, observer) =
        (options.pricing.clone(), Arc::clone(&clock), Arc::clone(&metrics));
    // Compiling takes a while and must not hold a worker.
    let compiling = tokio::task::spawn_blocking(move || Pricing::start(pricing_options, pricing_clock, observer));
    let pricing = compiling.await?.with_context(|| format!("pricing.plugin: {}", options.pricing.path.display()))?;
    let rollout = Follower::open(Arc::clone(&pricing), store.clone(), Arc::clone(&clock)).await;
    let rollout = rollout.context("the plugin that the database says is active")?;
    let upstream = Upstream::new(options.upstream.clone()).await.context("upstream.url")?;
    let rules = Arc::new(ArcSwap::from_pointee(options.rules().context("routes")?));
    let live = Embedded {
        rules: Arc::clone(&rules),
        pricing: Arc::clone(&pricing),
        rollout: Arc::clone(&rollout),
        books: Arc::clone(&books),
        organizations: Arc::clone(&organizations),
        journal: journal.clone(),
        hurry: Arc::clone(hurry),
    };
    let context = admin_api::Context {
        directory: store.clone(),
        rollouts: store.clone(),
        usage: store.clone(),
        adjustments: store.clone(),
        authenticator: Arc::clone(&authenticator),
        clock: Arc::clone(&clock),
        live: Arc::new(live),
        pricing: Arc::new(Plugins { pricing: Arc::clone(&pricing), rules: Arc::clone(&rules) }),
    };
    let (keys, meter) = (store.clone(), Arc::clone(&metrics));
    let (once, keys_ended) = Once::new(keys, store.clone(), Arc::clone(&clock), meter, life.instance, options.once);
    let gateway = Gateway {
        rules,
        own: admin_api::router(Arc::new(context)),
        room: Room::new(options.in_flight_max, options.arriving_bytes_max),
        shutting_down: Arc::new(AtomicBool::new(false)),
        clock,
        authenticator,
        organizations,
        books,
        pricing,
        rollout,
        journal,
        upstream,
        metrics,
        once,
    };
    Ok((gateway, keys_ended))
}

async fn serve_admin(listener: TcpListener, gateway: Arc<Gateway>, embedded: bool, mut stop: watch::Receiver<bool>) {
    let (metrics, health) = (Arc::clone(&gateway), Arc::clone(&gateway));
    let operations = admin_api::operations_router(admin_api::Operations {
        metrics: Arc::new(move || metrics.metrics.render()),
        ready: Arc::new(move || health.ready()),
    });
    let router = if embedded { operations.merge(gateway.own.clone()) } else { operations };
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin listener ended");
    }
}
