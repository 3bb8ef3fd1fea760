//! A database that stops answering without a word, as a stopped process or a cut cable does.

use std::time::{Duration, Instant};

use cluster::{Line, TestDatabase};
use ledger::StoreError;

use super::{event, number};
use crate::{Occupancy, Options, open};

#[tokio::test]
async fn a_database_that_stops_answering_is_given_up_in_time_and_nothing_is_lost_or_doubled() {
    let database = TestDatabase::new().await.unwrap();
    let line = Line::to(&database.url()).await.unwrap();
    let store = open(Options { url: line.url().to_owned(), readers: 2, occupancy: Occupancy::Gateway }).await.unwrap();
    let (first, second) = (event("acme", "2026-11-24T08:00:00Z"), event("acme", "2026-11-24T08:00:01Z"));
    assert_eq!(store.apply(std::slice::from_ref(&first)).await.unwrap(), 1);
    line.hold(true);
    let began = Instant::now();
    let both = [first.clone(), second.clone()];
    let (applied, balance) = tokio::join!(store.apply(&both), store.balance(&first.organization_id, first.period()));
    for failed in [applied.map(drop), balance.map(drop)] {
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    line.hold(false);
    // As the applier does: the same batch until it is taken.
    while store.apply(&both).await.is_err() {}
    assert_eq!(number(&database, "SELECT COUNT(*) FROM usage_events").await, 2);
    assert_eq!(number(&database, "SELECT events FROM balances").await, 2);
    store.close().await;
}
