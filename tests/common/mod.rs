//! What several tests use: a writer driven through the C ABI, and a subscriber.
#![allow(dead_code, reason = "not every test uses everything")]

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bro_zeromq_writer::abi::{self, Handle, NamedValue, OpenArgs, Stats};
use bro_zeromq_writer::host::synth::{Cell, Columns, Synth, Type};
use bro_zeromq_writer::host::{Layout, family_of_version};
use bro_zeromq_writer::zmq::{Context, Kind, Socket};

/// The layout of Zeek 8.0.
pub fn zeek_80() -> &'static Layout {
    &family_of_version(8, 0).unwrap().layout
}

/// An endpoint nobody listens at, yet.
pub fn free_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", listener.local_addr().unwrap())
}

/// Time within which anything on this machine must have happened.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A record as a subscriber got it: its frames.
pub type Frames = Vec<Vec<u8>>;

/// A SUB socket on a thread of its own.
pub struct Subscriber {
    /// What a writer connects to.
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
        Self::start(Kind::Sub, &format!("@{endpoint}"), topics)
    }

    /// A socket that connects to an endpoint, or binds to it behind an "@". `topics` is for
    /// subscribers only.
    pub fn start(kind: Kind, endpoint: &str, topics: &'static [&'static [u8]]) -> Self {
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

    /// What has arrived by now.
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

    /// Whether nothing more arrives for a while.
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

/// What the writer reported: level and text.
pub type Reports = Arc<Mutex<VecDeque<(c_int, String)>>>;

unsafe extern "C" fn report(context: *mut c_void, level: c_int, message: *const c_char) {
    // SAFETY: `context` is the `Reports` that the writer or the test keeps; the text is terminated.
    let (reports, message) = unsafe { (&*context.cast::<Mutex<VecDeque<(c_int, String)>>>(), CStr::from_ptr(message)) };
    reports.lock().unwrap().push_back((level, message.to_str().unwrap().to_owned()));
}

/// A writer that is used through the C ABI alone.
pub struct Writer {
    handle: *mut Handle,
    synth: Synth,
    columns: usize,
    pub reports: Reports,
}

impl Writer {
    /// Opens a writer that must open.
    pub fn open(layout: &Layout, path: &str, endpoint: &str, options: &[(&str, &str)], columns: &[&str]) -> Self {
        match Self::try_open(layout, path, endpoint, options, columns) {
            Ok(writer) => writer,
            Err((code, reports)) => panic!("cannot open: {code}, {reports:?}"),
        }
    }

    /// Opens a writer whose first record waits for a subscriber, however slow the machine is.
    pub fn to(subscriber: &Subscriber, path: &str, options: &[(&str, &str)], columns: &[&str]) -> Self {
        let options = [&[("wait_for_subscriber", "20")], options].concat();
        Self::open(zeek_80(), path, &subscriber.endpoint, &options, columns)
    }

    /// Opens a writer, or gives the error code and what was reported.
    pub fn try_open(
        layout: &Layout,
        path: &str,
        endpoint: &str,
        options: &[(&str, &str)],
        columns: &[&str],
    ) -> Result<Self, (c_int, Vec<(c_int, String)>)> {
        let strings: Vec<_> = [("endpoint", endpoint)]
            .iter()
            .chain(options)
            .map(|(name, value)| (CString::new(*name).unwrap(), CString::new(*value).unwrap()))
            .collect();
        let globals: Vec<_> =
            strings.iter().map(|(name, value)| NamedValue { name: name.as_ptr(), value: value.as_ptr() }).collect();
        let fields = Columns::new(layout, columns.iter().map(|name| (*name, Type::String)));
        let path = CString::new(path).unwrap();
        let reports = Reports::default();
        let args = OpenArgs {
            struct_size: size_of::<OpenArgs>() as u32,
            abi_version: abi::ABI_VERSION,
            layout,
            path: path.as_ptr(),
            filter_name: std::ptr::null(),
            globals: globals.as_ptr(),
            num_globals: globals.len(),
            config: std::ptr::null(),
            num_config: 0,
            fields: fields.as_ptr(),
            num_fields: columns.len() as c_int,
            report: Some(report),
            report_context: Arc::as_ptr(&reports).cast_mut().cast(),
        };
        let mut handle = std::ptr::null_mut();
        // SAFETY: everything in `args` lives until the call returns, `reports` longer.
        match unsafe { abi::bzw_writer_open(&raw const args, &raw mut handle) } {
            abi::OK => Ok(Self { handle, synth: Synth::new(layout), columns: columns.len(), reports }),
            code => {
                assert!(handle.is_null());
                let reports = reports.lock().unwrap().iter().cloned().collect();
                Err((code, reports))
            }
        }
    }

    /// The writer itself.
    pub fn handle(&self) -> *mut Handle {
        self.handle
    }

    /// Writes one record.
    pub fn write(&mut self, cells: &[Cell]) {
        self.repeat(cells, 1);
    }

    /// Writes one record many times.
    pub fn repeat(&mut self, cells: &[Cell], times: u64) {
        let values = self.synth.record(cells).as_ptr();
        for _ in 0..times {
            // SAFETY: the writer is open, and the values were made for its layout.
            let code = unsafe { abi::bzw_writer_write(self.handle, self.columns as c_int, values) };
            assert_eq!(code, abi::OK);
        }
    }

    /// Lets a second pass, as far as the writer knows.
    pub fn heartbeat(&mut self) {
        // SAFETY: the writer is open.
        assert_eq!(unsafe { abi::bzw_writer_heartbeat(self.handle, 0.0, 0.0) }, abi::OK);
    }

    /// The statistics of the first endpoint.
    pub fn stats(&self) -> Stats {
        self.stats_of(0)
    }

    /// The statistics of an endpoint; checks that they add up.
    pub fn stats_of(&self, endpoint: u32) -> Stats {
        let mut stats = Stats { struct_size: size_of::<Stats>() as u32, ..Stats::default() };
        // SAFETY: the writer is open.
        assert_eq!(unsafe { abi::bzw_writer_stats(self.handle, endpoint, &raw mut stats) }, abi::OK);
        let dropped = stats.dropped_no_subscriber
            + stats.dropped_queue_full
            + stats.dropped_encoding
            + stats.dropped_closed
            + stats.dropped_spool;
        assert_eq!(
            stats.records_written + stats.records_recovered,
            stats.records_sent + stats.records_queued + stats.records_spooled + dropped,
            "{stats:?}"
        );
        stats
    }

    /// The statistics of an endpoint once nothing is queued any more.
    pub fn settled(&self, endpoint: u32) -> Stats {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats_of(endpoint);
            if stats.records_queued == 0 {
                return stats;
            }
            assert!(Instant::now() < deadline, "{stats:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until somebody subscribes to the log path.
    pub fn await_subscription(&mut self) {
        self.await_subscription_of(0);
    }

    /// The same for another endpoint than the first.
    pub fn await_subscription_of(&mut self, endpoint: u32) {
        let deadline = Instant::now() + PATIENCE;
        while self.stats_of(endpoint).subscribed == 0 {
            assert!(Instant::now() < deadline, "nobody subscribed");
            std::thread::sleep(Duration::from_millis(5));
            self.heartbeat();
        }
    }

    /// Waits for a report with these words, and returns all reports so far, which are forgotten.
    pub fn await_report(&mut self, words: &str) -> Vec<(c_int, String)> {
        let deadline = Instant::now() + PATIENCE;
        while !self.reports.lock().unwrap().iter().any(|(_, text)| text.contains(words)) {
            assert!(Instant::now() < deadline, "{words:?} is not in {:?}", self.take_reports());
            std::thread::sleep(Duration::from_millis(5));
            self.heartbeat();
        }
        self.take_reports()
    }

    /// The reports so far, which are forgotten.
    pub fn take_reports(&self) -> Vec<(c_int, String)> {
        self.reports.lock().unwrap().drain(..).collect()
    }

    /// Closes the writer and returns what it reported.
    pub fn close(mut self) -> Vec<(c_int, String)> {
        let handle = std::mem::replace(&mut self.handle, std::ptr::null_mut());
        // SAFETY: open until now.
        assert_eq!(unsafe { abi::bzw_writer_close(handle) }, abi::OK);
        self.take_reports()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: open, or null.
        unsafe { abi::bzw_writer_close(self.handle) };
    }
}
