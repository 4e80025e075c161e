//! The collector's core and what finishes its files, on a disk and under a clock that are played.
//!
//! A seed decides everything. There are many runs on the same directory; after each, these must hold:
//!
//! 1. What was taken is in a file, waits in memory, or is counted as lost.
//! 2. No record is in two files, and none twice in one.
//! 3. No finished file has a name that another has had, even if the other was taken away long ago.
//! 4. Files have whole records only, finished ones at all times, and were synced.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::backlog::Backlog;
use super::core::{Core, Limits, Message, Now};
use super::disk::{Disk, Entry, EntryKind, Identity, Open, Status};
use super::file_name::{FileKind, classify, complete, time_and_number};
use super::finish::{Compression, Finish};
use super::found::Found;
use super::names::Names;
use super::schedule::Schedule;
use crate::paths::Paths;

/// The output directory.
const ROOT: &str = "/d";

/// Central European time, which has an hour twice in autumn.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It fails with this error number.
    Error(i32),
    /// A write takes a part only; any other call succeeds.
    Short,
    /// The process ends before the call (0), in the middle (1), or after it (2).
    Stop(u8),
}

#[derive(Default)]
struct PlayedFile {
    bytes: Vec<u8>,
    /// How much of it was synced.
    synced: usize,
    modified: Duration,
}

/// A disk.
struct Played(RefCell<State>);

struct State {
    dice: Dice,
    /// Files by their names; `None`: a directory.
    names: BTreeMap<PathBuf, Option<u64>>,
    files: HashMap<u64, PlayedFile>,
    next: u64,
    /// Bytes that the disk still takes.
    room: usize,
    /// How many calls were made, and which one goes wrong.
    calls: u64,
    fault: Option<(u64, Fault)>,
    /// In a thousand calls, so many fail.
    failing: u64,
    /// The process has ended: nothing happens any more.
    stopped: bool,
    clock: Duration,
    /// Names that finished files have had.
    given: HashSet<PathBuf>,
}

const ERRORS: [i32; 4] = [libc::EIO, libc::ENOSPC, libc::EMFILE, libc::EACCES];

fn system(error: i32) -> io::Error {
    io::Error::from_raw_os_error(error)
}

fn missing() -> io::Error {
    system(libc::ENOENT)
}

impl State {
    /// Returns how the next call goes wrong, if it does.
    fn step(&mut self) -> io::Result<Option<Fault>> {
        if self.stopped {
            return Err(system(libc::EINTR + 1_000));
        }
        self.calls += 1;
        let mut fault = self.fault.filter(|&(call, _)| call == self.calls).map(|(_, fault)| fault);
        if fault.is_none() && self.failing > 0 && self.dice.below(1_000) < self.failing {
            fault = Some(if self.dice.one_in(4) { Fault::Short } else { Fault::Error(self.dice.pick(&ERRORS)) });
        }
        match fault {
            Some(Fault::Error(error)) => Err(system(error)),
            Some(Fault::Stop(0)) => {
                self.stopped = true;
                Err(system(libc::EIO))
            }
            fault => Ok(fault),
        }
    }

    fn id(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().flatten().ok_or_else(missing)
    }

    fn make(&mut self, path: &Path) -> u64 {
        self.next += 1;
        self.files.insert(self.next, PlayedFile { modified: self.clock, ..PlayedFile::default() });
        self.names.insert(path.to_owned(), Some(self.next));
        self.next
    }
}

impl Played {
    fn new(seed: u64) -> Self {
        Self(RefCell::new(State {
            dice: Dice(seed),
            names: BTreeMap::from([(PathBuf::from(ROOT), None)]),
            files: HashMap::new(),
            next: 0,
            room: usize::MAX,
            calls: 0,
            fault: None,
            failing: 0,
            stopped: false,
            clock: Duration::ZERO,
            given: HashSet::new(),
        }))
    }

    /// A call that is done as a whole or not at all.
    fn call<T>(&self, what: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.borrow_mut();
        let fault = state.step()?;
        let result = what(&mut state);
        match fault {
            Some(Fault::Stop(_)) => {
                state.stopped = true;
                Err(system(libc::EIO))
            }
            Some(_) => Err(system(libc::EIO)).or(result),
            None => result,
        }
    }
}

impl Disk for Played {
    type File = u64;

    fn open(&self, path: &Path, how: Open) -> io::Result<u64> {
        self.call(|state| match (state.id(path), how) {
            (Ok(_), Open::New) => Err(system(libc::EEXIST)),
            (Ok(id), _) => Ok(id),
            (Err(error), Open::Existing) => Err(error),
            (Err(_), _) if path.parent().is_some_and(|parent| !state.names.contains_key(parent)) => Err(missing()),
            (Err(_), _) => Ok(state.make(path)),
        })
    }

    fn status(&self, &file: &u64) -> io::Result<Status> {
        self.call(|state| {
            let content = &state.files[&file];
            let modified = SystemTime::UNIX_EPOCH + content.modified;
            Ok(Status {
                identity: (1, file),
                len: content.bytes.len() as u64,
                mode: 0o640,
                modified,
                created: Some(modified),
            })
        })
    }

    fn read_at(&self, &file: &u64, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.call(|state| (&state.files[&file].bytes[at as usize..]).read(buffer))
    }

    fn append(&self, &file: &u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        let fault = state.step()?;
        let all = bytes.len().min(state.room);
        let len = match fault {
            Some(Fault::Short | Fault::Stop(1)) => state.dice.below(all as u64 + 1) as usize,
            _ => all,
        };
        state.room = state.room.saturating_sub(if state.room == usize::MAX { 0 } else { len });
        let clock = state.clock;
        if let Some(content) = state.files.get_mut(&file) {
            content.bytes.extend_from_slice(&bytes[..len]);
            content.modified = clock;
        }
        if let Some(Fault::Stop(_)) = fault {
            state.stopped = true;
            return Err(system(libc::EIO));
        }
        if len == 0 && !bytes.is_empty() { Err(system(libc::ENOSPC)) } else { Ok(len) }
    }

    fn overwrite(&self, &file: &u64, bytes: &[u8]) -> io::Result<()> {
        self.call(|state| {
            let content = state.files.get_mut(&file).ok_or_else(missing)?;
            content.bytes.clear();
            content.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn cut(&self, &file: &u64, len: u64) -> io::Result<()> {
        self.call(|state| {
            let content = state.files.get_mut(&file).ok_or_else(missing)?;
            assert!(content.bytes.len() as u64 >= len, "a file is made longer");
            content.bytes.truncate(len as usize);
            Ok(())
        })
    }

    fn resemble(&self, &file: &u64, other: &Status) -> io::Result<()> {
        self.call(|state| {
            let content = state.files.get_mut(&file).ok_or_else(missing)?;
            content.modified = other.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Ok(())
        })
    }

    fn sync(&self, &file: &u64) -> io::Result<()> {
        self.call(|state| {
            let content = state.files.get_mut(&file).ok_or_else(missing)?;
            content.synced = content.bytes.len();
            Ok(())
        })
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.call(|_| Ok(()))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            for directory in path.ancestors().filter(|directory| directory.starts_with(ROOT)) {
                state.names.entry(directory.to_owned()).or_insert(None);
            }
            Ok(())
        })
    }

    fn find(&self, path: &Path) -> io::Result<Option<Identity>> {
        self.call(|state| Ok(state.names.get(path).map(|id| (1, id.unwrap_or(0)))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|state| {
            let id = state.id(from)?;
            assert!(!state.names.contains_key(to), "{} is replaced", to.display());
            let visible = to.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
            if visible && time_and_number(to).is_some() {
                let (name, _) = to.to_str().unwrap().rsplit_once(".log").unwrap();
                assert!(state.given.insert(PathBuf::from(name)), "{} was given before", to.display());
                let content = &state.files[&id];
                assert_eq!(content.synced, content.bytes.len(), "{} was not synced", to.display());
            }
            state.names.remove(from);
            state.names.insert(to.to_owned(), Some(id));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            state.id(path)?;
            state.names.remove(path);
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.call(|state| {
            let inside = state.names.iter().filter(|(name, _)| name.parent() == Some(path));
            Ok(inside
                .enumerate()
                .map(|(number, (name, id))| Entry {
                    path: name.clone(),
                    kind: match id {
                        Some(_) => EntryKind::File,
                        None => EntryKind::Directory((2, number as u64 + name.as_os_str().len() as u64 * 1_000)),
                    },
                })
                .collect())
        })
    }
}

/// A run of the collector.
struct Run {
    core: Core<Played>,
    names: Arc<Mutex<Names<Played>>>,
    backlog: Backlog,
    paths: Paths,
    compression: Compression,
    /// The first record of this run.
    first: u64,
    /// Records that the run has counted as lost.
    lost: u64,
}

impl Run {
    fn waiting(&self) -> Vec<u64> {
        self.core.waiting_records().iter().map(|line| number(line)).collect()
    }
}

/// The disk, the clocks, all records, and the run of the collector, if there is one.
struct World {
    disk: Arc<Played>,
    dice: Dice,
    passed: Duration,
    clock: Timestamp,
    /// The log of each record, by the record's number.
    logs: Vec<&'static str>,
    /// Files that were taken away.
    archive: BTreeSet<u64>,
    /// Records that are known to be gone.
    gone: BTreeSet<u64>,
    run: Option<Run>,
}

const LOGS: [&str; 5] = ["conn", "dns", "s1/conn", "s2/conn", "%sensor//x"];

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let disk = Arc::new(Played::new(dice.roll()));
        // Half of the schedules begin near the end of summer time.
        let clock: Timestamp = dice.pick(&["2026-10-25T00:30:00Z", "2026-07-01T11:59:58Z"]).parse().unwrap();
        let mut world = Self {
            disk,
            clock: clock + SignedDuration::from_secs(dice.below(1_800) as i64),
            dice,
            passed: Duration::ZERO,
            logs: Vec::new(),
            archive: BTreeSet::new(),
            gone: BTreeSet::new(),
            run: None,
        };
        world.disk.0.borrow_mut().make(&Path::new(ROOT).join(super::STATE_FILE));
        world.advance(0);
        world
    }

    fn now(&self) -> Now {
        Now { passed: self.passed, clock: self.clock }
    }

    fn advance(&mut self, millis: u64) {
        self.passed += Duration::from_millis(millis);
        self.set_clock(self.clock + SignedDuration::from_millis(millis as i64));
    }

    fn set_clock(&mut self, clock: Timestamp) {
        self.clock = clock;
        self.disk.0.borrow_mut().clock = clock.duration_since(Timestamp::UNIX_EPOCH).unsigned_abs();
    }

    /// Starts the collector. It may fail.
    fn start(&mut self) -> io::Result<()> {
        let root = Path::new(ROOT);
        let found = Found::look(&*self.disk, root)?;
        let file = self.disk.open(&root.join(super::STATE_FILE), Open::Existing)?;
        let names = Arc::new(Mutex::new(Names::open(Arc::clone(&self.disk), file, &found.mark)?));
        let every = self.dice.pick(&[Some(1), Some(900), Some(3_600), None]);
        let limits = Limits {
            rotate_size: self.dice.pick(&[u64::MAX, 60, 300]),
            open_files: self.dice.pick(&[1, 2, 100]),
            stuck: self.dice.pick(&[200, 100_000]),
        };
        let schedule = Schedule::in_zone(every.map(Duration::from_secs), TimeZone::posix(ZONE).unwrap());
        let mut core =
            Core::new(Arc::clone(&self.disk), Arc::clone(&names), root.to_owned(), schedule, limits, self.now());
        let mut paths = Paths::default();
        core.take_over(found, &mut paths);
        let compression = self.dice.pick(&[Compression::None, Compression::Gzip, Compression::Zstd]);
        let first = self.logs.len() as u64;
        self.run = Some(Run { core, names, backlog: Backlog::default(), paths, compression, first, lost: 0 });
        Ok(())
    }

    fn restart(&mut self) {
        if self.run.is_none() && self.start().is_err() {
            self.heal();
            self.start().unwrap();
        }
    }

    /// Lets nothing go wrong any more.
    fn heal(&mut self) {
        let mut state = self.disk.0.borrow_mut();
        (state.failing, state.fault, state.room, state.stopped) = (0, None, usize::MAX, false);
    }

    fn write(&mut self, log: &'static str) {
        let Some(run) = &mut self.run else { return };
        let record = format!("{{\"n\":{}}}", self.logs.len());
        self.logs.push(log);
        let index = run.paths.find(log.as_bytes()).unwrap();
        run.lost += u64::from(!run.core.write(index, log.as_bytes(), record.as_bytes()));
    }

    fn tick(&mut self, idle: bool) {
        let now = self.now();
        let Some(run) = &mut self.run else { return };
        run.core.tick(now, idle);
        for closed in run.core.closed() {
            run.backlog.push(closed, now.passed);
        }
        for message in run.core.messages() {
            let (Message::Problem(text) | Message::Info(text)) = message;
            assert!(!text.is_empty());
        }
    }

    /// Finishes files, so many at most.
    fn finish(&mut self, most: u64) {
        let Some(run) = &mut self.run else { return };
        let stop = AtomicBool::new(false);
        let finish = Finish {
            disk: &*self.disk,
            names: &run.names,
            root: Path::new(ROOT),
            compression: run.compression,
            stop: &stop,
        };
        for _ in 0..most {
            let Some(job) = run.backlog.next(self.passed) else { break };
            let result = finish.finish(&job.closed.path);
            run.backlog.done(job, result, self.passed);
        }
    }

    /// Takes away some files as others do: finished ones, or any.
    fn take_away(&mut self, finished: bool) {
        let mut state = self.disk.0.borrow_mut();
        let dated = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if finished { !name.starts_with('.') && time_and_number(path).is_some() } else { name == "conn.log" }
        };
        let chosen: Vec<_> = state
            .names
            .iter()
            .filter_map(|(path, id)| Some((path.clone(), (*id)?)))
            .filter(|(path, _)| dated(path))
            .collect();
        for (path, id) in chosen {
            if state.dice.one_in(2) {
                state.names.remove(&path);
                self.archive.insert(id);
            }
        }
    }

    /// Ends the run as a signal does.
    fn end(&mut self) {
        let now = self.now();
        let mut waiting = Vec::new();
        if let Some(run) = &mut self.run {
            waiting = run.waiting();
            run.lost = run.core.end();
            for closed in run.core.closed() {
                run.backlog.push(closed, now.passed);
            }
            run.backlog.end();
        }
        let most = self.dice.pick(&[0, 2, u64::MAX]);
        self.finish(most);
        let stopped = self.disk.0.borrow().stopped;
        // A process that stopped on the way did not get to its end: it counts as killed.
        self.disk.0.borrow_mut().stopped = false;
        self.check(stopped, &waiting);
        self.run = None;
    }

    /// Ends the run as SIGKILL does.
    fn kill(&mut self) {
        self.disk.0.borrow_mut().stopped = false;
        let Some(run) = &mut self.run else { return };
        run.lost = run.core.lost();
        let waiting = run.waiting();
        self.check(true, &waiting);
        self.run = None;
    }

    /// Checks the invariants that can be seen on the disk. If the run was `killed`, records that were `waiting` in
    /// memory may be missing, and records that it has counted as lost since then may be there.
    fn check(&mut self, killed: bool, waiting: &[u64]) {
        let mut found = BTreeMap::new();
        {
            let state = self.disk.0.borrow();
            for (path, id) in state.names.iter().filter_map(|(path, id)| Some((path, (*id)?))) {
                let bytes = &state.files[&id].bytes;
                match classify(path.strip_prefix(ROOT).unwrap()) {
                    FileKind::Closed
                        if [".gz", ".zst"].iter().any(|suffix| state.names.contains_key(&complete(path, suffix))) => {}
                    FileKind::Partial => {}
                    FileKind::Current(log) => {
                        let log = String::from_utf8(log).unwrap();
                        records(path, bytes, false, &mut found, |number| assert_eq!(self.logs[number as usize], log));
                    }
                    FileKind::Closed => records(path, bytes, false, &mut found, |_| {}),
                    FileKind::Complete(_) => records(path, &unpack(path, bytes), true, &mut found, |_| {}),
                    FileKind::Other if path.ends_with(super::STATE_FILE) => {}
                    FileKind::Other => records(path, &unpack(path, bytes), true, &mut found, |_| {}),
                }
            }
            for id in &self.archive {
                let bytes = &state.files[id].bytes;
                let path = PathBuf::from(format!("archive/{id}"));
                records(&path, &unpack(&path, bytes), false, &mut found, |_| {});
            }
        }
        let Some(run) = &self.run else { return };
        let all = 0..self.logs.len() as u64;
        let missing: BTreeSet<_> = all.filter(|number| !found.contains_key(number)).collect();
        let before: BTreeSet<_> = missing.iter().copied().filter(|&number| number < run.first).collect();
        assert_eq!(before, self.gone, "records of earlier runs");
        let missing_now = missing.iter().filter(|&&number| number >= run.first);
        let unexplained = missing_now.filter(|number| !killed || !waiting.contains(number)).count() as u64;
        assert!(
            unexplained == run.lost || killed && unexplained < run.lost,
            "{unexplained} records are missing, {} counted as lost",
            run.lost
        );
        self.gone = missing;
    }

    /// Does what the dice choose.
    fn act(&mut self) {
        self.restart();
        match self.dice.below(24) {
            0..8 => {
                for _ in 0..self.dice.below(8) + 1 {
                    let log = self.dice.pick(&LOGS);
                    self.write(log);
                }
            }
            8..12 => {
                let millis = self.dice.pick(&[1, 200, 1_000, 1_000, 10_000, 1_800_000]);
                self.advance(millis);
                let idle = self.dice.one_in(2);
                self.tick(idle);
            }
            12..16 => {
                let most = self.dice.below(4) + 1;
                self.finish(most);
            }
            16 => self.take_away(true),
            17 => {
                let now = self.now();
                if let Some(run) = &mut self.run {
                    run.core.rotate_now(now);
                }
                self.tick(false);
            }
            18 => {
                let seconds = self.dice.pick(&[-7_200, -3_600, -60, -1, 1, 3_600]);
                self.set_clock(self.clock + SignedDuration::from_secs(seconds));
            }
            19 => {
                let room = self.dice.pick(&[0, 10, 100, usize::MAX]);
                self.disk.0.borrow_mut().room = room;
            }
            20 => {
                let failing = self.dice.pick(&[0, 0, 20, 200]);
                self.disk.0.borrow_mut().failing = failing;
            }
            21 if self.dice.one_in(2) => {
                let call = self.disk.0.borrow().calls + 1 + self.dice.below(30);
                let when = self.dice.below(3) as u8;
                self.disk.0.borrow_mut().fault = Some((call, Fault::Stop(when)));
            }
            21 if self.dice.one_in(2) => self.kill(),
            21 => self.end(),
            22 => self.take_away(false),
            _ => self.tick(true),
        }
        let stopped = self.disk.0.borrow().stopped;
        if stopped {
            self.kill();
        }
    }

    /// Lets nothing go wrong any more, and finishes everything.
    fn conclude(&mut self) {
        self.heal();
        self.restart();
        // The next run looks into directories that this one could not read.
        self.end();
        self.restart();
        for _ in 0..3 {
            self.advance(11_000);
            self.tick(true);
            self.finish(u64::MAX);
        }
        if let Some(run) = &mut self.run {
            run.lost = run.core.end();
            assert_eq!(run.backlog.len(), 0);
        }
        self.check(false, &[]);
        let state = self.disk.0.borrow();
        let hidden = state.names.keys().filter(|path| !path.ends_with(super::STATE_FILE));
        let hidden: Vec<_> =
            hidden.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

fn number(line: &[u8]) -> u64 {
    let number = line.strip_prefix(b"{\"n\":").and_then(|line| line.strip_suffix(b"}"));
    let number = number.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
    number.unwrap_or_else(|| panic!("{:?} is no record", String::from_utf8_lossy(line)))
}

/// Adds the records of a file to `found`. If the file is `whole`, nothing may be behind its last record.
fn records(path: &Path, bytes: &[u8], whole: bool, found: &mut BTreeMap<u64, PathBuf>, each: impl Fn(u64)) {
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    assert!(!whole || end == bytes.len(), "{} ends within a record", path.display());
    for line in bytes[..end].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let number = number(line);
        each(number);
        if let Some(other) = found.insert(number, path.to_owned()) {
            panic!("{number} is in {} and in {}", other.display(), path.display());
        }
    }
}

fn unpack(path: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match bytes {
        [0x1f, 0x8b, ..] => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap()),
        [0x28, 0xb5, ..] => drop(zstd::Decoder::new(bytes).unwrap().read_to_end(&mut plain).unwrap()),
        _ => {
            assert!(path.extension().is_none_or(|end| end != "gz" && end != "zst"), "{}", path.display());
            plain.extend_from_slice(bytes);
        }
    }
    plain
}

/// Plays the schedule that a seed chooses.
fn play(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.dice.below(80) + 20 {
        world.act();
    }
    world.conclude();
}

#[test]
fn ten_thousand_schedules() {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let first = given.unwrap_or(passed.as_nanos() as u64);
    for seed in (first..).take(if given.is_some() { 1 } else { 10_000 }) {
        if let Err(panic) = std::panic::catch_unwind(|| play(seed)) {
            eprintln!("the schedule of SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Plays a schedule that is always the same, and has a bit of everything.
fn plain(fault: Option<(u64, Fault)>) -> World {
    let mut world = World::new(1);
    world.dice = Dice(1);
    world.disk.0.borrow_mut().fault = fault;
    for round in 0..3 {
        world.restart();
        for log in LOGS {
            world.write(log);
            world.write(log);
        }
        for millis in [200, 1_000, 3_600_000] {
            world.advance(millis);
            world.tick(true);
            world.write("conn");
        }
        world.finish(if round == 1 { 2 } else { u64::MAX });
        world.take_away(true);
        let stopped = world.disk.0.borrow().stopped;
        if stopped { world.kill() } else { world.end() }
    }
    world
}

#[test]
fn every_call_fails_once_and_stops_once() {
    let calls = plain(None).disk.0.borrow().calls;
    assert!(calls > 200, "{calls}");
    let errors = ERRORS.map(Fault::Error);
    let faults = [&errors[..], &[Fault::Short, Fault::Stop(0), Fault::Stop(1), Fault::Stop(2)]].concat();
    for call in 1..=calls {
        for &fault in &faults {
            let played = std::panic::catch_unwind(|| {
                let mut world = plain(Some((call, fault)));
                world.conclude();
                // A single fault loses nothing, except what a process that it ends has in memory.
                let lost = world.run.map_or(0, |run| run.lost);
                assert!(lost == 0 && (matches!(fault, Fault::Stop(_)) || world.gone.is_empty()), "{:?}", world.gone);
            });
            if let Err(panic) = played {
                eprintln!("call {call} of {calls}: {fault:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// A run without chance that rotates by the hour.
fn quiet(stuck: usize) -> World {
    let mut world = World::new(1);
    world.set_clock("2026-07-01T12:10:00Z".parse().unwrap());
    world.start().unwrap();
    let found = Found::look(&*world.disk, Path::new(ROOT)).unwrap();
    let limits = Limits { rotate_size: u64::MAX, open_files: 100, stuck };
    let schedule = Schedule::in_zone(Some(Duration::from_secs(3_600)), TimeZone::UTC);
    let now = world.now();
    let run = world.run.as_mut().unwrap();
    run.compression = Compression::None;
    run.core = Core::new(Arc::clone(&world.disk), Arc::clone(&run.names), ROOT.into(), schedule, limits, now);
    run.core.take_over(found, &mut run.paths);
    world
}

impl World {
    fn said(&mut self) -> Vec<String> {
        let messages = self.run.as_mut().unwrap().core.messages();
        messages.into_iter().map(|(Message::Problem(text) | Message::Info(text))| text).collect()
    }

    fn finished(&self) -> Vec<String> {
        let state = self.disk.0.borrow();
        let names = state.names.keys().filter_map(|path| path.strip_prefix(ROOT).ok()?.to_str());
        names.filter(|name| name.contains(".2026")).map(str::to_owned).collect()
    }
}

#[test]
fn a_log_that_cannot_be_written_takes_no_other_logs_room() {
    let mut world = quiet(10_000);
    let foreign = world.disk.0.borrow_mut().make(&Path::new(ROOT).join("dns.log"));
    world.disk.0.borrow_mut().files.get_mut(&foreign).unwrap().bytes = b"#separator".to_vec();
    let write = |world: &mut World, log, count: u64| {
        for _ in 0..count {
            world.write(log);
        }
        world.passed += Duration::from_secs(1);
        let now = world.now();
        world.run.as_mut().unwrap().core.tick(now, true);
    };
    // The log fills all the memory that there is for it.
    write(&mut world, "dns", 1);
    write(&mut world, "dns", 2_000);
    let said = world.said();
    assert!(said.len() == 1 && said[0].contains("not one of this program's files"), "{said:?}");
    let lost = world.run.as_ref().unwrap().lost;
    assert!(lost > 500, "{lost}");
    // The disk is full, too: that is told, and the others have their share.
    world.disk.0.borrow_mut().room = 0;
    write(&mut world, "conn", 1);
    write(&mut world, "conn", 300);
    assert_eq!(world.run.as_ref().unwrap().lost, lost, "of conn nothing");
    let said = world.said();
    assert!(said.len() == 1 && said[0].contains("conn.log: No space left"), "{said:?}");
    world.disk.0.borrow_mut().room = usize::MAX;
    write(&mut world, "conn", 1);
    let said = world.said();
    assert!(said.len() == 1 && said[0].starts_with("writing again after "), "{said:?}");
    let run = world.run.as_mut().unwrap();
    let [conn, dns] = ["conn", "dns"].map(|path| run.core.lost_of(run.paths.get(path.as_bytes()).unwrap()));
    assert_eq!(conn, 0);
    assert!(dns > lost, "{dns}");
    world.disk.0.borrow_mut().names.remove(&Path::new(ROOT).join("dns.log"));
    world.conclude();
}

#[test]
fn after_the_clock_was_set_back_nothing_begins_in_the_future() {
    let mut world = quiet(10_000);
    world.write("conn");
    world.tick(true);
    world.set_clock("2026-07-01T12:03:00Z".parse().unwrap());
    world.tick(true);
    world.write("dns");
    world.advance(1_000);
    world.tick(true);
    world.set_clock("2026-07-01T13:00:00Z".parse().unwrap());
    world.tick(true);
    world.finish(u64::MAX);
    assert_eq!(world.finished(), ["conn.2026-07-01-12-10-00.log", "dns.2026-07-01-12-03-00.log"]);
}

#[test]
fn the_hour_that_comes_twice_gives_no_name_twice() {
    let mut world = quiet(10_000);
    world.set_clock("2026-10-25T00:10:00Z".parse().unwrap());
    let run = world.run.as_mut().unwrap();
    let limits = Limits { rotate_size: u64::MAX, open_files: 100, stuck: 10_000 };
    let schedule = Schedule::in_zone(Some(Duration::from_secs(1_800)), TimeZone::posix(ZONE).unwrap());
    let now = Now { passed: Duration::ZERO, clock: "2026-10-25T00:00:00Z".parse().unwrap() };
    run.core = Core::new(Arc::clone(&world.disk), Arc::clone(&run.names), ROOT.into(), schedule, limits, now);
    for time in ["00:10", "00:40", "01:10", "01:40", "02:10"] {
        world.set_clock(format!("2026-10-25T{time}:00Z").parse().unwrap());
        world.tick(true);
        world.write("conn");
        world.finish(u64::MAX);
    }
    let names = ["02-00-00", "02-00-00_001", "02-30-00", "02-30-00_001"];
    assert_eq!(world.finished(), names.map(|time| format!("conn.2026-10-25-{time}.log")));
}

#[test]
fn a_log_without_records_gives_its_place_to_another() {
    let mut world = quiet(10_000);
    world.write("conn");
    world.advance(300_000);
    world.tick(true);
    world.write("dns");
    world.tick(true);
    let forget = |world: &mut World| world.run.as_mut().unwrap().core.forget_one();
    assert_eq!(forget(&mut world), None, "both were written to of late");
    world.advance(301_000);
    world.tick(true);
    assert_eq!(forget(&mut world), Some(0));
    assert_eq!(forget(&mut world), None);
    // The forgotten log's next file is of the same time, so that its name gets a number. So does the other
    // log's: the time of a forgotten log's name is remembered, not whose name it was.
    world.tick(true);
    world.write("conn");
    world.set_clock("2026-07-01T13:00:00Z".parse().unwrap());
    world.tick(true);
    world.finish(u64::MAX);
    let finished = world.finished();
    assert_eq!(
        finished,
        ["conn.2026-07-01-12-10-00.log", "conn.2026-07-01-12-10-00_001.log", "dns.2026-07-01-12-10-00_001.log"]
    );
}
