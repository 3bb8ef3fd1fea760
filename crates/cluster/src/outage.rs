//! A server that a test may kill, stop and start again: nobody else uses it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context as _, bail};

use crate::server::{keep, make};

/// A private server of one test, with an empty database. It is gone with this value.
#[derive(Debug)]
pub struct PrivateServer {
    folder: PathBuf,
    /// One for each start: each ends its server, and the last one the folder, when its input closes.
    keepers: Vec<Child>,
}

impl PrivateServer {
    /// Makes a cluster and starts its server.
    pub fn start() -> anyhow::Result<Self> {
        let (folder, keeper) = make()?;
        Ok(Self { folder, keepers: vec![keeper] })
    }

    /// The address of its database.
    pub fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=postgres", self.folder.display())
    }

    /// Ends all its processes at once, as a power cut does.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.signal("KILL")
    }

    /// Stops all its processes where they are: they hold what they hold, and answer nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal("STOP")
    }

    /// Lets them go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal("CONT")
    }

    /// Starts the server again after a kill.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        // The socket of the one that was killed is still there.
        drop(std::fs::remove_file(self.folder.join(".s.PGSQL.5432")));
        self.keepers.push(keep(&self.folder)?);
        Ok(())
    }

    fn signal(&self, name: &str) -> anyhow::Result<()> {
        let postmaster = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).context("no server runs")?;
        let postmaster = postmaster.lines().next().context("no server runs")?.to_owned();
        let children = children_of(&postmaster)?;
        let done = Command::new("/bin/kill").arg(format!("-{name}")).arg(postmaster).args(children).status()?;
        if !done.success() {
            bail!("the server's processes took no {name}");
        }
        Ok(())
    }
}

/// The processes that a process has started, by its and their numbers.
fn children_of(parent: &str) -> anyhow::Result<Vec<String>> {
    let parent_of = |process: &Path| {
        let status = std::fs::read_to_string(process.join("status")).ok()?;
        Some(status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().to_owned())
    };
    let mut children = Vec::new();
    for process in std::fs::read_dir("/proc").context("/proc")?.flatten() {
        if parent_of(&process.path()).as_deref() == Some(parent) {
            children.push(process.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(children)
}
