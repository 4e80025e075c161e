//! `bro-zmq subscribe`: prints the records that arrive.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::zmq::{Context, Error, Kind, Message, Socket};

use crate::console::{Console, bytes, counted, duration, thousands};
use crate::stop::Stop;
use crate::{Fatal, INCOMPLETE, json, terminal};

/// How long to wait for a message before it is looked whether to end.
const SLICE: i64 = 200;

/// Messages that are not a record are reported up to this number, and counted after that.
const REPORTED: u64 = 10;

/// Log paths that the summary lists.
const LISTED: usize = 20;

/// `bro-zmq subscribe`
#[derive(clap::Args)]
#[command(after_help = "\
The plugin connects, so the subscriber listens: give Zeek the endpoint that is bound here.
  Zeek:  redef LogZeroMQ::endpoint = \"tcp://127.0.0.1:12345\";

A TOPIC is the start of a log path: \"dns\" brings dns, \"s\" brings ssl, ssh, smtp and so on.

Output, a record on each line:
  (default)   path, a tab, the JSON exactly as it was published
  --json      the JSON with \"_path\" as its first member, for jq
  --pretty    the path, then the JSON with a member on each line

Examples:
  bro-zmq subscribe                             every log
  bro-zmq subscribe --pretty conn dns           conn and dns, for reading
  bro-zmq subscribe --count 1 notice            wait for the next notice
  bro-zmq subscribe --json | jq -c 'select(.[\"id.resp_p\"] == 53)'
  bro-zmq subscribe --bind 'tcp://*:5555'       for Zeeks on other machines
  bro-zmq subscribe --bind ipc:///run/zeek.ipc  for Zeeks on this machine only

Exit status:
  0  ended by --count, Ctrl-C, SIGTERM, or because nobody reads the output any more
  1  as 0, but messages arrived that are no records, or the output could not be written
  2  wrong arguments, or an endpoint that cannot be used")]
pub struct Args {
    /// Listen on this endpoint [default: tcp://127.0.0.1:12345]
    #[arg(short, long, value_name = "ENDPOINT", conflicts_with = "connect")]
    bind: Option<String>,
    /// Connect to a publisher that listens, such as a proxy, instead of listening
    #[arg(short, long, value_name = "ENDPOINT")]
    connect: Option<String>,
    /// Show each record with a member on each line
    #[arg(short, long, conflicts_with = "json")]
    pretty: bool,
    /// Show the JSON only, with the log path in it as "_path"
    #[arg(short, long)]
    json: bool,
    /// End after N records
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Show problems only: no greeting, no summary
    #[arg(short, long)]
    quiet: bool,
    /// Receive logs whose path begins so; all logs if there is none
    #[arg(value_name = "TOPIC")]
    topics: Vec<OsString>,
}

/// Receives messages.
pub struct Subscriber {
    socket: Socket,
}

/// A message.
pub enum Received {
    /// A record: its log path and its JSON.
    Record(Message, Message),
    /// Something with another number of frames than two.
    Odd {
        /// How many.
        frames: usize,
        /// The first of them.
        first: Message,
    },
}

impl Subscriber {
    /// Listens on an endpoint, or connects to it. Returns the endpoint, with the port that
    /// was chosen, too.
    pub fn open(endpoint: &str, bind: bool, topics: &[&[u8]]) -> Result<(Self, String), String> {
        let verb = if bind { "listen on" } else { "connect to" };
        let explain = |error: Error| {
            let hint = match error.0 {
                libc::EADDRINUSE => "; another program listens there",
                libc::EINVAL => "; an endpoint is tcp://ADDRESS:PORT or ipc://PATH",
                libc::EPROTONOSUPPORT => "; use tcp://ADDRESS:PORT or ipc://PATH",
                libc::ENODEV | libc::EADDRNOTAVAIL if bind => {
                    "; listen on an address of this machine, or on * for all of them"
                }
                _ => "",
            };
            format!("cannot {verb} {endpoint}: {error}{hint}")
        };
        let c_endpoint = CString::new(endpoint).map_err(|_| explain(Error(libc::EINVAL)))?;
        let open = || -> Result<(Self, String), Error> {
            let context = Arc::new(Context::new()?);
            let socket = Socket::new(&context, Kind::Sub)?;
            socket.set(zmq_sys::ZMQ_LINGER, 0)?;
            if endpoint.contains('[') {
                socket.set(zmq_sys::ZMQ_IPV6, 1)?;
            }
            // Before a publisher is there, so that it is told all at once.
            for topic in topics {
                socket.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, topic)?;
            }
            if topics.is_empty() {
                socket.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"")?;
            }
            let bound = if bind {
                socket.bind(&c_endpoint)?
            } else {
                socket.connect(&c_endpoint)?;
                endpoint.to_owned()
            };
            Ok((Self { socket }, bound))
        };
        open().map_err(explain)
    }

    /// Receives a message if there is one.
    pub fn try_receive(&self) -> Result<Option<Received>, Error> {
        let Some(first) = self.socket.try_recv()? else { return Ok(None) };
        let (mut frames, mut more, mut second) = (1, first.more(), None);
        while more {
            // A message arrives as a whole, so its frames are all there.
            let Some(frame) = self.socket.try_recv()? else { break };
            frames += 1;
            more = frame.more();
            second.get_or_insert(frame);
        }
        Ok(Some(match second {
            Some(second) if frames == 2 => Received::Record(first, second),
            _ => Received::Odd { frames, first },
        }))
    }

    /// Waits for a message, at most so many milliseconds.
    pub fn wait(&self, millis: i64) -> Result<(), Error> {
        self.socket.wait_readable(millis).map(drop)
    }
}

#[derive(Clone, Copy)]
enum Format {
    Line,
    Json,
    Pretty,
}

/// What has arrived.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
    odd: u64,
    paths: BTreeMap<Vec<u8>, u64>,
}

/// Why it ends.
enum End {
    Asked,
    Count,
    /// Nobody reads the output.
    ReaderGone,
}

/// Runs `bro-zmq subscribe`.
pub fn run(args: Args) -> Result<ExitCode, Fatal> {
    let console = Console::new(args.quiet, false);
    let stop = Stop::on_signals().map_err(|error| Fatal::new(format!("cannot handle signals: {error}")))?;
    let topics: Vec<_> = args.topics.iter().map(|topic| topic.as_bytes()).collect();
    let (endpoint, bind) = match (&args.connect, &args.bind) {
        (Some(endpoint), _) => (endpoint.as_str(), false),
        (None, Some(endpoint)) => (endpoint.as_str(), true),
        (None, None) => (crate::DEFAULT_ENDPOINT, true),
    };
    let (subscriber, bound) = Subscriber::open(endpoint, bind, &topics).map_err(Fatal::new)?;
    let what = match &topics[..] {
        [] => "all logs".to_owned(),
        topics => {
            let topics: Vec<_> = topics.iter().map(|topic| String::from_utf8_lossy(topic)).collect();
            format!("logs that begin with {}", topics.join(", "))
        }
    };
    console.info(format!("{} {bound} for {what}", if bind { "listening on" } else { "connected to" }));
    let format = match (args.pretty, args.json) {
        (true, _) => Format::Pretty,
        (_, true) => Format::Json,
        _ => Format::Line,
    };
    let start = Instant::now();
    let mut tally = Tally::default();
    let end = match print(&subscriber, format, args.count, &mut tally, &console, &stop) {
        Ok(end) => end,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => End::ReaderGone,
        Err(error) => {
            console.info(tally.summary(start.elapsed()));
            return Err(Fatal::incomplete(error.to_string()));
        }
    };
    match end {
        End::Asked | End::Count => console.info(tally.summary(start.elapsed())),
        // Whoever has ended the pipe does not want to hear about it.
        End::ReaderGone => {}
    }
    Ok(if tally.odd > 0 { INCOMPLETE.into() } else { ExitCode::SUCCESS })
}

fn print(
    subscriber: &Subscriber,
    format: Format,
    count: Option<u64>,
    tally: &mut Tally,
    console: &Console,
    stop: &Stop,
) -> io::Result<End> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut out = BufWriter::with_capacity(64 * 1024, stdout.lock());
    let receiving = |error: Error| io::Error::other(format!("cannot receive: {error}"));
    let end = loop {
        if stop.requested() {
            break End::Asked;
        }
        match subscriber.try_receive().map_err(receiving)? {
            Some(received) => tally.take(&received, format, terminal, &mut out, console)?,
            None => {
                out.flush()?;
                if terminal::reader_has_gone(&stdout) {
                    return Ok(End::ReaderGone);
                }
                subscriber.wait(SLICE).map_err(receiving)?;
            }
        }
        if count.is_some_and(|count| tally.records >= count) {
            break End::Count;
        }
    };
    out.flush()?;
    Ok(end)
}

impl Tally {
    /// Prints and counts a message.
    fn take(
        &mut self,
        received: &Received,
        format: Format,
        terminal: bool,
        out: &mut impl Write,
        console: &Console,
    ) -> io::Result<()> {
        match received {
            Received::Odd { frames, first } => {
                let start = String::from_utf8_lossy(first.as_bytes()).escape_debug().take(40).collect::<String>();
                let what = format!("{}, the first is \"{start}\"", counted(*frames as u64, "frame"));
                self.odd(&what, console);
            }
            Received::Record(path, body) => {
                let (path, body) = (path.as_bytes(), body.as_bytes());
                let (shown_path, shown_body) = match terminal {
                    true => (json::harmless(path), json::harmless(body)),
                    false => (path.into(), body.into()),
                };
                match format {
                    Format::Line => {
                        json::write_line(out, &shown_path)?;
                        out.write_all(b"\t")?;
                        json::write_line(out, &shown_body)?;
                        out.write_all(b"\n")?;
                    }
                    Format::Json => {
                        if !json::write_with_path(out, path, &shown_body)? {
                            let what = format!("a body that is no JSON object, of {}", String::from_utf8_lossy(path));
                            self.odd(&what, console);
                            return Ok(());
                        }
                        out.write_all(b"\n")?;
                    }
                    Format::Pretty => {
                        json::write_line(out, &shown_path)?;
                        out.write_all(b"\n")?;
                        json::write_pretty(out, &shown_body)?;
                        out.write_all(b"\n")?;
                    }
                }
                self.records += 1;
                self.bytes += (path.len() + body.len()) as u64;
                match self.paths.get_mut(path) {
                    Some(count) => *count += 1,
                    None => drop(self.paths.insert(path.to_vec(), 1)),
                }
            }
        }
        Ok(())
    }

    fn odd(&mut self, what: &str, console: &Console) {
        self.odd += 1;
        if self.odd <= REPORTED {
            console.problem(format!("not a record of two frames, log path and JSON: {what}"));
        }
        if self.odd == REPORTED {
            console.problem("further such messages are counted only");
        }
    }

    /// The last line.
    fn summary(&self, elapsed: Duration) -> String {
        let mut line =
            format!("received {} ({}) in {}", counted(self.records, "record"), bytes(self.bytes), duration(elapsed));
        let paths = self.paths.iter().take(LISTED);
        let paths = paths.map(|(path, count)| format!("{} {}", String::from_utf8_lossy(path), thousands(*count)));
        let paths = paths.collect::<Vec<_>>().join(", ");
        if !paths.is_empty() {
            line += &format!(": {paths}{}", if self.paths.len() > LISTED { ", …" } else { "" });
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
