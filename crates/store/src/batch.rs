//! Rows that are inserted together.

use std::borrow::Cow;
use std::ops::Range;

use ledger::StoreError;
use sqlx::{AssertSqlSafe, Executor};

use crate::dialect::{Asked, Dialect};
use crate::error::{damaged, from_driver};

/// Rows, kept by column.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    columns: Vec<Column<'a>>,
}

/// One column of a batch.
#[derive(Debug)]
enum Column<'a> {
    Text(Vec<Option<Cow<'a, str>>>),
    Integer(Vec<i64>),
}

/// Some rows of a batch, one after the other, which go with one statement.
#[derive(Debug)]
pub(crate) struct Rows<'b> {
    columns: &'b [Column<'b>],
    range: Range<usize>,
}

/// What one column has in these rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'b> {
    /// Texts, or nothing.
    Texts(&'b [Option<Cow<'b, str>>]),
    /// 64-bit integers.
    Integers(&'b [i64]),
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

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// The rows in parts, one a statement. A dialect that bounds them meets few lengths, powers of two, so that it need not
    /// prepare a statement for each.
    pub(crate) fn parts<D: Dialect>(&self) -> Result<Vec<Rows<'_>>, StoreError> {
        let rows = self.len();
        if self.columns.iter().any(|column| column.len() != rows) {
            return Err(damaged("batch", "its columns differ in length"));
        }
        let mut parts = Vec::new();
        let mut start = 0;
        while start < rows {
            let left = rows - start;
            let length = match D::ROWS_AT_ONCE_MAX {
                most if left >= most => most,
                usize::MAX => left,
                _ => 1 << left.ilog2(),
            };
            parts.push(Rows { columns: &self.columns, range: start..start + length });
            start += length;
        }
        Ok(parts)
    }

    /// Inserts the rows; answers how many changed something.
    pub(crate) async fn insert<D>(&self, conn: &mut D::Connection, into: &str, then: &str) -> Result<u64, StoreError>
    where
        D: Dialect,
        for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    {
        let mut changed: u64 = 0;
        for rows in self.parts::<D>()? {
            let result = rows.statement::<D>(into, then).execute(&mut *conn).await.map_err(from_driver)?;
            changed = changed.saturating_add(D::changed(&result));
        }
        Ok(changed)
    }
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(texts) => texts.len(),
            Self::Integer(integers) => integers.len(),
        }
    }
}

impl<'b> Rows<'b> {
    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// What each column has in them.
    pub(crate) fn columns(&self) -> impl Iterator<Item = Values<'b>> {
        self.columns.iter().map(|column| match column {
            Column::Text(texts) => Values::Texts(texts.get(self.range.clone()).unwrap_or_default()),
            Column::Integer(integers) => Values::Integers(integers.get(self.range.clone()).unwrap_or_default()),
        })
    }

    /// The statement that inserts them.
    pub(crate) fn statement<D: Dialect>(&self, into: &str, then: &str) -> Asked<'static, D> {
        D::bind_rows(sqlx::query(AssertSqlSafe(format!("{into} {} {then}", D::rows(self)))), self)
    }
}
