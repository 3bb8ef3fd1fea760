//! Something that is to happen now and then, whoever comes by. It must never make anyone wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Due once in a while, for one of those who ask.
#[derive(Debug)]
pub(crate) struct Seldom {
    every: Duration,
    since: Instant,
    /// When it is due next, in microseconds after `since`.
    due_us: AtomicU64,
}

impl Seldom {
    /// Due at once, and then after each `every`.
    pub(crate) fn every(every: Duration) -> Self {
        Self { every, since: Instant::now(), due_us: AtomicU64::new(0) }
    }

    /// Whether it is the asker's turn.
    pub(crate) fn due(&self, now: Instant) -> bool {
        let now_us = micros(now.saturating_duration_since(self.since));
        let due_us = self.due_us.load(Ordering::Relaxed);
        let next_us = now_us.saturating_add(micros(self.every));
        now_us >= due_us && self.due_us.compare_exchange(due_us, next_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_askers_turn_at_once_and_after_each_interval() {
        let seldom = Seldom::every(Duration::from_millis(10));
        let at = |millis| seldom.since + Duration::from_millis(millis);
        let turns = [0, 0, 9, 10, 10, 19, 20, 500, 501, 510].map(|millis| seldom.due(at(millis)));
        assert_eq!(turns, [true, false, false, true, false, false, true, true, false, true]);
    }
}
