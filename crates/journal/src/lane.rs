//! A queue that any task may push to without waiting and that one thread empties.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Commands for one thread.
pub(crate) struct Lane<C> {
    queue: Mutex<Queue<C>>,
    wake: Condvar,
}

struct Queue<C> {
    commands: VecDeque<C>,
    closed: bool,
}

/// Why a command was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    Full,
    Closed,
}

impl<C> Lane<C> {
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::new(Queue { commands: VecDeque::new(), closed: false }), wake: Condvar::new() }
    }

    /// Queues a command, unless `commands_max` wait already.
    pub(crate) fn push(&self, command: C, commands_max: usize) -> Result<(), NotQueued> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(NotQueued::Closed);
        }
        if queue.commands.len() >= commands_max {
            return Err(NotQueued::Full);
        }
        queue.commands.push_back(command);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Moves up to `commands_max` commands to `taken`, after waiting for the first one, at most for `wait` if given.
    /// False once the lane is closed and empty.
    pub(crate) fn take(&self, taken: &mut Vec<C>, commands_max: usize, wait: Option<Duration>) -> bool {
        let mut queue = self.queue.lock();
        let idle = |queue: &mut Queue<C>| queue.commands.is_empty() && !queue.closed;
        match wait {
            None => self.wake.wait_while(&mut queue, idle),
            Some(wait) => {
                self.wake.wait_while_for(&mut queue, idle, wait);
            }
        }
        let count = queue.commands.len().min(commands_max);
        taken.extend(queue.commands.drain(..count));
        count > 0 || !queue.closed
    }

    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.wake.notify_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.lock().commands.len()
    }
}
