//! Server-sent events (WHATWG HTML §9.2): each passes as it came; at the stream's end one `usage` event is added.
//!
//! It comes last, after a `data: [DONE]`, because that is where today's clients are safe: those of the OpenAI SDKs read
//! chunks until `[DONE]` and drain the rest unread, so that a loop over `chunk.choices[0]` never meets it; those of the
//! Anthropic SDKs skip events whose name they do not know. For readers that look at every `data:` whatever its
//! name, the object has a `type` and an empty `choices`, the shape that the chat format gives to a chunk about usage.

use bytes::Bytes;

/// Follows one stream, so that the added event starts where the last one ended.
#[derive(Default)]
pub struct EventRelay {
    /// The line ends at the stream's tail, as far as they matter.
    tail: Vec<u8>,
    /// Whether anything but line ends has come.
    begun: bool,
}

/// Line-end bytes that are remembered: two line ends of two bytes.
const TAIL_BYTES_MAX: usize = 4;

impl EventRelay {
    /// A stream that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// A piece of the stream; what of it may go on now, which is all of it.
    pub fn push(&mut self, piece: Bytes) -> Bytes {
        let line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if let Some(last) = piece.iter().rposition(|byte| !line_end(byte)) {
            self.begun = true;
            self.tail = piece.get(last + 1..).unwrap_or_default().iter().take(TAIL_BYTES_MAX).copied().collect();
        } else {
            let room = TAIL_BYTES_MAX.saturating_sub(self.tail.len());
            self.tail.extend(piece.iter().take(room));
        }
        piece
    }

    /// Whether the stream stands between two events.
    pub fn between_events(&self) -> bool {
        !self.begun || self.line_ends() >= 2
    }

    /// The stream's last bytes: our event, after whatever ends the event before it. A stream that was cut inside an
    /// event gets nothing: to end that event would be to deliver it.
    pub fn finish(self, usage: &str, cut: bool) -> Vec<u8> {
        let ending = match self.line_ends() {
            _ if self.between_events() => "",
            _ if cut => return Vec::new(),
            0 => "\n\n",
            _ => "\n",
        };
        format!("{ending}event: usage\ndata: {{\"type\":\"usage\",\"choices\":[],\"usage\":{usage}}}\n\n").into_bytes()
    }

    fn line_ends(&self) -> usize {
        let pairs = self.tail.windows(2).filter(|pair| *pair == b"\r\n").count();
        self.tail.len() - pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: &str = "event: usage\ndata: {\"type\":\"usage\",\"choices\":[],\"usage\":{\"creditsConsumed\":5}}\n\n";

    fn relay(pieces: &[&[u8]], cut: bool) -> String {
        let mut relay = EventRelay::new();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&relay.push(Bytes::copy_from_slice(piece)));
        }
        out.extend(relay.finish("{\"creditsConsumed\":5}", cut));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn our_event_is_last_and_stands_alone() {
        let cases = [
            ("", ""),
            ("data: a\n\n", ""),
            ("data: a\r\n\r\n", ""),
            ("data: a\r\r", ""),
            ("data: a\n\ndata: [DONE]\n\n", ""),
            ("data: a\n\n\n\n\n", ""),
            (": heartbeat\n\n", ""),
            ("data: [DONE]\n", "\n"),
            ("data: [DONE]\r\n", "\n"),
            ("data: [DONE]", "\n\n"),
        ];
        for (stream, ending) in cases {
            assert_eq!(relay(&[stream.as_bytes()], false), format!("{stream}{ending}{OURS}"), "{stream:?}");
        }
    }

    #[test]
    fn a_stream_cut_inside_an_event_is_not_completed() {
        assert_eq!(relay(&[b"data: {\"a\":"], true), "data: {\"a\":");
        assert_eq!(relay(&[b"data: a\n"], true), "data: a\n");
        assert_eq!(relay(&[b"data: a\n\n"], true), format!("data: a\n\n{OURS}"));
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_into_pieces_it_ends_the_same(stream in "(data: [a-c]{0,2}|: |\r|\n|\r\n){0,12}", at: prop::sample::Index, then: prop::sample::Index) {
            let bytes = stream.as_bytes();
            let (one, two) = (at.index(bytes.len() + 1), then.index(bytes.len() + 1));
            let (one, two) = (one.min(two), one.max(two));
            prop_assert_eq!(relay(&[&bytes[..one], &bytes[one..two], &bytes[two..]], false), relay(&[bytes], false));
        }
    }
}
