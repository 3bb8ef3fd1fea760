//! Segment files: their names, their header, and a reader that survives any damage.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::frame::{self, Found};

/// The version of the format, in each file's header. Every later version keeps the header's shape.
pub(crate) const VERSION: u32 = 1;
/// Magic (8), version (4), sequence (8), CRC-32 of those (4).
pub(crate) const HEADER_BYTES: usize = 24;
/// The same, as a place in a file.
pub(crate) const HEADER_END: u64 = 24;

const MAGIC: [u8; 8] = *b"UEJOURNL";
const EXTENSION: &str = ".journal";
/// Two of the longest records: the reader's memory.
const BUFFER_BYTES: usize = 2 * frame::FRAME_BYTES_MAX;

/// A place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

pub(crate) fn file_name(sequence: u64) -> String {
    format!("{sequence:020}{EXTENSION}")
}

/// The segments in a directory, oldest first.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
        found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

pub(crate) fn header(sequence: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Ours,
    OtherVersion(u32),
    Damaged,
}

pub(crate) fn read_header(path: &Path, sequence: u64) -> io::Result<Header> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    File::open(path)?.take(HEADER_END).read_to_end(&mut bytes)?;
    if bytes == header(sequence) {
        return Ok(Header::Ours);
    }
    let version = bytes.get(8..12).and_then(<[u8]>::first_chunk).map_or(VERSION, |bytes| u32::from_le_bytes(*bytes));
    let intact = bytes.len() == HEADER_BYTES
        && bytes.starts_with(&MAGIC)
        && bytes.ends_with(&crc32fast::hash(&bytes[..HEADER_BYTES - 4]).to_le_bytes());
    Ok(if intact && version != VERSION { Header::OtherVersion(version) } else { Header::Damaged })
}

/// A stretch of a segment: one record, or bytes that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) whole: bool,
}

/// Reads a segment record by record, with bounded memory.
pub(crate) struct SegmentReader {
    file: io::Take<File>,
    buffer: Vec<u8>,
    /// Where in the file the buffer starts.
    base: u64,
    /// The piece that was found last, within the buffer.
    start: usize,
    end: usize,
    ended: bool,
}

impl SegmentReader {
    /// Reads from `from` up to `to`, or to the end of the file.
    pub(crate) fn open(path: &Path, from: u64, to: Option<u64>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        let file = file.take(to.unwrap_or(u64::MAX).saturating_sub(from));
        Ok(Self { file, buffer: Vec::new(), base: from, start: 0, end: 0, ended: false })
    }

    /// The next piece; its bytes are in `bytes` until the next call.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        self.start = self.end;
        self.fill()?;
        let rest = &self.buffer[self.start..];
        if rest.is_empty() {
            return Ok(None);
        }
        if rest[0] == 0 && self.is_zeros_to_the_end()? {
            return Ok(None);
        }
        let (length, whole) = match frame::find(rest) {
            Found::Whole(length) => (length, true),
            Found::Partial | Found::Nothing => (self.damaged_bytes(rest), false),
        };
        self.end = self.start + length;
        Ok(Some(Piece { offset: self.base + widen(self.start), bytes: widen(length), whole }))
    }

    /// The bytes of the piece that was found last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether nothing was ever written from here on, in a file that was made of zeros.
    fn is_zeros_to_the_end(&self) -> io::Result<bool> {
        let zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        if !zeros(&self.buffer[self.start..]) {
            return Ok(false);
        }
        let mut at = self.base + widen(self.buffer.len());
        let mut left = self.file.limit();
        let mut bytes = vec![0; BUFFER_BYTES];
        while left > 0 {
            let wanted = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let got = self.file.get_ref().read_at(&mut bytes[..wanted], at)?;
            if got == 0 {
                break;
            }
            if !zeros(&bytes[..got]) {
                return Ok(false);
            }
            at += widen(got);
            left = left.saturating_sub(widen(got));
        }
        Ok(true)
    }

    /// How far the next record is, or what could be one once more is read.
    fn damaged_bytes(&self, rest: &[u8]) -> usize {
        let could_start = |at: &usize| match frame::find(&rest[*at..]) {
            Found::Whole(_) => true,
            Found::Partial => !self.ended,
            Found::Nothing => false,
        };
        (1..rest.len()).filter(|at| rest[*at] == frame::MARK[0]).find(could_start).unwrap_or(rest.len())
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.ended || self.buffer.len() - self.start >= frame::FRAME_BYTES_MAX {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.base += widen(self.start);
        (self.start, self.end) = (0, 0);
        let wanted = widen(BUFFER_BYTES.saturating_sub(self.buffer.len()));
        let got = self.file.by_ref().take(wanted).read_to_end(&mut self.buffer)?;
        self.ended = widen(got) < wanted;
        Ok(())
    }
}

/// A length as a place in a file.
pub(crate) fn widen(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
