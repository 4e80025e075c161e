//! Each outcome of the spool, and random operations and damage against a model.

use super::*;

/// A directory that is removed again.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bzw-spool-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn options(&self) -> Options {
        Options { dir: self.0.join("spool"), max_bytes: 1 << 30, when_full: WhenFull::Oldest, sync: Sync::Never }
    }

    fn small(&self) -> Options {
        // Segments of 1,024 bytes.
        Options { max_bytes: 4096, ..self.options() }
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

fn open(options: &Options) -> (Spool, Recovered) {
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
    assert_eq!(spool.counters(), Counters::default());
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
    let (mut spool, _) = open(&Options { when_full: WhenFull::Newest, ..dir.small() });
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
    assert_eq!(spool.unshift(records.iter().map(Vec::as_slice)), Ok(2));
    assert_eq!(read(&mut spool), [100, 101]);
    spool.confirm(2);
    push(&mut spool, 0..30);
    read(&mut spool);
    spool.confirm(5);
    // In front of the unconfirmed, twice.
    assert_eq!(spool.unshift(records.iter().map(Vec::as_slice)), Ok(2));
    assert_eq!(spool.waiting(), 27);
    assert_eq!(spool.unshift(std::iter::once(&*record(99))), Ok(1));
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
    let kept = spool.unshift(records.iter().map(Vec::as_slice)).unwrap();
    assert!(kept > 30 && kept < 200);
    assert_eq!(spool.counters().evicted, 200 - kept);
    assert_eq!(read(&mut spool), range(200 - kept, 200));
}
