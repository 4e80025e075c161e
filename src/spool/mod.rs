//! Records that cannot be sent now wait on disk: in a queue of byte strings for one log path and
//! endpoint, which survives the process.
//!
//! Below a root directory, which one process holds by a lock, each spool has a directory
//! with segment files (see `segment.rs`) and a state file (see `state.rs`). Records are
//! written at the end, read from the front, and deleted once they are confirmed.
//!
//! Invariants:
//!
//! 1. A record lies in one segment, in one piece, behind its length and checksum. One run of the
//!    program writes a segment from its beginning to its end. Afterwards nothing changes it, except
//!    that recovery cuts off a torn end. When forcing a segment to the disk fails, a new file with
//!    the same records takes its place.
//! 2. When [`Spool::push`] has returned, the kernel has the record: the end of the process
//!    does not lose it. [`SyncPolicy`] says when the disk has it. A refused record can come nevertheless,
//!    if the disk did not let it be taken back.
//! 3. Every record has a sequence number: the first number of its segment, from the header, plus its
//!    place in the segment. So records that are missing between two segments are counted exactly.
//! 4. confirmed ≤ read ≤ written, in this order. The state file tells what is confirmed. It is
//!    written before a segment is deleted. A segment is deleted only when all of it is confirmed,
//!    lies in a segment in front of it as well, or gives way to newer records. As long as the state
//!    file cannot be written, nothing is deleted; except that the first segment to be deleted makes
//!    room if there is none for the state file.
//! 5. Records are delivered whole and in order, and only records that were pushed. Each is delivered
//!    once, with two exceptions: after [`Spool::rewind`], and if the process ended when a record was
//!    read and not confirmed, or confirmed while the state file could not be written.
//! 6. A record that is not delivered is counted: as evicted, damaged, or refused by [`Spool::push`].
//!    It can be counted twice when the process ends, or a disk fails, between two system calls.
//! 7. Only regular files with a segment's name and header are read or deleted; besides them `state`,
//!    and `new`, a file that is being written and then takes the place of another.
//! 8. No failure of the disk panics, waits, or takes more memory than the largest record
//!    and a few read-ahead chunks.
//!
//! The spool knows nothing of ZeroMQ and JSON.

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "it stands in for system calls that fail")]
mod faults;
mod look;
#[allow(unsafe_code, reason = "the standard library has neither these locks nor statvfs")]
mod root;
mod segment;
mod state;
#[cfg(test)]
mod tests;

use core::fmt;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::texts::texts;
pub use look::{Waiting, holder, waiting};
use root::Lease;
use segment::{FRAME, Found, Header, Identity, SegmentReader};
use state::{Left, SavedState, StateFile};

pub use root::Loan;
pub use state::Label;

/// Where spools are, and how large they may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// The root directory: an absolute path, whose parent exists.
    pub dir: PathBuf,
    /// The most bytes that all segments below the root may have together.
    pub max_bytes: u64,
    /// Which records give way when the limit is reached.
    pub when_full: WhenFull,
    /// When records are forced to the disk.
    pub sync: SyncPolicy,
}

/// Which records give way when the limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest, a segment at a time.
    #[default]
    Oldest,
    /// The newest: they are refused.
    Newest,
}

/// When records are forced to the disk, in case the machine loses power. The end of the process loses no record
/// under any policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When the kernel thinks fit, usually within half a minute.
    Never,
    /// With each [`Spool::tick`], about once a second.
    #[default]
    Interval,
    /// Each record, before [`Spool::push`] returns.
    Always,
}

/// What a spool had when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records to be read, left by earlier runs.
    pub records: u64,
    /// Bytes of the spool's segments.
    pub bytes: u64,
    /// Records known to be lost: torn when the last run ended, or missing. Other damage is found when it is read,
    /// and counted in [`FailureCounts`].
    pub damaged_records: u64,
    /// Bytes that were cut off or deleted because no record could be read from them.
    pub damaged_bytes: u64,
    /// The most records that the last run can have had in flight, by [`Spool::set_in_flight`]. Zero if that run
    /// closed the spool.
    pub lost_in_flight: u64,
    /// True if the last run ended without closing the spool.
    pub unclean: bool,
    /// True if the state file is damaged, or missing although there are segments: records that were confirmed may
    /// come again.
    pub state_lost: bool,
    /// Files named like segments that are not this spool's; they are left alone.
    pub foreign_files: u64,
}

/// What has happened to records since the spool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailureCounts {
    /// Records that gave way to newer ones.
    pub evicted: u64,
    /// Records that could not be read back.
    pub damaged_records: u64,
    /// Bytes that were skipped because of damage.
    pub damaged_bytes: u64,
    /// System calls that failed, a full disk included.
    pub io_errors: u64,
}

texts! {
    /// Why a spool could not be opened.
    pub enum OpenError {
        InUse { dir: PathBuf, holder: Option<u32> } =
            "{dir} is in use by another process{pid}; give each host a spool_dir of its own"
            [dir = dir.display(), pid = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"))],
        Relative { dir: PathBuf } = "\"{dir}\" is not an absolute path; write one, such as /var/spool/zeek-zmq"
            [dir = dir.display()],
        NoParent { dir: PathBuf } =
            "{dir} cannot be made, because the directory above it does not exist; make that one first"
            [dir = dir.display()],
        NoDirectory { dir: PathBuf } = "{dir} is not a directory; name one, or remove it" [dir = dir.display()],
        Unusable { path: PathBuf, error: String } =
            "{path} cannot be used: {error}; it must be writable for the user that the host runs as, with room for it"
            [path = path.display()],
        Newer { path: PathBuf, format: u64 } =
            "{path} was written by a later version of this plugin (format {format}); use that one, or remove the file"
            [path = path.display()],
    }
}

impl OpenError {
    fn unusable(path: &Path, error: &io::Error) -> Self {
        Self::Unusable { path: path.to_owned(), error: error.to_string() }
    }
}

texts! {
    /// Why a record was not taken. After a system error, records are refused with that error, without trying,
    /// until the next [`Spool::tick`], or until a segment is deleted.
    pub enum PushError {
        Full = "the spool is full",
        TooLarge = "the record is larger than the spool may be",
        System { errno: i32 } = "{error}" [error = io::Error::from_raw_os_error(*errno)],
    }
}

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    segment: u64,
    offset: u64,
    /// Sequence number of the record behind this place.
    record: u64,
}

/// A segment on disk.
#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    /// Sequence number of its first record.
    first: u64,
    /// Where its last record ends.
    len: u64,
    /// Where reading goes on behind the segment, if not at the beginning of the next.
    resume: Option<Position>,
}

/// The segment being written.
struct Active {
    number: u64,
    file: Arc<File>,
}

/// The number of the first segment, and of the first record: in the middle of the range, because records can be
/// put in front.
const MIDDLE: u64 = 1 << 63;

/// A segment's size is a sixteenth of what the spool can have, within these bounds.
const SEGMENT_BYTES: (u64, u64) = (1 << 16, 1 << 24);

fn segment_bytes(limit: u64) -> u64 {
    (limit / 16).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1).min(limit / 4)
}

/// A buffer larger than this is given back.
const LARGE: usize = 1 << 20;

/// Bytes that are copied at a time.
const COPY_CHUNK: u64 = 1 << 16;

/// The name of a file that will take another file's place.
const NEW: &str = "new";

/// A segment that is to be forced to the disk.
struct Unsynced {
    number: u64,
    file: Arc<File>,
    /// True if a sync has failed. The kernel may have dropped what it could not write, and the next sync
    /// would succeed without it.
    suspect: bool,
}

/// A spool: see the module. If it is dropped without [`Spool::close`], everything is there the next
/// time, as after a crash of the process.
pub struct Spool {
    options: SpoolOptions,
    identity: Identity,
    lease: Lease,
    dir: PathBuf,
    state: StateFile,
    /// In the order of their numbers. `confirmed` lies in the first.
    segments: VecDeque<Segment>,
    /// The last of `segments`, if it is being written.
    active: Option<Active>,
    /// The number of the next segment.
    next_number: u64,
    /// The most bytes that a segment may have, by the options; `segment_bytes` heeds the disk, too.
    segment_limit: u64,
    segment_bytes: u64,
    confirmed: Position,
    /// What is read next.
    read: Position,
    /// The end of the record at `read`, when [`Spool::peek`] has found it.
    peeked: Option<Position>,
    /// Where the records end that are read and not confirmed.
    unconfirmed: VecDeque<Position>,
    /// How many of the first unconfirmed records are no longer on disk.
    unconfirmed_gone: u64,
    /// Sequence number of the next record to be written.
    end: u64,
    reader: Option<SegmentReader>,
    frame: Vec<u8>,
    counters: FailureCounts,
    /// Records in flight, as the caller says; `in_flight_bound` is what the state file says.
    in_flight: u64,
    in_flight_bound: u64,
    /// The error with which writing has failed, until writing is tried again.
    stalled: Option<i32>,
    /// Segments to be forced to the disk. `new_files` is true if the names of new files are to be, too.
    unsynced: Vec<Unsynced>,
    new_files: bool,
    /// True if the state file could not be written.
    state_stale: bool,
    /// Segments that are deleted as soon as the state file says that they are not needed, with
    /// their lengths.
    done: Vec<(u64, u64)>,
    /// The lowest number that a segment has had.
    lowest: u64,
    label: Label,
    /// The error of the last system call that failed.
    last_error: Option<i32>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, confirmed, read, end, .. } = self;
        f.debug_struct("Spool")
            .field("dir", dir)
            .field("confirmed", confirmed)
            .field("read", read)
            .field("end", end)
            .finish()
    }
}

impl Spool {
    /// Opens or makes the spool of a log path and endpoint below `options.dir`, which is made if need be. The
    /// spool has what earlier runs have left. If this process has the spool open already, a second one is opened
    /// beside it.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, another process uses it, or a later version of the
    /// program wrote the spool.
    pub fn open(options: &SpoolOptions, path: &str, endpoint: &str) -> Result<(Self, Recovered), OpenError> {
        let lease = Lease::take(&options.dir, &dir_name(path, &Identity::new(path, endpoint)))?;
        Self::open_all(options, path, endpoint, lease)
    }

    /// Borrows a spool that nobody in this process has open; [`Spool::open`] takes it away again. The spool is
    /// used within [`Loan::with`] only.
    ///
    /// # Errors
    ///
    /// The errors of [`Spool::open`]; and somebody in this process has the spool open.
    pub fn borrow(options: &SpoolOptions, path: &str, endpoint: &str) -> Result<(Self, Recovered), OpenError> {
        let lease = Lease::borrow(&options.dir, &dir_name(path, &Identity::new(path, endpoint)))?;
        let loan = lease.loan();
        let taken = OpenError::InUse { dir: lease.dir(), holder: Some(std::process::id()) };
        loan.with(|| Self::open_all(options, path, endpoint, lease)).unwrap_or(Err(taken))
    }

    fn open_all(
        options: &SpoolOptions,
        path: &str,
        endpoint: &str,
        lease: Lease,
    ) -> Result<(Self, Recovered), OpenError> {
        let name = dir_name(path, &Identity::new(path, endpoint));
        let first = lease.name() == name;
        let open = |lease| Self::open_leased(options, path, endpoint, lease);
        let (mut spool, mut recovered) = open(lease)?;
        // The records of spools that earlier runs opened beside this one, and that are not open now, come behind.
        for lease in if first { spool.lease.beside(&name) } else { Vec::new() } {
            let Ok((beside, found)) = open(lease) else { continue };
            recovered.records += spool.take_over(beside);
            recovered.damaged_records += found.damaged_records;
            recovered.damaged_bytes += found.damaged_bytes;
            recovered.lost_in_flight += found.lost_in_flight;
            recovered.unclean |= found.unclean;
            recovered.foreign_files += found.foreign_files;
        }
        recovered.bytes = spool.lease.bytes();
        Ok((spool, recovered))
    }

    fn open_leased(
        options: &SpoolOptions,
        path: &str,
        endpoint: &str,
        lease: Lease,
    ) -> Result<(Self, Recovered), OpenError> {
        let identity = Identity::new(path, endpoint);
        let dir = lease.dir();
        let unusable = |error: io::Error| OpenError::unusable(&dir, &error);
        lease.make_dir().map_err(unusable)?;
        if !fs::symlink_metadata(&dir).map_err(unusable)?.is_dir() {
            return Err(OpenError::NoDirectory { dir });
        }
        // A run that ended before it renamed this file has left it.
        let _ = fs::remove_file(dir.join(NEW));
        let state_path = dir.join("state");
        let (state, left) =
            StateFile::open(&state_path, identity.hash()).map_err(|error| OpenError::unusable(&state_path, &error))?;
        let start = Position { segment: MIDDLE, offset: identity.header_len(), record: MIDDLE };
        let mut spool = Self {
            options: options.clone(),
            segment_limit: segment_bytes(options.max_bytes),
            segment_bytes: 0,
            identity,
            lease,
            dir,
            state,
            segments: VecDeque::new(),
            active: None,
            next_number: MIDDLE,
            confirmed: start,
            read: start,
            peeked: None,
            unconfirmed: VecDeque::new(),
            unconfirmed_gone: 0,
            end: MIDDLE,
            reader: None,
            frame: Vec::new(),
            counters: FailureCounts::default(),
            in_flight: 0,
            in_flight_bound: 0,
            stalled: None,
            unsynced: Vec::new(),
            new_files: true,
            state_stale: false,
            done: Vec::new(),
            lowest: MIDDLE,
            label: Label { path: path.to_owned(), endpoint: endpoint.to_owned(), topic: Vec::new() },
            last_error: None,
        };
        let recovered = spool.recover(left)?;
        Ok((spool, recovered))
    }

    /// Notes the topic under which the records are sent, for [`idle`].
    pub fn set_topic(&mut self, topic: &[u8]) {
        topic.clone_into(&mut self.label.topic);
        self.write_label();
    }

    /// Writes the label, if the topic is known and the file does not have the label yet.
    fn write_label(&mut self) {
        if !self.label.topic.is_empty()
            && let Err(error) = self.state.set_label(&self.label)
        {
            self.note(&error);
        }
    }

    /// Writes a record at the end.
    ///
    /// # Errors
    ///
    /// The record was not written. The spool is as before, but for records that gave way.
    pub fn push(&mut self, record: &[u8]) -> Result<(), PushError> {
        if let Some(errno) = self.stalled {
            return Err(PushError::System { errno });
        }
        let size = FRAME + record.len() as u64;
        let header = self.identity.header_len();
        if u32::try_from(record.len()).is_err() || header + size > self.options.max_bytes {
            return Err(PushError::TooLarge);
        }
        if self.segments.back().is_some_and(|last| last.len > header && last.len + size > self.segment_bytes) {
            self.finish_active();
        }
        self.make_room(header + size)?;
        let mut result = self.append(record);
        if let Err(error) = &result {
            // On a full disk one segment gives way, not all of them.
            if is_full(error) && self.options.when_full == WhenFull::Oldest && self.evict() {
                result = self.append(record);
            }
        }
        result.map_err(|error| {
            self.stalled = Some(errno(&error));
            PushError::System { errno: errno(&error) }
        })
    }

    /// Makes the unconfirmed records unread, as [`Spool::rewind`] does, and puts back the records that were handed
    /// over without the spool and turned out to be unsent. `records` are both, in the order in which they were
    /// handed over, with true for a record that was read here.
    ///
    /// Returns how many records from outside the spool there was room for. The first of them, which have no room,
    /// are counted as evicted. Records on disk stay there: if there is no room for all in order, the records from
    /// outside come in front.
    ///
    /// # Errors
    ///
    /// No record from outside the spool was written.
    pub fn unshift<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], bool)>) -> Result<u64, PushError> {
        if self.lease.is_taken() {
            self.rewind();
            return Ok(0);
        }
        let records: Vec<_> = records.collect();
        let others = records.iter().filter(|(_, read)| !read).count();
        // Records read behind the last one from outside stay where they are, unless they are gone.
        let mut reads = 0;
        let mut last = 0;
        for (index, &(_, read)) in records.iter().enumerate() {
            reads += u64::from(read);
            if !read || reads <= self.unconfirmed_gone {
                last = index + 1;
            }
        }
        let in_front = &records[..last];
        let covered = (in_front.iter().filter(|(_, read)| *read).count() as u64).min(self.unconfirmed());
        if last == 0 {
            self.rewind();
            return Ok(0);
        }
        let all: Vec<_> = in_front.iter().map(|(record, _)| *record).collect();
        if self.count_fitting(&all, covered) == last && self.put_in_front(&all, covered).is_ok() {
            return Ok(others as u64);
        }
        self.rewind();
        let from_without: Vec<_> = records.iter().filter(|(_, read)| !read).map(|(record, _)| *record).collect();
        let kept = self.count_fitting(&from_without, 0);
        if kept > 0 {
            self.put_in_front(&from_without[others - kept..], 0)
                .map_err(|error| PushError::System { errno: errno(&error) })?;
        }
        self.counters.evicted += (others - kept) as u64;
        Ok(kept as u64)
    }

    /// Where the first `records` unconfirmed records end.
    fn behind(&self, records: u64) -> Position {
        let last = records.checked_sub(1).and_then(|last| self.unconfirmed.get(last as usize));
        last.copied().filter(|last| last.segment >= self.confirmed.segment).unwrap_or(self.confirmed)
    }

    /// Returns how many of the last records there is room for in a segment in front, if the first `covered`
    /// unconfirmed records are among them.
    fn count_fitting(&self, records: &[&[u8]], covered: u64) -> usize {
        let resume = self.behind(covered);
        let freed: u64 = self.segments.iter().take_while(|one| one.number < resume.segment).map(|one| one.len).sum();
        let left = |limit: u64, used: u64| (limit + freed).saturating_sub(used);
        let room = left(self.options.max_bytes, self.lease.used()).max(left(self.share(), self.lease.bytes()));
        let mut size = self.identity.header_len();
        let fits = |record: &&&[u8]| {
            size += FRAME + record.len() as u64;
            size <= room && u32::try_from(record.len()).is_ok()
        };
        records.iter().rev().take_while(fits).count()
    }

    /// Makes a segment of these records in front of the first unconfirmed record. The first `covered` unconfirmed
    /// records are among them: reading goes on behind these in the next segment.
    fn put_in_front(&mut self, records: &[&[u8]], covered: u64) -> io::Result<()> {
        let resume = self.behind(covered);
        let header = self.identity.header_len();
        let first = resume.record.wrapping_sub(records.len() as u64);
        let (number, len) = loop {
            let number = self.lowest.wrapping_sub(1);
            let mut bytes = self.identity.header(number, first, Some(resume));
            for record in records {
                let offset = bytes.len() as u64;
                segment::frame(&mut bytes, number, offset, record);
            }
            // Whatever becomes of the segment, a state file written from now on knows of it.
            self.lowest = number;
            match self.create(number, &bytes).and_then(|file| self.force(number, &file)) {
                Ok(()) => break (number, bytes.len() as u64),
                // Somebody else's file has the name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    self.note(&error);
                    return Err(error);
                }
            }
        };
        self.lease.add(len);
        // All unconfirmed records are unread again.
        self.unconfirmed_gone = 0;
        self.unconfirmed.clear();
        self.peeked = None;
        while let Some(front) = self.segments.front().copied().filter(|front| front.number < resume.segment) {
            self.segments.pop_front();
            self.done.push((front.number, front.len));
        }
        self.segments.push_front(Segment { number, first, len, resume: Some(resume) });
        self.confirmed = Position { segment: number, offset: header, record: first };
        self.read = self.confirmed;
        self.save(!self.done.is_empty());
        Ok(())
    }

    /// Forces a new segment to the disk, or else removes it.
    fn force(&mut self, number: u64, file: &File) -> io::Result<()> {
        if self.options.sync == SyncPolicy::Never {
            return Ok(());
        }
        let forced = file.sync_data().and_then(|()| self.sync_dirs());
        if forced.is_err() {
            let _ = fs::remove_file(self.path(number));
        }
        forced
    }

    /// The first unread record. Damaged ones are passed and counted.
    pub fn peek(&mut self) -> Option<&[u8]> {
        let end = match self.peeked {
            Some(end) => end,
            None => self.find_next_record()?,
        };
        self.peeked = Some(end);
        Some(self.reader.as_ref()?.data(self.read.offset, end.offset))
    }

    /// Passes the record that [`Spool::peek`] returned last: it is read, but not confirmed.
    /// Does nothing without one.
    pub fn advance(&mut self) {
        if let Some(end) = self.peeked.take() {
            self.unconfirmed.push_back(end);
            self.read = end;
        }
    }

    /// Notes that the first `records` unconfirmed records are done: they will not come again. Each call makes a
    /// system call.
    pub fn confirm(&mut self, records: u64) {
        let records = records.min(self.unconfirmed());
        if records == 0 {
            return;
        }
        self.unconfirmed_gone -= self.unconfirmed_gone.min(records);
        self.confirmed = self.behind(records);
        self.unconfirmed.drain(..records as usize);
        self.settle();
    }

    /// Makes the unconfirmed records unread. Unconfirmed records that have given way meanwhile are counted as
    /// evicted.
    pub fn rewind(&mut self) {
        self.peeked = None;
        self.unconfirmed.clear();
        self.counters.evicted += core::mem::take(&mut self.unconfirmed_gone);
        self.read = self.confirmed;
    }

    /// How many records are unread. Damaged ones are among them until they are found.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.end.saturating_sub(self.read.record)
    }

    /// How many records are read and not confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> u64 {
        self.unconfirmed.len() as u64
    }

    /// What has happened to records since [`Spool::open`].
    #[must_use]
    pub fn counters(&self) -> FailureCounts {
        self.counters
    }

    /// The last error that [`FailureCounts::io_errors`] counts.
    #[must_use]
    pub fn last_error(&self) -> Option<io::Error> {
        self.last_error.map(io::Error::from_raw_os_error)
    }

    /// Notes how many records were handed over without the spool and are not known to be sent, for
    /// [`Recovered::lost_in_flight`] of the next run. The state file has a bound that is rarely raised, so that
    /// few calls make a system call.
    #[inline]
    pub fn set_in_flight(&mut self, records: u64) {
        self.in_flight = records;
        if records + self.unconfirmed_gone > self.in_flight_bound {
            self.raise_in_flight();
        }
    }

    /// Forces records to the disk if it is time, tries again after a full disk, makes room for other
    /// spools, deletes what is done, and makes files again that somebody has deleted. To be called about
    /// once a second.
    pub fn tick(&mut self) {
        self.stalled = None;
        self.check_files();
        self.write_label();
        if self.options.when_full == WhenFull::Oldest {
            while self.lease.used() > self.options.max_bytes && self.lease.bytes() > self.share() && self.evict() {}
        }
        if self.options.sync != SyncPolicy::Never {
            // A failure is counted, and tried again the next time.
            let _ = self.sync(0);
        }
        if self.waiting() == 0 && self.unconfirmed.is_empty() && !self.segments.is_empty() {
            self.finish_active();
            self.settle();
        }
        let in_flight = self.in_flight + self.unconfirmed_gone;
        if self.state_stale || !self.done.is_empty() || in_flight != self.in_flight_bound {
            self.in_flight_bound = in_flight;
            self.save(!self.done.is_empty());
        }
    }

    /// Closes the spool: what is unread or unconfirmed is there the next time. The files of
    /// an empty one are removed.
    pub fn close(mut self) {
        if self.lease.is_taken() {
            return;
        }
        self.rewind();
        self.finish_active();
        self.settle();
        if self.options.sync != SyncPolicy::Never {
            // A failure is counted; there is no next tick.
            let _ = self.sync(0);
        }
        self.in_flight_bound = 0;
        self.write(true, self.options.sync != SyncPolicy::Never);
        if self.segments.is_empty() && self.done.is_empty() {
            // A directory that is not empty, or is gone already, stays as it is.
            let _ = fs::remove_file(self.dir.join("state"));
            let _ = fs::remove_dir(&self.dir);
        }
    }

    /// Moves the records of another spool to the end of this one; returns how many.
    fn take_over(&mut self, mut other: Self) -> u64 {
        let mut taken = 0;
        while let Some(record) = other.peek() {
            if self.push(record).is_err() {
                break;
            }
            taken += 1;
            other.advance();
            if other.unconfirmed() >= 1024 && (self.options.sync == SyncPolicy::Never || self.sync(0).is_ok()) {
                other.confirm(u64::MAX);
            }
        }
        // The other spool deletes its records when this one has them on the disk.
        if self.options.sync == SyncPolicy::Never || self.sync(0).is_ok() {
            other.confirm(u64::MAX);
        }
        other.close();
        taken
    }

    /// Takes over what earlier runs have left on the disk.
    fn recover(&mut self, left: Left) -> Result<Recovered, OpenError> {
        let mut recovered = Recovered::default();
        let state = match left {
            Left::Whole(state) => state,
            Left::Newer(version) => return Err(OpenError::Newer { path: self.dir.join("state"), format: version }),
            Left::Nothing | Left::Damaged => {
                SavedState { confirmed: self.confirmed, end: self.end, in_flight: 0, closed: false, lowest: 0 }
            }
        };
        let known = matches!(left, Left::Whole(_));
        if known {
            (self.confirmed, self.end) = (state.confirmed, state.end);
            recovered.unclean = !state.closed;
            recovered.lost_in_flight = if state.closed { 0 } else { state.in_flight };
        }

        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|error| OpenError::unusable(&self.dir, &error))? {
            let entry = entry.map_err(|error| OpenError::unusable(&self.dir, &error))?;
            numbers.extend(segment_number(&entry.file_name()));
        }
        numbers.sort_unstable();
        let mut unnumbered = false;
        // Records of segments below this number are in a segment in front as well.
        let mut covered = 0;
        // The lowest number for a new segment: segments in front name lower ones as where reading goes on.
        let mut lowest_new = 0;
        for number in numbers {
            // Segments in front of the confirmed position are done; the last run did not get to deleting them. But
            // segments below `lowest` can have been made after the state file was written.
            let new = known && number < state.lowest;
            let done = known && !new && number < state.confirmed.segment || number < covered;
            let before = self.segments.len();
            unnumbered |= self.recover_segment(number, done, &mut recovered)?;
            let Some(&segment) = self.segments.get(before) else { continue };
            let mut in_place = false;
            if let Some(resume) = segment.resume
                && self.count(before, self.start_of(&segment))?.0 == resume.record
            {
                covered = covered.max(resume.segment);
                in_place = resume.segment < state.lowest || resume.record >= state.confirmed.record;
            }
            if new && !in_place {
                // Writing it was not finished, or what is behind it is confirmed.
                self.segments.pop_back();
                self.lease.remove(segment.len);
                self.remove(number);
            } else if let Some(resume) = segment.resume {
                lowest_new = lowest_new.max(resume.segment.wrapping_add(1));
            }
        }
        let first = self.segments.front().map_or(MIDDLE, |front| front.number).min(self.confirmed.segment);
        self.lowest = first.min(if known && state.lowest > 0 { state.lowest } else { MIDDLE });
        if unnumbered {
            self.number_records()?;
        }
        let behind = self.segments.back().map_or(0, |last| last.number.wrapping_add(1));
        self.next_number = self.next_number.max(behind).max(lowest_new).max(self.confirmed.segment);

        let Some(&front) = self.segments.front() else {
            recovered.state_lost = left == Left::Damaged;
            recovered.damaged_records += self.end.saturating_sub(self.confirmed.record);
            self.end = self.end.max(self.confirmed.record);
            (self.confirmed, self.read) = (self.beyond(), self.beyond());
            self.save(false);
            return Ok(recovered);
        };
        recovered.state_lost = !known;
        if known && front.number == self.confirmed.segment {
            self.confirmed.offset = self.confirmed.offset.clamp(self.identity.header_len(), front.len);
        } else {
            if known {
                recovered.damaged_records += front.first.saturating_sub(self.confirmed.record);
            }
            self.confirmed = self.start_of(&front);
        }
        let last = self.segments.len() - 1;
        let from = if last == 0 { self.confirmed } else { self.start_of(&self.segments[last]) };
        let (found, whole) = self.count(last, from)?;
        let torn = self.segments[last].len - whole;
        if torn > 0 {
            recovered.damaged_bytes += torn;
            self.truncate(last, whole);
        }
        self.confirmed.offset = self.confirmed.offset.min(self.segments[0].len);
        // The state file can know of records that did not get to the disk, or of fewer than the segments have.
        let missing = if known { state.end.saturating_sub(found) } else { 0 };
        recovered.damaged_records += missing.max(u64::from(torn > 0));
        self.end = found;
        self.read = self.confirmed;
        self.settle();
        recovered.records = self.waiting();
        recovered.bytes = self.lease.bytes();
        Ok(recovered)
    }

    /// Takes a segment, or deletes it if it is `done` or has no record. Returns true if its header is
    /// damaged, so that the sequence number of its first record is not known.
    fn recover_segment(&mut self, number: u64, done: bool, recovered: &mut Recovered) -> Result<bool, OpenError> {
        let path = self.path(number);
        let start = self.identity.header_len();
        let opened = open_segment(&path).and_then(|(file, len)| {
            let header = segment::read_header(&file, len, number, &self.identity)?;
            Ok((file, len, header))
        });
        let (file, len, header) = match opened {
            Ok(opened) => opened,
            // A segment that cannot be read now is not to be passed over.
            Err(error) if !done && !is_foreign(&error) => return Err(OpenError::unusable(&path, &error)),
            Err(_) => {
                recovered.foreign_files += 1;
                return Ok(false);
            }
        };
        let (first, resume) = match header {
            Header::Newer(version) => return Err(OpenError::Newer { path, format: version.into() }),
            Header::Foreign => {
                recovered.foreign_files += 1;
                return Ok(false);
            }
            Header::Whole { first, resume } => (Some(first), resume),
            Header::Damaged { ours } => {
                let mut reader = SegmentReader::new(Arc::new(file), number);
                match reader.search(start, len) {
                    Ok(Some(_)) => {}
                    Ok(None) if ours => {
                        recovered.damaged_bytes += if done { 0 } else { len };
                        self.remove(number);
                        return Ok(false);
                    }
                    Err(error) if !done => return Err(OpenError::unusable(&path, &error)),
                    Ok(None) | Err(_) => {
                        recovered.foreign_files += 1;
                        return Ok(false);
                    }
                }
                (None, None)
            }
        };
        if done {
            self.remove(number);
            return Ok(false);
        }
        self.lease.add(len);
        self.segments.push_back(Segment { number, first: first.unwrap_or(UNKNOWN_FIRST), len, resume });
        Ok(first.is_none())
    }

    /// Gives segments with damaged headers the sequence numbers that their neighbours and
    /// their records tell.
    fn number_records(&mut self) -> Result<(), OpenError> {
        let start = self.identity.header_len();
        let records = |spool: &mut Self, index: usize| {
            let from = Position { segment: spool.segments[index].number, offset: start, record: 0 };
            spool.count(index, from).map(|(records, _)| records)
        };
        for index in (1..self.segments.len()).rev() {
            let next = self.segments[index].first;
            if self.segments[index - 1].first == UNKNOWN_FIRST && next != UNKNOWN_FIRST {
                self.segments[index - 1].first = next.wrapping_sub(records(self, index - 1)?);
            }
        }
        for index in 0..self.segments.len() {
            if self.segments[index].first == UNKNOWN_FIRST {
                self.segments[index].first = match index.checked_sub(1) {
                    Some(before) => self.segments[before].first.wrapping_add(records(self, before)?),
                    None => self.confirmed.record,
                };
            }
        }
        Ok(())
    }

    /// Counts the records of a segment from a position in it. Returns the sequence number behind the last record,
    /// and where that record ends.
    fn count(&mut self, index: usize, from: Position) -> Result<(u64, u64), OpenError> {
        let segment = self.segments[index];
        let Position { mut offset, mut record, .. } = from;
        while offset < segment.len {
            match self.look(&segment, offset) {
                Ok(Found::Record { end }) => offset = end,
                Ok(Found::Damage { next }) if next == segment.len => return Ok((record, offset)),
                // This counts as one record, as it does in `find_next_record`.
                Ok(Found::Damage { next }) => offset = next,
                Err(error) => return Err(OpenError::unusable(&self.path(segment.number), &error)),
            }
            record = record.wrapping_add(1);
        }
        Ok((record, offset))
    }

    /// Cuts a segment's torn end off.
    fn truncate(&mut self, index: usize, len: u64) {
        let path = self.path(self.segments[index].number);
        self.lease.remove(self.segments[index].len - len);
        self.segments[index].len = len;
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path);
        // If cutting fails, the next run finds the same torn end.
        if let Err(error) = file.and_then(|file| file.set_len(len)) {
            self.note(&error);
        }
        self.reader = None;
    }

    /// Looks for the next record and passes what is damaged; returns where the record ends.
    fn find_next_record(&mut self) -> Option<Position> {
        loop {
            let index = self.segments.iter().position(|segment| segment.number == self.read.segment)?;
            let segment = self.segments[index];
            if self.read.offset >= segment.len {
                if index + 1 == self.segments.len() {
                    self.skip_to(Position { record: self.end, ..self.read });
                    return None;
                }
                self.skip_to(self.after(index));
                continue;
            }
            // A read that fails once may succeed the next moment.
            let found = self.look(&segment, self.read.offset).or_else(|error| {
                self.note(&error);
                self.reader = None;
                self.look(&segment, self.read.offset)
            });
            match found {
                Ok(Found::Record { end }) => {
                    return Some(Position {
                        segment: segment.number,
                        offset: end,
                        record: self.read.record.wrapping_add(1),
                    });
                }
                Ok(Found::Damage { next }) => {
                    self.counters.damaged_bytes += next - self.read.offset;
                    // At least one record is damaged; the segment's end tells whether there were more.
                    let record = self.read.record.wrapping_add((next < segment.len).into());
                    self.skip_to(Position { offset: next, record, ..self.read });
                }
                // There can be enough descriptors or memory the next time.
                Err(error) if is_shortage(&error) => {
                    self.note(&error);
                    return None;
                }
                Err(error) => {
                    self.note(&error);
                    self.counters.damaged_bytes += segment.len - self.read.offset;
                    self.read.offset = segment.len;
                }
            }
        }
    }

    /// Returns what is at an offset before the end of a segment.
    fn look(&mut self, segment: &Segment, offset: u64) -> io::Result<Found> {
        let reader = match self.reader.take() {
            Some(reader) if reader.number() == segment.number => reader,
            _ => {
                let file = match &self.active {
                    Some(active) if active.number == segment.number => Arc::clone(&active.file),
                    _ => Arc::new(open_segment(&self.path(segment.number))?.0),
                };
                SegmentReader::new(file, segment.number)
            }
        };
        self.reader.insert(reader).find(offset, segment.len)
    }

    /// Goes on reading at a position. The records in front of it that were not read are damaged.
    fn skip_to(&mut self, position: Position) {
        self.counters.damaged_records += position.record.saturating_sub(self.read.record);
        self.read = position;
    }

    /// Where reading goes on behind a segment.
    fn after(&self, index: usize) -> Position {
        match (self.segments[index].resume, self.segments.get(index + 1)) {
            (_, None) => self.beyond(),
            (Some(resume), Some(next)) if resume.segment == next.number => resume,
            (_, Some(next)) => self.start_of(next),
        }
    }

    fn start_of(&self, segment: &Segment) -> Position {
        Position { segment: segment.number, offset: self.identity.header_len(), record: segment.first }
    }

    /// The beginning of a segment that is yet to be made.
    fn beyond(&self) -> Position {
        Position { segment: self.next_number, offset: self.identity.header_len(), record: self.end }
    }

    /// Deletes the segments that are confirmed to their end, and writes the state.
    fn settle(&mut self) {
        if self.unconfirmed.is_empty() {
            self.confirmed = self.read;
        }
        while let Some(&front) = self.segments.front() {
            let active = self.active.as_ref().is_some_and(|active| active.number == front.number);
            if front.number == self.confirmed.segment && self.confirmed.offset >= front.len && !active {
                let after = self.after(0);
                if self.read.segment == front.number {
                    self.skip_to(after);
                }
                self.confirmed = after;
            } else if front.number >= self.confirmed.segment {
                break;
            }
            self.segments.pop_front();
            self.done.push((front.number, front.len));
        }
        self.save(!self.done.is_empty());
    }

    /// Gives up the oldest segment, but not the segment being written while there is another. Returns true
    /// if all segments given up are deleted, so that there is room.
    fn evict(&mut self) -> bool {
        // While the state cannot be written, no segment is deleted, and giving one up makes no room.
        if (self.state_stale || !self.done.is_empty()) && !(self.save(true) && self.done.is_empty()) {
            return false;
        }
        if self.segments.len() == 1 {
            self.finish_active();
        }
        let Some(&front) = self.segments.front() else { return false };
        let after = self.after(0);
        if self.read.segment == front.number {
            self.counters.evicted += after.record.saturating_sub(self.read.record);
            self.read = after;
            self.peeked = None;
        }
        let here =
            self.unconfirmed.iter().skip(self.unconfirmed_gone as usize).take_while(|end| end.segment == front.number);
        self.unconfirmed_gone += here.count() as u64;
        self.in_flight_bound = self.in_flight_bound.max(self.in_flight + self.unconfirmed_gone);
        self.confirmed = after;
        self.segments.pop_front();
        self.done.push((front.number, front.len));
        self.save(true) && self.done.is_empty()
    }

    /// Makes room for a record of so many bytes.
    fn make_room(&mut self, size: u64) -> Result<(), PushError> {
        while self.lease.used() + size > self.options.max_bytes {
            if self.options.when_full == WhenFull::Newest {
                return Err(PushError::Full);
            }
            // A spool that has less than its share gets room; those that have more give way
            // with their next record or tick.
            if self.lease.bytes() + size <= self.share() {
                break;
            }
            if !self.evict() {
                return Err(PushError::Full);
            }
        }
        Ok(())
    }

    /// This spool's part of the limit.
    fn share(&self) -> u64 {
        self.options.max_bytes / self.lease.spools()
    }

    /// Writes a record behind the last one.
    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let result = self.try_append(record);
        if let Err(error) = &result {
            self.note(error);
        }
        result
    }

    fn try_append(&mut self, record: &[u8]) -> io::Result<()> {
        if self.active.is_none() {
            self.start_segment()?;
        }
        let (Some(active), Some(last)) = (&self.active, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = Arc::clone(&active.file);
        self.frame.clear();
        segment::frame(&mut self.frame, last.number, last.len, record);
        if let Err(error) = (&*file).write_all(&self.frame) {
            // The part that was written is cut off; or else nothing more is written behind it.
            if file.set_len(last.len).is_err() || !is_full(&error) {
                self.finish_active();
            }
            return Err(error);
        }
        if let Some(reader) = self.reader.as_mut().filter(|reader| reader.number() == last.number) {
            reader.offer(self.read.offset, last.len, &self.frame);
        }
        let size = self.frame.len() as u64;
        let (number, before) = (last.number, last.len);
        last.len += size;
        self.end = self.end.wrapping_add(1);
        self.lease.add(size);
        let written = self.sync_if_always(number, &file);
        if written.is_err() {
            // The record is not on the disk, and so the spool does not have it. Nothing more is written behind it.
            self.end = self.end.wrapping_sub(1);
            self.lease.remove(size);
            if let Some(last) = self.segments.back_mut() {
                last.len = before;
            }
            if let Some(active) = self.active.take() {
                let _ = active.file.set_len(before);
            }
            self.reader = None;
        }
        if self.frame.capacity() > LARGE {
            self.frame = Vec::new();
        }
        written
    }

    /// Makes the next segment.
    fn start_segment(&mut self) -> io::Result<()> {
        // On a disk that is almost full, segments are small, so that little gives way at a time.
        let disk = root::free_bytes(&self.dir).saturating_add(self.lease.used());
        self.segment_bytes = self.segment_limit.min(segment_bytes(disk).max(SEGMENT_BYTES.0));
        let start = self.identity.header_len();
        let (number, file) = loop {
            let number = self.next_number;
            match self.create(number, &self.identity.header(number, self.end, None)) {
                // Somebody else's file has the name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.next_number = number.wrapping_add(1);
                }
                made => break (number, made?),
            }
        };
        if self.segments.is_empty() {
            // Nothing is there to be read but what comes now.
            (self.confirmed, self.read) = (self.beyond(), self.beyond());
        }
        self.next_number = number.wrapping_add(1);
        self.segments.push_back(Segment { number, first: self.end, len: start, resume: None });
        self.active = Some(Active { number, file: Arc::new(file) });
        self.lease.add(start);
        Ok(())
    }

    /// Makes a segment's file with these bytes.
    fn create(&mut self, number: u64, bytes: &[u8]) -> io::Result<File> {
        self.create_at(&self.path(number), bytes)
    }

    fn create_at(&mut self, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let open = || {
            OpenOptions::new()
                .read(true)
                .append(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
                .open(path)
        };
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody has deleted the directory.
                self.make_dir()?;
                open()?
            }
            opened => opened?,
        };
        if let Err(error) = file.write_all(bytes) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        self.new_files = true;
        Ok(file)
    }

    /// Puts a new file with the same bytes in the place of a segment's; the last `known` bytes are those at
    /// the end of `frame`. Returns the file to write to from now on.
    fn renew(&mut self, number: u64, file: &Arc<File>, known: u64) -> io::Result<Arc<File>> {
        let Some(len) = self.segments.iter().find(|segment| segment.number == number).map(|segment| segment.len) else {
            return Ok(Arc::clone(file));
        };
        let new = self.dir.join(NEW);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut copy = self.create_at(&new, &[])?;
        let mut chunk = vec![0; COPY_CHUNK as usize];
        let mut offset = 0;
        while offset < len - known {
            let bytes = &mut chunk[..COPY_CHUNK.min(len - known - offset) as usize];
            file.read_exact_at(bytes, offset)?;
            copy.write_all(bytes)?;
            offset += bytes.len() as u64;
        }
        copy.write_all(&self.frame[self.frame.len() - known as usize..])?;
        if self.options.sync != SyncPolicy::Never {
            copy.sync_data()?;
        }
        fs::rename(new, self.path(number))?;
        self.new_files = true;
        let copy = Arc::new(copy);
        if let Some(active) = self.active.as_mut().filter(|active| active.number == number) {
            active.file = Arc::clone(&copy);
        }
        self.reader = None;
        Ok(copy)
    }

    /// Checks whether somebody has deleted or changed the files being written.
    fn check_files(&mut self) {
        if self.state.is_deleted()
            && let Err(error) = self.make_dir()
        {
            self.note(&error);
        }
        let (Some(active), Some(last)) = (&self.active, self.segments.back()) else { return };
        let (number, file, len) = (active.number, Arc::clone(&active.file), last.len);
        match file.metadata() {
            Ok(found) if found.len() == len && found.nlink() > 0 => {}
            Ok(found) if found.len() == len => {
                // The file was deleted. Its records can be copied while it is open, unless somebody else's file
                // has the name.
                let renewed = match fs::symlink_metadata(self.path(number)) {
                    Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                    Err(_) => self.renew(number, &file, 0),
                };
                match renewed {
                    Ok(file) => self.add_unsynced(number, &file),
                    Err(error) => self.note(&error),
                }
            }
            // Somebody has changed the file. Nothing more is written to it; what can be read of it is read.
            _ => self.finish_active(),
        }
    }

    /// Makes the spool's directory and state file again.
    fn make_dir(&mut self) -> io::Result<()> {
        self.lease.make_dir()?;
        (self.state, _) = StateFile::open(&self.dir.join("state"), self.identity.hash())?;
        self.write_label();
        self.state_stale = true;
        Ok(())
    }

    fn add_unsynced(&mut self, number: u64, file: &Arc<File>) {
        if self.options.sync != SyncPolicy::Never
            && self.unsynced.last().is_none_or(|last| !Arc::ptr_eq(&last.file, file))
        {
            self.unsynced.retain(|one| one.number != number);
            self.unsynced.push(Unsynced { number, file: Arc::clone(file), suspect: false });
        }
    }

    /// Sees to it that the record in `frame`, at the end of a segment, gets to the disk in time.
    ///
    /// # Errors
    ///
    /// The record had to be on the disk now, and is not.
    fn sync_if_always(&mut self, number: u64, file: &Arc<File>) -> io::Result<()> {
        self.add_unsynced(number, file);
        if self.options.sync != SyncPolicy::Always {
            return Ok(());
        }
        let forced = self.sync(self.frame.len() as u64);
        if forced.is_err() {
            // All earlier records are on the disk.
            self.unsynced.clear();
        }
        forced
    }

    /// Forces what was written to the disk. The last `known` bytes of the last segment are those
    /// at the end of `frame`.
    ///
    /// # Errors
    ///
    /// Something could not be forced to the disk. It stays in `unsynced`.
    fn sync(&mut self, known: u64) -> io::Result<()> {
        let mut result = Ok(());
        for index in 0..self.unsynced.len() {
            let Unsynced { number, ref file, suspect } = self.unsynced[index];
            let file = Arc::clone(file);
            if !suspect {
                let Err(error) = file.sync_data() else { continue };
                self.note(&error);
            }
            let known = if self.segments.back().is_some_and(|last| last.number == number) { known } else { 0 };
            let renewed = self.renew(number, &file, known);
            match renewed {
                Ok(file) => self.unsynced[index] = Unsynced { number, file, suspect: false },
                Err(error) => {
                    self.note(&error);
                    self.unsynced[index].suspect = true;
                    // Nothing is written behind records that the disk may not have.
                    if self.active.as_ref().is_some_and(|active| active.number == number) {
                        self.finish_active();
                    }
                    result = Err(error);
                }
            }
        }
        result?;
        if let Err(error) = self.sync_dirs() {
            self.note(&error);
            self.unsynced.iter_mut().for_each(|one| one.suspect = true);
            return Err(error);
        }
        self.unsynced.clear();
        Ok(())
    }

    /// Forces the names of new files to the disk.
    fn sync_dirs(&mut self) -> io::Result<()> {
        if self.new_files {
            for dir in [Some(&*self.dir), self.dir.parent()].into_iter().flatten() {
                root::sync_dir(dir)?;
            }
            self.new_files = false;
        }
        Ok(())
    }

    /// Ends the last segment: nothing more is written to it.
    fn finish_active(&mut self) {
        self.active = None;
    }

    /// Deletes the first of the segments that are done. If it cannot be deleted, it stays among them.
    fn delete_first(&mut self) -> bool {
        let (number, len) = self.done[0];
        if self.reader.as_ref().is_some_and(|reader| reader.number() == number) {
            self.reader = None;
        }
        if !self.remove(number) {
            return false;
        }
        self.done.remove(0);
        self.unsynced.retain(|one| one.number != number);
        self.lease.remove(len);
        // There may be room again.
        self.stalled = None;
        true
    }

    /// Removes a segment's file. Returns true if it is gone.
    fn remove(&mut self, number: u64) -> bool {
        match fs::remove_file(self.path(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.note(&error);
                false
            }
            _ => true,
        }
    }

    /// Takes note of a system call that has failed.
    fn note(&mut self, error: &io::Error) {
        self.counters.io_errors += 1;
        self.last_error = Some(errno(error));
    }

    #[cold]
    fn raise_in_flight(&mut self) {
        self.in_flight_bound = (self.in_flight + self.unconfirmed_gone).next_power_of_two().max(64);
        self.save(false);
    }

    /// Writes the state of an open spool, to the disk if it is `important` and the policy cares, and then
    /// deletes what is done. Returns true if the state was written.
    fn save(&mut self, important: bool) -> bool {
        self.write(false, important && self.options.sync != SyncPolicy::Never)
    }

    fn write(&mut self, closed: bool, sync: bool) -> bool {
        let Self { confirmed, end, in_flight_bound: in_flight, lowest, .. } = *self;
        let state = SavedState { confirmed, end, in_flight, closed, lowest };
        let mut written = self.state.write(&state, sync);
        if written.as_ref().is_err_and(is_full) && !self.done.is_empty() && self.delete_first() {
            written = self.state.write(&state, sync);
        }
        self.state_stale = written.is_err();
        match written {
            Ok(()) => while !self.done.is_empty() && self.delete_first() {},
            Err(error) => self.note(&error),
        }
        !self.state_stale
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}.seg"))
    }
}

/// The `first` of a segment whose sequence numbers are not known yet.
const UNKNOWN_FIRST: u64 = u64::MAX;

/// Opens a segment for reading; returns it with its length.
fn open_segment(path: &Path) -> io::Result<(File, u64)> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if found.is_file() { Ok((file, found.len())) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The system's number of an error.
fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// Returns true if the process or the system has run out of something for now.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN))
}

/// Returns true if a file that cannot be opened is none of this program's: a link, a socket, another
/// user's.
fn is_foreign(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
    matches!(error.kind(), InvalidInput | NotFound | PermissionDenied)
        || matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO))
}

/// Returns true if there is no room on the disk, or no more for this user or process.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG))
        || error.kind() == io::ErrorKind::WriteZero
}

/// The number of the segment with that file name.
fn segment_number(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(".seg")?;
    let plain = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(digits, 16).ok().filter(|_| plain)
}

/// Returns the labels of spools that have records and are open nowhere, below a directory that this process uses.
/// Spools of versions that wrote no label are left out.
#[must_use]
pub fn idle(dir: &Path) -> Vec<Label> {
    let label = |name: &String| {
        let label = state::label_of(&dir.join(name).join("state")).ok()??;
        (dir_name(&label.path, &Identity::new(&label.path, &label.endpoint)) == *name).then_some(label)
    };
    root::idle(dir).iter().filter_map(label).collect()
}

/// The loan of a spool that [`Spool::borrow`] has opened and nobody has taken away.
#[must_use]
pub fn loan(dir: &Path, path: &str, endpoint: &str) -> Option<Loan> {
    Loan::of(dir, &dir_name(path, &Identity::new(path, endpoint)))
}

/// The name of a spool's directory: for people the log path, for the program the hash.
fn dir_name(path: &str, identity: &Identity) -> String {
    const MAX: usize = 100;
    let mut name = String::new();
    for byte in path.bytes() {
        if name.len() > MAX {
            break;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    format!("{name}@{:016x}", identity.hash())
}

/// The number at an index, or zero beyond the end.
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}
