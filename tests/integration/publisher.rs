//! What a subscriber gets and what the writer counts; and nothing hangs.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use bro_zeromq_writer::abi;
use fake_host::{Cell, Type};

use crate::common::{PATIENCE, Subscriber, Writer, free_endpoint, zeek_80};

/// Nobody listens there: the port is reserved, and below those that systems give out.
const NOBODY: &str = "tcp://127.0.0.1:1";

fn number(number: u64) -> [Cell; 1] {
    [Cell::Count(number)]
}

#[test]
fn two_frames_per_record_in_order() {
    let subscriber = Subscriber::bind(&[b""]);
    let mut writer = subscriber.writer("conn", &[], &["n"]);
    for n in 0..500 {
        writer.write(&number(n));
    }
    for (n, frames) in subscriber.take(500).into_iter().enumerate() {
        assert_eq!(frames, [b"conn".to_vec(), format!("{{\"n\":{n}}}").into_bytes()]);
    }
    let stats = writer.settled(0);
    assert_eq!((stats.records_written, stats.records_sent), (500, 500));
    assert_eq!(stats.bytes_sent, (0..500).map(|n: u64| 4 + format!("{{\"n\":{n}}}").len() as u64).sum::<u64>());
    let reports = writer.close();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].1.contains("500 records written, 500 sent"), "{reports:?}");
    assert!(subscriber.is_quiet());
}

#[test]
fn a_log_path_longer_than_a_short_message() {
    let path = "a_log_path_that_is_longer_than_the_thirty_three_bytes_of_a_short_message";
    let subscriber = Subscriber::bind(&[b"a_log"]);
    let mut writer = subscriber.writer(path, &[], &["n"]);
    writer.write(&number(1));
    assert_eq!(subscriber.take(1), [[path.as_bytes().to_vec(), b"{\"n\":1}".to_vec()]]);
}

#[test]
fn ipc() {
    let path = std::env::temp_dir().join(format!("bzw-{}.ipc", std::process::id()));
    let endpoint = format!("ipc://{}", path.display());
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    let mut writer = subscriber.writer("dns", &[], &["n"]);
    writer.write(&number(7));
    assert_eq!(subscriber.take(1), [[b"dns".to_vec(), b"{\"n\":7}".to_vec()]]);
    drop(subscriber);
    let _ = std::fs::remove_file(path);
}

#[test]
fn ipv6_and_a_host_name() {
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let (sender, receiver) = std::sync::mpsc::channel();
        // A free port of ::1, found by the standard library: this crate's test socket speaks IPv4.
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || sender.send(listener.accept().is_ok()));
        let writer = Writer::open(zeek_80(), "conn", &format!("tcp://[::1]:{port}"), &[("zmq_linger", "0")], &["n"]);
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(true));
        drop(writer);
    }
    let subscriber = Subscriber::bind(&[b""]);
    let port = subscriber.endpoint.rsplit(':').next().unwrap();
    let options = [("wait_for_subscriber", "20")];
    let mut writer = Writer::open(zeek_80(), "conn", &format!("tcp://localhost:{port}"), &options, &["n"]);
    writer.write(&number(1));
    assert_eq!(subscriber.take(1).len(), 1);
}

#[test]
fn several_endpoints_get_the_same_and_are_counted_apart() {
    let [a, b] = [Subscriber::bind(&[b""]), Subscriber::bind(&[b""])];
    let endpoints = format!("{}, {},{NOBODY}", a.endpoint, b.endpoint);
    let mut writer = Writer::open(zeek_80(), "conn", &endpoints, &[("zmq_linger", "0")], &["n"]);
    for subscribed in 0..2 {
        writer.await_subscription_of(subscribed);
    }
    for n in 0..100 {
        writer.write(&number(n));
    }
    assert_eq!(a.take(100), b.take(100));
    assert_eq!([0, 1, 2].map(|index| writer.settled(index).records_sent), [100, 100, 0]);
    assert_eq!(writer.stats_of(2).dropped_no_subscriber, 100);
    assert_eq!(writer.close().len(), 4);
}

#[test]
fn only_what_is_subscribed_to_is_sent() {
    let subscriber = Subscriber::bind(&[b"con", b"x"]);
    let mut conn = subscriber.writer("conn", &[], &["n"]);
    let mut dns = Writer::open(zeek_80(), "dns", &subscriber.endpoint, &[], &["n"]);
    // Both logs have the same subscriber, which has told all that it wants a moment later.
    conn.await_subscription();
    std::thread::sleep(Duration::from_millis(300));
    conn.write(&number(1));
    dns.write(&number(2));
    assert_eq!(subscriber.take(1)[0][0], b"conn");
    assert_eq!((conn.settled(0).records_sent, dns.stats().dropped_no_subscriber), (1, 1));
    // A subscriber that does not want a log is no reason for a warning.
    dns.heartbeat();
    assert_eq!(dns.take_reports(), []);
    assert!(subscriber.is_quiet());
}

#[test]
fn nobody_subscribed_is_counted_and_reported_once() {
    // No other test may use this endpoint: what happens at an endpoint is reported once for all its logs.
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[("zmq_linger", "0")], &["n"]);
    for n in 0..10_000 {
        writer.write(&number(n));
        if n % 1000 == 0 {
            writer.heartbeat();
        }
    }
    assert_eq!(writer.stats().dropped_no_subscriber, 10_000);
    let reports = writer.close();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert_eq!(reports[0].0, 1);
    let expected = format!(
        "{endpoint}: dropping records (10000 so far, of conn): nobody listens at {endpoint}; start the subscriber, or \
         correct the endpoint"
    );
    assert_eq!(reports[0].1, expected);
    assert!(reports[1].1.contains("10000 dropped (no subscriber: 10000"), "{reports:?}");
}

#[test]
fn what_speaks_another_protocol_gets_no_records() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    // A web server, or something like it, which does not close the connection.
    std::thread::spawn(move || {
        let mut connections = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let answer = format!("HTTP/1.1 400 Bad Request\r\nX-Pad: {}\r\n\r\n", "x".repeat(200));
            let _ = stream.write_all(answer.as_bytes());
            connections.push(stream);
        }
    });
    let options = [("zmq_linger", "0"), ("reconnect_interval", "50")];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    for n in 0..300 {
        writer.write(&number(n));
        writer.heartbeat();
        std::thread::sleep(Duration::from_millis(5));
    }
    let stats = writer.stats();
    assert_eq!((stats.records_sent, stats.dropped_no_subscriber), (0, 300));
    let reports = writer.close();
    let why = ["see what listens there", "the peer is no ZeroMQ subscriber"];
    assert!(why.iter().any(|why| reports[0].1.contains(why)), "{reports:?}");
}

#[test]
fn forty_logs_make_one_report_of_their_endpoint() {
    let endpoint = free_endpoint();
    let options = [("zmq_linger", "0"), ("reconnect_interval", "50")];
    let mut writers: Vec<_> =
        (0..40).map(|n| Writer::open(zeek_80(), &format!("log{n:02}"), &endpoint, &options, &["n"])).collect();
    let mut reports = Vec::new();
    let mut turn = |writers: &mut [Writer]| {
        for (n, writer) in (0..).zip(writers) {
            writer.write(&number(n));
            writer.heartbeat();
            reports.extend(writer.take_reports());
        }
        reports.len()
    };
    // Records are dropped for a while, and then no longer.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        turn(&mut writers);
        std::thread::sleep(Duration::from_millis(100));
    }
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    for writer in &mut writers {
        writer.await_subscription();
    }
    let start = Instant::now();
    while turn(&mut writers) < 2 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(subscriber);
    assert_eq!(reports.len(), 2, "{reports:?}");
    let [(1, began), (0, ended)] = &reports[..] else { panic!("{reports:?}") };
    for part in [&format!("{endpoint}: dropping records ("), " and 37 more logs): nobody listens at "] {
        assert!(began.contains(part), "{reports:?}");
    }
    for part in ["no longer dropping records; ", " and 37 more logs"] {
        assert!(ended.contains(part), "{reports:?}");
    }
}

#[test]
fn a_late_subscriber_gets_what_comes_after_it() {
    let endpoint = free_endpoint();
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[], &["n"]);
    writer.write(&number(0));
    let subscriber = Subscriber::bind_to(&endpoint, &[b""]);
    writer.await_subscription();
    writer.write(&number(1));
    assert_eq!(subscriber.take(1), [[b"conn".to_vec(), b"{\"n\":1}".to_vec()]]);
    assert_eq!(writer.stats().dropped_no_subscriber, 1);
}

#[test]
fn the_topic_is_what_is_sent_and_subscribed_to() {
    let subscriber = Subscriber::bind(&[b"s1/"]);
    let options = [("topic", "%sensor/%path"), ("sensor", "s1")];
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &options, &["n"]);
    writer.await_subscription();
    writer.write(&number(1));
    assert_eq!(subscriber.take(1), [[b"s1/conn".to_vec(), b"{\"n\":1}".to_vec()]]);
    assert_eq!(writer.stats().bytes_sent, 7 + 7);
    let mut other = Writer::open(zeek_80(), "s1/conn", &subscriber.endpoint, &[], &["n"]);
    other.await_subscription();
    other.write(&number(2));
    assert_eq!(subscriber.take(1), [[b"s1/conn".to_vec(), b"{\"n\":2}".to_vec()]]);
}

#[test]
fn a_column_wins_over_an_extra_field_of_its_name() {
    let subscriber = Subscriber::bind(&[b""]);
    let options = [("extra_fields", "sensor=s1,n=x,site=a\\,b"), ("tag_json", "T")];
    let mut writer = Writer::open(zeek_80(), "conn", &subscriber.endpoint, &options, &["n", "m"]);
    writer.await_subscription();
    let reports = writer.take_reports();
    assert_eq!(reports.len(), 1, "{reports:?}");
    for part in ["\"n\"", "column", "\"conn\"", "LogZeroMQ::extra_fields"] {
        assert!(reports[0].0 == 1 && reports[0].1.contains(part), "{reports:?}");
    }
    writer.write(&[Cell::Unset(Type::Count), Cell::Count(1)]);
    let json = r#"{"conn":{"m":1,"sensor":"s1","site":"a,b"}}"#;
    assert_eq!(subscriber.take(1), [[b"conn".to_vec(), json.into()]]);
}

/// A peer that subscribes to everything and then never reads: ZMTP 3.0 by hand.
fn stopped_subscriber() -> (String, std::thread::JoinHandle<std::net::TcpStream>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Greeting: signature, version 3.0, NULL mechanism, not a server, filler.
        let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
        greeting.extend(b"NULL");
        greeting.resize(64, 0);
        stream.write_all(&greeting).unwrap();
        stream.read_exact(&mut [0; 64]).unwrap();
        // READY with the socket's type, then a message: 1 and an empty topic.
        let mut ready = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB".to_vec();
        ready[1] = ready.len() as u8 - 2;
        stream.write_all(&ready).unwrap();
        stream.write_all(&[0, 1, 1]).unwrap();
        stream
    });
    (endpoint, thread)
}

#[test]
fn a_subscriber_that_does_not_read_costs_records_that_are_counted() {
    let (endpoint, thread) = stopped_subscriber();
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[("zmq_hwm", "10"), ("zmq_linger", "0")], &["s"]);
    let stream = thread.join().unwrap();
    writer.await_subscription();
    // More than the buffers of both ends take.
    let cells = [Cell::Text(Type::String, vec![b'x'; 100_000])];
    for _ in 0..600 {
        writer.write(&cells);
    }
    writer.heartbeat();
    let stats = writer.stats();
    assert!(stats.dropped_queue_full > 0 && stats.records_sent > 0, "{stats:?}");
    let reports = writer.close();
    assert!(
        reports.iter().any(|(_, text)| text.contains("10 records are waiting") && text.contains("zmq_hwm")),
        "{reports:?}"
    );
    drop(stream);
}

#[test]
fn linger_bounds_the_end_with_many_writers_and_a_dead_subscriber() {
    let started = std::sync::Arc::new(std::sync::Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let started = started.clone();
            std::thread::spawn(move || {
                let (endpoint, thread) = stopped_subscriber();
                let options = [("zmq_linger", "700"), ("zmq_hwm", "0")];
                let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["s"]);
                let stream = thread.join().unwrap();
                writer.await_subscription();
                writer.repeat(&[Cell::Text(Type::String, vec![b'x'; 100_000])], 200);
                started.wait();
                let start = Instant::now();
                writer.close();
                let taken = start.elapsed();
                drop(stream);
                taken
            })
        })
        .collect();
    let longest = threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
    // Other tests of this process may keep the context alive; then nobody waits at all.
    assert!(longest < Duration::from_millis(700 + 500 + 3000), "{longest:?}");
}

#[test]
fn records_that_are_none_are_counted() {
    let subscriber = Subscriber::bind(&[b""]);
    let mut writer = subscriber.writer("conn", &[], &["v", "w"]);
    let good = [Cell::Count(1), Cell::Count(2)];
    writer.write(&good);
    let deep = (0..100).fold(Cell::Int(1), |inner, _| Cell::List(Type::Vector, vec![inner]));
    writer.write(&[Cell::Count(1), deep]);
    writer.write(&[Cell::Raw(zeek_80().tag_pattern, [0; 24]), Cell::Raw(99, [0; 24])]);
    writer.write(&good);
    let messages = subscriber.take(3);
    assert_eq!(messages[1][1], b"{\"v\":null,\"w\":null}");
    assert_eq!(messages[0], messages[2]);
    let stats = writer.settled(0);
    assert_eq!((stats.records_sent, stats.dropped_encoding, stats.unknown_values), (3, 1, 2));
    let reports = writer.close();
    assert!(
        reports.iter().any(|(_, text)| text.contains("cannot be encoded") && text.contains("nested")),
        "{reports:?}"
    );
    assert!(reports.iter().any(|(_, text)| text.contains("2 values")), "{reports:?}");
}

#[test]
fn a_wrong_option_is_one_error_that_names_it() {
    for (endpoint, options, part) in [
        ("tcp://127.0.0.1", &[][..], "LogZeroMQ::endpoint"),
        ("", &[], "no endpoint"),
        (NOBODY, &[("zmq_hwm", "lots")], "LogZeroMQ::zmq_hwm = \"lots\""),
        (NOBODY, &[("zmq_linger", "-7")], "LogZeroMQ::zmq_linger = \"-7\""),
    ] {
        let (code, reports) = Writer::try_open(zeek_80(), "conn", endpoint, options, &["n"]).err().unwrap();
        assert_eq!(code, abi::ERR_CONFIG);
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert_eq!(reports[0].0, 2);
        assert!(reports[0].1.contains(part), "{reports:?}");
    }
}

#[test]
fn a_large_record_arrives_whole() {
    let subscriber = Subscriber::bind(&[b""]);
    let mut writer = subscriber.writer("conn", &[], &["s"]);
    let text = vec![b'x'; 5_000_000];
    writer.write(&[Cell::Text(Type::String, text.clone())]);
    writer.write(&[Cell::Text(Type::String, b"small".to_vec())]);
    let messages = subscriber.take(2);
    assert_eq!(messages[0][1].len(), text.len() + r#"{"s":""}"#.len());
    assert_eq!(messages[1][1], br#"{"s":"small"}"#);
}
