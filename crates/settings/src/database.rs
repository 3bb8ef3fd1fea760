//! `[database]`: where usage is kept for good.

use crate::document::Document;
use crate::section::Section;

/// `[database]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// `sqlite:FILE`.
    pub url: String,
}

impl Database {
    pub(crate) fn read(document: &mut Document) -> Self {
        let allowed = "sqlite:FILE, such as sqlite:data/usage.db";
        let mut section = Section::open(document, "database");
        let url = section.text("url").unwrap_or_else(|| "sqlite:data/usage.db".to_owned());
        if !url
            .strip_prefix("sqlite:")
            .is_some_and(|file| !file.trim_start_matches('/').is_empty() && !file.starts_with(':'))
        {
            // An address may hold a password: it is not shown.
            section.wrong("url", "is no database that this version knows", allowed);
        }
        section.close();
        Self { url }
    }
}
