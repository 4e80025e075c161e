//! Each system call of a run fails once, or is the last of the process. The spool's promises hold
//! all the same, and no record is missing that is not counted.
//!
//! The test program replaces those functions of the C library by which the spool gets to the file
//! system. They do what the library's do, except for the call that a test has chosen on its thread.
//! So the spool knows nothing of this, and no call is left out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

use super::tests::Dir;
use super::*;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The call fails with this error.
    Error(c_int),
    /// The call writes half of the bytes; then the disk is full.
    Half,
    /// Forcing to the disk fails, and the last bytes of the file are lost.
    Dropped,
    /// The process ends before the call.
    Stop,
    /// The process ends in the middle of the call.
    StopHalf,
    /// The machine loses power before the call. Only what was forced to the disk is left.
    PowerOff,
}

#[derive(Clone, Copy)]
struct Plan {
    /// True while calls are counted, and one may fail.
    armed: bool,
    calls: u64,
    /// The number of the call that fails.
    at: u64,
    fault: Fault,
    /// True if the process has ended: no call does anything any more.
    stopped: bool,
    /// True if half of a write was done, and the next finds the disk full.
    full: bool,
    /// True if the fault has happened.
    fired: bool,
}

thread_local! {
    static DISK: RefCell<Disk> = RefCell::default();
    /// All calls of a run in which none is chosen.
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
    static PLAN: Cell<Plan> = const {
        Cell::new(Plan {
            armed: false, calls: 0, at: 0, fault: Fault::Stop, stopped: false, full: false, fired: false,
        })
    };
}

/// Changes the plan of this thread.
fn plan(change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = PLAN.get();
    change(&mut plan);
    PLAN.set(plan);
    plan
}

/// A kind of call, by the faults that it can have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Sync,
    Open,
    Other,
}

impl Call {
    fn faults(self) -> &'static [Fault] {
        const ANY: [Fault; 3] = [Fault::Error(libc::ENOSPC), Fault::Error(libc::EIO), Fault::Stop];
        match self {
            Self::Write => &[ANY[0], ANY[1], ANY[2], Fault::Half, Fault::StopHalf],
            Self::Sync => &[ANY[0], ANY[1], ANY[2], Fault::Dropped],
            Self::Open => &[ANY[0], ANY[1], ANY[2], Fault::Error(libc::EMFILE)],
            Self::Other => &ANY,
        }
    }
}

enum Verdict {
    Pass,
    Fail(c_int),
    Half,
    Dropped,
}

fn verdict(call: Call) -> Verdict {
    // A thread that is ending has no plan.
    let Ok(mut now) = PLAN.try_with(Cell::get) else { return Verdict::Pass };
    if !now.armed {
        return Verdict::Pass;
    }
    if now.stopped {
        return Verdict::Fail(libc::EIO);
    }
    if std::mem::take(&mut now.full) && call == Call::Write {
        PLAN.set(now);
        return Verdict::Fail(libc::ENOSPC);
    }
    let chosen = now.calls == now.at;
    now.calls += 1;
    let verdict = match now.fault {
        _ if !chosen => Verdict::Pass,
        Fault::Error(error) => Verdict::Fail(error),
        Fault::Half | Fault::StopHalf => Verdict::Half,
        Fault::Dropped => Verdict::Dropped,
        Fault::Stop | Fault::PowerOff => Verdict::Fail(libc::EIO),
    };
    if now.at == u64::MAX {
        CALLS.with_borrow_mut(|calls| calls.push(call));
    }
    if chosen {
        now.fired = true;
        now.full = now.fault == Fault::Half;
        now.stopped = matches!(now.fault, Fault::Stop | Fault::StopHalf | Fault::PowerOff);
    }
    PLAN.set(now);
    verdict
}

fn fail(error: c_int) -> c_int {
    // SAFETY: the C library returns where this thread's own error number is.
    unsafe { *libc::__errno_location() = error };
    -1
}

/// Replaces a function: it fails, or makes the system call.
macro_rules! replace {
    ($($call:ident: $name:ident($($arg:ident: $type:ty),*) = $number:ident($($value:expr),*);)*) => {$(
        /// Does what the C library's function of this name does.
        ///
        /// # Safety
        ///
        /// Pointers are to what the system call reads or writes: terminated paths, or its result.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
            match verdict(Call::$call) {
                // SAFETY: the caller promises what the system call reads or writes; the arguments are its own.
                Verdict::Pass => unsafe { libc::syscall(libc::$number, $($value),*) as c_int },
                Verdict::Fail(error) => fail(error),
                Verdict::Half | Verdict::Dropped => fail(libc::EIO),
            }
        }
    )*};
}

replace! {
    Open: open64(path: *const c_char, flags: c_int, mode: c_uint) = SYS_openat(libc::AT_FDCWD, path, flags, mode);
    Other: ftruncate64(file: c_int, len: i64) = SYS_ftruncate(file, len);
    Other: unlink(path: *const c_char) = SYS_unlinkat(libc::AT_FDCWD, path, 0);
    Other: rmdir(path: *const c_char) = SYS_unlinkat(libc::AT_FDCWD, path, libc::AT_REMOVEDIR);
    Other: mkdir(path: *const c_char, mode: c_uint) = SYS_mkdirat(libc::AT_FDCWD, path, mode);
    Other: rename(from: *const c_char, to: *const c_char) = SYS_renameat2(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0);
    Other: flock(file: c_int, how: c_int) = SYS_flock(file, how);
    Other: statx(dir: c_int, path: *const c_char, flags: c_int, mask: c_uint, found: *mut c_void)
        = SYS_statx(dir, path, flags, mask, found);
}

/// Does what the C library's function of this name does.
///
/// # Safety
///
/// `path` is terminated.
#[unsafe(no_mangle)]
unsafe extern "C" fn opendir(path: *const c_char) -> *mut libc::DIR {
    match verdict(Call::Open) {
        Verdict::Pass => {}
        _ => {
            fail(libc::EIO);
            return std::ptr::null_mut();
        }
    }
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the caller promises a terminated path; the descriptor was opened here, and belongs to the
    // directory from then on.
    unsafe {
        let dir = libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, 0) as c_int;
        if dir < 0 { std::ptr::null_mut() } else { libc::fdopendir(dir) }
    }
}

/// Does what the C library's function of this name does.
///
/// # Safety
///
/// `len` bytes can be written at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pread64(file: c_int, to: *mut c_void, len: usize, offset: i64) -> isize {
    match verdict(Call::Other) {
        // SAFETY: the caller promises `len` bytes at `to`; the system writes no more.
        Verdict::Pass => unsafe { libc::syscall(libc::SYS_pread64, file, to, len, offset) as isize },
        Verdict::Fail(error) => fail(error) as isize,
        Verdict::Half | Verdict::Dropped => fail(libc::EIO) as isize,
    }
}

/// Calls `write` with how many bytes the plan lets it write: `len` or half of them.
fn written(len: usize, write: impl FnOnce(usize) -> c_long) -> isize {
    match verdict(Call::Write) {
        Verdict::Pass | Verdict::Dropped => write(len) as isize,
        Verdict::Half => write(len / 2) as isize,
        Verdict::Fail(error) => fail(error) as isize,
    }
}

/// Does what the C library's function of this name does.
///
/// # Safety
///
/// `len` bytes can be read at `from`.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, from: *const c_void, len: usize) -> isize {
    // SAFETY: the caller promises `len` bytes at `from`; `written` asks for no more.
    written(len, |len| unsafe { libc::syscall(libc::SYS_write, file, from, len) })
}

/// Does what the C library's function of this name does.
///
/// # Safety
///
/// `len` bytes can be read at `from`.
#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(file: c_int, from: *const c_void, len: usize, offset: i64) -> isize {
    // SAFETY: the caller promises `len` bytes at `from`; `written` asks for no more.
    written(len, |len| unsafe { libc::syscall(libc::SYS_pwrite64, file, from, len, offset) })
}

fn synced(file: c_int, number: c_long) -> c_int {
    match verdict(Call::Sync) {
        // Nothing is forced to the disk: that takes long, and no machine here loses power.
        Verdict::Pass if PLAN.get().armed => {
            if PLAN.get().fault == Fault::PowerOff {
                let before = plan(|plan| plan.armed = false);
                DISK.with_borrow_mut(|disk| disk.force(file));
                PLAN.set(Plan { armed: true, ..before });
            }
            0
        }
        // SAFETY: no memory is involved; the number may be that of no file.
        Verdict::Pass => unsafe { libc::syscall(number, file) as c_int },
        Verdict::Dropped => {
            let armed = plan(|plan| plan.armed = false);
            let path = format!("/proc/self/fd/{file}");
            if let Ok(file) = OpenOptions::new().write(true).open(path) {
                let len = file.metadata().unwrap().len();
                let lost = len.min(10);
                file.write_all_at(&[0; 10][..lost as usize], len - lost).unwrap();
            }
            PLAN.set(Plan { armed: true, ..armed });
            fail(libc::EIO)
        }
        Verdict::Fail(error) => fail(error),
        Verdict::Half => fail(libc::EIO),
    }
}

/// Does what the C library's function of this name does.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    synced(file, libc::SYS_fdatasync)
}

/// Does what the C library's function of this name does.
#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    synced(file, libc::SYS_fsync)
}

/// What a machine finds on its disk after it has lost power.
#[derive(Default)]
struct Disk {
    /// By their inodes, the bytes of files.
    files: BTreeMap<u64, Vec<u8>>,
    /// The names in directories, with their inodes.
    names: BTreeMap<PathBuf, u64>,
}

fn inodes(dir: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| (entry.path(), entry.metadata().unwrap().ino())).collect()
}

impl Disk {
    fn force(&mut self, file: c_int) {
        let opened = format!("/proc/self/fd/{file}");
        let found = fs::metadata(&opened).unwrap();
        if found.is_dir() {
            let dir = fs::read_link(opened).unwrap();
            self.names.retain(|name, _| name.parent() != Some(&dir));
            self.names.extend(inodes(&dir));
        } else {
            self.files.insert(found.ino(), fs::read(opened).unwrap());
        }
    }

    /// Makes the files of all spools what they are when the power is back.
    fn lose_power(mut self, root: &Path) {
        for (dir, _) in inodes(root).into_iter().filter(|(path, _)| path.is_dir()) {
            for (path, _) in inodes(&dir) {
                match self.names.get(&path) {
                    Some(inode) => fs::write(&path, self.files.remove(inode).unwrap_or_default()).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
            }
        }
    }
}

/// A spool, and what its user knows of the records.
struct Run {
    options: SpoolOptions,
    spool: Option<Spool>,
    /// Numbers that records have got.
    count: u64,
    /// Records that the spool has taken.
    taken: BTreeSet<u64>,
    /// All records that the spool may have, in order; and their order before the spool was last told to put
    /// some back.
    order: [Vec<u64>; 2],
    /// Records that the spool was told are done.
    confirmed: BTreeSet<u64>,
    /// Read and not confirmed, or handed over without the spool: true if it was read.
    on_the_way: Vec<(u64, bool)>,
    /// Losses that the spools no longer open have counted, and those found when they were opened.
    counted: u64,
    /// How often the lock was found taken.
    in_use: u32,
    /// True if a segment in front could not be made: records from outside the spool may overtake then.
    out_of_order: bool,
}

fn record(number: u64) -> Vec<u8> {
    [&number.to_le_bytes()[..], &vec![b'x'; 20 + number as usize * 7 % 30]].concat()
}

fn number(record: &[u8]) -> u64 {
    let number = u64::from_le_bytes(record[..8].try_into().unwrap());
    assert_eq!(record, self::record(number), "whole, and none that was made up");
    number
}

impl Run {
    fn new(options: SpoolOptions) -> Self {
        Self {
            options,
            spool: None,
            count: 0,
            taken: BTreeSet::new(),
            order: [Vec::new(), Vec::new()],
            confirmed: BTreeSet::new(),
            on_the_way: Vec::new(),
            counted: 0,
            in_use: 0,
            out_of_order: false,
        }
    }

    /// Returns true if the process has ended.
    fn ended(&self) -> bool {
        PLAN.get().stopped
    }

    /// Opens the spool, and tries again as the writer does.
    fn open(&mut self) {
        let mut tries = 0;
        while tries < 2 {
            if self.ended() {
                return;
            }
            tries += 1;
            match Spool::open(&self.options, "conn", "tcp://127.0.0.1:1") {
                Ok((mut spool, recovered)) => {
                    self.counted += recovered.damaged_records;
                    spool.segment_limit = 300;
                    spool.set_topic(b"conn");
                    self.spool = Some(spool);
                    return;
                }
                // A process that another test starts has a copy of the lock until it runs its program.
                Err(OpenError::InUse { .. }) if self.in_use < 1000 => {
                    self.in_use += 1;
                    tries -= 1;
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                Err(error) => assert!(PLAN.get().fired, "{error}"),
            }
        }
    }

    /// Works with the spool, unless the process has ended: nothing happens to it then.
    fn with<T>(&mut self, work: impl FnOnce(&mut Spool) -> T) -> Option<T> {
        if self.ended() {
            return None;
        }
        let done = work(self.spool.as_mut().expect("it was opened"));
        // If the process ended during the work, nobody learns its result.
        (!self.ended()).then_some(done)
    }

    fn push(&mut self, records: u64) {
        for _ in 0..records {
            if self.ended() {
                return;
            }
            self.count += 1;
            let number = self.count;
            self.order[0].push(number);
            if self.with(|spool| spool.push(&record(number))) == Some(Ok(())) {
                self.taken.insert(number);
            }
        }
    }

    fn hand_over(&mut self, records: u64) {
        if self.ended() {
            return;
        }
        for _ in 0..records {
            self.count += 1;
            self.on_the_way.push((self.count, false));
        }
        let direct = self.on_the_way.iter().filter(|(_, read)| !read).count() as u64;
        self.with(|spool| spool.set_in_flight(direct));
    }

    fn read(&mut self, records: u64) {
        for _ in 0..records {
            let read = self.with(|spool| {
                let read = spool.peek().map(number);
                spool.advance();
                read
            });
            match read.flatten() {
                Some(number) => self.on_the_way.push((number, true)),
                None => break,
            }
        }
    }

    /// The first `records` records on the way have arrived.
    fn confirm(&mut self, records: usize) {
        if self.ended() {
            return;
        }
        let records = records.min(self.on_the_way.len());
        let (read, direct): (Vec<_>, Vec<_>) = self.on_the_way.drain(..records).partition(|(_, read)| *read);
        assert!(direct.is_empty(), "the script confirms only what was read");
        self.confirmed.extend(read.iter().map(|(number, _)| number));
        self.with(|spool| spool.confirm(read.len() as u64));
    }

    fn take_back(&mut self) {
        if self.ended() {
            return;
        }
        let on_the_way = std::mem::take(&mut self.on_the_way);
        let records: Vec<_> = on_the_way.iter().map(|&(number, read)| (record(number), read)).collect();
        let fired = PLAN.get().fired;
        let mut order: Vec<_> = on_the_way.iter().map(|(number, _)| *number).collect();
        order.extend(self.order[0].iter().filter(|number| !on_the_way.contains(&(**number, true))));
        self.order = [order, std::mem::take(&mut self.order[0])];
        let put = self.with(|spool| spool.unshift(records.iter().map(|(record, read)| (record.as_slice(), *read))));
        // Records for which there was no room are counted as evicted.
        if let Some(Ok(put)) = put {
            let direct = on_the_way.iter().filter(|(_, read)| !read).map(|(number, _)| *number);
            self.taken.extend(direct.clone());
            self.out_of_order |= put < direct.count() as u64;
        }
        self.out_of_order |= !fired && PLAN.get().fired || self.options.max_bytes < 1 << 20;
        self.with(|spool| spool.set_in_flight(0));
    }

    fn tick(&mut self) {
        self.with(Spool::tick);
    }

    fn end(&mut self, close: bool) {
        let Some(spool) = self.spool.take() else { return };
        self.on_the_way.clear();
        let gone = spool.unconfirmed_gone;
        let FailureCounts { evicted, damaged_records, .. } = spool.counters();
        self.counted += evicted + damaged_records + gone;
        if close && !self.ended() { spool.close() } else { drop(spool) }
    }

    fn script(&mut self) {
        self.open();
        self.push(12);
        self.read(4);
        self.confirm(2);
        self.tick();
        self.hand_over(2);
        self.read(3);
        self.hand_over(1);
        self.read(1);
        self.take_back();
        self.push(3);
        self.read(5);
        self.confirm(5);
        self.end(false);
        self.open();
        self.read(6);
        self.confirm(3);
        self.on_the_way.clear();
        self.with(Spool::rewind);
        self.push(4);
        self.tick();
        self.end(true);
        self.open();
        self.read(100);
        self.confirm(self.on_the_way.len() / 2);
        self.hand_over(1);
        self.take_back();
        self.push(2);
        self.tick();
        self.read(100);
        self.confirm(100);
        self.tick();
        self.push(3);
        self.read(1);
        self.end(true);
    }

    /// Looks at what is left. Returns how many records were counted and are not missing.
    fn finish(mut self) -> u64 {
        let stopped = PLAN.get().stopped;
        self.end(false);
        plan(|plan| (plan.armed, plan.stopped) = (false, false));
        if stopped && PLAN.get().fault == Fault::PowerOff {
            DISK.take().lose_power(&self.options.dir);
        }
        self.open();
        self.read(u64::MAX);
        let read: Vec<_> = std::mem::take(&mut self.on_the_way).into_iter().map(|(number, _)| number).collect();
        let spool = self.spool.as_mut().unwrap();
        assert_eq!(spool.waiting(), 0);
        spool.confirm(u64::MAX);
        let bytes: u64 = spool.segments.iter().map(|segment| segment.len).sum();
        assert_eq!(spool.lease.bytes(), bytes);
        self.end(true);
        let unique: BTreeSet<_> = read.iter().copied().collect();
        assert_eq!(unique.len(), read.len(), "none twice: {read:?}");
        let in_order = |order: &Vec<u64>| {
            let mut rest = order.iter();
            read.iter().all(|number| rest.any(|next| next == number))
        };
        let in_order = in_order(&self.order[0]) || stopped && in_order(&self.order[1]);
        assert!(self.out_of_order || in_order, "{read:?} are not in the order of {:?}", self.order);
        let missing: Vec<_> =
            self.taken.iter().filter(|number| !self.confirmed.contains(number) && !unique.contains(number)).collect();
        assert!(
            missing.len() as u64 <= self.counted,
            "missing: {missing:?}; counted: {}; read: {read:?}",
            self.counted
        );
        let forced =
            matches!(PLAN.get().fault, Fault::Dropped | Fault::PowerOff) && self.options.sync == SyncPolicy::Always;
        if forced && self.options.max_bytes >= 1 << 20 {
            assert!(missing.is_empty(), "not on the disk: {missing:?}");
        }
        let again = unique.intersection(&self.confirmed).count();
        assert!(stopped || PLAN.get().fired || again == 0, "{again} came again");
        let left = fs::read_dir(&self.options.dir).unwrap().count();
        assert_eq!(left, 1, "only the lock is left");
        self.counted - missing.len() as u64
    }
}

/// Tries all faults under one policy. Returns the numbers of system calls, of faults, and of records that
/// were counted without being missing.
fn all_faults(sync: SyncPolicy) -> [u64; 3] {
    let mut sums = [0; 3];
    for (max_bytes, when_full) in [(1 << 20, WhenFull::Oldest), (1300, WhenFull::Oldest), (1300, WhenFull::Newest)] {
        let run = |at: u64, fault: Fault| {
            let dir = Dir::in_memory();
            let mut run = Run::new(SpoolOptions { max_bytes, when_full, sync, ..dir.options() });
            PLAN.set(Plan { armed: true, calls: 0, at, fault, stopped: false, full: false, fired: false });
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run.script();
                let fired = PLAN.get().fired;
                (fired, run.finish())
            }));
            plan(|plan| (plan.armed, plan.stopped) = (false, false));
            checked.unwrap_or_else(|_| panic!("{sync:?}, {max_bytes} {when_full:?}, call {at}: {fault:?}"))
        };
        let (_, counted) = run(u64::MAX, Fault::Stop);
        assert_eq!(counted, 0, "without a fault, what is missing is counted, and nothing else");
        let calls = CALLS.take();
        sums[0] += calls.len() as u64;
        for (at, call) in (0..).zip(calls) {
            // Only this policy promises that each record outlasts a loss of power.
            let power_off = (sync == SyncPolicy::Always).then_some(&Fault::PowerOff);
            for &fault in call.faults().iter().chain(power_off) {
                let (fired, counted) = run(at, fault);
                assert!(fired, "the same calls in each run");
                sums[1] += 1;
                sums[2] += counted;
            }
        }
    }
    sums
}

#[test]
fn every_system_call_fails_once_and_is_the_last_once() {
    let policies = [SyncPolicy::Never, SyncPolicy::Interval, SyncPolicy::Always];
    let threads = policies.map(|sync| std::thread::spawn(move || all_faults(sync)));
    let mut sums = [0; 3];
    for thread in threads {
        let found = thread.join().expect("the thread has said why");
        sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }
    let [calls, points, too_many] = sums;
    println!("{calls} system calls, {points} faults; {too_many} records were counted that were not missing");
    assert!(calls > 2000 && points > 3 * calls);
}

/// Chooses call number `at` of those that this thread makes from now on.
fn arm(at: u64, fault: Fault) {
    PLAN.set(Plan { armed: true, calls: 0, at, fault, stopped: false, full: false, fired: false });
}

fn disarm() -> bool {
    plan(|plan| (plan.armed, plan.stopped) = (false, false)).fired
}

#[test]
fn a_failed_fsync_is_an_error() {
    let dir = Dir::new();
    let options = SpoolOptions { sync: SyncPolicy::Always, ..dir.options() };
    let open = || Spool::open(&options, "conn", "tcp://127.0.0.1:1").unwrap();
    let (mut spool, _) = open();
    spool.push(&record(1)).unwrap();
    arm(u64::MAX, Fault::Stop);
    spool.push(&record(2)).unwrap();
    disarm();
    let calls = CALLS.take();
    let sync = calls.iter().position(|&call| call == Call::Sync).unwrap() as u64;
    let inode = |spool: &Spool| fs::metadata(spool.path(MIDDLE)).unwrap().ino();
    // The kernel drops the page: the record is written again, into a file that has not failed.
    let before = inode(&spool);
    arm(sync, Fault::Dropped);
    assert_eq!(spool.push(&record(3)), Ok(()));
    assert!(disarm());
    assert_ne!(inode(&spool), before);
    assert_eq!((spool.counters().io_errors, spool.last_error().unwrap().raw_os_error()), (1, Some(libc::EIO)));
    // A new file fails, too: the record was not written, and what was written stays.
    arm(sync, Fault::Stop);
    assert_eq!(spool.push(&record(4)), Err(PushError::System { errno: libc::EIO }));
    assert!(disarm());
    assert_eq!(spool.waiting(), 3);
    assert_eq!(spool.push(&record(5)), Err(PushError::System { errno: libc::EIO }), "not tried before the next tick");
    spool.tick();
    assert_eq!(spool.push(&record(6)), Ok(()));
    drop(spool);
    let (mut spool, _) = open();
    let mut read = Vec::new();
    while let Some(record) = spool.peek() {
        read.push(number(record));
        spool.advance();
    }
    read.retain(|&number| number != 4);
    assert_eq!(read, [1, 2, 3, 6]);
}

/// A disk fails for a while. What was written meanwhile is forced to it later, and not
/// through the file that failed.
#[test]
fn what_could_not_be_forced_to_the_disk_is_tried_again() {
    let dir = Dir::new();
    let options = SpoolOptions { sync: SyncPolicy::Interval, ..dir.options() };
    let (mut spool, _) = Spool::open(&options, "conn", "tcp://127.0.0.1:1").unwrap();
    (1..=10).for_each(|number| spool.push(&record(number)).unwrap());
    let before = fs::metadata(spool.path(MIDDLE)).unwrap().ino();
    arm(0, Fault::Stop);
    spool.tick();
    assert!(disarm());
    assert_eq!(spool.unsynced.len(), 1);
    spool.tick();
    assert_eq!(spool.unsynced.len(), 0);
    assert_ne!(fs::metadata(spool.path(MIDDLE)).unwrap().ino(), before);
    (11..=20).for_each(|number| spool.push(&record(number)).unwrap());
    for expected in 1..=20 {
        assert_eq!(spool.peek().map(number), Some(expected));
        spool.advance();
    }
}

/// The first segment is not deleted before the state file says that it is not needed.
#[test]
fn nothing_is_deleted_while_the_state_cannot_be_written() {
    let dir = Dir::new();
    let (mut spool, _) = Spool::open(&dir.options(), "conn", "tcp://127.0.0.1:1").unwrap();
    spool.segment_limit = 300;
    (1..=20).for_each(|number| spool.push(&record(number)).unwrap());
    for _ in 0..10 {
        spool.peek().unwrap();
        spool.advance();
    }
    let first = spool.path(spool.segments[0].number);
    arm(0, Fault::Error(libc::EIO));
    spool.confirm(10);
    assert!(disarm());
    assert!(first.exists() && spool.state_stale);
    spool.tick();
    assert!(!first.exists() && !spool.state_stale);
}
