//! One log path: options in, records in, frames out, everything counted.

mod config;
mod endpoint;
mod extra;
mod report;
mod topic;

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use crate::clock::coarse_millis;
use crate::host::{AnyShape, Field, Layout, Record, Shape};
use crate::json::{EncodeError, Envelope, FieldPlan, Out, encode};
use crate::zmq::{Buffers, CHUNK_SIZE, Context, Error, Termination};

pub use config::{Config, ConfigError, Given, OPTION_NAMES, SCRIPT_NAMES, Source, unknown_options};
pub use endpoint::{Connection, Counters};
pub use extra::ExtraFields;
pub use report::{Level, Reporter};
pub use topic::Topic;

/// How often the subscriptions are looked at while records come. A subscription takes
/// effect within this time and a record; looking costs as much as sending.
const POLL_MILLIS: u64 = 10;

/// How long [`Writer::open`] waits for the first subscription at most: enough for a
/// subscriber that is up, without holding up a host whose subscriber is not.
const GREETING: Duration = Duration::from_millis(250);

/// When a subscriber has told this long ago what it wants, and this log is not among it,
/// there is nothing to wait for.
const SETTLED: Duration = Duration::from_millis(20);

/// A record's JSON can have this many bytes.
pub const MAX_RECORD: usize = 1 << 30;

/// Added to the linger time as a limit for ending the context.
const TERM_GRACE: Duration = Duration::from_millis(500);

/// What a writer is made of.
pub struct Setup<'a> {
    /// The log path.
    pub path: &'a str,
    /// Its columns.
    pub fields: &'a [Field],
    /// The host's layout, and the shape that [`AnyShape::new`] found for it.
    pub layout: &'a Layout,
    /// See `layout`.
    pub shape: AnyShape,
    /// Its options.
    pub config: Config,
    /// Where reports go.
    pub reporter: Reporter,
}

/// Why a writer could not be opened.
#[derive(Debug)]
pub struct OpenError {
    what: String,
    why: Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for OpenError {}

/// Publishes the records of one log path. Belongs to the thread that opened it.
pub struct Writer {
    /// The first frame of its messages.
    topic: String,
    plan: FieldPlan,
    envelope: Option<Envelope>,
    shape: AnyShape,
    buffers: Buffers,
    connections: Vec<Connection>,
    linger: Option<Duration>,
    reporter: Reporter,
    /// When the subscriptions were last looked at, in [`coarse_millis`].
    polled: u64,
    written: u64,
    unknown: u64,
    /// Why the last record that could not be encoded could not.
    problem: &'static str,
}

impl Writer {
    /// Makes the sockets, connects them, and waits a moment for the first subscription.
    ///
    /// # Errors
    ///
    /// libzmq could not make or connect a socket.
    pub fn open(setup: Setup<'_>) -> Result<Self, OpenError> {
        let Setup { path, fields, layout, shape, config, mut reporter } = setup;
        let envelope = envelope(path, fields, &config, &mut reporter);
        let context =
            Context::shared().map_err(|why| OpenError { what: "cannot make a ZeroMQ context".to_owned(), why })?;
        let mut writer = Self {
            topic: config.topic.of(path),
            plan: FieldPlan::new(fields, layout, config.style),
            envelope,
            shape,
            buffers: Buffers::new(),
            connections: Vec::with_capacity(config.endpoints.len()),
            linger: config.linger,
            reporter,
            polled: 0,
            written: 0,
            unknown: 0,
            problem: "",
        };
        let opened = Instant::now();
        for endpoint in &config.endpoints {
            match Connection::open(&context, endpoint.clone(), &config) {
                Ok(connection) => writer.connections.push(connection),
                Err((what, why)) => {
                    writer.disconnect(context);
                    return Err(OpenError { what, why });
                }
            }
        }
        drop(context);
        std::thread::sleep(config.connect_pause);
        writer.await_subscribers(opened);
        Ok(writer)
    }

    /// Waits until every endpoint has a subscription to this log or other ones only, or for
    /// [`GREETING`].
    fn await_subscribers(&mut self, opened: Instant) {
        let topic = self.topic.as_bytes();
        for connection in &mut self.connections {
            let mut heard = Instant::now();
            loop {
                let now = Instant::now();
                if connection.poll(topic) {
                    heard = now;
                }
                let left = GREETING.saturating_sub(opened.elapsed());
                let settled = connection.any_subscription() && now - heard >= SETTLED;
                if connection.subscribed() || settled || left.is_zero() {
                    break;
                }
                connection.wait(left.min(SETTLED));
            }
        }
        self.polled = coarse_millis();
    }

    /// How many columns a record has.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.plan.columns()
    }

    /// Publishes a record.
    ///
    /// # Safety
    ///
    /// `values` is as [`Record::new`] demands, for [`Writer::columns`] values.
    #[inline]
    pub unsafe fn write(&mut self, values: *const *const u8) {
        self.written += 1;
        let now = coarse_millis();
        if now.wrapping_sub(self.polled) >= POLL_MILLIS {
            self.poll(now);
        }
        let mut wanted = false;
        for connection in &mut self.connections {
            if connection.subscribed() {
                wanted = true;
            } else {
                connection.counters.no_subscriber += 1;
            }
        }
        if !wanted {
            return;
        }
        // SAFETY: this function's contract, for each shape.
        let encoded = unsafe {
            match self.shape {
                AnyShape::Bro25(shape) => self.encode(values, shape),
                AnyShape::Bro26(shape) => self.encode(values, shape),
                AnyShape::Zeek72(shape) => self.encode(values, shape),
                AnyShape::Zeek80(shape) => self.encode(values, shape),
                AnyShape::Zeek81(shape) => self.encode(values, shape),
                AnyShape::Other(shape) => self.encode(values, shape),
            }
        };
        match encoded {
            Ok(len) => {
                for connection in self.connections.iter_mut().filter(|connection| connection.subscribed()) {
                    // SAFETY: `encode` has just written these bytes; `advance` passes them.
                    let body = unsafe { self.buffers.message(len) };
                    connection.send(self.topic.as_bytes(), body);
                }
                self.buffers.advance(len);
            }
            Err(problem) => self.count_unencoded(problem),
        }
    }

    /// Counts a record that is none of a host's, such as one with a column too few.
    pub fn reject(&mut self, problem: &'static str) {
        self.written += 1;
        for connection in &mut self.connections {
            connection.counters.encoding += 1;
        }
        self.problem = problem;
    }

    #[cold]
    fn count_unencoded(&mut self, problem: &'static str) {
        for connection in self.connections.iter_mut().filter(|connection| connection.subscribed()) {
            connection.counters.encoding += 1;
        }
        self.problem = problem;
    }

    /// Encodes a record at the start of the buffers' free space and returns its length.
    ///
    /// # Safety
    ///
    /// As [`Writer::write`].
    #[inline]
    unsafe fn encode<S: Shape>(&mut self, values: *const *const u8, shape: S) -> Result<usize, &'static str> {
        // SAFETY: this function's contract.
        let record = unsafe { Record::new(values, shape) };
        let mut room = CHUNK_SIZE / 2;
        loop {
            let memory = self.buffers.free_space();
            let begun = match &self.envelope {
                None => Ok(Out::new(memory)),
                Some(envelope) => envelope.begin(memory),
            };
            let encoded = begun.map_err(EncodeError::from).and_then(|mut out| {
                // SAFETY: as above.
                let unknown = unsafe { encode(&self.plan, record, &mut out)? };
                match &self.envelope {
                    None => Ok((out.len(), unknown)),
                    Some(envelope) => Ok((envelope.end(&mut out)?, unknown)),
                }
            });
            match encoded {
                Ok((len, unknown)) => {
                    self.unknown += unknown;
                    return Ok(len);
                }
                Err(EncodeError::Full) => {
                    if room > MAX_RECORD {
                        return Err("its JSON has more than 1 GiB");
                    }
                    if !self.buffers.grow(room) {
                        return Err("memory is exhausted");
                    }
                    room *= 4;
                }
                Err(EncodeError::Malformed(what)) => return Err(what),
                Err(EncodeError::TooDeep) => return Err("its sets and vectors are nested too deep"),
            }
        }
    }

    /// Looks at the subscriptions, and reports what happened since the last time.
    #[cold]
    fn poll(&mut self, now: u64) {
        self.polled = now;
        for connection in &mut self.connections {
            connection.report(&self.topic, self.problem, now, &mut self.reporter);
            connection.poll(self.topic.as_bytes());
        }
    }

    /// To be called about once a second.
    pub fn heartbeat(&mut self) {
        self.poll(coarse_millis());
    }

    /// Records handed over.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Values written as null because their type has no JSON form.
    #[must_use]
    pub fn unknown_values(&self) -> u64 {
        self.unknown
    }

    /// The connections, one for each endpoint.
    #[must_use]
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Reports the totals and closes the sockets. The last writer of the process waits for
    /// what is still to be sent, at most for its linger time.
    pub fn close(mut self) {
        let now = coarse_millis();
        for connection in &mut self.connections {
            connection.report(&self.topic, self.problem, now, &mut self.reporter);
            let Counters { sent, no_subscriber, queue_full, encoding, closed, bytes } = connection.counters;
            let summary = format!(
                "{}: {} records written, {sent} sent ({bytes} bytes), {} dropped (no subscriber: {no_subscriber}, \
                 queue full: {queue_full}, encoding: {encoding}, closed: {closed})",
                connection.endpoint(),
                self.written,
                connection.counters.dropped(),
            );
            (self.reporter)(Level::Info, &summary);
        }
        if self.unknown > 0 {
            let message = format!("{} values of types without JSON form were sent as null", self.unknown);
            (self.reporter)(Level::Warning, &message);
        }
        if let Ok(context) = Context::shared() {
            self.disconnect(context);
        }
    }

    /// Closes the sockets and ends the context if nobody else uses it.
    fn disconnect(&mut self, context: std::sync::Arc<Context>) {
        for connection in self.connections.drain(..) {
            connection.close();
        }
        if context.release(self.linger.map(|linger| linger + TERM_GRACE)) == Termination::TimedOut {
            (self.reporter)(Level::Warning, "ZeroMQ did not end within the linger time; unsent records are lost");
        }
    }
}

/// What the records of a log path are put into. A column wins over an extra field of its name.
fn envelope(path: &str, fields: &[Field], config: &Config, reporter: &mut Reporter) -> Option<Envelope> {
    let free = config.extra_fields.iter().filter(|(name, _)| {
        let taken = fields.iter().any(|field| field.name == *name);
        if taken {
            let name = String::from_utf8_lossy(name);
            let message = format!(
                "the extra field {name:?} is left out of the log \"{path}\", which has a column of that name; \
                 rename it in LogZeroMQ::extra_fields, or in $config[\"extra_fields\"] of this filter"
            );
            reporter(Level::Warning, &message);
        }
        !taken
    });
    let tag = config.tag_json.then_some(path.as_bytes());
    Envelope::new(tag, free.map(|(name, value)| (&**name, &**value)), config.style.escape)
}
