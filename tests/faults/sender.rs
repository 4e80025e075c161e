//! The host of the fault tests: writes numbered records through the C ABI, as a host's writer
//! thread does, and tells what became of them. See `run.py`.
//!
//!     faults-sender ENDPOINT RATE RECORDS STAY NUMBERS [OPTION=VALUE …]
//!
//! RATE is records a second, 0 as many as it can. After RECORDS of them (0: no end) or SIGTERM
//! it stays until nothing is waiting, at most STAY seconds, and closes the writer. NUMBERS is a
//! file with the number of the last record written, also after SIGKILL, from which the next run
//! goes on. Standard output has a line of JSON a second and one after closing: the counters of
//! each endpoint, and of all. The counters are checked to add up before each line.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bro_zeromq_writer::abi::Stats;
use bro_zeromq_writer::host::family_of_version;
use fake_host::{Cell, Type, Writer, log_stats};

const PATH: &str = "numbers";

/// Bytes that make a record about as long as one of conn.log.
const PADDING: usize = 300;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, rate, records, stay, numbers, options @ ..] = &args[..] else {
        panic!("ENDPOINT RATE RECORDS STAY NUMBERS [OPTION=VALUE …]");
    };
    let rate: f64 = rate.parse().expect("RATE");
    let records: u64 = records.parse().expect("RECORDS");
    let stay = Duration::from_secs_f64(stay.parse().expect("STAY"));
    let numbers =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(numbers).expect("NUMBERS");
    let options: Vec<_> = options.iter().map(|option| option.split_once('=').expect("OPTION=VALUE")).collect();

    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stop)).expect("signals");

    let layout = family_of_version(8, 0).expect("Zeek 8.0").layout;
    let mut writer = Writer::open(&layout, PATH, endpoint, &options, &["n", "padding"]);
    let mut bytes = [0; 8];
    let mut number = if numbers.read_exact_at(&mut bytes, 0).is_ok() { u64::from_le_bytes(bytes) } else { 0 };
    let padding = Cell::Text(Type::String, vec![b'x'; PADDING]);
    let began = Instant::now();
    let mut heartbeat = Heartbeat { last: began };
    let mut done = 0;
    while (records == 0 || done < records) && !stop.load(Ordering::Relaxed) {
        heartbeat.beat_if_due(&mut writer);
        let due = if rate == 0.0 { done + 64 } else { (began.elapsed().as_secs_f64() * rate) as u64 };
        if due <= done {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let due = if records == 0 { due } else { due.min(records) };
        while done < due {
            number += 1;
            done += 1;
            writer.write(&[Cell::Text(Type::String, number.to_string().into_bytes()), padding.clone()]);
            numbers.write_all_at(&number.to_le_bytes(), 0).expect("NUMBERS");
        }
    }
    let ended = Instant::now();
    let waiting =
        |writer: &Writer| endpoints(writer).iter().any(|stats| stats.records_queued + stats.records_spooled > 0);
    while ended.elapsed() < stay && waiting(&writer) {
        heartbeat.beat_if_due(&mut writer);
        std::thread::sleep(Duration::from_millis(10));
    }
    let last = endpoints(&writer);
    for (_, text) in writer.close() {
        eprintln!("{text}");
    }
    tell("closed", &last);
}

struct Heartbeat {
    last: Instant,
}

impl Heartbeat {
    fn beat_if_due(&mut self, writer: &mut Writer) {
        if self.last.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.last = Instant::now();
        writer.heartbeat();
        for (_, text) in writer.take_reports() {
            eprintln!("{text}");
        }
        tell("running", &endpoints(writer));
    }
}

/// The counters of each endpoint, which add up.
fn endpoints(writer: &Writer) -> Vec<Stats> {
    (0..writer.endpoints()).map(|endpoint| writer.stats_of(endpoint)).collect()
}

fn tell(when: &str, endpoints: &[Stats]) {
    let endpoints: Vec<_> = endpoints.iter().map(json).collect();
    println!("{{\"when\":\"{when}\",\"all\":{},\"endpoints\":[{}]}}", json(&log_stats(PATH)), endpoints.join(","));
}

fn json(stats: &Stats) -> String {
    let Stats {
        records_written: written,
        records_recovered: recovered,
        records_sent: sent,
        records_queued: queued,
        records_spooled: spooled,
        dropped_no_subscriber,
        dropped_queue_full,
        dropped_encoding,
        dropped_closed,
        dropped_spool,
        ..
    } = *stats;
    format!(
        "{{\"written\":{written},\"recovered\":{recovered},\"sent\":{sent},\"queued\":{queued},\"spooled\":{spooled},\
         \"no_subscriber\":{dropped_no_subscriber},\"queue_full\":{dropped_queue_full},\
         \"encoding\":{dropped_encoding},\"closed\":{dropped_closed},\"spool\":{dropped_spool}}}"
    )
}
