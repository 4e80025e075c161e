//! The bytes that the peers' systems have acknowledged.

use crate::zmq::{Flight, Place};

/// How far the systems of an endpoint's peers have acknowledged what was written to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// Of all bytes that were written, to one connection, or to several that get the same records. `None` if
    /// it is not known: there is no connection, or it is ending.
    All(Option<u64>),
    /// Of the bytes that were written to each of the connections that are there.
    Each(Vec<Place>),
}

impl Acknowledged {
    /// Returns true if it is known of each connection. If not, and a connection has ended, a message may have
    /// been written to other connections than those that are there.
    #[must_use]
    pub fn tells_apart(&self) -> bool {
        matches!(self, Self::Each(_))
    }

    /// Returns true if a message has arrived.
    #[must_use]
    pub fn covers(&self, flight: &Flight) -> bool {
        let Some(written) = flight.written() else { return false };
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
    pub fn misses(&self, flight: &Flight) -> bool {
        match (self, flight.written()) {
            (Self::Each(places), Some(written)) => places.iter().all(|place| place.connection != written.connection),
            _ => false,
        }
    }
}
