//! A connection with a spool: records on disk, and what has been given to libzmq.
//!
//! A record goes to the spool when it cannot be sent now, or always with `spool_always`, and
//! the spool's records are sent before newer ones. What libzmq has been given is kept until the
//! peer's system has acknowledged it: when the connection is lost, when libzmq has given something up,
//! or at the end, what has not been acknowledged goes back to the front of the spool, in order.
//!
//! If a spool cannot be opened, such as one that the host's last run still has locked, it is tried again
//! once a second. Until then records wait in memory in its place, up to the high water mark.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch;
use super::config::Config;
use super::ledger::{Fate, Seen};
use super::link::Link;
use super::topic::bytes_of;
use crate::report::{Incident, Reporter, Why};
use crate::spool::{self, Recovered, Spool, SpoolOptions};
use crate::zmq::Flight;

/// How long the connection that a message was written to may be unknown before the message is sent again.
/// A connection's end is sometimes not told.
const UNKNOWN: Duration = Duration::from_secs(1);

/// Records that may be on their way at a time, besides those in the queues.
const MAX_FLIGHTS: u64 = 10_000;

/// How long one of several peers may stand still before its records go to the others.
const STUCK: Duration = Duration::from_secs(5);

/// How long it may stand still when so many records are on their way that the others get no more.
const IN_THE_WAY: Duration = Duration::from_secs(1);

/// The spool of a connection.
pub(super) struct Spooling {
    store: Store,
    origin: Origin,
    /// Bytes of a message in front of its records.
    head: usize,
    /// True if every record goes through the spool.
    pub always: bool,
    /// True if there was no room to send: the next try is after the next [`Spooling::poll`].
    pub full: bool,
    /// Records found when the spool was opened.
    recovered: u64,
    /// Messages that are on their way, the oldest first.
    flights: VecDeque<Entry>,
    /// Since when nothing has been acknowledged, and the value of `acknowledged` then.
    oldest: (Instant, u64),
    /// Since when the connection of the first of `flights` has been unknown.
    astray: Option<Instant>,
    /// Records in `flights`.
    in_flight: u64,
    /// Records that have been acknowledged.
    acknowledged: u64,
    /// Records in `flights` that are not from the spool.
    in_flight_unspooled: u64,
    /// Records put into the spool, found there, or put back.
    ever_put: u64,
    /// Records taken from the spool.
    taken: u64,
    /// Records that the spool did not take.
    refused: u64,
    /// Why it did not take the last of them.
    problem: String,
    /// How many records the spool had not taken, and how many had given way, as [`Spooling::why`] last told.
    told: (u64, u64),
    /// How often the spool could not be opened.
    failed: u64,
    /// What there is to report of this log alone.
    news: Vec<Incident>,
}

/// Where the records are.
enum Store {
    Disk(Box<Spool>),
    Memory(Held),
}

/// Records that wait for their spool.
struct Held {
    records: VecDeque<Vec<u8>>,
    /// How many records can wait; 0 is no limit.
    limit: usize,
    /// Why there is no spool.
    why: String,
}

/// Which spool it is.
struct Origin {
    options: SpoolOptions,
    path: String,
    endpoint: String,
    /// The topic that its records are sent under; `None` if the spool is only borrowed.
    topic: Option<Vec<u8>>,
}

impl Origin {
    fn open(&self) -> Result<(Spool, Recovered), spool::OpenError> {
        let Self { options, path, endpoint, topic } = self;
        let Some(topic) = topic else { return Spool::borrow(options, path, endpoint) };
        let (mut spool, recovered) = Spool::open(options, path, endpoint)?;
        spool.set_topic(topic);
        Ok((spool, recovered))
    }
}

struct Entry {
    flight: Arc<Flight>,
    from_spool: bool,
    /// Which of the link's lanes has the flight.
    lane: usize,
}

impl Spooling {
    /// Opens the spool of a log's records for an endpoint, if the options name a directory for it. If the
    /// spool cannot be opened, [`Spooling::tick`] tries again.
    /// `head` is how many bytes a message has in front of its records.
    pub(super) fn open(
        config: &Config,
        path: &str,
        endpoint: &str,
        head: usize,
        reporter: &mut Reporter,
    ) -> Option<Self> {
        let options = config.spool.clone()?;
        let topic = (!config.borrows_spool).then(|| config.topic.of(&bytes_of(path)));
        let held = Held {
            records: VecDeque::new(),
            limit: usize::try_from(config.high_water_mark).unwrap_or(0),
            why: String::new(),
        };
        let mut spooling = Self {
            store: Store::Memory(held),
            origin: Origin { options, path: path.to_owned(), endpoint: endpoint.to_owned(), topic },
            head,
            always: config.spool_always,
            full: false,
            recovered: 0,
            flights: VecDeque::new(),
            oldest: (Instant::now(), 0),
            astray: None,
            in_flight: 0,
            acknowledged: 0,
            in_flight_unspooled: 0,
            ever_put: 0,
            taken: 0,
            refused: 0,
            problem: String::new(),
            told: (0, 0),
            failed: 0,
            news: Vec::new(),
        };
        spooling.try_open();
        spooling.tell(reporter);
        Some(spooling)
    }

    /// Opens the spool, if it is not open, and moves there what has waited for it.
    fn try_open(&mut self) {
        let Store::Memory(held) = &mut self.store else { return };
        let (mut spool, recovered) = match self.origin.open() {
            Ok(opened) => opened,
            Err(error) => {
                held.why = error.to_string();
                self.failed += 1;
                return;
            }
        };
        report_recovered(&recovered, &mut self.news);
        self.recovered = recovered.records;
        self.ever_put += recovered.records;
        for record in std::mem::take(&mut held.records) {
            if let Err(error) = spool.push(&record) {
                self.ever_put -= 1;
                self.refused += 1;
                self.problem = error.to_string();
            }
        }
        self.store = Store::Disk(Box::new(spool));
    }

    fn tell(&mut self, reporter: &mut Reporter) {
        for incident in self.news.drain(..) {
            reporter(&incident.at(&self.origin.endpoint));
        }
    }

    /// Records that wait in the spool.
    #[must_use]
    pub(super) fn waiting(&self) -> u64 {
        match &self.store {
            Store::Disk(spool) => spool.waiting(),
            Store::Memory(held) => held.records.len() as u64,
        }
    }

    /// Records found when the spool was opened.
    #[must_use]
    pub(super) fn recovered(&self) -> u64 {
        self.recovered
    }

    /// Records given to libzmq and not acknowledged.
    #[must_use]
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Records that are lost: the spool did not take them, or gave them up, or they are damaged.
    #[must_use]
    pub(super) fn lost(&self) -> u64 {
        self.refused + self.ever_put.saturating_sub(self.taken + self.waiting())
    }

    /// Puts a record at the end of the spool.
    pub(super) fn push(&mut self, record: &[u8]) {
        match &mut self.store {
            Store::Disk(spool) => match spool.push(record) {
                Ok(()) => self.ever_put += 1,
                Err(error) => self.refuse(1, error.to_string()),
            },
            Store::Memory(held) if held.limit == 0 || held.records.len() < held.limit => {
                held.records.push_back(record.to_vec());
                self.ever_put += 1;
            }
            Store::Memory(held) => {
                let why = held.why.clone();
                self.refuse(1, why);
            }
        }
    }

    #[cold]
    fn refuse(&mut self, records: u64, why: String) {
        self.refused += records;
        self.problem = why;
    }

    /// The record to be sent next.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        match &mut self.store {
            Store::Disk(spool) if spool.waiting() == 0 => None,
            Store::Disk(spool) => spool.peek(),
            Store::Memory(held) => held.records.front().map(Vec::as_slice),
        }
    }

    /// Takes note that the record of [`Spooling::next`] was given to libzmq.
    pub(super) fn sent_next(&mut self, flight: Arc<Flight>, lane: usize) {
        let from_spool = match &mut self.store {
            Store::Disk(spool) => {
                spool.advance();
                true
            }
            Store::Memory(held) => {
                held.records.pop_front();
                self.in_flight_unspooled += 1;
                false
            }
        };
        self.taken += 1;
        self.in_flight += 1;
        self.flights.push_back(Entry { flight, from_spool, lane });
    }

    /// Takes note that records which were not in the spool are about to be given to libzmq. If this run is
    /// killed, the next run knows of them.
    #[inline]
    pub(super) fn announce(&mut self, records: u64) {
        if let Store::Disk(spool) = &mut self.store {
            spool.set_in_flight(self.in_flight_unspooled + records);
        }
    }

    /// Takes note that records which were not in the spool have been given to libzmq.
    pub(super) fn sent(&mut self, flight: Arc<Flight>, lane: usize) {
        self.in_flight_unspooled += flight.records();
        self.in_flight += flight.records();
        self.flights.push_back(Entry { flight, from_spool: false, lane });
    }

    /// Takes note of what the peers' systems have acknowledged. Returns true if the oldest message on its way
    /// is lost: libzmq has given it up, or its connection has ended while others stay.
    fn reap(&mut self, link: &Link) -> bool {
        let acknowledged = link.acknowledged();
        let mut from_spool = 0;
        while let Some(entry) = self.flights.front()
            && acknowledged[entry.lane].covers(entry.flight.written())
        {
            let records = entry.flight.records();
            self.in_flight -= records;
            self.acknowledged += records;
            if entry.from_spool {
                from_spool += records;
            } else {
                self.in_flight_unspooled -= records;
            }
            self.flights.pop_front();
        }
        if let Store::Disk(spool) = &mut self.store {
            if from_spool > 0 {
                spool.confirm(from_spool);
            }
            spool.set_in_flight(self.in_flight_unspooled);
        }
        let Some(Entry { flight, lane, .. }) = self.flights.front() else { return false };
        if !acknowledged[*lane].misses(flight.written()) {
            self.astray = None;
            return flight.given_up();
        }
        self.astray.get_or_insert_with(Instant::now).elapsed() >= UNKNOWN
    }

    /// Looks at the messages on their way, and takes them back if one is lost or the connection has ended.
    pub(super) fn poll(&mut self, link: &mut Link, disconnected: bool) {
        self.full = false;
        if disconnected {
            self.take_back(link);
        }
        if self.reap(link) {
            self.take_back(link);
        }
        self.move_on(link);
    }

    /// Returns true if no more of the spool's records are to be on their way.
    pub(super) fn is_crowded(&self, link: &Link) -> bool {
        self.in_flight >= link.limit().saturating_add(MAX_FLIGHTS)
    }

    /// If one of several peers has taken none of its records for long, gives them to the others.
    fn move_on(&mut self, link: &mut Link) {
        let now = Instant::now();
        let others = |&lane: &usize| link.lanes() > 1 || link.is_divided(lane);
        let lane = self.flights.front().map(|entry| entry.lane).filter(others);
        let Some(lane) = lane.filter(|_| self.acknowledged == self.oldest.1) else {
            self.oldest = (now, self.acknowledged);
            return;
        };
        if now - self.oldest.0 < if self.is_crowded(link) { IN_THE_WAY } else { STUCK } {
            return;
        }
        self.oldest.0 = now;
        if link.lanes() > 1 {
            link.renew(lane);
        } else {
            // The peer's queue is full, so that it gets no new records before it reads those that are there.
            self.take_back(link);
        }
    }

    /// Puts back what has not been acknowledged, to the front of the spool, and counts it as not handed over.
    fn take_back(&mut self, link: &mut Link) {
        let mut flights = std::mem::take(&mut self.flights);
        let acknowledged = link.acknowledged();
        // Leaves out what other peers have acknowledged, if this is known of each peer. Records from the spool
        // are put back all the same: the spool confirms them in their order only.
        flights.retain(|Entry { flight, from_spool, lane }| {
            let acknowledged = &acknowledged[*lane];
            let has_arrived = !from_spool && acknowledged.tells_apart() && acknowledged.covers(flight.written());
            if has_arrived {
                self.in_flight -= flight.records();
                self.in_flight_unspooled -= flight.records();
                self.acknowledged += flight.records();
            }
            !has_arrived
        });
        self.astray = None;
        let all = std::mem::take(&mut self.in_flight);
        link.take_back(all);
        let unspooled = std::mem::take(&mut self.in_flight_unspooled);
        self.ever_put += all;
        let head = self.head;
        let records = flights.iter().flat_map(|entry| {
            batch::records(&entry.flight.as_bytes()[head..]).map(|record| (record, entry.from_spool))
        });
        match &mut self.store {
            Store::Disk(spool) => {
                let put_back = spool.unshift(records);
                spool.set_in_flight(0);
                if let Err(error) = put_back {
                    // The records that came from the spool are still there.
                    self.ever_put -= unspooled;
                    self.refuse(unspooled, error.to_string());
                }
            }
            Store::Memory(held) => {
                let mut records: VecDeque<_> = records.map(|(record, _)| record.to_vec()).collect();
                records.append(&mut held.records);
                held.records = records;
            }
        }
    }

    /// To be called about once a second.
    pub(super) fn tick(&mut self) {
        match &mut self.store {
            Store::Disk(spool) => spool.tick(),
            Store::Memory(_) => self.try_open(),
        }
    }

    /// Puts back what has not been acknowledged, at the end. Records that wait for a spool which cannot be
    /// opened even now are lost.
    pub(super) fn end(&mut self, link: &mut Link) {
        self.take_back(link);
        self.try_open();
        if let Store::Memory(held) = &mut self.store {
            let lost = std::mem::take(&mut held.records).len() as u64;
            let why = held.why.clone();
            self.ever_put -= lost;
            self.refuse(lost, why);
        }
    }

    /// Closes the spool. What is in it stays.
    pub(super) fn close(self) {
        if let Store::Disk(spool) = self.store {
            spool.close();
        }
    }

    /// Notes what has happened, and reports what concerns this log alone.
    pub(super) fn note(&mut self, seen: &mut Seen, reporter: &mut Reporter) {
        self.tell(reporter);
        seen.waiting = self.waiting();
        *seen.of(Fate::Recovered) = self.recovered;
        if let Store::Disk(spool) = &self.store {
            *seen.of(Fate::DiskFailed) = spool.counters().io_errors;
            // Opening the spool counts as well, so that `Fate::NoSpool` ends even if no record comes.
            seen.spool_progress = self.ever_put + 1;
        }
        if !self.always {
            *seen.of(Fate::Spooled) = self.ever_put - self.recovered;
        }
        *seen.of(Fate::SpoolLost) = self.lost();
        *seen.of(Fate::NoSpool) = self.failed;
    }

    /// The reason of a fate that has happened since the last call; `None` if the spool knows none.
    pub(super) fn why(&mut self, fate: Fate) -> Option<Why> {
        let counters = match &self.store {
            Store::Disk(spool) => spool.counters(),
            Store::Memory(_) => spool::FailureCounts::default(),
        };
        Some(match (fate, &self.store) {
            (Fate::NoSpool, Store::Memory(held)) => Why::System { error: held.why.clone() },
            (Fate::DiskFailed, Store::Disk(spool)) => {
                Why::System { error: spool.last_error().map_or_else(String::new, |error| error.to_string()) }
            }
            (Fate::SpoolLost, _) => {
                let (refused, evicted) = std::mem::replace(&mut self.told, (self.refused, counters.evicted));
                if self.refused > refused {
                    Why::SpoolRefused { problem: self.problem.clone() }
                } else if counters.evicted > evicted {
                    Why::SpoolFull
                } else {
                    Why::Damaged { count: counters.damaged_records }
                }
            }
            _ => return None,
        })
    }
}

/// Reports what is wrong with the records that an earlier run has left.
fn report_recovered(recovered: &Recovered, news: &mut Vec<Incident>) {
    let &Recovered { lost_in_flight: count, damaged_records, damaged_bytes: bytes, .. } = recovered;
    news.extend((count > 0).then_some(Incident::Killed { count }));
    news.extend((damaged_records + bytes > 0).then_some(Incident::Damaged { count: damaged_records, bytes }));
    news.extend(recovered.state_lost.then_some(Incident::StateLost));
}
