//! Paths beside a metered one.

use gateway::{PathReading, read_path};

/// A path that a lenient backend takes for the metered one is metered or refused: it never passes by unpaid.
pub fn path_matching(path: &[u8]) {
    let reading = read_path(path);
    if is_metered_to_a_lenient_reader(path) {
        assert_ne!(reading, PathReading::Passed, "it passes by unpaid");
    }
    if reading == PathReading::Metered {
        assert!(is_metered_to_a_lenient_reader(path), "what is metered is what everybody takes for it");
    }
}

/// One that decodes twice, and minds neither case nor path parameters, blanks nor a slash at the end.
fn is_metered_to_a_lenient_reader(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    let read = |segment: &[u8]| {
        let text = String::from_utf8_lossy(&decoded(&decoded(segment))).into_owned();
        text.split([';', '?', '#']).next().unwrap_or_default().trim().to_ascii_lowercase()
    };
    let mut segments: Vec<String> = rest.split(|byte| *byte == b'/').map(read).collect();
    if segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    matches!(&segments[..], [api, organizations, id, ai] if api == "api" && organizations == "organizations" && !id.is_empty() && ai == "ai")
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    plain
}
