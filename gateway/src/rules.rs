//! What configuration says of a call, in one piece that a reload swaps whole.

use std::time::Duration;

use crate::pace::Paces;
use crate::passing::Passing;
use crate::routes::Routes;

/// The reloadable part of the configuration.
pub(crate) struct Rules {
    pub(crate) routes: Routes,
    /// `server.max_body`, in bytes.
    pub(crate) body_bytes_max: usize,
    /// `server.body_timeout`.
    pub(crate) body_timeout: Duration,
    /// `upstream.max_response`, in bytes.
    pub(crate) response_bytes_max: usize,
    pub(crate) settlement: SettlementPolicy,
    /// What organisations and users may ask for: `[limits]`.
    pub(crate) paces: Paces,
    /// What connections may: `[limits]`.
    pub(crate) limits: settings::Limits,
    /// What the backend is told: `[headers]`.
    pub(crate) passing: Passing,
}

/// What becomes of a hold where the backend did not succeed: `[settlement]`.
#[derive(Clone, Copy)]
pub(crate) struct SettlementPolicy {
    pub(crate) client_error: Settlement,
    pub(crate) server_error: Settlement,
    pub(crate) timeout: Settlement,
    pub(crate) cut_stream: Settlement,
    pub(crate) interrupted: Settlement,
}

/// What becomes of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Given back.
    Void,
    /// Charged.
    Capture,
}
