//! The collector as a state machine. Records, the time and requests go in; operations on files (a
//! [`Disk`]), closed files for the finisher, and messages come out. It knows no socket, no clock
//! and no thread.
//!
//! Nothing stops it. If the disk is full or a file cannot be opened, records wait in memory, up to
//! [`STUCK_LIMIT`], and are tried again every second. Records beyond the limit are lost, counted and
//! reported. While the memory is short, the log that has most of it gives way.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::disk::{Disk, is_exhausted};
use super::file_name::Name;
use super::found::Found;
use super::log::{self, Left, Log, take_name};
use super::names::Names;
use super::schedule::{Interval, Schedule};
use crate::console::{bytes, counted, duration, thousands};
use crate::paths::Paths;

/// A log's buffer is written when it has so much.
const FULL_BUFFER: usize = 256 * 1024;
/// All buffers are written when they have so much together.
const FULL_BUFFERS: usize = 64 * 1024 * 1024;
/// Buffers are written so often at least.
const FLUSH: Duration = Duration::from_secs(1);
/// While nothing arrives, buffers are written so often, for people who follow the files.
const IDLE_FLUSH: Duration = Duration::from_millis(200);

/// Bytes that wait at most for what cannot be written.
pub const STUCK_LIMIT: usize = 64 * 1024 * 1024;
/// A log that gives way loses at least the limit divided by this at a time.
const GIVE_WAY: usize = 64;
/// How often what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often an error is reported while it lasts.
pub const REPORT: Duration = Duration::from_secs(60);

/// A log without records for so long gives its place to another when there are too many.
const AGE: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// The moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the start.
    pub passed: Duration,
    /// By the clock, which can jump.
    pub clock: Timestamp,
}

/// The limits to keep to.
pub struct Limits {
    /// Bytes that a file has at most, unless a single record is larger.
    pub rotate_size: u64,
    /// Files that are open at a time.
    pub open_files: usize,
    /// Bytes that wait at most for what cannot be written.
    pub stuck: usize,
}

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A warning or an error.
    Problem(String),
    /// Good to know.
    Info(String),
}

/// A file to be finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its name.
    pub path: PathBuf,
    /// Bytes in it.
    pub size: u64,
}

/// Names, which the core gives and the finisher needs.
pub type SharedNames<D> = Arc<Mutex<Names<D>>>;

/// Writes records to files.
pub struct Core<D: Disk> {
    disk: Arc<D>,
    names: SharedNames<D>,
    directory: PathBuf,
    limits: Limits,
    schedule: Schedule,
    interval: Interval,
    /// When the run began.
    started: Timestamp,
    now: Now,
    /// By the numbers of their paths; `None`: the path has no log yet.
    logs: Vec<Option<Log<D>>>,
    /// Logs with something that waits and can be written.
    waiting: Vec<usize>,
    waiting_bytes: usize,
    /// Logs whose last write has failed.
    stuck: Vec<usize>,
    stuck_bytes: usize,
    /// Logs with an open file, the one opened first in front.
    open: VecDeque<usize>,
    flushed: Duration,
    tried: Duration,
    /// Why writing fails, each reason once.
    troubles: Vec<Trouble>,
    /// Records that were not written.
    lost: u64,
    /// A record without a file was reported.
    refusal_reported: bool,
    /// When it was last reported that a file could not be rotated.
    rotation_failure_reported: Option<Duration>,
    /// When no log could be forgotten.
    none_forgotten_at: Option<Duration>,
    closed: Vec<Closed>,
    messages: Vec<Message>,
}

/// A reason why writing fails, or has failed until now.
struct Trouble {
    /// The system's number of the error.
    reason: i32,
    since: Duration,
    reported: Duration,
    /// Records lost before it began.
    lost: u64,
    what: String,
}

/// The number that stands for a reason.
fn reason(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or_default()
}

impl<D: Disk> Core<D> {
    /// Makes a core without logs. [`Core::take_over`] goes on with what is in the directory.
    pub fn new(
        disk: Arc<D>,
        names: SharedNames<D>,
        directory: PathBuf,
        schedule: Schedule,
        limits: Limits,
        now: Now,
    ) -> Self {
        Self {
            disk,
            names,
            directory,
            limits,
            interval: schedule.interval(now.clock),
            schedule,
            started: now.clock,
            now,
            logs: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            stuck: Vec::new(),
            stuck_bytes: 0,
            open: VecDeque::new(),
            flushed: now.passed,
            tried: now.passed,
            troubles: Vec::new(),
            lost: 0,
            refusal_reported: false,
            rotation_failure_reported: None,
            none_forgotten_at: None,
            closed: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Goes on with what an earlier run has left.
    pub fn take_over(&mut self, found: Found, paths: &mut Paths) {
        for problem in found.problems {
            self.problem(problem);
        }
        for partial in found.partial {
            // If this fails, the file is removed when it is made anew, or by the next run.
            let _ = self.disk.remove(&partial);
        }
        if !found.closed.is_empty() {
            let count = counted(found.closed.len() as u64, "file");
            self.info(format!("finishing {count} that an earlier run has left"));
        }
        for path in found.closed {
            let size = self.disk.open(&path, super::disk::Open::Existing).and_then(|file| self.disk.status(&file));
            self.closed.push(Closed { size: size.map_or(0, |status| status.len), path });
        }
        for (log_path, file) in found.current {
            let Some(name) = Name::new(&self.directory, &log_path) else { continue };
            let Some(index) = paths.find(&log_path) else {
                self.problem(format!("cannot go on with {}: there are too many log paths", file.display()));
                continue;
            };
            let (status, size) = match log::inspect(&*self.disk, &file) {
                Ok(Left::Whole(status, size)) => (status, size),
                Ok(Left::Damaged) => {
                    self.set_aside(&name, &file);
                    continue;
                }
                Err(error) => {
                    self.problem(format!("cannot go on with {}: {error}", file.display()));
                    continue;
                }
            };
            if size < status.len {
                let cut = bytes(status.len - size);
                self.problem(format!("{}: removed an unfinished record at its end, {cut}", file.display()));
            }
            let now = self.now.clock;
            let modified = Timestamp::try_from(status.modified).unwrap_or(now).min(now);
            let created = status.created.and_then(|time| Timestamp::try_from(time).ok());
            let begins = created.unwrap_or(modified).min(modified);
            self.place(index, Log::left(name, begins, size));
            if !self.interval.contains(modified) {
                self.rotate(index, self.interval.start.max(self.started));
            }
        }
    }

    /// Gives a current file that cannot be continued another name.
    fn set_aside(&mut self, name: &Name, file: &Path) {
        let time = self.schedule.text(self.now.clock);
        let moved = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let taken =
                take_name(&*self.disk, &mut names, None, &time, |given| name.damaged(&given.time, given.number));
            taken.and_then(|(_, aside)| self.disk.rename(file, &aside).map(|()| aside))
        };
        match moved {
            Ok(aside) => self.problem(format!(
                "{} begins with zeros, as after a loss of power; it is {} now, and not continued",
                file.display(),
                aside.display()
            )),
            Err(error) => self.problem(format!("cannot go on with {}: {error}", file.display())),
        }
    }

    /// Returns true if a log path can have a file.
    pub fn has_name(&self, path: &[u8]) -> bool {
        Name::new(&self.directory, path).is_some()
    }

    /// Takes a record of the log path `path`, which has the number `index`. Returns false if the record is lost.
    #[inline]
    pub fn write(&mut self, index: usize, path: &[u8], record: &[u8]) -> bool {
        if self.logs.get(index).is_none_or(Option::is_none) && !self.add(index, path) {
            return false;
        }
        let Some(log) = &mut self.logs[index] else { return false };
        if log.size() + record.len() as u64 >= self.limits.rotate_size && log.stuck.is_none() {
            self.make_room(index, record.len());
        }
        let Some(log) = &mut self.logs[index] else { return false };
        log.used = self.now.clock;
        if log.stuck.is_some() {
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
            self.flush(index);
        } else if self.waiting_bytes >= FULL_BUFFERS {
            self.flush_all();
        }
        true
    }

    /// Counts a record for which there is no file as lost, and reports the first such record.
    pub fn refuse(&mut self, why: &str, path: &[u8]) {
        self.lost += 1;
        if !self.refusal_reported {
            self.refusal_reported = true;
            let path = String::from_utf8_lossy(&path[..path.len().min(40)]).escape_debug().to_string();
            self.problem(format!("{why}: \"{path}\"; its records, and others like that, are lost and counted"));
        }
    }

    #[cold]
    fn add(&mut self, index: usize, path: &[u8]) -> bool {
        let Some(name) = Name::new(&self.directory, path) else { return false };
        self.place(index, Log::new(name, self.interval.start.max(self.started)));
        true
    }

    fn place(&mut self, index: usize, log: Log<D>) {
        self.logs.resize_with(self.logs.len().max(index + 1), || None);
        self.logs[index] = Some(log);
    }

    /// Forgets a log that has had no records for some time, so that another can have its number. Its file is
    /// rotated. Returns the number, or `None` if there is no such log.
    pub fn forget_one(&mut self) -> Option<usize> {
        let now = self.now;
        // Looking at all logs for each record would take long.
        if self.none_forgotten_at.is_some_and(|last| now.passed < last + RETRY) {
            return None;
        }
        let idle =
            |log: &Log<D>| log.waiting() == 0 && log.stuck.is_none() && now.clock.duration_since(log.used) >= AGE;
        let all = self.logs.iter().enumerate().filter_map(|(index, log)| Some((index, log.as_ref()?)));
        let oldest = all.filter(|(_, log)| idle(log)).min_by_key(|(_, log)| log.used).map(|(index, _)| index);
        let Some(index) = oldest else {
            self.none_forgotten_at = Some(now.passed);
            return None;
        };
        self.rotate(index, now.clock);
        // A log whose file cannot be rotated stays.
        if self.logs[index].as_ref().is_some_and(|log| log.size() > 0) {
            self.none_forgotten_at = Some(now.passed);
            return None;
        }
        self.open.retain(|&open| open != index);
        self.waiting.retain(|&waiting| waiting != index);
        if let Some(given) = self.logs[index].take().and_then(|log| log.given) {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).forget(&given);
        }
        Some(index)
    }

    /// Keeps a record of a log that cannot be written. Returns false if the record is lost.
    #[cold]
    fn keep(&mut self, index: usize, record: &[u8]) -> bool {
        while self.stuck_bytes + record.len() >= self.limits.stuck {
            let waiting = |index: usize| self.logs[index].as_ref().map_or(0, Log::waiting);
            let largest = self.stuck.iter().copied().max_by_key(|&index| waiting(index)).unwrap_or(index);
            if waiting(largest) <= waiting(index) + record.len() {
                let Some(log) = &mut self.logs[index] else { return false };
                log.lost += 1;
                self.lost += 1;
                return false;
            }
            let Some(log) = &mut self.logs[largest] else { return false };
            let waited = log.waiting();
            self.lost += log.discard(waited.saturating_sub(record.len().max(self.limits.stuck / GIVE_WAY)));
            self.stuck_bytes -= waited - log.waiting();
        }
        let Some(log) = &mut self.logs[index] else { return false };
        let waited = log.waiting();
        log.append(record);
        self.stuck_bytes += log.waiting() - waited;
        true
    }

    /// Rotates a file that a record of `len` bytes would make too large.
    #[cold]
    fn make_room(&mut self, index: usize, len: usize) {
        if self.rotation_failure_reported.is_some_and(|reported| self.now.passed < reported + REPORT) {
            return;
        }
        self.flush(index);
        let Some(log) = &mut self.logs[index] else { return };
        // Other programs may have made the file smaller.
        log.look(&self.disk, self.now.clock);
        if log.size() + len as u64 >= self.limits.rotate_size {
            self.rotate(index, self.now.clock);
        }
    }

    /// Does what is due. `idle` is true if nothing arrives at the moment.
    pub fn tick(&mut self, now: Now, idle: bool) {
        if now.clock < self.now.clock {
            self.clock_was_set_back(now.clock);
        }
        self.now = now;
        if !self.interval.contains(now.clock) {
            self.interval = self.schedule.interval(now.clock);
            self.rotate_all(self.interval.start);
        }
        let passed = now.passed.saturating_sub(self.flushed);
        if passed >= FLUSH || idle && passed >= IDLE_FLUSH {
            self.flushed = now.passed;
            self.flush_all();
        }
        if now.passed.saturating_sub(self.tried) >= RETRY {
            self.tried = now.passed;
            self.retry();
            for &index in &self.open {
                if let Some(log) = &mut self.logs[index] {
                    log.look(&self.disk, now.clock);
                }
            }
            self.open.retain(|&index| self.logs[index].as_ref().is_some_and(Log::is_open));
            self.report();
        }
    }

    /// Lets no file begin later than now, after the clock was set back.
    fn clock_was_set_back(&mut self, clock: Timestamp) {
        self.started = self.started.min(clock);
        for log in self.logs.iter_mut().flatten() {
            if log.size() == 0 {
                log.begins = log.begins.min(clock);
            }
            log.used = log.used.min(clock);
        }
    }

    /// Rotates every file now.
    pub fn rotate_now(&mut self, now: Now) {
        if now.clock < self.now.clock {
            self.clock_was_set_back(now.clock);
        }
        self.now = now;
        self.rotate_all(now.clock);
    }

    /// Writes the records that wait; those that cannot be written are lost. Returns how many records were
    /// lost in all.
    pub fn end(&mut self) -> u64 {
        self.flush_all();
        self.retry();
        for log in self.logs.iter_mut().flatten() {
            self.lost += log.discard(0);
        }
        self.report();
        self.lost
    }

    /// Returns the files that were closed since the last call.
    pub fn closed(&mut self) -> Vec<Closed> {
        std::mem::take(&mut self.closed)
    }

    /// Returns the messages since the last call.
    pub fn messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Returns true if there is something to be taken by [`Core::closed`] or [`Core::messages`].
    #[inline]
    pub fn has_news(&self) -> bool {
        !self.closed.is_empty() || !self.messages.is_empty()
    }

    /// Records of a path that were lost.
    pub fn lost_of(&self, index: usize) -> u64 {
        self.logs.get(index).and_then(Option::as_ref).map_or(0, |log| log.lost)
    }

    fn problem(&mut self, text: String) {
        self.messages.push(Message::Problem(text));
    }

    fn info(&mut self, text: String) {
        self.messages.push(Message::Info(text));
    }

    fn rotate_all(&mut self, begins: Timestamp) {
        self.flush_all();
        for index in 0..self.logs.len() {
            self.rotate(index, begins);
        }
    }

    /// Closes a file; the next one begins at `begins`.
    fn rotate(&mut self, index: usize, begins: Timestamp) {
        let Some(log) = &mut self.logs[index] else { return };
        let rotated = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            log.rotate(&self.disk, &mut names, &self.schedule.text(log.begins), begins)
        };
        match rotated {
            Ok(Some((path, size))) => self.closed.push(Closed { path, size }),
            Ok(None) => {}
            Err(error) => {
                let path = log.name().current();
                if self.rotation_failure_reported.is_none_or(|reported| self.now.passed >= reported + REPORT) {
                    self.problem(format!("cannot rotate {}: {error}; it goes on as it is", path.display()));
                    self.rotation_failure_reported = Some(self.now.passed);
                }
            }
        }
    }

    fn flush_all(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for index in waiting.drain(..) {
            if let Some(log) = &mut self.logs[index] {
                log.listed = false;
                if log.stuck.is_none() {
                    self.flush(index);
                }
            }
        }
        self.waiting = waiting;
    }

    /// Tries again what could not be written.
    fn retry(&mut self) {
        for index in std::mem::take(&mut self.stuck) {
            self.flush(index);
        }
    }

    /// Writes what waits in a log.
    fn flush(&mut self, index: usize) {
        let Some(log) = &mut self.logs[index] else { return };
        let waited = log.waiting();
        *(if log.stuck.is_some() { &mut self.stuck_bytes } else { &mut self.waiting_bytes }) -= waited;
        let was_open = log.is_open();
        if !was_open && waited > 0 {
            self.close_files(self.limits.open_files - 1);
        }
        let Some(log) = &mut self.logs[index] else { return };
        let mut result = log.flush(&self.disk);
        if result.as_ref().is_err_and(is_exhausted) {
            self.close_files(0);
            let Some(log) = &mut self.logs[index] else { return };
            result = log.flush(&self.disk);
        }
        let Some(log) = &mut self.logs[index] else { return };
        log.stuck = result.as_ref().err().map(reason);
        match (was_open, log.is_open()) {
            (false, true) => self.open.push_back(index),
            (true, false) => self.open.retain(|&open| open != index),
            _ => {}
        }
        if let Err(error) = result {
            self.stuck_bytes += log.waiting();
            self.stuck.push(index);
            let path = log.name().current();
            self.in_trouble(&path, &error);
        }
    }

    /// Closes the files opened first, until at most `keep` are open.
    fn close_files(&mut self, keep: usize) {
        while self.open.len() > keep
            && let Some(index) = self.open.pop_front()
        {
            if let Some(log) = &mut self.logs[index] {
                log.close();
            }
        }
    }

    fn in_trouble(&mut self, path: &Path, error: &io::Error) {
        let reason = reason(error);
        if self.troubles.iter().any(|trouble| trouble.reason == reason) {
            return;
        }
        let what = format!("cannot write {}: {error}", path.display());
        let limit = bytes(self.limits.stuck as u64);
        self.problem(format!("{what}; records wait in memory, up to {limit}, and are lost beyond that"));
        let now = self.now.passed;
        self.troubles.push(Trouble { reason, since: now, reported: now, lost: self.lost, what });
    }

    /// Says how writing goes, if it has failed.
    fn report(&mut self) {
        let now = self.now.passed;
        for mut trouble in std::mem::take(&mut self.troubles) {
            let logs = self.stuck.iter().filter_map(|&index| self.logs[index].as_ref());
            let (count, waiting) = logs
                .filter(|log| log.stuck == Some(trouble.reason))
                .fold((0, 0), |(count, waiting), log| (count + 1, waiting + log.waiting() as u64));
            let lost = counted(self.lost - trouble.lost, "record");
            if count == 0 {
                let lasted = duration(now.saturating_sub(trouble.since));
                self.problem(format!("writing again after {lasted}; {lost} lost"));
                continue;
            }
            if now >= trouble.reported + REPORT {
                trouble.reported = now;
                let others = match count {
                    1 => String::new(),
                    more => format!(" and {} more", thousands(more - 1)),
                };
                self.problem(format!("still: {}{others}; {} wait, {lost} lost so far", trouble.what, bytes(waiting)));
            }
            self.troubles.push(trouble);
        }
    }
}

#[cfg(test)]
impl<D: Disk> Core<D> {
    /// Records that were lost until now.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Records that wait in memory.
    pub fn waiting_records(&self) -> Vec<Vec<u8>> {
        self.logs.iter().flatten().flat_map(Log::waiting_records).collect()
    }
}
