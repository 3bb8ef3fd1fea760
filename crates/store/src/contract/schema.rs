//! Both databases have the same tables with the same columns, and the same migrations made them.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

use super::Home;
use crate::{Occupancy, open};

/// A column: its table, its name, its type, whether it may be absent.
type Columns = BTreeSet<(String, String, String, bool)>;

const OF_SQLITE: &str = r#"SELECT m.name, c.name, c.type, NOT (c."notnull" OR c.pk > 0) FROM sqlite_master m
    JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE '\_sqlx%' ESCAPE '\' AND m.name NOT LIKE 'sqlite%'"#;
const OF_POSTGRES: &str = r"SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL), NOT a.attnotnull
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relname NOT LIKE '\_sqlx%'";

#[tokio::test]
async fn both_schemas_have_the_same_tables_and_columns() {
    let (folder, server) = (Home::folder(), Home::server().await);
    for home in [&folder, &server] {
        open(home.options(Occupancy::Companion)).await.unwrap().close().await;
    }
    let mut sqlite = SqliteConnection::connect(&folder.options(Occupancy::Visitor).url).await.unwrap();
    let rows = sqlx::query(OF_SQLITE).fetch_all(&mut sqlite).await.unwrap();
    let ours: Columns = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let mut postgres = PgConnection::connect(&server.options(Occupancy::Visitor).url).await.unwrap();
    let rows = sqlx::query(OF_POSTGRES).fetch_all(&mut postgres).await.unwrap();
    let kind = |text: String| match text.as_str() {
        "text" => "TEXT".to_owned(),
        "bigint" => "INTEGER".to_owned(),
        "bytea" => "BLOB".to_owned(),
        other => other.to_owned(),
    };
    let theirs: Columns = rows.iter().map(|row| (row.get(0), row.get(1), kind(row.get(2)), row.get(3))).collect();
    assert!(ours.len() > 40, "{ours:?}");
    let differ: Vec<_> = ours.symmetric_difference(&theirs).collect();
    assert!(differ.is_empty(), "{differ:?}");
}

#[test]
fn both_have_the_same_migrations_and_the_same_price_list() {
    let folder = |database: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(database);
    let names = |database: &str| -> BTreeSet<_> {
        std::fs::read_dir(folder(database)).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
    let prices = |database: &str| std::fs::read(folder(database).join("0002_price_list.sql")).unwrap();
    assert_eq!(prices("sqlite"), prices("postgres"));
}
