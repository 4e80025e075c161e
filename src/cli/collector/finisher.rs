//! Makes closed files finished ones: on a thread of its own, because it waits for the disk.
//!
//! A closed file is synced, or compressed into a partial one that is synced, and then gets
//! its final name. So a finished file is always complete, whatever happens meanwhile, and
//! what was closed but not finished is found by the next run.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::log::{is_taken, whole_records};
use super::name::{finished, next_number, partial};

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

/// How much is read at a time, and how soon it is looked whether to stop.
const CHUNK: usize = 256 * 1024;

/// What could not be finished is tried again after this time.
const RETRY: Duration = Duration::from_secs(10);

/// The thread that finishes files.
pub struct Finisher {
    closed: Option<Sender<PathBuf>>,
    reports: Receiver<String>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Finisher {
    /// Starts the thread, for files below a directory.
    pub fn start(root: PathBuf, compression: Compression) -> io::Result<Self> {
        let (closed, work) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let worker =
            Worker { root, compression, report, stop: Arc::clone(&stop), pending: VecDeque::new(), retry: None };
        let thread = std::thread::Builder::new().name("finisher".into()).spawn(move || worker.run(&work))?;
        Ok(Self { closed: Some(closed), reports, stop, thread: Some(thread) })
    }

    /// Has a closed file finished.
    pub fn finish(&self, closed: PathBuf) {
        if let Some(sender) = &self.closed {
            // The thread ends when the sender is gone, not before.
            let _ = sender.send(closed);
        }
    }

    /// What the thread has to say.
    pub fn reports(&self) -> impl Iterator<Item = String> + '_ {
        self.reports.try_iter()
    }

    /// Ends the thread once everything is finished or `impatient` says so. Returns how many
    /// files are left for the next run.
    pub fn end(&mut self, impatient: impl Fn() -> bool) -> usize {
        drop(self.closed.take());
        let Some(thread) = self.thread.take() else { return 0 };
        while !thread.is_finished() {
            if impatient() {
                self.stop.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        thread.join().unwrap_or(0)
    }
}

struct Worker {
    /// The output directory.
    root: PathBuf,
    compression: Compression,
    report: Sender<String>,
    stop: Arc<AtomicBool>,
    /// To be finished, the next first.
    pending: VecDeque<PathBuf>,
    /// When to try again, after an error.
    retry: Option<Instant>,
}

impl Worker {
    /// Works until there will be no more work. Returns how many files are not finished.
    fn run(mut self, work: &Receiver<PathBuf>) -> usize {
        loop {
            let next = match self.retry {
                Some(retry) => work.recv_timeout(retry.saturating_duration_since(Instant::now())),
                None => work.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let last = match next {
                Ok(closed) => {
                    self.pending.push_back(closed);
                    false
                }
                Err(error) => error == RecvTimeoutError::Disconnected,
            };
            if last || self.retry.is_none_or(|retry| Instant::now() >= retry) {
                self.work();
            }
            if last {
                return self.pending.len();
            }
        }
    }

    /// Finishes what there is, up to the first that fails. That goes to the end, so that it
    /// does not hold up the others for ever.
    fn work(&mut self) {
        while let Some(closed) = self.pending.pop_front() {
            let error = match finish(&self.root, &closed, self.compression, &self.stop) {
                Ok(()) => continue,
                Err(error) => error,
            };
            if fs::symlink_metadata(&closed).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                // Somebody has removed it.
                continue;
            }
            if self.retry.is_none() && !self.stop.load(Ordering::Relaxed) {
                self.say(format!(
                    "cannot finish {}: {error}; it stays as it is, and is tried again every {} s",
                    closed.display(),
                    RETRY.as_secs()
                ));
            }
            self.pending.push_back(closed);
            self.retry = Some(Instant::now() + RETRY);
            return;
        }
        if self.retry.take().is_some() {
            self.say("files can be finished again".to_owned());
        }
    }

    fn say(&self, what: String) {
        let _ = self.report.send(what);
    }
}

fn stopped() -> io::Error {
    io::Error::other("stopped")
}

/// Finishes one file. After an error the closed file is as it was, and nothing else is left.
fn finish(root: &Path, closed: &Path, compression: Compression, stop: &AtomicBool) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(stopped());
    }
    let mut source = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(closed)?;
    if whole_records(&source)? == 0 {
        return fs::remove_file(closed);
    }
    for made in [Compression::Gzip, Compression::Zstd, Compression::None] {
        let other = finished(closed, made.suffix());
        if fs::symlink_metadata(&other).is_err() {
            continue;
        }
        // A run that ended just before it removed the closed file has left both.
        if same_content(&mut source, &other, made)? {
            return fs::remove_file(closed);
        }
        let mut free = next_number(closed);
        while is_taken(&free) {
            free = next_number(&free);
        }
        fs::rename(closed, &free)?;
        return finish(root, &free, compression, stop);
    }
    let target = finished(closed, compression.suffix());
    if compression == Compression::None {
        source.sync_all()?;
        fs::rename(closed, &target)?;
        return sync_directories(root, &target);
    }
    let partial = partial(closed, compression.suffix());
    let made = compress(source, &partial, compression, stop).and_then(|()| fs::rename(&partial, &target));
    if let Err(error) = made {
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    sync_directories(root, &target)?;
    fs::remove_file(closed)
}

fn compress(mut source: File, partial: &Path, compression: Compression, stop: &AtomicBool) -> io::Result<()> {
    let metadata = source.metadata()?;
    // There is none but one that was left behind: the directory is locked.
    let _ = fs::remove_file(partial);
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial)?;
    target.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    let target = match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::new(GZIP_LEVEL));
            copy(&mut source, &mut encoder, stop)?;
            encoder.finish()?
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(target, ZSTD_LEVEL)?;
            encoder.include_checksum(true)?;
            encoder.set_pledged_src_size(Some(metadata.len()))?;
            copy(&mut source, &mut encoder, stop)?;
            encoder.finish()?
        }
        Compression::None => unreachable!("such files are only renamed"),
    };
    target.set_modified(metadata.modified()?)?;
    target.sync_all()
}

fn copy(source: &mut File, target: &mut impl Write, stop: &AtomicBool) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(stopped());
        }
        match source.read(&mut chunk)? {
            0 => return Ok(()),
            len => target.write_all(&chunk[..len])?,
        }
    }
}

/// Whether a compressed file holds what another file does.
fn same_content(source: &mut File, compressed: &Path, compression: Compression) -> io::Result<bool> {
    let compressed = File::open(compressed)?;
    let mut unpacked: Box<dyn Read> = match compression {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(compressed)),
        Compression::Zstd => Box::new(zstd::Decoder::new(compressed)?),
        Compression::None => Box::new(compressed),
    };
    let mut plain = BufReader::with_capacity(CHUNK, source);
    let (mut ours, mut theirs) = ([0; 8192], [0; 8192]);
    loop {
        // A damaged file is not the same.
        let Ok(len) = read_full(&mut unpacked, &mut theirs) else { return Ok(false) };
        if read_full(&mut plain, &mut ours)? != len || ours[..len] != theirs[..len] {
            return Ok(false);
        }
        if len == 0 {
            return Ok(true);
        }
    }
}

/// Reads as much as there is room for, or as there is.
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

/// Makes a new name last, and those of its directories below `root`, which can be new, too.
fn sync_directories(root: &Path, file: &Path) -> io::Result<()> {
    for directory in file.ancestors().skip(1).take_while(|directory| directory.starts_with(root)) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
