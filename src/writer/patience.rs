//! How long a writer waits for room in a full queue.
//!
//! A host hands records over in bursts, up to 1,000 within a third of a millisecond: more than
//! the high water mark allows before libzmq's I/O thread has had its turn. A full queue alone
//! does not mean a slow subscriber. So the writer waits on its own thread, while the host's queue in front of
//! it holds what comes meanwhile, as long as all of these hold:
//!
//! - The queue moves. A queue that has stood still for [`STALLED`] is not waited for until it moves again.
//!   Where many writers share a connection, other writers' records may go first: as long as these move, a
//!   queue may stand still for [`TURN`].
//! - The writer is not behind the host by more than [`BEHIND`]. This bounds the memory: the host's
//!   queue has no limit of its own, so it holds what the host writes in that time and in one second
//!   more, since a writer learns once a second how far behind it is.
//! - The wait holds up other endpoints for no more than one part in [`ONE_PART_IN`] of the time. An endpoint is
//!   held up only while it has nothing left to send.
//! - The linger time is not over, once the host has begun to end.
//!
//! This module knows no clock and no socket.

use std::time::Duration;

/// How long a queue may stand still before its subscriber counts as one that does not read.
const STALLED: Duration = Duration::from_millis(250);

/// How long a queue may stand still while other records leave the connection. These may not be in front
/// of it, but go to another peer, so that the limit is below [`BEHIND`].
const TURN: Duration = Duration::from_secs(4);

/// How far the writer may be behind the host because it has waited.
pub(super) const BEHIND: Duration = Duration::from_secs(5);

/// An endpoint may hold up others for one in so many parts of the time.
const ONE_PART_IN: u32 = 25;

/// How long an endpoint may hold up others before this counts.
const AT_FIRST: Duration = Duration::from_millis(100);

/// A delay of more seconds than this means that the clock was set.
const CLOCK_WAS_SET: f64 = 3600.0;

/// A writer's part: how long it may still wait.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How far behind the host the writer was at the last heartbeat.
    behind: Duration,
    /// How long the writer has waited since then.
    waited: Duration,
    /// Once the host has begun to end: how long the writer may still wait; `Some(None)` is for ever.
    left: Option<Option<Duration>>,
}

impl Patience {
    /// Takes note of a heartbeat that was `seconds` on its way through the host's queue, by the system's
    /// clock. Records in front of it were as late.
    pub(super) fn heartbeat(&mut self, seconds: f64) {
        let known = (0.0..CLOCK_WAS_SET).contains(&seconds);
        self.behind = if known { Duration::from_secs_f64(seconds) } else { Duration::ZERO };
        self.waited = Duration::ZERO;
    }

    /// Takes note that the host has begun to end. `linger` is how long to wait from now on; `None` is for
    /// ever.
    pub(super) fn end(&mut self, linger: Option<Duration>) {
        self.left.get_or_insert(linger);
    }

    /// How much of the linger time is left; `None` is for ever.
    #[must_use]
    pub(super) fn left(&self, linger: Option<Duration>) -> Option<Duration> {
        self.left.unwrap_or(linger)
    }

    /// Takes note that the writer has waited for `time`.
    pub(super) fn spend(&mut self, time: Duration) {
        self.waited += time;
        if let Some(Some(left)) = &mut self.left {
            *left = left.saturating_sub(time);
        }
    }

    /// Returns true if the writer may wait.
    #[must_use]
    pub(super) fn lasts(&self) -> bool {
        self.behind + self.waited < BEHIND && self.left != Some(Some(Duration::ZERO))
    }
}

/// An endpoint's part: how its queue has moved, and what waiting for it has cost others.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Records that had left the queue when it was last observed.
    released: u64,
    /// Steps that the connection had made by then.
    steps: u64,
    /// How long the queue has not moved while it was waited for.
    still: Duration,
    /// How long nothing has left the connection either.
    stalled: Duration,
    /// How long the endpoint has held up others, less the time that it may.
    owed: Duration,
}

impl Progress {
    /// Observes how many records have left the queue, and how many steps the connection has made with records
    /// of all its writers. To be called before [`Progress::moves`].
    pub(super) fn observe(&mut self, released: u64, steps: u64) {
        if released != self.released {
            self.still = Duration::ZERO;
            self.stalled = Duration::ZERO;
        }
        if steps != self.steps {
            self.stalled = Duration::ZERO;
        }
        self.released = released;
        self.steps = steps;
    }

    /// Takes note that the queue was waited for for `time`; `held_up` is true if others were held up.
    pub(super) fn add_wait(&mut self, time: Duration, held_up: bool) {
        self.still += time;
        self.stalled += time;
        if held_up {
            self.owed += time;
        }
    }

    /// Takes note that `time` has passed, waiting or not.
    pub(super) fn earn(&mut self, time: Duration) {
        self.owed = self.owed.saturating_sub(time / ONE_PART_IN);
    }

    /// Returns true if the queue is worth waiting for.
    #[must_use]
    pub(super) fn moves(&self) -> bool {
        self.stalled < STALLED && self.still < TURN && self.owed < AT_FIRST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_queue_that_stands_still_is_given_up_once() {
        let mut progress = Progress::default();
        for released in 1..1000 {
            progress.observe(released, 0);
            progress.add_wait(MILLISECOND, false);
            assert!(progress.moves());
        }
        let mut waited = 0;
        while progress.moves() {
            progress.observe(999, 0);
            progress.add_wait(MILLISECOND, false);
            waited += 1;
        }
        assert!((249..=250).contains(&waited), "{waited}");
        // The next record does not wait again, until something has left the queue.
        progress.observe(999, 0);
        assert!(!progress.moves());
        progress.observe(1000, 0);
        assert!(progress.moves());
    }

    #[test]
    fn a_queue_has_its_turn() {
        let mut progress = Progress::default();
        let mut waited = 0;
        // Every fifth of a second, what others have in front of it moves a little.
        while progress.moves() {
            progress.observe(0, waited / 200);
            progress.add_wait(MILLISECOND, false);
            waited += 1;
        }
        assert_eq!(waited, 4000);
        // The others' records may have been behind it: from now on only its own count.
        progress.observe(0, 100);
        assert!(!progress.moves());
        progress.observe(1, 100);
        assert!(progress.moves());
    }

    #[test]
    fn others_are_held_up_for_a_small_part_of_the_time() {
        let mut progress = Progress::default();
        let (mut held_up, mut waits) = (Duration::ZERO, 0);
        // A queue that moves all the time, and is full all the time: ten seconds of it.
        for released in 0..10_000 {
            progress.observe(released, 0);
            progress.earn(MILLISECOND);
            if progress.moves() {
                progress.add_wait(MILLISECOND, true);
                held_up += MILLISECOND;
            } else {
                waits += 1;
            }
        }
        assert!(held_up <= AT_FIRST + Duration::from_secs(10) / 20, "{held_up:?}");
        assert!(held_up >= Duration::from_millis(350), "{held_up:?}");
        assert!(waits > 9000);
    }

    #[test]
    fn waiting_that_holds_up_nobody_is_not_counted() {
        let mut progress = Progress::default();
        for released in 0..10_000 {
            progress.observe(released, 0);
            progress.add_wait(MILLISECOND, false);
            assert!(progress.moves());
        }
    }

    #[test]
    fn a_writer_stays_near_the_host() {
        let mut patience = Patience::default();
        assert!(patience.lasts());
        patience.spend(Duration::from_secs(3));
        assert!(patience.lasts());
        patience.spend(Duration::from_secs(2));
        assert!(!patience.lasts());
        // The heartbeat has waited, too, behind the records.
        patience.heartbeat(4.5);
        assert!(patience.lasts());
        patience.spend(Duration::from_millis(600));
        assert!(!patience.lasts());
        patience.heartbeat(5.5);
        assert!(!patience.lasts());
        patience.heartbeat(0.001);
        assert!(patience.lasts());
    }

    #[test]
    fn at_the_end_the_linger_time_is_all() {
        let mut patience = Patience::default();
        patience.spend(Duration::from_secs(1));
        let linger = Some(Duration::from_secs(3));
        assert_eq!(patience.left(linger), linger);
        patience.end(linger);
        patience.spend(Duration::from_secs(2));
        // A second call changes nothing.
        patience.end(linger);
        assert!(patience.lasts());
        assert_eq!(patience.left(linger), Some(Duration::from_secs(1)));
        patience.spend(Duration::from_millis(1500));
        assert!(!patience.lasts());
        assert_eq!(patience.left(linger), Some(Duration::ZERO));
        let mut patience = Patience::default();
        patience.end(None);
        patience.spend(Duration::from_secs(4));
        assert!(patience.lasts());
        assert_eq!(patience.left(None), None);
    }

    #[test]
    fn a_clock_that_was_set_says_nothing() {
        let mut patience = Patience::default();
        for seconds in [-5.0, 7200.0, 1.7e9, f64::NAN, f64::INFINITY] {
            patience.heartbeat(seconds);
            assert!(patience.lasts(), "{seconds}");
        }
    }
}
