//! `bro-zmq subscribe`: prints the records that arrive, writes them to files, or counts them.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal};
use std::iter;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bro_zeromq_writer::zmq::limits::{MAX_TOPIC, MAX_TOPICS};
use bro_zeromq_writer::zmq::{Endpoint, Error};
use memchr::memchr_iter;

use crate::collector::{Collector, Compression, Settings};
use crate::console::{Console, bytes, counted, duration, thousands};
use crate::paths::Paths;
use crate::print::{Format, Printer, shown};
use crate::security::{KeyArgs, Keys};
use crate::stats::{SENDER_STATS, Stats};
use crate::stop::{Hangup, Stop};
use crate::subscriber::{
    HIGH_WATER_MARK, RECONNECT, RECONNECT_MAX, Received, Subscriber, SubscriberOptions, to_connect, to_listen,
};
use crate::{Fatal, INCOMPLETE, service, terminal};

/// Milliseconds to wait for a message before anything else has its turn.
const SLICE: i64 = 200;

/// Messages received before anything else has its turn.
const BATCH: usize = 256;

/// How long, at the end, files may take what has arrived. They need much less, because no new messages
/// come.
const DRAIN: Duration = Duration::from_secs(30);

/// Milliseconds until the last message that has arrived can be received.
const SETTLE: i64 = 5;

/// Messages that are not a record are reported up to this number, and counted after that.
const REPORTED: u64 = 10;

/// Log paths that the summary lists, and topics that the greeting does.
const LISTED: usize = 20;

/// How often statistics are shown on a terminal, and elsewhere.
const STATS_ON_TERMINAL: Duration = Duration::from_secs(1);
const STATS_ELSEWHERE: Duration = Duration::from_secs(60);

/// `bro-zmq subscribe`
#[derive(clap::Args)]
#[command(after_help = "\
The plugin connects, so the subscriber listens: give Zeek the endpoint that is bound here.
  Zeek:  redef LogZeroMQ::endpoint = \"tcp://127.0.0.1:12345\";

A TOPIC is the start of a log path: \"dns\" brings dns, \"s\" brings ssl, ssh, smtp and so on.
Messages of one frame, which a Zeek sends with LogZeroMQ::frames = \"one\", are read as well.

Output, a record on each line:
  (default)   path, a tab, the JSON exactly as it was published
  --json      the JSON with \"_path\", the log path, as its first and only member of that name, for jq;
              as it is if the message has no topic
  --pretty    the path, then the JSON with a member on each line
  --output-dir DIR
              the JSON, into a file for each log path: DIR/conn.log, DIR/dns.log and so on.
              When a file is rotated it becomes DIR/conn.2026-11-24-03-00-00.log.gz, with the
              time when it begins, which does not exist before it is complete. What a crash has
              left is continued or finished by the next start. SIGHUP rotates all files at once.
  --stats     rates of each log path instead of records; with --output-dir, as well. lost: records
              that could not be written to files; unsent, dropped: what senders say of themselves
              in the log zeromq_stats, if they publish it

Examples:
  bro-zmq subscribe                             every log
  bro-zmq subscribe --pretty conn dns           conn and dns, for reading
  bro-zmq subscribe --count 1 notice            wait for the next notice
  bro-zmq subscribe --json | jq -c 'select(.[\"id.resp_p\"] == 53)'
  bro-zmq subscribe --stats                     what arrives, and how much of it
  bro-zmq subscribe --bind 'tcp://*:5555'       for Zeeks on other machines
  bro-zmq subscribe --bind ipc:///run/zeek.ipc  for Zeeks on this machine only
  bro-zmq subscribe --bind 'tcp://*:5555' --output-dir /var/log/zeek-zmq
                                                a collector: a file for each log, every hour
  bro-zmq subscribe --bind 'tcp://*:5555' --curve-secret-key-file collector.key_secret \\
      --curve-authorized-keys-dir sensors       encrypted, from sensors whose keys are there
  bro-zmq subscribe --output-dir logs --rotate-size 100M --rotate-every never --compress zstd

Exit status:
  0  ended by --count, Ctrl-C, SIGTERM, or because nobody reads the output any more
  1  as 0, but messages arrived that are no records, or records could not be written
  2  wrong arguments, or an endpoint or a directory that cannot be used
A second Ctrl-C ends at once, with status 130 and without writing what waits in memory.")]
pub struct Args {
    /// Listen on this endpoint; can be given several times [default: tcp://127.0.0.1:12345]
    #[arg(short, long, value_name = "ENDPOINT", value_parser = to_listen)]
    bind: Vec<Endpoint>,
    /// Connect to a publisher that listens: a Zeek with @ENDPOINT, or a proxy; can be given several
    /// times
    #[arg(short, long, value_name = "ENDPOINT", value_parser = to_connect)]
    connect: Vec<Endpoint>,
    /// Show each record with a member on each line
    #[arg(short, long, conflicts_with_all = ["json", "output_dir", "stats"])]
    pretty: bool,
    /// Show the JSON only, with the log path in it as "_path"
    #[arg(short, long, conflicts_with_all = ["output_dir", "stats"])]
    json: bool,
    /// Show rates of each log path: a table on a terminal, lines otherwise
    #[arg(short, long)]
    stats: bool,
    /// How often to show them [default: 1s on a terminal, 60s otherwise]
    #[arg(long, value_name = "TIME", requires = "stats", value_parser = parse_time)]
    stats_every: Option<Duration>,
    /// End after N records
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Show problems only: no greeting, no summary
    #[arg(short, long)]
    quiet: bool,
    /// Receive logs whose path begins so; all logs if there is none
    #[arg(value_name = "TOPIC")]
    topics: Vec<OsString>,

    /// Write a file for each log path in this directory, which is made if it is not there
    #[arg(short, long, value_name = "DIR", help_heading = "Files")]
    output_dir: Option<PathBuf>,
    /// Rotate files so often, counted from midnight: 90s, 15m, 1h, up to 1d; or never
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_rotation, requires = "output_dir", help_heading = "Files")]
    rotate_every: Rotation,
    /// Rotate a file before it gets larger than this: 500K, 100M, 2G (of 1024)
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "output_dir", help_heading = "Files")]
    rotate_size: Option<u64>,
    /// How to compress files that were rotated
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Compression::Gzip, requires = "output_dir", help_heading = "Files")]
    compress: Compression,
    /// Rotate by UTC and write it in names, instead of local time
    #[arg(long, requires = "output_dir", help_heading = "Files")]
    utc: bool,

    /// Messages to queue for each connection while they cannot be received, 0 for no limit
    #[arg(long, value_name = "N", default_value_t = HIGH_WATER_MARK, value_parser = clap::value_parser!(i32).range(0..), help_heading = "Connections")]
    hwm: i32,
    #[command(flatten)]
    keys: KeyArgs,
    /// Directory with the public keys, NAME.key, of those that may connect
    #[arg(long, value_name = "DIR", help_heading = "Encryption")]
    curve_authorized_keys_dir: Option<PathBuf>,

    /// How soon to try a lost connection again, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = RECONNECT, value_parser = clap::value_parser!(i32).range(1..), help_heading = "Connections")]
    reconnect: i32,
    /// The longest time between two tries, which become fewer up to this
    #[arg(long, value_name = "MS", default_value_t = RECONNECT_MAX, value_parser = clap::value_parser!(i32).range(0..), help_heading = "Connections")]
    reconnect_max: i32,
}

/// How often files are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    Every(Duration),
    Never,
}

fn parse_rotation(text: &str) -> Result<Rotation, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    if text == "never" {
        return Ok(Rotation::Never);
    }
    match parse_time(text) {
        Ok(time) if time >= Duration::from_secs(1) && time <= DAY && time.subsec_nanos() == 0 => {
            Ok(Rotation::Every(time))
        }
        _ => Err("use a time from 1s to 1d, such as 90s, 15m or 1h, or never".to_owned()),
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len() - text.bytes().rev().take_while(u8::is_ascii_alphabetic).count());
    let unit = match unit {
        "ms" => Some(0.001),
        "s" | "" => Some(1.0),
        "m" | "min" => Some(60.0),
        "h" => Some(3_600.0),
        "d" => Some(86_400.0),
        _ => None,
    };
    let seconds = number.parse::<f64>().ok().zip(unit).map(|(number, unit)| number * unit);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "use a time such as 500ms, 90s, 15m or 1h".to_owned())
}

fn parse_size(text: &str) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let upper = upper.strip_suffix("IB").or(upper.strip_suffix('B')).unwrap_or(&upper);
    let (number, unit) = match upper.as_bytes().last() {
        Some(b'K') => (&upper[..upper.len() - 1], 1 << 10),
        Some(b'M') => (&upper[..upper.len() - 1], 1 << 20),
        Some(b'G') => (&upper[..upper.len() - 1], 1 << 30),
        Some(b'T') => (&upper[..upper.len() - 1], 1 << 40),
        _ => (upper, 1_u64),
    };
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|&size| size > 0);
    size.ok_or_else(|| "use a size such as 500K, 100M or 2G".to_owned())
}

/// Where records go.
enum Output {
    Printed(Printer),
    Files(Box<Collector>),
    /// Records are only counted.
    None,
}

/// Counts what has arrived.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
    odd: u64,
    paths: Paths,
}

/// Why receiving ends.
enum End {
    /// Ctrl-C or SIGTERM.
    Asked,
    Count,
    /// Nobody reads the output.
    ReaderGone,
}

/// Runs `bro-zmq subscribe`.
pub fn run(args: Args) -> Result<ExitCode, Fatal> {
    let console = Console::new(args.quiet, false);
    let signals = |error| Fatal::new(format!("cannot handle signals: {error}"));
    let stop = Stop::default();
    // SIGHUP is handled first of all: until then it ends the process, and systemd takes that for a clean end.
    let hangup = match args.output_dir {
        Some(_) => Some(Hangup::on_signal(&stop).map_err(signals)?),
        None => None,
    };
    stop.register().map_err(signals)?;
    let mut topics: Vec<_> = args.topics.into_iter().map(OsString::into_vec).collect();
    topics.sort_unstable();
    topics.dedup();
    check_topics(&topics).map_err(Fatal::new)?;
    let mut source = SubscriberOptions {
        bind: args.bind,
        connect: args.connect,
        topics: topics.clone(),
        hwm: args.hwm,
        reconnect: (args.reconnect, args.reconnect_max),
        keys: None,
    };
    if source.bind.is_empty() && source.connect.is_empty() {
        source.bind.push(to_listen(crate::DEFAULT_ENDPOINT).map_err(Fatal::new)?);
    }
    let authorized = args.curve_authorized_keys_dir.as_deref();
    source.keys = Keys::read(&args.keys, authorized, &[&*source.bind, &source.connect].concat()).map_err(Fatal::new)?;
    if args.stats && !topics.is_empty() {
        source.topics.push(SENDER_STATS.into());
    }
    raise_descriptor_limit();
    let mut tally = Tally::default();
    let stats = args.stats.then(Stats::new);
    // The output is opened before anything can arrive that it should take.
    let directory = args.output_dir.clone();
    let output = match args.output_dir {
        Some(directory) => {
            let settings = Settings {
                directory,
                rotate_every: match args.rotate_every {
                    Rotation::Every(time) => Some(time),
                    Rotation::Never => None,
                },
                rotate_size: args.rotate_size,
                compression: args.compress,
                utc: args.utc,
            };
            let collector = Collector::open(settings, &mut tally.paths, &console).map_err(Fatal::new)?;
            Output::Files(Box::new(collector))
        }
        None if args.stats => Output::None,
        None => Output::Printed(Printer::new(match (args.pretty, args.json) {
            (true, _) => Format::Pretty,
            (_, true) => Format::Json,
            _ => Format::Line,
        })),
    };
    let subscriber = Subscriber::open(&source).map_err(Fatal::new)?;
    let mut greeting = greeting(subscriber.bound(), &source.connect, &topics);
    match subscriber.encryption() {
        Some(how) => greeting += &format!(", {how}"),
        None if directory.is_some() => greeting += ", not encrypted",
        None => {}
    }
    if let Some(directory) = directory {
        greeting += &format!("; writing to {}", directory.display());
    }
    console.info(greeting);
    service::ready();
    let every = args.stats_every.unwrap_or(match io::stdout().is_terminal() {
        true => STATS_ON_TERMINAL,
        false => STATS_ELSEWHERE,
    });
    let mut session = Session { subscriber, output, stats, every, tally, topics, console, stop, hangup };
    let start = Instant::now();
    let end = session.run(args.count);
    session.finish(end, start.elapsed())
}

/// Refuses more topics, or longer ones, than a publisher takes: it would end the connection.
fn check_topics(topics: &[Vec<u8>]) -> Result<(), String> {
    if topics.len() > MAX_TOPICS {
        return Err(format!(
            "{} topics; a publisher takes up to {}; give shorter beginnings, which match more",
            thousands(topics.len() as u64),
            thousands(MAX_TOPICS as u64)
        ));
    }
    match topics.iter().find(|topic| topic.len() > MAX_TOPIC) {
        Some(topic) => Err(format!(
            "the topic {}… has {} bytes; a publisher takes up to {}",
            shown(&topic[..20]),
            thousands(topic.len() as u64),
            thousands(MAX_TOPIC as u64)
        )),
        None => Ok(()),
    }
}

fn greeting(bound: &[String], connect: &[Endpoint], topics: &[Vec<u8>]) -> String {
    let mut parts = Vec::new();
    if !bound.is_empty() {
        parts.push(format!("listening on {}", bound.join(", ")));
    }
    if !connect.is_empty() {
        parts.push(format!("connecting to {}", connect.iter().map(Endpoint::text).collect::<Vec<_>>().join(", ")));
    }
    let what = match topics {
        [] => "all logs".to_owned(),
        topics => {
            let listed: Vec<_> = topics.iter().take(LISTED).map(|topic| shown(topic)).collect();
            let more = match topics.len() - listed.len() {
                0 => String::new(),
                more => format!(" and {} more", thousands(more as u64)),
            };
            format!("logs that begin with {}{more}", listed.join(", "))
        }
    };
    format!("{} for {what}", parts.join(", "))
}

/// Raises the limit of descriptors: every log of every sensor has a connection of its own, which takes one.
/// The usual limit of 1,024 is there for programs that use select(2).
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // The system's own limit, fs.nr_open, is this high by default.
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(1 << 20);
    if limit.current.is_some_and(|current| current < wanted) {
        // If this fails, the limit stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}

struct Session {
    subscriber: Subscriber,
    output: Output,
    stats: Option<Stats>,
    /// How often statistics are shown.
    every: Duration,
    tally: Tally,
    topics: Vec<Vec<u8>>,
    console: Console,
    stop: Stop,
    hangup: Option<Hangup>,
}

impl Session {
    fn run(&mut self, count: Option<u64>) -> io::Result<End> {
        let count = count.unwrap_or(u64::MAX);
        loop {
            let Some(idle) = self.receive(count)? else { return Ok(End::Count) };
            if self.stop.requested() {
                return Ok(End::Asked);
            }
            self.subscriber.look(&self.console).map_err(io::Error::other)?;
            match &mut self.output {
                Output::Printed(printer) if idle => {
                    printer.flush()?;
                    if printer.reader_has_gone() {
                        return Ok(End::ReaderGone);
                    }
                }
                Output::Files(collector) => {
                    if self.hangup.as_ref().is_some_and(Hangup::taken) {
                        collector.rotate_now(&self.console);
                    }
                    collector.tick(idle, &self.console);
                }
                _ => {}
            }
            if self.stats.as_ref().is_some_and(|stats| stats.age() >= self.every) && !self.show_stats(false)? {
                return Ok(End::ReaderGone);
            }
            if idle {
                let millis = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX);
                self.subscriber.wait(SLICE.min(millis)).map_err(receiving)?;
            }
        }
    }

    /// Takes what has arrived, up to a batch. Returns true if that was all, and `None` once there are
    /// `count` records.
    fn receive(&mut self, count: u64) -> io::Result<Option<bool>> {
        for _ in 0..BATCH {
            match self.subscriber.try_receive().map_err(receiving)? {
                Some(Received::Record(path, body)) => {
                    for record in records(body) {
                        self.tally.record(path, record, &mut self.output, &self.console, |topic, record| {
                            take_stats(self.stats.as_mut(), &self.topics, topic, record)
                        })?;
                        if self.tally.records >= count {
                            return Ok(None);
                        }
                    }
                }
                Some(Received::Odd(frames, first)) => self.tally.not_two_frames(frames, first, &self.console),
                None => return Ok(Some(true)),
            }
        }
        Ok(Some(false))
    }

    /// Ends the connections, and has the files take what has arrived: the senders count it as sent.
    fn drain(&mut self) -> io::Result<()> {
        if !matches!(self.output, Output::Files(_)) {
            return Ok(());
        }
        self.subscriber.hang_up();
        let start = Instant::now();
        let mut settled = false;
        while start.elapsed() < DRAIN {
            let idle = self.receive(u64::MAX)?.unwrap_or(true);
            if let Output::Files(collector) = &mut self.output {
                collector.tick(idle, &self.console);
            }
            if !idle {
                settled = false;
                continue;
            }
            if settled {
                return Ok(());
            }
            self.subscriber.look(&self.console).map_err(io::Error::other)?;
            settled = self.subscriber.unread_connections() == 0;
            self.subscriber.wait(SETTLE).map_err(receiving)?;
        }
        let left = counted(self.subscriber.unread_connections() as u64, "connection");
        self.console.problem(format!("{left} did not end; what has arrived there last is lost"));
        Ok(())
    }

    /// Shows statistics. Returns false if nobody reads them and there is nothing else to do.
    fn show_stats(&mut self, last: bool) -> io::Result<bool> {
        let Some(stats) = &mut self.stats else { return Ok(true) };
        let lost = |number| match &self.output {
            Output::Files(collector) => collector.lost_of(number),
            _ => 0,
        };
        let stdout = io::stdout();
        let shown = if stdout.is_terminal() {
            let size = terminal::size(&stdout).unwrap_or((80, 24));
            self.console.table(&stats.table(&self.tally.paths, lost, size), last)
        } else {
            self.console.lines(&stats.lines(&self.tally.paths, lost))
        };
        match (shown, &self.output) {
            (Ok(()), _) => Ok(true),
            (Err(_), Output::Files(_)) => {
                self.stats = None;
                Ok(true)
            }
            (Err(error), _) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            (Err(error), _) => Err(error),
        }
    }

    /// Writes what has arrived and what waits, and shows the summary.
    fn finish(mut self, end: io::Result<End>, elapsed: Duration) -> Result<ExitCode, Fatal> {
        let end = match end {
            Ok(End::Count) => Ok(End::Count),
            end => {
                let drained = self.drain();
                end.and_then(|end| drained.map(|()| end))
            }
        };
        let end = end.and_then(|end| {
            if let (Output::Printed(printer), End::Asked | End::Count) = (&mut self.output, &end) {
                printer.flush()?;
            }
            Ok(end)
        });
        let seen = matches!(end, Ok(End::Asked | End::Count)) && self.show_stats(true).is_ok();
        // Records that come from now on are to stay with the senders.
        drop(self.subscriber);
        let lost = match self.output {
            Output::Files(collector) => collector.end(!matches!(end, Ok(End::Count)), &self.console),
            _ => 0,
        };
        let mut summary = self.tally.summary(elapsed);
        if lost > 0 {
            summary += &format!("; {} not written", counted(lost, "record"));
        }
        match end {
            Ok(End::ReaderGone) => {}
            // The program that has ended the pipe does not want to hear about it.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Ok(_) if !seen => {}
            Ok(_) => self.console.info(summary),
            Err(error) => {
                self.console.info(summary);
                return Err(Fatal::incomplete(error.to_string()));
            }
        }
        Ok(if self.tally.odd > 0 || lost > 0 { INCOMPLETE.into() } else { ExitCode::SUCCESS })
    }
}

fn receiving(error: Error) -> io::Error {
    io::Error::other(format!("cannot receive: {error}"))
}

/// The records of a message: one, or a batch (`LogZeroMQ::batch_records`), a line each.
fn records(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body);
    iter::from_fn(move || {
        let body = rest.take()?;
        // A record ends between two objects only: other publishers' JSON may have line feeds within.
        let ends = |&end: &usize| body[..end].ends_with(b"}") && body[end + 1..].starts_with(b"{");
        let Some(end) = memchr_iter(b'\n', body).find(ends) else { return Some(body) };
        rest = Some(&body[end + 1..]);
        Some(&body[..end])
    })
}

/// Takes what a sender says of itself. Returns false if the record was subscribed to for that only.
fn take_stats(stats: Option<&mut Stats>, topics: &[Vec<u8>], topic: &[u8], record: &[u8]) -> bool {
    let Some(stats) = stats else { return true };
    stats.take(topic, record);
    topics.is_empty() || topics.iter().any(|wanted| topic.starts_with(wanted))
}

impl Tally {
    /// Puts a record where it belongs, and counts it.
    #[inline]
    fn record(
        &mut self,
        path: &[u8],
        body: &[u8],
        output: &mut Output,
        console: &Console,
        wanted: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        if !wanted(path, body) {
            return Ok(());
        }
        let number = match output {
            Output::Files(collector) => self.paths.get(path).or_else(|| self.number(path, collector, console)),
            _ => self.paths.find(path),
        };
        let printed = match output {
            Output::Printed(printer) => printer.print(path, body)?,
            Output::None => true,
            Output::Files(collector) => {
                let object = body.first() == Some(&b'{') && body.last() == Some(&b'}');
                match number {
                    Some(number) if object => {
                        collector.write(number, path, body, console);
                    }
                    None if object && !collector.has_name(path) => {
                        collector.refuse("a log path too long for the name of a file", path, console);
                    }
                    None if object => collector.refuse("one log path too many", path, console),
                    _ => {}
                }
                object
            }
        };
        if !printed {
            self.odd(&format!("a body that is no JSON object, of {}", shown(path)), console);
            return Ok(());
        }
        let bytes = path.len() + body.len();
        self.records += 1;
        self.bytes += bytes as u64;
        if let Some(number) = number {
            self.paths.count(number, bytes);
        }
        Ok(())
    }

    /// The number of a log path that was not known until now.
    #[cold]
    fn number(&mut self, path: &[u8], collector: &mut Collector, console: &Console) -> Option<usize> {
        // Nothing is kept of a log path that can have no file.
        if !collector.has_name(path) {
            return None;
        }
        self.paths.find(path).or_else(|| {
            let number = collector.reclaim_number(console)?;
            self.paths.replace(number, path).then_some(number)
        })
    }

    fn not_two_frames(&mut self, frames: usize, first: &[u8], console: &Console) {
        let start = shown(first).chars().take(40).collect::<String>();
        self.odd(&format!("{}, the first is \"{start}\"", counted(frames as u64, "frame")), console);
    }

    fn odd(&mut self, what: &str, console: &Console) {
        self.odd += 1;
        if self.odd <= REPORTED {
            console.problem(format!("not a record of log path and JSON, in two frames or one: {what}"));
        }
        if self.odd == REPORTED {
            console.problem("further such messages are counted only");
        }
    }

    /// The last line of the output.
    fn summary(&self, elapsed: Duration) -> String {
        let mut line =
            format!("received {} ({}) in {}", counted(self.records, "record"), bytes(self.bytes), duration(elapsed));
        let mut paths: Vec<_> = self.paths.list().iter().filter(|path| path.records > 0).collect();
        paths.sort_by_key(|path| &path.name);
        let listed: Vec<_> = paths
            .iter()
            .take(LISTED)
            .map(|path| format!("{} {}", shown(&path.name), thousands(path.records)))
            .collect();
        if !listed.is_empty() {
            line += &format!(": {}{}", listed.join(", "), if paths.len() > LISTED { ", …" } else { "" });
        }
        if self.odd > 0 {
            line += &format!(
                "; {} that {} no record",
                counted(self.odd, "message"),
                if self.odd == 1 { "is" } else { "are" }
            );
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in
            [("90s", 90.0), ("90", 90.0), ("15m", 900.0), ("1h", 3600.0), ("0.5s", 0.5), ("20ms", 0.02)]
        {
            assert_eq!(parse_time(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "h", "0", "-1s", "1w", "1 h", "infs", "nan", "1hh"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_batch_has_a_record_in_each_line() {
        for (body, expected) in [
            ("{}", &["{}"][..]),
            ("{\"a\":1}\n{\"b\":2}\n{}", &["{\"a\":1}", "{\"b\":2}", "{}"]),
            ("{\n\"a\":{}\n}", &["{\n\"a\":{}\n}"]),
            ("{}\n", &["{}\n"]),
            ("", &[""]),
        ] {
            let found: Vec<_> = records(body.as_bytes()).collect();
            assert_eq!(found, expected.iter().map(|record| record.as_bytes()).collect::<Vec<_>>(), "{body:?}");
        }
    }

    #[test]
    fn rotations() {
        assert_eq!(parse_rotation("never"), Ok(Rotation::Never));
        assert_eq!(parse_rotation("1d"), Ok(Rotation::Every(Duration::from_secs(86_400))));
        assert_eq!(parse_rotation("1s"), Ok(Rotation::Every(Duration::from_secs(1))));
        for text in ["0", "25h", "500ms", "1.5s", "hourly", ""] {
            assert!(parse_rotation(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in
            [("1", 1), ("500K", 512_000), ("100M", 100 << 20), ("2GiB", 2 << 30), ("1mb", 1 << 20), ("1T", 1 << 40)]
        {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in ["", "0", "M", "-1M", "1.5G", "1X", "99999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
