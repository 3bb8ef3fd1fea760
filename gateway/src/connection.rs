//! Limits on a client's connection that Pingora leaves open.

use std::time::Duration;

use pingora::proxy::Session;

/// Seconds for which an idle client connection is kept.
const KEEPALIVE_S: u64 = 75;
/// How long a client may take to send the next piece of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to read the next piece of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the rest of a refused body is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets the limits for this request and the connection after it.
pub(crate) fn limit(session: &mut Session) {
    // A connection that is to close stays so: an older client's, one with two framings, any while the gateway stops.
    if session.get_keepalive().is_some() {
        session.set_keepalive(Some(KEEPALIVE_S));
    }
    session.set_read_timeout(Some(READ_TIMEOUT));
    session.set_write_timeout(Some(WRITE_TIMEOUT));
    session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
}
