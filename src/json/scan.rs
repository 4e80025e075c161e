//! Copying text until a byte needs attention.
//!
//! Most text in logs is short, and plain ASCII without quotes. It is checked and copied 16 or 32
//! bytes at a time, with what the processor has ([`Instructions`]). Every implementation agrees
//! with [`is_plain`] on each byte.

use super::out::Cursor;

/// Returns true if a byte is copied as it is: printable ASCII, but neither the quote nor the backslash.
#[inline]
#[must_use]
pub(super) const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
}

/// Returns the letter behind the backslash, for bytes that JSON has a short escape for.
#[inline]
pub(super) const fn short_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => return None,
    })
}

/// Room that copies of whole blocks need beyond the text's own length.
pub(super) const SLACK: usize = 16;

/// The longest text that [`Instructions::push_short`] takes.
pub(super) const SHORT: usize = 64;

/// Room that [`Instructions::push_short`] needs.
pub(super) const SHORT_ROOM: usize = 1 + SHORT + SLACK;

/// Writing a text that is all plain, in the instructions of one kind of processor.
pub trait Instructions {
    /// Writes a text of 1 to [`SHORT`] bytes with its quotes and returns true, if all of it is plain.
    /// Otherwise, and also for texts that lie at an unlucky place in memory, writes nothing that
    /// counts and returns false. The text is a pointer and a length as the host has them, and may be
    /// no text.
    ///
    /// # Safety
    ///
    /// The processor has the instructions. Room for [`SHORT_ROOM`] is reserved. If the pointer is not
    /// null and the length not negative, as many bytes can be read there.
    unsafe fn push_short(out: &mut Cursor, text: (*const u8, i32)) -> bool;

    /// Writes a text of more than [`SHORT`] bytes with its quotes, if all of it is plain and there is
    /// room. The text is a pointer and a length as the host has them, and may be no text.
    ///
    /// # Safety
    ///
    /// The processor has the instructions. `room` bytes are reserved. If the pointer is not null and
    /// the length not negative, as many bytes can be read there.
    unsafe fn long(out: Cursor, room: isize, text: (*const u8, i32)) -> Option<Cursor>;
}

/// Returns the text if it is longer than [`SHORT`] and fits into `room` with its quotes.
///
/// # Safety
///
/// If the pointer is not null and the length not negative, as many bytes can be read there for `'a`.
#[inline(always)]
unsafe fn long_text<'a>(room: isize, (data, length): (*const u8, i32)) -> Option<&'a [u8]> {
    if (length as isize) <= SHORT as isize || length as isize + 2 > room || data.is_null() {
        return None;
    }
    // SAFETY: not null and longer than `SHORT`, so that the caller promises `length` readable bytes.
    Some(unsafe { core::slice::from_raw_parts(data, length as usize) })
}

/// Returns true if a length is one of the 32 numbers from `first` on.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
fn is_from(first: u32, length: i32) -> bool {
    // Negative lengths and smaller ones are large numbers.
    (length as u32).wrapping_sub(first) < 32
}

/// Returns the length if it is one for [`Instructions::push_short`].
#[inline(always)]
fn short_len(length: i32) -> Option<usize> {
    // Negative lengths and zero are large numbers.
    ((length as u32).wrapping_sub(1) < SHORT as u32).then_some(length as usize)
}

/// What every machine has: eight bytes at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) struct Portable;

#[cfg(any(test, not(target_arch = "x86_64")))]
impl Instructions for Portable {
    #[inline(always)]
    unsafe fn push_short(out: &mut Cursor, (data, length): (*const u8, i32)) -> bool {
        let mut end = *out;
        let Some(len) = short_len(length).filter(|_| !data.is_null()) else { return false };
        // SAFETY: not null and of 1 to `SHORT` bytes, which the caller promises to be readable; with two
        // quotes and the slack they fit into the `SHORT_ROOM` that is reserved.
        unsafe {
            let text = core::slice::from_raw_parts(data, len);
            end.push(b'"');
            let all = push_plain_words(&mut end, text) == text.len();
            if all {
                end.push(b'"');
                *out = end;
            }
            all
        }
    }

    unsafe fn long(mut out: Cursor, room: isize, text: (*const u8, i32)) -> Option<Cursor> {
        // SAFETY: `long_text` has seen that the text and two quotes fit into the `room` that the caller
        // promises. Blocks are written in their order, the last of them over bytes just written.
        unsafe {
            let text = long_text(room, text)?;
            out.push(b'"');
            for word in text.as_chunks::<8>().0 {
                if special(u64::from_le_bytes(*word)) != 0 {
                    return None;
                }
                out.push_padded(word, 8);
            }
            let (left, last) = (text.len() % 8, text.last_chunk::<8>()?);
            if left > 0 {
                if special(u64::from_le_bytes(*last)) != 0 {
                    return None;
                }
                out.rewind(8 - left);
                out.push_padded(last, 8);
            }
            out.push(b'"');
        }
        Some(out)
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Sse2};

/// The instructions that every processor has for which this is compiled.
#[cfg(target_arch = "x86_64")]
pub(super) type Baseline = Sse2;
/// The instructions that every processor has for which this is compiled.
#[cfg(not(target_arch = "x86_64"))]
pub(super) type Baseline = Portable;

/// A bit for each byte of the block that is not plain; with `UTF8`, bytes from 0x80 on count
/// as plain, and so does 0x7f, which no accepted text has.
#[inline]
#[must_use]
pub(super) fn specials_of_block<const UTF8: bool>(block: &[u8; 16]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    return x86::specials_of_block::<UTF8>(block);
    #[cfg(not(target_arch = "x86_64"))]
    block.iter().rev().fold(0, |bits, &byte| bits << 1 | u32::from(!(is_plain(byte) || UTF8 && byte >= 0x7f)))
}

/// How many bytes at the start of the block are plain; see [`specials_of_block`].
#[inline]
#[must_use]
pub(super) fn plain_of_block<const UTF8: bool>(block: &[u8; 16]) -> usize {
    // A bit beyond the last byte, in case that all are plain.
    (specials_of_block::<UTF8>(block) | 1 << 16).trailing_zeros() as usize
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use core::arch::x86_64::{
        __m128i, __m256i, _bzhi_u32, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_loadu_si128, _mm_min_epu8,
        _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
        _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
        _mm256_shuffle_epi8,
    };

    use super::{Cursor, Instructions};

    /// SSE2, which every x86-64 has.
    pub(crate) struct Sse2;

    /// AVX2, and what came with it or before it: BMI1, BMI2, LZCNT and POPCNT.
    pub(crate) struct Avx2;

    impl Avx2 {
        /// Returns true if this processor has the instructions.
        #[must_use]
        pub(crate) fn available() -> bool {
            is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt")
        }
    }

    /// Memory is accessible in pages of this size, or of multiples of it.
    const PAGE: usize = 4096;

    /// Returns true if `size` bytes can be read where a text begins, however short the text is. Returns
    /// false for a page's first byte, too, so that null needs no check of its own.
    #[inline(always)]
    pub(in crate::json) fn within_page(text: *const u8, size: usize) -> bool {
        (text as usize).wrapping_sub(1) % PAGE < PAGE - size
    }

    impl Instructions for Sse2 {
        #[inline(always)]
        unsafe fn push_short(out: &mut Cursor, (data, length): (*const u8, i32)) -> bool {
            let Some(len) = super::short_len(length) else { return false };
            // SAFETY: `SHORT_ROOM` bytes are reserved: two quotes, and 16 bytes or the text. The text, not
            // null and of `len` bytes, can be read; up to 16 bytes are within its page.
            unsafe {
                if len <= 16 {
                    if !within_page(data, 16) {
                        return false;
                    }
                    let block = load_16_beyond(data);
                    // A bit beyond the last byte, in case that all are plain.
                    if ((bits(special(block)) | 1 << 16).trailing_zeros() as usize) < len {
                        return false;
                    }
                    out.push(b'"');
                    out.push_padded(&bytes_of(block), len);
                } else {
                    if data.is_null() {
                        return false;
                    }
                    let text = core::slice::from_raw_parts(data, len);
                    // Two pieces that overlap.
                    if len <= 32 {
                        let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) else {
                            return false;
                        };
                        if bits(or(special(load(first)), special(load(last)))) != 0 {
                            return false;
                        }
                        out.push(b'"');
                        out.push_overlapping(first, last, len);
                    } else {
                        let (Some(first), Some(last)) = (text.first_chunk::<32>(), text.last_chunk::<32>()) else {
                            return false;
                        };
                        if bits(or(specials_of_two(first), specials_of_two(last))) != 0 {
                            return false;
                        }
                        out.push(b'"');
                        out.push_overlapping(first, last, len);
                    }
                }
                out.push(b'"');
                true
            }
        }

        #[inline(never)]
        unsafe fn long(mut out: Cursor, room: isize, text: (*const u8, i32)) -> Option<Cursor> {
            // SAFETY: `long_text` has seen that the text and two quotes fit into the `room` that the
            // caller promises. Blocks are written in their order, the last of them over bytes just
            // written.
            unsafe {
                let text = super::long_text(room, text)?;
                out.push(b'"');
                let (groups, rest) = text.as_chunks::<64>();
                for group in groups {
                    let ([a, b, c, d], _) = group.as_chunks::<16>() else { return None };
                    let found = or(or(special(load(a)), special(load(b))), or(special(load(c)), special(load(d))));
                    if bits(found) != 0 {
                        return None;
                    }
                    out.push_padded(group, 64);
                }
                let (blocks, rest) = rest.as_chunks::<16>();
                let mut found = 0;
                for block in blocks {
                    found |= bits(special(load(block)));
                    out.push_padded(block, 16);
                }
                if let (false, Some(last)) = (rest.is_empty(), text.last_chunk::<16>()) {
                    found |= bits(special(load(last)));
                    out.rewind(16 - rest.len());
                    out.push_padded(last, 16);
                }
                out.push(b'"');
                (found == 0).then_some(out)
            }
        }
    }

    impl Instructions for Avx2 {
        #[inline(always)]
        unsafe fn push_short(out: &mut Cursor, (data, length): (*const u8, i32)) -> bool {
            let len = length as usize;
            // SAFETY: the caller promises AVX2. `SHORT_ROOM` bytes are reserved: two quotes, and 32 bytes
            // or the text. The text, not null and of `len` bytes, can be read; the first 32 bytes of a
            // shorter text are within its page.
            unsafe {
                if super::is_from(1, length) {
                    if !within_page(data, 32) {
                        return false;
                    }
                    let block = load_32_beyond(data);
                    let found = _mm256_movemask_epi8(special_32(block)) as u32;
                    // Only the text's own bytes count.
                    if _bzhi_u32(found, len as u32) != 0 {
                        return false;
                    }
                    out.push(b'"');
                    out.push_padded(&core::mem::transmute::<__m256i, [u8; 32]>(block), len);
                    out.push(b'"');
                    return true;
                }
                if !super::is_from(33, length) || data.is_null() {
                    return false;
                }
                // Two pieces that overlap.
                let (first, last) = (&*data.cast::<[u8; 32]>(), &*data.add(len - 32).cast::<[u8; 32]>());
                let found = _mm256_or_si256(special_32(load_32(first)), special_32(load_32(last)));
                if _mm256_movemask_epi8(found) != 0 {
                    return false;
                }
                out.push(b'"');
                out.push_overlapping(first, last, len);
                out.push(b'"');
                true
            }
        }

        #[inline(always)]
        unsafe fn long(out: Cursor, room: isize, text: (*const u8, i32)) -> Option<Cursor> {
            // SAFETY: the caller promises AVX2, `room` reserved bytes, and a text that can be read.
            unsafe { long_avx2(out, room, text) }
        }
    }

    /// # Safety
    ///
    /// The processor has AVX2 and what comes with it. `room` bytes are reserved. If the pointer is not
    /// null and the length not negative, as many bytes can be read there.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    #[inline(never)]
    unsafe fn long_avx2(mut out: Cursor, room: isize, text: (*const u8, i32)) -> Option<Cursor> {
        // SAFETY: `long_text` has seen that the text and two quotes fit into the `room` that the caller
        // promises. Blocks are written in their order, the last of them over bytes just written.
        unsafe {
            let text = super::long_text(room, text)?;
            out.push(b'"');
            let (groups, rest) = text.as_chunks::<64>();
            for group in groups {
                let ([a, b], _) = group.as_chunks::<32>() else { return None };
                let found = _mm256_or_si256(special_32(load_32(a)), special_32(load_32(b)));
                if _mm256_movemask_epi8(found) != 0 {
                    return None;
                }
                out.push_padded(group, 64);
            }
            if let Some(block) = rest.first_chunk::<32>() {
                if _mm256_movemask_epi8(special_32(load_32(block))) != 0 {
                    return None;
                }
                out.push_padded(block, 32);
            }
            let left = rest.len() % 32;
            if left > 0 {
                let last = text.last_chunk::<32>()?;
                if _mm256_movemask_epi8(special_32(load_32(last))) != 0 {
                    return None;
                }
                out.rewind(32 - left);
                out.push_padded(last, 32);
            }
            out.push(b'"');
        }
        Some(out)
    }

    /// Loads 16 bytes from where a text begins: it may be shorter, and whatever lies behind it in memory
    /// is loaded, too. For short text, copies and branches by length would take most of the time.
    ///
    /// # Safety
    ///
    /// The text is not empty, and [`within_page`] has said that 16 bytes can be read there. The bytes
    /// behind the text may belong to anything; they are read in assembly, because Rust allows no reads
    /// of such memory.
    #[inline(always)]
    unsafe fn load_16_beyond(text: *const u8) -> __m128i {
        let block: __m128i;
        // SAFETY: the 16 bytes are in one page, which can be read, as the text's first byte is in it.
        // Other threads may write behind the text: this changes bytes that the caller does not use.
        unsafe {
            core::arch::asm!(
                "movdqu {block}, [{text}]",
                text = in(reg) text,
                block = lateout(xmm_reg) block,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        block
    }

    /// Loads 32 bytes from where a text begins, as [`load_16_beyond`] loads 16.
    ///
    /// # Safety
    ///
    /// The text is not empty, [`within_page`] has said that 32 bytes can be read there, and the
    /// processor has AVX2.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(in crate::json) unsafe fn load_32_beyond(text: *const u8) -> __m256i {
        let block: __m256i;
        // SAFETY: the 32 bytes are in one page, which can be read, as the text's first byte is in it.
        // Other threads may write behind the text: this changes bytes that the caller does not use.
        unsafe {
            core::arch::asm!(
                "vmovdqu {block}, [{text}]",
                text = in(reg) text,
                block = lateout(ymm_reg) block,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        block
    }

    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(in crate::json) fn load_32(block: &[u8; 32]) -> __m256i {
        // SAFETY: the load reads the 32 bytes of `block`.
        unsafe { _mm256_loadu_si256(block.as_ptr().cast()) }
    }

    /// All bits set in each byte that is not plain. Comparisons are signed, so that bytes from 0x80 on
    /// are less than a space.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(in crate::json) fn special_32(block: __m256i) -> __m256i {
        let low = _mm256_cmpgt_epi8(_mm256_set1_epi8(b' ' as i8), block);
        // Each lower half of a byte has a special byte of its own.
        let wanted = _mm256_shuffle_epi8(both_lanes(&SPECIALS), block);
        _mm256_or_si256(_mm256_cmpeq_epi8(block, wanted), low)
    }

    /// For each lower half of a byte the only byte from 0x20 to 0x7f with it that is not plain; if there
    /// is none, a byte with another lower half.
    const SPECIALS: [u8; 16] = {
        let mut specials = [0xff; 16];
        specials[0xf] = 0;
        let mut byte = 0x20;
        while byte < 0x80 {
            if !super::is_plain(byte) {
                specials[byte as usize & 0xf] = byte;
            }
            byte += 1;
        }
        specials
    };

    /// A table to look up halves of bytes in, for both halves of a register.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    pub(in crate::json) fn both_lanes(table: &[u8; 16]) -> __m256i {
        _mm256_broadcastsi128_si256(load(table))
    }

    #[inline(always)]
    fn bytes_of(block: __m128i) -> [u8; 16] {
        // SAFETY: both are 16 bytes, of which all patterns are valid.
        unsafe { core::mem::transmute(block) }
    }

    #[inline]
    fn load(block: &[u8; 16]) -> __m128i {
        // SAFETY: SSE2 is part of x86-64, and the load reads the 16 bytes of `block`.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    /// Moves the printable characters, 0x20 to 0x7e, to where the smallest numbers are, so that
    /// one comparison tells them from all others.
    const MOVE: i8 = 0x60;
    const LAST_MOVED: i8 = 0x7e_u8.wrapping_add(MOVE as u8) as i8;

    /// All bits set in each byte that is not plain.
    #[inline]
    fn special(block: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let moved = _mm_add_epi8(block, _mm_set1_epi8(MOVE));
            let unprintable = _mm_cmpgt_epi8(moved, _mm_set1_epi8(LAST_MOVED));
            let quote = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
            _mm_or_si128(_mm_or_si128(quote, backslash), unprintable)
        }
    }

    /// All bits set in each byte that is not plain in either of two blocks.
    #[inline]
    fn specials_of_two(blocks: &[u8; 32]) -> __m128i {
        let [first, last] = blocks.as_chunks::<16>().0 else { return load(&[0xff; 16]) };
        or(special(load(first)), special(load(last)))
    }

    #[inline]
    fn or(a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_or_si128(a, b) }
    }

    /// The highest bit of each byte, the first byte's the lowest.
    #[inline]
    fn bits(bytes: __m128i) -> u32 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_movemask_epi8(bytes) as u32 }
    }

    #[inline]
    pub(super) fn specials_of_block<const UTF8: bool>(block: &[u8; 16]) -> u32 {
        let block = load(block);
        bits(if UTF8 { special_in_utf8(block) } else { special(block) })
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
}

/// Copies the plain bytes at the start of `text`, eight at a time, and returns how many they are.
///
/// # Safety
///
/// Room for all of `text` and [`SLACK`] more bytes is reserved.
#[cfg(any(test, not(target_arch = "x86_64")))]
unsafe fn push_plain_words(out: &mut Cursor, text: &[u8]) -> usize {
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
    // SAFETY: bytes beyond the text are within the slack. The zeros behind it are not plain, so that they
    // are not counted.
    unsafe { out.push_padded(&last, plain) };
    words.len() * 8 + plain
}

/// How many of the eight bytes, the lowest first, are plain.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline]
fn plain_prefix(word: u64) -> usize {
    special(word).trailing_zeros() as usize / 8
}

/// The high bit of the lowest byte that is not plain, and perhaps of bytes above it; 0 if
/// all eight are plain.
#[cfg(any(test, not(target_arch = "x86_64")))]
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
    #[cfg(target_os = "linux")]
    use crate::json::test_support::Guarded;
    use crate::json::test_support::written_bytes;

    /// Compares what each implementation makes of a text with what it should.
    fn check(text: &[u8]) {
        check_plain(text);
        check_all::<Portable>(text);
        #[cfg(target_arch = "x86_64")]
        {
            check_all::<Sse2>(text);
            if Avx2::available() {
                check_all::<Avx2>(text);
            }
        }
    }

    fn check_plain(text: &[u8]) {
        let expected = text.iter().take_while(|&&byte| is_plain(byte)).count();
        let mut count = 0;
        // SAFETY: `written_bytes` gives far more room.
        let bytes = written_bytes(|out| count = unsafe { push_plain_words(out, text) });
        assert_eq!(count, expected, "{text:?}");
        assert_eq!(bytes, &text[..expected], "{text:?}");
    }

    fn check_all<I: Instructions>(text: &[u8]) {
        let name = std::any::type_name::<I>();
        let all = text.iter().all(|&byte| is_plain(byte));
        let quoted = [b"\"", text, b"\""].concat();
        let mut done = false;
        if (1..=SHORT).contains(&text.len()) {
            let raw = (text.as_ptr(), text.len() as i32);
            // SAFETY: `written_bytes` gives far more room, and the processor has the instructions.
            let bytes = written_bytes(|out| done = unsafe { I::push_short(out, raw) });
            assert!(!done || all, "{name}: {text:?}");
            assert_eq!(bytes, if done { &quoted[..] } else { b"" }, "{name}: {text:?}");
            // A text that ends before the page does must not be refused.
            let in_page = text.len() > 32 || (1..=4096 - 32).contains(&(text.as_ptr() as usize % 4096));
            assert!(done || !all || !in_page, "{name}: {text:?}");
            for raw in [(core::ptr::null(), text.len() as i32), (text.as_ptr(), 0), (text.as_ptr(), -5)] {
                // SAFETY: no text.
                written_bytes(|out| assert!(!unsafe { I::push_short(out, raw) }));
            }
        } else {
            let raw = (text.as_ptr(), text.len() as i32);
            let bytes = written_bytes(|out| {
                // SAFETY: `written_bytes` gives far more room, and the processor has the instructions.
                if let Some(end) = unsafe { I::long(**out, quoted.len() as isize, raw) } {
                    **out = end;
                    done = true;
                }
            });
            assert_eq!(done, all && !text.is_empty(), "{name}: {text:?}");
            assert_eq!(bytes, if done { &quoted[..] } else { b"" }, "{name}: {text:?}");
            for (room, raw) in [
                (quoted.len() as isize - 1, raw),
                (-1, raw),
                (isize::MAX, (core::ptr::null(), 100)),
                (isize::MAX, (text.as_ptr(), -100)),
            ] {
                // SAFETY: a text without room, or none.
                written_bytes(|out| assert!(unsafe { I::long(**out, room, raw) }.is_none()));
            }
        }
    }

    #[test]
    fn every_byte_at_every_position() {
        for len in (0..70).chain([95, 96, 97, 127, 128, 129, 200]) {
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

    /// Text at every place before memory that cannot be read, as text of a host may lie.
    #[test]
    #[cfg(target_os = "linux")]
    fn before_a_page_that_cannot_be_read() {
        let mut guarded = Guarded::new();
        let memory = guarded.bytes();
        const PAGE: usize = 4096;
        for special in [None, Some(b'"'), Some(0xff)] {
            // Up to the end of the memory, and across the page boundary within it.
            for end in [2 * PAGE, 2 * PAGE - 1, PAGE + 1, PAGE] {
                for len in 0..=200 {
                    let text = &mut memory[end - len..end];
                    text.fill(b'x');
                    if let (Some(byte), [.., last]) = (special, &mut *text) {
                        *last = byte;
                    }
                    check(text);
                }
            }
        }
    }
}
