//! `bro-zmq subscribe --output-dir`: what is in its files, whatever happens.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bro_zeromq_writer::zmq::{Context, Message, Socket, SocketType};
use serde_json::Value;

use crate::common::root;
use crate::tool::{PATIENCE, Running, Scratch, collect, command, run, sample};

/// Sends whatever a test wants sent.
struct Publisher(Socket);

impl Publisher {
    /// Connects, and waits for the subscription.
    fn connect(endpoint: &str) -> Self {
        let context = Arc::new(Context::new().unwrap());
        let socket = Socket::new(&context, SocketType::XPub).unwrap();
        socket.set(zmq_sys::ZMQ_SNDHWM, 0).unwrap();
        socket.set(zmq_sys::ZMQ_LINGER, 60_000).unwrap();
        socket.connect(&CString::new(endpoint).unwrap()).unwrap();
        assert!(socket.wait_readable(60_000).unwrap());
        Self(socket)
    }

    fn send(&self, path: impl AsRef<[u8]>, record: impl AsRef<[u8]>) {
        for (frame, more) in [(path.as_ref(), true), (record.as_ref(), false)] {
            assert!(self.0.try_send(&mut Message::copy_of(frame).unwrap(), more).is_ok());
        }
    }

    fn send_numbers(&self, path: &str, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.send(path, format!("{{\"n\":{number}}}"));
        }
    }
}

/// A collector that is listening, and its directory.
struct Collector {
    scratch: Scratch,
    directory: PathBuf,
    running: Option<Running>,
}

impl Collector {
    fn start(args: &[&str]) -> Self {
        let scratch = Scratch::new();
        let directory = scratch.0.join("logs");
        let mut collector = Self { scratch, directory, running: None };
        collector.restart(args);
        collector
    }

    /// Starts a collector that finds in its directory what `prepare` puts there.
    fn start_with(args: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let scratch = Scratch::new();
        let directory = scratch.0.join("logs");
        fs::create_dir(&directory).unwrap();
        prepare(&directory);
        let mut collector = Self { scratch, directory, running: None };
        collector.restart(args);
        collector
    }

    fn restart(&mut self, args: &[&str]) {
        let directory = self.directory.to_str().unwrap();
        let args = [&["--output-dir", directory], args].concat();
        self.running = Some(Running::subscribe(&self.scratch.endpoint(), &args, true));
    }

    fn publisher(&self) -> Publisher {
        Publisher::connect(&self.scratch.endpoint())
    }

    /// Ends the collector by SIGTERM, and returns what it has said.
    #[track_caller]
    fn stop(&mut self, code: i32) -> String {
        let running = self.running.take().unwrap();
        running.signal("TERM");
        running.end().expect(code).stderr
    }

    fn signal(&self, name: &str) {
        self.running.as_ref().unwrap().signal(name);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// All files but the lock: name and content, unpacked.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        list(&self.directory, &self.directory, &mut files);
        files
    }

    /// Waits until `complete` says that the files of a log path are as they should be. Returns them in the
    /// order of their names, the current one last.
    #[track_caller]
    fn wait_for(&self, path: &str, complete: impl Fn(&[(String, String)]) -> bool) -> Vec<(String, String)> {
        let (current, dated) = (format!("{path}.log"), format!("{path}.20"));
        let start = Instant::now();
        loop {
            let all = self.files();
            let finished = all.iter().filter(|(name, _)| name.starts_with(&dated));
            let files = finished.chain(all.get_key_value(&current));
            let files: Vec<_> = files.map(|(name, content)| (name.clone(), content.clone())).collect();
            if complete(&files) {
                return files;
            }
            assert!(start.elapsed() < PATIENCE, "{all:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn list(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            list(root, &path, files);
        } else if name != ".bro-zmq.lock" {
            // The file may be renamed or removed at any time.
            if let Ok(bytes) = fs::read(&path) {
                files.insert(name, unpack(&path, bytes));
            }
        }
    }
}

fn unpack(path: &Path, bytes: Vec<u8>) -> String {
    let mut text = String::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap()),
        Some("zst") => drop(zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap()),
        _ => text = String::from_utf8_lossy(&bytes).into_owned(),
    }
    text
}

fn content(files: &[(String, String)]) -> String {
    files.iter().map(|(_, content)| &**content).collect()
}

fn numbers(range: impl IntoIterator<Item = u64>) -> String {
    range.into_iter().map(|number| format!("{{\"n\":{number}}}\n")).collect()
}

/// Asserts that a name is `PATH.YYYY-MM-DD-hh-mm-ss[_NNN]SUFFIX`.
#[track_caller]
fn assert_dated(name: &str, path: &str, suffix: &str) {
    let time =
        name.strip_prefix(path).and_then(|name| name.strip_prefix('.')).and_then(|name| name.strip_suffix(suffix));
    let time = time.unwrap_or_else(|| panic!("{name}"));
    let shape: String = time.chars().map(|char| if char.is_ascii_digit() { 'd' } else { char }).collect();
    assert!(["dddd-dd-dd-dd-dd-dd", "dddd-dd-dd-dd-dd-dd_ddd"].contains(&&*shape), "{name}");
}

fn skip(test: &str, why: &str) {
    // Not with eprintln!, which is shown only for tests that fail.
    let _ = std::io::stderr().write_all(format!("\nSKIPPED {test}: {why}\n").as_bytes());
}

#[test]
fn a_file_for_each_log_which_a_restart_continues() {
    let mut collector = Collector::start(&[]);
    let files = ["conn", "dns", "http"].map(sample);
    let endpoint = collector.scratch.endpoint();
    let replay = |files: &[PathBuf]| {
        let args = ["replay", "--quiet", "--endpoint", &endpoint].map(Into::into);
        run(args.into_iter().chain(files.iter().cloned())).expect(0);
    };
    replay(&files);
    let said = collector.stop(0);
    assert!(said.ends_with(": conn 9, dns 5, http 4\n"), "{said}");
    let first = collector.files();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["conn.log", "dns.log", "http.log"]);
    for (name, count) in [("conn.log", 9), ("dns.log", 5), ("http.log", 4)] {
        assert_eq!(first[name].lines().count(), count);
        for line in first[name].lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            assert!(record["ts"].is_f64());
        }
        let mode = fs::metadata(collector.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "nobody else may read it: {mode:o}");
    }
    collector.restart(&[]);
    replay(&files[..1]);
    collector.stop(0);
    assert_eq!(collector.files()["conn.log"], first["conn.log"].repeat(2));
}

#[test]
fn files_are_rotated_by_time() {
    let mut collector = Collector::start(&["--rotate-every", "1s"]);
    let publisher = collector.publisher();
    publisher.send("conn", "{\"n\":0}");
    let finished = |files: &[(String, String)]| files.iter().filter(|(name, _)| name.ends_with(".log.gz")).count();
    collector.wait_for("conn", |files| finished(files) == 1);
    publisher.send("conn", "{\"n\":1}");
    let files = collector.wait_for("conn", |files| finished(files) == 2 && files.len() == 2);
    assert_eq!(content(&files), numbers(0..2));
    for (name, _) in &files {
        assert_dated(name, "conn", ".log.gz");
    }
    // Without records there are no files.
    thread::sleep(Duration::from_millis(1_100));
    collector.stop(0);
    assert_eq!(collector.files().len(), 2);
}

#[test]
fn a_file_has_the_time_at_which_it_begins() {
    let mut collector = Collector::start(&["--rotate-every", "never", "--compress", "none", "--utc"]);
    let started = SystemTime::now();
    let publisher = collector.publisher();
    publisher.send("conn", "{\"n\":0}");
    collector.wait_for("conn", |files| content(files) == numbers(0..1));
    collector.signal("HUP");
    let files = collector.wait_for("conn", |files| files.iter().any(|(name, _)| name != "conn.log"));
    collector.stop(0);
    let date = |time: SystemTime| {
        let output = Command::new("date")
            .args(["-u", "+%Y-%m-%d-%H-%M-%S", "-d"])
            .arg(format!("@{}", time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()))
            .output()
            .unwrap();
        format!("conn.{}.log", String::from_utf8(output.stdout).unwrap().trim_end())
    };
    let earliest = date(started - Duration::from_secs(30));
    assert!(files[0].0 >= earliest && files[0].0 <= date(started), "{files:?} {earliest} {}", date(started));
}

#[test]
fn files_are_rotated_by_size() {
    for (compress, suffix) in [("none", ".log"), ("zstd", ".log.zst"), ("gzip", ".log.gz")] {
        let args = ["--rotate-every", "never", "--rotate-size", "10K", "--compress", compress];
        let mut collector = Collector::start(&args);
        let publisher = collector.publisher();
        publisher.send_numbers("conn", 0..10_000);
        publisher.send("big", format!("{{\"s\":\"{}\"}}", "x".repeat(30_000)));
        publisher.send("big", "{}");
        let all = numbers(0..10_000);
        let files = collector.wait_for("conn", |files| content(files) == all);
        assert_eq!(files.len(), all.len().div_ceil(10_230));
        for (name, content) in &files[..files.len() - 1] {
            assert_dated(name, "conn", suffix);
            assert!((10_100..=10_240).contains(&content.len()), "{name}: {}", content.len());
        }
        // A record that is larger than a file may be has a file of its own.
        let files = collector.wait_for("big", |files| files.len() == 2);
        assert_eq!((files[0].1.len(), &*files[1].1), (30_009, "{}\n"));
        collector.stop(0);
        assert!(collector.files().keys().all(|name| !name.starts_with('.')), "{:?}", collector.files().keys());
    }
}

#[test]
fn sighup_rotates() {
    let mut collector = Collector::start(&["--rotate-every", "never"]);
    let publisher = collector.publisher();
    publisher.send("a", "{\"n\":0}");
    publisher.send("s/b", "{\"n\":1}");
    collector.wait_for("s/b", |files| content(files) == numbers(1..2));
    collector.signal("HUP");
    let done = |files: &[(String, String)]| files.len() == 1 && files[0].0.ends_with(".gz");
    let a = collector.wait_for("a", done);
    let b = collector.wait_for("s/b", done);
    assert_eq!((content(&a), content(&b)), (numbers(0..1), numbers(1..2)));
    assert_dated(&a[0].0, "a", ".log.gz");
    assert_dated(&b[0].0, "s/b", ".log.gz");
    collector.stop(0);
}

#[test]
fn what_an_earlier_run_has_left_is_finished() {
    const TIME: &str = "2026-11-24-03-00-00";
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let mut collector = Collector::start_with(&[], |directory| {
        let write = |name: String, content: &[u8]| fs::write(directory.join(name), content).unwrap();
        fs::create_dir(directory.join("s")).unwrap();
        // Closed; closed and partly compressed; closed and finished, but for the last step.
        write(format!(".a.{TIME}.log"), b"{\"n\":1}\n");
        write(format!("s/.b.{TIME}.log"), b"{\"n\":2}\n{\"n\":");
        write(format!("s/.b.{TIME}.log.gz.partial"), &gzip("{\"n\":2}\n")[..7]);
        write(format!(".c.{TIME}.log"), b"{\"n\":3}\n");
        write(format!("c.{TIME}.log.gz"), &gzip("{\"n\":3}\n"));
        // Likewise, under another compression.
        write(format!(".l.{TIME}.log"), b"{\"n\":3}\n");
        write(format!("l.{TIME}.log.zst"), &zstd::encode_all(&b"{\"n\":3}\n"[..], 3).unwrap());
        // Another file has its name.
        write(format!(".d.{TIME}.log"), b"{\"n\":4}\n");
        write(format!("d.{TIME}.log.gz"), &gzip("{\"n\":0}\n"));
        // Current: of another day; of now, and torn; nothing but torn; not ours.
        write("e.log".to_owned(), b"{\"n\":5}\n");
        let long_ago = SystemTime::now() - Duration::from_secs(3 * 86_400);
        File::options().write(true).open(directory.join("e.log")).unwrap().set_modified(long_ago).unwrap();
        write("f.log".to_owned(), b"{\"n\":6}\n{\"n\":7,\0\0\0");
        write("g.log".to_owned(), b"{\"n\"");
        write("h.log".to_owned(), b"#separator \\x09\n");
        write("i.txt".to_owned(), b"not a log");
        write(format!("j.{TIME}.log"), b"finished, and uncompressed\n");
        symlink("/etc/passwd", directory.join("k.log")).unwrap();
    });
    let publisher = collector.publisher();
    publisher.send("f", "{\"n\":8}");
    publisher.send("h", "{\"n\":9}");
    let files = collector.wait_for("f", |files| content(files) == "{\"n\":6}\n{\"n\":8}\n");
    assert_eq!(files.len(), 1);
    let start = Instant::now();
    while collector.files().keys().any(|name| name.contains("/.") || name.starts_with('.')) {
        assert!(start.elapsed() < PATIENCE, "{:?}", collector.files());
        thread::sleep(Duration::from_millis(20));
    }
    let e = collector.wait_for("e", |files| files.iter().any(|(name, _)| name.ends_with(".gz")));
    assert_dated(&e[0].0, "e", ".log.gz");
    let said = collector.stop(1);
    assert!(said.contains("h.log: it is not one of this program's files; move it away; records wait"), "{said}");
    assert!(said.contains("; 1 record not written\n"), "{said}");
    let files = collector.files();
    for (name, content) in [
        (format!("a.{TIME}.log.gz"), "{\"n\":1}\n"),
        (format!("s/b.{TIME}.log.gz"), "{\"n\":2}\n"),
        (format!("c.{TIME}.log.gz"), "{\"n\":3}\n"),
        (format!("l.{TIME}.log.zst"), "{\"n\":3}\n"),
        (format!("d.{TIME}.log.gz"), "{\"n\":0}\n"),
        (format!("d.{TIME}_001.log.gz"), "{\"n\":4}\n"),
        (e[0].0.clone(), "{\"n\":5}\n"),
        ("f.log".to_owned(), "{\"n\":6}\n{\"n\":8}\n"),
        ("g.log".to_owned(), ""),
        ("h.log".to_owned(), "#separator \\x09\n"),
        ("i.txt".to_owned(), "not a log"),
        (format!("j.{TIME}.log"), "finished, and uncompressed\n"),
    ] {
        assert_eq!(files.get(&name).map(String::as_str), Some(content), "{name}");
    }
    assert_eq!(files.len(), 13, "{:?}", files.keys());
}

#[test]
fn a_killed_collector_leaves_whole_records() {
    let mut collector = Collector::start(&["--rotate-size", "100K", "--compress", "none"]);
    let publisher = collector.publisher();
    publisher.send_numbers("conn", 0..50_000);
    collector.wait_for("conn", |files| files.len() >= 2);
    let mut running = collector.running.take().unwrap();
    running.child.kill().unwrap();
    assert_eq!(running.end().status.code(), None);
    publisher.0.set(zmq_sys::ZMQ_LINGER, 0).unwrap();
    drop(publisher);
    collector.restart(&["--compress", "none"]);
    let publisher = collector.publisher();
    publisher.send("conn", "{\"n\":1000000}");
    let files = collector.wait_for("conn", |files| content(files).ends_with("{\"n\":1000000}\n"));
    collector.stop(0);
    assert!(collector.files().keys().all(|name| !name.starts_with('.')));
    let content = content(&files);
    let found: Vec<u64> = content
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line:?}"))["n"].as_u64().unwrap())
        .collect();
    // The records that the collector had not written yet are lost, and no others.
    let before = found.len() as u64 - 1;
    assert!(found[..before as usize].iter().copied().eq(0..before), "{} records", found.len());
}

#[test]
fn log_paths_cannot_leave_the_directory() {
    let mut collector = Collector::start(&[]);
    let publisher = collector.publisher();
    let long = "a".repeat(500);
    for path in [
        "../escape",
        "../../../../../../tmp/bro-zmq-escape",
        "/tmp/bro-zmq-escape",
        "s/../../escape",
        ".hidden",
        "-rf",
        "",
        "a\0b",
        "a\nb",
        "conn.log/x",
        "conn.2026-11-24-03-00-00",
        ".bro-zmq.lock",
        &long,
        &"d/".repeat(100),
        "conn",
    ] {
        publisher.send(path, "{}");
    }
    collector.wait_for("conn", |files| content(files) == "{}\n");
    let said = collector.stop(1);
    assert!(said.contains("a log path too long for the name of a file: \"aaaa"), "{said}");
    assert!(said.contains("; 2 records not written\n"), "{said}");
    let files = collector.files();
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [
            "%2Drf.log",
            "%2E./%2E./%2E./%2E./%2E./%2E./tmp/bro-zmq-escape.log",
            "%2E./escape.log",
            "%2Ebro-zmq.lock.log",
            "%2Ehidden.log",
            "%empty.log",
            "%empty/tmp/bro-zmq-escape.log",
            "a%00b.log",
            "a%0Ab.log",
            "conn%2E2026-11-24-03-00-00.log",
            "conn%2Elog/x.log",
            "conn.log",
            "s/%2E./%2E./escape.log",
        ]
    );
    assert!(!Path::new("/tmp/bro-zmq-escape.log").exists());
    assert_eq!(fs::read_dir(&collector.scratch.0).unwrap().count(), 2, "nothing beside directory and socket");
}

#[test]
fn thousands_of_log_paths_with_few_descriptors() {
    const PATHS: u64 = 3_000;
    let scratch = Scratch::new();
    let (endpoint, directory) = (scratch.endpoint(), scratch.0.join("logs"));
    let script = format!(
        "ulimit -n 100 && exec {} subscribe --bind {endpoint} --output-dir {} --count {} --compress none",
        env!("CARGO_BIN_EXE_bro-zmq"),
        directory.display(),
        PATHS * 3
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let collector = Running::start(&mut command);
    let publisher = Publisher::connect(&endpoint);
    for round in 0..3_u64 {
        for number in 0..PATHS {
            publisher.send(format!("p{number}"), format!("{{\"n\":{}}}", number * 3 + round));
        }
    }
    let ended = collector.end().expect(0);
    ended.expect_error("received 9,000 records (");
    for number in 0..PATHS {
        let content = fs::read_to_string(directory.join(format!("p{number}.log"))).unwrap();
        assert_eq!(content, numbers(number * 3..number * 3 + 3));
    }
}

#[test]
fn too_many_log_paths_are_refused() {
    let mut collector = Collector::start(&["--compress", "none"]);
    let publisher = collector.publisher();
    for number in 0..10_010 {
        publisher.send(format!("p/{number}"), "{}");
    }
    publisher.send("p/0", "{\"n\":1}");
    collector.wait_for("p/0", |files| content(files) == "{}\n{\"n\":1}\n");
    let said = collector.stop(1);
    assert!(said.contains("one log path too many: \"p/10000\"; its records, and others like that, are lost"), "{said}");
    assert!(said.contains("; 10 records not written\n"), "{said}");
    assert_eq!(fs::read_dir(collector.path("p")).unwrap().count(), 10_000);
}

/// A file system of 1 MB, where the tests may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&path).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }

    /// Leaves no space, until it is removed.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_costs_nothing_while_memory_lasts() {
    let scratch = Scratch::new();
    let Some(disk) = SmallDisk::mount(scratch.0.join("logs")) else {
        return skip("a_full_disk_costs_nothing_while_memory_lasts", "only root can mount a file system");
    };
    let mut collector = Collector { directory: disk.0.clone(), scratch, running: None };
    collector.restart(&["--rotate-every", "never"]);
    let publisher = collector.publisher();
    publisher.send_numbers("conn", 0..1_000);
    collector.wait_for("conn", |files| content(files) == numbers(0..1_000));
    let ballast = disk.fill();
    publisher.send_numbers("conn", 1_000..20_000);
    publisher.send("new", "{\"n\":0}");
    // What is on the disk ends with a whole record, even now.
    thread::sleep(Duration::from_millis(1_500));
    let files = collector.files();
    assert!(files["conn.log"].ends_with("}\n") && files["conn.log"].len() < numbers(0..20_000).len());
    // A file that cannot be compressed is kept.
    collector.signal("HUP");
    thread::sleep(Duration::from_millis(500));
    fs::remove_file(ballast).unwrap();
    let all = numbers(0..20_000);
    let files = collector.wait_for("conn", |files| content(files) == all);
    assert_eq!(files.len(), 2, "{:?}", files.iter().map(|(name, _)| name).collect::<Vec<_>>());
    collector.wait_for("new", |files| content(files) == numbers(0..1));
    let said = collector.stop(0);
    assert!(said.contains("No space left on device (os error 28); records wait in memory, up to "), "{said}");
    assert!(said.contains("cannot finish ") && said.contains("files can be finished again\n"), "{said}");
    assert!(said.contains("writing again after ") && said.contains("; 0 records lost\n"), "{said}");
    assert!(collector.files().keys().all(|name| !name.starts_with('.')), "{:?}", collector.files().keys());
}

#[test]
fn a_disk_that_stays_full_loses_records_and_counts_them() {
    let scratch = Scratch::new();
    let Some(disk) = SmallDisk::mount(scratch.0.join("logs")) else {
        return skip("a_disk_that_stays_full_loses_records_and_counts_them", "only root can mount a file system");
    };
    let mut collector = Collector { directory: disk.0.clone(), scratch, running: None };
    collector.restart(&["--rotate-every", "never"]);
    let publisher = collector.publisher();
    let text = "x".repeat(990_000);
    for number in 0..100_u64 {
        publisher.send("conn", format!("{{\"n\":{number},\"s\":\"{text}\"}}"));
    }
    drop(publisher);
    let said = collector.stop(1);
    let written = fs::read_to_string(collector.path("conn.log")).unwrap();
    assert_eq!(written.lines().count(), 1);
    assert!(written.ends_with("\"}\n"));
    let number = |before: &str| -> u64 {
        let (_, rest) = said.rsplit_once(before).unwrap_or_else(|| panic!("{said}"));
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    let received = number("received ");
    assert!(received > 70, "{said}");
    assert_eq!(number("; "), received - 1, "all but the one that is there: {said}");
}

#[test]
fn files_that_others_move_or_remove() {
    let mut collector = Collector::start(&["--rotate-every", "never"]);
    let publisher = collector.publisher();
    publisher.send("conn", "{\"n\":0}");
    collector.wait_for("conn", |files| content(files) == numbers(0..1));
    fs::rename(collector.path("conn.log"), collector.path("mine")).unwrap();
    let start = Instant::now();
    let mut sent = 1;
    while !collector.path("conn.log").exists() {
        assert!(start.elapsed() < PATIENCE);
        publisher.send("conn", format!("{{\"n\":{sent}}}"));
        sent += 1;
        thread::sleep(Duration::from_millis(50));
    }
    let written = |files: &BTreeMap<String, String>| files["mine"].clone() + &files["conn.log"];
    while written(&collector.files()) != numbers(0..sent) {
        assert!(start.elapsed() < PATIENCE, "{:?}", collector.files());
        thread::sleep(Duration::from_millis(50));
    }
    collector.stop(0);
}

#[test]
fn links_and_pipes_are_not_followed() {
    let target = Scratch::new();
    let file = target.file("target", "");
    let mut collector = Collector::start_with(&[], |directory| {
        symlink(&file, directory.join("a.log")).unwrap();
        let fifo = Command::new("mkfifo").arg(directory.join("b.log")).status().unwrap();
        assert!(fifo.success());
    });
    let publisher = collector.publisher();
    publisher.send("a", "{}");
    publisher.send("b", "{}");
    publisher.send("c", "{}");
    collector.wait_for("c", |files| content(files) == "{}\n");
    let said = collector.stop(1);
    assert!(said.contains("a.log: Too many levels of symbolic links"), "{said}");
    assert!(said.contains("; 2 records not written\n"), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().size(), 0);
}

#[test]
fn a_directory_has_one_collector() {
    let mut collector = Collector::start(&[]);
    let directory = collector.directory.to_str().unwrap();
    let ended = run(["subscribe", "--bind", "tcp://127.0.0.1:*", "--output-dir", directory]).expect(2);
    ended.expect_error(&format!("another bro-zmq writes to {directory}; give each a directory of its own"));
    collector.stop(0);
}

#[test]
fn messages_that_are_no_records_are_not_written() {
    let mut collector = Collector::start(&[]);
    let publisher = collector.publisher();
    publisher.send("conn", "no json");
    publisher.send("conn", "");
    publisher.send("conn", "{\"a\":\n1}");
    assert!(publisher.0.try_send(&mut Message::copy_of(b"alone").unwrap(), false).is_ok());
    publisher.send("conn", "{}");
    collector.wait_for("conn", |files| content(files) == "{\"a\": 1}\n{}\n");
    let said = collector.stop(1);
    assert!(said.contains("a body that is no JSON object, of conn\n"), "{said}");
    assert!(said.contains("; 3 messages that are no record\n"), "{said}");
}

#[test]
fn several_endpoints_and_a_count() {
    let [one, other, out] = [Scratch::new(), Scratch::new(), Scratch::new()];
    let endpoints = [one.endpoint(), other.endpoint()];
    let directory = out.0.to_str().unwrap();
    let args = ["subscribe", "-b", &endpoints[0], "-b", &endpoints[1], "-o", directory, "-n", "20", "-q"];
    let collector = Running::start(&mut command(args));
    let publishers = endpoints.map(|endpoint| Publisher::connect(&endpoint));
    publishers[0].send_numbers("one", 0..10);
    publishers[1].send_numbers("other", 0..10);
    assert_eq!(collector.end().expect(0).stderr, "");
    for name in ["one.log", "other.log"] {
        assert_eq!(fs::read_to_string(out.0.join(name)).unwrap(), numbers(0..10));
    }
}

#[test]
fn it_connects_again_to_a_publisher_that_listens() {
    let scratch = Scratch::new();
    let out = scratch.0.join("logs");
    let endpoint = scratch.endpoint();
    let c_endpoint = CString::new(&*endpoint).unwrap();
    let args = ["subscribe", "--connect", &endpoint, "--output-dir", out.to_str().unwrap(), "--reconnect", "10"];
    let mut command = command(args.into_iter().chain(["--reconnect-max", "50", "--count", "2"]));
    let collector = Running::start(&mut command);
    for number in 0..2 {
        let context = Arc::new(Context::new().unwrap());
        let socket = Socket::new(&context, SocketType::XPub).unwrap();
        socket.set(zmq_sys::ZMQ_LINGER, 60_000).unwrap();
        socket.bind(&c_endpoint).unwrap();
        assert!(socket.wait_readable(60_000).unwrap());
        let publisher = Publisher(socket);
        publisher.send_numbers("conn", [number]);
        let start = Instant::now();
        while fs::read_to_string(out.join("conn.log")).unwrap_or_default() != numbers(0..=number) {
            assert!(start.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(10));
        }
    }
    let ended = collector.end().expect(0);
    assert!(
        ended.stderr.starts_with(&format!("connecting to {endpoint} for all logs, not encrypted; writing to ")),
        "{}",
        ended.stderr
    );
}

/// What senders publish of themselves, as the plugin has it.
fn sender_stats(path: &str, endpoint: &str, dropped: u64) -> String {
    format!(
        "{{\"ts\":1.5,\"path\":\"{path}\",\"endpoint\":\"{endpoint}\",\"written\":9,\"sent\":5,\"queued\":3,\
         \"spooled\":2,\"dropped_no_subscriber\":1,\"dropped_queue_full\":{dropped},\"dropped_encoding\":0,\
         \"dropped_closed\":0}}"
    )
}

#[test]
fn statistics_as_lines() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let subscriber = Running::subscribe(&endpoint, &["--stats", "--stats-every", "1h", "--count", "6", "con"], true);
    let publisher = Publisher::connect(&endpoint);
    publisher.send("zeromq_stats", sender_stats("conn", "tcp://a:1", 10));
    publisher.send("zeromq_stats", sender_stats("conn", "tcp://a:1", 20));
    publisher.send("zeromq_stats", sender_stats("conn", "tcp://b:1", 1));
    publisher.send("zeromq_stats", sender_stats("dns", "tcp://a:1", 0));
    publisher.send_numbers("conn", 0..5);
    publisher.send("con\x1bn", "{}");
    let ended = subscriber.end().expect(0);
    let lines = ended.lines();
    assert_eq!(lines.len(), 4, "{}", ended.stdout);
    assert!(lines[0].starts_with("path=conn records_per_second="), "{}", ended.stdout);
    assert!(lines[0].ends_with(" records=5 bytes=55 lost=0 sender_waiting=10 sender_dropped=23"), "{}", ended.stdout);
    assert!(lines[1].starts_with("path=con\\u{1b}n "), "{}", ended.stdout);
    assert!(
        lines[2].starts_with("path=dns ")
            && lines[2].ends_with(" records=0 bytes=0 lost=0 sender_waiting=5 sender_dropped=1")
    );
    assert!(lines[3].starts_with("paths=3 ") && lines[3].contains(" records=6 "), "{}", ended.stdout);
    assert!(ended.stderr.contains("received 6 records ("), "what is only asked for by --stats is not counted");
}

#[test]
fn statistics_of_the_plugin_itself() {
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    let subscriber = Running::subscribe(&endpoint, &["--stats", "--stats-every", "1h", "--count", "10"], true);
    let conn = sample("conn");
    let options =
        ["--option", "stats_interval=3600", "--option", "stats_topic=s/zeromq_stats", "--option", "topic=s/%path"];
    let args = [&["replay", "--quiet", "--endpoint", &endpoint], &options[..], &[conn.to_str().unwrap()]].concat();
    run(args).expect(0);
    let ended = subscriber.end().expect(0);
    let conn = ended
        .stdout
        .lines()
        .find(|line| line.starts_with("path=s/conn "))
        .unwrap_or_else(|| panic!("{}", ended.stdout));
    assert!(conn.contains(" records=9 ") && conn.ends_with(" sender_waiting=0 sender_dropped=0"), "{conn}");
}

#[test]
fn statistics_as_a_table_beside_files() {
    let script = Command::new("script").arg("--version").output();
    if !script.is_ok_and(|output| output.status.success()) {
        return skip("statistics_as_a_table_beside_files", "there is no script(1), of Debian's bsdutils");
    }
    let scratch = Scratch::new();
    let (endpoint, directory) = (scratch.endpoint(), scratch.0.join("logs"));
    let line = format!(
        "timeout --foreground 60 {} subscribe --bind {endpoint} --output-dir {} --stats --stats-every 100ms --count 3",
        env!("CARGO_BIN_EXE_bro-zmq"),
        directory.display()
    );
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = BufReader::new(child.stdout.take().unwrap());
    let mut greeting = String::new();
    terminal.read_line(&mut greeting).unwrap();
    assert!(greeting.starts_with("listening on "), "{greeting}");
    let publisher = Publisher::connect(&endpoint);
    publisher.send("zeromq_stats", sender_stats("conn", "tcp://a:1", 1_000));
    publisher.send("conn", "{}");
    let mut shown = String::new();
    while !shown.contains("zeromq_stats ") {
        assert!(terminal.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    publisher.send("conn", "{}");
    let running = Running { stderr: collect(child.stderr.take().unwrap()), child, stdout: None };
    let rest = collect(terminal);
    running.end().expect(0);
    shown += &String::from_utf8(rest.join().unwrap()).unwrap();
    let row = shown.lines().rev().find(|line| line.starts_with("conn ")).unwrap_or_else(|| panic!("{shown}"));
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!((cells[4], cells[cells.len() - 2], cells[cells.len() - 1]), ("2", "5", "1,001"), "{shown}");
    assert!(shown.contains("  dropped") && shown.contains("\x1b["), "{shown}");
    assert_eq!(fs::read_to_string(directory.join("conn.log")).unwrap(), "{}\n{}\n");
}

#[test]
fn ctrl_c_leaves_the_table_whole() {
    if !Command::new("script").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return skip("ctrl_c_leaves_the_table_whole", "there is no script(1), of Debian's bsdutils");
    }
    let scratch = Scratch::new();
    let endpoint = scratch.endpoint();
    // `exec` replaces the shell, which would take the signal, too, and might end with its number.
    let line = format!("exec {} subscribe --bind {endpoint} --stats", env!("CARGO_BIN_EXE_bro-zmq"));
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut terminal = BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("\nin ") {
        assert!(terminal.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    keyboard.write_all(b"\x03").unwrap();
    let running = Running { stderr: collect(child.stderr.take().unwrap()), child, stdout: None };
    let rest = collect(terminal);
    running.end().expect(0);
    let rest = String::from_utf8(rest.join().unwrap()).unwrap();
    // What the terminal shows of the key is below the table, from where it goes back to the first column.
    let (_, after) = rest.split_once("^C").unwrap_or_else(|| panic!("{rest:?}"));
    assert!(after.starts_with("\r\x1b["), "{after:?}");
    assert!(after.contains("\x1b[Jlog path ") && after.contains("received 0 records"), "{after:?}");
}

/// A publisher on a plain connection (ZMTP 3.0, without encryption), which knows what has arrived.
struct Wire {
    stream: TcpStream,
    written: u64,
}

impl Wire {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[9..12].copy_from_slice(&[0x7f, 3, 0]);
        greeting[12..16].copy_from_slice(b"NULL");
        stream.write_all(&greeting).unwrap();
        stream.write_all(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB").unwrap();
        // Its greeting, its READY, and a subscription to everything.
        let mut theirs = [0; 64 + 27 + 3];
        stream.read_exact(&mut theirs).unwrap();
        Self { stream, written: 0 }
    }

    /// Sends a record. Returns how many bytes have arrived at least; `None` if it could not be sent.
    fn send(&mut self, path: &str, record: &str) -> Option<u64> {
        let (path_len, record_len) = (path.len() as u8, record.len() as u8);
        let frames = [&[1, path_len][..], path.as_bytes(), &[0, record_len], record.as_bytes()].concat();
        self.stream.write_all(&frames).ok()?;
        self.written += frames.len() as u64;
        let mut waiting = 0;
        // SAFETY: writes a number of this size.
        let result = unsafe { libc::ioctl(self.stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) };
        (result == 0).then(|| self.written - waiting as u64)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A collector at a port of this machine, with limits of the shell.
fn at_port(directory: &Path, limit: &str, args: &str) -> (Running, u16) {
    let port = free_port();
    let script = format!(
        "{limit} exec {} subscribe --bind tcp://127.0.0.1:{port} --output-dir {} {args}",
        env!("CARGO_BIN_EXE_bro-zmq"),
        directory.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let collector = Running::start(&mut command);
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    (collector, port)
}

fn lines(directory: &Path, path: &str) -> Vec<String> {
    let mut files = BTreeMap::new();
    list(directory, directory, &mut files);
    let of_path = files.iter().filter(|(name, _)| name.trim_start_matches('.').starts_with(&format!("{path}.")));
    of_path.flat_map(|(_, content)| content.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn what_has_arrived_at_sigterm_is_written_and_no_more_is_taken() {
    let scratch = Scratch::new();
    let directory = scratch.0.join("logs");
    fs::create_dir(&directory).unwrap();
    // A file that takes some seconds to be finished.
    let slow = File::create(directory.join(".slow.2026-11-24-03-00-00.log")).unwrap();
    slow.set_len(2 << 30).unwrap();
    (&slow).write_all(b"{}").unwrap();
    File::options()
        .append(true)
        .open(directory.join(".slow.2026-11-24-03-00-00.log"))
        .unwrap()
        .write_all(b"\n")
        .unwrap();
    let (mut collector, port) = at_port(&directory, "", "");
    let mut wire = Wire::connect(port);
    let sender = thread::spawn(move || {
        let (mut arrived, mut ends) = (0, Vec::new());
        for number in 0.. {
            let Some(bytes) = wire.send("conn", &format!("{{\"n\":{number}}}")) else { break };
            arrived = bytes;
            ends.push(wire.written);
        }
        // Records whose last byte has arrived.
        ends.iter().take_while(|&&end| end <= arrived).count()
    });
    thread::sleep(Duration::from_millis(500));
    collector.signal("TERM");
    let asked = Instant::now();
    let arrived = sender.join().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(4), "its senders know soon: {:?}", asked.elapsed());
    let refused = loop {
        let address = ([127, 0, 0, 1], port).into();
        if TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err() {
            break asked.elapsed();
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(collector.child.try_wait().unwrap().is_none() && refused < Duration::from_secs(4), "{refused:?}");
    let ended = collector.end().expect(0);
    let written = lines(&directory, "conn").len();
    assert!(arrived > 1_000 && written >= arrived, "{written} of {arrived} that had arrived; {}", ended.stderr);
}

#[test]
fn connections_do_not_take_the_files_descriptors() {
    let scratch = Scratch::new();
    let directory = scratch.0.join("logs");
    let (collector, port) = at_port(&directory, "ulimit -n 64 &&", "--rotate-every never");
    let mut sensors: Vec<_> = (0..5).map(|_| Wire::connect(port)).collect();
    let send = |sensors: &mut Vec<Wire>, number: u64| {
        for (index, sensor) in sensors.iter_mut().enumerate() {
            for log in 0..4 {
                assert!(sensor.send(&format!("s{index}_{log}"), &format!("{{\"n\":{number}}}")).is_some());
            }
        }
    };
    send(&mut sensors, 0);
    // Clients connect and say nothing; some are let in, some closed, and some have to wait.
    let address = ([127, 0, 0, 1], port).into();
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(20)).ok();
    let silent: Vec<_> = (0..100).map(connect).collect();
    for number in 1..4 {
        collector.signal("HUP");
        thread::sleep(Duration::from_millis(100));
        send(&mut sensors, number);
    }
    // Once the silent clients have gone, others are let in.
    drop(silent);
    let mut late = loop {
        if let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            drop(stream);
            break Wire::connect(port);
        }
    };
    assert!(late.send("late", "{\"n\":0}").is_some());
    let start = Instant::now();
    while lines(&directory, "late").is_empty() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    collector.signal("TERM");
    let ended = collector.end().expect(0);
    ended.expect_error("the limit of 64 open files leaves room for ");
    ended.expect_error("raise it with LimitNOFILE in systemd, or ulimit -n\n");
    for index in 0..5 {
        for log in 0..4 {
            let all = lines(&directory, &format!("s{index}_{log}"));
            assert_eq!(all.concat(), numbers(0..4).replace('\n', ""), "{}", ended.stderr);
        }
    }
}

#[test]
fn too_few_descriptors_are_told_at_the_start() {
    let scratch = Scratch::new();
    let script = format!(
        "ulimit -n 24 && exec {} subscribe --bind tcp://127.0.0.1:* --output-dir {}",
        env!("CARGO_BIN_EXE_bro-zmq"),
        scratch.0.join("logs").display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Running::start(&mut command).end().expect(2);
    ended.expect_error("the limit of 24 open files ");
    ended.expect_error("raise it with LimitNOFILE in systemd, or ulimit -n\n");
}

#[test]
fn a_name_is_not_given_again_when_its_file_is_gone() {
    let mut collector = Collector::start(&["--rotate-every", "never", "--compress", "none"]);
    let archive = collector.scratch.0.join("archive");
    fs::create_dir(&archive).unwrap();
    for number in 0..6 {
        let publisher = collector.publisher();
        publisher.send_numbers("conn", [number]);
        collector.wait_for("conn", |files| content(files) == numbers([number]));
        if number % 2 == 0 {
            // A current file that another run has left, with the time when it was made.
            collector.stop(0);
            collector.restart(&["--rotate-every", "never", "--compress", "none"]);
        }
        collector.signal("HUP");
        let files = collector.wait_for("conn", |files| files.iter().any(|(name, _)| name.starts_with("conn.20")));
        let target = archive.join(&files[0].0);
        assert!(!target.exists(), "{} was given before", files[0].0);
        fs::rename(collector.path(&files[0].0), target).unwrap();
    }
    collector.stop(0);
    assert_eq!(fs::read_dir(&archive).unwrap().count(), 6);
}

#[test]
fn a_file_that_cannot_be_finished_holds_up_no_other() {
    const TIME: &str = "2026-11-24-03-00-00";
    let mut collector = Collector::start_with(&[], |directory| {
        for number in 0..8 {
            fs::write(directory.join(format!(".bad{number}.{TIME}.log")), "{}\n").unwrap();
            // A directory cannot be removed as a file.
            fs::create_dir(directory.join(format!(".bad{number}.{TIME}.log.gz.partial"))).unwrap();
        }
        for number in 0..15 {
            fs::write(directory.join(format!(".good{number}.{TIME}.log")), "{}\n").unwrap();
        }
    });
    let start = Instant::now();
    while collector.files().keys().filter(|name| name.starts_with("good")).count() < 15 {
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", collector.files().keys());
        thread::sleep(Duration::from_millis(20));
    }
    let said = collector.stop(0);
    assert_eq!(said.matches("cannot finish ").count(), 1, "{said}");
    assert!(said.contains("8 files to be finished by the next run\n"), "{said}");
}

#[test]
fn what_is_left_in_linked_directories_is_finished() {
    const TIME: &str = "2026-11-24-03-00-00";
    let elsewhere = Scratch::new();
    elsewhere.file(&format!(".a.{TIME}.log"), "{\"n\":1}\n");
    elsewhere.file("b.log", "{\"n\":2}\n{\"n\":");
    symlink(".", elsewhere.0.join("round")).unwrap();
    let mut collector = Collector::start_with(&[], |directory| {
        symlink(&elsewhere.0, directory.join("s")).unwrap();
        symlink(directory, directory.join("itself")).unwrap();
    });
    let finished = elsewhere.0.join(format!("a.{TIME}.log.gz"));
    let start = Instant::now();
    while !finished.exists() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    let said = collector.stop(0);
    assert!(said.contains("b.log: removed an unfinished record at its end, 5 bytes\n"), "{said}");
    assert_eq!(fs::read_to_string(elsewhere.0.join("b.log")).unwrap(), "{\"n\":2}\n");
}

#[test]
fn a_file_that_others_truncate() {
    let mut collector = Collector::start(&["--rotate-every", "never", "--rotate-size", "10K"]);
    let publisher = collector.publisher();
    publisher.send_numbers("conn", 0..800);
    collector.wait_for("conn", |files| content(files) == numbers(0..800));
    // The file is emptied, as logrotate does with copytruncate.
    File::options().write(true).open(collector.path("conn.log")).unwrap().set_len(0).unwrap();
    publisher.send_numbers("conn", 0..600);
    let files = collector.wait_for("conn", |files| content(files) == numbers(0..600));
    assert_eq!(files.len(), 1, "it is small: {:?}", files.iter().map(|(name, _)| name).collect::<Vec<_>>());
    collector.stop(0);
}

#[test]
fn current_files_of_zeros() {
    let mut collector = Collector::start_with(&[], |directory| {
        fs::write(directory.join("a.log"), [0; 5_000]).unwrap();
        fs::write(directory.join("b.log"), [&[0; 5_000][..], b"\"}\n{\"n\":1}\n"].concat()).unwrap();
    });
    let publisher = collector.publisher();
    for path in ["a", "b"] {
        publisher.send_numbers(path, [2]);
        collector.wait_for(path, |files| content(files).contains(&numbers([2])));
    }
    let said = collector.stop(0);
    assert!(said.contains("b.log begins with zeros, as after a loss of power; it is "), "{said}");
    let files = collector.files();
    assert_eq!(files["a.log"], numbers([2]));
    assert_eq!(files["b.log"], numbers([2]));
    let damaged = files.iter().find(|(name, _)| name.starts_with("b.20") && name.ends_with(".damaged"));
    assert!(damaged.is_some_and(|(_, content)| content.ends_with("{\"n\":1}\n")), "{:?}", files.keys());
}

#[test]
fn log_paths_without_a_file_take_no_memory() {
    let mut collector = Collector::start(&[]);
    let publisher = collector.publisher();
    let mut path = vec![b'a'; 1_000_000];
    for number in 0..200 {
        path[..8].copy_from_slice(format!("{number:08}").as_bytes());
        publisher.send(&path, "{}");
        // Records of a megabyte must not all wait for the collector at once.
        if number % 10 == 9 {
            publisher.send_numbers("conn", [number]);
            collector.wait_for("conn", |files| content(files).contains(&numbers([number])));
        }
    }
    let pid = collector.running.as_ref().unwrap().child.id();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 100_000, "{resident} kB");
    let said = collector.stop(1);
    assert!(said.contains("; 200 records not written\n") && !said.contains("aaaaa,"), "{said}");
}

/// The signals that a process catches.
fn caught(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[test]
fn sighup_is_caught_before_anything_else() {
    let scratch = Scratch::new();
    let directory = scratch.0.join("logs");
    for _ in 0..10 {
        let mut command = command(["subscribe", "--bind", "tcp://127.0.0.1:*", "--output-dir"]);
        let running = Running::start(command.arg(&directory));
        let bit = |signal: i32| 1_u64 << (signal - 1);
        let caught = loop {
            let caught = caught(running.child.id());
            if caught & (bit(libc::SIGTERM) | bit(libc::SIGINT)) != 0 {
                break caught;
            }
        };
        assert_ne!(caught & bit(libc::SIGHUP), 0, "{caught:x}");
        running.signal("HUP");
        thread::sleep(Duration::from_millis(50));
        running.signal("TERM");
        running.end().expect(0);
    }
}

#[test]
fn systemd_is_told_when_it_listens() {
    let scratch = Scratch::new();
    let told = UnixDatagram::bind(scratch.0.join("notify")).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let endpoint = scratch.endpoint();
    let mut command = command(["subscribe", "--bind", &endpoint]);
    let running = Running::start(command.env("NOTIFY_SOCKET", scratch.0.join("notify")));
    let mut message = [0; 100];
    let len = told.recv(&mut message).unwrap();
    assert_eq!(&message[..len], b"READY=1");
    assert!(scratch.0.join("socket").exists());
    running.signal("TERM");
    running.end().expect(0);
}

#[test]
fn completions_and_manual_pages() {
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef bro-zmq"), ("fish", "complete -c bro-zmq")] {
        let script = run(["completions", shell]).expect(0).stdout;
        assert!(script.contains(part) && script.contains("rotate-every"), "{script}");
    }
    let page = run(["man", "subscribe"]).expect(0).stdout;
    for part in [".TH bro-zmq-subscribe 1", "\\-\\-rotate\\-every", ".nf\nThe plugin connects, so"] {
        assert!(page.contains(part), "{part:?} is not in: {page}");
    }
    run(["man", "cook"]).expect(2).expect_error("there is no command cook; there are replay, subscribe, ");
    let scratch = Scratch::new();
    run(["man", "--output-dir", scratch.0.to_str().unwrap()]).expect(0);
    for page in ["bro-zmq.1", "bro-zmq-replay.1", "bro-zmq-subscribe.1", "bro-zmq-man.1"] {
        assert!(fs::read_to_string(scratch.0.join(page)).unwrap().contains(".SH NAME"), "{page}");
    }
}

/// Only the options are checked; tests/docs/run runs the documents' commands.
#[test]
fn the_units_commands_are_understood() {
    for unit in ["bro-zmq-collector.service", "hardened/bro-zmq-collector.service"] {
        let text = fs::read_to_string(root().join("contrib/systemd").join(unit)).unwrap();
        let command = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/bro-zmq ")).unwrap();
        let line = format!("'{}' {command} --help", env!("CARGO_BIN_EXE_bro-zmq"));
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
