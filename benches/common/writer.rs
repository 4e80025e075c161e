//! Publishing: our writer through the C ABI, bare libzmq, and a subscriber for both.

use std::ffi::{CString, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bro_zeromq_writer::abi::{self, Handle, NamedValue, OpenArgs, Stats};

use super::{Set, layout, process_cpu, thread_cpu};

/// Time within which anything must have happened.
const PATIENCE: Duration = Duration::from_secs(60);

/// Log paths are this, and a number.
const PATH: &str = "log";

/// The log path of a publisher.
#[must_use]
pub fn path(number: usize) -> String {
    format!("{PATH}{number}")
}

/// A SUB socket that counts, on a thread and in a context of its own.
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
                let context = RawContext::new();
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
            let mut raw = std::mem::MaybeUninit::uninit();
            // SAFETY: the message is initialised first and closed last; its bytes are read
            // in between.
            unsafe {
                zmq_sys::zmq_msg_init(raw.as_mut_ptr());
                let raw = raw.as_mut_ptr();
                if zmq_sys::zmq_msg_recv(raw, socket.0, 0) != -1 {
                    let more = zmq_sys::zmq_msg_more(raw) != 0;
                    match number {
                        None => {
                            let size = zmq_sys::zmq_msg_size(raw);
                            let topic = std::slice::from_raw_parts(zmq_sys::zmq_msg_data(raw).cast::<u8>(), size);
                            assert!(more && topic.starts_with(PATH.as_bytes()));
                            let digits = topic[PATH.len()..].iter();
                            number = Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')));
                        }
                        Some(path) => {
                            assert!(!more);
                            // Nobody else writes it.
                            let count = self.received[path].load(Ordering::Relaxed);
                            self.received[path].store(count + 1, Ordering::Release);
                            number = None;
                        }
                    }
                }
                zmq_sys::zmq_msg_close(raw);
            }
        }
    }
}

/// A context of libzmq without anything around it.
pub struct RawContext(*mut c_void);

// SAFETY: libzmq's contexts may be used from any thread.
unsafe impl Sync for RawContext {}

impl RawContext {
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: no arguments.
        let context = unsafe { zmq_sys::zmq_ctx_new() };
        assert!(!context.is_null());
        Self(context)
    }
}

impl Drop for RawContext {
    fn drop(&mut self) {
        // SAFETY: valid, and not used after this; its sockets are dropped before it.
        unsafe { zmq_sys::zmq_ctx_term(self.0) };
    }
}

/// A socket of libzmq without anything around it.
pub struct RawSocket(*mut c_void);

impl RawSocket {
    #[must_use]
    pub fn new(context: &RawContext, kind: c_int) -> Self {
        // SAFETY: a valid context.
        let socket = unsafe { zmq_sys::zmq_socket(context.0, kind) };
        assert!(!socket.is_null());
        Self(socket)
    }

    pub fn set(&self, option: c_int, value: c_int) {
        self.set_bytes(option, &value.to_ne_bytes());
    }

    pub fn set_bytes(&self, option: c_int, value: &[u8]) {
        // SAFETY: a valid socket, and a value of the size given.
        assert_eq!(unsafe { zmq_sys::zmq_setsockopt(self.0, option, value.as_ptr().cast(), value.len()) }, 0);
    }

    /// Binds to a port of the system's choice.
    fn bind(&self) -> String {
        let mut bound = [0_u8; 64];
        let mut len = bound.len();
        // SAFETY: a valid socket, a terminated string, and a buffer of the size given.
        unsafe {
            assert_eq!(zmq_sys::zmq_bind(self.0, c"tcp://127.0.0.1:*".as_ptr()), 0);
            let bound = bound.as_mut_ptr().cast();
            assert_eq!(zmq_sys::zmq_getsockopt(self.0, zmq_sys::ZMQ_LAST_ENDPOINT, bound, &raw mut len), 0);
        }
        String::from_utf8_lossy(&bound[..len - 1]).into_owned()
    }

    /// Makes an XPUB socket, connects it and waits for the subscription.
    #[must_use]
    pub fn publisher(context: &RawContext, endpoint: &str, hwm: c_int) -> Self {
        let socket = Self::new(context, zmq_sys::ZMQ_XPUB);
        let endpoint = CString::new(endpoint).unwrap();
        socket.set(zmq_sys::ZMQ_SNDHWM, hwm);
        socket.set(zmq_sys::ZMQ_XPUB_NODROP, 1);
        socket.set(zmq_sys::ZMQ_LINGER, 0);
        let mut subscription = [0_u8; 64];
        // SAFETY: a valid socket, a terminated string, and a buffer of the size given.
        unsafe {
            assert_eq!(zmq_sys::zmq_connect(socket.0, endpoint.as_ptr()), 0);
            assert!(zmq_sys::zmq_recv(socket.0, subscription.as_mut_ptr().cast(), subscription.len(), 0) > 0);
        }
        socket
    }

    /// Publishes finished bytes as one does who knows libzmq.
    #[inline]
    pub fn send(&self, path: &[u8], body: &[u8]) {
        let mut raw = std::mem::MaybeUninit::uninit();
        // SAFETY: a valid socket; the message is initialised with room for the body before
        // that is copied to it, and is libzmq's once sent.
        unsafe {
            let flags = zmq_sys::ZMQ_SNDMORE | zmq_sys::ZMQ_DONTWAIT;
            assert!(zmq_sys::zmq_send(self.0, path.as_ptr().cast(), path.len(), flags) != -1);
            assert_eq!(zmq_sys::zmq_msg_init_size(raw.as_mut_ptr(), body.len()), 0);
            let data = zmq_sys::zmq_msg_data(raw.as_mut_ptr()).cast::<u8>();
            data.copy_from_nonoverlapping(body.as_ptr(), body.len());
            assert!(zmq_sys::zmq_msg_send(raw.as_mut_ptr(), self.0, zmq_sys::ZMQ_DONTWAIT) != -1);
        }
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        // SAFETY: valid, and not used after this.
        unsafe { zmq_sys::zmq_close(self.0) };
    }
}

/// Our writer, through the C ABI.
pub struct Writer<'a> {
    handle: *mut Handle,
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
        let layout = layout();
        let path = CString::new(path).unwrap();
        let (hwm, records) = (hwm.to_string(), records.to_string());
        let strings = [("endpoint", endpoint), ("zmq_hwm", &hwm), ("zmq_linger", "0"), ("batch_records", &records)]
            .map(|(name, value)| (CString::new(name).unwrap(), CString::new(value).unwrap()));
        let options = strings.each_ref().map(|(name, value)| NamedValue { name: name.as_ptr(), value: value.as_ptr() });
        let args = OpenArgs {
            struct_size: size_of::<OpenArgs>() as u32,
            abi_version: abi::ABI_VERSION,
            layout: &raw const layout,
            path: path.as_ptr(),
            filter_name: std::ptr::null(),
            globals: options.as_ptr(),
            num_globals: options.len(),
            config: std::ptr::null(),
            num_config: 0,
            fields: set.fields(),
            num_fields: set.names.len() as c_int,
            report: None,
            report_context: std::ptr::null_mut(),
        };
        let mut handle = std::ptr::null_mut();
        // SAFETY: everything in `args` lives until the call returns.
        assert_eq!(unsafe { abi::bzw_writer_open(&raw const args, &raw mut handle) }, abi::OK);
        Self { handle, set }
    }

    /// Publishes a record, as the glue does.
    #[inline]
    pub fn write(&self, index: usize) {
        let columns = self.set.names.len() as c_int;
        // SAFETY: the writer is open, and the values were laid out for it.
        assert_eq!(unsafe { abi::bzw_writer_write(self.handle, columns, self.set.values(index)) }, abi::OK);
    }

    /// Sends a batch that is not full.
    pub fn flush(&self) {
        // SAFETY: the writer is open.
        assert_eq!(unsafe { abi::bzw_writer_flush(self.handle) }, abi::OK);
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { struct_size: size_of::<Stats>() as u32, ..Stats::default() };
        // SAFETY: the writer is open.
        assert_eq!(unsafe { abi::bzw_writer_stats(self.handle, 0, &raw mut stats) }, abi::OK);
        stats
    }

    /// Waits until the subscription has arrived.
    pub fn await_subscription(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.stats().subscribed == 0 {
            assert!(Instant::now() < deadline, "nobody subscribed");
            std::thread::sleep(Duration::from_millis(2));
            // SAFETY: the writer is open.
            assert_eq!(unsafe { abi::bzw_writer_heartbeat(self.handle, 0.0, 0.0) }, abi::OK);
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // SAFETY: open until now.
        unsafe { abi::bzw_writer_close(self.handle) };
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
