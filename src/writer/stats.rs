//! The statistics that a writer publishes like a log of its own.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::counters::Counters;
use super::topic::Head;

/// When to publish, and under which topic.
#[derive(Debug)]
pub(super) struct Statistics {
    interval: Duration,
    head: Head,
    last: Instant,
}

impl Statistics {
    /// The first statistics are due after an interval.
    #[must_use]
    pub(super) fn new(interval: Duration, head: Head) -> Self {
        Self { interval, head, last: Instant::now() }
    }

    /// Returns true if an interval has passed since the last time that it did.
    pub(super) fn due(&mut self) -> bool {
        let due = self.last.elapsed() >= self.interval;
        if due {
            self.last = Instant::now();
        }
        due
    }

    /// What the messages with statistics begin with.
    #[must_use]
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Makes the JSON that tells what became of a log's records at an endpoint, since the writer was opened.
    #[must_use]
    pub(super) fn record(&self, path: &str, endpoint: &str, counters: &Counters) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut json = format!("{{\"ts\":{now:.6},\"path\":{},\"endpoint\":{}", quoted(path), quoted(endpoint));
        for (name, value) in counters.named() {
            // Writing to a string does not fail.
            let _ = write!(json, ",\"{name}\":{value}");
        }
        json.push('}');
        json.into_bytes()
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(quoted, "\\u{:04X}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::topic::Frames;
    use super::*;

    #[test]
    fn a_record_is_json() {
        let statistics = Statistics::new(Duration::from_secs(1), Head::new(b"zeromq_stats".to_vec(), Frames::Two));
        let counters = Counters { written: 7, sent: 5, queue_full: 2, ..Counters::default() };
        let record = statistics.record("a\"b\\c\n", "tcp://localhost:1", &counters);
        let json: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(json["path"], "a\"b\\c\n");
        assert_eq!(json["endpoint"], "tcp://localhost:1");
        assert_eq!((&json["written"], &json["dropped_queue_full"]), (&7.into(), &2.into()));
        assert!(json["ts"].as_f64().unwrap() > 1.7e9);
    }

    #[test]
    fn due_after_each_interval() {
        let mut statistics = Statistics::new(Duration::from_secs(3600), Head::new(b"x".to_vec(), Frames::Two));
        assert!(!statistics.due());
        statistics.last = Instant::now().checked_sub(Duration::from_secs(3601)).unwrap();
        assert!(statistics.due());
        assert!(!statistics.due());
    }
}
