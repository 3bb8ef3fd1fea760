//! What a gateway's role needs in a PostgreSQL database, found out without making anything: migrations make and alter
//! tables, and every month makes, attaches and drops a partition, which only a table's owner may.

use sqlx::Connection as _;

use super::{SESSION, address, reach};
use crate::error::OpenError;

/// The oldest version that has all that the statements use.
const VERSION_MIN: i32 = 150_000;
const SERVER: &str = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool, current_user::text,
    current_schema()::text, COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false)";
/// Tables that somebody else owns.
const STRANGE: &str = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
    AND (c.relname = '_sqlx_migrations' OR c.relname IN ('usage_events', 'balances', 'leases', 'organizations')
        OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass('usage_events')))
    AND c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1";

/// What is missing, a sentence each.
pub(crate) async fn lacks(url: &str) -> Result<Vec<String>, OpenError> {
    type Server = (i32, String, bool, String, Option<String>, bool);
    let mut connection = reach(&address::read(url)?.options(SESSION)).await?;
    let (number, version, is_read_only, user, schema, may_create): Server =
        sqlx::query_as(SERVER).fetch_one(&mut connection).await?;
    let mut lacks = Vec::new();
    if number < VERSION_MIN {
        lacks.push(format!("it is PostgreSQL {version}; version {} or newer is needed", VERSION_MIN / 10_000));
    }
    if is_read_only {
        lacks.push("it is read-only".to_owned());
    }
    match schema {
        None => lacks.push(format!("there is no schema on the search path of {user}")),
        Some(schema) => {
            if !may_create {
                lacks.push(format!("{user} may not make tables in the schema {schema}"));
            }
            let strange: Vec<String> = sqlx::query_scalar(STRANGE).fetch_all(&mut connection).await?;
            if let Some((first, more)) = strange.split_first() {
                let others = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
                lacks.push(format!("{user} does not own the table {first}{others}, and so cannot keep its partitions"));
            }
        }
    }
    connection.close().await?;
    Ok(lacks)
}
