//! Whether each address of the backend is well: asked again and again, beside the calls. A probe must never cost a call
//! anything.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession as BackendSession;
use tokio::time::{MissedTickBehavior, timeout};

use super::Upstream;
use super::place::Place;

/// How long the answer to a probe may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Upstream {
    /// Asks the addresses whether they are well. Never returns.
    pub(crate) async fn watch_health(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.options.health_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            join_all(self.places.iter().map(|place| self.look_at(place))).await;
        }
    }

    async fn look_at(&self, place: &Place) {
        let Some(path) = &self.options.health_path else {
            // Without a path there is nothing to ask: only whether one that was lost can be reached again.
            if place.is_out() && place.open(&self.connector, &self.options).await.is_ok() {
                place.note(true);
            }
            return;
        };
        place.note(self.is_well(place, path).await);
    }

    /// Whether the address answers the path as a server that is well does.
    async fn is_well(&self, place: &Place, path: &str) -> bool {
        let Ok(stream) = place.open(&self.connector, &self.options).await else { return false };
        let asked = timeout(ANSWER_WITHIN, async {
            let mut session = BackendSession::new(stream);
            let mut header = RequestHeader::build("GET", path.as_bytes(), Some(3))?;
            header.insert_header("Host", place.address.authority())?;
            header.insert_header("Connection", "close")?;
            header.insert_header("User-Agent", "gateway-health")?;
            session.write_request_header(Box::new(header)).await?;
            session.finish_body().await?;
            session.read_response().await?;
            Ok::<_, Box<pingora::Error>>(
                session
                    .resp_header()
                    .is_some_and(|header| header.status.is_success() || header.status.is_redirection()),
            )
        });
        matches!(asked.await, Ok(Ok(true)))
    }
}
