//! The current file of one log path, and what waits to be written to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::name::Name;

/// Permissions of what is made, which the umask narrows: logs say who talked to whom.
pub const FILE_MODE: u32 = 0o640;
pub const DIRECTORY_MODE: u32 = 0o750;

/// A buffer larger than this is given back when it has become much too large.
const SMALL_BUFFER: usize = 16 * 1024;

/// How much is looked at at a time for the end of the last whole record.
const BLOCK: u64 = 64 * 1024;

/// One log path's current file.
///
/// On disk it ends with the end of a record at all times but during a write; after a crash,
/// opening it puts that right.
pub struct Log {
    name: Name,
    /// Records that wait, each with its line feed.
    buffer: Vec<u8>,
    file: Option<File>,
    /// Bytes in the file.
    size: u64,
    /// When what will be the next closed file begins.
    pub begins: Timestamp,
    /// Whether the last write has failed. What waits stays in memory then.
    pub stuck: bool,
    /// Whether it is on the list of those with something that waits.
    pub listed: bool,
    /// Records that were given up.
    pub lost: u64,
}

impl Log {
    /// One whose file begins at a time, if it does not exist yet. Nothing is opened.
    pub fn new(name: Name, begins: Timestamp) -> Self {
        Self { name, buffer: Vec::new(), file: None, size: 0, begins, stuck: false, listed: false, lost: 0 }
    }

    /// One whose file was left by an earlier run: with `size` bytes.
    pub fn left(name: Name, begins: Timestamp, size: u64) -> Self {
        Self { size, ..Self::new(name, begins) }
    }

    /// Its names.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes in the file and those that wait.
    pub fn size(&self) -> u64 {
        self.size + self.buffer.len() as u64
    }

    /// Whether a descriptor is open.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Takes a record, which becomes one line.
    #[inline]
    pub fn append(&mut self, record: &[u8]) {
        self.buffer.reserve(record.len() + 1);
        let start = self.buffer.len();
        self.buffer.extend_from_slice(record);
        if memchr::memchr(b'\n', record).is_some() {
            one_line(&mut self.buffer[start..]);
        }
        self.buffer.push(b'\n');
    }

    /// Gives up what waits. Returns how many records that were.
    pub fn discard(&mut self) -> u64 {
        let records = self.buffer.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.buffer = Vec::new();
        self.lost += records;
        records
    }

    /// Writes what waits. After an error, all that is not written as whole records still waits.
    pub fn flush(&mut self) -> io::Result<()> {
        let result = self.try_flush();
        self.stuck = result.is_err();
        result
    }

    fn try_flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let (file, size) = open(&self.name)?;
                self.size = size;
                self.file.insert(file)
            }
        };
        let (written, result) = write_all(file, &self.buffer);
        if result.is_ok() {
            self.size += written as u64;
            let used = self.buffer.len();
            self.buffer.clear();
            if self.buffer.capacity() > SMALL_BUFFER && used < self.buffer.capacity() / 4 {
                self.buffer.shrink_to(used);
            }
            return Ok(());
        }
        let whole = end_of_last_line(&self.buffer[..written]).unwrap_or(0);
        self.size += whole as u64;
        // If it cannot be cut, it will be when it is opened again.
        if written > whole && file.set_len(self.size).is_err() {
            self.file = None;
        }
        self.buffer.drain(..whole);
        result
    }

    /// Gives back the descriptor.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Forgets the file if it is no longer where it was: removed, or renamed by others.
    pub fn forget_if_moved(&mut self, now: Timestamp) {
        let Some(file) = &self.file else { return };
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let mine = file.metadata().map(identity);
        let there = fs::symlink_metadata(self.name.current()).map(identity);
        let moved = match (mine, there) {
            (Ok(mine), Ok(there)) => mine != there,
            (_, Err(error)) => error.kind() == ErrorKind::NotFound,
            _ => false,
        };
        if moved {
            self.file = None;
            self.size = 0;
            self.begins = now;
        }
    }

    /// Makes the current file, if it has anything, the closed one of its time. What waits goes
    /// into the next file, which begins at `next`.
    pub fn rotate(&mut self, time: &str, next: Timestamp) -> io::Result<Option<PathBuf>> {
        if self.size == 0 {
            return Ok(None);
        }
        self.file = None;
        let mut number = 0;
        let closed = loop {
            let closed = self.name.closed(time, number);
            if !is_taken(&closed) {
                break closed;
            }
            number += 1;
        };
        let renamed = match fs::rename(self.name.current(), &closed) {
            Ok(()) => true,
            // Somebody has removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        self.size = 0;
        self.begins = next;
        Ok(renamed.then_some(closed))
    }
}

/// Whether a closed file of this name, or its finished one, exists.
pub fn is_taken(closed: &Path) -> bool {
    let exists = |path: PathBuf| fs::symlink_metadata(path).is_ok();
    exists(closed.to_owned()) || ["", ".gz", ".zst"].iter().any(|suffix| exists(super::name::finished(closed, suffix)))
}

/// Opens the current file to append to it, made if it is not there; with its size. What is
/// behind the last whole record, which a crash has left, is cut off.
fn open(name: &Name) -> io::Result<(File, u64)> {
    let path = name.current();
    let mut options = OpenOptions::new();
    // Not through a link somebody has planted, and not waiting for the reader of a pipe.
    options.read(true).append(true).create(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(name.directory())?;
            options.open(&path)?
        }
        result => result?,
    };
    let size = whole_records(&file)?;
    Ok((file, size))
}

/// Looks at a current file that an earlier run has left, and cuts off what is behind its last
/// whole record. Returns what it was before, and its size now.
pub fn inspect(path: &Path) -> io::Result<(fs::Metadata, u64)> {
    let file = File::options().read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    Ok((file.metadata()?, whole_records(&file)?))
}

/// Cuts off what is behind the last whole record, and returns the size.
pub fn whole_records(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let size = metadata.len();
    if size == 0 {
        return Ok(0);
    }
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0)?;
    if byte != *b"{" {
        return Err(io::Error::other("it is not one of this program's files; move it away"));
    }
    let mut end = size;
    let mut block = Vec::new();
    while end > 0 {
        // Nearly always the last byte is a line feed.
        let len = if end == size { 1 } else { BLOCK.min(end) };
        block.resize(len as usize, 0);
        file.read_exact_at(&mut block, end - len)?;
        end -= len;
        if let Some(line) = end_of_last_line(&block) {
            end += line as u64;
            break;
        }
    }
    if end < size {
        file.set_len(end)?;
    }
    Ok(end)
}

fn end_of_last_line(bytes: &[u8]) -> Option<usize> {
    Some(bytes.iter().rposition(|&byte| byte == b'\n')? + 1)
}

/// Writes everything, or tells how much was written.
fn write_all(file: &mut File, mut bytes: &[u8]) -> (usize, io::Result<()>) {
    let len = bytes.len();
    while !bytes.is_empty() {
        let result = match file.write(bytes) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        };
        if result.is_err() {
            return (len - bytes.len(), result);
        }
    }
    (len, Ok(()))
}

#[cold]
fn one_line(record: &mut [u8]) {
    for byte in record.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
}
