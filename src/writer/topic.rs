//! What every message begins with, and other text that is made of a template and the log path.
//!
//! A log path is bytes, which are sent as the host has them. Where text is needed, in messages and
//! names, [`readable`] makes it of the bytes.

use core::fmt::Write as _;
use std::borrow::Cow;

use super::option::Reason;

/// A text with placeholders, such as `topic`, with the sensor's name filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Path,
}

impl Template {
    /// Reads a template, in which `%path` is the log path, `%sensor` what `sensor` returns,
    /// and `%%` a percent sign.
    ///
    /// # Errors
    ///
    /// There is another placeholder, or `sensor` failed.
    pub fn parse(template: &[u8], sensor: impl Fn() -> Result<String, Reason>) -> Result<Self, Reason> {
        let mut parts = Vec::new();
        let mut text = Vec::new();
        let mut rest = template;
        while let Some(percent) = rest.iter().position(|&byte| byte == b'%') {
            text.extend_from_slice(&rest[..percent]);
            let after = &rest[percent + 1..];
            rest = if let Some(rest) = after.strip_prefix(b"%") {
                text.push(b'%');
                rest
            } else if let Some(rest) = after.strip_prefix(b"sensor") {
                text.extend_from_slice(sensor()?.as_bytes());
                rest
            } else if let Some(rest) = after.strip_prefix(b"path") {
                parts.extend([Part::Text(std::mem::take(&mut text)), Part::Path]);
                rest
            } else {
                let after = String::from_utf8_lossy(after);
                let end = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
                return Err(Reason::NoPlaceholder { word: after[..end].to_owned() });
            };
        }
        text.extend_from_slice(rest);
        parts.push(Part::Text(text));
        Ok(Self { parts })
    }

    /// The text for a log path.
    #[must_use]
    pub fn of(&self, path: &[u8]) -> Vec<u8> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Path => path,
        });
        parts.collect::<Vec<_>>().concat()
    }
}

/// `frames`: how many frames a message has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frames {
    /// The topic, and the JSON.
    #[default]
    Two,
    /// The topic, a space and the JSON; with an empty topic the JSON alone.
    One,
}

/// What each message of a log begins with: its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The topic; with one frame, everything up to the brace that JSON begins with, and the brace.
    beginning: Vec<u8>,
    frames: Frames,
}

impl Head {
    /// The beginning of messages with this topic.
    #[must_use]
    pub fn new(topic: Vec<u8>, frames: Frames) -> Self {
        let mut beginning = topic;
        if frames == Frames::One {
            if !beginning.is_empty() {
                beginning.push(b' ');
            }
            beginning.push(b'{');
        }
        Self { beginning, frames }
    }

    /// The beginning of the first frame, as far as all messages have it: what subscriptions are compared
    /// with.
    #[must_use]
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// The frame in front of the JSON's; `None` if there is none.
    #[inline]
    #[must_use]
    pub fn frame(&self) -> Option<&[u8]> {
        match self.frames {
            Frames::Two => Some(&self.beginning),
            Frames::One => None,
        }
    }

    /// What the JSON's frame begins with, in front of the JSON.
    #[must_use]
    pub fn within(&self) -> &[u8] {
        match self.frames {
            Frames::Two => b"",
            Frames::One => &self.beginning[..self.beginning.len() - 1],
        }
    }

    /// The topic and the JSON of a message of one frame; `None` if it is no such message.
    #[must_use]
    pub fn split(message: &[u8]) -> Option<(&[u8], &[u8])> {
        let (topic, json) = match message {
            [b'{', ..] => (&message[..0], message),
            _ => {
                // A topic may have spaces, too.
                let end = message.windows(2).position(|pair| pair == b" {").filter(|&end| end > 0)?;
                (&message[..end], &message[end + 1..])
            }
        };
        json.ends_with(b"}").then_some((topic, json))
    }
}

/// A log path as text: bytes that are not UTF-8 become `\xNN`. So that no two log paths have the
/// same text, the backslash of what already reads like `\xNN` becomes `\x5c`.
#[must_use]
pub fn readable(path: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(path)
        && !text.contains("\\x")
    {
        return Cow::Borrowed(text);
    }
    let mut readable = String::with_capacity(path.len() + 8);
    for chunk in path.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some((before, after)) = rest.split_once("\\x") {
            let byte = after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
            readable.extend([before, if byte { "\\x5cx" } else { "\\x" }]);
            rest = after;
        }
        readable += rest;
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(readable, "\\x{byte:02x}");
        }
    }
    Cow::Owned(readable)
}

/// The log path of which [`readable`] has made this text.
#[must_use]
pub(super) fn bytes_of(readable: &str) -> Vec<u8> {
    let mut path = Vec::with_capacity(readable.len());
    let mut rest = readable;
    while let Some((before, after)) = rest.split_once("\\x") {
        path.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = &after[2..];
            }
            None => {
                path.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    path.extend_from_slice(rest.as_bytes());
    path
}

/// This machine's host name; `None` if the system does not tell it.
pub(super) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_readable_says_which_bytes_it_was() {
        for path in [
            &b"conn"[..],
            b"",
            b"a\xff",
            b"\\x41",
            b"\\x",
            b"\\x4\xff",
            b"\\x\xff\\xzz\\x5c",
            "\u{e4}\\\\x00".as_bytes(),
        ] {
            assert_eq!(bytes_of(&readable(path)), path);
        }
    }

    fn parse(template: &str) -> Result<Template, Reason> {
        Template::parse(template.as_bytes(), || Ok("s1%path".to_owned()))
    }

    #[test]
    fn a_message_of_one_frame_is_taken_apart_again() {
        for (topic, beginning, within) in
            [("conn", "conn {", "conn "), ("", "{", ""), ("a b", "a b {", "a b "), ("\n", "\n {", "\n ")]
        {
            let head = Head::new(topic.into(), Frames::One);
            assert_eq!((head.beginning(), head.within()), (beginning.as_bytes(), within.as_bytes()));
            assert_eq!(head.frame(), None);
            for json in ["{}", "{\"a\":\" {b} \"}", "{\"a\":1}\n{\"a\":2}"] {
                let message = [head.within(), json.as_bytes()].concat();
                assert_eq!(Head::split(&message), Some((topic.as_bytes(), json.as_bytes())));
            }
        }
        for message in ["", "conn", "{", "conn {", " {}", "conn [1]", "conn{}", "conn {} "] {
            assert_eq!(Head::split(message.as_bytes()), None, "{message:?}");
        }
        let head = Head::new(b"conn".to_vec(), Frames::Two);
        assert_eq!((head.frame(), head.beginning(), head.within()), (Some(&b"conn"[..]), &b"conn"[..], &b""[..]));
    }

    #[test]
    fn templates() {
        for (template, topic) in [
            ("%path", "conn"),
            ("zeek/%sensor/%path", "zeek/s1%path/conn"),
            ("%%%path%path2%%path", "%connconn2%path"),
            ("logs", "logs"),
            ("", ""),
            ("ü-%path-ü", "ü-conn-ü"),
        ] {
            assert_eq!(parse(template).unwrap().of(b"conn"), topic.as_bytes(), "{template}");
        }
        assert_eq!(parse("ä/%path").unwrap().of(b"caf\xe9"), b"\xc3\xa4/caf\xe9");
    }

    #[test]
    fn errors_name_the_placeholder() {
        for (template, part) in [
            ("%paht", "%paht is no placeholder; use %path"),
            ("a%", "% is no placeholder"),
            ("%path%", "% is no placeholder"),
            ("%ü/", "%ü is no placeholder"),
        ] {
            let error = parse(template).unwrap_err().text(&|name, _| name.to_owned());
            assert!(error.contains(part), "{error}");
        }
        assert!(Template::parse(b"%path", || Err(Reason::NoSensor)).is_ok());
        assert_eq!(Template::parse(b"%sensor", || Err(Reason::NoSensor)), Err(Reason::NoSensor));
        assert!(Template::parse(b"%\xff", || Ok(String::new())).is_err());
    }

    #[test]
    fn log_paths_are_readable() {
        for (path, text) in [
            (&b"conn"[..], "conn"),
            (b"a\\b/\xc3\xa9\n", "a\\b/é\n"),
            (b"caf\xe9", r"caf\xe9"),
            (br"caf\xe9", r"caf\x5cxe9"),
            (b"\\\xe9\\x4\xff\\x", r"\\xe9\x4\xff\x"),
            (b"\xe2\x82/\xf0", r"\xe2\x82/\xf0"),
        ] {
            assert_eq!(readable(path), text, "{}", path.escape_ascii());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_two_log_paths_read_the_same(
            path in proptest::collection::vec(proptest::sample::select(b"\\x5cde9\xc3\xa9\xff".to_vec()), 0..14)
        ) {
            // Undoing all escapes, which look like the host's own, gives the path.
            let text = readable(&path);
            let mut bytes = Vec::new();
            let mut rest = text.as_bytes();
            while let Some((&byte, after)) = rest.split_first() {
                let digits = rest.strip_prefix(b"\\x").and_then(|rest| str::from_utf8(rest.get(..2)?).ok());
                match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(value) => (bytes.push(value), rest = &rest[4..]).0,
                    None => (bytes.push(byte), rest = after).0,
                }
            }
            proptest::prop_assert_eq!(bytes, path);
        }
    }

    #[test]
    fn this_machine_has_a_name() {
        let name = host_name().unwrap();
        assert!(!name.contains(char::is_whitespace), "{name:?}");
    }
}
