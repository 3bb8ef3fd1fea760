//! The world of a journey: gateway, backend, database, clock, people. It must be ended, so that it can check itself.

mod backend;
mod check;
mod client;
mod request;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::TestDatabase;
use gateway::{Options, Running};
use ledger::{Clock, ManualClock, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use standin::{Mint, Person};
use tempfile::TempDir;

pub(crate) use backend::{Answer, Backend, Gate, Received, gzip};
pub(crate) use client::{Answered, Connection};
pub(crate) use request::Request;
pub(crate) use tls::{TlsClient, tls_file};

/// The annotated configuration: journeys go through the routes that are shipped.
pub(crate) const ANNOTATED: &str = include_str!("../config/gateway.toml");
/// What signs credentials.
pub(crate) const SECRET: &str = "a secret of the journeys, which is long enough";
const ISSUER: &str = "https://id.journeys.example";
/// When every world begins.
const BEGINNING: &str = "2026-11-10T12:00:00Z";
/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Who owns every organisation of a world, and looks at its usage for the check.
pub(crate) const OWNER: &str = "olga";
/// The platform's operator.
pub(crate) const OPERATOR: &str = "operator";

/// Which database a world is on.
#[derive(Clone, Copy)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// Journeys that are made on each database.
macro_rules! on_each_database {
    ($($journey:ident,)*) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $journey() {
                    super::$journey(crate::world::On::Sqlite).await;
                }
            )*
        }

        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $journey() {
                    super::$journey(crate::world::On::Postgres).await;
                }
            )*
        }
    };
}

pub(crate) use on_each_database;

/// A gateway and everything around it.
pub(crate) struct World {
    running: Option<Running>,
    /// Other gateways on the same database.
    others: Vec<Running>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) clock: Arc<ManualClock>,
    mint: Mint,
    folder: Arc<TempDir>,
    /// Where it is not a file in the folder.
    database: Option<Arc<TestDatabase>>,
    overrides: Vec<(String, String)>,
    organizations: Mutex<Vec<String>>,
    /// `usageEventId`s that a client saw.
    seen: Arc<Mutex<Vec<String>>>,
    /// Calls that the backend received for another world's gateway.
    strange_calls: usize,
    ended: bool,
}

impl World {
    /// A world as configured by default, with the organisation `acme` on the professional plan: Ann is its member.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same on this database.
    pub(crate) async fn start_on(on: On) -> Self {
        Self::with_on(on, &[]).await
    }

    /// The same with some keys set, such as `("SERVER__MAX_BODY", "1KiB")`.
    pub(crate) async fn with(overrides: &[(&str, &str)]) -> Self {
        Self::with_on(On::Sqlite, overrides).await
    }

    /// Both.
    pub(crate) async fn with_on(on: On, overrides: &[(&str, &str)]) -> Self {
        let backend = Backend::start().await;
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        std::fs::copy(plugin("standard.wasm"), folder.path().join("plugin.wasm")).unwrap();
        let mut world = Self::around(backend, folder, overrides);
        if let On::Postgres = on {
            world.database = Some(Arc::new(TestDatabase::new().await.unwrap()));
        }
        world.run().await;
        world.organization("acme", json!({"plan": "professional"})).await;
        world.member("acme", "ann", "member").await;
        world
    }

    fn around(backend: Arc<Backend>, folder: Arc<TempDir>, overrides: Vec<(String, String)>) -> Self {
        Self {
            running: None,
            others: Vec::new(),
            backend,
            clock: Arc::new(ManualClock::at(BEGINNING.parse().unwrap())),
            mint: Mint::new(ISSUER, "gateway", SECRET.as_bytes()),
            folder,
            database: None,
            overrides,
            organizations: Mutex::default(),
            seen: Arc::default(),
            strange_calls: 0,
            ended: false,
        }
    }

    /// Starts a gateway.
    pub(crate) async fn run(&mut self) {
        self.run_by(self.clock.clone()).await;
    }

    /// Starts a gateway that goes by another clock.
    pub(crate) async fn run_by(&mut self, clock: Arc<dyn Clock>) {
        self.running = Some(gateway::start(self.options(), clock).await.unwrap());
    }

    /// So many gateways on one PostgreSQL.
    pub(crate) async fn with_gateways(gateways: usize, overrides: &[(&str, &str)]) -> Self {
        let mut world = Self::with_on(On::Postgres, overrides).await;
        for _ in 1..gateways {
            world.join().await;
        }
        world
    }

    /// Starts another gateway on the same database.
    pub(crate) async fn join(&mut self) {
        let other = gateway::start(self.options_of(self.gateways()), self.clock.clone()).await.unwrap();
        self.others.push(other);
    }

    /// How many gateways there are.
    pub(crate) fn gateways(&self) -> usize {
        1 + self.others.len()
    }

    /// What a gateway of this world is started with: a second one would have the same files.
    pub(crate) fn options(&self) -> Options {
        self.options_of(0)
    }

    /// The same with a journal of its own for each.
    pub(crate) fn options_of(&self, gateway: usize) -> Options {
        let journal = if gateway == 0 { "journal".to_owned() } else { format!("journal-{gateway}") };
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let ours = [
            ("SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            ("SERVER__SHUTDOWN_GRACE", "5s".to_owned()),
            ("ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
            ("UPSTREAM__URL", format!("http://{}", self.backend.address())),
            ("DATABASE__URL", self.database_url()),
            ("JOURNAL__DIRECTORY", at(&journal)),
            ("AUTH__ISSUER", ISSUER.to_owned()),
            ("AUTH__JWKS", String::new()),
            ("AUTH__HS256_SECRET", SECRET.to_owned()),
            ("PRICING__PLUGIN", at("plugin.wasm")),
        ];
        let ours = ours.into_iter().map(|(key, value)| (key.to_owned(), value));
        let env = ours.chain(self.overrides.clone()).map(|(key, value)| (format!("GATEWAY__{key}"), value));
        let settings = settings::parse("journey", ANNOTATED, env).unwrap_or_else(|faults| panic!("{faults}"));
        Options::from_settings(&settings).unwrap()
    }

    pub(crate) fn database_url(&self) -> String {
        let file = || format!("sqlite:{}", self.folder.path().join("usage.db").display());
        self.database.as_ref().map_or_else(file, |database| database.url())
    }

    /// The server's database.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// Sets a key for the next start or reload.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.overrides.push((key.to_owned(), value.to_owned()));
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// The gateway, to look at its ports.
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Stops the gateway and starts one on the same files.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.run().await;
    }

    /// Stops the gateway.
    pub(crate) async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    /// A world on a copy of this one's files as they are now: what a gateway finds that starts after a kill. `strange` is
    /// how many of the events in it are of calls that the new backend never received.
    pub(crate) async fn after_a_kill(&self, strange: usize) -> Self {
        let mut world = self.killed(strange).await;
        world.run().await;
        world
    }

    /// The same before a gateway starts in it: its files can still be damaged.
    pub(crate) async fn killed(&self, strange: usize) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        copy(self.folder.path(), folder.path());
        let mut world = Self::around(Backend::start().await, folder, self.overrides.clone());
        world.clock.set(self.clock.now());
        world.strange_calls = strange;
        world.organizations = Mutex::new(self.organizations.lock().clone());
        world
    }

    /// The one file that its gateway's journal has.
    pub(crate) fn journal_file(&self) -> std::path::PathBuf {
        let entries = std::fs::read_dir(self.folder.path().join("journal")).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "journal")).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    /// Where the pricing plugin is.
    pub(crate) fn plugin_path(&self) -> std::path::PathBuf {
        self.folder.path().join("plugin.wasm")
    }

    /// Puts another plugin in place, as a deployment does: by renaming.
    pub(crate) fn swap_plugin(&self, bytes: &[u8]) {
        let aside = tempfile::Builder::new().suffix(".part").tempfile_in(self.folder.path()).unwrap();
        std::fs::write(aside.path(), bytes).unwrap();
        aside.persist(self.plugin_path()).unwrap();
    }

    /// Makes or changes an organisation; `more` goes over `{name, plan: "free", subscriptionStatus: "active"}`.
    pub(crate) async fn organization(&self, id: &str, more: Value) {
        let mut body = json!({"name": format!("The {id}"), "plan": "free", "subscriptionStatus": "active"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.put(&format!("/api/admin/organizations/{id}"), OPERATOR, &body).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let is_new = !self.organizations.lock().iter().any(|known| known == id);
        if is_new {
            self.organizations.lock().push(id.to_owned());
            self.member(id, OWNER, "owner").await;
        }
    }

    /// An organisation with a limit of credits of its own.
    pub(crate) async fn limit(&self, id: &str, credits: i64) {
        self.organization(id, json!({"usageLimits": {"monthlyCredits": credits}})).await;
    }

    /// Makes or changes a member.
    pub(crate) async fn member(&self, organization: &str, user: &str, role: &str) {
        let path = format!("/api/admin/organizations/{organization}/members/{user}");
        let body = json!({"role": role, "name": format!("Name of {user}"), "email": format!("{user}@example.com")});
        let made = self.put(&path, OPERATOR, &body).await;
        assert_eq!(made.status, 200, "{}", made.text());
    }

    /// A credential for a user; the operator's is an operator's.
    pub(crate) fn credential(&self, user: &str) -> String {
        let person = if user == OPERATOR { Person::operator(user) } else { Person::new(user) };
        self.mint.credential(&person, "2030-01-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    /// A request that is still to be shaped.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        self.request_through(0, method, target)
    }

    /// The same through one of several gateways: they are counted round.
    pub(crate) fn request_through(&self, gateway: usize, method: &str, target: &str) -> Request {
        let running = match gateway % self.gateways() {
            0 => self.running(),
            other => &self.others[other - 1],
        };
        Request::new(running.address, method, target, Arc::clone(&self.seen)).over(self.tls())
    }

    /// Who speaks TLS, where the gateway does.
    pub(crate) fn tls(&self) -> Option<TlsClient> {
        self.overrides.iter().any(|(key, _)| key == "SERVER__TLS_KEY").then(TlsClient::new)
    }

    /// A diagnosis of 10 credits.
    pub(crate) async fn call(&self, organization: &str, user: &str) -> Answered {
        self.diagnose(organization, user, &json!({"content": ["short"]})).await
    }

    /// The same through one of several gateways.
    pub(crate) async fn call_through(&self, gateway: usize, organization: &str, user: &str) -> Answered {
        let request = self.request_through(gateway, "POST", &diagnosis_path(organization));
        request.by(&self.credential(user)).json(&json!({"content": ["short"]})).send().await
    }

    /// The live counter as one of several gateways has it, once its own charges are applied.
    pub(crate) async fn counter_through(&self, gateway: usize, organization: &str) -> Value {
        let path = format!("/api/organizations/{organization}/usage");
        let answer = self.request_through(gateway, "GET", &path).by(&self.credential(OWNER)).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["usage"].take()
    }

    /// A diagnosis of this body.
    pub(crate) async fn diagnose(&self, organization: &str, user: &str, body: &Value) -> Answered {
        self.diagnosis(organization, user).json(body).send().await
    }

    /// A diagnosis that is still to be shaped.
    pub(crate) fn diagnosis(&self, organization: &str, user: &str) -> Request {
        self.request("POST", &diagnosis_path(organization)).by(&self.credential(user))
    }

    pub(crate) async fn get(&self, target: &str, user: &str) -> Answered {
        self.request("GET", target).by(&self.credential(user)).send().await
    }

    pub(crate) async fn put(&self, target: &str, user: &str, body: &Value) -> Answered {
        self.request("PUT", target).by(&self.credential(user)).json(body).send().await
    }

    /// An operator's `POST` with an `Idempotency-Key`.
    pub(crate) async fn post(&self, target: &str, key: &str, body: &Value) -> Answered {
        let request = self.request("POST", target).by(&self.credential(OPERATOR)).header("Idempotency-Key", key);
        request.json(body).send().await
    }

    /// The live counter.
    pub(crate) async fn counter(&self, organization: &str) -> Value {
        self.owned(organization, "").await["usage"].take()
    }

    /// The dashboard.
    pub(crate) async fn dashboard(&self, organization: &str) -> Value {
        self.owned(organization, "/dashboard").await["dashboard"].take()
    }

    /// The events of the newest page of history.
    pub(crate) async fn events(&self, organization: &str) -> Vec<Value> {
        let mut answer = self.owned(organization, "/history?limit=100").await;
        serde_json::from_value(answer["events"].take()).unwrap()
    }

    /// The event that an answer to a call of `acme`'s names.
    pub(crate) async fn event(&self, answer: &Answered) -> Value {
        let id = answer.header("x-usage-event-id").expect("the answer names no event");
        self.owned("acme", &format!("/events/{id}")).await["event"].take()
    }

    /// Something under `…/usage`, as the owner sees it.
    pub(crate) async fn owned(&self, organization: &str, rest: &str) -> Value {
        let answer = self.get(&format!("/api/organizations/{organization}/usage{rest}"), OWNER).await;
        assert_eq!(answer.status, 200, "{rest}: {}", answer.text());
        answer.json()
    }

    /// What Prometheus would scrape.
    pub(crate) async fn metrics(&self) -> String {
        let seen = Arc::clone(&self.seen);
        Request::new(self.running().admin_address, "GET", "/metrics", seen).send().await.text()
    }

    /// Moves the clock.
    pub(crate) fn at(&self, moment: &str) {
        self.clock.set(moment.parse::<Timestamp>().unwrap());
    }
}

/// The path of a diagnosis.
pub(crate) fn diagnosis_path(organization: &str) -> String {
    format!("/api/organizations/{organization}/structuring/analyze-pain-points")
}

/// A plugin's file as it is shipped.
pub(crate) fn plugin(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pricing-plugins").join(name)
}

/// Waits until something is so, and fails where it never is.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let started = Instant::now();
    while !so().await {
        assert!(started.elapsed() < PATIENCE, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
