//! Server-sent events (WHATWG HTML §9.2): each passes as it came; at the stream's end one `usage` event is added.
//!
//! It comes last, after a `data: [DONE]`, because that is where today's clients are safe. Those of the OpenAI SDKs stop at
//! `[DONE]`, so that a loop over `chunk.choices[0]` never meets it and the model's own count of tokens stands. Those of the
//! Anthropic SDKs either skip events whose name they do not know or hand them on as one more event after `message_stop`.
//!
//! What the object has besides `usage` is for readers that look at every `data:` whatever its name: a `type` that its clients
//! pass over (`closing.rs`), and `choices` that are empty, as in a chat chunk about usage.

mod closing;

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
    /// event gets nothing: to end that event would be to deliver it. `counted` is what [`crate::usage::Heard`] has of it.
    pub fn finish(self, usage: &str, counted: &[u8], cut: bool) -> Vec<u8> {
        let ending = if self.between_events() {
            ""
        } else if cut {
            return Vec::new();
        } else if self.tail.last() == Some(&b'\n') {
            "\n"
        } else {
            // After a lone CR too: one LF would be its second half and no line end of its own.
            "\n\n"
        };
        format!("{ending}event: usage\ndata: {}\n\n", closing::data(counted, usage)).into_bytes()
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

    const OURS: &str =
        "event: usage\ndata: {\"type\":\"keepalive\",\"choices\":[],\"usage\":{\"creditsConsumed\":5}}\n\n";

    fn relay(pieces: &[&[u8]], cut: bool) -> String {
        let mut relay = EventRelay::new();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&relay.push(Bytes::copy_from_slice(piece)));
        }
        out.extend(relay.finish("{\"creditsConsumed\":5}", b"", cut));
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
            ("data: [DONE]\r", "\n\n"),
            ("data: [DONE]", "\n\n"),
            ("\u{feff}", "\n\n"),
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

    /// What a browser makes of a stream: the events with data, as (name, data).
    fn events(stream: &str) -> Vec<(String, String)> {
        let text = stream.strip_prefix('\u{feff}').unwrap_or(stream).replace("\r\n", "\n").replace('\r', "\n");
        let (mut events, mut name, mut data) = (Vec::new(), String::new(), Vec::new());
        let whole_lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        for line in whole_lines.split('\n') {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                _ if line.is_empty() => {
                    let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
                    events.extend((!data.is_empty()).then(|| (name, data.join("\n"))));
                }
                "event" => name = value.to_owned(),
                "data" => data.push(value.to_owned()),
                _ => {}
            }
        }
        events
    }

    proptest! {
        #[test]
        fn however_a_stream_is_cut_into_pieces_it_ends_the_same(stream in "(data: [a-c]{0,2}|: |\r|\n|\r\n){0,12}", at: prop::sample::Index, then: prop::sample::Index) {
            let bytes = stream.as_bytes();
            let (one, two) = (at.index(bytes.len() + 1), then.index(bytes.len() + 1));
            let (one, two) = (one.min(two), one.max(two));
            prop_assert_eq!(relay(&[&bytes[..one], &bytes[one..two], &bytes[two..]], false), relay(&[bytes], false));
        }

        #[test]
        fn a_browser_sees_the_same_events_and_then_ours(stream in "\u{feff}?((event|data|id|x)?:? ?[a-c]{0,2}(\r|\n|\r\n|\n\n)){0,12}(data: [a-c]{0,2})?") {
            let seen = events(&relay(&[stream.as_bytes()], false));
            let ours = ("usage".to_owned(), "{\"type\":\"keepalive\",\"choices\":[],\"usage\":{\"creditsConsumed\":5}}".to_owned());
            let (last, before) = seen.split_last().unwrap();
            prop_assert_eq!(last, &ours);
            // Only an event that the stream did not finish may be there besides.
            let theirs = events(&stream);
            prop_assert_eq!(&before[..theirs.len()], &theirs[..]);
            prop_assert!(before.len() <= theirs.len() + 1);
            let cut = events(&relay(&[stream.as_bytes()], true));
            prop_assert_eq!(&cut[..theirs.len()], &theirs[..]);
            prop_assert!(cut[theirs.len()..].iter().all(|event| *event == ours));
        }
    }
}
