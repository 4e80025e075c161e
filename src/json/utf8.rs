//! Text that hosts accept though not all of it is plain, with AVX2: checked, copied and
//! escaped in one pass, 32 bytes at a time.
//!
//! Invalid UTF-8 shows in each byte together with the three before it. Most faults show in two
//! neighbours: in both halves of the first and the upper half of the second. The halves index three
//! tables of 16 bytes, which one instruction looks up 32 times ([`FAULTS`]; Keiser and Lemire,
//! "Validating UTF-8 in less than one instruction per byte", 2021). Valid characters that hosts do
//! not accept are found by the tables, too, or by comparisons.

use core::arch::x86_64::{
    __m128i, __m256i, _bzhi_u32, _mm_set_epi64x, _mm_shuffle_epi8, _mm256_add_epi8, _mm256_adds_epu8,
    _mm256_alignr_epi8, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_movemask_epi8, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    _mm256_subs_epu8, _mm256_testz_si256, _mm256_xor_si256,
};

use super::out::Cursor;
use super::scan::x86::{both_lanes, load_32, load_32_beyond, special_32, within_page};

/// Writes a text with its quotes and JSON's escapes, if hosts accept all of it.
///
/// # Safety
///
/// The processor has the instructions. Room for twice the text's length, two quotes and
/// `TEXT_SLACK` is reserved.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline(never)]
pub(super) unsafe fn push_accepted(mut out: Cursor, text: &[u8]) -> Option<Cursor> {
    let mut before = Before { block: _mm256_setzero_si256(), open: 0 };
    let mut rest = text;
    // SAFETY: the caller promises AVX2, two bytes for each of the text, and two quotes. A byte becomes two
    // at most, and what is written but not counted is within the slack of 64.
    unsafe {
        out.push(b'"');
        loop {
            let (block, len) = match rest.first_chunk() {
                Some(block) => (load_32(block), 32),
                // Zeros behind the text's end show a sequence that is cut there.
                None if !rest.is_empty() || before.open > 0 => (load_rest(rest), rest.len()),
                None => break,
            };
            out = push_block(out, block, len, &mut before)?;
            rest = &rest[len..];
            if len < 32 {
                break;
            }
        }
        out.push(b'"');
    }
    Some(out)
}

/// The block before, with which a block's first bytes are checked.
struct Before {
    block: __m256i,
    /// A bit for each of the block's last three bytes that is not ASCII.
    open: u32,
}

/// Loads less than 32 bytes, and zeros behind them.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn load_rest(rest: &[u8]) -> __m256i {
    const PLACES: [u8; 32] = {
        let mut places = [0; 32];
        let mut n = 0;
        while n < 32 {
            places[n] = n as u8;
            n += 1;
        }
        places
    };
    if !rest.is_empty() && within_page(rest.as_ptr(), 32) {
        let own = _mm256_cmpgt_epi8(_mm256_set1_epi8(rest.len() as i8), load_32(&PLACES));
        // SAFETY: `rest` is not empty, and 32 bytes from its start are within one page.
        return _mm256_and_si256(unsafe { load_32_beyond(rest.as_ptr()) }, own);
    }
    let mut block = [0; 32];
    block[..rest.len()].copy_from_slice(rest);
    load_32(&block)
}

/// Writes the first `len` bytes of a block, if hosts accept it.
///
/// # Safety
///
/// The processor has the instructions; room for 64 bytes is reserved.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
unsafe fn push_block(mut out: Cursor, block: __m256i, len: usize, before: &mut Before) -> Option<Cursor> {
    // SAFETY: the caller promises AVX2 and 64 bytes, the most that 32 bytes become; `__m256i` and the array
    // are the same bytes.
    unsafe {
        let special = _mm256_movemask_epi8(special_32(block)) as u32;
        let high = _mm256_movemask_epi8(block) as u32;
        if high | before.open > 0 {
            let faults = faults(before.block, block);
            if _mm256_testz_si256(faults, faults) == 0 {
                return None;
            }
        }
        *before = Before { block, open: high >> 29 };
        let escapes = _bzhi_u32(special & !high, len as u32);
        if escapes > 0 {
            return push_escaping(out, block, len, escapes);
        }
        out.push_padded(&core::mem::transmute::<__m256i, [u8; 32]>(block), len);
    }
    Some(out)
}

/// The faults of two neighbours, as sets of half bytes with a bit for each: the first byte's upper half,
/// its lower half, and the second byte's upper half. If all three are in their sets, the pair is a fault.
const FAULTS: [[u16; 3]; 8] = {
    const ANY: u16 = 0xffff;
    const ASCII: u16 = 0x00ff;
    const CONTINUATION: u16 = 0x0f00;
    const START: u16 = 0xf000;
    [
        // A start without a continuation, and a continuation without a start.
        [START, ANY, ASCII | START],
        [ASCII, ANY, CONTINUATION],
        // Less than U+0080.
        [1 << 0xc, 0b11, CONTINUATION],
        // Less than U+0800; and the private use area's part that begins with 0xee.
        [1 << 0xe, 1 | 1 << 0xe, 0b0011 << 8],
        // Surrogates; and the private use area's other half that begins with 0xee.
        [1 << 0xe, 1 << 0xd | 1 << 0xe, 0b1100 << 8],
        // More than U+10FFFF; and less than U+10000.
        [1 << 0xf, 0xfff0, 0b1110 << 8],
        [1 << 0xf, 0xffe1, 0b0001 << 8],
        // Two continuations: a fault unless a start of three or four bytes is in front. Must be the last,
        // whose bit is a byte's highest.
        [CONTINUATION, ANY, CONTINUATION],
    ]
};

/// A bit for each of [`FAULTS`], by half byte.
static TABLES: [[u8; 16]; 3] = {
    let mut tables = [[0; 16]; 3];
    let mut n = 0;
    while n < 8 * 3 * 16 {
        let (fault, table, half) = (n / 48, n / 16 % 3, n % 16);
        tables[table][half] |= ((FAULTS[fault][table] >> half & 1) as u8) << fault;
        n += 1;
    }
    tables
};

/// Sets bits in each byte of `block` that is not accepted behind the bytes before it.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
fn faults(before: __m256i, block: __m256i) -> __m256i {
    let all = |byte: u8| _mm256_set1_epi8(byte as i8);
    let either = |a, b| _mm256_or_si256(a, b);
    let both = |a, b| _mm256_and_si256(a, b);
    let upper = |bytes| both(_mm256_srli_epi16::<4>(bytes), all(0x0f));
    let [first, second, third] = TABLES.each_ref().map(|table| both_lanes(table));
    // The bytes one, two and three places before.
    let across = _mm256_permute2x128_si256::<0x21>(before, block);
    let one = _mm256_alignr_epi8::<15>(block, across);
    let two = _mm256_alignr_epi8::<14>(block, across);
    let three = _mm256_alignr_epi8::<13>(block, across);

    let pairs = both(
        both(_mm256_shuffle_epi8(first, upper(one)), _mm256_shuffle_epi8(second, both(one, all(0x0f)))),
        _mm256_shuffle_epi8(third, upper(block)),
    );
    // The highest bit where a second continuation must be: behind a start of three or four bytes.
    let continued = either(_mm256_subs_epu8(two, all(0xe0 - 0x80)), _mm256_subs_epu8(three, all(0xf0 - 0x80)));
    let invalid = _mm256_xor_si256(pairs, both(continued, all(0x80)));
    // U+0080 to U+009F, U+F000 to U+F8FF, and U+FFF0 to U+FFFF; comparisons are signed.
    let control = both(_mm256_cmpeq_epi8(one, all(0xc2)), _mm256_cmpgt_epi8(all(0xa0), block));
    let private = both(_mm256_cmpeq_epi8(one, all(0xef)), _mm256_cmpgt_epi8(all(0xa4), block));
    let last = both(_mm256_cmpeq_epi8(two, all(0xef)), _mm256_cmpeq_epi8(one, all(0xbf)));
    let special = both(last, _mm256_cmpgt_epi8(block, all(0xaf)));
    either(either(invalid, control), either(private, special))
}

/// For each set of eight bytes the order in which they are written: all eight, and before each byte of
/// the set a backslash, which is byte 8.
static SPREAD: [[u8; 16]; 256] = {
    let mut table = [[0; 16]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut byte, mut at) = (0, 0);
        while byte < 8 {
            if set >> byte & 1 == 1 {
                table[set][at] = 8;
                at += 1;
            }
            table[set][at] = byte;
            at += 1;
            byte += 1;
        }
        set += 1;
    }
    table
};

/// What to add to the five controls to get their letters.
const LETTERS: [u8; 16] = {
    let mut table = [0; 16];
    let mut byte = 0;
    while byte < 16 {
        if let Some(letter) = super::scan::short_escape(byte) {
            table[byte as usize] = letter - byte;
        }
        byte += 1;
    }
    table
};

/// Writes the first `len` bytes of a block, with a backslash before each byte of a set, if JSON has a
/// short escape for all bytes of the set.
///
/// A table spreads eight bytes at a time, so that the number of escapes and their places need no
/// branches.
///
/// # Safety
///
/// The processor has the instructions, room for 64 bytes is reserved, and the set is within `len`, which
/// is at most 32.
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[inline]
unsafe fn push_escaping(mut out: Cursor, block: __m256i, len: usize, escapes: u32) -> Option<Cursor> {
    // SAFETY: the caller promises AVX2 and 64 bytes: four steps of 16 at most. `written` exceeds `len` by
    // less than 8, and as many bytes have been written; arrays and vectors are the same bytes.
    unsafe {
        // Bytes from 0x10 on come to have their highest bit set, for which nothing is looked up.
        let index = _mm256_adds_epu8(block, _mm256_set1_epi8(0x70));
        let block = _mm256_add_epi8(block, _mm256_shuffle_epi8(both_lanes(&LETTERS), index));
        // A byte that has got a letter is plain now; others, but for the quote and the backslash, are not.
        let quote = _mm256_cmpeq_epi8(block, _mm256_set1_epi8(b'"' as i8));
        let backslash = _mm256_cmpeq_epi8(block, _mm256_set1_epi8(b'\\' as i8));
        let special = _mm256_xor_si256(special_32(block), _mm256_or_si256(quote, backslash));
        if _mm256_movemask_epi8(special) as u32 & escapes > 0 {
            return None;
        }
        let words = core::mem::transmute::<__m256i, [i64; 4]>(block);
        let mut written = 0;
        for (word, set) in words.into_iter().zip(escapes.to_le_bytes()) {
            if written >= len {
                break;
            }
            let spread = core::mem::transmute::<[u8; 16], __m128i>(SPREAD[usize::from(set)]);
            let bytes = _mm_shuffle_epi8(_mm_set_epi64x(i64::from(b'\\'), word), spread);
            out.push_padded(&core::mem::transmute::<__m128i, [u8; 16]>(bytes), 8 + set.count_ones() as usize);
            written += 8;
        }
        out.rewind(written - len);
    }
    Some(out)
}
