//! The C boundary: what `include/bro_zeromq_writer.h` declares, and nothing else.
//!
//! Every function checks its pointers, calls one function behind it, and lets no panic through.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::offset_of;
use core::panic::AssertUnwindSafe;
use std::cell::Cell;
use std::panic::catch_unwind;

use crate::clock;
use crate::host::{AnyShape, FAMILIES, Field, Layout};
use crate::report::{Problem, Report, Reporter};
use crate::writer::{
    Config, Counters, Given, OPTIONS, SCRIPT_NAMES, Scope, Setup, Totals, Writer, readable, unknown_options,
};

/// `BZW_ABI_VERSION`.
pub const ABI_VERSION: u32 = 1;
/// `BZW_OK`.
pub const OK: c_int = 0;
/// `BZW_ERR_NULL`.
pub const ERR_NULL: c_int = -1;
/// `BZW_ERR_VERSION`.
pub const ERR_VERSION: c_int = -2;
/// `BZW_ERR_LAYOUT`.
pub const ERR_LAYOUT: c_int = -3;
/// `BZW_ERR_CONFIG`.
pub const ERR_CONFIG: c_int = -4;
/// `BZW_ERR_SOCKET`.
pub const ERR_SOCKET: c_int = -5;
/// `BZW_ERR_ARGUMENT`.
pub const ERR_ARGUMENT: c_int = -6;
/// `BZW_ERR_PANIC`.
pub const ERR_PANIC: c_int = -7;

/// `bzw_option`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NamedValue {
    /// The option's name, without the module.
    pub name: *const c_char,
    /// The option's value, as text.
    pub value: *const c_char,
}

/// `bzw_report_fn`.
pub type ReportFn = unsafe extern "C" fn(context: *mut c_void, level: c_int, message: *const c_char);

/// `bzw_open_args`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OpenArgs {
    /// Size of the caller's struct.
    pub struct_size: u32,
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// The host's layout.
    pub layout: *const Layout,
    /// The log path.
    pub path: *const c_char,
    /// The filter's name, for reports only; may be null.
    pub filter_name: *const c_char,
    /// The script's options.
    pub globals: *const NamedValue,
    /// How many `globals` there are.
    pub num_globals: usize,
    /// The filter's options.
    pub config: *const NamedValue,
    /// How many options `config` has.
    pub num_config: usize,
    /// `threading::Field* const*`.
    pub fields: *const *const c_void,
    /// How many `fields` there are.
    pub num_fields: c_int,
    /// Receives reports; may be null.
    pub report: Option<ReportFn>,
    /// Passed to `report`.
    pub report_context: *mut c_void,
}

/// `bzw_stats`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Size of the caller's struct.
    pub struct_size: u32,
    /// 1 if a subscription matches the log path, else 0.
    pub subscribed: u32,
    /// Records the host handed over.
    pub records_written: u64,
    /// Records given to the operating system.
    pub records_sent: u64,
    /// Records dropped because nobody subscribed.
    pub dropped_no_subscriber: u64,
    /// Records dropped because the high water mark was reached.
    pub dropped_queue_full: u64,
    /// Records dropped because they could not be encoded.
    pub dropped_encoding: u64,
    /// Records lost with the connection, or because the socket failed or was closed.
    pub dropped_closed: u64,
    /// Values written as null.
    pub unknown_values: u64,
    /// Bytes of all frames of the records given to libzmq.
    pub bytes_sent: u64,
    /// Records waiting in memory.
    pub records_queued: u64,
    /// Records waiting in the spool.
    pub records_spooled: u64,
    /// Records found in the spool, from an earlier run.
    pub records_recovered: u64,
    /// Records dropped because the spool was full or failed.
    pub dropped_spool: u64,
}

impl From<Counters> for Stats {
    fn from(counters: Counters) -> Self {
        Self {
            records_written: counters.written,
            records_sent: counters.sent,
            dropped_no_subscriber: counters.no_subscriber,
            dropped_queue_full: counters.queue_full,
            dropped_encoding: counters.encoding,
            dropped_closed: counters.closed,
            bytes_sent: counters.bytes,
            records_queued: counters.queued,
            records_spooled: counters.spooled,
            records_recovered: counters.recovered,
            dropped_spool: counters.spool,
            ..Self::default()
        }
    }
}

/// `bzw_writer`.
pub struct Handle {
    writer: Writer,
    /// True if a panic has left the writer in an unknown state: it can only be closed.
    broken: bool,
}

/// Runs the inside of a boundary function; a panic becomes `fallback`.
fn guard<T>(fallback: T, inside: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(inside)).unwrap_or(fallback)
}

/// Runs `inside` with a writer. After a panic in it, the writer is refused.
///
/// # Safety
///
/// `handle` is null, or came from [`bzw_writer_open`] and was not closed.
unsafe fn with_writer(handle: *mut Handle, inside: impl FnOnce(&mut Writer) -> c_int) -> c_int {
    // SAFETY: if not null, the caller promises that the writer is open. The header demands that one thread
    // uses it, so that nobody else has it now.
    let Some(handle) = (unsafe { handle.as_mut() }) else { return ERR_NULL };
    if handle.broken {
        return ERR_PANIC;
    }
    let result = guard(ERR_PANIC, || inside(&mut handle.writer));
    handle.broken = result == ERR_PANIC;
    result
}

/// Reads a C string, which must not be null.
///
/// # Safety
///
/// `text` is null, or NUL-terminated and unchanged for `'a`.
unsafe fn text<'a>(text: *const c_char) -> Result<&'a CStr, c_int> {
    if text.is_null() {
        return Err(ERR_NULL);
    }
    // SAFETY: not null, so the caller promises a terminated string.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// How many bytes of a struct the caller has and this library knows. A caller's older struct is shorter, but has at
/// least the `first` version's size; a later struct may be longer.
///
/// # Safety
///
/// `of` is null or valid for the size it names.
unsafe fn size_known<T>(of: *const T, first: usize) -> Result<usize, c_int> {
    if of.is_null() {
        return Err(ERR_NULL);
    }
    // SAFETY: not null, and the size comes first in every version.
    let size = unsafe { of.cast::<u32>().read() } as usize;
    if size < first || !size.is_multiple_of(align_of::<T>()) {
        return Err(ERR_VERSION);
    }
    Ok(size.min(size_of::<T>()))
}

/// The size of the first version's layout, which lacks the types that came later.
const FIRST_LAYOUT: usize = offset_of!(Layout, tag_vector) + size_of::<u32>();
/// The size of the first version's statistics.
const FIRST_STATS: usize = offset_of!(Stats, records_queued);

/// Reads a layout; members that an older caller's layout lacks are [`ABSENT`](crate::host::ABSENT).
///
/// # Safety
///
/// `layout` is null or valid for the size it names.
unsafe fn read_layout(layout: *const Layout) -> Result<Layout, c_int> {
    let mut whole = Layout::NOTHING;
    // SAFETY: null, or as many bytes as its size says, which the caller promises; `size` is at most that and at
    // most `whole`. Any numbers are a layout.
    unsafe {
        let size = size_known(layout, FIRST_LAYOUT)?;
        (&raw mut whole).cast::<u8>().copy_from_nonoverlapping(layout.cast(), size);
    }
    Ok(whole)
}

/// Fills what a caller's struct has behind its size.
///
/// # Safety
///
/// `to` is null or valid for the size it names, and begins with that size.
unsafe fn fill<T>(to: *mut T, first: usize, find: impl FnOnce() -> Result<T, c_int>) -> Result<(), c_int> {
    // SAFETY: null, or as many bytes as its size says, which the caller promises; with those of the size,
    // `behind` is at most that and at most a `T`.
    unsafe {
        let behind = size_known(to, first)? - size_of::<u32>();
        let found = find()?;
        let found = (&raw const found).cast::<u32>().add(1).cast::<u8>();
        to.cast::<u32>().add(1).cast::<u8>().copy_from_nonoverlapping(found, behind);
    }
    Ok(())
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn bzw_abi_version() -> u32 {
    ABI_VERSION
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn bzw_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn bzw_strerror(code: c_int) -> *const c_char {
    let text = match code {
        OK => c"no error",
        ERR_NULL => c"a required pointer is null",
        ERR_VERSION => c"the caller was built for another version of this library's interface",
        ERR_LAYOUT => c"the layout of the host's log records is not supported",
        ERR_CONFIG => c"an option has a value that is not allowed",
        ERR_SOCKET => c"ZeroMQ refused the context, the socket or the endpoint",
        ERR_ARGUMENT => c"an argument is out of range",
        ERR_PANIC => c"a bug in the ZeroMQ writer",
        _ => c"unknown error code",
    };
    text.as_ptr()
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn bzw_option_name(index: u32) -> *const c_char {
    let mut names = OPTIONS.iter().map(|option| &option.name).chain(SCRIPT_NAMES);
    names.nth(index as usize).map_or(core::ptr::null(), |name| name.as_ptr())
}

/// See the header.
///
/// # Safety
///
/// `out` is null or valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_layout_known(index: u32, out: *mut Layout) -> *const c_char {
    let Some(family) = FAMILIES.get(index as usize) else { return core::ptr::null() };
    // SAFETY: the caller promises null, or as many bytes as the size in front says.
    let filled = unsafe { fill(out, FIRST_LAYOUT, || Ok(family.layout)) };
    filled.map_or(core::ptr::null(), |()| family.name.as_ptr())
}

/// See the header.
///
/// # Safety
///
/// `layout` is null or valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_layout_check(layout: *const Layout) -> c_int {
    guard(ERR_PANIC, || {
        // SAFETY: the caller promises null, or as many bytes as the size in front says.
        match unsafe { read_layout(layout) } {
            Err(code) => code,
            Ok(layout) if AnyShape::new(&layout).is_err() => ERR_LAYOUT,
            Ok(_) => OK,
        }
    })
}

/// See the header.
///
/// # Safety
///
/// `args` is null or as the header says; `writer` is null or can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_open(args: *const OpenArgs, writer: *mut *mut Handle) -> c_int {
    if writer.is_null() {
        return ERR_NULL;
    }
    // SAFETY: not null, so the caller promises that it can be written to.
    unsafe { writer.write(core::ptr::null_mut()) };
    guard(ERR_PANIC, || {
        // SAFETY: the caller promises null, or what the header says.
        match unsafe { open(args) } {
            Ok(opened) => {
                let handle = Box::new(Handle { writer: opened, broken: false });
                // SAFETY: not null, so the caller promises that it can be written to.
                unsafe { writer.write(Box::into_raw(handle)) };
                OK
            }
            Err(code) => code,
        }
    })
}

/// Opens a writer.
///
/// # Safety
///
/// `args` is null or as the header says.
unsafe fn open(args: *const OpenArgs) -> Result<Writer, c_int> {
    // SAFETY: size and version come first in every version, and are checked before the rest is
    // read. What the pointers lead to is as the header says.
    unsafe {
        size_known(args, size_of::<OpenArgs>())?;
        if args.cast::<[u32; 2]>().read()[1] != ABI_VERSION {
            return Err(ERR_VERSION);
        }
        let args = args.read();
        let mut reporter = reporter(args.report, args.report_context);
        let layout = read_layout(args.layout)?;
        let shape = AnyShape::new(&layout).map_err(|(member, value)| {
            reporter(&Report::UnknownLayout { member, value });
            ERR_LAYOUT
        })?;
        let path = text(args.path)?.to_bytes();
        let name = readable(path);
        let fields = match usize::try_from(args.num_fields) {
            Err(_) => return Err(ERR_ARGUMENT),
            Ok(count) if count > 0 && args.fields.is_null() => return Err(ERR_NULL),
            Ok(count) => Field::read_all(args.fields.cast(), count, &layout).map_err(|_| ERR_NULL)?,
        };
        let globals = options(args.globals, args.num_globals)?;
        let config = options(args.config, args.num_config)?;
        let filter = given(&config, Scope::Filter);
        for name in unknown_options(&filter) {
            reporter(&Report::UnknownOption { name: name.to_owned() });
        }
        let all = [given(&globals, Scope::Global), filter].concat();
        let config = Config::parse(&all).map_err(|error| {
            let filter = match text(args.filter_name) {
                Ok(name) => format!(" of filter \"{}\"", name.to_string_lossy()),
                Err(_) => String::new(),
            };
            let (error, log) = (error.to_string(), name.to_string());
            reporter(&Report::NotSent { error, log, filter });
            ERR_CONFIG
        })?;
        // The reporter goes with the writer. For the one error left, another is made.
        let setup = Setup { path, fields: &fields, layout: &layout, shape, config, reporter };
        Writer::open(setup).map_err(|error| {
            let mut reporter = self::reporter(args.report, args.report_context);
            let (error, log) = (error.to_string(), name.to_string());
            reporter(&Report::NotSent { error, log, filter: String::new() });
            ERR_SOCKET
        })
    }
}

fn given(options: &[(String, String)], scope: Scope) -> Vec<Given<'_>> {
    options.iter().map(|(name, value)| Given { scope, name, value }).collect()
}

thread_local! {
    /// The code of the report that the thread is told now.
    static REPORTED: Cell<*const c_char> = const { Cell::new(core::ptr::null()) };
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn bzw_report_code() -> *const c_char {
    REPORTED.get()
}

/// Wraps the caller's report function.
///
/// # Safety
///
/// `report` may be called with `context` while calls into the writer last.
unsafe fn reporter(report: Option<ReportFn>, context: *mut c_void) -> Reporter {
    Box::new(move |what| {
        if let Some(report) = report {
            // A NUL would end the text, and a message is one line.
            let mut line: Vec<u8> =
                what.to_string().bytes().map(|byte| if byte < 0x20 { b' ' } else { byte }).collect();
            line.push(0);
            REPORTED.set(what.code().as_ptr());
            // SAFETY: the caller promises that `report` may be called with `context` now; the text is terminated.
            unsafe { report(context, what.level() as c_int, line.as_ptr().cast()) };
            REPORTED.set(core::ptr::null());
        }
    })
}

/// Copies options.
///
/// # Safety
///
/// `options` is null or points to `count` options, whose strings are null or terminated.
unsafe fn options(options: *const NamedValue, count: usize) -> Result<Vec<(String, String)>, c_int> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if options.is_null() {
        return Err(ERR_NULL);
    }
    // SAFETY: not null, so the caller promises `count` options, which live as long as this call.
    let options = unsafe { core::slice::from_raw_parts(options, count) };
    options
        .iter()
        .map(|option| {
            // SAFETY: the caller promises null or a terminated string.
            let read = |string| unsafe { text(string) }.map(|text| text.to_string_lossy().into_owned());
            Ok((read(option.name)?, read(option.value)?))
        })
        .collect()
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open; `vals` is null or as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_write(writer: *mut Handle, num_fields: c_int, vals: *const *const c_void) -> c_int {
    // SAFETY: the caller promises that `writer` is null or open, and `vals` null or as the header says:
    // with as many values as there are columns, once that was checked.
    unsafe {
        with_writer(writer, |writer| {
            if num_fields < 0 || num_fields as usize != writer.columns() {
                writer.reject(Problem::OtherColumns);
            } else if vals.is_null() && num_fields > 0 {
                return ERR_NULL;
            } else {
                writer.write(vals.cast());
            }
            OK
        })
    }
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open; `why` is null or a string that is never changed nor freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_reject(writer: *mut Handle, why: *const c_char) -> c_int {
    // SAFETY: the caller promises that `writer` is null or open, and that `why` is null or a terminated
    // string that stays.
    unsafe {
        with_writer(writer, |writer| {
            if why.is_null() {
                return ERR_NULL;
            }
            let Ok(what) = CStr::from_ptr::<'static>(why).to_str() else { return ERR_ARGUMENT };
            writer.reject(Problem::Other { what });
            OK
        })
    }
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_heartbeat(writer: *mut Handle, _network_time: f64, current_time: f64) -> c_int {
    // SAFETY: the caller promises that `writer` is null or open, and calls on the writer's thread.
    unsafe {
        with_writer(writer, |writer| {
            writer.heartbeat(clock::seconds_since(current_time));
            OK
        })
    }
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_host_ends(writer: *mut Handle) -> c_int {
    // SAFETY: the caller promises that `writer` is null or open, and calls on the writer's thread.
    unsafe {
        with_writer(writer, |writer| {
            writer.host_ends();
            OK
        })
    }
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_flush(writer: *mut Handle) -> c_int {
    // SAFETY: the caller promises that `writer` is null or open, and calls on the writer's thread.
    unsafe {
        with_writer(writer, |writer| {
            writer.flush();
            OK
        })
    }
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_flush_interval(writer: *const Handle) -> f64 {
    // SAFETY: the caller promises that `writer` is null or open, and calls on the writer's thread.
    unsafe { writer.as_ref() }.map_or(0.0, |handle| handle.writer.flush_interval().as_secs_f64())
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_endpoints(writer: *const Handle) -> u32 {
    // SAFETY: the caller promises that `writer` is null or open, and calls on the writer's thread.
    unsafe { writer.as_ref() }.map_or(0, |handle| handle.writer.connections().len() as u32)
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open; `stats` is null or valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_stats(writer: *const Handle, endpoint: u32, stats: *mut Stats) -> c_int {
    guard(ERR_PANIC, || {
        // SAFETY: the caller promises that `writer` is null or open, and calls on the writer's thread.
        let Some(Handle { writer, .. }) = (unsafe { writer.as_ref() }) else { return ERR_NULL };
        let index = endpoint as usize;
        let find = || match (writer.connections().get(index), writer.counters(index)) {
            (Some(connection), Some(counters)) => Ok(Stats {
                subscribed: connection.subscribed().into(),
                unknown_values: writer.unknown_values(),
                ..Stats::from(counters)
            }),
            _ => Err(ERR_ARGUMENT),
        };
        // SAFETY: the caller promises null, or as many bytes as the size in front says.
        unsafe { fill(stats, FIRST_STATS, find) }.map_or_else(|code| code, |()| OK)
    })
}

/// See the header.
///
/// # Safety
///
/// `path` is null or terminated; `stats` is null or valid for the size it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_log_stats(path: *const c_char, stats: *mut Stats) -> c_int {
    guard(ERR_PANIC, || {
        // SAFETY: the caller promises null or a terminated string.
        let path = match unsafe { text(path) } {
            Ok(path) => readable(path.to_bytes()),
            Err(code) => return code,
        };
        // SAFETY: the caller promises null, or as many bytes as the size in front says.
        unsafe { fill(stats, FIRST_STATS, || Ok(Stats::from(Totals::of(&path).read()))) }
            .map_or_else(|code| code, |()| OK)
    })
}

/// See the header.
///
/// # Safety
///
/// `writer` is null or open, and is not used after this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bzw_writer_close(writer: *mut Handle) -> c_int {
    if writer.is_null() {
        return OK;
    }
    guard(ERR_PANIC, || {
        // SAFETY: not null, so the caller promises a writer that is open: `bzw_writer_open` made it with
        // `Box::into_raw`, and nobody uses it after this.
        let handle = unsafe { Box::from_raw(writer) };
        handle.writer.close();
        OK
    })
}
