//! The data of our event at a stream's end, so that the stream's own clients get on with it. Whatever the stream was, the
//! event never lacks our `usage`.
//!
//! Most clients never look at it, or skip it by its name. Those of the Vercel AI SDK take every `data:` for one of the API's
//! events, whatever its name and even after `[DONE]`: the last `usage` that they see is the one they report, and Anthropic's
//! provider makes an error of a type that it does not know.

use crate::json::{Fault, Scanner, says};
use crate::splice::splice_usage;

/// The type that carries no state for the Responses clients of OpenAI's SDKs, which fail on one they do not know.
const KEEPALIVE: &str = "keepalive";
/// The type that Anthropic's clients pass over.
const PING: &str = "ping";

/// The data, on one line. `counted` is the stream's last event that had token counts, empty where there was none: its `usage`
/// keeps its fields beside ours, as in a JSON answer.
pub(super) fn data(counted: &[u8], usage: &str) -> String {
    let counted = std::str::from_utf8(counted).ok().and_then(|counted| Counted::read(counted).ok()).unwrap_or_default();
    let kind = if counted.is_message { PING } else { KEEPALIVE };
    let event = |usage: &str| format!(r#"{{"type":"{kind}","choices":[],"usage":{usage}}}"#);
    let theirs = counted.usage.filter(|_| !counted.is_message);
    let merged = theirs.and_then(|theirs| {
        // A line end between two tokens of JSON is a blank; inside of a text there is none.
        let theirs = theirs.replace(['\r', '\n'], " ");
        String::from_utf8(splice_usage(event(&theirs).as_bytes(), usage)?).ok()
    });
    merged.unwrap_or_else(|| event(usage))
}

/// What matters of the event.
#[derive(Default)]
struct Counted<'a> {
    /// Whether it is one of Anthropic's messages.
    is_message: bool,
    usage: Option<&'a str>,
}

impl<'a> Counted<'a> {
    fn read(text: &'a str) -> Result<Self, Fault> {
        let mut counted = Self::default();
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.object(|scanner, key, _| {
            let (from, to) = scanner.value()?;
            let value = text.get(from..to).unwrap_or_default();
            if says(key, "type") {
                counted.is_message = value.starts_with("\"message_");
            } else if says(key, "usage") {
                counted.usage = Some(value).filter(|value| value.starts_with('{'));
            }
            Ok(())
        })?;
        scanner.end()?;
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_event_fits_the_stream() {
        let cases = [
            ("", r#"{"type":"keepalive","choices":[],"usage":{"creditsConsumed":5}}"#),
            (
                r#"{"choices":[],"usage":{"prompt_tokens":19,"warning":1,"x":1.0}}"#,
                r#"{"type":"keepalive","choices":[],"usage":{"prompt_tokens":19,"x":1.0,"creditsConsumed":5}}"#,
            ),
            (
                "{\"usage\":\n{\"prompt_tokens\":\r\n1,\"s\":\"\\n\"}}",
                r#"{"type":"keepalive","choices":[],"usage":{"prompt_tokens":  1,"s":"\n","creditsConsumed":5}}"#,
            ),
            (
                r#"{"type":"message_delta","usage":{"output_tokens":89}}"#,
                r#"{"type":"ping","choices":[],"usage":{"creditsConsumed":5}}"#,
            ),
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":1}}}"#,
                r#"{"type":"ping","choices":[],"usage":{"creditsConsumed":5}}"#,
            ),
            (
                r#"{"type":"response.completed","response":{"usage":{"input_tokens":1}}}"#,
                r#"{"type":"keepalive","choices":[],"usage":{"creditsConsumed":5}}"#,
            ),
            (r#"{"usage":["_tokens"]}"#, r#"{"type":"keepalive","choices":[],"usage":{"creditsConsumed":5}}"#),
            (r#"{"usage":{"_tokens":1}"#, r#"{"type":"keepalive","choices":[],"usage":{"creditsConsumed":5}}"#),
        ];
        for (counted, want) in cases {
            assert_eq!(data(counted.as_bytes(), r#"{"creditsConsumed":5}"#), want, "{counted}");
        }
        assert_eq!(data(b"\xff", "{}"), r#"{"type":"keepalive","choices":[],"usage":{}}"#);
    }
}
