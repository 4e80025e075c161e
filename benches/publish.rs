//! What publishing costs: our writer through the C ABI next to bare libzmq, both over tcp
//! on this machine to a subscriber on a thread of its own, which has the libzmq that is
//! installed.
//!
//! - throughput: records of one log, one writer;
//! - batches: many records in one message, received by pyzmq;
//! - idle: nobody subscribed to the log path;
//! - writers: 1, 2, 8 and 64 of them, each on its own thread;
//! - memory: of a writer, and over time while a subscriber stands still.
//!
//! `cargo bench --bench publish -- [--quick] [throughput|batches|idle|writers|memory]...`

mod common;

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::libzmq::{Library, RawContext, RawSocket};
use common::table::{self, number};
use common::writer::{Run, Subscriber, Writer, path, publish};
use common::{Arguments, Log, MEMORY, NAMED, Peer, Set, compare, logs, quantile, resident, thread_cpu};

/// Records of a writer on their way at a time: as many as libzmq keeps by default.
const WINDOW: u64 = 1000;

/// High water mark that the window stays below, so that libzmq does its accounting for one
/// but never refuses a record.
const HWM: i32 = 100_000;

fn main() {
    let arguments = Arguments::parse();
    let logs: Vec<_> = logs().into_iter().filter(|log| NAMED.contains(&log.path.as_str())).collect();
    for (name, run) in [
        ("throughput", throughput as fn(&Arguments, &[Log])),
        ("batches", batches),
        ("idle", idle),
        ("writers", writers),
        ("memory", |arguments, logs| {
            memory_of_a_writer(&logs[0]);
            memory_over_time(arguments, &logs[0]);
        }),
    ] {
        if arguments.wants(name) {
            run(&arguments, &logs);
        }
    }
}

fn median(runs: &[Run], what: fn(&Run) -> f64) -> f64 {
    quantile(runs.iter().map(what).collect(), 0.5)
}

fn repetitions(arguments: &Arguments) -> usize {
    if arguments.quick { 3 } else { 11 }
}

/// Our writer and bare libzmq take turns: the one that is bundled, and the one that is installed.
/// Bare libzmq sends the same bytes, encoded before.
fn throughput(arguments: &Arguments, logs: &[Log]) {
    let total = if arguments.quick { 50_000 } else { 200_000 };
    let mut peers = vec![("bare libzmq, bundled".to_owned(), Library::bundled())];
    peers.extend(Library::installed().map(|library| (format!("bare libzmq, installed {}", library.version), library)));
    let (mut lines, mut saved) = (Vec::new(), Vec::new());
    for log in logs {
        let set = Set::of(log);
        let json = set.json();
        let bytes = json.iter().map(Vec::len).sum::<usize>() as f64 / json.len() as f64;
        let mut ours = Vec::new();
        let mut bare = vec![Vec::new(); peers.len()];
        // Which threads share a core matters, and seldom changes: so threads and sockets are made
        // anew a few times.
        for _ in 0..repetitions(arguments) {
            let subscriber = Subscriber::bind("log", 0);
            let sockets: Vec<_> = peers
                .iter()
                .map(|(_, library)| {
                    let context = RawContext::new(library);
                    (RawSocket::publisher(&context, &subscriber.endpoint, HWM), context)
                })
                .collect();
            let mut writer = Writer::open(&set, &path(0), &subscriber.endpoint, HWM);
            writer.await_subscription();
            for round in 0..3 {
                let run = publish(&subscriber, 0, total, WINDOW, |record| writer.write(record as usize % set.len()));
                // The first round warms up.
                if round > 0 {
                    ours.push(run);
                }
                for (index, ((socket, _), runs)) in sockets.iter().zip(&mut bare).enumerate() {
                    let path = path(index + 1);
                    let run = publish(&subscriber, index + 1, total, WINDOW, |record| {
                        socket.send(path.as_bytes(), &json[record as usize % json.len()]);
                    });
                    if round > 0 {
                        runs.push(run);
                    }
                }
            }
            let stats = writer.stats();
            assert_eq!(stats.records_written, stats.records_sent + stats.records_queued, "{stats:?}");
        }

        let mut memory = vec![MaybeUninit::uninit(); MEMORY];
        let mut encoder: [Peer<'_>; 1] = [(
            "encoder",
            Box::new(|| {
                for index in 0..set.len() {
                    black_box(set.encode(index, black_box(&mut memory)));
                }
            }),
        )];
        let encoding = compare(arguments.effort, set.len(), &mut encoder)[0].median;
        for (name, runs) in [("ours", &ours)].into_iter().chain(peers.iter().map(|(name, _)| name.as_str()).zip(&bare))
        {
            let columns: [fn(&Run) -> f64; 3] = [|run| run.rate, |run| run.sender, |run| run.process];
            let [rate, sender, process] = columns.map(|column| median(runs, column));
            let ratio = quantile(ours.iter().zip(runs).map(|(ours, run)| ours.rate / run.rate).collect(), 0.5);
            let mut line = vec![format!("{} ({bytes:.0} bytes)", log.path), name.to_owned()];
            let mut numbers = vec![log.path.clone(), name.to_owned()];
            for column in [format!("{rate:.0}"), format!("{sender:.1}"), format!("{process:.1}")] {
                line.push(column.clone());
                numbers.push(column);
            }
            if name == "ours" {
                line.extend([String::new(), number(encoding), String::new()]);
            } else {
                line.extend([format!("{:.1} %", ratio * 100.0), String::new(), number(encoding / sender)]);
            }
            numbers.extend([format!("{ratio:.4}"), format!("{encoding:.1}")]);
            lines.push(line);
            saved.push(numbers);
        }
    }
    table::print(
        "Published and received over tcp on this machine; CPU time for each record in ns",
        &["log", "", "records/s", "sender", "process", "ours / this", "encoding", "encoding / sender"],
        &lines,
    );
    let head = ["log", "peer", "rate", "sender_ns", "process_ns", "ours_to_this", "encoding_ns"];
    table::save("throughput", &head, &saved);
}

/// What a subscriber in Python gains by messages of many records.
fn batches(arguments: &Arguments, logs: &[Log]) {
    let python = Path::new("target/venv/bin/python");
    if !python.exists() {
        println!("\nbatches: SKIPPED, there is no pyzmq in target/venv (ci/setup puts it there)");
        return;
    }
    let total: u64 = if arguments.quick { 50_000 } else { 400_000 };
    let log = &logs[0];
    let set = Set::of(log);
    let (mut lines, mut saved) = (Vec::new(), Vec::new());
    for (what, parse) in [("received", None), ("received and read as JSON", Some("parse"))] {
        let mut first = 0.0;
        for records in [1, 10, 100, 1000] {
            let runs: Vec<_> =
                (0..if arguments.quick { 1 } else { 5 }).map(|_| batch(&set, python, total, records, parse)).collect();
            let [rate, receiver, sender] =
                [0, 1, 2].map(|column| quantile(runs.iter().map(|run| run[column]).collect(), 0.5));
            if records == 1 {
                first = rate;
            }
            let numbers = [format!("{rate:.0}"), format!("{receiver:.0}"), format!("{sender:.0}")];
            let mut line = vec![what.to_owned(), records.to_string()];
            line.extend(numbers.clone());
            line.push(format!("{:.2}", rate / first));
            lines.push(line);
            saved.push([vec![what.to_owned(), records.to_string()], numbers.to_vec()].concat());
        }
    }
    table::print(
        &format!("Records of {} in one message, to a subscriber in Python (pyzmq); CPU time for each in ns", log.path),
        &["", "batch_records", "records/s", "receiver", "sender", "rate of single"],
        &lines,
    );
    table::save("batches", &["case", "records", "rate", "receiver_ns", "sender_ns"], &saved);
}

/// One run: records per second, and the CPU time of the receiver and of the writer's thread.
fn batch(set: &Set, python: &Path, total: u64, records: u64, parse: Option<&str>) -> [f64; 3] {
    let mut child = Command::new(python)
        .args(["benches/pyzmq.py", &total.to_string()])
        .args(parse)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next_line = || output.next().unwrap().unwrap();
    // The queue has no limit: what cannot be received yet waits here, and nothing is lost.
    let mut writer = Writer::with_batches(set, "conn", &next_line(), 0, records);
    writer.await_subscription();
    let cpu = thread_cpu();
    for record in 0..total {
        writer.write(record as usize % set.len());
    }
    let sender = thread_cpu() - cpu;
    writer.flush();
    let times = next_line();
    child.wait().unwrap();
    let mut times = times.split(' ').map(|seconds| seconds.parse::<f64>().unwrap());
    let [elapsed, receiver] = [(); 2].map(|()| times.next().unwrap());
    [total as f64 / elapsed, receiver * 1e9 / total as f64, sender / total as f64]
}

/// What a record costs that nobody wants.
fn idle(arguments: &Arguments, logs: &[Log]) {
    let (mut lines, mut saved) = (Vec::new(), Vec::new());
    for log in logs {
        let set = Set::of(log);
        let elsewhere = Subscriber::bind("another-log", 0);
        let of_another_log = Writer::open(&set, &path(0), &elsewhere.endpoint, 1000);
        // A port of this machine that nobody listens at.
        let without_subscriber = Writer::open(&set, &path(1), "tcp://127.0.0.1:9", 1000);
        let write_all = |writer: &Writer<'_>| {
            for index in 0..set.len() {
                writer.write(index);
            }
        };
        let mut peers: [Peer<'_>; 2] = [
            ("subscriber to another log", Box::new(|| write_all(&of_another_log))),
            ("no subscriber at all", Box::new(|| write_all(&without_subscriber))),
        ];
        let costs = compare(arguments.effort, set.len(), &mut peers);
        for ((name, _), cost) in peers.iter().zip(&costs) {
            let spread = format!("{} – {}", number(cost.low), number(cost.high));
            lines.push(vec![log.path.clone(), (*name).to_owned(), number(cost.median), spread]);
            let numbers = [cost.median, cost.low, cost.high].map(|ns| format!("{ns:.2}"));
            saved.push([log.path.clone(), (*name).to_owned()].into_iter().chain(numbers).collect());
        }
        drop(peers);
        assert_eq!(of_another_log.stats().bytes_sent + without_subscriber.stats().bytes_sent, 0);
    }
    table::print("A record that nobody is subscribed to", &["log", "", "ns/record", "10 % – 90 %"], &lines);
    table::save("idle", &["log", "case", "ns", "low", "high"], &saved);
}

/// How many writers there are at once.
const WRITERS: [usize; 4] = [1, 2, 8, 64];

/// Each writer has a thread of its own and the same records. However many writers there are, they write
/// as many records in all.
fn writers(arguments: &Arguments, logs: &[Log]) {
    let total: u64 = if arguments.quick { 64_000 } else { 512_000 };
    let log = &logs[0];
    let set = &Set::of(log);
    let json = set.json();
    let (mut lines, mut saved) = (Vec::new(), Vec::new());
    // By the number of writers: encoding alone, nobody subscribed, ours, bare libzmq.
    let mut samples = vec![[const { Vec::new() }; 4]; WRITERS.len()];
    for round in 0..=repetitions(arguments) {
        for (count, samples) in WRITERS.into_iter().zip(&mut samples) {
            let each = total / count as u64;
            let encoding = on_threads(count, |_, barrier| {
                let mut memory = vec![MaybeUninit::uninit(); 65_536];
                barrier.wait();
                let start = thread_cpu();
                for record in 0..each * 4 {
                    black_box(set.encode(record as usize % set.len(), black_box(&mut memory)));
                }
                (thread_cpu() - start) / 4.0
            });
            let unwanted = {
                let elsewhere = Subscriber::bind("another-log", 0);
                on_threads(count, |number, barrier| {
                    let writer = Writer::open(set, &path(number), &elsewhere.endpoint, 1000);
                    barrier.wait();
                    let start = thread_cpu();
                    for record in 0..each * 16 {
                        writer.write(record as usize % set.len());
                    }
                    (thread_cpu() - start) / 16.0
                })
            };
            let subscriber = Subscriber::bind("log", 0);
            let ours = on_threads(count, |number, barrier| {
                let mut writer = Writer::open(set, &path(number), &subscriber.endpoint, HWM);
                writer.await_subscription();
                let send = |record| writer.write(record as usize % set.len());
                // This run allocates the memory that is used again from then on.
                publish(&subscriber, number, each / 4, WINDOW, send);
                barrier.wait();
                publish(&subscriber, number, each, WINDOW, send).sender * each as f64
            });
            let context = RawContext::new(Library::bundled());
            let bare = on_threads(count, |number, barrier| {
                let number = WRITERS[WRITERS.len() - 1] + number;
                let path = path(number);
                let socket = RawSocket::publisher(&context, &subscriber.endpoint, HWM);
                let send = |record| socket.send(path.as_bytes(), &json[record as usize % json.len()]);
                publish(&subscriber, number, each / 4, WINDOW, send);
                barrier.wait();
                publish(&subscriber, number, each, WINDOW, send).sender * each as f64
            });
            if round > 0 {
                for (samples, cost) in samples.iter_mut().zip([encoding, unwanted, ours, bare]) {
                    samples.push(cost / total as f64);
                }
            }
        }
    }
    let costs: Vec<_> = samples.into_iter().map(|samples| samples.map(|samples| quantile(samples, 0.5))).collect();
    for (count, cost) in WRITERS.into_iter().zip(&costs) {
        let mut line = vec![count.to_string()];
        let mut numbers = vec![count.to_string()];
        for (cost, one) in cost.iter().zip(costs[0]) {
            line.push(format!("{} ({:+.0} %)", number(*cost), (cost / one - 1.0) * 100.0));
            numbers.push(format!("{cost:.2}"));
        }
        lines.push(line);
        saved.push(numbers);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    table::print(
        &format!(
            "Writers at once, each on its own thread, on {cores} cores: CPU time of all writers' threads for each \
             record of {}, in ns",
            log.path
        ),
        &["writers", "encoding", "not subscribed to", "publishing", "bare libzmq"],
        &lines,
    );
    table::save("writers", &["writers", "encoding", "unwanted", "publishing", "bare"], &saved);
}

/// Runs `work` on so many threads and adds up what it returns.
fn on_threads(count: usize, work: impl Fn(usize, &Barrier) -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let (work, barrier) = (&work, &barrier);
                scope.spawn(move || work(number, barrier))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

/// How much memory a writer has: all of it, libzmq's two ends of the connection included.
fn memory_of_a_writer(log: &Log) {
    const COUNT: usize = 128;
    let set = Set::of(log);
    let subscriber = Subscriber::bind("log", 0);
    let context = RawContext::new(Library::bundled());
    // The first of each kind makes what is there once for all of them.
    let _first = (
        Writer::open(&set, &path(0), &subscriber.endpoint, HWM),
        RawSocket::publisher(&context, &subscriber.endpoint, HWM),
    );
    let each = |before: f64| (resident() - before) / COUNT as f64;

    let before = resident();
    let sockets: Vec<_> = (0..COUNT).map(|_| RawSocket::publisher(&context, &subscriber.endpoint, HWM)).collect();
    let bare = each(before);
    let before = resident();
    let mut writers: Vec<_> =
        (0..COUNT).map(|number| Writer::open(&set, &path(number), &subscriber.endpoint, HWM)).collect();
    let idle = each(before);
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.await_subscription();
        publish(&subscriber, number, 1, 1, |_| writer.write(0));
    }
    let after_one = each(before);
    for (number, writer) in writers.iter().enumerate() {
        publish(&subscriber, number, 5000, 100, |record| writer.write(record as usize % set.len()));
    }
    let after_many = each(before);
    drop((writers, sockets));
    let rows = [
        ("a bare XPUB socket, connected", bare),
        ("a writer that is open", idle),
        ("a writer after one record", after_one),
        ("a writer after 5,000 records", after_many),
    ];
    let lines: Vec<_> =
        rows.iter().map(|(what, bytes)| vec![(*what).to_owned(), format!("{:.1}", bytes / 1024.0)]).collect();
    table::print(
        &format!("Resident memory, the subscriber's end of the connection included ({})", log.path),
        &["", "KiB"],
        &lines,
    );
    let saved: Vec<_> = rows.iter().map(|(what, bytes)| vec![(*what).to_owned(), format!("{bytes:.0}")]).collect();
    table::save("memory", &["what", "bytes"], &saved);
}

/// Publishes 50,000 records a second while the subscriber reads, stands still, and reads again.
fn memory_over_time(arguments: &Arguments, log: &Log) {
    let second = if arguments.quick { 0.3 } else { 1.0 };
    let set = Set::of(log);
    let subscriber = Subscriber::bind("log", 1000);
    let mut writer = Writer::open(&set, &path(0), &subscriber.endpoint, 1000);
    writer.await_subscription();
    let start = Instant::now();
    let (mut written, mut next_sample) = (0_u64, 0.0);
    let mut saved = Vec::new();
    let (mut before, mut largest) = (0.0, 0.0_f64);
    loop {
        let now = start.elapsed().as_secs_f64() / second;
        if now >= 16.0 {
            break;
        }
        subscriber.pause((4.0..12.0).contains(&now));
        if now >= next_sample {
            next_sample += 0.1;
            let stats = writer.stats();
            let (memory, received) = (resident(), subscriber.received(0));
            if now < 4.0 {
                before = memory;
            }
            largest = largest.max(memory);
            saved.push(vec![
                format!("{now:.1}"),
                format!("{memory:.0}"),
                stats.records_sent.to_string(),
                stats.dropped_queue_full.to_string(),
                received.to_string(),
            ]);
        }
        let due = (start.elapsed().as_secs_f64() * 50_000.0) as u64;
        while written < due {
            writer.write(written as usize % set.len());
            written += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let stats = writer.stats();
    println!(
        "\nA subscriber that stands still, at the default high water mark of 1,000 records ({}):\n\n  \
         {} records written, {} sent, {} dropped and counted; resident memory {:.1} MiB before, {:.1} MiB at most",
        log.path,
        stats.records_written,
        stats.records_sent,
        stats.dropped_queue_full,
        before / 1_048_576.0,
        largest / 1_048_576.0
    );
    table::save("stopped", &["time", "bytes", "sent", "dropped", "received"], &saved);
}
