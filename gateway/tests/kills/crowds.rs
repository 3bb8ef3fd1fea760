//! Crowds of clients that want nothing good: whoever is honest is served beside them, and when they are gone, so is what
//! they cost. `SECONDS` says for how long they stay (5 unless given).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use standin::{Mint, Person, Standin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::process::{Gateway, PATIENCE, SECRET, insist};
use super::{CALL, QUIET, call, give, setting};

/// Slow clients of a kind.
const CROWD: usize = 500;
/// What of the answer a slow reader asks for, in bytes: more than any buffer between us takes.
const DOWNLOAD: &str = "/download/100000000";
/// How much longer than twice their usual time the honest calls of the best round may take. The crowd is there in every
/// round, but so is the other work of the machine, which the worst round shows.
const BUSY: Duration = Duration::from_millis(300);
/// Descriptors that may stay: connections to the backend that are kept.
const KEPT: usize = 32;
/// Memory that the allocator may keep for the next crowd, in KiB: less than half of what one of readers took.
const KEPT_KIB: usize = 80 * 1024;
/// What bounds slow clients, so short that they are all gone within the test.
const IMPATIENT: [(&str, &str); 4] = [
    ("GATEWAY__LIMITS__HEADER_TIMEOUT", "2s"),
    ("GATEWAY__SERVER__BODY_TIMEOUT", "2s"),
    ("GATEWAY__LIMITS__WRITE_TIMEOUT", "2s"),
    ("GATEWAY__LIMITS__KEEPALIVE", "2s"),
];

/// How a client is slow.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Header,
    Body,
    Reading,
}

impl Slow {
    /// What it sends at once, and what it sends again and again.
    fn says(self, credential: &str) -> (String, &'static str) {
        let head = format!("POST {CALL} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {credential}\r\n");
        match self {
            Self::Header => (head, "X-Slow: 1\r\n"),
            Self::Body => (format!("{head}Content-Length: 100000\r\n\r\n{{\"content\": [\""), "x"),
            Self::Reading => (format!("GET {DOWNLOAD} HTTP/1.1\r\nHost: a\r\n\r\n"), ""),
        }
    }
}

/// Comes again and again for as long as the crowd stays; every connection is given up by the gateway, sooner or later.
async fn loiter(slow: Slow, at: SocketAddr, credential: String, stop: Arc<AtomicBool>, ended: Arc<AtomicUsize>) {
    let (first, again) = slow.says(&credential);
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut stream) = TcpStream::connect(at).await else { continue };
        if stream.write_all(first.as_bytes()).await.is_err() {
            continue;
        }
        // One that reads nothing finds out that it was given up when it does.
        let (began, mut byte) = (Instant::now(), [0]);
        while stream.write_all(again.as_bytes()).await.is_ok() && began.elapsed() < Duration::from_secs(4) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let reads = !matches!(slow, Slow::Reading);
            if reads && !is_silent(&stream.try_read(&mut byte)) {
                break;
            }
        }
        ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether nothing has come, an end neither.
fn is_silent(read: &std::io::Result<usize>) -> bool {
    read.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// How long the slowest but one of a hundred honest calls takes.
async fn slowest_of_hundred(at: SocketAddr, credential: &str) -> Duration {
    let mut took = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        let answer = call(at, credential).await;
        assert!(matches!(answer, Some((200, _))), "an honest call failed: {answer:?}");
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[98]
}

struct Scene {
    gateway: Gateway,
    owner: String,
    _backend: Standin,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(env: &[(&'static str, &'static str)], descriptors: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend = Standin::start(standin::Options::default()).await.unwrap();
        let database = format!("sqlite:{}", folder.path().join("usage.db").display());
        let gateway = Gateway::start_with(0, folder.path(), &database, backend.address(), env, descriptors);
        let mint = Mint::new("i", "a", SECRET.as_bytes());
        let until = "2090-01-01T00:00:00Z".parse().unwrap();
        let operator = mint.credential(&Person::operator("op"), until).unwrap();
        let owner = mint.credential(&Person::new("olga"), until).unwrap();
        give(gateway.address, &operator, 100_000_000).await;
        Self { gateway, owner, _backend: backend, _folder: folder }
    }

    /// Waits until no more descriptors are open than so many and those that are kept, and until so much memory is given back;
    /// answers how much of it stays. An allocator gives memory back as it is used, so somebody goes on calling.
    async fn settles_down(&self, descriptors: usize, resident: usize) -> usize {
        let began = Instant::now();
        loop {
            let (open, stays) = (self.gateway.descriptors(), self.gateway.resident_kib().saturating_sub(resident));
            if open <= descriptors + KEPT && stays < KEPT_KIB {
                return stays;
            }
            assert!(began.elapsed() < PATIENCE, "{open} descriptors are open, {stays} KiB more than before stay");
            assert!(matches!(call(self.gateway.address, &self.owner).await, Some((200, _))));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_500_slow_clients_of_each_kind_honest_calls_are_served_and_nothing_of_them_stays() {
    let _alone = QUIET.write().await;
    let scene = Scene::new(&IMPATIENT, None).await;
    let (at, owner) = (scene.gateway.address, &scene.owner);
    slowest_of_hundred(at, owner).await;
    let usual = slowest_of_hundred(at, owner).await;
    let (descriptors, resident) = (scene.gateway.descriptors(), scene.gateway.resident_kib());
    let stay = Duration::from_secs(setting("SECONDS", 5));
    // The last kind comes twice: what the allocator keeps of it is for its return, and does not grow.
    for slow in [Slow::Header, Slow::Body, Slow::Reading, Slow::Reading] {
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            crowd.spawn(loiter(slow, at, owner.clone(), Arc::clone(&stop), Arc::clone(&ended)));
        }
        let began = Instant::now();
        let (mut best, mut worst, mut most) = (Duration::MAX, Duration::ZERO, 0);
        while began.elapsed() < stay || ended.load(Ordering::SeqCst) < CROWD {
            assert!(began.elapsed() < PATIENCE, "{slow:?}: slow clients are never given up");
            let slowest = slowest_of_hundred(at, owner).await;
            (best, worst) = (best.min(slowest), worst.max(slowest));
            most = most.max(scene.gateway.descriptors());
        }
        stop.store(true, Ordering::SeqCst);
        while crowd.join_next().await.is_some() {}
        let began = Instant::now();
        let stayed = scene.settles_down(descriptors, resident).await;
        println!(
            "{slow:?}: p99 {usual:?} alone, {best:?} to {worst:?} beside them; {most} descriptors; {stayed} KiB stay after {:?}",
            began.elapsed()
        );
        assert!(most > descriptors + CROWD / 2, "{slow:?}: they were there");
        assert!(best < usual * 2 + BUSY, "{slow:?}: {best:?} beside them, {usual:?} alone");
    }
    println!("{}", scene.gateway.reconciled());
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_descriptors_new_connections_are_turned_away_at_once_and_open_ones_are_served() {
    const MOST: u32 = 160;
    let _beside_others = QUIET.read().await;
    let scene = Scene::new(&[], Some(MOST)).await;
    let (at, owner) = (scene.gateway.address, &scene.owner);
    let (before, resident) = (scene.gateway.descriptors(), scene.gateway.resident_kib());
    let request = format!(
        "POST {CALL} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {owner}\r\nContent-Length: 22\r\n\r\n{{\"content\": [\"short\"]}}"
    );
    let mut open = TcpStream::connect(at).await.unwrap();
    let mut served = async || {
        open.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, open.read(&mut answer)).await.expect("no answer").unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer[..read]));
    };
    served().await;
    let mut crowd = Vec::new();
    for _ in 0..2 * MOST {
        crowd.push(TcpStream::connect(at).await.unwrap());
    }
    // Whoever found no place hears so, and does not wait for one.
    let (began, mut told) = (Instant::now(), 0);
    while told < usize::try_from(MOST).unwrap() {
        assert!(began.elapsed() < PATIENCE, "only {told} were turned away");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut answer = [0; 1024];
        crowd.retain_mut(|stream| match stream.try_read(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            Ok(read) => {
                let text = String::from_utf8_lossy(&answer[..read]);
                assert!(read == 0 || text.contains("too_many_connections"), "{text}");
                told += 1;
                false
            }
            Err(_) => {
                told += 1;
                false
            }
        });
    }
    served().await;
    drop(crowd);
    scene.settles_down(before, resident).await;
    insist(at, "POST", CALL, owner, &json!({"content": ["short"]}), |_| true).await;
    println!("{}", scene.gateway.reconciled());
}
