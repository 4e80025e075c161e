//! Addresses and subnets as text.
//!
//! The form is that of the host: RFC 5952, and the last 32 bits in dotted form for
//! IPv4-compatible (`::192.0.2.1`), IPv4-mapped (`::ffff:192.0.2.1`) and IPv4-translated
//! (`::ffff:0:192.0.2.1`) addresses.

use super::number::push_u64;
use super::out::Cursor;
use crate::host::Address;

/// Bytes that an address takes at most, bytes that are written beyond its end included.
pub const MAX_ADDRESS: usize = 48;

/// 0 to 255 in decimal with a dot behind, and the number of digits.
static OCTETS: [([u8; 4], u32); 256] = {
    let mut table = [([0; 4], 0); 256];
    let mut n = 0;
    while n < 256 {
        let (a, b, c) = (b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8);
        table[n] = if n >= 100 {
            ([a, b, c, b'.'], 3)
        } else if n >= 10 {
            ([b, c, b'.', 0], 2)
        } else {
            ([c, b'.', 0, 0], 1)
        };
        n += 1;
    }
    table
};

/// The prefix length that the host shows for a subnet; the host keeps that of the 128-bit form.
#[inline]
#[must_use]
pub fn subnet_length(prefix: Address, length: u8) -> u32 {
    match prefix {
        // The host subtracts without looking, too; its arithmetic is modulo 2^32.
        Address::V4(_) => u32::from(length).wrapping_sub(96),
        Address::V6(_) => u32::from(length),
    }
}

/// Writes an address, without quotes.
///
/// # Safety
///
/// Room for [`MAX_ADDRESS`] bytes is reserved.
#[inline(always)]
pub unsafe fn push_address(out: &mut Cursor, address: Address) {
    // SAFETY: the caller has reserved `MAX_ADDRESS` bytes, which is more than the 16 of IPv4.
    unsafe {
        match address {
            Address::V4(octets) => push_v4(out, octets),
            Address::V6(octets) => *out = v6(*out, octets),
        }
    }
}

/// # Safety
///
/// Room for 16 bytes is reserved.
#[inline(always)]
unsafe fn push_v4(out: &mut Cursor, octets: [u8; 4]) {
    for (index, octet) in octets.into_iter().enumerate() {
        let (digits, len) = &OCTETS[octet as usize];
        // SAFETY: at most 16 bytes, the last dot, which is not counted, among them.
        unsafe { out.push_padded(digits, *len as usize + usize::from(index < 3)) };
    }
}

/// # Safety
///
/// Room for [`MAX_ADDRESS`] bytes is reserved.
#[inline(never)]
unsafe fn v6(mut out: Cursor, octets: [u8; 16]) -> Cursor {
    // The first of the longest runs of zeros is written as "::", if it is longer than one.
    let mut runs = zero_words(u128::from_le_bytes(octets));
    let (mut start, mut longest) = (0, 0);
    while runs != 0 {
        // A bit for each place where a run of this length begins.
        longest += 1;
        start = runs.trailing_zeros() as usize;
        runs &= runs >> 1;
    }
    let zeros = if longest < 2 { 0..0 } else { start..start + longest };

    let words = octets.as_chunks::<2>().0;
    let dotted = zeros == (0..6)
        || (zeros == (0..5) && words[5] == [0xff, 0xff])
        || (zeros == (0..4) && words[4] == [0xff, 0xff] && words[5] == [0, 0]);

    // Every word is written with a colon behind it, of which the last is taken back.
    let (before, after) = (&words[..zeros.start], &words[zeros.end..]);
    // SAFETY: the caller has reserved `MAX_ADDRESS` bytes. 46 are the most that is written: six words
    // with their colons and a dotted quad.
    unsafe {
        for word in before {
            push_hex_and_colon(&mut out, *word);
        }
        if !zeros.is_empty() {
            out.push_padded(b"::", if before.is_empty() { 2 } else { 1 });
            if after.is_empty() {
                return out;
            }
        }
        if dotted {
            for word in &after[..after.len() - 2] {
                push_hex_and_colon(&mut out, *word);
            }
            let [.., a, b, c, d] = octets;
            push_v4(&mut out, [a, b, c, d]);
            return out;
        }
        for word in after {
            push_hex_and_colon(&mut out, *word);
        }
        out.rewind(1);
    }
    out
}

/// A bit for each of the eight words of two bytes that is zero, the first word's the lowest.
#[inline(always)]
fn zero_words(octets: u128) -> u32 {
    const LOW: u64 = 0x7fff_7fff_7fff_7fff;
    let [low, high] = [octets as u64, (octets >> 64) as u64].map(|words| {
        // The high bit of each word is set if the word is zero: no bit is set that would carry into it.
        let high_bits = !(((words & LOW) + LOW) | words) & !LOW;
        // Brings the four high bits together.
        ((high_bits >> 15).wrapping_mul(0x1000_2000_4000_8000) >> 60) as u32
    });
    low | high << 4
}

/// 0 to 255 in two hexadecimal digits.
static HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = [DIGITS[n >> 4], DIGITS[n & 15]];
        n += 1;
    }
    table
};

/// Writes a word without its leading zeros, and a colon.
///
/// # Safety
///
/// Room for 8 bytes is reserved; 5 are counted at most.
#[inline(always)]
unsafe fn push_hex_and_colon(out: &mut Cursor, word: [u8; 2]) {
    let [first, second] = word.map(|byte| u64::from(u16::from_le_bytes(HEX[usize::from(byte)])));
    let text = first | second << 16 | u64::from(b':') << 32;
    let zeros = (u32::from(u16::from_be_bytes(word)) | 1).leading_zeros() / 4 - 4;
    // SAFETY: the caller has reserved the 8 bytes; `zeros` is at most 3, as the word has a bit set.
    unsafe { out.push_padded(&(text >> (8 * zeros)).to_le_bytes(), 5 - zeros as usize) };
}

/// Writes `prefix/length`, without quotes.
///
/// # Safety
///
/// Room for [`MAX_ADDRESS`] and 11 more bytes is reserved.
pub unsafe fn push_subnet(out: &mut Cursor, prefix: Address, length: u8) {
    // SAFETY: the caller has reserved `MAX_ADDRESS` bytes for the prefix, one for the slash and ten for
    // a length of up to ten digits.
    unsafe {
        push_address(out, prefix);
        out.push(b'/');
        push_u64(out, u64::from(subnet_length(prefix, length)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::test_support::written;

    fn text(address: Address) -> String {
        // SAFETY: `written` gives more room than an address takes.
        written(|out| unsafe { push_address(out, address) })
    }

    fn v6(words: [u16; 8]) -> String {
        let mut octets = [0; 16];
        for (pair, word) in octets.as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *pair = word.to_be_bytes();
        }
        text(Address::V6(octets))
    }

    #[test]
    fn every_octet() {
        for n in 0..=255_u8 {
            let octets = [n, 255 - n, 0, n / 3];
            assert_eq!(text(Address::V4(octets)), std::net::Ipv4Addr::from(octets).to_string());
        }
    }

    #[test]
    fn v6_forms() {
        for (words, expected) in [
            ([0, 0, 0, 0, 0, 0, 0, 0], "::"),
            ([0, 0, 0, 0, 0, 0, 0, 1], "::1"),
            ([0, 0, 0, 0, 0, 0, 0, 0xffff], "::ffff"),
            ([1, 0, 0, 0, 0, 0, 0, 0], "1::"),
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], "2001:db8::1"),
            ([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1], "2001:db8:0:1::1"),
            ([0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], "2001:db8::1:0:0:1"),
            ([0x2001, 0, 1, 2, 3, 4, 5, 6], "2001:0:1:2:3:4:5:6"),
            ([0, 1, 2, 3, 4, 5, 6, 7], "0:1:2:3:4:5:6:7"),
            ([0xfe80, 0, 0, 0, 0xa00, 0x27ff, 0xfe4e, 0x66a1], "fe80::a00:27ff:fe4e:66a1"),
            ([0xffff; 8], "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ([0, 0, 0, 0, 0, 0, 0xc000, 0x0201], "::192.0.2.1"),
            ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], "::ffff:192.0.2.1"),
            ([0, 0, 0, 0, 0xffff, 0, 0xc000, 0x0201], "::ffff:0:192.0.2.1"),
            ([0, 0, 0, 0, 0, 0xfffe, 0xc000, 0x0201], "::fffe:c000:201"),
            ([0, 0, 0, 0, 0, 0, 1, 0], "::0.1.0.0"),
            ([0, 0, 0, 1, 0, 0, 0, 0], "0:0:0:1::"),
        ] {
            assert_eq!(v6(words), expected);
        }
    }

    #[test]
    fn v6_agrees_with_the_standard_library_where_the_host_does() {
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let words = std::array::from_fn(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if seed >> 62 == 0 { (seed >> 40) as u16 } else { 0 }
            });
            let standard = std::net::Ipv6Addr::from(words);
            let host_only = words[..4] == [0; 4] && (words[4..6] == [0, 0] || words[4..6] == [0xffff, 0]);
            if !host_only {
                assert_eq!(v6(words), standard.to_string());
            }
        }
    }

    #[test]
    fn zero_words_of_every_pattern() {
        for pattern in 0..256_u32 {
            for word in [[1, 0], [0, 1], [0x80, 0], [0, 0x80], [0xff, 0xff]] {
                let mut octets = [0; 16];
                for (index, to) in octets.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    if pattern >> index & 1 == 0 {
                        *to = word;
                    }
                }
                assert_eq!(zero_words(u128::from_le_bytes(octets)), pattern);
            }
        }
    }

    #[test]
    fn every_word() {
        for word in 0..=0xffff {
            assert_eq!(v6([1, word, 1, 1, 1, 1, 1, 1]), format!("1:{word:x}:1:1:1:1:1:1"));
        }
    }

    #[test]
    fn subnet_lengths() {
        assert_eq!(subnet_length(Address::V4([10, 0, 0, 0]), 104), 8);
        assert_eq!(subnet_length(Address::V6([0; 16]), 64), 64);
        assert_eq!(subnet_length(Address::V4([10, 0, 0, 0]), 0), u32::MAX - 95);
    }
}
