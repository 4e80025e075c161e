//! Who is subscribed to what.

use std::collections::BTreeSet;

/// The subscriptions that a socket has, seen from one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// Those that match the log's topic.
    pub matching: u64,
    /// All others.
    pub other: u64,
}

/// What an XPUB socket receives: whether it is a subscription or the end of one, and the topic.
/// Anything else is a peer's own message.
#[must_use]
pub fn parse(message: &[u8]) -> Option<(bool, &[u8])> {
    match message {
        [1, topic @ ..] => Some((true, topic)),
        [0, topic @ ..] => Some((false, topic)),
        _ => None,
    }
}

impl Subscriptions {
    /// The subscriptions to these topics.
    #[must_use]
    pub fn of(prefixes: &BTreeSet<Vec<u8>>, topic: &[u8]) -> Self {
        let matching = (0..=topic.len()).filter(|&len| prefixes.contains(&topic[..len])).count() as u64;
        Self { matching, other: prefixes.len() as u64 - matching }
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
            let topics = topics.iter().map(|topic| topic.to_vec()).collect();
            assert_eq!(Subscriptions::of(&topics, b"conn"), Subscriptions { matching, other }, "{topics:?}");
        }
        assert_eq!(parse(b"\x01con"), Some((true, &b"con"[..])));
        assert_eq!(parse(b"\x00"), Some((false, &b""[..])));
        assert_eq!((parse(b"hello"), parse(b"")), (None, None));
    }
}
