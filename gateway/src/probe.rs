//! What the gateway makes of a path, for whoever tries paths on it by the million. Nothing that serves may use it.

use http::Method;
use payload::signals::SignalRules;

use crate::canonical;
use crate::routes::{Matched, RouteRules, Routes};

/// The one metered route here.
const METERED: &str = "/api/organizations/{orgId}/ai";

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathReading {
    /// It is refused: it has two readings, or looks like a metered path without being one.
    Refused,
    /// It is paid for, or for members only.
    Metered,
    /// It passes to the backend.
    Passed,
}

/// Reads a path as a call of `POST` where `/api/organizations/{orgId}/ai` is metered.
pub fn read_path(path: &[u8]) -> PathReading {
    let Ok(path) = canonical::read(path) else { return PathReading::Refused };
    let event_type = "a".parse().ok();
    let rules = event_type.map(|event_type| RouteRules {
        methods: vec![Method::POST],
        path: METERED.to_owned(),
        event_type,
        signals: SignalRules::default(),
        answer: payload::usage::UsageRules::default(),
    });
    let Ok(routes) = Routes::new(rules) else { return PathReading::Refused };
    match routes.find(&Method::POST, &path) {
        Matched::Metered(..) | Matched::MembersOnly(..) => PathReading::Metered,
        Matched::LookAlike | Matched::MethodInOtherCase | Matched::NoSuchOrganization => PathReading::Refused,
        Matched::Unmetered => PathReading::Passed,
    }
}
