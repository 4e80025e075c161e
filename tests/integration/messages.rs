//! Every message of the plugin is in the documentation, and something prints every message there.
//!
//! The plugin's messages are values, whose texts are in enums; those of the C++ glue are in a header. Messages of
//! other programs are searched for in their sources. A message counts as documented if the documentation has the
//! first three words of its longest part without a placeholder. Documents have `…` for a placeholder.

use std::fs;
use std::path::{Path, PathBuf};

use bro_zeromq_writer::writer::{Config, Given, OPTIONS, Scope};
use bro_zeromq_writer::{keys, report, spool, transport, writer, zmq};

/// The document whose messages must all exist. Other documents below docs may document messages, too.
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

/// The plugin's messages.
const TEXTS: [&[&str]; 18] = [
    report::Report::TEXTS,
    report::Incident::TEXTS,
    report::Why::TEXTS,
    report::Problem::TEXTS,
    report::Room::TEXTS,
    report::Trouble::TEXTS,
    report::Unfit::TEXTS,
    report::Misfit::TEXTS,
    keys::KeyError::TEXTS,
    keys::Damage::TEXTS,
    keys::Notice::TEXTS,
    keys::Whence::TEXTS,
    keys::Unread::TEXTS,
    spool::OpenError::TEXTS,
    spool::PushError::TEXTS,
    transport::Failure::TEXTS,
    zmq::EndpointError::TEXTS,
    writer::Reason::TEXTS,
];

/// Texts that the documentation quotes and that come from elsewhere: the host and the system's loader.
const OF_OTHERS: &[&str] = &[
    "zeek -N",
    "cannot load plugin library … undefined symbol: zeek_version_…",
    "load plugin library did not instantiate a plugin",
    "version 'GLIBC_…' not found",
    "version 'GLIBCXX_…' not found",
    "unknown identifier LogZeroMQ::endpoint",
];

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The texts of the files below a directory whose names end with `end`, with one blank for each run of blanks.
fn files(dir: &str, end: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut dirs = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                // Joins literals that go over several lines.
                let text = read(path).replace("\\\n", "").replace("\\\"", "\"");
                texts.push(text.split_whitespace().collect::<Vec<_>>().join(" ").replace("\" \"", ""));
            }
        }
    }
    texts
}

/// The first three words of the longest part without a placeholder.
fn first_words(text: &str, [start, end]: [char; 2]) -> String {
    let parts = text.split(start).enumerate();
    // Every part but the first begins with what is left of a placeholder, unless that is one character.
    let parts = parts.map(|(index, part)| match part.split_once(end) {
        Some((_, after)) if index > 0 && start != end => after,
        _ => part,
    });
    let longest = parts.max_by_key(|part| part.trim().len()).unwrap();
    let longest = longest.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '$' && c != '%');
    let words: Vec<_> = longest.split_whitespace().take(3).collect();
    words.join(" ").trim_end_matches([',', ';', ':', '.', '"', '(']).to_owned()
}

/// The messages of the C++ glue, which has a line of its header for each.
fn of_the_glue() -> Vec<String> {
    let header = read("bro-plugin/messages.h");
    header.lines().filter_map(|line| Some(line.split_once("[] = \"")?.1.strip_suffix("\";")?.to_owned())).collect()
}

/// What each option says of a value that it does not allow.
fn errors_of_options() -> impl Iterator<Item = String> {
    let endpoint = Given { scope: Scope::Global, name: "endpoint", value: "tcp://127.0.0.1:1" };
    OPTIONS.iter().filter_map(move |option| {
        let wrong = Given { scope: Scope::Filter, name: option.name(), value: "?" };
        let error = Config::parse(&[endpoint, wrong]).err()?.to_string();
        // A reason that quotes the value has a placeholder: its text is in `TEXTS`.
        Some(error.split_once("\": ").unwrap().1.to_owned()).filter(|reason| !reason.contains(wrong.value))
    })
}

/// The messages of the plugin, its glue included.
fn messages() -> Vec<String> {
    let texts = TEXTS.concat().into_iter().map(ToOwned::to_owned);
    texts.chain(of_the_glue()).chain(errors_of_options()).collect()
}

#[test]
fn every_message_is_documented() {
    let enums: usize = files("src", ".rs").iter().map(|source| source.matches("texts! { ///").count()).sum();
    assert_eq!(enums, TEXTS.len(), "an enum of texts is not in the list above");
    assert_eq!(of_the_glue().len(), read("bro-plugin/messages.h").matches("constexpr").count());
    let documents = files("docs", ".md").join(" ");
    let missing: Vec<_> =
        messages().into_iter().filter(|text| !documents.contains(&first_words(text, ['{', '}']))).collect();
    assert!(missing.is_empty(), "not in the documentation:\n{}", missing.join("\n"));
}

#[test]
fn every_documented_message_exists() {
    let messages = messages();
    let keys: Vec<_> =
        messages.iter().map(|text| first_words(text, ['{', '}'])).filter(|key| key.contains(' ')).collect();
    let others =
        [("src", ".rs"), ("bro-zmq/src", ".rs"), ("fake-host/src", ".rs"), ("bro-plugin", ".cc"), ("scripts", ".zeek")];
    let others: Vec<_> = others.iter().flat_map(|(dir, end)| files(dir, end)).chain(messages).collect();
    let mut stale = Vec::new();
    for line in read(TROUBLESHOOTING).lines().filter(|line| line.starts_with("| `")) {
        for quoted in line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            let known = others.iter().any(|text| text.contains(&first_words(quoted, ['…', '…'])))
                || keys.iter().any(|key| quoted.contains(key));
            if quoted.contains(' ') && !known && !OF_OTHERS.contains(&quoted) {
                stale.push(quoted.to_owned());
            }
        }
    }
    assert!(stale.is_empty(), "nothing prints this:\n{}", stale.join("\n"));
}
