//! What happens when this gateway loses the database to another one, or loses sight of it: no new paid calls, until it
//! owns the database again and has read its books anew.

use std::sync::Arc;
use std::time::Duration;

use store::{Ownership, Store};

use crate::gateway::Gateway;

/// How often calls on their way are looked at, while new ones wait for them.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Follows ownership for ever.
pub(crate) async fn follow(gateway: Arc<Gateway>, store: Arc<dyn Store>) {
    let mut ownership = store.ownership();
    while ownership.changed().await.is_ok() {
        let now = *ownership.borrow_and_update();
        if now == Ownership::Lost {
            tracing::error!("the database is not owned any more: new paid calls get 503 until it is");
            continue;
        }
        tokio::select! {
            () = read_anew(&gateway, now) => tracing::info!("the database is owned again, and the books are read anew"),
            // Lost again meanwhile: the next turn sees to it.
            _ = ownership.changed() => ownership.mark_changed(),
        }
    }
    // It never changes where a file's lock is held for life.
    std::future::pending::<()>().await;
}

/// Balances are complete once the calls that began before the loss have ended and their charges have arrived.
async fn read_anew(gateway: &Gateway, now: Ownership) {
    loop {
        while !gateway.books.are_idle() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        gateway.journal.caught_up().await;
        if gateway.books.read_anew(now) {
            return;
        }
    }
}
