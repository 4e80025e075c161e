//! `bro-zmq` with keys: making them, and what subscribe and replay do with right and wrong ones.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fake_host::{Cell, Type};

use crate::common::peer::{Keys, Peer, Scratch, text};
use crate::common::python;
use crate::common::{Writer, free_endpoint, zeek_80};
use crate::tool::{Ended, PATIENCE, Running, command, run, sample};

/// `bro-zmq replay` of a sample log of 8 records, with arguments.
fn replay(endpoint: &str, args: &[&str]) -> Ended {
    run(["replay", "--endpoint", endpoint, "--wait", "3"].iter().chain(args).chain(&[text(&sample("notice"))]))
}

/// How many records the sample has.
fn records() -> usize {
    std::fs::read_to_string(sample("notice")).unwrap().lines().filter(|line| !line.starts_with('#')).count()
}

fn client<'a>(own: &'a Keys, server: &'a Keys) -> [&'a str; 4] {
    ["--curve-secret-key-file", text(&own.secret), "--curve-server-key", text(&server.public)]
}

/// A writer as a server, under way on a thread of its own: writes a record again and again.
fn publisher(endpoint: &str, own: &Keys, authorized: &std::path::Path) -> Background {
    let options = [
        ("curve_secret_key_file", text(&own.secret).to_owned()),
        ("curve_authorized_keys_dir", text(authorized).to_owned()),
    ];
    Background::start(format!("@{endpoint}"), "conn", options.to_vec())
}

struct Background {
    stop: std::sync::mpsc::Sender<()>,
    thread: Option<thread::JoinHandle<Vec<String>>>,
}

impl Background {
    fn start(endpoint: String, path: &'static str, options: Vec<(&'static str, String)>) -> Self {
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut writer = Writer::open(zeek_80(), path, &endpoint, &options, &["text"]);
            while stopped.recv_timeout(Duration::from_millis(20)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                writer.write(&[Cell::Text(Type::String, b"again".to_vec())]);
                writer.heartbeat();
            }
            writer.close().into_iter().map(|(_, text)| text).collect()
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends the writer, and returns what it has reported.
    fn end(mut self) -> Vec<String> {
        drop(std::mem::replace(&mut self.stop, std::sync::mpsc::channel().0));
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn keygen_makes_files_that_pyzmq_reads() {
    let scratch = Scratch::new();
    let name = scratch.0.join("sensor1");
    // The modes of the files do not depend on the umask.
    let line = format!("umask 077 && exec {} keygen {}", env!("CARGO_BIN_EXE_bro-zmq"), text(&name));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let made = Running::start(&mut shell).end().expect(0);
    let [public, secret] = ["key", "key_secret"].map(|extension| name.with_extension(extension));
    for (file, mode) in [(&public, 0o644), (&secret, 0o600)] {
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, mode);
    }
    let key = made.stdout.trim_end();
    let all = std::fs::read_to_string(&secret).unwrap();
    let secret_key = all.lines().find_map(|line| line.trim().strip_prefix("secret-key = ")).unwrap().trim_matches('"');
    assert_eq!((key.len(), secret_key.len()), (40, 40));
    for shown in [&made.stdout, &made.stderr, &std::fs::read_to_string(&public).unwrap()] {
        assert!(!shown.contains(secret_key), "{shown}");
    }
    run(["keygen", text(&name)]).expect(1).expect_error("is there already; keys are never overwritten");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), all);
    run(["keygen", "/"]).expect(2).expect_error("is no name for files");
    run(["keygen", text(&scratch.0.join("no/such/x"))]).expect(1).expect_error("No such file");
    if python::has_pyzmq() {
        let program = "import sys, zmq.auth; [print(*(k and k.decode() for k in zmq.auth.load_certificate(f))) for f in sys.argv[1:]]";
        let read = Command::new(python::with_pyzmq().unwrap())
            .args(["-c", program])
            .args([&public, &secret])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&read.stdout), format!("{key} None\n{key} {secret_key}\n"));
    }
}

#[test]
fn replay_sends_to_a_subscriber_that_lets_it_in_and_to_no_other() {
    let scratch = Scratch::new();
    let (sensor, other, collector) = (scratch.keys("sensor"), scratch.keys("other"), scratch.keys("collector"));
    let authorized = scratch.authorized("authorized", &[&sensor]);
    let endpoint = free_endpoint();
    let args = ["--curve-secret-key-file", text(&collector.secret), "--curve-authorized-keys-dir", text(&authorized)];
    let directory = scratch.0.join("logs");
    let greeting = {
        let all = records().to_string();
        let args = [&["subscribe", "-b", &endpoint, "-n", &all, "-o", text(&directory)][..], &args].concat();
        let collecting = Running::start(&mut command(args));
        replay(&endpoint, &client(&sensor, &collector)).expect(0);
        collecting.end().expect(0).stderr
    };
    let keys = format!("encrypted, for 1 key in {}; writing to {}\n", authorized.display(), directory.display());
    assert!(greeting.starts_with(&format!("listening on {endpoint} for all logs, {keys}")), "{greeting}");
    let subscriber = Running::subscribe(&endpoint, &args, true);

    replay(&endpoint, &client(&sensor, &collector)).expect(0);
    let began = Instant::now();
    let key = collector.public().to_string();
    // The key itself, instead of its file.
    replay(&endpoint, &["--curve-secret-key-file", text(&sensor.secret), "--curve-server-key", &key]).expect(0);
    replay(&endpoint, &client(&sensor, &other))
        .expect(1)
        .expect_error("does not have the secret key of --curve-server-key");
    let refused = replay(&endpoint, &client(&other, &collector)).expect(1);
    refused.expect_error(&format!("the subscriber refuses this side's key {}", other.public()));
    // Whoever notices first that the other does not encrypt ends the connection.
    let plain = replay(&endpoint, &[]).expect(1);
    assert!(plain.stderr.contains("expects encryption"), "{}", plain.stderr);
    assert!(began.elapsed() < Duration::from_secs(60));

    subscriber.signal("TERM");
    let ended = subscriber.end().expect(0);
    assert_eq!(ended.lines().len(), 2 * records(), "{}", ended.stderr);
    ended.expect_error(&format!("its key {} is not authorized", other.public()));
    ended.expect_error("they do not have this side's public key as their server key");
}

#[test]
fn pyzmq_gets_what_replay_sends() {
    if !python::has_pyzmq() {
        return;
    }
    let scratch = Scratch::new();
    let (sensor, collector) = (scratch.keys("sensor"), scratch.keys("collector"));
    let authorized = scratch.authorized("authorized", &[&sensor]);
    let endpoint = free_endpoint();
    let mut peer = Peer::server(&endpoint, &collector, &authorized, &[]);
    replay(&endpoint, &client(&sensor, &collector)).expect(0);
    for _ in 0..records() {
        assert!(peer.record().starts_with("notice\t{"));
    }
}

/// `subscribe` is a client of plugins that listen. A client that is refused gets in once it is authorized.
#[test]
fn subscribe_connects_with_keys() {
    let scratch = Scratch::new();
    let (sensor, collector, other) = (scratch.keys("sensor"), scratch.keys("collector"), scratch.keys("other"));
    let authorized = scratch.authorized("authorized", &[]);
    let endpoint = free_endpoint();
    let writer = publisher(&endpoint, &sensor, &authorized);
    let connect = ["subscribe", "--connect", &endpoint, "--count", "5"];

    let wrong = Running::start(&mut command(connect.iter().chain(&client(&collector, &other))));
    let plain = Running::start(&mut command(connect));
    let right = Running::start(&mut command(connect.iter().chain(&client(&collector, &sensor))));
    thread::sleep(Duration::from_secs(3));
    collector.authorize(&authorized);
    let right = right.end().expect(0);
    assert_eq!(right.lines(), ["conn\t{\"text\":\"again\"}"; 5]);
    right.expect_error(&format!("the publisher refuses this side's key {}", collector.public()));
    right.expect_error("its handshake has succeeded");
    for running in [&wrong, &plain] {
        running.signal("TERM");
    }
    let (wrong, plain) = (wrong.end().expect(0), plain.end().expect(0));
    assert!(wrong.stdout.is_empty() && plain.stdout.is_empty());
    wrong.expect_error("the publisher there does not have the secret key of --curve-server-key");
    plain.expect_error("encryption");
    writer.end();
}

/// The collector has one socket, which listens for sensors and connects to one.
#[test]
fn a_collector_ends_the_connections_of_a_revoked_key() {
    let scratch = Scratch::new();
    let [collector, one, two, three] = ["collector", "one", "two", "three"].map(|name| scratch.keys(name));
    let authorized = scratch.authorized("authorized", &[&one, &two]);
    let bound_authorized = scratch.authorized("bound", &[&collector]);
    let (endpoint, far) = (free_endpoint(), free_endpoint());
    let bound = publisher(&far, &three, &bound_authorized);
    let mut args = vec!["--curve-authorized-keys-dir", text(&authorized), "--connect", &far];
    args.extend(client(&collector, &three));
    let output = scratch.0.join("logs");
    args.extend(["--output-dir", text(&output), "--rotate-every", "never"]);
    let subscriber = Running::subscribe(&endpoint, &args, true);
    let send = |path, keys: &Keys| {
        let server = ("curve_server_key", collector.public().to_string());
        Background::start(
            endpoint.clone(),
            path,
            vec![server, ("curve_secret_key_file", text(&keys.secret).to_owned())],
        )
    };
    let writers = [send("one", &one), send("two", &two)];
    let size = |path: &str| std::fs::metadata(output.join(path)).map_or(0, |file| file.len());
    let grows = |path: &str| {
        let (before, deadline) = (size(path), Instant::now() + PATIENCE);
        while size(path) <= before {
            assert!(Instant::now() < deadline, "{path} does not grow");
            thread::sleep(Duration::from_millis(20));
        }
    };
    ["one.log", "two.log", "conn.log"].into_iter().for_each(grows);
    one.revoke(&authorized);
    // The collector takes a second to notice, one to write what had arrived, and one for the file.
    thread::sleep(Duration::from_secs(4));
    let before = size("one.log");
    ["two.log", "conn.log", "two.log", "conn.log"].into_iter().for_each(grows);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(size("one.log"), before);
    subscriber.signal("TERM");
    let ended = subscriber.end().expect(0);
    ended.expect_error("because a key was revoked");
    ended.expect_error(&format!("the key {} is no longer authorized", one.public()));
    let [first, second] = writers.map(Background::end);
    assert!(first.iter().any(|text| text.contains("refuses this side's key")), "{first:?}");
    assert!(second.iter().all(|text| !text.contains("refuses this side's key")), "{second:?}");
    bound.end();
}

#[test]
fn what_cannot_be_encrypted_does_not_start() {
    let scratch = Scratch::new();
    let (own, other) = (scratch.keys("own"), scratch.keys("other"));
    let key = text(&own.secret).to_owned();
    let endpoint = free_endpoint();
    let secret = ["--curve-secret-key-file", &key];
    for (args, part) in [
        (vec!["subscribe", "--bind", &endpoint, secret[0], secret[1]], "set --curve-authorized-keys-dir, too"),
        (vec!["subscribe", "--connect", &endpoint, secret[0], secret[1]], "set --curve-server-key, too"),
        (vec!["subscribe", "--curve-server-key", text(&other.public)], "set --curve-secret-key-file, too"),
        (
            vec!["subscribe", secret[0], secret[1], "--curve-authorized-keys-dir", "/nowhere"],
            "--curve-authorized-keys-dir = \"/nowhere\": cannot read /nowhere",
        ),
        (vec!["replay", secret[0], secret[1], text(&own.public)], "set --curve-server-key, too"),
        (vec!["replay", "--endpoint", "@tcp://*:1", text(&own.public)], "replay connects, and does not bind"),
    ] {
        run(args).expect(2).expect_error(part);
    }
    std::fs::set_permissions(&own.secret, PermissionsExt::from_mode(0o640)).unwrap();
    let args = ["subscribe", "--connect", &endpoint].into_iter().chain(client(&own, &other));
    run(args).expect(2).expect_error("(mode 0640): chmod 600");
}
