//! The clocks: one cheap enough to be read for every record, and the system's.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds of monotonic time since an arbitrary moment, of a few milliseconds'
/// resolution (`CLOCK_MONOTONIC_COARSE` is read without a system call in about 5 ns,
/// a quarter of what [`std::time::Instant::now`] takes).
#[inline]
#[must_use]
pub fn coarse_millis() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writing. The call fails only for an unknown clock; the
    // kernel has had this one since 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Seconds from a moment, in seconds since the epoch, until now, by the system's clock. Negative
/// if the moment is to come, or the clock was set back.
#[must_use]
pub fn seconds_since(moment: f64) -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() - moment
}
