//! The state file tells how far records are confirmed, what a run that ends without closing leaves
//! behind, and whose records they are.
//!
//! Two slots are written in turn, each with one system call, so that one of them is whole
//! whenever the process ends. Nothing is mapped into memory: a mapped page ends the process
//! when the file is truncated, or the disk of a file system that copies on write is full.
//!
//! | bytes | slot |
//! | --- | --- |
//! | 8 | `bzwstate` |
//! | 8 | version, 2 |
//! | 8 | identity, as in the segments |
//! | 8 | generation: the slot with the higher one holds |
//! | 24 | the first record that is not confirmed: segment, offset, sequence number |
//! | 8 | sequence number of the next record to be written |
//! | 8 | records in flight at most |
//! | 4 | 1 when the spool was closed |
//! | 4 | how many segments were put in front: their numbers are those below the middle |
//! | 8 | CRC32C of the slot up to here |
//!
//! The slots are at 0 and 4096, so that no write to the disk takes both. Version 1 had them at 0
//! and 512, and no number of segments in front. At 8192 is the label:
//!
//! | bytes | label |
//! | --- | --- |
//! | 8 | `bzwlabel` |
//! | 12 | length of the log path, the endpoint, and the topic |
//! | … | these three |
//! | 4 | CRC32C of the label up to here |

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use super::{MIDDLE, Position, word};

const MAGIC: [u8; 8] = *b"bzwstate";
const VERSION: u64 = 2;
/// The version before, which can still be read.
const OLD_VERSION: u64 = 1;
const SLOT: usize = 88;
/// Each slot has a block of the disk to itself.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
/// Where version 1 had its second slot.
const OLD_OFFSET: u64 = 512;

const LABEL_MAGIC: [u8; 8] = *b"bzwlabel";
const LABEL_OFFSET: u64 = 8192;
/// Bytes of a label's three texts. No log path is so long.
const MAX_LABEL: usize = 1 << 16;

/// What the state file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SavedState {
    /// The first record that is not confirmed.
    pub confirmed: Position,
    /// Sequence number of the next record to be written.
    pub end: u64,
    /// The most records that are in flight and not in the segments.
    pub in_flight: u64,
    /// True if the spool was closed.
    pub closed: bool,
    /// Segments with lower numbers were made after this state was written.
    pub lowest: u64,
}

/// What an existing file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Whole(SavedState),
    /// There is no file, or it has nothing yet.
    Nothing,
    Damaged,
    /// A later version of the program wrote it.
    Newer(u64),
}

/// Whose records a spool has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The log path.
    pub path: String,
    /// The endpoint.
    pub endpoint: String,
    /// The topic under which the records are sent.
    pub topic: Vec<u8>,
}

/// The open state file.
pub(super) struct StateFile {
    file: File,
    path: PathBuf,
    identity: u64,
    generation: u64,
    label: Option<Label>,
    /// True if forcing the file to the disk has failed: nothing that is written to it can be trusted.
    suspect: bool,
}

impl StateFile {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path, identity: u64) -> io::Result<(Self, Left)> {
        let file = options().truncate(false).open(path)?;
        let (generation, left) = newest(&file, identity)?;
        let label = read_label(&file)?;
        let state = Self { file, path: path.to_owned(), identity, generation, label, suspect: false };
        Ok((state, left))
    }

    /// Replaces what the file tells; if `sync` is true, waits until the disk has it.
    pub(super) fn write(&mut self, state: &SavedState, sync: bool) -> io::Result<()> {
        if self.suspect {
            return self.replace(state, sync);
        }
        self.write_slot(state)?;
        if sync && let Err(error) = self.file.sync_data() {
            self.suspect = true;
            return Err(error);
        }
        Ok(())
    }

    fn write_slot(&mut self, state: &SavedState) -> io::Result<()> {
        let generation = self.generation + 1;
        let Position { segment, offset, record } = state.confirmed;
        let in_front = MIDDLE.saturating_sub(state.lowest).min(u32::MAX.into());
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&MAGIC);
        let words = [
            VERSION,
            self.identity,
            generation,
            segment,
            offset,
            record,
            state.end,
            state.in_flight,
            u64::from(state.closed) | in_front << 32,
        ];
        for (bytes, word) in slot[8..].chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32c(&slot[..SLOT - 8]);
        slot[SLOT - 8..].copy_from_slice(&u64::from(crc).to_le_bytes());
        self.file.write_all_at(&slot, SLOT_OFFSETS[(generation % 2) as usize])?;
        self.generation = generation;
        Ok(())
    }

    /// Puts a new file in the place of this one.
    fn replace(&mut self, state: &SavedState, sync: bool) -> io::Result<()> {
        let new = self.path.with_file_name(super::NEW);
        let file = options().truncate(true).open(&new)?;
        let mut replacement =
            Self { file, path: self.path.clone(), label: self.label.clone(), suspect: false, ..*self };
        replacement.write_slot(state)?;
        if let Some(label) = &self.label {
            replacement.write_label(label)?;
        }
        if sync {
            replacement.file.sync_data()?;
        }
        fs::rename(new, &self.path)?;
        *self = replacement;
        Ok(())
    }

    /// Writes whose records they are, if the file does not have it yet.
    pub(super) fn set_label(&mut self, label: &Label) -> io::Result<()> {
        if self.label.as_ref() != Some(label) {
            self.label = None;
            self.write_label(label)?;
            self.label = Some(label.clone());
        }
        Ok(())
    }

    fn write_label(&self, label: &Label) -> io::Result<()> {
        let Label { path, endpoint, topic } = label;
        let texts = [path.as_bytes(), endpoint.as_bytes(), topic];
        if texts.iter().map(|text| text.len()).sum::<usize>() > MAX_LABEL {
            return Ok(());
        }
        let mut label = LABEL_MAGIC.to_vec();
        for text in texts {
            label.extend_from_slice(&(text.len() as u32).to_le_bytes());
        }
        label.extend(texts.concat());
        label.extend_from_slice(&crc32c(&label).to_le_bytes());
        self.file.write_all_at(&label, LABEL_OFFSET)
    }

    /// Returns true if somebody has deleted the file.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    options
}

/// Reads bytes at an offset; returns true if the file has so many there.
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The generation of the slot that holds, and what this slot tells.
pub(super) fn newest(file: &File, identity: u64) -> io::Result<(u64, Left)> {
    let mut best = (0, if file.metadata()?.len() == 0 { Left::Nothing } else { Left::Damaged });
    for offset in [SLOT_OFFSETS[0], OLD_OFFSET, SLOT_OFFSETS[1]] {
        let mut slot = [0; SLOT];
        if !read_at(file, &mut slot, offset)? {
            continue;
        }
        let field = |index: usize| word(&slot, 8 * index);
        let sealed = u64::from(crc32c(&slot[..SLOT - 8])) == field(10);
        if !sealed || !slot.starts_with(&MAGIC) || field(2) != identity || field(3) <= best.0 {
            continue;
        }
        let left = if (OLD_VERSION..=VERSION).contains(&field(1)) {
            let confirmed = Position { segment: field(4), offset: field(5), record: field(6) };
            // Version 1 does not count segments in front: none is taken for newer than the file.
            let lowest = if field(1) == OLD_VERSION { 0 } else { MIDDLE - (field(9) >> 32) };
            let closed = field(9) & 1 == 1;
            Left::Whole(SavedState { confirmed, end: field(7), in_flight: field(8), closed, lowest })
        } else {
            Left::Newer(field(1))
        };
        // The next slot goes where it overwrites neither slot of an old version.
        let old = field(1) == OLD_VERSION && field(3) % 2 == 1;
        best = (field(3) + u64::from(old), left);
    }
    Ok(best)
}

/// The label in the state file at `path`. `None` if there is none, or it is damaged.
pub(super) fn label_of(path: &Path) -> io::Result<Option<Label>> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    read_label(&OpenOptions::new().read(true).custom_flags(flags).open(path)?)
}

fn read_label(file: &File) -> io::Result<Option<Label>> {
    const START: usize = 20;
    let mut start = [0; START];
    if !read_at(file, &mut start, LABEL_OFFSET)? || !start.starts_with(&LABEL_MAGIC) {
        return Ok(None);
    }
    let len = |index: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| start[8 + 4 * index + byte])) as usize;
    let [path, endpoint, topic] = [len(0), len(1), len(2)];
    let texts = path.saturating_add(endpoint).saturating_add(topic);
    if texts > MAX_LABEL {
        return Ok(None);
    }
    let mut label = vec![0; START + texts + 4];
    if !read_at(file, &mut label, LABEL_OFFSET)? {
        return Ok(None);
    }
    let (sealed, crc) = label.split_at(START + texts);
    if crc32c(sealed).to_le_bytes() != crc {
        return Ok(None);
    }
    let (path, rest) = sealed[START..].split_at(path);
    let (endpoint, topic) = rest.split_at(endpoint);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Ok(text(path).zip(text(endpoint)).map(|(path, endpoint)| Label { path, endpoint, topic: topic.to_vec() }))
}
