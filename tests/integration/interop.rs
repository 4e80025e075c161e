//! The writer against subscribers that share no code with it: a C program over the
//! system's libzmq, and a Python program over pyzmq. What they print must be, byte for
//! byte, what is expected here.
//!
//! Where libzmq's development files or pyzmq are missing, the test says SKIPPED and how
//! to install them; with BZW_INTEROP=required in the environment (CI) it fails instead.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::common::python::{self, required};
use crate::native::{compile, manifest, run, scratch};
use bro_zeromq_writer::host::{Address, FAMILIES};
use fake_host::{Cell, Columns, Type, Writer};

const TIMEOUT_MS: u32 = 30_000;

/// A subscriber: the words of its command, or how to install what it lacks.
type Program = Result<Vec<PathBuf>, &'static str>;

/// `tests/interop/subscriber.c`, compiled.
fn c_subscriber() -> Program {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    PROGRAM
        .get_or_init(|| {
            let flags = |what| {
                let output = Command::new("pkg-config").args([what, "libzmq"]).output().ok();
                let text = output.filter(|output| output.status.success()).map(|output| output.stdout);
                String::from_utf8_lossy(&text.unwrap_or_default())
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let probe = scratch().join("probe.c");
            std::fs::write(&probe, "#include <zmq.h>\nint main(void) { return zmq_errno(); }\n")
                .expect("the file can be written");
            let build = |source: PathBuf, program: &PathBuf| {
                let mut command = compile("CC", &["-std=c99", "-pedantic"]);
                command.args(flags("--cflags")).arg(source).arg("-o").arg(program).args(flags("--libs")).arg("-lzmq");
                command
            };
            let found = build(probe, &scratch().join("probe")).output().is_ok_and(|output| output.status.success());
            if !found {
                return Err("libzmq's development files are missing: apt-get install libzmq3-dev");
            }
            let program = scratch().join("subscriber");
            run(&mut build(manifest().join("tests/interop/subscriber.c"), &program));
            Ok(vec![program])
        })
        .clone()
}

/// `tests/interop/subscriber.py`, under the first Python that has pyzmq.
fn python_subscriber() -> Program {
    python::with_pyzmq().map(|python| vec![python, manifest().join("tests/interop/subscriber.py")])
}

/// A subscriber that runs, and the endpoint that it has bound.
struct Subscriber {
    child: Child,
    endpoint: String,
}

impl Subscriber {
    /// Starts a subscriber that binds and takes `count` messages.
    fn start(program: &[PathBuf], endpoint: &str, count: usize, topic: &str) -> Self {
        let mut child = Command::new(&program[0])
            .args(&program[1..])
            .args(["bind", endpoint, &count.to_string(), &TIMEOUT_MS.to_string(), topic])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?}: {error}"));
        let mut said = String::new();
        BufReader::new(child.stderr.take().expect("is piped")).read_line(&mut said).expect("stderr can be read");
        assert_eq!(said, "ready\n");
        Self { child, endpoint: endpoint.to_owned() }
    }

    /// Waits until the subscriber has ended, and returns what it has printed.
    fn finish(mut self) -> Vec<u8> {
        let mut printed = Vec::new();
        self.child.stdout.take().expect("is piped").read_to_end(&mut printed).expect("stdout can be read");
        let status = self.child.wait().expect("the subscriber ends");
        assert!(status.success(), "{status}; printed:\n{}", String::from_utf8_lossy(&printed));
        printed
    }
}

impl Drop for Subscriber {
    /// Not every libzmq removes its socket from the file system.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(path) = self.endpoint.strip_prefix("ipc://") {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn ipc(name: &str) -> String {
    // The system's limit for a socket's path is short, so not in `scratch()`.
    let path = env::temp_dir().join(format!("bzw-{}-{name}", std::process::id()));
    format!("ipc://{}", path.display())
}

fn tcp() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    format!("tcp://{}", listener.local_addr().unwrap())
}

/// A column's name and type.
type Column = (&'static str, Type);

/// A record and the JSON expected of it.
type Expected = (Vec<Cell>, &'static str);

/// The columns of a log, and some records.
fn records() -> (Vec<Column>, Vec<Expected>) {
    let text = |bytes: &[u8]| Cell::Text(Type::String, bytes.to_vec());
    let v6 = |last| Address::V6([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    let columns = vec![
        ("ts", Type::Time),
        ("uid", Type::String),
        ("id.orig_h", Type::Addr),
        ("id.orig_p", Type::Port),
        ("local", Type::Bool),
        ("bytes", Type::Count),
        ("delta", Type::Int),
        ("duration", Type::Interval),
        ("score", Type::Double),
        ("action", Type::Enum),
        ("net", Type::Subnet),
        ("tags", Type::Set),
        ("path", Type::Vector),
    ];
    let full = vec![
        Cell::Time(1_699_999_999.123_456),
        text(b"CHhAvVGS1DHFjwGM9"),
        Cell::Addr(Address::V4([10, 0, 0, 1])),
        Cell::Port(443, 1),
        Cell::Bool(true),
        Cell::Count(u64::MAX),
        Cell::Int(i64::MIN),
        Cell::Interval(0.25),
        Cell::Double(1e30),
        Cell::Text(Type::Enum, b"Notice::ACTION_LOG".to_vec()),
        Cell::Subnet(Address::V4([192, 168, 0, 0]), 96 + 16),
        Cell::List(Type::Set, vec![text(b"a"), text(b"b")]),
        Cell::List(Type::Vector, vec![Cell::Addr(v6(1)), Cell::Addr(v6(2))]),
    ];
    let hard = vec![
        Cell::Time(0.5),
        text("gr\u{fc}\u{df} \u{20ac} \u{1f600} \" \\ \u{ff}".as_bytes()),
        Cell::Addr(v6(0xff)),
        Cell::Port(0, 0),
        Cell::Bool(false),
        Cell::Count(0),
        Cell::Int(-1),
        Cell::Interval(1.0),
        Cell::Double(f64::NAN),
        text(b"not UTF-8: \xff\xc0\x80"),
        Cell::Subnet(v6(0), 32),
        Cell::List(Type::Set, vec![]),
        Cell::List(Type::Vector, vec![Cell::List(Type::Vector, vec![Cell::Count(1)]), Cell::List(Type::Set, vec![])]),
    ];
    let unset = columns.iter().map(|(_, kind)| Cell::Unset(*kind)).collect();
    let expected = vec![
        (
            full,
            r#"{"ts":1699999999.123456,"uid":"CHhAvVGS1DHFjwGM9","id.orig_h":"10.0.0.1","id.orig_p":443,"local":true,"bytes":18446744073709551615,"delta":-9223372036854775808,"duration":0.25,"score":1e30,"action":"Notice::ACTION_LOG","net":"192.168.0.0/16","tags":["a","b"],"path":["2001:db8::1","2001:db8::2"]}"#,
        ),
        (
            hard,
            r#"{"ts":0.5,"uid":"grüß € 😀 \" \\ ÿ","id.orig_h":"2001:db8::ff","id.orig_p":0,"local":false,"bytes":0,"delta":-1,"duration":1.0,"score":null,"action":"not UTF-8: \\xff\\xc0\\x80","net":"2001:db8::/32","tags":[],"path":[[1],[]]}"#,
        ),
        (unset, "{}"),
    ];
    (columns, expected)
}

/// Sorts lines by log path, and keeps the order of each path. The writers of
/// [`publish_everything`] come one after the other, each with a connection of its own, and a
/// subscriber takes from its connections in turn: only the records of one path keep their order.
fn by_log_path(lines: &[u8]) -> Vec<u8> {
    let mut lines: Vec<_> = lines.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_by_key(|line| line.split(|&byte| byte == b'\t').next());
    lines.concat()
}

/// Publishes every record in every host's layout to one subscriber.
fn publish_everything(program: &[PathBuf], endpoint: &str) {
    let (columns, records) = records();
    let subscriber = Subscriber::start(program, endpoint, FAMILIES.len() * records.len(), "");
    let mut expected = Vec::new();
    for family in &FAMILIES {
        let path = format!("log_{}", family.name.to_string_lossy());
        let columns = Columns::new(&family.layout, columns.clone());
        let mut writer = Writer::with_columns(&path, endpoint, &[], &columns).unwrap();
        writer.await_subscription_of(0);
        let mut bytes = 0;
        for (cells, json) in &records {
            writer.write(cells);
            expected.extend(format!("{path}\t{json}\n").bytes());
            bytes += (path.len() + json.len()) as u64;
        }
        let stats = writer.stats();
        assert_eq!(
            (stats.records_written, stats.records_sent + stats.records_queued),
            (records.len() as u64, records.len() as u64)
        );
        assert_eq!(stats.bytes_sent, bytes);
        writer.close();
    }
    let printed = subscriber.finish();
    let (printed, expected) = (by_log_path(&printed), by_log_path(&expected));
    assert_eq!(String::from_utf8_lossy(&printed), String::from_utf8_lossy(&expected));
    assert_eq!(printed, expected);
}

#[test]
fn a_c_subscriber_receives_the_bytes() {
    if let Some(program) = required(c_subscriber(), "a C subscriber") {
        publish_everything(&program, &ipc("c"));
        publish_everything(&program, &tcp());
    }
}

#[test]
fn a_python_subscriber_receives_the_bytes() {
    if let Some(program) = required(python_subscriber(), "a Python subscriber") {
        publish_everything(&program, &ipc("python"));
        publish_everything(&program, &tcp());
    }
}

/// One writer, two endpoints, a subscriber of each kind.
#[test]
fn both_subscribers_receive_the_same() {
    let programs = (
        required(c_subscriber(), "a C and a Python subscriber"),
        required(python_subscriber(), "a C and a Python subscriber"),
    );
    let (Some(c), Some(python)) = programs else { return };
    let (first, second) = (ipc("both"), tcp());
    let (columns, records) = records();
    let subscribers = [Subscriber::start(&c, &first, 100, "conn"), Subscriber::start(&python, &second, 100, "conn")];
    let layout = &FAMILIES[FAMILIES.len() - 1].layout;
    let columns = Columns::new(layout, columns);
    let mut writer = Writer::with_columns("conn", &format!("{first},{second}"), &[], &columns).unwrap();
    writer.await_subscription_of(0);
    writer.await_subscription_of(1);
    let mut expected = String::new();
    for (cells, json) in records.iter().cycle().take(100) {
        writer.write(cells);
        expected += &format!("conn\t{json}\n");
    }
    writer.close();
    for subscriber in subscribers {
        assert_eq!(String::from_utf8_lossy(&subscriber.finish()), expected);
    }
}

/// A subscription to a log path selects the paths that begin with it, and no others.
#[test]
fn a_topic_selects_log_paths() {
    let Some(program) = required(c_subscriber(), "topics") else { return };
    let endpoint = ipc("topic");
    let (columns, records) = records();
    let layout = &FAMILIES[0].layout;
    let columns = Columns::new(layout, columns);
    let (cells, json) = &records[0];

    let subscriber = Subscriber::start(&program, &endpoint, 2, "http");
    let [mut http, mut https, mut dns] =
        ["http", "http_2", "dns"].map(|path| Writer::with_columns(path, &endpoint, &[], &columns).unwrap());
    http.await_subscription_of(0);
    https.await_subscription_of(0);
    for writer in [&mut dns, &mut http, &mut https] {
        writer.write(cells);
    }
    let unwanted = dns.stats();
    assert_eq!((unwanted.subscribed, unwanted.bytes_sent, unwanted.dropped_no_subscriber), (0, 0, 1));
    // The order of two logs does not matter.
    let printed = subscriber.finish();
    let mut lines: Vec<_> = std::str::from_utf8(&printed).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [format!("http\t{json}"), format!("http_2\t{json}")]);
    for writer in [http, https, dns] {
        writer.close();
    }
}
