//! The path as the boundary of authorisation: one reading of it, or none.
//!
//! What is matched, authorised and priced here is what the backend receives, byte for byte; so a path that a backend
//! could read as another one is refused, never repaired (RFC 3986 §6 lists the repairs that others make).

/// A path with one reading: its segments, percent-decoded once. The root has none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CanonicalPath {
    segments: Vec<String>,
}

impl CanonicalPath {
    /// The decoded segments. A trailing slash shows as a last, empty one.
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }
}

/// Reads a request's path, without its query. Says what makes it ambiguous.
pub(crate) fn read(path: &[u8]) -> Result<CanonicalPath, &'static str> {
    if path == b"*" {
        return Ok(CanonicalPath { segments: vec!["*".to_owned()] });
    }
    let Some(rest) = path.strip_prefix(b"/") else { return Err("no slash at its start") };
    if rest.is_empty() {
        return Ok(CanonicalPath { segments: Vec::new() });
    }
    let mut segments = Vec::with_capacity(8);
    let mut parts = rest.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() && parts.peek().is_some() {
            return Err("a doubled slash");
        }
        segments.push(segment(part)?);
    }
    Ok(CanonicalPath { segments })
}

fn segment(raw: &[u8]) -> Result<String, &'static str> {
    let once = decode(raw, "a bad percent escape")?;
    if once == b"." || once == b".." {
        return Err("a dot segment");
    }
    let twice = decoded_again(&once);
    if twice == b"." || twice == b".." || twice.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f)) {
        return Err("a doubly encoded separator");
    }
    if matches!(bare(&twice), b"." | b"..") {
        return Err("a dot segment with parameters");
    }
    String::from_utf8(once).map_err(|_| "bytes that are not UTF-8")
}

/// A segment without path parameters, what looks like a query or fragment, and blanks around it.
pub(crate) fn bare(segment: &[u8]) -> &[u8] {
    segment.split(|byte| matches!(byte, b';' | b'?' | b'#')).next().unwrap_or_default().trim_ascii()
}

/// What a backend makes of a segment that it decodes once more than it should. A stray percent sign is no escape.
pub(crate) fn decoded_again(once: &[u8]) -> Vec<u8> {
    let mut twice = Vec::with_capacity(once.len());
    let mut rest = once;
    while let Some((byte, after)) = rest.split_first() {
        let escape = |digits: &[u8; 2]| Some(hex(digits[0])? << 4 | hex(digits[1])?);
        let escaped = after.split_first_chunk().filter(|_| *byte == b'%');
        let decoded = escaped.and_then(|(digits, after)| Some((escape(digits)?, after)));
        let (byte, after) = decoded.unwrap_or((*byte, after));
        twice.push(byte);
        rest = after;
    }
    twice
}

fn decode(raw: &[u8], bad_escape: &'static str) -> Result<Vec<u8>, &'static str> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        let escaped = byte == b'%';
        let byte = if escaped {
            let digits = bytes.next().and_then(hex).zip(bytes.next().and_then(hex));
            digits.map(|(high, low)| high << 4 | low).ok_or(bad_escape)?
        } else {
            byte
        };
        match byte {
            b'/' => return Err("an encoded slash"),
            b'\\' => return Err("a backslash"),
            0..=0x1f | 0x7f => return Err("a control byte"),
            b'#' | b'?' if !escaped => return Err("a fragment"),
            0x80.. if !escaped => return Err("bytes that must be percent-encoded"),
            _ => decoded.push(byte),
        }
    }
    Ok(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    use proptest::prelude::*;

    #[test]
    fn a_path_with_one_reading_is_split_and_decoded() {
        let cases: [(&str, &[&str]); 10] = [
            ("/", &[]),
            ("/a/b", &["a", "b"]),
            ("/a/", &["a", ""]),
            ("/a%20b/%E2%82%AC", &["a b", "€"]),
            ("/a%2Db", &["a-b"]),
            ("/...", &["..."]),
            ("/100%25", &["100%"]),
            ("/100%25zz", &["100%zz"]),
            ("/a%2520b", &["a%20b"]),
            ("/a;x=1", &["a;x=1"]),
        ];
        for (path, want) in cases {
            assert_eq!(
                read(path.as_bytes()).map(|path| path.segments),
                Ok(want.iter().map(ToString::to_string).collect())
            );
        }
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        let cases: [(&[u8], &str); 28] = [
            (b"", "no slash at its start"),
            (b"a", "no slash at its start"),
            (b"//a", "a doubled slash"),
            (b"/a//b", "a doubled slash"),
            (b"/a//", "a doubled slash"),
            (b"/a/./b", "a dot segment"),
            (b"/a/../b", "a dot segment"),
            (b"/a/..", "a dot segment"),
            (b"/a/%2e%2E/b", "a dot segment"),
            (b"/a/.%2e/b", "a dot segment"),
            (b"/a/..;/b", "a dot segment with parameters"),
            (b"/a/.;x=1/b", "a dot segment with parameters"),
            (b"/a/..%20/b", "a dot segment with parameters"),
            (b"/a/%252e.%253Bx/b", "a dot segment with parameters"),
            (b"/a%2Fb", "an encoded slash"),
            (b"/a%5cb", "a backslash"),
            (b"/a\\b", "a backslash"),
            (b"/a%00", "a control byte"),
            (b"/a%0d%0ab", "a control byte"),
            (b"/a%7f", "a control byte"),
            (b"/a%", "a bad percent escape"),
            (b"/a%2", "a bad percent escape"),
            (b"/a%zz", "a bad percent escape"),
            (b"/a%252e%252e", "a doubly encoded separator_or_not"),
            (b"/a/%252e%252e/b", "a doubly encoded separator"),
            (b"/a%252Fb", "a doubly encoded separator"),
            (b"/a%25zz%255cb", "a doubly encoded separator"),
            (b"/a%250db", "a doubly encoded separator"),
        ];
        for (path, want) in cases {
            match read(path) {
                Err(why) => assert_eq!(why, want, "{}", String::from_utf8_lossy(path)),
                // `a..` is no dot segment however often it is decoded.
                Ok(_) => assert_eq!(path, b"/a%252e%252e"),
            }
        }
    }

    proptest! {
        // Whatever is read can be written again in the simplest way and reads the same: there is no second reading.
        #[test]
        fn what_is_read_reads_the_same_when_written_again(path in "/[a-c./%250-2eEfF;\\\\é]{0,24}") {
            if let Ok(read_once) = read(path.as_bytes()) {
                let mut again = String::new();
                for segment in read_once.segments() {
                    again.push('/');
                    for byte in segment.bytes() {
                        if byte.is_ascii_alphanumeric() || byte == b'.' { again.push(char::from(byte)) } else { write!(again, "%{byte:02X}").unwrap() }
                    }
                }
                if again.is_empty() { again.push('/') }
                prop_assert_eq!(read(again.as_bytes()), Ok(read_once));
            }
        }
    }
}
