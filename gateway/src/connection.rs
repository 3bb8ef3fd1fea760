//! What a client's connection may do: how long a header may take and how large it may be, and the waits after it. A client
//! that sends nothing, or a byte now and then, must never keep a connection for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora::proxy::Session;
use refusal::Refusal;

use crate::gateway::Gateway;

/// How long the rest of a refused body is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// What may have come behind a header when it is looked at: a body's beginning.
const BEHIND_HEADER_BYTES_MAX: usize = 128 * 1024;
/// No header is awaited.
const NOTHING: usize = usize::MAX;

tokio::task_local! {
    /// The arrival on the connection that this task serves.
    pub(crate) static ARRIVAL: Arc<Arrival>;
}

/// A header that is still coming. The connection counts its bytes and its time, since the parser does neither.
#[derive(Debug)]
pub(crate) struct Arrival {
    bytes: AtomicUsize,
    bytes_max: usize,
    pub(crate) timeout: Duration,
}

impl Arrival {
    pub(crate) fn new(limits: &settings::Limits) -> Arc<Self> {
        let bytes_max = usize::try_from(limits.max_header.saturating_add(limits.max_target)).unwrap_or(usize::MAX);
        Arc::new(Self {
            bytes: AtomicUsize::new(NOTHING),
            bytes_max: bytes_max.saturating_add(BEHIND_HEADER_BYTES_MAX),
            timeout: limits.header_timeout,
        })
    }

    /// A header is awaited from now on.
    pub(crate) fn begin(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// How many bytes of a header have come; `None` where none is awaited.
    pub(crate) fn so_far(&self) -> Option<usize> {
        Some(self.bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes != NOTHING)
    }

    /// Counts bytes; whether they are still fewer than a header may have.
    pub(crate) fn came(&self, bytes: usize) -> bool {
        let all = self.bytes.load(Ordering::Relaxed).saturating_add(bytes).min(NOTHING - 1);
        self.bytes.store(all, Ordering::Relaxed);
        all <= self.bytes_max
    }
}

/// Notes that the header that this task waited for is there.
pub(crate) fn header_is_read() {
    // A request of an HTTP/2 connection has a task of its own, and a header that came in frames.
    let _ = ARRIVAL.try_with(|arrival| arrival.bytes.store(NOTHING, Ordering::Relaxed));
}

/// Sets the limits for this request and the connection after it.
pub(crate) fn limit(gateway: &Gateway, session: &mut Session) {
    let rules = gateway.rules.load();
    // A connection that is to close stays so: an older client's, one with two framings, any while the gateway stops.
    if session.get_keepalive().is_some() {
        session.set_keepalive(Some(rules.limits.keepalive.as_secs().max(1)));
    }
    session.set_read_timeout(Some(rules.limits.read_timeout));
    session.set_write_timeout(Some(rules.limits.write_timeout));
    session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
}

/// Refuses a header that is too large.
pub(crate) fn fits(gateway: &Gateway, session: &mut Session) -> Result<(), Refusal> {
    let checked = within(&gateway.rules.load().limits, session);
    if checked.is_err() {
        session.set_keepalive(None);
    }
    checked
}

fn within(limits: &settings::Limits, session: &Session) -> Result<(), Refusal> {
    let header = session.req_header();
    let of = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    if of(header.raw_path().len()) > limits.max_target {
        return Err(Refusal::TargetTooLong(limits.max_target));
    }
    let fields = of(header.headers.len());
    if fields > limits.max_headers {
        let said = format!("The header has {fields} fields; allowed: {}.", limits.max_headers);
        return Err(Refusal::HeaderTooLarge(said));
    }
    // A name, a colon, a blank, a value and a line's end, as RFC 9110 writes them.
    let sizes = header.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if of(sizes.sum()) > limits.max_header {
        let said = format!("The header fields are longer than the {} bytes allowed.", limits.max_header);
        return Err(Refusal::HeaderTooLarge(said));
    }
    Ok(())
}
