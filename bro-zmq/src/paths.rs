//! The log paths that have been seen, and what has arrived of each.

use std::collections::HashMap;
use std::sync::Arc;

/// Log paths that are told apart. A Zeek has about a hundred, and so many are enough for a hundred
/// sensors. A sender of more wants to exhaust something.
const LIMIT: usize = 10_000;

/// The longest log path that is remembered, in bytes. A longer one has no file either.
const LONGEST: usize = 1024;

/// Log paths, numbered from 0.
#[derive(Default)]
pub struct Paths {
    numbers: HashMap<Arc<[u8]>, usize>,
    list: Vec<Path>,
    /// The number of the path asked for last: the next record is often of the same.
    last: usize,
}

/// A log path, and how much of it has arrived.
pub struct Path {
    /// Its bytes.
    pub name: Arc<[u8]>,
    /// Records.
    pub records: u64,
    /// Bytes, of log paths and JSON.
    pub bytes: u64,
}

impl Path {
    fn new(name: Arc<[u8]>) -> Self {
        Self { name, records: 0, bytes: 0 }
    }
}

impl Paths {
    /// The number of a log path that is known.
    #[inline]
    pub fn get(&mut self, path: &[u8]) -> Option<usize> {
        if self.list.get(self.last).is_some_and(|last| *last.name == *path) {
            return Some(self.last);
        }
        self.last = *self.numbers.get(path)?;
        Some(self.last)
    }

    /// The number of a log path; `None` if there are too many, or if it is too long.
    #[inline]
    pub fn find(&mut self, path: &[u8]) -> Option<usize> {
        match self.get(path) {
            Some(number) => Some(number),
            None => self.add(path),
        }
    }

    #[cold]
    fn add(&mut self, path: &[u8]) -> Option<usize> {
        if self.list.len() >= LIMIT || path.len() > LONGEST {
            return None;
        }
        let name: Arc<[u8]> = path.into();
        self.last = self.list.len();
        self.numbers.insert(Arc::clone(&name), self.last);
        self.list.push(Path::new(name));
        Some(self.last)
    }

    /// Gives the number of a log path to another. Returns false if the other is too long.
    pub fn replace(&mut self, number: usize, path: &[u8]) -> bool {
        if path.len() > LONGEST {
            return false;
        }
        let name: Arc<[u8]> = path.into();
        let old = std::mem::replace(&mut self.list[number], Path::new(Arc::clone(&name)));
        self.numbers.remove(&old.name);
        self.numbers.insert(name, number);
        true
    }

    /// Counts a record.
    #[inline]
    pub fn count(&mut self, number: usize, bytes: usize) {
        let path = &mut self.list[number];
        path.records += 1;
        path.bytes += bytes as u64;
    }

    /// All log paths, by their numbers.
    pub fn list(&self) -> &[Path] {
        &self.list
    }
}
