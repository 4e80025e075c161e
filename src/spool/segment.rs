//! The format of a segment file, and reading one.
//!
//! A segment is a header and records, one behind the other to the end of the file. Numbers
//! are little endian.
//!
//! | bytes | header |
//! | --- | --- |
//! | 8 | `bzwspool` |
//! | 4 | version, 1 |
//! | 4 | length of the header |
//! | 8 | identity: a hash of log path and endpoint |
//! | 8 | number of the segment, as in the file's name |
//! | 8 | sequence number of its first record |
//! | 24 | where reading goes on behind its end: segment, offset, sequence number; zero: the next segment |
//! | … | log path and endpoint, for people to read |
//! | 4 | CRC32C of the header up to here |
//!
//! | bytes | record |
//! | --- | --- |
//! | 4 | length of its data |
//! | 4 | CRC32C of the segment's number, the record's offset (8 bytes each), the length, and the data |
//! | … | data |
//!
//! Later versions keep the header's first three fields and its last. So a newer file can be told from a
//! damaged file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crc32c::{crc32c, crc32c_append};

use super::{Position, word};

const MAGIC: [u8; 8] = *b"bzwspool";
const VERSION: u32 = 1;
/// The header's fields of fixed size in front of the text.
const FIXED: usize = 64;
/// Log path and endpoint are cut to so many bytes in the header.
const MAX_TEXT: usize = 512;
/// The longest header of any version.
const MAX_HEADER: u64 = 1 << 16;
/// Length and checksum in front of a record's data.
pub(super) const FRAME: u64 = 8;

/// The log path and endpoint that segments belong to.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    hash: u64,
    text: Vec<u8>,
}

impl Identity {
    pub(super) fn new(path: &str, endpoint: &str) -> Self {
        // FNV-1a: the same in every version of the program. No text contains 0xff.
        let bytes = path.bytes().chain([0xff]).chain(endpoint.bytes());
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut text = format!("{path} {endpoint}").into_bytes();
        text.truncate(MAX_TEXT);
        Self { hash, text }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Length of a segment's header.
    pub(super) fn header_len(&self) -> u64 {
        (FIXED + self.text.len() + 4) as u64
    }

    /// A segment's header.
    pub(super) fn header(&self, number: u64, first: u64, resume: Option<Position>) -> Vec<u8> {
        let resume = resume.unwrap_or_default();
        let mut header = Vec::with_capacity(FIXED + self.text.len() + 4);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&(self.header_len() as u32).to_le_bytes());
        for word in [self.hash, number, first, resume.segment, resume.offset, resume.record] {
            header.extend_from_slice(&word.to_le_bytes());
        }
        header.extend_from_slice(&self.text);
        header.extend_from_slice(&crc32c(&header).to_le_bytes());
        header
    }
}

/// What a segment's header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Sequence number of its first record, and where reading goes on behind it.
    Whole { first: u64, resume: Option<Position> },
    /// The header is damaged; the records may be whole. `ours` is false if the file does not begin like a
    /// segment or with zeros: it may be another program's.
    Damaged { ours: bool },
    /// A later version of the program wrote it.
    Newer(u32),
    /// The file is none of this spool's segments.
    Foreign,
}

/// Reads the header of a file of `len` bytes that is named as segment `number`.
pub(super) fn read_header(file: &File, len: u64, number: u64, identity: &Identity) -> io::Result<Header> {
    let mut bytes = vec![0; len.min(MAX_HEADER) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    if let Some(claimed) = sealed(&bytes) {
        let version = word32(&bytes, 8);
        if version != VERSION {
            return Ok(Header::Newer(version));
        }
        let field = |index: usize| word(&bytes, 16 + 8 * index);
        if field(0) != identity.hash || field(1) != number || claimed as u64 != identity.header_len() {
            return Ok(Header::Foreign);
        }
        let resume = Position { segment: field(3), offset: field(4), record: field(5) };
        return Ok(Header::Whole { first: field(2), resume: (resume.segment != 0).then_some(resume) });
    }
    // Zeros are what a power failure leaves.
    bytes.truncate(identity.header_len() as usize);
    let ours = bytes.starts_with(&MAGIC) || MAGIC.starts_with(&bytes) || bytes.iter().all(|&byte| byte == 0);
    Ok(Header::Damaged { ours })
}

/// Returns the length of the header, of whatever version, if a file's first bytes have a whole one.
fn sealed(bytes: &[u8]) -> Option<usize> {
    let claimed = word32(bytes, 12) as usize;
    let whole =
        (FIXED + 4..=bytes.len()).contains(&claimed) && crc32c(&bytes[..claimed - 4]) == word32(bytes, claimed - 4);
    (bytes.starts_with(&MAGIC) && whole).then_some(claimed)
}

/// The owner of a file that is named as a segment.
pub(super) enum Owner {
    /// Of this version: its identity's hash and text.
    Known { hash: u64, whose: String },
    /// A later version of the program wrote it.
    Newer,
    /// The header does not tell.
    Unknown,
}

/// Reads from a file's header whose it is.
pub(super) fn owner(file: &File) -> io::Result<Owner> {
    let mut bytes = vec![0; file.metadata()?.len().min(MAX_HEADER) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let Some(claimed) = sealed(&bytes) else { return Ok(Owner::Unknown) };
    if word32(&bytes, 8) != VERSION {
        return Ok(Owner::Newer);
    }
    let whose = String::from_utf8_lossy(&bytes[FIXED..claimed - 4]).into_owned();
    Ok(Owner::Known { hash: word(&bytes, 16), whose })
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The checksum's part in front of the data.
fn seed(number: u64, offset: u64, len: u32) -> u32 {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&offset.to_le_bytes());
    bytes[16..].copy_from_slice(&len.to_le_bytes());
    crc32c(&bytes)
}

/// Appends a record that will be at `offset` of segment `number`.
pub(super) fn frame(out: &mut Vec<u8>, number: u64, offset: u64, data: &[u8]) {
    // The caller has checked the length.
    let len = data.len() as u32;
    out.reserve(FRAME as usize + data.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&crc32c_append(seed(number, offset, len), data).to_le_bytes());
    out.extend_from_slice(data);
}

/// Bytes that are read ahead.
const CHUNK: u64 = 1 << 16;
/// A buffer that a large record has made larger than this is given back.
const LARGE: usize = 1 << 20;
/// The search for a whole record behind a damaged one ends after checksums of so many bytes.
const SEARCH: u64 = 1 << 26;

/// Reads the records of one segment.
pub(super) struct SegmentReader {
    file: Arc<File>,
    number: u64,
    buffer: Vec<u8>,
    /// Where the buffer's bytes are in the file.
    start: u64,
}

/// What is at an offset of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, which ends at `end`.
    Record { end: u64 },
    /// Damage. The next whole record begins at `next`, or else the segment ends there.
    Damage { next: u64 },
}

impl SegmentReader {
    pub(super) fn new(file: Arc<File>, number: u64) -> Self {
        Self { file, number, buffer: Vec::new(), start: 0 }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What is at `offset`; the segment ends at `limit`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is shorter than `limit`.
    pub(super) fn find(&mut self, offset: u64, limit: u64) -> io::Result<Found> {
        if let Some(end) = self.whole(offset, limit)? {
            return Ok(Found::Record { end });
        }
        // Most likely the length is right and the data is not.
        if limit - offset >= FRAME {
            let len = word32(self.load(offset, FRAME, limit)?, 0);
            let next = offset + FRAME + u64::from(len);
            if next < limit && self.whole(next, limit)?.is_some() {
                return Ok(Found::Damage { next });
            }
        }
        Ok(Found::Damage { next: self.search(offset + 1, limit)?.unwrap_or(limit) })
    }

    /// The first whole record at `offset` or behind it.
    ///
    /// # Errors
    ///
    /// As [`SegmentReader::find`].
    pub(super) fn search(&mut self, offset: u64, limit: u64) -> io::Result<Option<u64>> {
        let mut searched = 0;
        for offset in offset..limit.saturating_sub(FRAME - 1) {
            let len = u64::from(word32(self.load(offset, FRAME, limit)?, 0));
            if len > limit - offset - FRAME {
                continue;
            }
            searched += len;
            if searched > SEARCH {
                return Ok(None);
            }
            if self.whole(offset, limit)?.is_some() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
    }

    /// The data of the record that [`SegmentReader::find`] has just found at `offset`.
    pub(super) fn data(&self, offset: u64, end: u64) -> &[u8] {
        let at = |offset: u64| (offset - self.start) as usize;
        &self.buffer[at(offset + FRAME)..at(end)]
    }

    /// Takes a record that has just been written at `offset`. So it need not be read from the file when
    /// `next_read`, the offset of what is read next, gets there.
    pub(super) fn offer(&mut self, next_read: u64, offset: u64, frame: &[u8]) {
        if next_read == offset && (self.buffer.is_empty() || self.buffer.len() + frame.len() > CHUNK as usize) {
            self.buffer.clear();
            self.start = offset;
        }
        if self.start + self.buffer.len() as u64 == offset && self.buffer.len() + frame.len() <= CHUNK as usize {
            self.buffer.extend_from_slice(frame);
        }
    }

    /// Where the record at `offset` ends, if it is whole.
    fn whole(&mut self, offset: u64, limit: u64) -> io::Result<Option<u64>> {
        if limit - offset < FRAME {
            return Ok(None);
        }
        let number = self.number;
        let len = word32(self.load(offset, FRAME, limit)?, 0);
        let size = FRAME + u64::from(len);
        if size > limit - offset {
            return Ok(None);
        }
        let bytes = self.load(offset, size, limit)?;
        let crc = crc32c_append(seed(number, offset, len), &bytes[FRAME as usize..]);
        Ok((crc == word32(bytes, 4)).then_some(offset + size))
    }

    /// Returns `len` bytes from `offset` on. They end at `limit` or before.
    fn load(&mut self, offset: u64, len: u64, limit: u64) -> io::Result<&[u8]> {
        let end = self.start + self.buffer.len() as u64;
        if offset < self.start || offset + len > end {
            if self.buffer.capacity() > LARGE {
                self.buffer = Vec::new();
            }
            self.start = offset;
            self.buffer.resize(len.max(CHUNK).min(limit - offset) as usize, 0);
            let read = read_at_least(&self.file, &mut self.buffer, len as usize, offset);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..from + len as usize])
    }
}

/// Fills `least` bytes of the buffer or more. Returns how many.
fn read_at_least(file: &File, buffer: &mut [u8], least: usize, offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < least {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
