//! Publishes the records of one log path: through the C ABI, as a host's glue does, or as JSON.

use core::ffi::{c_char, c_int, c_void};
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bro_zeromq_writer::abi::{
    ABI_VERSION, Handle, NamedValue, OK, OpenArgs, Stats, bzw_strerror, bzw_writer_close, bzw_writer_endpoints,
    bzw_writer_heartbeat, bzw_writer_open, bzw_writer_stats, bzw_writer_write,
};
use bro_zeromq_writer::host::synth::{Cell, Columns, Synth};
use bro_zeromq_writer::host::{AnyShape, Layout};
use bro_zeromq_writer::report::Level;
use bro_zeromq_writer::writer::{self, Config, Writer};
use bro_zeromq_writer::zeeklog::Header;

use crate::console::Console;
use crate::print::shown;

/// A writer of the plugin's.
pub enum Publisher {
    /// For values.
    Values(Box<Values>),
    /// For records that are JSON.
    Json(Json),
}

/// What a writer is made of.
pub struct Setup<'a> {
    /// The log path.
    pub path: &'a [u8],
    /// How values are laid out.
    pub layout: &'a Layout,
    /// The options, as they were given and as they were understood.
    pub options: &'a [(CString, CString)],
    /// See `options`.
    pub config: &'a Config,
    /// A full queue is waited for here, so that it is no loss.
    pub retries: bool,
    /// Where reports go.
    pub console: &'a Rc<Console>,
}

/// A record.
pub enum Record {
    /// Its values.
    Values(Vec<Cell>),
    /// Its JSON.
    Json(Vec<u8>),
}

/// A writer, and what its calls need.
pub struct Values {
    handle: NonNull<Handle>,
    synth: Synth,
    endpoints: u32,
    /// The writer has a pointer to it.
    _reports: Box<Reports>,
}

/// A writer, until it is dropped.
pub struct Json(Option<Box<Writer>>);

/// Where the writer's reports go.
struct Reports {
    path: String,
    console: Rc<Console>,
    /// A full queue is waited for here, so that it is no loss.
    retries: bool,
}

impl Publisher {
    /// Opens a writer, for values if there is a header. What goes wrong has been reported when this
    /// fails.
    pub fn open(setup: &Setup<'_>, header: Option<&Header>) -> Result<Self, String> {
        match header {
            Some(header) => Values::open(setup, header).map(|writer| Self::Values(Box::new(writer))),
            None => Json::open(setup).map(Self::Json),
        }
    }

    /// Publishes a record.
    pub fn write(&mut self, record: &Record) -> Result<(), String> {
        match (self, record) {
            (Self::Values(writer), Record::Values(cells)) => writer.write(cells),
            (Self::Json(Json(Some(writer))), Record::Json(object)) => {
                writer.write_json(object);
                Ok(())
            }
            _ => Err("a record of another form; this is a bug".to_owned()),
        }
    }

    /// Notices subscriptions; to be called about once a second.
    pub fn heartbeat(&mut self) -> Result<(), String> {
        match self {
            Self::Values(writer) => writer.heartbeat(),
            Self::Json(Json(writer)) => {
                if let Some(writer) = writer {
                    writer.heartbeat(0.0);
                }
                Ok(())
            }
        }
    }

    /// How many endpoints there are.
    pub fn endpoints(&self) -> u32 {
        match self {
            Self::Values(writer) => writer.endpoints,
            Self::Json(Json(writer)) => writer.as_ref().map_or(0, |writer| writer.connections().len() as u32),
        }
    }

    /// What has become of the records at an endpoint.
    pub fn stats(&self, endpoint: u32) -> Stats {
        match self {
            Self::Values(writer) => writer.stats(endpoint),
            Self::Json(Json(writer)) => {
                let of = |writer: &Writer| {
                    let subscribed = writer.connections().get(endpoint as usize)?.subscribed().into();
                    Some(Stats { subscribed, ..Stats::from(writer.counters(endpoint as usize)?) })
                };
                writer.as_deref().and_then(of).unwrap_or_default()
            }
        }
    }
}

impl Values {
    fn open(setup: &Setup<'_>, header: &Header) -> Result<Self, String> {
        let Setup { path, layout, options, retries, console, .. } = *setup;
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

    fn write(&mut self, cells: &[Cell]) -> Result<(), String> {
        let values = self.synth.record(cells);
        // SAFETY: an open writer of this thread; the values are laid out as it was told,
        // and live until the next record.
        check(unsafe { bzw_writer_write(self.handle.as_ptr(), values.len() as c_int, values.as_ptr()) })
    }

    fn heartbeat(&mut self) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        // SAFETY: an open writer of this thread.
        check(unsafe { bzw_writer_heartbeat(self.handle.as_ptr(), now, now) })
    }

    fn stats(&self, endpoint: u32) -> Stats {
        let mut stats = Stats { struct_size: size_of::<Stats>() as u32, ..Stats::default() };
        // SAFETY: an open writer of this thread, and a struct of the size it names. It is
        // left alone for an endpoint that does not exist.
        unsafe { bzw_writer_stats(self.handle.as_ptr(), endpoint, &raw mut stats) };
        stats
    }
}

impl Json {
    fn open(setup: &Setup<'_>) -> Result<Self, String> {
        let Setup { path, layout, config, retries, console, .. } = *setup;
        let reports = Reports { path: shown(path), console: Rc::clone(console), retries };
        let shape = AnyShape::new(layout).map_err(|(member, value)| format!("{member} cannot be {value}"))?;
        let reporter = Box::new(move |level, message: &str| reports.tell(level == Level::Info, message));
        let setup = writer::Setup { path, fields: &[], layout, shape, config: config.clone(), reporter };
        Ok(Self(Some(Box::new(Writer::open(setup).map_err(|error| error.to_string())?))))
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        if let Some(writer) = self.0.take() {
            writer.close();
        }
    }
}

impl Drop for Values {
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
    reports.tell(level == Level::Info as c_int, &message);
}

impl Reports {
    fn tell(&self, info: bool, message: &str) {
        if (info && !self.console.verbose()) || (self.retries && message.contains("zmq_hwm")) {
            return;
        }
        // The writer counts each time; here each was written again.
        let again = self.retries && message.contains("queue full: ");
        let note = if again { "; what met a full queue was written again" } else { "" };
        self.console.problem(format!("{}: {message}{note}", self.path));
    }
}
