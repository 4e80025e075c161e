//! Who is subscribed to what.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Topics that are subscribed to. Peers choose how many there are, so that only a hash is kept of each,
/// which nobody outside can foresee.
#[derive(Debug, Default)]
pub struct Topics {
    known: HashSet<u64>,
    numbers: RandomState,
}

impl Topics {
    /// Adds a subscription.
    pub fn insert(&mut self, topic: &[u8]) {
        self.known.insert(self.numbers.hash_one(topic));
    }

    /// Removes a subscription that has ended.
    pub fn remove(&mut self, topic: &[u8]) {
        self.known.remove(&self.numbers.hash_one(topic));
    }

    /// Removes all subscriptions.
    pub fn clear(&mut self) {
        self.known = HashSet::new();
    }

    /// How many topics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    fn contains(&self, topic: &[u8]) -> bool {
        self.known.contains(&self.numbers.hash_one(topic))
    }
}

/// The subscriptions that a socket has, seen from one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// Subscriptions that match the log's messages.
    pub matching: u64,
    /// All other subscriptions.
    pub other: u64,
}

/// Reads a message of an XPUB socket: true for a subscription, false for the end of one, and the topic.
/// Any other message is a peer's own, and `None`.
#[must_use]
pub(super) fn parse(message: &[u8]) -> Option<(bool, &[u8])> {
    match message {
        [1, topic @ ..] => Some((true, topic)),
        [0, topic @ ..] => Some((false, topic)),
        _ => None,
    }
}

impl Subscriptions {
    /// The subscriptions to these topics, seen from messages that begin with `beginning`.
    #[must_use]
    pub fn of(topics: &Topics, beginning: &[u8]) -> Self {
        let matching = (0..=beginning.len()).filter(|&len| topics.contains(&beginning[..len])).count() as u64;
        Self { matching, other: topics.len() as u64 - matching }
    }

    /// Returns true if there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.matching + self.other > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_match_by_prefix() {
        for (topics, matching, other) in [
            (&[][..], 0, 0),
            (&[&b"dns"[..]], 0, 1),
            (&[b"dns", b"con"], 1, 1),
            (&[b"dns", b"con", b""], 2, 1),
            (&[b"c", b"", b"conn-2", b"dns", b"conn"], 3, 2),
        ] {
            let mut set = Topics::default();
            for topic in topics {
                set.insert(b"gone");
                set.insert(topic);
                set.insert(topic);
                set.remove(b"gone");
            }
            assert_eq!(Subscriptions::of(&set, b"conn"), Subscriptions { matching, other }, "{topics:?}");
            set.clear();
            assert_eq!(Subscriptions::of(&set, b"conn"), Subscriptions::default());
        }
        assert_eq!(parse(b"\x01con"), Some((true, &b"con"[..])));
        assert_eq!(parse(b"\x00"), Some((false, &b""[..])));
        assert_eq!((parse(b"hello"), parse(b"")), (None, None));
    }
}
