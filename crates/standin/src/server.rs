//! The server: starts, counts, stops. It must never outlive its handle's `stop` with an open port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::recorder::{self, Received, Recorder};
use crate::{BODY_BYTES_MAX, endpoints, pages};

/// How long answers on their way may take to end once the server is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How a stand-in is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long an AI endpoint thinks before it answers, unless the call wishes otherwise.
    pub delay: Duration,
    /// How many requests are remembered for [`Standin::received`]; the oldest go first, 0 remembers none.
    pub requests_kept_max: usize,
    /// How much of a request's body is remembered, in bytes.
    pub body_bytes_kept_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            delay: Duration::ZERO,
            requests_kept_max: 1_000,
            body_bytes_kept_max: 64 << 10,
        }
    }
}

/// A stand-in backend that serves. Dropping it stops it as well, without waiting.
#[derive(Debug)]
pub struct Standin {
    address: SocketAddr,
    recorder: Arc<Recorder>,
    stop: watch::Sender<bool>,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Standin {
    /// Starts a backend. On return it takes calls.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let recorder = Arc::new(Recorder::new(options.requests_kept_max, options.body_bytes_kept_max));
        let (stop, mut stopping) = watch::channel(false);
        let service = router(options.delay, Arc::clone(&recorder));
        let server = axum::serve(listener, service).with_graceful_shutdown(async move {
            // An error means that the handle is gone: stop as well.
            drop(stopping.wait_for(|stop| *stop).await);
        });
        let server = tokio::spawn(server.into_future());
        Ok(Self { address, recorder, stop, server: Some(server) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many calls reached an AI endpoint: POSTs, whatever they were answered.
    pub fn calls(&self) -> u64 {
        self.recorder.calls()
    }

    /// How many requests arrived in all, on any path.
    pub fn requests(&self) -> u64 {
        self.recorder.requests()
    }

    /// The latest requests, oldest first, as many as the options keep.
    pub fn received(&self) -> Vec<Received> {
        self.recorder.received()
    }

    /// Forgets what was received and counted.
    pub fn forget(&self) {
        self.recorder.forget();
    }

    /// Closes the port and lets answers on their way end, for a second at most.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let Some(mut server) = self.server.take() else { return };
        match tokio::time::timeout(STOP_GRACE, &mut server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the stand-in backend ended badly"),
            Ok(Err(error)) => tracing::warn!(%error, "the stand-in backend ended badly"),
            Err(_) => server.abort(),
        }
    }
}

fn router(delay: Duration, recorder: Arc<Recorder>) -> Router {
    let router = Router::new()
        .route("/", get(pages::home))
        .route("/download/{bytes}", get(pages::download))
        .merge(endpoints::router(delay))
        .fallback(pages::nothing_here)
        .method_not_allowed_fallback(pages::no_such_method);
    router
        .layer(middleware::from_fn_with_state(recorder, recorder::record))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

#[cfg(test)]
mod tests;
