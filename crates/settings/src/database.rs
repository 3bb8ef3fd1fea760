//! `[database]`: where usage is kept for good.

use std::fmt;

use crate::document::Document;
use crate::section::Section;

/// `[database]`
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// `sqlite:FILE` or `postgres://USER@HOST/DATABASE`.
    pub url: String,
    /// Whole months of usage events kept beside the current one, on PostgreSQL; 0 keeps all.
    pub keep_months: u64,
}

impl fmt::Debug for Database {
    /// An address may hold a password: it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("keep_months", &self.keep_months).finish_non_exhaustive()
    }
}

impl Database {
    pub(crate) fn read(document: &mut Document) -> Self {
        let allowed = "sqlite:FILE, such as sqlite:data/usage.db, or postgres://USER@HOST/DATABASE";
        let mut section = Section::open(document, "database");
        let url = section.text("url").unwrap_or_else(|| "sqlite:data/usage.db".to_owned());
        if !is_file(&url) && !is_server(&url) {
            // It is not shown, for the same reason.
            section.wrong("url", "is no database address", allowed);
        }
        let keep_months = section.count("keep_months", 0, 0..=1_200);
        section.close();
        Self { url, keep_months }
    }
}

fn is_file(url: &str) -> bool {
    url.strip_prefix("sqlite:")
        .is_some_and(|file| !file.trim_start_matches('/').is_empty() && !file.starts_with(':') && !file.contains('?'))
}

/// Whether it is an address of a PostgreSQL server. The store reads it closely when it opens.
fn is_server(url: &str) -> bool {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    rest.is_some_and(|rest| {
        rest.split('?').next().and_then(|place| place.split_once('/')).is_some_and(|(_, name)| !name.is_empty())
            || rest.contains("dbname=")
    })
}
