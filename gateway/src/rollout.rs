//! Follows what the operators decided about plugins: loads what the database has, swaps it in, and takes a canary back
//! that fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ledger::{Actor, Change, Clock, PluginHash, Rollouts, Step};
use pricing::Pricing;
use tokio::sync::{Mutex, Notify};

/// How often a failing canary is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The wait after a plugin that could not be loaded, or a canary that could not be taken back.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Who takes a canary back, in the audit trail.
const ACTOR: &str = "gateway";

/// Keeps the plugins that set prices here as the database says.
pub(crate) struct Follower {
    pricing: Arc<Pricing>,
    store: Arc<dyn Rollouts>,
    clock: Arc<dyn Clock>,
    wake: Notify,
    one_at_a_time: Mutex<()>,
}

impl Follower {
    /// Loads what sets prices now. Fails where the active plugin cannot be loaded: another one would charge other prices.
    pub(crate) async fn open(
        pricing: Arc<Pricing>,
        store: Arc<dyn Rollouts>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Arc<Self>> {
        let follower = Self { pricing, store, clock, wake: Notify::new(), one_at_a_time: Mutex::new(()) };
        if let Err(failed) = follower.follow().await {
            match failed {
                Failed::Nothing(error) => return Err(error),
                Failed::Partly(error) => tracing::error!(error = format!("{error:#}"), "a plugin is left out"),
            }
            follower.wake.notify_one();
        }
        Ok(Arc::new(follower))
    }

    /// Something changed.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes over what the database says now, and logs where that fails: it is tried again.
    pub(crate) async fn catch_up(&self) {
        if let Err(Failed::Nothing(error) | Failed::Partly(error)) = self.follow().await {
            tracing::error!(error = format!("{error:#}"), "a step of a plugin's life is not in force here yet");
            self.wake.notify_one();
        }
    }

    /// Follows for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let (mut follow_at, mut take_back_at) = (None, None);
        loop {
            tokio::select! {
                () = self.wake.notified() => follow_at = Some(Instant::now()),
                _ = ticks.tick() => {}
            }
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
            if let Some((number, why)) = self.pricing.failing_canary()
                && (take_back_at.is_none() || due(take_back_at))
            {
                let taken = self.take_back(number, &why).await;
                take_back_at = (!taken).then(|| Instant::now() + AGAIN_AFTER);
                follow_at = taken.then(Instant::now).or(follow_at);
            }
            if due(follow_at) {
                follow_at = None;
                if let Err(Failed::Nothing(error) | Failed::Partly(error)) = self.follow().await {
                    tracing::error!(error = format!("{error:#}"), "a step of a plugin's life is tried again later");
                    follow_at = Some(Instant::now() + AGAIN_AFTER);
                }
            }
        }
    }

    async fn follow(&self) -> Result<(), Failed> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let rollout = self.store.rollout().await.context("database.url").map_err(Failed::Nothing)?;
        let mut failed = None;
        for hash in self.pricing.missing(&rollout) {
            if let Err(error) = self.load(&hash).await {
                failed = Some(error.context(format!("plugin {hash}")));
            }
        }
        match (self.pricing.arrange(rollout), failed) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(error)) => Err(Failed::Partly(error)),
            (Err(_), Some(error)) => Err(Failed::Nothing(error)),
            (Err(active), None) => Err(Failed::Nothing(anyhow::anyhow!("plugin {active} is not loaded"))),
        }
    }

    async fn load(&self, hash: &PluginHash) -> anyhow::Result<()> {
        let file = self.store.plugin_file(hash).await?.context("the database does not have it")?;
        let (pricing, hash) = (Arc::clone(&self.pricing), hash.clone());
        // Compiling takes a while and must not hold a worker.
        Ok(tokio::task::spawn_blocking(move || pricing.load(&hash, file)).await??)
    }

    /// Whether the database has it.
    async fn take_back(&self, number: i64, why: &str) -> bool {
        let actor = Actor { user_id: ACTOR.to_owned(), role: ACTOR.to_owned(), remote_address: None, request_id: None };
        let change = Change { actor, at: self.clock.now() };
        match self.store.step(&Step::TakeBack { number }, &[], why, &change).await {
            Ok(_) => {
                tracing::error!(why, "the canary was taken back");
                true
            }
            Err(error) => {
                tracing::error!(%error, why, "the canary sets no prices here, and is still to be taken back elsewhere");
                false
            }
        }
    }
}

/// What of a rollout is not in force.
enum Failed {
    /// All of it: prices are set as before.
    Nothing(anyhow::Error),
    /// A plugin that is not the active one.
    Partly(anyhow::Error),
}
