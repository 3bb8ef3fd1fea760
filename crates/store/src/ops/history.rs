//! Pages of usage events, with a summary of all that pass the filter.

use std::collections::BTreeSet;

use ledger::{
    Day, EventType, HistoryFilter, HistoryPage, HistorySummary, OrganizationId, PageRequest, SessionId, SessionUsage,
    StoreError, Timestamp, UsageEvent, UserId, UserUsage,
};
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, Encode, Executor, Row as _, Type};

use super::{count, credits, from_text, id, to_text};
use crate::dialect::{Asked, Dialect};
use crate::error::from_driver;

/// What passes the filter: every part that is given must hold. One text, so that page and summary cannot differ.
macro_rules! passing {
    () => {
        "e.organization_id = $1 AND ($2 IS NULL OR e.event_type = $2) AND ($3 IS NULL OR e.user_id = $3)
        AND e.occurred_at_ms >= $4 AND e.occurred_at_ms < $5 AND ($6 IS NULL OR e.category = $6)
        AND e.credits_micros >= $7 AND e.credits_micros <= $8 AND ($9 IS NULL OR e.session_id = $9)"
    };
}

const PAGE: &str = concat!(
    "SELECT e.document, m.name, m.email FROM usage_events e
    LEFT JOIN members m ON m.organization_id = e.organization_id AND m.user_id = e.user_id WHERE ",
    passing!(),
    " ORDER BY e.occurred_at_ms DESC, e.event_id DESC LIMIT $10 OFFSET $11"
);
const SUMMARY: &str = concat!(
    "SELECT CAST(COALESCE(SUM(e.credits_micros), 0) AS BIGINT), COUNT(*), COUNT(DISTINCT e.user_id), MIN(e.occurred_at_ms),
    MAX(e.occurred_at_ms) FROM usage_events e WHERE ",
    passing!()
);
const FIRST: &str =
    concat!("SELECT e.occurred_at_ms FROM usage_events e WHERE ", passing!(), " ORDER BY e.occurred_at_ms LIMIT 1");
const LAST: &str = concat!(
    "SELECT e.occurred_at_ms FROM usage_events e WHERE ",
    passing!(),
    " ORDER BY e.occurred_at_ms DESC LIMIT 1"
);
/// The sums of whole days: what their events add up to, without reading them.
const SUMMARY_OF_DAYS: &str =
    "SELECT CAST(COALESCE(SUM(credits_micros), 0) AS BIGINT), CAST(COALESCE(SUM(events), 0) AS BIGINT),
    COUNT(DISTINCT user_id), MIN(day_start_ms), MAX(day_start_ms) FROM daily_rollups
    WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3
    AND ($4 IS NULL OR event_type = $4) AND ($5 IS NULL OR user_id = $5) AND events > 0";
const SESSIONS: &str =
    "SELECT session_id, CAST(SUM(credits_micros) AS BIGINT), COUNT(*), MIN(occurred_at_ms), MAX(occurred_at_ms)
    FROM usage_events WHERE organization_id = $1 AND ($2 IS NULL OR user_id = $2)";
const BY_SESSION: &str = "GROUP BY session_id ORDER BY 5 DESC, 1";

/// Whether whole days pass the filter, by event type and user at most: the rollups know their sums.
fn is_of_days(filter: &HistoryFilter) -> bool {
    let HistoryFilter { event_type: _, user_id: _, from, until, category, credits_min, credits_max, session_id } =
        filter;
    let of_more = category.is_some() || credits_min.is_some() || credits_max.is_some() || session_id.is_some();
    let is_midnight = |moment: &Option<Timestamp>| moment.is_none_or(|moment| Day::of(moment).start() == moment);
    !of_more && is_midnight(from) && is_midnight(until)
}

/// Pages of usage events, on an open connection.
pub(crate) struct History<'c, D: Dialect>(pub(crate) &'c mut D::Connection);

impl<D> History<'_, D>
where
    D: Dialect,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> &'v str: Encode<'v, D> + Decode<'v, D> + Type<D>,
    for<'v> Option<&'v str>: Encode<'v, D>,
    for<'v> i64: Encode<'v, D> + Decode<'v, D> + Type<D>,
    usize: ColumnIndex<D::Row>,
{
    pub(crate) async fn page(
        &mut self,
        of: &OrganizationId,
        filter: &HistoryFilter,
        page: PageRequest,
    ) -> Result<HistoryPage, StoreError> {
        let offset = i64::from(page.page.saturating_sub(1)).saturating_mul(i64::from(page.limit));
        let asked = Self::filtered(PAGE, of, filter).bind(i64::from(page.limit)).bind(offset);
        let rows = asked.fetch_all(&mut *self.0).await.map_err(from_driver)?;
        let events: Vec<(UsageEvent, UserUsage)> = rows.iter().map(Self::read_event).collect::<Result<_, _>>()?;
        let summary = if is_of_days(filter) {
            self.summary_of_days(of, filter).await?
        } else {
            let asked = Self::filtered(SUMMARY, of, filter);
            Self::read_summary(&asked.fetch_one(&mut *self.0).await.map_err(from_driver)?)?
        };
        let sessions: BTreeSet<&str> =
            events.iter().filter_map(|(event, _)| event.session_id.as_ref().map(SessionId::as_str)).collect();
        let sessions = self.sessions_of(of, &sessions, filter.user_id.as_ref()).await?;
        Ok(HistoryPage { events, sessions, summary })
    }

    /// What all that pass the filter add up to, by the rollups of their days. Rollups outlast events: those of events that
    /// retention has dropped, by whole months, do not count.
    async fn summary_of_days(
        &mut self,
        of: &OrganizationId,
        filter: &HistoryFilter,
    ) -> Result<HistorySummary, StoreError> {
        let Some(first_kept) = self.end(FIRST, of, &HistoryFilter::default()).await? else {
            return Ok(HistorySummary::default());
        };
        let kept = Day::of(first_kept).start();
        let asked = sqlx::query(SUMMARY_OF_DAYS)
            .bind(of.as_str())
            .bind(filter.from.map_or(kept, |from| from.max(kept)).millis())
            .bind(filter.until.map_or(i64::MAX, Timestamp::millis))
            .bind(filter.event_type.as_ref().map(EventType::as_str))
            .bind(filter.user_id.as_ref().map(UserId::as_str));
        let mut summary = Self::read_summary(&asked.fetch_one(&mut *self.0).await.map_err(from_driver)?)?;
        // Of the first and the last day that have any, the moments.
        let on = |day: Timestamp| HistoryFilter { from: Some(day), until: Some(Day::of(day).end()), ..filter.clone() };
        if let (Some(first), Some(last)) = (summary.first, summary.last) {
            summary.first = self.end(FIRST, of, &on(first)).await?;
            summary.last = self.end(LAST, of, &on(last)).await?;
        }
        Ok(summary)
    }

    /// The first or the last moment of all that pass the filter.
    async fn end(
        &mut self,
        which: &'static str,
        of: &OrganizationId,
        filter: &HistoryFilter,
    ) -> Result<Option<Timestamp>, StoreError> {
        let row = Self::filtered(which, of, filter).fetch_optional(&mut *self.0).await.map_err(from_driver)?;
        let moment = row.map(|row| row.try_get::<i64, _>(0).map_err(from_driver)).transpose()?;
        Ok(moment.map(Timestamp::from_millis))
    }

    fn filtered<'q>(text: &'static str, of: &'q OrganizationId, filter: &'q HistoryFilter) -> Asked<'q, D> {
        sqlx::query(text)
            .bind(of.as_str())
            .bind(filter.event_type.as_ref().map(EventType::as_str))
            .bind(filter.user_id.as_ref().map(UserId::as_str))
            .bind(filter.from.map_or(i64::MIN, Timestamp::millis))
            .bind(filter.until.map_or(i64::MAX, Timestamp::millis))
            .bind(filter.category.as_deref())
            .bind(filter.credits_min.map_or(i64::MIN, ledger::Credits::micros))
            .bind(filter.credits_max.map_or(i64::MAX, ledger::Credits::micros))
            .bind(filter.session_id.as_ref().map(SessionId::as_str))
    }

    async fn sessions_of(
        &mut self,
        of: &OrganizationId,
        sessions: &BTreeSet<&str>,
        user: Option<&UserId>,
    ) -> Result<Vec<SessionUsage>, StoreError> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!("{SESSIONS} AND session_id IN ({}) {BY_SESSION}", D::list("$3"));
        let asked = sqlx::query(AssertSqlSafe(text)).bind(of.as_str()).bind(user.map(UserId::as_str));
        let asked = asked.bind(to_text(sessions)?.as_str());
        asked.fetch_all(&mut *self.0).await.map_err(from_driver)?.iter().map(Self::read_session).collect()
    }

    fn read_event(row: &D::Row) -> Result<(UsageEvent, UserUsage), StoreError> {
        let event: UsageEvent = from_text("usage event", row.try_get(0).map_err(from_driver)?)?;
        let user = UserUsage {
            user_id: event.user_id.clone(),
            name: row.try_get::<Option<&str>, _>(1).map_err(from_driver)?.map(str::to_owned),
            email: row.try_get::<Option<&str>, _>(2).map_err(from_driver)?.map(str::to_owned),
            credits: event.credits,
            count: 1,
        };
        Ok((event, user))
    }

    fn read_summary(row: &D::Row) -> Result<HistorySummary, StoreError> {
        let time = |column: usize| {
            row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp::from_millis)).map_err(from_driver)
        };
        Ok(HistorySummary {
            total_credits: credits(row.try_get(0).map_err(from_driver)?),
            total_events: count(row.try_get(1).map_err(from_driver)?)?,
            unique_users: count(row.try_get(2).map_err(from_driver)?)?,
            first: time(3)?,
            last: time(4)?,
        })
    }

    fn read_session(row: &D::Row) -> Result<SessionUsage, StoreError> {
        Ok(SessionUsage {
            id: id("session id", row.try_get(0).map_err(from_driver)?)?,
            credits: credits(row.try_get(1).map_err(from_driver)?),
            count: count(row.try_get(2).map_err(from_driver)?)?,
            first: Timestamp::from_millis(row.try_get(3).map_err(from_driver)?),
            last: Timestamp::from_millis(row.try_get(4).map_err(from_driver)?),
        })
    }
}
