//! One renewal of many leases: lock the accounts, read what is there, decide by the ledger's rule, write it back.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    Credits, Grant, InstanceId, Lease, LeaseGrant, LeaseKey, LeaseRequest, LeaseTerms, Limit, Period, Plan, Reach,
    Share, StoreError, Timestamp, UsageLimits,
};
use sqlx::postgres::PgConnection;

use super::millis;
use super::news::CHANNEL_OF_ASKS;
use crate::error::{damaged, from_driver};

/// The accounts of a request, each with a balance to lock.
const MAKE_BALANCES: &str = "INSERT INTO balances (organization_id, period_start_ms, used_micros, events, calls)
    SELECT o, p, 0, 0, 0 FROM UNNEST($1::text[], $2::bigint[]) AS k (o, p) ON CONFLICT DO NOTHING";
const LOCK: &str = "SELECT b.organization_id, b.period_start_ms, b.used_micros, b.calls FROM balances b
    JOIN UNNEST($1::text[], $2::bigint[]) AS k (o, p) ON b.organization_id = k.o AND b.period_start_ms = k.p
    ORDER BY 1, 2 FOR NO KEY UPDATE OF b";
const LEASES: &str = "SELECT l.organization_id, l.period_start_ms, l.instance_id, l.granted_micros, l.granted_calls,
    l.charged_micros, l.charged_calls, l.spent_micros, l.spent_calls, l.epoch, l.yielded_at_ms FROM leases l
    JOIN UNNEST($1::text[], $2::bigint[]) AS k (o, p) ON l.organization_id = k.o AND l.period_start_ms = k.p
    ORDER BY 1, 2, 3 FOR UPDATE OF l";
const ASKS: &str = "SELECT a.organization_id, a.period_start_ms, a.instance_id, a.expires_at_ms FROM lease_asks a
    JOIN UNNEST($1::text[], $2::bigint[]) AS k (o, p) ON a.organization_id = k.o AND a.period_start_ms = k.p";
const LIMITS: &str = "SELECT o.organization_id, o.usage_limits, p.document FROM organizations o
    JOIN plans p ON p.plan = o.plan WHERE o.organization_id = ANY ($1)";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const PUT_LEASES: &str =
    "INSERT INTO leases (organization_id, period_start_ms, instance_id, granted_micros, granted_calls, charged_micros,
    charged_calls, epoch, expires_at_ms, yielded_at_ms, strikes, struck_at_ms)
    SELECT o, p, $1, c, n, 0, 0, e, $2, y, 0, 0
    FROM UNNEST($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) AS k (o, p, c, n, e, y)
    ON CONFLICT (organization_id, period_start_ms, instance_id) DO UPDATE SET granted_micros = excluded.granted_micros,
    granted_calls = excluded.granted_calls, epoch = excluded.epoch, expires_at_ms = excluded.expires_at_ms,
    yielded_at_ms = excluded.yielded_at_ms, strikes = 0";
const PUT_ASKS: &str = "INSERT INTO lease_asks (organization_id, period_start_ms, instance_id, expires_at_ms)
    SELECT o, p, $1, $2 FROM UNNEST($3::text[], $4::bigint[]) AS k (o, p)
    ON CONFLICT (organization_id, period_start_ms, instance_id) DO UPDATE SET expires_at_ms = excluded.expires_at_ms";
const DROP_ASKS: &str = "DELETE FROM lease_asks a USING UNNEST($2::text[], $3::bigint[]) AS k (o, p)
    WHERE a.organization_id = k.o AND a.period_start_ms = k.p AND a.instance_id = $1";

/// An account as the transaction sees it.
#[derive(Debug, Default)]
struct Account {
    used: Share,
    leases: BTreeMap<String, Row>,
    /// Who asks, until when.
    asks: BTreeMap<String, i64>,
}

/// A lease's row.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    granted: Share,
    charged: Share,
    /// As it last told.
    spent: Share,
    epoch: i64,
    yielded_at: i64,
}

impl Row {
    fn amount(&self) -> Share {
        self.granted.less(self.charged)
    }
}

pub(super) type Key = (String, i64);

/// The statements of one renewal, in the transaction that the caller began.
pub(super) async fn renew(
    connection: &mut PgConnection,
    instance: InstanceId,
    requests: &[LeaseRequest],
    terms: LeaseTerms,
) -> Result<Vec<LeaseGrant>, StoreError> {
    let keys: BTreeSet<Key> = requests.iter().map(|request| of(&request.key)).collect();
    let mut accounts = lock(connection, &keys).await?;
    read(connection, &keys, &mut accounts).await?;
    let limits = limits(connection, &keys).await?;
    // Read last: whoever counts from before the request was sent then never believes in a later end.
    let now: i64 = sqlx::query_scalar(NOW).fetch_one(&mut *connection).await.map_err(from_driver)?;
    let name = instance.to_string();
    let mut grants = Vec::new();
    let (mut changed, mut met, mut unmet) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for request in requests {
        let key = of(&request.key);
        let Some(account) = accounts.get_mut(&key) else { continue };
        let grant = limits.get(&key.0).copied().unwrap_or(NOTHING);
        let Some((granted, is_met)) = decide(account, &name, request, grant, now, terms) else { continue };
        changed.insert(key.clone());
        let (into, out_of) = if is_met { (&mut met, &mut unmet) } else { (&mut unmet, &mut met) };
        out_of.remove(&key);
        into.insert(key);
        grants.push(granted);
    }
    put_leases(connection, &name, now.saturating_add(millis(terms.ttl_ms)), &accounts, &changed).await?;
    put_asks(connection, &name, now.saturating_add(millis(terms.ask_ttl_ms)), &accounts, &met, &unmet).await?;
    Ok(grants)
}

/// What an organisation may spend that is not there.
const NOTHING: Grant = Grant { credits: Limit::Credits(Credits::ZERO), calls: Some(0) };

/// Decides one request and notes what became of it; nothing where it comes late.
fn decide(
    account: &mut Account,
    name: &str,
    request: &LeaseRequest,
    grant: Grant,
    now: i64,
    terms: LeaseTerms,
) -> Option<(LeaseGrant, bool)> {
    let (mut leased, mut told, mut silent) = (Share::ZERO, Share::ZERO, 0);
    for (_, row) in account.leases.iter().filter(|(other, _)| *other != name) {
        told = told.plus(row.spent.less(row.charged));
        if !row.amount().is_zero() {
            leased = leased.plus(row.amount());
            silent = silent.max(now.saturating_sub(row.yielded_at));
        }
    }
    let latest = now.saturating_add(millis(terms.ask_ttl_ms));
    let asked = account.asks.iter().any(|(other, until)| other != name && *until > now && *until <= latest);
    let row = account.leases.entry(name.to_owned()).or_default();
    if request.epoch <= row.epoch {
        return None;
    }
    let reach = Reach::new(grant, row.charged, account.used, leased);
    let (granted, met) = request.decide(row.granted, row.charged, reach);
    row.granted = granted;
    row.epoch = request.epoch;
    if request.yields {
        row.yielded_at = now;
    }
    let expires_at = Timestamp::from_millis(now.saturating_add(millis(terms.ttl_ms)));
    let lease = Lease { epoch: row.epoch, granted: row.granted, charged: row.charged, expires_at };
    let answer = LeaseGrant {
        key: request.key.clone(),
        lease,
        grant,
        used: account.used,
        told_elsewhere: told,
        leased_elsewhere: leased,
        silent_ms: u64::try_from(silent).unwrap_or(0),
        asked,
    };
    Some((answer, met))
}

/// Locks the accounts' balances, in the order of their keys.
async fn lock(connection: &mut PgConnection, keys: &BTreeSet<Key>) -> Result<BTreeMap<Key, Account>, StoreError> {
    let (organizations, periods) = columns(keys);
    let mut rows: Vec<(String, i64, i64, i64)> = Vec::new();
    // One that never was used has no balance yet, and needs a second look.
    for is_again in [false, true] {
        if is_again {
            let make = sqlx::query(MAKE_BALANCES).bind(&organizations).bind(&periods);
            make.execute(&mut *connection).await.map_err(from_driver)?;
        }
        let lock = sqlx::query_as(LOCK).bind(&organizations).bind(&periods);
        rows = lock.fetch_all(&mut *connection).await.map_err(from_driver)?;
        if rows.len() == keys.len() {
            break;
        }
    }
    let account = |(organization, period, used, calls)| {
        let account = Account { used: share(used, calls)?, ..Account::default() };
        Ok(((organization, period), account))
    };
    rows.into_iter().map(account).collect()
}

async fn read(
    connection: &mut PgConnection,
    keys: &BTreeSet<Key>,
    accounts: &mut BTreeMap<Key, Account>,
) -> Result<(), StoreError> {
    type Stored = (String, i64, String, i64, i64, i64, i64, i64, i64, i64, i64);
    let (organizations, periods) = columns(keys);
    let leases = sqlx::query_as(LEASES).bind(&organizations).bind(&periods);
    let leases: Vec<Stored> = leases.fetch_all(&mut *connection).await.map_err(from_driver)?;
    for (organization, period, instance, granted, calls, charged, charged_calls, spent, spent_calls, epoch, at) in
        leases
    {
        let (granted, charged) = (share(granted, calls)?, share(charged, charged_calls)?);
        let row = Row { granted, charged, spent: share(spent, spent_calls)?, epoch, yielded_at: at };
        if let Some(account) = accounts.get_mut(&(organization, period)) {
            account.leases.insert(instance, row);
        }
    }
    let asks = sqlx::query_as(ASKS).bind(&organizations).bind(&periods);
    let asks: Vec<(String, i64, String, i64)> = asks.fetch_all(&mut *connection).await.map_err(from_driver)?;
    for (organization, period, instance, until) in asks {
        if let Some(account) = accounts.get_mut(&(organization, period)) {
            account.asks.insert(instance, until);
        }
    }
    Ok(())
}

/// What each organisation's period grants, as its own limits and its plan say now.
async fn limits(connection: &mut PgConnection, keys: &BTreeSet<Key>) -> Result<BTreeMap<String, Grant>, StoreError> {
    let (organizations, _) = columns(keys);
    let limits = sqlx::query_as(LIMITS).bind(organizations);
    let limits: Vec<(String, String, String)> = limits.fetch_all(connection).await.map_err(from_driver)?;
    let grant = |(organization, own, plan): (String, String, String)| {
        let own: UsageLimits = serde_json::from_str(&own).map_err(|error| damaged("usage limits", error))?;
        let plan: Plan = serde_json::from_str(&plan).map_err(|error| damaged("plan", error))?;
        Ok((organization, plan.grant(&own)))
    };
    limits.into_iter().map(grant).collect()
}

async fn put_leases(
    connection: &mut PgConnection,
    name: &str,
    expires_at: i64,
    accounts: &BTreeMap<Key, Account>,
    changed: &BTreeSet<Key>,
) -> Result<(), StoreError> {
    if changed.is_empty() {
        return Ok(());
    }
    let rows: Vec<Row> = changed.iter().filter_map(|key| accounts.get(key)?.leases.get(name).copied()).collect();
    let (organizations, periods) = columns(changed);
    let calls = rows.iter().map(|row| i64::try_from(row.granted.calls).unwrap_or(i64::MAX));
    let put = sqlx::query(PUT_LEASES)
        .bind(name)
        .bind(expires_at)
        .bind(organizations)
        .bind(periods)
        .bind(rows.iter().map(|row| row.granted.credits.micros()).collect::<Vec<_>>())
        .bind(calls.collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.epoch).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.yielded_at).collect::<Vec<_>>());
    put.execute(connection).await.map_err(from_driver)?;
    Ok(())
}

/// Asks in the name of those whose need is not met, and tells the others; forgets the asks of those whose need is.
async fn put_asks(
    connection: &mut PgConnection,
    name: &str,
    until: i64,
    accounts: &BTreeMap<Key, Account>,
    met: &BTreeSet<Key>,
    unmet: &BTreeSet<Key>,
) -> Result<(), StoreError> {
    let has_ask = |key: &Key| accounts.get(key).is_some_and(|account| account.asks.contains_key(name));
    let over: BTreeSet<Key> = met.iter().filter(|key| has_ask(key)).cloned().collect();
    if !over.is_empty() {
        let (organizations, periods) = columns(&over);
        let forget = sqlx::query(DROP_ASKS).bind(name).bind(organizations).bind(periods);
        forget.execute(&mut *connection).await.map_err(from_driver)?;
    }
    if !unmet.is_empty() {
        let (organizations, periods) = columns(unmet);
        let ask = sqlx::query(PUT_ASKS).bind(name).bind(until).bind(organizations).bind(periods);
        ask.execute(&mut *connection).await.map_err(from_driver)?;
        let tell = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL_OF_ASKS);
        tell.execute(connection).await.map_err(from_driver)?;
    }
    Ok(())
}

/// A key as the tables have it.
pub(super) fn of(key: &LeaseKey) -> Key {
    (key.organization_id.as_str().to_owned(), key.period.start().millis())
}

/// A key from the tables.
pub(super) fn key(organization: &str, period_start: i64) -> Result<LeaseKey, StoreError> {
    let organization_id = organization.parse().map_err(|error| damaged("organisation id", error))?;
    Ok(LeaseKey { organization_id, period: Period::of(Timestamp::from_millis(period_start)) })
}

pub(super) fn columns(keys: &BTreeSet<Key>) -> (Vec<String>, Vec<i64>) {
    keys.iter().cloned().unzip()
}

pub(super) fn share(micros: i64, calls: i64) -> Result<Share, StoreError> {
    let calls = u64::try_from(calls).map_err(|error| damaged("count of calls", error))?;
    Ok(Share { credits: Credits::from_micros(micros), calls })
}
