//! One renewal of many leases: lock the accounts, read what is there, decide by the ledger's rule, write it back.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    Credits, Grant, InstanceId, Lease, LeaseGrant, LeaseKey, LeaseRequest, LeaseTerms, Limit, Period, Plan, Reach,
    Share, StoreError, Timestamp, UsageLimits, UserId,
};
use sqlx::postgres::PgConnection;

use super::news::CHANNEL_OF_ASKS;
use super::{members, millis};
use crate::error::{damaged, from_driver};

/// The accounts of a request, each with a balance to lock.
const MAKE_BALANCES: &str = "INSERT INTO balances (organization_id, period_start_ms, used_micros, events, calls)
    SELECT o, p, 0, 0, 0 FROM UNNEST($1::text[], $2::bigint[]) AS k (o, p) ON CONFLICT DO NOTHING";
const LOCK: &str = "SELECT b.organization_id, b.period_start_ms, b.used_micros, b.calls FROM balances b
    JOIN UNNEST($1::text[], $2::bigint[]) AS k (o, p) ON b.organization_id = k.o AND b.period_start_ms = k.p
    ORDER BY 1, 2 FOR NO KEY UPDATE OF b";
const MEMBERS_USED: &str =
    "SELECT m.organization_id, m.period_start_ms, m.user_id, m.used_micros FROM member_balances m
    JOIN UNNEST($1::text[], $2::bigint[], $3::text[]) AS k (o, p, u)
    ON m.organization_id = k.o AND m.period_start_ms = k.p AND m.user_id = k.u";
const LEASES: &str = "SELECT l.organization_id, l.period_start_ms, l.user_id, l.instance_id, l.granted_micros,
    l.granted_calls, l.charged_micros, l.charged_calls, l.spent_micros, l.spent_calls, l.epoch, l.yielded_at_ms FROM leases l
    JOIN UNNEST($1::text[], $2::bigint[], $3::text[]) AS k (o, p, u)
    ON l.organization_id = k.o AND l.period_start_ms = k.p AND l.user_id = k.u ORDER BY 1, 2, 3, 4 FOR UPDATE OF l";
const ASKS: &str = "SELECT a.organization_id, a.period_start_ms, a.user_id, a.instance_id, a.expires_at_ms
    FROM lease_asks a JOIN UNNEST($1::text[], $2::bigint[], $3::text[]) AS k (o, p, u)
    ON a.organization_id = k.o AND a.period_start_ms = k.p AND a.user_id = k.u";
const LIMITS: &str = "SELECT o.organization_id, o.usage_limits, p.document FROM organizations o
    JOIN plans p ON p.plan = o.plan WHERE o.organization_id = ANY ($1)";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
const PUT_LEASES: &str =
    "INSERT INTO leases (organization_id, period_start_ms, user_id, instance_id, granted_micros, granted_calls,
    charged_micros, charged_calls, epoch, expires_at_ms, yielded_at_ms, strikes, struck_at_ms)
    SELECT o, p, u, $1, c, n, 0, 0, e, $2, y, 0, 0 FROM UNNEST($3::text[], $4::bigint[], $5::text[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::bigint[]) AS k (o, p, u, c, n, e, y)
    ON CONFLICT (organization_id, period_start_ms, user_id, instance_id) DO UPDATE SET granted_micros = excluded.granted_micros,
    granted_calls = excluded.granted_calls, epoch = excluded.epoch, expires_at_ms = excluded.expires_at_ms,
    yielded_at_ms = excluded.yielded_at_ms, strikes = 0";
const PUT_ASKS: &str = "INSERT INTO lease_asks (organization_id, period_start_ms, user_id, instance_id, expires_at_ms)
    SELECT o, p, u, $1, $2 FROM UNNEST($3::text[], $4::bigint[], $5::text[]) AS k (o, p, u)
    ON CONFLICT (organization_id, period_start_ms, user_id, instance_id) DO UPDATE SET expires_at_ms = excluded.expires_at_ms";
const DROP_ASKS: &str = "DELETE FROM lease_asks a USING UNNEST($2::text[], $3::bigint[], $4::text[]) AS k (o, p, u)
    WHERE a.organization_id = k.o AND a.period_start_ms = k.p AND a.user_id = k.u AND a.instance_id = $1";

/// An account as the transaction sees it.
#[derive(Debug, Default)]
pub(super) struct Account {
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

/// Organisation, period's start, user: '' in the organisation's own account.
pub(super) type Key = (String, i64, String);

/// The statements of one renewal, in the transaction that the caller began.
pub(super) async fn renew(
    connection: &mut PgConnection,
    instance: InstanceId,
    requests: &[LeaseRequest],
    terms: LeaseTerms,
) -> Result<Vec<LeaseGrant>, StoreError> {
    let keys: BTreeSet<Key> = requests.iter().map(|request| of(&request.key)).collect();
    let organizations = keys.iter().map(|(organization, period, _)| (organization.clone(), *period, String::new()));
    let mut accounts = lock(connection, &organizations.collect()).await?;
    read_members(connection, &keys, &mut accounts).await?;
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
        let grant = limits.get(&key).copied().unwrap_or(NOTHING);
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

/// Locks organisations' balances, in the order of their keys. Their members' accounts take turns at the same locks.
pub(super) async fn lock(
    connection: &mut PgConnection,
    keys: &BTreeSet<Key>,
) -> Result<BTreeMap<Key, Account>, StoreError> {
    let (organizations, periods, _) = columns(keys);
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
        Ok(((organization, period, String::new()), account))
    };
    rows.into_iter().map(account).collect()
}

/// What the members among the keys used. One whose account has not begun is left out, and so has no answer.
async fn read_members(
    connection: &mut PgConnection,
    keys: &BTreeSet<Key>,
    accounts: &mut BTreeMap<Key, Account>,
) -> Result<(), StoreError> {
    let members = of_members(keys);
    if members.is_empty() {
        return Ok(());
    }
    let (organizations, periods, users) = columns(&members);
    let find = sqlx::query_as(MEMBERS_USED).bind(organizations).bind(periods).bind(users);
    let found: Vec<(String, i64, String, i64)> = find.fetch_all(connection).await.map_err(from_driver)?;
    for (organization, period, user, used) in found {
        let account = Account { used: share(used, 0)?, ..Account::default() };
        accounts.insert((organization, period, user), account);
    }
    Ok(())
}

fn of_members(keys: &BTreeSet<Key>) -> BTreeSet<Key> {
    keys.iter().filter(|(_, _, user)| !user.is_empty()).cloned().collect()
}

async fn read(
    connection: &mut PgConnection,
    keys: &BTreeSet<Key>,
    accounts: &mut BTreeMap<Key, Account>,
) -> Result<(), StoreError> {
    type Stored = (String, i64, String, String, i64, i64, i64, i64, i64, i64, i64, i64);
    let (organizations, periods, users) = columns(keys);
    let leases = sqlx::query_as(LEASES).bind(&organizations).bind(&periods).bind(&users);
    let leases: Vec<Stored> = leases.fetch_all(&mut *connection).await.map_err(from_driver)?;
    for (organization, period, user, instance, granted, calls, charged, charged_calls, spent, spent_calls, epoch, at) in
        leases
    {
        let (granted, charged) = (share(granted, calls)?, share(charged, charged_calls)?);
        let row = Row { granted, charged, spent: share(spent, spent_calls)?, epoch, yielded_at: at };
        if let Some(account) = accounts.get_mut(&(organization, period, user)) {
            account.leases.insert(instance, row);
        }
    }
    let asks = sqlx::query_as(ASKS).bind(&organizations).bind(&periods).bind(&users);
    let asks: Vec<(String, i64, String, String, i64)> = asks.fetch_all(&mut *connection).await.map_err(from_driver)?;
    for (organization, period, user, instance, until) in asks {
        if let Some(account) = accounts.get_mut(&(organization, period, user)) {
            account.asks.insert(instance, until);
        }
    }
    Ok(())
}

/// What each account's period grants, as the limits of organisation, plan and member say now. Who is unknown has none.
async fn limits(connection: &mut PgConnection, keys: &BTreeSet<Key>) -> Result<BTreeMap<Key, Grant>, StoreError> {
    let (organizations, _, _) = columns(keys);
    let limits = sqlx::query_as(LIMITS).bind(organizations);
    let limits: Vec<(String, String, String)> = limits.fetch_all(&mut *connection).await.map_err(from_driver)?;
    let mut organizations = BTreeMap::new();
    for (organization, own, plan) in limits {
        let own: UsageLimits = serde_json::from_str(&own).map_err(|error| damaged("usage limits", error))?;
        let plan: Plan = serde_json::from_str(&plan).map_err(|error| damaged("plan", error))?;
        organizations.insert(organization, (plan.grant(&own), plan.limits_with(&own).member_monthly_credits));
    }
    let members = of_members(keys);
    let own = if members.is_empty() { BTreeMap::new() } else { members::own_limits(connection, &members).await? };
    let grant = |key: &Key| {
        let (organization, _, user) = key;
        let (grant, for_each) = organizations.get(organization)?;
        if user.is_empty() {
            return Some((key.clone(), *grant));
        }
        let own = own.get(&(organization.clone(), user.clone()))?.map(Limit::from_stored_micros);
        let credits = own.or(*for_each).unwrap_or(Limit::Unlimited);
        Some((key.clone(), Grant { credits, calls: None }))
    };
    Ok(keys.iter().filter_map(grant).collect())
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
    let (organizations, periods, users) = columns(changed);
    let calls = rows.iter().map(|row| i64::try_from(row.granted.calls).unwrap_or(i64::MAX));
    let put = sqlx::query(PUT_LEASES)
        .bind(name)
        .bind(expires_at)
        .bind(organizations)
        .bind(periods)
        .bind(users)
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
        let (organizations, periods, users) = columns(&over);
        let forget = sqlx::query(DROP_ASKS).bind(name).bind(organizations).bind(periods).bind(users);
        forget.execute(&mut *connection).await.map_err(from_driver)?;
    }
    if !unmet.is_empty() {
        let (organizations, periods, users) = columns(unmet);
        let ask = sqlx::query(PUT_ASKS).bind(name).bind(until).bind(organizations).bind(periods).bind(users);
        ask.execute(&mut *connection).await.map_err(from_driver)?;
        let tell = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL_OF_ASKS);
        tell.execute(connection).await.map_err(from_driver)?;
    }
    Ok(())
}

/// A key as the tables have it.
pub(super) fn of(key: &LeaseKey) -> Key {
    let user = key.user_id.as_ref().map_or("", UserId::as_str);
    (key.organization_id.as_str().to_owned(), key.period.start().millis(), user.to_owned())
}

/// A key from the tables.
pub(super) fn key(organization: &str, period_start: i64, user: &str) -> Result<LeaseKey, StoreError> {
    let organization_id = organization.parse().map_err(|error| damaged("organisation id", error))?;
    let period = Period::of(Timestamp::from_millis(period_start));
    Ok(LeaseKey { user_id: members::user(user)?, ..LeaseKey::of(organization_id, period) })
}

pub(super) fn columns(keys: &BTreeSet<Key>) -> (Vec<String>, Vec<i64>, Vec<String>) {
    let (mut organizations, mut periods, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for (organization, period, user) in keys {
        organizations.push(organization.clone());
        periods.push(*period);
        users.push(user.clone());
    }
    (organizations, periods, users)
}

pub(super) fn share(micros: i64, calls: i64) -> Result<Share, StoreError> {
    let calls = u64::try_from(calls).map_err(|error| damaged("count of calls", error))?;
    Ok(Share { credits: Credits::from_micros(micros), calls })
}
