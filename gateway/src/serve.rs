//! Start-up and shut-down: the parts in the order in which they depend on each other, and back.

mod parts;

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use ledger::Clock;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use self::parts::{Ready, assemble, open_journal};
use crate::applier::{self, Destination};
use crate::gateway::Gateway;
use crate::handover::{Offer, Predecessor, Successor};
use crate::leases::Leases;
use crate::life::Life;
use crate::once::{self, Ended};
use crate::options::Options;
use crate::tls::Tls;
use crate::{accept, background, credit_grants};

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
    /// The gateway that takes over from this one.
    successor: Arc<Successor>,
    /// Gives it the ports.
    offering: Option<JoinHandle<()>>,
}

/// Starts every part and binds both ports. On return the gateway takes calls.
pub async fn start(options: Options, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let mut before = match &options.handover {
        Some(at) => Predecessor::find(at).await.context("server.handover")?,
        None => None,
    };
    let listener = listen(before.as_mut(), options.listen, "server.listen").await?;
    let admin_listener = listen(before.as_mut(), options.admin_listen, "admin.listen").await?;
    let ready = Ready::make(&options, clock).await?;
    if let Some(before) = before.take_if(|before| must_end_first(before, &options)) {
        tracing::info!(
            "the gateway that serves hands over: it drains first, because its journal or database is ours next"
        );
        before.stop(options.shutdown_grace).await.context("server.handover")?;
    }
    let store = store::open(options.store.clone()).await.context("database.url")?;
    let (journal, life) = open_journal(&options, &ready, &store).await?;
    let hurry = Arc::new(Notify::new());
    let tls = ready.tls.clone();
    let (gateway, keys_ended) = assemble(&options, ready, &store, journal, &life, &hurry).await?;
    let gateway = Arc::new(gateway);
    let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
    let (stop_accepting, accepting) = watch::channel(false);
    let (stop_admin, administering) = watch::channel(false);
    let (failing, failures) = watch::channel(0);
    let background = work_beside(&gateway, &store, &life, tls.as_ref(), (&hurry, failing), keys_ended, &options);
    let successor = Arc::new(Successor::default());
    let offering = options.handover.as_deref().map(|at| offer(at, &options, [&listener, &admin_listener], &successor));
    let offering = offering.transpose().context("server.handover")?;
    let admin = tokio::spawn(serve_admin(admin_listener, Arc::clone(&gateway), options.embedded_admin, administering));
    let connections = tokio::spawn(accept::run(
        listener,
        Arc::clone(&gateway),
        tls.clone(),
        accepting,
        Arc::clone(&successor),
        options.shutdown_grace,
    ));
    if let Some(mut before) = before {
        before.ask_to_stop().await;
    }
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
        successor,
        offering,
    })
}

/// What goes on beside the calls.
fn work_beside(
    gateway: &Arc<Gateway>,
    store: &Arc<dyn Store>,
    life: &Life,
    tls: Option<&Arc<Tls>>,
    (hurry, failing): (&Arc<Notify>, watch::Sender<u64>),
    keys_ended: UnboundedReceiver<Ended>,
    options: &Options,
) -> JoinSet<()> {
    let mut background = JoinSet::new();
    let (journal, destination) = (gateway.journal.clone(), life.destination.clone());
    background.spawn(applier::run(journal, destination, Arc::clone(&gateway.metrics), Arc::clone(hurry), failing));
    if let Some(leases) = &life.leases {
        background.spawn(Arc::clone(leases).run());
    }
    background.spawn(once::run(Arc::clone(&gateway.once), keys_ended));
    background.spawn(Arc::clone(&gateway.rollout).run());
    background.spawn(background::follow_changes(Arc::clone(gateway)));
    background.spawn(background::sample(Arc::clone(gateway)));
    background.spawn(credit_grants::run(Arc::clone(gateway), Arc::clone(store)));
    background.spawn(background::maintain(Arc::clone(gateway), Arc::clone(store), options.keep_months));
    background.spawn(Arc::clone(&gateway.upstream).follow_name());
    background.spawn(Arc::clone(&gateway.upstream).watch_health());
    background.spawn(Arc::clone(&gateway.upstream).sweep_idle());
    if let Some(tls) = tls {
        background.spawn(Arc::clone(tls).follow());
    }
    background
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

    /// Returns when the next gateway takes over: then this one is to be stopped.
    pub async fn superseded(&self) {
        self.successor.came().await;
    }

    /// Takes no new calls, lets those on their way end within the grace time, writes everything down.
    pub async fn stop(self) {
        let successor = Arc::clone(&self.successor);
        self.end().await;
        // The locks on journal and database went with it.
        successor.tell();
    }

    async fn end(mut self) {
        // Where the next gateway takes over, whoever is connected to this one is served still.
        self.gateway.shutting_down.store(!self.successor.is_there(), Ordering::SeqCst);
        if let Some(offering) = self.offering.take() {
            // Where nobody takes over, the ports are to be closed: it has them too.
            offering.abort();
            drop(offering.await);
        }
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

/// The port that the gateway before has, where it is the same; else a new one.
async fn listen(
    before: Option<&mut Predecessor>,
    address: SocketAddr,
    key: &'static str,
) -> Result<TcpListener, StartError> {
    let of_it = before.and_then(|before| before.take_listener(address));
    let listener = match of_it {
        Some(listener) => listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)),
        None => TcpListener::bind(address).await,
    };
    listener.with_context(|| format!("{key}: cannot listen on {address}"))
}

/// Whether the gateway before has what only one may have.
fn must_end_first(before: &Predecessor, options: &Options) -> bool {
    !store::is_shared(&options.store.url) || before.has_journal(&options.journal.directory)
}

/// Offers the ports to the next gateway.
fn offer(
    at: &Path,
    options: &Options,
    listeners: [&TcpListener; 2],
    successor: &Arc<Successor>,
) -> std::io::Result<JoinHandle<()>> {
    let sockets = listeners.iter().map(|listener| listener.as_fd().try_clone_to_owned()).collect::<Result<_, _>>()?;
    let offer = Offer::new(at, sockets, &options.journal.directory)?;
    Ok(tokio::spawn(offer.run(Arc::clone(successor))))
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
    if let Err(error) = axum::serve(admin_api::bounded(listener), service).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin listener ended");
    }
}
