//! Keys, and a peer that uses them: a Python program over pyzmq.

use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::keys::write_pair;
use bro_zeromq_writer::zmq::{KeyPair, PublicKey};

use super::{python, root};

/// No test waits longer for something to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of a test's own, with a path short enough for a socket in it.
pub struct Scratch(pub PathBuf);

/// A pair of keys and the files that hold it.
pub struct Keys {
    pub pair: KeyPair,
    pub public: PathBuf,
    pub secret: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bzw-security-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        Self(path)
    }

    pub fn keys(&self, name: &str) -> Keys {
        let pair = KeyPair::generate().unwrap();
        let [public, secret] = write_pair(&self.0.join(name), &pair, name).unwrap();
        Keys { pair, public, secret }
    }

    /// Makes a directory that has these public keys.
    pub fn authorized(&self, name: &str, keys: &[&Keys]) -> PathBuf {
        let dir = self.0.join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
        for keys in keys {
            keys.authorize(&dir);
        }
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Keys {
    /// Puts the public key into a directory of authorized keys.
    pub fn authorize(&self, dir: &Path) {
        // Renamed when complete: a reader of the directory finds the whole file or none.
        let new = dir.join("new");
        std::fs::copy(&self.public, &new).unwrap();
        std::fs::rename(new, dir.join(self.public.file_name().unwrap())).unwrap();
    }

    pub fn revoke(&self, dir: &Path) {
        std::fs::remove_file(dir.join(self.public.file_name().unwrap())).unwrap();
    }

    pub fn public(&self) -> PublicKey {
        self.pair.public()
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A running `peer.py`.
pub struct Peer {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Records that came and were not asked for yet.
    records: Vec<String>,
}

impl Peer {
    /// Starts a peer that listens (`how` is "bind") or connects ("connect"), with further arguments.
    pub fn start(how: &str, endpoint: &str, args: &[&str]) -> Self {
        let mut child = Command::new(python::with_pyzmq().unwrap())
            .arg(root().join("tests/interop/peer.py"))
            .args([how, endpoint])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut peer = Self { child, lines, records: Vec::new() };
        peer.event("READY");
        peer
    }

    /// Starts a CURVE server that listens and lets in the keys in a directory.
    pub fn server(endpoint: &str, own: &Keys, authorized: &Path, more: &[&str]) -> Self {
        let args = [&["--own", text(&own.secret), "--authorized", text(authorized)], more].concat();
        Self::start("bind", endpoint, &args)
    }

    /// Starts a CURVE client that connects.
    pub fn client(endpoint: &str, own: &Keys, server: &Keys, more: &[&str]) -> Self {
        let args = [&["--own", text(&own.secret), "--server", text(&server.public)], more].concat();
        Self::start("connect", endpoint, &args)
    }

    fn line(&mut self, deadline: Instant) -> Option<String> {
        self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// Waits for an event of the peer's socket.
    pub fn event(&mut self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line(deadline).unwrap_or_else(|| panic!("no event {name}"));
            match line.strip_prefix('!') {
                Some(event) if event == name => return,
                Some(_) => {}
                None => self.records.push(line),
            }
        }
    }

    /// Makes the peer read its directory of authorized keys again.
    pub fn reload(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"reload\n").unwrap();
        self.event("RELOADED");
    }

    /// Waits for the next record and returns it.
    pub fn record(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.records.is_empty() {
            let line = self.line(deadline).expect("a record arrives");
            if !line.starts_with('!') {
                self.records.push(line);
            }
        }
        self.records.remove(0)
    }

    /// Returns the records that have come by now or come within half a second.
    pub fn so_far(&mut self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_millis(500);
        while let Some(line) = self.line(deadline) {
            if !line.starts_with('!') {
                self.records.push(line);
            }
        }
        std::mem::take(&mut self.records)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
