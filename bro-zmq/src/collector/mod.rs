//! Writes records to files: one for each log path, rotated and compressed.
//!
//! The receiving thread appends each record to its log's buffer, writes buffers to files, and renames
//! a file to rotate it; none of these waits for a disk. The [`finisher`] syncs and compresses on
//! threads of its own. [`core`] and [`backlog`] decide what is done when; they know no clock and no
//! files, and get both from here. [`file_name`] says what the names of files mean, [`names`] how they are
//! given.

mod backlog;
mod core;
mod disk;
mod file_name;
mod finish;
mod finisher;
mod found;
mod log;
mod names;
mod schedule;
#[cfg(test)]
// The played disk is for one thread; the system's, in whose place it is, is for several.
#[allow(clippy::arc_with_non_send_sync, reason = "single-threaded")]
mod tests;

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use self::core::{Core, Limits, Message, Now, STUCK_LIMIT};
use self::disk::{Disk as _, Open, System};
use self::finisher::Finisher;
use self::found::Found;
use self::names::Names;
use self::schedule::Schedule;
use crate::console::{Console, counted};
use crate::paths::Paths;
use crate::subscriber::too_few_descriptors;

pub use self::file_name::log_path;
pub use self::finish::Compression;

/// The most files that may be open at a time, not counting those being finished.
const OPEN_FILES: usize = 256;
/// So many files may be open at a time even if descriptors are few, not counting those being finished.
const FEWEST_FILES: usize = 8;
/// Descriptors for a file that is being finished: the file, what is made of it, and a directory.
const FINISHING: usize = 3;

/// How long the end waits for files being finished, after a signal.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the finisher is asked for messages, and descriptors are taken back.
const LOOK: Duration = Duration::from_secs(1);

/// The file that the one collector of a directory keeps locked. Its text says which names were given.
const STATE_FILE: &str = ".bro-zmq.lock";

/// Where the records go, and how.
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
    core: Core<System>,
    disk: Arc<System>,
    finisher: Finisher,
    start: Instant,
    looked: Instant,
    _lock: std::fs::File,
}

impl Collector {
    /// Takes over the directory, which is made if it is not there. What an earlier run has left
    /// in it is continued, or finished.
    pub fn open(settings: Settings, paths: &mut Paths, console: &Console) -> Result<Self, String> {
        let Settings { directory, rotate_every, rotate_size, compression, utc } = settings;
        let start = Instant::now();
        let failed = |error: io::Error| format!("cannot write to {}: {error}", directory.display());
        let lock = lock(&directory)?;
        let (disk, open_files) = disk()?;
        let found =
            Found::look(&*disk, &directory).map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
        let file = disk.open(&directory.join(STATE_FILE), Open::Existing).map_err(failed)?;
        let names = Names::open(Arc::clone(&disk), file, &found.mark).map_err(failed)?;
        let names = Arc::new(Mutex::new(names));
        let finisher = Finisher::start(directory.clone(), Arc::clone(&disk), Arc::clone(&names), compression, start)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let limits = Limits { rotate_size: rotate_size.unwrap_or(u64::MAX), open_files, stuck: STUCK_LIMIT };
        let schedule = Schedule::new(rotate_every, utc);
        let mut core = Core::new(Arc::clone(&disk), names, directory, schedule, limits, now(start));
        core.take_over(found, paths);
        let mut collector = Self { core, disk, finisher, start, looked: start, _lock: lock };
        collector.pass_on(console);
        Ok(collector)
    }

    /// Takes a record of the log path `path`, which has the number `index`. Returns false if the record is lost.
    #[inline]
    pub fn write(&mut self, index: usize, path: &[u8], record: &[u8], console: &Console) -> bool {
        let taken = self.core.write(index, path, record);
        if self.core.has_news() {
            self.pass_on(console);
        }
        taken
    }

    /// Counts a record for which there is no file as lost, and reports the first such record.
    pub fn refuse(&mut self, why: &str, path: &[u8], console: &Console) {
        self.core.refuse(why, path);
        self.pass_on(console);
    }

    /// Returns true if a log path can have a file.
    pub fn has_name(&self, path: &[u8]) -> bool {
        self.core.has_name(path)
    }

    /// Frees the number of a log path that has had no records for some time, so that another can have it.
    pub fn reclaim_number(&mut self, console: &Console) -> Option<usize> {
        let index = self.core.forget_one();
        self.pass_on(console);
        index
    }

    /// Does what is due. `idle` is true if nothing arrives at the moment.
    pub fn tick(&mut self, idle: bool, console: &Console) {
        self.core.tick(now(self.start), idle);
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            // Taking descriptors back fails while others have them; the next look tries again.
            let _ = self.disk.hold();
            for text in self.finisher.messages() {
                console.problem(text);
            }
        }
        self.pass_on(console);
    }

    /// Rotates every file now.
    pub fn rotate_now(&mut self, console: &Console) {
        self.core.rotate_now(now(self.start));
        self.pass_on(console);
    }

    /// Writes what waits, and waits until all files are finished; in a `hurry`, no longer than [`PATIENCE`].
    /// Returns how many records were lost in all.
    pub fn end(mut self, hurry: bool, console: &Console) -> u64 {
        let lost = self.core.end();
        self.pass_on(console);
        let start = Instant::now();
        let left = self.finisher.end(|| hurry && start.elapsed() >= PATIENCE);
        for text in self.finisher.messages() {
            console.problem(text);
        }
        if left > 0 {
            console.info(format!("{} to be finished by the next run", counted(left as u64, "file")));
        }
        lost
    }

    /// Records of a path that were lost.
    pub fn lost_of(&self, index: usize) -> u64 {
        self.core.lost_of(index)
    }

    /// Hands the core's messages to the console, and its closed files to the finisher.
    fn pass_on(&mut self, console: &Console) {
        for message in self.core.messages() {
            match message {
                Message::Problem(text) => console.problem(text),
                Message::Info(text) => console.info(text),
            }
        }
        for closed in self.core.closed() {
            self.finisher.finish(closed);
        }
    }
}

fn now(start: Instant) -> Now {
    Now { passed: start.elapsed(), clock: Timestamp::now() }
}

/// The system's files, with descriptors for as many as a part of the limit allows.
fn disk() -> Result<(Arc<System>, usize), String> {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let quarter = usize::try_from(limit / 4).unwrap_or(usize::MAX);
    let files = quarter.clamp(FEWEST_FILES, OPEN_FILES);
    // One more is for the file of names.
    let all = files + finisher::threads() * FINISHING + 1;
    let disk = System::new(all).map_err(|_| too_few_descriptors())?;
    Ok((Arc::new(disk), files))
}

/// Makes the directory if it is not there, and makes sure that nobody else writes to it.
fn lock(directory: &Path) -> Result<std::fs::File, String> {
    let failed = |error: io::Error| format!("cannot write to {}: {error}", directory.display());
    let made = std::fs::DirBuilder::new().recursive(true).mode(disk::DIRECTORY_MODE).create(directory);
    made.map_err(|error| match directory.ancestors().find(|part| part.exists() && !part.is_dir()) {
        Some(file) => {
            let what = if file == directory { "it is".to_owned() } else { format!("{} is", file.display()) };
            format!("cannot write to {}: {what} no directory; name another", directory.display())
        }
        None => failed(error),
    })?;
    let mut options = std::fs::File::options();
    options.read(true).write(true).create(true).truncate(false).mode(disk::FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    let lock = options.open(directory.join(STATE_FILE)).map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(format!("another bro-zmq writes to {}; give each a directory of its own", directory.display()))
        }
        Err(error) => Err(failed(error.into())),
    }
}
