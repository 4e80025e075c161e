//! How a closed file becomes a finished one.
//!
//! A closed file is synced; or it is compressed into a partial file, which is synced and is complete
//! then. Once there is a complete file, the closed file is removed; then the complete file gets the
//! finished name. So a file with a finished name is whole, no other file has its records, and people
//! may take it away at once. Wherever a run ended, the next run goes on from there.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::disk::{Appender, Disk, Open, Status, is_missing};
use super::file_name::{complete, finished, partial, renumbered};
use super::log::{is_taken, whole_records};
use super::names::Names;

/// How finished files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// As .gz, which everything reads
    Gzip,
    /// As .zst: smaller, and in a quarter of the time
    Zstd,
    /// Not at all
    None,
}

impl Compression {
    fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::None => "",
        }
    }
}

/// gzip's and zstd's own default levels.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Bytes read at a time, between two looks whether to stop.
const CHUNK: usize = 256 * 1024;

/// All that finishing needs.
pub struct Finish<'a, D: Disk> {
    pub disk: &'a D,
    pub names: &'a Mutex<Names<D>>,
    /// The output directory.
    pub root: &'a Path,
    pub compression: Compression,
    /// True once there is no time left.
    pub stop: &'a AtomicBool,
}

impl<D: Disk> Finish<'_, D> {
    /// Finishes one file. After an error it is as it was, or a step further.
    pub fn finish(&self, closed: &Path) -> io::Result<()> {
        for made in [Compression::Gzip, Compression::Zstd] {
            if self.disk.find(&complete(closed, made.suffix()))?.is_some() {
                return self.publish(closed, made);
            }
        }
        self.fail_if_stopped()?;
        let source = match self.disk.open(closed, Open::Existing) {
            // Somebody has removed it.
            Err(error) if is_missing(&error) => return Ok(()),
            source => source?,
        };
        if whole_records(self.disk, &source, false)? == 0 {
            return self.disk.remove(closed);
        }
        for made in [Compression::Gzip, Compression::Zstd, Compression::None] {
            let other = finished(closed, made.suffix());
            if self.disk.find(&other)?.is_none() {
                continue;
            }
            // A run of an older version that ended just before it removed the closed file has left both.
            if self.same_content(&source, &other, made)? {
                return self.disk.remove(closed);
            }
            let free = self.free_name(closed)?;
            self.disk.rename(closed, &free)?;
            return self.finish(&free);
        }
        if self.compression == Compression::None {
            self.disk.sync(&source)?;
            self.sync_names()?;
            let target = finished(closed, "");
            self.disk.rename(closed, &target)?;
            return self.sync_directories(&target);
        }
        let suffix = self.compression.suffix();
        let partial = partial(closed, suffix);
        let complete = complete(closed, suffix);
        let made = self.compress(&source, &partial).and_then(|()| self.disk.rename(&partial, &complete));
        if let Err(error) = made {
            // If the partial file stays, the next try removes it.
            let _ = self.disk.remove(&partial);
            return Err(error);
        }
        drop(source);
        self.publish(closed, self.compression)
    }

    /// Finishes a file that is complete.
    fn publish(&self, closed: &Path, made: Compression) -> io::Result<()> {
        let complete = complete(closed, made.suffix());
        self.sync_directories(&complete)?;
        match self.disk.remove(closed) {
            Err(error) if !is_missing(&error) => return Err(error),
            _ => {}
        }
        let name = if is_taken(self.disk, closed)? { self.free_name(closed)? } else { closed.to_owned() };
        self.sync_names()?;
        let target = finished(&name, made.suffix());
        self.disk.rename(&complete, &target)?;
        self.sync_directories(&target)
    }

    /// A name for a file whose own is taken.
    fn free_name(&self, closed: &Path) -> io::Result<PathBuf> {
        loop {
            let number = self.names.lock().unwrap_or_else(PoisonError::into_inner).fresh()?;
            let free = renumbered(closed, number);
            if !is_taken(self.disk, &free)? {
                return Ok(free);
            }
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).sync()
    }

    /// Puts a new name on the disk, and the names of its directories below the root, which can be new, too.
    fn sync_directories(&self, file: &Path) -> io::Result<()> {
        let mut directories = file.ancestors().skip(1).take_while(|directory| directory.starts_with(self.root));
        directories.try_for_each(|directory| self.disk.sync_directory(directory))
    }

    fn fail_if_stopped(&self) -> io::Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(io::Error::other("stopped")) } else { Ok(()) }
    }

    fn compress(&self, source: &D::File, partial: &Path) -> io::Result<()> {
        let status = self.disk.status(source)?;
        // A partial file is left over from an earlier try: nobody else writes to the locked directory.
        match self.disk.remove(partial) {
            Err(error) if !is_missing(&error) => return Err(error),
            _ => {}
        }
        let file = self.disk.open(partial, Open::New)?;
        let target = Appender(self.disk, &file);
        match self.compression {
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::new(GZIP_LEVEL));
                self.copy(source, &mut encoder)?;
                encoder.finish()?;
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(target, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                encoder.set_pledged_src_size(Some(status.len))?;
                self.copy(source, &mut encoder)?;
                encoder.finish()?;
            }
            Compression::None => {}
        }
        self.disk.resemble(&file, &Status { ..status })?;
        self.disk.sync(&file)
    }

    fn copy(&self, source: &D::File, target: &mut impl io::Write) -> io::Result<()> {
        let mut from = Reader { disk: self.disk, file: source, at: 0 };
        let mut chunk = vec![0; CHUNK];
        loop {
            self.fail_if_stopped()?;
            match from.read(&mut chunk)? {
                0 => return Ok(()),
                len => target.write_all(&chunk[..len])?,
            }
        }
    }

    /// Returns true if a finished file holds what a closed one does.
    fn same_content(&self, source: &D::File, other: &Path, made: Compression) -> io::Result<bool> {
        // Anything but a file differs.
        let Ok(other) = self.disk.open(other, Open::Existing) else { return Ok(false) };
        let reader = |file| Reader { disk: self.disk, file, at: 0 };
        let packed = reader(&other);
        let mut unpacked: Box<dyn Read + '_> = match made {
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Compression::Zstd => Box::new(zstd::Decoder::new(packed)?),
            Compression::None => Box::new(packed),
        };
        let mut plain = reader(source);
        let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
        loop {
            // A damaged file differs.
            let Ok(len) = read_full(&mut unpacked, &mut theirs) else { return Ok(false) };
            if read_full(&mut plain, &mut ours)? != len || ours[..len] != theirs[..len] {
                return Ok(false);
            }
            if len == 0 {
                return Ok(true);
            }
        }
    }
}

/// Reads a file from one place to the next.
struct Reader<'a, D: Disk> {
    disk: &'a D,
    file: &'a D::File,
    at: u64,
}

impl<D: Disk> Read for Reader<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.disk.read_at(self.file, buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// Reads until the buffer is full, or to the end.
fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match from.read(&mut buffer[len..])? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}
