//! One line a request, and its metrics. Nothing of a header, query or body is in it.

use std::time::Duration;

use ledger::OrganizationId;
use pingora::proxy::Session;

use crate::call::Call;
use crate::gateway::Gateway;

/// Logs and counts a request that has ended, one way or the other.
pub(crate) fn write(gateway: &Gateway, session: &Session, error: Option<&pingora::Error>, call: &mut Call) {
    (call.place, call.once) = (None, None);
    let status = session.response_written().map_or(0, |header| header.status.as_u16());
    let took = call.started.elapsed();
    gateway.metrics.request(session.req_header().method.as_str(), call, status, took);
    let charge = call.charge;
    tracing::info!(
        target: "access",
        request_id = %call.request_id,
        method = session.req_header().method.as_str(),
        route = %call.route,
        organization = call.organization.as_ref().map(OrganizationId::as_str),
        status,
        refused = call.refused,
        outcome = charge.map(|charge| charge.outcome.as_str()),
        usage_event = charge.map(|charge| tracing::field::display(charge.event)),
        credits = charge.map(|charge| tracing::field::display(charge.credits)),
        duration_ms = millis(took),
        backend_ms = millis(call.backend),
        bytes_sent = session.body_bytes_sent(),
        repeated = call.repeated,
        client_left = call.client_left,
        error = error.map(|error| tracing::field::display(error.etype().as_str())),
        "request"
    );
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
