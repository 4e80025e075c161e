//! `extra_fields`: names and values that every record gets.

use super::option::Reason;
use super::topic::Template;

/// The fields: names, which differ, and values.
pub type ExtraFields = Vec<(Vec<u8>, Template)>;

/// The fields' names, and the values as they are given: texts of templates.
type Texts = Vec<(Vec<u8>, Vec<u8>)>;

/// Makes templates of the values.
///
/// # Errors
///
/// A value has an unknown placeholder, or `sensor` failed.
pub(super) fn templates(fields: Texts, sensor: impl Fn() -> Result<String, Reason>) -> Result<ExtraFields, Reason> {
    let template = |(name, value): (_, Vec<u8>)| Ok((name, Template::parse(&value, &sensor)?));
    fields.into_iter().map(template).collect()
}

/// Reads the form of a filter's `$config`: `name=value,name=value`. A backslash in front of a
/// character makes it part of a name or value; other spaces around these do not count.
///
/// # Errors
///
/// What is wrong, and what to write.
pub(super) fn parse_text(text: &str) -> Result<Texts, Reason> {
    let mut characters = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        characters.push(match c {
            '\\' => Literal(rest.next().ok_or(Reason::Backslash)?),
            _ => Plain(c),
        });
    }
    let characters = trimmed(&characters);
    if characters.is_empty() {
        return Ok(Vec::new());
    }
    let fields = characters.split(|&c| c == Plain(',')).map(|field| {
        let equals = field.iter().position(|&c| c == Plain('='));
        let (name, value) = field.split_at(equals.unwrap_or(field.len()));
        let name = string(name);
        match value {
            [_, value @ ..] => Ok((name.into_bytes(), template(value).into_bytes())),
            [] if name.is_empty() => Err(Reason::NoField),
            [] => Err(Reason::NoFieldValue { field: name }),
        }
    });
    checked(fields.collect::<Result<_, _>>()?)
}

/// Reads the form that the script makes of the table: `name=value,name=value`, with names and
/// values in hexadecimal digits. A table has no order, so the fields are sorted by name.
///
/// # Errors
///
/// Something else than the script's form, or a name that is empty or there twice.
pub(super) fn parse_hex(text: &str) -> Result<Texts, Reason> {
    let fields = text.split(',').filter(|field| !field.is_empty()).map(|field| {
        let (name, value) = field.split_once('=')?;
        Some((bytes(name)?, bytes(value)?))
    });
    let mut fields: Texts = fields.collect::<Option<_>>().ok_or(Reason::OfTheScript)?;
    fields.sort();
    checked(fields)
}

/// A character as written, or behind a backslash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Character {
    Plain(char),
    Literal(char),
}
use Character::{Literal, Plain};

fn trimmed(mut text: &[Character]) -> &[Character] {
    let space = |c: &Character| matches!(c, Plain(c) if c.is_whitespace());
    while let [first, rest @ ..] = text
        && space(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && space(last)
    {
        text = rest;
    }
    text
}

fn string(text: &[Character]) -> String {
    trimmed(text).iter().map(|&(Plain(c) | Literal(c))| c).collect()
}

/// The text of a template: percent signs behind a backslash begin no placeholder.
fn template(text: &[Character]) -> String {
    let mut template = String::new();
    for &character in trimmed(text) {
        match character {
            Literal('%') => template.push_str("%%"),
            Plain(c) | Literal(c) => template.push(c),
        }
    }
    template
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| Some((digit(high)? << 4 | digit(low)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

fn checked(fields: Texts) -> Result<Texts, Reason> {
    for (index, (name, _)) in fields.iter().enumerate() {
        if name.is_empty() {
            return Err(Reason::NoFieldName);
        }
        if fields[..index].iter().any(|(other, _)| other == name) {
            return Err(Reason::FieldTwice { field: String::from_utf8_lossy(name).into_owned() });
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(reason: &Reason) -> String {
        reason.text(&|name, _| name.to_owned())
    }

    fn fields(fields: &[(&str, &str)]) -> Result<Texts, Reason> {
        Ok(fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect())
    }

    #[test]
    fn text() {
        for (text, expected) in [
            ("", &[][..]),
            (" ", &[]),
            ("sensor=s1", &[("sensor", "s1")]),
            (" site = Berlin Mitte , sensor=s1 ", &[("site", "Berlin Mitte"), ("sensor", "s1")]),
            ("a=b=c,d=", &[("a", "b=c"), ("d", "")]),
            (r"a\=b=\,\\,ü\ =\ x\ ", &[("a=b", r",\"), ("ü ", " x ")]),
            (r"_path=%path,a%=\%path\%%%", &[("_path", "%path"), ("a%", "%%path%%%%")]),
        ] {
            assert_eq!(parse_text(text), fields(expected), "{text:?}");
        }
    }

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(parse_hex(""), fields(&[]));
        assert_eq!(parse_hex("73656e736f72=7331,61=,62=C3bc"), fields(&[("a", ""), ("b", "ü"), ("sensor", "s1")]));
        assert_eq!(parse_hex("61=ff00").unwrap(), [(b"a".to_vec(), vec![0xff, 0])]);
    }

    #[test]
    fn values_have_placeholders() {
        let value = |template: &str| {
            let fields = vec![(b"%path".to_vec(), template.as_bytes().to_vec())];
            templates(fields, || Ok("s1".to_owned())).map(|fields| fields[0].1.of(b"caf\xe9"))
        };
        assert_eq!(value("%path"), Ok(b"caf\xe9".to_vec()));
        assert_eq!(value("%sensor/%path 100%%"), Ok(b"s1/caf\xe9 100%".to_vec()));
        assert_eq!(value(""), Ok(Vec::new()));
        assert!(words(&value("100%").unwrap_err()).contains("% is no placeholder; use %path, %sensor, or %%"));
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, part) in [
            ("sensor", "the field \"sensor\" has no value; write name=value"),
            ("a=b,", "empty field between the commas"),
            ("a=b,,c=d", "empty field between the commas"),
            (" =b", "a field has no name"),
            ("a=b, a=c", "the field \"a\" is there twice"),
            ("a=b\\", "backslash at the end"),
        ] {
            let error = words(&parse_text(text).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        for text in ["61", "6=61", "6g=61", "61=é"] {
            assert_eq!(parse_hex(text), Err(Reason::OfTheScript), "{text}");
        }
        assert_eq!(parse_hex("=61"), Err(Reason::NoFieldName));
    }
}
