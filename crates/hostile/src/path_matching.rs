//! Paths beside a metered one.

use gateway::{PathReading, read_path};

/// A path that a lenient backend takes for the metered one is metered or refused: it never passes by unpaid.
pub fn path_matching(path: &[u8]) {
    let reading = read_path(path);
    let segments = leniently(path);
    if is_metered(&resolved(&segments)) {
        assert_ne!(reading, PathReading::Passed, "it passes by unpaid");
    }
    if reading == PathReading::Metered {
        assert!(is_metered(&segments), "what is metered is what everybody takes for it");
    }
}

/// Minds neither case nor a format after a dot.
fn is_metered(segments: &[String]) -> bool {
    let is = |segment: &str, name: &str| segment == name || segment.split('.').next() == Some(name);
    matches!(segments, [api, organizations, _, ai] if is(api, "api") && is(organizations, "organizations") && is(ai, "ai"))
}

/// Without segments of nothing, and with dot segments followed.
fn resolved(segments: &[String]) -> Vec<String> {
    let mut path = Vec::new();
    for segment in segments {
        match segment.as_str() {
            "" | "." => {}
            ".." => drop(path.pop()),
            _ => path.push(segment.clone()),
        }
    }
    path
}

/// The segments to one that decodes twice, and minds neither case nor path parameters nor blanks.
fn leniently(path: &[u8]) -> Vec<String> {
    let Some(rest) = path.strip_prefix(b"/") else { return Vec::new() };
    let read = |segment: &[u8]| {
        let text = String::from_utf8_lossy(&decoded(&decoded(segment))).into_owned();
        text.split([';', '?', '#']).next().unwrap_or_default().trim().to_ascii_lowercase()
    };
    let mut segments: Vec<String> = rest.split(|byte| *byte == b'/').map(read).collect();
    if segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    segments
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
