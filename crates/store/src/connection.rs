//! The one place that says which connection the statements take.

/// An open connection, inside a transaction where the caller needs one.
pub(crate) type Connection = sqlx::SqliteConnection;
/// A row of an answer.
pub(crate) type Row = sqlx::sqlite::SqliteRow;
