//! Counts what happens at an endpoint to the records of all logs that go there: one report tells of it,
//! and not one for each log.
//!
//! Each writer notes in its [`Account`] what has happened to its own records. The writer that notes
//! something when a report is due tells it, with the names of the logs that it is about.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, Weak};

use crate::lock::locked;
use crate::report::{Burst, Phase, Why};

/// How many logs a report names; it tells the number of the others, unless there is only one more.
const NAMED: usize = 3;

/// Declares [`Fate`]: what can happen to records, in the order in which it is told.
macro_rules! fates {
    ($($(#[$doc:meta])* $fate:ident,)*) => {
        /// What can happen to records.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fate { $($(#[$doc])* $fate,)* }

        impl Fate {
            const ALL: [Self; FATES] = [$(Self::$fate),*];
        }

        /// How many fates there are.
        const FATES: usize = [$(Fate::$fate),*].len();
    };
}

fates! {
    /// Nobody was there for them, and they were dropped.
    NoSubscriber,
    /// The queue was full, and they were dropped.
    QueueFull,
    /// They could not be encoded, and were dropped.
    Encoding,
    /// They were lost with their connection.
    Closed,
    /// There is a spool, and the subscribers want other logs: they were neither sent nor kept.
    Unwanted,
    /// They were in the spool, from an earlier run.
    Recovered,
    /// They went to the spool.
    Spooled,
    /// The spool has lost them.
    SpoolLost,
    /// The spool's disk has failed; the count is how often.
    DiskFailed,
    /// The spool could not be opened; the count is how often.
    NoSpool,
    /// The end waits for them.
    Awaited,
    /// The end did not wait longer for them.
    Lingered,
}

impl Fate {
    /// How many milliseconds a report waits for other logs with the same fate, and for what the monitor
    /// tells of the endpoint.
    fn gather(self) -> u64 {
        // The host may be ended soon.
        if self == Self::Awaited { 100 } else { 1_000 }
    }

    /// Returns true if the fate is told once for each log, and its end is not.
    fn is_single(self) -> bool {
        matches!(self, Self::Unwanted | Self::Recovered | Self::Awaited | Self::Lingered)
    }
}

/// What a writer has seen since it was opened. No number goes down, but for `waiting`, and for `sent` when
/// records are to be sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The count of each fate.
    pub counts: [u64; FATES],
    /// Records that were sent.
    pub sent: u64,
    /// Records that were found in the spool or that it has taken, and 1 if it is open.
    pub spool_progress: u64,
    /// Records that wait in the spool now.
    pub waiting: u64,
}

impl Seen {
    /// The count of a fate.
    pub(super) fn of(&mut self, fate: Fate) -> &mut u64 {
        &mut self.counts[fate as usize]
    }
}

/// What there is to report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// What has happened.
    pub fate: Fate,
    /// How far the burst is; the number to tell is `count`.
    pub news: Phase,
    /// To how many records it has happened, or how often, since it began.
    pub count: u64,
    /// The names of the logs, in words, those with the most records first.
    pub logs: String,
    /// Why, in the words of the writer to which it happened last.
    pub why: Option<Why>,
    /// Records of all logs that wait in the spool.
    pub waiting: u64,
}

/// What is known of one fate.
#[derive(Debug, Default)]
struct Tally {
    /// The count that `burst` observes.
    count: u64,
    burst: Burst,
    /// When a burst began that has not been told yet, in milliseconds.
    since: Option<u64>,
    logs: BTreeMap<String, u64>,
    why: Option<Why>,
}

/// What all writers with an endpoint have noted.
#[derive(Debug, Default)]
struct Ledger {
    users: usize,
    tallies: [Tally; FATES],
    sent: u64,
    spool_progress: u64,
    waiting: u64,
}

type SharedLedger = Mutex<Ledger>;

/// The ledgers, by the endpoints' names.
static LEDGERS: Mutex<BTreeMap<String, Weak<SharedLedger>>> = Mutex::new(BTreeMap::new());

/// A log's part in a ledger.
#[derive(Debug)]
pub(super) struct Account {
    ledger: Arc<SharedLedger>,
    path: String,
    /// True if the log is the reporter's: each report becomes a record of it.
    of_reporter: bool,
    seen: Seen,
    left: bool,
}

impl Account {
    /// Joins the ledger of an endpoint.
    pub(super) fn join(endpoint: &str, path: &str) -> Self {
        let mut ledgers = locked(&LEDGERS);
        let ledger = ledgers.get(endpoint).and_then(Weak::upgrade).unwrap_or_default();
        ledgers.retain(|_, ledger| ledger.strong_count() > 0);
        ledgers.insert(endpoint.to_owned(), Arc::downgrade(&ledger));
        // A second filter's path gets a number: "reporter-2".
        let of_reporter = path.split('-').next() == Some("reporter");
        locked(&ledger).users += 1;
        Self { ledger, path: path.to_owned(), of_reporter, seen: Seen::default(), left: false }
    }

    /// Takes the first `count` of a fate as told.
    pub(super) fn skip(&mut self, fate: Fate, count: u64) {
        *self.seen.of(fate) = count;
    }

    /// Notes what has happened up to `now`, in milliseconds, and returns what there is to report. `why` says
    /// the reason of a fate that has happened since the last time.
    pub(super) fn note(&mut self, seen: Seen, now: u64, mut why: impl FnMut(Fate) -> Option<Why>) -> Vec<Summary> {
        let before = std::mem::replace(&mut self.seen, seen);
        let mut ledger = locked(&self.ledger);
        // `sent` may have gone down: records that are to be sent again do not count meanwhile.
        ledger.sent += seen.sent.saturating_sub(before.sent);
        ledger.spool_progress += seen.spool_progress.saturating_sub(before.spool_progress);
        ledger.waiting = ledger.waiting.wrapping_add(seen.waiting).wrapping_sub(before.waiting);
        for fate in Fate::ALL {
            let more = seen.counts[fate as usize].saturating_sub(before.counts[fate as usize]);
            if more > 0 {
                ledger.tallies[fate as usize].add(&self.path, more, fate, self.of_reporter, now);
                ledger.tallies[fate as usize].why = why(fate);
            }
        }
        ledger.news(now, false)
    }

    /// Notes what becomes of records at the end.
    pub(super) fn note_end(&mut self, fate: Fate, count: u64, now: u64) -> Vec<Summary> {
        let mut seen = self.seen;
        *seen.of(fate) = count;
        self.note(seen, now, |_| None)
    }

    /// Leaves the ledger. The last account to leave returns what has not been told yet.
    pub(super) fn leave(&mut self, now: u64) -> Vec<Summary> {
        if std::mem::replace(&mut self.left, true) {
            return Vec::new();
        }
        let mut ledger = locked(&self.ledger);
        ledger.users -= 1;
        if ledger.users > 0 { Vec::new() } else { ledger.news(now, true) }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Nothing is told here: a writer that has something to tell has called `leave` itself.
        self.leave(0);
    }
}

impl Ledger {
    fn news(&mut self, now: u64, last: bool) -> Vec<Summary> {
        let Self { tallies, sent, spool_progress, waiting, .. } = self;
        let mut summaries = Vec::new();
        for (fate, tally) in Fate::ALL.into_iter().zip(tallies) {
            let passed = match fate {
                _ if fate.is_single() => 0,
                Fate::DiskFailed | Fate::NoSpool => *spool_progress,
                _ => *sent,
            };
            summaries.extend(tally.news(passed, now, last || fate.gather() <= tally.age(now)).map(|news| {
                let logs = names(&tally.logs);
                let count = tally.logs.values().sum();
                if matches!(news, Phase::Ended(_)) {
                    tally.logs.clear();
                }
                Summary { fate, news, count, logs, why: tally.why.clone(), waiting: *waiting }
            }));
        }
        summaries
    }
}

impl Tally {
    fn add(&mut self, path: &str, more: u64, fate: Fate, of_reporter: bool, now: u64) {
        let known = self.logs.get_mut(path);
        let follows = match fate {
            _ if fate.is_single() => known.is_none(),
            // A report is a record of the reporter's log: what happens to that record must cause no further report.
            _ => !(of_reporter && (self.since.is_some() || self.burst.is_active())),
        };
        match known {
            // A spool that was lent is opened again: the records left in it are counted already.
            Some(_) if fate == Fate::Recovered => {}
            Some(count) => *count += more,
            None => _ = self.logs.insert(path.to_owned(), more),
        }
        if follows {
            self.count += more;
            if !self.burst.is_active() {
                self.since.get_or_insert(now);
            }
        }
    }

    /// How many milliseconds ago a burst began that has not been told yet.
    fn age(&self, now: u64) -> u64 {
        self.since.map_or(0, |since| now.saturating_sub(since))
    }

    fn news(&mut self, passed: u64, now: u64, is_due: bool) -> Option<Phase> {
        if self.since.is_some() && !is_due {
            return None;
        }
        self.since = None;
        self.burst.observe_drops(self.count, passed, now)
    }
}

/// The names of logs, in words.
fn names(logs: &BTreeMap<String, u64>) -> String {
    let mut sorted: Vec<_> = logs.iter().collect();
    sorted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let named = if sorted.len() <= NAMED + 1 { sorted.len() } else { NAMED };
    let mut text = sorted[..named].iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>().join(", ");
    if named < sorted.len() {
        // Writing to a string does not fail.
        let _ = write!(text, " and {} more logs", sorted.len() - named);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a writer has seen, of one fate.
    fn seen(fate: Fate, count: u64, sent: u64) -> Seen {
        let mut seen = Seen { sent, ..Seen::default() };
        *seen.of(fate) = count;
        seen
    }

    /// What was told, in short.
    fn told(summaries: Vec<Summary>) -> Vec<String> {
        let text = |Summary { fate, news, count, logs, why, .. }: Summary| {
            let news = match news {
                Phase::Began(_) => "begins",
                Phase::Lasts(_) => "lasts",
                Phase::Ended(_) => "ended",
            };
            format!("{fate:?} {news}: {count} of {logs}: {}", why.unwrap())
        };
        summaries.into_iter().map(text).collect()
    }

    fn note(account: &mut Account, seen: Seen, now: u64) -> Vec<String> {
        told(account.note(seen, now, |_| Some(Why::System { error: "why".to_owned() })))
    }

    #[test]
    fn forty_logs_are_one_report_when_it_begins_each_minute_and_when_it_has_ended() {
        let mut accounts: Vec<_> = (0..40).map(|n| Account::join("forty", &format!("log{n:02}"))).collect();
        let mut all = Vec::new();
        for second in 0..200_u64 {
            for (n, account) in accounts.iter_mut().enumerate() {
                // Each log drops 100 records a second for two minutes; the first log drops two more.
                let dropped = 100 * second.min(120) + if n == 0 { 2 * second.min(120) } else { 0 };
                let sent = 10 * second.saturating_sub(120);
                let now = second * 1000 + n as u64;
                all.extend(
                    note(account, seen(Fate::NoSubscriber, dropped, sent), now).into_iter().map(|text| (second, text)),
                );
            }
        }
        assert_eq!(
            all,
            [
                (2, "NoSubscriber begins: 4104 of log00, log01, log02 and 37 more logs: why".to_owned()),
                (62, "NoSubscriber lasts: 244224 of log00, log01, log02 and 37 more logs: why".to_owned()),
                (125, "NoSubscriber ended: 480240 of log00, log01, log02 and 37 more logs: why".to_owned()),
            ]
        );
    }

    #[test]
    fn it_has_ended_when_a_record_was_sent_and_not_before() {
        let mut account = Account::join("pause", "http");
        let mut all = Vec::new();
        // A record every 12 seconds, of which the fourth is the first one that is sent.
        for second in 0..60 {
            let dropped = (second / 12 + 1).min(3);
            let seen = seen(Fate::NoSubscriber, dropped, u64::from(second >= 36));
            all.extend(note(&mut account, seen, second * 1000).into_iter().map(|text| (second, text)));
        }
        assert_eq!(
            all,
            [
                (1, "NoSubscriber begins: 1 of http: why".to_owned()),
                (36, "NoSubscriber ended: 3 of http: why".to_owned()),
            ]
        );
    }

    #[test]
    fn reports_cause_no_reports() {
        for fate in [Fate::NoSubscriber, Fate::Spooled, Fate::SpoolLost, Fate::DiskFailed, Fate::NoSpool] {
            let name = format!("loop {fate:?}");
            let (mut conn, mut reporter) = (Account::join(&name, "conn"), Account::join(&name, "reporter"));
            let mut reports = 0;
            for second in 0..600_u64 {
                // Each report is a record of the reporter, to which the same happens.
                reports += note(&mut conn, seen(fate, 1, 0), second * 1000).len() as u64;
                reports += note(&mut reporter, seen(fate, reports, 0), second * 1000 + 500).len() as u64;
            }
            assert_eq!(reports, 1, "{fate:?}");
            // The fate of the reporter's log alone is told once, too.
            let mut alone = Account::join(&format!("{name} alone"), "reporter-2");
            let mut reports = 0;
            for second in 0..600_u64 {
                reports += note(&mut alone, seen(fate, 1 + reports, 0), second * 1000).len() as u64;
            }
            assert_eq!(reports, 1, "{fate:?}");
        }
    }

    #[test]
    fn what_nobody_wants_is_told_once_for_each_log_and_once_a_minute_at_most() {
        let (mut dns, mut http) = (Account::join("unwanted", "dns"), Account::join("unwanted", "http"));
        let mut all = Vec::new();
        for second in 0..300_u64 {
            all.extend(note(&mut dns, seen(Fate::Unwanted, second, second), second * 1000));
            let late = second.saturating_sub(100);
            all.extend(note(&mut http, seen(Fate::Unwanted, late, second), second * 1000));
        }
        assert_eq!(all, ["Unwanted begins: 2 of dns: why", "Unwanted lasts: 102 of dns, http: why"]);
    }

    #[test]
    fn the_last_one_tells_what_nobody_could() {
        let (mut dns, mut http) = (Account::join("last", "dns"), Account::join("last", "http"));
        assert_eq!(note(&mut dns, seen(Fate::Closed, 1, 0), 0), [""; 0]);
        assert_eq!(note(&mut http, seen(Fate::Closed, 2, 0), 10), [""; 0]);
        assert_eq!(told(dns.leave(20)), [""; 0]);
        assert_eq!(told(http.leave(30)), ["Closed begins: 3 of http, dns: why"]);
        // The next writer begins anew.
        drop((dns, http));
        let mut next = Account::join("last", "dns");
        assert_eq!(told(next.leave(40)), [""; 0]);
    }

    #[test]
    fn what_is_skipped_is_no_news() {
        let mut account = Account::join("skip", "dns");
        account.skip(Fate::NoSubscriber, 7);
        assert_eq!(note(&mut account, seen(Fate::NoSubscriber, 7, 0), 0), [""; 0]);
        note(&mut account, seen(Fate::NoSubscriber, 9, 0), 1);
        assert_eq!(told(account.leave(2)), ["NoSubscriber begins: 2 of dns: why"]);
    }
}
