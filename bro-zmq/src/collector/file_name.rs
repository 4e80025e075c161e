//! Which file a log path has: names that nothing from the network can lead astray.
//!
//! Below the output directory, for the log path `conn`:
//!
//! | name | what it is |
//! | --- | --- |
//! | `conn.log` | the current file |
//! | `.conn.2026-11-24-03-00-00.log` | closed; is being synced and compressed |
//! | `.conn.2026-11-24-03-00-00.log.gz.partial` | what is compressed so far |
//! | `.conn.2026-11-24-03-00-00.log.gz.complete` | all of it, until the closed file is removed |
//! | `conn.2026-11-24-03-00-00.log.gz` | finished |
//!
//! A slash in a log path, which a topic template can bring, separates directories. Everything
//! else but ASCII letters, digits and `_-.@=` is written as `%XX`, so that different log paths
//! have different files and the log path can be read back from the name. Invariants:
//!
//! - No part of a name is empty, `.` or `..`, and none begins with a dot or a dash.
//! - The names of files, and no others, contain `.log`.
//! - A current file's name is never that of another log's closed or finished file.

use std::path::{Path, PathBuf};

/// The longest part of a name, in bytes: with what is added to it, it stays below the 255 that
/// file systems allow.
const PART_LIMIT: usize = 200;
/// The longest name, in bytes. The system allows 4,096 together with the output directory's.
const NAME_LIMIT: usize = 1024;
/// Directories, and the file, in a name.
pub const DEPTH_LIMIT: usize = 16;

/// Stands for an empty part; no `%XX`.
const EMPTY: &str = "%empty";

/// The suffixes of a file that is being made, and of a file that has been made.
pub const PARTIAL: &str = ".partial";
pub const COMPLETE: &str = ".complete";

/// Where the files of a log path are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    directory: PathBuf,
    stem: String,
}

/// What the name of a file says.
#[derive(Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The current file of the log path.
    Current(Vec<u8>),
    /// Closed, and not finished.
    Closed,
    /// A part of a finished file.
    Partial,
    /// A finished file that lacks only its name. The path is its closed file's.
    Complete(PathBuf),
    /// Anything else, finished files too.
    Other,
}

impl Name {
    /// The name of a log path below `root`; `None` if it is too long or too deep.
    pub fn new(root: &Path, log_path: &[u8]) -> Option<Self> {
        let escaped = escape(log_path)?;
        let (directory, stem) = escaped.rsplit_once('/').unwrap_or(("", &escaped));
        Some(Self { directory: root.join(directory), stem: stem.to_owned() })
    }

    /// The directory of all its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The current file.
    pub fn current(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.stem))
    }

    /// The name of a closed file that begins at `time`. Files of the same second differ by `number`, which the
    /// name shows if it is not 0. Up to 999, names sort by number.
    pub fn closed(&self, time: &str, number: u32) -> PathBuf {
        let number = if number == 0 { String::new() } else { format!("_{number:03}") };
        self.directory.join(format!(".{}.{time}{number}.log", self.stem))
    }

    /// Where a current file goes that is damaged.
    pub fn damaged(&self, time: &str, number: u32) -> PathBuf {
        let closed = self.closed(time, number);
        let name = file_name(&closed);
        let name = name.strip_prefix('.').unwrap_or(name);
        closed.with_file_name(format!("{}.damaged", name.strip_suffix(".log").unwrap_or(name)))
    }
}

/// The finished file of a closed one, with a suffix such as `.gz`.
pub fn finished(closed: &Path, suffix: &str) -> PathBuf {
    let name = file_name(closed);
    closed.with_file_name(format!("{}{suffix}", name.strip_prefix('.').unwrap_or(name)))
}

/// Where the finished file of a closed one is made.
pub fn partial(closed: &Path, suffix: &str) -> PathBuf {
    closed.with_file_name(format!("{}{suffix}{PARTIAL}", file_name(closed)))
}

/// Where the finished file stays until the closed one is gone.
pub fn complete(closed: &Path, suffix: &str) -> PathBuf {
    closed.with_file_name(format!("{}{suffix}{COMPLETE}", file_name(closed)))
}

/// The closed file of the same time with another number.
pub fn renumbered(closed: &Path, number: u32) -> PathBuf {
    let name = file_name(closed);
    let stem = name.strip_suffix(".log").unwrap_or(name);
    let stem = match time_at_end(stem) {
        Some((_, Some(number))) => &stem[..number],
        _ => stem,
    };
    closed.with_file_name(format!("{stem}_{number:03}.log"))
}

/// The time and the number in the name of a closed or finished file.
pub fn time_and_number(path: &Path) -> Option<(&str, u32)> {
    let name = file_name(path);
    let stem = &name[..name.rfind(".log").or(name.rfind(".damaged"))?];
    let (start, number) = time_at_end(stem)?;
    let time = &stem[start + 1..number.unwrap_or(stem.len())];
    Some((time, number.map_or(0, |at| stem[at + 1..].parse().unwrap_or(0))))
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// What a file is, by its path relative to the output directory.
pub fn classify(relative: &Path) -> FileKind {
    let Some(relative) = relative.to_str() else { return FileKind::Other };
    let (directory, leaf) = relative.rsplit_once('/').unwrap_or(("", relative));
    if let Some(hidden) = leaf.strip_prefix('.') {
        let made = [PARTIAL, COMPLETE].into_iter().find(|made| hidden.ends_with(made));
        let packed = made.map(|made| &hidden[..hidden.len() - made.len()]);
        let plain = match packed {
            Some(packed) => packed.strip_suffix(".gz").or(packed.strip_suffix(".zst")).unwrap_or(packed),
            None => hidden,
        };
        let closed = plain.strip_suffix(".log").is_some_and(|stem| time_at_end(stem).is_some());
        return match (closed, made) {
            (false, _) => FileKind::Other,
            (true, None) => FileKind::Closed,
            (true, Some(PARTIAL)) => FileKind::Partial,
            (true, Some(_)) => FileKind::Complete(Path::new(relative).with_file_name(format!(".{plain}"))),
        };
    }
    let Some(stem) = leaf.strip_suffix(".log") else { return FileKind::Other };
    let escaped = if directory.is_empty() { stem.to_owned() } else { format!("{directory}/{stem}") };
    // A name that no log path makes is somebody else's.
    log_path(escaped.as_bytes()).map_or(FileKind::Other, FileKind::Current)
}

/// The log path that a part of a name, without `.log`, was made from. `None` if it is no such name.
pub fn log_path(stem: &[u8]) -> Option<Vec<u8>> {
    let stem = str::from_utf8(stem).ok()?;
    unescape(stem).filter(|log_path| escape(log_path).as_deref() == Some(stem))
}

fn escape(log_path: &[u8]) -> Option<String> {
    let mut escaped = String::with_capacity(log_path.len() + 8);
    let parts = log_path.split(|&byte| byte == b'/').count();
    if parts > DEPTH_LIMIT {
        return None;
    }
    for (index, part) in log_path.split(|&byte| byte == b'/').enumerate() {
        let mut part = escape_part(part);
        if index + 1 < parts {
            part = part.replace(".log", "%2Elog");
        } else if let Some((dot, _)) = time_at_end(&part) {
            part.replace_range(dot..=dot, "%2E");
        }
        if part.len() > PART_LIMIT {
            return None;
        }
        if index > 0 {
            escaped.push('/');
        }
        escaped += &part;
    }
    (escaped.len() <= NAME_LIMIT).then_some(escaped)
}

fn escape_part(part: &[u8]) -> String {
    if part.is_empty() {
        return EMPTY.to_owned();
    }
    let mut escaped = String::with_capacity(part.len());
    for (index, &byte) in part.iter().enumerate() {
        let plain = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'@' | b'=' => true,
            b'.' | b'-' => index > 0,
            _ => false,
        };
        if plain {
            escaped.push(byte.into());
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<Vec<u8>> {
    let mut log_path = Vec::with_capacity(escaped.len());
    for (index, part) in escaped.split('/').enumerate() {
        if index > 0 {
            log_path.push(b'/');
        }
        if part == EMPTY {
            continue;
        }
        let mut bytes = part.bytes();
        while let Some(byte) = bytes.next() {
            log_path.push(match byte {
                b'%' => {
                    let mut digit = || char::from(bytes.next()?).to_digit(16);
                    u8::try_from(digit()? * 16 + digit()?).ok()?
                }
                byte => byte,
            });
        }
    }
    Some(log_path)
}

/// Where, at the end of a name, `.2026-11-24-03-00-00` begins, and a number behind it (`_001`).
fn time_at_end(stem: &str) -> Option<(usize, Option<usize>)> {
    const PATTERN: &[u8] = b".dddd-dd-dd-dd-dd-dd";
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let bytes = stem.as_bytes();
    let number = bytes.iter().rposition(|&byte| byte == b'_').filter(|&at| digits(&bytes[at + 1..]));
    let end = number.unwrap_or(bytes.len());
    let start = end.checked_sub(PATTERN.len())?;
    let matches = bytes[start..end].iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
        b'd' => byte.is_ascii_digit(),
        pattern => byte == pattern,
    });
    matches.then_some((start, number))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    const TIME: &str = "2026-11-24-03-00-00";

    fn current(log_path: &[u8]) -> String {
        let name = Name::new(Path::new("/d"), log_path).unwrap();
        name.current().to_str().unwrap().to_owned()
    }

    #[test]
    fn usual_log_paths_stay_as_they_are() {
        for path in ["conn", "smb_files", "dns-2", "sensor-1/conn", "a.example.org/x509", "user@host/k=v"] {
            assert_eq!(current(path.as_bytes()), format!("/d/{path}.log"));
        }
    }

    #[test]
    fn hostile_log_paths_stay_inside() {
        for (path, expected) in [
            (&b""[..], "%empty"),
            (b"/etc/passwd", "%empty/etc/passwd"),
            (b"../../etc/passwd", "%2E./%2E./etc/passwd"),
            (b"a/../../b", "a/%2E./%2E./b"),
            (b"a//b/", "a/%empty/b/%empty"),
            (b".", "%2E"),
            (b"..", "%2E."),
            (b".ssh/authorized_keys", "%2Essh/authorized_keys"),
            (b"-rf", "%2Drf"),
            (b"a\0b\n\x1b[2J", "a%00b%0A%1B%5B2J"),
            (b"100%", "100%25"),
            (b"%empty", "%25empty"),
            ("m\u{fc}nchen".as_bytes(), "m%C3%BCnchen"),
            (b"conn.log/x", "conn%2Elog/x"),
            (b"conn.log", "conn.log"),
            (b"conn.2026-11-24-03-00-00", "conn%2E2026-11-24-03-00-00"),
            (b"conn.2026-11-24-03-00-00_001", "conn%2E2026-11-24-03-00-00_001"),
            (b"conn.2026-11-24-03-00-00.log", "conn.2026-11-24-03-00-00.log"),
        ] {
            assert_eq!(current(path), format!("/d/{expected}.log"));
        }
    }

    #[test]
    fn long_and_deep_log_paths_have_no_file() {
        let name = |path: &[u8]| Name::new(Path::new("/d"), path);
        assert!(name(&[b'a'; PART_LIMIT]).is_some());
        assert!(name(&[b'a'; PART_LIMIT + 1]).is_none());
        assert!(name(&[0xff; PART_LIMIT / 3 + 1]).is_none());
        assert!(name(&b"a/".repeat(DEPTH_LIMIT - 1)).is_some());
        assert!(name(&b"a/".repeat(DEPTH_LIMIT)).is_none());
        assert!(name(&[&[b'a'; PART_LIMIT][..]; 6].join(&b'/')).is_none());
    }

    #[test]
    fn closed_and_finished_files() {
        let name = Name::new(Path::new("/d"), b"s/conn").unwrap();
        let closed = name.closed(TIME, 0);
        assert_eq!(closed, Path::new("/d/s/.conn.2026-11-24-03-00-00.log"));
        assert_eq!(finished(&closed, ".gz"), Path::new("/d/s/conn.2026-11-24-03-00-00.log.gz"));
        assert_eq!(partial(&closed, ".gz"), Path::new("/d/s/.conn.2026-11-24-03-00-00.log.gz.partial"));
        assert_eq!(complete(&closed, ".gz"), Path::new("/d/s/.conn.2026-11-24-03-00-00.log.gz.complete"));
        assert_eq!(renumbered(&closed, 1), name.closed(TIME, 1));
        assert_eq!(renumbered(&name.closed(TIME, 9), 10), name.closed(TIME, 10));
        assert_eq!(name.damaged(TIME, 2), Path::new("/d/s/conn.2026-11-24-03-00-00_002.damaged"));
        for file in [name.closed(TIME, 12), finished(&name.closed(TIME, 12), ".gz"), name.damaged(TIME, 12)] {
            assert_eq!(time_and_number(&file), Some((TIME, 12)), "{}", file.display());
        }
        assert_eq!(time_and_number(&closed), Some((TIME, 0)));
        assert_eq!(time_and_number(&name.current()), None);
        let mut sorted = [1, 0, 10, 2].map(|number| finished(&name.closed(TIME, number), ".gz"));
        sorted.sort();
        assert_eq!(sorted, [0, 1, 2, 10].map(|number| finished(&name.closed(TIME, number), ".gz")));
    }

    #[test]
    fn files_are_known_by_their_names() {
        for (name, kind) in [
            ("conn.log", FileKind::Current(b"conn".to_vec())),
            ("s/conn.log", FileKind::Current(b"s/conn".to_vec())),
            ("%empty/a%00.log", FileKind::Current(b"/a\0".to_vec())),
            (".conn.2026-11-24-03-00-00.log", FileKind::Closed),
            ("s/.conn.2026-11-24-03-00-00_012.log", FileKind::Closed),
            (".conn.2026-11-24-03-00-00.log.gz.partial", FileKind::Partial),
            (".conn.2026-11-24-03-00-00.log.zst.partial", FileKind::Partial),
            (
                "s/.conn.2026-11-24-03-00-00.log.gz.complete",
                FileKind::Complete(PathBuf::from("s/.conn.2026-11-24-03-00-00.log")),
            ),
            ("conn.2026-11-24-03-00-00.damaged", FileKind::Other),
            ("conn.2026-11-24-03-00-00.log", FileKind::Other),
            ("conn.2026-11-24-03-00-00.log.gz", FileKind::Other),
            (".conn.log", FileKind::Other),
            (".conn.2026-11-24.log", FileKind::Other),
            (".lock", FileKind::Other),
            ("conn.txt", FileKind::Other),
            ("not ours.log", FileKind::Other),
            ("a%4a.log", FileKind::Other),
            ("a%zz.log", FileKind::Other),
            ("a%", FileKind::Other),
            ("a%2.log", FileKind::Other),
            ("a.logs/b.log", FileKind::Other),
        ] {
            assert_eq!(classify(Path::new(name)), kind, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_log_path_has_a_name_of_its_own(paths in prop::collection::vec(
            prop::collection::vec(prop::sample::select(b"a./%-_ \0\xff\nlog2026".to_vec()), 0..12), 1..40,
        )) {
            let mut names = HashMap::new();
            for path in paths {
                let Some(name) = Name::new(Path::new("/d"), &path) else { continue };
                let file = name.current();
                let relative = file.strip_prefix("/d").unwrap();
                prop_assert!(relative.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(relative.components().all(|part| !part.as_os_str().to_str().unwrap().starts_with(['.', '-'])));
                prop_assert_eq!(classify(relative), FileKind::Current(path.clone()));
                prop_assert_eq!(names.entry(file.clone()).or_insert_with(|| path.clone()), &path);
                let closed = name.closed(TIME, 0);
                prop_assert_eq!(classify(closed.strip_prefix("/d").unwrap()), FileKind::Closed);
                prop_assert_eq!(classify(finished(&closed, "").strip_prefix("/d").unwrap()), FileKind::Other);
                let partial = partial(&closed, ".gz");
                prop_assert_eq!(classify(partial.strip_prefix("/d").unwrap()), FileKind::Partial);
            }
        }
    }
}
