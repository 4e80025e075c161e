//! Where logs are read from: files, standard input or memory, compressed or not.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use memchr::memmem;

use crate::collector::log_path;
use crate::compressed::{Method, Uncompressed};
use crate::stop::Stop;
use crate::terminal;

const BUFFER: usize = 256 * 1024;

/// One log.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// A log that is in memory, and its name.
    Memory(&'static str, &'static [u8]),
}

impl Source {
    /// The log that an argument of the command line names.
    pub fn from_argument(argument: &Path) -> Self {
        if argument.as_os_str() == "-" { Self::Stdin } else { Self::File(argument.to_owned()) }
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
            Self::Memory(name, _) => (*name).to_owned(),
        }
    }

    /// The log path that the name suggests, for a log that does not state its own: `conn` for `conn.log`,
    /// for `conn.2026-11-24-03-00-00.log.gz` of a collector, whose `%2F` and the like are undone, and
    /// for the names that Zeek and its tools give to rotated files.
    pub fn path_by_name(&self) -> Vec<u8> {
        let name = match self {
            Self::File(path) => path.file_name().unwrap_or_default().as_bytes(),
            Self::Stdin => b"stdin",
            Self::Memory(name, _) => name.as_bytes(),
        };
        let start = name.iter().position(|&byte| byte != b'.').unwrap_or(name.len());
        let name = &name[start..];
        let log = memmem::rfind_iter(name, b".log").find(|at| matches!(name.get(at + 4), None | Some(b'.')));
        let stem = match log {
            Some(at) => &name[..at],
            None => name.split(|&byte| byte == b'.').next().unwrap_or_default(),
        };
        match without_time(stem) {
            [] => b"log".to_vec(),
            stem => log_path(stem).unwrap_or_else(|| stem.to_vec()),
        }
    }

    /// Its size as it is stored, if it has one.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::File(path) => path.metadata().ok().filter(|data| data.is_file()).map(|data| data.len()),
            Self::Stdin => None,
            Self::Memory(_, bytes) => Some(bytes.len() as u64),
        }
    }

    /// Checks that the log can be opened and is no directory.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Self::File(path) if path.metadata()?.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            // Opening a named pipe would wait for its other end.
            Self::File(path) if path.metadata()?.is_file() => File::open(path).map(drop),
            _ => Ok(()),
        }
    }

    /// Opens the log for reading, uncompressed. `read` counts bytes as they are stored; once `stop` is
    /// requested, the log ends.
    pub fn open(&self, read: &Rc<Cell<u64>>, stop: &Stop) -> io::Result<Box<dyn BufRead>> {
        match self {
            Self::File(path) => decompress(Watched::new(File::open(path)?, read, stop)),
            // Without the standard library's buffer, into which `wait_readable` cannot look.
            Self::Stdin => {
                let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
                decompress(Watched::new(stdin, read, stop))
            }
            Self::Memory(_, bytes) => {
                read.set(read.get() + bytes.len() as u64);
                decompress(*bytes)
            }
        }
    }
}

/// How names of rotated files end: a collector's, Zeek's, ZeekControl's, zeek-archiver's, and those
/// that people give by hand; `d` is a digit.
const TIMES: [&[u8]; 6] = [
    b".dddd-dd-dd-dd-dd-dd",
    b"-dddd-dd-dd-dd-dd-dd",
    b"-dd-dd-dd_dd.dd.dd",
    b".dd:dd:dd-dd:dd:dd",
    b"__dddd-dd-dd-dd-dd-dd__dddd-dd-dd-dd-dd-dd__",
    b".dddd-dd-dd",
];

/// A name without the time at its end, and without the number that a collector gives to a second
/// file of the same time.
fn without_time(stem: &[u8]) -> &[u8] {
    let timed = |stem: &[u8], pattern: &[u8]| {
        let start = stem.len().checked_sub(pattern.len())?;
        let fits = |(byte, pattern): (&u8, &u8)| if *pattern == b'd' { byte.is_ascii_digit() } else { byte == pattern };
        stem[start..].iter().zip(pattern).all(fits).then_some(start)
    };
    let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let unnumbered = stem[..stem.len() - digits].strip_suffix(b"_").filter(|_| digits >= 3).unwrap_or(stem);
    if let Some(start) = timed(unnumbered, TIMES[0]) {
        return &stem[..start];
    }
    TIMES.iter().find_map(|pattern| timed(stem, pattern)).map_or(stem, |start| &stem[..start])
}

/// Counts what is read, and gives up waiting when it is time to end.
struct Watched {
    input: File,
    read: Rc<Cell<u64>>,
    stop: Stop,
}

impl Watched {
    fn new(input: File, read: &Rc<Cell<u64>>, stop: &Stop) -> Self {
        Self { input, read: Rc::clone(read), stop: stop.clone() }
    }
}

impl Read for Watched {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while !self.stop.requested() {
            if terminal::wait_readable(&self.input, 100) {
                let count = self.input.read(to)?;
                self.read.set(self.read.get() + count as u64);
                return Ok(count);
            }
        }
        Ok(0)
    }
}

/// Uncompresses input that begins as gzip or zstd does, and passes on any other.
fn decompress(mut input: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut start = Vec::with_capacity(4);
    // A pipe may give the bytes one at a time.
    input.by_ref().take(4).read_to_end(&mut start)?;
    let other = match start[..] {
        [b'B', b'Z', b'h', b'1'..=b'9'] => Some(("bzip2", "bzip2 -dc")),
        [0xfd, b'7', b'z', b'X'] => Some(("xz", "xz -dc")),
        _ => None,
    };
    if let Some((name, program)) = other {
        let message = format!("it is compressed with {name}; use {program} FILE | bro-zmq replay -");
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    let method = Method::of(&start);
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(start).chain(input));
    Ok(match method {
        Some(method) => Box::new(Uncompressed::new(whole, method)),
        None => Box::new(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_a_name_suggests() {
        for (name, path) in [
            ("conn.log", "conn"),
            ("/var/log/zeek/http.10:00:00-11:00:00.log.gz", "http"),
            ("dns", "dns"),
            (".hidden.log", "hidden"),
            ("..", "log"),
            (".log", "log"),
            ("conn.json", "conn"),
            ("conn.log.labeled", "conn"),
            ("dhcp.2025-01-02.log", "dhcp"),
            ("conn.2026-11-24-03-00-00.log.zst", "conn"),
            ("conn.2026-11-24-03-00-00_001.log.gz", "conn"),
            ("conn%2E2026-11-24-03-00-00.2026-11-24-03-00-00.log", "conn.2026-11-24-03-00-00"),
            ("conn@sensor.example.org.log", "conn@sensor.example.org"),
            ("m%C3%BCnchen.log", "münchen"),
            ("100%.log", "100%"),
            ("dns_2-2026-11-24-03-00-00.log", "dns_2"),
            ("files-26-11-24_03.00.00.log.gz", "files"),
            ("ssl__2020-07-16-09-43-10__2020-07-16-10-43-10__.log", "ssl"),
            ("a_2026.log", "a_2026"),
        ] {
            assert_eq!(Source::File(name.into()).path_by_name(), path.as_bytes());
        }
    }

    #[test]
    fn short_inputs_are_no_archives() {
        for bytes in [&b""[..], b"#", b"\x1f", b"BZh"] {
            let mut all = Vec::new();
            decompress(bytes).unwrap().read_to_end(&mut all).unwrap();
            assert_eq!(all, bytes);
        }
        assert!(decompress(&b"BZh91AY"[..]).map(drop).unwrap_err().to_string().contains("bzip2 -dc FILE"));
    }
}
