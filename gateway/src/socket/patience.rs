//! How long a client's header has been coming. A byte now and then must never help: the time counts from the first one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

use crate::connection::Arrival;

/// The header that a client's connection waits for.
#[derive(Debug)]
pub(super) struct Awaited {
    arrival: Arc<Arrival>,
    patience: Patience,
}

#[derive(Debug)]
enum Patience {
    /// Nothing of it is there.
    Unmoved,
    /// Its first byte is there, since then.
    Since(Instant),
    /// It did not come in one piece: then it is over.
    Until(Pin<Box<Sleep>>),
}

impl Awaited {
    pub(super) fn new(arrival: Arc<Arrival>) -> Self {
        Self { arrival, patience: Patience::Unmoved }
    }

    /// Whether a header is awaited, so that nobody but the HTTP library has read anything of the request.
    pub(super) fn is_header(&self) -> bool {
        self.arrival.so_far().is_some()
    }

    /// Ends a connection whose header is too long in coming, or too long.
    pub(super) fn after(
        &mut self,
        read: Poll<io::Result<()>>,
        came: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(so_far) = self.arrival.so_far() else {
            self.patience = Patience::Unmoved;
            return read;
        };
        if so_far == 0 {
            self.patience = if came > 0 { Patience::Since(Instant::now()) } else { Patience::Unmoved };
        }
        if came > 0 && !self.arrival.came(came) {
            return Poll::Ready(Err(io::Error::other("the header is too long")));
        }
        if let Patience::Since(since) = self.patience
            && (read.is_pending() || so_far > 0)
        {
            self.patience = Patience::Until(Box::pin(tokio::time::sleep_until(since + self.arrival.timeout)));
        }
        match &mut self.patience {
            Patience::Until(over) => match over.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => read,
            },
            Patience::Unmoved | Patience::Since(_) => read,
        }
    }
}
