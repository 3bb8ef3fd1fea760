//! What a gateway is started with. The binary makes it from its settings, tests make it from theirs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use ledger::KeyLimits;
use payload::signals::{SignalRules, TextJoin};
use payload::usage::UsageRules;
use settings::{Database, Idempotency, Settings, Verdict};
use store::Occupancy;

use crate::once::OnceOptions;
use crate::pace::{Pace, Paces};
use crate::passing::Passing;
use crate::routes::{RouteRules, Routes};
use crate::rules::{Rules, Settlement, SettlementPolicy};
use crate::tls::TlsFiles;
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
    pub(crate) tls: Option<TlsFiles>,
    /// Where the ports are taken over, and given to the next process.
    pub(crate) handover: Option<PathBuf>,
    pub(crate) store: store::Options,
    /// Whole months of usage events kept beside the current one; `None` keeps all.
    pub(crate) keep_months: Option<u32>,
    pub(crate) journal: journal::Options,
    pub(crate) access: access::Options,
    pub(crate) pricing: pricing::Options,
    pub(crate) upstream: UpstreamOptions,
    pub(crate) once: OnceOptions,
    reloadable: Reloadable,
}

/// What [`Rules`] are made of: made anew with every reload.
struct Reloadable {
    body_bytes_max: usize,
    body_timeout: Duration,
    response_bytes_max: usize,
    settlement: SettlementPolicy,
    routes: Vec<settings::Route>,
    limits: settings::Limits,
    headers: settings::Headers,
    cookie: Option<String>,
}

impl Options {
    /// The options of a configuration. Reads the secret's file.
    pub fn from_settings(settings: &Settings) -> anyhow::Result<Self> {
        if let Some(route) = settings.routes.iter().find(|route| admin_api::is_reserved(&route.path)) {
            anyhow::bail!("routes[{}].path: {} {RESERVED}", route.index, route.path);
        }
        let Settings { server, upstream, admin, database, journal, auth, pricing, settlement, idempotency, .. } =
            settings;
        Ok(Self {
            listen: server.listen,
            admin_listen: admin.listen,
            embedded_admin: admin.embedded,
            in_flight_max: usize::try_from(server.max_in_flight)?,
            arriving_bytes_max: usize::try_from(server.max_arriving)?,
            shutdown_grace: server.shutdown_grace,
            tls: server.tls_files().map(|(certificate, key)| TlsFiles {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                http2: server.http2,
            }),
            handover: server.handover.clone(),
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
                addresses: upstream.addresses.clone(),
                health_path: upstream.health_path.clone(),
                health_interval: upstream.health_interval,
                connect_timeout: upstream.connect_timeout,
                response_timeout: upstream.response_timeout,
                idle_timeout: upstream.idle_timeout,
            },
            once: once_options(idempotency)?,
            reloadable: Reloadable {
                body_bytes_max: usize::try_from(server.max_body)?,
                body_timeout: server.body_timeout,
                response_bytes_max: usize::try_from(upstream.max_response)?,
                settlement: policy(*settlement),
                routes: settings.routes.clone(),
                limits: settings.limits.clone(),
                headers: settings.headers.clone(),
                cookie: auth.cookie.clone(),
            },
        })
    }

    /// The reloadable part.
    pub(crate) fn rules(&self) -> anyhow::Result<Rules> {
        let it = &self.reloadable;
        let rules = it.routes.iter().map(route_rules).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Rules {
            routes: Routes::new(rules)?,
            body_bytes_max: it.body_bytes_max,
            body_timeout: it.body_timeout,
            response_bytes_max: it.response_bytes_max,
            settlement: it.settlement,
            paces: paces(&it.limits),
            limits: it.limits.clone(),
            passing: Passing {
                trusted: it.headers.trusted_proxies.clone(),
                forwarded: it.headers.forwarded,
                strip_credentials: it.headers.credentials == settings::Credentials::Strip,
                cookie: it.cookie.clone(),
                backend: self.upstream.addresses.first().map_or_else(String::new, settings::Address::authority),
            },
        })
    }
}

fn paces(limits: &settings::Limits) -> Paces {
    Paces {
        organization: Pace { per_minute: limits.organization_calls_per_minute, at_once: limits.organization_in_flight },
        user: Pace { per_minute: limits.user_calls_per_minute, at_once: limits.user_in_flight },
    }
}

/// The database, as a gateway opens it.
pub(crate) fn store_options(database: &Database) -> store::Options {
    store::Options { url: database.url.clone(), readers: DATABASE_READERS, occupancy: Occupancy::Gateway }
}

fn once_options(idempotency: &Idempotency) -> anyhow::Result<OnceOptions> {
    Ok(OnceOptions {
        window_ms: i64::try_from(idempotency.window.as_millis())?,
        wait: idempotency.wait,
        answer_bytes_max: usize::try_from(idempotency.max_answer)?,
        limits: KeyLimits { keys: idempotency.max_keys, answer_bytes: idempotency.max_stored },
    })
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
    let answer = &route.answer;
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
        answer: UsageRules {
            model: answer.model.clone(),
            input_tokens: answer.input_tokens.clone(),
            output_tokens: answer.output_tokens.clone(),
            cached_input_tokens: answer.cached_input_tokens.clone(),
            cache_write_tokens: answer.cache_write_tokens.clone(),
            reasoning_tokens: answer.reasoning_tokens.clone(),
            scalars: answer.scalars.clone(),
        },
    })
}
