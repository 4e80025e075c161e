//! Encrypted connections, with a subscriber that shares no code with the writer: a Python program
//! over pyzmq. Right keys, wrong ones, none; keys that come and go; and what can be read on the way.
//!
//! Where pyzmq is missing each test says SKIPPED; with BZW_INTEROP=required (CI) it fails instead.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fake_host::{Cell, Type};

use crate::common::peer::{Keys, Peer, Scratch, text};
use crate::common::python;
use crate::common::{PATIENCE, Writer, free_endpoint, zeek_80};

const SECRET_TEXT: &str = "nobody-else-is-to-read-this";

fn record(number: u64) -> Vec<Cell> {
    vec![Cell::Count(number), Cell::Text(Type::String, SECRET_TEXT.as_bytes().to_vec())]
}

fn line(number: u64) -> String {
    format!("conn\t{{\"n\":{number},\"text\":\"{SECRET_TEXT}\"}}")
}

/// Opens a writer that connects as a CURVE client.
fn writer(endpoint: &str, own: &Keys, server: &Keys, more: &[(&str, &str)]) -> Writer {
    let server = server.public().to_string();
    let options =
        [&[("curve_server_key", server.as_str()), ("curve_secret_key_file", text(&own.secret))], more].concat();
    Writer::open(zeek_80(), "conn", endpoint, &options, &["n", "text"])
}

/// Opens a writer that binds as a CURVE server.
fn bound(endpoint: &str, own: &Keys, authorized: &Path, more: &[(&str, &str)]) -> Writer {
    let keys = [("curve_secret_key_file", text(&own.secret)), ("curve_authorized_keys_dir", text(authorized))];
    Writer::open(zeek_80(), "conn", &format!("@{endpoint}"), &[&keys, more].concat(), &["n", "text"])
}

/// Calls the writer as a host does until it has reported something; returns the report's line.
fn await_report(writer: &mut Writer, part: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some((_, text)) = writer.reports().into_iter().find(|(_, text)| text.contains(part)) {
            return text;
        }
        assert!(Instant::now() < deadline, "{part:?} is not in {:?}", writer.take_reports());
        std::thread::sleep(Duration::from_millis(10));
        writer.heartbeat();
    }
}

fn count_reports(writer: &Writer, part: &str) -> usize {
    writer.reports().iter().filter(|(_, text)| text.contains(part)).count()
}

/// Calls the writer as a host does for a while.
fn run(writer: &mut Writer, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        writer.heartbeat();
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn with_the_right_keys_records_arrive() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, collector) = (scratch.keys("sensor"), scratch.keys("collector"));
    let authorized = scratch.authorized("authorized", &[&sensor]);
    for (kind, socket_type) in [("SUB", "publish"), ("PULL", "push")] {
        let endpoint = free_endpoint();
        let mut peer = Peer::server(&endpoint, &collector, &authorized, &["--kind", kind]);
        let public = ("curve_public_key_file", text(&sensor.public));
        let mut writer = writer(&endpoint, &sensor, &collector, &[public, ("socket_type", socket_type)]);
        writer.await_subscription();
        writer.write(&record(1));
        assert_eq!(peer.record(), line(1));
        let reports = writer.close();
        assert!(reports.iter().all(|(level, _)| *level == 0), "{reports:?}");
    }
}

/// The writer uses keys that pyzmq has made. In all other tests pyzmq reads keys that this project has made.
#[test]
fn certificates_of_pyzmq_are_read() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let made = Command::new(python::with_pyzmq().unwrap())
        .args(["-c", "import sys, zmq.auth; [zmq.auth.create_certificates(sys.argv[1], n) for n in ('a', 'b')]"])
        .arg(&scratch.0)
        .status()
        .unwrap();
    assert!(made.success());
    let file = |name: &str| scratch.0.join(name);
    // pyzmq leaves secret keys readable for others, and the writer refuses such files.
    for name in ["a.key_secret", "b.key_secret"] {
        std::fs::set_permissions(file(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
    let endpoint = free_endpoint();
    let mut peer = Peer::start("bind", &endpoint, &["--own", text(&file("a.key_secret"))]);
    let (server, secret, public) = (file("a.key"), file("b.key_secret"), file("b.key"));
    let options = [
        ("curve_server_key", text(&server)),
        ("curve_secret_key_file", text(&secret)),
        ("curve_public_key_file", text(&public)),
    ];
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n", "text"]);
    writer.await_subscription();
    writer.write(&record(1));
    assert_eq!(peer.record(), line(1));
}

#[test]
fn a_wrong_server_key_is_told_within_seconds_and_nothing_is_sent() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, collector, other) = (scratch.keys("sensor"), scratch.keys("collector"), scratch.keys("other"));
    let authorized = scratch.authorized("authorized", &[&sensor]);
    for more in [&[][..], &[("socket_type", "push")]] {
        let endpoint = free_endpoint();
        let kind = if more.is_empty() { "SUB" } else { "PULL" };
        let mut peer = Peer::server(&endpoint, &collector, &authorized, &["--kind", kind]);
        let mut writer = writer(&endpoint, &sensor, &other, more);
        let began = Instant::now();
        writer.write(&record(1));
        let told = await_report(&mut writer, "curve_server_key");
        assert!(
            told.contains(&format!("does not have the secret key of LogZeroMQ::curve_server_key ({}", other.public()))
        );
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        run(&mut writer, Duration::from_secs(1));
        let handshake = format!("{endpoint}: the subscriber there does not have the secret key");
        assert_eq!(count_reports(&writer, &handshake), 1, "{:?}", writer.take_reports());
        assert_eq!(writer.stats().bytes_sent, 0);
        assert!(peer.so_far().is_empty());
    }
}

/// libzmq does not connect again after a server has refused its key; the writer does.
#[test]
fn a_key_that_is_authorized_later_works_without_a_restart() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, collector) = (scratch.keys("sensor"), scratch.keys("collector"));
    let spool = scratch.0.join("spool");
    for (dir, more) in [
        ("one", &[][..]),
        ("two", &[("socket_type", "push")]),
        ("three", &[("spool_dir", text(&spool))]),
        ("four", &[("spool_dir", text(&spool)), ("socket_type", "push")]),
    ] {
        let authorized = scratch.authorized(dir, &[]);
        let endpoint = free_endpoint();
        let push = more.iter().any(|(name, _)| *name == "socket_type");
        let mut peer = Peer::server(&endpoint, &collector, &authorized, &["--kind", if push { "PULL" } else { "SUB" }]);
        let mut writer = writer(&endpoint, &sensor, &collector, more);
        let told = await_report(&mut writer, "refuses this side's key");
        assert!(told.contains(&sensor.public().to_string()), "{told}");
        // This record waits if there is a spool or the socket pushes; otherwise it is dropped.
        writer.write(&record(1));
        run(&mut writer, Duration::from_millis(1500));
        assert_eq!(count_reports(&writer, &format!("{endpoint}: the subscriber refuses this side's key")), 1);
        sensor.authorize(&authorized);
        peer.reload();
        writer.await_subscription();
        writer.write(&record(2));
        let first = if more.is_empty() { 2 } else { 1 };
        assert_eq!(peer.record(), line(first), "{dir}");
        if first == 1 {
            assert_eq!(peer.record(), line(2), "{dir}");
        }
        await_report(&mut writer, "its handshake has succeeded");
    }
}

#[test]
fn a_subscriber_in_plain_text_gets_nothing_until_it_has_keys() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, collector) = (scratch.keys("sensor"), scratch.keys("collector"));
    let authorized = scratch.authorized("authorized", &[&sensor]);
    let endpoint = free_endpoint();
    let mut plain = Peer::start("bind", &endpoint, &[]);
    let mut writer = writer(&endpoint, &sensor, &collector, &[]);
    await_report(&mut writer, "does not use CURVE, and nothing goes without encryption");
    writer.write(&record(1));
    run(&mut writer, Duration::from_millis(1500));
    assert!(plain.so_far().is_empty());
    drop(plain);
    let mut peer = Peer::server(&endpoint, &collector, &authorized, &[]);
    writer.await_subscription();
    writer.write(&record(2));
    assert_eq!(peer.record(), line(2));
}

#[test]
fn without_keys_a_subscriber_that_has_some_is_told_apart() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let collector = scratch.keys("collector");
    let endpoint = free_endpoint();
    let peer = Peer::start("bind", &endpoint, &["--own", text(&collector.secret)]);
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &[], &["n", "text"]);
    await_report(&mut writer, "the subscriber expects encryption (CURVE)");
    drop(peer);
    // The subscriber comes back without keys.
    let mut peer = Peer::start("bind", &endpoint, &[]);
    writer.await_subscription();
    writer.write(&record(1));
    assert_eq!(peer.record(), line(1));
}

#[test]
fn a_bound_endpoint_lets_in_the_authorized_keys_only() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, one, two) = (scratch.keys("sensor"), scratch.keys("one"), scratch.keys("two"));
    let authorized = scratch.authorized("authorized", &[&one]);
    for endpoint in [free_endpoint(), format!("ipc://{}", scratch.0.join("socket").display())] {
        let mut writer = bound(&endpoint, &sensor, &authorized, &[]);
        let mut right = Peer::client(&endpoint, &one, &sensor, &[]);
        writer.await_subscription();
        let mut wrong = Peer::client(&endpoint, &two, &sensor, &[]);
        wrong.event("HANDSHAKE_FAILED_AUTH");
        // The side that notices first ends the connection, and the other does not learn why: try until the writer is.
        let mut plain = Peer::start("connect", &endpoint, &[]);
        let deadline = Instant::now() + PATIENCE;
        while count_reports(&writer, "they do not use CURVE, and nothing goes without encryption") == 0 {
            assert!(Instant::now() < deadline, "{:?}", writer.take_reports());
            Peer::start("connect", &endpoint, &[]).event("DISCONNECTED");
            run(&mut writer, Duration::from_millis(300));
        }
        let mut mistaken = Peer::client(&endpoint, &one, &two, &[]);
        mistaken.event("HANDSHAKE_FAILED_NO_DETAIL");
        writer.write(&record(1));
        assert_eq!(right.record(), line(1));
        let told = await_report(&mut writer, "is not authorized");
        assert!(told.contains(&two.public().to_string()) && told.contains("refused a client"), "{told}");
        await_report(&mut writer, "they do not have this side's public key as their server key");
        run(&mut writer, Duration::from_millis(500));
        for part in ["is not authorized", "do not use CURVE", "as their server key"] {
            assert_eq!(count_reports(&writer, part), 1, "{:?}", writer.take_reports());
        }
        for peer in [&mut wrong, &mut plain, &mut mistaken] {
            assert!(peer.so_far().is_empty());
        }
        writer.close();
    }
}

#[test]
fn a_key_that_is_revoked_gets_nothing_more_and_the_others_do() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, one, two) = (scratch.keys("sensor"), scratch.keys("one"), scratch.keys("two"));
    for (dir, kind) in [("tcp", "publish"), ("ipc", "publish"), ("push", "push")] {
        let endpoint =
            if dir == "ipc" { format!("ipc://{}", scratch.0.join("revoked").display()) } else { free_endpoint() };
        let args: &[&str] = if kind == "push" { &["--kind", "PULL"] } else { &[] };
        let authorized = scratch.authorized(dir, &[&one, &two]);
        let mut writer = bound(&endpoint, &sensor, &authorized, &[("socket_type", kind)]);
        let mut revoked = Peer::client(&endpoint, &one, &sensor, args);
        let mut other = Peer::client(&endpoint, &two, &sensor, args);
        for peer in [&mut revoked, &mut other] {
            peer.event("HANDSHAKE_SUCCEEDED");
        }
        writer.await_subscription();
        run(&mut writer, Duration::from_millis(100));
        writer.write(&record(1));
        writer.write(&record(2));
        if kind == "push" {
            revoked.record();
        } else {
            assert_eq!([revoked.record(), revoked.record()], [line(1), line(2)]);
        }
        one.revoke(&authorized);
        await_report(&mut writer, "because a key was revoked");
        revoked.event("HANDSHAKE_FAILED_AUTH");
        other.event("HANDSHAKE_SUCCEEDED");
        other.so_far();
        writer.await_subscription();
        run(&mut writer, Duration::from_millis(100));
        for number in 3..10 {
            writer.write(&record(number));
            assert_eq!(other.record(), line(number));
        }
        assert!(revoked.so_far().is_empty());
        // A key that is put back is let in again.
        one.authorize(&authorized);
        await_report(&mut writer, &format!("the key {} is authorized from now on", one.public()));
        let mut again = Peer::client(&endpoint, &one, &sensor, args);
        again.event("HANDSHAKE_SUCCEEDED");
        if kind == "publish" {
            run(&mut writer, Duration::from_millis(100));
            writer.write(&record(10));
            assert_eq!(again.record(), line(10));
        }
        writer.close();
    }
}

/// With a spool, a revocation costs subscribers with other keys no record.
#[test]
fn revocation_with_a_spool_loses_nothing() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, one, two) = (scratch.keys("sensor"), scratch.keys("one"), scratch.keys("two"));
    let authorized = scratch.authorized("authorized", &[&one, &two]);
    let endpoint = free_endpoint();
    let spool = scratch.0.join("spool");
    let mut writer = bound(&endpoint, &sensor, &authorized, &[("spool_dir", text(&spool))]);
    let mut revoked = Peer::client(&endpoint, &one, &sensor, &["--topic", "other"]);
    let mut other = Peer::client(&endpoint, &two, &sensor, &[]);
    revoked.event("HANDSHAKE_SUCCEEDED");
    writer.await_subscription();
    let mut numbers = 0..300;
    let mut written = 0;
    for number in numbers.by_ref().take(100) {
        writer.write(&record(number));
        written += 1;
    }
    one.revoke(&authorized);
    let deadline = Instant::now() + PATIENCE;
    while count_reports(&writer, "because a key was revoked") == 0 {
        assert!(Instant::now() < deadline);
        writer.heartbeat();
        std::thread::sleep(Duration::from_millis(5));
    }
    for number in numbers {
        writer.write(&record(number));
        written += 1;
    }
    let mut received = std::collections::BTreeSet::new();
    let deadline = Instant::now() + PATIENCE;
    while received.len() < written && Instant::now() < deadline {
        writer.heartbeat();
        received.extend(other.so_far());
    }
    assert_eq!(received, (0..300).map(line).collect());
}

/// Two endpoints of one process have different directories of authorized keys.
#[test]
fn one_endpoints_keys_do_not_open_another() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, one, two) = (scratch.keys("sensor"), scratch.keys("one"), scratch.keys("two"));
    let (first, second) = (free_endpoint(), free_endpoint());
    let dirs = [scratch.authorized("first", &[&one]), scratch.authorized("second", &[&two])];
    let mut writers = [bound(&first, &sensor, &dirs[0], &[]), bound(&second, &sensor, &dirs[1], &[])];
    Peer::client(&first, &two, &sensor, &[]).event("HANDSHAKE_FAILED_AUTH");
    Peer::client(&second, &one, &sensor, &[]).event("HANDSHAKE_FAILED_AUTH");
    let mut peers = [Peer::client(&first, &one, &sensor, &[]), Peer::client(&second, &two, &sensor, &[])];
    for (number, (writer, peer)) in writers.iter_mut().zip(&mut peers).enumerate() {
        writer.await_subscription();
        writer.write(&record(number as u64));
        assert_eq!(peer.record(), line(number as u64));
    }
    // The second endpoint goes on when the first one ends.
    let [first_writer, mut second_writer] = writers;
    first_writer.close();
    Peer::client(&second, &one, &sensor, &[]).event("HANDSHAKE_FAILED_AUTH");
    second_writer.write(&record(7));
    assert_eq!(peers[1].record(), line(7));
}

#[test]
fn a_bound_endpoint_is_not_shared_with_other_keys_or_none() {
    let scratch = Scratch::new();
    let (sensor, one) = (scratch.keys("sensor"), scratch.keys("one"));
    let authorized = scratch.authorized("authorized", &[&one]);
    let endpoint = free_endpoint();
    let address = format!("@{endpoint}");
    let keys = [("curve_secret_key_file", text(&sensor.secret)), ("curve_authorized_keys_dir", text(&authorized))];
    let others = [keys[0], ("curve_authorized_keys_dir", text(&scratch.0))];
    let first = Writer::open(zeek_80(), "conn", &address, &keys, &["n"]);
    for options in [&[][..], &others] {
        let (_, reports) = Writer::try_open(zeek_80(), "dns", &address, options, &["n"]).err().unwrap();
        assert!(
            reports.iter().any(|(_, text)| text.contains("with a filter that has other keys, or none")),
            "{reports:?}"
        );
    }
    let second = Writer::open(zeek_80(), "dns", &address, &keys, &["n"]);
    first.close();
    second.close();
    let first = Writer::open(zeek_80(), "conn", &address, &[], &["n"]);
    assert!(Writer::try_open(zeek_80(), "dns", &address, &keys, &["n"]).is_err());
    first.close();
}

/// A relay to an endpoint, and the bytes that went through it, both ways.
struct Wire {
    endpoint: String,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = format!("tcp://{}", listener.local_addr().unwrap());
        let far = endpoint.strip_prefix("tcp://").unwrap().to_owned();
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let captured = Arc::clone(&bytes);
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                let Ok(to) = TcpStream::connect(&far) else { continue };
                for (mut from, mut to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                    let captured = Arc::clone(&captured);
                    std::thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            captured.lock().unwrap().extend(&buffer[..count]);
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { endpoint: near, bytes }
    }

    fn shows(&self, text: &[u8]) -> bool {
        self.bytes.lock().unwrap().windows(text.len()).any(|window| window == text)
    }
}

#[test]
fn nothing_can_be_read_on_the_way() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, collector) = (scratch.keys("sensor"), scratch.keys("collector"));
    let authorized = scratch.authorized("authorized", &[&sensor]);
    for encrypted in [false, true] {
        let endpoint = free_endpoint();
        let wire = Wire::to(&endpoint);
        let (mut peer, mut writer) = if encrypted {
            let peer = Peer::server(&endpoint, &collector, &authorized, &["--topic", "conn"]);
            (peer, writer(&wire.endpoint, &sensor, &collector, &[]))
        } else {
            let peer = Peer::start("bind", &endpoint, &["--topic", "conn"]);
            (peer, Writer::open(zeek_80(), "conn", &wire.endpoint, &[], &["n", "text"]))
        };
        writer.await_subscription();
        for number in 0..100 {
            writer.write(&record(number));
            assert_eq!(peer.record(), line(number));
        }
        // Names of columns, contents, the log path, and what is subscribed to.
        for text in [SECRET_TEXT.as_bytes(), b"\"text\"", b"{\"n\":", b"conn"] {
            assert_eq!(wire.shows(text), !encrypted, "{}", String::from_utf8_lossy(text));
        }
        assert!(wire.bytes.lock().unwrap().len() > 100 * (SECRET_TEXT.len() + 16));
        for keys in [&sensor, &collector] {
            keys.pair.secret().with_text(|key| assert!(!wire.shows(key)));
        }
    }
}
