//! The log paths that have been seen, and what has arrived of each.

use std::collections::HashMap;

/// Log paths that are told apart. A Zeek has about a hundred; whoever sends more than this for
/// each of a hundred sensors wants to exhaust something.
const LIMIT: usize = 10_000;

/// Log paths, numbered from 0.
#[derive(Default)]
pub struct Paths {
    numbers: HashMap<Box<[u8]>, usize>,
    list: Vec<Path>,
    /// The number of the path asked for last: the next record is often of the same.
    last: usize,
}

/// What has arrived of a log path.
pub struct Path {
    /// Its bytes.
    pub name: Box<[u8]>,
    /// Records.
    pub records: u64,
    /// Bytes, of log paths and JSON.
    pub bytes: u64,
}

impl Paths {
    /// The number of a log path; `None` if there are too many.
    #[inline]
    pub fn find(&mut self, path: &[u8]) -> Option<usize> {
        if self.list.get(self.last).is_some_and(|last| *last.name == *path) {
            return Some(self.last);
        }
        self.last = match self.numbers.get(path) {
            Some(&number) => number,
            None => self.add(path)?,
        };
        Some(self.last)
    }

    #[cold]
    fn add(&mut self, path: &[u8]) -> Option<usize> {
        if self.list.len() >= LIMIT {
            return None;
        }
        let number = self.list.len();
        self.numbers.insert(path.into(), number);
        self.list.push(Path { name: path.into(), records: 0, bytes: 0 });
        Some(number)
    }

    /// Counts a record.
    #[inline]
    pub fn count(&mut self, number: usize, bytes: usize) {
        let path = &mut self.list[number];
        path.records += 1;
        path.bytes += bytes as u64;
    }

    /// All of them, by their numbers.
    pub fn list(&self) -> &[Path] {
        &self.list
    }
}
