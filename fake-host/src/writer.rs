//! A writer that is used through the C ABI alone.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bro_zeromq_writer::abi::{self, Handle, NamedValue, OpenArgs, Stats};
use bro_zeromq_writer::host::Layout;

use crate::record::{Cell, Columns, Synth, Type};

/// Time within which anything on this machine must have happened.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a writer reported: the level, and the text.
pub type Report = (c_int, String);

/// The error code, and what was reported.
pub type Refused = (c_int, Vec<Report>);

type Reports = Mutex<VecDeque<Report>>;

unsafe extern "C" fn report(context: *mut c_void, level: c_int, message: *const c_char) {
    // SAFETY: `context` is the `Reports` that the writer keeps; the text is terminated.
    let (reports, message) = unsafe { (&*context.cast::<Reports>(), CStr::from_ptr(message)) };
    lock(reports).push_back((level, message.to_string_lossy().into_owned()));
}

fn lock(reports: &Reports) -> MutexGuard<'_, VecDeque<Report>> {
    reports.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A writer of one log path. It is used, as hosts do, by the thread that opened it.
///
/// Every method panics if the C ABI returns an error, or [`PATIENCE`] ends: a test that goes on would
/// tell nothing.
#[derive(Debug)]
pub struct Writer {
    handle: *mut Handle,
    synth: Synth,
    columns: usize,
    reports: Arc<Reports>,
}

impl Writer {
    /// Opens a writer of columns of text that must open.
    pub fn open(layout: &Layout, path: &str, endpoint: &str, options: &[(&str, &str)], columns: &[&str]) -> Self {
        match Self::try_open(layout, path, endpoint, options, columns) {
            Ok(writer) => writer,
            Err((code, reports)) => panic!("cannot open: {code}, {reports:?}"),
        }
    }

    /// Opens a writer of columns of text.
    ///
    /// # Errors
    ///
    /// The error code, and what was reported.
    pub fn try_open(
        layout: &Layout,
        path: &str,
        endpoint: &str,
        options: &[(&str, &str)],
        columns: &[&str],
    ) -> Result<Self, Refused> {
        let columns = Columns::new(layout, columns.iter().map(|name| (*name, Type::String)));
        Self::with_columns(path, endpoint, options, &columns)
    }

    /// Opens a writer of any columns, whose records have their layout.
    ///
    /// # Errors
    ///
    /// The error code, and what was reported.
    pub fn with_columns(
        path: &str,
        endpoint: &str,
        options: &[(&str, &str)],
        columns: &Columns,
    ) -> Result<Self, Refused> {
        let text = |text: &str| CString::new(text).expect("a host's strings have no NUL byte");
        let strings: Vec<_> =
            [("endpoint", endpoint)].iter().chain(options).map(|(name, value)| (text(name), text(value))).collect();
        let globals: Vec<_> =
            strings.iter().map(|(name, value)| NamedValue { name: name.as_ptr(), value: value.as_ptr() }).collect();
        let path = text(path);
        let reports = Arc::<Reports>::default();
        let args = OpenArgs {
            struct_size: size_of::<OpenArgs>() as u32,
            abi_version: abi::ABI_VERSION,
            layout: columns.layout(),
            path: path.as_ptr(),
            filter_name: std::ptr::null(),
            globals: globals.as_ptr(),
            num_globals: globals.len(),
            config: std::ptr::null(),
            num_config: 0,
            fields: columns.as_ptr(),
            num_fields: columns.len() as c_int,
            report: Some(report),
            report_context: Arc::as_ptr(&reports).cast_mut().cast(),
        };
        let mut handle = std::ptr::null_mut();
        // SAFETY: everything in `args` lives until the call returns, `reports` longer.
        match unsafe { abi::bzw_writer_open(&raw const args, &raw mut handle) } {
            abi::OK => Ok(Self { handle, synth: Synth::new(columns.layout()), columns: columns.len(), reports }),
            code => {
                assert!(handle.is_null(), "an error, and a writer");
                let reports = lock(&reports).drain(..).collect();
                Err((code, reports))
            }
        }
    }

    /// The writer's handle, for calls of the C ABI without a detour. It is valid as long as `self`.
    #[must_use]
    pub fn handle(&self) -> *mut Handle {
        self.handle
    }

    /// Writes one record.
    pub fn write(&mut self, cells: &[Cell]) {
        self.repeat(cells, 1);
    }

    /// Writes one record many times.
    pub fn repeat(&mut self, cells: &[Cell], times: u64) {
        assert_eq!(cells.len(), self.columns, "as many values as there are columns");
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

    /// Sends a batch that is not full.
    pub fn flush(&mut self) {
        // SAFETY: the writer is open.
        assert_eq!(unsafe { abi::bzw_writer_flush(self.handle) }, abi::OK);
    }

    /// How many endpoints there are.
    #[must_use]
    pub fn endpoints(&self) -> u32 {
        // SAFETY: the writer is open.
        unsafe { abi::bzw_writer_endpoints(self.handle) }
    }

    /// The statistics of the first endpoint.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats_of(0)
    }

    /// The statistics of an endpoint, which are checked to add up.
    #[must_use]
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

    /// Waits until somebody subscribes to the log path at this endpoint.
    pub fn await_subscription_of(&mut self, endpoint: u32) {
        let deadline = Instant::now() + PATIENCE;
        while self.stats_of(endpoint).subscribed == 0 {
            assert!(Instant::now() < deadline, "nobody subscribed: {:?}", self.take_reports());
            std::thread::sleep(Duration::from_millis(5));
            self.heartbeat();
        }
    }

    /// Waits for a report with these words, and returns all reports so far, which are forgotten.
    pub fn await_report(&mut self, words: &str) -> Vec<Report> {
        let deadline = Instant::now() + PATIENCE;
        while !lock(&self.reports).iter().any(|(_, text)| text.contains(words)) {
            assert!(Instant::now() < deadline, "{words:?} is not in {:?}", self.take_reports());
            std::thread::sleep(Duration::from_millis(5));
            self.heartbeat();
        }
        self.take_reports()
    }

    /// The reports so far, which are kept.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        lock(&self.reports).iter().cloned().collect()
    }

    /// The reports so far, which are forgotten.
    pub fn take_reports(&self) -> Vec<Report> {
        lock(&self.reports).drain(..).collect()
    }

    /// Closes the writer and returns what it reported.
    pub fn close(mut self) -> Vec<Report> {
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

/// The statistics of a log path: of all its writers that there are and were.
#[must_use]
pub fn log_stats(path: &str) -> Stats {
    let path = CString::new(path).expect("a log path has no NUL byte");
    let mut stats = Stats { struct_size: size_of::<Stats>() as u32, ..Stats::default() };
    // SAFETY: a terminated string, and a struct of the size it names.
    assert_eq!(unsafe { abi::bzw_log_stats(path.as_ptr(), &raw mut stats) }, abi::OK);
    stats
}
