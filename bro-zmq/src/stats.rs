//! Live rates of each log path, and what its senders say of themselves.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::console::{bytes, counted, duration, per_second, thousands};
use crate::json;
use crate::paths::Paths;

/// The log path of the records in which senders publish their counters.
pub const SENDER_STATS: &str = "zeromq_stats";

/// Senders that are told apart; what further ones say is not looked at.
const SENDERS: usize = 100_000;

/// Counts rates between one look and the next.
pub struct Stats {
    start: Instant,
    last: Instant,
    /// Records and bytes of each path at the last look.
    seen: Vec<(u64, u64)>,
    /// The last counters of each sender, by its log path and its identity.
    senders: HashMap<(Vec<u8>, Vec<u8>), Sender>,
}

/// A sender's counters of one log path.
#[derive(Clone, Copy, Default)]
struct Sender {
    /// Records that wait, in memory or in a spool.
    waiting: u64,
    /// Records that were dropped, for whatever reason.
    dropped: u64,
}

/// A log path's row.
struct Row {
    path: String,
    records: u64,
    bytes: u64,
    records_per_second: u64,
    bytes_per_second: u64,
    lost: u64,
    sender: Option<Sender>,
}

impl Stats {
    /// Begins to count now.
    pub fn new() -> Self {
        Self { start: Instant::now(), last: Instant::now(), seen: Vec::new(), senders: HashMap::new() }
    }

    /// How long it is since the last look.
    pub fn age(&self) -> Duration {
        self.last.elapsed()
    }

    /// Takes what a sender says of itself, if the record is of that kind.
    pub fn take(&mut self, topic: &[u8], record: &[u8]) {
        let Some(at) = topic.windows(SENDER_STATS.len()).position(|part| part == SENDER_STATS.as_bytes()) else {
            return;
        };
        let Some(members) = json::members(record) else { return };
        let (mut path, mut identity, mut sender) = (None, Vec::new(), Sender::default());
        for (key, value) in members {
            let number = || std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
            match key {
                b"\"path\"" => path = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")),
                b"\"queued\"" | b"\"spooled\"" => sender.waiting += number(),
                _ if key.starts_with(b"\"dropped_") => sender.dropped += number(),
                b"\"ts\"" => {}
                // The sender's endpoint, and fields by which a site tells its sensors apart.
                _ if value.starts_with(b"\"") => {
                    identity.extend_from_slice(key);
                    identity.extend_from_slice(value);
                }
                _ => {}
            }
        }
        let Some(path) = path else { return };
        // All topics of a sender differ in the log path only.
        let path = [&topic[..at], path, &topic[at + SENDER_STATS.len()..]].concat();
        let key = (path, identity);
        if self.senders.len() < SENDERS || self.senders.contains_key(&key) {
            self.senders.insert(key, sender);
        }
    }

    /// Looks at what has arrived since the last look.
    fn look(&mut self, paths: &Paths, lost: impl Fn(usize) -> u64) -> (Vec<Row>, Row) {
        let passed = self.last.elapsed();
        self.last = Instant::now();
        let mut senders = BTreeMap::<&[u8], Sender>::new();
        for ((path, _), sender) in &self.senders {
            let sum = senders.entry(path).or_default();
            sum.waiting += sender.waiting;
            sum.dropped += sender.dropped;
        }
        let all = senders.values().copied().reduce(|sum, sender| Sender {
            waiting: sum.waiting + sender.waiting,
            dropped: sum.dropped + sender.dropped,
        });
        self.seen.resize(paths.list().len(), (0, 0));
        let mut rows = Vec::new();
        for (number, path) in paths.list().iter().enumerate() {
            let (records, bytes) = self.seen[number];
            self.seen[number] = (path.records, path.bytes);
            // At the last look, the number may have been another log path's.
            let (records, bytes) =
                if records <= path.records && bytes <= path.bytes { (records, bytes) } else { (0, 0) };
            rows.push(Row {
                path: shown(&path.name),
                records: path.records,
                bytes: path.bytes,
                records_per_second: per_second(path.records - records, passed),
                bytes_per_second: per_second(path.bytes - bytes, passed),
                lost: lost(number),
                sender: senders.remove(&*path.name),
            });
        }
        // Log paths of which nothing has arrived.
        rows.extend(senders.into_iter().map(|(path, sender)| Row {
            path: shown(path),
            records: 0,
            bytes: 0,
            records_per_second: 0,
            bytes_per_second: 0,
            lost: 0,
            sender: Some(sender),
        }));
        rows.retain(|row| row.records > 0 || row.sender.is_some());
        rows.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.path.cmp(&b.path)));
        let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum();
        let total = Row {
            path: counted(rows.len() as u64, "log path"),
            records: sum(|row| row.records),
            bytes: sum(|row| row.bytes),
            records_per_second: sum(|row| row.records_per_second),
            bytes_per_second: sum(|row| row.bytes_per_second),
            lost: sum(|row| row.lost),
            sender: all,
        };
        (rows, total)
    }

    /// A table for a terminal of so many columns and rows. It has a column of lost records only if there are any,
    /// and the senders' own (unsent, dropped) only if a sender has published its counters.
    pub fn table(
        &mut self,
        paths: &Paths,
        lost: impl Fn(usize) -> u64,
        (columns, height): (usize, usize),
    ) -> Vec<String> {
        let (mut rows, total) = self.look(paths, lost);
        let room = height.saturating_sub(5).max(1);
        let hidden = rows.len().saturating_sub(room);
        rows.truncate(room);
        let mut head = vec!["log path", "records/s", "bytes/s", "records", "bytes"];
        if total.lost > 0 {
            head.push("lost");
        }
        if total.sender.is_some() {
            head.extend(["unsent", "dropped"]);
        }
        let cells = |row: &Row| {
            let mut cells = vec![
                row.path.clone(),
                thousands(row.records_per_second),
                bytes(row.bytes_per_second),
                thousands(row.records),
                bytes(row.bytes),
            ];
            if total.lost > 0 {
                cells.push(thousands(row.lost));
            }
            if total.sender.is_some() {
                let number =
                    |of: fn(&Sender) -> u64| row.sender.as_ref().map_or("-".to_owned(), |sender| thousands(of(sender)));
                cells.extend([number(|sender| sender.waiting), number(|sender| sender.dropped)]);
            }
            cells
        };
        let mut lines = vec![head.iter().map(|&head| head.to_owned()).collect::<Vec<_>>()];
        lines.extend(rows.iter().map(cells));
        lines.push(cells(&total));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..head.len()).map(width).collect();
        let numbers: usize = widths[1..].iter().map(|width| width + 2).sum();
        let path_width = widths[0].min(columns.saturating_sub(numbers + 1)).max(8);
        let mut text: Vec<String> = lines
            .iter()
            .map(|line| {
                let path: String = line[0].chars().take(path_width).collect();
                let mut text = format!("{path:<path_width$}");
                for (cell, &width) in line.iter().zip(&widths).skip(1) {
                    let _ = write!(text, "  {cell:>width$}");
                }
                text.chars().take(columns.saturating_sub(1)).collect()
            })
            .collect();
        if hidden > 0 {
            text.insert(text.len() - 1, format!("… and {hidden} more"));
        }
        text.push(format!("in {}", duration(self.start.elapsed())));
        text
    }

    /// A line for each log path of which something has arrived since the last look, that has lost records, or
    /// whose sender has published its counters; and one for all.
    pub fn lines(&mut self, paths: &Paths, lost: impl Fn(usize) -> u64) -> Vec<String> {
        let (rows, total) = self.look(paths, lost);
        let line = |what: &str, row: &Row| {
            let mut line = format!(
                "{what} records_per_second={} bytes_per_second={} records={} bytes={} lost={}",
                row.records_per_second, row.bytes_per_second, row.records, row.bytes, row.lost
            );
            if let Some(sender) = row.sender {
                let _ = write!(line, " sender_waiting={} sender_dropped={}", sender.waiting, sender.dropped);
            }
            line
        };
        let interesting = |row: &&Row| row.records_per_second > 0 || row.lost > 0 || row.sender.is_some();
        let mut lines: Vec<_> =
            rows.iter().filter(interesting).map(|row| line(&format!("path={}", row.path), row)).collect();
        lines.push(line(&format!("paths={}", rows.len()), &total));
        lines
    }
}

/// A log path without anything that commands a terminal, and without spaces.
fn shown(path: &[u8]) -> String {
    match path {
        [] => "\"\"".to_owned(),
        path => crate::print::shown(path).replace(' ', "\\u{20}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(paths: &mut Paths, path: &[u8], records: usize) {
        let number = paths.find(path).unwrap();
        (0..records).for_each(|_| paths.count(number, 100));
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let mut paths = Paths::default();
        for number in 0..50 {
            arrived(&mut paths, format!("a_log_path_with_a_long_name_{number:02}").as_bytes(), number + 1);
        }
        let mut stats = Stats::new();
        stats.take(b"zeromq_stats", br#"{"path":"a_log_path_with_a_long_name_49","dropped_closed":7,"queued":1}"#);
        for size in [(80, 24), (40, 10), (20, 3), (200, 60)] {
            let table = stats.table(&paths, |_| 3, size);
            assert!(table.iter().all(|line| line.chars().count() < size.0), "{size:?}: {table:#?}");
            assert!(table.len() < size.1.max(7), "{size:?}: {table:#?}");
        }
        let table = stats.table(&paths, |number| u64::from(number == 48), (120, 10));
        let cells: Vec<Vec<_>> = table.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[0], ["log", "path", "records/s", "bytes/s", "records", "bytes", "lost", "unsent", "dropped"]);
        // Log paths with most records come first.
        assert_eq!((cells[1][0], cells[1][4]), ("a_log_path_with_a_long_name_49", "50"));
        assert_eq!(cells[1][cells[1].len() - 3..], ["0", "1", "7"]);
        assert_eq!(cells[2][cells[2].len() - 3..], ["1", "-", "-"]);
        assert_eq!(table[6], "… and 45 more");
        assert_eq!((cells[7][0], cells[7][6]), ("50", "1,275"), "{table:#?}");
    }

    #[test]
    fn what_senders_say_is_told_apart() {
        let mut paths = Paths::default();
        arrived(&mut paths, b"s1/conn", 2);
        let mut stats = Stats::new();
        let mut say = |topic: &str, record: &str| stats.take(topic.as_bytes(), record.as_bytes());
        for dropped in [1, 5] {
            say("s1/zeromq_stats", &format!(r#"{{"path":"conn","endpoint":"a","dropped_queue_full":{dropped}}}"#));
        }
        say("s1/zeromq_stats", r#"{"path":"conn","endpoint":"b","dropped_queue_full":10,"dropped_spool":1}"#);
        say("s2/zeromq_stats", r#"{"path":"conn","endpoint":"a","dropped_queue_full":100}"#);
        say("zeromq_stats", "no json");
        say("zeromq_stats", r#"{"endpoint":"a","dropped_queue_full":1000}"#);
        say("conn", r#"{"path":"conn","dropped_queue_full":1000}"#);
        let lines = stats.lines(&paths, |_| 0);
        assert!(lines[0].starts_with("path=s1/conn ") && lines[0].ends_with(" sender_dropped=16"), "{lines:?}");
        assert!(lines[1].starts_with("path=s2/conn ") && lines[1].ends_with(" sender_dropped=100"), "{lines:?}");
        assert!(lines[2].starts_with("paths=2 ") && lines[2].ends_with(" sender_dropped=116"), "{lines:?}");
        assert_eq!(lines.len(), 3);
        let lines = stats.lines(&paths, |_| 0);
        assert_eq!(lines.len(), 3, "senders are shown as long as they are known: {lines:?}");
    }

    #[test]
    fn a_log_path_is_shown_as_one_word() {
        assert_eq!(shown(b"conn"), "conn");
        assert_eq!(shown(b""), "\"\"");
        assert_eq!(shown(b"a b\x1b[2J\n"), "a\\u{20}b\\u{1b}[2J\\n");
    }
}
