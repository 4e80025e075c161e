//! What the benchmarks share: records to encode, how to measure, and how to print.
//!
//! The harness is our own, because the benchmarks want ratios. criterion and divan measure one
//! function after the other; minutes pass between a function and its peer, and a machine shared
//! with others changes in between. Here the peers take turns of a few milliseconds ([`compare`]).
//! Each round gives a ratio, and the median of all rounds is printed. Time is the thread's own CPU
//! time, not the clock's.
#![allow(dead_code, reason = "not every benchmark uses everything")]

pub mod libzmq;
pub mod rapidjson;
pub mod table;
pub mod writer;

use std::ffi::c_void;
use std::fs::File;
use std::io::BufReader;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use bro_zeromq_writer::host::{AnyShape, FAMILIES, Field, Fixed, Layout, Record};
use bro_zeromq_writer::json::{FieldPlan, Out, Style, encode};
use fake_host::zeeklog::{Column, Item, Reader};
use fake_host::{Cell, Columns, Synth, Type};

/// The repository's directory, which is above that of the tool's benchmark.
fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|directory| directory.join("Cargo.lock").exists()).unwrap()
}

/// The layout that all benchmarks use: Zeek 8.0's, which the RapidJSON peer reads too.
#[must_use]
pub fn layout() -> Layout {
    FAMILIES.iter().find(|family| family.name == c"zeek-8.0").unwrap().layout
}

/// The logs that the goals name come first.
pub const NAMED: [&str; 5] = ["conn", "dns", "http", "ssl", "files"];

/// One log's columns and records.
pub struct Log {
    pub path: String,
    pub columns: Vec<Column>,
    pub records: Vec<Vec<Cell>>,
}

/// Reads the committed logs: the real ones below `tests/data/logs`, or else the sample. Of
/// several forms of one log the one with most records counts.
#[must_use]
pub fn logs() -> Vec<Log> {
    let data = root().join("tests/data");
    let mut files = Vec::new();
    find_logs(&data.join("logs"), &mut files);
    if files.is_empty() {
        find_logs(&data.join("sample"), &mut files);
    }
    files.sort();
    let mut logs: Vec<Log> = Vec::new();
    for file in files {
        let mut current = None;
        for item in Reader::new(BufReader::new(File::open(&file).unwrap())) {
            match item {
                Ok(Item::Header(header)) => {
                    let Some(path) = header.path.clone() else { continue };
                    let path = String::from_utf8(path).unwrap();
                    let found = logs.iter().position(|log| log.path == path && log.columns == header.columns);
                    current = Some(found.unwrap_or_else(|| {
                        logs.push(Log { path, columns: header.columns.clone(), records: Vec::new() });
                        logs.len() - 1
                    }));
                }
                Ok(Item::Record(mut cells)) => {
                    restore_digits(&mut cells);
                    logs[current.unwrap()].records.push(cells);
                }
                // A log that a host wrote as JSON.
                Ok(Item::Json(_)) => break,
                Err(error) => panic!("{}: {error}", file.display()),
            }
        }
    }
    logs.retain(|log| !log.records.is_empty());
    let rank = |log: &Log| NAMED.iter().position(|name| *name == log.path).unwrap_or(NAMED.len());
    logs.sort_by(|a, b| {
        rank(a).cmp(&rank(b)).then_with(|| a.path.cmp(&b.path)).then(b.records.len().cmp(&a.records.len()))
    });
    logs.dedup_by(|b, a| a.path == b.path);
    logs
}

/// Hosts write six decimals to a log but have more: most intervals of a record are the
/// difference of two times, which are doubles some 2^-22 apart. JSON shows all the digits,
/// and they cost the most of all numbers, so that benchmarks must not go without them.
fn restore_digits(cells: &mut [Cell]) {
    let time = cells.iter().find_map(|cell| if let Cell::Time(time) = cell { Some(*time) } else { None });
    let Some(time) = time else { return };
    for cell in cells {
        if let Cell::Interval(interval) = cell {
            *interval = (time + *interval) - time;
        }
    }
}

fn find_logs(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = directory.read_dir() else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_logs(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
}

/// How many records a benchmark goes round in: with their text they stay below the size
/// of a second-level cache, and are too many for the branch predictor to learn by heart.
pub const RECORDS: usize = 256;

/// Records laid out as a host does, one behind the other.
pub struct Set {
    pub path: String,
    pub names: Vec<String>,
    pub cells: Vec<Vec<Cell>>,
    plan: FieldPlan,
    shape: Fixed<1, 32, 8>,
    columns: Columns,
    _synth: Synth,
    values: Vec<*const c_void>,
}

// SAFETY: the pointers lead into memory that the set owns and does not change.
unsafe impl Send for Set {}
// SAFETY: nobody changes the memory that the pointers lead to.
unsafe impl Sync for Set {}

impl Set {
    /// [`RECORDS`] of a log's records in random order, each as often as any other, give or
    /// take one.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        let mut random = Random(42);
        let mut cells: Vec<_> = log.records.iter().cycle().take(RECORDS.max(log.records.len())).cloned().collect();
        for index in (1..cells.len()).rev() {
            cells.swap(index, random.below(index + 1));
        }
        cells.truncate(RECORDS);
        Self::new(&log.path, log.columns.iter().map(|column| (column.name.as_str(), column.kind)), cells)
    }

    /// Just the log's records, once each.
    #[must_use]
    pub fn all_of(log: &Log) -> Self {
        let columns = log.columns.iter().map(|column| (column.name.as_str(), column.kind));
        Self::new(&log.path, columns, log.records.clone())
    }

    /// Lays out records.
    #[must_use]
    pub fn new<'n>(path: &str, columns: impl Iterator<Item = (&'n str, Type)> + Clone, cells: Vec<Vec<Cell>>) -> Self {
        let layout = layout();
        let Ok(AnyShape::Zeek80(shape)) = AnyShape::new(&layout) else { panic!("not the layout of Zeek 8.0") };
        let names: Vec<_> = columns.clone().map(|(name, _)| name.to_owned()).collect();
        let plan_fields: Vec<_> = names.iter().map(|name| Field { name: name.clone().into_bytes() }).collect();
        let mut synth = Synth::new(&layout);
        // The records are laid out as one, so that all of them are in memory at the same time.
        let flat: Vec<_> = cells.iter().flatten().cloned().collect();
        let values = synth.record(&flat).to_vec();
        assert!(cells.iter().all(|record| record.len() == names.len()));
        Self {
            path: path.to_owned(),
            plan: FieldPlan::new(&plan_fields, &layout, Style::default()),
            shape,
            columns: Columns::new(&layout, columns),
            _synth: synth,
            values,
            names,
            cells,
        }
    }

    /// Encodes with what every processor has from now on. Returns true if that is a change.
    pub fn use_baseline(&mut self) -> bool {
        self.plan.use_baseline()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Its columns.
    #[must_use]
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// `threading::Value**` of a record.
    #[inline]
    #[must_use]
    pub fn values(&self, index: usize) -> *const *const c_void {
        let width = self.names.len();
        self.values[index * width..(index + 1) * width].as_ptr()
    }

    /// Encodes a record and returns its length.
    #[inline]
    pub fn encode(&self, index: usize, memory: &mut [MaybeUninit<u8>]) -> usize {
        let mut out = Out::new(memory);
        // SAFETY: the values were laid out for this shape, as many as the plan has columns.
        let result = unsafe { encode(&self.plan, Record::new(self.values(index).cast(), self.shape), &mut out) };
        assert!(result.is_ok());
        out.len()
    }

    /// Every record as JSON.
    #[must_use]
    pub fn json(&self) -> Vec<Vec<u8>> {
        let mut memory = vec![MaybeUninit::uninit(); MEMORY];
        (0..self.len())
            .map(|index| {
                let len = self.encode(index, &mut memory);
                // SAFETY: the encoder has written these bytes.
                memory[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect()
            })
            .collect()
    }
}

/// Enough for any record of a benchmark.
pub const MEMORY: usize = 1 << 20;

/// A generator of numbers that are the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn clock(id: libc::clockid_t) -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writing.
    assert_eq!(unsafe { libc::clock_gettime(id, &raw mut now) }, 0);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// This thread's CPU time in nanoseconds: what others do on the machine does not count.
#[must_use]
pub fn thread_cpu() -> f64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The process's CPU time in nanoseconds.
#[must_use]
pub fn process_cpu() -> f64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The process's resident memory in bytes.
#[must_use]
pub fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    // SAFETY: reads a number of the system's.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    statm.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * page as f64
}

/// What is compared: a name, and what to do once for every record of a set.
pub type Peer<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// One peer's cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Nanoseconds for each record: the median, and what a tenth of the rounds were below and above.
    pub median: f64,
    pub low: f64,
    pub high: f64,
    /// By how much it is slower than the first peer: the median of each round's ratio.
    pub ratio: f64,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// Nanoseconds for each peer's turn in a round.
    pub turn: f64,
}

/// What the command line asks for: `--quick`, and which logs or cases to look at.
pub struct Arguments {
    pub effort: Effort,
    pub quick: bool,
    filters: Vec<String>,
}

impl Arguments {
    #[must_use]
    pub fn parse() -> Self {
        // cargo passes --bench.
        let all: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let quick = all.iter().any(|argument| argument == "--quick");
        let filters = all.into_iter().filter(|argument| !argument.starts_with("--")).collect();
        let effort = if quick { Effort { rounds: 15, turn: 5e5 } } else { Effort { rounds: 101, turn: 1e6 } };
        Self { effort, quick, filters }
    }

    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter == name)
    }
}

/// Lets peers take turns. `units` is how many records a call handles.
pub fn compare(effort: Effort, units: usize, peers: &mut [Peer<'_>]) -> Vec<Cost> {
    // Warms up caches and branch predictors, and finds out how many calls make a turn.
    let calls: Vec<usize> = peers
        .iter_mut()
        .map(|(_, call)| {
            let start = thread_cpu();
            let mut count = 0;
            while thread_cpu() - start < 4.0 * effort.turn {
                call();
                count += 1;
            }
            count / 4 + 1
        })
        .collect();
    let mut samples = vec![Vec::with_capacity(effort.rounds); peers.len()];
    for round in 0..effort.rounds {
        // Each round begins with another peer.
        for turn in 0..peers.len() {
            let index = (turn + round) % peers.len();
            let start = thread_cpu();
            for _ in 0..calls[index] {
                peers[index].1();
            }
            samples[index].push((thread_cpu() - start) / (calls[index] * units) as f64);
        }
    }
    let first = samples[0].clone();
    samples
        .into_iter()
        .map(|samples| {
            let ratio = quantile(samples.iter().zip(&first).map(|(a, b)| a / b).collect(), 0.5);
            Cost {
                median: quantile(samples.clone(), 0.5),
                low: quantile(samples.clone(), 0.1),
                high: quantile(samples, 0.9),
                ratio,
            }
        })
        .collect()
}

/// The value below which this part of the samples is.
#[must_use]
pub fn quantile(mut samples: Vec<f64>, part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * part).round() as usize]
}
