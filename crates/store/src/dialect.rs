//! What the databases do not share, each piece as small as it can be. Everything else is written once, in `ops`.
//!
//! A dialect supplies the texts that begin transactions, the form in which a batch of rows travels, and what must be
//! there before events are added. It must never supply a whole statement: that would be a second copy of it.

use std::borrow::Cow;
use std::time::Duration;

use ledger::{Period, StoreError, UsageEvent};
use sqlx::query::Query;
use sqlx::{Database, IntoArguments};

use crate::sql_store::SqlStore;

/// A database that the statements can be run on.
pub(crate) trait Dialect: Database<Arguments: IntoArguments<Self>> {
    /// What a store keeps for this database alone, such as its ownership.
    type Own: Send + Sync + 'static;

    /// Begins a transaction whose statements all see the same moment.
    const BEGIN_SNAPSHOT: &'static str;
    /// Begins a transaction that adds events.
    const BEGIN_APPLY: &'static str;
    /// Begins a transaction about keys of calls, which outlasts a power cut once it is committed.
    const BEGIN_KEYS: &'static str;
    /// Begins a transaction that changes the directory. There is one at a time, so that what it reads holds until it
    /// writes, and revisions become visible in their order.
    const BEGIN_CHANGE: &'static str;
    /// Begins a transaction that compares what is stored with the events, all at the same moment, and may take its time.
    const BEGIN_RECONCILE: &'static str;
    /// Begins a transaction that writes anew what was wrong: a change of the directory, because it is audited, which may
    /// take its time.
    const BEGIN_REPAIR: &'static str;
    /// How long an answer may take in all; `None` where nothing but this process can hold it up.
    const DEADLINE: Option<Duration>;

    /// A `SELECT` of a batch's rows, in their order.
    fn rows(batch: &Batch<'_>) -> String;

    /// Binds the batch that [`Dialect::rows`] reads.
    fn bind_rows<'q>(query: Asked<'q, Self>, batch: &Batch<'_>) -> Result<Asked<'q, Self>, StoreError>;

    /// A `SELECT` of the texts of a list, which is a JSON array bound to this marker.
    fn list(marker: &str) -> String;

    /// Makes room for events, before the transaction that adds them.
    fn make_room(store: &SqlStore<Self>, events: &[UsageEvent]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether the events of a month are there, as seen by a transaction that has looked at events before.
    fn keeps_events(
        connection: &mut Self::Connection,
        of: Period,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether the same transaction, tried again at once, may well succeed.
    fn try_again(store: &SqlStore<Self>, error: &StoreError) -> bool;
}

/// A statement with what was bound to it.
pub(crate) type Asked<'q, D> = Query<'q, D, <D as Database>::Arguments>;

/// Rows that go to the database as one statement, kept by column.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    columns: Vec<Column<'a>>,
}

/// One column of a batch.
#[derive(Debug)]
pub(crate) enum Column<'a> {
    /// Texts, or nothing.
    Text(Vec<Option<Cow<'a, str>>>),
    /// 64-bit integers.
    Integer(Vec<i64>),
}

impl Column<'_> {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(texts) => texts.len(),
            Self::Integer(integers) => integers.len(),
        }
    }
}

impl<'a> Batch<'a> {
    /// Adds a column of texts.
    pub(crate) fn texts<T: Into<Cow<'a, str>>>(mut self, texts: impl Iterator<Item = T>) -> Self {
        self.columns.push(Column::Text(texts.map(|text| Some(text.into())).collect()));
        self
    }

    /// Adds a column of texts that may be absent.
    pub(crate) fn optional_texts(mut self, texts: impl Iterator<Item = Option<&'a str>>) -> Self {
        self.columns.push(Column::Text(texts.map(|text| text.map(Cow::Borrowed)).collect()));
        self
    }

    /// Adds a column of integers.
    pub(crate) fn integers(mut self, integers: impl Iterator<Item = i64>) -> Self {
        self.columns.push(Column::Integer(integers.collect()));
        self
    }

    /// The columns, in their order.
    pub(crate) fn columns(&self) -> &[Column<'a>] {
        &self.columns
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }
}
