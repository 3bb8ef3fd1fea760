//! Records as bytes: a mark, a length, a checksum, a body. Never trusts a byte that it reads.
//!
//! ```text
//! mark (4) · length of the body (4, little endian) · CRC-32 of length and body (4) · body
//! body: 1 · JSON                 a hold: the event as it stands if the process dies now
//!       2 · number (8) · JSON    a settled event; numbers rise by one
//!       3 · id as text           a hold that leaves no event
//!       4 · number (8)           every event up to this number is in the store
//! ```
//!
//! The mark has bytes that UTF-8 never has, so no JSON contains it: after damage, the next record is found by its mark.

use ledger::{UsageEvent, UsageEventId};
use serde::Deserialize;

use crate::JournalError;

/// What each record starts with.
pub(crate) const MARK: [u8; 4] = [0xFF, b'u', b'e', 0xFE];
/// Bytes before the body.
pub(crate) const HEAD_BYTES: usize = 12;
/// The longest body. An event has some 700 bytes.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 10;
/// The longest record.
pub(crate) const FRAME_BYTES_MAX: usize = HEAD_BYTES + BODY_BYTES_MAX;

const HOLD: u8 = 1;
const SETTLED: u8 = 2;
const FORGOTTEN: u8 = 3;
const APPLIED: u8 = 4;

/// A record as read back.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    Hold(&'a [u8]),
    Settled { number: u64, json: &'a [u8] },
    Forgotten(UsageEventId),
    Applied(u64),
}

/// The id in an event's JSON, read without the rest.
#[derive(Deserialize)]
struct Named {
    id: UsageEventId,
}

pub(crate) fn id_in(json: &[u8]) -> Option<UsageEventId> {
    serde_json::from_slice::<Named>(json).ok().map(|named| named.id)
}

pub(crate) fn hold(event: &UsageEvent) -> Result<Vec<u8>, JournalError> {
    event_frame(HOLD, None, event)
}

/// A settled event whose number is not known yet: `number` sets it.
pub(crate) fn settled(event: &UsageEvent) -> Result<Vec<u8>, JournalError> {
    event_frame(SETTLED, Some(0), event)
}

pub(crate) fn forgotten(id: UsageEventId) -> Vec<u8> {
    let mut frame = start(FORGOTTEN);
    frame.extend_from_slice(id.to_string().as_bytes());
    seal(&mut frame);
    frame
}

pub(crate) fn applied(number: u64) -> Vec<u8> {
    let mut frame = start(APPLIED);
    frame.extend_from_slice(&number.to_le_bytes());
    seal(&mut frame);
    frame
}

/// Gives a settled event its number.
pub(crate) fn number(frame: &mut [u8], number: u64) {
    if let Some(bytes) = frame.get_mut(HEAD_BYTES + 1..HEAD_BYTES + 9) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    seal(frame);
}

fn event_frame(kind: u8, number: Option<u64>, event: &UsageEvent) -> Result<Vec<u8>, JournalError> {
    let mut frame = start(kind);
    if let Some(number) = number {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    serde_json::to_writer(&mut frame, event).map_err(|error| JournalError::Encode(error.into()))?;
    if frame.len() > FRAME_BYTES_MAX {
        return Err(JournalError::RecordTooLarge { bytes: frame.len(), bytes_max: FRAME_BYTES_MAX });
    }
    seal(&mut frame);
    Ok(frame)
}

fn start(kind: u8) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1_024);
    frame.extend_from_slice(&MARK);
    frame.extend_from_slice(&[0; 8]);
    frame.push(kind);
    frame
}

fn seal(frame: &mut [u8]) {
    let Some((head, body)) = frame.split_at_mut_checked(HEAD_BYTES) else { return };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    head[4..8].copy_from_slice(&length);
    head[8..].copy_from_slice(&checksum(&length, body).to_le_bytes());
}

fn checksum(length: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(length);
    crc.update(body);
    crc.finalize()
}

/// What the bytes start with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record of this many bytes.
    Whole(usize),
    /// What could be the beginning of a record.
    Partial,
    /// No record.
    Nothing,
}

pub(crate) fn find(bytes: &[u8]) -> Found {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else {
        let known = bytes.len().min(MARK.len());
        return if bytes[..known] == MARK[..known] { Found::Partial } else { Found::Nothing };
    };
    let length = usize::try_from(little_u32(&head[4..8])).unwrap_or(usize::MAX);
    if head[..4] != MARK || length > BODY_BYTES_MAX || length == 0 {
        return Found::Nothing;
    }
    let Some(body) = rest.get(..length) else { return Found::Partial };
    if checksum(&head[4..8], body) == little_u32(&head[8..12]) {
        Found::Whole(HEAD_BYTES + length)
    } else {
        Found::Nothing
    }
}

/// Reads the body of a whole frame; `None` where it says nothing that is known here.
pub(crate) fn read(frame: &[u8]) -> Option<Record<'_>> {
    let (kind, rest) = frame.get(HEAD_BYTES..)?.split_first()?;
    Some(match *kind {
        HOLD => Record::Hold(rest),
        SETTLED => {
            let (number, json) = rest.split_first_chunk::<8>()?;
            Record::Settled { number: u64::from_le_bytes(*number), json }
        }
        FORGOTTEN => Record::Forgotten(std::str::from_utf8(rest).ok()?.parse().ok()?),
        APPLIED => Record::Applied(u64::from_le_bytes(*rest.first_chunk::<8>()?)),
        _ => return None,
    })
}

fn little_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
