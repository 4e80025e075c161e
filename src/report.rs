//! Telling the operator about records that are dropped: when it begins, once a minute
//! while it lasts, and when it has ended, which is when records get through again.

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

/// Where reports go: the host's reporter.
pub type Reporter = Box<dyn FnMut(Level, &str)>;

/// A burst is over when nothing was counted for this long.
const QUIET_MILLIS: u64 = 5_000;
/// How often a burst is reported while it lasts.
const REPEAT_MILLIS: u64 = 60_000;

/// Follows a counter of drops.
#[derive(Debug, Default)]
pub struct Burst {
    /// The counter when it was last looked at.
    seen: u64,
    state: Option<Active>,
}

#[derive(Debug)]
struct Active {
    /// The counter when the burst began.
    base: u64,
    last_drop: u64,
    /// How many records had got through at the last drop.
    passed: u64,
    last_report: u64,
}

/// What is to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Records are being dropped, this many so far.
    Began(u64),
    /// They still are; this many since it began.
    Lasts(u64),
    /// It has ended; this many were dropped in all.
    Ended(u64),
}

impl Burst {
    /// Looks at the counter. `now` is in milliseconds.
    pub fn observe(&mut self, count: u64, now: u64) -> Option<News> {
        // Of what is counted here, not counting is the end.
        self.observe_drops(count, u64::MAX, now)
    }

    /// Looks at a counter of drops, and at that of the records that got through.
    pub fn observe_drops(&mut self, dropped: u64, passed: u64, now: u64) -> Option<News> {
        let before = std::mem::replace(&mut self.seen, dropped);
        match &mut self.state {
            None if dropped > before => {
                self.state = Some(Active { base: before, last_drop: now, passed, last_report: now });
                Some(News::Began(dropped - before))
            }
            None => None,
            Some(active) if dropped > before => {
                (active.last_drop, active.passed) = (now, passed);
                if now.saturating_sub(active.last_report) < REPEAT_MILLIS {
                    return None;
                }
                active.last_report = now;
                Some(News::Lasts(dropped - active.base))
            }
            Some(active)
                if now.saturating_sub(active.last_drop) >= QUIET_MILLIS
                    && (passed > active.passed || passed == u64::MAX) =>
            {
                let news = News::Ended(dropped - active.base);
                self.state = None;
                Some(news)
            }
            Some(_) => None,
        }
    }

    /// Returns true if it has begun and has not ended.
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
            [(10, News::Began(100)), (70, News::Lasts(6100)), (130, News::Lasts(12_100)), (154, News::Ended(14_000))]
        );
    }

    #[test]
    fn a_pause_is_no_end() {
        let mut burst = Burst::default();
        // A record every 12 seconds, of which none gets through until the fifth.
        for n in 1..=4 {
            let news = burst.observe_drops(n, 7, n * 12_000);
            assert_eq!(news, (n == 1).then_some(News::Began(1)), "{n}");
            assert_eq!(burst.observe_drops(n, 7, n * 12_000 + 9_000), None);
        }
        assert_eq!(burst.observe_drops(4, 8, 58_000), Some(News::Ended(4)));
        assert_eq!(burst.observe_drops(4, 9, 70_000), None);
        assert_eq!(burst.observe_drops(5, 9, 71_000), Some(News::Began(1)));
    }
}
