//! A connection with a spool: records on disk, and what has been given to libzmq.
//!
//! A record goes to the spool when it cannot be sent now, or always if that is asked for, and
//! the spool's records are sent before newer ones. What libzmq has been given is kept until the
//! peer's system has acknowledged it: when the connection is lost, or at the end, what has not
//! been acknowledged goes back to the front of the spool, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch;
use super::config::Config;
use super::link::Link;
use super::report::{Burst, Level, News, Reporter};
use crate::spool::{PushError, Recovered, Spool};
use crate::zmq::Flight;

/// The spool of a connection.
pub struct Spooling {
    spool: Spool,
    /// Every record goes through it.
    pub always: bool,
    recovered: Recovered,
    flights: VecDeque<Entry>,
    /// Records in `flights`.
    in_flight: u64,
    /// Of `flights`, from the front: released by libzmq.
    released: usize,
    /// Records that have been acknowledged.
    acknowledged: u64,
    /// Records in `flights` that are not from the spool.
    direct: u64,
    /// Records put into the spool, found there, or put back.
    put: u64,
    /// Records taken from it.
    taken: u64,
    /// Records that it did not take.
    refused: u64,
    problem: String,
    bursts: [Burst; 2],
}

struct Entry {
    flight: Arc<Flight>,
    from_spool: bool,
    /// Where it was handed over, and how far the stream was there then.
    place: Place,
}

/// A lane of the link, and a position in its stream.
pub type Place = (usize, u64);

impl Spooling {
    /// Opens the spool of a log's records for an endpoint, if there is to be one. Without it the
    /// log goes on: what is wrong is reported.
    pub fn open(config: &Config, path: &str, endpoint: &str, reporter: &mut Reporter) -> Option<Self> {
        let (spool, recovered) = match Spool::open(config.spool.as_ref()?, path, endpoint) {
            Ok(opened) => opened,
            Err(error) => {
                let message = format!("{endpoint}: LogZeroMQ::spool_dir: {error}. This log goes on without a spool.");
                reporter(Level::Warning, &message);
                return None;
            }
        };
        report_recovered(endpoint, &recovered, reporter);
        Some(Self {
            put: recovered.records,
            spool,
            always: config.spool_always,
            recovered,
            flights: VecDeque::new(),
            in_flight: 0,
            released: 0,
            acknowledged: 0,
            direct: 0,
            taken: 0,
            refused: 0,
            problem: String::new(),
            bursts: Default::default(),
        })
    }

    /// Records that wait in the spool.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.spool.waiting()
    }

    /// Records found when it was opened.
    #[must_use]
    pub fn recovered(&self) -> u64 {
        self.recovered.records
    }

    /// Records given to libzmq and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Records that were given to libzmq and acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Records that are lost: the spool did not take them, or gave them up, or they are damaged.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.refused + self.put.saturating_sub(self.taken + self.spool.waiting())
    }

    /// Puts a record at the end.
    pub fn push(&mut self, record: &[u8]) {
        match self.spool.push(record) {
            Ok(()) => self.put += 1,
            Err(error) => self.refuse(1, error),
        }
    }

    #[cold]
    fn refuse(&mut self, records: u64, error: PushError) {
        self.refused += records;
        self.problem = error.to_string();
    }

    /// The record to be sent next.
    pub fn next(&mut self) -> Option<&[u8]> {
        if self.spool.waiting() == 0 { None } else { self.spool.peek() }
    }

    /// [`Spooling::next`] has been given to libzmq.
    pub fn sent_next(&mut self, flight: Arc<Flight>, place: Place) {
        self.spool.advance();
        self.taken += 1;
        self.in_flight += 1;
        self.flights.push_back(Entry { flight, from_spool: true, place });
    }

    /// Records that were not in the spool have been given to libzmq.
    pub fn sent(&mut self, flight: Arc<Flight>, place: Place) {
        self.direct += flight.records();
        self.in_flight += flight.records();
        self.flights.push_back(Entry { flight, from_spool: false, place });
    }

    /// Takes note of what the peers' systems have acknowledged.
    pub fn reap(&mut self, link: &mut Link) {
        while let Some(entry) = self.flights.get(self.released).filter(|entry| entry.flight.released()) {
            let (lane, position) = entry.place;
            link.released(lane, position);
            self.released += 1;
        }
        let acknowledged: Vec<_> = (0..link.lanes()).map(|lane| link.acknowledged(lane)).collect();
        let mut from_spool = 0;
        while self.released > 0
            && let Some(entry) = self.flights.front()
            && acknowledged[entry.place.0] >= Some(entry.place.1)
        {
            self.released -= 1;
            let records = entry.flight.records();
            self.in_flight -= records;
            self.acknowledged += records;
            if entry.from_spool {
                from_spool += records;
            } else {
                self.direct -= records;
            }
            self.flights.pop_front();
        }
        if from_spool > 0 {
            self.spool.confirm(from_spool);
        }
        self.spool.set_in_flight(self.direct);
    }

    /// The lane that has the oldest record of those that have not been acknowledged.
    #[must_use]
    pub fn oldest(&self) -> Option<usize> {
        self.flights.front().map(|entry| entry.place.0)
    }

    /// Puts back what has not been acknowledged, in front. Returns how many records that was.
    pub fn take_back(&mut self) -> u64 {
        let flights = std::mem::take(&mut self.flights);
        let all = std::mem::take(&mut self.in_flight);
        let from_spool = all - std::mem::take(&mut self.direct);
        self.released = 0;
        self.put += all;
        if from_spool < all {
            // Those from the spool stand between the others, or in front of them.
            self.spool.confirm(from_spool);
            let records = flights.iter().flat_map(|entry| batch::records(entry.flight.as_bytes()));
            match self.spool.unshift(records) {
                Ok(_) => {}
                Err(error) => {
                    self.put -= all;
                    self.refuse(all, error);
                }
            }
        } else if all > 0 {
            self.spool.rewind();
        }
        self.spool.set_in_flight(0);
        all
    }

    /// To be called about once a second.
    pub fn tick(&mut self) {
        self.spool.tick();
    }

    /// Closes the spool. What is in it stays.
    pub fn close(self) {
        self.spool.close();
    }

    /// Reports what has happened since the last time.
    pub fn report(&mut self, name: &str, now: u64, reporter: &mut Reporter) {
        let waiting = self.spool.waiting();
        let [spooled, lost] = &mut self.bursts;
        if self.always {
            spooled.skip_to(self.put);
        }
        match spooled.observe(self.put, now) {
            Some(News::Began(count)) => {
                let message = format!("{name}: records wait in the spool until they can be sent ({count} so far)");
                reporter(Level::Info, &message);
            }
            Some(News::Lasts(count)) => {
                let message = format!("{name}: {waiting} records wait in the spool; {count} have gone there");
                reporter(Level::Info, &message);
            }
            Some(News::Ended(count)) => {
                let message = format!("{name}: no more records go to the spool; {count} went there, {waiting} wait");
                reporter(Level::Info, &message);
            }
            None => {}
        }
        let counters = self.spool.counters();
        let why = if !self.problem.is_empty() {
            format!("the spool did not take them: {}", self.problem)
        } else if counters.evicted > 0 {
            "the spool is full (LogZeroMQ::spool_max_bytes), and the oldest gave way".to_owned()
        } else {
            format!("{} records in the spool are damaged", counters.damaged_records)
        };
        let total = self.refused + self.put.saturating_sub(self.taken + waiting);
        match lost.observe(total, now) {
            Some(News::Began(count)) => {
                reporter(Level::Warning, &format!("{name}: dropping records ({count} so far): {why}"));
            }
            Some(News::Lasts(count)) => {
                reporter(Level::Warning, &format!("{name}: still dropping records ({count} so far): {why}"));
            }
            Some(News::Ended(count)) => {
                self.problem.clear();
                reporter(Level::Info, &format!("{name}: no longer dropping records; {count} were dropped"));
            }
            None => {}
        }
    }
}

/// Reports what an earlier run has left.
fn report_recovered(name: &str, recovered: &Recovered, reporter: &mut Reporter) {
    if recovered.records > 0 {
        let Recovered { records, bytes, .. } = recovered;
        let message = format!("{name}: {records} records ({bytes} bytes) of an earlier run are in the spool");
        reporter(Level::Info, &message);
    }
    if recovered.lost_in_flight > 0 {
        let message = format!(
            "{name}: the last run did not end properly; up to {} records that were on their way are lost",
            recovered.lost_in_flight
        );
        reporter(Level::Warning, &message);
    }
    if recovered.damaged_records + recovered.damaged_bytes > 0 {
        let Recovered { damaged_records, damaged_bytes, .. } = recovered;
        let message =
            format!("{name}: {damaged_records} records in the spool are damaged and lost ({damaged_bytes} bytes)");
        reporter(Level::Warning, &message);
    }
    if recovered.state_lost {
        let message = format!("{name}: the spool's state was lost; records that were sent before may come again");
        reporter(Level::Warning, &message);
    }
}
