//! What collecting costs: `bro-zmq subscribe --output-dir` next to a loop around `zmq_msg_recv`
//! that throws everything away, each a process of its own. A sender in this process sends both
//! the same records over tcp on this machine, as fast as they are taken: it waits when the
//! queue is full, and nothing is dropped.
//!
//! The benchmark also measures how fast rotated files are finished, from what a run has left to the last
//! finished name, next to gzip(1) and zstd(1) alone.
//!
//! `cargo bench --bench collect -- [--quick] [LOG | mixed | finishing]...`

#[path = "../../benches/common/mod.rs"]
mod common;

use std::ffi::CString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::zmq::{Context, Message, Socket, SocketType};
use common::table::{self, number};
use common::{Arguments, NAMED, Set, logs, quantile};

/// Messages that wait on each side.
const HWM: i32 = 10_000;

/// A record: its log path and its JSON.
type Record<'a> = (&'a str, &'a [u8]);

/// A receiver that is listening.
struct Receiver {
    child: Child,
    endpoint: String,
    /// Reads what else the receiver says, and forgets it.
    rest: std::thread::JoinHandle<String>,
}

/// What a round has shown.
struct Round {
    /// Records in a second, from the first that was sent to the end of the receiver.
    rate: f64,
    /// CPU time of the receiver in nanoseconds for each record.
    cpu: f64,
}

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("--bare") {
        return bare(words.next().unwrap().parse().unwrap());
    }
    let arguments = Arguments::parse();
    let named: Vec<_> = logs().into_iter().filter(|log| NAMED.contains(&log.path.as_str())).collect();
    let sets: Vec<(&str, Vec<Vec<u8>>)> = named.iter().map(|log| (log.path.as_str(), Set::of(log).json())).collect();
    let mut cases: Vec<(&str, Vec<Record<'_>>)> = Vec::new();
    for (path, records) in &sets {
        cases.push((path, records.iter().map(|record| (*path, record.as_slice())).collect()));
    }
    // A record of each log, so that every record is for another file than the one before.
    let longest = sets.iter().map(|(_, records)| records.len()).max().unwrap_or(0);
    let turn =
        |index: usize| sets.iter().map(move |(path, records)| (*path, records[index % records.len()].as_slice()));
    cases.push(("mixed", (0..longest).flat_map(turn).collect()));

    let total: u64 = if arguments.quick { 100_000 } else { 1_000_000 };
    let rounds = if arguments.quick { 3 } else { 7 };
    let head = ["log", "bytes", "files, records/s", "bare, records/s", "files / bare", "files, CPU ns", "bare, CPU ns"];
    let mut rows = Vec::new();
    for (name, records) in cases.iter().filter(|(name, _)| arguments.wants(name)) {
        let (mut files, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=rounds {
            let ours = run(&collector, records, total);
            let theirs = run(&bare_receiver, records, total);
            if round > 0 {
                ratios.push(ours.rate / theirs.rate);
                files.push(ours);
                bare.push(theirs);
            }
        }
        let median = |rounds: &[Round], what: fn(&Round) -> f64| quantile(rounds.iter().map(what).collect(), 0.5);
        let size = records.iter().map(|(_, record)| record.len()).sum::<usize>() as f64 / records.len() as f64;
        rows.push(vec![
            (*name).to_owned(),
            number(size),
            number(median(&files, |round| round.rate)),
            number(median(&bare, |round| round.rate)),
            format!("{:.0} %", 100.0 * quantile(ratios, 0.5)),
            number(median(&files, |round| round.cpu)),
            number(median(&bare, |round| round.cpu)),
        ]);
    }
    if !rows.is_empty() {
        table::print("Collecting into files, next to receiving alone", &head, &rows);
        table::save("collect", &head, &rows);
    }
    if arguments.wants("finishing") {
        let (_, records) = cases.last().unwrap();
        finishing(records, if arguments.quick { 8 << 20 } else { 64 << 20 });
    }
}

/// Files that wait to be finished.
const WAITING: usize = 4;

/// Measures how fast files of mixed records and of so many bytes are finished. The records repeat, so that
/// zstd, which looks back further than gzip, is faster than on a site's logs.
fn finishing(records: &[Record<'_>], size: usize) {
    let mut log = Vec::with_capacity(size + (1 << 16));
    for (_, record) in records.iter().cycle() {
        if log.len() >= size {
            break;
        }
        log.extend_from_slice(record);
        log.push(b'\n');
    }
    let head = ["how", "MB/s", "CPU ns/byte", "the program alone, CPU ns/byte"];
    let mut rows = Vec::new();
    for how in ["gzip", "zstd", "none"] {
        let all = (WAITING * log.len()) as f64;
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (time, cpu) = finish(&log, how);
            rates.push(all / time.as_secs_f64() / 1e6);
            costs.push(cpu * 1e9 / all);
        }
        let alone = if how == "none" { None } else { compress(&log, how) };
        rows.push(vec![
            how.to_owned(),
            number(quantile(rates, 0.5)),
            number(quantile(costs, 0.5)),
            alone.map_or("-".to_owned(), |cpu| number(cpu * 1e9 / log.len() as f64)),
        ]);
    }
    table::print("Finishing files that were rotated", &head, &rows);
    table::save("finishing", &head, &rows);
}

/// How long a collector takes for files that another one has left, and how much CPU time.
#[expect(clippy::zombie_processes, reason = "wait4(2) waits for it")]
fn finish(log: &[u8], how: &str) -> (Duration, f64) {
    let directory = table::directory().join("finishing");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    for number in 0..WAITING {
        fs::write(directory.join(format!(".log{number}.2026-01-02-03-04-05.log")), log).unwrap();
    }
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bro-zmq"));
    command.args(["subscribe", "--bind", "tcp://127.0.0.1:*", "--compress", how, "--output-dir"]).arg(&directory);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let names = || fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap());
    let hidden = || names().filter(|entry| entry.file_name().to_string_lossy().starts_with(".log")).count();
    while hidden() > 0 {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    let time = begun.elapsed();
    child.kill().unwrap();
    let (_, cpu) = wait(&child);
    fs::remove_dir_all(&directory).unwrap();
    (time, cpu)
}

/// How much CPU time a program takes to compress one file; `None` if there is no such program.
fn compress(log: &[u8], program: &str) -> Option<f64> {
    let file = table::directory().join("finishing.log");
    fs::write(&file, log).unwrap();
    let child = Command::new(program).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let used = child.map(|child| wait(&child));
    fs::remove_file(&file).unwrap();
    used.ok().filter(|(status, _)| *status == 0).map(|(_, cpu)| cpu)
}

fn run(start: &dyn Fn(&Path, u64) -> Receiver, records: &[Record<'_>], total: u64) -> Round {
    let directory = table::directory().join("collect");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let mut receiver = start(&directory, total);
    let context = Arc::new(Context::new().unwrap());
    let socket = Socket::new(&context, SocketType::XPub).unwrap();
    socket.set(zmq_sys::ZMQ_SNDHWM, HWM).unwrap();
    socket.set(zmq_sys::ZMQ_XPUB_NODROP, 1).unwrap();
    socket.connect(&CString::new(&*receiver.endpoint).unwrap()).unwrap();
    assert!(socket.wait_readable(60_000).unwrap());
    let begun = Instant::now();
    for (path, record) in records.iter().cycle().take(total as usize) {
        for (frame, more) in [(path.as_bytes(), true), (*record, false)] {
            let mut message = Message::copy_of(frame).unwrap();
            while let Err(error) = socket.try_send(&mut message, more) {
                assert_eq!(error.0, libc::EAGAIN);
                std::thread::sleep(Duration::from_micros(50));
                socket.catch_up();
            }
        }
    }
    let (status, cpu) = wait(&receiver.child);
    let elapsed = begun.elapsed();
    let said = receiver.rest.join().unwrap();
    assert_eq!(status, 0, "{said}");
    let _ = receiver.child.stdin.take();
    fs::remove_dir_all(&directory).unwrap();
    Round { rate: total as f64 / elapsed.as_secs_f64(), cpu: cpu * 1e9 / total as f64 }
}

/// Waits for a process. Returns its status, and the seconds of CPU time that it has used.
fn wait(child: &Child) -> (i32, f64) {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    let pid = child.id() as libc::pid_t;
    let mut status = 0;
    // SAFETY: a child that nobody else waits for, and two places to write to.
    let usage = unsafe {
        assert_eq!(libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()), pid);
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (status, seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

fn listen(mut command: Command) -> Receiver {
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut greeting = String::new();
    stderr.read_line(&mut greeting).unwrap();
    let endpoint = greeting.split([' ', '\n']).find(|word| word.starts_with("tcp://"));
    let endpoint = endpoint.unwrap_or_else(|| panic!("{greeting}")).to_owned();
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        let _ = stderr.read_to_string(&mut rest);
        rest
    });
    Receiver { child, endpoint, rest }
}

fn collector(directory: &Path, total: u64) -> Receiver {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bro-zmq"));
    command.args([
        "subscribe",
        "--bind",
        "tcp://127.0.0.1:*",
        "--rotate-every",
        "never",
        "--count",
        &total.to_string(),
    ]);
    command.arg("--output-dir").arg(directory);
    listen(command)
}

fn bare_receiver(_: &Path, total: u64) -> Receiver {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--bare", &total.to_string()]);
    listen(command)
}

/// Receives so many records with libzmq alone, and throws them away.
fn bare(total: u64) {
    let context = Arc::new(Context::new().unwrap());
    let socket = Socket::new(&context, SocketType::Sub).unwrap();
    socket.set(zmq_sys::ZMQ_RCVHWM, HWM).unwrap();
    socket.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"").unwrap();
    eprintln!("{}", socket.bind(c"tcp://127.0.0.1:*").unwrap());
    let mut frame = Message::new();
    let mut records = 0;
    while records < total {
        if socket.try_recv_into(&mut frame).unwrap() {
            records += u64::from(!frame.more());
        } else {
            socket.wait_readable(-1).unwrap();
        }
    }
}
