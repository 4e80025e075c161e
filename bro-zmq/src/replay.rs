//! `bro-zmq replay`: publishes the records of log files as a host would.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::host::{FAMILIES, Layout};
use bro_zeromq_writer::writer::{Config, Given, OPTIONS, Scope, Spec};
use fake_host::zeeklog::{ErrorKind, Header, Item, Reader};

use crate::console::{Console, Progress, bytes, counted, duration, per_second, thousands};
use crate::input::Source;
use crate::json;
use crate::print::shown;
use crate::probe::{Missing, Probe};
use crate::publisher::{Publisher, Record, Setup};
use crate::security::{KeyArgs, argument};
use crate::stop::Stop;
use crate::subscribe::raise_descriptor_limit;
use crate::{Fatal, INCOMPLETE};

/// Records queued for the subscriber until reading waits for it.
const HIGH_WATER_MARK: u32 = 10_000;

/// How often the writers look for subscriptions.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The most that `--wait` can be; the system's clocks do not go on for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(366 * 86_400);

/// How long a subscriber that takes nothing goes without a word about it.
const STALL: Duration = Duration::from_secs(5);

/// `bro-zmq replay`
#[derive(clap::Args)]
#[command(after_help = "\
Logs are read in the tab-separated form that Zeek and Bro write by default, or as JSON, a record on
each line, as Zeek and bro-zmq subscribe --output-dir write it; compressed with gzip or zstd or not.
Of one that is damaged or cut off, what comes before that is sent.

Tab-separated records become the values a host would hand to the plugin, and take the plugin's own
way from there: the same JSON, the same two frames. JSON is sent as it is, under the log path that
the file's name says: conn for conn.log and conn.2026-11-24-03-00-00.log.gz.

A malformed line costs that line; it is reported as FILE:LINE. When the subscriber does not
keep up, reading waits for it; no record is lost, and memory does not grow.

Examples:
  bro-zmq replay conn.log dns.log              to a subscriber on this machine
  bro-zmq replay --rate 500 --loop conn.log    500 records a second until Ctrl-C
  bro-zmq replay --endpoint tcp://192.0.2.7:5555 /var/log/zeek/2025-01-02/*.log.gz
  zcat old/*.gz | bro-zmq replay -             several logs in one stream
  bro-zmq replay --curve-server-key collector.key --curve-secret-key-file sensor.key_secret conn.log
                                               encrypted
  bro-zmq replay --option json_timestamps=JSON::TS_ISO8601 conn.log
  bro-zmq replay --option topic=sensor1/%path /var/log/zeek-zmq/sensor1/*.log.gz
                                               what a collector has written, under the topics it had

Exit status:
  0  every record was sent; with --loop, until Ctrl-C
  1  lines were malformed, records were not sent, or it was interrupted; the last line says how many
  2  wrong arguments, a file that cannot be opened, or an endpoint that cannot be used
A second Ctrl-C ends at once, with status 130 and without sending what is queued.")]
pub struct Args {
    /// Where the subscriber listens; several are separated by commas
    #[arg(short, long, value_name = "ENDPOINT", default_value = crate::DEFAULT_ENDPOINT)]
    endpoint: String,
    /// Publish at most N records a second
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = parse_rate)]
    rate: Option<f64>,
    /// Begin again after the last file, until Ctrl-C
    #[arg(short = 'l', long = "loop")]
    repeat: bool,
    /// How long to wait for a subscriber; with 0, records go out at once and are dropped if there is none
    #[arg(short, long, value_name = "SECONDS", default_value = "10", allow_negative_numbers = true, value_parser = parse_seconds)]
    wait: Duration,
    /// Records to queue for a subscriber that is slow, 0 for no limit [default: 10000, or no limit
    /// with several endpoints]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=2_147_483_647))]
    hwm: Option<u32>,
    /// How long to wait at the end for what the subscriber has not taken yet, -1 for ever
    #[arg(long, value_name = "MS", default_value_t = 10_000, allow_negative_numbers = true)]
    linger: i32,
    /// Set another of the plugin's options: json_timestamps, json_include_unset_fields, …
    #[arg(short, long = "option", value_name = "NAME=VALUE", value_parser = parse_option)]
    options: Vec<(String, String)>,
    #[command(flatten)]
    keys: KeyArgs,
    /// How values are laid out in memory
    #[arg(long, value_name = "NAME", default_value = "zeek-8.0", hide = true, value_parser = parse_layout)]
    layout: &'static str,
    /// Show problems only: no progress, no summary
    #[arg(short, long)]
    quiet: bool,
    /// Show everything the writers report
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Logs to replay; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("use a number of records a second, such as 1000".to_owned()),
    }
}

pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok();
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|&time| time <= LONGEST_WAIT)
        .ok_or_else(|| "use a number of seconds, such as 2.5, up to a year".to_owned())
}

fn parse_option(text: &str) -> Result<(String, String), String> {
    let names = || OPTIONS.iter().map(Spec::name).collect::<Vec<_>>().join(", ");
    match text.split_once('=') {
        Some((name, value)) if OPTIONS.iter().any(|known| known.name() == name) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        Some((name, _)) => Err(format!("the plugin has no option {name}; it has {}", names())),
        None => Err(format!("write NAME=VALUE; names are {}", names())),
    }
}

fn layout_names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().filter_map(|family| family.name.to_str().ok())
}

fn parse_layout(text: &str) -> Result<&'static str, String> {
    let known = || layout_names().collect::<Vec<_>>().join(", ");
    layout_names().find(|&name| name == text).ok_or_else(|| format!("known layouts are {}", known()))
}

/// What to replay, and how.
pub struct Settings {
    /// The logs.
    pub sources: Vec<Source>,
    /// The writers' options.
    pub options: Vec<(String, String)>,
    /// How values are laid out.
    pub layout: &'static str,
    /// Records a second.
    pub rate: Option<f64>,
    /// True to begin again after the last log.
    pub repeat: bool,
    /// How long to wait for a subscriber.
    pub wait: Duration,
}

/// The outcome of a replay.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Records read.
    pub records: u64,
    /// Log paths seen.
    pub logs: usize,
    /// Lines that are malformed, header lines included.
    pub malformed: u64,
    /// Records that no valid header precedes.
    pub headless: u64,
    /// Logs that could not be read to their end.
    pub unreadable: u64,
    /// A tally for each endpoint.
    pub endpoints: Vec<Tally>,
    /// From the first record read to the last one sent.
    pub elapsed: Duration,
    /// True if the subscriber had gone, or had not taken everything, when the linger time was up.
    pub unsent: bool,
    /// True if a signal has ended it before the last record; never with `repeat`.
    pub interrupted: bool,
}

/// How the records fared at an endpoint.
#[derive(Debug, Default)]
pub struct Tally {
    /// The endpoint.
    pub name: String,
    /// Records sent.
    pub sent: u64,
    /// Bytes of all their frames.
    pub bytes: u64,
    /// Records of logs that the subscriber did not ask for.
    pub unwanted: u64,
    /// Records dropped because nobody was there, because the queue was full, and for another reason.
    pub dropped: [u64; 3],
}

impl Outcome {
    /// Returns true if all records were sent that somebody had asked for.
    pub fn complete(&self) -> bool {
        let dropped: u64 = self.endpoints.iter().flat_map(|tally| tally.dropped).sum();
        self.malformed + self.headless + self.unreadable + dropped == 0 && !self.unsent && !self.interrupted
    }

    /// The last line, or lines if there are several endpoints.
    fn summary(&self) -> String {
        let mut lines = Vec::new();
        for tally in &self.endpoints {
            let to = if self.endpoints.len() > 1 { format!(" to {}", tally.name) } else { String::new() };
            let mut line = format!(
                "sent {} of {} ({}){to} in {}, {}/s",
                counted(tally.sent, "record"),
                counted(self.logs as u64, "log"),
                bytes(tally.bytes),
                duration(self.elapsed),
                thousands(per_second(tally.sent, self.elapsed)),
            );
            if tally.unwanted > 0 {
                line += &format!("; {} not subscribed to", thousands(tally.unwanted));
            }
            for (count, why) in tally.dropped.into_iter().zip(["no subscriber", "queue full", "not encoded or sent"]) {
                if count > 0 {
                    line += &format!("; {} dropped: {why}", thousands(count));
                }
            }
            lines.push(line);
        }
        let mut rest = String::new();
        for (count, noun, more) in [
            (self.malformed, "malformed line", ""),
            (self.headless, "record", " without header lines"),
            (self.unreadable, "unreadable file", ""),
        ] {
            if count > 0 {
                rest += &format!("; {}{more}", counted(count, noun));
            }
        }
        if self.interrupted {
            rest += "; interrupted";
        }
        lines.join("\n") + &rest
    }
}

/// Runs `bro-zmq replay`.
pub fn run(args: Args) -> Result<ExitCode, Fatal> {
    let sources: Vec<_> = args.files.iter().map(|file| Source::from_argument(file)).collect();
    for source in &sources {
        source.check().map_err(|error| Fatal::new(format!("{}: {error}", source.name())))?;
    }
    if sources.iter().filter(|source| matches!(source, Source::Stdin)).count() > usize::from(!args.repeat) {
        let what = if args.repeat { "read again by --loop" } else { "read twice" };
        return Err(Fatal::new(format!("standard input cannot be {what}")));
    }
    let several = args.endpoint.contains(',');
    let hwm = args.hwm.unwrap_or(if several { 0 } else { HIGH_WATER_MARK });
    let mut options = vec![
        ("endpoint".to_owned(), args.endpoint.clone()),
        ("zmq_hwm".to_owned(), hwm.to_string()),
        ("zmq_linger".to_owned(), args.linger.to_string()),
    ];
    options.extend(args.keys.options());
    options.extend(args.options);
    let settings =
        Settings { sources, options, layout: args.layout, rate: args.rate, repeat: args.repeat, wait: args.wait };
    raise_descriptor_limit();
    let console = Rc::new(Console::new(args.quiet, args.verbose));
    let stop = Stop::on_signals().map_err(|error| Fatal::new(format!("cannot handle signals: {error}")))?;
    let outcome = replay(&settings, &console, &stop)?;
    console.info(outcome.summary());
    Ok(if outcome.complete() { ExitCode::SUCCESS } else { INCOMPLETE.into() })
}

/// Replays logs, until their end or `stop`.
pub fn replay(settings: &Settings, console: &Rc<Console>, stop: &Stop) -> Result<Outcome, Fatal> {
    let given: Vec<_> =
        settings.options.iter().map(|(name, value)| Given { scope: Scope::Global, name, value }).collect();
    let config = Config::parse(&given).map_err(|error| Fatal::new(error.text(argument)))?;
    let mut probe = Probe::open(&config).map_err(Fatal::new)?;
    if !settings.wait.is_zero() {
        await_subscriber(&mut probe, settings.wait, console, stop)?;
    }
    let family = FAMILIES.iter().find(|family| family.name.to_bytes() == settings.layout.as_bytes());
    let layout = &family.unwrap_or(&FAMILIES[FAMILIES.len() - 1]).layout;
    let sizes = settings.sources.iter().map(Source::size).collect::<Option<Vec<_>>>();
    let endpoints = probe.names().map(|name| Tally { name: name.to_owned(), ..Tally::default() }).collect();
    let now = Instant::now();
    let mut replay = Replay {
        settings,
        console,
        stop,
        config: &config,
        layout,
        retries: config.endpoints.len() == 1,
        json_told: false,
        probe,
        logs: Vec::new(),
        outcome: Outcome { endpoints, ..Outcome::default() },
        read: Rc::new(Cell::new(0)),
        total: sizes.filter(|_| !settings.repeat).map(|sizes| sizes.iter().sum()),
        first_pass: true,
        start: now,
        heartbeat: now,
        stalled: None,
        paced_since: now,
        paced: 0,
    };
    let result = replay.all_passes();
    let closing = Instant::now();
    if stop.requested() && result.is_ok() {
        console.info("interrupted; waiting for the subscriber to take what is queued (Ctrl-C again ends at once)");
    }
    replay.close();
    console.end_progress();
    result?;
    let mut outcome = replay.outcome;
    outcome.elapsed = replay.start.elapsed();
    // libzmq throws records away when the linger time is up, and only then; it does not tell which.
    let sent = outcome.endpoints.iter().any(|tally| tally.sent > 0);
    if let Some(linger) = config.linger.filter(|linger| sent && !linger.is_zero() && closing.elapsed() >= *linger) {
        outcome.unsent = true;
        console.problem(format!(
            "the subscriber has gone, or did not take everything within {} ms; records may be lost (see --linger)",
            linger.as_millis()
        ));
    }
    Ok(outcome)
}

/// Waits for someone to publish to.
fn await_subscriber(probe: &mut Probe, patience: Duration, console: &Console, stop: &Stop) -> Result<(), Fatal> {
    let short = patience.min(Duration::from_millis(300));
    let names =
        |missing: &[Missing]| missing.iter().map(|missing| missing.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut missing = probe.wait(short, stop);
    if !missing.is_empty() && !stop.requested() && patience > short {
        let seconds = patience.as_secs_f64();
        console.info(format!("waiting up to {seconds} s for a subscriber at {}", names(&missing)));
        missing = probe.wait(patience - short, stop);
    }
    if stop.requested() {
        return Err(Fatal::incomplete("interrupted before there was a subscriber; nothing was sent"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let hint = match missing.iter().find_map(|missing| missing.why.as_ref().map(|why| (&missing.name, why))) {
        Some((name, why)) => format!("{name}: {why}"),
        None => format!("start one there, such as: bro-zmq subscribe --bind {}", missing[0].name),
    };
    if missing.len() == probe.names().count() {
        let message = format!("nobody subscribes at {}; nothing was sent; {hint}", names(&missing));
        return Err(Fatal::incomplete(message));
    }
    console.problem(format!("nobody subscribes at {}; {hint}", names(&missing)));
    Ok(())
}

/// A replay under way.
struct Replay<'a> {
    settings: &'a Settings,
    console: &'a Rc<Console>,
    stop: &'a Stop,
    config: &'a Config,
    layout: &'static Layout,
    /// True if a record that finds the queue full is written again.
    retries: bool,
    probe: Probe,
    /// True if the user has been told that options do not change JSON.
    json_told: bool,
    logs: Vec<Log>,
    outcome: Outcome,
    /// Bytes read, and bytes there are to read, if that is known.
    read: Rc<Cell<u64>>,
    total: Option<u64>,
    first_pass: bool,
    start: Instant,
    heartbeat: Instant,
    /// Since when the subscriber takes nothing, and true if this was said.
    stalled: Option<(Instant, bool)>,
    /// When counting for the rate began, and the records published since then.
    paced_since: Instant,
    paced: u64,
}

/// A log path.
struct Log {
    path: Vec<u8>,
    /// `None` if its records are JSON.
    header: Option<Arc<Header>>,
    /// `None` once it is closed.
    publisher: Option<Publisher>,
    /// Full queues that were waited for.
    retried: u64,
}

impl Replay<'_> {
    fn all_passes(&mut self) -> Result<(), Fatal> {
        loop {
            let before = self.outcome.records;
            for source in &self.settings.sources {
                self.one_log(source)?;
            }
            if self.stop.requested() {
                self.outcome.interrupted = !self.settings.repeat;
                return Ok(());
            }
            if !self.settings.repeat {
                return Ok(());
            }
            if self.outcome.records == before {
                self.console.problem("there is nothing to repeat: no file has a record");
                return Ok(());
            }
            self.first_pass = false;
        }
    }

    fn one_log(&mut self, source: &Source) -> Result<(), Fatal> {
        if self.stop.requested() {
            return Ok(());
        }
        let name = source.name();
        let input = match source.open(&self.read, self.stop) {
            Ok(input) => input,
            Err(error) => {
                self.console.problem(format!("{name}: cannot be read: {error}"));
                self.outcome.unreadable += u64::from(self.first_pass);
                return Ok(());
            }
        };
        // The log of the last header line, and the log of JSON lines since then.
        let (mut current, mut of_json) = (None, None);
        let mut header_reported = false;
        let mut reader = Reader::new(input);
        while let Some(item) = reader.next() {
            if self.stop.requested() {
                break;
            }
            match item {
                Ok(Item::Header(header)) => {
                    header_reported = false;
                    of_json = None;
                    current = Some(self.open(source, Some(header))?);
                }
                Ok(Item::Record(cells)) => {
                    if let Some(log) = current {
                        self.publish(log, &Record::Values(cells))?;
                    }
                }
                Ok(Item::Json(object)) if json::members(&object).is_some() => {
                    let log = match of_json {
                        Some(log) => log,
                        None => self.open(source, None)?,
                    };
                    of_json = Some(log);
                    self.publish(log, &Record::Json(object))?;
                }
                Ok(Item::Json(_)) if !self.first_pass => {}
                Ok(Item::Json(_)) => {
                    self.outcome.malformed += 1;
                    self.console.problem(format!("{name}:{}: it is no complete JSON object", reader.line_number()));
                }
                // Faults are told on the first pass; later passes meet them again.
                Err(_) if !self.first_pass => {}
                Err(error) => {
                    let tell = match error.kind {
                        ErrorKind::NoHeader => {
                            self.outcome.headless += 1;
                            !std::mem::replace(&mut header_reported, true)
                        }
                        ErrorKind::Io => {
                            self.outcome.unreadable += 1;
                            true
                        }
                        ErrorKind::Header | ErrorKind::Record => {
                            header_reported |= error.kind == ErrorKind::Header;
                            self.outcome.malformed += 1;
                            true
                        }
                    };
                    if tell {
                        self.console.problem(format!("{name}:{}: {}", error.line, error.message));
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the index of the log that a header, or JSON without one, begins. Opens a log that is new or has
    /// other columns.
    fn open(&mut self, source: &Source, header: Option<Arc<Header>>) -> Result<usize, Fatal> {
        if header.is_none() && !std::mem::replace(&mut self.json_told, true) {
            self.tell_of_json();
        }
        let path = header.as_ref().and_then(|header| header.path.clone()).unwrap_or_else(|| source.path_by_name());
        let index = match self.logs.iter().position(|log| log.path == path) {
            Some(index) if self.logs[index].header == header => return Ok(index),
            Some(index) => {
                self.close_log(index);
                self.logs[index].header = header;
                index
            }
            None => {
                self.outcome.logs += 1;
                self.logs.push(Log { path, header, publisher: None, retried: 0 });
                self.logs.len() - 1
            }
        };
        let log = &mut self.logs[index];
        let Self { layout, config, retries, console, .. } = self;
        let (layout, config, retries) = (*layout, *config, *retries);
        let setup = Setup { path: &log.path, layout, config, retries, console };
        let mut publisher = Publisher::open(&setup, log.header.as_deref())
            .map_err(|error| Fatal::new(format!("{}: cannot be published: {error}", shown(&log.path))))?;
        // The writer waits for subscribers that are known to want the log, so that they get all of it.
        self.probe.poll();
        let deadline = Instant::now() + self.settings.wait;
        let missing = |publisher: &Publisher, probe: &Probe| {
            (0..publisher.endpoints()).any(|at| probe.wants(at, &log.path) && publisher.stats(at).subscribed == 0)
        };
        while missing(&publisher, &self.probe) && Instant::now() < deadline && !self.stop.requested() {
            std::thread::sleep(Duration::from_millis(2));
            publisher.heartbeat();
        }
        log.publisher = Some(publisher);
        Ok(index)
    }

    /// Says which of the given options do not change JSON logs.
    fn tell_of_json(&self) {
        const WRITING: [&str; 5] =
            ["json_timestamps", "json_include_unset_fields", "json_string_escape_policy", "extra_fields", "tag_json"];
        let given: Vec<_> =
            self.settings.options.iter().map(|(name, _)| &**name).filter(|name| WRITING.contains(name)).collect();
        if !given.is_empty() {
            self.console.problem(format!("JSON logs are sent as they are, without {}", given.join(", ")));
        }
    }

    fn publish(&mut self, index: usize, record: &Record) -> Result<(), Fatal> {
        self.outcome.records += 1;
        self.pace()?;
        loop {
            let Log { publisher: Some(publisher), retried, path, .. } = &mut self.logs[index] else { return Ok(()) };
            publisher.write(record).map_err(|error| Fatal::new(format!("{}: {error}", shown(path))))?;
            if !self.retries || publisher.stats(0).dropped_queue_full == *retried {
                self.stalled = None;
                break;
            }
            // The record is written again, so that it is not lost; after Ctrl-C, it is not sent.
            *retried += 1;
            if self.stop.requested() {
                break;
            }
            let (since, told) = self.stalled.get_or_insert((Instant::now(), false));
            if !*told && since.elapsed() >= STALL {
                *told = true;
                self.console.info("the subscriber takes nothing; waiting for it (Ctrl-C ends)");
            }
            std::thread::sleep(Duration::from_millis(1));
            self.tick()?;
        }
        if self.outcome.records.is_multiple_of(64) || self.settings.rate.is_some() {
            self.tick()?;
        }
        Ok(())
    }

    /// Waits for the next record's turn.
    fn pace(&mut self) -> Result<(), Fatal> {
        let Some(rate) = self.settings.rate else { return Ok(()) };
        loop {
            let due = Duration::try_from_secs_f64(self.paced as f64 / rate).unwrap_or(Duration::MAX);
            let elapsed = self.paced_since.elapsed();
            if elapsed >= due || self.stop.requested() {
                if elapsed > due.saturating_add(Duration::from_secs(1)) {
                    // Time that was lost is not made up for.
                    (self.paced_since, self.paced) = (Instant::now(), 0);
                }
                self.paced += 1;
                return Ok(());
            }
            std::thread::sleep((due - elapsed).min(Duration::from_millis(50)));
            self.tick()?;
        }
    }

    /// Looks for subscriptions and draws the progress line, when these are due.
    fn tick(&mut self) -> Result<(), Fatal> {
        if self.heartbeat.elapsed() >= HEARTBEAT {
            self.heartbeat = Instant::now();
            self.probe.poll();
            for publisher in self.logs.iter_mut().filter_map(|log| log.publisher.as_mut()) {
                publisher.heartbeat();
            }
        }
        self.console.progress(|| Progress {
            read: self.read.get(),
            total: self.total,
            records: self.outcome.records,
            elapsed: self.start.elapsed(),
            note: if self.stalled.is_some() { "waiting for the subscriber" } else { "" },
        });
        Ok(())
    }

    /// Closes a log's writer and adds up what became of its records.
    fn close_log(&mut self, index: usize) {
        let log = &mut self.logs[index];
        let Some(publisher) = log.publisher.take() else { return };
        self.probe.poll();
        for (at, tally) in (0..publisher.endpoints()).zip(&mut self.outcome.endpoints) {
            let stats = publisher.stats(at);
            // Queued records are sent while the writer closes; if not, its last report says so.
            let sent = stats.records_sent + stats.records_queued;
            tally.sent += sent;
            tally.bytes += stats.bytes_sent;
            if sent == 0 && self.probe.any(at) && !self.probe.wants(at, &log.path) {
                tally.unwanted += stats.dropped_no_subscriber;
            } else {
                tally.dropped[0] += stats.dropped_no_subscriber;
            }
            tally.dropped[1] += stats.dropped_queue_full - log.retried;
            tally.dropped[2] += stats.dropped_encoding + stats.dropped_closed + stats.dropped_spool;
        }
        log.retried = 0;
    }

    /// Closes all logs. Closing the last writer waits for what is queued.
    fn close(&mut self) {
        for index in 0..self.logs.len() {
            self.close_log(index);
        }
    }
}
