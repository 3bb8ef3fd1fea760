//! The monotonic clock that leases are reckoned by. It goes on while the machine is suspended, unlike `Instant`: a gateway
//! that wakes must know for how long it slept.

use ledger::Uptime;
use rustix::time::{ClockId, clock_gettime};

/// Now, since the machine started.
pub(crate) fn now() -> Uptime {
    let now = clock_gettime(ClockId::Boottime);
    let millis = now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000);
    Uptime::from_millis(u64::try_from(millis).unwrap_or(0))
}
