//! Why a journey ends before its end.

use refusal::Refusal;

use crate::once::Repeat;
use crate::usage::Usage;

/// Ends a step: by our choice, or because something broke.
pub(crate) enum Stop {
    /// An answer that we chose; `answer` renders it.
    Refused(Refusal),
    /// The backend failed, and its call is settled: an answer of ours that says what became of the charge.
    Settled(Refusal, Box<Usage>),
    /// The call was made before: its answer is given again.
    Repeated(Box<Repeat>),
    /// The connection to the client is broken; Pingora ends it.
    Broken(Box<pingora::Error>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Box<pingora::Error>> for Stop {
    fn from(error: Box<pingora::Error>) -> Self {
        Self::Broken(error)
    }
}
