//! A stream of server-sent events, followed for what its events say of the work. The stream itself is not touched.

use std::sync::Arc;

use ledger::ModelUsage;

use super::{Said, UsageReader};

/// The longest event that is looked at, in bytes. A longer one says nothing.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// Room that is kept from event to event.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What a stream said, once it has ended.
pub struct Heard {
    /// Of the work.
    pub usage: ModelUsage,
    /// The last event that counted tokens, as it came; empty where there was none, or a very long one.
    pub counted: Vec<u8>,
}

/// Follows one stream.
pub struct StreamReader {
    reader: Arc<UsageReader>,
    said: Said,
    /// The last event's data that counted tokens.
    counted: Vec<u8>,
    /// The line that has begun.
    line: Vec<u8>,
    /// The data of the event that has begun.
    data: Vec<u8>,
    has_data: bool,
    is_too_long: bool,
    after_cr: bool,
}

impl StreamReader {
    /// A stream that has not begun.
    pub fn new(reader: Arc<UsageReader>) -> Self {
        Self {
            reader,
            said: Said::default(),
            counted: Vec::new(),
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            is_too_long: false,
            after_cr: false,
        }
    }

    /// A piece of the stream, cut anywhere.
    pub fn push(&mut self, mut piece: &[u8]) {
        if std::mem::take(&mut self.after_cr) && piece.first() == Some(&b'\n') {
            piece = piece.get(1..).unwrap_or_default();
        }
        while let Some(at) = memchr::memchr2(b'\n', b'\r', piece) {
            let (line, rest) = piece.split_at(at);
            if self.line.is_empty() {
                self.take_line(line);
            } else {
                self.begin_line(line);
                let line = std::mem::take(&mut self.line);
                self.take_line(&line);
                self.line = emptied(line);
            }
            let ends_in_cr = rest.first() == Some(&b'\r');
            piece = rest.get(1..).unwrap_or_default();
            match piece.first() {
                Some(b'\n') if ends_in_cr => piece = piece.get(1..).unwrap_or_default(),
                None => self.after_cr = ends_in_cr,
                Some(_) => {}
            }
        }
        self.begin_line(piece);
    }

    /// What the stream said. An event that its end left open counts only where the end was clean.
    pub fn finish(mut self, cut: bool) -> Heard {
        if !cut {
            let line = std::mem::take(&mut self.line);
            self.take_line(&line);
            self.take_line(b"");
        }
        Heard { usage: self.said.into_usage(), counted: self.counted }
    }

    fn begin_line(&mut self, part: &[u8]) {
        if self.line.len().saturating_add(part.len()) > EVENT_BYTES_MAX {
            self.is_too_long = true;
            // A field's name is enough to know later that the line was no empty one.
            self.line.truncate(1);
            return;
        }
        self.line.extend_from_slice(part);
    }

    /// A whole line: of an event's data, or the empty one that ends it (WHATWG HTML §9.2).
    fn take_line(&mut self, line: &[u8]) {
        if !line.is_empty() {
            let Some(value) = line.strip_prefix(b"data:") else { return };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            if self.data.len().saturating_add(value.len()) > EVENT_BYTES_MAX {
                self.is_too_long = true;
            }
            if self.is_too_long {
                return self.data.clear();
            }
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            return self.data.extend_from_slice(value);
        }
        if self.has_data && !self.is_too_long {
            let is_marked = self.reader.note(&self.data, |_| true, &mut self.said);
            if is_marked && self.data.len() <= KEPT_BYTES_MAX {
                std::mem::swap(&mut self.counted, &mut self.data);
            }
        }
        self.data = emptied(std::mem::take(&mut self.data));
        self.has_data = false;
        self.is_too_long = false;
    }
}

/// A buffer for the next time, unless it grew large.
fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES_MAX { Vec::new() } else { buffer }
}
