//! Server-sent events on their way through.

use bytes::Bytes;
use payload::events::EventRelay;

/// However a stream is cut into pieces, all of it passes as it came, and what is added at its end is the same.
pub fn sse_relay(input: &[u8]) {
    let Some((first, stream)) = input.split_first() else { return };
    let whole = passed(stream, stream.len().max(1));
    assert!(whole.starts_with(stream), "what came passes first");
    assert!(whole.ends_with(b"\n\n"), "our event is whole");
    assert_eq!(passed(stream, usize::from(*first).max(1)), whole, "in other pieces it is the same");
}

fn passed(stream: &[u8], piece_bytes: usize) -> Vec<u8> {
    let mut relay = EventRelay::new();
    let pieces = stream.chunks(piece_bytes).map(|piece| relay.push(Bytes::copy_from_slice(piece)));
    let mut all: Vec<u8> = pieces.collect::<Vec<_>>().concat();
    all.extend(relay.finish(r#"{"creditsConsumed":1}"#, false));
    all
}
