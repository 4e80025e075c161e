//! Copying text until a byte needs attention.
//!
//! Most text in logs is plain ASCII without quotes: it is looked at and copied 16 bytes at
//! a time. Every implementation gives what [`is_plain`] says of each byte.

use super::out::Out;

/// Whether a byte is copied as it is: printable ASCII, but for the quote and the backslash.
#[inline]
#[must_use]
pub const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

/// Room that [`push_plain`] needs beyond the text's own length.
pub const SLACK: usize = 16;

/// Copies the plain bytes at the start of `text`, and returns how many they are.
///
/// # Safety
///
/// Room for all of `text` and [`SLACK`] more bytes is reserved.
#[inline]
pub unsafe fn push_plain(out: &mut Out<'_>, text: &[u8]) -> usize {
    // SAFETY: this function's contract.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if text.len() >= 16 {
            return sse2::push_plain(out, text);
        }
        push_plain_words(out, text)
    }
}

/// 16 bytes at a time, with instructions that every x86-64 has.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    use super::Out;

    /// A bit for each byte that is not plain.
    #[inline]
    fn special(block: &[u8; 16]) -> u32 {
        // SAFETY: SSE2 is part of x86-64, and the load reads the 16 bytes of `block`.
        unsafe {
            let block = _mm_loadu_si128(block.as_ptr().cast::<__m128i>());
            // Signed, so that bytes from 0x80 on are below the space as well.
            let low = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
            let quote = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
            let delete = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));
            _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, quote), _mm_or_si128(backslash, delete))) as u32
        }
    }

    /// # Safety
    ///
    /// As [`super::push_plain`], and `text` has at least 16 bytes.
    pub(super) unsafe fn push_plain(out: &mut Out<'_>, text: &[u8]) -> usize {
        let (blocks, rest) = text.as_chunks::<16>();
        for (index, block) in blocks.iter().enumerate() {
            let special = special(block);
            let plain = if special == 0 { 16 } else { special.trailing_zeros() as usize };
            // SAFETY: what is written beyond the text's length is within the slack.
            unsafe { out.push_padded(block, plain) };
            if special != 0 {
                return index * 16 + plain;
            }
        }
        if rest.is_empty() {
            return text.len();
        }
        // The last block overlaps the one before it, of which all is plain.
        let Some((_, last)) = text.split_last_chunk::<16>() else { return 0 };
        let seen = 16 - rest.len();
        let special = special(last) >> seen;
        let plain = if special == 0 { rest.len() } else { special.trailing_zeros() as usize };
        // SAFETY: goes back over bytes just written, to write them again.
        unsafe {
            out.rewind(seen);
            out.push_padded(last, seen + plain);
        }
        text.len() - rest.len() + plain
    }
}

/// Eight bytes at a time, for short text and for other machines.
///
/// # Safety
///
/// As [`push_plain`].
unsafe fn push_plain_words(out: &mut Out<'_>, text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let plain = plain_prefix(u64::from_le_bytes(*word));
        // SAFETY: what is written beyond the text's length is within the slack.
        unsafe { out.push_padded(word, plain) };
        if plain < 8 {
            return index * 8 + plain;
        }
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let plain = plain_prefix(u64::from_le_bytes(last));
    // SAFETY: as above; the zeros behind the text are not plain, so they are not counted.
    unsafe { out.push_padded(&last, plain) };
    words.len() * 8 + plain
}

/// How many of the eight bytes, the lowest first, are plain.
#[inline]
fn plain_prefix(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // For bytes below 0x80, subtracting sets the high bit of those below what is
    // subtracted; a borrow can only mark a byte above one that is marked rightly.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let special = (word | below(word, 0x20) | equal(b'"') | equal(b'\\') | equal(0x7f)) & HIGH;
    special.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::test_support::written_bytes;

    type Implementation = unsafe fn(&mut Out<'_>, &[u8]) -> usize;

    fn implementations(len: usize) -> Vec<Implementation> {
        let mut all: Vec<Implementation> = vec![push_plain, push_plain_words];
        #[cfg(target_arch = "x86_64")]
        if len >= 16 {
            all.push(sse2::push_plain);
        }
        all
    }

    fn check(text: &[u8]) {
        let expected = text.iter().take_while(|&&byte| is_plain(byte)).count();
        for implementation in implementations(text.len()) {
            let mut count = 0;
            // SAFETY: `written_bytes` gives far more room.
            let bytes = written_bytes(|out| count = unsafe { implementation(out, text) });
            assert_eq!(count, expected, "{text:?}");
            assert_eq!(bytes, &text[..expected], "{text:?}");
        }
    }

    #[test]
    fn every_byte_at_every_position() {
        for len in 0..70 {
            let mut text = vec![b'x'; len];
            check(&text);
            for position in 0..len {
                for byte in 0..=255 {
                    text[position] = byte;
                    check(&text);
                }
                text[position] = b'x';
            }
        }
    }

    #[test]
    fn two_special_bytes() {
        for len in 1..40 {
            for first in 0..len {
                for second in 0..len {
                    let mut text = vec![b'~'; len];
                    text[first] = 0x7f;
                    text[second] = 0xff;
                    check(&text);
                }
            }
        }
    }
}
