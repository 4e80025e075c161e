//! Numbers, as RapidJSON writes them for the host.
//!
//! A double is written with the fewest digits that read back as the same double, laid
//! out as RapidJSON's `dtoa` does: at least one decimal ("1.0"), plain up to 21 digits
//! before the point and five zeros after it, else with an exponent ("1e30", "1.5e-7").
//!
//! Almost every double in a log is a time or an interval with microseconds. For those
//! there is a short cut. Let `v` be a double, 0 ≤ v < 2^33, and `m` the integer nearest to
//! `v` · 10^6. If `m` / 10^6, correctly rounded, is `v`, then the decimal `m` / 10^6 without
//! its trailing zeros is the shortest that reads back as `v`:
//!
//! - `m` < 2^53, so that it is exact as a double, and IEEE 754 division yields the double
//!   nearest to `m` / 10^6: the decimal reads back as `v`.
//! - Doubles below 2^33 are at most 2^-20 < 10^-6 apart, and half of that is less than
//!   half of 10^-6: no double is nearest to two different decimals of six places.
//! - A decimal with fewer digits that reads back as `v` has an integer part as long or is
//!   shorter before the point, so at most six places: it is one of those decimals, and
//!   hence the same number. The same holds for a different decimal of equal length.
//!
//! The rest goes through `ryu`.

use super::out::Out;

/// Bytes that a number takes at most, with what is written beyond its end: the longest is
/// a negative double of 17 digits with an exponent, "-1.7976931348623157e308".
pub const MAX_NUMBER: usize = 32;

/// Writes an unsigned integer.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline]
pub unsafe fn push_u64(out: &mut Out<'_>, number: u64) {
    // SAFETY: at most 20 digits.
    unsafe { out.push_slice(itoa::Buffer::new().format(number).as_bytes()) };
}

/// Writes a signed integer.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline]
pub unsafe fn push_i64(out: &mut Out<'_>, number: i64) {
    // SAFETY: a sign and at most 19 digits.
    unsafe { out.push_slice(itoa::Buffer::new().format(number).as_bytes()) };
}

/// Writes a double; NaN and the infinities as null.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline]
pub unsafe fn push_double(out: &mut Out<'_>, number: f64) {
    // SAFETY: each of the two writes at most 24 bytes.
    unsafe {
        match as_micros(number) {
            Some(micros) => push_micros(out, micros),
            None => push_any_double(out, number),
        }
    }
}

/// `number` · 10^6 if the module's short cut applies.
#[inline]
fn as_micros(number: f64) -> Option<u64> {
    const LIMIT: f64 = (1_u64 << 33) as f64;
    // False for NaN. Zero must keep its sign, and only positive zero has no bits set.
    if !(number > 0.0 && number < LIMIT || number.to_bits() == 0) {
        return None;
    }
    // Rounds by truncation; where that is one off, the comparison fails and ryu takes over.
    let micros = (number * 1e6 + 0.5) as u64;
    (micros as f64 / 1e6 == number).then_some(micros)
}

static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// Writes microseconds as seconds.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved, and `micros` is below 2^53.
#[inline]
unsafe fn push_micros(out: &mut Out<'_>, micros: u64) {
    let (seconds, fraction) = (micros / 1_000_000, (micros % 1_000_000) as u32);
    // SAFETY: at most ten digits, the point, and six digits.
    unsafe {
        push_u64(out, seconds);
        out.push(b'.');
        let [a, b, c] = [fraction / 10_000, fraction / 100 % 100, fraction % 100].map(|pair| PAIRS[pair as usize]);
        let digits = [a[0], a[1], b[0], b[1], c[0], c[1], b'0', b'0'];
        let zeros = trailing_zeros(digits);
        out.push_padded(&digits, 6 - zeros);
    }
}

/// How many of the six digits are zeros at the end, leaving at least one digit.
#[inline]
fn trailing_zeros(digits: [u8; 8]) -> usize {
    // Little-endian: the last digit is in the high bits. '0' becomes 0, and the two
    // bytes of padding are shifted out.
    let significant = (u64::from_le_bytes(digits) ^ 0x3030_3030_3030_3030) << 16;
    if significant == 0 { 5 } else { significant.leading_zeros() as usize / 8 }
}

/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[cold]
unsafe fn push_any_double(out: &mut Out<'_>, number: f64) {
    // SAFETY: `layout` writes at most 24 bytes.
    unsafe {
        if !number.is_finite() {
            out.push_slice(b"null");
            return;
        }
        if number.is_sign_negative() {
            out.push(b'-');
        }
        if number == 0.0 {
            out.push_slice(b"0.0");
            return;
        }
        let mut buffer = ryu::Buffer::new();
        let (digits, len, exponent) = shortest(buffer.format_finite(number.abs()));
        push_laid_out(out, &digits[..len], exponent);
    }
}

/// The digits of ryu's text without zeros around them, how many they are, and the
/// exponent: the number is 0.DIGITS · 10^exponent.
fn shortest(text: &str) -> ([u8; 17], usize, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut exponent: i32 = exponent.parse().unwrap_or_default();
    let mut digits = [0; 17];
    let (mut len, mut zeros, mut point) = (0, 0, false);
    for byte in mantissa.bytes() {
        match byte {
            b'.' => point = true,
            b'0' if len == 0 => exponent -= i32::from(point),
            b'0' => {
                zeros += 1;
                exponent += i32::from(!point);
            }
            _ => {
                for _ in 0..zeros {
                    digits[len] = b'0';
                    len += 1;
                }
                zeros = 0;
                digits[len] = byte;
                len += 1;
                exponent += i32::from(!point);
            }
        }
    }
    (digits, len, exponent)
}

/// Writes 0.DIGITS · 10^exponent.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes less one for a sign is reserved.
unsafe fn push_laid_out(out: &mut Out<'_>, digits: &[u8], exponent: i32) {
    let len = digits.len() as i32;
    // SAFETY: at most 21 digits with ".0", or 5 zeros, "0." and 17 digits, or 17 digits, a
    // point and an exponent of five characters.
    unsafe {
        if len <= exponent && exponent <= 21 {
            out.push_slice(digits);
            for _ in len..exponent {
                out.push(b'0');
            }
            out.push_slice(b".0");
        } else if 0 < exponent && exponent <= 21 {
            let (before, after) = digits.split_at(exponent as usize);
            out.push_slice(before);
            out.push(b'.');
            out.push_slice(after);
        } else if -6 < exponent && exponent <= 0 {
            out.push_slice(b"0.");
            for _ in exponent..0 {
                out.push(b'0');
            }
            out.push_slice(digits);
        } else {
            let (first, rest) = digits.split_at(1);
            out.push_slice(first);
            if !rest.is_empty() {
                out.push(b'.');
                out.push_slice(rest);
            }
            out.push(b'e');
            push_i64(out, i64::from(exponent - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::test_support::written;

    fn text(number: f64) -> String {
        // SAFETY: `written` gives more room than a number takes.
        written(|out| unsafe { push_double(out, number) })
    }

    #[test]
    fn layouts() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (10.0, "10.0"),
            (100.5, "100.5"),
            (0.1, "0.1"),
            (0.000001, "0.000001"),
            (0.0000015, "0.0000015"),
            (1.5e-7, "1.5e-7"),
            (1e-7, "1e-7"),
            (0.00001234, "0.00001234"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000.0"),
            (1e21, "1e21"),
            (123456789012345680000.0, "123456789012345680000.0"),
            (1e30, "1e30"),
            (1.234e33, "1.234e33"),
            (1.7976931348623157e308, "1.7976931348623157e308"),
            (-1.7976931348623157e308, "-1.7976931348623157e308"),
            (5e-324, "5e-324"),
            (2.2250738585072014e-308, "2.2250738585072014e-308"),
            (1699999999.123456, "1699999999.123456"),
            (1699999999.1, "1699999999.1"),
            (1699999999.0, "1699999999.0"),
            (8589934591.999999, "8589934591.999999"),
            (8589934592.0, "8589934592.0"),
            (9007199254740993.0, "9007199254740992.0"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(text(number), expected);
        }
    }

    #[test]
    fn every_layout_of_one_to_seventeen_digits() {
        for exponent in -330..310 {
            for digits in ["1", "12", "123456", "1234567890123456", "12345678901234567"] {
                let number: f64 = format!("{}.{}e{exponent}", &digits[..1], &digits[1..]).parse().unwrap();
                if number > 0.0 && number.is_finite() {
                    let text = text(number);
                    assert_eq!(text.parse::<f64>().unwrap(), number, "{text}");
                    assert!(text.contains(['.', 'e']), "{text}");
                }
            }
        }
    }

    /// The short cut and ryu must agree wherever the short cut applies.
    #[test]
    fn the_short_cut_prints_the_shortest_digits() {
        let mut seed = 7_u64;
        let mut taken = 0;
        for round in 0..200_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = match round % 4 {
                0 => (seed >> 11) as f64 / 1e6,
                1 => (seed >> 31) as f64 + (seed % 1_000_000) as f64 / 1e6,
                2 => (seed >> 44) as f64 / 1e6,
                _ => f64::from_bits(((1_699_999_999.0_f64).to_bits()).wrapping_add(seed >> 24)),
            };
            let Some(micros) = as_micros(number) else { continue };
            taken += 1;
            // SAFETY: `written` gives more room than a number takes.
            let short = written(|out| unsafe { push_micros(out, micros) });
            // SAFETY: as above.
            let general = written(|out| unsafe { push_any_double(out, number) });
            assert_eq!(short, general);
        }
        assert!(taken > 50_000, "the short cut was hardly tested: {taken}");
    }

    #[test]
    fn integers() {
        for number in [0, 1, 9, 10, 99, 100, u64::from(u32::MAX), u64::MAX] {
            // SAFETY: `written` gives more room than a number takes.
            assert_eq!(written(|out| unsafe { push_u64(out, number) }), number.to_string());
        }
        for number in [0, -1, i64::MIN, i64::MAX] {
            // SAFETY: as above.
            assert_eq!(written(|out| unsafe { push_i64(out, number) }), number.to_string());
        }
    }
}
