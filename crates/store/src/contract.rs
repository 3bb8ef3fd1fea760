//! What every store must do: one suite, a line a case, run by each back end.

mod cases;

use std::sync::Arc;

use crate::{Occupancy, Options, Store, open};

/// A store that is gone after its test.
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Store>,
    folder: tempfile::TempDir,
}

impl Fresh {
    fn options(folder: &tempfile::TempDir, occupancy: Occupancy) -> Options {
        Options { url: format!("sqlite:{}", folder.path().join("usage.db").display()), readers: 2, occupancy }
    }

    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(Self::options(&folder, Occupancy::Gateway)).await.unwrap();
        Self { store, folder }
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopened(self) -> Self {
        self.store.close().await;
        drop(self.store);
        let store = open(Self::options(&self.folder, Occupancy::Gateway)).await.unwrap();
        Self { store, folder: self.folder }
    }
}

macro_rules! cases {
    ($($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                cases::$case(Fresh::new().await).await;
            }
        )*
    };
}

cases! {
    the_price_list_is_there_from_the_start,
    an_organisation_needs_a_plan_that_exists,
    an_organisation_is_found_with_its_plan_and_members,
    a_change_is_audited_with_old_and_new_values_and_numbered,
    a_change_that_changes_nothing_leaves_no_trace,
    a_definition_counts_its_versions,
    an_event_is_applied_once_however_often_it_comes,
    an_event_belongs_to_one_period_at_the_months_end,
    all_filters_hold_together,
    pages_follow_each_other_without_gaps,
    one_organisation_sees_nothing_of_another,
    many_at_once_lose_nothing,
    everything_survives_a_restart,
}

#[tokio::test]
async fn a_second_gateway_is_refused_and_a_companion_is_not() {
    let first = Fresh::new().await;
    let second = open(Fresh::options(&first.folder, Occupancy::Gateway)).await.err().unwrap();
    assert!(second.to_string().contains("is owned by another gateway"), "{second}");
    assert!(open(Fresh::options(&first.folder, Occupancy::Companion)).await.is_ok());
    assert!(open(Fresh::options(&first.folder, Occupancy::Visitor)).await.is_ok());
}

#[tokio::test]
async fn a_database_has_one_owner_whatever_name_it_is_called_by() {
    let first = Fresh::new().await;
    let at = |name: &str| first.folder.path().join(name);
    let opening = async |name: &str| {
        let url = format!("sqlite:{}", at(name).display());
        let opened = open(Options { url, readers: 1, occupancy: Occupancy::Gateway }).await;
        opened.err().map(|error| error.to_string()).unwrap_or_default()
    };
    std::os::unix::fs::symlink(at("usage.db"), at("link.db")).unwrap();
    assert!(opening("link.db").await.contains("is owned by another gateway"), "{}", opening("link.db").await);
    std::fs::hard_link(at("usage.db"), at("hard.db")).unwrap();
    assert!(opening("hard.db").await.contains("has more than one name"), "{}", opening("hard.db").await);
}

#[tokio::test]
async fn a_visitor_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = open(Fresh::options(&folder, Occupancy::Visitor)).await.err().unwrap();
    assert!(missing.to_string().contains("does not exist yet"), "{missing}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn addresses_that_are_none_are_refused() {
    for url in ["", "sqlite:", "sqlite::memory:", "postgres://localhost/usage", "usage.db", "sqlite:a.db?mode=ro"] {
        let options = Options { url: url.to_owned(), readers: 1, occupancy: Occupancy::Visitor };
        let error = open(options).await.err().unwrap();
        assert!(error.to_string().contains("is no database address"), "{url}: {error}");
    }
}
