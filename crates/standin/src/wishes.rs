//! What a call may wish of the stand-in, so that a test can have a slow, failing or dying backend without another
//! server: in the query (`?delay_ms=50&status=500`) or in the body (`{"standin": {"delay_ms": 50}}`); the query wins.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// The longest delay that a call may wish for, in milliseconds.
pub const DELAY_MS_MAX: u64 = 60_000;

/// Wishes; what is absent is as usual.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wishes {
    /// How long to think before the answer, in milliseconds.
    delay_ms: Option<u64>,
    /// How long to pause before every event of a stream, in milliseconds.
    event_delay_ms: Option<u64>,
    /// The status to answer with; 4xx and 5xx answer as the app fails.
    status: Option<u16>,
    /// Whether to die half-way through the answer's body.
    cut: Option<bool>,
    /// Whether to compress the answer although nobody asked.
    gzip: Option<bool>,
}

impl Wishes {
    /// The wishes of a query and a body. A body without wishes has none; wishes that cannot be read are an error.
    pub(crate) fn of(query: &str, body: &Value) -> Result<Self, String> {
        let uri = format!("/?{}", known_pairs(query)).parse().map_err(|error| format!("query: {error}"))?;
        let axum::extract::Query(in_query) = axum::extract::Query::<Self>::try_from_uri(&uri)
            .map_err(|error| format!("query: {}", error.body_text()))?;
        let in_body = match body.get("standin") {
            Some(wishes) => Self::deserialize(wishes).map_err(|error| format!("standin: {error}"))?,
            None => Self::default(),
        };
        let wishes = Self {
            delay_ms: in_query.delay_ms.or(in_body.delay_ms),
            event_delay_ms: in_query.event_delay_ms.or(in_body.event_delay_ms),
            status: in_query.status.or(in_body.status),
            cut: in_query.cut.or(in_body.cut),
            gzip: in_query.gzip.or(in_body.gzip),
        };
        wishes.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let longest = self.delay_ms.max(self.event_delay_ms);
        if longest.is_some_and(|ms| ms > DELAY_MS_MAX) {
            return Err(format!("a delay is at most {DELAY_MS_MAX} ms"));
        }
        match self.status {
            Some(status) if !(200..600).contains(&status) => Err(format!("status {status} is not within 200 to 599")),
            _ => Ok(self),
        }
    }

    pub(crate) fn delay(&self, usual: Duration) -> Duration {
        self.delay_ms.map_or(usual, Duration::from_millis)
    }

    pub(crate) fn event_delay(&self) -> Duration {
        Duration::from_millis(self.event_delay_ms.unwrap_or_default())
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK)
    }

    pub(crate) fn cut(&self) -> bool {
        self.cut.unwrap_or_default()
    }

    pub(crate) fn gzip(&self) -> bool {
        self.gzip.unwrap_or_default()
    }
}

/// The pairs of the query that are wishes: the app's own parameters are none of our business.
fn known_pairs(query: &str) -> String {
    let known = ["delay_ms=", "event_delay_ms=", "status=", "cut=", "gzip="];
    let wanted = query.split('&').filter(|pair| known.iter().any(|name| pair.starts_with(name)));
    wanted.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wishes_come_by_query_and_body_and_the_query_wins() {
        let body = json!({"standin": {"delay_ms": 7, "cut": true}});
        let wishes = Wishes::of("page=2&delay_ms=5&status=503", &body).unwrap();
        assert_eq!(wishes.delay(Duration::ZERO), Duration::from_millis(5));
        assert_eq!(wishes.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(wishes.cut());
        let none = Wishes::of("", &json!([1])).unwrap();
        assert_eq!(none.delay(Duration::from_millis(9)), Duration::from_millis(9));
        assert_eq!(none.status(), StatusCode::OK);
    }

    #[test]
    fn wishes_have_limits() {
        let cases = [
            ("delay_ms=60000", json!({}), true),
            ("delay_ms=60001", json!({}), false),
            ("event_delay_ms=60001", json!({}), false),
            ("delay_ms=-1", json!({}), false),
            ("status=200", json!({}), true),
            ("status=199", json!({}), false),
            ("status=599", json!({}), true),
            ("status=600", json!({}), false),
            ("other=600", json!({"standin": {}}), true),
            ("", json!({"standin": {"dealy": 1}}), false),
            ("", json!({"standin": 1}), false),
        ];
        for (query, body, fine) in cases {
            assert_eq!(Wishes::of(query, &body).is_ok(), fine, "{query} {body}");
        }
    }
}
