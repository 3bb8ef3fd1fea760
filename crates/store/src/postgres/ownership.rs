//! One gateway at a time spends: it holds a lock of the database's for as long as its connection lives.
//!
//! The database lets go of the lock however the connection ends, so nobody must ever spend on the memory of having held
//! it: from the moment the connection does not answer, ownership is lost until the lock is taken anew.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;

use super::{address, reach};
use crate::error::OpenError;
use crate::open::Ownership;

/// How often the connection is asked whether it lives, and how long it may take to say so. To ask is no statement: it
/// costs the database next to nothing.
const ASK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often the lock is tried for again once it is lost.
const TAKE_EVERY: Duration = Duration::from_millis(250);
/// How often a start tries: a gateway that ended a moment ago may not be gone yet in the database's eyes.
const FIRST_TRIES: u32 = 8;
const TAKE: &str = "SELECT pg_try_advisory_lock(1734440291, hashtext(current_schema()))";

/// Keeps the lock, and takes it again when it is lost.
#[derive(Debug)]
pub(super) struct Owner {
    ownership: watch::Receiver<Ownership>,
    give_up: Arc<Notify>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Owner {
    /// Takes the lock, or says that another gateway has it.
    pub(super) async fn take(connect: PgConnectOptions) -> Result<Self, OpenError> {
        let mut tries = 1;
        let connection = loop {
            match take(&connect).await? {
                Some(connection) => break connection,
                None if tries == FIRST_TRIES => return Err(OpenError::Owned(address::shown(&connect))),
                None => tokio::time::sleep(TAKE_EVERY).await,
            }
            tries += 1;
        };
        let (tell, ownership) = watch::channel(Ownership::Held(1));
        let give_up = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(connection, connect, tell, Arc::clone(&give_up)));
        Ok(Self { ownership, give_up, keeper: Mutex::new(Some(keeper)) })
    }

    pub(super) fn watch(&self) -> watch::Receiver<Ownership> {
        self.ownership.clone()
    }

    /// Lets go of the lock for good.
    pub(super) async fn give_up(&self) {
        self.give_up.notify_one();
        if let Some(keeper) = self.keeper.lock().await.take() {
            // It fails only where the keeper's own runtime is gone, and the connection with it.
            drop(keeper.await);
        }
    }
}

async fn keep(
    connection: PgConnection,
    connect: PgConnectOptions,
    tell: watch::Sender<Ownership>,
    give_up: Arc<Notify>,
) {
    let mut times: u64 = 1;
    let mut held = connection;
    loop {
        tokio::select! {
            () = lost(&mut held) => {}
            () = give_up.notified() => {
                tell.send_replace(Ownership::Lost);
                drop(tokio::time::timeout(ANSWER_WITHIN, held.close()).await);
                return;
            }
        }
        tell.send_replace(Ownership::Lost);
        // One that is only slow still has the lock: nobody could take it while it lives.
        drop(held);
        held = tokio::select! {
            taken = taken_again(&connect) => taken,
            () = give_up.notified() => return,
        };
        times = times.saturating_add(1);
        tell.send_replace(Ownership::Held(times));
    }
}

/// Returns once the connection does not answer any more.
async fn lost(connection: &mut PgConnection) {
    while let Ok(Ok(())) = tokio::time::timeout(ANSWER_WITHIN, connection.ping()).await {
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Returns once the lock is ours again. While another gateway has it, or the database is away, that is never.
async fn taken_again(connect: &PgConnectOptions) -> PgConnection {
    loop {
        if let Ok(Some(connection)) = take(connect).await {
            return connection;
        }
        tokio::time::sleep(TAKE_EVERY).await;
    }
}

async fn take(connect: &PgConnectOptions) -> Result<Option<PgConnection>, OpenError> {
    let mut connection = reach(connect).await?;
    let taken: bool = sqlx::query_scalar(TAKE).fetch_one(&mut connection).await?;
    Ok(taken.then_some(connection))
}
