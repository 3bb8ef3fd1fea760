//! The standard price list, as the first migration writes it: for tools that price without a database.

use ledger::EventDefinition;

/// The migration that holds it.
const MIGRATION: &str = include_str!("../../../migrations/sqlite/0002_price_list.sql");

/// The event definitions of a database that nobody has changed.
pub fn standard_definitions() -> Result<Vec<EventDefinition>, serde_json::Error> {
    // Each document is a text literal of its own line, and none has a quote in it.
    let documents = MIGRATION.lines().filter_map(|line| line.trim().strip_prefix('\'')?.split('\'').next());
    documents.filter(|text| text.starts_with("{\"eventType\"")).map(serde_json::from_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Occupancy, Options, open};

    #[tokio::test]
    async fn the_list_is_that_of_a_fresh_database() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("usage.db").display());
        let store = open(Options { url, readers: 1, occupancy: Occupancy::Gateway }).await.unwrap();
        let mut listed = standard_definitions().unwrap();
        listed.sort_by(|one, other| one.event_type.cmp(&other.event_type));
        assert_eq!(listed, store.event_definitions().await.unwrap());
    }
}
