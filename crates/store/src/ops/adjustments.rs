//! Adjustments by their keys, beside their events. Rows are only ever added.

use ledger::{
    Adjusted, AdjustmentRefused, Credits, NewAdjustment, OrganizationId, Period, Rerating, StoreError, UsageEvent,
    UsageEventId,
};
use sqlx::{ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{credits, from_text, id, to_text};
use crate::batch::Batch;
use crate::dialect::Dialect;
use crate::error::from_driver;

const FIND_BY_KEY: &str =
    "SELECT request, document FROM adjustments WHERE organization_id = $1 AND idempotency_key = $2";
const ADD_ADJUSTMENT: &str =
    "INSERT INTO adjustments (organization_id, idempotency_key, event_id, adjusts, credits_micros, request, document)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const INTO_ADJUSTMENTS: &str =
    "INSERT INTO adjustments (organization_id, idempotency_key, event_id, adjusts, credits_micros, request, document)";
const WANTED: &str = "WITH wanted (event_id) AS (";
const OF_WANTED: &str = ") SELECT a.adjusts, a.idempotency_key, a.credits_micros FROM wanted w
    JOIN adjustments a ON a.adjusts = w.event_id";
/// Those of re-ratings, by how their keys begin.
const RERATED: &str = "SELECT adjusts, CAST(SUM(credits_micros) AS BIGINT) FROM adjustments
    WHERE adjusts >= $1 AND adjusts <= $2 AND SUBSTR(idempotency_key, 1, 10) = $3 GROUP BY adjusts";
const SUM_OF_ADJUSTED: &str = "SELECT CAST(COALESCE(SUM(credits_micros), 0) AS BIGINT) FROM adjustments
    WHERE organization_id = $1 AND adjusts = $2";
const LIST_ADJUSTMENTS: &str =
    "SELECT document FROM adjustments WHERE organization_id = $1 AND ($2 IS NULL OR event_id < $2)
    ORDER BY event_id DESC LIMIT $3";
/// What instances may still charge without asking. In a database that one gateway owns there are no leases.
const SUM_LEASED: &str = "SELECT CAST(COALESCE(SUM(granted_micros - charged_micros), 0) AS BIGINT) FROM leases
    WHERE organization_id = $1 AND period_start_ms = $2 AND user_id = ''";

/// Adjustments, on an open connection.
pub(crate) struct AdjustmentRows<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> AdjustmentRows<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    /// What this key made before, if anything.
    pub(crate) async fn find(&mut self, new: &NewAdjustment) -> Result<Option<Adjusted>, StoreError> {
        let find = sqlx::query(FIND_BY_KEY).bind(new.organization_id.as_str()).bind(new.key.as_str());
        let Some(row) = find.fetch_optional(&mut *self.0).await.map_err(from_driver)? else { return Ok(None) };
        let request: &str = row.try_get(0).map_err(from_driver)?;
        let event = from_text("usage event", row.try_get(1).map_err(from_driver)?)?;
        let is_same = request == to_text(new)?;
        Ok(Some(if is_same { Adjusted::Repeated(event) } else { Adjusted::Refused(AdjustmentRefused::KeyReused) }))
    }

    pub(crate) async fn add(&mut self, new: &NewAdjustment, event: &UsageEvent) -> Result<(), StoreError> {
        let adjusts = new.adjusts.map(|id| id.to_string());
        let add = sqlx::query(ADD_ADJUSTMENT)
            .bind(new.organization_id.as_str())
            .bind(new.key.as_str())
            .bind(event.id.to_string().as_str())
            .bind(adjusts.as_deref())
            .bind(event.credits.micros())
            .bind(to_text(new)?.as_str())
            .bind(to_text(event)?.as_str());
        add.execute(&mut *self.0).await.map_err(from_driver)?;
        Ok(())
    }

    /// What the adjustments of one event add up to.
    pub(crate) async fn sum_of(&mut self, of: &OrganizationId, event: UsageEventId) -> Result<Credits, StoreError> {
        let sum = sqlx::query(SUM_OF_ADJUSTED).bind(of.as_str()).bind(event.to_string().as_str());
        let row = sum.fetch_one(&mut *self.0).await.map_err(from_driver)?;
        Ok(credits(row.try_get(0).map_err(from_driver)?))
    }

    /// Newest first: event ids sort by time.
    pub(crate) async fn list(
        &mut self,
        of: &OrganizationId,
        before: Option<UsageEventId>,
        limit: u32,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        let before = before.map(|id| id.to_string());
        let list = sqlx::query(LIST_ADJUSTMENTS).bind(of.as_str()).bind(before.as_deref()).bind(i64::from(limit));
        let rows = list.fetch_all(&mut *self.0).await.map_err(from_driver)?;
        rows.iter().map(|row| from_text("usage event", row.try_get(0).map_err(from_driver)?)).collect()
    }

    /// Adds adjustments that are known to be new.
    pub(crate) async fn add_all(&mut self, made: &[(NewAdjustment, UsageEvent)]) -> Result<(), StoreError> {
        let (mut requests, mut documents) = (Vec::with_capacity(made.len()), Vec::with_capacity(made.len()));
        for (new, event) in made {
            requests.push(to_text(new)?);
            documents.push(to_text(event)?);
        }
        let adjusts: Vec<Option<String>> =
            made.iter().map(|(new, _)| new.adjusts.map(|adjusts| adjusts.to_string())).collect();
        let rows = Batch::default()
            .texts(made.iter().map(|(new, _)| new.organization_id.as_str()))
            .texts(made.iter().map(|(new, _)| new.key.as_str()))
            .texts(made.iter().map(|(_, event)| event.id.to_string()))
            .optional_texts(adjusts.iter().map(Option::as_deref))
            .integers(made.iter().map(|(new, _)| new.credits.micros()))
            .texts(requests.into_iter())
            .texts(documents.into_iter());
        rows.insert::<D>(&mut *self.0, INTO_ADJUSTMENTS, "").await?;
        Ok(())
    }

    /// The adjustments of some events: of which each is, its key and its credits.
    pub(crate) async fn of_all(
        &mut self,
        ids: &[UsageEventId],
    ) -> Result<Vec<(UsageEventId, String, Credits)>, StoreError> {
        let wanted = Batch::default().texts(ids.iter().map(ToString::to_string));
        let mut found = Vec::new();
        for rows in wanted.parts::<D>()? {
            let asked = rows.statement::<D>(WANTED, OF_WANTED);
            for row in asked.fetch_all(&mut *self.0).await.map_err(from_driver)? {
                let key: &str = row.try_get(1).map_err(from_driver)?;
                let of = id("event id", row.try_get(0).map_err(from_driver)?)?;
                found.push((of, key.to_owned(), credits(row.try_get(2).map_err(from_driver)?)));
            }
        }
        Ok(found)
    }

    /// What re-ratings added to each of a range of events that they adjusted.
    pub(crate) async fn rerated(
        &mut self,
        first: UsageEventId,
        last: UsageEventId,
    ) -> Result<Vec<(UsageEventId, Credits)>, StoreError> {
        let (first, last) = (first.to_string(), last.to_string());
        let asked = sqlx::query(RERATED).bind(first.as_str()).bind(last.as_str()).bind(Rerating::KEY_PREFIX);
        let rows = asked.fetch_all(&mut *self.0).await.map_err(from_driver)?;
        let read = |row: &D::Row| -> Result<_, StoreError> {
            Ok((id("event id", row.try_get(0).map_err(from_driver)?)?, credits(row.try_get(1).map_err(from_driver)?)))
        };
        rows.iter().map(read).collect()
    }

    /// What is leased of an account.
    pub(crate) async fn leased(&mut self, of: &OrganizationId, period: Period) -> Result<Credits, StoreError> {
        let sum = sqlx::query(SUM_LEASED).bind(of.as_str()).bind(period.start().millis());
        let row = sum.fetch_one(&mut *self.0).await.map_err(from_driver)?;
        Ok(credits(row.try_get(0).map_err(from_driver)?))
    }
}
