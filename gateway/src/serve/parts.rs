//! The parts of a gateway, put together: first what needs nobody, then what needs the database and the journal. It must
//! never touch either before what needs nobody is sound.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use access::Authenticator;
use anyhow::Context as _;
use arc_swap::ArcSwap;
use journal::Journal;
use ledger::Clock;
use pricing::Pricing;
use store::Store;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;

use super::StartError;
use crate::books::Books;
use crate::embedded::{Embedded, Plugins};
use crate::gateway::Gateway;
use crate::life::{self, Life};
use crate::metrics::Metrics;
use crate::once::{Ended, Once};
use crate::options::Options;
use crate::organizations::Organizations;
use crate::rollout::Follower;
use crate::room::Room;
use crate::rules::Rules;
use crate::tls::Tls;
use crate::upstream::Upstream;

/// What needs no database: where it has a fault nothing has happened yet.
pub(super) struct Ready {
    pub(super) tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    authenticator: Arc<Authenticator>,
    pricing: Arc<Pricing>,
    upstream: Arc<Upstream>,
    rules: Arc<ArcSwap<Rules>>,
}

impl Ready {
    pub(super) async fn make(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let tls = options.tls.clone().map(Tls::load).transpose()?;
        let metrics = Metrics::new().context("metrics")?;
        let authenticator = Authenticator::start(options.access.clone(), Arc::clone(&clock)).context("auth")?;
        let (pricing_options, pricing_clock, observer) =
            (options.pricing.clone(), Arc::clone(&clock), Arc::clone(&metrics));
        // Compiling takes a while and must not hold a worker.
        let compiling = tokio::task::spawn_blocking(move || Pricing::start(pricing_options, pricing_clock, observer));
        let pricing =
            compiling.await?.with_context(|| format!("pricing.plugin: {}", options.pricing.path.display()))?;
        let upstream = Upstream::new(options.upstream.clone()).await.context("upstream.url")?;
        let rules = Arc::new(ArcSwap::from_pointee(options.rules().context("routes")?));
        Ok(Self { tls, metrics, clock, authenticator, pricing, upstream, rules })
    }
}

/// Opens the journal and applies what an earlier life left in it: balances are complete before the first call.
pub(super) async fn open_journal(
    options: &Options,
    ready: &Ready,
    store: &Arc<dyn Store>,
) -> Result<(Journal, Life), StartError> {
    let (metrics, clock) = (&ready.metrics, &ready.clock);
    let (opened, now, observer) = (options.journal.clone(), clock.now(), Arc::clone(metrics));
    let opening = tokio::task::spawn_blocking(move || Journal::open(opened, observer, now));
    let (journal, recovery) = opening.await?.context("journal.directory")?;
    metrics.set_aside(recovery.set_aside.len());
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

/// Puts everything together.
pub(super) async fn assemble(
    options: &Options,
    ready: Ready,
    store: &Arc<dyn Store>,
    journal: Journal,
    life: &Life,
    hurry: &Arc<Notify>,
) -> Result<(Gateway, UnboundedReceiver<Ended>), StartError> {
    let Ready { tls: _, metrics, clock, authenticator, pricing, upstream, rules } = ready;
    let organizations = Organizations::open(store.clone(), store.clone()).await.context("database.url")?;
    let organizations = Arc::new(organizations);
    let books = Books::new(store.clone(), life.leases.clone());
    let books = Arc::new(books.behind(journal.clone(), Arc::clone(hurry)));
    let rollout = Follower::open(Arc::clone(&pricing), store.clone(), Arc::clone(&clock)).await;
    let rollout = rollout.context("the plugin that the database says is active")?;
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
        credit_grants: store.clone(),
        api_keys: organizations.keys.clone(),
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
