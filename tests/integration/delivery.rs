//! Nothing is lost without being counted: waiting for subscribers, the spool, bound endpoints,
//! sockets that share the load, and the statistics. After every step the counters must add up.

use core::sync::atomic::{AtomicU32, Ordering};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::abi::Stats;
use bro_zeromq_writer::zmq::{Context, Message, Socket, SocketType};
use fake_host::{Cell, Type, log_stats};

use crate::common::{Frames, PATIENCE, Subscriber, Writer, free_endpoint, zeek_80};

/// A directory of this test's own that goes away with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bzw-delivery-{name}-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn spool(&self) -> String {
        self.0.join("spool").to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(writer: &mut Writer, numbers: std::ops::Range<u64>) {
    for n in numbers {
        writer.write(&[Cell::Count(n)]);
    }
}

fn number_of(frames: &Frames) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(&frames[1]).unwrap();
    json["n"].as_u64().unwrap()
}

fn numbers(messages: &[Frames]) -> Vec<u64> {
    messages.iter().map(number_of).collect()
}

fn all(numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers.collect()
}

/// Calls the writer as a host does until `so` returns true for its statistics; returns those.
fn until(writer: &mut Writer, what: &str, mut so: impl FnMut(&Stats) -> bool) -> Stats {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = writer.stats();
        if so(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "{what}: {stats:?} {:?}", writer.take_reports());
        std::thread::sleep(Duration::from_millis(10));
        writer.heartbeat();
    }
}

#[test]
fn records_are_held_for_the_first_subscriber() {
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[("wait_for_subscriber", "30 sec")], &["n"]);
    write(&mut writer, 0..100);
    assert_eq!(writer.stats().records_queued, 100);
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    until(&mut writer, "subscribed", |stats| stats.records_sent == 100);
    write(&mut writer, 100..200);
    assert_eq!(numbers(&subscriber.take(200)), all(0..200));
    assert_eq!(writer.settled(0).records_sent, 200);
}

/// Writes far more records at once than the high-water mark allows, to a subscriber that keeps up.
fn burst(endpoint: &str, subscriber: &Subscriber) {
    let mut writer = Writer::open(zeek_80(), "conn", endpoint, &[("zmq_hwm", "10")], &["n"]);
    writer.await_subscription();
    write(&mut writer, 0..20_000);
    assert_eq!(numbers(&subscriber.take(20_000)), all(0..20_000));
    let stats = writer.settled(0);
    assert_eq!((stats.records_sent, stats.dropped_queue_full), (20_000, 0));
}

#[test]
fn a_burst_is_no_slow_subscriber() {
    let subscriber = Subscriber::bind(&[b""]);
    burst(&subscriber.endpoint, &subscriber);
}

#[test]
fn a_burst_at_a_bound_endpoint_is_no_slow_subscriber() {
    let endpoint = free_endpoint();
    // The subscriber tries to connect until the writer has bound the endpoint.
    let subscriber = Subscriber::start(SocketType::Sub, &endpoint, &[b""]);
    burst(&format!("@{endpoint}"), &subscriber);
}

#[test]
fn a_log_waits_for_what_others_have_in_front_of_it() {
    let context = Arc::new(Context::new().unwrap());
    let slow = Socket::new(&context, SocketType::Sub).unwrap();
    slow.set(zmq_sys::ZMQ_RCVHWM, 1).unwrap();
    slow.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"").unwrap();
    let endpoint = free_endpoint();
    slow.bind(&std::ffi::CString::new(endpoint.as_str()).unwrap()).unwrap();
    let open = |path, limit| {
        let options = [("zmq_hwm", limit)];
        let mut writer = Writer::open(zeek_80(), path, &endpoint, &options, &["text"]);
        until(&mut writer, "subscribed", |stats| {
            slow.get(zmq_sys::ZMQ_EVENTS).unwrap();
            stats.subscribed == 1
        });
        writer
    };
    let (mut busy, mut quiet) = (open("busy", "300"), open("quiet", "10"));
    // Nobody reads yet, so all of these records are in front of those that `quiet` writes.
    let large = [Cell::Text(Type::String, vec![b'x'; 100_000])];
    for _ in 0..300 {
        busy.write(&large);
    }
    let reader = std::thread::spawn(move || {
        let mut seen = 0;
        let deadline = Instant::now() + PATIENCE;
        while seen < 2 * 330 && Instant::now() < deadline {
            match slow.try_recv().unwrap() {
                Some(message) => {
                    seen += 1;
                    // In total this takes several times as long as a queue may stand still.
                    if message.as_bytes().len() > 1000 {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                None => std::thread::sleep(Duration::from_micros(100)),
            }
        }
        seen
    });
    for _ in 0..30 {
        quiet.write(&[Cell::Text(Type::String, b"short".to_vec())]);
    }
    assert_eq!(reader.join().unwrap(), 2 * 330);
    assert_eq!((busy.stats().dropped_queue_full, quiet.stats().dropped_queue_full), (0, 0));
}

/// Writes to a subscriber that does not read, and to others; returns how many records were written. If
/// every record that finds the queue full waited, the writing would take more than a minute.
fn write_to_one_that_stands_still(others: &[&Subscriber]) -> usize {
    // Nobody reads from this socket: libzmq takes ten messages, and the system some megabytes.
    let context = Arc::new(Context::new().unwrap());
    let still = Socket::new(&context, SocketType::Sub).unwrap();
    still.set(zmq_sys::ZMQ_RCVHWM, 10).unwrap();
    still.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"").unwrap();
    let mut endpoints = free_endpoint();
    still.bind(&std::ffi::CString::new(endpoints.as_str()).unwrap()).unwrap();
    for other in others {
        endpoints += &format!(",{}", other.endpoint);
    }
    let options = [("zmq_hwm", "100"), ("zmq_linger", "0")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoints, &options, &["text"]);
    until(&mut writer, "subscribed", |stats| {
        // A socket sends its subscription only when it is called.
        still.get(zmq_sys::ZMQ_EVENTS).unwrap();
        stats.subscribed == 1
    });
    for endpoint in 1..=others.len() {
        writer.await_subscription_of(endpoint as u32);
    }
    let record = [Cell::Text(Type::String, vec![b'x'; 100_000])];
    // Write until no record is taken any more: on a busy machine a queue can seem to stand still too early.
    let (mut written, mut refused) = (0, 0);
    while refused < 50 {
        let before = writer.stats().dropped_queue_full;
        writer.write(&record);
        written += 1;
        refused = if writer.stats().dropped_queue_full > before { refused + 1 } else { 0 };
        assert!(written < 5_000, "the subscriber is not to read");
    }
    let start = Instant::now();
    for _ in 0..300 {
        writer.write(&record);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let stats = writer.stats();
    // The system may have taken a few more records.
    assert!(stats.dropped_queue_full >= 280, "{stats:?}");
    for endpoint in 1..=others.len() {
        assert_eq!(writer.settled(endpoint as u32).dropped_queue_full, 0);
    }
    written + 300
}

#[test]
fn a_subscriber_that_stands_still_is_waited_for_once() {
    write_to_one_that_stands_still(&[]);
}

#[test]
fn a_subscriber_that_stands_still_costs_others_nothing() {
    let other = Subscriber::bind(&[b""]);
    let written = write_to_one_that_stands_still(&[&other]);
    assert_eq!(other.take(written).len(), written);
}

#[test]
fn records_that_nobody_comes_for_are_counted_when_the_wait_is_over() {
    let options = [("wait_for_subscriber", "0.3"), ("zmq_hwm", "50"), ("zmq_linger", "0")];
    let mut writer = Writer::open(zeek_80(), "conn", &free_endpoint(), &options, &["n"]);
    write(&mut writer, 0..80);
    let stats = writer.stats();
    assert_eq!((stats.records_queued, stats.dropped_queue_full), (50, 30));
    let stats = until(&mut writer, "the end of the wait", |stats| stats.records_queued == 0);
    assert_eq!((stats.dropped_no_subscriber, stats.dropped_queue_full), (50, 30));
    write(&mut writer, 0..1);
    assert_eq!(writer.stats().dropped_no_subscriber, 51);
}

#[test]
fn the_wait_goes_on_at_the_end_within_the_linger_time() {
    let endpoint = free_endpoint();
    let options = [("wait_for_subscriber", "60"), ("zmq_linger", "20000")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    write(&mut writer, 0..10);
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
        numbers(&subscriber.take(10))
    });
    let reports = writer.close();
    assert_eq!(late.join().unwrap(), all(0..10), "{reports:?}");
    assert!(reports.iter().any(|(_, text)| text.contains("10 sent")), "{reports:?}");
}

#[test]
fn a_relative_spool_dir_does_not_stop_the_log() {
    let subscriber = Subscriber::bind(&[b""]);
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &[("spool_dir", "spool")], &["n"]);
    let reports = writer.await_report("LogZeroMQ::spool_dir");
    let told = |(level, text): &(i32, String)| *level == 1 && text.contains("\"spool\" is not an absolute path");
    assert!(reports.iter().any(told), "{reports:?}");
    writer.await_subscription();
    write(&mut writer, 0..10);
    assert_eq!(numbers(&subscriber.take(10)), all(0..10));
}

/// An old process that is still ending holds the lock like this.
#[test]
fn a_spool_that_is_locked_is_tried_again() {
    let scratch = Scratch::new("locked");
    let (endpoint, spool) = (free_endpoint(), scratch.spool());
    std::fs::create_dir_all(&spool).unwrap();
    let lock = std::fs::File::create(format!("{spool}/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let options = [("spool_dir", spool.as_str()), ("zmq_hwm", "10")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    write(&mut writer, 0..30);
    writer.heartbeat();
    let stats = writer.stats();
    assert_eq!((stats.records_spooled, stats.dropped_spool), (10, 20), "in memory, and counted beyond that");
    let reports = writer.await_report("LogZeroMQ::spool_dir");
    let in_use = |(level, text): &&(i32, String)| *level == 1 && text.contains("LogZeroMQ::spool_dir");
    assert_eq!(reports.iter().filter(in_use).count(), 1, "{reports:?}");
    assert!(reports.iter().any(|(_, text)| text.contains("in use by another process")), "{reports:?}");
    drop(lock);
    until(&mut writer, "opened", |_| std::fs::read_dir(&spool).unwrap().count() > 1);
    write(&mut writer, 30..60);
    let stats = writer.stats();
    assert_eq!((stats.records_spooled, stats.dropped_spool), (40, 20));
    writer.await_report("the spool of conn can be used now");
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    until(&mut writer, "all sent", |stats| stats.records_sent == 40);
    assert_eq!(numbers(&subscriber.take(40)), [all(0..10), all(30..60)].concat());
}

#[test]
fn what_waits_for_a_locked_spool_is_sent_and_counted_without_it() {
    let scratch = Scratch::new("locked-for-good");
    let (endpoint, spool) = (free_endpoint(), scratch.spool());
    std::fs::create_dir_all(&spool).unwrap();
    let lock = std::fs::File::create(format!("{spool}/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let options = [("spool_dir", spool.as_str()), ("zmq_hwm", "10"), ("zmq_linger", "100")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    write(&mut writer, 0..10);
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    until(&mut writer, "all sent", |stats| stats.records_sent == 10);
    assert_eq!(numbers(&subscriber.take(10)), all(0..10));
    drop(subscriber);
    until(&mut writer, "gone", |stats| stats.subscribed == 0);
    write(&mut writer, 10..15);
    let reports = writer.close();
    let ended = |(_, text): &(i32, String)| text.contains("15 records written, 10 sent") && text.contains("5 dropped");
    assert!(reports.iter().any(ended), "{reports:?}");
}

#[test]
fn the_spools_disk_is_reported_when_it_fails() {
    let scratch = Scratch::new("failing");
    let spool = scratch.spool();
    let mut writer = Writer::open(zeek_80(), "conn", &free_endpoint(), &[("spool_dir", &spool)], &["n"]);
    std::fs::remove_dir_all(&spool).unwrap();
    std::fs::write(&spool, b"").unwrap();
    write(&mut writer, 0..10);
    writer.heartbeat();
    let stats = writer.stats();
    assert_eq!((stats.records_spooled, stats.dropped_spool), (0, 10));
    let reports = writer.await_report("the spool's disk fails");
    let told = |(level, text): &(i32, String)| *level == 1 && text.contains("the spool's disk fails");
    assert!(reports.iter().any(told), "{reports:?}");
}

/// Leaves `records` records of a log in its spool.
fn leave(path: &str, endpoint: &str, options: &[(&str, &str)], records: u64) {
    let mut writer = Writer::open(zeek_80(), path, endpoint, options, &["n"]);
    write(&mut writer, 0..records);
    assert_eq!(writer.stats().records_spooled, records);
    writer.close();
}

#[test]
fn a_spool_of_a_log_without_a_writer_is_drained() {
    let scratch = Scratch::new("orphan");
    let (endpoint, spool) = (free_endpoint(), scratch.spool());
    let options = [("spool_dir", spool.as_str()), ("topic", "%sensor/%path"), ("sensor", "s1")];
    leave("orphan-notice", &endpoint, &options, 300);
    leave("orphan-weird", &endpoint, &options, 200);
    // This spool is for another endpoint, and stays.
    leave("orphan-notice", &free_endpoint(), &options, 100);
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    let mut conn = Writer::open(zeek_80(), "orphan-conn", &endpoint, &options, &["n"]);
    let deadline = Instant::now() + PATIENCE;
    let mut got = Vec::new();
    while got.len() < 500 {
        assert!(Instant::now() < deadline, "{} arrived", got.len());
        conn.heartbeat();
        got.extend(subscriber.arrived());
        std::thread::sleep(Duration::from_millis(5));
    }
    let (notice, weird): (Vec<_>, Vec<_>) = got.into_iter().partition(|frames| frames[0] == b"s1/orphan-notice");
    assert_eq!(numbers(&notice), all(0..300));
    assert_eq!(numbers(&weird), all(0..200));
    assert!(weird.iter().all(|frames| frames[0] == b"s1/orphan-weird"));
    let directories = || {
        let names = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "lock").collect();
        names.sort();
        names
    };
    let deadline = Instant::now() + PATIENCE;
    while directories().len() > 2 {
        assert!(Instant::now() < deadline, "{:?}", directories());
        conn.heartbeat();
        std::thread::sleep(Duration::from_millis(5));
    }
    let left = directories();
    assert!(left[0].starts_with("orphan-conn@") && left[1].starts_with("orphan-notice@"), "{left:?}");
    // The process's totals include the records of a spool without a writer.
    let stats = log_stats("orphan-weird");
    assert_eq!((stats.records_recovered, stats.records_sent), (200, 200));
    let reports = conn.take_reports();
    let told =
        |(_, text): &(i32, String)| text.contains("200 records of the log \"orphan-weird\", which had no writer");
    assert!(reports.iter().any(told), "{reports:?}");
}

#[test]
fn a_log_gets_its_spool_from_whoever_looks_after_it() {
    let scratch = Scratch::new("handed-over");
    let (endpoint, spool) = (free_endpoint(), scratch.spool());
    let options = [("spool_dir", spool.as_str())];
    leave("lent-notice", &endpoint, &options, 300);
    // No subscriber wants lent-notice, so its spool stays with the writer of lent-conn.
    let conn_only = Subscriber::bind_to(&endpoint, &[b"lent-conn"]);
    let mut conn = Writer::open(zeek_80(), "lent-conn", &endpoint, &options, &["n"]);
    conn.await_report("300 records of an earlier run are in the spool, of lent-notice");
    drop(conn_only);
    let mut notice = Writer::open(zeek_80(), "lent-notice", &endpoint, &options, &["n"]);
    let stats = notice.stats();
    assert_eq!((stats.records_recovered, stats.records_spooled), (300, 300));
    write(&mut notice, 300..310);
    for _ in 0..3 {
        conn.heartbeat();
    }
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    until(&mut notice, "all sent", |stats| stats.records_sent == 310);
    conn.heartbeat();
    assert_eq!(numbers(&subscriber.take(310)), all(0..310));
    assert!(subscriber.is_quiet());
    conn.close();
    notice.close();
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 1, "only the lock is left");
}

#[test]
fn a_log_that_the_subscriber_does_not_want_is_not_waited_for() {
    let subscriber = Subscriber::bind(&[b"dns"]);
    let options = [("wait_for_subscriber", "60"), ("zmq_linger", "20000")];
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &options, &["n"]);
    write(&mut writer, 0..10);
    let start = Instant::now();
    let reports = writer.close();
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(reports.iter().any(|(_, text)| text.contains("no subscriber: 10)")), "{reports:?}");
}

#[test]
fn a_log_that_the_subscriber_does_not_want_is_not_kept_and_that_is_told_once() {
    let scratch = Scratch::new("unwanted");
    let (subscriber, spool) = (Subscriber::bind(&[b"dns"]), scratch.spool());
    let options = [("spool_dir", spool.as_str())];
    let open = |path| Writer::open(zeek_80(), path, &subscriber.endpoint, &options, &["n"]);
    let (mut dns, mut logs) = (open("dns"), [open("conn"), open("http")]);
    dns.await_subscription();
    let mut reports = Vec::new();
    let start = Instant::now();
    // Records of the first second wait, as the subscriber may be about to tell more topics.
    while start.elapsed() < Duration::from_secs(4) {
        for log in &mut logs {
            write(log, 0..1);
            log.heartbeat();
            reports.extend(log.take_reports());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    write(&mut dns, 0..1);
    assert_eq!(subscriber.take(1)[0][0], b"dns");
    for log in &logs {
        let stats = log.stats();
        assert!(stats.records_sent == 0 && stats.dropped_no_subscriber > 0, "{stats:?}");
    }
    let told = |(level, text): &&(i32, String)| {
        *level == 0
            && text.contains("the subscriber wants other logs than conn, http: their records are neither sent nor kept")
    };
    assert_eq!(reports.iter().filter(told).count(), 1, "{reports:?}");
    assert!(!reports.iter().any(|(_, text)| text.contains("dropping")), "{reports:?}");
    assert!(subscriber.is_quiet());
}

#[test]
fn what_is_not_sent_when_the_linger_time_ends_is_counted() {
    let subscriber = Subscriber::bind(&[b""]);
    let mut writer = subscriber.writer("conn", &[("zmq_linger", "300"), ("zmq_hwm", "0")], &["n"]);
    write(&mut writer, 0..1);
    assert_eq!(subscriber.take(1).len(), 1);
    writer.settled(0);
    drop(subscriber);
    std::thread::sleep(Duration::from_millis(200));
    write(&mut writer, 1..1001);
    let start = Instant::now();
    let reports = writer.close();
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(
        reports.iter().any(|(level, text)| *level == 1
            && text.contains("1000 records of conn were not sent within the time of LogZeroMQ::zmq_linger")),
        "{reports:?}"
    );
    assert!(reports.iter().any(|(_, text)| text.contains("1001 records written, 1 sent")), "{reports:?}");
}

#[test]
fn the_end_is_told_or_safe_before_it_can_be_asked_for_again() {
    let scratch = Scratch::new("second-signal");
    let spool = scratch.spool();
    for (options, size, text) in [
        (&[("zmq_linger", "2500")][..], 3_000_000, "100 records of conn have not been sent yet; the end waits"),
        (&[("zmq_linger", "60000"), ("spool_dir", &spool)], 200_000, "in the spool now: "),
    ] {
        // Nobody reads from this socket, and the system cannot take all of the records below.
        let context = Arc::new(Context::new().unwrap());
        let still = Socket::new(&context, SocketType::Sub).unwrap();
        still.set(zmq_sys::ZMQ_RCVHWM, 1).unwrap();
        still.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"").unwrap();
        let endpoint = free_endpoint();
        still.bind(&std::ffi::CString::new(endpoint.as_str()).unwrap()).unwrap();
        let mut writer = Writer::open(zeek_80(), "conn", &endpoint, options, &["text"]);
        until(&mut writer, "subscribed", |stats| {
            still.get(zmq_sys::ZMQ_EVENTS).unwrap();
            stats.subscribed == 1
        });
        let large = [Cell::Text(Type::String, vec![b'x'; size])];
        writer.write(&[Cell::Text(Type::String, Vec::new())]);
        until(&mut writer, "the first is sent", |stats| stats.records_queued == 0);
        writer.repeat(&large, 100);
        let start = Instant::now();
        let reports = writer.close();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?} {reports:?}", start.elapsed());
        assert!(reports.iter().any(|(_, report)| report.contains(text)), "{reports:?}");
        assert!(!reports.iter().any(|(_, report)| report.contains("and are lost") && size == 200_000), "{reports:?}");
    }
}

#[test]
fn the_spool_keeps_what_nobody_is_there_for() {
    let scratch = Scratch::new("late");
    let (endpoint, spool) = (free_endpoint(), scratch.spool());
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[("spool_dir", &spool)], &["n"]);
    write(&mut writer, 0..5000);
    assert_eq!(writer.stats().records_spooled, 5000);
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    writer.await_subscription();
    // New records come behind the old ones.
    write(&mut writer, 5000..6000);
    until(&mut writer, "all sent", |stats| stats.records_sent == 6000);
    assert_eq!(numbers(&subscriber.take(6000)), all(0..6000));
    // While the spool is empty, records are sent without going through it.
    write(&mut writer, 6000..6100);
    assert_eq!(writer.stats().records_spooled, 0);
    assert_eq!(numbers(&subscriber.take(100)), all(6000..6100));
    until(&mut writer, "all acknowledged", |stats| stats.records_queued == 0);
    writer.close();
    assert!(std::fs::read_dir(&spool).unwrap().all(|entry| entry.unwrap().file_type().unwrap().is_file()));
}

#[test]
fn the_next_run_sends_what_is_left() {
    let scratch = Scratch::new("left");
    let (endpoint, spool) = (free_endpoint(), scratch.spool());
    let options = [("spool_dir", spool.as_str()), ("zmq_linger", "3000")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    write(&mut writer, 0..300);
    let start = Instant::now();
    let reports = writer.close();
    // The records are safe in the spool: there is nothing to wait for.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(reports.iter().any(|(_, text)| text.contains("in the spool now: 300")), "{reports:?}");

    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    let stats = writer.stats();
    assert_eq!(stats.records_recovered, 300);
    writer.await_report("300 records of an earlier run are in the spool, of conn");
    write(&mut writer, 300..310);
    let stats = until(&mut writer, "all sent", |stats| stats.records_sent == 310);
    assert_eq!((stats.records_written, stats.records_spooled), (10, 0));
    assert_eq!(numbers(&subscriber.take(310)), all(0..310));
}

#[test]
fn with_a_spool_a_subscriber_that_goes_and_comes_back_misses_nothing_that_was_not_its_own() {
    let scratch = Scratch::new("back");
    let spool = scratch.spool();
    let subscriber = Subscriber::bind(&[b""]);
    let endpoint = subscriber.endpoint.clone();
    let options = [("spool_dir", spool.as_str()), ("zmq_hwm", "100")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    writer.await_subscription();
    write(&mut writer, 0..1000);
    until(&mut writer, "all sent", |stats| stats.records_sent == 1000);
    let mut got = numbers(&subscriber.take(1000));
    drop(subscriber);
    write(&mut writer, 1000..3000);
    writer.heartbeat();
    let stats = writer.stats();
    assert_eq!(stats.records_queued + stats.records_spooled + stats.records_sent, 3000, "{stats:?}");
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    write(&mut writer, 3000..3500);
    let stats = until(&mut writer, "all sent", |stats| stats.records_queued + stats.records_spooled == 0);
    assert_eq!(stats.records_sent, 3500);
    let deadline = Instant::now() + PATIENCE;
    while got.last() != Some(&3499) {
        assert!(Instant::now() < deadline, "{} arrived, the last is {:?}", got.len(), got.last());
        got.extend(numbers(&subscriber.arrived()));
        std::thread::sleep(Duration::from_millis(5));
    }
    // Records that may not have arrived come again. All come in order, and none is missing.
    let mut next = 0;
    for n in got {
        assert!(n <= next, "{next} is missing");
        next = next.max(n + 1);
    }
    assert_eq!(next, 3500);
    let reports = writer.close();
    assert!(reports.iter().any(|(_, text)| text.contains("the connection was lost")), "{reports:?}");
}

#[test]
fn every_record_through_the_spool() {
    let scratch = Scratch::new("always");
    let spool = scratch.spool();
    let subscriber = Subscriber::bind(&[b""]);
    let options = [("spool_dir", spool.as_str()), ("spool_always", "T")];
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &options, &["n"]);
    writer.await_subscription();
    write(&mut writer, 0..2000);
    until(&mut writer, "all sent", |stats| stats.records_sent == 2000);
    assert_eq!(numbers(&subscriber.take(2000)), all(0..2000));
    writer.close();
    assert!(subscriber.is_quiet());
}

#[test]
fn a_spool_that_cannot_be_used_does_not_stop_the_log() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [("spool_dir", "/proc/no-such-directory/spool")];
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &options, &["n"]);
    let reports = writer.await_report("LogZeroMQ::spool_dir");
    assert!(reports.iter().any(|(level, text)| *level == 1 && text.contains("LogZeroMQ::spool_dir")), "{reports:?}");
    writer.await_subscription();
    write(&mut writer, 0..10);
    assert_eq!(numbers(&subscriber.take(10)), all(0..10));
}

#[test]
fn a_log_that_the_subscriber_does_not_want_does_not_fill_the_spool() {
    let scratch = Scratch::new("unwanted");
    let spool = scratch.spool();
    let subscriber = Subscriber::bind(&[b"dns"]);
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &[("spool_dir", &spool)], &["n"]);
    let deadline = Instant::now() + PATIENCE;
    while writer.stats().dropped_no_subscriber == 0 {
        assert!(Instant::now() < deadline, "{:?}", writer.stats());
        std::thread::sleep(Duration::from_millis(50));
        writer.heartbeat();
        write(&mut writer, 0..1);
    }
    let spooled = writer.stats().records_spooled;
    write(&mut writer, 0..100);
    assert_eq!(writer.stats().records_spooled, spooled);
}

#[test]
fn a_bound_endpoint_serves_all_writers_and_all_subscribers() {
    let endpoint = free_endpoint();
    let bound = format!("@{endpoint}");
    let threads: Vec<_> = ["conn", "dns", "http"]
        .map(|path| {
            let bound = bound.clone();
            std::thread::spawn(move || {
                let options = [("wait_for_subscriber", "20"), ("zmq_linger", "20000"), ("zmq_hwm", "2000")];
                let mut writer = Writer::open(zeek_80(), path, &bound, &options, &["n"]);
                writer.await_subscription();
                write(&mut writer, 0..1000);
                let stats = writer.settled(0);
                assert_eq!(stats.records_sent, 1000);
                writer.close()
            })
        })
        .into();
    let everything = Subscriber::start(SocketType::Sub, &endpoint, &[b""]);
    let mut all_of = std::collections::BTreeMap::<Vec<u8>, Vec<Frames>>::new();
    for frames in everything.take(3000) {
        all_of.entry(frames[0].clone()).or_default().push(frames);
    }
    for path in ["conn", "dns", "http"] {
        assert_eq!(numbers(&all_of[path.as_bytes()]), all(0..1000), "{path}");
    }
    for thread in threads {
        let reports = thread.join().unwrap();
        assert!(reports.iter().any(|(_, text)| text.contains("1000 sent")), "{reports:?}");
    }
}

#[test]
fn subscribers_of_a_bound_endpoint_come_and_go() {
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &[], &["n"]);
    write(&mut writer, 0..10);
    assert_eq!(writer.stats().dropped_no_subscriber, 10);
    for _ in 0..3 {
        let subscriber = Subscriber::start(SocketType::Sub, &endpoint, &[b"conn"]);
        writer.await_subscription();
        write(&mut writer, 0..100);
        assert_eq!(numbers(&subscriber.take(100)), all(0..100));
        drop(subscriber);
        until(&mut writer, "unsubscribed", |stats| stats.subscribed == 0);
    }
}

#[test]
fn a_bound_endpoint_that_is_in_use_is_bound_when_it_is_free() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    in_use(&endpoint, listener);
    let path = std::env::temp_dir().join(format!("bzw-in-use-{}", std::process::id()));
    let endpoint = format!("ipc://{}", path.display());
    // The socket's file stays, like that of a program that has crashed.
    in_use(&endpoint, std::os::unix::net::UnixListener::bind(&path).unwrap());
    let _ = std::fs::remove_file(path);
}

/// Binds an endpoint at which `listener` listens.
fn in_use<L>(endpoint: &str, listener: L) {
    let options = [("wait_for_subscriber", "30")];
    let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &options, &["n"]);
    write(&mut writer, 0..10);
    writer.heartbeat();
    let reports = writer.take_reports();
    assert!(
        reports.iter().any(|(level, text)| *level == 1
            && text.contains("cannot bind")
            && text.contains("in use")
            && text.contains(endpoint)),
        "{reports:?}"
    );
    drop(listener);
    let subscriber = Subscriber::start(SocketType::Sub, endpoint, &[b""]);
    until(&mut writer, "sent", |stats| stats.records_sent == 10);
    assert_eq!(numbers(&subscriber.take(10)), all(0..10));
}

#[test]
fn push_shares_the_records_out() {
    let [one, two] = [
        Subscriber::start(SocketType::Pull, "@tcp://127.0.0.1:*", &[]),
        Subscriber::start(SocketType::Pull, "@tcp://127.0.0.1:*", &[]),
    ];
    let endpoints = format!("{},{}", one.endpoint, two.endpoint);
    let options = [("socket_type", "push"), ("zmq_linger", "20000")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoints, &options, &["n"]);
    let (mut first, mut second, mut written) = (Vec::new(), Vec::new(), 0);
    let deadline = Instant::now() + PATIENCE;
    // One peer may be connected much earlier, and gets all records until the other one is.
    while first.len() < 100 || second.len() < 100 || first.len() + second.len() < written {
        assert!(Instant::now() < deadline, "{} and {} of {written} arrived", first.len(), second.len());
        if first.len() < 100 || second.len() < 100 {
            write(&mut writer, written as u64..written as u64 + 10);
            written += 10;
        }
        std::thread::sleep(Duration::from_millis(5));
        writer.heartbeat();
        first.extend(numbers(&one.arrived()));
        second.extend(numbers(&two.arrived()));
    }
    first.append(&mut second);
    first.sort_unstable();
    assert_eq!(first, all(0..written as u64));
    let reports = writer.close();
    assert!(reports.iter().any(|(_, text)| text.contains(&format!("{written} sent"))), "{reports:?}");
}

/// Records from the spool go to the peers in turn, one at a time.
#[test]
fn push_from_a_spool_shares_the_records_out() {
    let scratch = Scratch::new("turns");
    let spool = scratch.spool();
    let [one, two] = [
        Subscriber::start(SocketType::Pull, "@tcp://127.0.0.1:*", &[]),
        Subscriber::start(SocketType::Pull, "@tcp://127.0.0.1:*", &[]),
    ];
    let endpoints = format!("{},{}", one.endpoint, two.endpoint);
    let options = [("socket_type", "push"), ("spool_dir", spool.as_str()), ("spool_always", "T")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoints, &options, &["n"]);
    write(&mut writer, 0..1);
    until(&mut writer, "sent", |stats| stats.records_sent == 1);
    // Gives the second peer time to connect.
    std::thread::sleep(Duration::from_millis(500));
    write(&mut writer, 1..501);
    until(&mut writer, "all sent", |stats| stats.records_sent == 501);
    let mut got = numbers(&one.take(200));
    got.extend(numbers(&two.take(200)));
    let deadline = Instant::now() + PATIENCE;
    while got.len() < 501 {
        assert!(Instant::now() < deadline, "{} arrived", got.len());
        got.extend(numbers(&one.arrived()));
        got.extend(numbers(&two.arrived()));
        std::thread::sleep(Duration::from_millis(5));
    }
    got.sort_unstable();
    assert_eq!(got, all(0..501));
    writer.close();
}

/// Records that this side's system has, and the subscriber's does not, are sent to the next subscriber.
#[test]
fn a_bound_endpoints_spool_keeps_what_the_only_subscriber_has_not_acknowledged() {
    for socket_type in ["publish", "push"] {
        let scratch = Scratch::new(&format!("bound-{socket_type}"));
        let spool = scratch.spool();
        let endpoint = free_endpoint();
        let options = [("spool_dir", spool.as_str()), ("socket_type", socket_type)];
        let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &options, &["n", "text"]);
        let context = Arc::new(Context::new().unwrap());
        let (kind, topics): (_, &[&[u8]]) = match socket_type {
            "publish" => (SocketType::Sub, &[b"conn"]),
            _ => (SocketType::Pull, &[]),
        };
        // Nobody reads from this socket, and its system and its libzmq take little ahead.
        let still = Socket::new(&context, kind).unwrap();
        still.set(zmq_sys::ZMQ_RCVBUF, 8192).unwrap();
        still.set(zmq_sys::ZMQ_RCVHWM, 1).unwrap();
        if kind == SocketType::Sub {
            still.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"conn").unwrap();
        }
        still.connect(&std::ffi::CString::new(endpoint.as_str()).unwrap()).unwrap();
        let count = 5000;
        let records = |writer: &mut Writer, numbers: std::ops::Range<u64>| {
            for n in numbers {
                writer.write(&[Cell::Count(n), Cell::Text(Type::String, vec![b'x'; 300])]);
            }
        };
        records(&mut writer, 0..1);
        until(&mut writer, "sent", |stats| stats.records_sent == 1);
        records(&mut writer, 1..count);
        let stats = until(&mut writer, "nothing moves", {
            let (mut last, mut since) = (0, Instant::now());
            move |stats| {
                if stats.records_sent != last {
                    (last, since) = (stats.records_sent, Instant::now());
                }
                since.elapsed() > Duration::from_millis(500)
            }
        });
        drop(still);
        // The connection ends with the context at the latest. Until then libzmq may read from it.
        drop(context);
        let there = Subscriber::start(kind, &endpoint, topics);
        until(&mut writer, "all sent", |stats| stats.records_queued + stats.records_spooled == 0);
        let mut got = std::collections::BTreeSet::new();
        let deadline = Instant::now() + PATIENCE;
        while !got.contains(&(count - 1)) {
            if Instant::now() > deadline {
                let now = writer.stats();
                panic!("{socket_type}: {} arrived; {stats:?}; {now:?}; {:?}", got.len(), writer.close());
            }
            got.extend(numbers(&there.arrived()));
            std::thread::sleep(Duration::from_millis(5));
        }
        let missing = count as usize - got.len();
        // Records that the first subscriber's system had acknowledged count as sent.
        assert!(missing as u64 <= stats.records_sent, "{socket_type}: {missing} are missing; {stats:?}");
        assert!(missing < 500, "{socket_type}: {missing} are missing; {stats:?}");
        writer.close();
    }
}

#[test]
fn push_to_nobody_is_queued_then_counted() {
    let options = [("socket_type", "push"), ("zmq_hwm", "10"), ("zmq_linger", "100")];
    let mut writer = Writer::open(zeek_80(), "conn", &free_endpoint(), &options, &["n"]);
    write(&mut writer, 0..30);
    let stats = writer.stats();
    assert_eq!((stats.records_queued, stats.dropped_queue_full), (10, 20));
    let reports = writer.close();
    assert!(reports.iter().any(|(_, text)| text.contains("10 records of conn were not sent")), "{reports:?}");
}

#[test]
fn push_from_a_bound_endpoint() {
    let endpoint = free_endpoint();
    let options = [("socket_type", "push"), ("zmq_linger", "20000")];
    let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &options, &["n"]);
    write(&mut writer, 0..100);
    assert_eq!(writer.stats().records_queued, 100);
    let peer = Subscriber::start(SocketType::Pull, &endpoint, &[]);
    until(&mut writer, "all sent", |stats| stats.records_sent == 100);
    assert_eq!(numbers(&peer.take(100)), all(0..100));
}

/// A writer that pushes from a bound endpoint, and a peer that has got the first record.
fn pushed_to_one(options: &[(&str, &str)]) -> (Writer, Subscriber) {
    let endpoint = free_endpoint();
    let options = [&[("socket_type", "push")], options].concat();
    let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &options, &["n", "text"]);
    let peer = Subscriber::start(SocketType::Pull, &endpoint, &[]);
    writer.write(&[Cell::Count(0), Cell::Text(Type::String, Vec::new())]);
    until(&mut writer, "the peer is there", |stats| stats.records_sent == 1);
    (writer, peer)
}

#[test]
fn a_peer_of_a_bound_push_endpoint_that_stands_still_gets_its_part_only() {
    let (mut writer, healthy) = pushed_to_one(&[("zmq_hwm", "50"), ("zmq_linger", "0")]);
    let context = Arc::new(Context::new().unwrap());
    let still = Socket::new(&context, SocketType::Pull).unwrap();
    still.set(zmq_sys::ZMQ_RCVHWM, 10).unwrap();
    still.connect(&std::ffi::CString::new(healthy.endpoint.as_str()).unwrap()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let mut arrived = 0;
    let mut n = 1;
    // Write well beyond the point at which the system takes nothing more for `still`.
    while arrived < 10_000 {
        assert!(n < 60_000, "{arrived} {:?}", writer.stats());
        writer.write(&[Cell::Count(n), Cell::Text(Type::String, vec![b'x'; 3000])]);
        n += 1;
        if n % 100 == 0 {
            writer.heartbeat();
            arrived += healthy.arrived().len();
        }
    }
    let stats = writer.stats();
    assert_eq!((stats.dropped_queue_full, stats.dropped_no_subscriber), (0, 0), "{stats:?}");
}

#[test]
fn one_of_several_peers_that_stands_still_keeps_nothing() {
    let dir = std::env::temp_dir().join(format!("bzw-stuck-{}", std::process::id()));
    let context = Arc::new(Context::new().unwrap());
    // Nobody reads from this socket: libzmq takes ten messages, and the system some megabytes.
    let still = Socket::new(&context, SocketType::Pull).unwrap();
    still.set(zmq_sys::ZMQ_RCVHWM, 10).unwrap();
    let still_at = free_endpoint();
    still.bind(&std::ffi::CString::new(still_at.as_str()).unwrap()).unwrap();
    let healthy = Subscriber::start(SocketType::Pull, &format!("@{}", free_endpoint()), &[]);
    let endpoints = format!("{still_at},{}", healthy.endpoint);
    for always in ["F", "T"] {
        let options = [
            ("socket_type", "push"),
            ("spool_dir", dir.to_str().unwrap()),
            ("spool_always", always),
            ("zmq_hwm", "100"),
            ("zmq_linger", "20000"),
        ];
        let mut writer = Writer::open(zeek_80(), "conn", &endpoints, &options, &["n", "text"]);
        let count = 30_000;
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..count {
            writer.write(&[Cell::Count(n), Cell::Text(Type::String, vec![b'x'; 3000])]);
            if n % 1000 == 999 {
                writer.heartbeat();
                seen.extend(healthy.arrived().iter().map(number_of));
            }
        }
        // Records that the system of `still` has not acknowledged come to `healthy`, too.
        until(&mut writer, "all arrived somewhere", |stats| stats.records_queued + stats.records_spooled == 0);
        let stats = writer.stats();
        assert_eq!((stats.records_sent, stats.dropped_spool), (count, 0));
        let deadline = Instant::now() + PATIENCE;
        while (seen.len() as u64) < count {
            assert!(Instant::now() < deadline, "{} {stats:?} {:?}", seen.len(), writer.take_reports());
            seen.extend(healthy.arrived().iter().map(number_of));
            while let Some(topic) = still.try_recv().unwrap() {
                assert!(topic.more());
                let body = still.try_recv().unwrap().unwrap();
                seen.insert(number_of(&vec![Vec::new(), body.as_bytes().to_vec()]));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
}

/// A writer that pushes from a bound endpoint, and two peers, one of which reads nothing.
struct Pool {
    writer: Writer,
    healthy: Subscriber,
    still: Option<(Socket, Arc<Context>)>,
    /// The numbers of the records that have arrived at `healthy`.
    seen: std::collections::BTreeSet<u64>,
}

impl Pool {
    fn open(options: &[(&str, &str)]) -> Self {
        let (writer, healthy) = pushed_to_one(&[&[("zmq_hwm", "100"), ("zmq_linger", "20000")], options].concat());
        // The libzmq of `still` takes one message, and its system little.
        let context = Arc::new(Context::new().unwrap());
        let still = Socket::new(&context, SocketType::Pull).unwrap();
        still.set(zmq_sys::ZMQ_RCVBUF, 8192).unwrap();
        still.set(zmq_sys::ZMQ_RCVHWM, 1).unwrap();
        still.connect(&std::ffi::CString::new(healthy.endpoint.as_str()).unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        Self { writer, healthy, still: Some((still, context)), seen: std::collections::BTreeSet::new() }
    }

    /// Writes records until there are `count`, with the one that [`pushed_to_one`] has written.
    fn write(&mut self, count: u64) {
        for n in 1..count {
            self.writer.write(&[Cell::Count(n), Cell::Text(Type::String, vec![b'x'; 300])]);
            if n % 100 == 99 {
                self.look();
            }
        }
    }

    fn look(&mut self) {
        self.writer.heartbeat();
        self.seen.extend(self.healthy.arrived().iter().map(number_of));
    }

    /// Waits until all but `tolerated` of `count` records are at `healthy`, `limit` at most; returns how many are not.
    fn missing(&mut self, count: u64, tolerated: u64, limit: Duration) -> u64 {
        let deadline = Instant::now() + limit;
        while (self.seen.len() as u64) < count - tolerated && Instant::now() < deadline {
            self.look();
            std::thread::sleep(Duration::from_millis(20));
        }
        count - self.seen.len() as u64
    }
}

#[test]
fn what_one_of_several_peers_of_a_bound_endpoint_has_not_taken_goes_to_the_others() {
    for always in ["F", "T"] {
        let scratch = Scratch::new(&format!("parted-{always}"));
        let mut pool = Pool::open(&[("spool_dir", &scratch.spool()), ("spool_always", always)]);
        let count = 20_000;
        pool.write(count);
        // The peer that does not read leaves, with the records that its system had taken.
        pool.still = None;
        until(&mut pool.writer, "all arrived somewhere", |stats| stats.records_queued + stats.records_spooled == 0);
        let stats = pool.writer.stats();
        assert_eq!((stats.records_sent, stats.dropped_spool), (count, 0), "{always}");
        // Records that the system of `still` had acknowledged count as sent.
        let missing = pool.missing(count, 0, Duration::from_secs(5));
        assert!(missing < 200, "{always}: {missing} are missing; {:?}", pool.writer.take_reports());
    }
}

#[test]
fn a_peer_of_a_bound_push_endpoint_that_stands_still_holds_up_no_spool() {
    let scratch = Scratch::new("held-up");
    let mut pool = Pool::open(&[("spool_dir", &scratch.spool())]);
    let count = 60_000;
    pool.write(count);
    // Records given to `still` come to `healthy`, too, if the system of `still` has not acknowledged them.
    let missing = pool.missing(count, 200, PATIENCE);
    assert!(missing <= 200, "{missing} are missing; {:?} {:?}", pool.writer.stats(), pool.writer.take_reports());
}

#[test]
fn without_a_spool_what_one_of_several_peers_has_not_taken_is_counted() {
    let mut pool = Pool::open(&[]);
    let count = 40_000;
    pool.write(count);
    pool.still = None;
    until(&mut pool.writer, "it has left", |stats| stats.dropped_closed > 100);
    until(&mut pool.writer, "all sent", |stats| stats.records_queued == 0);
    let missing = pool.missing(count, 0, Duration::from_millis(500));
    let stats = pool.writer.stats();
    let counted = stats.dropped_closed + stats.dropped_queue_full;
    // Records that the system of `still` had acknowledged count as sent; of the last one it may have a part.
    assert!(missing <= counted + 200 && counted <= missing + 10, "{missing} missing, {counted} counted; {stats:?}");
}

#[test]
fn statistics_are_published_like_a_log() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [("stats_interval", "10 msec"), ("stats_topic", "sensor-stats")];
    let mut writer = subscriber.writer("stats-test", &options, &["n"]);
    writer.await_subscription();
    write(&mut writer, 0..7);
    subscriber.take(7);
    writer.settled(0);
    std::thread::sleep(Duration::from_millis(20));
    writer.heartbeat();
    let frames = &subscriber.take(1)[0];
    assert_eq!(frames[0], b"sensor-stats");
    let json: serde_json::Value = serde_json::from_slice(&frames[1]).unwrap();
    assert_eq!((&json["path"], &json["written"], &json["sent"]), (&"stats-test".into(), &7.into(), &7.into()));
    assert_eq!(json["endpoint"], subscriber.endpoint.as_str());
    // Statistics do not count as records of the log.
    assert_eq!(writer.stats().records_written, 7);
}

#[test]
fn the_processs_totals_outlive_the_writers() {
    let totals = || log_stats("totals-test");
    for round in 1..=2 {
        let mut writer = Writer::open(zeek_80(), "totals-test", &free_endpoint(), &[("zmq_linger", "0")], &["n"]);
        write(&mut writer, 0..5);
        writer.heartbeat();
        assert_eq!(totals().records_written, 5 * round);
        write(&mut writer, 0..0);
        writer.close();
    }
    assert_eq!((totals().records_written, totals().dropped_no_subscriber), (10, 10));
}

#[test]
fn large_records_go_through_the_spool() {
    let scratch = Scratch::new("large");
    let (endpoint, spool) = (free_endpoint(), scratch.spool());
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[("spool_dir", &spool)], &["s"]);
    for size in [0, 100, 70_000, 1_000_000] {
        writer.write(&[Cell::Text(Type::String, vec![b'x'; size])]);
    }
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    until(&mut writer, "all sent", |stats| stats.records_sent == 4);
    let sizes: Vec<_> = subscriber.take(4).iter().map(|frames| frames[1].len() - r#"{"s":""}"#.len()).collect();
    assert_eq!(sizes, [0, 100, 70_000, 1_000_000]);
}

/// Starts a socket that sends these messages where the writer expects subscriptions.
fn spawn_hostile_peer(
    endpoint: &str,
    messages: impl Iterator<Item = Vec<u8>> + Send + 'static,
) -> std::thread::JoinHandle<()> {
    let endpoint = std::ffi::CString::new(endpoint).unwrap();
    std::thread::spawn(move || {
        let context = Arc::new(Context::new().unwrap());
        let socket = Socket::new(&context, SocketType::XSub).unwrap();
        socket.set(zmq_sys::ZMQ_SNDHWM, 0).unwrap();
        socket.set(zmq_sys::ZMQ_LINGER, 1000).unwrap();
        socket.connect(&endpoint).unwrap();
        for bytes in messages {
            let mut message = Message::copy_of(&bytes).unwrap();
            if socket.try_send(&mut message, false).is_err() {
                break;
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    })
}

#[test]
fn a_peer_cannot_fill_the_hosts_memory() {
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &[], &["n"]);
    let subscriber = Subscriber::start(SocketType::Sub, &endpoint, &[b""]);
    writer.await_subscription();
    let long = spawn_hostile_peer(&endpoint, std::iter::once([&b"\x01"[..], &[b'x'; 100_000]].concat()));
    write(&mut writer, 0..10);
    assert_eq!(numbers(&subscriber.take(10)), all(0..10));
    long.join().unwrap();
    // A flood of subscriptions ends its peer's connection.
    let flood = (0..150_000_u32).map(|n| format!("\x01{n:08}").into_bytes());
    let flood = spawn_hostile_peer(&endpoint, flood);
    let deadline = Instant::now() + PATIENCE;
    while !writer.reports().iter().any(|(_, text)| text.contains("more than 10,000 topics")) {
        assert!(Instant::now() < deadline, "{:?}", writer.take_reports());
        std::thread::sleep(Duration::from_millis(10));
        writer.heartbeat();
    }
    flood.join().unwrap();
    let mut arrived = Vec::new();
    while arrived.is_empty() {
        assert!(Instant::now() < deadline, "{:?}", writer.take_reports());
        write(&mut writer, 0..1);
        std::thread::sleep(Duration::from_millis(20));
        writer.heartbeat();
        arrived = subscriber.arrived();
    }
}

/// A flood of subscriptions where the writer connects, and the peer is the only one.
#[test]
fn a_subscriber_with_too_many_topics_is_left_for_a_while() {
    let context = Arc::new(Context::new().unwrap());
    let socket = Socket::new(&context, SocketType::XSub).unwrap();
    socket.set(zmq_sys::ZMQ_SNDHWM, 0).unwrap();
    socket.set(zmq_sys::ZMQ_LINGER, 0).unwrap();
    let endpoint = socket.bind(c"tcp://127.0.0.1:*").unwrap();
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[], &["n"]);
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0_u32;
    while !writer.reports().iter().any(|(_, text)| text.contains("more than 10,000 topics")) {
        assert!(Instant::now() < deadline, "{:?}", writer.take_reports());
        for _ in 0..10_000 {
            let mut message = Message::copy_of(format!("\x01{sent:08}").as_bytes()).unwrap();
            // Sending fails until the writer is connected.
            sent += u32::from(socket.try_send(&mut message, false).is_ok() && sent < 150_000);
        }
        writer.heartbeat();
    }
    write(&mut writer, 0..1);
    assert_eq!(writer.stats().dropped_no_subscriber, 1);
}

/// The numbers of the records in each message, which has one or more.
fn lines(messages: &[Frames]) -> Vec<Vec<u64>> {
    let line = |frames: &Frames| {
        let records = frames[1].split(|&byte| byte == b'\n').map(|record| vec![frames[0].clone(), record.to_vec()]);
        numbers(&records.collect::<Vec<_>>())
    };
    messages.iter().map(line).collect()
}

#[test]
fn a_batch_has_as_many_records_as_it_may() {
    let subscriber = Subscriber::bind(&[b""]);
    let mut writer = subscriber.writer("conn", &[("batch_records", "10"), ("batch_latency", "1 hr")], &["n"]);
    write(&mut writer, 0..25);
    assert_eq!(lines(&subscriber.take(2)), [all(0..10), all(10..20)]);
    writer.heartbeat();
    assert!(subscriber.is_quiet());
    let stats = writer.stats();
    assert_eq!((stats.records_written, stats.records_queued), (25, 5));
    writer.flush();
    assert_eq!(lines(&subscriber.take(1)), [all(20..25)]);
    write(&mut writer, 25..27);
    let stats = until(&mut writer, "sent", |stats| stats.records_sent == 25);
    assert_eq!(stats.records_queued, 2);
    let reports = writer.close();
    assert_eq!(lines(&subscriber.take(1)), [all(25..27)]);
    assert!(reports.iter().any(|(_, text)| text.contains("27 records written, 27 sent")), "{reports:?}");
}

#[test]
fn a_batch_waits_no_longer_than_it_may() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [("batch_records", "1000"), ("batch_latency", "50 msec")];
    let mut writer = subscriber.writer("conn", &options, &["n"]);
    write(&mut writer, 0..3);
    std::thread::sleep(Duration::from_millis(100));
    // This record finds the batch overdue, and is sent with it.
    write(&mut writer, 3..4);
    assert_eq!(lines(&subscriber.take(1)), [all(0..4)]);
    // When no record follows, the host's heartbeat ends the batch.
    write(&mut writer, 4..6);
    writer.heartbeat();
    assert_eq!(lines(&subscriber.take(1)), [all(4..6)]);
}

#[test]
fn a_batch_ends_where_memory_does() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [("batch_records", "65536"), ("batch_latency", "1 hr"), ("zmq_hwm", "0"), ("tag_json", "T")];
    let mut writer = subscriber.writer("conn", &options, &["n"]);
    // Texts of many lengths, so that a batch meets the end of its memory in each way.
    let text = |n: u64| "x".repeat(n as usize * 37 % 3001);
    for n in 0..2000 {
        writer.write(&[Cell::Text(Type::String, text(n).into_bytes())]);
    }
    writer.write(&[Cell::Text(Type::String, vec![b'y'; 1 << 20])]);
    writer.close();
    let mut n = 0;
    while n <= 2000 {
        for frames in subscriber.take(1) {
            assert!(frames[1].len() <= 65536 || n == 2000, "{}", frames[1].len());
            for record in frames[1].split(|&byte| byte == b'\n') {
                let text = if n == 2000 { "y".repeat(1 << 20) } else { text(n) };
                assert_eq!(record, format!("{{\"conn\":{{\"n\":\"{text}\"}}}}").as_bytes());
                n += 1;
            }
        }
    }
    assert!(subscriber.is_quiet());
}

#[test]
fn batches_are_counted_by_their_records() {
    let options = [("batch_records", "8"), ("zmq_hwm", "5"), ("wait_for_subscriber", "60"), ("zmq_linger", "0")];
    let mut writer = Writer::open(zeek_80(), "conn", &free_endpoint(), &options, &["n"]);
    write(&mut writer, 0..50);
    // Five batches of 8 records are held, and 2 records wait for their batch to fill.
    let stats = writer.stats();
    assert_eq!((stats.records_queued, stats.dropped_queue_full), (42, 8));
    let reports = writer.close();
    assert!(reports.iter().any(|(_, text)| text.contains("no subscriber: 40, queue full: 10")), "{reports:?}");
}

#[test]
fn a_batch_goes_to_whoever_wants_it_when_it_ends() {
    let (some, all_of) = (Subscriber::bind(&[b"dns"]), Subscriber::bind(&[b""]));
    let endpoints = format!("{},{}", some.endpoint, all_of.endpoint);
    let options = [("batch_records", "4"), ("wait_for_subscriber", "20")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoints, &options, &["n"]);
    writer.await_subscription_of(1);
    write(&mut writer, 0..8);
    assert_eq!(lines(&all_of.take(2)), [all(0..4), all(4..8)]);
    assert_eq!(writer.settled(1).records_sent, 8);
    let reports = writer.close();
    assert!(
        reports.iter().any(|(_, text)| text.contains("0 sent") && text.contains("no subscriber: 8")),
        "{reports:?}"
    );
    assert!(some.is_quiet());
}

#[test]
fn the_spool_takes_batches_apart() {
    let scratch = Scratch::new("batches");
    let endpoint = free_endpoint();
    let spool = scratch.spool();
    let options = [("batch_records", "10"), ("spool_dir", spool.as_str()), ("zmq_linger", "5000")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    write(&mut writer, 0..35);
    assert_eq!((writer.stats().records_spooled, writer.stats().records_queued), (30, 5));
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    until(&mut writer, "subscribed", |stats| stats.records_spooled == 0);
    write(&mut writer, 35..60);
    until(&mut writer, "sent", |stats| stats.records_sent == 60);
    assert_eq!(lines(&subscriber.arrived()).concat(), all(0..60));
    write(&mut writer, 60..66);
    drop(writer);
    let last = lines(&subscriber.take(1)).concat();
    assert_eq!(last[0], 60);
}
