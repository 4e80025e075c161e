//! Rearranging the JSON of a record for people, without taking it apart further than needed.
//!
//! Other publishers may send bytes that are no JSON object: these are passed on as they are.

use std::borrow::Cow;
use std::io::{self, Write};

use bro_zeromq_writer::writer::readable;
use memchr::memmem;

/// Keys up to this many characters have their values aligned.
const WIDEST_KEY: usize = 32;

/// Writes a record as one line: line breaks between its parts become spaces.
pub fn write_line(out: &mut impl Write, json: &[u8]) -> io::Result<()> {
    for (index, part) in json.split(|&byte| byte == b'\n' || byte == b'\r').enumerate() {
        if index > 0 {
            out.write_all(b" ")?;
        }
        out.write_all(part)?;
    }
    Ok(())
}

/// Writes a record as one line with the log path as its first member, `_path`. A member of that
/// name in the record is left out. Returns false, and writes nothing, if the record is no object.
pub fn write_with_path(out: &mut impl Write, path: &[u8], json: &[u8]) -> io::Result<bool> {
    let json = json.trim_ascii();
    let Some(rest) = json.strip_prefix(b"{").filter(|rest| rest.ends_with(b"}")) else { return Ok(false) };
    let own = may_have_path(json).then(|| members(json)).flatten();
    out.write_all(b"{\"_path\":")?;
    write_string(out, path)?;
    if let Some(members) = own.filter(|members| members.iter().any(|(key, _)| is_path(key))) {
        for (key, value) in members.iter().filter(|(key, _)| !is_path(key)) {
            out.write_all(b",")?;
            write_line(out, key)?;
            out.write_all(b":")?;
            write_line(out, value)?;
        }
        out.write_all(b"}")?;
        return Ok(true);
    }
    let rest = rest.trim_ascii_start();
    if rest != b"}" {
        out.write_all(b",")?;
    }
    write_line(out, rest)?;
    Ok(true)
}

/// Returns true if a name `_path` may be in the text, written out or with escapes (`\u005f` is `_`).
fn may_have_path(json: &[u8]) -> bool {
    memmem::find(json, b"_path\"").is_some() || memmem::find(json, b"\\u00").is_some()
}

/// Returns true if a name, in its quotes, is `_path`, however it is written.
fn is_path(key: &[u8]) -> bool {
    let mut rest = key;
    let mut plain = Vec::with_capacity(8);
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = rest.strip_prefix(b"\\u").and_then(|digits| {
            let digits = str::from_utf8(digits.get(..4)?).ok()?;
            u8::try_from(u16::from_str_radix(digits, 16).ok()?).ok()
        });
        rest = if escaped.is_some() { &rest[6..] } else { after };
        plain.push(escaped.unwrap_or(byte));
    }
    plain == b"\"_path\""
}

/// Writes a record with a member on each line, the values aligned.
pub fn write_pretty(out: &mut impl Write, json: &[u8]) -> io::Result<()> {
    let Some(members) = members(json) else {
        write_line(out, json)?;
        return out.write_all(b"\n");
    };
    let width = |key: &[u8]| String::from_utf8_lossy(key).chars().count();
    let widest = members.iter().map(|(key, _)| width(key)).filter(|&width| width <= WIDEST_KEY).max().unwrap_or(0);
    out.write_all(b"{\n")?;
    for (index, (key, value)) in members.iter().enumerate() {
        out.write_all(b"  ")?;
        out.write_all(key)?;
        write!(out, ":{:1$}", "", widest.saturating_sub(width(key)) + 1)?;
        write_spaced(out, value)?;
        out.write_all(if index + 1 < members.len() { b",\n" } else { b"\n" })?;
    }
    out.write_all(b"}\n")
}

/// Text that shows on a terminal without commanding it: control characters become `?`.
pub fn harmless(text: &[u8]) -> Cow<'_, [u8]> {
    let control = |index: usize| {
        let byte = text[index];
        // U+0080 to U+009F are two bytes, of which the second decides.
        let second = index > 0 && text[index - 1] == 0xc2 && (0x80..=0x9f).contains(&byte);
        byte < b' ' || byte == 0x7f || second
    };
    if !(0..text.len()).any(control) {
        return Cow::Borrowed(text);
    }
    let mut clean = Vec::with_capacity(text.len());
    for (index, &byte) in text.iter().enumerate() {
        match byte {
            b'\t' | b'\n' | b'\r' => clean.push(b' '),
            _ if control(index) => {
                if byte >= 0x80 {
                    clean.pop();
                }
                clean.push(b'?');
            }
            _ => clean.push(byte),
        }
    }
    Cow::Owned(clean)
}

/// Writes a JSON string. Bytes that are not UTF-8 are written as [`readable`] does.
fn write_string(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    out.write_all(b"\"")?;
    for c in readable(text).chars() {
        match c {
            '"' | '\\' => write!(out, "\\{c}")?,
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32)?,
            c => write!(out, "{c}")?,
        }
    }
    out.write_all(b"\"")
}

/// Writes a value on one line, with a space after each comma and colon.
fn write_spaced(out: &mut impl Write, value: &[u8]) -> io::Result<()> {
    let mut rest = value;
    while let Some(&byte) = rest.first() {
        let len = if byte == b'"' { string_len(rest).unwrap_or(rest.len()) } else { 1 };
        let (part, after) = rest.split_at(len);
        if !byte.is_ascii_whitespace() {
            out.write_all(part)?;
        }
        if byte == b',' || byte == b':' {
            out.write_all(b" ")?;
        }
        rest = after;
    }
    Ok(())
}

/// The members of an object: each key, in its quotes, and value. `None` if it is no object.
pub fn members(json: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut rest = json.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?.trim_ascii();
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_at(string_len(rest)?);
        let after = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let (value, after) = after.split_at(value_len(after)?);
        members.push((key, value.trim_ascii_end()));
        rest = match after {
            [b',', after @ ..] => {
                let after = after.trim_ascii_start();
                if after.is_empty() {
                    return None;
                }
                after
            }
            _ => after,
        };
    }
    Some(members)
}

/// The length of the string at the start, quotes included.
fn string_len(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The length of the value at the start, up to a comma or the end.
fn value_len(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string_len(&text[at..])? - 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => break,
            _ => {}
        }
        at += 1;
    }
    (at > 0 && depth == 0).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pretty_records_are_aligned() {
        let record = br#"{"ts":1.5,"id.orig_h":"::1","tags":["a,\"b","c]"],"n":[],"o":{"x":1,"y":null}}"#;
        let expected = r#"{
  "ts":        1.5,
  "id.orig_h": "::1",
  "tags":      ["a,\"b", "c]"],
  "n":         [],
  "o":         {"x": 1, "y": null}
}
"#;
        assert_eq!(text(|out| write_pretty(out, record)), expected);
        assert_eq!(text(|out| write_pretty(out, expected.as_bytes())), expected);
        assert_eq!(text(|out| write_pretty(out, b"{}")), "{\n}\n");
    }

    #[test]
    fn one_long_key_does_not_push_all_values_away() {
        let record = format!("{{\"a\":1,\"{}\":2}}", "k".repeat(40));
        assert!(text(|out| write_pretty(out, record.as_bytes())).starts_with("{\n  \"a\": 1,\n"));
    }

    #[test]
    fn what_is_no_object_stays_as_it_is() {
        for other in
            ["", "hello", "[1,2]", "{\"a\"", "{\"a\":}", "{\"a\":1,}", "{\"a\":[1}", "{\"a\":1]}", "{a:1}", "{\"a\\\"}"]
        {
            assert_eq!(text(|out| write_pretty(out, other.as_bytes())), format!("{other}\n"));
        }
    }

    #[test]
    fn the_path_comes_first() {
        let with = |path: &[u8], json: &[u8]| text(|out| write_with_path(out, path, json).map(|done| assert!(done)));
        assert_eq!(with(b"conn", b"{\"a\":1}"), "{\"_path\":\"conn\",\"a\":1}");
        assert_eq!(with(b"conn", b" {\n  \"a\": 1\n}\n"), "{\"_path\":\"conn\",\"a\": 1 }");
        assert_eq!(with(b"a\"b\\\n\xff", b"{}"), "{\"_path\":\"a\\\"b\\\\\\u000a\\\\xff\"}");
        for other in ["", "{", "[]", "1", "{\"a\":1"] {
            assert!(!write_with_path(&mut Vec::new(), b"x", other.as_bytes()).unwrap());
        }
    }

    #[test]
    fn no_member_is_there_twice() {
        let with = |json: &[u8]| text(|out| write_with_path(out, b"n/conn", json).map(|done| assert!(done)));
        for (json, rest) in [
            (&br#"{"_path":"conn","a":1}"#[..], r#","a":1}"#),
            (br#"{"a":1,"_path":{"_path":[1,"}"]},"b":2}"#, r#","a":1,"b":2}"#),
            (br#"{"_path":1,"_path" : 2}"#, "}"),
            (br#"{"\u005fp\u0061th":"x","a":1}"#, r#","a":1}"#),
            (br#"{"a":"the text \"_path\":\"x\"","b":"_path"}"#, r#","a":"the text \"_path\":\"x\"","b":"_path"}"#),
            (br#"{"o":{"_path":"inside"},"x_path":1}"#, r#","o":{"_path":"inside"},"x_path":1}"#),
            (br#"{"_path\u0000":1,"_path\"":2}"#, r#","_path\u0000":1,"_path\"":2}"#),
            (b"{\n \"a\": 1,\n \"_path\": 2\n}", ",\"a\":1}"),
            // Not JSON, so nothing can be left out.
            (br#"{"_path":"x",}"#, r#","_path":"x",}"#),
        ] {
            assert_eq!(with(json), format!("{{\"_path\":\"n/conn\"{rest}"), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn a_line_is_a_line() {
        assert_eq!(text(|out| write_line(out, b"{\"a\":1,\r\n\"b\":2}")), "{\"a\":1,  \"b\":2}");
    }

    #[test]
    fn a_terminal_is_not_commanded() {
        assert_eq!(harmless("{\"a\":\"é – \u{a0}\"}".as_bytes()), "{\"a\":\"é – \u{a0}\"}".as_bytes());
        assert_eq!(harmless(b"\x1b[2J\n\x7f\xc2\x9bx\xff"), &b"?[2J ??x\xff"[..]);
    }
}
