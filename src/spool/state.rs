//! The state file: how far records are confirmed, and what a run that ends without closing
//! leaves behind.
//!
//! Two slots are written in turn, each with one system call, so that one of them is whole
//! whenever the process ends. Nothing is mapped into memory: a mapped page ends the process
//! when the file is truncated, or the disk of a file system that copies on write is full.
//!
//! | bytes | slot |
//! | --- | --- |
//! | 8 | `bzwstate` |
//! | 8 | version, 1 |
//! | 8 | identity, as in the segments |
//! | 8 | generation: the slot with the higher one holds |
//! | 24 | the first record that is not confirmed: segment, offset, sequence number |
//! | 8 | sequence number of the next record to be written |
//! | 8 | records in flight at most |
//! | 8 | 1 when the spool was closed |
//! | 8 | CRC32C of the slot up to here |

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crc32c::crc32c;

use super::{Position, word};

const MAGIC: [u8; 8] = *b"bzwstate";
const VERSION: u64 = 1;
const SLOT: usize = 88;
/// Each slot has a disk sector to itself.
const SLOT_OFFSETS: [u64; 2] = [0, 512];

/// What the state file tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The first record that is not confirmed.
    pub confirmed: Position,
    /// Sequence number of the next record to be written.
    pub end: u64,
    /// So many records are in flight that are not in the segments, or fewer.
    pub in_flight: u64,
    /// The spool was closed.
    pub closed: bool,
}

/// What an existing file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Whole(State),
    /// There is none, or it has nothing yet.
    Nothing,
    Damaged,
    /// A later version of the program wrote it.
    Newer(u64),
}

/// The open state file.
pub struct StateFile {
    file: File,
    generation: u64,
}

impl StateFile {
    /// Opens or makes it.
    pub fn open(path: &Path, identity: u64) -> io::Result<(Self, Left)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        let (generation, left) = newest(&file, identity)?;
        Ok((Self { file, generation }, left))
    }

    /// Replaces what it tells.
    pub fn write(&mut self, state: &State, identity: u64) -> io::Result<()> {
        let generation = self.generation + 1;
        let Position { segment, offset, record } = state.confirmed;
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(&MAGIC);
        let words = [
            VERSION,
            identity,
            generation,
            segment,
            offset,
            record,
            state.end,
            state.in_flight,
            u64::from(state.closed),
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

    /// Whether somebody has deleted it.
    pub fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }

    /// Waits until it is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The generation of the slot that holds, and what it tells.
pub fn newest(file: &File, identity: u64) -> io::Result<(u64, Left)> {
    let mut best = (0, if file.metadata()?.len() == 0 { Left::Nothing } else { Left::Damaged });
    for offset in SLOT_OFFSETS {
        let mut slot = [0; SLOT];
        match file.read_exact_at(&mut slot, offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        let field = |index: usize| word(&slot, 8 * index);
        let sealed = u64::from(crc32c(&slot[..SLOT - 8])) == field(10);
        if !sealed || !slot.starts_with(&MAGIC) || field(2) != identity || field(3) <= best.0 {
            continue;
        }
        let left = if field(1) == VERSION {
            Left::Whole(State {
                confirmed: Position { segment: field(4), offset: field(5), record: field(6) },
                end: field(7),
                in_flight: field(8),
                closed: field(9) == 1,
            })
        } else {
            Left::Newer(field(1))
        };
        best = (field(3), left);
    }
    Ok(best)
}
