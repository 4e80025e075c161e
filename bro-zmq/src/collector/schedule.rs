//! When files are rotated, and the times in their names.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Rotation by the clock: at midnight, and every so often after that, as Zeek does.
pub struct Schedule {
    every: Option<SignedDuration>,
    zone: TimeZone,
}

/// The time between two rotations: `start` is part of it, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// When it begins.
    pub start: Timestamp,
    /// When the next one begins.
    pub end: Timestamp,
}

impl Schedule {
    /// Rotates every so often, one day at most; `None`: never. Times are local if not `utc`.
    pub fn new(every: Option<Duration>, utc: bool) -> Self {
        let zone = if utc { TimeZone::UTC } else { TimeZone::system() };
        Self::in_zone(every, zone)
    }

    pub(super) fn in_zone(every: Option<Duration>, zone: TimeZone) -> Self {
        let every = every.and_then(|every| SignedDuration::try_from(every).ok());
        Self { every: every.filter(|every| every.is_positive()), zone }
    }

    /// The interval that a time is in.
    pub fn interval(&self, now: Timestamp) -> Interval {
        self.around(now).unwrap_or(Interval { start: Timestamp::MIN, end: Timestamp::MAX })
    }

    fn around(&self, now: Timestamp) -> Option<Interval> {
        let every = self.every?;
        let midnight = now.to_zoned_datetime(self.zone.clone()).start_of_day().ok()?;
        let next_midnight = midnight.tomorrow().ok()?.start_of_day().ok()?.timestamp();
        let midnight = midnight.timestamp();
        let passed = now.duration_since(midnight).as_nanos() / every.as_nanos();
        let start = midnight.checked_add(every.checked_mul(i32::try_from(passed).ok()?)?).ok()?;
        let end = start.checked_add(every).ok()?.min(next_midnight);
        Some(Interval { start, end })
    }

    /// A time as it stands in the name of a file: `2026-11-24-03-00-00`.
    pub fn text(&self, time: Timestamp) -> String {
        time.to_zoned_datetime(self.zone.clone()).strftime("%Y-%m-%d-%H-%M-%S").to_string()
    }
}

impl Interval {
    /// Returns true if a time is in the interval.
    pub fn contains(&self, time: Timestamp) -> bool {
        (self.start..self.end).contains(&time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(every: u64, zone: &str) -> Schedule {
        let zone = TimeZone::posix(zone).unwrap();
        Schedule::in_zone(Some(Duration::from_secs(every)), zone)
    }

    #[track_caller]
    fn assert_interval(schedule: &Schedule, now: &str, start: &str, end: &str) {
        let [now, start, end] = [now, start, end].map(|time| time.parse::<Timestamp>().unwrap());
        let interval = schedule.interval(now);
        assert_eq!(interval, Interval { start, end });
        assert!(interval.contains(now) && interval.contains(start) && !interval.contains(end));
    }

    #[test]
    fn intervals_are_counted_from_midnight() {
        let hourly = schedule(3600, "UTC0");
        assert_interval(&hourly, "2026-11-24T03:17:42.5Z", "2026-11-24T03:00:00Z", "2026-11-24T04:00:00Z");
        assert_interval(&hourly, "2026-11-24T03:00:00Z", "2026-11-24T03:00:00Z", "2026-11-24T04:00:00Z");
        // An interval that does not divide a day begins anew at midnight.
        let seven = schedule(7 * 3600, "UTC0");
        assert_interval(&seven, "2026-11-24T23:00:00Z", "2026-11-24T21:00:00Z", "2026-11-25T00:00:00Z");
        let second = schedule(1, "UTC0");
        assert_interval(&second, "2026-11-24T23:59:59.999Z", "2026-11-24T23:59:59Z", "2026-11-25T00:00:00Z");
    }

    #[test]
    fn midnight_is_the_local_one() {
        let daily = schedule(86_400, "EST5EDT,M3.2.0,M11.1.0");
        assert_interval(&daily, "2026-11-24T03:00:00Z", "2026-11-23T05:00:00Z", "2026-11-24T05:00:00Z");
        // A day of 25 hours: the 25th is in an interval of its own.
        assert_interval(&daily, "2026-11-02T04:30:00Z", "2026-11-02T04:00:00Z", "2026-11-02T05:00:00Z");
        // A day of 23 hours.
        assert_interval(&daily, "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z");
        assert_eq!(daily.text("2026-11-24T03:00:07.9Z".parse().unwrap()), "2026-11-23-22-00-07");
    }

    #[test]
    fn without_an_interval_there_is_no_end() {
        let never = Schedule::in_zone(None, TimeZone::UTC);
        assert_eq!(never.interval(Timestamp::UNIX_EPOCH).end, Timestamp::MAX);
    }
}
