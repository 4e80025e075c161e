//! How long a writer waits for room in a full queue.
//!
//! A host hands records over in bursts, up to 1,000 within a third of a millisecond: more than
//! the high water mark allows before libzmq's I/O thread has had its turn. A full queue alone is
//! no slow subscriber. So the writer waits on its own thread, while the host's queue in front of
//! it holds what comes meanwhile, as long as all of these hold:
//!
//! - The queue moves. One that has not for [`STALLED`] is not waited for any more, until it does. Where
//!   many writers share a connection, what others have queued goes first, so it may stand for longer.
//! - The writer is not behind the host by more than [`BEHIND`]. This bounds the memory: the host's
//!   queue has no limit of its own, so it holds what the host writes in that time, and a second
//!   more, which is how often a writer learns of it.
//! - Other endpoints are not held up by it for more than a [`SHARE`]th of the time. They are held up
//!   only while they have nothing left to send.
//! - The linger time is not over, once the host has begun to end.
//!
//! Nothing here knows a clock or a socket.

use std::time::Duration;

/// How long a queue may stand still before its subscriber is one that does not read.
const STALLED: Duration = Duration::from_millis(250);

/// How much longer for each writer that shares the connection: the time for a queue of the default high
/// water mark at 40,000 records a second.
const TURN: Duration = Duration::from_millis(25);

/// How long at most, however many share it.
const STALLED_AT_MOST: Duration = Duration::from_secs(2);

/// How far the writer may be behind the host because it has waited.
pub(super) const BEHIND: Duration = Duration::from_secs(5);

/// Which part of the time an endpoint may hold up others.
const SHARE: u32 = 25;

/// For how long it may before that counts.
const AT_FIRST: Duration = Duration::from_millis(100);

/// A delay of more than this is a clock that was set.
const CLOCK_WAS_SET: f64 = 3600.0;

/// A writer's part.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How far behind the host it was at the last heartbeat.
    behind: Duration,
    /// How long it has waited since.
    waited: Duration,
    /// Once the host has begun to end: how long it may still wait, if there is a limit.
    left: Option<Option<Duration>>,
}

impl Patience {
    /// A heartbeat has come through the host's queue, which was sent so many seconds ago by the
    /// system's clock. Records in front of it were as late.
    pub(super) fn heartbeat(&mut self, seconds: f64) {
        let known = (0.0..CLOCK_WAS_SET).contains(&seconds);
        self.behind = if known { Duration::from_secs_f64(seconds) } else { Duration::ZERO };
        self.waited = Duration::ZERO;
    }

    /// The host has begun to end. `linger` is how long to wait from now on; `None` is for ever.
    pub(super) fn end(&mut self, linger: Option<Duration>) {
        self.left.get_or_insert(linger);
    }

    /// How much of the linger time is left; `None` is for ever.
    #[must_use]
    pub(super) fn left(&self, linger: Option<Duration>) -> Option<Duration> {
        self.left.unwrap_or(linger)
    }

    /// It has waited.
    pub(super) fn spend(&mut self, time: Duration) {
        self.waited += time;
        if let Some(Some(left)) = &mut self.left {
            *left = left.saturating_sub(time);
        }
    }

    /// Returns true if it may wait.
    #[must_use]
    pub(super) fn lasts(&self) -> bool {
        self.behind + self.waited < BEHIND && self.left != Some(Some(Duration::ZERO))
    }
}

/// An endpoint's part: whether its queue is worth waiting for.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Records that had left the queue.
    released: u64,
    /// How long it has not moved since the waiting began.
    still: Duration,
    /// How long it has held up others, less what it may.
    owed: Duration,
}

impl Progress {
    /// Notes how many records have left the queue. To be called before it is asked anything.
    pub(super) fn note(&mut self, released: u64) {
        if released != self.released {
            self.released = released;
            self.still = Duration::ZERO;
        }
    }

    /// It was waited for so long, while others were held up or not.
    pub(super) fn wait(&mut self, time: Duration, held_up: bool) {
        self.still += time;
        if held_up {
            self.owed += time;
        }
    }

    /// So much time has passed, waiting or not.
    pub(super) fn earn(&mut self, time: Duration) {
        self.owed = self.owed.saturating_sub(time / SHARE);
    }

    /// Returns true if it is worth waiting for. So many writers share the connection.
    #[must_use]
    pub(super) fn moves(&self, sharing: u32) -> bool {
        let stalled = (STALLED + TURN * sharing.saturating_sub(1)).min(STALLED_AT_MOST);
        self.still < stalled && self.owed < AT_FIRST
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
            progress.note(released);
            progress.wait(MILLISECOND, false);
            assert!(progress.moves(1));
        }
        let mut waited = 0;
        while progress.moves(1) {
            progress.note(999);
            progress.wait(MILLISECOND, false);
            waited += 1;
        }
        assert!((249..=250).contains(&waited), "{waited}");
        // The next record does not wait again, until something has left the queue.
        progress.note(999);
        assert!(!progress.moves(1));
        // With 39 others, it has waited for a fifth of its turn.
        assert!(progress.moves(40));
        progress.wait(MILLISECOND * 975, false);
        assert!(!progress.moves(40));
        progress.note(1000);
        assert!(progress.moves(1));
    }

    #[test]
    fn others_are_held_up_for_a_small_part_of_the_time() {
        let mut progress = Progress::default();
        let (mut held_up, mut waits) = (Duration::ZERO, 0);
        // A queue that moves all the time, and is full all the time: ten seconds of it.
        for released in 0..10_000 {
            progress.note(released);
            progress.earn(MILLISECOND);
            if progress.moves(1) {
                progress.wait(MILLISECOND, true);
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
            progress.note(released);
            progress.wait(MILLISECOND, false);
            assert!(progress.moves(1));
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
        // Telling it again changes nothing.
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
