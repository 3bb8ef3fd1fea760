//! A server as a process of its own: started, watched through `/proc`, ended when dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_mins(1);
/// How often is looked whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// One unit of processor time in `/proc/PID/stat`; Linux shows a hundredth of a second whatever it counts in.
const TICK_MS: u64 = 10;

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts a server and waits until it listens on `address`.
    pub(crate) fn start(name: &'static str, mut command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.with_context(|| format!("cannot start the {name}: {}", command.get_program().display()))?;
        let mut server = Self { address, child };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the {name} ended at once: {status}");
            }
            if began.elapsed() > START_MAX {
                bail!("the {name} does not listen on {address}");
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(server)
    }

    /// The processor time that it has used, in milliseconds: user and system, all threads.
    pub(crate) fn cpu_ms(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        cpu_ms(&stat).with_context(|| format!("{path} is not as it should be"))
    }

    /// The memory that it occupies, in kibibytes.
    pub(crate) fn memory_kib(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        memory_kib(&status).with_context(|| format!("{path} is not as it should be"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left of it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Fields 14 and 15, counted after the name, which may hold anything, blanks and brackets included.
fn cpu_ms(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    user.checked_add(system)?.checked_mul(TICK_MS)
}

fn memory_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_and_memory_are_read_as_the_kernel_writes_them() {
        let stat = "4242 (a ) name) S 1 4242 4242 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 9 0 1 2 3";
        assert_eq!(cpu_ms(stat), Some(2_000));
        assert_eq!(cpu_ms("nonsense"), None);
        assert_eq!(memory_kib("Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t   1234 kB\n"), Some(1_234));
        assert_eq!(memory_kib("Name:\tx\n"), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported() {
        let error = Server::start("liar", Command::new("false"), free_address().unwrap()).err().unwrap();
        assert!(error.to_string().contains("the liar ended at once"), "{error}");
    }
}
