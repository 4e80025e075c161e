//! What several tests use, in this crate and in the tool's: subscribers and other peers.
#![allow(dead_code, unused_imports, reason = "not every test uses everything")]

pub mod peer;
pub mod python;

use std::ffi::CString;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bro_zeromq_writer::host::{Layout, family_of_version};
use bro_zeromq_writer::zmq::{Context, Socket, SocketType};
pub use fake_host::{PATIENCE, Writer};

/// The repository's directory: the first one above this crate that has a Cargo.lock.
pub fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|directory| directory.join("Cargo.lock").exists()).unwrap()
}

/// The layout of Zeek 8.0.
pub fn zeek_80() -> &'static Layout {
    &family_of_version(8, 0).unwrap().layout
}

/// An endpoint at which nobody listens yet.
pub fn free_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", listener.local_addr().unwrap())
}

/// A record as a subscriber got it: its frames.
pub type Frames = Vec<Vec<u8>>;

/// A SUB or PULL socket on a thread of its own.
pub struct Subscriber {
    /// The endpoint that a writer connects to.
    pub endpoint: String,
    messages: mpsc::Receiver<Frames>,
    stop: mpsc::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    /// Binds to a port of the system's choice and subscribes.
    pub fn bind(topics: &'static [&'static [u8]]) -> Self {
        Self::bind_to("tcp://127.0.0.1:*", topics)
    }

    /// Binds to an endpoint and subscribes.
    pub fn bind_to(endpoint: &str, topics: &'static [&'static [u8]]) -> Self {
        Self::start(SocketType::Sub, &format!("@{endpoint}"), topics)
    }

    /// Starts a socket that connects to an endpoint, or binds to it if it begins with "@". Only
    /// subscribers use `topics`.
    pub fn start(kind: SocketType, endpoint: &str, topics: &'static [&'static [u8]]) -> Self {
        let bind = endpoint.starts_with('@');
        let endpoint = CString::new(endpoint.trim_start_matches('@')).unwrap();
        let (send, messages) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let context = Arc::new(Context::new().unwrap());
            let socket = Socket::new(&context, kind).unwrap();
            socket.set(zmq_sys::ZMQ_RCVHWM, 0).unwrap();
            socket.set(zmq_sys::ZMQ_LINGER, 0).unwrap();
            if bind {
                tell.send(socket.bind(&endpoint).unwrap()).unwrap();
            } else {
                socket.connect(&endpoint).unwrap();
                tell.send(endpoint.into_string().unwrap()).unwrap();
            }
            for topic in topics {
                socket.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, topic).unwrap();
            }
            let mut frames = Vec::new();
            while matches!(stopped.try_recv(), Err(mpsc::TryRecvError::Empty)) {
                while let Some(frame) = socket.try_recv().unwrap() {
                    frames.push(frame.as_bytes().to_vec());
                    if !frame.more() && send.send(std::mem::take(&mut frames)).is_err() {
                        return;
                    }
                }
                socket.wait_readable(20).unwrap();
            }
        });
        Self { endpoint: told.recv_timeout(PATIENCE).unwrap(), messages, stop, thread: Some(thread) }
    }

    /// Opens a writer whose first record waits for this subscriber, however slow the machine is.
    pub fn writer(&self, path: &str, options: &[(&str, &str)], columns: &[&str]) -> Writer {
        let options = [&[("wait_for_subscriber", "20")], options].concat();
        Writer::open(zeek_80(), path, &self.endpoint, &options, columns)
    }

    /// Takes the messages that have arrived by now.
    pub fn arrived(&self) -> Vec<Frames> {
        self.messages.try_iter().collect()
    }

    /// Waits for `count` messages.
    pub fn take(&self, count: usize) -> Vec<Frames> {
        let deadline = Instant::now() + PATIENCE;
        let mut taken = Vec::new();
        while taken.len() < count {
            match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(frames) => taken.push(frames),
                Err(_) => panic!("{} of {count} messages arrived", taken.len()),
            }
        }
        taken
    }

    /// Returns true if nothing more arrives for a while.
    pub fn is_quiet(&self) -> bool {
        self.messages.recv_timeout(Duration::from_millis(200)).is_err()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
