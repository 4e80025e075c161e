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
#[inline(always)]
pub unsafe fn push_plain(out: &mut Out<'_>, text: &[u8]) -> usize {
    // SAFETY: this function's contract.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if sse2::push_all_plain(out, text) {
            return text.len();
        }
        out.apart(|out| push_plain_prefix(out, text))
    }
}

/// Copies the plain bytes at the start of a text of which not all need be plain.
///
/// # Safety
///
/// As [`push_plain`].
#[inline(never)]
unsafe fn push_plain_prefix(out: &mut Out<'_>, text: &[u8]) -> usize {
    // SAFETY: this function's contract.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if text.len() >= 16 {
            return sse2::push_plain(out, text);
        }
        push_plain_words(out, text)
    }
}

/// How many bytes at the start of the block are plain; with `UTF8`, bytes from 0x80 on
/// count as plain, and 0x7f does, which no accepted text has.
#[inline]
#[must_use]
pub fn plain_of_block<const UTF8: bool>(block: &[u8; 16]) -> usize {
    #[cfg(target_arch = "x86_64")]
    return sse2::plain_of_block::<UTF8>(block);
    #[cfg(not(target_arch = "x86_64"))]
    block.iter().take_while(|&&byte| is_plain(byte) || UTF8 && byte >= 0x7f).count()
}

/// With instructions that every x86-64 has.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8,
        _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    use super::Out;

    #[inline]
    fn load(block: &[u8; 16]) -> __m128i {
        // SAFETY: SSE2 is part of x86-64, and the load reads the 16 bytes of `block`.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    /// All bits set in each byte that is not plain.
    #[inline]
    fn special(block: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            // Moves the printable characters, 0x20 to 0x7e, to where the smallest numbers
            // are, so that one comparison tells them from all others.
            let moved = _mm_add_epi8(block, _mm_set1_epi8(0x60));
            let unprintable = _mm_cmpgt_epi8(moved, _mm_set1_epi8(0x7e_u8.wrapping_add(0x60) as i8));
            let quote = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
            _mm_or_si128(_mm_or_si128(quote, backslash), unprintable)
        }
    }

    #[inline]
    fn or(a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_or_si128(a, b) }
    }

    /// A bit for each byte.
    #[inline]
    fn bits(bytes: __m128i) -> u32 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_movemask_epi8(bytes) as u32 }
    }

    #[inline]
    pub(super) fn plain_of_block<const UTF8: bool>(block: &[u8; 16]) -> usize {
        let block = load(block);
        let special = if UTF8 { special_in_utf8(block) } else { special(block) };
        // A bit beyond the last byte, in case that all are plain.
        (bits(special) | 1 << 16).trailing_zeros() as usize
    }

    /// All bits set in each byte that JSON escapes.
    #[inline]
    fn special_in_utf8(block: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
            let quote = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
            _mm_or_si128(_mm_or_si128(quote, backslash), control)
        }
    }

    /// Copies a text if all of it is plain. Two pieces that overlap make a text of any
    /// length between one and two pieces, without a branch for each.
    ///
    /// # Safety
    ///
    /// As [`super::push_plain`].
    #[inline(always)]
    pub(super) unsafe fn push_all_plain(out: &mut Out<'_>, text: &[u8]) -> bool {
        // SAFETY: no more is written than the text's length and the slack.
        unsafe {
            if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
                if text.len() > 32 {
                    return out.apart(|out| push_all_plain_long(out, text));
                }
                if bits(or(special(load(first)), special(load(last)))) != 0 {
                    return false;
                }
                out.push_overlapping(first, last, text.len());
            } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
                let both = _mm_set_epi64x(i64::from_le_bytes(*last), i64::from_le_bytes(*first));
                if bits(special(both)) != 0 {
                    return false;
                }
                out.push_overlapping(first, last, text.len());
            } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
                let both = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
                if super::special(both) != 0 {
                    return false;
                }
                out.push_overlapping(first, last, text.len());
            } else if let ([first, ..], [.., last]) = (text, text) {
                // One to three bytes: some are there twice, and what is not there is a space, which is plain.
                let word = [*first, text[text.len() / 2], *last, b' '];
                if super::special(u64::from(u32::from_le_bytes(word)) | 0x2020_2020 << 32) != 0 {
                    return false;
                }
                out.push_padded(&word, text.len());
            }
            true
        }
    }

    /// The same for a text of at least 16 bytes.
    ///
    /// # Safety
    ///
    /// As [`super::push_plain`].
    #[inline(never)]
    unsafe fn push_all_plain_long(out: &mut Out<'_>, text: &[u8]) -> bool {
        let start = out.len();
        let (groups, rest) = text.as_chunks::<64>();
        for group in groups {
            let ([a, b, c, d], _) = group.as_chunks::<16>() else { return false };
            let found = or(or(special(load(a)), special(load(b))), or(special(load(c)), special(load(d))));
            if bits(found) != 0 {
                out.truncate(start);
                return false;
            }
            // SAFETY: a part of the text.
            unsafe { out.push_padded(group, 64) };
        }
        let (blocks, rest) = rest.as_chunks::<16>();
        let mut found = 0;
        for block in blocks {
            found |= bits(special(load(block)));
            // SAFETY: a part of the text.
            unsafe { out.push_padded(block, 16) };
        }
        if let (false, Some(last)) = (rest.is_empty(), text.last_chunk::<16>()) {
            found |= bits(special(load(last)));
            // SAFETY: goes back over bytes just written, to write them again.
            unsafe {
                out.rewind(16 - rest.len());
                out.push_padded(last, 16);
            }
        }
        if found != 0 {
            out.truncate(start);
        }
        found == 0
    }

    /// # Safety
    ///
    /// As [`super::push_plain`], and `text` has at least 16 bytes.
    pub(super) unsafe fn push_plain(out: &mut Out<'_>, text: &[u8]) -> usize {
        let (blocks, rest) = text.as_chunks::<16>();
        for (index, block) in blocks.iter().enumerate() {
            let special = bits(special(load(block)));
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
        let special = bits(special(load(last))) >> seen;
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
    special(word).trailing_zeros() as usize / 8
}

/// The high bit of the lowest byte that is not plain, and perhaps of bytes above it; 0 if
/// all eight are plain.
#[inline]
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // For bytes below 0x80, subtracting sets the high bit of those below what is
    // subtracted; a borrow can only mark a byte above one that is marked rightly.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (word | below(word, 0x20) | equal(b'"') | equal(b'\\') | equal(0x7f)) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::test_support::written_bytes;

    type Implementation = unsafe fn(&mut Out<'_>, &[u8]) -> usize;

    fn implementations(len: usize) -> Vec<Implementation> {
        let mut all: Vec<Implementation> = vec![push_plain, push_plain_prefix, push_plain_words];
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
