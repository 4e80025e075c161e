//! Writes records to files: one for each log path, rotated and compressed.
//!
//! The receiving thread appends each record to its log's buffer, writes buffers to files, and
//! renames a file to rotate it: that waits for no disk. Syncing and compressing is the
//! [`finisher`]'s, on a thread of its own. What the names of files mean is in [`name`].
//!
//! Nothing stops receiving. What cannot be written, because the disk is full or a file cannot
//! be opened, waits in memory up to [`STUCK_LIMIT`] and is tried again every second; records
//! beyond that are counted as lost and reported.

mod finisher;
mod log;
mod name;
mod schedule;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

pub use finisher::Compression;
use finisher::Finisher;
use log::Log;
use name::{Kind, Name};
use schedule::{Interval, Schedule};

use crate::console::{Console, bytes, counted, duration};
use crate::paths::Paths;

/// A log's buffer is written when it has so much.
const FULL_BUFFER: usize = 256 * 1024;
/// All buffers are written when they have so much together.
const FULL_BUFFERS: usize = 64 * 1024 * 1024;
/// Buffers are written so often at least.
const FLUSH: Duration = Duration::from_secs(1);
/// While nothing arrives: so often, for those who follow the files.
const IDLE_FLUSH: Duration = Duration::from_millis(200);

/// Bytes that wait for a full disk at most.
const STUCK_LIMIT: usize = 64 * 1024 * 1024;
/// How often what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often an error is reported while it lasts.
const REPORT: Duration = Duration::from_secs(60);

/// Files that are open at a time.
const OPEN_FILES: usize = 256;

/// How long the end waits for files being finished, after a signal.
const PATIENCE: Duration = Duration::from_secs(10);

/// Held by the one collector that writes to a directory.
const LOCK: &str = ".bro-zmq.lock";

/// What to do with the records.
pub struct Settings {
    /// Where the files are.
    pub directory: PathBuf,
    /// How often they are rotated.
    pub rotate_every: Option<Duration>,
    /// Bytes that a file has at most, unless a single record is larger.
    pub rotate_size: Option<u64>,
    /// How finished files are compressed.
    pub compression: Compression,
    /// Times in names are UTC, not local.
    pub utc: bool,
}

/// Writes records to files.
pub struct Collector {
    directory: PathBuf,
    rotate_size: u64,
    schedule: Schedule,
    interval: Interval,
    /// When it was started.
    started: Timestamp,
    now: Timestamp,
    /// By the numbers of their paths; `None`: the path has no file.
    logs: Vec<Option<Log>>,
    /// Logs with something that waits and can be written.
    waiting: Vec<usize>,
    waiting_bytes: usize,
    /// Logs whose last write has failed.
    stuck: Vec<usize>,
    stuck_bytes: usize,
    /// Logs with an open file, the one opened first in front.
    open: VecDeque<usize>,
    flushed: Instant,
    tried: Instant,
    trouble: Option<Trouble>,
    /// Records that were not written.
    lost: u64,
    /// A record without a file was reported.
    refused: bool,
    /// When a file could not be rotated.
    rotation_failed: Option<Instant>,
    finisher: Finisher,
    _lock: File,
}

/// Writing has failed, and not succeeded since.
struct Trouble {
    since: Instant,
    reported: Instant,
    /// Records lost before it began.
    lost: u64,
    what: String,
}

impl Collector {
    /// Takes over the directory, which is made if it is not there. What an earlier run has left
    /// in it is continued, or finished.
    pub fn open(settings: Settings, paths: &mut Paths, console: &Console) -> Result<Self, String> {
        let directory = settings.directory;
        let lock = lock(&directory)?;
        let schedule = Schedule::new(settings.rotate_every, settings.utc);
        let finisher = Finisher::start(directory.clone(), settings.compression)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let now = Timestamp::now();
        let mut collector = Self {
            directory,
            rotate_size: settings.rotate_size.unwrap_or(u64::MAX),
            interval: schedule.interval(now),
            schedule,
            started: now,
            now,
            logs: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            stuck: Vec::new(),
            stuck_bytes: 0,
            open: VecDeque::new(),
            flushed: Instant::now(),
            tried: Instant::now(),
            trouble: None,
            lost: 0,
            refused: false,
            rotation_failed: None,
            finisher,
            _lock: lock,
        };
        let left = Left::find(&collector.directory)
            .map_err(|error| format!("cannot read {}: {error}", collector.directory.display()))?;
        collector.take_over(left, paths, console);
        Ok(collector)
    }

    fn take_over(&mut self, left: Left, paths: &mut Paths, console: &Console) {
        for partial in left.partial {
            let _ = fs::remove_file(partial);
        }
        if !left.closed.is_empty() {
            console
                .info(format!("finishing {} that an earlier run has left", counted(left.closed.len() as u64, "file")));
        }
        for closed in left.closed {
            self.finisher.finish(closed);
        }
        for (log_path, file) in left.current {
            let (Some(index), Some(name)) = (paths.find(&log_path), Name::new(&self.directory, &log_path)) else {
                continue;
            };
            let (metadata, size) = match log::inspect(&file) {
                Ok(found) => found,
                Err(error) => {
                    console.problem(format!("cannot go on with {}: {error}", file.display()));
                    continue;
                }
            };
            if size < metadata.len() {
                let cut = bytes(metadata.len() - size);
                console.problem(format!("{}: removed an unfinished record at its end, {cut}", file.display()));
            }
            let time = |time: io::Result<SystemTime>| Timestamp::try_from(time.ok()?).ok();
            let modified = time(metadata.modified()).unwrap_or(self.now).min(self.now);
            let begins = time(metadata.created()).unwrap_or(modified).min(modified);
            self.logs.resize_with(self.logs.len().max(index + 1), || None);
            self.logs[index] = Some(Log::left(name, begins, size));
            if !self.interval.contains(modified) {
                self.rotate(index, self.interval.start.max(self.started), console);
            }
        }
    }

    /// Takes a record of the path of this number. False if it is lost.
    #[inline]
    pub fn write(&mut self, index: usize, path: &[u8], record: &[u8], console: &Console) -> bool {
        if self.logs.get(index).is_none_or(Option::is_none) && !self.add(index, path, console) {
            return false;
        }
        let Some(log) = &mut self.logs[index] else { return false };
        if log.size() + record.len() as u64 >= self.rotate_size && !log.stuck {
            self.make_room(index, console);
        }
        let Some(log) = &mut self.logs[index] else { return false };
        if log.stuck {
            return self.keep(index, record);
        }
        let waited = log.waiting();
        if waited == 0 && log.size() == 0 {
            log.begins = log.begins.max(self.interval.start);
        }
        log.append(record);
        self.waiting_bytes += log.waiting() - waited;
        if !log.listed {
            log.listed = true;
            self.waiting.push(index);
        }
        if log.waiting() >= FULL_BUFFER {
            self.flush(index, console);
        } else if self.waiting_bytes >= FULL_BUFFERS {
            self.flush_all(console);
        }
        true
    }

    /// A record for which there is no file.
    pub fn refuse(&mut self, why: &str, path: &[u8], console: &Console) {
        self.lost += 1;
        if !self.refused {
            self.refused = true;
            let path = String::from_utf8_lossy(&path[..path.len().min(40)]).escape_debug().to_string();
            console.problem(format!("{why}: \"{path}\"; its records, and others like that, are lost and counted"));
        }
    }

    #[cold]
    fn add(&mut self, index: usize, path: &[u8], console: &Console) -> bool {
        let Some(name) = Name::new(&self.directory, path) else {
            self.refuse("a log path too long for the name of a file", path, console);
            return false;
        };
        self.logs.resize_with(self.logs.len().max(index + 1), || None);
        self.logs[index] = Some(Log::new(name, self.interval.start.max(self.started)));
        true
    }

    /// Keeps a record while nothing can be written.
    #[cold]
    fn keep(&mut self, index: usize, record: &[u8]) -> bool {
        let Some(log) = &mut self.logs[index] else { return false };
        if self.stuck_bytes + record.len() >= STUCK_LIMIT {
            log.lost += 1;
            self.lost += 1;
            return false;
        }
        let waited = log.waiting();
        log.append(record);
        self.stuck_bytes += log.waiting() - waited;
        true
    }

    /// Rotates a file that has become large enough.
    #[cold]
    fn make_room(&mut self, index: usize, console: &Console) {
        if self.rotation_failed.is_some_and(|failed| failed.elapsed() < REPORT) {
            return;
        }
        self.flush(index, console);
        self.rotate(index, self.now, console);
    }

    /// Does what it is time for. `idle`: nothing arrives at the moment.
    pub fn tick(&mut self, idle: bool, console: &Console) {
        let now = Instant::now();
        self.now = Timestamp::now();
        if !self.interval.contains(self.now) {
            self.interval = self.schedule.interval(self.now);
            self.rotate_all(self.interval.start, console);
        }
        let passed = now - self.flushed;
        if passed >= FLUSH || idle && passed >= IDLE_FLUSH {
            self.flushed = now;
            self.flush_all(console);
        }
        if now - self.tried >= RETRY {
            self.tried = now;
            self.retry(console);
            for &index in &self.open {
                if let Some(log) = &mut self.logs[index] {
                    log.forget_if_moved(self.now);
                }
            }
            for report in self.finisher.reports() {
                console.problem(report);
            }
            self.report(console);
        }
    }

    /// Rotates every file now.
    pub fn rotate_now(&mut self, console: &Console) {
        self.now = Timestamp::now();
        self.rotate_all(self.now, console);
    }

    /// Writes what waits, and waits for files being finished, if there is no hurry. Returns
    /// how many records were lost in all.
    pub fn end(mut self, hurry: bool, console: &Console) -> u64 {
        self.flush_all(console);
        self.retry(console);
        for log in self.logs.iter_mut().flatten() {
            self.lost += log.discard();
        }
        if self.stuck.is_empty() {
            self.report(console);
        }
        let start = Instant::now();
        let left = self.finisher.end(|| hurry && start.elapsed() >= PATIENCE);
        for report in self.finisher.reports() {
            console.problem(report);
        }
        if left > 0 {
            console.info(format!("{} to be finished by the next run", counted(left as u64, "file")));
        }
        self.lost
    }

    /// Records of a path that were lost.
    pub fn lost_of(&self, index: usize) -> u64 {
        self.logs.get(index).and_then(Option::as_ref).map_or(0, |log| log.lost)
    }

    fn rotate_all(&mut self, begins: Timestamp, console: &Console) {
        self.flush_all(console);
        for index in 0..self.logs.len() {
            self.rotate(index, begins, console);
        }
    }

    /// Closes a file; the next one begins at a time.
    fn rotate(&mut self, index: usize, begins: Timestamp, console: &Console) {
        let Some(log) = &mut self.logs[index] else { return };
        match log.rotate(&self.schedule.text(log.begins), begins) {
            Ok(Some(closed)) => self.finisher.finish(closed),
            Ok(None) => {}
            Err(error) => {
                if self.rotation_failed.is_none_or(|failed| failed.elapsed() >= REPORT) {
                    let path = log.name().current();
                    console.problem(format!("cannot rotate {}: {error}; it goes on as it is", path.display()));
                }
                self.rotation_failed = Some(Instant::now());
            }
        }
    }

    fn flush_all(&mut self, console: &Console) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for index in waiting.drain(..) {
            if let Some(log) = &mut self.logs[index] {
                log.listed = false;
                if !log.stuck {
                    self.flush(index, console);
                }
            }
        }
        self.waiting = waiting;
    }

    /// Tries again what could not be written.
    fn retry(&mut self, console: &Console) {
        for index in std::mem::take(&mut self.stuck) {
            self.flush(index, console);
        }
    }

    /// Writes what waits in a log.
    fn flush(&mut self, index: usize, console: &Console) {
        let Some(log) = &mut self.logs[index] else { return };
        let waited = log.waiting();
        let bytes = if log.stuck { &mut self.stuck_bytes } else { &mut self.waiting_bytes };
        *bytes -= waited;
        let was_open = log.is_open();
        let mut result = self.flush_open(index);
        if let Err(error) = &result
            && matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
            && !self.open.is_empty()
        {
            self.close_files(0);
            result = self.flush_open(index);
        }
        let Some(log) = &mut self.logs[index] else { return };
        if log.is_open() && !was_open {
            self.open.push_back(index);
        }
        if let Err(error) = result {
            self.stuck_bytes += log.waiting();
            self.stuck.push(index);
            let path = log.name().current();
            self.in_trouble(&path, &error, console);
        }
    }

    fn flush_open(&mut self, index: usize) -> io::Result<()> {
        if self.logs[index].as_ref().is_some_and(|log| !log.is_open()) && self.open.len() >= OPEN_FILES {
            self.close_files(OPEN_FILES - 1);
        }
        self.logs[index].as_mut().map_or(Ok(()), Log::flush)
    }

    /// Closes files until so many are open.
    fn close_files(&mut self, keep: usize) {
        while self.open.len() > keep
            && let Some(index) = self.open.pop_front()
        {
            if let Some(log) = &mut self.logs[index] {
                log.close();
            }
        }
    }

    fn in_trouble(&mut self, path: &Path, error: &io::Error, console: &Console) {
        if self.trouble.is_none() {
            let what = format!("cannot write {}: {error}", path.display());
            console.problem(format!(
                "{what}; records wait in memory, up to {}, and are lost beyond that",
                bytes(STUCK_LIMIT as u64)
            ));
            let now = Instant::now();
            self.trouble = Some(Trouble { since: now, reported: now, lost: self.lost, what });
        }
    }

    /// Says how writing goes, if it has failed.
    fn report(&mut self, console: &Console) {
        let Some(trouble) = &mut self.trouble else { return };
        let lost = counted(self.lost - trouble.lost, "record");
        if self.stuck.is_empty() {
            console.problem(format!("writing again after {}; {lost} lost", duration(trouble.since.elapsed())));
            self.trouble = None;
        } else if trouble.reported.elapsed() >= REPORT {
            trouble.reported = Instant::now();
            console.problem(format!(
                "still: {}; {} wait, {lost} lost so far",
                trouble.what,
                bytes(self.stuck_bytes as u64)
            ));
        }
    }
}

/// What an earlier run has left.
#[derive(Default)]
struct Left {
    /// Current files, by their log paths.
    current: Vec<(Vec<u8>, PathBuf)>,
    /// Files to be finished, in the order of their names.
    closed: Vec<PathBuf>,
    partial: Vec<PathBuf>,
}

impl Left {
    fn find(root: &Path) -> io::Result<Self> {
        let mut left = Self::default();
        left.look_into(root, root, 0)?;
        left.closed.sort();
        left.current.sort();
        Ok(left)
    }

    fn look_into(&mut self, root: &Path, directory: &Path, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() && depth < name::DEPTH_LIMIT {
                // One that may not be read, such as lost+found, is not ours.
                let _ = self.look_into(root, &path, depth + 1);
            } else if kind.is_file() {
                match path.strip_prefix(root).map(name::classify) {
                    Ok(Kind::Current(log_path)) => self.current.push((log_path, path)),
                    Ok(Kind::Closed) => self.closed.push(path),
                    Ok(Kind::Partial) => self.partial.push(path),
                    Ok(Kind::Other) | Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Makes the directory if it is not there, and makes sure that nobody else writes to it.
fn lock(directory: &Path) -> Result<File, String> {
    let failed = |error: io::Error| format!("cannot write to {}: {error}", directory.display());
    fs::DirBuilder::new().recursive(true).mode(log::DIRECTORY_MODE).create(directory).map_err(failed)?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(log::FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    let lock = options.open(directory.join(LOCK)).map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(format!("another bro-zmq writes to {}; give each a directory of its own", directory.display()))
        }
        Err(error) => Err(failed(error.into())),
    }
}
