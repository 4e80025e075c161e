//! Numbers, as RapidJSON writes them for the host.
//!
//! A double is written with the fewest digits that read back as the same double, laid
//! out as RapidJSON's `dtoa` does: at least one decimal ("1.0"), plain up to 21 digits
//! before the point and five zeros after it, else with an exponent ("1e30", "1.5e-7").
//!
//! # Times
//!
//! Almost every double in a log is a time with microseconds, or an interval. Integers below 2^33 are
//! written as such. For times with microseconds there is a short cut. Let `v` be a double, 0 ≤ v < 2^33,
//! and `m` the integer nearest to `v` · 10^6. If `m` / 10^6, correctly rounded, is `v`, then the decimal
//! `m` / 10^6 without its trailing zeros is the shortest that reads back as `v`:
//!
//! - `m` < 2^53, so that it is exact as a double, and IEEE 754 division yields the double
//!   nearest to `m` / 10^6: the decimal reads back as `v`.
//! - Doubles below 2^33 are at most 2^-20 < 10^-6 apart, and half of that is less than
//!   half of 10^-6: no double is nearest to two different decimals of six places.
//! - A decimal with fewer digits that reads back as `v` has as many digits before the point, give or
//!   take one, so at most six places: it is one of those decimals, and hence the same number. So is a
//!   different decimal of equal length.
//!
//! # Other doubles
//!
//! Most intervals are the difference of two times, with 15 to 17 digits. From 2^-19 to 2^52
//! their digits can be found with one exact multiplication. Let `v` = `m` · 2^e, where
//! 2^52 < `m` < 2^53; what reads back as `v` is what is at most half of 2^e away from it,
//! those two bounds included if `m` is even. Let `p` be the number of places with
//! 10^-p ≤ 2^e < 10^(1-p). Then:
//!
//! - The bounds are less than 10 · 10^-p apart: at most one decimal of `p` - 1 places lies
//!   between them. If there is one, it is the shortest, for a shorter one would be one of
//!   `p` - 1 places, too; its trailing zeros are left out.
//! - If not, the shortest has `p` places, and of those the one nearest to `v` is wanted. It is
//!   at most half of 10^-p away, and so between the bounds.
//!
//! `v` · 10^p is `m` · 5^p · 2^(e+p), and 5^p has at most 52 bits here: the product is exact
//! in 128 bits. What needs a look at the bounds themselves is left to `ryu`, as are powers of
//! two, whose lower bound is nearer, and all other doubles.

use super::out::Cursor;

/// Bytes that a number takes at most, bytes that are written beyond its end included: a sign, 16
/// digits, the point, and 23 bytes of which one counts at least.
pub const MAX_NUMBER: usize = 41;

/// Writes an unsigned integer.
///
/// # Safety
///
/// Room for 20 bytes is reserved; for numbers below 10^10, 10 bytes are enough, and for numbers
/// below 1000, 4 bytes.
#[inline(always)]
pub unsafe fn push_u64(out: &mut Cursor, number: u64) {
    // SAFETY: 4 bytes below 1000, 7 bytes below 10^6; `long` writes no more than the caller has
    // reserved for longer numbers.
    unsafe {
        if let Some(digits) = SHORT.get(number as usize) {
            push_group(out, digits);
        } else if number < 1_000_000 {
            push_group(out, &SHORT[number as usize / 1000]);
            out.push_padded(&PADDED[number as usize % 1000], 3);
        } else {
            *out = long(*out, number);
        }
    }
}

/// Writes a signed integer.
///
/// # Safety
///
/// Room for 21 bytes is reserved.
#[inline(always)]
pub unsafe fn push_i64(out: &mut Cursor, number: i64) {
    // SAFETY: a sign, and 20 bytes at most.
    unsafe {
        if number < 0 {
            out.push(b'-');
        }
        push_u64(out, number.unsigned_abs());
    }
}

/// 0 to 999 in decimal, and the number of digits in the last byte.
static SHORT: [[u8; 4]; 1000] = {
    let mut table = [[0; 4]; 1000];
    let mut n = 0;
    while n < 1000 {
        let [a, b, c] = three_digits(n);
        table[n] = match n {
            0..10 => [c, 0, 0, 1],
            10..100 => [b, c, 0, 2],
            _ => [a, b, c, 3],
        };
        n += 1;
    }
    table
};

/// 0 to 999 in three digits, and in the last byte how many digits are left without the trailing
/// zeros.
static PADDED: [[u8; 4]; 1000] = {
    let mut table = [[0; 4]; 1000];
    let mut n = 0;
    while n < 1000 {
        let [a, b, c] = three_digits(n);
        let len = if n % 10 > 0 {
            3
        } else if n % 100 > 0 {
            2
        } else {
            (n > 0) as u8
        };
        table[n] = [a, b, c, len];
        n += 1;
    }
    table
};

const fn three_digits(n: usize) -> [u8; 3] {
    [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]
}

/// Writes as many digits as the last byte says.
///
/// # Safety
///
/// Room for 4 bytes is reserved.
#[inline(always)]
unsafe fn push_group(out: &mut Cursor, digits: &[u8; 4]) {
    // SAFETY: the caller has reserved the 4 bytes; the tables' last byte is at most 3.
    unsafe { out.push_padded(digits, usize::from(digits[3])) };
}

/// Writes a number below 10^9 in nine digits.
///
/// # Safety
///
/// Room for 10 bytes is reserved, and the number is below 10^9.
#[inline(always)]
unsafe fn push_nine(out: &mut Cursor, number: u32) {
    // SAFETY: the caller promises 10 reserved bytes, of which the last is written but not counted, and
    // a number below 10^9: each group is below 1000.
    unsafe {
        core::hint::assert_unchecked(number < 1_000_000_000);
        let (millions, rest) = (number / 1_000_000, number % 1_000_000);
        out.push_padded(&PADDED[millions as usize], 3);
        out.push_padded(&PADDED[(rest / 1000) as usize], 3);
        out.push_padded(&PADDED[(rest % 1000) as usize], 3);
    }
}

/// Writes a number of more than six digits.
///
/// # Safety
///
/// Room for 20 bytes is reserved; for numbers below 10^10, 10 bytes are enough.
#[inline(never)]
unsafe fn long(mut out: Cursor, number: u64) -> Cursor {
    // SAFETY: 10 bytes below 10^9, of which 9 count at most; else the digits, 20 at most.
    unsafe {
        if number < 1_000_000_000 {
            push_group(&mut out, &SHORT[number as usize / 1_000_000]);
            let rest = number as usize % 1_000_000;
            out.push_padded(&PADDED[rest / 1000], 3);
            out.push_padded(&PADDED[rest % 1000], 3);
        } else {
            out.push_slice(itoa::Buffer::new().format(number).as_bytes());
        }
    }
    out
}

/// The bits of 2^33. Negative numbers, negative zero, which must keep its sign, and NaN have larger bits.
const LIMIT: u64 = ((1_u64 << 33) as f64).to_bits();

/// Writes a double; NaN and the infinities as null.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline(always)]
pub unsafe fn push_double(out: &mut Cursor, number: f64) {
    // SAFETY: the caller has reserved `MAX_NUMBER` bytes, and no branch writes more. The bits are less
    // than those of 2^33, so the number is neither negative nor NaN and fits an `i64`.
    unsafe {
        if number.to_bits() < LIMIT {
            // A signed integer, for which there are instructions.
            let whole: i64 = number.to_int_unchecked();
            if whole as f64 == number {
                push_u64(out, whole as u64);
                out.push_padded(b".0", 2);
                return;
            }
        }
        push_seconds(out, number);
    }
}

/// Writes a double as [`push_double`] does, without its short cut for integers. For numbers that are
/// hardly ever integers, such as times.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline(always)]
pub unsafe fn push_seconds(out: &mut Cursor, number: f64) {
    // SAFETY: the caller has reserved `MAX_NUMBER` bytes, the most that either of the two writes;
    // `as_micros` returns numbers below 2^53.
    unsafe {
        *out = match as_micros(number) {
            Some(micros) => write_micros(*out, micros),
            None => write_double(*out, number),
        }
    }
}

/// Returns `number` · 10^6, which is below 2^53, if the module's short cut for times applies.
#[inline(always)]
fn as_micros(number: f64) -> Option<u64> {
    if number.to_bits() >= LIMIT {
        return None;
    }
    // Rounds by truncation; if the result is one off, the comparison fails.
    // SAFETY: not negative and below 2^33 · 10^6 < 2^53, so it fits an `i64`.
    let micros: i64 = unsafe { (number * 1e6 + 0.5).to_int_unchecked() };
    (micros as f64 / 1e6 == number).then_some(micros as u64)
}

/// Writes microseconds as seconds.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved, and `micros` is below 2^53.
#[inline(never)]
unsafe fn write_micros(mut out: Cursor, micros: u64) -> Cursor {
    // SAFETY: of the `MAX_NUMBER` bytes that the caller has reserved: at most ten digits, the point, and
    // eight bytes. The last eight of 16 digits are there.
    unsafe {
        if micros < 10_u64.pow(15) {
            let (seconds, fraction) = (micros / 1_000_000, micros as usize % 1_000_000);
            push_u64(&mut out, seconds);
            let [first, last] = [fraction / 1000, fraction % 1000].map(|group| &PADDED[group]);
            out.push(b'.');
            out.push_padded(first, 3);
            out.push_padded(last, 3);
            let zeros = if last[3] > 0 { 3 - last[3] } else { 6 - first[3].max(1) };
            out.rewind(usize::from(zeros));
        } else {
            // Any time since 2001: ten digits before the point.
            let digits = sixteen_digits(micros);
            let last = u64::from_le_bytes(*digits.last_chunk().unwrap_unchecked());
            out.push_padded(&digits, 10);
            out.push(b'.');
            // Zeros at the end, without the first decimal, which is the third of the last eight digits.
            let zeros = (last ^ u64::from_le_bytes([b'0'; 8]) | 1 << 16).leading_zeros() / 8;
            out.push_padded(&(last >> 16).to_le_bytes(), 6 - zeros as usize);
        }
    }
    out
}

/// The digits of a number below 10^16.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn sixteen_digits_of_any(mut number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

#[cfg(not(target_arch = "x86_64"))]
use sixteen_digits_of_any as sixteen_digits;

/// The digits of a number below 10^16: divided into halves four times, in all of a register's
/// lanes at once. Quotients are products with a rounded reciprocal, exact for numbers this small.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn sixteen_digits(number: u64) -> [u8; 16] {
    use core::arch::x86_64::*;
    // SAFETY: SSE2 is part of x86-64, and both types are 16 bytes.
    unsafe {
        let high = number / 100_000_000;
        let eights = _mm_set_epi64x((number - high * 100_000_000) as i64, high as i64);
        let quotients = _mm_srli_epi64::<45>(_mm_mul_epu32(eights, _mm_set1_epi64x(0xd1b7_1759)));
        let rests = _mm_sub_epi64(eights, _mm_mul_epu32(quotients, _mm_set1_epi64x(10_000)));
        let fours = _mm_or_si128(quotients, _mm_slli_epi64::<32>(rests));
        let quotients = _mm_srli_epi16::<3>(_mm_mulhi_epu16(fours, _mm_set1_epi16(5243)));
        let rests = _mm_sub_epi16(fours, _mm_mullo_epi16(quotients, _mm_set1_epi16(100)));
        let twos = _mm_or_si128(quotients, _mm_slli_epi32::<16>(rests));
        let quotients = _mm_mulhi_epu16(twos, _mm_set1_epi16(6554));
        let rests = _mm_sub_epi16(twos, _mm_mullo_epi16(quotients, _mm_set1_epi16(10)));
        let digits = _mm_or_si128(quotients, _mm_slli_epi16::<8>(rests));
        core::mem::transmute::<__m128i, [u8; 16]>(_mm_or_si128(digits, _mm_set1_epi8(b'0' as i8)))
    }
}

/// Writes any double.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[inline(never)]
unsafe fn write_double(mut out: Cursor, number: f64) -> Cursor {
    // SAFETY: the caller has reserved `MAX_NUMBER` bytes: one for the sign, the others for `push`, or
    // all of them for `write_any_double`.
    unsafe {
        if let Some(decimal) = Decimal::of(number) {
            if number.is_sign_negative() {
                out.push(b'-');
            }
            decimal.push(&mut out);
            return out;
        }
        write_any_double(out, number)
    }
}

/// How doubles of one exponent are scaled; see the module's documentation.
#[derive(Clone, Copy)]
struct Scale {
    /// 2^60 · 2^e · 10^p, which is 5^p, shifted: from 2^60 to 10 · 2^60.
    factor: u64,
    /// 10^p, for numbers of at least 1.
    power: u64,
    /// The factor that makes 18 digits of the places behind their leading zeros.
    align: u64,
    /// p.
    places: u8,
    /// The leading zeros that the places have at least: up to 4.
    zeros: u8,
}

/// The exponent of the smallest numbers that [`Decimal`] is for: 2^-19. Below 10^-6 the layout differs.
const SMALLEST: i32 = -19;

/// The scales for the exponents from [`SMALLEST`] to 51.
static SCALES: [Scale; 71] = {
    let mut table = [Scale { factor: 0, power: 0, align: 0, places: 0, zeros: 0 }; 71];
    let mut index = 0;
    while index < table.len() {
        // 2^-shift is the exponent of the last bit.
        let shift = 52 - (SMALLEST + index as i32);
        let (mut places, mut five) = (0, 1_u128);
        // 10^p · 2^-shift = 5^p · 2^(p - shift) is to be at least 1.
        while five << places < 1 << shift {
            five *= 5;
            places += 1;
        }
        let zeros = if places > 18 { places - 18 } else { 0 };
        table[index] = Scale {
            factor: (five << (60 + places - shift)) as u64,
            power: if places < 20 { 10_u64.pow(places as u32) } else { 0 },
            align: 10_u64.pow((18 + zeros - places) as u32),
            places: places as u8,
            zeros: zeros as u8,
        };
        index += 1;
    }
    table
};

/// The shortest digits of a double.
struct Decimal {
    /// The part before the point.
    integer: u64,
    /// The places after it, without `zeros` leading zeros, as 18 digits.
    fraction: u64,
    scale: &'static Scale,
    /// True if there may be zeros at the end of the places.
    trailing_zeros: bool,
}

impl Decimal {
    /// Returns `None` if the module's way for other doubles does not lead to the digits.
    #[inline(always)]
    fn of(number: f64) -> Option<Self> {
        let bits = number.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let scale = SCALES.get(exponent.wrapping_sub((1023 + SMALLEST) as usize))?;
        let mantissa = bits & ((1 << 52) - 1);
        if mantissa == 0 {
            return None;
        }
        // In units of 10^-p, with 64 bits behind the binary point.
        let scaled = u128::from((mantissa | 1 << 52) << 4) * u128::from(scale.factor);
        let (units, part) = ((scaled >> 64) as u64, scaled as u64);
        // `above` is how far the number is from the tens below, `half` is half of what the bounds are
        // apart, and `upper` is where the upper half begins; all with 60 bits behind the binary point.
        let tens = units / 10;
        let above = (units - tens * 10) << 60 | part >> 4;
        let half = scale.factor >> 1;
        let upper = (10 << 60) - half;
        if above == half || above == upper {
            return None;
        }
        let trailing_zeros = above < half || above > upper;
        let rounded = if above < half {
            tens * 10
        } else if above > upper {
            tens * 10 + 10
        } else {
            // Half way between two, to the even one.
            units + u64::from(part > (1 << 63) - (units & 1))
        };
        // Doubles this small that are integers are decimals of no places, so that rounding
        // never carries into the part before the point.
        // SAFETY: the exponent has an entry in `SCALES`, so the number is below 2^52.
        let integer = unsafe { number.abs().to_int_unchecked::<i64>() } as u64;
        let fraction = (rounded - integer * scale.power) * scale.align;
        Some(Self { integer, fraction, scale, trailing_zeros })
    }

    /// Writes the number without a sign.
    ///
    /// # Safety
    ///
    /// Room for [`MAX_NUMBER`] bytes less one for a sign is reserved.
    #[inline(always)]
    unsafe fn push(&self, out: &mut Cursor) {
        let Scale { places, zeros, .. } = *self.scale;
        // SAFETY: 40 bytes: at most 16 digits, the point, 4 zeros, 18 digits and a byte behind them. What
        // is taken back has been written; the loop ends at the point at the latest.
        unsafe {
            push_u64(out, self.integer);
            out.push(b'.');
            out.push_padded(b"0000", usize::from(zeros));
            push_nine(out, (self.fraction / 1_000_000_000) as u32);
            push_nine(out, (self.fraction % 1_000_000_000) as u32);
            out.rewind(usize::from(18 + zeros - places));
            if self.trailing_zeros {
                while out.last() == b'0' {
                    out.rewind(1);
                }
                // At least one decimal.
                if out.last() == b'.' {
                    out.push(b'0');
                }
            }
        }
    }
}

/// Writes any double, by means of `ryu`.
///
/// # Safety
///
/// Room for [`MAX_NUMBER`] bytes is reserved.
#[cold]
unsafe fn write_any_double(mut out: Cursor, number: f64) -> Cursor {
    // SAFETY: the caller has reserved `MAX_NUMBER` bytes; a sign, and at most 24 bytes of ryu or of
    // `push_laid_out`.
    unsafe {
        if !number.is_finite() {
            out.push_slice(b"null");
            return out;
        }
        if number.is_sign_negative() {
            out.push(b'-');
        }
        if number == 0.0 {
            out.push_slice(b"0.0");
            return out;
        }
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(number.abs());
        if (1e-5..1e16).contains(&number.abs()) {
            // Here ryu lays out as RapidJSON does.
            out.push_slice(text.as_bytes());
            return out;
        }
        let (digits, len, exponent) = shortest(text);
        push_laid_out(&mut out, &digits[..len], exponent);
    }
    out
}

/// Returns the digits of ryu's text without zeros around them, their number, and the exponent: the
/// number is 0.DIGITS · 10^exponent.
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
unsafe fn push_laid_out(out: &mut Cursor, digits: &[u8], exponent: i32) {
    let len = digits.len() as i32;
    // SAFETY: at most 24 bytes: 21 digits with ".0"; or "0.", 5 zeros and 17 digits; or 17 digits, a
    // point and an exponent of five characters, with a byte behind it.
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
            let short = written(|out| unsafe { **out = write_micros(**out, micros) });
            // SAFETY: `written` gives more room than a number takes.
            let general = written(|out| unsafe { **out = write_any_double(**out, number) });
            assert_eq!(short, general);
            assert_eq!(text(number), general);
            // SAFETY: `written` gives more room than a number takes.
            assert_eq!(written(|out| unsafe { push_seconds(out, number) }), general);
            assert_eq!(text(number.trunc()), format!("{}.0", number.trunc()));
        }
        assert!(taken > 50_000, "the short cut was hardly tested: {taken}");
    }

    /// Compares the digits found with one multiplication to ryu's. Returns true if there are any.
    fn check_decimal(number: f64) -> bool {
        let taken = Decimal::of(number).is_some();
        if taken {
            // SAFETY: `written` gives more room than a number takes.
            let short = written(|out| unsafe { **out = write_double(**out, number) });
            // SAFETY: `written` gives more room than a number takes.
            let general = written(|out| unsafe { **out = write_any_double(**out, number) });
            assert_eq!(short, general, "{number:e}");
        }
        taken
    }

    #[test]
    fn other_doubles_have_the_shortest_digits() {
        let mut seed = 11_u64;
        let mut taken = 0;
        const ROUNDS: u32 = 600_000;
        for round in 0..ROUNDS {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let exponent = (1023 + SMALLEST) as u64 + (seed >> 32) % SCALES.len() as u64;
            let mantissa = seed.rotate_left(25) >> 12;
            let number = match round % 6 {
                // Any at all.
                0 | 1 => f64::from_bits(exponent << 52 | mantissa),
                // The difference of two times.
                2 => (seed >> (44 - round % 20)) as f64 / f64::from(1 << 22),
                // Few digits, and their neighbours.
                3 => ((seed >> 40) as f64 / 10_f64.powi((round / 6 % 12) as i32)).next_up(),
                4 => (seed >> 50) as f64 / 10_f64.powi((round / 6 % 12) as i32),
                // Near a power of two.
                _ => f64::from_bits((exponent << 52).wrapping_add((round % 9) as u64).wrapping_sub(4)),
            };
            taken += u32::from(check_decimal(number)) + u32::from(check_decimal(-number));
        }
        assert!(taken > ROUNDS * 3 / 2, "{taken}");
    }

    /// The ends of the range, and half way between decimals: other tests reach them by chance only.
    #[test]
    fn the_ends_of_the_range() {
        for number in [2.0_f64.powi(-3), 2.0_f64.powi(-19).next_down(), 2.0_f64.powi(52)] {
            assert!(!check_decimal(number), "{number}");
        }
        for number in [
            2.0_f64.powi(-19).next_up(),
            2.0_f64.powi(52).next_down(),
            0.25 + 2.0_f64.powi(50),
            0.75 + 2.0_f64.powi(50),
            -7.0,
            -0.5f64.next_up(),
        ] {
            assert!(check_decimal(number), "{number}");
        }
    }

    #[test]
    fn sixteen_digits_of_every_group() {
        let mut seed = 5_u64;
        for group in 0..10_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = seed % 10_u64.pow(16);
            for number in [group, group * 10_000, group * 100_000_000, group * 1_000_000_000_000, random] {
                let digits = format!("{number:016}");
                assert_eq!(sixteen_digits(number), *digits.as_bytes());
                assert_eq!(sixteen_digits_of_any(number), *digits.as_bytes());
            }
        }
    }

    #[test]
    fn groups_of_three_digits() {
        for number in 0..1000 {
            assert_eq!(PADDED[number][..3], *format!("{number:03}").as_bytes());
            let places = format!("{number:03}").trim_end_matches('0').len();
            assert_eq!(usize::from(PADDED[number][3]), places);
            let short = SHORT[number];
            assert_eq!(short[..usize::from(short[3])], *number.to_string().as_bytes());
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
            // SAFETY: `written` gives more room than a number takes.
            assert_eq!(written(|out| unsafe { push_i64(out, number) }), number.to_string());
        }
    }
}
