//! Who is subscribed to what.

/// The subscriptions that a socket has, seen from one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// Those that match the log's topic. XPUB tells of each topic once, however many
    /// subscribers share it.
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
    /// Takes a message of an XPUB socket. Returns whether it was a subscription, or the end
    /// of one.
    pub fn update(&mut self, message: &[u8], topic: &[u8]) -> bool {
        let Some((added, prefix)) = parse(message) else { return false };
        let count = if topic.starts_with(prefix) { &mut self.matching } else { &mut self.other };
        *count = if added { *count + 1 } else { count.saturating_sub(1) };
        true
    }

    /// The subscriptions to these topics.
    pub fn of<'a>(prefixes: impl Iterator<Item = &'a [u8]>, topic: &[u8]) -> Self {
        let mut subscriptions = Self::default();
        for prefix in prefixes {
            if topic.starts_with(prefix) {
                subscriptions.matching += 1;
            } else {
                subscriptions.other += 1;
            }
        }
        subscriptions
    }

    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.count() > 0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.matching + self.other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_match_by_prefix() {
        let mut subscriptions = Subscriptions::default();
        for (message, matching, other) in [
            (&b"\x01dns"[..], 0, 1),
            (b"\x01con", 1, 1),
            (b"\x01", 2, 1),
            (b"\x01conn-2", 2, 2),
            (b"hello", 2, 2),
            (b"", 2, 2),
            (b"\x00con", 1, 2),
            (b"\x00", 0, 2),
            (b"\x00", 0, 2),
            (b"\x00dns", 0, 1),
        ] {
            subscriptions.update(message, b"conn");
            assert_eq!((subscriptions.matching, subscriptions.other), (matching, other), "{message:?}");
        }
        let topics = [&b"c"[..], b"", b"conn-2", b"dns"];
        assert_eq!(Subscriptions::of(topics.into_iter(), b"conn"), Subscriptions { matching: 2, other: 2 });
    }
}
