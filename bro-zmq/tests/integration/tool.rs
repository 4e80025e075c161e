//! For tests that run `bro-zmq` as its users do.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::root;

/// No test waits longer for a program to end.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A directory of a test's own, short enough for a socket's path.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bro-zmq-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn endpoint(&self) -> String {
        format!("ipc://{}", self.0.join("socket").display())
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn sample(name: &str) -> PathBuf {
    root().join("tests/data/sample").join(format!("{name}.log"))
}

/// What a program left behind.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn expect_error(&self, part: &str) {
        assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
    }

    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// A program under way, its output being read.
pub struct Running {
    pub child: Child,
    pub stdout: Option<JoinHandle<Vec<u8>>>,
    pub stderr: JoinHandle<Vec<u8>>,
}

pub fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}

pub fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bro-zmq"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(collect);
        let stderr = collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// A subscriber that is already listening; its greeting is taken away. Its standard output is left to the caller if
    /// `read` is false.
    pub fn subscribe(endpoint: &str, args: &[&str], read: bool) -> Self {
        let mut child = command(["subscribe", "--bind", endpoint].iter().chain(args)).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (mut before, mut greeting) = (String::new(), String::new());
        loop {
            stderr.read_line(&mut greeting).unwrap();
            if greeting.starts_with(&format!("listening on {endpoint}")) {
                break;
            }
            assert!(!greeting.is_empty(), "it has ended: {before}");
            before += &std::mem::take(&mut greeting);
        }
        let stdout = if read { child.stdout.take().map(collect) } else { None };
        Self { child, stdout, stderr: collect(Cursor::new(before).chain(stderr)) }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.child.id())]).status().unwrap();
        assert!(status.success());
    }

    #[track_caller]
    pub fn end(mut self) -> Ended {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let stderr = self.stderr.join().unwrap();
                panic!("it does not end: {}", String::from_utf8_lossy(&stderr));
            }
            thread::sleep(Duration::from_millis(5));
        };
        let text = |bytes: JoinHandle<Vec<u8>>| String::from_utf8(bytes.join().unwrap()).unwrap();
        Ended { status, stdout: self.stdout.map(text).unwrap_or_default(), stderr: text(self.stderr) }
    }
}

#[track_caller]
pub fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
    Running::start(&mut command(args)).end()
}
