//! Tells how many of a writer's records lie in a part of an endpoint's stream.
//!
//! All logs of an endpoint share a connection. When it is lost, the systems' buffers still hold the
//! last bytes that were handed over, and nobody knows whose bytes these are. So each writer remembers
//! how many records it had handed over at which positions of the stream: the longer ago, the fewer.

use std::collections::VecDeque;

/// How many looks are remembered.
const LOOKS: usize = 64;

/// A writer's records in the stream.
#[derive(Debug, Default)]
pub struct Trail {
    /// Positions of the stream, and records handed over by then, the oldest first.
    looks: VecDeque<(u64, u64)>,
}

impl Trail {
    /// Takes note that at this position of the stream so many records had been handed over. Neither number
    /// ever goes back.
    pub fn note(&mut self, position: u64, records: u64) {
        if let Some(&(last, _)) = self.looks.back()
            && last == position
        {
            return;
        }
        if self.looks.len() == LOOKS {
            // Of the older half, every second look stays.
            let mut index = 0;
            self.looks.retain(|_| {
                index += 1;
                index % 2 == 1 || index > LOOKS / 2
            });
        }
        self.looks.push_back((position, records));
    }

    /// Records among these bytes; a part of a record counts as a whole.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        let (from, to) = (self.at(from), self.at(to));
        if to > from { (to.ceil() - from.floor()) as u64 } else { 0 }
    }

    /// Records that had been handed over at a position.
    fn at(&self, position: u64) -> f64 {
        let mut before = None;
        for &(place, records) in &self.looks {
            if place >= position {
                let Some((start, first)) = before else { return records as f64 };
                let part = (position - start) as f64 / (place - start) as f64;
                return first as f64 + part * (records - first) as f64;
            }
            before = Some((place, records));
        }
        before.map_or(0.0, |(_, records)| records as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_by_bytes() {
        let mut trail = Trail::default();
        assert_eq!(trail.between(0, 100), 0);
        trail.note(0, 0);
        trail.note(1000, 10);
        trail.note(1000, 10);
        // All of the next bytes belong to others.
        trail.note(5000, 10);
        trail.note(6000, 15);
        for (from, to, records) in [
            (0, 1000, 10),
            (0, 100, 1),
            (50, 150, 2),
            (1000, 5000, 0),
            (5000, 6000, 5),
            (500, 5200, 6),
            (5900, 9999, 1),
        ] {
            assert_eq!(trail.between(from, to), records, "{from}..{to}");
        }
        for step in 0..1000 {
            trail.note(6000 + step * 10, 15 + step);
        }
        assert_eq!(trail.between(15_500, 15_600), 10);
    }

    #[test]
    fn what_lies_far_back_is_known_less_closely() {
        let mut trail = Trail::default();
        for step in 0..1_000_000 {
            trail.note(step * 300, step);
            assert!(trail.looks.len() <= LOOKS);
        }
        assert_eq!(trail.between(0, 300_000_000), 999_999);
        // A connection that is lost after it has stood still for long has many bytes on their way.
        for back in [10, 100, 1000, 10_000, 100_000] {
            assert!(trail.between(299_999_700 - back * 300, 299_999_700).abs_diff(back) <= 1, "{back}");
        }
        // Half of the bytes are other logs' records.
        let mut trail = Trail::default();
        for step in 0..100_000 {
            trail.note(step * 600 + 300, step);
            trail.note(step * 600 + 600, step + 1);
        }
        for back in [10, 100, 1000, 10_000] {
            assert!(trail.between((100_000 - back) * 600, 60_000_000).abs_diff(back) <= 1, "{back}");
        }
    }
}
