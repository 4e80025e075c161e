//! What was written to connections, and what of that has arrived.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use crate::lock::locked;

/// Where a message ends in the bytes that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The connection, by its socket's inode; 0 if all are counted together.
    pub connection: u32,
    /// How many bytes were written up to the message's end.
    pub end: u64,
}

/// Counts bytes written, of all connections together or of each. libzmq's I/O thread adds; writers ask.
#[derive(Debug, Default)]
pub struct Written {
    /// Goes up whenever some more records have left libzmq's queue, of any consumer.
    steps: AtomicU64,
    all: AtomicU64,
    /// Where the bytes written to each connection end, if each is counted for itself.
    each: Option<Mutex<Vec<Place>>>,
}

impl Written {
    /// Makes a counter that counts each connection for itself.
    #[must_use]
    pub fn of_each() -> Self {
        Self { each: Some(Mutex::default()), ..Self::default() }
    }

    /// Adds bytes that were written to a connection; returns where they end.
    pub fn add(&self, connection: u32, bytes: u64) -> Place {
        let Some(each) = &self.each else {
            return Place { connection: 0, end: self.all.fetch_add(bytes, Ordering::AcqRel) + bytes };
        };
        let mut places = locked(each);
        if let Some(place) = places.iter_mut().find(|place| place.connection == connection) {
            place.end += bytes;
            return *place;
        }
        let place = Place { connection, end: bytes };
        places.push(place);
        place
    }

    /// Notes that some more records have left libzmq's queue.
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that changes while records leave libzmq's queue.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Bytes written to all connections together; 0 if each is counted for itself.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.all.load(Ordering::Acquire)
    }

    /// Bytes written to each connection, if each is counted for itself.
    #[must_use]
    pub fn each(&self) -> Option<Vec<Place>> {
        self.each.as_ref().map(|each| locked(each).clone())
    }

    /// Forgets a connection that has ended.
    pub fn forget(&self, connection: u32) {
        if let Some(each) = &self.each {
            locked(each).retain(|place| place.connection != connection);
        }
    }
}

/// How far the systems of an endpoint's peers have acknowledged what was written to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// The acknowledged bytes of all that were written, to one connection, or to several that get the same
    /// records. `None` if they are not known: there is no connection, or it is ending.
    All(Option<u64>),
    /// The acknowledged bytes of each connection that is there.
    Each(Vec<Place>),
}

impl Acknowledged {
    /// Returns true if each connection is known by itself. If not, and a connection has ended, a message may
    /// have been written to other connections than those that are there.
    #[must_use]
    pub fn tells_apart(&self) -> bool {
        matches!(self, Self::Each(_))
    }

    /// Returns true if a message that was written to this place has arrived; false if there is no place.
    #[must_use]
    pub fn covers(&self, written: Option<Place>) -> bool {
        let Some(written) = written else { return false };
        match self {
            Self::All(end) => *end >= Some(written.end),
            Self::Each(places) => {
                places.iter().any(|place| place.connection == written.connection && place.end >= written.end)
            }
        }
    }

    /// Returns true if a message was written to a connection that is not there: it has ended, or
    /// nobody has told of it yet.
    #[must_use]
    pub fn misses(&self, written: Option<Place>) -> bool {
        match (self, written) {
            (Self::Each(places), Some(written)) => places.iter().all(|place| place.connection != written.connection),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_together_or_apart() {
        let together = Written::default();
        assert_eq!(together.add(7, 100), Place { connection: 0, end: 100 });
        assert_eq!(together.add(8, 50), Place { connection: 0, end: 150 });
        assert_eq!((together.all(), together.each()), (150, None));
        let apart = Written::of_each();
        assert_eq!(apart.add(7, 100), Place { connection: 7, end: 100 });
        assert_eq!(apart.add(8, 50), Place { connection: 8, end: 50 });
        assert_eq!(apart.add(7, 1), Place { connection: 7, end: 101 });
        apart.forget(7);
        assert_eq!(apart.each(), Some(vec![Place { connection: 8, end: 50 }]));
        assert_eq!(apart.add(7, 9), Place { connection: 7, end: 9 });
    }
}
