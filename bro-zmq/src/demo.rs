//! `bro-zmq demo`: both ends in one process, over sample logs.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::console::{Console, bytes, counted, duration};
use crate::input::Source;
use crate::replay::{self, Outcome, Settings};
use crate::stop::Stop;
use crate::subscriber::{Received, Subscriber, SubscriberOptions, to_listen};
use crate::{Fatal, INCOMPLETE, json, terminal};

/// `bro-zmq demo`
#[derive(clap::Args)]
#[command(after_help = "\
A replay publishes sample logs (conn, dns, http, ssl, files, notice) through the plugin's own
writer to a subscriber in the same process, over TCP on this machine. What the subscriber
sees goes to standard output: log path and JSON, shortened to the width of a terminal, in
full length otherwise.

Exit status:
  0  every record arrived
  1  not all of them did, or it was interrupted
  2  the two ends could not be set up")]
pub struct Args {}

const SAMPLES: [(&str, &[u8]); 6] = [
    ("conn.log", include_bytes!("../../tests/data/sample/conn.log")),
    ("dns.log", include_bytes!("../../tests/data/sample/dns.log")),
    ("http.log", include_bytes!("../../tests/data/sample/http.log")),
    ("ssl.log", include_bytes!("../../tests/data/sample/ssl.log")),
    ("files.log", include_bytes!("../../tests/data/sample/files.log")),
    ("notice.log", include_bytes!("../../tests/data/sample/notice.log")),
];

/// Room for the longest log path of the samples, and some space.
const PATH_WIDTH: usize = 8;

/// When the last record was sent this long ago, nothing more arrives.
const SILENCE: Duration = Duration::from_secs(5);

/// Runs `bro-zmq demo`.
pub fn run(_: Args) -> Result<ExitCode, Fatal> {
    let stop = Stop::on_signals().map_err(|error| Fatal::new(format!("cannot handle signals: {error}")))?;
    let mut subscriber =
        Subscriber::open(&SubscriberOptions::listening(vec![to_listen("tcp://127.0.0.1:*").map_err(Fatal::new)?]))
            .map_err(Fatal::new)?;
    let endpoint = subscriber.bound().first().cloned().unwrap_or_default();
    let settings = Settings {
        sources: SAMPLES.iter().map(|&(name, log)| Source::Memory(name, log)).collect(),
        options: [("endpoint", endpoint.as_str()), ("zmq_hwm", "0"), ("zmq_linger", "2000")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        layout: "zeek-8.0",
        rate: None,
        repeat: false,
        wait: Duration::from_secs(10),
    };
    let replay_stop = stop.clone();
    let replay = thread::spawn(move || replay::replay(&settings, &Rc::new(Console::new(true, false)), &replay_stop));
    let shown = show(&mut subscriber, &endpoint, &stop, || replay.is_finished());
    if shown.is_err() {
        stop.request();
    }
    // The subscriber stays open until the replay has ended, which would take it for a peer that went away.
    let outcome = replay.join().map_err(|_| Fatal::new("the replay has failed; this is a bug"))?;
    match shown {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Fatal::incomplete(error.to_string())),
        Ok(received) => match summarise(received, &outcome?) {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(INCOMPLETE.into()),
            Err(error) => Err(Fatal::incomplete(error.to_string())),
        },
    }
}

/// The records and bytes that have arrived.
type Arrived = (u64, u64);

/// Shows what the subscriber sees, until `finished` and everything has arrived.
fn show(subscriber: &mut Subscriber, endpoint: &str, stop: &Stop, finished: impl Fn() -> bool) -> io::Result<Arrived> {
    let stdout = io::stdout();
    let width = stdout.is_terminal().then(|| terminal::width(&stdout).unwrap_or(80));
    let mut out = BufWriter::new(stdout.lock());
    writeln!(out, "A subscriber on {endpoint} sees two frames for each record, log path and JSON:\n")?;
    let expected = SAMPLES.iter().map(|&(_, log)| records(log)).sum::<u64>();
    let (mut arrived, mut bytes) = (0, 0);
    let mut last = Instant::now();
    let failed = |error| io::Error::other(format!("cannot receive: {error}"));
    while arrived < expected && !stop.requested() {
        match subscriber.try_receive().map_err(failed)? {
            Some(Received::Record(path, body)) => {
                last = Instant::now();
                arrived += 1;
                bytes += (path.len() + body.len()) as u64;
                let path = String::from_utf8_lossy(path);
                write!(out, "{path:<PATH_WIDTH$}")?;
                write_record(&mut out, body, width.map(|width| width.saturating_sub(PATH_WIDTH)))?;
                writeln!(out)?;
            }
            Some(Received::Odd(..)) => {}
            None if finished() && last.elapsed() >= SILENCE => break,
            None => {
                out.flush()?;
                subscriber.wait(50).map_err(failed)?;
                if !finished() {
                    last = Instant::now();
                }
            }
        }
    }
    out.flush()?;
    Ok((arrived, bytes))
}

/// How many records a log has.
fn records(log: &[u8]) -> u64 {
    log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count() as u64
}

/// Writes a record in at most `width` characters, or in full.
fn write_record(out: &mut impl Write, body: &[u8], width: Option<usize>) -> io::Result<()> {
    let Some(width) = width else { return json::write_line(out, body) };
    let clean = json::harmless(body);
    let text = String::from_utf8_lossy(&clean);
    match text.char_indices().nth(width) {
        None => write!(out, "{text}"),
        Some(_) => {
            let end = text.char_indices().nth(width.saturating_sub(1)).map_or(0, |(end, _)| end);
            write!(out, "{}…", &text[..end])
        }
    }
}

/// Writes the last lines; returns true if every record has arrived.
fn summarise((arrived, size): Arrived, outcome: &Outcome) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "\n{} of {} ({}) in {}",
        counted(arrived, "record"),
        counted(outcome.logs as u64, "log"),
        bytes(size),
        duration(outcome.elapsed),
    )?;
    let complete = arrived == outcome.records && outcome.complete();
    if !complete {
        writeln!(out, "{} were read: not all have arrived", counted(outcome.records, "record"))?;
    }
    writeln!(out, "Try it yourself: bro-zmq subscribe, and in another terminal bro-zmq replay FILE…")?;
    out.flush()?;
    Ok(complete)
}
