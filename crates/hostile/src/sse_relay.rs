//! Server-sent events on their way through.

use std::sync::Arc;

use bytes::Bytes;
use payload::events::EventRelay;
use payload::usage::{StreamReader, UsageReader, UsageRules};
use serde_json::Value;

/// However a stream is cut into pieces, all of it passes as it came, and what is added at its end is the same: one event of
/// one line, with our figures, whatever the stream said of its own.
pub fn sse_relay(input: &[u8]) {
    let Some((first, stream)) = input.split_first() else { return };
    let whole = passed(stream, stream.len().max(1));
    assert!(whole.starts_with(stream), "what came passes first");
    assert!(whole.ends_with(b"\n\n"), "our event is whole");
    assert_eq!(passed(stream, usize::from(*first).max(1)), whole, "in other pieces it is the same");
    let added = whole.get(stream.len()..).unwrap_or_default().trim_ascii();
    let data = added.strip_prefix(b"event: usage\ndata: ").unwrap_or_default();
    assert!(data.starts_with(b"{"), "our event has its name and its data");
    assert!(!data.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "its data is one line");
    // What serde_json does not read, such as a number past its range, is no business of this property.
    let Ok(ours) = serde_json::from_slice::<Value>(data) else { return };
    let figure = ours.get("usage").and_then(|usage| usage.get("creditsConsumed"));
    assert_eq!(figure, Some(&Value::from(1)), "our figures are in it");
}

fn passed(stream: &[u8], piece_bytes: usize) -> Vec<u8> {
    let Ok(shapes) = UsageReader::new(UsageRules::default()) else { return Vec::new() };
    let (mut relay, mut reader) = (EventRelay::new(), StreamReader::new(Arc::new(shapes)));
    let mut all = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        reader.push(piece);
        all.extend(relay.push(Bytes::copy_from_slice(piece)));
    }
    all.extend(relay.finish(r#"{"creditsConsumed":1}"#, &reader.finish(false).counted, false));
    all
}
