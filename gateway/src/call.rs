//! What one request carries from step to step: Pingora's per-request context.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{Credits, OrganizationId, Outcome, RequestId, UsageEventId};
use uuid::Uuid;

use crate::once::Claim;
use crate::passing::Recognised;
use crate::room::Place;

/// One request on its way through the gateway.
pub(crate) struct Call {
    /// When its header was read: set at birth.
    pub(crate) started: Instant,
    /// Its name in logs and answers: set at birth, replaced in `request` by the client's own where that is sound.
    pub(crate) request_id: RequestId,
    /// The route's configured path, or the kind of other traffic: set in `request`.
    pub(crate) route: Arc<str>,
    /// The refusal we answered with: set in `answer`.
    pub(crate) refused: Option<&'static str>,
    /// How long we waited for the backend: summed up in `forward` and `relay`.
    pub(crate) backend: Duration,
    /// The settled charge: set in `settle`.
    pub(crate) charge: Option<Charge>,
    /// Whether the client left before its answer was complete: set in `relay`.
    pub(crate) client_left: bool,
    /// The organisation, for the access log only: set in `identify`.
    pub(crate) organization: Option<OrganizationId>,
    /// The key that the call has claimed: set in `once`, told of the call's fate in `hold` and `settle`.
    pub(crate) once: Option<Claim>,
    /// Whether an earlier answer was given again: set in `once`.
    pub(crate) repeated: bool,
    /// The place among the calls in flight: set in `journey` once the body is there, given back when the call ends.
    pub(crate) place: Option<Place>,
    /// Who was recognised, for the backend: set in `journey`.
    pub(crate) recognised: Option<Recognised>,
}

/// A charge, as the access log shows it.
#[derive(Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) event: UsageEventId,
    pub(crate) outcome: Outcome,
    pub(crate) credits: Credits,
}

impl Call {
    pub(crate) fn new(unknown_route: Arc<str>, request_id: RequestId) -> Self {
        Self {
            started: Instant::now(),
            request_id,
            route: unknown_route,
            refused: None,
            backend: Duration::ZERO,
            charge: None,
            client_left: false,
            organization: None,
            once: None,
            repeated: false,
            place: None,
            recognised: None,
        }
    }
}

/// A request id of our own making: `req_` and a UUIDv7.
pub(crate) fn new_request_id() -> RequestId {
    let text = format!("req_{}", Uuid::now_v7().as_hyphenated());
    // 40 plain characters always are an id; the fallback only spares a panic path.
    text.parse().or_else(|_| "req".parse()).unwrap_or_else(|_| unreachable!("a request id is 40 plain characters"))
}

/// The client's own request id, where it is short and plain enough to stand in logs.
pub(crate) fn sound_request_id(given: &[u8]) -> Option<RequestId> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    let text =
        std::str::from_utf8(given).ok().filter(|text| text.len() >= 8 && text.bytes().all(|byte| plain(&byte)))?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_request_ids_are_taken_over() {
        for (given, sound) in [
            ("4bf92f3577b34da6a3ce929d0e0e4736", true),
            ("short", false),
            ("has a blank in it", false),
            ("line\nbreak-forged", false),
            ("{\"json\":\"forged\"}", false),
        ] {
            assert_eq!(sound_request_id(given.as_bytes()).is_some(), sound, "{given}");
        }
        assert!(sound_request_id("x".repeat(128).as_bytes()).is_some());
        assert!(sound_request_id("x".repeat(129).as_bytes()).is_none());
    }

    #[test]
    fn two_request_ids_differ() {
        assert_ne!(new_request_id(), new_request_id());
    }
}
