//! One endpoint of a writer: what becomes of each record there.
//!
//! A record that cannot be sent now goes to the spool, if there is one; or is held in memory,
//! while the first subscriber is still being waited for; or else is dropped and counted. Records
//! leave in the order they came in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch;
use super::config::{Config, Endpoint};
use super::counters::Counters;
use super::handshake::Servers;
use super::link::{BATCH, Events, Failure, Link, Refusal};
use super::patience::Progress;
use super::report::{Burst, Level, News, Reporter};
use super::spooling::Spooling;
use super::subscriptions::Subscriptions;
use crate::zmq::{Buffers, Context, Message};

/// A connection to one endpoint, or to several that share the records.
pub struct Connection {
    /// The endpoints, as they were given.
    name: String,
    /// The log is that of the reporter, which our reports become records of.
    of_reporter: bool,
    /// Which of the buffers' consumers it is.
    consumer: usize,
    high_water_mark: i32,
    /// Records in a message at most.
    batch_records: u64,
    link: Link,
    /// The next record is to be encoded for [`Connection::send`].
    wants: bool,
    /// Records held for the first subscriber; never with a spool.
    hold: Option<Hold>,
    spooling: Option<Box<Backed>>,
    /// What found the queue full, while the writer waits for room.
    blocked: Option<Blocked>,
    progress: Progress,
    /// Since when there are subscribers and none of them wants this log.
    unwanted_since: Option<(Instant, u64)>,
    /// Records in the messages made for it.
    made: u64,
    /// Records given to libzmq.
    handed: u64,
    /// `sent`, `queued` and `spooled` are not kept here.
    counters: Counters,
    bursts: Bursts,
    /// What would be lost with the connection, as of the last look: bytes, or of a bound socket
    /// records.
    at_stake: u64,
    /// Records that libzmq had queued as of the last look, and when a connection ended: should
    /// it give the connection up, these are lost.
    queued: [u64; 2],
    /// What has happened to the connections and is not reported yet.
    events: Events,
    /// Connections that were lost.
    lost: u64,
    lost_connections: Burst,
    /// What keeps the peers from being some.
    servers: Servers,
}

/// The spool, and what it takes to make the socket anew.
struct Backed {
    spool: Spooling,
    endpoints: Vec<Endpoint>,
    config: Config,
    /// libzmq's queue was full: no use in trying again before the next look.
    full: bool,
}

/// A message that the queue has no room for yet.
struct Blocked {
    body: Message,
    records: u64,
}

/// Once there have been subscribers for so long and none of them wanted a log, its records do
/// not go to the spool, and are not held for another one.
const UNWANTED: Duration = Duration::from_secs(1);

/// How long records are held for a peer that nothing is queued for before it is there. Longer
/// than any run.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Records from the spool that libzmq gets at a time when its queue has no limit.
const MAX_FLIGHTS: u64 = 10_000;

/// Records taken from the spool for each new one.
const DRAIN: usize = 32;

/// Waiting for the first subscriber.
struct Hold {
    until: Instant,
    /// With the number of records in each.
    messages: VecDeque<(Message, u64)>,
    records: u64,
    /// Of messages; 0: no limit.
    limit: usize,
}

impl Hold {
    fn new(limit: i32, wait: Duration) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        Self { until: Instant::now() + wait, messages: VecDeque::new(), records: 0, limit }
    }
}

/// One for each reason that records are dropped for.
#[derive(Debug, Default)]
struct Bursts {
    no_subscriber: Burst,
    queue_full: Burst,
    encoding: Burst,
    closed: Burst,
}

impl Connection {
    /// Makes a socket and starts connecting it.
    ///
    /// # Errors
    ///
    /// What libzmq could not do, and why.
    pub fn open(
        context: &Arc<Context>,
        endpoints: &[Endpoint],
        config: &Config,
        consumer: usize,
        path: &str,
        reporter: &mut Reporter,
    ) -> Result<Self, Failure> {
        let link = Link::open(context, endpoints, config)?;
        let name = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let spooling = Spooling::open(config, path, &name, reporter).map(|spool| {
            let (endpoints, config) = (endpoints.to_vec(), config.clone());
            Box::new(Backed { spool, endpoints, config, full: false })
        });
        let wait = if link.is_strict() { FOREVER } else { config.wait_for_subscriber };
        let hold =
            (!wait.is_zero() && !link.wanted() && spooling.is_none()).then(|| Hold::new(config.high_water_mark, wait));
        Ok(Self {
            name,
            // A second filter's path gets a number: "reporter-2".
            of_reporter: path.split('-').next() == Some("reporter"),
            wants: link.wanted() || hold.is_some() || spooling.is_some(),
            consumer,
            high_water_mark: config.high_water_mark,
            batch_records: config.batch_records,
            link,
            hold,
            spooling,
            blocked: None,
            progress: Progress::default(),
            unwanted_since: None,
            made: 0,
            handed: 0,
            counters: Counters::default(),
            bursts: Bursts::default(),
            at_stake: 0,
            queued: [0; 2],
            events: Events::default(),
            lost: 0,
            lost_connections: Burst::default(),
            servers: config.curve.as_ref().map_or_else(Servers::default, |curve| {
                let peers = endpoints.iter().filter_map(|endpoint| endpoint.server_key);
                Servers::new(curve.keys.public(), peers.collect())
            }),
        })
    }

    /// The endpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a subscription matches the log, as of the last [`Connection::poll`].
    #[must_use]
    pub fn subscribed(&self) -> bool {
        self.link.wanted()
    }

    /// The subscriptions, as of the last [`Connection::poll`].
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions {
        self.link.subscriptions()
    }

    /// Whether the next record is to be encoded for [`Connection::send`].
    #[inline]
    #[must_use]
    pub fn wants(&self) -> bool {
        self.wants
    }

    /// Counts records that nobody wants.
    #[inline]
    pub fn skip(&mut self, records: u64) {
        self.counters.no_subscriber += records;
    }

    /// Counts a record that could not be encoded.
    pub fn reject(&mut self) {
        self.counters.encoding += 1;
    }

    /// Takes a record, or so many in a batch, which are the first `len` bytes of the buffers'
    /// free space. Returns true if the queue has no room, see [`Connection::retry`].
    ///
    /// # Safety
    ///
    /// As [`Buffers::message`].
    #[inline]
    pub unsafe fn send(&mut self, topic: &[u8], buffers: &mut Buffers, len: usize, records: u64) -> bool {
        if self.spooling.is_some() {
            // SAFETY: this function's contract.
            unsafe { self.send_or_spool(topic, buffers, len, records) };
            return false;
        }
        let mut body = Message::new();
        // SAFETY: this function's contract.
        let made = unsafe {
            match records {
                1 => buffers.message(&mut body, len, self.consumer),
                _ => buffers.flight(&mut body, len, self.consumer, records).map(drop),
            }
        };
        if made.is_err() {
            self.counters.closed += records;
            return false;
        }
        self.made += records;
        if self.hold.is_some() {
            self.hold(topic, &mut body, records);
            return false;
        }
        let full = self.hand_over(topic, &mut body, len, records);
        if full {
            self.blocked = Some(Blocked { body, records });
        }
        full
    }

    /// Begins to wait for room. Since it last did so much time has passed.
    pub fn begin_wait(&mut self, passed: Duration, buffers: &Buffers) {
        self.progress.earn(passed);
        self.progress.note(self.left(buffers));
    }

    /// It was waited for so long, while other connections were held up or not.
    pub fn waited(&mut self, time: Duration, held_up: bool) {
        self.progress.wait(time, held_up);
    }

    /// Tries again to send what found the queue full. Returns true if that is to be tried once
    /// more; else it is sent, or counted, and there is nothing to wait for.
    pub fn retry(&mut self, topic: &[u8], buffers: &Buffers) -> bool {
        let Some(Blocked { mut body, records }) = self.blocked.take() else { return false };
        if !self.link.wanted() {
            self.counters.no_subscriber += records;
            return false;
        }
        let len = body.as_bytes().len();
        if !self.hand_over(topic, &mut body, len, records) {
            return false;
        }
        self.blocked = Some(Blocked { body, records });
        self.progress.note(self.left(buffers));
        if !self.progress.moves() {
            self.give_up();
            return false;
        }
        true
    }

    /// Records that have left the queue. Those that found it full were never in it.
    fn left(&self, buffers: &Buffers) -> u64 {
        self.handed - self.in_flight(buffers)
    }

    /// Returns true if it has nothing to do while others are waited for, and would have.
    #[must_use]
    pub fn starves(&self, buffers: &Buffers) -> bool {
        self.blocked.is_none() && self.link.wanted() && self.in_flight(buffers) == 0
    }

    /// What becomes readable when its queue may have room.
    #[must_use]
    pub fn room_descriptor(&self) -> Option<i32> {
        self.blocked.as_ref().and_then(|_| self.link.descriptor())
    }

    /// Returns true if something has found the queue full and waits for room.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Drops what found the queue full.
    pub fn give_up(&mut self) {
        if let Some(blocked) = self.blocked.take() {
            self.counters.queue_full += blocked.records;
        }
    }

    /// # Safety
    ///
    /// As [`Buffers::message`].
    unsafe fn send_or_spool(&mut self, topic: &[u8], buffers: &mut Buffers, len: usize, records: u64) {
        let Some(backed) = &mut self.spooling else { return };
        if !backed.spool.always && backed.spool.waiting() == 0 && self.link.wanted() {
            let mut body = Message::new();
            // SAFETY: this function's contract.
            if let Ok(flight) = unsafe { buffers.flight(&mut body, len, self.consumer, records) } {
                self.made += records;
                if self.link.send(topic, &mut body).is_ok() {
                    self.handed += records;
                    self.counters.bytes += (topic.len() + len) as u64;
                    backed.spool.sent(flight);
                    return;
                }
                backed.full = true;
            }
        }
        // SAFETY: this function's contract.
        for record in batch::records(unsafe { buffers.written(len) }) {
            backed.spool.push(record);
        }
    }

    /// Sends what is in the spool, some records or all that libzmq takes. Returns whether it took
    /// any. Not to be called while a record is at the start of the buffers' free space.
    pub fn drain(&mut self, topic: &[u8], buffers: &mut Buffers, limit: usize) -> bool {
        let Some(backed) = &mut self.spooling else { return false };
        if backed.full || !self.link.wanted() {
            return false;
        }
        for count in 0..limit {
            if self.high_water_mark == 0 && backed.spool.in_flight() >= MAX_FLIGHTS {
                backed.full = true;
                return count > 0;
            }
            let Some(record) = backed.spool.next() else { return count > 0 };
            let len = record.len();
            if !buffers.put(record) {
                return count > 0;
            }
            let mut body = Message::new();
            // SAFETY: just written, and passed below.
            let made = unsafe { buffers.flight(&mut body, len, self.consumer, 1) };
            let Ok(flight) = made else { return count > 0 };
            buffers.advance(len);
            self.made += 1;
            if self.link.send(topic, &mut body).is_err() {
                backed.full = true;
                return count > 0;
            }
            self.handed += 1;
            self.counters.bytes += (topic.len() + len) as u64;
            backed.spool.sent_next(flight);
        }
        true
    }

    /// What a new record in the spool gives reason to.
    #[inline]
    pub fn go_on(&mut self, topic: &[u8], buffers: &mut Buffers) {
        if let Some(backed) = &self.spooling
            && backed.spool.waiting() > 0
        {
            self.drain(topic, buffers, DRAIN);
        }
    }

    /// Publishes a message that is none of the log's records, if there is room for it.
    pub fn publish(&mut self, topic: &[u8], bytes: &[u8]) {
        if let Ok(mut body) = Message::copy_of(bytes) {
            // It is about records, and not one: nothing is lost.
            let _ = self.link.send(topic, &mut body);
        }
    }

    /// Gives a message to libzmq. Returns true if its queue is full: nothing is counted then.
    #[inline]
    fn hand_over(&mut self, topic: &[u8], body: &mut Message, len: usize, records: u64) -> bool {
        match self.link.send(topic, body) {
            Ok(()) => {
                self.handed += records;
                self.counters.bytes += (topic.len() + len) as u64;
            }
            Err(Refusal::Full) => return true,
            Err(Refusal::Failed) => self.counters.closed += records,
        }
        false
    }

    #[cold]
    fn hold(&mut self, topic: &[u8], body: &mut Message, records: u64) {
        self.end_hold(topic);
        match &mut self.hold {
            Some(hold) if hold.limit == 0 || hold.messages.len() < hold.limit => {
                hold.messages.push_back((std::mem::take(body), records));
                hold.records += records;
            }
            Some(_) => self.counters.queue_full += records,
            None if self.link.wanted() => {
                let len = body.as_bytes().len();
                if self.hand_over(topic, body, len, records) {
                    self.counters.queue_full += records;
                }
            }
            None => self.counters.no_subscriber += records,
        }
    }

    /// Sends what is held once somebody has subscribed; gives it up when its time is over.
    fn end_hold(&mut self, topic: &[u8]) {
        let unwanted = self.hold.is_some() && self.unwanted();
        let Some(hold) = &mut self.hold else { return };
        if self.link.wanted() {
            for (mut body, records) in std::mem::take(&mut hold.messages) {
                let len = body.as_bytes().len();
                if self.hand_over(topic, &mut body, len, records) {
                    self.counters.queue_full += records;
                }
            }
        } else if unwanted || Instant::now() >= hold.until {
            self.counters.no_subscriber += hold.records;
        } else {
            return;
        }
        self.hold = None;
    }

    /// Looks at what has happened: subscriptions, connections, what was sent. Returns whether
    /// subscriptions have come or gone.
    pub fn poll(&mut self, topic: &[u8], buffers: &Buffers) -> bool {
        let was_wanted = self.link.wanted();
        let any = self.link.poll(topic);
        self.end_hold(topic);
        // Before the events: a connection that ends in between has told of it by then.
        let unacknowledged = self.link.unacknowledged();
        let mut events = self.link.events();
        // The peers of a bound socket are many; what counts is when the last one leaves.
        events.disconnected += u32::from(self.link.is_shared() && was_wanted && !self.link.wanted());
        self.events.add(events);
        if self.spooling.is_some() {
            self.look_at_flights(events.disconnected > 0, unacknowledged);
        } else {
            self.look_at_losses(events, unacknowledged, buffers);
        }
        if self.link.is_strict() && !self.link.wanted() && self.hold.is_none() && self.spooling.is_none() {
            self.hold = Some(Hold::new(self.high_water_mark, FOREVER));
        }
        let waits = self.hold.is_some() || (self.spooling.is_some() && !self.unwanted());
        self.wants = self.link.wanted() || waits;
        any
    }

    /// Whether there are subscribers, and none of them wants this log.
    fn unwanted(&mut self) -> bool {
        let Subscriptions { matching, other } = self.link.subscriptions();
        if matching > 0 || other == 0 {
            self.unwanted_since = None;
            return false;
        }
        // Those that a subscriber has come one by one, so the last one counts.
        match self.unwanted_since {
            Some((since, count)) if count == other => since.elapsed() >= UNWANTED,
            _ => {
                self.unwanted_since = Some((Instant::now(), other));
                false
            }
        }
    }

    /// Without a spool: what a lost connection costs. The systems' buffers are lost with it, and
    /// of a bound socket libzmq's queue; how much that was, one has to know from before.
    fn look_at_losses(&mut self, events: Events, unacknowledged: Option<u64>, buffers: &Buffers) {
        let mut lost = 0;
        if events.disconnected > 0 {
            let size = self.counters.bytes.checked_div(self.handed).unwrap_or(0).max(1);
            lost = match self.at_stake {
                0 => 0,
                records if self.link.is_shared() => records,
                // A message of which a part is missing is missing.
                bytes => bytes.div_ceil(size) + self.batch_records - 1,
            };
            if self.link.is_strict() {
                lost += self.queued[0];
            } else {
                self.queued[1] = self.queued[0];
            }
        }
        if events.revived {
            lost += std::mem::take(&mut self.queued[1]);
        }
        if lost > 0 {
            let lost = lost.min(self.handed - self.in_flight(buffers));
            self.handed -= lost;
            self.made -= lost;
            self.counters.closed += lost;
        }
        self.queued[0] = self.in_flight(buffers);
        if self.link.is_shared() {
            self.at_stake = self.in_flight(buffers);
        } else if let Some(unacknowledged) = unacknowledged {
            self.at_stake = unacknowledged;
        }
    }

    /// With a spool: what has been sent, and what a lost connection has not.
    fn look_at_flights(&mut self, disconnected: bool, unacknowledged: Option<u64>) {
        let Some(backed) = &mut self.spooling else { return };
        backed.full = false;
        // A peer that is refused, or refuses, comes and goes without having got anything; libzmq
        // itself tries again then, and less and less often.
        let lost = disconnected && (backed.spool.in_flight() > 0 || self.link.subscriptions().any());
        if lost && self.link.is_shared() {
            self.handed -= backed.spool.take_back();
        } else if lost || !self.link.works() {
            // What the old socket still has would come too late, behind what is lost. The new one
            // starts without it.
            self.handed -= backed.spool.take_back();
            if let Ok(context) = Context::shared() {
                // What cannot be made now is tried again the next time.
                if let Ok(link) = Link::open(&context, &backed.endpoints, &backed.config) {
                    std::mem::replace(&mut self.link, link).close(Some(Duration::ZERO));
                }
            }
        }
        if let Some(unacknowledged) = unacknowledged {
            backed.spool.reap(unacknowledged);
        }
    }

    /// Whether the spool has records that somebody is there for.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.spooling.as_ref().is_some_and(|backed| backed.spool.waiting() > 0) && self.link.connected()
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        if let Some(backed) = &mut self.spooling {
            backed.spool.tick();
        }
    }

    /// Waits for something to [`Connection::poll`], at most so long.
    pub fn wait(&self, limit: Duration) {
        self.link.wait(limit);
    }

    /// Records that are held for the first subscriber.
    fn held(&self) -> u64 {
        self.hold.as_ref().map_or(0, |hold| hold.records)
    }

    /// Records that libzmq has and the system has not.
    #[must_use]
    pub fn in_flight(&self, buffers: &Buffers) -> u64 {
        if let Some(backed) = &self.spooling {
            return backed.spool.in_flight();
        }
        let blocked = self.blocked.as_ref().map_or(0, |blocked| blocked.records);
        // A message that was refused was released at once.
        (self.made - self.held() - blocked).saturating_sub(buffers.released(self.consumer)).min(self.handed)
    }

    /// What became of the records, of which `written` were handed to the writer.
    #[must_use]
    pub fn counters(&self, written: u64, buffers: &Buffers) -> Counters {
        let in_flight = self.in_flight(buffers);
        let spool = self.spooling.as_ref().map(|backed| &backed.spool);
        Counters {
            written,
            recovered: spool.map_or(0, Spooling::recovered),
            sent: self.handed - in_flight,
            queued: in_flight + self.held(),
            spooled: spool.map_or(0, Spooling::waiting),
            spool: spool.map_or(0, Spooling::lost),
            ..self.counters
        }
    }

    /// Whether a record may still be sent if one waits, at the end.
    pub fn busy(&mut self, topic: &[u8], buffers: &mut Buffers) -> bool {
        self.poll(topic, buffers);
        self.drain(topic, buffers, usize::MAX);
        if let Some(backed) = &self.spooling {
            return backed.spool.in_flight() > 0 || (backed.spool.waiting() > 0 && self.link.connected());
        }
        self.held() > 0 || self.in_flight(buffers) > 0 || !self.link.flushed()
    }

    /// Reports what has happened since the last time. `problem` is the last record's that could
    /// not be encoded.
    pub fn report(&mut self, topic: &str, problem: &str, now: u64, reporter: &mut Reporter) {
        self.report_link(now, reporter);
        if let Some(backed) = &mut self.spooling {
            backed.spool.report(&self.name, now, reporter);
        }
        let Self { name, counters, bursts, high_water_mark: hwm, handed, of_reporter, .. } = self;
        if self.link.subscriptions().other > 0 {
            // A subscriber is there and does not want this log: that is its choice.
            bursts.no_subscriber.skip_to(counters.no_subscriber);
        }
        for (burst, dropped, why) in [
            (
                &mut bursts.no_subscriber,
                counters.no_subscriber,
                format!("nobody subscribes to \"{topic}\"; start the subscriber, or correct the endpoint"),
            ),
            (
                &mut bursts.queue_full,
                counters.queue_full,
                format!("{hwm} records are waiting, the limit of LogZeroMQ::zmq_hwm; the subscriber does not keep up"),
            ),
            (&mut bursts.encoding, counters.encoding, format!("they cannot be encoded: {problem}")),
            (&mut bursts.closed, counters.closed, "their connection was lost, or the socket failed".to_owned()),
        ] {
            match burst.observe_drops(dropped, *handed, now) {
                None => {}
                // Of the reporter's log, the report would be the next record that is dropped.
                Some(News::Lasts(_)) if *of_reporter => {}
                Some(News::Began(count)) => {
                    reporter(Level::Warning, &format!("{name}: dropping records ({count} so far): {why}"));
                }
                Some(News::Lasts(count)) => {
                    reporter(Level::Warning, &format!("{name}: still dropping records ({count} so far): {why}"));
                }
                Some(News::Ended(count)) => {
                    reporter(Level::Info, &format!("{name}: no longer dropping records; {count} were dropped"));
                }
            }
        }
    }

    /// The same for the connections.
    fn report_link(&mut self, now: u64, reporter: &mut Reporter) {
        let name = &self.name;
        for (level, text) in self.link.notices(name) {
            reporter(level, &text);
        }
        let events = std::mem::take(&mut self.events);
        self.lost += u64::from(events.disconnected);
        // Records that were lost with it are reported as such.
        match self.lost_connections.observe(self.lost, now) {
            Some(News::Began(_)) => {
                let again = if self.spooling.is_some() { ", and what had not arrived is sent again" } else { "" };
                let message = format!(
                    "{name}: the connection was lost; it is made again as soon as the subscriber is there{again}"
                );
                reporter(Level::Info, &message);
            }
            Some(News::Lasts(count)) => {
                reporter(Level::Info, &format!("{name}: the connection was lost again ({count} times so far)"));
            }
            Some(News::Ended(_)) | None => {}
        }
        if events.ready && self.servers.ready() {
            reporter(Level::Info, &format!("{name}: the subscriber is there now, and its handshake has succeeded"));
        }
        if let Some(why) = events.failed.and_then(|how| self.servers.failed(how)) {
            reporter(Level::Warning, &format!("{name}: {why}"));
        }
    }

    /// Closes the connection, `linger` after the end began. Returns what became of the records,
    /// of which those that libzmq still had then are lost.
    pub fn close(mut self, written: u64, buffers: &Buffers, left: Option<Duration>) -> (String, Counters) {
        if let Some(mut backed) = self.spooling.take() {
            self.handed -= backed.spool.end();
            let counters = Counters {
                written,
                recovered: backed.spool.recovered(),
                sent: self.handed,
                spooled: backed.spool.waiting(),
                spool: backed.spool.lost(),
                ..self.counters
            };
            self.link.close(Some(Duration::ZERO));
            backed.spool.close();
            return (self.name, counters);
        }
        // Nobody came for these.
        self.counters.no_subscriber += self.held();
        let mut lost = self.in_flight(buffers);
        self.made -= self.held();
        self.hold = None;
        if !self.link.flushed() {
            // libzmq's I/O thread has taken some records from the queue and waits for the system
            // to take them; not more than these.
            let size = self.counters.bytes.checked_div(self.handed).unwrap_or(0).max(1);
            lost = (lost + BATCH as u64 / size + self.batch_records).min(self.handed);
        }
        self.handed -= lost;
        self.counters.closed += lost;
        let counters = Counters { written, sent: self.handed, ..self.counters };
        // With nothing left to send, this is only for the I/O thread to get there.
        self.link.close(if lost > 0 { Some(Duration::ZERO) } else { left });
        (self.name, counters)
    }
}
