//! The current file of one log path, and what waits to be written to it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::disk::{Disk, Open, Status, is_missing};
use super::file_name::{Name, finished};
use super::names::{Given, Names};

/// A buffer larger than this is given back when it has become much too large.
const SMALL_BUFFER: usize = 16 * 1024;

/// Bytes read at a time in search of the end of the last whole record.
const BLOCK: u64 = 64 * 1024;

/// One log path's current file.
///
/// On disk it ends with a whole record, except during a write; after a crash, opening it cuts off the
/// rest.
pub struct Log<D: Disk> {
    name: Name,
    /// Records that wait, each with its line feed.
    buffer: Vec<u8>,
    file: Option<D::File>,
    /// Bytes in the file.
    size: u64,
    /// When the current file, the next to be closed, begins.
    pub begins: Timestamp,
    /// The name given last.
    pub given: Option<Given>,
    /// Why the last write has failed. What waits stays in memory then.
    pub stuck: Option<i32>,
    /// True if the log is on the list of logs with something that waits.
    pub listed: bool,
    /// When it took its last record.
    pub used: Timestamp,
    /// Records that were given up.
    pub lost: u64,
}

impl<D: Disk> Log<D> {
    /// A log whose file begins at a time, if the file does not exist yet. Nothing is opened.
    pub fn new(name: Name, begins: Timestamp) -> Self {
        Self {
            name,
            buffer: Vec::new(),
            file: None,
            size: 0,
            begins,
            given: None,
            stuck: None,
            listed: false,
            used: begins,
            lost: 0,
        }
    }

    /// A log whose file, of `size` bytes, was left by an earlier run.
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

    /// Returns true if a descriptor is open.
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

    /// Keeps the first `keep` bytes that wait, without a part of a record at their end, and gives up the
    /// rest. Returns how many records are lost.
    pub fn discard(&mut self, keep: usize) -> u64 {
        let keep = end_of_last_line(&self.buffer[..keep.min(self.buffer.len())]).unwrap_or(0);
        let records = memchr::memchr_iter(b'\n', &self.buffer[keep..]).count() as u64;
        self.buffer.truncate(keep);
        self.buffer.shrink_to_fit();
        self.lost += records;
        records
    }

    /// Writes what waits. After an error, all that is not written as whole records still waits.
    pub fn flush(&mut self, disk: &D) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let before = match &self.file {
            Some(file) => {
                // Other programs can have cut the file.
                let status = disk.status(file)?;
                if status.len < self.size { whole_records(disk, file, true)? } else { status.len }
            }
            None => {
                let (file, size) = open_current(disk, &self.name)?;
                self.file = Some(file);
                size
            }
        };
        self.size = before;
        let Some(file) = &self.file else { return Ok(()) };
        let (written, result) = append_all(disk, file, &self.buffer);
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
        // If the file cannot be cut now, it is cut when it is opened again.
        if written > whole && cut_end(disk, file, (written - whole) as u64).is_err() {
            self.file = None;
        }
        self.size += whole as u64;
        self.buffer.drain(..whole);
        result
    }

    /// Gives back the descriptor.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Looks at what others have done to the file: forgets it if it is no longer where it was, and takes note
    /// of its size.
    pub fn look(&mut self, disk: &D, now: Timestamp) {
        let Some(file) = &self.file else { return };
        let (mine, there) = (disk.status(file), disk.find(&self.name.current()));
        match (mine, there) {
            (Ok(mine), Ok(there)) if there != Some(mine.identity) => {
                self.file = None;
                self.size = 0;
                self.begins = now;
            }
            // Somebody has emptied the file: it begins anew.
            (Ok(Status { len: 0, .. }), Ok(_)) if self.size > 0 => {
                self.size = 0;
                self.begins = now;
            }
            (Ok(mine), Ok(_)) => self.size = self.size.min(mine.len),
            _ => {}
        }
    }

    /// Renames the current file, if it has anything, to the closed file of `time`. Returns that name and the
    /// size; `None` if there was no file. What waits goes into the next file, which begins at `next`.
    pub fn rotate(
        &mut self,
        disk: &D,
        names: &mut Names<D>,
        time: &str,
        next: Timestamp,
    ) -> io::Result<Option<(PathBuf, u64)>> {
        if self.size == 0 {
            return Ok(None);
        }
        let (given, closed) =
            take_name(disk, names, self.given.as_ref(), time, |given| self.name.closed(&given.time, given.number))?;
        self.given = Some(given);
        let renamed = match disk.rename(&self.name.current(), &closed) {
            Ok(()) => true,
            // Somebody has removed it.
            Err(error) if is_missing(&error) => false,
            Err(error) => return Err(error),
        };
        self.file = None;
        let size = std::mem::take(&mut self.size);
        self.begins = next;
        Ok(renamed.then_some((closed, size)))
    }
}

/// A name that was not given before and is nobody else's.
pub fn take_name<D: Disk>(
    disk: &D,
    names: &mut Names<D>,
    last: Option<&Given>,
    time: &str,
    path: impl Fn(&Given) -> PathBuf,
) -> io::Result<(Given, PathBuf)> {
    let mut given = names.next(last, time);
    while is_taken(disk, &path(&given))? {
        given = names.following(given);
    }
    names.write_down(&given)?;
    let path = path(&given);
    Ok((given, path))
}

/// Returns true if a closed file of this name, or its finished file, exists.
pub fn is_taken<D: Disk>(disk: &D, closed: &Path) -> io::Result<bool> {
    if disk.find(closed)?.is_some() {
        return Ok(true);
    }
    for suffix in ["", ".gz", ".zst"] {
        if disk.find(&finished(closed, suffix))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Opens the current file to append to it, or makes it, and cuts off what a crash has left behind the last
/// whole record. Returns the file and its size.
fn open_current<D: Disk>(disk: &D, name: &Name) -> io::Result<(D::File, u64)> {
    let path = name.current();
    let file = match disk.open(&path, Open::Append) {
        Err(error) if is_missing(&error) => {
            disk.make_directory(name.directory())?;
            disk.open(&path, Open::Append)?
        }
        result => result?,
    };
    let size = whole_records(disk, &file, true)?;
    Ok((file, size))
}

/// The state of a current file that an earlier run has left.
pub enum Left {
    /// Its status as it was left, and its size now, with the rest behind its last whole record cut off.
    Whole(Status, u64),
    /// It begins with zeros and goes on with something else.
    Damaged,
}

/// Looks at a current file that an earlier run has left.
pub fn inspect<D: Disk>(disk: &D, path: &Path) -> io::Result<Left> {
    let file = disk.open(path, Open::Existing)?;
    let status = disk.status(&file)?;
    if first_byte(disk, &file)? == Some(0) {
        if !is_zero(disk, &file)? {
            return Ok(Left::Damaged);
        }
        disk.cut(&file, 0)?;
        return Ok(Left::Whole(status, 0));
    }
    Ok(Left::Whole(status, whole_records(disk, &file, true)?))
}

fn first_byte<D: Disk>(disk: &D, file: &D::File) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((disk.read_at(file, &mut byte, 0)? == 1).then_some(byte[0]))
}

/// Returns true if there is nothing but zeros, as after a loss of power.
fn is_zero<D: Disk>(disk: &D, file: &D::File) -> io::Result<bool> {
    let (mut at, mut block) = (0, vec![0; BLOCK as usize]);
    loop {
        let len = disk.read_at(file, &mut block, at)?;
        if len == 0 {
            return Ok(true);
        }
        if block[..len].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += len as u64;
    }
}

/// Cuts off what is behind the last whole record, and returns the size. Fails if a `current` file does not
/// begin as records do.
pub fn whole_records<D: Disk>(disk: &D, file: &D::File, current: bool) -> io::Result<u64> {
    let size = disk.status(file)?.len;
    if size == 0 {
        return Ok(0);
    }
    if current && first_byte(disk, file)? != Some(b'{') {
        return Err(io::Error::other("it is not one of this program's files; move it away"));
    }
    let mut end = size;
    let mut block = Vec::new();
    while end > 0 {
        // Nearly always the last byte is a line feed.
        let len = if end == size { 1 } else { BLOCK.min(end) };
        block.resize(len as usize, 0);
        read_full(disk, file, &mut block, end - len)?;
        end -= len;
        if let Some(line) = end_of_last_line(&block) {
            end += line as u64;
            break;
        }
    }
    if end < size {
        disk.cut(file, end)?;
    }
    Ok(end)
}

/// Cuts off the last bytes of a file, whose size others may have changed.
fn cut_end<D: Disk>(disk: &D, file: &D::File, bytes: u64) -> io::Result<()> {
    let len = disk.status(file)?.len;
    if len < bytes { whole_records(disk, file, true).map(drop) } else { disk.cut(file, len - bytes) }
}

fn read_full<D: Disk>(disk: &D, file: &D::File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    let mut len = 0;
    while len < buffer.len() {
        match disk.read_at(file, &mut buffer[len..], at + len as u64)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => len += read,
        }
    }
    Ok(())
}

fn end_of_last_line(bytes: &[u8]) -> Option<usize> {
    Some(memchr::memrchr(b'\n', bytes)? + 1)
}

/// Writes everything. Returns how many bytes were written, after an error, too.
fn append_all<D: Disk>(disk: &D, file: &D::File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match disk.append(file, &bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cold]
fn one_line(record: &mut [u8]) {
    for byte in record.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
}

#[cfg(test)]
impl<D: Disk> Log<D> {
    /// Records that wait.
    pub fn waiting_records(&self) -> Vec<Vec<u8>> {
        let lines = self.buffer.split(|&byte| byte == b'\n');
        lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }
}
