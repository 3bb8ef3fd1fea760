//! The trace that a request belongs to (W3C Trace Context): the client's, or a new one.

use pingora::http::RequestHeader;
use uuid::Uuid;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Passes a sound trace on and begins one where there is none.
pub(super) fn tell(request: &mut RequestHeader) -> pingora::Result<()> {
    let mut given = request.headers.get_all(TRACEPARENT).iter();
    match (given.next(), given.next()) {
        (Some(one), None) if is_sound(one.as_bytes()) => return Ok(()),
        _ => {}
    }
    // The state belongs to the trace that is not there.
    request.remove_header(TRACESTATE);
    request.remove_header(TRACEPARENT);
    let (trace, parent) = (Uuid::now_v7(), Uuid::now_v7());
    // Its last half is random, and never zero for the bits that name the variant.
    let (_, parent) = parent.as_u64_pair();
    request.insert_header(TRACEPARENT, format!("00-{}-{parent:016x}-00", trace.as_simple()))
}

fn is_sound(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte));
    let some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    let Some((known, more)) = value.split_at_checked(55) else { return false };
    let (version, trace, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let dashes = known[2] == b'-' && known[35] == b'-' && known[52] == b'-';
    let longer = if version == b"00" { more.is_empty() } else { more.is_empty() || more[0] == b'-' };
    let parts = hex(version) && version != b"ff" && hex(trace) && some(trace) && hex(parent) && some(parent);
    dashes && longer && parts && hex(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_sound_trace_is_passed_on_and_any_other_replaced() {
        let given: [(&[&str], bool); 9] = [
            (&[SOUND], true),
            (&["01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"], true),
            (&[], false),
            (&[SOUND, SOUND], false),
            (&["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"], false),
            (&["00-00000000000000000000000000000000-00f067aa0ba902b7-01"], false),
            (&["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"], false),
            (&["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], false),
            (&["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"], false),
        ];
        for (values, passed) in given {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            request.insert_header(TRACESTATE, "vendor=1").unwrap();
            for value in values {
                request.append_header(TRACEPARENT, *value).unwrap();
            }
            tell(&mut request).unwrap();
            let sent: Vec<_> = request.headers.get_all(TRACEPARENT).iter().collect();
            assert_eq!(sent.len(), 1, "{values:?}");
            assert!(is_sound(sent[0].as_bytes()), "{values:?}");
            assert_eq!(values.contains(&sent[0].to_str().unwrap()), passed, "{values:?}");
            assert_eq!(request.headers.contains_key(TRACESTATE), passed, "{values:?}");
        }
    }
}
