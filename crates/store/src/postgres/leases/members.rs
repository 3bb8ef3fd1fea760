//! The accounts of members who have a limit: how one begins, and how what they used moves with the events.
//!
//! A member without a limit has no account: what is done here must cost nothing where an organisation has none.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{ApiKey, Credits, InstanceId, LeaseKey, Limit, Period, StoreError, UsageEvent, UserId};
use sqlx::postgres::PgConnection;

use super::rows::{self, columns};
use crate::error::{damaged, from_driver};

/// A member's account begins with what the member used so far. Its organisation's balance is locked, so no event is added
/// meanwhile.
const MAKE_BALANCE: &str = "INSERT INTO member_balances (organization_id, period_start_ms, user_id, used_micros)
    SELECT $1, $2, $4, COALESCE(SUM(credits_micros), 0)::bigint FROM daily_rollups
    WHERE organization_id = $1 AND day_start_ms >= $2 AND day_start_ms < $3 AND user_id = $4 ON CONFLICT DO NOTHING";
const BEGIN_LEASE: &str =
    "INSERT INTO leases (organization_id, period_start_ms, user_id, instance_id, granted_micros, granted_calls,
    charged_micros, charged_calls, epoch, expires_at_ms, yielded_at_ms, strikes, struck_at_ms)
    VALUES ($1, $2, $3, $4, $5, 0, $5, 0, $6, 0, 0, 0, 0)
    ON CONFLICT (organization_id, period_start_ms, user_id, instance_id) DO UPDATE SET
    granted_micros = excluded.granted_micros, charged_micros = excluded.charged_micros, epoch = excluded.epoch
    WHERE leases.epoch < excluded.epoch";
const WITH_ACCOUNTS: &str = "SELECT k.o, k.p FROM UNNEST($1::text[], $2::bigint[]) AS k (o, p) WHERE EXISTS (
    SELECT 1 FROM member_balances m WHERE m.organization_id = k.o AND m.period_start_ms = k.p)";
const MOVE_BALANCES: &str = "UPDATE member_balances m SET used_micros = m.used_micros + k.c
    FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS k (o, p, u, c)
    WHERE m.organization_id = k.o AND m.period_start_ms = k.p AND m.user_id = k.u";
const CHARGE_LEASES: &str = "UPDATE leases l SET charged_micros = l.charged_micros + k.c,
    granted_micros = GREATEST(l.granted_micros, l.charged_micros + k.c)
    FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS k (o, p, u, c)
    WHERE l.organization_id = k.o AND l.period_start_ms = k.p AND l.user_id = k.u AND l.instance_id = $5";
const OWN_LIMITS: &str = "SELECT m.organization_id, m.user_id, m.monthly_credits_micros FROM members m
    JOIN UNNEST($1::text[], $2::text[]) AS k (o, u) ON m.organization_id = k.o AND m.user_id = k.u";
const OF_KEYS: &str = "SELECT a.document FROM api_keys a JOIN UNNEST($1::text[], $2::text[]) AS k (o, i)
    ON a.organization_id = k.o AND a.key_id = k.i";

/// Makes the row of a member's lease, in the transaction that the caller began.
pub(super) async fn begin(
    connection: &mut PgConnection,
    instance: InstanceId,
    key: &LeaseKey,
    captured: Credits,
    epoch: i64,
) -> Result<(), StoreError> {
    let (organization, period, user) = rows::of(key);
    rows::lock(&mut *connection, &BTreeSet::from([(organization.clone(), period, String::new())])).await?;
    let make = sqlx::query(MAKE_BALANCE).bind(&organization).bind(period).bind(key.period.end().millis()).bind(&user);
    make.execute(&mut *connection).await.map_err(from_driver)?;
    let begin = sqlx::query(BEGIN_LEASE).bind(organization).bind(period).bind(user).bind(instance.to_string());
    let begun = begin.bind(captured.micros()).bind(epoch).execute(connection).await.map_err(from_driver)?;
    if begun.rows_affected() == 0 {
        return Err(StoreError::Unavailable("a newer request for the lease came first".into()));
    }
    Ok(())
}

/// Moves what members used by new events, and takes it from the leases of the instance that charged them, if one did. Only
/// once the events' balances have moved: from there on no account begins in their organisations.
pub(in crate::postgres) async fn add(
    connection: &mut PgConnection,
    events: &[&UsageEvent],
    charged_by: Option<InstanceId>,
) -> Result<(), StoreError> {
    let of_organizations: BTreeSet<(&str, Period)> =
        events.iter().map(|event| (event.organization_id.as_str(), event.period())).collect();
    let (organizations, periods): (Vec<&str>, Vec<i64>) =
        of_organizations.iter().map(|(organization, period)| (*organization, period.start().millis())).unzip();
    let find = sqlx::query_as(WITH_ACCOUNTS).bind(organizations).bind(periods);
    let found: Vec<(String, i64)> = find.fetch_all(&mut *connection).await.map_err(from_driver)?;
    if found.is_empty() {
        return Ok(());
    }
    let found: BTreeSet<(&str, i64)> = found.iter().map(|(organization, period)| (&**organization, *period)).collect();
    let mut sums: BTreeMap<rows::Key, i64> = BTreeMap::new();
    for event in events {
        let (organization, period) = (event.organization_id.as_str(), event.period().start().millis());
        if found.contains(&(organization, period)) {
            let key = (organization.to_owned(), period, event.user_id.as_str().to_owned());
            let sum = sums.entry(key).or_default();
            let moved = sum.checked_add(event.credits.micros());
            *sum = moved.ok_or_else(|| damaged("sum of credits", "it overflows"))?;
        }
    }
    let (organizations, periods, users) = columns(&sums.keys().cloned().collect());
    let credits: Vec<i64> = sums.into_values().collect();
    let moving = sqlx::query(MOVE_BALANCES).bind(&organizations).bind(&periods).bind(&users).bind(&credits);
    moving.execute(&mut *connection).await.map_err(from_driver)?;
    if let Some(instance) = charged_by {
        let charge = sqlx::query(CHARGE_LEASES).bind(organizations).bind(periods).bind(users).bind(credits);
        charge.bind(instance.to_string()).execute(connection).await.map_err(from_driver)?;
    }
    Ok(())
}

/// What each of these members may spend by themselves: `None` where it is as the organisation says for each; nothing of
/// those who are no members. A key by which a machine calls is one.
pub(super) async fn own_limits(
    connection: &mut PgConnection,
    members: &BTreeSet<rows::Key>,
) -> Result<BTreeMap<(String, String), Option<i64>>, StoreError> {
    let (organizations, _, users) = columns(members);
    let find = sqlx::query_as(OWN_LIMITS).bind(&organizations).bind(&users);
    let found: Vec<(String, String, Option<i64>)> = find.fetch_all(&mut *connection).await.map_err(from_driver)?;
    let mut own: BTreeMap<_, _> =
        found.into_iter().map(|(organization, user, own)| ((organization, user), own)).collect();
    let (of, ids): (Vec<_>, Vec<_>) = organizations
        .into_iter()
        .zip(users)
        .filter_map(|(organization, user)| Some((organization, user.strip_prefix(UserId::KEY_PREFIX)?.to_owned())))
        .unzip();
    if !of.is_empty() {
        let find = sqlx::query_scalar(OF_KEYS).bind(of).bind(ids);
        let documents: Vec<String> = find.fetch_all(connection).await.map_err(from_driver)?;
        for document in documents {
            let key: ApiKey = serde_json::from_str(&document).map_err(|error| damaged("API key", error))?;
            let member = key.member();
            let name = (key.organization_id.as_str().to_owned(), member.user_id.as_str().to_owned());
            own.insert(name, member.monthly_credits.map(Limit::stored_micros));
        }
    }
    Ok(own)
}

/// An id of a user from the tables, where '' is nobody.
pub(super) fn user(text: &str) -> Result<Option<UserId>, StoreError> {
    let user = Some(text).filter(|text| !text.is_empty()).map(str::parse).transpose();
    user.map_err(|error| damaged("user id", error))
}
