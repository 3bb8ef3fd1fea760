//! What a gateway is started with. The binary makes it from its settings, tests make it from theirs.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use payload::signals::{SignalRules, TextJoin};
use settings::{Database, Settings, Verdict};
use store::Occupancy;

use crate::routes::{RouteRules, Routes};
use crate::rules::{Rules, Settlement, SettlementPolicy};
use crate::upstream::UpstreamOptions;

/// Reading connections to the database: for reports, and for organisations that call for the first time.
const DATABASE_READERS: u32 = 4;

/// What is wrong with a route on the paths of the admin API.
pub(crate) const RESERVED: &str = "is one of the gateway's own paths";

/// Everything that a gateway is started with.
pub struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) embedded_admin: bool,
    pub(crate) in_flight_max: usize,
    pub(crate) arriving_bytes_max: usize,
    pub(crate) shutdown_grace: Duration,
    pub(crate) store: store::Options,
    /// Whole months of usage events kept beside the current one; `None` keeps all.
    pub(crate) keep_months: Option<u32>,
    pub(crate) journal: journal::Options,
    pub(crate) access: access::Options,
    pub(crate) pricing: pricing::Options,
    pub(crate) upstream: UpstreamOptions,
    reloadable: Reloadable,
}

/// What [`Rules`] are made of: made anew with every reload.
struct Reloadable {
    body_bytes_max: usize,
    body_timeout: Duration,
    response_bytes_max: usize,
    settlement: SettlementPolicy,
    routes: Vec<settings::Route>,
}

impl Options {
    /// The options of a configuration. Reads the secret's file.
    pub fn from_settings(settings: &Settings) -> anyhow::Result<Self> {
        if let Some(route) = settings.routes.iter().find(|route| admin_api::is_reserved(&route.path)) {
            anyhow::bail!("routes[{}].path: {} {RESERVED}", route.index, route.path);
        }
        let Settings { server, upstream, admin, database, journal, auth, pricing, settlement, .. } = settings;
        Ok(Self {
            listen: server.listen,
            admin_listen: admin.listen,
            embedded_admin: admin.embedded,
            in_flight_max: usize::try_from(server.max_in_flight)?,
            arriving_bytes_max: usize::try_from(server.max_arriving)?,
            shutdown_grace: server.shutdown_grace,
            store: store_options(database),
            keep_months: Some(u32::try_from(database.keep_months)?).filter(|months| *months > 0),
            journal: journal::Options {
                bytes_max: journal.max_bytes,
                disk_free_bytes_min: journal.min_free_disk,
                ..journal::Options::new(&journal.directory)
            },
            access: admin_api::access_options(auth)?,
            pricing: admin_api::pricing_options(pricing)?,
            upstream: UpstreamOptions {
                host: upstream.host.clone(),
                port: upstream.port,
                tls: upstream.tls,
                connect_timeout: upstream.connect_timeout,
                response_timeout: upstream.response_timeout,
                idle_timeout: upstream.idle_timeout,
            },
            reloadable: Reloadable {
                body_bytes_max: usize::try_from(server.max_body)?,
                body_timeout: server.body_timeout,
                response_bytes_max: usize::try_from(upstream.max_response)?,
                settlement: policy(*settlement),
                routes: settings.routes.clone(),
            },
        })
    }

    /// The reloadable part.
    pub(crate) fn rules(&self) -> anyhow::Result<Rules> {
        let Reloadable { body_bytes_max, body_timeout, response_bytes_max, settlement, routes } = &self.reloadable;
        let rules = routes.iter().map(route_rules).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Rules {
            routes: Routes::new(rules)?,
            body_bytes_max: *body_bytes_max,
            body_timeout: *body_timeout,
            response_bytes_max: *response_bytes_max,
            settlement: *settlement,
        })
    }
}

/// The database, as the gateway that owns it opens it.
pub(crate) fn store_options(database: &Database) -> store::Options {
    store::Options { url: database.url.clone(), readers: DATABASE_READERS, occupancy: Occupancy::Gateway }
}

fn policy(settlement: settings::Settlement) -> SettlementPolicy {
    let read = |verdict| match verdict {
        Verdict::Void => Settlement::Void,
        Verdict::Capture => Settlement::Capture,
    };
    SettlementPolicy {
        client_error: read(settlement.client_error),
        server_error: read(settlement.server_error),
        timeout: read(settlement.timeout),
        cut_stream: read(settlement.cut_stream),
        interrupted: read(settlement.interrupted),
    }
}

fn route_rules(route: &settings::Route) -> anyhow::Result<RouteRules> {
    let methods = route.methods.iter().map(|method| Method::from_bytes(method.as_bytes())).collect::<Result<_, _>>();
    Ok(RouteRules {
        methods: methods.context("routes.methods")?,
        path: route.path.clone(),
        event_type: route.event_type.clone(),
        signals: SignalRules {
            text: route.text.clone(),
            join: match route.text_join {
                settings::TextJoin::First => TextJoin::First,
                settings::TextJoin::Concat => TextJoin::Concat,
            },
            flags: route.flags.clone(),
            scalars: route.scalars.clone(),
            session: route.session.clone(),
        },
    })
}
