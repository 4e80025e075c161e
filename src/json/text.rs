//! Text: strings, enums and the like, which may hold any bytes.
//!
//! The host's rule (Zeek 4.2 and later): a text is written as it is if all of it is printable ASCII,
//! one of the controls `\b \t \n \f \r`, or valid UTF-8 outside the ranges below. Otherwise
//! every byte that is neither printable ASCII nor one of those controls becomes the four
//! characters `\xNN`, the bytes of valid UTF-8 sequences included. Then JSON's own escaping
//! follows.
//!
//! Not accepted though valid UTF-8: controls (U+0000 to U+001F but for the five, U+007F to
//! U+009F), the private use area U+E000 to U+F8FF, and the specials U+FFF0 to U+FFFF.
//!
//! Zeek 9 has two more rules to choose from for strings, see [`EscapePolicy`].

use super::out::{Cursor, Full, Out};
#[cfg(target_arch = "x86_64")]
use super::scan::Avx2;
use super::scan::{Baseline, Instructions, SLACK, is_plain, plain_of_block, short_escape, specials_of_block};

/// What becomes of a string's bytes that are not accepted (`JSON::StringEscapePolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapePolicy {
    /// `STRING_ESCAPE_POLICY_HEX`: the rule of [this module](self). Before Zeek 9 there is no other.
    #[default]
    Hex,
    /// `STRING_ESCAPE_POLICY_PUA`: each becomes a character of its own, U+F0000 plus the byte,
    /// written as a surrogate pair; all other characters stay as they are.
    Pua,
    /// `STRING_ESCAPE_POLICY_TSV`: as in the host's TSV logs. Each backslash is doubled, and
    /// the rule of this module holds for what is between them, with no control accepted.
    Tsv,
}

/// Room that [`Escapes::accepted`] needs beyond twice the text's length and its quotes.
pub const TEXT_SLACK: usize = 64;

/// Writing a text that is not all plain, in the instructions of one kind of processor.
pub trait Escapes: Instructions {
    /// Writes any text with its quotes, and with JSON's escapes, if hosts accept all of it (see
    /// [this module](self)).
    ///
    /// # Safety
    ///
    /// The processor has the instructions. Room for twice the text's length, two quotes and
    /// [`TEXT_SLACK`] is reserved.
    unsafe fn accepted(out: Cursor, text: &[u8]) -> Option<Cursor> {
        // SAFETY: the caller has reserved the room; every processor has these instructions.
        unsafe { push_accepted(out, text) }
    }
}

impl Escapes for Baseline {}

#[cfg(target_arch = "x86_64")]
impl Escapes for Avx2 {
    #[inline(always)]
    unsafe fn accepted(out: Cursor, text: &[u8]) -> Option<Cursor> {
        // SAFETY: the caller promises AVX2 and the room.
        unsafe { super::utf8::push_accepted(out, text) }
    }
}

/// Writes text with its quotes, where `room` bytes may be written.
///
/// # Safety
///
/// The processor has the instructions, and `room` bytes are reserved.
///
/// # Errors
///
/// The room may be too little.
pub unsafe fn push_text<I: Escapes>(out: Cursor, room: isize, text: &[u8]) -> Result<Cursor, Full> {
    let fits = |len: usize| isize::try_from(len).is_ok_and(|len| len <= room);
    if !fits(text.len().saturating_mul(2).saturating_add(2 + TEXT_SLACK)) {
        return Err(Full);
    }
    // SAFETY: the caller promises the instructions and `room` bytes: enough for any text that is accepted,
    // as just checked.
    match unsafe { I::accepted(out, text) } {
        Some(end) => Ok(end),
        None if !fits(text.len().saturating_mul(5).saturating_add(2 + SLACK)) => Err(Full),
        // SAFETY: `room` bytes are enough for five for each byte, two quotes and the slack, as just checked.
        None => Ok(unsafe { push_escaped(out, text) }),
    }
}

/// [`Escapes::accepted`] for any processor.
///
/// # Safety
///
/// Room for twice the text's length, two quotes and [`TEXT_SLACK`] is reserved.
unsafe fn push_accepted(mut out: Cursor, text: &[u8]) -> Option<Cursor> {
    // SAFETY: the caller has reserved two quotes, two bytes for each of the text, and a slack of more
    // than `SLACK`.
    unsafe {
        out.push(b'"');
        let done;
        (out, done) = push_short_escaped::<false>(out, text);
        let rest = &text[done..];
        if !rest.is_empty() {
            if !accepts(rest) {
                return None;
            }
            (out, _) = push_short_escaped::<true>(out, rest);
        }
        out.push(b'"');
    }
    Some(out)
}

/// Writes text up to the first byte that is neither plain nor has a short escape, and returns how
/// many bytes of the text it has written. With `UTF8`, bytes from 0x80 on count as plain.
///
/// # Safety
///
/// Room for twice the text's length and [`SLACK`] more bytes is reserved.
unsafe fn push_short_escaped<const UTF8: bool>(mut out: Cursor, text: &[u8]) -> (Cursor, usize) {
    let mut done = 0;
    // SAFETY: the caller has reserved two bytes for each of the text, and no byte becomes more. Bytes that
    // are written but not counted are within the slack.
    unsafe {
        while let Some(block) = text[done..].first_chunk::<16>() {
            let plain = plain_of_block::<UTF8>(block);
            out.push_padded(block, plain);
            done += plain;
            if plain < 16 {
                let Some(letter) = short_escape(block[plain]) else { return (out, done) };
                out.push_slice(&[b'\\', letter]);
                done += 1;
            }
        }
        for &byte in &text[done..] {
            if is_plain(byte) || UTF8 && byte >= 0x80 {
                out.push(byte);
            } else {
                let Some(letter) = short_escape(byte) else { return (out, done) };
                out.push_slice(&[b'\\', letter]);
            }
            done += 1;
        }
    }
    (out, done)
}

/// What each byte becomes in text that is not accepted as UTF-8, and in the highest byte the number of
/// bytes.
static ESCAPED: [u64; 256] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let byte = n as u8;
        table[n] = u64::from_le_bytes(match short_escape(byte) {
            _ if is_plain(byte) => [byte, 0, 0, 0, 0, 0, 0, 1],
            Some(letter) => [b'\\', letter, 0, 0, 0, 0, 0, 2],
            None => [b'\\', b'\\', b'x', HEX[n >> 4], HEX[n & 15], 0, 0, 5],
        });
        n += 1;
    }
    table
};

/// Writes text that the host does not accept as UTF-8.
///
/// # Safety
///
/// Room for five times its length, two quotes and [`SLACK`] is reserved.
#[inline(never)]
unsafe fn push_escaped(mut end: Cursor, text: &[u8]) -> Cursor {
    let (blocks, rest) = text.as_chunks::<16>();
    // SAFETY: the caller has reserved five bytes for each of the text, and no byte becomes more. Bytes that
    // are written but not counted are within the slack.
    unsafe {
        end.push(b'"');
        for block in blocks {
            let specials = specials_of_block::<false>(block);
            if specials == 0 {
                end.push_padded(block, 16);
                continue;
            }
            let (halves, _) = block.as_chunks::<8>();
            for (half, specials) in halves.iter().zip([specials & 0xff, specials >> 8]) {
                if specials == 0 {
                    end.push_padded(half, 8);
                } else {
                    half.iter().for_each(|&byte| push_escaped_byte(&mut end, byte));
                }
            }
        }
        rest.iter().for_each(|&byte| push_escaped_byte(&mut end, byte));
        end.push(b'"');
    }
    end
}

/// # Safety
///
/// Room for 8 bytes is reserved.
#[inline(always)]
unsafe fn push_escaped_byte(out: &mut Cursor, byte: u8) {
    let entry = ESCAPED[usize::from(byte)];
    // SAFETY: the caller has reserved the 8 bytes; the table's lengths are at most 5.
    unsafe { out.push_padded(&entry.to_le_bytes(), (entry >> 56) as usize) };
}

/// Writes text with its quotes by the rule of `policy`.
///
/// # Errors
///
/// There is no room for it.
pub fn push_text_by(policy: EscapePolicy, out: &mut Out<'_>, text: &[u8]) -> Result<(), Full> {
    match policy {
        EscapePolicy::Hex => {
            // SAFETY: every processor has these instructions, and `left` bytes can be reserved.
            **out = unsafe { push_text::<Baseline>(**out, out.left(), text) }?;
            Ok(())
        }
        EscapePolicy::Pua => push_pua(out, text),
        EscapePolicy::Tsv => push_tsv(out, text),
    }
}

/// Writes text by [`EscapePolicy::Pua`].
fn push_pua(out: &mut Out<'_>, mut text: &[u8]) -> Result<(), Full> {
    out.reserve(text.len().saturating_mul(PUA_LEN).saturating_add(2))?;
    // SAFETY: two quotes and `PUA_LEN` for each byte were just reserved, and no byte becomes more.
    unsafe {
        out.push(b'"');
        while let Some(&byte) = text.first() {
            let accepted = |&len: &usize| text.get(..len).is_some_and(accepts_apart);
            let len = if byte < 0x80 { 1 } else { (2..=4).find(accepted).unwrap_or(1) };
            let (character, rest) = text.split_at(len);
            match short_escape(byte) {
                Some(letter) => out.push_slice(&[b'\\', letter]),
                None if len > 1 || is_plain(byte) => out.push_slice(character),
                None => {
                    out.push_slice(b"\\udb80\\udc");
                    out.push_slice(&HEX[usize::from(byte)]);
                }
            }
            text = rest;
        }
        out.push(b'"');
    }
    Ok(())
}

/// How many bytes a byte takes at most by [`EscapePolicy::Pua`].
const PUA_LEN: usize = r"\udb80\udcff".len();

/// [`accepts`], not inlined.
#[inline(never)]
fn accepts_apart(text: &[u8]) -> bool {
    accepts(text)
}

/// Writes text by [`EscapePolicy::Tsv`].
fn push_tsv(out: &mut Out<'_>, text: &[u8]) -> Result<(), Full> {
    out.reserve(text.len().saturating_mul(5).saturating_add(2))?;
    // SAFETY: two quotes and five for each byte were just reserved, and no byte becomes more.
    unsafe {
        out.push(b'"');
        for (index, part) in text.split(|&byte| byte == b'\\').enumerate() {
            if index > 0 {
                out.push_slice(br"\\\\");
            }
            let accepted = accepts_apart(part) && !part.iter().any(|&byte| byte < 0x20);
            for &byte in part {
                match byte {
                    b'"' => out.push_slice(br#"\""#),
                    _ if accepted || is_plain(byte) => out.push(byte),
                    _ => {
                        out.push_slice(br"\\x");
                        out.push_slice(&HEX[usize::from(byte)]);
                    }
                }
            }
        }
        out.push(b'"');
    }
    Ok(())
}

/// Each byte's two digits.
static HEX: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = [b"0123456789abcdef"[n >> 4], b"0123456789abcdef"[n & 15]];
        n += 1;
    }
    table
};

/// Returns true if the host writes all of this text as it is.
#[inline(always)]
fn accepts(mut text: &[u8]) -> bool {
    while let Some((&first, rest)) = text.split_first() {
        let len = match (first, rest) {
            (0x20..=0x7e, _) => match text.first_chunk() {
                // The quote and the backslash are accepted, but not plain.
                Some(block) => plain_of_block::<false>(block).max(1),
                None => 1,
            },
            (0x08 | 0x09 | 0x0a | 0x0c | 0x0d, _) => 1,
            (0xc2, [0xa0..=0xbf, ..]) | (0xc3..=0xdf, [0x80..=0xbf, ..]) => 2,
            (0xe0, [0xa0..=0xbf, 0x80..=0xbf, ..])
            | (0xe1..=0xec, [0x80..=0xbf, 0x80..=0xbf, ..])
            | (0xed, [0x80..=0x9f, 0x80..=0xbf, ..])
            | (0xef, [0xa4..=0xbe, 0x80..=0xbf, ..])
            | (0xef, [0xbf, 0x80..=0xaf, ..]) => 3,
            (0xf0, [0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..])
            | (0xf1..=0xf3, [0x80..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..])
            | (0xf4, [0x80..=0x8f, 0x80..=0xbf, 0x80..=0xbf, ..]) => 4,
            _ => return false,
        };
        text = &text[len..];
    }
    true
}

/// Appends a column's name with no more than JSON's own escaping, as RapidJSON does.
pub(super) fn push_escaped_name(to: &mut Vec<u8>, name: &[u8]) {
    for &byte in name {
        match short_escape(byte) {
            Some(letter) => to.extend_from_slice(&[b'\\', letter]),
            None if byte < 0x20 => to.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
            None => to.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::json::scan::Avx2;
    use crate::json::scan::Portable;
    use crate::json::test_support::{written, written_bytes};

    #[cfg(target_arch = "x86_64")]
    impl Escapes for Portable {}

    fn text(bytes: &[u8]) -> String {
        text_by(EscapePolicy::Hex, bytes)
    }

    fn text_by(policy: EscapePolicy, bytes: &[u8]) -> String {
        written(|out| push_text_by(policy, out, bytes).unwrap())
    }

    /// The rule of the module's documentation, step by step.
    fn naive(bytes: &[u8]) -> Vec<u8> {
        let control = |byte: u8| matches!(byte, 8 | 9 | 10 | 12 | 13);
        let accepted = std::str::from_utf8(bytes).is_ok_and(|text| {
            text.chars().all(|c| match c {
                '\0'..='\x1f' => control(c as u8),
                '\x7f'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}' => false,
                _ => true,
            })
        });
        let mut hex = Vec::new();
        for &byte in bytes {
            if accepted || control(byte) || (0x20..0x7f).contains(&byte) {
                hex.push(byte);
            } else {
                hex.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            }
        }
        serde_json::to_vec(&String::from_utf8(hex).unwrap()).unwrap()
    }

    /// Zeek 9's two other rules, one character at a time.
    fn naive_by(policy: EscapePolicy, bytes: &[u8]) -> String {
        let accepted = |c: char| !matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}');
        let json = |c: char| serde_json::to_string(&c.to_string()).unwrap().trim_matches('"').to_owned();
        let mut text = String::from("\"");
        match policy {
            EscapePolicy::Hex => return String::from_utf8(naive(bytes)).unwrap(),
            EscapePolicy::Pua => {
                for chunk in bytes.utf8_chunks() {
                    for c in chunk.valid().chars() {
                        text += &match c {
                            '"' => "\\\"".to_owned(),
                            _ if accepted(c) || matches!(c, '\x08' | '\t' | '\n' | '\x0c' | '\r') => json(c),
                            _ => c.to_string().bytes().map(|byte| format!("\\udb80\\udc{byte:02x}")).collect(),
                        }
                    }
                    for byte in chunk.invalid() {
                        text += &format!("\\udb80\\udc{byte:02x}");
                    }
                }
            }
            EscapePolicy::Tsv => {
                for (index, part) in bytes.split(|&byte| byte == b'\\').enumerate() {
                    text += if index > 0 { r"\\\\" } else { "" };
                    match std::str::from_utf8(part) {
                        Ok(part) if part.chars().all(accepted) => text += &part.replace('"', "\\\""),
                        _ => {
                            for &byte in part {
                                text += &match byte {
                                    b'"' => "\\\"".to_owned(),
                                    b' '..=b'~' => char::from(byte).to_string(),
                                    _ => format!(r"\\x{byte:02x}"),
                                }
                            }
                        }
                    }
                }
            }
        }
        text + "\""
    }

    /// What each kind of processor makes of a text by the usual rule.
    fn check_hex(bytes: &[u8]) {
        let expected = naive(bytes);
        let same = |got: Vec<u8>, name| {
            assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected), "{name}: {bytes:?}");
        };
        // SAFETY: every processor has these instructions.
        same(
            written_bytes(|out| unsafe { **out = push_text::<Portable>(**out, out.left(), bytes).unwrap() }),
            "portable",
        );
        #[cfg(target_arch = "x86_64")]
        if Avx2::available() {
            // SAFETY: the processor has the instructions.
            same(written_bytes(|out| unsafe { **out = push_text::<Avx2>(**out, out.left(), bytes).unwrap() }), "AVX2");
        }
    }

    fn check(bytes: &[u8]) {
        check_hex(bytes);
        for policy in [EscapePolicy::Pua, EscapePolicy::Tsv] {
            assert_eq!(text_by(policy, bytes), naive_by(policy, bytes), "{policy:?} {bytes:?}");
        }
    }

    #[test]
    fn examples() {
        assert_eq!(text(b""), "\"\"");
        assert_eq!(text(b"plain"), "\"plain\"");
        assert_eq!(text(b"a\"b\\c/d"), r#""a\"b\\c/d""#);
        assert_eq!(text(b"\x08\x09\x0a\x0c\x0d"), r#""\b\t\n\f\r""#);
        assert_eq!(text(b"a\0b"), r#""a\\x00b""#);
        assert_eq!(text(b"\x7f"), r#""\\x7f""#);
        assert_eq!(text("Grüße \"ü\"".as_bytes()), "\"Grüße \\\"ü\\\"\"");
        assert_eq!(text(b"\xc3\xb1\xc0\x81"), r#""\\xc3\\xb1\\xc0\\x81""#);
        assert_eq!(text(b"a\"\xff"), r#""a\"\\xff""#);
    }

    /// As `LogAscii::json_string_escape_policy` has it; the first two lines are Zeek 9's own
    /// examples.
    #[test]
    fn policies() {
        for (bytes, pua, tsv) in [
            (&b"\x07"[..], r#""\udb80\udc07""#, r#""\\x07""#),
            (br"\x07", r#""\\x07""#, r#""\\\\x07""#),
            (b"plain", r#""plain""#, r#""plain""#),
            (b"a\"b/c", r#""a\"b/c""#, r#""a\"b/c""#),
            (b"\x08\t\n\x0c\r", r#""\b\t\n\f\r""#, r#""\\x08\\x09\\x0a\\x0c\\x0d""#),
            (b"\0\x7f", r#""\udb80\udc00\udb80\udc7f""#, r#""\\x00\\x7f""#),
            ("ü\n".as_bytes(), r#""ü\n""#, r#""\\xc3\\xbc\\x0a""#),
            (b"\xc3\xbc\xff\xc3\xbc", r#""ü\udb80\udcffü""#, r#""\\xc3\\xbc\\xff\\xc3\\xbc""#),
            (b"\xc3\xbc\\\xff\\\xc3\xbc", r#""ü\\\udb80\udcff\\ü""#, r#""ü\\\\\\xff\\\\ü""#),
            ("\u{e000}".as_bytes(), r#""\udb80\udcee\udb80\udc80\udb80\udc80""#, r#""\\xee\\x80\\x80""#),
        ] {
            assert_eq!(text_by(EscapePolicy::Pua, bytes), pua);
            assert_eq!(text_by(EscapePolicy::Tsv, bytes), tsv);
        }
    }

    #[test]
    fn every_scalar_value() {
        for c in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            check(c.encode_utf8(&mut buffer).as_bytes());
        }
    }

    #[test]
    fn every_sequence_of_two_bytes_and_the_edges_of_longer_ones() {
        for a in 0..=255 {
            for b in 0..=255 {
                check(&[a, b]);
            }
        }
        const EDGES: [u8; 20] = [
            0x00, 0x22, 0x41, 0x5c, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xa3, 0xa4, 0xaf, 0xb0, 0xbe, 0xbf, 0xc2, 0xef,
            0xf4, 0xff,
        ];
        for a in 0xc0..=0xff {
            for b in EDGES {
                for c in EDGES {
                    check(&[a, b, c]);
                    for d in EDGES {
                        check(&[a, b, c, d]);
                    }
                }
            }
        }
    }

    /// Sequences, whole and cut, accepted and not, and escapes at every place around the edges of
    /// blocks and before the end.
    #[test]
    fn at_the_edges_of_blocks() {
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for c in "\u{80}\u{9f}\u{a0}\u{ff}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{efff}\u{f000}\u{f8ff}\u{f900}\u{feff}\u{ffef}\u{fff0}\u{ffff}\u{10000}\u{10ffff}".chars() {
            let mut buffer = [0; 4];
            let whole = c.encode_utf8(&mut buffer).as_bytes();
            pieces.extend((1..=whole.len()).map(|len| whole[..len].to_vec()));
            pieces.push([whole, b"\x80"].concat());
            pieces.push([whole, whole, b"\"", whole].concat());
        }
        for bytes in [
            &b"\x80"[..],
            b"\xbf\xbf",
            b"\xc0\x80",
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xed\xa0\x80",
            b"\xed\xbf\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80",
            b"\xff",
            b"\x7f",
            b"\0",
            b"\x07",
            b"\x0b",
            b"\x1f",
            b"\"",
            b"\\",
            b"\x08\t\n\x0c\r",
            b"\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\",
        ] {
            pieces.push(bytes.to_vec());
        }
        for piece in &pieces {
            for before in (0..5).chain(12..18).chain(26..36).chain(58..68) {
                for after in [0, 1, 2, 3, 31, 32, 33] {
                    for around in [b'x', b'\n'] {
                        check_hex(&[&vec![around; before], &piece[..], &vec![around; after]].concat());
                    }
                    let umlauts = "ü".repeat(before);
                    check_hex(&[umlauts.as_bytes(), piece, &vec![b'x'; after]].concat());
                }
            }
        }
    }

    /// Text that ends where memory does: reads beyond its end must stay within a page.
    #[test]
    #[cfg(target_os = "linux")]
    fn before_a_page_that_cannot_be_read() {
        let mut memory = crate::json::test_support::Guarded::new();
        let text = "ü\"€x😀".repeat(40);
        for len in 0..=200 {
            let bytes = &text.as_bytes()[text.len() - len..];
            let end = memory.bytes().len();
            memory.bytes()[end - len..].copy_from_slice(bytes);
            check_hex(&memory.bytes()[end - len..]);
        }
    }

    #[test]
    fn no_room_is_an_error_at_every_length() {
        for bytes in
            [&b"plain text that is longer than sixteen bytes"[..], "ü\"\n and more ü".as_bytes(), b"bad \xff bytes"]
        {
            for policy in [EscapePolicy::Hex, EscapePolicy::Pua, EscapePolicy::Tsv] {
                for room in 0..naive_by(policy, bytes).len() {
                    let mut memory = vec![std::mem::MaybeUninit::uninit(); room];
                    assert_eq!(push_text_by(policy, &mut Out::new(&mut memory), bytes), Err(Full));
                }
            }
        }
    }
}
