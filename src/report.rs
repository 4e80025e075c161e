//! What operators are told: messages as values, their levels, and bursts of drops. A burst is told
//! when it begins, once a minute while it lasts, and when it has ended: records get through again.

use core::ffi::CStr;
use core::fmt;

use crate::keys;
use crate::texts::texts;
use crate::zmq::limits::MAX_PEERS;
use crate::zmq::{Error, PublicKey};

/// Severity of a report; the numbers are those of the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// For the record.
    Info = 0,
    /// Something is being lost.
    Warning = 1,
    /// The writer cannot work.
    Error = 2,
}

texts! {
    /// What an operator is told.
    pub enum Report {
        UnknownLayout { member: &'static str, value: u32 } =
            "this host's log records are laid out as no host known to the plugin ({member} is {value}); build the \
             plugin from this host's headers: ./configure --zeek-dist=DIR && make",
        UnknownOption { name: String } = "$config[\"{name}\"] is no option of the ZeroMQ writer, and is ignored",
        NotSent { error: String, log: String, filter: String } = "{error}. The log \"{log}\"{filter} is not sent.",
        TakenField { name: String, log: String } =
            "the extra field {name:?} is left out of the log \"{log}\", which has a column of that name; rename it in \
             LogZeroMQ::extra_fields, or in $config[\"extra_fields\"] of this filter",
        NullValues { count: u64 } = "{count} values of types without JSON form were sent as null",
        NotEnded = "ZeroMQ did not end within the linger time; unsent records are lost",
        CannotConnect { endpoint: String, error: Error } =
            "cannot connect to {endpoint}: {error}; correct the endpoint",
        CannotBind { endpoint: String, error: Error } =
            "cannot bind {endpoint}: {error}; trying again until it can; until then nobody can subscribe",
        At { endpoint: String, incident: Incident } = "{endpoint}: {incident}",
        OfNoWriter { log: String, report: Box<Report> } = "of the log \"{log}\", which has no writer now: {report}",
    }
}

texts! {
    /// What happens at an endpoint. With `logs`, to `count` of their records.
    pub enum Incident {
        Dropping { count: u64, logs: String, why: Why } = "dropping records ({count} so far, of {logs}): {why}",
        StillDropping { count: u64, logs: String, why: Why } =
            "still dropping records ({count} so far, of {logs}): {why}",
        DroppingEnded { count: u64, logs: String } = "no longer dropping records; {count} were dropped, of {logs}",
        Unwanted { count: u64, logs: String } =
            "the subscriber wants other logs than {logs}: their records are neither sent nor kept in the spool \
             ({count} so far)",
        Recovered { count: u64, logs: String } = "{records} of an earlier run {are} in the spool, of {logs}"
            [records = records(*count), are = either(*count, "is", "are")],
        Spooling { count: u64, logs: String } =
            "records wait in the spool until they can be sent ({count} so far, of {logs})",
        StillSpooling { count: u64, logs: String, waiting: u64 } =
            "{waiting} records wait in the spool; {count} have gone there, of {logs}",
        SpoolingEnded { count: u64, logs: String, waiting: u64 } =
            "no more records go to the spool; {count} went there, of {logs}, and {waiting} wait",
        DiskFails { count: u64, logs: String, why: Why } =
            "the spool's disk fails ({count} times so far, for {logs}): {why}",
        DiskStillFails { count: u64, logs: String, why: Why } =
            "the spool's disk still fails ({count} times so far, for {logs}): {why}",
        DiskWorks { count: u64, logs: String } = "the spool's disk no longer fails; it did {count} times, for {logs}",
        NoSpool { logs: String, why: Why, room: Room } =
            "LogZeroMQ::spool_dir: {why}. Sending goes on; until the spool of {logs} can be used, which is tried once \
             a second, for each log {room}.",
        SpoolWorks { logs: String } = "the spool of {logs} can be used now",
        Awaited { count: u64, logs: String } =
            "{records} of {logs} {have} not been sent yet; the end waits for them for as long as LogZeroMQ::zmq_linger \
             allows, and they are lost if the host ends before"
            [records = records(*count), have = either(*count, "has", "have")],
        Lingered { count: u64, logs: String } =
            "{records} of {logs} {were} not sent within the time of LogZeroMQ::zmq_linger, and {are} lost"
            [records = records(*count), were = either(*count, "was", "were"), are = either(*count, "is", "are")],
        Killed { count: u64 } =
            "the last run did not end properly; up to {count} records that were on their way are lost",
        Damaged { count: u64, bytes: u64 } = "{count} records in the spool are damaged and lost ({bytes} bytes)",
        StateLost = "the spool's state was lost; records that were sent before may come again",
        SentForNoWriter { count: u64, log: String } =
            "{count} records of the log \"{log}\", which had no writer, were sent",
        LostForNoWriter { count: u64, log: String } = "{count} records of the log \"{log}\", in its spool, are lost",
        Totals {
            written: u64, sent: u64, bytes: u64, no_subscriber: u64, queue_full: u64, encoding: u64, closed: u64,
            spool: u64, recovered: u64, spooled: u64
        } = "{records} written, {sent} sent ({bytes} bytes){dropped}{kept}" [
            records = records(*written),
            dropped = dropped(&[
                ("no subscriber", *no_subscriber),
                ("queue full", *queue_full),
                ("encoding", *encoding),
                ("closed", *closed),
                ("spool", *spool),
            ]),
            kept = listed("; in the spool ", &[("before", *recovered), ("now", *spooled)])
        ],
        Unfit { why: Unfit } = "{why}",
        Fit = "the subscriber is there now, and its handshake has succeeded",
        Excess =
            "the subscriber has sent more than a subscriber may: more than 10,000 topics, or too much at once; its \
             connection was ended for a while",
        ConnectionLost = "the connection was lost; it is made again as soon as the subscriber is there",
        ConnectionLostAndSentAgain =
            "the connection was lost; it is made again as soon as the subscriber is there, and what had not arrived is \
             sent again",
        ConnectionLostAgain { count: u64 } = "the connection was lost again ({count} times so far)",
        PlacesTaken =
            "all {places} places for subscribers are taken, and others are turned away until one is free; let a \
             firewall say who may connect, or have this side connect to the subscribers (an endpoint without @)"
            [places = MAX_PEERS],
        NoDescriptors { limit: u64 } =
            "the limit of {limit} open files leaves no room for more subscribers; others have to wait; raise it with \
             LimitNOFILE in systemd, or ulimit -n",
        RefusingClients { count: u64, why: Misfit } = "refusing clients ({count} so far): {why}",
        Keys { notice: keys::Notice } = "{notice}",
        Revoked = "all connections were ended, because a key was revoked; subscribers with other keys come back",
    }
}

texts! {
    /// Why something happens to records.
    pub enum Why {
        Nobody { troubles: Vec<Trouble> } = "{all}" [all = joined(troubles)],
        QueueFull { hwm: i32, troubles: Vec<Trouble> } =
            "{hwm} records are waiting, the limit of LogZeroMQ::zmq_hwm; {all}" [all = joined(troubles)],
        Encoding { problem: Problem } = "they cannot be encoded: {problem}",
        ConnectionLost = "their connection was lost, or the socket failed",
        SpoolRefused { problem: String } = "the spool did not take them: {problem}",
        SpoolFull = "the spool is full (LogZeroMQ::spool_max_bytes), and the oldest gave way",
        Damaged { count: u64 } = "{count} records in the spool are damaged",
        System { error: String } = "{error}",
    }
}

texts! {
    /// Why a record cannot be encoded.
    pub enum Problem {
        OtherColumns = "it has another number of columns than the log",
        TooLarge = "its JSON has more than 1 GiB",
        NoMemory = "memory is exhausted",
        TooDeep = "its sets and vectors are nested too deep",
        Other { what: &'static str } = "{what}",
    }
}

texts! {
    /// How many records wait in memory where their spool cannot be used.
    pub enum Room {
        All = "all its records wait in memory",
        Limited { hwm: i32 } = "{hwm} of its records at most (LogZeroMQ::zmq_hwm) wait in memory",
    }
}

texts! {
    /// Why nobody subscribes, as far as that is known, and what to do about it.
    pub enum Trouble {
        NoName { endpoint: String, why: String } =
            "the name of {endpoint} is not found: {why}; correct it, or use an address",
        Silent { endpoint: String } = "{endpoint} is connected, and has not said what it wants; see what listens there",
        Lost { endpoint: String } = "the connection to {endpoint} was lost; start the subscriber again",
        Unknown { endpoint: String } =
            "{endpoint} cannot be reached: nothing listens there, or a firewall is between; start the subscriber, or \
             correct the endpoint",
        NobodyListens { endpoint: String } =
            "nobody listens at {endpoint}; start the subscriber, or correct the endpoint",
        NoSocket { endpoint: String } = "there is no socket at {endpoint}; start the subscriber, which makes it",
        NoAnswer { endpoint: String } =
            "{endpoint} does not answer; the machine is down, or a firewall is in the way, or the endpoint is to be \
             corrected",
        Unreachable { endpoint: String, error: Error } =
            "{endpoint} cannot be reached: {error}; correct the endpoint, or see the routes and firewalls",
        Unfit { why: Unfit } = "{why}",
        CannotConnect { endpoint: String, error: Error } =
            "cannot connect to {endpoint}: {error}; correct the endpoint",
        CannotBind { endpoint: String, error: Error } =
            "cannot bind {endpoint}: {error}; end what uses it, or bind another one",
        NobodyHasCome = "no subscriber has connected; start it",
        NobodyHasAnswered = "nobody has answered yet; start the subscriber, or correct the endpoint",
        NoTopic = "the subscriber is connected, and has subscribed to nothing; give it a topic, which may be empty",
        Slow = "the subscriber does not keep up",
    }
}

texts! {
    /// Why a socket gets no connection to a peer, and what to do about it. `peer` is what the reader calls the peer,
    /// and `option` how the reader calls an option.
    pub enum Unfit(peer: &str, option: impl Fn(&str) -> String) {
        ExpectsKeys = "the {peer} expects encryption (CURVE), or a password; set {server} and {secret}"
            [server = option("curve_server_key"), secret = option("curve_secret_key_file")],
        RefusesMachine = "the {peer} refuses this machine; see what it says",
        OtherProtocol =
            "the peer is no ZeroMQ {peer}, or it expects encryption, or none is behind the address now; correct the \
             endpoint, or the peer's configuration",
        HasNoKeys =
            "the {peer} does not use CURVE, and nothing goes without encryption; give the {peer} keys, or take \
             {server} away" [server = option("curve_server_key")],
        RefusesKey { own: PublicKey } =
            "the {peer} refuses this side's key {own}; add it to the keys that are authorized there",
        OtherKey { keys: Vec<PublicKey> } =
            "the {peer} there does not have the secret key of {server} ({keys}), or ends the connection for another \
             reason, and nothing goes to it; correct the key, or the endpoint" [server = option("curve_server_key"),
             keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")],
    }
}

impl fmt::Display for Unfit {
    /// In the words of the host's scripts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text("subscriber", |name| format!("LogZeroMQ::{name}")))
    }
}

texts! {
    /// Why clients of a bound endpoint are refused.
    pub enum Misfit {
        HaveNoKeys = "they do not use CURVE, and nothing goes without encryption",
        WrongServerKey = "they do not have this side's public key as their server key",
        HaveKeys = "they use CURVE, and this endpoint has no keys",
        OtherProtocol = "they do not speak ZeroMQ's protocol",
        Excess =
            "they have sent more than a subscriber may: more than 10,000 topics, or too much at once; their \
             connections were ended, and their addresses are kept away for 10 seconds",
    }
}

impl Report {
    /// What the report is about, for programs.
    #[must_use]
    pub fn code(&self) -> &'static CStr {
        match self {
            Self::At { incident, .. } => incident.name(),
            Self::OfNoWriter { report, .. } => report.code(),
            _ => self.name(),
        }
    }

    /// How severe the report is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::UnknownLayout { .. } | Self::NotSent { .. } => Level::Error,
            Self::At { incident, .. } => incident.level(),
            Self::OfNoWriter { report, .. } => report.level(),
            _ => Level::Warning,
        }
    }
}

impl Incident {
    fn level(&self) -> Level {
        match self {
            Self::Keys { notice } if !notice.is_problem() => Level::Info,
            Self::DroppingEnded { .. }
            | Self::Unwanted { .. }
            | Self::Recovered { .. }
            | Self::Spooling { .. }
            | Self::StillSpooling { .. }
            | Self::SpoolingEnded { .. }
            | Self::DiskWorks { .. }
            | Self::SpoolWorks { .. }
            | Self::SentForNoWriter { .. }
            | Self::Totals { .. }
            | Self::Fit
            | Self::ConnectionLost
            | Self::ConnectionLostAndSentAgain
            | Self::ConnectionLostAgain { .. }
            | Self::Revoked => Level::Info,
            _ => Level::Warning,
        }
    }

    /// The report of this incident at an endpoint.
    pub fn at(self, endpoint: impl ToString) -> Report {
        Report::At { endpoint: endpoint.to_string(), incident: self }
    }
}

impl Default for Why {
    fn default() -> Self {
        Self::System { error: String::new() }
    }
}

/// A number of records, in words.
fn records(count: u64) -> String {
    format!("{count} {}", either(count, "record", "records"))
}

fn either(count: u64, one: &'static str, several: &'static str) -> &'static str {
    if count == 1 { one } else { several }
}

/// The counts that are not zero, in words behind `before`; empty if there are none.
fn listed(before: &str, counts: &[(&str, u64)]) -> String {
    let some = counts.iter().filter(|&&(_, count)| count > 0);
    let listed = some.map(|(what, count)| format!("{what}: {count}")).collect::<Vec<_>>().join(", ");
    if listed.is_empty() { listed } else { format!("{before}{listed}") }
}

fn dropped(counts: &[(&str, u64)]) -> String {
    match counts.iter().map(|(_, count)| count).sum::<u64>() {
        0 => String::new(),
        all => format!(", {all} dropped{})", listed(" (", counts)),
    }
}

fn joined(troubles: &[Trouble]) -> String {
    troubles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Where reports go: the host's reporter.
pub type Reporter = Box<dyn FnMut(&Report)>;

/// A burst is over when nothing was counted for this long.
const QUIET_MILLIS: u64 = 5_000;
/// How often a burst is reported while it lasts.
const REPEAT_MILLIS: u64 = 60_000;

/// Follows a counter of drops.
#[derive(Debug, Default)]
pub struct Burst {
    /// The counter when it was last looked at.
    seen: u64,
    state: Option<Lasting>,
}

#[derive(Debug)]
struct Lasting {
    /// The counter when the burst began.
    base: u64,
    last_drop: u64,
    /// How many records had got through at the last drop.
    passed: u64,
    last_report: u64,
}

/// How far a burst is, and what to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Records are being dropped, this many so far.
    Began(u64),
    /// Records are still being dropped, this many since the burst began.
    Lasts(u64),
    /// The burst has ended; this many records were dropped in all.
    Ended(u64),
}

impl Burst {
    /// Looks at the counter. `now` is in milliseconds.
    pub fn observe(&mut self, count: u64, now: u64) -> Option<Phase> {
        // Without a count of what gets through, a pause is the end.
        self.observe_drops(count, u64::MAX, now)
    }

    /// Looks at a counter of drops, and at a counter of the records that got through.
    pub fn observe_drops(&mut self, dropped: u64, passed: u64, now: u64) -> Option<Phase> {
        let before = std::mem::replace(&mut self.seen, dropped);
        match &mut self.state {
            None if dropped > before => {
                self.state = Some(Lasting { base: before, last_drop: now, passed, last_report: now });
                Some(Phase::Began(dropped - before))
            }
            None => None,
            Some(active) if dropped > before => {
                (active.last_drop, active.passed) = (now, passed);
                if now.saturating_sub(active.last_report) < REPEAT_MILLIS {
                    return None;
                }
                active.last_report = now;
                Some(Phase::Lasts(dropped - active.base))
            }
            Some(active)
                if now.saturating_sub(active.last_drop) >= QUIET_MILLIS
                    && (passed > active.passed || passed == u64::MAX) =>
            {
                let news = Phase::Ended(dropped - active.base);
                self.state = None;
                Some(news)
            }
            Some(_) => None,
        }
    }

    /// Returns true if a burst has begun and has not ended.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_at_the_start_one_a_minute_one_at_the_end() {
        let mut burst = Burst::default();
        let mut news = Vec::new();
        let mut dropped = 0;
        for second in 0..200_u64 {
            if (10..150).contains(&second) {
                dropped += 100;
            }
            news.extend(burst.observe(dropped, second * 1000).map(|news| (second, news)));
        }
        assert_eq!(
            news,
            [
                (10, Phase::Began(100)),
                (70, Phase::Lasts(6100)),
                (130, Phase::Lasts(12_100)),
                (154, Phase::Ended(14_000))
            ]
        );
    }

    #[test]
    fn a_pause_is_no_end() {
        let mut burst = Burst::default();
        // A record every 12 seconds, of which none gets through until the fifth.
        for n in 1..=4 {
            let news = burst.observe_drops(n, 7, n * 12_000);
            assert_eq!(news, (n == 1).then_some(Phase::Began(1)), "{n}");
            assert_eq!(burst.observe_drops(n, 7, n * 12_000 + 9_000), None);
        }
        assert_eq!(burst.observe_drops(4, 8, 58_000), Some(Phase::Ended(4)));
        assert_eq!(burst.observe_drops(4, 9, 70_000), None);
        assert_eq!(burst.observe_drops(5, 9, 71_000), Some(Phase::Began(1)));
    }
}
