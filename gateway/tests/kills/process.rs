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
    config: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Gateway {
    pub(crate) fn start(number: usize, folder: &Path, database: &str, backend: SocketAddr) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, admin) = (free(), free());
        let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/../pricing-plugins/standard.wasm");
        let (journal, secret) = (folder.join(format!("journal-{number}")), folder.join("secret"));
        std::fs::write(&secret, SECRET).unwrap();
        let text = format!(
            "[server]\nlisten = \"{address}\"\n[upstream]\nurl = \"http://{backend}\"\n[admin]\nlisten = \"{admin}\"\n\
             [database]\nurl = \"{database}\"\n[journal]\ndirectory = \"{}\"\n[auth]\nissuer = \"i\"\naudience = \"a\"\n\
             hs256_secret_file = \"{}\"\n[pricing]\nplugin = \"{plugin}\"\n[[routes]]\nmethods = [\"POST\"]\npath = \
             \"/api/organizations/{{orgId}}/structuring/analyze-pain-points\"\nevent_type = \"structuring_diagnose\"\n\
             text = [\"/content\"]\n",
            journal.display(),
            secret.display()
        );
        let (config, log) = (folder.join(format!("gateway-{number}.toml")), folder.join(format!("log-{number}")));
        std::fs::write(&config, text).unwrap();
        let child = spawn(&config, &log);
        Self { address, config, log, child }
    }

    /// Ends it without a word, and starts it again.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.config, &self.log);
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{signal}");
    }

    /// What reconciliation says of the database and of this gateway's journal: it must find nothing unexplained.
    pub(crate) fn reconciled(&self) -> String {
        let mut reconcile = Command::new(env!("CARGO_BIN_EXE_gateway"));
        let reconcile = reconcile.args(["reconcile", "--json", "--config"]).arg(&self.config).output().unwrap();
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
            println!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

fn spawn(config: &Path, log: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.arg("--config").arg(config).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
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
