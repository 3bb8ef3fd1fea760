//! Where an HTTP/1.1 message ends: just enough for messages that the bench itself makes or causes. It must never guess:
//! what it cannot frame is an error.

use anyhow::{Context as _, bail};
use memchr::memmem;

/// The longest head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The length of the first message in `bytes`, or nothing while it is not yet whole.
pub(crate) fn first_message(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
        if bytes.len() > HEAD_BYTES_MAX {
            bail!("a head is longer than {HEAD_BYTES_MAX} bytes");
        }
        return Ok(None);
    };
    let (head, head_bytes) = (bytes.get(..end).unwrap_or_default(), end.saturating_add(4));
    let whole = head_bytes.saturating_add(body_bytes(head)?);
    Ok((bytes.len() >= whole).then_some(whole))
}

/// Whether an answer is a success.
pub(crate) fn succeeded(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 2")
}

fn body_bytes(head: &[u8]) -> anyhow::Result<usize> {
    let mut length = 0;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value.get(1..).unwrap_or_default())?;
            length = text.trim().parse().with_context(|| format!("a content length of {text:?}"))?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            bail!("a message in chunks: the bench knows messages of known length only");
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_length_says() {
        let cases: [(&str, Option<usize>); 7] = [
            ("", None),
            ("GET / HTTP/1.1\r\n", None),
            ("GET / HTTP/1.1\r\n\r\n", Some(18)),
            ("GET / HTTP/1.1\r\n\r\nGET", Some(18)),
            ("HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\n\r\nab", None),
            ("HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\n\r\nabc", Some(43)),
            ("HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\n\r\nabcd", Some(43)),
        ];
        for (bytes, want) in cases {
            assert_eq!(first_message(bytes.as_bytes()).unwrap(), want, "{bytes:?}");
        }
    }

    #[test]
    fn what_cannot_be_framed_is_an_error() {
        for head in ["Content-Length: many", "Content-Length: -1", "Transfer-Encoding: chunked"] {
            assert!(first_message(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).is_err(), "{head}");
        }
        assert!(first_message(&vec![b'x'; HEAD_BYTES_MAX]).unwrap().is_none());
        assert!(first_message(&vec![b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
