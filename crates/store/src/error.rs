//! From the driver's errors to the ledger's two kinds, and why a database does not open.

use std::fmt;

use ledger::StoreError;

/// Why a database does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is none that this store knows. It is not shown: it may hold a password.
    #[error(
        "it is no database address; allowed: sqlite:FILE, such as sqlite:data/usage.db, or postgres://USER@HOST/DATABASE"
    )]
    Address,
    /// The address of a PostgreSQL database has a fault.
    #[error("it is no PostgreSQL address: {why}; allowed: postgres://USER@HOST/DATABASE?sslmode=verify-full")]
    Parameters {
        /// What is wrong, without the address.
        why: String,
    },
    /// The database does not answer, or does not let us in.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// Where, without the password.
        address: String,
        /// Why.
        source: DriverError,
    },
    /// Another gateway owns the database.
    #[error(
        "{0} is owned by another gateway that is running: one gateway owns a SQLite database; several share one on PostgreSQL"
    )]
    Owned(String),
    /// The file has a second name, by which another gateway could own it.
    #[error("{0} has more than one name (a hard link): one gateway owns a SQLite database, so it must have one name")]
    SeveralNames(String),
    /// The file is not there, and the caller only looks.
    #[error("{0} does not exist yet; a gateway makes it when it first runs")]
    Missing(String),
    /// The file or its folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The database refuses.
    #[error("the database does not open: {0}")]
    Database(#[from] DriverError),
    /// The schema cannot be brought up to date.
    #[error("the schema cannot be brought up to date: {}", without_line(&.0.to_string()))]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(DriverError(error))
    }
}

/// What the driver said, for people: without the line of the server's own source that it names.
pub struct DriverError(pub(crate) sqlx::Error);

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(without_line(&self.0.to_string()))
    }
}

impl fmt::Debug for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DriverError {}

fn without_line(said: &str) -> &str {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    said.rsplit_once(" at line ").filter(|(_, line)| is_number(line)).map_or(said, |(said, _)| said)
}

/// What the driver said, in the ledger's words. What does not decode is damage; everything else may pass.
pub(crate) fn from_driver(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { index, source } => StoreError::Damaged(format!("a bad value in {index}: {source}")),
        sqlx::Error::ColumnNotFound(column) => StoreError::Damaged(format!("no column {column}")),
        other => StoreError::Unavailable(Box::new(DriverError(other))),
    }
}

/// A stored value that cannot be: what it was meant to be, and why it is not.
pub(crate) fn damaged(what: &str, why: impl fmt::Display) -> StoreError {
    StoreError::Damaged(format!("a bad {what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_servers_source_is_no_news_for_people() {
        let cases = [
            ("permission denied for schema public at line 948", "permission denied for schema public"),
            ("a fault at line two", "a fault at line two"),
            ("a fault at line ", "a fault at line "),
            ("a fault", "a fault"),
        ];
        for (said, want) in cases {
            assert_eq!(without_line(said), want);
        }
    }
}
