//! Publishing: our writer through the C ABI, and a subscriber for it and for bare libzmq.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bro_zeromq_writer::abi::{self, Stats};

use super::libzmq::{Library, RawContext, RawSocket};
use super::{Set, process_cpu, thread_cpu};

/// Time within which anything must have happened.
const PATIENCE: Duration = Duration::from_secs(60);

/// Log paths are this, and a number.
const PATH: &str = "log";

/// The log path of a publisher.
#[must_use]
pub fn path(number: usize) -> String {
    format!("{PATH}{number}")
}

/// A SUB socket that counts, on a thread and in a context of its own; of the libzmq that the
/// system has installed, if it has, as subscribers are.
pub struct Subscriber {
    pub endpoint: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Records received, by the log path's number.
    received: Vec<AtomicU64>,
    paused: AtomicBool,
    ended: AtomicBool,
}

impl Subscriber {
    /// Binds, and subscribes to a prefix. Its queue holds `hwm` records; 0 is no limit.
    #[must_use]
    pub fn bind(topic: &'static str, hwm: c_int) -> Self {
        let shared = Arc::new(Shared {
            received: (0..1024).map(|_| AtomicU64::new(0)).collect(),
            paused: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let (tell, told) = std::sync::mpsc::channel();
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let context = RawContext::new(Library::installed().unwrap_or_else(Library::bundled));
                let socket = RawSocket::new(&context, zmq_sys::ZMQ_SUB);
                socket.set(zmq_sys::ZMQ_RCVHWM, hwm);
                socket.set(zmq_sys::ZMQ_RCVTIMEO, 20);
                socket.set(zmq_sys::ZMQ_LINGER, 0);
                socket.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, topic.as_bytes());
                tell.send(socket.bind()).unwrap();
                shared.receive(&socket);
            })
        };
        Self { endpoint: told.recv().unwrap(), shared, thread: Some(thread) }
    }

    /// Records received with this number in their log path.
    #[must_use]
    pub fn received(&self, number: usize) -> u64 {
        self.shared.received[number].load(Ordering::Acquire)
    }

    /// Stops receiving, or goes on.
    pub fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Ordering::Release);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn receive(&self, socket: &RawSocket) {
        let mut number = None;
        while !self.ended.load(Ordering::Relaxed) {
            if self.paused.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            socket.receive(|bytes, more| match number {
                None => {
                    assert!(more && bytes.starts_with(PATH.as_bytes()));
                    let digits = bytes[PATH.len()..].iter();
                    number = Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')));
                }
                Some(path) => {
                    assert!(!more);
                    // No other thread writes the count.
                    let count = self.received[path].load(Ordering::Relaxed);
                    self.received[path].store(count + 1, Ordering::Release);
                    number = None;
                }
            });
        }
    }
}

/// Our writer, through the C ABI.
pub struct Writer<'a> {
    writer: fake_host::Writer,
    set: &'a Set,
}

impl<'a> Writer<'a> {
    /// Opens a writer for a set's records.
    #[must_use]
    pub fn open(set: &'a Set, path: &str, endpoint: &str, hwm: c_int) -> Self {
        Self::with_batches(set, path, endpoint, hwm, 1)
    }

    /// Opens a writer that puts so many records into a message.
    #[must_use]
    pub fn with_batches(set: &'a Set, path: &str, endpoint: &str, hwm: c_int, records: u64) -> Self {
        let (hwm, records) = (hwm.to_string(), records.to_string());
        let options = [("zmq_hwm", &hwm[..]), ("zmq_linger", "0"), ("batch_records", &records)];
        let writer = fake_host::Writer::with_columns(path, endpoint, &options, set.columns());
        Self { writer: writer.unwrap(), set }
    }

    /// Publishes a record, as the glue does.
    #[inline]
    pub fn write(&self, index: usize) {
        let columns = self.set.names.len() as c_int;
        // SAFETY: the writer is open, and the values were laid out for it.
        let code = unsafe { abi::bzw_writer_write(self.writer.handle(), columns, self.set.values(index)) };
        assert_eq!(code, abi::OK);
    }

    /// Sends a batch that is not full.
    pub fn flush(&mut self) {
        self.writer.flush();
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        self.writer.stats()
    }

    /// Waits until the subscription has arrived.
    pub fn await_subscription(&mut self) {
        self.writer.await_subscription();
    }
}

/// What publishing cost.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The sender's CPU time for each record, in nanoseconds.
    pub sender: f64,
    /// The process's: the sender, libzmq's I/O threads on both sides, and the receiver.
    pub process: f64,
    /// Records received in a second.
    pub rate: f64,
}

/// Publishes `total` records and waits until all have been received. No more than `window`
/// are on their way at any time, so that nothing is dropped and memory stays bounded;
/// what waiting for that costs is not the sender's.
pub fn publish(subscriber: &Subscriber, number: usize, total: u64, window: u64, mut send: impl FnMut(u64)) -> Run {
    let before = subscriber.received(number);
    let deadline = Instant::now() + PATIENCE;
    let received = || subscriber.received(number) - before;
    let wait_for = |count: u64| {
        if received() >= count {
            return 0.0;
        }
        let start = thread_cpu();
        while received() < count {
            assert!(Instant::now() < deadline, "of {count} records {} arrived", received());
            std::thread::sleep(Duration::from_micros(100));
        }
        thread_cpu() - start
    };
    let step = (window / 8).clamp(1, 256);
    let (start, cpu, process) = (Instant::now(), thread_cpu(), process_cpu());
    let mut waiting = 0.0;
    for record in 0..total {
        if record % step == 0 && record >= window {
            waiting += wait_for(record + step - window);
        }
        send(record);
    }
    let sender = thread_cpu() - cpu - waiting;
    wait_for(total);
    let elapsed = start.elapsed().as_secs_f64();
    Run {
        sender: sender / total as f64,
        process: (process_cpu() - process) / total as f64,
        rate: total as f64 / elapsed,
    }
}
