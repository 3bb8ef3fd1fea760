//! A private server on a socket in a folder of its own, or the one that `TEST_DATABASE_URL` names.

use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long making a cluster and starting its server may take on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What to run where there is no PostgreSQL.
const INSTALL: &str = "sudo apt-get update && sudo apt-get install --yes --no-install-recommends postgresql";
/// Makes the cluster, runs the server, and ends it when nobody holds the other end of its input any more: at the end of
/// the tests' process, however that comes, a kill included. Then it removes the folder.
const KEEPER: &str = r#"
    dir=$1 bin=$2
    {
        [ -d "$dir/data" ] || "$bin/initdb" --pgdata="$dir/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync ||
            { : >"$dir/failed"; exit 1; }
        printf '%s\n' 'fsync = off' 'full_page_writes = off' 'max_connections = 200' 'shared_buffers = 64MB' \
            >>"$dir/data/postgresql.conf"
        exec "$bin/postgres" -D "$dir/data" -k "$dir" -h ""
    } </dev/null >"$dir/log" 2>&1 &
    server=$!
    read -r _
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
    rm -rf "$dir"
"#;

/// How many clusters this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In this folder, for as long as the keeper's input is open.
    Private { folder: PathBuf, _keeper: Child },
    /// Somebody else's: its address up to the database's name, that name, and the parameters.
    Given { before: String, database: String, after: String },
}

impl Server {
    /// Starts one, or takes the one that is given.
    pub(crate) fn start() -> anyhow::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "it is read by tests only, and there is no configuration to be in"
        )]
        let given = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty());
        let place = match given {
            Some(url) => parts(&url)?,
            None => private()?,
        };
        Ok(Self { place })
    }

    /// The address of the administrator's database.
    pub(crate) fn url(&self) -> String {
        match &self.place {
            Place::Private { .. } => self.url_of("postgres"),
            Place::Given { database, .. } => self.url_of(database),
        }
    }

    /// The address of a database.
    pub(crate) fn url_of(&self, name: &str) -> String {
        match &self.place {
            Place::Private { folder, .. } => format!("postgres:///{name}?host={}&user=postgres", folder.display()),
            Place::Given { before, after, .. } => format!("{before}/{name}{after}"),
        }
    }
}

impl Server {
    /// The address of a database for another user, whose password is "test" where one is asked for.
    pub(crate) fn url_as(&self, name: &str, user: &str) -> String {
        match &self.place {
            Place::Private { folder, .. } => format!("postgres:///{name}?host={}&user={user}", folder.display()),
            Place::Given { before, after, .. } => {
                let host = before.rsplit(['@', '/']).next().unwrap_or_default();
                format!("postgres://{user}:test@{host}/{name}{after}")
            }
        }
    }
}

fn parts(url: &str) -> anyhow::Result<Place> {
    let wrong = "TEST_DATABASE_URL must be postgres://USER@HOST/DATABASE";
    let (address, parameters) = url.split_once('?').map_or((url, None), |(address, rest)| (address, Some(rest)));
    let scheme = address.find("://").context(wrong)?;
    let slash = address.rfind('/').filter(|slash| *slash > scheme + 2).context(wrong)?;
    let (before, database) = (&address[..slash], &address[slash + 1..]);
    let after = parameters.map(|rest| format!("?{rest}")).unwrap_or_default();
    Ok(Place::Given { before: before.to_owned(), database: database.to_owned(), after })
}

/// The folder of an installed server's programs.
fn binaries() -> anyhow::Result<PathBuf> {
    let asked = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output();
    let told = asked.ok().map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    // The newest first: 9 sorts before 15 as a number only.
    versions.sort_by_key(|path| std::cmp::Reverse(version_of(path)));
    let found = told.into_iter().chain(versions).find(|folder| folder.join("initdb").exists());
    found.with_context(|| {
        format!(
            "there is no PostgreSQL server for the tests; install it with: {INSTALL}\nor name one in TEST_DATABASE_URL"
        )
    })
}

fn version_of(path: &Path) -> Option<u32> {
    path.parent()?.file_name()?.to_str()?.parse().ok()
}

fn private() -> anyhow::Result<Place> {
    let (folder, keeper) = make()?;
    Ok(Place::Private { folder, _keeper: keeper })
}

/// Makes a cluster in a folder of its own and starts its server.
pub(crate) fn make() -> anyhow::Result<(PathBuf, Child)> {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("gateway-cluster-{}-{number}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder).with_context(|| folder.display().to_string())?;
    let keeper = keep(&folder)?;
    Ok((folder, keeper))
}

/// Starts the server of a folder, which is made there where it is empty, and somebody who ends it.
pub(crate) fn keep(folder: &Path) -> anyhow::Result<Child> {
    let mut keeper = Command::new("/bin/sh");
    keeper.args(["-c", KEEPER, "keeper"]).arg(folder).arg(binaries()?).stdin(Stdio::piped()).stdout(Stdio::null());
    // A group of its own, so that Ctrl-C reaches the tests and not the keeper: it ends by itself.
    keeper.stderr(Stdio::null()).process_group(0).current_dir("/");
    let owner = std::fs::metadata(folder)?;
    let (uid, gid) = if owner.uid() == 0 { servant()? } else { (owner.uid(), owner.gid()) };
    if owner.uid() == 0 {
        chown(folder, Some(uid), Some(gid))?;
    }
    if is_root() {
        keeper.uid(uid).gid(gid);
    }
    let keeper = keeper.spawn().context("/bin/sh")?;
    await_socket(folder)?;
    Ok(keeper)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whom root lets run the server, which refuses to run as root.
fn servant() -> anyhow::Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let find = |wanted: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            match fields.as_slice() {
                [name, _, uid, gid, ..] if *name == wanted => Some((uid.parse().ok()?, gid.parse().ok()?)),
                _ => None,
            }
        })
    };
    find("postgres").or_else(|| find("nobody")).context("there is no user that could run PostgreSQL for root")
}

fn await_socket(folder: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let socket = folder.join(".s.PGSQL.5432");
    while !is_ready(&socket) {
        if folder.join("failed").exists() || began.elapsed() > READY_WITHIN {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("the test server does not start: {log}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether the server takes connections: while it starts it answers them with an error.
fn is_ready(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    // The protocol's start-up message: its length, version 3.0, who we are.
    let startup = *b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";
    let mut first = [0];
    std::io::Write::write_all(&mut stream, &startup).is_ok() && stream.read_exact(&mut first).is_ok() && first != *b"E"
}
