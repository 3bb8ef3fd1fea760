//! A database that stops answering without a word, as a stopped process or a cut cable does.

use std::time::{Duration, Instant};

use cluster::TestDatabase;
use ledger::StoreError;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::{event, number};
use crate::{Occupancy, Options, open};

/// A line to a database that can be held: then nothing passes, and nobody is told.
struct Line {
    url: String,
    held: watch::Sender<bool>,
}

impl Line {
    async fn to(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (held, holding) = watch::channel(false);
        let target: PgConnectOptions = database.url().parse().unwrap();
        let url = through(&database.url(), listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (from_near, to_near) = near.into_split();
                if let Some(folder) = target.get_socket() {
                    let socket = folder.join(format!(".s.PGSQL.{}", target.get_port()));
                    let (from_far, to_far) = UnixStream::connect(socket).await.unwrap().into_split();
                    tokio::spawn(carry(from_near, to_far, holding.clone()));
                    tokio::spawn(carry(from_far, to_near, holding.clone()));
                } else {
                    let far = TcpStream::connect((target.get_host(), target.get_port())).await.unwrap();
                    let (from_far, to_far) = far.into_split();
                    tokio::spawn(carry(from_near, to_far, holding.clone()));
                    tokio::spawn(carry(from_far, to_near, holding.clone()));
                }
            }
        });
        Self { url, held }
    }
}

/// The address of the same database by a port of this machine.
fn through(url: &str, port: u16) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let (place, name) = rest.split_once('/').unwrap();
    let user = place.rsplit_once('@').map_or("postgres", |(user, _)| user);
    format!("postgres://{user}@127.0.0.1:{port}/{}", name.split('?').next().unwrap())
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut held: watch::Receiver<bool>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_database_that_stops_answering_is_given_up_in_time_and_nothing_is_lost_or_doubled() {
    let database = TestDatabase::new().await.unwrap();
    let line = Line::to(&database).await;
    let store = open(Options { url: line.url.clone(), readers: 2, occupancy: Occupancy::Gateway }).await.unwrap();
    let (first, second) = (event("acme", "2026-11-24T08:00:00Z"), event("acme", "2026-11-24T08:00:01Z"));
    assert_eq!(store.apply(std::slice::from_ref(&first)).await.unwrap(), 1);
    line.held.send_replace(true);
    let began = Instant::now();
    let both = [first.clone(), second.clone()];
    let (applied, balance) = tokio::join!(store.apply(&both), store.balance(&first.organization_id, first.period()));
    for failed in [applied.map(drop), balance.map(drop)] {
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    line.held.send_replace(false);
    // As the applier does: the same batch until it is taken.
    while store.apply(&both).await.is_err() {}
    assert_eq!(number(&database, "SELECT COUNT(*) FROM usage_events").await, 2);
    assert_eq!(number(&database, "SELECT events FROM balances").await, 2);
    store.close().await;
}
