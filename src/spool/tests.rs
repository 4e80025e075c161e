//! Each outcome of the spool, and random operations and damage against a model.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

/// A directory that is removed again.
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// A directory in memory, where the system has a file system for that.
    pub(super) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(parent: &Path) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bzw-spool-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = parent.join(name);
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub(super) fn options(&self) -> SpoolOptions {
        SpoolOptions {
            dir: self.0.join("spool"),
            max_bytes: 1 << 30,
            when_full: WhenFull::Oldest,
            sync: SyncPolicy::Never,
        }
    }

    fn small(&self) -> SpoolOptions {
        // Segments of 1,024 bytes.
        SpoolOptions { max_bytes: 4096, ..self.options() }
    }

    /// The segments of the only spool, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for spool in fs::read_dir(self.0.join("spool")).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
            let files = fs::read_dir(spool.path()).unwrap().flatten();
            found.extend(files.filter(|file| segment_number(&file.file_name()).is_some()).map(|file| file.path()));
        }
        found.sort();
        found
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(options: &SpoolOptions) -> (Spool, Recovered) {
    Spool::open(options, "conn", "tcp://127.0.0.1:1").unwrap()
}

fn record(number: u64) -> Vec<u8> {
    format!("{{\"record\":{number},\"text\":\"{}\"}}", "x".repeat((number % 50) as usize)).into_bytes()
}

fn push(spool: &mut Spool, records: impl IntoIterator<Item = u64>) {
    for number in records {
        spool.push(&record(number)).unwrap();
    }
}

/// Reads all that is unread, without confirming.
fn read(spool: &mut Spool) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(data) = spool.peek() {
        let text = std::str::from_utf8(data).unwrap();
        let number: u64 = text["{\"record\":".len()..].split(',').next().unwrap().parse().unwrap();
        assert_eq!(data, record(number));
        numbers.push(number);
        spool.advance();
    }
    numbers
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..to).collect()
}

#[test]
fn first_in_first_out() {
    let dir = Dir::new();
    let (mut spool, recovered) = open(&dir.options());
    assert_eq!(recovered, Recovered::default());
    assert_eq!(spool.peek(), None);
    push(&mut spool, 0..10);
    assert_eq!((spool.waiting(), spool.unconfirmed()), (10, 0));
    assert_eq!(spool.peek(), Some(&*record(0)));
    assert_eq!(spool.peek(), Some(&*record(0)));
    spool.advance();
    spool.advance();
    assert_eq!((spool.waiting(), spool.unconfirmed()), (9, 1));
    assert_eq!(read(&mut spool), range(1, 10));
    push(&mut spool, 10..12);
    spool.confirm(5);
    spool.rewind();
    assert_eq!((spool.waiting(), spool.unconfirmed()), (7, 0));
    assert_eq!(read(&mut spool), range(5, 12));
    spool.confirm(100);
    assert_eq!((spool.waiting(), spool.unconfirmed()), (0, 0));
    assert_eq!(spool.counters(), FailureCounts::default());
    spool.close();
    assert!(dir.segments().is_empty());
    assert_eq!(fs::read_dir(dir.0.join("spool")).unwrap().count(), 1, "only the lock is left");
}

#[test]
fn a_crash_loses_nothing_and_a_close_neither() {
    for close in [false, true] {
        let dir = Dir::new();
        let (mut spool, _) = open(&dir.small());
        push(&mut spool, 0..40);
        assert!(dir.segments().len() > 2);
        for _ in 0..30 {
            spool.peek().unwrap();
            spool.advance();
        }
        spool.confirm(20);
        spool.set_in_flight(7);
        if close {
            spool.close()
        } else {
            drop(spool)
        }
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!(recovered.records, 20);
        assert_eq!(recovered.unclean, !close);
        assert_eq!(recovered.lost_in_flight, if close { 0 } else { 64 }, "a bound");
        assert_eq!((recovered.damaged_records, recovered.state_lost), (0, false));
        push(&mut spool, 40..45);
        assert_eq!(read(&mut spool), range(20, 45));
        spool.confirm(25);
        spool.tick();
        assert!(dir.segments().is_empty(), "a tick removes what is done");
        push(&mut spool, 45..46);
        assert_eq!(read(&mut spool), [45]);
    }
}

#[test]
fn the_oldest_give_way() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.small());
    push(&mut spool, 0..20);
    // Ten are with the caller; their loss is known only when they are wanted again.
    for _ in 0..10 {
        spool.peek().unwrap();
        spool.advance();
    }
    push(&mut spool, 20..200);
    assert!(spool.lease.used() <= 4096);
    assert_eq!(spool.unconfirmed(), 10);
    let (evicted, waiting) = (spool.counters().evicted, spool.waiting());
    assert_eq!(evicted + waiting + 10, 200);
    assert!(evicted > 100);
    spool.confirm(4);
    spool.rewind();
    assert_eq!(spool.counters().evicted, evicted + 6);
    assert_eq!(read(&mut spool), range(200 - waiting, 200));
    drop(spool);
    let (mut spool, recovered) = open(&dir.small());
    assert_eq!((recovered.records, recovered.damaged_records), (waiting, 0));
    assert_eq!(read(&mut spool), range(200 - waiting, 200));
}

#[test]
fn the_newest_give_way() {
    let dir = Dir::new();
    let (mut spool, _) = open(&SpoolOptions { when_full: WhenFull::Newest, ..dir.small() });
    let mut taken = 0;
    while spool.push(&record(taken)).is_ok() {
        taken += 1;
    }
    assert!(taken > 30);
    assert_eq!(spool.push(&record(taken)), Err(PushError::Full));
    spool.tick();
    assert_eq!(spool.push(&record(taken)), Err(PushError::Full));
    assert_eq!(read(&mut spool), range(0, taken));
    spool.confirm(taken / 2);
    push(&mut spool, taken..taken + 1);
    assert_eq!(read(&mut spool), [taken]);
    assert_eq!(spool.counters().evicted, 0);
}

#[test]
fn a_record_that_is_larger_than_a_segment_or_the_spool() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.small());
    push(&mut spool, 0..1);
    let large = vec![b'x'; 2000];
    spool.push(&large).unwrap();
    spool.push(b"").unwrap();
    assert_eq!(spool.push(&vec![b'x'; 4096]), Err(PushError::TooLarge));
    assert_eq!(spool.peek().unwrap(), record(0));
    spool.advance();
    assert_eq!(spool.peek().unwrap(), large);
    spool.advance();
    assert_eq!(spool.peek().unwrap(), b"");
    spool.advance();
    assert_eq!(spool.peek(), None);
}

#[test]
fn records_put_in_front() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.small());
    // In front of nothing.
    let records = [record(100), record(101)];
    assert_eq!(spool.unshift(records.iter().map(|record| (record.as_slice(), false))), Ok(2));
    assert_eq!(read(&mut spool), [100, 101]);
    spool.confirm(2);
    push(&mut spool, 0..30);
    read(&mut spool);
    spool.confirm(5);
    // In front of the unconfirmed, twice.
    assert_eq!(spool.unshift(records.iter().map(|record| (record.as_slice(), false))), Ok(2));
    assert_eq!(spool.waiting(), 27);
    assert_eq!(spool.unshift(std::iter::once((&*record(99), false))), Ok(1));
    spool.close();
    for confirmed in 0..28 {
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!((recovered.records, recovered.damaged_records), (28 - confirmed, 0));
        let all = [range(99, 102), range(5, 30)].concat();
        assert_eq!(read(&mut spool), all[confirmed as usize..]);
        spool.confirm(1);
    }
    let (mut spool, _) = open(&dir.small());
    assert_eq!(spool.waiting(), 0);
    // The oldest of those that do not fit give way.
    let records: Vec<_> = (0..200).map(record).collect();
    let kept = spool.unshift(records.iter().map(|record| (record.as_slice(), false))).unwrap();
    assert!(kept > 30 && kept < 200);
    assert_eq!(spool.counters().evicted, 200 - kept);
    assert_eq!(read(&mut spool), range(200 - kept, 200));
}

/// Records come again in the order in which they were handed over, read here or not.
#[test]
fn records_put_back_among_those_that_were_read() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.small());
    push(&mut spool, 0..40);
    for _ in 0..20 {
        spool.peek().unwrap();
        spool.advance();
    }
    spool.confirm(2);
    let handed_over: Vec<_> = (2..10).map(|n| (record(n), true)).chain([(record(100), false)]).collect();
    let rest = (10..20).map(|n| (record(n), true));
    let handed_over: Vec<_> = handed_over.into_iter().chain(rest).collect();
    let all: Vec<_> = (2..10).chain([100]).chain(10..40).collect();
    let before = spool.lease.bytes();
    assert_eq!(spool.unshift(handed_over.iter().map(|(record, read)| (record.as_slice(), *read))), Ok(1));
    assert!(spool.lease.bytes() < before + 700, "what is behind the last one is not written again");
    assert_eq!(spool.waiting(), 39);
    drop(spool);
    let (mut spool, recovered) = open(&dir.small());
    assert_eq!((recovered.records, recovered.damaged_records), (39, 0));
    assert_eq!(read(&mut spool), all);
    assert_eq!(spool.counters(), FailureCounts::default());
}

/// The root is full with another spool's records.
#[test]
fn records_put_back_have_the_room_that_new_ones_have() {
    let dir = Dir::new();
    let (mut conn, _) = open(&dir.small());
    push(&mut conn, 0..200);
    let mut kept = [0; 2];
    for (number, put_back) in [false, true].into_iter().enumerate() {
        let (mut dns, _) = Spool::open(&dir.small(), "dns", "tcp://127.0.0.1:1").unwrap();
        let records: Vec<_> = (0..20).map(record).collect();
        kept[number] = if put_back {
            dns.unshift(records.iter().map(|record| (record.as_slice(), false))).unwrap()
        } else {
            records.iter().filter(|record| dns.push(record).is_ok()).count() as u64
        };
        assert_eq!(dns.waiting(), kept[number]);
        assert_eq!(dns.counters().evicted, 0);
        read(&mut dns);
        dns.confirm(20);
        dns.close();
    }
    assert_eq!(kept, [20, 20]);
}

/// The process ends between the two system calls of [`Spool::unshift`].
#[test]
fn a_segment_in_front_that_the_state_file_does_not_know() {
    let dir = Dir::new();
    for torn in [false, true] {
        let (mut spool, _) = open(&dir.small());
        push(&mut spool, 0..30);
        let state = spool.dir.join("state");
        for _ in 0..5 {
            spool.peek().unwrap();
            spool.advance();
        }
        spool.set_in_flight(2);
        let before = fs::read(&state).unwrap();
        let records: Vec<_> = (0..5).map(|n| (record(n), true)).collect();
        let others = [(record(100), false), (record(101), false)];
        let records = others[..1].iter().chain(&records).chain(&others[1..]);
        assert_eq!(spool.unshift(records.map(|(record, read)| (record.as_slice(), *read))), Ok(2));
        drop(spool);
        fs::write(&state, before).unwrap();
        let all = if torn {
            cut(&dir.segments()[0], 3);
            range(0, 30)
        } else {
            [vec![100], range(0, 5), vec![101], range(5, 30)].concat()
        };
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!((recovered.records, recovered.damaged_records), (all.len() as u64, 0));
        assert!(recovered.lost_in_flight >= 2);
        assert_eq!(read(&mut spool), all);
        spool.confirm(40);
        spool.close();
    }
}

/// The state file of version 1, whose slots were at 0 and 512.
#[test]
fn a_state_file_of_an_earlier_version() {
    for generation in [6_u64, 7] {
        let dir = Dir::new();
        let (mut spool, _) = open(&dir.small());
        push(&mut spool, 0..40);
        read(&mut spool);
        spool.confirm(13);
        let state = spool.dir.join("state");
        let Position { segment, offset, record } = spool.confirmed;
        let words = [1, spool.identity.hash(), generation, segment, offset, record, spool.end, 7, 0];
        drop(spool);
        let mut slot = b"bzwstate".to_vec();
        words.iter().for_each(|word| slot.extend_from_slice(&word.to_le_bytes()));
        slot.extend_from_slice(&u64::from(crc32c::crc32c(&slot)).to_le_bytes());
        let mut file = vec![0; 600];
        let at = if generation % 2 == 0 { 0 } else { 512 };
        file[at..at + slot.len()].copy_from_slice(&slot);
        fs::write(&state, file).unwrap();
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!((recovered.records, recovered.state_lost, recovered.lost_in_flight), (27, false, 7));
        // The first write does not overwrite the old slot.
        assert_eq!(fs::read(&state).unwrap()[at..at + slot.len()], slot);
        assert_eq!(read(&mut spool), range(13, 40));
        spool.confirm(7);
        drop(spool);
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!((recovered.records, recovered.state_lost), (20, false));
        assert_eq!(read(&mut spool), range(20, 40));
    }
}

#[test]
fn a_borrowed_spool_is_taken_away() {
    let dir = Dir::new();
    let (keeper, _) = Spool::open(&dir.options(), "dns", "tcp://127.0.0.1:1").unwrap();
    let (mut spool, _) = open(&dir.options());
    spool.set_topic(b"s1/conn");
    push(&mut spool, 0..10);
    assert_eq!(idle(&dir.options().dir), [], "it is open");
    assert!(Spool::borrow(&dir.options(), "conn", "tcp://127.0.0.1:1").is_err());
    spool.close();
    let label = Label { path: "conn".into(), endpoint: "tcp://127.0.0.1:1".into(), topic: b"s1/conn".into() };
    assert_eq!(idle(&dir.options().dir), [label]);
    let (mut borrowed, recovered) = Spool::borrow(&dir.options(), "conn", "tcp://127.0.0.1:1").unwrap();
    assert_eq!(recovered.records, 10);
    assert_eq!(idle(&dir.options().dir), []);
    let loan = loan(&dir.options().dir, "conn", "tcp://127.0.0.1:1").unwrap();
    assert_eq!(loan.with(|| read(&mut borrowed)), Some(range(0, 10)));
    loan.with(|| borrowed.confirm(4)).unwrap();
    // While it is used, whoever wants it waits.
    let options = dir.options();
    let taker = loan
        .with(|| {
            let taker = std::thread::spawn(move || open(&options));
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!taker.is_finished());
            borrowed.confirm(1);
            taker
        })
        .unwrap();
    let (mut spool, recovered) = taker.join().unwrap();
    assert_eq!(recovered.records, 5);
    assert_eq!(loan.with(|| ()), None);
    assert_eq!(spool.lease.used(), spool.lease.bytes());
    borrowed.close();
    assert_eq!(read(&mut spool), range(5, 10));
    push(&mut spool, 10..12);
    assert_eq!(read(&mut spool), [10, 11]);
    spool.confirm(7);
    spool.close();
    keeper.close();
    assert_eq!(fs::read_dir(dir.options().dir).unwrap().count(), 1, "only the lock is left");
}

/// Overwrites bytes of a file; a negative offset counts from its end.
fn overwrite(path: &Path, offset: i64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(bytes, if offset < 0 { len - offset.unsigned_abs() } else { offset as u64 }).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

/// Where record `number` is in the segments.
fn find_record(dir: &Dir, number: u64) -> (PathBuf, i64) {
    for path in dir.segments() {
        let bytes = fs::read(&path).unwrap();
        let data = record(number);
        if let Some(at) = bytes.windows(data.len()).position(|window| window == data) {
            return (path, at as i64);
        }
    }
    panic!("record {number} is not there");
}

#[test]
fn a_torn_last_record() {
    for bytes in 1..30 {
        let dir = Dir::new();
        let (mut spool, _) = open(&dir.small());
        push(&mut spool, 0..20);
        drop(spool);
        let last = dir.segments().pop().unwrap();
        cut(&last, bytes);
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!((recovered.records, recovered.damaged_records), (19, 1), "{bytes}");
        push(&mut spool, 20..21);
        let numbers: Vec<_> = (0..19).chain([20]).collect();
        assert_eq!(read(&mut spool), numbers);
        assert_eq!(spool.counters(), FailureCounts::default());
        drop(spool);
        assert_eq!(open(&dir.small()).1.damaged_records, 0, "it is counted once");
    }
}

#[test]
fn a_flipped_bit() {
    // In a full segment and in the last one; in the data, the checksum and the length.
    for number in [3, 38] {
        for at in [0, 5, -1, -4, -5, -6, -8] {
            for bit in 0..8 {
                let dir = Dir::new();
                let (mut spool, _) = open(&dir.small());
                push(&mut spool, 0..40);
                spool.close();
                let (path, offset) = find_record(&dir, number);
                let mut bytes = fs::read(&path).unwrap();
                bytes[(offset + at) as usize] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                let (mut spool, recovered) = open(&dir.small());
                assert_eq!((recovered.records, recovered.damaged_records), (40, 0));
                let numbers: Vec<_> = (0..number).chain(number + 1..40).collect();
                assert_eq!(read(&mut spool), numbers, "record {number}, byte {at}, bit {bit}");
                assert_eq!((spool.counters().damaged_records, spool.waiting()), (1, 0));
                spool.confirm(39);
                spool.tick();
                assert!(dir.segments().is_empty());
            }
        }
    }
}

#[test]
fn a_damaged_header() {
    for (segment, at) in [(0, 0), (0, 9), (1, 3), (1, 40), (2, 80)] {
        let dir = Dir::new();
        let (mut spool, _) = open(&dir.small());
        push(&mut spool, 0..40);
        spool.close();
        assert_eq!(dir.segments().len(), 3);
        overwrite(&dir.segments()[segment], at, b"\xff");
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!((recovered.records, recovered.damaged_records), (40, 0));
        assert_eq!(read(&mut spool), range(0, 40));
        assert_eq!(spool.counters(), FailureCounts::default());
    }
}

#[test]
fn a_missing_segment_is_counted_exactly() {
    for missing in 0..3 {
        let dir = Dir::new();
        let (mut spool, _) = open(&dir.small());
        push(&mut spool, 0..40);
        for _ in 0..2 {
            spool.peek().unwrap();
            spool.advance();
        }
        spool.confirm(2);
        spool.close();
        fs::remove_file(&dir.segments()[missing]).unwrap();
        let (mut spool, recovered) = open(&dir.small());
        let numbers = read(&mut spool);
        assert!(numbers.len() > 10 && numbers.iter().all(|number| (2..40).contains(number)));
        assert!(numbers.is_sorted());
        let lost = recovered.damaged_records + spool.counters().damaged_records;
        assert_eq!(numbers.len() as u64 + lost, 38, "segment {missing}");
        drop(spool);
        assert_eq!(open(&dir.small()).1.damaged_records, 0, "it is counted once");
    }
}

#[test]
fn what_is_not_a_segment_is_left_alone() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.small());
    push(&mut spool, 0..40);
    spool.close();
    let first = dir.segments().remove(0);
    let spool_dir = first.parent().unwrap().to_owned();
    let text = spool_dir.join("00000000000000aa.seg");
    fs::write(&text, b"my notes, quite a few of them".repeat(10)).unwrap();
    let near = spool_dir.join(format!("{:016x}.seg", MIDDLE + 3));
    fs::write(&near, b"not a segment").unwrap();
    fs::write(spool_dir.join("README"), b"hello").unwrap();
    fs::create_dir(spool_dir.join("00000000000000ab.seg")).unwrap();
    symlink("/etc/passwd", spool_dir.join("00000000000000ac.seg")).unwrap();
    let fifo = spool_dir.join("00000000000000ad.seg");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // A segment of another spool.
    let (mut other, _) = Spool::open(&dir.small(), "dns", "tcp://127.0.0.1:1").unwrap();
    push(&mut other, 0..1);
    let segment = other.path(MIDDLE);
    other.close();
    fs::copy(segment, spool_dir.join(format!("{:016x}.seg", MIDDLE - 1))).unwrap();
    // Empty ones and ones full of zeros come from power failures.
    fs::write(spool_dir.join(format!("{:016x}.seg", MIDDLE + 4)), b"").unwrap();
    fs::write(spool_dir.join(format!("{:016x}.seg", MIDDLE + 5)), [0; 5000]).unwrap();

    let (mut spool, recovered) = open(&dir.small());
    assert_eq!(recovered.records, 40);
    assert_eq!((recovered.foreign_files, recovered.damaged_bytes), (6, 5000));
    push(&mut spool, 40..60);
    let numbers = read(&mut spool);
    assert_eq!(numbers.last(), Some(&59));
    assert_eq!(numbers.len() as u64 + spool.counters().evicted, 60);
    spool.confirm(60);
    spool.close();
    let left = fs::read_dir(&spool_dir).unwrap().count();
    assert_eq!(left, 7, "the six, and README");
    assert!(fs::read(&near).unwrap() == b"not a segment" && text.exists());
}

#[test]
fn a_later_version_is_refused() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.small());
    push(&mut spool, 0..3);
    let identity = spool.identity.clone();
    spool.close();
    let path = dir.segments().remove(0);
    let whole = fs::read(&path).unwrap();
    let mut newer = whole.clone();
    newer[8] = 2;
    let header = identity.header_len() as usize;
    let crc = crc32c::crc32c(&newer[..header - 4]);
    newer[header - 4..header].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, &newer).unwrap();
    let error = Spool::open(&dir.small(), "conn", "tcp://127.0.0.1:1").unwrap_err().to_string();
    assert!(error.contains("later version") && error.contains("format 2") && error.contains(".seg"), "{error}");
    fs::write(&path, &whole).unwrap();
    assert_eq!(open(&dir.small()).1.records, 3);
}

#[test]
fn a_state_file_that_is_damaged_means_records_that_come_again() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.small());
    push(&mut spool, 0..40);
    read(&mut spool);
    spool.confirm(20);
    spool.close();
    let first = dir.segments().remove(0);
    let state = first.parent().unwrap().join("state");
    let whole = fs::read(&state).unwrap();
    for (damage, lost) in [(vec![], false), (vec![0, 4096], true), (vec![0], false), (vec![4096], false)] {
        let mut bytes = whole.clone();
        for at in &damage {
            bytes[at + 50] ^= 1;
        }
        fs::write(&state, &bytes).unwrap();
        let (mut spool, recovered) = open(&dir.small());
        assert_eq!(recovered.state_lost, lost, "{damage:?}");
        let numbers = read(&mut spool);
        let from = numbers[0];
        assert!(if lost { from < 20 } else { from == 20 }, "{damage:?}: {from}");
        assert_eq!(numbers, range(from, 40));
    }
    // The disk has written something else, or nothing, in the place of a block.
    for block in [0..4096, 4096..8192] {
        let mut bytes = whole.clone();
        let end = block.end.min(bytes.len());
        bytes[block.start..end].fill(0);
        fs::write(&state, &bytes).unwrap();
        let (mut spool, recovered) = open(&dir.small());
        assert!(!recovered.state_lost);
        assert_eq!(read(&mut spool), range(20, 40));
    }
    fs::remove_file(&state).unwrap();
    assert!(open(&dir.small()).1.state_lost);
}

#[test]
fn files_that_vanish_or_change_while_open() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.options());
    push(&mut spool, 0..10);
    fs::remove_dir_all(dir.0.join("spool")).unwrap();
    push(&mut spool, 10..20);
    spool.tick();
    push(&mut spool, 20..30);
    assert_eq!(read(&mut spool), range(0, 30));
    spool.confirm(5);
    drop(spool);
    let (mut spool, recovered) = open(&dir.options());
    assert_eq!((recovered.records, recovered.damaged_records, recovered.state_lost), (25, 0, false));
    push(&mut spool, 30..40);
    let last = dir.segments().pop().unwrap();
    File::create(&last).unwrap();
    push(&mut spool, 40..45);
    spool.tick();
    push(&mut spool, 45..50);
    let numbers: Vec<_> = (5..30).chain(45..50).collect();
    assert_eq!(read(&mut spool), numbers);
    assert_eq!(spool.counters().damaged_records, 15);
}

#[test]
fn the_same_twice_in_a_process() {
    let dir = Dir::new();
    let (mut one, _) = open(&dir.small());
    let (mut two, _) = open(&dir.small());
    push(&mut one, 0..10);
    push(&mut two, 10..20);
    assert_eq!(one.lease.used(), one.lease.bytes() + two.lease.bytes());
    one.close();
    two.close();
    let (mut one, recovered) = open(&dir.small());
    assert_eq!(recovered.records, 20);
    assert_eq!(one.lease.used(), one.lease.bytes());
    assert_eq!(read(&mut one), range(0, 20));
    one.confirm(20);
    one.close();
    assert_eq!(fs::read_dir(dir.0.join("spool")).unwrap().count(), 1);
}

#[test]
fn the_limit_is_for_all_and_none_starves() {
    let dir = Dir::new();
    let (mut conn, _) = open(&dir.small());
    let (mut dns, _) = Spool::open(&dir.small(), "dns", "tcp://127.0.0.1:1").unwrap();
    push(&mut conn, 0..200);
    assert!(conn.lease.used() > 3000);
    push(&mut dns, 0..20);
    conn.tick();
    assert!(conn.lease.used() <= 4096);
    assert_eq!(dns.counters().evicted, 0);
    assert_eq!(read(&mut dns), range(0, 20));
    push(&mut conn, 200..210);
    drop(conn);
    // What nobody has open counts, too.
    let bytes: u64 = dir.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(dns.lease.used(), bytes);
    drop(dns);
    let (dns, _) = Spool::open(&dir.small(), "dns", "tcp://127.0.0.1:1").unwrap();
    assert_eq!(dns.lease.used(), bytes);
}

#[test]
fn errors_name_the_way_out() {
    let dir = Dir::new();
    let file = dir.0.join("file");
    fs::write(&file, b"").unwrap();
    for (path, text) in [
        ("spool".into(), "not an absolute path"),
        (dir.0.join("a/b"), "directory above it does not exist"),
        (file.clone(), "is not a directory"),
        (file.join("x"), "cannot be used: Not a directory"),
        ("/proc/spool".into(), "cannot be"),
    ] {
        let options = SpoolOptions { dir: path, ..dir.small() };
        let error = Spool::open(&options, "conn", "x").unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn names_are_readable_and_safe() {
    let name = |path: &str| dir_name(path, &Identity::new(path, "tcp://127.0.0.1:1"));
    assert_eq!(name("conn"), "conn@e33bea46e6a80b37");
    assert!(name("../etc/x").starts_with("%2e.%2fetc%2fx@"));
    assert!(name("").starts_with('@'));
    let long = name(&"/".repeat(5000));
    assert!(long.len() < 130);
    assert_ne!(long, name(&"/".repeat(5001)));
    assert_ne!(Identity::new("a", "b").hash(), Identity::new("ab", "").hash());
    assert!(segment_number(OsStr::new("8000000000000000.seg")).is_some());
    for other in
        ["8000000000000000.SEG", "+800000000000000.seg", "80000000000000000.seg", "state", "800000000000000A.seg"]
    {
        assert_eq!(segment_number(OsStr::new(other)), None, "{other}");
    }
}

/// A command that runs a test of this file, which is ignored otherwise, in a process of its own.
fn in_another_process(wrapper: &[&str], test: &str, dir: &Path) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&exe),
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args).arg(&exe);
            command
        }
    };
    command.args(["--exact", "--ignored", "--nocapture", &format!("spool::tests::{test}")]).env("BZW_DIR", dir);
    command
}

fn dir_of_the_parent() -> PathBuf {
    std::env::var_os("BZW_DIR").expect("another test runs this one").into()
}

#[test]
fn one_process_at_a_time() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.options());
    push(&mut spool, 0..3);
    let output = in_another_process(&[], "finds_the_directory_in_use", &dir.0).stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let found =
        format!("in use by another process (pid {}); give each host a spool_dir of its own", std::process::id());
    assert!(text.contains(&found), "{text}");
    // Two ways to the same directory are the same to this process.
    symlink(dir.0.join("spool"), dir.0.join("link")).unwrap();
    let (spool2, _) = open(&SpoolOptions { dir: dir.0.join("link"), ..dir.options() });
    drop((spool, spool2));
    let output = in_another_process(&[], "takes_over", &dir.0).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by one_process_at_a_time"]
fn finds_the_directory_in_use() {
    let dir = dir_of_the_parent().join("spool");
    let options = SpoolOptions { dir, max_bytes: 1 << 20, when_full: WhenFull::Oldest, sync: SyncPolicy::Never };
    println!("{}", Spool::open(&options, "dns", "x").unwrap_err());
}

#[test]
#[ignore = "run by one_process_at_a_time"]
fn takes_over() {
    let dir = dir_of_the_parent().join("spool");
    let (mut spool, recovered) =
        open(&SpoolOptions { dir, max_bytes: 1 << 20, when_full: WhenFull::Oldest, sync: SyncPolicy::Never });
    assert_eq!((recovered.records, recovered.unclean), (3, true));
    assert_eq!(read(&mut spool), range(0, 3));
}

#[test]
fn a_full_disk_and_a_read_only_one() {
    let dir = Dir::new();
    let wrapper =
        ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=256k none \"$BZW_DIR\" && exec \"$0\" \"$@\""];
    let can = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a_full_disk_and_a_read_only_one needs the right to mount (root)");
        return;
    }
    let output = in_another_process(&wrapper, "on_a_small_disk", &dir.0).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by a_full_disk_and_a_read_only_one, on a disk of 256 KiB of its own"]
fn on_a_small_disk() {
    let root = dir_of_the_parent();
    let dir = root.join("spool");
    let newest = SpoolOptions { dir, max_bytes: 1 << 20, when_full: WhenFull::Newest, sync: SyncPolicy::Always };
    let oldest = SpoolOptions { when_full: WhenFull::Oldest, ..newest.clone() };
    for options in [newest, oldest] {
        let (mut spool, _) = open(&options);
        let mut refused = 0;
        for number in 0..10_000 {
            match spool.push(&record(number)) {
                Ok(()) => {}
                Err(PushError::System { errno: libc::ENOSPC }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(spool.counters().io_errors > 0);
        assert_eq!(10_000, spool.waiting() + refused + spool.counters().evicted);
        let all = spool.waiting();
        // Of 256 KiB, a segment has 64.
        assert!(all > 2000, "{all} of 10,000");
        drop(spool);
        // Everything that was taken is there.
        let (mut spool, recovered) = open(&options);
        assert_eq!((recovered.records, recovered.damaged_records), (all, 0));
        let mut numbers = Vec::new();
        for _ in 0..all / 2 {
            numbers.push(spool.peek().unwrap().to_vec());
            spool.advance();
        }
        spool.confirm(all / 2);
        // There is room again, which is noticed with the next tick.
        spool.tick();
        spool.push(b"after").unwrap();
        while let Some(data) = spool.peek() {
            numbers.push(data.to_vec());
            spool.advance();
        }
        assert_eq!(numbers.pop().unwrap(), b"after");
        assert_eq!(numbers.len() as u64, all);
        spool.confirm(u64::MAX);
        spool.close();
    }
    let filler = root.join("filler");
    fs::write(&filler, vec![1; 1 << 20]).unwrap_err();
    let options = SpoolOptions {
        dir: root.join("spool"),
        max_bytes: 1 << 20,
        when_full: WhenFull::Oldest,
        sync: SyncPolicy::Never,
    };
    let (mut spool, _) = open(&options);
    assert_eq!(spool.push(b"x"), Err(PushError::System { errno: libc::ENOSPC }));
    fs::remove_file(&filler).unwrap();
    assert_eq!(spool.push(b"x"), Err(PushError::System { errno: libc::ENOSPC }), "not tried before the next tick");
    spool.tick();
    spool.push(b"x").unwrap();
    spool.close();
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&root).status().unwrap();
    assert!(status.success());
    let error = Spool::open(&options, "conn", "x").unwrap_err().to_string();
    assert!(error.contains("Read-only file system") && error.contains("must be writable"), "{error}");
}

#[test]
fn what_comes_after_a_segment_in_front_has_a_name_of_its_own() {
    let dir = Dir::new();
    let (mut spool, _) = open(&dir.options());
    spool.push(b"one").unwrap();
    spool.peek();
    spool.advance();
    spool.confirm(1);
    // The tick deletes its file.
    spool.tick();
    assert_eq!(spool.unshift([(&b"two"[..], false)].into_iter()), Ok(1));
    drop(spool);
    let (mut spool, recovered) = open(&dir.options());
    assert_eq!(recovered.records, 1);
    spool.push(b"three").unwrap();
    spool.push(b"four").unwrap();
    drop(spool);
    let (mut spool, recovered) = open(&dir.options());
    assert_eq!(recovered.records, 3);
    for record in [&b"two"[..], b"three", b"four"] {
        assert_eq!(spool.peek(), Some(record));
        spool.advance();
    }
}

/// One step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Read(usize),
    Confirm(u64),
    Rewind,
    Unshift(Vec<Vec<u8>>),
    Tick,
    InFlight(u64),
    Crash,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let record = || {
        prop_oneof![
            20 => prop::collection::vec(any::<u8>(), 0..60),
            1 => prop::collection::vec(any::<u8>(), 1000..1500),
        ]
    };
    prop_oneof![
        12 => record().prop_map(Step::Push),
        4 => (0..12_usize).prop_map(Step::Read),
        3 => (0..20_u64).prop_map(Step::Confirm),
        1 => Just(Step::Rewind),
        1 => prop::collection::vec(record(), 0..5).prop_map(Step::Unshift),
        1 => Just(Step::Tick),
        1 => (0..300_u64).prop_map(Step::InFlight),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
    ]
}

/// Each record of a property test has its number in front, so that all are different.
fn numbered(count: &mut u64, record: &[u8]) -> Vec<u8> {
    *count += 1;
    [&count.to_le_bytes()[..], record].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done, the spool does what a queue in memory does. The limit is not reached.
    #[test]
    fn as_a_queue(steps in prop::collection::vec(step(), 1..250), sync in prop_oneof![20 => Just(SyncPolicy::Never), 1 => Just(SyncPolicy::Interval), 1 => Just(SyncPolicy::Always)]) {
        let dir = Dir::new();
        // Segments of 64 KiB would hide what happens between them.
        let options = SpoolOptions { max_bytes: 1 << 20, sync, ..dir.options() };
        let open = || {
            let (mut spool, recovered) = open(&options);
            spool.segment_limit = 300;
            (spool, recovered)
        };
        let (mut spool, _) = open();
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        let (mut unconfirmed, mut in_flight, mut count) = (0_usize, 0, 0);
        for step in steps {
            match step {
                Step::Push(record) => {
                    let record = numbered(&mut count, &record);
                    spool.push(&record).unwrap();
                    model.push_back(record);
                }
                Step::Read(records) => for _ in 0..records {
                    prop_assert_eq!(spool.peek(), model.get(unconfirmed).map(Vec::as_slice));
                    spool.advance();
                    unconfirmed = (unconfirmed + 1).min(model.len());
                },
                Step::Confirm(records) => {
                    spool.confirm(records);
                    let records = (records as usize).min(unconfirmed);
                    model.drain(..records);
                    unconfirmed -= records;
                }
                Step::Rewind => {
                    spool.rewind();
                    unconfirmed = 0;
                }
                Step::Unshift(records) => {
                    let records: Vec<_> = records.iter().map(|record| numbered(&mut count, record)).collect();
                    prop_assert_eq!(spool.unshift(records.iter().map(|record| (record.as_slice(), false))), Ok(records.len() as u64));
                    records.into_iter().rev().for_each(|record| model.push_front(record));
                    unconfirmed = 0;
                }
                Step::Tick => spool.tick(),
                Step::InFlight(records) => {
                    spool.set_in_flight(records);
                    in_flight = records;
                }
                Step::Crash | Step::Close => {
                    let closed = matches!(step, Step::Close);
                    if closed { spool.close() } else { drop(spool) }
                    let (again, recovered) = open();
                    spool = again;
                    prop_assert_eq!(recovered.records, model.len() as u64);
                    prop_assert_eq!((recovered.damaged_records, recovered.damaged_bytes, recovered.foreign_files), (0, 0, 0));
                    prop_assert!(!recovered.state_lost);
                    let lost = recovered.lost_in_flight;
                    prop_assert!(lost >= in_flight || closed && lost == 0);
                    (unconfirmed, in_flight) = (0, 0);
                }
            }
            prop_assert_eq!(spool.waiting(), (model.len() - unconfirmed) as u64);
            prop_assert_eq!(spool.unconfirmed(), unconfirmed as u64);
            prop_assert_eq!(spool.lease.used(), spool.lease.bytes());
            let bytes: u64 = dir.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
            prop_assert_eq!(spool.lease.bytes(), bytes);
        }
        prop_assert_eq!(spool.counters(), FailureCounts::default());
    }

    /// With files damaged at random between two runs: what is delivered was pushed, in
    /// order, none twice, and all that is missing is counted.
    #[test]
    fn damage(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..80),
        confirmed in 0..40_u64,
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8, any::<u8>()), 1..4),
    ) {
        let dir = Dir::new();
        let options = SpoolOptions { max_bytes: 1 << 20, ..dir.options() };
        let (mut spool, _) = open(&options);
        spool.segment_limit = 500;
        let mut count = 0;
        let records: Vec<_> = records.iter().map(|record| numbered(&mut count, record)).collect();
        for record in &records {
            spool.push(record).unwrap();
        }
        let confirmed = confirmed.min(count);
        for _ in 0..confirmed {
            spool.peek();
            spool.advance();
        }
        spool.confirm(confirmed);
        let spool_dir = spool.dir.clone();
        drop(spool);
        let mut whole_state = true;
        for (file, at, kind, value) in damages {
            let mut files: Vec<_> = fs::read_dir(&spool_dir).unwrap().flatten().map(|entry| entry.path()).collect();
            if files.is_empty() {
                break;
            }
            files.sort();
            let path = file.get(&files);
            whole_state &= !path.ends_with("state");
            let mut bytes = fs::read(path).unwrap();
            let at = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            match kind {
                0 if !bytes.is_empty() => bytes[at] ^= value,
                1 => bytes.truncate(at),
                2 => bytes.extend_from_slice(&[value; 20]),
                3 => drop(bytes.splice(at..at, [value])),
                4 if !bytes.is_empty() => {
                    let end = (at + 64).min(bytes.len());
                    bytes[at..end].fill(0);
                }
                _ => {
                    fs::remove_file(path).unwrap();
                    continue;
                }
            }
            fs::write(path, bytes).unwrap();
        }
        let (mut spool, recovered) = open(&options);
        spool.push(b"after").unwrap();
        let mut last = 0;
        let mut delivered = 0;
        while let Some(data) = spool.peek() {
            let data = data.to_vec();
            spool.advance();
            if data == b"after" {
                last = u64::MAX;
                continue;
            }
            let number = u64::from_le_bytes(data[..8].try_into().unwrap());
            prop_assert!(number > last && number <= count, "in order, none twice, none made up");
            prop_assert_eq!(&data, &records[number as usize - 1]);
            if whole_state {
                prop_assert!(number > confirmed, "a confirmed one came again");
            }
            last = number;
            delivered += 1;
        }
        prop_assert_eq!(last, u64::MAX, "the new one was delivered, as the last");
        prop_assert_eq!(spool.waiting(), 0);
        let lost = recovered.damaged_records + spool.counters().damaged_records;
        if whole_state {
            prop_assert!(delivered <= count - confirmed);
            if recovered.foreign_files == 0 && confirmed > 0 {
                // The state file knew how many there were.
                prop_assert!(delivered + lost >= count - confirmed, "{:?}, {:?}", recovered, spool.counters());
            }
        }
        spool.confirm(u64::MAX);
        spool.close();
        let (spool, _) = open(&options);
        prop_assert_eq!(spool.waiting(), 0);
    }

    /// Eviction at random: all records are delivered, evicted, or gone with a damaged file.
    #[test]
    fn evictions(steps in prop::collection::vec(step(), 1..300)) {
        let dir = Dir::new();
        let options = SpoolOptions { max_bytes: 6000, ..dir.options() };
        let (mut spool, _) = open(&options);
        let (mut pushed, mut delivered, mut evicted, mut last) = (0, 0, 0, 0);
        for step in steps {
            match step {
                Step::Push(record) => {
                    let record = numbered(&mut pushed, &record);
                    spool.push(&record).unwrap();
                }
                Step::Read(records) => for _ in 0..records {
                    let Some(data) = spool.peek() else { break };
                    let number = u64::from_le_bytes(data[..8].try_into().unwrap());
                    prop_assert!(number > last);
                    last = number;
                    spool.advance();
                    delivered += 1;
                },
                Step::Confirm(records) => spool.confirm(records),
                Step::Tick => spool.tick(),
                Step::Rewind | Step::Crash | Step::Close => {
                    delivered -= spool.unconfirmed();
                    spool.rewind();
                    evicted += spool.counters().evicted;
                    last = 0;
                    if matches!(step, Step::Close) { spool.close() } else { drop(spool) }
                    let (again, recovered) = open(&options);
                    spool = again;
                    prop_assert_eq!(recovered.records, pushed - delivered - evicted);
                    prop_assert_eq!(recovered.damaged_records, 0);
                }
                Step::Unshift(_) | Step::InFlight(_) => {}
            }
            prop_assert!(spool.lease.used() <= options.max_bytes);
            prop_assert_eq!(delivered + evicted + spool.counters().evicted + spool.waiting(), pushed);
        }
    }
}
