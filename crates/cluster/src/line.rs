//! A line to a database that a test can hold, slow down and cut, at a commit among other places.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How a commit reads on the line.
const COMMIT: &[u8] = b"COMMIT\0";

/// Where a line is cut when a commit comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never hears of it.
    Before,
    /// The server does as it is told, and nobody hears of that.
    After,
}

/// A line to a database.
#[derive(Debug)]
pub struct Line {
    url: String,
    state: Arc<State>,
    carrying: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    held: watch::Sender<bool>,
    delay: Mutex<Duration>,
    /// How many commits are still to be cut, and where.
    commits: AtomicU32,
    cut: Mutex<Cut>,
}

impl Line {
    /// A line to the database at an address.
    pub async fn to(url: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let target: PgConnectOptions = url.parse()?;
        let near = through(url, listener.local_addr()?.port())?;
        let state = Arc::new(State {
            held: watch::Sender::new(false),
            delay: Mutex::new(Duration::ZERO),
            commits: AtomicU32::new(0),
            cut: Mutex::new(Cut::After),
        });
        let carrying = tokio::spawn(carry_all(listener, target, Arc::clone(&state)));
        Ok(Self { url: near, state, carrying })
    }

    /// The database's address by this line.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Nothing passes any more, and nobody is told; or all passes again.
    pub fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    /// Every answer of the server takes so much longer.
    pub fn delay(&self, by: Duration) {
        *self.state.delay.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }

    /// The next commits, so many of them, cut their connection.
    pub fn cut_commits(&self, commits: u32, cut: Cut) {
        *self.state.cut.lock().unwrap_or_else(PoisonError::into_inner) = cut;
        self.state.commits.store(commits, Ordering::SeqCst);
    }

    /// How many commits are still to be cut.
    pub fn commits_to_cut(&self) -> u32 {
        self.state.commits.load(Ordering::SeqCst)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl State {
    /// Where this piece of what the client says is to be cut.
    fn cuts(&self, piece: &[u8]) -> Option<Cut> {
        if !piece.windows(COMMIT.len()).any(|window| window == COMMIT) {
            return None;
        }
        let one_less = |left: u32| left.checked_sub(1);
        let counted = self.commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        counted.is_ok().then(|| *self.cut.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn delayed_by(&self) -> Duration {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of the same database by a port of this machine.
fn through(url: &str, port: u16) -> anyhow::Result<String> {
    let target: PgConnectOptions = url.parse()?;
    let (user, database) = (target.get_username().to_owned(), target.get_database().context("no database")?.to_owned());
    Ok(format!("postgres://{user}:test@127.0.0.1:{port}/{database}?sslmode=disable"))
}

async fn carry_all(listener: TcpListener, target: PgConnectOptions, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (target, state) = (target.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let (from_near, to_near) = near.into_split();
            if let Some(folder) = target.get_socket() {
                let socket = folder.join(format!(".s.PGSQL.{}", target.get_port()));
                let Ok(far) = UnixStream::connect(socket).await else { return };
                let (from_far, to_far) = far.into_split();
                connect((from_near, to_near), (from_far, to_far), &state).await;
            } else {
                let Ok(far) = TcpStream::connect((target.get_host(), target.get_port())).await else { return };
                let (from_far, to_far) = far.into_split();
                connect((from_near, to_near), (from_far, to_far), &state).await;
            }
        });
    }
}

/// Carries until one side ends or the line is cut: then both ends are closed.
async fn connect<R, W, S, T>(near: (R, W), far: (S, T), state: &State)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: AsyncRead + Unpin,
    T: AsyncWrite + Unpin,
{
    tokio::select! {
        () = said(near.0, far.1, state) => {}
        () = answered(far.0, near.1, state) => {}
    }
}

async fn said(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, state: &State) {
    let (mut bytes, mut held) = (vec![0; 8192], state.held.subscribe());
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let Some(piece) = bytes.get(..read) else { return };
        let cut = state.cuts(piece);
        if cut == Some(Cut::Before) || held.wait_for(|held| !held).await.is_err() || to.write_all(piece).await.is_err()
        {
            return;
        }
        if cut.is_some() {
            return;
        }
    }
}

async fn answered(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, state: &State) {
    let (mut bytes, mut held) = (vec![0; 8192], state.held.subscribe());
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let Some(piece) = bytes.get(..read) else { return };
        tokio::time::sleep(state.delayed_by()).await;
        if held.wait_for(|held| !held).await.is_err() || to.write_all(piece).await.is_err() {
            return;
        }
    }
}
