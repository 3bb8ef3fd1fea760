//! Keeps grants going: what is left of one is taken when it ends and goes with it from month to month. The store does it;
//! where the live book knows better what is spent, it says what may be moved. It must never move what a call holds.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Actor, Change, Changed, Credits, OrganizationId, Period, StoreError, left_of};
use store::Store;

use crate::books::NotHeld;
use crate::gateway::Gateway;

/// How often it is looked where something is to be done.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs until it is dropped.
pub(crate) async fn run(gateway: Arc<Gateway>, store: Arc<dyn Store>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let due = match store.credit_grants_due(gateway.clock.now()).await {
            Ok(due) => due,
            Err(error) => {
                tracing::debug!(%error, "grants are looked after later");
                continue;
            }
        };
        for (id, period) in due {
            if let Err(error) = move_on(&gateway, &*store, &id, period).await {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "a grant is moved later");
            }
        }
    }
}

async fn move_on(gateway: &Gateway, store: &dyn Store, id: &OrganizationId, period: Period) -> Result<(), StoreError> {
    let Some(record) = gateway.organizations.find(id).await? else { return Ok(()) };
    let now = gateway.clock.now();
    let limit = record.grant().credits;
    let mut grants = store.credit_grants(id).await?;
    grants.retain(|grant| grant.period == period);
    // A hold of nothing shows the live book, where there is one.
    let look = gateway.books.set_aside(id, period, Credits::ZERO, limit).await.map_err(not_now)?;
    let mut moving = None;
    let free = match look {
        None => None,
        // What a call of a month that is over still holds may be charged or come back: the month is left alone until then.
        Some(look) if look.book().held > Credits::ZERO && period < Period::of(now) => return Ok(()),
        Some(look) => {
            let free = look.book().available(limit).unwrap_or(Credits::MAX);
            let leaves = grants.iter().zip(left_of(&grants, free)).filter(|(grant, _)| grant.is_due(now));
            let leaves = leaves.fold(Credits::ZERO, |sum, (_, left)| sum.saturating_add(left));
            moving = gateway.books.set_aside(id, period, leaves, limit).await.map_err(not_now)?;
            Some(free)
        }
    };
    let actor =
        Actor { user_id: "gateway".to_owned(), role: "gateway".to_owned(), remote_address: None, request_id: None };
    if store.move_credit_grants(id, period, free, &Change { actor, at: now }).await? {
        let changed = Changed::Organization(id.clone());
        gateway.organizations.changed(&changed).await?;
        gateway.books.changed(&changed).await?;
    }
    // Until here the live book counted what was moved as held.
    drop(moving);
    Ok(())
}

/// What stands against moving a grant passes: it is tried again.
fn not_now(not_held: NotHeld) -> StoreError {
    match not_held {
        NotHeld::Refused(why) => StoreError::Unavailable(Box::new(why)),
        NotHeld::Unknown(error) => error,
    }
}
