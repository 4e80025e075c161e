//! What the spool costs for each record of 300 bytes, with each policy for forcing records to
//! the disk: writing it, reading it back, and confirming it in batches as the writer does.
//!
//! `cargo bench --bench spool -- [DIRECTORY]`; the directory decides which disk is measured.

mod common;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bro_zeromq_writer::spool::{Spool, SpoolOptions, SyncPolicy, WhenFull};
use common::table::{self, number};

const RECORD: usize = 300;
/// What the writer confirms at a time.
const BATCH: usize = 64;
const ROUNDS: usize = 21;

fn main() {
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let directory = directory.map_or_else(std::env::temp_dir, PathBuf::from);
    let root = directory.join(format!("bzw-bench-{}", std::process::id()));
    let record = vec![b'x'; RECORD];
    let mut copy = vec![0; RECORD];
    let memcpy = median(ROUNDS, || {
        per_record(100_000, || black_box(&mut copy).copy_from_slice(black_box(&record)));
        per_record(100_000, || black_box(&mut copy).copy_from_slice(black_box(&record)))
    });
    let mut lines = Vec::new();
    for (name, sync, records) in [
        ("never", SyncPolicy::Never, 10_000),
        ("interval", SyncPolicy::Interval, 10_000),
        ("always", SyncPolicy::Always, 100),
    ] {
        let options = SpoolOptions { dir: root.clone(), max_bytes: 1 << 30, when_full: WhenFull::Oldest, sync };
        let (mut spool, _) = Spool::open(&options, name, "").expect("a directory to write to");
        let (mut pushes, mut reads, mut confirms, mut ticks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            pushes.push(per_record(records, || spool.push(&record).expect("room")));
            ticks.push(per_record(1, || spool.tick()));
            reads.push(per_record(records, || {
                assert_eq!(spool.peek().map(<[u8]>::len), Some(RECORD));
                spool.advance();
            }));
            confirms.push(per_record(records / BATCH + 1, || spool.confirm(BATCH as u64)) / BATCH as f64);
        }
        spool.close();
        let [push, read, confirm, tick] = [pushes, reads, confirms, ticks].map(middle);
        let mut line = vec![name.to_owned()];
        line.extend([push, read, confirm, push + read + confirm].map(number));
        line.push(number((push + read + confirm) / memcpy));
        line.push(number(tick / 1e6));
        lines.push(line);
    }
    let _ = std::fs::remove_dir_all(&root);
    table::print(
        &format!(
            "A record of {RECORD} bytes through the spool, in ns; a copy of it in memory takes {}",
            number(memcpy)
        ),
        &["spool_sync", "push", "read", "confirm", "all", "/ copy", "tick, ms"],
        &lines,
    );
}

/// Nanoseconds for each of so many records.
fn per_record(records: usize, mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..records {
        work();
    }
    Duration::as_secs_f64(&began.elapsed()) * 1e9 / records as f64
}

fn median(rounds: usize, mut measure: impl FnMut() -> f64) -> f64 {
    middle((0..rounds).map(|_| measure()).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
