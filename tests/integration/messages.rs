//! The documentation has every message that the plugin and the tool can print, and no other.
//!
//! The test finds messages in the source: string literals that read like a part of a sentence. It finds
//! the errors of options by giving them wrong values. A message is in the documentation if the first
//! three words of its longest part without a placeholder are; documents have `…` for what differs from
//! case to case.

use std::fs;
use std::path::{Path, PathBuf};

use bro_zeromq_writer::writer::{Config, Given, OPTIONS, Source};

/// The document that has symptom, cause and fix; some are in others below docs.
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

/// Where they come from.
const SOURCES: [&str; 5] = ["src", "bro-plugin", "bro-zmq/src", "fake-host/src/zeeklog.rs", "scripts"];

/// These files' messages are what a "…" stands for, in the row of the message that has them in it.
const REASONS: [(&str, &str); 5] = [
    ("bro-plugin/portable/host.cc", "cannot be used here: …"),
    ("bro-plugin/portable/values.cc", "cannot be used here: …"),
    ("bro-plugin/portable/check.cc", "… does not hand it over as other hosts do; …"),
    ("src/host/value.rs", "they cannot be encoded: …"),
    ("fake-host/src/zeeklog.rs", "FILE:LINE: …"),
];

/// Literals that no message consists of: names, parts of what is no error, and what other
/// programs say.
const NO_MESSAGES: &[&str] = &[
    // What the plugin and its metrics are.
    "ZeroMQ log writer",
    "Log records handed to the ZeroMQ writer",
    "Log records by what became of them, for each endpoint",
    "Log records that wait to be sent, for each endpoint",
    // What C programs get for an error code; the reporter has the message itself.
    "no error",
    "a required pointer is null",
    "the caller was built for another version of this library's interface",
    "the layout of the host's log records is not supported",
    "an option has a value that is not allowed",
    "ZeroMQ refused the context, the socket or the endpoint",
    "an argument is out of range",
    "unknown error code",
    // What libzmq is told of a client; nobody else is.
    "this key is not authorized",
    "only CURVE is allowed",
    "not a request of ZAP 1.0",
    // A comment in the files that it makes.
    "made by bro-zmq keygen",
    // Parts.
    " of filter \"{}\"",
    " and {} more logs",
    "the high water mark",
    "the host's prefix",
    "{}, the first is \"{start}\"",
    // What bro-zmq says of what goes well, and its counts.
    "Try it yourself: bro-zmq subscribe, and in another terminal bro-zmq replay FILE…",
    "the plugin will load",
    "the secret key in {value} can be used; its public key is {}",
    "the public key in {value} can be used",
    "the subscriber's public key in {key} is {public}",
    "{} can be used in {value}",
    "{endpoint}: the plugin can listen there; subscribers are not waited for",
    "{endpoint}: the name has the address {}{others}",
    ", the one that is used of {count}",
    "{endpoint}: it is connected{encrypted}, and gets {topics}",
    "{name} is there, and can be written to",
    "{name} is not there yet; the host makes it",
    "{name}: nothing waits in it",
    "{name}: its disk has {} left",
    "it is {name}; its log records have the layout {}",
    "the host lists it: {line}",
    "queue full: ",
    "; what met a full queue was written again",
    "; {} not subscribed to",
    "no subscriber",
    "queue full",
    "not encoded or sent",
    "malformed line",
    " without header lines",
    "unreadable file",
    "; {} not written",
    "listening on {}",
    "connecting to {}",
    "all logs",
    "encrypted",
    "encrypted, for {} in {}",
    ", not encrypted",
    "; writing to {}",
    "logs that begin with {}{more}",
    " and {} more",
    ", after zeros,",
];

/// What the documentation quotes and others say: the host, the system's loader, build.rs.
const OF_OTHERS: &[&str] = &[
    "zeek -N",
    "cannot load plugin library … undefined symbol: zeek_version_…",
    "load plugin library did not instantiate a plugin",
    "version 'GLIBC_…' not found",
    "version 'GLIBCXX_…' not found",
    "unknown identifier LogZeroMQ::endpoint",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sources and documents in a directory, tests aside, and what says why nothing can be built.
fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "build" {
                files(&path, found);
            }
        } else if [".rs", ".cc", ".zeek", ".md"].iter().any(|end| name.ends_with(end))
            && !["tests.rs", "faults.rs"].contains(&name)
        {
            found.push(path);
        }
    }
}

/// The string literals of a source without its tests, those aside that say why it panics.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, from) = rest.split_at(at);
        let mut chars = from.chars();
        rest = match chars.next() {
            Some('/') if from.starts_with("//") => from.find('\n').map_or("", |end| &from[end..]),
            Some('\'') if from.starts_with("'\"'") => &from[3..],
            Some('\'') if from.starts_with("'\\") => from[2..].find('\'').map_or("", |end| &from[end + 3..]),
            Some('"') => {
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => match chars.next() {
                            Some('\n') => {
                                // The next line's indentation is not part of it.
                                let line = chars.as_str().trim_start();
                                chars = line.chars();
                            }
                            Some('n') => text.push('\n'),
                            Some(escaped) => text.push(escaped),
                            None => break,
                        },
                        c => text.push(c),
                    }
                }
                let line = before.rsplit('\n').next().unwrap();
                if !["#[", "assert!(", "expect(", "unreachable!(", "static_assert("]
                    .iter()
                    .any(|call| line.contains(call))
                {
                    found.push(text);
                }
                chars.as_str()
            }
            _ => &from[1..],
        };
    }
    found
}

/// The first three words of the longest part without a placeholder.
fn key(text: &str, placeholders: &[(char, char)]) -> String {
    let mut parts = vec![String::new()];
    let mut until = None;
    for c in text.chars() {
        match until {
            Some(end) => {
                if c == end {
                    until = None;
                }
            }
            None => match placeholders.iter().find(|(start, _)| *start == c) {
                Some((start, end)) => {
                    parts.push(String::new());
                    until = (start != end).then_some(*end);
                }
                None => parts.last_mut().unwrap().push(c),
            },
        }
    }
    let longest = parts.into_iter().max_by_key(|part| part.trim().len()).unwrap();
    let longest = longest.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '$' && c != '%');
    let words: Vec<_> = longest.split_whitespace().take(3).collect();
    words.join(" ").trim_end_matches([',', ';', ':', '.', '"', '(']).to_owned()
}

/// Returns true if it is a part of a sentence: at least two words of lower-case letters.
fn is_sentence(key: &str) -> bool {
    key.split(' ')
        .filter(|word| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase() || "';,:.".contains(c)))
        .count()
        >= 2
}

/// What each option says of a value that it does not allow.
fn errors_of_options() -> impl Iterator<Item = (String, String)> {
    let endpoint = Given { source: Source::Global, name: "endpoint", value: "tcp://127.0.0.1:1" };
    OPTIONS.iter().filter_map(move |option| {
        let wrong = Given { source: Source::Filter, name: option.name(), value: "?" };
        let error = Config::parse(&[endpoint, wrong]).err()?.to_string();
        let (_, reason) = error.split_once("\": ").unwrap();
        // What it quotes is put into a literal.
        if reason.contains(wrong.value) {
            return None;
        }
        Some((option.name().to_owned(), reason.to_owned()))
    })
}

/// All literals, and what is put together of more than one: where it is from, and the text.
fn all_literals() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for source in SOURCES {
        let path = root().join(source);
        if path.is_dir() {
            files(&path, &mut paths);
        } else {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            literals(&fs::read_to_string(path).unwrap()).into_iter().map(move |text| (name.clone(), text))
        })
        .chain(errors_of_options())
        .collect()
}

/// Those that read like a message.
fn messages() -> Vec<(String, String)> {
    let mut found = all_literals();
    found.retain(|(_, text)| !text.contains('\n') && is_sentence(&key(text, &[('{', '}')])));
    found
}

/// The documents in one, each run of blanks a single one.
fn documents() -> String {
    let mut paths = Vec::new();
    files(&root().join("docs"), &mut paths);
    let text: Vec<_> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    text.join("\n").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_message_is_documented() {
    let documents = documents();
    for (_, row) in REASONS {
        assert!(documents.contains(row), "the documentation has no {row:?}");
    }
    let messages = messages();
    assert!(messages.len() > 150, "{}", messages.len());
    let missing: Vec<_> = messages
        .iter()
        .filter(|(file, text)| {
            !REASONS.iter().any(|(reason, _)| reason == file)
                && !NO_MESSAGES.contains(&text.as_str())
                && !documents.contains(&key(text, &[('{', '}')]))
        })
        .map(|(file, text)| format!("{file}: {text}"))
        .collect();
    assert!(missing.is_empty(), "not in the documentation:\n{}", missing.join("\n"));
}

#[test]
fn every_documented_message_exists() {
    let messages = messages();
    let literals = all_literals();
    let keys: Vec<_> = messages.iter().map(|(_, text)| key(text, &[('{', '}')])).collect();
    let mut stale = Vec::new();
    for line in fs::read_to_string(root().join(TROUBLESHOOTING)).unwrap().lines().filter(|line| line.starts_with("| `"))
    {
        let cell = line.split('|').nth(1).unwrap();
        for quoted in cell.split('`').skip(1).step_by(2) {
            let known = literals.iter().any(|(_, text)| text.contains(&key(quoted, &[('…', '…')])))
                || keys.iter().any(|key| quoted.contains(key));
            let reason = REASONS.iter().any(|(_, row)| quoted.contains(row));
            if quoted.contains(' ') && !known && !reason && !OF_OTHERS.contains(&quoted) {
                stale.push(quoted.to_owned());
            }
        }
    }
    assert!(stale.is_empty(), "nothing prints this:\n{}", stale.join("\n"));
}
