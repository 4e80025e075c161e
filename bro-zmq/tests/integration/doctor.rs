//! `bro-zmq doctor` where there is no host, or something that is none, and what it says of endpoints,
//! keys and spools. With a host, `doctor` is tried by hand, because it asks the host itself.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::tool::{self, Ended, Running, Scratch, command, run, sample};

fn doctor(path: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bro-zmq"))
        .arg("doctor")
        .arg(path)
        .env_remove("ZEEK_PLUGIN_PATH")
        .env_remove("BRO_PLUGIN_PATH")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A file of this test's own.
fn file(name: &str, content: &[u8]) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{name}"));
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_place_without_a_host_is_an_error() {
    let (status, out, err) = doctor(Path::new(env!("CARGO_TARGET_TMPDIR")));
    assert_eq!(status, Some(2));
    assert!(out.is_empty() && err.contains("there is no host there, neither bin/zeek nor bin/bro"), "{out}{err}");
}

#[test]
fn a_file_that_is_no_program_is_an_error() {
    let (status, out, err) = doctor(&file("text", b"#!/bin/sh\n"));
    assert_eq!(status, Some(2));
    assert!(out.is_empty() && err.contains("no 64-bit program"), "{out}{err}");
}

#[test]
fn another_program_is_no_host() {
    let (status, out, err) = doctor(&env::current_exe().unwrap());
    assert_eq!(status, Some(1), "{err}");
    assert!(out.contains("wrong  it is neither Bro nor Zeek"), "{out}{err}");
}

#[test]
fn a_broken_program_is_said_to_be_one() {
    let whole = fs::read(env::current_exe().unwrap()).unwrap();
    let header = &whole[..64];
    for (i, content) in
        [header.to_vec(), [header, &[0xff; 4096]].concat(), [header, &[0x7f; 4096]].concat()].iter().enumerate()
    {
        let (status, out, err) = doctor(&file(&format!("broken-{i}"), content));
        assert!(matches!(status, Some(1 | 2)), "{status:?} {out}{err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    // Bytes of the front are damaged, one at a time.
    let front = &whole[..whole.len().min(1 << 16)];
    for at in (16..2048).step_by(61) {
        let mut content = front.to_vec();
        content[at] ^= 0xff;
        let (status, out, err) = doctor(&file("flipped", &content));
        assert!(matches!(status, Some(1 | 2)), "{status:?} {out}{err}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `bro-zmq doctor` prints with these arguments.
#[track_caller]
fn says(args: &[&str], status: i32) -> String {
    run([&["doctor"], args].concat()).expect(status).stdout
}

#[test]
fn an_endpoint_that_nobody_is_at() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let at = format!("tcp://127.0.0.1:{port}");
    let silent = says(&["-e", &at, "--wait", "0.5"], 1);
    assert!(silent.contains("wrong  ") && silent.contains("does not answer as a ZeroMQ subscriber"), "{silent}");
    let bound = says(&["-e", &format!("@{at}")], 1);
    assert!(bound.contains("Address already in use: by the host, if it is running"), "{bound}");
    drop(listener);
    let refused = says(&["-e", &at], 1);
    let expected =
        format!("wrong  {at}: nobody listens at 127.0.0.1:{port}: start the subscriber, or correct the port\n");
    assert_eq!(refused, expected);
    assert!(says(&["-e", &format!("@{at}")], 0).contains("the plugin can listen there"));
    let socket = says(&["-e", &scratch.endpoint()], 1);
    assert!(socket.contains("there is no socket of that name: start the subscriber"), "{socket}");
    let name = says(&["-e", "tcp://no.such.host.invalid:5"], 1);
    assert!(name.contains("no.such.host.invalid is not found (") || name.contains("no name server tells"), "{name}");
    let wrong = says(&["-e", "tcp://127.0.0.1:70000"], 1);
    assert!(wrong.contains("wrong  --endpoint = ") && wrong.contains("is not a number from 1 to 65535"), "{wrong}");
    assert_eq!(run(["doctor", "--wait", "5"]).expect(2).stdout, "");
}

#[test]
fn who_subscribes_to_what() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let some = Running::subscribe(&endpoint, &["dns", "conn"], true);
    assert_eq!(
        says(&["-e", &endpoint], 0),
        format!("ok     {endpoint}: it is connected, and gets logs that begin with conn, dns\n")
    );
    some.signal("TERM");
    some.end().expect(0);
    let all = Running::subscribe(&endpoint, &[], true);
    assert!(says(&["-e", &endpoint], 0).ends_with(": it is connected, and gets all logs\n"));
    all.signal("TERM");
    all.end().expect(0).expect_error("received 0 records");
}

#[test]
fn keys_that_fit_and_keys_that_do_not() {
    let scratch = Scratch::new();
    let name = |name: &str| scratch.0.join(name);
    for pair in ["sensor", "other", "collector"] {
        run(["keygen", text(&name(pair))]).expect(0);
    }
    fs::create_dir(name("keys")).unwrap();
    fs::copy(name("sensor.key"), name("keys/sensor.key")).unwrap();
    let (server, keys) = (name("collector.key_secret"), name("keys"));
    let endpoint = scratch.endpoint();
    let args = ["--curve-secret-key-file", text(&server), "--curve-authorized-keys-dir", text(&keys)];
    let subscriber = Running::subscribe(&endpoint, &args, true);
    let with = |secret: &str, server: &str, status| {
        let (secret, server) = (name(secret), name(server));
        let keys = ["--curve-secret-key-file", text(&secret), "--curve-server-key", text(&server)];
        says(&[&["-e", &endpoint, "-w", "1"][..], &keys].concat(), status)
    };
    let good = with("sensor.key_secret", "collector.key", 0);
    assert!(good.contains("it is connected, encrypted, and gets all logs"), "{good}");
    let refused = with("other.key_secret", "collector.key", 1);
    assert!(refused.contains("wrong  ") && refused.contains("the subscriber refuses this side's key"), "{refused}");
    let server = with("sensor.key_secret", "other.key", 1);
    assert!(server.contains("does not have the secret key of --curve-server-key"), "{server}");
    // What is wrong with either is told at once.
    fs::set_permissions(name("other.key_secret"), PermissionsExt::from_mode(0o644)).unwrap();
    let both = with("other.key_secret", "no.key", 1);
    assert!(both.contains("can be read or written by others (mode 0644): chmod 600"), "{both}");
    assert!(both.contains("no.key: No such file"), "{both}");
    let neither = says(&["--curve-server-key", "collector.kee"], 1);
    assert!(
        neither.contains("neither the 40 characters of a public key nor a file") && !neither.contains("kee"),
        "{neither}"
    );
    let public = with("sensor.key", "collector.key", 1);
    assert!(public.contains("has no secret-key; name the file that keygen calls NAME.key_secret"), "{public}");
    let secret = name("collector.key_secret");
    let own = ["-e", "@tcp://127.0.0.1:1", "--curve-secret-key-file", text(&secret), "--curve-authorized-keys-dir"];
    assert!(says(&[&own[..], &[text(&keys)]].concat(), 0).contains("ok     1 key can be used in "));
    fs::remove_file(name("keys/sensor.key")).unwrap();
    assert!(says(&[&own[..], &[text(&keys)]].concat(), 1).contains("wrong  there is no key in "));
    subscriber.signal("TERM");
    subscriber.end().expect(0);
}

#[test]
fn what_waits_in_a_spool() {
    let scratch = Scratch::new();
    let (dir, endpoint) = (scratch.0.join("spool"), scratch.endpoint());
    let look = |status| says(&["--spool-dir", text(&dir)], status);
    let fresh = look(0);
    assert!(fresh.contains("is not there yet; the host makes it") && fresh.contains(" left\n"), "{fresh}");
    assert!(!dir.exists(), "it changes nothing");
    let options = [format!("spool_dir={}", dir.display()), "spool_always=T".to_owned()];
    let replay = |rate: &str| {
        let mut command = command(["replay", "--wait", "0", "--linger", "0", "--rate", rate, "-e", &endpoint]);
        command.args(["-o", &options[0], "-o", &options[1]]).arg(sample("conn"));
        Running::start(&mut command)
    };
    let ended: Ended = replay("1000000").end();
    assert!(ended.stderr.contains("sent 0 records"), "{}", ended.stderr);
    let waits = look(0);
    assert!(waits.contains(&format!("note   conn {endpoint}: 9 records in ")), "{waits}");
    // While a host uses it, and after it was killed.
    let mut running = replay("1");
    let start = std::time::Instant::now();
    while !look(0).contains(&format!("is in use by a host, process {}; ", running.child.id())) {
        assert!(start.elapsed() < tool::PATIENCE);
    }
    running.child.kill().unwrap();
    running.end();
    let killed = look(0);
    assert!(killed.contains(": the last run did not end properly") && !killed.contains("in use"), "{killed}");
    assert!(says(&["--spool-dir", "spool"], 1).contains("wrong  spool: use an absolute path"));
    let below = dir.join("no/such");
    assert!(says(&["--spool-dir", text(&below)], 1).contains("is not there; make that first"));
    assert!(says(&["--spool-dir", text(&sample("conn"))], 1).contains("is not a directory; name one"));
}
