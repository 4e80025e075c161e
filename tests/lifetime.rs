//! Writers that come and go leave nothing behind. The tests count the descriptors and threads of the
//! process, so nothing else may run in it.

use fake_host::Cell;

use std::sync::Mutex;

mod common;
use common::{Subscriber, Writer, zeek_80};

/// The tests take turns.
static ALONE: Mutex<()> = Mutex::new(());

/// How many writers come and go; `BZW_CYCLES` asks for another number.
fn cycles() -> usize {
    std::env::var("BZW_CYCLES").ok().map_or(1000, |cycles| cycles.parse().expect("BZW_CYCLES is a number"))
}

/// Descriptors, threads, and resident memory in KiB.
fn resources() -> (usize, usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let number = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (std::fs::read_dir("/proc/self/fd").unwrap().count(), number("Threads:"), number("VmRSS:"))
}

/// Returns [`resources`] when they have settled: libzmq's descriptors and threads end a moment after its sockets.
fn settled() -> (usize, usize, usize) {
    let mut last = resources();
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let now = resources();
        if (now.0, now.1) == (last.0, last.1) {
            break;
        }
        last = now;
    }
    resources()
}

#[test]
fn writers_come_and_go() {
    let _alone = ALONE.lock().unwrap();
    let dir = std::env::temp_dir().join(format!("bzw-lifetime-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let subscriber = Subscriber::bind_to(&format!("ipc://{}", path("socket")), &[b""]);
    let spool = path("spool");
    let bound = format!("@ipc://{}", path("bound"));
    let round = |index: usize| {
        let (endpoint, options): (&str, &[(&str, &str)]) = match index % 3 {
            0 => (&subscriber.endpoint, &[("wait_for_subscriber", "20")]),
            1 => (&subscriber.endpoint, &[("spool_dir", &spool), ("zmq_linger", "20000")]),
            // Nobody connects here, so opening takes the whole wait for a greeting; seldom, to save time.
            _ if index % 60 == 2 => (&bound, &[("zmq_linger", "0")]),
            _ => (&subscriber.endpoint, &[("wait_for_subscriber", "20"), ("socket_type", "publish")]),
        };
        let mut writer = Writer::open(zeek_80(), "conn", endpoint, options, &["n"]);
        writer.write(&[Cell::Count(index as u64)]);
        writer.close();
        subscriber.arrived();
    };
    (0..120).for_each(round);
    let before = settled();
    let cycles = cycles();
    (0..cycles).for_each(round);
    let after = settled();
    println!("{cycles} cycles: (descriptors, threads, KiB) {before:?} before, {after:?} after");
    assert_eq!((after.0, after.1), (before.0, before.1));
    assert!(after.2 < before.2 + 4096, "{before:?} {after:?}");
    drop(subscriber);
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn a_log_costs_no_descriptor_and_no_connection() {
    let _alone = ALONE.lock().unwrap();
    let subscriber = Subscriber::bind(&[b""]);
    let bound = format!("@{}", common::free_endpoint());
    for endpoint in [&subscriber.endpoint, &bound] {
        let open = |index: usize| Writer::open(zeek_80(), &format!("log-{index}"), endpoint, &[], &["n"]);
        let mut writers = vec![open(0)];
        let (one, threads, _) = settled();
        writers.extend((1..200).map(open));
        let (all, all_threads, _) = settled();
        assert_eq!((all, all_threads), (one, threads), "{endpoint}");
        if *endpoint == subscriber.endpoint {
            for (index, writer) in writers.iter_mut().enumerate() {
                writer.write(&[Cell::Count(index as u64)]);
            }
            let mut logs: Vec<_> = subscriber.take(200).into_iter().map(|frames| frames[0].clone()).collect();
            logs.sort();
            logs.dedup();
            assert_eq!(logs.len(), 200);
        }
    }
}
