//! From one gateway process to the next without a port that is closed for a moment: the next one is given the listening
//! sockets themselves over a Unix socket, so that connections made meanwhile wait in them. Whoever is not the same user of
//! the system must never be given anything.
//!
//! What one gateway alone may own, a journal and a SQLite database, passes on as well: who takes them over has the one
//! before stop first, and waits until it has; else both serve until the next one does.

mod sockets;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use self::sockets::{receive, send};

/// What is said first, so that another version is known to be one.
const GREETING: &str = "gateway-handover 1 ";
/// What has the one before stop.
const STOP: u8 = b's';
/// How long a greeting may take.
const GREETED_WITHIN: Duration = Duration::from_secs(5);
/// How long the one before may take to close what it has, once it drained.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
/// The wait after a failed accept.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A gateway that serves, seen from the one that takes its place.
pub(crate) struct Predecessor {
    stream: UnixStream,
    journal: PathBuf,
    listeners: Vec<std::net::TcpListener>,
}

impl Predecessor {
    /// The gateway that offers its sockets there; `None` where there is none.
    pub(crate) async fn find(at: &Path) -> anyhow::Result<Option<Self>> {
        let mut stream = match UnixStream::connect(at).await {
            Ok(stream) => stream,
            // The file of one that has ended stays.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context("a gateway that serves cannot be reached"),
        };
        anyhow::ensure!(is_our_user(&stream)?, "whoever listens there is another user of the system");
        let greeted = timeout(GREETED_WITHIN, receive(&mut stream)).await;
        let (greeting, listeners) = greeted.context("the gateway that serves does not answer")??;
        let journal = greeting.strip_prefix(GREETING).context("whoever listens there is no gateway of this kind")?;
        Ok(Some(Self { stream, journal: journal.into(), listeners }))
    }

    /// Its port with this address, if it has one.
    pub(crate) fn take_listener(&mut self, address: SocketAddr) -> Option<std::net::TcpListener> {
        let is_it = |listener: &std::net::TcpListener| listener.local_addr().is_ok_and(|has| has == address);
        self.listeners.iter().position(is_it).map(|at| self.listeners.swap_remove(at))
    }

    /// Whether it has this journal.
    pub(crate) fn has_journal(&self, directory: &Path) -> bool {
        self.journal == absolute(directory)
    }

    /// Has it stop, and returns when it has.
    pub(crate) async fn stop(mut self, grace: Duration) -> anyhow::Result<()> {
        self.ask_to_stop().await;
        let gone = timeout(grace + CLOSED_WITHIN, self.stream.read(&mut [0])).await;
        let _ended = gone.context("the gateway that serves does not end")?;
        Ok(())
    }

    /// Has it stop, without waiting for its end. One that ends by itself need not be told.
    pub(crate) async fn ask_to_stop(&mut self) {
        if let Err(error) = self.stream.write_all(&[STOP]).await {
            tracing::warn!(%error, "the gateway that served ends by itself");
        }
    }
}

/// Whether the next gateway takes over, and the connection on which it waits for our end.
#[derive(Default)]
pub(crate) struct Successor {
    waiting: Mutex<Option<UnixStream>>,
    came: watch::Sender<bool>,
}

impl Successor {
    /// Returns when there is one.
    pub(crate) async fn came(&self) {
        let mut came = self.came.subscribe();
        // Its sender is our own field.
        let _ = came.wait_for(|came| *came).await;
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        *self.came.borrow()
    }

    /// Tells it that everything is closed.
    pub(crate) fn tell(&self) {
        drop(self.waiting.lock().take());
    }
}

/// Where the next gateway finds this one.
pub(crate) struct Offer {
    listener: UnixListener,
    sockets: Vec<OwnedFd>,
    greeting: String,
}

impl Offer {
    /// Takes the place of whoever offered there before.
    pub(crate) fn new(at: &Path, sockets: Vec<OwnedFd>, journal: &Path) -> io::Result<Self> {
        let mut aside = at.as_os_str().to_owned();
        aside.push(".next");
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&aside)?;
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
        // There is always one of the two: the next gateway never finds nobody while one serves.
        std::fs::rename(&aside, at)?;
        Ok(Self { listener, sockets, greeting: format!("{GREETING}{}", absolute(journal).display()) })
    }

    /// Gives the sockets to whoever asks, until one takes over. Never returns before.
    pub(crate) async fn run(self, successor: Arc<Successor>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Some(stream) = self.give(stream).await {
                        *successor.waiting.lock() = Some(stream);
                        successor.came.send_replace(true);
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the next gateway cannot be heard");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// The connection, if whoever has it takes over; one that fails before it serves leaves us as we are.
    async fn give(&self, mut stream: UnixStream) -> Option<UnixStream> {
        if !is_our_user(&stream).is_ok_and(|is_ours| is_ours) {
            tracing::warn!("another user of the system asked for the sockets, and was given nothing");
            return None;
        }
        if let Err(error) = send(&mut stream, self.greeting.as_bytes(), &self.sockets).await {
            tracing::warn!(%error, "the sockets could not be given to the next gateway");
            return None;
        }
        tracing::info!("the next gateway has the sockets");
        let mut said = [0];
        match stream.read(&mut said).await {
            Ok(1) if said == [STOP] => Some(stream),
            _ => {
                tracing::warn!("the next gateway ended before it took over");
                None
            }
        }
    }
}

/// Whether the other side is this process's own user.
fn is_our_user(stream: &UnixStream) -> io::Result<bool> {
    // Of a pair within the process the other side is ourselves.
    let (ours, _other) = UnixStream::pair()?;
    Ok(stream.peer_cred()?.uid() == ours.peer_cred()?.uid())
}

/// A folder by the one name that it has for every process.
fn absolute(folder: &Path) -> PathBuf {
    folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::Interest;

    use super::*;

    fn offered(folder: &Path) -> (Arc<Successor>, tokio::task::JoinHandle<()>, SocketAddr) {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let offer = Offer::new(&folder.join("handover.sock"), vec![socket.into()], folder).unwrap();
        let successor = Arc::new(Successor::default());
        (Arc::clone(&successor), tokio::spawn(offer.run(successor)), address)
    }

    #[tokio::test]
    async fn the_next_gateway_is_given_the_socket_itself_and_hears_of_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (successor, offering, address) = offered(folder.path());
        // Whoever is gone before it takes over changes nothing.
        drop(Predecessor::find(&folder.path().join("handover.sock")).await.unwrap().unwrap());
        let next = Predecessor::find(&folder.path().join("handover.sock")).await.unwrap().unwrap();
        assert!(next.has_journal(folder.path()) && !next.has_journal(&folder.path().join("other")));
        assert_eq!(next.listeners[0].local_addr().unwrap(), address);
        let listener = next.listeners[0].try_clone().unwrap();
        let stopping = tokio::spawn(next.stop(Duration::from_secs(60)));
        successor.came().await;
        offering.await.unwrap();
        let mut client = std::net::TcpStream::connect(address).expect("the socket is open without a pause");
        assert!(!stopping.is_finished(), "the one before has not closed yet");
        successor.tell();
        stopping.await.unwrap().unwrap();
        io::Write::write_all(&mut client, b"x").unwrap();
        assert!(listener.accept().is_ok());
    }

    #[tokio::test]
    async fn where_nobody_serves_nobody_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("handover.sock");
        assert!(Predecessor::find(&at).await.unwrap().is_none(), "nothing is there");
        let (_, offering, _) = offered(folder.path());
        let mode = std::fs::metadata(&at).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        offering.abort();
        assert!(offering.await.is_err());
        assert!(Predecessor::find(&at).await.unwrap().is_none(), "what is left of one that ended");
        std::fs::remove_file(&at).unwrap();
        let stranger = UnixListener::bind(&at).unwrap();
        let answering = async {
            let (stream, _) = stranger.accept().await.unwrap();
            stream.ready(Interest::WRITABLE).await.unwrap();
            stream.try_write(b"something else").unwrap();
        };
        let (found, ()) = tokio::join!(Predecessor::find(&at), answering);
        assert!(found.err().unwrap().to_string().contains("no gateway of this kind"));
    }
}
