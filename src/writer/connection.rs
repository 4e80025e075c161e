//! One endpoint of a writer: what becomes of each record there.
//!
//! A record that cannot be sent now goes to the spool, if there is one; or is held in memory,
//! while the first subscriber is still being waited for; or else is dropped and counted. Records
//! leave in the order they came in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch;
use super::config::Config;
use super::counters::Counters;
use super::ledger::{Account, Fate, Seen, Summary};
use super::link::Link;
use super::patience::Progress;
use super::spooling::Spooling;
use super::topic::Head;
use crate::report::{Incident, Level, Phase, Problem, Reporter, Room, Trouble, Why};
use crate::transport::{Failure, Refusal, Subscriptions};
use crate::zmq::{Buffers, Context, Endpoint, Message};

/// A connection to one endpoint, or to several that share the records.
pub struct Connection {
    /// The endpoints, as they were given.
    name: String,
    /// What each of the log's messages begins with.
    head: Head,
    high_water_mark: i32,
    link: Link,
    /// True if the next record is to be encoded for [`Connection::send`].
    is_to_get_records: bool,
    fallback: Fallback,
    /// The records that found no room, while the writer waits for room.
    blocked: Option<Blocked>,
    progress: Progress,
    /// True if the writer is about to close.
    is_ending: bool,
    /// Since when there are subscribers of which none wants this log, and how many topics they have.
    unwanted_since: Option<(Instant, u64)>,
    /// Only `no_subscriber`, `queue_full`, `encoding` and `closed` are kept here.
    counters: Counters,
    account: Account,
}

/// What becomes of records that nobody can take now.
#[derive(Default)]
enum Fallback {
    /// They are dropped.
    #[default]
    Drop,
    /// They are held for the first subscriber.
    Hold(Hold),
    /// They go to the spool.
    Spool(Box<Spooling>),
}

/// A record, or a batch, that found no room.
struct Blocked {
    records: u64,
    /// The lane that was chosen and the message made for it, if libzmq refused the message.
    message: Option<(usize, Message)>,
}

/// Once there have been subscribers for so long and none of them wanted a log, its records do
/// not go to the spool, and are not held for another subscriber.
const UNWANTED: Duration = Duration::from_secs(1);

/// How long records are held where libzmq queues nothing for a peer that is away: longer than any run.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Records sent from the spool after each new one, at most.
const DRAIN: usize = 32;

/// Records that are held for the first subscriber.
struct Hold {
    until: Instant,
    /// Each message with its number of records.
    messages: VecDeque<(Vec<u8>, u64)>,
    records: u64,
    /// How many messages can be held; 0 is no limit.
    limit: usize,
}

impl Hold {
    fn new(limit: i32, wait: Duration) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        Self { until: Instant::now() + wait, messages: VecDeque::new(), records: 0, limit }
    }
}

/// The log whose records a connection is for.
pub struct Log<'a> {
    /// The log path, as text.
    pub path: &'a str,
    /// What its messages begin with.
    pub head: Head,
}

impl Connection {
    /// Joins the endpoints' transports. `consumer` is the first of the buffers' consumers for them.
    ///
    /// # Errors
    ///
    /// What libzmq could not do, and why.
    pub fn open(
        context: &Arc<Context>,
        endpoints: &[Endpoint],
        config: &Config,
        consumer: usize,
        log: Log<'_>,
        buffers: &Buffers,
        reporter: &mut Reporter,
    ) -> Result<Self, Failure> {
        let Log { path, head } = log;
        let link = Link::open(context, endpoints, config, consumer, buffers)?;
        let name = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let wait = if link.is_strict() { FOREVER } else { config.wait_for_subscriber };
        let fallback = match Spooling::open(config, path, &name, head.within().len(), reporter) {
            Some(spool) => Fallback::Spool(Box::new(spool)),
            None if !wait.is_zero() && !link.wanted() => Fallback::Hold(Hold::new(config.high_water_mark, wait)),
            None => Fallback::Drop,
        };
        Ok(Self {
            account: Account::join(&name, path),
            name,
            head,
            is_to_get_records: link.wanted() || !matches!(fallback, Fallback::Drop),
            high_water_mark: config.high_water_mark,
            link,
            fallback,
            blocked: None,
            progress: Progress::default(),
            is_ending: false,
            unwanted_since: None,
            counters: Counters::default(),
        })
    }

    /// The endpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if a subscription matches the log, as of the last [`Connection::poll`].
    #[must_use]
    pub fn subscribed(&self) -> bool {
        self.link.wanted()
    }

    /// The subscriptions, as of the last [`Connection::poll`].
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions {
        self.link.subscriptions()
    }

    /// Returns true if the next record is to be encoded for [`Connection::send`].
    #[inline]
    #[must_use]
    pub fn is_to_get_records(&self) -> bool {
        self.is_to_get_records
    }

    /// Counts records that nobody wants.
    #[inline]
    pub fn count_unwanted(&mut self, records: u64) {
        self.counters.no_subscriber += records;
    }

    /// Counts a record that could not be encoded.
    pub fn count_unencodable(&mut self) {
        self.counters.encoding += 1;
    }

    /// Takes the record, or the batch of `records`, that is pending. Returns true if there is no room: then
    /// [`Connection::retry`] goes on.
    #[inline]
    pub fn send(&mut self, buffers: &mut Buffers, records: u64) -> bool {
        match self.fallback {
            Fallback::Drop => return self.try_send(buffers, records),
            Fallback::Hold(_) => self.hold(buffers.pending(), records),
            Fallback::Spool(_) => self.send_or_spool(buffers, records),
        }
        false
    }

    #[inline]
    fn try_send(&mut self, buffers: &mut Buffers, records: u64) -> bool {
        let Some((lane, consumer)) = self.link.lane(records, buffers) else {
            self.blocked = Some(Blocked { records, message: None });
            return true;
        };
        let mut body = Message::new();
        let made = match records {
            1 => buffers.message(&mut body, consumer),
            _ => buffers.flight(&mut body, consumer, records, 0).map(drop),
        };
        if made.is_err() {
            self.counters.closed += records;
            return false;
        }
        self.link.note_made(lane, records);
        self.hand_over(lane, body, records)
    }

    /// Gives a lane's message to libzmq. Returns true if the lane's peers have no room for it.
    #[inline]
    fn hand_over(&mut self, lane: usize, mut body: Message, records: u64) -> bool {
        match self.link.send(lane, &self.head, &mut body, records) {
            Ok(()) => return false,
            Err(Refusal::Full) => {
                self.blocked = Some(Blocked { records, message: Some((lane, body)) });
                return true;
            }
            Err(Refusal::Renewed | Refusal::Failed) => self.counters.closed += records,
        }
        false
    }

    /// Begins to wait for room. `passed` is the time since the writer last waited.
    pub fn begin_wait(&mut self, passed: Duration, buffers: &Buffers) {
        self.progress.earn(passed);
        self.progress.observe(self.left(buffers), self.link.steps());
    }

    /// Takes note that the writer has waited for room for `time`; `held_up` is true if others were held up.
    pub fn waited(&mut self, time: Duration, held_up: bool) {
        self.progress.add_wait(time, held_up);
    }

    /// Tries again to send the records that found no room, which are still pending. Returns true if this is to
    /// be tried once more; if not, the records are sent, held, or counted as dropped.
    pub fn retry(&mut self, buffers: &mut Buffers) -> bool {
        let Some(Blocked { records, message }) = self.blocked.take() else { return false };
        if self.holds() {
            drop(message);
            self.hold(buffers.pending(), records);
            return false;
        }
        if !self.link.wanted() {
            self.counters.no_subscriber += records;
            return false;
        }
        let full = match message {
            Some((lane, body)) => self.hand_over(lane, body, records),
            None => self.try_send(buffers, records),
        };
        if !full {
            return false;
        }
        self.progress.observe(self.left(buffers), self.link.steps());
        if !self.progress.moves() {
            self.give_up();
            return false;
        }
        true
    }

    /// Records that have left the queue. Records that found no room were never in it.
    fn left(&self, buffers: &Buffers) -> u64 {
        self.link.handed_over() - self.in_flight(buffers)
    }

    /// Returns true if waiting for others holds this connection up: it has subscribers, and an empty queue.
    #[must_use]
    pub fn starves(&self, buffers: &Buffers) -> bool {
        self.blocked.is_none() && self.link.wanted() && self.in_flight(buffers) == 0
    }

    /// Returns true if records have found no room and wait for it.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Drops what found no room.
    pub fn give_up(&mut self) {
        if let Some(blocked) = self.blocked.take() {
            self.counters.queue_full += blocked.records;
        }
    }

    fn send_or_spool(&mut self, buffers: &mut Buffers, records: u64) {
        let Fallback::Spool(spool) = &mut self.fallback else { return };
        if !spool.always && spool.waiting() == 0 && self.link.wanted() {
            if let Some((lane, consumer)) = self.link.lane(records, buffers) {
                let mut body = Message::new();
                let size = self.link.size(lane, &self.head, buffers.pending().len());
                if let Ok(flight) = buffers.flight(&mut body, consumer, records, size) {
                    self.link.note_made(lane, records);
                    spool.announce(records);
                    if self.link.send(lane, &self.head, &mut body, records).is_ok() {
                        spool.sent(flight, lane);
                        return;
                    }
                }
            }
            spool.full = true;
        }
        for record in batch::records(&buffers.pending()[self.head.within().len()..]) {
            spool.push(record);
        }
    }

    /// Sends what is in the spool, as far as there is room, and `limit` records at most. Returns true if it
    /// sent any. Not to be called while a record is pending.
    pub fn drain(&mut self, buffers: &mut Buffers, limit: usize) -> bool {
        (0..limit).take_while(|_| self.drain_one(buffers).is_some()).count() > 0
    }

    /// Sends the spool's next record, if there is one, and room for it.
    fn drain_one(&mut self, buffers: &mut Buffers) -> Option<()> {
        let Fallback::Spool(spool) = &mut self.fallback else { return None };
        // Checked before a lane is chosen, which uses up the lane's turn.
        if spool.full || spool.waiting() == 0 || !self.link.wanted() {
            return None;
        }
        let room = if spool.is_crowded(&self.link) { None } else { self.link.lane(1, buffers) };
        let Some((lane, consumer)) = room else {
            spool.full = true;
            return None;
        };
        let (within, record) = (self.head.within(), spool.next()?);
        let len = within.len() + record.len();
        if !buffers.put(&[within, record]) {
            return None;
        }
        let mut body = Message::new();
        let made = buffers.flight(&mut body, consumer, 1, self.link.size(lane, &self.head, len));
        buffers.advance();
        let flight = made.ok()?;
        self.link.note_made(lane, 1);
        if self.link.send(lane, &self.head, &mut body, 1).is_err() {
            spool.full = true;
            return None;
        }
        spool.sent_next(flight, lane);
        Some(())
    }

    /// Sends some of the spool's records after a new one.
    #[inline]
    pub fn go_on(&mut self, buffers: &mut Buffers) {
        if self.spool().is_some_and(|spool| spool.waiting() > 0) {
            self.drain(buffers, DRAIN);
        }
    }

    /// Publishes a message that is none of the log's records.
    pub fn publish(&mut self, head: &Head, json: &[u8]) {
        if let Ok(mut body) = Message::copy_of(&[head.within(), json].concat()) {
            self.link.publish(head, &mut body);
        }
    }

    #[cold]
    fn hold(&mut self, bytes: &[u8], records: u64) {
        let Fallback::Hold(hold) = &mut self.fallback else { return };
        if hold.limit > 0 && hold.messages.len() >= hold.limit {
            self.counters.queue_full += records;
            return;
        }
        hold.messages.push_back((bytes.to_vec(), records));
        hold.records += records;
    }

    /// Returns true if records are held for the first subscriber.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.fallback, Fallback::Hold(_))
    }

    fn spool(&self) -> Option<&Spooling> {
        if let Fallback::Spool(spool) = &self.fallback { Some(spool) } else { None }
    }

    /// Sends what is held once somebody has subscribed; gives it up when its time is over. Not to be
    /// called while a record is pending.
    pub fn end_hold(&mut self, buffers: &mut Buffers) {
        if !self.holds() {
            return;
        }
        let unwanted = self.unwanted();
        let Fallback::Hold(mut hold) = std::mem::take(&mut self.fallback) else { return };
        if !self.link.wanted() {
            if unwanted || Instant::now() >= hold.until {
                self.counters.no_subscriber += hold.records;
            } else {
                self.fallback = Fallback::Hold(hold);
            }
            return;
        }
        while let Some((bytes, records)) = hold.messages.pop_front() {
            hold.records -= records;
            if !buffers.put(&[&bytes]) {
                self.counters.closed += records;
                continue;
            }
            let full = self.try_send(buffers, records);
            buffers.advance();
            if full {
                // The message was not taken: the next look tries again.
                self.blocked = None;
                hold.messages.push_front((bytes, records));
                hold.records += records;
                self.fallback = Fallback::Hold(hold);
                return;
            }
        }
    }

    /// Looks at what has happened: subscriptions, connections, what was sent.
    pub fn poll(&mut self, buffers: &Buffers) {
        let news = self.link.poll(&self.head, buffers);
        self.counters.closed += news.lost;
        match &mut self.fallback {
            Fallback::Spool(spool) => spool.poll(&mut self.link, news.disconnected),
            Fallback::Drop if self.link.is_strict() && !self.link.wanted() => {
                self.fallback = Fallback::Hold(Hold::new(self.high_water_mark, FOREVER));
            }
            Fallback::Drop | Fallback::Hold(_) => {}
        }
        let waits = self.holds() || (self.has_spool() && !self.unwanted());
        self.is_to_get_records = self.link.wanted() || waits;
    }

    /// Returns true if there are subscribers, and none of them wants this log.
    fn unwanted(&mut self) -> bool {
        let Subscriptions { matching, other } = self.link.subscriptions();
        if matching > 0 || other == 0 {
            self.unwanted_since = None;
            return false;
        }
        // A subscriber tells its topics one by one, so that the time since the last one counts.
        match self.unwanted_since {
            Some((since, count)) if count == other => since.elapsed() >= UNWANTED,
            _ => {
                self.unwanted_since = Some((Instant::now(), other));
                false
            }
        }
    }

    /// Returns true if the spool has records that somebody is there for.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.spool().is_some_and(|spool| spool.waiting() > 0) && self.link.wanted()
    }

    /// Takes note that the writer is about to close: the endpoint's notices of [`Level::Info`] are no longer told.
    pub fn begin_to_end(&mut self) {
        self.is_ending = true;
    }

    /// Returns true if what is not sent goes to a spool.
    #[must_use]
    pub fn has_spool(&self) -> bool {
        self.spool().is_some()
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        if let Fallback::Spool(spool) = &mut self.fallback {
            spool.tick();
        }
    }

    /// When the first writer of the endpoint began to connect, and when the subscriptions have changed
    /// last.
    #[must_use]
    pub fn since(&self) -> (Instant, Instant) {
        self.link.since()
    }

    /// Waits until there may be something to [`Connection::poll`], for `limit` at most.
    pub fn wait(&self, limit: Duration) {
        self.link.wait(limit);
    }

    /// Records that are held for the first subscriber.
    fn held(&self) -> u64 {
        if let Fallback::Hold(hold) = &self.fallback { hold.records } else { 0 }
    }

    /// Records that libzmq has and the system has not; with a spool, those that the peers have not acknowledged.
    #[must_use]
    pub fn in_flight(&self, buffers: &Buffers) -> u64 {
        if let Some(spool) = self.spool() {
            return spool.in_flight();
        }
        let made = self.blocked.as_ref().filter(|blocked| blocked.message.is_some());
        (self.link.in_flight(buffers) - made.map_or(0, |blocked| blocked.records)).min(self.link.handed_over())
    }

    /// What became of the records, of which `written` were handed to the writer.
    #[must_use]
    pub fn counters(&self, written: u64, buffers: &Buffers) -> Counters {
        let in_flight = self.in_flight(buffers);
        let spool = self.spool();
        Counters {
            written,
            recovered: spool.map_or(0, Spooling::recovered),
            sent: self.link.handed_over() - in_flight,
            queued: in_flight + self.held(),
            spooled: spool.map_or(0, Spooling::waiting),
            spool: spool.map_or(0, Spooling::lost),
            bytes: self.link.bytes(),
            ..self.counters
        }
    }

    /// Sends what can be sent, at the end. Returns true if waiting may get more records sent.
    pub fn send_rest(&mut self, buffers: &mut Buffers) -> bool {
        self.poll(buffers);
        self.end_hold(buffers);
        self.drain(buffers, usize::MAX);
        if let Some(spool) = self.spool() {
            return spool.in_flight() > 0 || (spool.waiting() > 0 && self.link.wanted());
        }
        self.held() > 0 || self.in_flight(buffers) > 0
    }

    /// Reports what has happened since the last time to the records of this log and others at the endpoint.
    /// `problem` is what was wrong with the last record that could not be encoded.
    pub fn report(&mut self, buffers: &Buffers, problem: Option<&Problem>, now: u64, reporter: &mut Reporter) {
        // At the end, what these notices promise is no longer true: that a lost connection is made again.
        for report in self.link.notices().iter().filter(|report| !self.is_ending || report.level() != Level::Info) {
            reporter(report);
        }
        let Counters { no_subscriber, queue_full, encoding, closed, .. } = self.counters;
        let sent = self.link.handed_over().saturating_sub(self.in_flight(buffers));
        let mut seen = Seen { sent, ..Seen::default() };
        let mut spool = if let Fallback::Spool(spool) = &mut self.fallback { Some(spool) } else { None };
        if let Some(spool) = &mut spool {
            spool.note(&mut seen, reporter);
        }
        *seen.of(Fate::NoSubscriber) = no_subscriber;
        *seen.of(Fate::Unwanted) = no_subscriber;
        *seen.of(Fate::QueueFull) = queue_full;
        *seen.of(Fate::Encoding) = encoding;
        *seen.of(Fate::Closed) = closed;
        // A subscriber that does not want this log has chosen so, and no report is due. With a spool there is
        // one, since these records are not kept.
        let chosen = self.link.subscriptions().other > 0;
        if chosen {
            self.account.skip(Fate::NoSubscriber, no_subscriber);
        }
        if !chosen || spool.is_none() {
            self.account.skip(Fate::Unwanted, no_subscriber);
        }
        let summaries = self.account.note(seen, now, |fate| match fate {
            Fate::Encoding => problem.map(|problem| Why::Encoding { problem: problem.clone() }),
            _ => spool.as_mut().and_then(|spool| spool.why(fate)),
        });
        self.tell(summaries, reporter);
    }

    /// Tells what has happened at the endpoint.
    fn tell(&self, summaries: Vec<Summary>, reporter: &mut Reporter) {
        for summary in summaries {
            reporter(&self.incident(summary).at(&self.name));
        }
    }

    fn incident(&self, summary: Summary) -> Incident {
        let Summary { fate, news, count, logs, why, waiting } = summary;
        let hwm = self.high_water_mark;
        let why = match fate {
            Fate::NoSubscriber => Why::Nobody { troubles: self.link.troubles() },
            Fate::QueueFull if self.link.is_deserted() => Why::QueueFull { hwm, troubles: self.link.troubles() },
            Fate::QueueFull => Why::QueueFull { hwm, troubles: vec![Trouble::Slow] },
            Fate::Closed => Why::ConnectionLost,
            _ => why.unwrap_or_default(),
        };
        match (fate, news) {
            (Fate::Unwanted, _) => Incident::Unwanted { count, logs },
            (Fate::Recovered, _) => Incident::Recovered { count, logs },
            (Fate::Spooled, Phase::Began(_)) => Incident::Spooling { count, logs },
            (Fate::Spooled, Phase::Lasts(_)) => Incident::StillSpooling { count, logs, waiting },
            (Fate::Spooled, Phase::Ended(_)) => Incident::SpoolingEnded { count, logs, waiting },
            (Fate::DiskFailed, Phase::Began(_)) => Incident::DiskFails { count, logs, why },
            (Fate::DiskFailed, Phase::Lasts(_)) => Incident::DiskStillFails { count, logs, why },
            (Fate::DiskFailed, Phase::Ended(_)) => Incident::DiskWorks { count, logs },
            (Fate::NoSpool, Phase::Began(_) | Phase::Lasts(_)) => {
                Incident::NoSpool { logs, why, room: if hwm == 0 { Room::All } else { Room::Limited { hwm } } }
            }
            (Fate::NoSpool, Phase::Ended(_)) => Incident::SpoolWorks { logs },
            (Fate::Awaited, _) => Incident::Awaited { count, logs },
            (Fate::Lingered, _) => Incident::Lingered { count, logs },
            (Fate::NoSubscriber | Fate::QueueFull | Fate::Encoding | Fate::Closed | Fate::SpoolLost, news) => {
                match news {
                    Phase::Began(_) => Incident::Dropping { count, logs, why },
                    Phase::Lasts(_) => Incident::StillDropping { count, logs, why },
                    Phase::Ended(_) => Incident::DroppingEnded { count, logs },
                }
            }
        }
    }

    /// Tells how many records the end waits for.
    pub fn report_wait(&mut self, queued: u64, now: u64, reporter: &mut Reporter) {
        let summaries = self.account.note_end(Fate::Awaited, queued, now);
        self.tell(summaries, reporter);
    }

    /// Tells what has not been told yet, if this is the endpoint's last writer.
    /// `lingered` is how many records were waited for in vain.
    pub fn report_last(&mut self, lingered: u64, now: u64, reporter: &mut Reporter) {
        let mut summaries = self.account.note_end(Fate::Lingered, lingered, now);
        summaries.extend(self.account.leave(now));
        self.tell(summaries, reporter);
    }

    /// Closes the connection. Returns its name and what became of the records: those that libzmq still has
    /// are lost, or go back to the spool. `left` is what is left of the linger time; `None` is for ever.
    pub fn close(mut self, written: u64, buffers: &Buffers, left: Option<Duration>) -> (String, Counters) {
        if let Fallback::Spool(mut spool) = self.fallback {
            spool.end(&mut self.link);
            let counters = Counters {
                written,
                recovered: spool.recovered(),
                sent: self.link.handed_over(),
                spooled: spool.waiting(),
                spool: spool.lost(),
                bytes: self.link.bytes(),
                ..self.counters
            };
            self.link.close(Some(Duration::ZERO));
            spool.close();
            return (self.name, counters);
        }
        // Nobody has subscribed to the records that are held.
        self.counters.no_subscriber += self.held();
        let lost = self.link.give_up(buffers);
        self.counters.closed += lost;
        let counters = Counters { written, sent: self.link.handed_over(), bytes: self.link.bytes(), ..self.counters };
        // If nothing is lost, everything is sent: the time is only for the I/O thread to end.
        self.link.close(if lost > 0 { Some(Duration::ZERO) } else { left });
        (self.name, counters)
    }
}
