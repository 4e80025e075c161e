//! Times, in each of the forms that the host's JSON log knows (`JSON::TimestampFormat`).

use super::number::{MAX_NUMBER, push_i64, push_seconds, push_u64};
use super::out::Cursor;

/// How a time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeFormat {
    /// `JSON::TS_EPOCH`: seconds since the epoch, a double.
    #[default]
    Epoch,
    /// `JSON::TS_MILLIS`: milliseconds since the epoch, a signed integer.
    Millis,
    /// `JSON::TS_MILLIS_UNSIGNED`: milliseconds since the epoch, as the host converts them to an
    /// unsigned integer.
    MillisUnsigned,
    /// `JSON::TS_ISO8601`: UTC with microseconds, a string.
    Iso8601,
}

/// Bytes that a time takes at most: quotes, a year of ten digits with its sign, and
/// "-01-01T00:00:00.1000000Z".
pub const MAX_TIME: usize = if MAX_NUMBER > 48 { MAX_NUMBER } else { 48 };

/// Writes a time given in seconds since the epoch.
///
/// # Safety
///
/// Room for [`MAX_TIME`] bytes is reserved.
#[inline(always)]
pub unsafe fn push_time(out: &mut Cursor, seconds: f64, format: TimeFormat) {
    // SAFETY: the caller has reserved `MAX_TIME` bytes, which is not less than `MAX_NUMBER`.
    unsafe {
        if format == TimeFormat::Epoch {
            push_seconds(out, seconds);
        } else {
            *out = other_time(*out, seconds, format);
        }
    }
}

/// # Safety
///
/// Room for [`MAX_TIME`] bytes is reserved.
#[inline(never)]
unsafe fn other_time(mut out: Cursor, seconds: f64, format: TimeFormat) -> Cursor {
    // SAFETY: the caller has reserved `MAX_TIME` bytes, which is not less than `MAX_NUMBER`.
    unsafe {
        match format {
            TimeFormat::Epoch => push_seconds(&mut out, seconds),
            TimeFormat::Millis => push_i64(&mut out, to_i64(seconds * 1000.0)),
            TimeFormat::MillisUnsigned => push_u64(&mut out, to_i64(seconds * 1000.0) as u64),
            TimeFormat::Iso8601 => push_iso8601(&mut out, seconds),
        }
    }
    out
}

/// Converts as the host's C++ does: a number that does not fit becomes the smallest integer
/// (x86-64's `cvttsd2si`; C++ leaves it open).
#[inline]
fn to_i64(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// # Safety
///
/// Room for [`MAX_TIME`] bytes is reserved.
unsafe fn push_iso8601(out: &mut Cursor, seconds: f64) {
    let Some((year, [month, day, hour, minute, second])) = civil(to_i64(seconds.floor())) else {
        // What the host writes when gmtime() fails.
        // SAFETY: 28 bytes of the `MAX_TIME` that the caller has reserved.
        unsafe { out.push_slice(b"\"2000-01-01T00:00:00.000000\"") };
        return;
    };
    let mut fraction = seconds.fract();
    if fraction < 0.0 {
        fraction += 1.0;
    }
    // The host rounds with printf("%06.0f"), so that a fraction just below a second is
    // written with seven digits.
    let micros = (fraction * 1e6).round_ties_even() as u64;
    // SAFETY: the caller has reserved `MAX_TIME` bytes. At most 38 are written: the quote, 11 of the
    // year, 15 of the next five numbers, the point, and 10 of the last number.
    unsafe {
        out.push(b'"');
        push_i64(out, year);
        for (separator, number) in [(b'-', month), (b'-', day), (b'T', hour), (b':', minute), (b':', second)] {
            out.push(separator);
            push_digits(out, u64::from(number), 2);
        }
        out.push(b'.');
        push_digits(out, micros, 6);
        out.push_slice(b"Z\"");
    }
}

/// Writes a number with at least `width` digits, zeros in front.
///
/// # Safety
///
/// Room for 10 bytes is reserved, `width` is at most 6, and the number at most 10^6.
unsafe fn push_digits(out: &mut Cursor, number: u64, width: u32) {
    // SAFETY: the caller has reserved 10 bytes: at most 5 zeros and then 4 bytes of a digit, or 10 bytes
    // of a number of seven digits and no zero.
    unsafe {
        let mut limit = 10_u64.pow(width - 1);
        while number < limit && limit > 1 {
            out.push(b'0');
            limit /= 10;
        }
        push_u64(out, number);
    }
}

/// Returns the UTC year, and month, day, hour, minute and second, of a number of seconds since the epoch
/// in the proleptic Gregorian calendar. `None` if the year does not fit the `int` of `struct tm`:
/// gmtime() fails then.
fn civil(seconds: i64) -> Option<(i64, [u8; 5])> {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that start in March have their leap day at the end, which makes the rest
    // arithmetic; 400 years ("eras") are 146,097 days. Day 0 is 0000-03-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    i32::try_from(year - 1900).ok()?;
    Some((year, [month, day, second / 3600, second / 60 % 60, second % 60].map(|part| part as u8)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::test_support::written;

    fn text(seconds: f64, format: TimeFormat) -> String {
        // SAFETY: `written` gives more room than a time takes.
        written(|out| unsafe { push_time(out, seconds, format) })
    }

    #[test]
    fn iso8601() {
        for (seconds, expected) in [
            (0.0, "\"1970-01-01T00:00:00.000000Z\""),
            (1_699_999_999.123456, "\"2023-11-14T22:13:19.123456Z\""),
            (951_782_400.5, "\"2000-02-29T00:00:00.500000Z\""),
            (-0.25, "\"1969-12-31T23:59:59.750000Z\""),
            (-62_135_596_800.0, "\"1-01-01T00:00:00.000000Z\""),
            (1.999_999_9, "\"1970-01-01T00:00:01.1000000Z\""),
            (f64::NAN, "\"2000-01-01T00:00:00.000000\""),
            (1e300, "\"2000-01-01T00:00:00.000000\""),
            (f64::NEG_INFINITY, "\"2000-01-01T00:00:00.000000\""),
        ] {
            assert_eq!(text(seconds, TimeFormat::Iso8601), expected);
        }
    }

    #[test]
    fn every_day_of_four_centuries_agrees_with_libc() {
        for day in -150_000..150_000_i64 {
            let seconds = day * 86_400 + day.rem_euclid(86_400);
            // SAFETY: `tm` is plain data, and gmtime_r fills it.
            let tm = unsafe {
                let mut tm: libc::tm = core::mem::zeroed();
                assert!(!libc::gmtime_r(&raw const seconds, &raw mut tm).is_null());
                tm
            };
            let expected = [tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec].map(|part| part as u8);
            assert_eq!(civil(seconds), Some((i64::from(tm.tm_year) + 1900, expected)));
        }
    }

    #[test]
    fn milliseconds() {
        assert_eq!(text(1.5, TimeFormat::Millis), "1500");
        assert_eq!(text(-1.5, TimeFormat::Millis), "-1500");
        assert_eq!(text(-1.5, TimeFormat::MillisUnsigned), (-1500_i64 as u64).to_string());
        assert_eq!(text(f64::NAN, TimeFormat::Millis), i64::MIN.to_string());
        assert_eq!(text(1e300, TimeFormat::Millis), i64::MIN.to_string());
    }
}
