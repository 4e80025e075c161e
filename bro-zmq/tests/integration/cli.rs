//! The command-line tool from outside: `bro-zmq` is run as its users run it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bro_zeromq_writer::host::FAMILIES;
use bro_zeromq_writer::zmq::{Context, Message, Socket, SocketType};
use serde_json::Value;

use crate::tool::{Ended, Running, Scratch, collect, command, run, sample};

const SAMPLES: [&str; 6] = ["conn", "dns", "http", "ssl", "files", "notice"];

fn is_record(line: &&str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn records(name: &str) -> usize {
    fs::read_to_string(sample(name)).unwrap().lines().filter(is_record).count()
}

/// A log with one column of counts.
fn counts(path: &str, numbers: impl IntoIterator<Item = u64>) -> String {
    let mut log = format!("#separator \\x09\n#path\t{path}\n#fields\tn\n#types\tcount\n");
    for number in numbers {
        log += &format!("{number}\n");
    }
    log
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Replays files to a subscriber that ends after `count` records.
#[track_caller]
fn round_trip(count: usize, subscribe: &[&str], replay: &[&str], files: &[PathBuf]) -> (Ended, Ended) {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let count = count.to_string();
    let subscriber = Running::subscribe(&endpoint, &[&["--count", &count], subscribe].concat(), true);
    let mut command = command(["replay", "--endpoint", &endpoint]);
    command.args(replay).args(files);
    let replay = Running::start(&mut command).end();
    if !replay.stdout.is_empty() || replay.status.code() == Some(2) {
        panic!("{}{}", replay.stdout, replay.stderr);
    }
    (subscriber.end(), replay)
}

#[test]
fn help_teaches() {
    for (args, parts) in [
        (&["--help"][..], &["bro-zmq demo", "replay conn.log", "subscribe --pretty"][..]),
        (
            &["replay", "--help"],
            &["Examples:", "--rate 500 --loop", "Exit status:", "FILE:LINE", "tcp://127.0.0.1:12345"],
        ),
        (&["subscribe", "--help"], &["Examples:", "jq", "Exit status:", "tcp://127.0.0.1:12345"]),
        (&["demo", "--help"], &["Exit status:"]),
    ] {
        let help = run(args).expect(0).stdout;
        for part in parts {
            assert!(help.contains(part), "{part:?} is not in: {help}");
        }
    }
    let version = run(["--version"]).expect(0).stdout;
    assert!(version.starts_with(concat!("bro-zmq ", env!("CARGO_PKG_VERSION"), " (libzmq 4.")), "{version}");
}

#[test]
fn wrong_arguments_are_explained() {
    let conn = sample("conn");
    let conn = conn.to_str().unwrap();
    let directory = env!("CARGO_MANIFEST_DIR");
    for (args, part) in [
        (&[][..], "Usage: bro-zmq"),
        (&["replay"], "<FILE>"),
        (&["replay", "--rate", "0", conn], "records a second"),
        (&["replay", "--rate", "-5", conn], "records a second"),
        (&["replay", "--wait", "-1", conn], "number of seconds"),
        (&["replay", "--wait", "1e19", conn], "up to a year"),
        (&["replay", "--linger", "-2", conn], "--linger = \"-2\""),
        (&["replay", "--hwm", "many", conn], "--hwm"),
        (&["replay", "--layout", "zeek-99", conn], "known layouts are bro-2.5, "),
        (&["replay", "--option", "colour=red", conn], "the plugin has no option colour; it has endpoint, "),
        (&["replay", "--option", "json_timestamps=now", conn], "--option json_timestamps = \"now\""),
        (
            &["replay", "--endpoint", "127.0.0.1:1", conn],
            "--endpoint = \"127.0.0.1:1\": an endpoint is tcp://HOST:PORT",
        ),
        (
            &["replay", "--endpoint", "tcp://*:1", conn],
            "to connect, it needs the address of the other side instead of *",
        ),
        (&["replay", "no such file.log"], "no such file.log: No such file"),
        (&["replay", directory], "is a directory"),
        (&["replay", "-", "-"], "standard input cannot be read twice"),
        (&["replay", "--loop", "-"], "standard input cannot be read again by --loop"),
        (&["subscribe", "--count", "0"], "--count"),
        (&["subscribe", "--json", "--pretty"], "--pretty"),
        (&["subscribe", "--output-dir", "x", "--json"], "--json"),
        (&["subscribe", "--stats", "--pretty"], "--pretty"),
        (&["subscribe", "--rotate-every", "1h"], "--output-dir"),
        (&["subscribe", "--output-dir", "x", "--rotate-every", "2w"], "use a time from 1s to 1d"),
        (&["subscribe", "--output-dir", "x", "--rotate-size", "large"], "use a size such as"),
        (&["subscribe", "--output-dir", "x", "--compress", "lzma"], "[possible values: gzip, zstd, none]"),
        (&["subscribe", "--output-dir", "/dev/null"], "cannot write to /dev/null: it is no directory; name another"),
        (
            &["subscribe", "-o", "/dev/null/x/y"],
            "cannot write to /dev/null/x/y: /dev/null is no directory; name another",
        ),
        (&["subscribe", "--output-dir", "/proc/self/nowhere"], "cannot write to /proc/self/nowhere: "),
        (&["subscribe", "--stats", "--stats-every", "often"], "use a time such as"),
        (&["subscribe", "--hwm=-1"], "--hwm"),
        (&["subscribe", "--bind", "127.0.0.1:1"], "'--bind <ENDPOINT>': an endpoint is tcp://HOST:PORT or ipc://PATH"),
        (&["subscribe", "--bind", "smoke://signals"], "the transport smoke is not supported; use tcp://HOST:PORT"),
        (&["subscribe", "-b", "tcp://127.0.0.1:70000"], "the port \"70000\" is not a number from 1 to 65535"),
        (&["subscribe", "-b", "tcp://a:1,tcp://b:1"], "give several endpoints one by one"),
        (&["subscribe", "-c", "tcp://*:1"], "to connect, it needs the address of the other side"),
        (&["subscribe", "-b", "tcp://no.such.name:1"], "cannot listen on tcp://no.such.name:1: "),
        (&["subscribe", "-b", "tcp://no.such.name:1"], "\"no.such.name\" is no address and no network interface"),
        (&["subscribe", "--bind", "tcp://192.0.2.1:1"], "on an address of this machine"),
        (
            &["subscribe", "--bind", "ipc:///nowhere/at/all"],
            "cannot listen on ipc:///nowhere/at/all: No such file or directory; make the directory",
        ),
        (
            &["subscribe", "--connect", "tcp://127.0.0.1"],
            "'--connect <ENDPOINT>': the port is missing; write tcp://HOST:PORT",
        ),
    ] {
        let ended = run(args).expect(2);
        ended.expect_error(part);
        assert!(ended.stdout.is_empty());
    }
}

#[test]
fn an_endpoint_in_use_is_named() {
    let subscriber = command(["subscribe", "--bind", "tcp://127.0.0.1:*", "--count", "1"]).spawn();
    let mut subscriber = subscriber.unwrap();
    let mut greeting = String::new();
    BufReader::new(subscriber.stderr.take().unwrap()).read_line(&mut greeting).unwrap();
    let endpoint = greeting.split(' ').nth(2).unwrap();
    let ended = run(["subscribe", "--bind", endpoint]).expect(2);
    ended.expect_error(&format!("cannot listen on {endpoint}: Address already in use; another program listens there"));
    subscriber.kill().unwrap();
    subscriber.wait().unwrap();
}

#[test]
fn the_demo_shows_every_record() {
    let ended = run(["demo"]).expect(0);
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
    let all: usize = SAMPLES.iter().map(|name| records(name)).sum();
    for name in SAMPLES {
        let lines = ended.lines();
        let shown: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix(&format!("{name:<8}"))).collect();
        assert_eq!(shown.len(), records(name), "{}", ended.stdout);
        for json in shown {
            let record: Value = serde_json::from_str(json).unwrap();
            assert!(record["ts"].is_f64());
        }
    }
    assert!(ended.stdout.starts_with("A subscriber on tcp://127.0.0.1:"));
    assert!(ended.stdout.contains(&format!("\n{all} records of 6 logs (")), "{}", ended.stdout);
}

#[test]
fn the_demo_ends_when_nobody_reads() {
    let mut child = command(["demo"]).spawn().unwrap();
    drop(child.stdout.take());
    let stderr = collect(child.stderr.take().unwrap());
    let ended = Running { child, stdout: None, stderr }.end().expect(0);
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
}

#[test]
fn records_arrive_as_they_are_in_the_log() {
    let files = SAMPLES.map(sample);
    let all = SAMPLES.iter().map(|name| records(name)).sum();
    let (subscriber, replay) = round_trip(all, &[], &[], &files);
    let (subscriber, replay) = (subscriber.expect(0), replay.expect(0));
    replay.expect_error(&format!("sent {all} records of 6 logs ("));
    subscriber.expect_error(&format!("received {all} records ("));
    subscriber.expect_error(": conn 9, dns 5, files 5, http 4, notice 3, ssl 4\n");
    let of = |path: &str| -> Vec<String> {
        let prefix = format!("{path}\t");
        subscriber.lines().iter().filter_map(|line| Some(line.strip_prefix(&prefix)?.to_owned())).collect()
    };
    assert_eq!(
        of("conn")[0],
        r#"{"ts":1735790403.104418,"uid":"CqWjT52kdv3hSLpYge","id.orig_h":"192.0.2.17","id.orig_p":52114,"id.resp_h":"192.0.2.53","id.resp_p":53,"proto":"udp","service":"dns","duration":0.021847,"orig_bytes":33,"resp_bytes":65,"conn_state":"SF","local_orig":true,"local_resp":true,"missed_bytes":0,"history":"Dd","orig_pkts":1,"orig_ip_bytes":61,"resp_pkts":1,"resp_ip_bytes":93,"ip_proto":17}"#
    );
    assert!(of("conn")[5].contains(r#""tunnel_parents":[]"#));
    assert!(of("dns")[2].contains(r#""query":"bücher.example""#), "{}", of("dns")[2]);
    assert!(of("dns")[2].contains(r#""answers":["TXT 21 v=spf1,a,~all \\o/","TXT 5 hello"],"TTLs":[3600.0,3600.0]"#));
    assert!(of("http")[2].contains(r#""orig_filenames":["report\tfinal.csv"]"#), "{}", of("http")[2]);
    assert!(of("http")[3].contains(r#""user_agent":"-""#));
    assert!(of("notice")[1].contains(r#""sub":"CN=shop.example.org\\, Inc.,O=\"Example\"""#), "{}", of("notice")[1]);
    assert!(of("notice")[1].contains(r#""email_dest":["security@example.org","on-call, nights@example.org"]"#));
    assert!(of("notice")[1].contains(r#""remote_location.latitude":52.374"#));
}

#[test]
fn every_layout_gives_the_same_json() {
    let file = [sample("dns")];
    let outputs: Vec<_> = FAMILIES
        .iter()
        .map(|family| round_trip(records("dns"), &[], &["--layout", family.name.to_str().unwrap()], &file))
        .map(|(subscriber, replay)| (replay.expect(0), subscriber.expect(0).stdout).1)
        .collect();
    assert!(outputs.iter().all(|output| *output == outputs[0] && !output.is_empty()), "{outputs:?}");
}

#[test]
fn compressed_logs_and_several_in_one() {
    let scratch = Scratch::new();
    let [a, b] = [counts("a", 0..3), counts("b", [7])];
    // As `cat a.log.gz b.log.gz` makes it: two gzip members, two blocks.
    let both = [gzip(a.as_bytes()), gzip(b.as_bytes())].concat();
    let file = scratch.file("both.log.gz", &both);
    let (subscriber, replay) = round_trip(4, &[], &[], &[file]);
    replay.expect(0).expect_error("sent 4 records of 2 logs");
    let subscriber = subscriber.expect(0);
    let mut lines = subscriber.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["a\t{\"n\":0}", "a\t{\"n\":1}", "a\t{\"n\":2}", "b\t{\"n\":7}"]);

    let cut = scratch.file("cut.log.gz", &gzip(counts("a", 0..5000).as_bytes())[..4000]);
    let (_, replay) = round_trip(1, &[], &[], std::slice::from_ref(&cut));
    let replay = replay.expect(1);
    replay.expect_error(&format!("{}:", cut.display()));
    replay.expect_error("cannot be read: ");
    replay.expect_error("; 1 unreadable file");
}

#[test]
fn standard_input_and_a_log_without_a_last_line_end() {
    for log in [counts("a", [1, 2]).trim_end().as_bytes().to_vec(), gzip(counts("a", [1, 2]).as_bytes())] {
        let scratch = Scratch::new();
        let endpoint = scratch.endpoint();
        let subscriber = Running::subscribe(&endpoint, &["--count", "2"], true);
        let mut replay = command(["replay", "--endpoint", &endpoint, "-"]).stdin(Stdio::piped()).spawn().unwrap();
        replay.stdin.take().unwrap().write_all(&log).unwrap();
        let stderr = collect(replay.stderr.take().unwrap());
        Running { child: replay, stdout: None, stderr }.end().expect(0);
        assert_eq!(subscriber.end().expect(0).lines(), ["a\t{\"n\":1}", "a\t{\"n\":2}"]);
    }
}

#[test]
fn a_malformed_line_costs_that_line() {
    let scratch = Scratch::new();
    let log = "#separator \\x09\n#path\tx\n#fields\ta\tb\n#types\taddr\tstring\n\
               192.0.2.1\tone\nnowhere\ttwo\n192.0.2.3\n::4\tfour\n#close\t2025-01-02-04-00-00\n";
    let bad = scratch.file("bad.log", log);
    let headless = scratch.file("headless.log", "1\t2\n3\t4\n5\t6\n");
    let (subscriber, replay) = round_trip(2, &[], &[], &[bad.clone(), headless.clone()]);
    let replay = replay.expect(1);
    replay.expect_error(&format!("{}:6: column 1 (a): \"nowhere\" is not an address\n", bad.display()));
    replay.expect_error(&format!("{}:7: 1 column instead of 2\n", bad.display()));
    replay.expect_error(&format!("{}:1: a record without the header lines", headless.display()));
    replay.expect_error("sent 2 records of 1 log (");
    replay.expect_error("; 2 malformed lines; 3 records without header lines\n");
    assert_eq!(
        subscriber.expect(0).lines(),
        ["x\t{\"a\":\"192.0.2.1\",\"b\":\"one\"}", "x\t{\"a\":\"::4\",\"b\":\"four\"}"]
    );
}

#[test]
fn logs_of_another_form_are_recognised() {
    let scratch = Scratch::new();
    let xz = scratch.file("conn.log.xz", b"\xfd7zXZ....");
    let returns = scratch.file("returns.log", counts("r", [1]).replace('\n', "\r"));
    let good = scratch.file("good.log", counts("a", [1]));
    let (_, replay) = round_trip(1, &[], &[], &[xz.clone(), returns.clone(), good]);
    let replay = replay.expect(1);
    replay.expect_error(&format!("{}: cannot be read: it is compressed with xz; use xz -dc", xz.display()));
    replay.expect_error(&format!("{}:1: its lines end with carriage returns alone", returns.display()));
}

#[test]
fn json_logs_are_sent_as_they_are() {
    let scratch = Scratch::new();
    let odd = r#"{"ts":1.50,"_path":"x", "a":{"b":[1,"}"]},"s":"\u00e9\\xff"}"#;
    let archived = scratch.file("conn.2026-11-24-03-00-00_001.log.gz", gzip(format!("{odd}\n{{}}\n").as_bytes()));
    let current = scratch.file("m%C3%BCnchen.log", "{\"a\":1}\r\n\n{\"a\":2,\"b\n{\"a\":3}");
    let zeek = scratch.file("dns.10:00:00-11:00:00.log", "{\"q\":1}\n");
    let both = scratch.file("dns.log", format!("{{\"q\":2}}\n{}#separator \\x09\n{{\"q\":3}}\n", counts("dns", [7])));
    let files = [archived, current.clone(), zeek, both];
    let options =
        ["--option", "topic=s1/%path", "--option", "json_timestamps=JSON::TS_MILLIS", "--option", "tag_json=F"];
    let (subscriber, replay) = round_trip(8, &[], &options, &files);
    let replay = replay.expect(1);
    replay.expect_error(&format!("{}:3: it is no complete JSON object", current.display()));
    replay.expect_error("JSON logs are sent as they are, without json_timestamps, tag_json\n");
    replay.expect_error("sent 8 records of 3 logs (");
    replay.expect_error("; 1 malformed line\n");
    let subscriber = subscriber.expect(0);
    let of = |path: &str| -> Vec<&str> {
        subscriber.lines().into_iter().filter_map(|line| line.strip_prefix(path)?.strip_prefix('\t')).collect()
    };
    assert_eq!(of("s1/conn"), [odd, "{}"]);
    assert_eq!(of("s1/münchen"), ["{\"a\":1}", "{\"a\":3}"]);
    let mut dns = of("s1/dns");
    dns.sort_unstable();
    assert_eq!(dns, ["{\"n\":7}", "{\"q\":1}", "{\"q\":2}", "{\"q\":3}"]);
}

#[test]
fn messages_of_one_frame_are_the_same_records() {
    let files = SAMPLES.map(sample);
    let all = SAMPLES.iter().map(|name| records(name)).sum();
    let output = |options: &[&str]| {
        let (subscriber, replay) = round_trip(all, &[], options, &files);
        replay.expect(0).expect_error(&format!("sent {all} records of 6 logs ("));
        let mut lines: Vec<_> = subscriber.expect(0).lines().into_iter().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let two = output(&[]);
    let one = ["--option", "frames=one"];
    assert_eq!(output(&one), two);
    assert_eq!(output(&[&one[..], &["--option", "batch_records=3"]].concat()), two);
    // Without a topic the JSON may say which log it is of.
    let bare = [&one[..], &["--option", "topic=", "--option", "extra_fields=_path=%path"]].concat();
    let (subscriber, _) = round_trip(records("conn"), &["--json"], &bare, &[sample("conn")]);
    let subscriber = subscriber.expect(0);
    let line = subscriber.lines()[0];
    assert!(line.starts_with(r#"{"ts":1735790403.104418,"#) && line.ends_with(r#","_path":"conn"}"#), "{line}");
    // JSON is sent as it is, also when it is longer than a buffer.
    let scratch = Scratch::new();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    let log = scratch.file("long.log", format!("{{\"a\":1}}\n{long}\n{{}}\n"));
    let (subscriber, replay) = round_trip(3, &["long"], &one, &[log]);
    replay.expect(0);
    assert_eq!(subscriber.expect(0).lines(), ["long\t{\"a\":1}", &format!("long\t{long}"), "long\t{}"]);
}

#[test]
fn what_a_collector_has_written_is_replayed_byte_for_byte() {
    let scratch = Scratch::new();
    let (endpoint, directory) = (scratch.endpoint(), scratch.0.join("logs"));
    let collector = Running::subscribe(&endpoint, &["-o", directory.to_str().unwrap(), "--count", "14"], true);
    run([
        OsStr::new("replay"),
        OsStr::new("-e"),
        OsStr::new(&endpoint),
        sample("conn").as_os_str(),
        sample("dns").as_os_str(),
    ])
    .expect(0);
    collector.end().expect(0);
    let files = ["conn.log", "dns.log"].map(|name| directory.join(name));
    let (again, replay) = round_trip(14, &[], &["--option", "batch_records=5"], &files);
    replay.expect(0);
    let (first, _) = round_trip(14, &[], &[], &[sample("conn"), sample("dns")]);
    let sorted = |ended: Ended| {
        let mut lines: Vec<_> = ended.expect(0).stdout.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(again), sorted(first));
}

#[test]
fn a_slow_subscriber_gets_all_of_a_json_log() {
    const COUNT: u64 = 30_000;
    let scratch = Scratch::new();
    let text = "x".repeat(300);
    let log: String = (0..COUNT).map(|number| format!("{{\"n\":{number},\"s\":\"{text}\"}}\n")).collect();
    let file = scratch.file("wide.log", log);
    let endpoint = scratch.endpoint();
    let mut subscriber = Running::subscribe(&endpoint, &["--hwm", "100", "--count", &COUNT.to_string()], false);
    let mut command = command(["replay", "--hwm", "100", "--endpoint", &endpoint]);
    let replay = Running::start(command.arg(file));
    thread::sleep(Duration::from_millis(500));
    subscriber.stdout = Some(collect(subscriber.child.stdout.take().unwrap()));
    replay.end().expect(0).expect_error("sent 30,000 records of 1 log");
    let subscriber = subscriber.end().expect(0);
    let numbers: Vec<u64> =
        subscriber.lines().iter().map(|line| line[10..line.find(',').unwrap()].parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..COUNT));
}

#[test]
fn what_was_sent_before_the_sender_went_is_read() {
    // More than the subscriber takes while nobody reads its output, of which the pipe holds little, and far less
    // than the system takes: how many of them depends on how many go out at once.
    const COUNT: u64 = 80;
    let scratch = Scratch::new();
    let file = wide_log(&scratch, COUNT);
    let endpoint = scratch.endpoint();
    let mut subscriber = Running::subscribe(&endpoint, &["--hwm", "10", "--count", &COUNT.to_string()], false);
    let pipe = subscriber.child.stdout.as_ref().unwrap().as_raw_fd();
    // SAFETY: the call has a number as its argument, and touches no memory.
    assert!(unsafe { libc::fcntl(pipe, libc::F_SETPIPE_SZ, 4096) } > 0);
    run([OsStr::new("replay"), OsStr::new("-e"), OsStr::new(&endpoint), file.as_os_str()])
        .expect(0)
        .expect_error("sent 80 records of 1 log");
    thread::sleep(Duration::from_millis(200));
    subscriber.stdout = Some(collect(subscriber.child.stdout.take().unwrap()));
    assert_eq!(subscriber.end().expect(0).lines().len() as u64, COUNT);
}

#[test]
fn ctrl_c_ends_a_loop_without_a_loss() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let mut subscriber = Running::subscribe(&endpoint, &["--hwm", "10"], false);
    let mut command = command(["replay", "--loop", "--hwm", "10", "--linger", "-1", "--endpoint", &endpoint]);
    let replay = Running::start(command.arg(wide_log(&scratch, 30_000)));
    // The queue fills up, because nobody reads the subscriber's output.
    thread::sleep(Duration::from_millis(1500));
    replay.signal("INT");
    thread::sleep(Duration::from_millis(300));
    let mut stdout = subscriber.child.stdout.take().unwrap();
    let rest = thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let ended = replay.end().expect(0);
    assert!(!ended.stderr.contains("dropped") && !ended.stderr.contains("; interrupted"), "{}", ended.stderr);
    subscriber.signal("TERM");
    subscriber.end().expect(0);
    rest.join().unwrap().unwrap();
}

#[test]
fn a_log_whose_columns_change() {
    let scratch = Scratch::new();
    let first = counts("a", [1]);
    let second = first.replace("#fields\tn", "#fields\tm") + "2\n";
    let file = scratch.file("a.log", first.clone() + &second + &first);
    let (subscriber, replay) = round_trip(4, &[], &[], &[file]);
    replay.expect(0).expect_error("sent 4 records of 1 log (");
    let ended = subscriber.expect(0);
    let mut lines = ended.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["a\t{\"m\":1}", "a\t{\"m\":2}", "a\t{\"n\":1}", "a\t{\"n\":1}"]);
}

#[test]
fn a_log_without_path_is_named_by_its_file() {
    let scratch = Scratch::new();
    let file = scratch.file("dhcp.2025-01-02.log", counts("x", [1]).replace("#path\tx\n", ""));
    let (subscriber, replay) = round_trip(1, &[], &[], &[file]);
    replay.expect(0);
    assert_eq!(subscriber.expect(0).stdout, "dhcp\t{\"n\":1}\n");
}

#[test]
fn the_plugins_options_can_be_set() {
    let scratch = Scratch::new();
    let log = "#separator \\x09\n#path\tx\n#fields\tts\ts\n#types\ttime\tstring\n0.250000\t-\n";
    let file = [scratch.file("x.log", log)];
    let options = ["--option", "json_timestamps=JSON::TS_MILLIS", "--option", "json_include_unset_fields=T"];
    let (subscriber, replay) = round_trip(1, &[], &options, &file);
    replay.expect(0);
    assert_eq!(subscriber.expect(0).stdout, "x\t{\"ts\":250,\"s\":null}\n");
}

#[test]
fn json_for_other_programs() {
    let (subscriber, _) = round_trip(9, &["--json"], &[], &[sample("conn")]);
    let subscriber = subscriber.expect(0);
    assert_eq!(subscriber.lines().len(), 9);
    for line in subscriber.lines() {
        assert!(line.starts_with("{\"_path\":\"conn\",\"ts\":"), "{line}");
        let record: Value = serde_json::from_str(line).unwrap();
        assert!(record["uid"].is_string());
    }
}

#[test]
fn pretty_for_reading() {
    let scratch = Scratch::new();
    let log = "#separator \\x09\n#path\tx\n#fields\tts\tid.orig_h\ttags\n#types\ttime\taddr\tset[string]\n\
               1.500000\t::1\ta,b\n";
    let (subscriber, _) = round_trip(1, &["--pretty"], &[], &[scratch.file("x.log", log)]);
    let expected = "x\n{\n  \"ts\":        1.5,\n  \"id.orig_h\": \"::1\",\n  \"tags\":      [\"a\", \"b\"]\n}\n\n";
    assert_eq!(subscriber.expect(0).stdout, expected);
}

#[test]
fn topics_choose_logs() {
    let files = ["conn", "dns", "ssl"].map(sample);
    let (subscriber, replay) = round_trip(9, &["dn", "ssl"], &[], &files);
    replay.expect(0).expect_error("sent 9 records of 3 logs");
    let subscriber = subscriber.expect(0);
    assert!(subscriber.lines().iter().all(|line| !line.starts_with("conn")));
}

#[test]
fn unwanted_logs_are_no_loss() {
    let (_, replay) = round_trip(5, &["dns"], &[], &[sample("conn"), sample("dns")]);
    replay.expect(0).expect_error("; 9 not subscribed to\n");
}

#[test]
fn count_ends_a_subscription() {
    let (subscriber, replay) = round_trip(3, &[], &["--linger", "100"], &[sample("conn")]);
    let subscriber = subscriber.expect(0);
    assert_eq!(subscriber.lines().len(), 3);
    subscriber.expect_error("received 3 records (");
    replay.expect_error("sent 9 records of 1 log");
}

#[test]
fn nobody_subscribes() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let conn = sample("conn");
    let conn = conn.to_str().unwrap();
    let ended = run(["replay", "--endpoint", &endpoint, "--wait", "0.1", conn]).expect(1);
    ended.expect_error(&format!("nobody subscribes at {endpoint}; nothing was sent; start one there"));
    ended.expect_error(&format!("bro-zmq subscribe --bind {endpoint}"));
    let ended = run(["replay", "--endpoint", "tcp://no.such.host.invalid:1", "--wait", "0.1", conn]).expect(1);
    ended.expect_error("tcp://no.such.host.invalid:1: the name no.such.host.invalid is not found; correct it, or use");
    // Like the plugin, which does not wait either.
    let ended = run(["replay", "--endpoint", &endpoint, "--wait", "0", conn]).expect(1);
    ended.expect_error("sent 0 records of 1 log (0 bytes)");
    ended.expect_error("; 9 dropped: no subscriber\n");
    let waiting = Running::start(&mut command(["replay", "--endpoint", &endpoint, "--wait", "1000", conn]));
    // The subscriber may come after the replay.
    let subscriber = Running::subscribe(&endpoint, &["--count", "9"], true);
    waiting.end().expect(0);
    subscriber.end().expect(0);
}

#[test]
fn several_endpoints() {
    let [one, other] = [Scratch::new(), Scratch::new()];
    let endpoints = format!("{},{}", one.endpoint(), other.endpoint());
    let first = Running::subscribe(&one.endpoint(), &["--count", "9"], true);
    let second = Running::subscribe(&other.endpoint(), &["--count", "9"], true);
    let conn = sample("conn");
    let replay = run(["replay", "--endpoint", &endpoints, conn.to_str().unwrap()]).expect(0);
    replay.expect_error(&format!(") to {} in ", one.endpoint()));
    replay.expect_error(&format!(") to {} in ", other.endpoint()));
    assert_eq!(first.end().expect(0).stdout, second.end().expect(0).stdout);
}

/// A log so large that what the system and ZeroMQ buffer holds a small part of it.
fn wide_log(scratch: &Scratch, records: u64) -> PathBuf {
    let mut log = "#separator \\x09\n#path\twide\n#fields\tn\ts\n#types\tcount\tstring\n".to_owned();
    let text = "x".repeat(300);
    for number in 0..records {
        log += &format!("{number}\t{text}\n");
    }
    scratch.file("wide.log", log)
}

#[test]
fn a_slow_subscriber_gets_everything() {
    const COUNT: u64 = 30_000;
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let count = COUNT.to_string();
    let mut subscriber = Running::subscribe(&endpoint, &["--count", &count], false);
    let mut command = command(["replay", "--verbose", "--hwm", "10", "--linger", "-1", "--endpoint", &endpoint]);
    let mut child = command.arg(wide_log(&scratch, COUNT)).spawn().unwrap();
    // The subscriber prints, and nobody reads, so that it stops receiving, and everything fills up.
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.starts_with("the subscriber takes nothing; waiting for it"), "{first}");
    let replay = Running { child, stdout: None, stderr: collect(stderr) };
    subscriber.stdout = Some(collect(subscriber.child.stdout.take().unwrap()));
    let replay = replay.end().expect(0);
    replay.expect_error("; what met a full queue was written again\n");
    replay.expect_error("sent 30,000 records of 1 log");
    let subscriber = subscriber.end().expect(0);
    let numbers: Vec<u64> =
        subscriber.lines().iter().map(|line| line[10..line.find(',').unwrap()].parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..COUNT));
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let mut subscriber = Running::subscribe(&endpoint, &["--hwm", "100"], false);
    let mut stdout = BufReader::new(subscriber.child.stdout.take().unwrap());
    let mut command = command(["replay", "--linger", "-1", "--endpoint", &endpoint]);
    let mut child = command.arg(wide_log(&scratch, 30_000)).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    // The subscriber, whose output nobody reads, soon takes nothing more.
    thread::sleep(Duration::from_millis(500));
    let status = Command::new("sh").args(["-c", &format!("kill -s INT {}", child.id())]).status().unwrap();
    assert!(status.success());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.starts_with("interrupted; waiting for the subscriber"), "{first}");
    let replay = Running { child, stdout: None, stderr: collect(stderr) };
    replay.signal("INT");
    replay.end().expect(130);
    drop(stdout);
    subscriber.end().expect(0);
}

#[test]
fn rate_is_a_limit() {
    let scratch = Scratch::new();
    let file = scratch.file("a.log", counts("a", 0..21));
    let start = Instant::now();
    let (subscriber, replay) = round_trip(21, &[], &["--rate", "100"], &[file]);
    assert!(start.elapsed() >= Duration::from_millis(200));
    replay.expect(0);
    subscriber.expect(0);
}

#[test]
fn loop_goes_on_until_it_is_interrupted() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let file = scratch.file("a.log", counts("a", 0..3) + "bad\n");
    let mut subscriber = Running::subscribe(&endpoint, &[], false);
    let mut command = command(["replay", "--loop", "--rate", "1000", "--endpoint", &endpoint]);
    let replay = Running::start(command.arg(&file));
    let mut lines = BufReader::new(subscriber.child.stdout.take().unwrap()).lines();
    for number in (0..3).cycle().take(20) {
        assert_eq!(lines.next().unwrap().unwrap(), format!("a\t{{\"n\":{number}}}"));
    }
    replay.signal("INT");
    let rest = thread::spawn(move || lines.count());
    let ended = replay.end().expect(1);
    assert_eq!(ended.stderr.matches("a.log:8: ").count(), 1, "told once, not on every pass: {}", ended.stderr);
    ended.expect_error("; 1 malformed line\n");
    subscriber.signal("TERM");
    subscriber.end().expect(0).expect_error("received ");
    rest.join().unwrap();
}

#[test]
fn nothing_to_repeat() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let subscriber = Running::subscribe(&endpoint, &[], true);
    let file = scratch.file("a.log", counts("a", []));
    let ended = run(["replay", "--loop", "--endpoint", &endpoint, file.to_str().unwrap()]).expect(0);
    ended.expect_error("there is nothing to repeat");
    subscriber.signal("INT");
    subscriber.end().expect(0);
}

#[test]
fn ctrl_c_ends_a_subscription_with_a_summary() {
    for signal in ["INT", "TERM"] {
        let scratch = Scratch::new();
        let endpoint = scratch.endpoint();
        let mut subscriber = Running::subscribe(&endpoint, &[], false);
        let conn = sample("conn");
        run(["replay", "--quiet", "--endpoint", &endpoint, conn.to_str().unwrap()]).expect(0);
        let mut lines = BufReader::new(subscriber.child.stdout.take().unwrap()).lines();
        for _ in 0..9 {
            lines.next().unwrap().unwrap();
        }
        subscriber.signal(signal);
        let ended = subscriber.end().expect(0);
        assert!(
            ended.stderr.starts_with("received 9 records (") && ended.stderr.ends_with(": conn 9\n"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn ctrl_c_ends_a_replay_that_waits() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let conn = sample("conn");
    let mut child =
        command(["replay", "--wait", "1000", "--endpoint", &endpoint, conn.to_str().unwrap()]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    assert!(first.starts_with("waiting up to 1000 s for a subscriber at ipc://"), "{first}");
    let replay = Running { child, stdout: None, stderr: collect(stderr) };
    replay.signal("INT");
    replay.end().expect(1).expect_error("nothing was sent");

    // A replay that waits for its input ends, too.
    let subscriber = Running::subscribe(&endpoint, &["--count", "1"], true);
    let mut child = command(["replay", "--endpoint", &endpoint, "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(counts("a", [1]).as_bytes()).unwrap();
    assert_eq!(subscriber.end().expect(0).stdout, "a\t{\"n\":1}\n");
    let replay = Running { stderr: collect(child.stderr.take().unwrap()), child, stdout: None };
    replay.signal("INT");
    replay.end().expect(1).expect_error("; interrupted\n");
    drop(stdin);
}

#[test]
fn a_closed_pipe_ends_a_subscription_quietly() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    // The subscription ends whether a record arrives after that or not.
    for publish in [false, true] {
        let mut subscriber = Running::subscribe(&endpoint, &[], false);
        if publish {
            let mut lines = BufReader::new(subscriber.child.stdout.take().unwrap()).lines();
            let conn = sample("conn");
            run(["replay", "--linger", "100", "--endpoint", &endpoint, conn.to_str().unwrap()]);
            lines.next().unwrap().unwrap();
        } else {
            drop(subscriber.child.stdout.take());
        }
        let ended = subscriber.end().expect(0);
        assert!(ended.stderr.is_empty(), "{}", ended.stderr);
    }
}

#[test]
fn messages_that_are_no_records_are_reported() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let subscriber = Running::subscribe(&endpoint, &["--json", "--count", "1"], true);
    let context = Arc::new(Context::new().unwrap());
    let socket = Socket::new(&context, SocketType::XPub).unwrap();
    socket.connect(&std::ffi::CString::new(endpoint).unwrap()).unwrap();
    assert!(socket.wait_readable(60_000).unwrap());
    let send = |frames: &[&[u8]]| {
        for (index, frame) in frames.iter().enumerate() {
            let mut frame = Message::copy_of(frame).unwrap();
            assert!(socket.try_send(&mut frame, index + 1 < frames.len()).is_ok());
        }
    };
    send(&[b"alone"]);
    send(&[b"of an {other} kind"]);
    send(&[b"a\xff", b"{}", b"more", b"and more"]);
    send(&[b"x", b"not json"]);
    send(&[b"x", b""]);
    send(&[b"y\xff", b"{\n\"a\": 1\n}"]);
    let ended = subscriber.end().expect(1);
    assert_eq!(ended.stdout, "{\"_path\":\"y\\\\xff\",\"a\": 1 }\n");
    ended.expect_error("not a record of log path and JSON, in two frames or one: 1 frame, the first is \"alone\"\n");
    ended.expect_error("4 frames, the first is \"a\\xff\"\n");
    ended.expect_error("a body that is no JSON object, of x\n");
    ended.expect_error("1 frame, the first is \"of an {other} kind\"\n");
    ended.expect_error("; 5 messages that are no record\n");
}

#[test]
fn bytes_pass_as_they_are() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let mut subscriber = Running::subscribe(&endpoint, &["--count", "1", "\u{e9}"], false);
    let context = Arc::new(Context::new().unwrap());
    let socket = Socket::new(&context, SocketType::XPub).unwrap();
    socket.connect(&std::ffi::CString::new(endpoint).unwrap()).unwrap();
    assert!(socket.wait_readable(60_000).unwrap());
    let path = "\u{e9}\0path".as_bytes();
    assert!(socket.try_send(&mut Message::copy_of(path).unwrap(), true).is_ok());
    assert!(socket.try_send(&mut Message::copy_of(b"\x00\xff\x1b[2J").unwrap(), false).is_ok());
    let mut stdout = Vec::new();
    subscriber.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    assert_eq!(stdout, [path, b"\t\x00\xff\x1b[2J\n"].concat());
    subscriber.end().expect(0);
}

/// A log with one column of text.
fn words(path: &[u8], words: &str) -> Vec<u8> {
    [b"#separator \\x09\n#path\t", path, b"\n#fields\tx\n#types\tstring\n", words.as_bytes()].concat()
}

#[test]
fn a_rate_that_nobody_lives_to_see() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let subscriber = Running::subscribe(&endpoint, &["--count", "1"], true);
    let file = scratch.file("n.log", counts("n", [1, 2]));
    let mut replay = command(["replay", "--endpoint", &endpoint, "--rate", "1e-25"]);
    let replay = Running::start(replay.arg(file));
    assert_eq!(subscriber.end().expect(0).lines(), ["n\t{\"n\":1}"]);
    replay.signal("INT");
    replay.end().expect(1).expect_error("; interrupted");
}

#[test]
fn a_record_with_a_path_of_its_own() {
    let scratch = Scratch::new();
    let log = "#separator \\x09\n#path\tconn\n#fields\t_path\tn\tnote\n#types\tstring\tcount\tstring\n\
               conn\t1\tthe text \"_path\":\"x\" is no member\n";
    let file = scratch.file("conn.log", log);
    let (subscriber, replay) = round_trip(1, &["--json"], &["--option", "topic=nids1/%path"], &[file]);
    replay.expect(0);
    let expected = r#"{"_path":"nids1/conn","n":1,"note":"the text \"_path\":\"x\" is no member"}"#;
    assert_eq!(subscriber.expect(0).lines(), [expected]);
}

#[test]
fn what_can_be_read_of_a_damaged_archive_is_sent() {
    let scratch = Scratch::new();
    // Numbers that do not compress to nothing.
    let log = counts("n", (0..100_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16));
    let lines: Vec<_> = log.lines().filter(is_record).map(|n| format!("n\t{{\"n\":{n}}}")).collect();
    for (compressed, name) in
        [(gzip(log.as_bytes()), "n.log.gz"), (zstd::encode_all(log.as_bytes(), 3).unwrap(), "n.log.zst")]
    {
        let padded = scratch.file(name, [&compressed[..], &[0; 10_000]].concat());
        let (subscriber, replay) = round_trip(lines.len(), &[], &[], &[padded]);
        replay.expect(0);
        assert!(subscriber.expect(0).lines() == lines, "{name}");

        let mut damaged = compressed.clone();
        let middle = damaged.len() / 2;
        damaged[middle..].fill(0xff);
        let damaged = scratch.file(name, damaged);
        let (endpoint, directory) = (scratch.endpoint(), scratch.0.join("logs"));
        let subscriber = Running::subscribe(&endpoint, &["--output-dir", directory.to_str().unwrap()], true);
        let replay = run([OsStr::new("replay"), "--endpoint".as_ref(), endpoint.as_ref(), damaged.as_os_str()]);
        let replay = replay.expect(1);
        replay.expect_error("; what comes before that was read");
        replay.expect_error("; 1 unreadable file");
        subscriber.signal("TERM");
        subscriber.end().expect(0);
        let got = fs::read_to_string(directory.join("n.log")).unwrap();
        let got: Vec<_> = got.lines().map(|line| format!("n\t{line}")).collect();
        assert!(got.len() > lines.len() / 4 && got.len() < lines.len(), "{name}: {}", got.len());
        // What was read well in front of the fault is as it was; what the fault has hit may be anything.
        assert!(got[..lines.len() / 4] == lines[..lines.len() / 4], "{name}");
        fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn what_other_programs_do_to_a_log_is_no_value() {
    let scratch = Scratch::new();
    let log = String::from_utf8(words(b"x", "a\n#close\tx\n")).unwrap();
    let touched = format!("\u{feff}{log}\n\n\u{feff}{log}").replace('\n', "\r\n");
    let file = scratch.file("x.log", touched);
    let (subscriber, replay) = round_trip(2, &[], &[], &[file]);
    let replay = replay.expect(0);
    replay.expect_error("sent 2 records of 1 log ");
    assert_eq!(subscriber.expect(0).lines(), ["x\t{\"x\":\"a\"}"; 2]);
}

#[test]
fn log_paths_that_are_no_text() {
    let scratch = Scratch::new();
    let files = [
        scratch.file("1.log", words(b"caf\xe9", "a\n")),
        scratch.file("2.log", words(b"caf\xe8", "b\n")),
        scratch.file("3.log", words(b"caf\\\\xe8", "c\n")),
    ];
    let (subscriber, replay) = round_trip(3, &["--json"], &[], &files);
    replay.expect(0).expect_error("sent 3 records of 3 logs ");
    let ended = subscriber.expect(0);
    let expected =
        [r#"{"_path":"caf\\xe9","x":"a"}"#, r#"{"_path":"caf\\xe8","x":"b"}"#, r#"{"_path":"caf\\x5cxe8","x":"c"}"#];
    for line in expected {
        assert!(ended.lines().contains(&line), "{}", ended.stdout);
    }
    ended.expect_error(r"caf\x5cxe8 1, caf\xe8 1, caf\xe9 1");

    let directory = scratch.0.join("logs");
    let (subscriber, replay) = round_trip(3, &["--output-dir", directory.to_str().unwrap()], &[], &files);
    replay.expect(0);
    subscriber.expect(0);
    for (name, line) in
        [("caf%E9.log", "{\"x\":\"a\"}\n"), ("caf%E8.log", "{\"x\":\"b\"}\n"), ("caf%5Cxe8.log", "{\"x\":\"c\"}\n")]
    {
        assert_eq!(fs::read_to_string(directory.join(name)).unwrap(), line, "{name}");
    }

    let endpoint = scratch.endpoint();
    let mut subscriber = Running::subscribe(&endpoint, &["--count", "3"], false);
    Running::start(command(["replay", "--endpoint", &endpoint]).args(&files)).end().expect(0);
    let mut stdout = Vec::new();
    subscriber.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let mut lines: Vec<_> = stdout.split(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    assert_eq!(lines, [&b""[..], b"caf\\xe8\t{\"x\":\"c\"}", b"caf\xe8\t{\"x\":\"b\"}", b"caf\xe9\t{\"x\":\"a\"}"]);
    subscriber.end().expect(0);
}

#[test]
fn every_topic_of_many_is_subscribed_to() {
    let scratch = Scratch::new();
    for count in [1_200, 10_000] {
        let endpoint = scratch.endpoint();
        let topics: Vec<_> = (0..count).map(|n| format!("log-{n:05}")).collect();
        let mut args = vec!["--count", "3"];
        args.extend(topics.iter().map(String::as_str));
        let subscriber = Running::subscribe(&endpoint, &args, true);
        let mut sent = Vec::new();
        for n in [0, 1_001, count - 1] {
            let file = scratch.file("x.log", words(topics[n].as_bytes(), "a\n"));
            let replay = run([OsStr::new("replay"), "--endpoint".as_ref(), endpoint.as_ref(), file.as_os_str()]);
            replay.expect(0);
            sent.push(format!("{}\t{{\"x\":\"a\"}}", topics[n]));
        }
        assert_eq!(subscriber.end().expect(0).lines(), sent);
    }
    let many: Vec<_> = (0..10_001).map(|n| format!("log-{n:05}")).collect();
    let too_many = run(std::iter::once("subscribe").chain(many.iter().map(String::as_str))).expect(2);
    too_many.expect_error("10,001 topics; a publisher takes up to 10,000; give shorter beginnings");
    let long = "x".repeat(1025);
    run(["subscribe", &long]).expect(2).expect_error("has 1,025 bytes; a publisher takes up to 1,024");
}

/// A subscriber of ZMTP 3.0 that tells its topics one by one, with a pause before each. Returns the
/// bytes that it gets.
fn hesitant_subscriber(topics: &'static [&'static str], pause: Duration) -> (String, thread::JoinHandle<Vec<u8>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let serve = move |mut peer: std::net::TcpStream| {
            let mut greeting = [0; 64];
            (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
            greeting[12..16].copy_from_slice(b"NULL");
            peer.write_all(&greeting).unwrap();
            peer.write_all(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB").unwrap();
            for topic in topics {
                thread::sleep(pause);
                let frame = [&[0, topic.len() as u8 + 1, 1], topic.as_bytes()].concat();
                // The probe's connection may have ended.
                let _ = peer.write_all(&frame);
            }
            let mut all = Vec::new();
            let _ = peer.read_to_end(&mut all);
            all
        };
        // The probe and a writer connect.
        let peers: Vec<_> =
            (0..2).map(|_| listener.accept().unwrap().0).map(|peer| thread::spawn(move || serve(peer))).collect();
        peers.into_iter().flat_map(|peer| peer.join().unwrap()).collect()
    });
    (endpoint, thread)
}

#[test]
fn a_subscriber_is_listened_to_until_it_has_told_all_topics() {
    const TOPICS: &[&str] = &["a", "b", "c", "d", "e", "f", "n"];
    let scratch = Scratch::new();
    let file = scratch.file("n.log", counts("n", 0..300));
    let (endpoint, received) = hesitant_subscriber(TOPICS, Duration::from_millis(60));
    let replay = run([OsStr::new("replay"), "--endpoint".as_ref(), endpoint.as_ref(), file.as_os_str()]).expect(0);
    replay.expect_error("sent 300 records of 1 log ");
    let received = received.join().unwrap();
    for n in [0, 299] {
        let record = format!("{{\"n\":{n}}}");
        assert!(received.windows(record.len()).any(|window| window == record.as_bytes()), "{n}");
    }
}

#[test]
fn hundreds_of_log_paths() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let subscriber = Running::subscribe(&endpoint, &["--count", "300"], true);
    let log: Vec<_> = (0..300).flat_map(|n| words(format!("log-{n}").as_bytes(), "a\n")).collect();
    let file = scratch.file("all.log", log);
    let program = env!("CARGO_BIN_EXE_bro-zmq");
    let shell = format!("ulimit -Sn 256; exec {program} replay --endpoint {endpoint} {}", file.display());
    let replay = Running::start(
        Command::new("sh").args(["-c", &shell]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()),
    );
    replay.end().expect(0).expect_error("sent 300 records of 300 logs ");
    subscriber.end().expect(0);
}

#[test]
fn an_ipc_path_that_somebody_listens_on_is_in_use() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let file = scratch.file("n.log", counts("n", 0..5));
    let replay = || run([OsStr::new("replay"), "--endpoint".as_ref(), endpoint.as_ref(), file.as_os_str()]).expect(0);
    let first = Running::subscribe(&endpoint, &["--count", "10"], true);
    for _ in 0..2 {
        let second = run(["subscribe", "--bind", &endpoint]).expect(2);
        second.expect_error(&format!(
            "cannot listen on {endpoint}: Address already in use; another program listens there"
        ));
        replay();
    }
    assert_eq!(first.end().expect(0).lines().len(), 10);
    // What a crash has left is taken over.
    let mut first = Running::subscribe(&endpoint, &[], true);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(scratch.0.join("socket").exists());
    let next = Running::subscribe(&endpoint, &["--count", "5"], true);
    replay();
    assert_eq!(next.end().expect(0).lines().len(), 5);
    // A file that is no socket is not taken over.
    let _ = fs::remove_file(scratch.0.join("socket"));
    let file = scratch.file("socket", "precious");
    run(["subscribe", "--bind", &endpoint]).expect(2).expect_error("a file is there that is no socket");
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
}
