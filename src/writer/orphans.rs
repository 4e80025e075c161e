//! Spools of logs that have no writer: what is in them is sent all the same.
//!
//! A log's spool is opened by its writer, which a host makes when the log's first record comes:
//! perhaps in days, or never. So one of a process's writers with the same endpoint and spool
//! directory looks after the other spools there. It borrows each spool that nobody has open and
//! that has records, sends them to the endpoint under the topic that they were written for, and
//! gives the spool back when it is empty. A writer that opens a borrowed spool gets it at once;
//! records that were on their way then are sent again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::config::Config;
use super::connection::{Connection, Log};
use super::counters::{Counters, Totals};
use super::topic::Head;
use crate::clock::coarse_millis;
use crate::lock::locked;
use crate::report::{Incident, Report, Reporter};
use crate::spool::{self, Label, Loan};
use crate::zmq::{Buffers, Context, Endpoint};

/// How often a writer looks for spools that nobody has open.
const LOOK: Duration = Duration::from_secs(5);

/// Spools that are borrowed at a time by a writer; when there are more, those that nothing is sent
/// from give way.
const MAX_BORROWED: usize = 16;

/// How long sending from borrowed spools may take at a time.
const SLICE: Duration = Duration::from_millis(100);

/// The spool directories and endpoints that some writer looks after.
static CARED_FOR: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());

/// The spools that a writer looks after, besides its own. Belongs to the writer's thread.
pub(super) struct Orphans {
    dir: PathBuf,
    config: Config,
    groups: Vec<Group>,
    borrowed: Vec<Borrowed>,
    looked: Option<Instant>,
    /// The log path that was borrowed last.
    last: String,
}

/// The endpoints of a connection.
struct Group {
    endpoints: Vec<Endpoint>,
    name: String,
    /// True if this writer is the one that looks after the spools for them.
    mine: bool,
}

/// A borrowed spool, and the way to its endpoint.
struct Borrowed {
    label: Label,
    loan: Loan,
    connection: Connection,
    buffers: Buffers,
    totals: Arc<Totals>,
    told: Counters,
    /// Records that had been sent when other spools last needed its place.
    sent: u64,
}

impl Orphans {
    /// Borrows nothing yet. `groups` has the endpoints of each of the writer's connections. `None` without a
    /// spool directory.
    pub(super) fn new(config: &Config, groups: &[&[Endpoint]]) -> Option<Self> {
        let dir = config.spool.as_ref()?.dir.clone();
        let groups = groups.iter().map(|endpoints| {
            let name = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            Group { endpoints: endpoints.to_vec(), name, mine: false }
        });
        let config = Config { borrows_spool: true, ..config.clone() };
        Some(Self { dir, config, groups: groups.collect(), borrowed: Vec::new(), looked: None, last: String::new() })
    }

    /// Sends what it can, for a tenth of a second at most. To be called about once a second.
    pub(super) fn tend(&mut self, reporter: &mut Reporter) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            self.looked = Some(Instant::now());
            self.look(reporter);
        }
        let end = Instant::now() + SLICE;
        // Each spool has its turn at being the first.
        if !self.borrowed.is_empty() {
            self.borrowed.rotate_left(1);
        }
        let mut index = 0;
        while let Some(borrowed) = self.borrowed.get_mut(index) {
            if borrowed.send(end, reporter) {
                index += 1;
            } else {
                self.borrowed.remove(index).give_back(reporter);
            }
        }
    }

    /// Borrows spools that nobody has open.
    fn look(&mut self, reporter: &mut Reporter) {
        for group in self.groups.iter_mut().filter(|group| !group.mine) {
            group.mine = locked(&CARED_FOR).insert((self.dir.clone(), group.name.clone()));
        }
        let mut found = Vec::new();
        for label in spool::idle(&self.dir) {
            if let Some(group) = self.groups.iter().position(|group| group.mine && group.name == label.endpoint) {
                found.push((label, group));
            }
        }
        // In the order of their log paths, beginning behind the path that was borrowed last.
        found.sort_by_cached_key(|(label, _)| (label.path <= self.last, label.path.clone()));
        if self.borrowed.len() + found.len() > MAX_BORROWED {
            for index in (0..self.borrowed.len()).rev() {
                let borrowed = &mut self.borrowed[index];
                if borrowed.told.sent == std::mem::replace(&mut borrowed.sent, borrowed.told.sent) {
                    self.borrowed.remove(index).give_back(reporter);
                }
            }
        }
        for (label, group) in found {
            if self.borrowed.len() >= MAX_BORROWED {
                break;
            }
            self.last.clone_from(&label.path);
            let endpoints = &self.groups[group].endpoints;
            self.borrowed.extend(Borrowed::open(label, &self.dir, endpoints, &self.config, reporter));
        }
    }

    /// Gives all borrowed spools back, and leaves them to other writers.
    pub(super) fn close(mut self, reporter: &mut Reporter) {
        for borrowed in self.borrowed.drain(..) {
            borrowed.give_back(reporter);
        }
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        let mut cared_for = locked(&CARED_FOR);
        for group in self.groups.iter().filter(|group| group.mine) {
            cared_for.remove(&(self.dir.clone(), group.name.clone()));
        }
    }
}

impl Borrowed {
    fn open(
        label: Label,
        dir: &Path,
        endpoints: &[Endpoint],
        config: &Config,
        reporter: &mut Reporter,
    ) -> Option<Self> {
        let context = Context::shared().ok()?;
        let news = Rc::new(RefCell::new(Vec::new()));
        let heard = Rc::clone(&news);
        let mut listener: Reporter = Box::new(move |report| heard.borrow_mut().push(report.clone()));
        let buffers = Buffers::new(endpoints.len());
        let log = Log { path: &label.path, head: Head::new(label.topic.clone(), config.frames) };
        let connection = Connection::open(&context, endpoints, config, 0, log, &buffers, &mut listener).ok()?;
        drop(context);
        let Some(loan) = spool::loan(dir, &label.path, &label.endpoint) else {
            // A writer has opened the spool meanwhile.
            connection.close(0, &buffers, Some(Duration::ZERO));
            return None;
        };
        for report in news.take() {
            reporter(&Report::OfNoWriter { log: label.path.clone(), report: Box::new(report) });
        }
        let totals = Totals::of(&label.path);
        Some(Self { label, loan, connection, buffers, totals, told: Counters::default(), sent: 0 })
    }

    /// Sends what libzmq takes. Returns false if nothing is left to be done: the spool is empty, or its
    /// own writer has it.
    fn send(&mut self, end: Instant, reporter: &mut Reporter) -> bool {
        let Self { loan, connection, buffers, totals, told, .. } = self;
        let sent = loan.with(|| {
            loop {
                connection.poll(buffers);
                let any = connection.drain(buffers, usize::MAX);
                if !any || !connection.drains() || Instant::now() >= end {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            buffers.collect();
            connection.tick();
            connection.report(buffers, None, coarse_millis(), reporter);
            let now = connection.counters(0, buffers);
            totals.update(told, &now);
            *told = now;
            now.spooled + now.queued > 0
        });
        sent == Some(true)
    }

    /// Closes the connection, and the spool if its own writer does not have it. Reports what became of the
    /// records.
    fn give_back(self, reporter: &mut Reporter) {
        let Self { label, loan, connection, buffers, totals, told, .. } = self;
        let mut connection = Some(connection);
        let mut close = || connection.take().map(|connection| connection.close(0, &buffers, Some(Duration::ZERO)));
        let closed = loan.with(&mut close).flatten();
        // Closing the connection does not touch a spool that was taken away.
        let now = closed.or_else(close).map_or(told, |(_, now)| now);
        // The next one to open the spool counts the records left in it as recovered.
        let now = Counters { recovered: now.recovered.saturating_sub(now.spooled), spooled: 0, ..now };
        totals.update(&told, &now);
        let Label { path, endpoint, .. } = label;
        if now.sent > 0 {
            reporter(&Incident::SentForNoWriter { count: now.sent, log: path.clone() }.at(&endpoint));
        }
        if now.spool > 0 {
            reporter(&Incident::LostForNoWriter { count: now.spool, log: path }.at(endpoint));
        }
    }
}
