//! PostgreSQL for tests: one private cluster a test process, a fresh database a case.
//!
//! `TEST_DATABASE_URL`, where it is set, names a server to use instead; its user must be allowed to make databases. This
//! crate must never be depended on but by tests, and must never leave a server behind.

mod line;
mod outage;
mod server;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

pub use self::line::{Cut, Line};
pub use self::outage::PrivateServer;
use self::server::Server;

/// The server of this process: started at first need, gone when the process is.
static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
/// How many databases this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A database of its own for one test. It is dropped with this value, whoever is connected to it.
#[derive(Debug)]
pub struct TestDatabase {
    server: &'static Server,
    name: String,
    /// Gone with the database.
    users: Mutex<Vec<String>>,
}

impl TestDatabase {
    /// Makes an empty database. Fails where there is no PostgreSQL, and says how to install it.
    pub async fn new() -> anyhow::Result<Self> {
        let server = SERVER.get_or_init(|| Server::start().map_err(|error| format!("{error:#}")));
        let server = server.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
        let name = format!("gateway_test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        run(server, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await?;
        Ok(Self { server, name, users: Mutex::default() })
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    /// Makes a user who is no superuser, and answers the name and this database's address for it. One who owns the database
    /// may make tables in it; another may only connect.
    pub async fn user(&self, owns: bool) -> anyhow::Result<(String, String)> {
        let user = format!("{}_user_{}", self.name, MADE.fetch_add(1, Ordering::Relaxed));
        run(self.server, format!("CREATE ROLE {user} LOGIN PASSWORD 'test'")).await?;
        self.users.lock().unwrap_or_else(PoisonError::into_inner).push(user.clone());
        if owns {
            run(self.server, format!("ALTER DATABASE {} OWNER TO {user}", self.name)).await?;
        }
        let url = self.server.url_as(&self.name, &user);
        Ok((user, url))
    }

    /// Runs statements in this database, as its administrator.
    pub async fn execute(&self, statements: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// The one text that a question in this database has for an answer.
    pub async fn ask(&self, question: &str) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        let answer = sqlx::query_scalar(AssertSqlSafe(question.to_owned())).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(answer)
    }

    /// Turns everybody away from this database and cuts those who are connected.
    pub async fn close_to_all(&self) -> anyhow::Result<()> {
        let name = &self.name;
        run(self.server, format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await?;
        self.cut().await
    }

    /// Sets a parameter for everybody who connects from now on.
    pub async fn set(&self, parameter: &str, value: &str) -> anyhow::Result<()> {
        run(self.server, format!("ALTER DATABASE {} SET {parameter} = {value}", self.name)).await
    }

    /// Lets everybody in again.
    pub async fn open_to_all(&self) -> anyhow::Result<()> {
        run(self.server, format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name)).await
    }

    /// Cuts those who are connected, as a server's restart does.
    pub async fn cut(&self) -> anyhow::Result<()> {
        let name = &self.name;
        run(self.server, format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"))
            .await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let server = self.server;
        let mut statements = vec![format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)];
        let users = std::mem::take(&mut *self.users.lock().unwrap_or_else(PoisonError::into_inner));
        statements.extend(users.into_iter().map(|user| format!("DROP ROLE {user}")));
        // A runtime cannot wait inside another one: this one has a thread of its own.
        let dropping = std::thread::Builder::new().name("drop-database".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            statements.into_iter().try_for_each(|statement| runtime.block_on(run(server, statement)))
        });
        // What cannot be dropped now goes with the server.
        drop(dropping.map(std::thread::JoinHandle::join));
    }
}

/// Runs a statement as the server's administrator. It is made of our own words and database names only.
async fn run(server: &Server, statement: String) -> anyhow::Result<()> {
    let options: PgConnectOptions = server.url().parse()?;
    let mut connection = PgConnection::connect_with(&options).await.context("the test server")?;
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}
