//! A gateway as a process of its own, and a client that takes no half answers.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const SECRET: &str = "a secret of the kills, which is long enough";
/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    files: Files,
    child: Child,
}

/// What a process is started with, and where it says what it does.
struct Files {
    config: PathBuf,
    log: PathBuf,
    /// Keys over the configuration's.
    env: Vec<(&'static str, &'static str)>,
    /// File descriptors that it may have.
    descriptors: Option<u32>,
}

impl Gateway {
    pub(crate) fn start(number: usize, folder: &Path, database: &str, backend: SocketAddr) -> Self {
        Self::start_with(number, folder, database, backend, &[], None)
    }

    pub(crate) fn start_with(
        number: usize,
        folder: &Path,
        database: &str,
        backend: SocketAddr,
        env: &[(&'static str, &'static str)],
        descriptors: Option<u32>,
    ) -> Self {
        let folder = folder.canonicalize().unwrap();
        let folder = folder.as_path();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, admin) = (free(), free());
        let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../pricing-plugins/standard.wasm");
        let (journal, secret) = (folder.join(format!("journal-{number}")), folder.join("secret"));
        std::fs::write(&secret, SECRET).unwrap();
        let text = format!(
            "[server]\nlisten = \"{address}\"\nhandover = \"{}\"\n[upstream]\nurl = \"http://{backend}\"\n[admin]\nlisten = \"{admin}\"\n\
             [database]\nurl = \"{database}\"\n[journal]\ndirectory = \"{}\"\n[auth]\nissuer = \"i\"\naudience = \"a\"\n\
             hs256_secret_file = \"{}\"\n[pricing]\nplugin = \"{plugin}\"\n[[routes]]\nmethods = [\"POST\"]\npath = \
             \"/api/organizations/{{orgId}}/structuring/analyze-pain-points\"\nevent_type = \"structuring_diagnose\"\n\
             text = [\"/content\"]\n",
            folder.join(format!("handover-{number}")).display(),
            journal.display(),
            secret.display()
        );
        let (config, log) = (folder.join(format!("gateway-{number}.toml")), folder.join(format!("log-{number}")));
        std::fs::write(&config, text).unwrap();
        let files = Files { config, log, env: env.to_vec(), descriptors };
        let child = spawn(&files, None);
        Self { address, files, child }
    }

    /// Ends it without a word, and starts it again.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.files, None);
    }

    /// Starts the next process beside this one, with a journal of its own where one is given; the one before must end by
    /// itself, and well.
    pub(crate) fn upgrade(&mut self, journal: Option<&Path>) {
        let mut before = std::mem::replace(&mut self.child, spawn(&self.files, journal));
        let began = Instant::now();
        let status = loop {
            if let Some(status) = before.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "the process before does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
    }

    /// How many file descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// The memory that the process has, in KiB.
    pub(crate) fn resident_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{signal}");
    }

    /// What reconciliation says of the database and of this gateway's journal: it must find nothing unexplained.
    pub(crate) fn reconciled(&self) -> String {
        let mut reconcile = Command::new(env!("CARGO_BIN_EXE_gateway"));
        let reconcile = reconcile.args(["reconcile", "--json", "--config"]).arg(&self.files.config).output().unwrap();
        let told = String::from_utf8_lossy(&reconcile.stdout).into_owned();
        assert!(reconcile.status.success(), "{told}{}", String::from_utf8_lossy(&reconcile.stderr));
        told.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(&self.files.log).unwrap_or_default());
        }
    }
}

fn spawn(files: &Files, journal: Option<&Path>) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(&files.log).unwrap();
    let mut command = match files.descriptors {
        None => Command::new(env!("CARGO_BIN_EXE_gateway")),
        Some(most) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]).arg(env!("CARGO_BIN_EXE_gateway"));
            shell
        }
    };
    command.envs(files.env.iter().copied());
    command.arg("--config").arg(&files.config).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    if let Some(journal) = journal {
        command.env("GATEWAY__JOURNAL__DIRECTORY", journal);
    }
    command.spawn().unwrap()
}

/// Status and body of an answer, if it came whole.
pub(crate) async fn ask(
    at: SocketAddr,
    method: &str,
    path: &str,
    credential: &str,
    body: &Value,
) -> Option<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\nAuthorization: Bearer {credential}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(at).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let whole = length.is_none_or(|length: usize| length == body.len());
    let status = head.split(' ').nth(1)?.parse().ok()?;
    if whole { Some((status, serde_json::from_str(body).ok()?)) } else { None }
}

/// Asks until it is answered as wanted.
pub(crate) async fn insist(
    at: SocketAddr,
    method: &str,
    path: &str,
    credential: &str,
    body: &Value,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let began = Instant::now();
    let mut last = None;
    while began.elapsed() < PATIENCE {
        last = ask(at, method, path, credential, body).await;
        if let Some((_, answer)) = last.as_ref().filter(|(status, answer)| *status == 200 && fits(answer)) {
            return answer.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{method} {path} was never answered as wanted: {last:?}");
}
