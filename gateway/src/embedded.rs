//! The admin API inside the gateway: what it sees of live books, journal and plugins, and how its changes arrive at once.

use std::sync::Arc;
use std::time::Duration;

use admin_api::{Asked, Live, NotSetAside, Priced, PricingStatus, Which, unknown_call};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::Method;
use journal::Journal;
use ledger::{BookSnapshot, Changed, Credits, EventType, Hold, HoldRefused, Limit, OrganizationId, Period, PluginFile};
use pricing::{Checked, LoadError, Pricing};
use refusal::Refusal;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Notify;

use crate::books::{Books, NotHeld};
use crate::organizations::Organizations;
use crate::rollout::Follower;
use crate::routes::{Matched, Route, Routes};
use crate::rules::Rules;
use crate::{canonical, quote};

/// How long a report waits for the newest events to reach the store. After it, it shows what is there.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(1);

/// The gateway as the admin API sees it.
pub(crate) struct Embedded {
    pub(crate) books: Arc<Books>,
    pub(crate) organizations: Arc<Organizations>,
    pub(crate) journal: Journal,
    pub(crate) pricing: Arc<Pricing>,
    pub(crate) rollout: Arc<Follower>,
    pub(crate) rules: Arc<ArcSwap<Rules>>,
    /// Asks the applier not to wait for more events.
    pub(crate) hurry: Arc<Notify>,
}

#[async_trait]
impl Live for Embedded {
    async fn snapshot(&self, id: &OrganizationId, period: Period) -> Option<BookSnapshot> {
        if self.books.are_leased() {
            self.caught_up().await;
        }
        self.books.seen(id, period).await
    }

    async fn set_aside(
        &self,
        id: &OrganizationId,
        period: Period,
        amount: Credits,
        limit: Limit,
    ) -> Result<Option<Hold>, NotSetAside> {
        self.books.set_aside(id, period, amount, limit).await.map_err(|not_held| match not_held {
            NotHeld::Refused(HoldRefused::Credits { available, .. }) => NotSetAside::Remaining(available),
            NotHeld::Refused(_) => NotSetAside::OutOfRange,
            NotHeld::Unknown(error) => NotSetAside::Unknown(error),
        })
    }

    async fn caught_up(&self) {
        self.hurry.notify_one();
        if tokio::time::timeout(CAUGHT_UP_WITHIN, self.journal.caught_up()).await.is_err() {
            tracing::warn!("a report does not wait any longer for the newest events");
        }
    }

    async fn changed(&self, changed: &Changed) {
        for arrived in [self.organizations.changed(changed).await, self.books.changed(changed).await] {
            if let Err(error) = arrived {
                tracing::error!(%error, "a change arrives late");
            }
        }
        if *changed == Changed::Pricing {
            self.rollout.catch_up().await;
        }
    }

    async fn quote(&self, asked: Asked<'_>) -> Result<Priced, Refusal> {
        let rules = self.rules.load_full();
        if asked.body.len() > rules.body_bytes_max {
            return Err(Refusal::BodyTooLarge(u64::try_from(rules.body_bytes_max).unwrap_or(u64::MAX)));
        }
        let route = route(&rules.routes, &asked)?;
        let extracted = route.extractor.extract(asked.body).map_err(|why| Refusal::InvalidJson(why.to_string()))?;
        let quoted =
            quote::ask(&self.pricing, &self.organizations, asked.record, &route.event_type, &extracted.signals)?;
        Ok(Priced {
            event_type: route.event_type.clone(),
            event_name: quoted.definition.name.clone(),
            definition_version: quoted.definition.version,
            endpoint: Arc::clone(&route.path),
            credits: quoted.quote.credits,
            items: quoted.quote.items,
            exact: quoted.plugin.settles_at_quote(),
            plugin: Arc::clone(quoted.plugin.identity()),
        })
    }
}

/// The one route that a call is named by.
fn route(routes: &Routes, asked: &Asked<'_>) -> Result<Arc<Route>, Refusal> {
    match asked.which {
        Which::Path(path) => {
            if let Some(route) = routes.configured(Some(path)) {
                return Ok(route);
            }
            let canonical = canonical::read(path.as_bytes()).map_err(Refusal::PathNotCanonical)?;
            match routes.find(&Method::POST, &canonical) {
                Matched::Metered(route, of) | Matched::MembersOnly(route, of)
                    if of == asked.record.organization.organization_id =>
                {
                    Ok(route)
                }
                _ => Err(unknown_call("path: no metered path of this organization", paths(routes.all()))),
            }
        }
        Which::EventType(event_type) => {
            let mut of = routes.all().filter(|route| route.event_type == *event_type);
            match (of.next(), of.next()) {
                (Some(route), None) => Ok(Arc::clone(route)),
                (None, _) => {
                    let mut known: Vec<&str> = routes.all().map(|route| route.event_type.as_str()).collect();
                    known.sort_unstable();
                    known.dedup();
                    Err(unknown_call(&format!("eventType: no route charges for {event_type}"), known.into_iter()))
                }
                (Some(_), Some(_)) => {
                    let of = routes.all().filter(|route| route.event_type == *event_type);
                    Err(unknown_call("eventType: several routes charge for it, so give path", paths(of)))
                }
            }
        }
    }
}

fn paths<'r>(routes: impl Iterator<Item = &'r Arc<Route>>) -> impl Iterator<Item = &'r str> {
    routes.map(|route| &*route.path)
}

/// The plugins as the admin API shows them.
pub(crate) struct Plugins {
    pub(crate) pricing: Arc<Pricing>,
    pub(crate) rules: Arc<ArcSwap<Rules>>,
}

#[async_trait]
impl PricingStatus for Plugins {
    fn report(&self) -> Box<RawValue> {
        to_raw_value(&self.pricing.report()).unwrap_or_default()
    }

    async fn check(&self, file: PluginFile) -> Result<Checked, LoadError> {
        let pricing = Arc::clone(&self.pricing);
        // Compiling takes a while and must not hold a worker.
        let checking = tokio::task::spawn_blocking(move || pricing.check(&file)).await;
        checking.unwrap_or_else(|error| Err(LoadError::Host(error.to_string())))
    }

    fn in_use(&self) -> Vec<EventType> {
        self.rules.load().routes.all().map(|route| route.event_type.clone()).collect()
    }
}
