//! The option `frames`: messages of one frame arrive in every way that messages of two frames do.

use std::path::PathBuf;
use std::time::Duration;

use bro_zeromq_writer::zmq::SocketType;
use fake_host::{Cell, Type};

use crate::common::{PATIENCE, Subscriber, Writer, free_endpoint, zeek_80};

const ONE_FRAME: (&str, &str) = ("frames", "one");

fn write(writer: &mut Writer, numbers: std::ops::Range<u64>) {
    for n in numbers {
        writer.write(&[Cell::Count(n)]);
    }
}

/// The messages for these numbers, each with `head` in front of its JSON.
fn expected(head: &str, numbers: std::ops::Range<u64>) -> Vec<Vec<Vec<u8>>> {
    numbers.map(|n| vec![format!("{head}{{\"n\":{n}}}").into_bytes()]).collect()
}

/// A spool that goes away with the test.
struct Spool(PathBuf);

impl Spool {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bzw-frames-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn option(&self) -> (&str, &str) {
        ("spool_dir", self.0.to_str().unwrap())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn topic_space_and_json() {
    let subscriber = Subscriber::bind(&[b"s1/co"]);
    let options = [ONE_FRAME, ("topic", "%sensor/%path"), ("sensor", "s1")];
    let mut writer = subscriber.writer("conn", &options, &["n"]);
    let mut unwanted = Writer::open(zeek_80(), "dns", &subscriber.endpoint, &options, &["n"]);
    write(&mut unwanted, 0..1);
    write(&mut writer, 0..500);
    assert_eq!(subscriber.take(500), expected("s1/conn ", 0..500));
    let stats = writer.settled(0);
    assert_eq!((stats.records_written, stats.records_sent), (500, 500));
    let bytes: u64 = expected("s1/conn ", 0..500).iter().map(|message| message[0].len() as u64).sum();
    assert_eq!(stats.bytes_sent, bytes);
    assert_eq!(unwanted.stats().dropped_no_subscriber, 1);
    // These two writers share their connection with a writer of two frames.
    let mut two = Writer::open(zeek_80(), "s1/conn", &subscriber.endpoint, &[], &["n"]);
    two.await_subscription();
    write(&mut two, 7..8);
    assert_eq!(subscriber.take(1), [[b"s1/conn".to_vec(), b"{\"n\":7}".to_vec()]]);
    assert!(subscriber.is_quiet());
}

#[test]
fn a_subscription_may_have_the_space_and_so_match_one_log() {
    let subscriber = Subscriber::bind(&[b"conn "]);
    let mut conn = subscriber.writer("conn", &[ONE_FRAME], &["n"]);
    let mut other = Writer::open(zeek_80(), "conn-2", &subscriber.endpoint, &[ONE_FRAME], &["n"]);
    write(&mut other, 0..1);
    write(&mut conn, 0..3);
    assert_eq!(subscriber.take(3), expected("conn ", 0..3));
    assert_eq!(other.stats().dropped_no_subscriber, 1);
    assert!(subscriber.is_quiet());
}

#[test]
fn without_a_topic_it_is_the_json_alone() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [
        ONE_FRAME,
        ("topic", ""),
        ("sensor", "s1"),
        ("extra_fields", r"_path=%path,at=%sensor/%path,literal=\%path %%"),
    ];
    let mut writer = subscriber.writer("conn", &options, &["n"]);
    write(&mut writer, 1..2);
    let json = r#"{"n":1,"_path":"conn","at":"s1/conn","literal":"%path %"}"#;
    assert_eq!(subscriber.take(1), [[json.as_bytes().to_vec()]]);
    // A subscription to "conn" matches nothing, as the message has no topic.
    drop(writer);
    let subscriber = Subscriber::bind(&[b"conn"]);
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &options, &["n"]);
    write(&mut writer, 1..2);
    assert_eq!(writer.stats().dropped_no_subscriber, 1);
}

#[test]
fn envelope_statistics_and_a_record_longer_than_a_buffer() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [ONE_FRAME, ("tag_json", "T"), ("extra_fields", "a=b"), ("stats_interval", "10 msec")];
    let mut writer = subscriber.writer("frames-tag", &options, &["s"]);
    for len in (0..200_000).step_by(997) {
        writer.write(&[Cell::Text(Type::String, vec![b'x'; len])]);
        let json = format!("frames-tag {{\"frames-tag\":{{\"s\":\"{}\",\"a\":\"b\"}}}}", "x".repeat(len));
        assert!(subscriber.take(1) == [[json.into_bytes()]], "{len}");
    }
    writer.settled(0);
    std::thread::sleep(Duration::from_millis(20));
    writer.heartbeat();
    let message = subscriber.take(1).remove(0);
    let [message] = &message[..] else { panic!("{message:?}") };
    let json = message.strip_prefix(b"zeromq_stats ").unwrap();
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    assert_eq!((&json["path"], &json["sent"]), (&"frames-tag".into(), &201.into()));
}

#[test]
fn push_connected_and_bound() {
    let collector = Subscriber::start(SocketType::Pull, "@tcp://127.0.0.1:*", &[]);
    let options = [ONE_FRAME, ("socket_type", "push"), ("zmq_linger", "20000")];
    let mut writer = Writer::open(zeek_80(), "conn", &collector.endpoint, &options, &["n"]);
    write(&mut writer, 0..100);
    assert_eq!(collector.take(100), expected("conn ", 0..100));
    drop(writer);
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &options, &["n"]);
    write(&mut writer, 0..100);
    let collector = Subscriber::start(SocketType::Pull, &endpoint, &[]);
    let mut got = Vec::new();
    let start = std::time::Instant::now();
    while got.len() < 100 {
        assert!(start.elapsed() < PATIENCE, "{} arrived", got.len());
        writer.heartbeat();
        got.extend(collector.arrived());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(got, expected("conn ", 0..100));
}

#[test]
fn a_bound_publisher() {
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &[ONE_FRAME], &["n"]);
    let subscriber = Subscriber::start(SocketType::Sub, &endpoint, &[b"conn"]);
    writer.await_subscription();
    write(&mut writer, 0..100);
    assert_eq!(subscriber.take(100), expected("conn ", 0..100));
}

#[test]
fn records_that_are_held_for_a_subscriber() {
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[ONE_FRAME, ("wait_for_subscriber", "20")], &["n"]);
    write(&mut writer, 0..100);
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    writer.await_subscription();
    writer.heartbeat();
    assert_eq!(subscriber.take(100), expected("conn ", 0..100));
}

#[test]
fn a_batch_has_its_topic_once() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [ONE_FRAME, ("batch_records", "3"), ("batch_latency", "1 hr")];
    let mut writer = subscriber.writer("conn", &options, &["n"]);
    write(&mut writer, 0..5);
    writer.close();
    let batches = [&b"conn {\"n\":0}\n{\"n\":1}\n{\"n\":2}"[..], b"conn {\"n\":3}\n{\"n\":4}"];
    assert_eq!(subscriber.take(2), batches.map(|batch| vec![batch.to_vec()]));
}

/// The spool has the JSON alone, so records written before the option was changed are sent as the
/// option is now.
#[test]
fn the_spool_goes_on_when_the_option_changes() {
    let spool = Spool::new("change");
    let endpoint = free_endpoint();
    let one = [spool.option(), ONE_FRAME, ("batch_records", "4")];
    let two = [spool.option(), ("frames", "two")];
    for (options, numbers) in [(&one[..], 0..10), (&two[..], 10..20), (&one[..], 20..30)] {
        let mut writer = Writer::open(zeek_80(), "conn", &endpoint, options, &["n"]);
        write(&mut writer, numbers);
        writer.close();
    }
    let subscriber = Subscriber::bind_to(&endpoint, &[b"conn"]);
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[spool.option(), ONE_FRAME], &["n"]);
    writer.await_subscription();
    write(&mut writer, 30..35);
    while writer.stats().records_sent < 35 {
        writer.heartbeat();
    }
    assert_eq!(subscriber.take(35), expected("conn ", 0..35));
    let bytes: u64 = expected("conn ", 0..35).iter().map(|message| message[0].len() as u64).sum();
    assert_eq!(writer.stats().bytes_sent, bytes);
    drop(subscriber);
    // From one frame back to two.
    writer.await_report("the connection was lost");
    write(&mut writer, 35..40);
    writer.close();
    let subscriber = Subscriber::bind_to(&endpoint, &[b"conn"]);
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &two, &["n"]);
    while writer.stats().records_sent < 5 {
        writer.heartbeat();
    }
    let json = |n: u64| vec![b"conn".to_vec(), format!("{{\"n\":{n}}}").into_bytes()];
    assert_eq!(subscriber.take(5), (35..40).map(json).collect::<Vec<_>>());
}

/// Records that were on their way when the connection ended are sent again, in one frame.
#[test]
fn what_is_taken_back_is_sent_in_one_frame() {
    for topic in ["%path", ""] {
        let spool = Spool::new(&format!("back{}", topic.len()));
        let mut subscriber = Subscriber::bind(&[b""]);
        let endpoint = subscriber.endpoint.clone();
        let options =
            [spool.option(), ONE_FRAME, ("topic", topic), ("batch_records", "7"), ("batch_latency", "1 msec")];
        let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
        writer.await_subscription();
        let head = if topic.is_empty() { "" } else { "conn " };
        let mut seen = std::collections::BTreeSet::new();
        let mut take = |subscriber: &Subscriber| {
            for message in subscriber.arrived() {
                let [message] = &message[..] else { panic!("{message:?}") };
                let body = message.strip_prefix(head.as_bytes()).unwrap();
                for line in body.split(|&byte| byte == b'\n') {
                    let json: serde_json::Value = serde_json::from_slice(line).unwrap();
                    seen.insert(json["n"].as_u64().unwrap());
                }
            }
            seen.len()
        };
        for round in 0..3 {
            write(&mut writer, round * 2000..(round + 1) * 2000);
            take(&subscriber);
            drop(subscriber);
            subscriber = Subscriber::bind_to(&endpoint, &[b""]);
        }
        let start = std::time::Instant::now();
        loop {
            writer.heartbeat();
            let stats = writer.stats();
            if stats.records_queued + stats.records_spooled == 0 {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{stats:?}");
        }
        assert_eq!(writer.stats().records_sent, 6000);
        std::thread::sleep(Duration::from_millis(300));
        take(&subscriber);
        assert!(seen.contains(&5999));
    }
}

#[test]
fn a_spool_without_a_writer_is_sent_in_one_frame() {
    let spool = Spool::new("orphan");
    let endpoint = free_endpoint();
    let mut gone = Writer::open(zeek_80(), "frames-gone", &endpoint, &[spool.option()], &["n"]);
    write(&mut gone, 0..50);
    gone.close();
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    let mut writer = Writer::open(zeek_80(), "frames-there", &endpoint, &[spool.option(), ONE_FRAME], &["n"]);
    let mut got = Vec::new();
    let start = std::time::Instant::now();
    while got.len() < 50 {
        assert!(start.elapsed() < PATIENCE, "{} arrived", got.len());
        writer.heartbeat();
        got.extend(subscriber.arrived());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(got, expected("frames-gone ", 0..50));
}
