//! What became of the records, and the totals of the whole process.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::lock::locked;

/// Declares [`Counters`], with the counters' names in the statistics that are published.
macro_rules! counters {
    ($($(#[$doc:meta])* $counter:ident = $name:literal,)*) => {
        /// What became of a writer's records at one of its endpoints. At every moment
        /// `written + recovered` is the sum of `sent`, `queued`, `spooled` and the drops.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $counter: u64,)*
        }

        /// How many counters there are.
        const COUNT: usize = [$($name),*].len();

        impl Counters {
            /// Every counter with its name.
            #[must_use]
            pub fn named(&self) -> [(&'static str, u64); COUNT] {
                [$(($name, self.$counter)),*]
            }

            /// Makes counters of their values, in the order of [`Counters::named`].
            fn of([$($counter),*]: [u64; COUNT]) -> Self {
                Self { $($counter),* }
            }
        }
    };
}

counters! {
    /// Handed over by the host.
    written = "written",
    /// Found in the spool, from an earlier run.
    recovered = "recovered",
    /// Given to the system by libzmq.
    sent = "sent",
    /// Waiting in memory: with libzmq, or for the first subscriber.
    queued = "queued",
    /// Waiting in the spool.
    spooled = "spooled",
    /// Nobody was subscribed to the log.
    no_subscriber = "dropped_no_subscriber",
    /// The high water mark was reached.
    queue_full = "dropped_queue_full",
    /// The record could not be encoded.
    encoding = "dropped_encoding",
    /// The record was lost with its connection, or the socket failed or was closed before it could send it.
    closed = "dropped_closed",
    /// The spool was full or failed.
    spool = "dropped_spool",
    /// All frames of the records given to libzmq.
    bytes = "bytes",
}

/// The counters of one log path, of all its writers and endpoints since the process started,
/// to be read from any thread.
#[derive(Debug, Default)]
pub struct Totals {
    values: [AtomicU64; COUNT],
}

static TOTALS: Mutex<BTreeMap<String, Arc<Totals>>> = Mutex::new(BTreeMap::new());

impl Totals {
    /// The totals of a log path.
    #[must_use]
    pub fn of(path: &str) -> Arc<Self> {
        Arc::clone(locked(&TOTALS).entry(path.to_owned()).or_default())
    }

    /// Replaces what a writer had counted `before` by what it has counted `now`.
    pub fn update(&self, before: &Counters, now: &Counters) {
        for ((total, (_, now)), (_, before)) in self.values.iter().zip(now.named()).zip(before.named()) {
            // Counters of what waits go down, too: the sum wraps around and back.
            total.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// The counters.
    #[must_use]
    pub fn read(&self) -> Counters {
        Counters::of(self.values.each_ref().map(|value| value.load(Ordering::Relaxed)))
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
