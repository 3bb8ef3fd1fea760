//! The calls themselves: every connection is opened first, then all of them ask at once.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use ledger::Credits;
use pingora::http::RequestHeader;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::target::Target;
use crate::headers;
use crate::upstream::{Connection, Upstream};

/// Connections that are opened at a time: a listener's queue is finite.
const OPENED_AT_ONCE: usize = 100;
/// How often the progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// Bytes of an answer that are read for its code.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What became of one call.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The refusal's code, if it is one of ours.
    pub(super) code: Option<String>,
    pub(super) event: Option<String>,
    pub(super) charged: Credits,
    pub(super) took: Duration,
}

/// What the live counter says.
#[derive(serde::Deserialize)]
pub(super) struct Counter {
    pub(super) held: Credits,
}

/// A refusal of ours, as far as it matters here.
#[derive(serde::Deserialize)]
struct Refused {
    code: String,
}

/// Makes the calls, all at once, the instances in turn.
pub(super) async fn fire(target: &Target, calls: u64) -> anyhow::Result<Vec<Answer>> {
    let calls = usize::try_from(calls)?;
    let mut connections = Vec::with_capacity(calls);
    let turns: Vec<_> = target.instances.iter().cycle().take(calls).map(Arc::clone).collect();
    for some in turns.chunks(OPENED_AT_ONCE) {
        let opening = some.iter().map(|instance| connect(instance, target.body.clone().into()));
        for connection in futures_util::future::join_all(opening).await {
            connections.push(connection?);
        }
    }
    let (start, done) = (Arc::new(Barrier::new(calls)), Arc::new(AtomicU64::new(0)));
    let mut under_way = JoinSet::new();
    for connection in connections {
        let (start, done) = (Arc::clone(&start), Arc::clone(&done));
        let header = request(target, &target.method, &target.path, &target.body)?;
        under_way.spawn(async move {
            start.wait().await;
            let answer = call(connection, header).await;
            done.fetch_add(1, Ordering::Relaxed);
            answer
        });
    }
    let shown = tokio::spawn(show(done, calls));
    let answers = under_way.join_all().await.into_iter().collect();
    shown.abort();
    clear();
    answers
}

/// The organisation's live counter on every instance, added up.
pub(super) async fn counter(target: &Target) -> anyhow::Result<Counter> {
    let mut held = Credits::ZERO;
    for instance in &target.instances {
        held = held.saturating_add(counter_of(target, instance).await?.held);
    }
    Ok(Counter { held })
}

async fn counter_of(target: &Target, instance: &Upstream) -> anyhow::Result<Counter> {
    #[derive(serde::Deserialize)]
    struct Said {
        usage: Counter,
    }
    let path = format!("/api/organizations/{}/usage", target.organization);
    let header = request(target, &Method::GET, &path, "")?;
    let mut connection = connect(instance, Bytes::new()).await?;
    let body = exchange(&mut connection, header).await?;
    let said: Said = serde_json::from_slice(&body).context("the live counter's answer")?;
    Ok(said.usage)
}

async fn connect(instance: &Upstream, body: Bytes) -> anyhow::Result<Box<Connection>> {
    let connection = instance.connect(body).await;
    connection.map_err(|error| anyhow::anyhow!("{instance}: no connection to a gateway: {error}"))
}

async fn call(mut connection: Box<Connection>, header: RequestHeader) -> anyhow::Result<Answer> {
    let started = Instant::now();
    let said = exchange(&mut connection, header).await?;
    let took = started.elapsed();
    let header = connection.session.resp_header().context("an answer without a header")?;
    let text = |name| header.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    Ok(Answer {
        status: header.status,
        code: serde_json::from_slice::<Refused>(&said).ok().map(|refused| refused.code),
        event: text(headers::USAGE_EVENT_ID).map(str::to_owned),
        charged: text(headers::CREDITS_CONSUMED).and_then(|text| text.parse().ok()).unwrap_or(Credits::ZERO),
        took,
    })
}

/// Sends a request and reads its answer, the body up to a bound.
async fn exchange(connection: &mut Connection, header: RequestHeader) -> anyhow::Result<Vec<u8>> {
    let broken = |error: Box<pingora::Error>| anyhow::anyhow!("a gateway broke off: {error}");
    connection.send(Box::new(header)).await.map_err(broken)?;
    connection.session.read_response().await.map_err(broken)?;
    let mut said = Vec::new();
    while let Some(piece) = connection.session.read_body_bytes().await.map_err(broken)? {
        if said.len() < ANSWER_BYTES_MAX {
            said.extend_from_slice(&piece);
        }
    }
    Ok(said)
}

fn request(target: &Target, method: &Method, path: &str, body: &str) -> anyhow::Result<RequestHeader> {
    let built = (|| {
        let mut header = RequestHeader::build(method.clone(), path.as_bytes(), None)?;
        header.insert_header(header::HOST, "drill")?;
        header.insert_header(header::AUTHORIZATION, format!("Bearer {}", target.credential))?;
        header.insert_header(header::CONTENT_TYPE, "application/json")?;
        header.insert_header(header::CONTENT_LENGTH, body.len())?;
        header.insert_header(header::CONNECTION, "close")?;
        Ok(header)
    })();
    built.map_err(|error: Box<pingora::Error>| anyhow::anyhow!("the request cannot be made: {error}"))
}

/// Shows how far the calls have come, to a person at a terminal.
async fn show(done: Arc<AtomicU64>, calls: usize) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    loop {
        let done = usize::try_from(done.load(Ordering::Relaxed)).unwrap_or(calls);
        let full = done.saturating_mul(40) / calls.max(1);
        let _ =
            write!(std::io::stderr(), "\r[{}{}] {done} of {calls}", "#".repeat(full), ".".repeat(40 - full.min(40)));
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r{:70}\r", "");
    }
}
