//! The three servers, and what the gateway must know: a configuration, organisations, members with credentials.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ledger::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};
use standin::{Mint, Person};
use tempfile::TempDir;

use crate::Plan;
use crate::connection::Connection;
use crate::load::{self, Load, Pace, Requests, Until};
use crate::process::{Server, free_address};

const ISSUER: &str = "bench";
const AUDIENCE: &str = "gateway";
/// How long a bench may take, so that no credential expires in it.
const VALID_FOR: Duration = Duration::from_hours(24);
/// How many connections make the organisations.
const MAKERS: usize = 16;

/// Everything that is measured, and the folder that it lives in. The folder goes when this does.
pub(crate) struct World {
    pub(crate) backend: Server,
    pub(crate) bare: Server,
    pub(crate) gateway: Server,
    /// Others on the same database.
    others: Vec<Server>,
    admin: SocketAddr,
    mint: Mint,
    expires: Timestamp,
    _folder: TempDir,
}

impl World {
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        Self::on(plan, "sqlite:usage.db", 1)
    }

    /// So many gateways on this database.
    pub(crate) fn on(plan: &Plan, database: &str, gateways: usize) -> anyhow::Result<Self> {
        let itself = std::env::current_exe()?;
        let (at, bare_at) = (free_address()?, free_address()?);
        let backend = Server::start("backend", part(&itself, "backend", at, None), at)?;
        let bare = Server::start("bare Pingora", part(&itself, "bare", bare_at, Some(at)), bare_at)?;
        // Beside the binary, not in /tmp: a journal in memory would be measured for what it is not.
        let near = plan.gateway.parent().unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(near)?;
        let secret = Mint::fresh_secret()?;
        let plugin = absolute(&plan.plugin)?;
        std::fs::write(folder.path().join("secret"), &secret)?;
        let start = |name: String| -> anyhow::Result<(Server, SocketAddr)> {
            let (listen, admin) = (free_address()?, free_address()?);
            let text = configuration(listen, admin, at, &plugin, database, &name);
            std::fs::write(folder.path().join(format!("{name}.toml")), text)?;
            let command = gateway(&absolute(&plan.gateway)?, folder.path(), &name)?;
            Ok((Server::start("gateway", command, listen)?, admin))
        };
        let (gateway, admin) = start("gateway".to_owned())?;
        let others = (1..gateways).map(|number| Ok(start(format!("gateway-{number}"))?.0));
        let others = others.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            backend,
            bare,
            gateway,
            others,
            admin,
            mint: Mint::new(ISSUER, AUDIENCE, secret.as_bytes()),
            expires: Timestamp::from_millis(SystemClock.now().millis() + i64::try_from(VALID_FOR.as_millis())?),
            _folder: folder,
        })
    }

    /// Makes organisations, each with a member of its own, and returns a paid call of each.
    pub(crate) async fn organizations(&self, count: usize) -> anyhow::Result<Requests> {
        let operator = self.mint.credential(&Person::operator("operator"), self.expires)?;
        let organization = json!({
            "name": "Bench", "plan": "enterprise", "subscriptionStatus": "active",
            "usageLimits": {"monthlyCredits": 1_000_000_000},
        });
        let put = |path: String, body: &Value| request("PUT", &path, &operator, &body.to_string());
        let make: Vec<_> =
            (0..count).map(|n| put(format!("/api/admin/organizations/bench-{n}"), &organization)).collect();
        let join: Vec<_> = (0..count)
            .map(|n| put(format!("/api/admin/organizations/bench-{n}/members/user-{n}"), &json!({"role": "member"})))
            .collect();
        for requests in [make, join] {
            let calls = u64::try_from(requests.len())?;
            let load = Load { connections: MAKERS.min(count), pace: Pace::Closed, until: Until::Calls(calls) };
            load::run(self.admin, &Rc::from(requests), load).await.context("making organisations")?;
        }
        self.calls(count)
    }

    /// Puts a load on every gateway at once; answers how many calls were made in all.
    pub(crate) async fn load_all(&self, requests: &Requests, load: Load) -> anyhow::Result<u64> {
        let local = tokio::task::LocalSet::new();
        let loads: Vec<_> = std::iter::once(&self.gateway)
            .chain(&self.others)
            .map(|gateway| {
                let (address, requests) = (gateway.address, Rc::clone(requests));
                local.spawn_local(async move { load::run(address, &requests, load).await })
            })
            .collect();
        let mut calls = 0;
        for load in loads {
            calls += local.run_until(load).await??.calls();
        }
        Ok(calls)
    }

    /// Makes sure that the gateway charges: a bench of something else is none.
    pub(crate) async fn check(&self, requests: &Requests) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.gateway.address).await?;
        let first = requests.first().context("no requests")?;
        let answer = connection.call(first).await.context("the first paid call")?;
        let text = String::from_utf8_lossy(answer).to_lowercase();
        if !text.contains("x-usage-event-id: evt_") || !text.contains("\"usage\":") {
            bail!("the gateway's answer carries no usage:\n{text}");
        }
        Ok(())
    }

    fn calls(&self, count: usize) -> anyhow::Result<Requests> {
        let body = json!({
            "content": ["Invoices arrive late and get lost between three systems that nobody owns. ".repeat(4)],
            "echo": true, "traceback": true, "sessionId": "session-1",
        });
        let body = body.to_string();
        let calls: anyhow::Result<Vec<_>> = (0..count)
            .map(|n| {
                let credential = self.mint.credential(&Person::new(format!("user-{n}")), self.expires)?;
                let path = format!("/api/organizations/bench-{n}/structuring/analyze-pain-points");
                Ok(request("POST", &path, &credential, &body))
            })
            .collect();
        Ok(calls?.into())
    }
}

fn part(itself: &Path, name: &str, listen: SocketAddr, upstream: Option<SocketAddr>) -> Command {
    let mut command = Command::new(itself);
    command.arg(name).arg("--listen").arg(listen.to_string());
    if let Some(upstream) = upstream {
        command.arg("--upstream").arg(upstream.to_string());
    }
    command
}

/// The gateway as it is run: its log written, to nobody. What is wrong with its configuration is said beforehand.
fn gateway(binary: &Path, folder: &Path, name: &str) -> anyhow::Result<Command> {
    let arguments = ["--config".to_owned(), format!("{name}.toml")];
    let checked = Command::new(binary).arg("check").args(&arguments).current_dir(folder).output();
    let checked =
        checked.with_context(|| format!("{} cannot be started: build it with --release", binary.display()))?;
    if !checked.status.success() {
        bail!("gateway check: {}", String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()));
    }
    let mut command = Command::new(binary);
    command.args(&arguments).current_dir(folder).stderr(Stdio::null());
    Ok(command)
}

fn configuration(
    listen: SocketAddr,
    admin: SocketAddr,
    backend: SocketAddr,
    plugin: &Path,
    database: &str,
    name: &str,
) -> String {
    let plugin = plugin.display();
    format!(
        r#"
[server]
listen = "{listen}"
[upstream]
url = "http://{backend}"
[admin]
listen = "{admin}"
[database]
url = "{database}"
[journal]
directory = "{name}-journal"
[auth]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
hs256_secret_file = "secret"
[pricing]
plugin = "{plugin}"
[[routes]]
methods = ["POST"]
path = "/api/organizations/{{orgId}}/structuring/analyze-pain-points"
event_type = "structuring_diagnose"
text = ["/content"]
flags = ["/echo", "/traceback"]
session = "/sessionId"
"#
    )
}

fn request(method: &str, path: &str, credential: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {credential}\r\n");
    format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("{} is not there", path.display()))
}
