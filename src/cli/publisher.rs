//! Publishes the records of one log path through the C ABI, as a host's glue does.

use core::ffi::{c_char, c_int, c_void};
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bro_zeromq_writer::abi::{
    ABI_VERSION, Handle, NamedValue, OK, OpenArgs, Stats, bzw_strerror, bzw_writer_close, bzw_writer_endpoints,
    bzw_writer_heartbeat, bzw_writer_open, bzw_writer_stats, bzw_writer_write,
};
use bro_zeromq_writer::host::Layout;
use bro_zeromq_writer::host::synth::{Cell, Columns, Synth};
use bro_zeromq_writer::writer::Level;
use bro_zeromq_writer::zeeklog::Header;

use crate::console::Console;
use crate::print::shown;

/// A writer of the plugin's, and what its calls need.
pub struct Publisher {
    handle: NonNull<Handle>,
    synth: Synth,
    endpoints: u32,
    /// The writer has a pointer to it.
    _reports: Box<Reports>,
}

/// Where the writer's reports go.
struct Reports {
    path: String,
    console: Rc<Console>,
    /// A full queue is waited for here, so that it is no loss.
    retries: bool,
}

impl Publisher {
    /// Opens a writer. What goes wrong has been reported when this fails.
    pub fn open(
        path: &[u8],
        header: &Header,
        layout: &Layout,
        options: &[(CString, CString)],
        console: &Rc<Console>,
        retries: bool,
    ) -> Result<Self, String> {
        let c_path = CString::new(path).map_err(|_| "a log path cannot contain a NUL byte".to_owned())?;
        let options: Vec<_> =
            options.iter().map(|(name, value)| NamedValue { name: name.as_ptr(), value: value.as_ptr() }).collect();
        let columns = Columns::new(layout, header.columns.iter().map(|column| (column.name.as_str(), column.kind)));
        let reports = Box::new(Reports { path: shown(path), console: Rc::clone(console), retries });
        let args = OpenArgs {
            struct_size: size_of::<OpenArgs>() as u32,
            abi_version: ABI_VERSION,
            layout,
            path: c_path.as_ptr(),
            filter_name: c"bro-zmq".as_ptr(),
            globals: options.as_ptr(),
            num_globals: options.len(),
            config: ptr::null(),
            num_config: 0,
            fields: columns.as_ptr(),
            num_fields: columns.len() as c_int,
            report: Some(report),
            report_context: (&raw const *reports).cast_mut().cast(),
        };
        let mut handle = ptr::null_mut();
        // SAFETY: everything that `args` points to lives until the call returns, the
        // reports' context as long as the writer.
        let code = unsafe { bzw_writer_open(&raw const args, &raw mut handle) };
        let handle = NonNull::new(handle).ok_or_else(|| strerror(code))?;
        // SAFETY: an open writer.
        let endpoints = unsafe { bzw_writer_endpoints(handle.as_ptr()) };
        Ok(Self { handle, synth: Synth::new(layout), endpoints, _reports: reports })
    }

    /// Publishes a record.
    pub fn write(&mut self, cells: &[Cell]) -> Result<(), String> {
        let values = self.synth.record(cells);
        // SAFETY: an open writer of this thread; the values are laid out as it was told,
        // and live until the next record.
        check(unsafe { bzw_writer_write(self.handle.as_ptr(), values.len() as c_int, values.as_ptr()) })
    }

    /// Notices subscriptions; to be called about once a second.
    pub fn heartbeat(&mut self) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // SAFETY: an open writer of this thread.
        check(unsafe { bzw_writer_heartbeat(self.handle.as_ptr(), now, now) })
    }

    /// How many endpoints there are.
    pub fn endpoints(&self) -> u32 {
        self.endpoints
    }

    /// What has become of the records at an endpoint.
    pub fn stats(&self, endpoint: u32) -> Stats {
        let mut stats = Stats { struct_size: size_of::<Stats>() as u32, ..Stats::default() };
        // SAFETY: an open writer of this thread, and a struct of the size it names. It is
        // left alone for an endpoint that does not exist.
        unsafe { bzw_writer_stats(self.handle.as_ptr(), endpoint, &raw mut stats) };
        stats
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // SAFETY: an open writer of this thread, not used after this.
        unsafe { bzw_writer_close(self.handle.as_ptr()) };
    }
}

fn check(code: c_int) -> Result<(), String> {
    if code == OK { Ok(()) } else { Err(strerror(code)) }
}

fn strerror(code: c_int) -> String {
    // SAFETY: a static string, whatever the code.
    unsafe { CStr::from_ptr(bzw_strerror(code)) }.to_string_lossy().into_owned()
}

/// What the writer calls with its reports.
unsafe extern "C" fn report(context: *mut c_void, level: c_int, message: *const c_char) {
    // SAFETY: the context given to `bzw_writer_open`, which outlives the writer; the text is terminated.
    let (reports, message) = unsafe { (&*context.cast::<Reports>(), CStr::from_ptr(message).to_string_lossy()) };
    let info = level == Level::Info as c_int;
    if (info && !reports.console.verbose()) || (reports.retries && message.contains("zmq_hwm")) {
        return;
    }
    // The writer counts each time; here each was written again.
    let again = reports.retries && message.contains("queue full: ");
    let note = if again { "; what met a full queue was written again" } else { "" };
    reports.console.problem(format!("{}: {message}{note}", reports.path));
}
