//! The load: closed (as fast as the answers come) or open (at a rate that does not care how slow the answers are).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::connection::Connection;

/// How calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Each connection sends its next call when it has its answer.
    Closed,
    /// So many calls a second over all connections, each due at its own moment; a late one's wait counts as latency.
    Open(u64),
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Elapsed(Duration),
    Calls(u64),
}

/// What came of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The latency of each call, in microseconds, in ascending order.
    latencies_us: Vec<u64>,
    pub(crate) elapsed: Duration,
}

impl Outcome {
    pub(crate) fn calls(&self) -> u64 {
        u64::try_from(self.latencies_us.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn calls_a_second(&self) -> u64 {
        let elapsed_us = u64::try_from(self.elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
        self.calls().saturating_mul(1_000_000) / elapsed_us
    }

    /// The latency that `percent` of the calls did not exceed, in microseconds.
    pub(crate) fn percentile_us(&self, percent: usize) -> u64 {
        let rank = (self.latencies_us.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies_us.get(rank).copied().unwrap_or_default()
    }
}

/// The requests to send, each in turn.
pub(crate) type Requests = Rc<[Vec<u8>]>;

/// Runs a load against a server.
pub(crate) async fn run(address: SocketAddr, requests: &Requests, load: Load) -> anyhow::Result<Outcome> {
    let local = LocalSet::new();
    let shared = Rc::new(Shared { load, requests: Rc::clone(requests), sent: Cell::new(0), began: Instant::now() });
    let workers: Vec<_> =
        (0..load.connections).map(|_| local.spawn_local(worker(address, Rc::clone(&shared)))).collect();
    let mut latencies_us = Vec::new();
    for worker in workers {
        latencies_us.append(&mut local.run_until(worker).await??);
    }
    let elapsed = shared.began.elapsed();
    latencies_us.sort_unstable();
    Ok(Outcome { latencies_us, elapsed })
}

struct Shared {
    load: Load,
    requests: Requests,
    sent: Cell<u64>,
    began: Instant,
}

impl Shared {
    /// The number of the next call, and the moment at which it is due; nothing when the load is over.
    fn next(&self) -> Option<(usize, Option<Instant>)> {
        let number = self.sent.get();
        let over = match self.load.until {
            Until::Elapsed(duration) => self.began.elapsed() >= duration,
            Until::Calls(calls) => number >= calls,
        };
        if over {
            return None;
        }
        self.sent.set(number + 1);
        let due = match self.load.pace {
            Pace::Closed => None,
            Pace::Open(a_second) => {
                Some(self.began + Duration::from_nanos(number.saturating_mul(1_000_000_000 / a_second)))
            }
        };
        Some((usize::try_from(number).unwrap_or_default(), due))
    }
}

async fn worker(address: SocketAddr, shared: Rc<Shared>) -> anyhow::Result<Vec<u64>> {
    let mut connection = Connection::open(address).await?;
    let mut latencies_us = Vec::new();
    while let Some((number, due)) = shared.next() {
        let began = began(due).await;
        let request = shared.requests.get(number % shared.requests.len()).map(Vec::as_slice).unwrap_or_default();
        connection.call(request).await?;
        latencies_us.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(latencies_us)
}

/// When a call begins: now, or when it is due. A call that waited for its moment begins when the timer woke it, for the
/// timer's coarse millisecond is no fault of the server's; one that is late began when it was due.
async fn began(due: Option<Instant>) -> Instant {
    let now = Instant::now();
    match due {
        None => now,
        Some(due) if due <= now => due,
        Some(due) => {
            tokio::time::sleep_until(due.into()).await;
            Instant::now()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_latency_that_so_many_did_not_exceed() {
        let outcome = Outcome { latencies_us: (1..=200).collect(), elapsed: Duration::from_secs(2) };
        assert_eq!((outcome.percentile_us(50), outcome.percentile_us(99), outcome.percentile_us(100)), (100, 198, 200));
        assert_eq!(outcome.calls_a_second(), 100);
        assert_eq!(Outcome::default().percentile_us(99), 0);
        let one = Outcome { latencies_us: vec![7], elapsed: Duration::ZERO };
        assert_eq!((one.percentile_us(50), one.percentile_us(99)), (7, 7));
    }
}
