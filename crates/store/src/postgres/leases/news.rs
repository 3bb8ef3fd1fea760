//! What instances let each other know: asks, and what each has charged of organisations' accounts. All of it may be lost: nothing here may decide
//! whether a credit is there.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{InstanceId, LeaseKey, LeaseNews, LeaseUsed, Share, StoreError};
use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPool};
use tokio::sync::Mutex;

use super::rows::{self, Key, columns, key, share};
use crate::error::from_driver;
use crate::postgres::pool;

/// Where asks are announced.
pub(super) const CHANNEL_OF_ASKS: &str = "gateway_lease_asks";
/// Where charges are announced: who, and a line an account.
const CHANNEL_OF_CHARGES: &str = "gateway_lease_told";
/// A notification may have 8 000 bytes. What does not fit is found at the others' next look.
const NOTIFICATION_BYTES_MAX: usize = 7_900;

/// Its rows are locked in the order of their keys; what is not news changes nothing and is not announced.
const TELL: &str = "WITH k AS (SELECT * FROM UNNEST($2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (o, p, c, n)),
    due AS (SELECT l.organization_id, l.period_start_ms, k.c, k.n FROM leases l
        JOIN k ON l.organization_id = k.o AND l.period_start_ms = k.p
        WHERE l.instance_id = $1 AND l.user_id = '' AND (l.spent_micros < k.c OR l.spent_calls < k.n) ORDER BY 1, 2 FOR UPDATE OF l),
    told AS (UPDATE leases l SET spent_micros = GREATEST(l.spent_micros, d.c), spent_calls = GREATEST(l.spent_calls, d.n)
        FROM due d WHERE l.organization_id = d.organization_id AND l.period_start_ms = d.period_start_ms
        AND l.user_id = '' AND l.instance_id = $1 RETURNING l.instance_id)
    SELECT k.o, k.p, COALESCE(b.used_micros, 0), COALESCE(b.calls, 0),
        COALESCE(SUM(l.charged_micros) FILTER (WHERE l.instance_id = $1), 0)::bigint,
        COALESCE(SUM(l.charged_calls) FILTER (WHERE l.instance_id = $1), 0)::bigint,
        COALESCE(SUM(GREATEST(l.spent_micros - l.charged_micros, 0)) FILTER (WHERE l.instance_id <> $1), 0)::bigint,
        COALESCE(SUM(GREATEST(l.spent_calls - l.charged_calls, 0)) FILTER (WHERE l.instance_id <> $1), 0)::bigint,
        (SELECT pg_notify($6, $7)::text FROM told LIMIT 1)
    FROM k LEFT JOIN balances b ON b.organization_id = k.o AND b.period_start_ms = k.p
    LEFT JOIN leases l ON l.organization_id = k.o AND l.period_start_ms = k.p AND l.user_id = ''
    GROUP BY k.o, k.p, b.used_micros, b.calls";

/// The connections for it: one that hears, opened when somebody first listens, and one that tells.
#[derive(Debug)]
pub(in crate::postgres) struct News {
    hearing: PgPool,
    listener: Mutex<Option<PgListener>>,
    telling: PgPool,
}

impl News {
    pub(in crate::postgres) fn new(connect: &PgConnectOptions) -> Self {
        // A tell that a crash of the server loses is said again: nobody waits for the disk.
        let hasty = connect.clone().options([("synchronous_commit", "off")]);
        Self {
            hearing: pool(1).connect_lazy_with(connect.clone()),
            listener: Mutex::new(None),
            telling: pool(1).connect_lazy_with(hasty),
        }
    }

    pub(in crate::postgres) async fn close(&self) {
        drop(self.listener.lock().await.take());
        self.hearing.close().await;
        self.telling.close().await;
    }

    /// What the others say to `instance`.
    pub(super) async fn heard(&self, instance: InstanceId) -> Result<LeaseNews, sqlx::Error> {
        let mut listener = self.listener.lock().await;
        loop {
            let listening = match &mut *listener {
                Some(listening) => listening,
                none => {
                    let mut new = PgListener::connect_with(&self.hearing).await?;
                    new.listen_all([CHANNEL_OF_ASKS, CHANNEL_OF_CHARGES]).await?;
                    none.insert(new)
                }
            };
            match listening.try_recv().await {
                Ok(Some(said)) if said.channel() == CHANNEL_OF_CHARGES => {
                    if let Some(news) = told(&said).filter(|(by, _)| *by != instance) {
                        return Ok(LeaseNews::Told(news.0, news.1));
                    }
                }
                Ok(Some(_asked)) => return Ok(LeaseNews::Asked),
                // A connection that broke may have missed something: that is news too.
                Ok(None) => return Ok(LeaseNews::Asked),
                Err(error) => {
                    *listener = None;
                    return Err(error);
                }
            }
        }
    }

    /// Says what is spent, and reads what all used.
    pub(super) async fn tell(
        &self,
        instance: InstanceId,
        spent: &[(LeaseKey, Share)],
    ) -> Result<Vec<LeaseUsed>, StoreError> {
        type Used = (String, i64, i64, i64, i64, i64, i64, i64, Option<String>);
        let spent: BTreeMap<Key, Share> = spent.iter().map(|(key, spent)| (rows::of(key), *spent)).collect();
        let said = said(instance, spent.keys());
        if spent.is_empty() {
            let here = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL_OF_CHARGES).bind(said);
            here.execute(&self.telling).await.map_err(from_driver)?;
            return Ok(Vec::new());
        }
        let keys: BTreeSet<Key> = spent.keys().cloned().collect();
        let (organizations, periods, _) = columns(&keys);
        let calls = spent.values().map(|spent| i64::try_from(spent.calls).unwrap_or(i64::MAX));
        let tell = sqlx::query_as(TELL)
            .bind(instance.to_string())
            .bind(organizations)
            .bind(periods)
            .bind(spent.values().map(|spent| spent.credits.micros()).collect::<Vec<_>>())
            .bind(calls.collect::<Vec<_>>())
            .bind(CHANNEL_OF_CHARGES)
            .bind(said);
        let all: Vec<Used> = tell.fetch_all(&self.telling).await.map_err(from_driver)?;
        let used = |(organization, period, used, calls, charged, charged_calls, told, told_calls, _): Used| {
            Ok(LeaseUsed {
                key: key(&organization, period, "")?,
                used: share(used, calls)?,
                told_elsewhere: share(told, told_calls)?,
                charged: share(charged, charged_calls)?,
            })
        };
        all.into_iter().map(used).collect()
    }
}

/// A notification's words: the instance, then an account a line, as many as fit.
fn said<'k>(instance: InstanceId, keys: impl Iterator<Item = &'k Key>) -> String {
    let mut said = instance.to_string();
    for (organization, period, _) in keys {
        let line = format!("\n{period} {organization}");
        if said.len().saturating_add(line.len()) > NOTIFICATION_BYTES_MAX {
            break;
        }
        said.push_str(&line);
    }
    said
}

/// Who said what; nothing where it is none of our words.
fn told(said: &PgNotification) -> Option<(InstanceId, Vec<LeaseKey>)> {
    let mut lines = said.payload().lines();
    let by = lines.next()?.parse().ok()?;
    let accounts = lines.filter_map(|line| {
        let (period, organization) = line.split_once(' ')?;
        key(organization, period.parse().ok()?, "").ok()
    });
    Some((by, accounts.collect()))
}
