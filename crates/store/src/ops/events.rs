//! Usage events: added once, by id.

use std::collections::HashSet;

use ledger::{OrganizationId, SessionId, StoreError, UsageEvent, UsageEventId};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{from_text, id, to_text};
use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::error::{damaged, from_driver};

/// An event that is there already is passed over and not answered. No constraint is named, because the key is the id
/// alone in one database and the id with its time in another; it is the only one that can be met.
const INTO_EVENTS: &str =
    "INSERT INTO usage_events (event_id, organization_id, user_id, event_type, category, session_id,
    occurred_at_ms, outcome, credits_micros, document)";
const ONCE: &str = "ON CONFLICT DO NOTHING";
const WHICH: &str = "RETURNING event_id";
/// The time is that of the id: it says which partition to look in, where there are partitions.
const FIND_EVENT: &str =
    "SELECT document FROM usage_events WHERE event_id = $1 AND organization_id = $2 AND occurred_at_ms = $3";

/// Each by its key, whatever the months are.
const WANTED: &str = "WITH wanted (event_id, occurred_at_ms) AS (";
const FIND_WANTED: &str = ") SELECT e.document FROM wanted w
    JOIN usage_events e ON e.event_id = w.event_id AND e.occurred_at_ms = w.occurred_at_ms";

/// Usage events, on an open connection.
pub(crate) struct Events<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> Events<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// Adds events; answers whether all were new.
    pub(crate) async fn add_new(&mut self, events: &[UsageEvent]) -> Result<bool, StoreError> {
        let added = batch(&in_order(events))?.insert::<D>(&mut *self.0, INTO_EVENTS, ONCE).await?;
        Ok(added == u64::try_from(events.len()).unwrap_or(u64::MAX))
    }

    /// Adds events; answers the ids of those that were new.
    pub(crate) async fn add(&mut self, events: &[UsageEvent]) -> Result<HashSet<UsageEventId>, StoreError> {
        let mut added = HashSet::new();
        for rows in batch(&in_order(events))?.parts::<D>()? {
            let add = rows.statement::<D>(INTO_EVENTS, &format!("{ONCE} {WHICH}"));
            for row in add.fetch_all(&mut *self.0).await.map_err(from_driver)? {
                added.insert(id("event id", row.try_get(0).map_err(from_driver)?)?);
            }
        }
        Ok(added)
    }

    /// The events that are there, whoever's they are, in no order.
    pub(crate) async fn find_all(&mut self, ids: &[UsageEventId]) -> Result<Vec<UsageEvent>, StoreError> {
        let ids = || ids.iter().filter_map(|id| Some((*id, id.moment()?)));
        let wanted = Batch::default()
            .texts(ids().map(|(id, _)| id.to_string()))
            .integers(ids().map(|(_, moment)| moment.millis()));
        let mut found = Vec::with_capacity(wanted.len());
        for rows in wanted.parts::<D>()? {
            let asked = rows.statement::<D>(WANTED, FIND_WANTED);
            for row in asked.fetch_all(&mut *self.0).await.map_err(from_driver)? {
                found.push(from_text("usage event", row.try_get(0).map_err(from_driver)?)?);
            }
        }
        Ok(found)
    }

    pub(crate) async fn find(
        &mut self,
        of: &OrganizationId,
        event: UsageEventId,
    ) -> Result<Option<UsageEvent>, StoreError> {
        let Some(occurred_at) = event.moment() else { return Ok(None) };
        let find =
            sqlx::query(FIND_EVENT).bind(event.to_string().as_str()).bind(of.as_str()).bind(occurred_at.millis());
        let row = find.fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        row.map(|row| from_text("usage event", row.try_get(0).map_err(from_driver)?)).transpose()
    }
}

/// In the order of their ids, so that two who add the same ones never wait for each other.
fn in_order(events: &[UsageEvent]) -> Vec<&UsageEvent> {
    let mut events: Vec<&UsageEvent> = events.iter().collect();
    events.sort_unstable_by_key(|event| event.id);
    events
}

fn batch<'a>(events: &[&'a UsageEvent]) -> Result<Batch<'a>, StoreError> {
    let mut documents = Vec::with_capacity(events.len());
    for event in events {
        // A row is found, and known to be there already, by the id together with its time.
        if event.id.moment() != Some(event.occurred_at) {
            return Err(damaged("usage event", format!("the time in the id of {} is not its own", event.id)));
        }
        documents.push(to_text(event)?);
    }
    let events = events.iter().copied();
    Ok(Batch::default()
        .texts(events.clone().map(|event| event.id.to_string()))
        .texts(events.clone().map(|event| event.organization_id.as_str()))
        .texts(events.clone().map(|event| event.user_id.as_str()))
        .texts(events.clone().map(|event| event.event_type.as_str()))
        .texts(events.clone().map(|event| event.category.as_str()))
        .optional_texts(events.clone().map(|event| event.session_id.as_ref().map(SessionId::as_str)))
        .integers(events.clone().map(|event| event.occurred_at.millis()))
        .texts(events.clone().map(|event| event.outcome.as_str()))
        .integers(events.map(|event| event.credits.micros()))
        .texts(documents.into_iter()))
}
