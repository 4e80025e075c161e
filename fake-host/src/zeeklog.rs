//! Reading Zeek's tab-separated logs back into the values they were written from. A line of a JSON log
//! is given as it is.
//!
//! A log says in its header lines how it is written (`#separator`, `#set_separator`,
//! `#unset_field`, `#empty_field`), which log it is (`#path`) and which columns it has
//! (`#fields`, `#types`). A file may hold several such blocks, as rotated logs that were
//! concatenated do. [`Reader`] gives each header and each record in turn:
//!
//! ```
//! use fake_host::Cell;
//! use fake_host::zeeklog::{Item, Reader};
//!
//! let log = "#separator \\x09\n#path\tdemo\n#fields\tts\thost\n#types\ttime\tstring\n1.500000\ta\\x09b\n";
//! let items: Vec<Item> = Reader::new(log.as_bytes()).collect::<Result<_, _>>()?;
//! assert!(matches!(&items[0], Item::Header(header) if header.path.as_deref() == Some(b"demo")));
//! assert!(matches!(&items[1], Item::Record(cells) if cells[0] == Cell::Time(1.5)));
//! # Ok::<(), fake_host::zeeklog::LineError>(())
//! ```
//!
//! What the writer makes of a value, and so what is undone here:
//! - An unset value is `#unset_field`, an empty string, set or vector is `#empty_field`. Text
//!   that happens to read like one of them has its first byte escaped.
//! - In text, a backslash is doubled; bytes that are not printable, and those of a
//!   separator, are `\xNN`.
//! - The elements of a set or vector are each written in this way, `#set_separator` between
//!   them. So neither a vector of one unset element nor a set of one empty string can be told
//!   from an unset vector and an empty set; they are read as the latter.
//! - Times and intervals have six decimals, doubles at most six: finer digits are gone.
//!
//! What other programs add to a log is left out, where no value looks like that: a byte order mark in
//! front, carriage returns at the ends of lines, blank lines, and columns with neither a name nor a
//! type nor a value, which `zeek-cut -C` writes for columns that a log does not have.

use core::fmt;
use std::io::{self, BufRead};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bro_zeromq_writer::host::{Address, Kind};

use crate::record::{Cell, Type};

/// A line can have this many bytes; a longer one is malformed.
pub const MAX_LINE: usize = 64 * 1024 * 1024;

/// What a log's header lines say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `#path`, if there is one, byte for byte.
    pub path: Option<Vec<u8>>,
    /// `#fields` and `#types`.
    pub columns: Vec<Column>,
}

/// One column of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, such as `id.orig_h`.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// The type of its elements, if it is a set or a vector.
    pub element: Option<Type>,
}

/// What a log consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The records that follow are of this log and have these columns.
    Header(Arc<Header>),
    /// A record: a cell for each column of the last header.
    Record(Vec<Cell>),
    /// A line of a JSON log, without its end, which begins with a brace: there was no header line
    /// above it.
    Json(Vec<u8>),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// It could not be read. Nothing follows.
    Io,
    /// It is a header line that cannot be understood. Its block's records are [`ErrorKind::NoHeader`].
    Header,
    /// It is a record, but no valid header precedes it.
    NoHeader,
    /// It is a malformed record.
    Record,
}

/// A line that cannot be used. Below a header line that cannot, no record of its block can be used either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Counted from 1.
    pub line: u64,
    /// What it concerns.
    pub kind: ErrorKind,
    /// What is wrong, without the line number.
    pub message: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for LineError {}

/// Reads a log. After an error it goes on with the next line, unless the error is
/// [`ErrorKind::Io`].
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    format: Format,
    path: Option<Vec<u8>>,
    names: Option<Vec<String>>,
    header: Option<Arc<Header>>,
    /// For each column in the file: true if it is one of the header's.
    named: Vec<bool>,
    /// The block's `#separator` is wrong, so its other header lines say nothing.
    has_bad_separator: bool,
    /// The block has ended with `#close`.
    closed: bool,
    ended: bool,
}

const CARRIAGE_RETURNS: &str = "its lines end with carriage returns alone; convert it: tr '\\r' '\\n'";
const UTF_16: &str = "the file is in UTF-16; convert it: iconv -f utf-16 -t utf-8";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const JOINED: &[u8] = b"\xef\xbb\xbf#separator ";

/// How a block of a log is written.
#[derive(Debug)]
struct Format {
    separator: Vec<u8>,
    set_separator: Vec<u8>,
    /// As they stand in records, that is, escaped.
    unset: Vec<u8>,
    empty: Vec<u8>,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            separator: b"\t".to_vec(),
            set_separator: b",".to_vec(),
            unset: b"-".to_vec(),
            empty: b"(empty)".to_vec(),
        }
    }
}

/// A line was read, or there is none, or it is longer than [`MAX_LINE`].
enum Line {
    Read,
    End,
    TooLong,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`, which is uncompressed.
    pub fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
            format: Format::default(),
            path: None,
            names: None,
            header: None,
            named: Vec::new(),
            has_bad_separator: false,
            closed: false,
            ended: false,
        }
    }

    /// The number of the line read last, counted from 1.
    pub fn line_number(&self) -> u64 {
        self.number
    }

    /// Reads a line, without its end, into `self.line`.
    fn read_line(&mut self) -> io::Result<Line> {
        self.line.clear();
        let (mut any, mut too_long) = (false, false);
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if available.is_empty() {
                break;
            }
            any = true;
            let end = available.iter().position(|&byte| byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if self.line.len() + part.len() > MAX_LINE {
                too_long = true;
            } else if !too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.number += u64::from(any);
        Ok(match (any, too_long) {
            (false, _) => Line::End,
            (true, true) => Line::TooLong,
            (true, false) => Line::Read,
        })
    }

    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> LineError {
        LineError { line: self.number, kind, message: message.into() }
    }

    /// Takes away what no host has written. Fails for what cannot be read at all.
    fn clean_line(&mut self) -> Result<(), &'static str> {
        if self.number == 1 {
            if self.line.starts_with(b"\xff\xfe") || self.line.starts_with(b"\xfe\xff") {
                return Err(UTF_16);
            }
            if self.line.starts_with(BYTE_ORDER_MARK) {
                self.line.drain(..BYTE_ORDER_MARK.len());
            }
        } else if self.line.starts_with(JOINED) {
            // Each of several files that were joined has a byte order mark.
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        // In a value, a carriage return would be escaped.
        if !self.format.separator.contains(&b'\r') {
            let end = self.line.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1);
            self.line.truncate(end);
        }
        Ok(())
    }

    /// Returns true if a line without anything in it is a record of one column.
    fn blank_is_record(&self, header: &Header) -> bool {
        let [column] = &header.columns[..] else { return false };
        let empty = matches!(column.kind.kind(), Kind::Text | Kind::Unknown | Kind::List);
        !self.closed && (self.format.unset.is_empty() || (empty && self.format.empty.is_empty()))
    }

    /// Takes a line that begins with `#`. Gives a header once one is complete.
    fn header_line(&mut self) -> Result<Option<Arc<Header>>, String> {
        let line = &self.line[1..];
        // `#separator` says what separates the others, and is itself separated by a space.
        if let Some(separator) = line.strip_prefix(b"separator ") {
            (self.format, self.path, self.names, self.header) = (Format::default(), None, None, None);
            (self.has_bad_separator, self.closed) = (true, false);
            if separator.is_empty() {
                return Err("#separator is empty".to_owned());
            }
            if separator.contains(&b'\r') {
                return Err(CARRIAGE_RETURNS.to_owned());
            }
            self.format.separator = unescape(separator);
            self.has_bad_separator = false;
            return Ok(None);
        }
        if self.has_bad_separator {
            return Ok(None);
        }
        let mut parts = split(line, &self.format.separator);
        let key = parts.next().unwrap_or_default();
        let rest = line.get(key.len() + self.format.separator.len()..).unwrap_or_default();
        match key {
            b"set_separator" => {
                self.format.set_separator = unescape(rest);
                if rest.is_empty() {
                    self.format.set_separator = Format::default().set_separator;
                    return Err("#set_separator is empty".to_owned());
                }
            }
            b"unset_field" => self.format.unset = escape(&unescape(rest)),
            b"empty_field" => self.format.empty = escape(&unescape(rest)),
            b"path" => self.path = Some(unescape(rest)),
            b"fields" => {
                self.header = None;
                self.names = Some(parts.map(|name| String::from_utf8_lossy(name).into_owned()).collect());
            }
            b"types" => {
                self.header = None;
                let names = self.names.take().ok_or("#types without #fields above it")?;
                let types: Vec<_> = parts.collect();
                if names.len() != types.len() {
                    return Err(format!("#fields names {} columns, but #types has {}", names.len(), types.len()));
                }
                self.named =
                    names.iter().zip(&types).map(|(name, text)| !name.is_empty() || !text.is_empty()).collect();
                let columns = names.into_iter().zip(types).zip(&self.named).filter(|(_, named)| **named);
                let columns = columns.map(|((name, text), _)| {
                    let (kind, element) = parse_type(text)
                        .ok_or_else(|| format!("column {name} has the type \"{}\", which no log has", shorten(text)))?;
                    Ok(Column { name, kind, element })
                });
                let columns = columns.collect::<Result<_, String>>()?;
                let header = Arc::new(Header { path: self.path.clone(), columns });
                self.header = Some(Arc::clone(&header));
                return Ok(Some(header));
            }
            b"close" => self.closed = true,
            // #open, and what later versions may add.
            _ => {}
        }
        Ok(None)
    }

    fn record(&self, header: &Header) -> Result<Vec<Cell>, String> {
        let mut cells = Vec::with_capacity(header.columns.len());
        let mut columns = header.columns.iter();
        let mut found = 0;
        let mut problem = None;
        let mut parts = split(&self.line, &self.format.separator);
        for named in &self.named {
            let Some(part) = parts.next() else { break };
            found += 1;
            if !named {
                if !part.is_empty() {
                    problem = Some(format!("column {found}: \"{}\" belongs to no column", shorten(part)));
                    break;
                }
                continue;
            }
            let Some(column) = columns.next() else { break };
            match self.format.cell(part, column.kind, column.element) {
                Ok(cell) => cells.push(cell),
                Err(what) => {
                    let verb = if column.element.is_some() { "has an element that is" } else { "is" };
                    let value = shorten(part);
                    problem = Some(format!("column {found} ({}): \"{value}\" {verb} not {what}", column.name));
                    break;
                }
            }
        }
        // A column too many or too few is the better explanation for a value of a wrong type.
        let all = found + parts.count();
        if all != self.named.len() {
            let plural = if all == 1 { "" } else { "s" };
            return Err(format!("{all} column{plural} instead of {}", self.named.len()));
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        Ok(cells)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Item, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.read_line() {
                Ok(Line::Read) => {}
                Ok(Line::End) => break,
                Ok(Line::TooLong) => {
                    let message = format!("the line has more than {} MiB", MAX_LINE >> 20);
                    return Some(Err(self.error(ErrorKind::Record, message)));
                }
                Err(error) => {
                    self.ended = true;
                    self.number += 1;
                    return Some(Err(self.error(ErrorKind::Io, format!("cannot be read: {error}"))));
                }
            }
            if let Err(message) = self.clean_line() {
                self.ended = true;
                return Some(Err(self.error(ErrorKind::Header, message)));
            }
            if self.line.first() == Some(&b'#') {
                match self.header_line() {
                    Ok(None) => continue,
                    Ok(Some(header)) => return Some(Ok(Item::Header(header))),
                    Err(message) => {
                        self.header = None;
                        return Some(Err(self.error(ErrorKind::Header, message)));
                    }
                }
            }
            let Some(header) = &self.header else {
                if self.line.is_empty() {
                    continue;
                }
                if self.line.first() == Some(&b'{')
                    && self.names.is_none()
                    && self.path.is_none()
                    && !self.has_bad_separator
                {
                    return Some(Ok(Item::Json(std::mem::take(&mut self.line))));
                }
                let message = "a record without the header lines (#fields, #types) above it";
                return Some(Err(self.error(ErrorKind::NoHeader, message)));
            };
            if self.line.is_empty() && !self.blank_is_record(header) {
                continue;
            }
            let record = self.record(header);
            return Some(record.map(Item::Record).map_err(|message| self.error(ErrorKind::Record, message)));
        }
        self.ended = true;
        None
    }
}

impl Format {
    /// Reads a value; the error says what it should have been.
    fn cell(&self, raw: &[u8], kind: Type, element: Option<Type>) -> Result<Cell, &'static str> {
        if raw == self.unset {
            return Ok(Cell::Unset(kind));
        }
        let text = || core::str::from_utf8(raw).unwrap_or_default();
        Ok(match kind {
            Type::Bool => match raw {
                b"T" => Cell::Bool(true),
                b"F" => Cell::Bool(false),
                _ => return Err("T or F"),
            },
            Type::Int => Cell::Int(text().parse().map_err(|_| "a whole number of 64 bits")?),
            Type::Count | Type::Counter => Cell::Count(text().parse().map_err(|_| "a natural number of 64 bits")?),
            Type::Port => port(text()).ok_or("a port")?,
            Type::Double => Cell::Double(text().parse().map_err(|_| "a number")?),
            Type::Interval => Cell::Interval(text().parse().map_err(|_| "an interval in seconds")?),
            Type::Time => Cell::Time(text().parse().map_err(|_| "a time in seconds since the epoch")?),
            Type::Addr => Cell::Addr(address(text()).ok_or("an address")?),
            Type::Subnet => subnet(text()).ok_or("a subnet")?,
            Type::String | Type::Enum | Type::File | Type::Func | Type::Pattern => {
                Cell::Text(kind, if raw == self.empty { Vec::new() } else { unescape(raw) })
            }
            Type::Set | Type::Vector if raw == self.empty || raw.is_empty() => Cell::List(kind, Vec::new()),
            Type::Set | Type::Vector => {
                let element = element.unwrap_or(Type::String);
                let elements = split(raw, &self.set_separator).map(|raw| self.cell(raw, element, None));
                Cell::List(kind, elements.collect::<Result<_, _>>()?)
            }
        })
    }
}

fn port(text: &str) -> Option<Cell> {
    let (number, protocol) = match text.split_once('/') {
        None => (text, 0),
        Some((number, "tcp")) => (number, 1),
        Some((number, "udp")) => (number, 2),
        Some((number, "icmp")) => (number, 3),
        Some((number, "unknown")) => (number, 0),
        Some(_) => return None,
    };
    Some(Cell::Port(number.parse::<u16>().ok()?.into(), protocol))
}

fn address(text: &str) -> Option<Address> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    Some(match bare.parse().ok()? {
        IpAddr::V4(address) => Address::V4(Ipv4Addr::octets(&address)),
        IpAddr::V6(address) => Address::V6(Ipv6Addr::octets(&address)),
    })
}

/// A subnet, whose length hosts count on the 128-bit form.
fn subnet(text: &str) -> Option<Cell> {
    let (prefix, length) = text.rsplit_once('/')?;
    let length: u8 = length.parse().ok()?;
    match address(prefix)? {
        prefix @ Address::V4(_) if length <= 32 => Some(Cell::Subnet(prefix, length + 96)),
        prefix @ Address::V6(_) if length <= 128 => Some(Cell::Subnet(prefix, length)),
        _ => None,
    }
}

/// Reads the name of a type, such as `count` or `set[addr]`.
fn parse_type(text: &[u8]) -> Option<(Type, Option<Type>)> {
    let text = core::str::from_utf8(text).ok()?;
    if let Some(element) = text.strip_suffix(']') {
        let (list, element) = element.split_once('[')?;
        let list = match list {
            "set" | "table" => Type::Set,
            "vector" => Type::Vector,
            _ => return None,
        };
        return Some((list, Some(parse_atomic_type(element)?)));
    }
    Some((parse_atomic_type(text)?, None))
}

fn parse_atomic_type(text: &str) -> Option<Type> {
    // Bro had both types, and one type of value for them.
    let name = if text == "counter" { "count" } else { text };
    Type::ALL.iter().copied().find(|kind| kind.name() == name && kind.kind() != Kind::List)
}

/// Undoes the escaping of text: `\xNN` is a byte, a doubled backslash is one. Any other
/// backslash is itself.
#[must_use]
pub fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        text.extend_from_slice(&rest[..at]);
        rest = match &rest[at + 1..] {
            [b'\\', after @ ..] => {
                text.push(b'\\');
                after
            }
            [b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or_default() as u8;
                text.push(digit(*high) << 4 | digit(*low));
                after
            }
            after => {
                text.push(b'\\');
                after
            }
        };
    }
    text.extend_from_slice(rest);
    text
}

/// Escapes what `#unset_field` or `#empty_field` says as the writer does in records.
fn escape(text: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'\\' => raw.extend_from_slice(b"\\\\"),
            b' '..=b'~' => raw.push(byte),
            _ => raw.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    raw
}

/// A value for an error message.
fn shorten(raw: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(raw);
    let text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Splits at every occurrence of a separator, which is not empty.
fn split<'a>(text: &'a [u8], separator: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        let at = match separator {
            [byte] => text.iter().position(|other| other == byte),
            _ => text.windows(separator.len().max(1)).position(|window| window == separator),
        };
        let (part, after) = match at {
            Some(at) => (&text[..at], Some(&text[at + separator.len()..])),
            None => (text, None),
        };
        rest = after;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_TYPES: &str = "\
#separator \\x09
#set_separator\t,
#empty_field\t(empty)
#unset_field\t-
#path\tall
#open\t2025-01-02-03-04-05
#fields\tb\ti\tc\tp\td\tv\tt\ta\tn\ts\te\tf\tu\tss\tvs\tsa
#types\tbool\tint\tcount\tport\tdouble\tinterval\ttime\taddr\tsubnet\tstring\tenum\tfile\tfunc\tset[string]\tvector[interval]\ttable[addr]
";

    fn text(kind: Type, text: &[u8]) -> Cell {
        Cell::Text(kind, text.to_vec())
    }

    fn read(log: &[u8]) -> Vec<Result<Item, LineError>> {
        Reader::new(log).collect()
    }

    /// The records of a log with one column.
    fn column(kind: &str, rows: &[u8]) -> Vec<Result<Cell, String>> {
        let mut log = format!("#separator \\x09\n#path\tx\n#fields\tx\n#types\t{kind}\n").into_bytes();
        log.extend_from_slice(rows);
        read(&log)
            .into_iter()
            .filter_map(|item| match item {
                Ok(Item::Header(_) | Item::Json(_)) => None,
                Ok(Item::Record(cells)) => Some(Ok(cells[0].clone())),
                Err(error) => Some(Err(error.message)),
            })
            .collect()
    }

    fn cell(kind: &str, raw: &[u8]) -> Cell {
        let mut cells = column(kind, raw);
        assert_eq!(cells.len(), 1, "{raw:?}");
        cells.remove(0).unwrap()
    }

    #[test]
    fn every_type_is_read() {
        let row = "T\t-5\t18446744073709551615\t443\t1.5\t0.000010\t1700000000.123456\t2001:db8::1\t192.0.2.0/24\tx\t\
                   Notice::ACTION_LOG\tf\tg\ta,b\t1.000000,-\t192.0.2.1,::1\n";
        let items = read(format!("{ALL_TYPES}{row}#close\t2025-01-02-03-04-06\n").as_bytes());
        let [Ok(Item::Header(header)), Ok(Item::Record(cells))] = &items[..] else { panic!("{items:?}") };
        assert_eq!(header.path.as_deref(), Some(&b"all"[..]));
        assert_eq!(header.columns.len(), 16);
        assert_eq!(header.columns[13], Column { name: "ss".into(), kind: Type::Set, element: Some(Type::String) });
        let v6 = |last| {
            let mut bytes = [0; 16];
            bytes[15] = last;
            bytes
        };
        let mut db8 = v6(1);
        db8[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(
            cells[..],
            [
                Cell::Bool(true),
                Cell::Int(-5),
                Cell::Count(u64::MAX),
                Cell::Port(443, 0),
                Cell::Double(1.5),
                Cell::Interval(0.00001),
                Cell::Time(1_700_000_000.123_456),
                Cell::Addr(Address::V6(db8)),
                Cell::Subnet(Address::V4([192, 0, 2, 0]), 120),
                text(Type::String, b"x"),
                text(Type::Enum, b"Notice::ACTION_LOG"),
                text(Type::File, b"f"),
                text(Type::Func, b"g"),
                Cell::List(Type::Set, vec![text(Type::String, b"a"), text(Type::String, b"b")]),
                Cell::List(Type::Vector, vec![Cell::Interval(1.0), Cell::Unset(Type::Interval)]),
                Cell::List(Type::Set, vec![Cell::Addr(Address::V4([192, 0, 2, 1])), Cell::Addr(Address::V6(v6(1)))]),
            ]
        );
    }

    #[test]
    fn every_type_can_be_unset() {
        let items = read(format!("{ALL_TYPES}{}-\n", "-\t".repeat(15)).as_bytes());
        let Ok(Item::Record(cells)) = &items[1] else { panic!("{items:?}") };
        assert!(cells.iter().all(|cell| matches!(cell, Cell::Unset(_))), "{cells:?}");
        assert_eq!(cells[13], Cell::Unset(Type::Set));
    }

    #[test]
    fn text_is_unescaped() {
        for (raw, plain) in [
            (&b"plain text"[..], &b"plain text"[..]),
            (b"(empty)", b""),
            (b"\\x28empty)", b"(empty)"),
            (b"\\x2d", b"-"),
            (b"--", b"--"),
            (b"\\x09\\x0a\\x00\\xff\\xC3", b"\x09\x0a\x00\xff\xc3"),
            (b"\\\\xff", b"\\xff"),
            (b"\\\\\\x41", b"\\A"),
            (b"\\\\\\\\", b"\\\\"),
            // The host never writes these, but other programs do.
            (b"\\", b"\\"),
            (b"a\\x4", b"a\\x4"),
            (b"\\xg0\\n", b"\\xg0\\n"),
            (b"\\x+1", b"\\x+1"),
            (b"\xc3\xa9\xff", b"\xc3\xa9\xff"),
            (b"\\x23 no header", b"# no header"),
            (b"carriage return\r", b"carriage return"),
            (b"carriage return\\x0d", b"carriage return\r"),
        ] {
            assert_eq!(cell("string", raw), text(Type::String, plain), "{raw:?}");
            assert_eq!(cell("string", &[raw, b"\n"].concat()), text(Type::String, plain), "{raw:?}");
        }
    }

    #[test]
    fn lists_of_text() {
        let list = |elements: &[&[u8]]| {
            Cell::List(Type::Vector, elements.iter().map(|element| text(Type::String, element)).collect())
        };
        for (raw, cell_expected) in [
            (&b"(empty)"[..], list(&[])),
            (b"a", list(&[b"a"])),
            (b"a\\x2cb,c", list(&[b"a,b", b"c"])),
            (b"(empty),x", list(&[b"", b"x"])),
            (b"x,(empty),(empty)", list(&[b"x", b"", b""])),
            (b"\\x2d,\\x28empty)", list(&[b"-", b"(empty)"])),
            (b"a,", list(&[b"a", b""])),
            (b"-", Cell::Unset(Type::Vector)),
            (
                b"-,a,-",
                Cell::List(
                    Type::Vector,
                    vec![Cell::Unset(Type::String), text(Type::String, b"a"), Cell::Unset(Type::String)],
                ),
            ),
        ] {
            assert_eq!(cell("vector[string]", raw), cell_expected, "{raw:?}");
        }
    }

    #[test]
    fn numbers_as_the_host_writes_them() {
        assert_eq!(cell("double", b"1700000000000.0"), Cell::Double(1.7e12));
        assert_eq!(cell("interval", b"-0.000001"), Cell::Interval(-0.000_001));
        assert_eq!(cell("time", b"1.7e+10"), Cell::Time(1.7e10));
        assert_eq!(cell("double", b"inf"), Cell::Double(f64::INFINITY));
        assert_eq!(cell("double", b"-inf"), Cell::Double(f64::NEG_INFINITY));
        assert!(matches!(cell("double", b"nan"), Cell::Double(number) if number.is_nan()));
        assert_eq!(cell("int", b"-9223372036854775808"), Cell::Int(i64::MIN));
        assert_eq!(cell("port", b"53/udp"), Cell::Port(53, 2));
        assert_eq!(cell("subnet", b"2001:db8::/32"), {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            Cell::Subnet(Address::V6(bytes), 32)
        });
        assert_eq!(cell("counter", b"7"), Cell::Count(7));
    }

    #[test]
    fn columns_that_a_log_does_not_have() {
        let log = "#separator \\x09\n#path\tx\n#fields\t\ta\t\tb\t\n#types\t\tcount\t\tcount\t\n\t1\t\t2\t\n\t3\tx\t4\t\n\t5\t\t6\n\t7\t\tb\t\n";
        let items = read(log.as_bytes());
        let Ok(Item::Header(header)) = &items[0] else { panic!("{items:?}") };
        assert_eq!(header.columns.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(items[1], Ok(Item::Record(vec![Cell::Count(1), Cell::Count(2)])));
        for (item, why) in items[2..].iter().zip([
            "column 3: \"x\" belongs to no column",
            "4 columns instead of 5",
            "column 4 (b): \"b\" is not a natural number",
        ]) {
            assert!(item.as_ref().is_err_and(|error| error.message.starts_with(why)), "{item:?}");
        }
        // A column with a name and without a type is not left out.
        let log = log.replace("#types\t\tcount\t\t", "#types\t\tcount\tcount\t").replace("\ta\t\tb", "\ta\tc\tb");
        let log = log.replace("#types\t\tcount\tcount", "#types\t\tcount\t");
        assert!(matches!(&read(log.as_bytes())[0], Err(error) if error.kind == ErrorKind::Header), "{log}");
    }

    #[test]
    fn lines_of_a_json_log() {
        let log = "\u{feff}{\"a\":1}\r\n\n{\"b\":2}\n[3]\n#separator \\x09\n{\"c\":4}\n";
        let items: Vec<_> = Reader::new(log.as_bytes()).collect();
        assert_eq!(items[..2], [Ok(Item::Json(b"{\"a\":1}".to_vec())), Ok(Item::Json(b"{\"b\":2}".to_vec()))]);
        let headless =
            |item: &Result<Item, LineError>| item.as_ref().is_err_and(|error| error.kind == ErrorKind::NoHeader);
        assert!(headless(&items[2]), "{items:?}");
        // Below a header, also half of one, it is a value.
        let half = "#separator \\x09\n#path\tx\n{\"c\":4}\n";
        assert!(headless(&Reader::new(half.as_bytes()).next().unwrap()));
        assert_eq!(column("string", b"{\"c\":4}\n"), [Ok(text(Type::String, b"{\"c\":4}"))]);
    }

    #[test]
    fn a_malformed_value_names_its_column() {
        for (kind, raw, what) in [
            ("bool", "maybe", "T or F"),
            ("int", "1.5", "whole number"),
            ("int", "9223372036854775808", "64 bits"),
            ("count", "-1", "natural number"),
            ("port", "65536", "a port"),
            ("port", "80/sctp", "a port"),
            ("double", "1,5", "a number"),
            ("interval", "1 sec", "an interval"),
            ("time", "yesterday", "a time"),
            ("addr", "192.0.2.256", "an address"),
            ("addr", "2001:db8::/32", "an address"),
            ("subnet", "192.0.2.0", "a subnet"),
            ("subnet", "192.0.2.0/33", "a subnet"),
            ("subnet", "::/129", "a subnet"),
            ("set[addr]", "::1,x", "has an element that is not an address"),
            ("vector[double]", "1.0,x", "has an element that is not a number"),
        ] {
            let cells = column(kind, format!("{raw}\n").as_bytes());
            let [Err(message)] = &cells[..] else { panic!("{kind} {raw}: {cells:?}") };
            assert!(message.contains("column 1 (x)") && message.contains(what), "{message}");
            assert!(message.contains(&format!("\"{raw}\"")), "{message}");
        }
    }

    #[test]
    fn a_malformed_line_costs_that_line() {
        let log = "#separator \\x09\n#path\tx\n#fields\ta\tb\n#types\tcount\tstring\n\
                   1\tone\n2\nthree\t3\n4\tfour\tfour\n\n5\tfive";
        let items = read(log.as_bytes());
        let lines: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).map(|error| error.line).collect();
        assert_eq!(lines, [6, 7, 8]);
        let error = items[2].as_ref().unwrap_err();
        assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::Record, "line 6: 1 column instead of 2"));
        assert!(items[4].as_ref().unwrap_err().message.contains("3 columns instead of 2"));
        assert_eq!(items[5], Ok(Item::Record(vec![Cell::Count(5), text(Type::String, b"five")])));
    }

    #[test]
    fn a_block_of_its_own_for_each_header() {
        let block = |path: &str, kind: &str, row: &str| {
            format!("#separator \\x09\n#path\t{path}\n#fields\tx\n#types\t{kind}\n{row}\n#close\t2025-01-01-00-00-00\n")
        };
        let log = block("a", "count", "1")
            + &block("b", "string", "two")
            + &block("a", "nonsense", "3")
            + &block("a", "int", "4");
        let items = read(log.as_bytes());
        assert_eq!(items.len(), 8, "{items:?}");
        assert!(matches!(&items[2], Ok(Item::Header(header)) if header.path.as_deref() == Some(b"b")));
        assert_eq!(items[3], Ok(Item::Record(vec![text(Type::String, b"two")])));
        let kinds: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).map(|error| error.kind).collect();
        assert_eq!(kinds, [ErrorKind::Header, ErrorKind::NoHeader]);
        assert_eq!(items[7], Ok(Item::Record(vec![Cell::Int(4)])));
    }

    #[test]
    fn other_separators() {
        let log = "#separator |\\x7c\n#set_separator||\\x20\n#unset_field||\\x0a\n#empty_field||\n#path||odd\\x20name\n\
                   #fields||a||b||c\n#types||string||vector[int]||string\n\\x0a||1 2||\n-||||(empty)\n";
        let items = read(log.as_bytes());
        assert!(
            matches!(&items[0], Ok(Item::Header(header)) if header.path.as_deref() == Some(b"odd name")),
            "{items:?}"
        );
        assert_eq!(
            items[1],
            Ok(Item::Record(vec![
                Cell::Unset(Type::String),
                Cell::List(Type::Vector, vec![Cell::Int(1), Cell::Int(2)]),
                text(Type::String, b""),
            ]))
        );
        assert_eq!(
            items[2],
            Ok(Item::Record(vec![
                text(Type::String, b"-"),
                Cell::List(Type::Vector, vec![]),
                text(Type::String, b"(empty)"),
            ]))
        );
    }

    #[test]
    fn header_lines_that_cannot_be_understood() {
        for (log, part) in [
            ("#separator \\x09\n#types\tint\n", "#types without #fields"),
            ("#fields\ta\tb\n#types\tint\n", "2 columns, but #types has 1"),
            ("#fields\ta\n#types\tset[set[int]]\n", "set[set[int]]"),
            ("#fields\ta\n#types\trecord\n", "record"),
            ("#separator \n#fields\ta\n#types\tx\n", "#separator is empty"),
            ("#separator \\x09\r#fields\ta\r#types\tint\r1\r", "end with carriage returns alone"),
            ("#set_separator\t\n", "#set_separator is empty"),
        ] {
            let items = read(log.as_bytes());
            let [Err(error)] = &items[..] else { panic!("{log:?}: {items:?}") };
            assert!(error.kind == ErrorKind::Header && error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn blank_lines_are_no_values() {
        let block = |fields: &str, types: &str, more: &str| {
            format!("#separator \\x09\n{more}#path\tx\n#fields\t{fields}\n#types\t{types}\n")
        };
        let records = |log: &str| read(log.as_bytes()).len() - 1;
        for kind in ["string", "set[string]", "count", "addr"] {
            for blank in ["\n", "\r\n", "\r\r\n"] {
                let log = block("x", kind, "") + &blank.repeat(2) + "-\n" + &blank.repeat(2) + "#close\tx\n\n" + blank;
                assert_eq!(records(&log), 1, "{kind} {blank:?}");
            }
        }
        // In these logs, a blank line is how the host writes the value.
        for (more, kind, expected) in [
            ("#empty_field\t\n", "string", Cell::Text(Type::String, Vec::new())),
            ("#empty_field\t\n", "vector[count]", Cell::List(Type::Vector, Vec::new())),
            ("#unset_field\t\n", "count", Cell::Unset(Type::Count)),
        ] {
            let items = read((block("x", kind, more) + "\n#close\tx\n\n\n").as_bytes());
            assert_eq!(items[1..], [Ok(Item::Record(vec![expected]))], "{kind}");
        }
        assert_eq!(records(&(block("x", "count", "#empty_field\t\n") + "1\n\n")), 1);
    }

    #[test]
    fn logs_that_windows_has_touched() {
        let log = "#separator \\x09\n#set_separator\t,\n#unset_field\t-\n#path\tx\n#fields\ts\tn\n#types\tstring\tset[string]\n\
                   one\t-\ntwo\ta,b\n#close\tx\n";
        let expected = read(log.as_bytes());
        assert!(expected.len() == 3 && expected.iter().all(Result::is_ok));
        let windows = log.replace('\n', "\r\n");
        for (touched, what) in [
            (windows.clone(), "line ends"),
            (log.replace('\n', "\r\r\n"), "line ends twice"),
            (log.replace("-\n", "-\r\n"), "of some lines"),
            (format!("\u{feff}{log}"), "byte order mark"),
            (format!("\u{feff}{windows}"), "both"),
            (windows.trim_end().to_owned(), "the last line end"),
        ] {
            assert_eq!(read(touched.as_bytes()), expected, "{what}");
        }
        let joined = format!("\u{feff}{log}\u{feff}{log}");
        assert_eq!(read(joined.as_bytes()), [&expected[..], &expected].concat());
        // In a record, a byte order mark is part of a value.
        let items = read(log.replace("one", "\u{feff}one").as_bytes());
        assert!(
            matches!(&items[1], Ok(Item::Record(cells)) if cells[0] == text(Type::String, "\u{feff}one".as_bytes()))
        );
        let utf_16: Vec<u8> = [0xfeff].into_iter().chain(log.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let items = read(&utf_16);
        assert!(matches!(&items[..], [Err(error)] if error.line == 1 && error.message.contains("iconv")), "{items:?}");
    }

    #[test]
    fn log_paths_are_bytes() {
        for (line, path) in [(&b"caf\xe9"[..], &b"caf\xe9"[..]), (b"caf\\xe8", b"caf\xe8"), (b"\\\\x", b"\\x")] {
            let log = [b"#separator \\x09\n#path\t", line, b"\n#fields\tx\n#types\tint\n"].concat();
            let items = read(&log);
            let [Ok(Item::Header(header))] = &items[..] else { panic!("{items:?}") };
            assert_eq!(header.path.as_deref(), Some(path));
        }
    }

    #[test]
    fn a_log_without_header_lines() {
        let items = read(b"1\tx\n\n2\ty\n");
        assert_eq!(items.len(), 2);
        assert!(items.iter().all(|item| matches!(item, Err(error) if error.kind == ErrorKind::NoHeader)));
        assert!(read(b"").is_empty());
    }

    #[test]
    fn a_reading_error_ends_it() {
        struct Broken(u8);
        impl io::Read for Broken {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    2 => {
                        to[..4].copy_from_slice(b"#x\n1");
                        Ok(4)
                    }
                    _ => Err(io::Error::other("disk on fire")),
                }
            }
        }
        let items: Vec<_> = Reader::new(io::BufReader::new(Broken(0))).collect();
        let [Err(error)] = &items[..] else { panic!("{items:?}") };
        assert_eq!((error.line, error.kind), (2, ErrorKind::Io));
        assert!(error.message.contains("disk on fire"));
    }

    #[test]
    fn a_line_of_any_length_up_to_the_limit() {
        let mut log = b"#fields\tx\n#types\tstring\n".to_vec();
        log.resize(log.len() + MAX_LINE, b'a');
        log.extend_from_slice(b"\n");
        log.resize(log.len() + MAX_LINE + 1, b'b');
        log.extend_from_slice(b"\nc\n");
        let items: Vec<_> = Reader::new(io::BufReader::new(&log[..])).collect();
        assert!(
            matches!(&items[1], Ok(Item::Record(cells)) if matches!(&cells[0], Cell::Text(_, text) if text.len() == MAX_LINE))
        );
        assert!(matches!(&items[2], Err(error) if error.line == 4 && error.message.contains("64 MiB")));
        assert_eq!(items[3], Ok(Item::Record(vec![text(Type::String, b"c")])));
    }
}
