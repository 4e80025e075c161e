//! What became of the records, and the totals of the whole process.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What became of a writer's records at one of its endpoints. At every moment
/// `written + recovered` is the sum of `sent`, `queued`, `spooled` and the drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed over by the host.
    pub written: u64,
    /// Found in the spool, from an earlier run.
    pub recovered: u64,
    /// Given to the system by libzmq.
    pub sent: u64,
    /// Waiting in memory: with libzmq, or for the first subscriber.
    pub queued: u64,
    /// Waiting in the spool.
    pub spooled: u64,
    /// Nobody was subscribed to the log.
    pub no_subscriber: u64,
    /// The high water mark was reached.
    pub queue_full: u64,
    /// The record could not be encoded.
    pub encoding: u64,
    /// The socket failed, or was closed before it could send the record.
    pub closed: u64,
    /// The spool was full or failed.
    pub spool: u64,
    /// All frames of the records given to libzmq.
    pub bytes: u64,
}

impl Counters {
    /// Every counter with its name, as in the statistics that are published.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("written", self.written),
            ("recovered", self.recovered),
            ("sent", self.sent),
            ("queued", self.queued),
            ("spooled", self.spooled),
            ("dropped_no_subscriber", self.no_subscriber),
            ("dropped_queue_full", self.queue_full),
            ("dropped_encoding", self.encoding),
            ("dropped_closed", self.closed),
            ("dropped_spool", self.spool),
            ("bytes", self.bytes),
        ]
    }
}

/// The counters of one log path, of all its writers and endpoints since the process started,
/// to be read from any thread.
#[derive(Debug, Default)]
pub struct Totals {
    values: [AtomicU64; 11],
}

static TOTALS: Mutex<BTreeMap<String, Arc<Totals>>> = Mutex::new(BTreeMap::new());

impl Totals {
    /// Those of a log path.
    #[must_use]
    pub fn of(path: &str) -> Arc<Self> {
        let mut all = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(totals) = all.get(path) {
            return Arc::clone(totals);
        }
        let totals = Arc::new(Self::default());
        all.insert(path.to_owned(), Arc::clone(&totals));
        totals
    }

    /// Takes the place of what was `before` by what is `now`.
    pub fn update(&self, before: &Counters, now: &Counters) {
        for ((total, (_, now)), (_, before)) in self.values.iter().zip(now.named()).zip(before.named()) {
            // Those of what waits go down, too: the sum wraps around and back.
            total.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// The counters.
    #[must_use]
    pub fn read(&self) -> Counters {
        let [written, recovered, sent, queued, spooled, no_subscriber, queue_full, encoding, closed, spool, bytes] =
            self.values.each_ref().map(|value| value.load(Ordering::Relaxed));
        Counters {
            written,
            recovered,
            sent,
            queued,
            spooled,
            no_subscriber,
            queue_full,
            encoding,
            closed,
            spool,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_follow_the_counters_of_all_writers() {
        let totals = Totals::of("counters-test");
        let one = Counters { written: 5, queued: 3, sent: 2, ..Counters::default() };
        let later = Counters { written: 6, queued: 0, sent: 6, ..Counters::default() };
        totals.update(&Counters::default(), &one);
        totals.update(&Counters::default(), &one);
        totals.update(&one, &later);
        let sum = Counters { written: 11, queued: 3, sent: 8, ..Counters::default() };
        assert_eq!(Totals::of("counters-test").read(), sum);
    }
}
