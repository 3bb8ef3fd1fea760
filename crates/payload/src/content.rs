//! What a body is by its header, and gzip undone within bounds.

use std::io::{Read, Write};

use flate2::{read, write};

/// Whether a `Content-Type` says JSON: `application/json`, `text/json` or any `+json` (RFC 6839).
pub fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence == "application/json" || essence == "text/json" || (essence.contains('/') && essence.ends_with("+json"))
}

/// Whether a `Content-Type` says server-sent events.
pub fn is_event_stream(content_type: &str) -> bool {
    essence(content_type) == "text/event-stream"
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Why a compressed body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GunzipError {
    /// It is no gzip, or is damaged.
    #[error("the gzip body is damaged")]
    Damaged(#[source] std::io::Error),
    /// It grows past the bound.
    #[error("the gzip body is larger than {0} bytes")]
    TooLarge(usize),
}

/// Undoes gzip, of one member or many, up to `bytes_max` bytes.
pub fn gunzip_bounded(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, GunzipError> {
    let one_more = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut plain = Vec::new();
    read::MultiGzDecoder::new(body).take(one_more).read_to_end(&mut plain).map_err(GunzipError::Damaged)?;
    if plain.len() > bytes_max { Err(GunzipError::TooLarge(bytes_max)) } else { Ok(plain) }
}

/// Undoes gzip, of one member or many, piece by piece, each piece at once.
pub struct Gunzip {
    decoder: write::MultiGzDecoder<Bounded>,
}

/// Collects what one piece gives, up to a bound.
struct Bounded {
    plain: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, plain: &[u8]) -> std::io::Result<usize> {
        if self.plain.len().saturating_add(plain.len()) > self.bytes_max {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "too large"));
        }
        self.plain.extend_from_slice(plain);
        Ok(plain.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Gunzip {
    /// A decoder of which no piece may give more than `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { decoder: write::MultiGzDecoder::new(Bounded { plain: Vec::new(), bytes_max }) }
    }

    /// What a piece gives.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, GunzipError> {
        let decoded = self.decoder.write_all(piece).and_then(|()| self.decoder.flush());
        self.plain_after(decoded)
    }

    /// The rest, if any. A body that stops before its checksum is damaged: without this a cut would look like an end.
    pub fn finish(mut self) -> Result<Vec<u8>, GunzipError> {
        let finished = self.decoder.try_finish();
        self.plain_after(finished)
    }

    fn plain_after(&mut self, decoded: std::io::Result<()>) -> Result<Vec<u8>, GunzipError> {
        let target = self.decoder.get_mut();
        match decoded {
            Ok(()) => Ok(std::mem::take(&mut target.plain)),
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                Err(GunzipError::TooLarge(target.bytes_max))
            }
            Err(error) => Err(GunzipError::Damaged(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn content_types_are_told_apart() {
        for (content_type, json, events) in [
            ("application/json", true, false),
            ("Application/JSON; charset=utf-8", true, false),
            ("application/problem+json", true, false),
            ("application/jsonl", false, false),
            ("text/event-stream; charset=utf-8", false, true),
            ("text/html", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_json(content_type), is_event_stream(content_type)), (json, events), "{content_type}");
        }
    }

    #[test]
    fn gzip_is_undone_up_to_its_bound_and_not_past_it() {
        let plain = vec![b'x'; 100_000];
        assert_eq!(gunzip_bounded(&gzip(&plain), 100_000).unwrap(), plain);
        assert!(matches!(gunzip_bounded(&gzip(&plain), 99_999), Err(GunzipError::TooLarge(99_999))));
        let two = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(gunzip_bounded(&two, 10).unwrap(), b"ab");
        assert!(matches!(gunzip_bounded(b"plain", 10), Err(GunzipError::Damaged(_))));
        let whole = gzip(&plain);
        assert!(matches!(gunzip_bounded(&whole[..whole.len() - 3], 100_000), Err(GunzipError::Damaged(_))));
    }

    #[test]
    fn a_compressed_stream_passes_piece_by_piece() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"data: a\n\n").unwrap();
        encoder.flush().unwrap();
        let first = std::mem::take(encoder.get_mut());
        encoder.write_all(b"data: b\n\n").unwrap();
        let second = encoder.finish().unwrap();
        let mut gunzip = Gunzip::new(64);
        assert_eq!(gunzip.push(&first).unwrap(), b"data: a\n\n");
        assert_eq!(gunzip.push(&second).unwrap(), b"data: b\n\n");
        assert!(matches!(Gunzip::new(64).push(&gzip(&[0; 65])), Err(GunzipError::TooLarge(64))));
        assert!(matches!(Gunzip::new(64).push(b"not gzip at all"), Err(GunzipError::Damaged(_))));
    }

    #[test]
    fn a_compressed_stream_may_be_cut_anywhere_and_must_be_whole_at_its_end() {
        let whole = [gzip(b"data: a\n\n"), gzip(b"data: b\n\n")].concat();
        for at in 0..=whole.len() {
            let mut gunzip = Gunzip::new(64);
            let mut plain = gunzip.push(&whole[..at]).unwrap();
            plain.extend(gunzip.push(&whole[at..]).unwrap());
            plain.extend(gunzip.finish().unwrap());
            assert_eq!(plain, b"data: a\n\ndata: b\n\n", "cut at {at}");
        }
        let end_of_the_first = gzip(b"data: a\n\n").len();
        for at in (1..whole.len()).filter(|at| *at != end_of_the_first) {
            let mut gunzip = Gunzip::new(64);
            gunzip.push(&whole[..at]).unwrap();
            assert!(matches!(gunzip.finish(), Err(GunzipError::Damaged(_))), "ends at {at}");
        }
    }

    #[test]
    fn what_follows_a_gzip_body_must_be_gzip_too() {
        for garbage in [&b"x"[..], b"\0", b"\0\0\0\0\0\0\0\0\0\0\0\0", b"garbage after the end of the body"] {
            let body = [&gzip(b"a")[..], garbage].concat();
            assert!(matches!(gunzip_bounded(&body, 10), Err(GunzipError::Damaged(_))), "{garbage:?}");
            let mut gunzip = Gunzip::new(10);
            let pushed = gunzip.push(&body).and_then(|_| gunzip.finish());
            assert!(matches!(pushed, Err(GunzipError::Damaged(_))), "{garbage:?}");
        }
        assert!(matches!(gunzip_bounded(b"", 10), Err(GunzipError::Damaged(_))), "nothing is no gzip");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_bound() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(matches!(gunzip_bounded(&bomb, 1 << 20), Err(GunzipError::TooLarge(_))));
        assert!(matches!(Gunzip::new(1 << 20).push(&bomb), Err(GunzipError::TooLarge(_))));
        assert_eq!(Gunzip::new(3).push(&gzip(b"abc")).unwrap(), b"abc");
    }
}
