//! `[settlement]`: what becomes of a hold where the backend did not succeed.

use crate::document::Document;
use crate::section::Section;

/// What becomes of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Given back.
    Void,
    /// Charged.
    Capture,
}

/// `[settlement]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The backend answered 4xx.
    pub client_error: Verdict,
    /// It answered 5xx, or broke off before anything of its answer was passed on.
    pub server_error: Verdict,
    /// It did not answer in time.
    pub timeout: Verdict,
    /// It broke off after a part of its answer was passed on: a stream, or an answer that is too long to be kept.
    pub cut_stream: Verdict,
    /// The gateway died before the call ended.
    pub interrupted: Verdict,
}

impl Settlement {
    pub(crate) fn read(document: &mut Document) -> Self {
        let choices = [("void", Verdict::Void), ("capture", Verdict::Capture)];
        let mut section = Section::open(document, "settlement");
        let read = Self {
            client_error: section.choice("client_error", Verdict::Void, &choices),
            server_error: section.choice("server_error", Verdict::Void, &choices),
            timeout: section.choice("timeout", Verdict::Void, &choices),
            cut_stream: section.choice("cut_stream", Verdict::Capture, &choices),
            interrupted: section.choice("interrupted", Verdict::Void, &choices),
        };
        section.close();
        read
    }
}
