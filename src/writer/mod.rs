//! One log path: options in, records in, frames out, everything counted.

mod batch;
mod config;
mod connection;
mod counters;
mod curve;
mod extra;
mod ledger;
mod link;
mod option;
mod orphans;
mod patience;
mod spooling;
mod stats;
mod topic;

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::coarse_millis;
use crate::host::{AnyShape, Field, Layout, Record, Shape};
use crate::json::{EncodeError, Envelope, FieldPlan, Out, encode};
use crate::report::{Incident, Problem, Report, Reporter};
use crate::transport::{Failure, Pattern};
use crate::zmq::{Buffers, CHUNK_SIZE, Context, Endpoint, Termination};
use batch::Batch;
use orphans::Orphans;
use patience::Patience;
use stats::Statistics;

pub use config::{Config, OPTIONS, SCRIPT_NAMES, Spec, unknown_options};
pub use connection::Connection;
use connection::Log;
pub use counters::{Counters, Totals};
pub use curve::parse as parse_curve;
pub use extra::ExtraFields;
pub use option::{ConfigError, Given, Mention, Reason, Scope};
pub use topic::{Frames, Head, Template, readable};

/// How often the writer looks at the subscriptions while records come: looking costs as much as
/// sending. A subscription takes effect at the first record after this time.
const POLL_MILLIS: u64 = 10;

/// How long [`Writer::open`] waits for the first subscription at most: enough for a
/// subscriber that is up, without holding up a host whose subscriber is not.
const GREETING: Duration = Duration::from_millis(250);

/// How long [`Writer::open`] waits for a subscriber's next topic. A subscriber tells its topics one by
/// one, in several TCP segments, and does not say which is the last. If none has come for this long, and
/// this log is not among them, there is nothing to wait for.
const SETTLED: Duration = Duration::from_millis(100);

/// How long [`Writer::open`] listens to a subscriber that goes on telling topics.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// How long [`Writer::heartbeat`] sends from the spool at most. Meanwhile new records wait in
/// the host's queue.
const DRAIN_SLICE: Duration = Duration::from_millis(300);

/// How often a writer that waits for room in a queue looks for it. libzmq does not tell when there is
/// room, and sends a queue of the usual length in about this time.
const LOOK_FOR_ROOM: Duration = Duration::from_micros(500);

/// A record whose JSON has more bytes than this is refused.
pub const MAX_RECORD: usize = 1 << 30;

/// Bytes of the first chunk that is tried for a record that has no room in the last one.
const FIRST_ROOM: usize = CHUNK_SIZE / 2;

/// How long [`Writer::close`] waits before it tells what it waits for. It waits no longer for a
/// connection with a spool, unless the linger time is without limit. Whatever has asked the host to end
/// may ask again after two seconds, and then the host waits for nobody.
const PROMPT: Duration = Duration::from_millis(1200);

/// Added to the linger time as a limit for ending the context.
const TERM_GRACE: Duration = Duration::from_millis(500);

/// What a writer is made of.
pub struct Setup<'a> {
    /// The log path, as the host has it.
    pub path: &'a [u8],
    /// The log's columns.
    pub fields: &'a [Field],
    /// The host's layout.
    pub layout: &'a Layout,
    /// The shape that [`AnyShape::new`] found for `layout`.
    pub shape: AnyShape,
    /// The writer's options.
    pub config: Config,
    /// Where reports go.
    pub reporter: Reporter,
}

/// Publishes the records of one log path. Belongs to the thread that opened it.
pub struct Writer {
    /// The log path as text, for messages and names.
    path: String,
    plan: FieldPlan,
    envelope: Option<Envelope>,
    shape: AnyShape,
    buffers: Buffers,
    batch: Batch,
    connections: Vec<Connection>,
    /// Spools without a writer, which this one looks after.
    orphans: Option<Orphans>,
    linger: Option<Duration>,
    flush_interval: Duration,
    patience: Patience,
    /// When this writer last waited for room.
    waited: Instant,
    reporter: Reporter,
    /// The counters of this log path in the whole process.
    totals: Arc<Totals>,
    /// What this writer has added to `totals`, for each connection.
    told: Vec<Counters>,
    statistics: Option<Statistics>,
    /// When the subscriptions were last looked at, in [`coarse_millis`].
    polled: u64,
    written: u64,
    unknown: u64,
    /// What was wrong with the last record that could not be encoded.
    problem: Option<Problem>,
}

impl Writer {
    /// Makes the sockets, connects them, and waits a moment for the first subscription.
    ///
    /// # Errors
    ///
    /// libzmq could not make or connect a socket.
    pub fn open(setup: Setup<'_>) -> Result<Self, Failure> {
        let Setup { path: path_bytes, fields, layout, shape, config, mut reporter } = setup;
        let path = &*readable(path_bytes);
        let head = config.head(path_bytes);
        let envelope = envelope(path_bytes, fields, &config, &mut reporter);
        let context = Context::shared().map_err(|error| Failure::Context { error })?;
        // Endpoints that share the records are one connection.
        let groups: Vec<&[Endpoint]> = match config.pattern {
            Pattern::Publish => config.endpoints.chunks(1).collect(),
            Pattern::Push => vec![&config.endpoints],
        };
        let mut writer = Self {
            path: path.to_owned(),
            plan: FieldPlan::new(fields, layout, config.style),
            envelope,
            shape,
            buffers: Buffers::new(config.endpoints.len()),
            batch: Batch::new(&config, head.within()),
            connections: Vec::with_capacity(groups.len()),
            orphans: Orphans::new(&config, &groups),
            linger: config.linger,
            flush_interval: config.flush_interval,
            patience: Patience::default(),
            waited: Instant::now(),
            reporter,
            totals: Totals::of(path),
            told: vec![Counters::default(); groups.len()],
            statistics: config.stats_interval.map(|interval| {
                Statistics::new(interval, Head::new(config.stats_topic.clone().into_bytes(), config.frames))
            }),
            polled: 0,
            written: 0,
            unknown: 0,
            problem: None,
        };
        let mut consumer = 0;
        for endpoints in groups {
            let first = consumer;
            consumer += endpoints.len();
            let log = Log { path, head: head.clone() };
            match Connection::open(&context, endpoints, &config, first, log, &writer.buffers, &mut writer.reporter) {
                Ok(connection) => writer.connections.push(connection),
                Err(failure) => {
                    for connection in writer.connections.drain(..) {
                        connection.close(0, &writer.buffers, Some(Duration::ZERO));
                    }
                    writer.release(context, Some(Duration::ZERO));
                    return Err(failure);
                }
            }
        }
        drop(context);
        std::thread::sleep(config.connect_pause);
        writer.await_subscribers();
        Ok(writer)
    }

    /// Waits at every endpoint for a subscription to this log, for [`GREETING`] since the first writer began
    /// to connect. Where there are subscriptions to other logs only, waits until no new one has come for
    /// [`SETTLED`], for [`GREETING_LIMIT`] at most.
    fn await_subscribers(&mut self) {
        for connection in &mut self.connections {
            loop {
                connection.poll(&self.buffers);
                let (begun, heard) = connection.since();
                let left = match connection.subscriptions().any() {
                    true => GREETING_LIMIT.saturating_sub(begun.elapsed()).min(SETTLED.saturating_sub(heard.elapsed())),
                    false => GREETING.saturating_sub(begun.elapsed()),
                };
                if connection.subscribed() || left.is_zero() {
                    break;
                }
                connection.wait(left);
            }
        }
        self.polled = coarse_millis();
        self.end_holds();
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
    #[allow(unsafe_code, reason = "this is where the host's records come in")]
    pub unsafe fn write(&mut self, values: *const *const u8) {
        let now = coarse_millis();
        if !self.begin(now) {
            return;
        }
        // SAFETY: the caller promises values of this host, whose shape `open` was given.
        let encoded = unsafe { crate::dispatch!(self.shape, shape => self.encode(values, shape)) };
        self.end(encoded, now);
    }

    /// Publishes a record that is a JSON object already, as replayed logs have it: byte for byte, and without
    /// line feeds. Options that say how a record is written (`json_timestamps`, `extra_fields`, `tag_json` and so
    /// on) do not change it. All other options apply.
    pub fn write_json(&mut self, object: &[u8]) {
        let now = coarse_millis();
        if self.begin(now) {
            let copied = self.copy(object);
            self.end(copied, now);
        }
    }

    /// Counts a record. Returns true if anybody wants it; if not, counts it as dropped, too.
    #[inline]
    fn begin(&mut self, now: u64) -> bool {
        self.written += 1;
        if now.wrapping_sub(self.polled) >= POLL_MILLIS {
            self.poll(now);
        }
        let wanted = self.connections.iter().any(Connection::is_to_get_records);
        if !wanted {
            for connection in &mut self.connections {
                connection.count_unwanted(1);
            }
        }
        wanted
    }

    /// Adds a record to the batch, and sends the batch if it is to end. Only counts a record that could not be
    /// encoded.
    #[inline]
    fn end(&mut self, encoded: Result<(), Problem>, now: u64) {
        match encoded {
            Ok(()) => {
                if self.batch.add(now) {
                    self.flush();
                }
            }
            Err(problem) => self.count_unencoded(problem),
        }
    }

    /// Sends the batch, as far as it is filled.
    #[inline]
    pub fn flush(&mut self) {
        let records = self.batch.take();
        if records == 0 {
            return;
        }
        let mut full = false;
        for connection in &mut self.connections {
            if connection.is_to_get_records() {
                full |= connection.send(&mut self.buffers, records);
            } else {
                connection.count_unwanted(records);
            }
        }
        if full {
            self.wait_for_room();
        }
        self.buffers.advance();
        for connection in &mut self.connections {
            connection.go_on(&mut self.buffers);
        }
    }

    /// Waits for room in full queues, as long as [`patience`] says. The records that have found no room are
    /// pending.
    #[cold]
    fn wait_for_room(&mut self) {
        let Self { connections, buffers, patience, .. } = self;
        let mut last = Instant::now();
        let mut looked = last;
        for connection in connections.iter_mut() {
            connection.begin_wait(last - self.waited, buffers);
        }
        loop {
            // The first try comes before any wait: a queue that is not worth waiting for is given up at once.
            let mut full = false;
            for connection in connections.iter_mut() {
                full |= connection.retry(buffers);
            }
            if !full || !patience.lasts() {
                break;
            }
            std::thread::sleep(LOOK_FOR_ROOM);
            let now = Instant::now();
            let time = now - std::mem::replace(&mut last, now);
            patience.spend(time);
            let held_up = connections.iter().any(|connection| connection.starves(buffers));
            for connection in connections.iter_mut().filter(|connection| connection.is_blocked()) {
                connection.waited(time, held_up);
            }
            // A subscriber may have gone, or come.
            if now - looked >= Duration::from_millis(POLL_MILLIS) {
                looked = now;
                for connection in connections.iter_mut() {
                    connection.poll(buffers);
                }
            }
        }
        for connection in connections.iter_mut() {
            connection.give_up();
        }
        self.waited = last;
    }

    /// Takes note that the host has begun to end: from now on, waiting for room uses up the linger time.
    pub fn host_ends(&mut self) {
        self.patience.end(self.linger);
    }

    /// How long the host should keep a record at most; zero is as long as it likes.
    #[must_use]
    pub fn flush_interval(&self) -> Duration {
        self.flush_interval
    }

    /// Counts a record that is no record of this log, such as one with a column too few.
    pub fn reject(&mut self, problem: Problem) {
        self.written += 1;
        for connection in &mut self.connections {
            connection.count_unencodable();
        }
        self.problem = Some(problem);
    }

    #[cold]
    fn count_unencoded(&mut self, problem: Problem) {
        for connection in &mut self.connections {
            if connection.is_to_get_records() {
                connection.count_unencodable();
            } else {
                connection.count_unwanted(1);
            }
        }
        self.problem = Some(problem);
    }

    /// Encodes a record at the end of the batch.
    ///
    /// # Safety
    ///
    /// `values` is as [`Writer::write`] demands.
    #[inline]
    #[allow(unsafe_code, reason = "a part of `write`")]
    unsafe fn encode<S: Shape>(&mut self, values: *const *const u8, shape: S) -> Result<(), Problem> {
        // SAFETY: the caller promises `columns` values, of this shape.
        let record = unsafe { Record::new(values, shape) };
        let mut room = Some(FIRST_ROOM);
        if self.batch.is_wanted() && self.batch.records() == 0 && self.buffers.room() < FIRST_ROOM {
            // A batch begins with room for more records. If there is no memory now, the loop below notices.
            self.buffers.grow(FIRST_ROOM);
        }
        loop {
            let Self { plan, envelope, buffers, batch, .. } = self;
            let before = buffers.pending().len();
            let begun = batch.lead().is_empty() || buffers.append(batch.lead());
            let encoded = buffers.write(|memory| {
                if !begun {
                    return Err(EncodeError::Full);
                }
                let mut out = match envelope {
                    None => Out::new(memory),
                    Some(envelope) => envelope.begin(memory)?,
                };
                // SAFETY: the record has `columns` values, as the caller promises.
                let unknown = unsafe { encode(plan, record, &mut out)? };
                if let Some(envelope) = envelope {
                    envelope.end(&mut out)?;
                }
                Ok((out.into_written(), unknown))
            });
            if encoded.is_err() {
                buffers.truncate(before);
            }
            match encoded {
                Ok(unknown) => {
                    self.unknown += unknown;
                    return Ok(());
                }
                Err(EncodeError::Full) => {
                    self.flush();
                    let Some(size) = room else { return Err(Problem::TooLarge) };
                    if !self.buffers.grow(size) {
                        return Err(Problem::NoMemory);
                    }
                    room = more_room(size);
                }
                Err(EncodeError::Malformed(what)) => return Err(Problem::Other { what }),
                Err(EncodeError::TooDeep) => return Err(Problem::TooDeep),
            }
        }
    }

    /// Copies a record to the end of the batch.
    fn copy(&mut self, object: &[u8]) -> Result<(), Problem> {
        if object.len() > MAX_RECORD {
            return Err(Problem::TooLarge);
        }
        let before = self.buffers.pending().len();
        if self.buffers.append(self.batch.lead()) && self.buffers.append(object) {
            return Ok(());
        }
        self.buffers.truncate(before);
        self.flush();
        if self.buffers.put(&[self.batch.lead(), object]) { Ok(()) } else { Err(Problem::NoMemory) }
    }

    /// Looks at the subscriptions, and reports what happened since the last time.
    #[cold]
    fn poll(&mut self, now: u64) {
        self.polled = now;
        for connection in &mut self.connections {
            connection.report(&self.buffers, self.problem.as_ref(), now, &mut self.reporter);
            connection.poll(&self.buffers);
        }
        self.end_holds();
        self.drain_spools();
    }

    /// Sends what is held for subscribers that are there now.
    fn end_holds(&mut self) {
        if !self.connections.iter().any(Connection::holds) {
            return;
        }
        // Held records are sent from the memory where the batch is pending.
        self.flush();
        for connection in &mut self.connections {
            connection.end_hold(&mut self.buffers);
        }
    }

    /// Sends what is in the spools, as far as it can be sent now. Returns true if it sent any.
    fn drain_spools(&mut self) -> bool {
        if !self.connections.iter().any(Connection::drains) {
            return false;
        }
        // The spools' records are sent from the memory where the batch is pending.
        self.flush();
        let mut any = false;
        for connection in &mut self.connections {
            any |= connection.drain(&mut self.buffers, usize::MAX);
        }
        any
    }

    /// Sends what is in the spools, as far as it can be sent, for [`DRAIN_SLICE`] at most.
    fn drain(&mut self) {
        let began = Instant::now();
        let mut fruitless = 0;
        while fruitless < 5 && began.elapsed() < DRAIN_SLICE {
            for connection in &mut self.connections {
                connection.poll(&self.buffers);
            }
            let any = self.drain_spools();
            if !self.connections.iter().any(Connection::drains) {
                break;
            }
            fruitless = if any { 0 } else { fruitless + 1 };
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// To be called about once a second. `age` is how many seconds the heartbeat has taken through
    /// the host's queue.
    pub fn heartbeat(&mut self, age: f64) {
        let now = coarse_millis();
        self.patience.heartbeat(age);
        self.poll(now);
        if self.batch.is_due(now) {
            self.flush();
        }
        self.drain();
        self.buffers.collect();
        for connection in &mut self.connections {
            connection.tick();
        }
        if let Some(orphans) = &mut self.orphans {
            orphans.tend(&mut self.reporter);
        }
        self.account();
        if let Some(statistics) = &mut self.statistics
            && statistics.due()
        {
            self.publish_statistics();
        }
    }

    /// Adds what has changed to the process's totals.
    fn account(&mut self) {
        for (connection, told) in self.connections.iter().zip(&mut self.told) {
            let now = counters(connection, self.written, &self.batch, &self.buffers);
            self.totals.update(told, &now);
            *told = now;
        }
    }

    /// Publishes the counters as they were last added to the totals.
    fn publish_statistics(&mut self) {
        let Self { statistics: Some(statistics), connections, told, path, .. } = self else { return };
        for (connection, counters) in connections.iter_mut().zip(told) {
            let record = statistics.record(path, connection.name(), counters);
            connection.publish(statistics.head(), &record);
        }
    }

    /// Records that the host has handed over.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Values written as null because their type has no JSON form.
    #[must_use]
    pub fn unknown_values(&self) -> u64 {
        self.unknown
    }

    /// The connections: one for each endpoint, or one for all if they share the records.
    #[must_use]
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// What became of the records at a connection.
    #[must_use]
    pub fn counters(&self, connection: usize) -> Option<Counters> {
        let connection = self.connections.get(connection)?;
        Some(counters(connection, self.written, &self.batch, &self.buffers))
    }

    /// Waits for what is still to be sent, at most for the linger time, closes the sockets, and
    /// reports the totals.
    pub fn close(mut self) {
        self.host_ends();
        self.flush();
        let began = Instant::now();
        let to_wait = self.patience.left(self.linger);
        let left = || to_wait.map(|time| time.saturating_sub(began.elapsed()));
        let now = coarse_millis();
        for connection in &mut self.connections {
            connection.begin_to_end();
            connection.report(&self.buffers, self.problem.as_ref(), now, &mut self.reporter);
        }
        let mut pause = Duration::from_micros(50);
        loop {
            let mut busy = false;
            let late = began.elapsed() >= PROMPT;
            for connection in &mut self.connections {
                // What is not sent goes back to the spool, and is safe there.
                busy |= connection.send_rest(&mut self.buffers)
                    && !(late && self.linger.is_some() && connection.has_spool());
            }
            if busy && late {
                self.report_wait();
            }
            let left = left();
            if !busy || left.is_some_and(|left| left.is_zero()) {
                break;
            }
            std::thread::sleep(left.map_or(pause, |left| pause.min(left)));
            pause = (pause * 2).min(Duration::from_millis(5));
        }
        if self.statistics.is_some() {
            self.account();
            self.publish_statistics();
        }
        if let Some(orphans) = self.orphans.take() {
            orphans.close(&mut self.reporter);
        }
        let Ok(context) = Context::shared() else { return };
        for (mut connection, told) in self.connections.drain(..).zip(&self.told) {
            let lingered = connection.in_flight(&self.buffers);
            let lingered = if connection.has_spool() { 0 } else { lingered };
            connection.report_last(lingered, coarse_millis(), &mut self.reporter);
            let (name, counters) = connection.close(self.written, &self.buffers, left());
            self.totals.update(told, &counters);
            (self.reporter)(&totals(&counters).at(name));
        }
        if self.unknown > 0 {
            (self.reporter)(&Report::NullValues { count: self.unknown });
        }
        let left = left();
        self.release(context, left);
    }

    /// Reports how many records the end waits for.
    fn report_wait(&mut self) {
        let now = coarse_millis();
        for connection in &mut self.connections {
            let queued = connection.counters(self.written, &self.buffers).queued;
            if !connection.has_spool() {
                connection.report_wait(queued, now, &mut self.reporter);
            }
        }
    }

    /// Ends the context if nobody else uses it.
    fn release(&mut self, context: Arc<Context>, linger: Option<Duration>) {
        if context.release(linger.map(|linger| linger + TERM_GRACE)) == Termination::TimedOut {
            (self.reporter)(&Report::NotEnded);
        }
    }
}

/// Returns the size of the next chunk to try, if one of `size` bytes was too small; `None` if it was the largest.
fn more_room(size: usize) -> Option<usize> {
    (size < MAX_RECORD).then(|| (size * 4).min(MAX_RECORD))
}

/// What became of the records at a connection, those of the batch included.
fn counters(connection: &Connection, written: u64, batch: &Batch, buffers: &Buffers) -> Counters {
    let mut counters = connection.counters(written, buffers);
    counters.queued += batch.records();
    counters
}

/// The envelope that a log's records are put into. A column wins over an extra field of the same name.
fn envelope(path: &[u8], fields: &[Field], config: &Config, reporter: &mut Reporter) -> Option<Envelope> {
    let free = config.extra_fields.iter().filter(|(name, _)| {
        let taken = fields.iter().any(|field| field.name == *name);
        if taken {
            let name = String::from_utf8_lossy(name).into_owned();
            reporter(&Report::TakenField { name, log: readable(path).into_owned() });
        }
        !taken
    });
    let free: Vec<_> = free.map(|(name, value)| (&**name, value.of(path))).collect();
    let tag = config.tag_json.then_some(path);
    Envelope::new(tag, free.iter().map(|(name, value)| (*name, &**value)), config.style.escape)
}

fn totals(counters: &Counters) -> Incident {
    let &Counters { written, sent, bytes, no_subscriber, queue_full, encoding, closed, spool, .. } = counters;
    let &Counters { recovered, spooled, .. } = counters;
    Incident::Totals { written, sent, bytes, no_subscriber, queue_full, encoding, closed, spool, recovered, spooled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_room_is_that_of_the_largest_record() {
        let sizes: Vec<_> = std::iter::successors(Some(FIRST_ROOM), |&size| more_room(size)).collect();
        assert!(sizes.is_sorted_by(|a, b| a < b));
        assert_eq!(sizes.last(), Some(&MAX_RECORD));
    }

    #[test]
    fn totals_leave_out_what_is_zero() {
        for (counters, expected) in [
            (Counters::default(), "0 records written, 0 sent (0 bytes)"),
            (Counters { written: 1, sent: 1, bytes: 40, ..Counters::default() }, "1 record written, 1 sent (40 bytes)"),
            (
                Counters { written: 20, sent: 12, bytes: 480, queue_full: 8, ..Counters::default() },
                "20 records written, 12 sent (480 bytes), 8 dropped (queue full: 8)",
            ),
            (
                Counters {
                    written: 30,
                    recovered: 5,
                    sent: 10,
                    queued: 0,
                    spooled: 10,
                    no_subscriber: 1,
                    queue_full: 2,
                    encoding: 3,
                    closed: 4,
                    spool: 5,
                    bytes: 400,
                },
                "30 records written, 10 sent (400 bytes), 15 dropped (no subscriber: 1, queue full: 2, encoding: 3, \
                 closed: 4, spool: 5); in the spool before: 5, now: 10",
            ),
            (
                Counters { written: 2, spooled: 2, ..Counters::default() },
                "2 records written, 0 sent (0 bytes); in the spool now: 2",
            ),
        ] {
            assert_eq!(totals(&counters).to_string(), expected);
        }
    }
}
