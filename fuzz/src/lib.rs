//! What is fuzzed. Each function takes any bytes and must return: it panics when something is
//! wrong. `fuzz_targets/` gives them to libFuzzer, and `tests/integration/fuzz.rs` of the main crate, which
//! includes this file, a short run of its own on every change.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::ptr;

use bro_zeromq_writer::abi::{self, NamedValue, OpenArgs, Stats};
use bro_zeromq_writer::dispatch;
use bro_zeromq_writer::host::{Address, AnyShape, FAMILIES, Field, Layout, Record};
use bro_zeromq_writer::json::{EncodeError, Envelope, EscapePolicy, FieldPlan, Out, Style, TimeFormat, encode};
use bro_zeromq_writer::keys::Certificate;
use bro_zeromq_writer::spool::{Spool, SpoolOptions, SyncPolicy, WhenFull};
use bro_zeromq_writer::writer::{Config, Frames, Given, Head, OPTIONS, Scope, Template};
use fake_host::zeeklog::{Item, Reader};
use fake_host::{Cell, Columns, Synth, Type};

/// Takes an input apart. Behind its end are zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// A number below a limit, which is at most 256.
    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    fn text(&mut self) -> &'a [u8] {
        let count = self.below(256);
        self.bytes(count)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value of any kind. `depth` bounds the nesting, beyond what the encoder allows.
fn cell(input: &mut Input<'_>, depth: usize) -> Cell {
    let address = |input: &mut Input<'_>| match input.byte() % 2 {
        0 => Address::V4(input.array()),
        _ => Address::V6(input.array()),
    };
    match input.below(16) {
        0 => Cell::Unset(Type::ALL[input.below(Type::ALL.len())]),
        1 => Cell::Bool(input.byte() % 2 == 1),
        2 => Cell::Int(i64::from_ne_bytes(input.array())),
        3 => Cell::Count(u64::from_ne_bytes(input.array())),
        4 => Cell::Port(u64::from_ne_bytes(input.array()), input.byte()),
        5 => Cell::Double(f64::from_bits(u64::from_ne_bytes(input.array()))),
        6 => Cell::Interval(f64::from_bits(u64::from_ne_bytes(input.array()))),
        7 => Cell::Time(f64::from_bits(u64::from_ne_bytes(input.array()))),
        8 => Cell::Addr(address(input)),
        9 => Cell::Subnet(address(input), input.byte()),
        10 | 11 => {
            let kind = [Type::String, Type::Enum, Type::File, Type::Func][input.below(4)];
            // Long text takes other ways through the encoder.
            let text = input.text();
            Cell::Text(kind, text.repeat(1 + input.below(4)))
        }
        12 => {
            // A list in a list, and so on.
            let levels = input.below(100).min(depth);
            let mut inner = cell(input, 0);
            for _ in 0..levels {
                inner = Cell::List(Type::Vector, vec![inner]);
            }
            inner
        }
        13 if depth > 0 => {
            let kind = [Type::Set, Type::Vector][input.below(2)];
            let count = input.below(9);
            Cell::List(kind, (0..count).map(|_| cell(input, depth - 1)).collect())
        }
        _ => raw(input),
    }
}

/// Memory that no host leaves behind. Where the encoder follows a pointer with a length, the pointer is
/// null or the length not positive: the encoder cannot check more, and demands the rest of its caller.
fn raw(input: &mut Input<'_>) -> Cell {
    let tag = u32::from(input.byte());
    let mut bytes: [u8; 24] = input.array();
    // In every layout text has its length at 8, and a list its size at 0 and its elements at 8.
    let number = i64::from_ne_bytes(input.array());
    match input.below(3) {
        0 => {
            bytes[..8].fill(0);
            bytes[8..16].fill(0);
        }
        1 => {
            bytes[..8].copy_from_slice(&number.to_ne_bytes());
            bytes[8..16].fill(0);
        }
        _ => {
            // The size of a list has 64 bits, the length of text 32.
            let negative = (number | i64::MIN | 1 << 31).to_ne_bytes();
            bytes[..8].copy_from_slice(&negative);
            bytes[8..16].copy_from_slice(&negative);
        }
    }
    Cell::Raw(tag, bytes)
}

fn style(input: &mut Input<'_>) -> Style {
    Style {
        time: [TimeFormat::Epoch, TimeFormat::Millis, TimeFormat::MillisUnsigned, TimeFormat::Iso8601][input.below(4)],
        include_unset: input.byte() % 2 == 1,
        escape: [EscapePolicy::Hex, EscapePolicy::Pua, EscapePolicy::Tsv][input.below(3)],
    }
}

/// Values in a host's memory: whatever they are, a record is JSON or an error.
pub fn record(data: &[u8]) {
    let input = &mut Input(data);
    let layout = FAMILIES[input.below(FAMILIES.len())].layout;
    let style = style(input);
    let mut columns = Vec::new();
    let mut cells = Vec::new();
    while !input.is_empty() && columns.len() < 40 {
        // Fields are what the host calls them: any bytes but a NUL.
        columns.push((String::from_utf8_lossy(input.text()).into_owned(), Type::ALL[input.below(Type::ALL.len())]));
        cells.push(cell(input, 80));
    }
    let room = usize::from(u16::from_ne_bytes(input.array()));
    encode_and_check(&layout, style, &columns, &cells, room);
}

/// Encodes into a place of `room` bytes, which can be too small, and into one that is not.
fn encode_and_check(layout: &Layout, style: Style, columns: &[(String, Type)], cells: &[Cell], room: usize) {
    let shape = AnyShape::new(layout).expect("a known layout");
    let fields = Columns::new(layout, columns.iter().map(|(name, kind)| (name.as_str(), *kind)));
    // SAFETY: `Columns` lays them out as the layout says.
    let fields = unsafe { Field::read_all(fields.as_ptr().cast(), fields.len(), layout) }.expect("no field is null");
    let plan = FieldPlan::new(&fields, layout, style);
    let envelope = Envelope::new(None, [(&b"site"[..], &b"here"[..])], style.escape).expect("it has a field");
    let mut synth = Synth::new(layout);
    let values = synth.record(cells).as_ptr().cast();
    let mut small = vec![MaybeUninit::uninit(); room];
    let mut large = vec![MaybeUninit::uninit(); 4 << 20];
    let mut results = Vec::new();
    for memory in [&mut small, &mut large] {
        results.push(dispatch!(shape, shape => {
            // SAFETY: as many values as there are columns, laid out as the shape says.
            let record = unsafe { Record::new(values, shape) };
            envelope.begin(memory).map_err(EncodeError::from).and_then(|mut out: Out<'_>| {
                // SAFETY: the record has a value for each column of the plan, laid out as the shape says.
                unsafe { encode(&plan, record, &mut out)? };
                let len = envelope.end(&mut out)?;
                Ok(out.written()[..len].to_vec())
            })
        }));
    }
    match &results[..] {
        [Err(EncodeError::Full), Err(EncodeError::Full)] => panic!("4 MiB are not enough"),
        [Err(EncodeError::Full), _] => {}
        [small, large] => assert_eq!(small, large),
        _ => unreachable!("two rooms"),
    }
    if let Ok(json) = &results[1] {
        let text = std::str::from_utf8(json).expect("JSON is UTF-8");
        let value: serde_json::Value = match serde_json::from_str(text) {
            Ok(value) => value,
            // serde_json has a limit for nesting, too.
            Err(error) if error.to_string().contains("recursion limit") => return,
            // Lone surrogates, in which the escape policy PUA puts bytes that are no text.
            Err(_) if style.escape == EscapePolicy::Pua => return,
            Err(error) => panic!("{error}: {text}"),
        };
        assert!(value.is_object(), "{text}");
    }
}

/// What a caller of the C ABI may give: sizes, versions, layouts, options, numbers of columns,
/// null pointers. Each call must return, with an error code or without.
pub fn abi(data: &[u8]) {
    let input = &mut Input(data);
    let mut layout = FAMILIES[input.below(FAMILIES.len())].layout;
    for _ in 0..input.below(4) {
        // SAFETY: the layout is numbers, of which any is valid.
        let members = unsafe { &mut *(&raw mut layout).cast::<[u32; size_of::<Layout>() / 4]>() };
        let member = 1 + input.below(members.len() - 1);
        members[member] = match input.byte() % 4 {
            0 => u32::from_ne_bytes(input.array()),
            1 => u32::MAX,
            _ => u32::from(input.byte()),
        };
    }
    // SAFETY: a layout of the size that it names.
    let known = unsafe { abi::bzw_layout_check(&raw const layout) };
    assert!([abi::OK, abi::ERR_LAYOUT].contains(&known));
    let text = |input: &mut Input<'_>| {
        CString::new(input.text().split(|&byte| byte == 0).next().unwrap_or_default()).unwrap_or_default()
    };
    let path = text(input);
    // Records are held for a subscriber that does not come, so that every record is encoded.
    let mut options = vec![
        (CString::from(c"endpoint"), CString::from(c"ipc:///nonexistent/fuzz")),
        (CString::from(c"wait_for_subscriber"), CString::from(c"1 day")),
        (CString::from(c"zmq_hwm"), CString::from(c"3")),
        (CString::from(c"zmq_linger"), CString::from(c"0")),
    ];
    for _ in 0..input.below(4) {
        let name = OPTIONS[input.below(OPTIONS.len())].name;
        // What waits, writes files or takes addresses is for other targets.
        let harmless =
            ["topic", "frames", "sensor", "json_timestamps", "json_include_unset_fields", "json_string_escape_policy"];
        let name = match name.to_str() {
            Ok(known) if harmless.contains(&known) || known.starts_with("extra") || known.starts_with("tag") => {
                name.into()
            }
            _ => text(input),
        };
        options.push((name, text(input)));
    }
    let filter: Vec<_> = options[..input.below(options.len())].to_vec();
    let named = |options: &[(CString, CString)]| -> Vec<NamedValue> {
        options.iter().map(|(name, value)| NamedValue { name: name.as_ptr(), value: value.as_ptr() }).collect()
    };
    let (globals, config) = (named(&options), named(&filter));
    // No fields are made in a layout that is refused.
    let usable = known == abi::OK;
    let kinds: Vec<_> = (0..input.below(8)).map(|_| (text(input), Type::ALL[input.below(Type::ALL.len())])).collect();
    let columns = match usable && fake_host::fits(&layout) {
        true => Some(Columns::new(&layout, kinds.iter().map(|(name, kind)| (name.to_str().unwrap_or("x"), *kind)))),
        false => None,
    };
    let reports = RefCell::new(0_usize);
    let (struct_size, abi_version) = match input.byte() {
        0 => (input.byte().into(), abi::ABI_VERSION),
        1 => (size_of::<OpenArgs>() as u32, input.byte().into()),
        _ => (size_of::<OpenArgs>() as u32, abi::ABI_VERSION),
    };
    let nulls = if input.byte() == 0 { input.byte() } else { 0 };
    let null_if = |bit: u8| nulls & (1 << bit) != 0;
    let args = OpenArgs {
        struct_size,
        abi_version,
        layout: if null_if(0) { ptr::null() } else { &raw const layout },
        path: if null_if(1) { ptr::null() } else { path.as_ptr() },
        filter_name: if null_if(2) { ptr::null() } else { c"fuzz".as_ptr() },
        globals: if null_if(3) { ptr::null() } else { globals.as_ptr() },
        num_globals: globals.len(),
        config: if null_if(4) { ptr::null() } else { config.as_ptr() },
        num_config: config.len(),
        fields: columns.as_ref().filter(|_| !null_if(5)).map_or(ptr::null(), Columns::as_ptr),
        num_fields: match columns.as_ref() {
            Some(columns) => columns.len() as c_int,
            None => [0, -1, c_int::MIN][input.below(3)],
        },
        report: if null_if(6) { None } else { Some(count_report) },
        report_context: (&raw const reports).cast_mut().cast(),
    };
    let mut writer = ptr::null_mut();
    // SAFETY: everything in it is as the header says, or null.
    let code = unsafe { abi::bzw_writer_open(&raw const args, &raw mut writer) };
    assert_eq!(code == abi::OK, !writer.is_null(), "{code}");
    assert_ne!(code, abi::ERR_PANIC);
    if writer.is_null() {
        return;
    }
    let width = columns.as_ref().map_or(0, Columns::len);
    let mut synth = columns.as_ref().map(|columns| Synth::new(columns.layout()));
    for _ in 0..input.below(6) {
        let cells: Vec<_> = (0..width).map(|_| cell(input, 70)).collect();
        let values = synth.as_mut().map_or(ptr::null(), |synth| synth.record(&cells).as_ptr());
        let (count, values) = match input.byte() {
            0 => (i32::from_ne_bytes(input.array()), ptr::null()),
            _ => (width as c_int, values),
        };
        // SAFETY: an open writer, and as many values as are said, or null.
        let code = unsafe { abi::bzw_writer_write(writer, count, values) };
        assert!([abi::OK, abi::ERR_NULL].contains(&code), "{code}");
    }
    let mut stats = Stats { struct_size: size_of::<Stats>() as u32, ..Stats::default() };
    // SAFETY: an open writer, room of the size named, and its end.
    unsafe {
        let endpoint = input.byte().into();
        let code = abi::bzw_writer_stats(writer, endpoint, &raw mut stats);
        assert_eq!(code == abi::OK, endpoint < abi::bzw_writer_endpoints(writer));
        assert_eq!(abi::bzw_writer_heartbeat(writer, f64::NAN, f64::INFINITY), abi::OK);
        assert_eq!(abi::bzw_writer_close(writer), abi::OK);
    }
}

unsafe extern "C" fn count_report(context: *mut c_void, _level: c_int, message: *const c_char) {
    // SAFETY: the context given above, and a terminated string.
    let (reports, message) = unsafe { (&*context.cast::<RefCell<usize>>(), std::ffi::CStr::from_ptr(message)) };
    *reports.borrow_mut() += 1;
    assert!(message.to_bytes().iter().all(|&byte| byte >= 0x20), "a line of the log is one line: {message:?}");
}

/// The files of a spool, after anything has happened to them: what is read is what was written,
/// in order, or counted as lost; and it comes to an end.
pub fn spool(data: &[u8]) {
    let input = &mut Input(data);
    let dir = Scratch::new();
    let options = SpoolOptions {
        dir: dir.0.join("spool"),
        max_bytes: 4096 << input.below(5),
        when_full: [WhenFull::Oldest, WhenFull::Newest][input.below(2)],
        sync: SyncPolicy::Never,
    };
    let mut written: u64 = 0;
    // Somebody may have written records of his own, with the right checksums.
    let mut forged = false;
    while !input.is_empty() {
        let Ok((mut spool, _)) = Spool::open(&options, "conn", "tcp://127.0.0.1:1") else {
            assert!(forged, "the directory is its own");
            return;
        };
        for _ in 0..input.below(32) {
            match input.byte() % 8 {
                0..=2 => {
                    let record = [&written.to_le_bytes(), input.text()].concat();
                    written += 1;
                    // The spool may be full.
                    let _ = spool.push(&record);
                }
                3 | 4 => {
                    if let Some(record) = spool.peek().map(<[u8]>::to_vec) {
                        let number = record.get(..8).map(|number| u64::from_le_bytes(number.try_into().unwrap()));
                        assert!(forged || number.is_some_and(|number| number < written), "{record:?}");
                    }
                    spool.advance();
                }
                5 => spool.confirm(input.byte().into()),
                6 => spool.rewind(),
                _ => {
                    spool.tick();
                    spool.set_in_flight(input.byte().into());
                }
            }
        }
        if input.byte() % 2 == 0 {
            spool.close();
        } else {
            drop(spool);
        }
        for _ in 0..input.below(3) {
            forged |= damage(input, &options.dir);
        }
    }
    let Ok((mut spool, _)) = Spool::open(&options, "conn", "tcp://127.0.0.1:1") else {
        assert!(forged, "the directory is its own");
        return;
    };
    let mut last = None;
    let waiting = spool.waiting();
    for read in 0.. {
        let Some(record) = spool.peek() else { break };
        let number = record.get(..8).map(|number| u64::from_le_bytes(number.try_into().unwrap()));
        assert!(forged || number > last, "{number:?} behind {last:?}");
        last = number;
        spool.advance();
        assert!(forged || read <= waiting, "more than there were");
        assert!(read < 1_000_000, "it does not end");
    }
}

/// Does something to one of the files. Returns true if its checksums are right nevertheless.
fn damage(input: &mut Input<'_>, root: &Path) -> bool {
    let mut files = Vec::new();
    for dir in std::fs::read_dir(root).into_iter().flatten().flatten() {
        files.extend(std::fs::read_dir(dir.path()).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    files.sort();
    if files.is_empty() {
        return false;
    }
    let path = &files[input.below(files.len())];
    let Ok(mut bytes) = std::fs::read(path) else { return false };
    let at = usize::from(u16::from_le_bytes(input.array())) % bytes.len().max(1);
    let mut sealed = false;
    match input.byte() % 7 {
        0 => bytes.truncate(at),
        1 => bytes.extend_from_slice(input.text()),
        2 => {
            let new = input.text();
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        3 => drop(bytes.splice(at..at, input.text().iter().copied())),
        4 => {
            let _ = std::fs::remove_file(path);
            return false;
        }
        // A header, or a slot of the state file, is made to say something else.
        kind => {
            let (start, end) = match (path.ends_with("state"), kind) {
                (true, 5) => (0, 80),
                (true, _) => (4096, 4176),
                (false, _) => (0, bytes.get(12..16).map_or(0, |len| word(len) as usize).saturating_sub(4)),
            };
            let field = start + 16 + 8 * input.below(9);
            let new: [u8; 8] = match input.byte() % 2 {
                0 => input.array(),
                _ => u64::from(input.byte()).to_le_bytes(),
            };
            if end + 4 <= bytes.len() && field + 8 <= end {
                bytes[field..field + 8].copy_from_slice(&new);
                let crc = crc32c::crc32c(&bytes[start..end]);
                bytes[end..end + 4].copy_from_slice(&crc.to_le_bytes());
                sealed = true;
            }
        }
    }
    std::fs::write(path, bytes).expect("the file can be written");
    sealed
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// A directory in memory that goes away again.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let base = Path::new("/dev/shm");
        let base = if base.is_dir() { base.to_owned() } else { std::env::temp_dir() };
        let dir = base.join(format!("bzw-fuzz-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&dir).expect("the directory is new");
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A log file that is replayed: whatever is in it, its records can be encoded.
pub fn replay(data: &[u8]) {
    let layout = &FAMILIES[FAMILIES.len() - 1].layout;
    let mut columns: Vec<(String, Type)> = Vec::new();
    let (mut items, mut encoded) = (0, 0);
    for item in Reader::new(data) {
        items += 1;
        match item {
            Ok(Item::Header(header)) => {
                columns = header.columns.iter().map(|column| (column.name.clone(), column.kind)).collect();
            }
            Ok(Item::Record(cells)) => {
                assert_eq!(cells.len(), columns.len(), "a cell for each column");
                if encoded < 10 {
                    encoded += 1;
                    encode_and_check(layout, Style::default(), &columns, &cells, 100);
                }
            }
            Ok(Item::Json(object)) => assert!(object.starts_with(b"{") && !object.contains(&b'\n')),
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
    let lines = data.split(|&byte| byte == b'\n').count();
    assert!(items <= 2 * lines + 1, "{items} items of {lines} lines");
}

/// Options, and files of keys.
pub fn config(data: &[u8]) {
    let input = &mut Input(data);
    if input.byte() % 4 == 0 {
        if let Ok(certificate) = Certificate::parse(input.0) {
            // A key is the same when it is read again.
            if let Some(key) = certificate.public {
                let text = format!("curve\n public-key = \"{key}\"\n");
                assert_eq!(Certificate::parse(text.as_bytes()).ok().and_then(|again| again.public), Some(key));
            }
        }
        return;
    }
    let mut options = Vec::new();
    while !input.is_empty() && options.len() < 30 {
        let source = [Scope::Global, Scope::Filter][input.below(2)];
        let name = match input.below(OPTIONS.len() + 2) {
            index if index < OPTIONS.len() => OPTIONS[index].name().to_owned(),
            index if index == OPTIONS.len() => "extra_fields_hex".to_owned(),
            _ => String::from_utf8_lossy(input.text()).into_owned(),
        };
        let value = String::from_utf8_lossy(input.text()).into_owned();
        // No option may name a file of keys: the outcome would depend on what files there are.
        if !(name.starts_with("curve_") && value.contains('/')) {
            options.push((source, name, value));
        }
    }
    let given: Vec<_> = options.iter().map(|(source, name, value)| Given { scope: *source, name, value }).collect();
    match Config::parse(&given) {
        Ok(config) => {
            assert!(!config.endpoints.is_empty());
            assert!(config.curve.is_none(), "no file of keys was named");
            assert!(!config.head(b"conn").beginning().is_empty());
            assert_eq!(Config::parse(&given).as_ref(), Ok(&config));
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            assert!(text.starts_with("LogZeroMQ::") || text.starts_with("$config["), "{text}");
        }
    }
    if let Ok(topic) = Template::parse(data, || Ok("sensor".to_owned())) {
        let _ = topic.of(data);
    }
    if let Some((topic, json)) = Head::split(data) {
        assert_eq!([Head::new(topic.to_vec(), Frames::One).within(), json].concat(), data);
    }
}
