//! What every store must do: one suite, a line a case, run by each back end.

mod adjusting;
mod api_keys;
mod cases;
mod granting;
mod idempotency;
mod reconciling;
mod rerating;
mod rollouts;
mod schema;

use std::path::Path;
use std::sync::Arc;

use cluster::TestDatabase;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::{Occupancy, Options, Store, open};

/// A store on a database of its own, which is gone after its test.
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Store>,
    home: Home,
}

/// Where a database lives.
pub(crate) enum Home {
    Folder(tempfile::TempDir),
    Server(TestDatabase),
}

impl Home {
    pub(crate) fn folder() -> Self {
        Self::Folder(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn server() -> Self {
        Self::Server(TestDatabase::new().await.unwrap())
    }

    pub(crate) fn options(&self, occupancy: Occupancy) -> Options {
        let url = match self {
            Self::Folder(folder) => in_folder(folder.path()),
            Self::Server(database) => database.url(),
        };
        Options { url, readers: 2, occupancy }
    }
}

/// The address of a database file in a folder.
pub(crate) fn in_folder(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("usage.db").display())
}

impl Fresh {
    async fn at(home: Home) -> Self {
        let store = open(home.options(Occupancy::Gateway)).await.unwrap();
        Self { store, home }
    }

    /// Closes the store and opens it again.
    pub(crate) async fn reopened(self) -> Self {
        self.store.close().await;
        drop(self.store);
        Self::at(self.home).await
    }

    /// Does to the database what no program of ours would.
    pub(crate) async fn meddle(&self, statement: &'static str) {
        let url = self.home.options(Occupancy::Visitor).url;
        match self.home {
            Home::Folder(_) => {
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            }
            Home::Server(_) => {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
            }
        }
    }

    /// Another process's look at the same database.
    pub(crate) async fn beside(&self, occupancy: Occupancy) -> Result<Arc<dyn Store>, crate::OpenError> {
        open(self.home.options(occupancy)).await
    }
}

macro_rules! cases {
    ($($case:ident,)* $(; $suite:ident: $($more:ident,)*)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    super::cases::$case(super::Fresh::at(super::Home::folder()).await).await;
                }
            )*
            $($(
                #[tokio::test]
                async fn $more() {
                    super::$suite::$more(super::Fresh::at(super::Home::folder()).await).await;
                }
            )*)*
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $case() {
                    super::cases::$case(super::Fresh::at(super::Home::server().await).await).await;
                }
            )*
            $($(
                #[tokio::test]
                async fn $more() {
                    super::$suite::$more(super::Fresh::at(super::Home::server().await).await).await;
                }
            )*)*
        }
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
    changes_at_once_are_numbered_in_their_order,
    thresholds_that_are_set_at_once_do_not_mix,
    the_same_events_from_many_sides_count_once,
    an_event_is_found_by_its_own_id_only,
    a_second_gateway_comes_only_where_leases_are_and_a_companion_always,
    ; idempotency:
    of_many_who_want_a_key_exactly_one_is_first,
    a_key_names_one_call_of_one_organisation_and_route,
    an_answer_is_kept_for_those_who_come_later,
    a_key_is_free_again_where_its_call_was_not_charged,
    a_key_that_is_past_its_end_is_taken_anew_and_cleaned_away,
    an_organisation_has_no_more_keys_than_it_may,
    an_organisation_keeps_no_more_bytes_than_it_may,
    a_life_that_is_over_frees_what_was_not_charged,
    ; reconciling:
    books_that_are_sound_show_no_difference,
    what_differs_from_the_events_is_told_and_nothing_else,
    a_repair_writes_the_books_anew_and_leaves_an_audit_entry,
    books_are_sound_at_every_moment_while_events_are_added,
    a_repair_beside_events_that_arrive_loses_none_of_them,
    ; rollouts:
    a_plugin_comes_back_as_it_was_uploaded_once,
    every_step_is_audited_with_its_reason_and_numbered,
    a_step_that_is_refused_leaves_no_trace,
    steps_at_once_take_turns,
    as_many_plugins_are_kept_as_may_be,
    every_version_of_a_plan_and_a_definition_is_kept,
    ; adjusting:
    an_adjustment_is_an_event_of_its_period_and_of_the_user_it_names,
    a_key_names_one_adjustment_for_ever,
    no_more_is_given_back_than_an_event_was_charged,
    no_more_is_taken_than_is_left,
    adjustments_at_once_take_turns,
    books_with_adjustments_are_sound_and_repaired,
    adjustments_are_listed_newest_first,
    ; rerating:
    recorded_calls_come_in_the_order_of_their_ids_whoever_made_them,
    what_priced_a_call_is_found_years_later,
    new_prices_are_made_up_once_by_adjustments_beside_the_calls,
    of_two_plans_for_one_call_one_is_applied,
    what_a_re_rating_takes_must_be_left,
    re_ratings_at_once_take_turns,
    ; granting:
    what_is_left_of_grants_goes_from_month_to_month_until_it_ends,
    what_is_leased_of_a_month_keeps_its_grants_there,
    a_live_book_says_what_is_left_of_grants,
    a_grant_can_be_ended_and_there_are_so_many_at_most,
    ; api_keys:
    a_key_is_found_by_its_digest_until_it_is_revoked,
    an_organisation_has_no_more_api_keys_than_it_may,
    every_change_of_a_key_is_audited_without_its_digest_and_numbered,
}

#[tokio::test]
async fn addresses_that_are_none_are_refused() {
    for url in ["", "sqlite:", "sqlite::memory:", "mysql://u:hush@localhost/usage", "usage.db", "sqlite:a.db?mode=ro"] {
        let options = Options { url: url.to_owned(), readers: 1, occupancy: Occupancy::Visitor };
        let error = open(options).await.err().unwrap();
        let told = format!("{error} {error:?}");
        assert!(told.contains("is no database address") && !told.contains("hush"), "{url}: {told}");
    }
}
