//! Peers that are kept away from a bound endpoint for a while, because of what they have sent.
//!
//! They are known by their addresses, as nothing else is known of a peer when it connects. Other peers
//! behind the same address wait, too; a peer with many addresses has as many turns. With IPv6, the
//! network of 64 bits counts, from which a host may choose its addresses. Nobody is kept away from a
//! Unix domain socket.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::Stream;

/// How long a peer is kept away; `Misfit::Excess` tells of it.
pub const PENALTY: Duration = Duration::from_secs(10);

/// How many addresses are known at a time; the oldest gives way.
const MOST: usize = 1000;

/// Peers that are kept away.
#[derive(Debug, Default)]
pub struct Away {
    /// The addresses and until when, the earliest first.
    until: Vec<(IpAddr, Instant)>,
}

impl Away {
    /// Keeps a peer away for [`PENALTY`] from now on.
    pub fn keep_away(&mut self, peer: IpAddr, now: Instant) {
        let peer = network(peer);
        self.until.retain(|&(other, until)| other != peer && until > now);
        if self.until.len() == MOST {
            self.until.remove(0);
        }
        self.until.push((peer, now + PENALTY));
    }

    /// Returns true if a peer is kept away.
    #[must_use]
    pub fn is_away(&self, peer: IpAddr, now: Instant) -> bool {
        let peer = network(peer);
        self.until.iter().any(|&(other, until)| other == peer && until > now)
    }

    /// Ends a connection that was just made, if its peer is kept away. Returns true if it is.
    pub fn turn_away(&self, stream: &Stream, now: Instant) -> bool {
        let turned_away = !self.until.is_empty() && stream.peer().is_some_and(|peer| self.is_away(peer, now));
        if turned_away {
            stream.hang_up();
        }
        turned_away
    }
}

/// The address by which a peer is known: of IPv6, its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_away_for_a_while() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let now = Instant::now();
        let mut away = Away::default();
        away.keep_away(ip("192.0.2.1"), now);
        away.keep_away(ip("2001:db8::1"), now + PENALTY / 2);
        for (peer, after, kept) in [
            ("192.0.2.1", PENALTY / 2, true),
            ("::ffff:192.0.2.1", PENALTY / 2, true),
            ("192.0.2.2", PENALTY / 2, false),
            ("192.0.2.1", PENALTY, false),
            ("2001:db8::ffff:1:2", PENALTY, true),
            ("2001:db8:0:1::1", PENALTY, false),
        ] {
            assert_eq!(away.is_away(ip(peer), now + after), kept, "{peer} {after:?}");
        }
        // A second time begins anew, and the memory is bounded.
        away.keep_away(ip("192.0.2.1"), now + PENALTY / 2);
        assert!(away.is_away(ip("192.0.2.1"), now + PENALTY));
        for n in 0..2 * MOST as u32 {
            away.keep_away(std::net::Ipv4Addr::from(n).into(), now + PENALTY / 2);
        }
        assert_eq!(away.until.len(), MOST);
        assert!(!away.is_away(ip("192.0.2.1"), now + PENALTY));
        away.keep_away(ip("192.0.2.1"), now + PENALTY * 2);
        assert_eq!(away.until.len(), 1);
    }
}
