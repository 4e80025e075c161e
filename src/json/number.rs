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
#[inline(always)]
pub unsafe fn push_u64(out: &mut Out<'_>, number: u64) {
    // SAFETY: at most 20 digits, and what is written beyond them ends within 24 bytes.
    unsafe {
        if let Some(pair) = PAIRS.get(number as usize) {
            out.push_padded(pair, if number < 10 { 1 } else { 2 });
        } else if number < EIGHT_DIGITS {
            push_short(out, number);
        } else {
            push_long(out, number);
        }
    }
}

/// Writes a signed integer.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline(always)]
pub unsafe fn push_i64(out: &mut Out<'_>, number: i64) {
    // SAFETY: a sign, and 24 bytes at most.
    unsafe {
        if number < 0 {
            out.push(b'-');
        }
        push_u64(out, number.unsigned_abs());
    }
}

/// 0 to 99 in decimal: many numbers in logs are that small.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        let (tens, ones) = (b'0' + (n / 10) as u8, b'0' + (n % 10) as u8);
        pairs[n] = if n < 10 { [ones, 0] } else { [tens, ones] };
        n += 1;
    }
    pairs
};

/// Numbers below have at most eight digits.
const EIGHT_DIGITS: u64 = 100_000_000;

/// The character '0' in each byte.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The last eight decimal digits of a number below 10^8, as bytes from 0 to 9, the first
/// digit in the lowest byte.
///
/// The number is halved into two of four digits, these into four of two, and these into
/// eight, all parts at the same time in one register. Divisions by 100 and 10 are
/// multiplications that are exact for so few digits.
#[inline]
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = (fours * 10_486) >> 20 & 0x7f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = (twos * 103) >> 10 & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// Writes a number below 10^8: no branch depends on how long it is.
///
/// # Safety
///
/// Room for 8 bytes is reserved.
#[inline(always)]
unsafe fn push_short(out: &mut Out<'_>, number: u64) {
    let digits = eight_digits(number);
    // At least one digit stays.
    let zeros = (digits | 1 << 56).trailing_zeros() & !7;
    // SAFETY: this function's contract.
    unsafe { out.push_padded(&((digits | ZEROS) >> zeros).to_le_bytes(), 8 - zeros as usize / 8) };
}

/// Writes a number of more than eight digits.
///
/// # Safety
///
/// Room for 24 bytes is reserved.
#[inline(always)]
unsafe fn push_long(out: &mut Out<'_>, number: u64) {
    let (before, after) = (number / EIGHT_DIGITS, number % EIGHT_DIGITS);
    // SAFETY: at most 20 digits.
    unsafe {
        if let Some(pair) = PAIRS.get(before as usize) {
            // The seconds of times have ten digits.
            out.push_padded(pair, if before < 10 { 1 } else { 2 });
            out.push_padded(&(eight_digits(after) | ZEROS).to_le_bytes(), 8);
        } else {
            out.apart(|out| out.push_slice(itoa::Buffer::new().format(number).as_bytes()));
        }
    }
}

/// Writes a double; NaN and the infinities as null.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline(always)]
pub unsafe fn push_double(out: &mut Out<'_>, number: f64) {
    // SAFETY: each of the two writes at most 24 bytes.
    unsafe {
        match as_micros(number) {
            Some(micros) => push_micros(out, micros),
            None => out.apart(|out| push_any_double(out, number)),
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
    // Signed, for which there are instructions.
    let micros = (number * 1e6 + 0.5) as i64;
    (micros as f64 / 1e6 == number).then_some(micros as u64)
}

/// Writes microseconds as seconds.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved, and `micros` is below 2^53.
#[inline(always)]
unsafe fn push_micros(out: &mut Out<'_>, micros: u64) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    // SAFETY: at most ten digits, the point, and eight bytes.
    unsafe {
        push_u64(out, seconds);
        if fraction == 0 {
            out.push_padded(b".0", 2);
            return;
        }
        // Two more digits, which are zeros, make eight.
        let digits = eight_digits(fraction * 100);
        out.push(b'.');
        out.push_padded(&(digits | ZEROS).to_le_bytes(), 8 - digits.leading_zeros() as usize / 8);
    }
}

/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline(never)]
unsafe fn push_any_double(out: &mut Out<'_>, number: f64) {
    // SAFETY: ryu and `push_laid_out` write at most 24 bytes.
    unsafe {
        // Here ryu lays out as RapidJSON does.
        if (1e-5..1e16).contains(&number.abs()) {
            let mut buffer = ryu::Buffer::new();
            let text = buffer.format_finite(number).as_bytes();
            match (text.first_chunk::<16>(), text.last_chunk::<16>()) {
                (Some(first), Some(last)) => out.push_overlapping(first, last, text.len()),
                _ => out.push_slice(text),
            }
            return;
        }
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
    fn eight_digits_of_every_number() {
        // Each of the steps sees all of its values.
        for number in (0..10_000).chain((0..10_000).map(|n| n * 10_000)).chain((0..EIGHT_DIGITS).step_by(9_973)) {
            let digits = String::from_utf8((eight_digits(number) | ZEROS).to_le_bytes().to_vec()).unwrap();
            assert_eq!(digits, format!("{number:08}"));
        }
    }

    #[test]
    fn integers() {
        let powers = (0..20).flat_map(|power| [10_u64.pow(power) - 1, 10_u64.pow(power), 10_u64.pow(power) + 1]);
        for number in powers.chain([u64::from(u32::MAX), u64::MAX]) {
            // SAFETY: `written` gives more room than a number takes.
            assert_eq!(written(|out| unsafe { push_u64(out, number) }), number.to_string());
        }
        for number in [0, -1, i64::MIN, i64::MAX] {
            // SAFETY: as above.
            assert_eq!(written(|out| unsafe { push_i64(out, number) }), number.to_string());
        }
    }
}
