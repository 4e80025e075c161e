//! Why a handshake fails, and what to do about it.

use core::ffi::c_int;
use std::time::Duration;

use crate::report::{Burst, Incident, Misfit, Phase, Unfit};
use crate::zmq::limits::ENFORCED;
use crate::zmq::{Handshake, PublicKey};

/// If so many handshakes in a row end without a word, it is no coincidence, such as a subscriber that is
/// just being restarted.
pub const CLOSED_IN_A_ROW: u32 = 3;

/// How often to look for reports about clients, and for revoked keys.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Counts the peers that are there, by a socket's events.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The connections whose handshake has succeeded, by their descriptors; `None` for each if libzmq does not
    /// tell the descriptor.
    ready: Vec<Option<c_int>>,
    /// True if the next connection to end is, as far as libzmq tells, one whose handshake has failed.
    failing: bool,
}

impl Peers {
    /// Peers whose handshake has succeeded.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.ready.len()
    }

    /// A handshake has succeeded.
    pub(super) fn ready(&mut self, descriptor: Option<c_int>) {
        // There may have been no event of the end of a connection that had this descriptor before.
        if descriptor.is_none() || !self.ready.contains(&descriptor) {
            self.ready.push(descriptor);
        }
    }

    /// A handshake has failed. The end of its connection comes next.
    pub(super) fn failed(&mut self) {
        self.failing = true;
    }

    /// A connection has ended. Returns how many peers there were before; `None` if its handshake had not
    /// succeeded.
    pub(super) fn ended(&mut self, descriptor: c_int) -> Option<usize> {
        let before = self.ready.len();
        let failing = std::mem::take(&mut self.failing);
        if let Some(index) = self.ready.iter().position(|&one| one == Some(descriptor)) {
            self.ready.swap_remove(index);
            return Some(before);
        }
        if ENFORCED || failing {
            return None;
        }
        self.ready.pop();
        Some(before)
    }
}

/// The peers that a socket connects to.
#[derive(Debug, Default)]
pub struct Servers {
    /// This side's public key and the peers', if there are keys.
    keys: Option<(PublicKey, Vec<PublicKey>)>,
    /// What was told since a handshake last succeeded.
    told: Vec<Unfit>,
}

impl Servers {
    /// This side's key, and those of the peers.
    #[must_use]
    pub fn new(own: PublicKey, peers: Vec<PublicKey>) -> Self {
        Self { keys: Some((own, peers)), told: Vec::new() }
    }

    /// Takes note of a handshake that has succeeded. Returns true if this is news.
    pub fn ready(&mut self) -> bool {
        !std::mem::take(&mut self.told).is_empty()
    }

    /// Takes note of a handshake that has failed. Returns what is to be told: each reason once, until a
    /// handshake succeeds.
    pub fn failed(&mut self, how: Handshake) -> Option<Unfit> {
        let why = self.why(how);
        // A reason can show in another way the next time.
        if self.told.contains(&why) {
            return None;
        }
        self.told.push(why.clone());
        Some(why)
    }

    fn why(&self, how: Handshake) -> Unfit {
        match (&self.keys, how) {
            (None, Handshake::Mechanism) => Unfit::ExpectsKeys,
            (None, Handshake::Refused) => Unfit::RefusesMachine,
            (None, Handshake::Closed | Handshake::Protocol) => Unfit::OtherProtocol,
            (Some(_), Handshake::Mechanism) => Unfit::HasNoKeys,
            (Some((own, _)), Handshake::Refused) => Unfit::RefusesKey { own: *own },
            (Some((_, peers)), Handshake::Closed | Handshake::Protocol) => Unfit::OtherKey { keys: peers.clone() },
        }
    }
}

/// The peers that connect to a socket.
#[derive(Debug)]
pub struct Clients {
    /// True if there are keys.
    encrypted: bool,
    /// How many handshakes have failed, in each way.
    failed: [(u64, Burst); 3],
}

impl Clients {
    /// `encrypted` is true if there are keys.
    #[must_use]
    pub fn new(encrypted: bool) -> Self {
        Self { encrypted, failed: Default::default() }
    }

    /// A handshake has failed.
    pub fn failed(&mut self, how: Handshake) {
        match how {
            Handshake::Mechanism => self.failed[0].0 += 1,
            Handshake::Protocol => self.failed[1].0 += 1,
            // The handler tells of refusals; port scanners close without a word.
            Handshake::Refused | Handshake::Closed => {}
        }
    }

    /// Takes note of a peer that has sent more than it may.
    pub fn flooded(&mut self) {
        self.failed[2].0 += 1;
    }

    /// What is to be told, once in a burst. `now` is in milliseconds.
    pub fn news(&mut self, now: u64) -> Vec<Incident> {
        let whys = match self.encrypted {
            true => [Misfit::HaveNoKeys, Misfit::WrongServerKey, Misfit::Excess],
            false => [Misfit::HaveKeys, Misfit::OtherProtocol, Misfit::Excess],
        };
        let news =
            self.failed.iter_mut().zip(whys).filter_map(|((count, burst), why)| match burst.observe(*count, now) {
                Some(Phase::Began(count) | Phase::Lasts(count)) => Some(Incident::RefusingClients { count, why }),
                Some(Phase::Ended(_)) | None => None,
            });
        news.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_of_once_for_each_reason_until_it_is_there() {
        let key = PublicKey::from_bytes(&[1; 32]).unwrap();
        let mut servers = Servers::new(key, vec![key]);
        assert!(!servers.ready());
        for how in [Handshake::Mechanism, Handshake::Refused, Handshake::Protocol] {
            assert!(servers.failed(how).is_some());
            assert_eq!(servers.failed(how), None);
        }
        assert_eq!(servers.failed(Handshake::Closed), None);
        assert!(servers.ready() && !servers.ready());
        assert!(servers.failed(Handshake::Refused).unwrap().to_string().contains(&key.to_string()));
        let without = Servers::default().failed(Handshake::Mechanism).unwrap().to_string();
        assert!(without.contains("expects encryption"), "{without}");
    }

    #[test]
    fn peers_come_and_go_and_those_that_failed_were_never_there() {
        let mut peers = Peers::default();
        let told = |descriptor| ENFORCED.then_some(descriptor);
        peers.ready(told(1));
        peers.failed();
        assert_eq!((peers.ended(2), peers.count()), (None, 1));
        peers.ready(told(2));
        assert_eq!([peers.ended(1), peers.ended(2)], [Some(2), Some(1)]);
        assert_eq!(peers.count(), 0);
    }

    #[test]
    fn of_peers_that_are_known_only_their_own_ends_count() {
        if !ENFORCED {
            return;
        }
        let mut peers = Peers::default();
        peers.ready(Some(1));
        // No event has told of this connection before.
        assert_eq!((peers.ended(2), peers.count()), (None, 1));
        // This connection failed after its handshake.
        peers.failed();
        assert_eq!((peers.ended(1), peers.count()), (Some(1), 0));
        // The event of the first connection's end was lost.
        peers.ready(Some(3));
        peers.ready(Some(3));
        assert_eq!((peers.ended(3), peers.count()), (Some(1), 0));
    }

    #[test]
    fn clients_are_told_of_once_in_a_burst() {
        let mut clients = Clients::new(true);
        let mut told = Vec::new();
        for second in 0..30 {
            clients.failed(Handshake::Mechanism);
            clients.failed(Handshake::Closed);
            told.extend(clients.news(second * 1000));
        }
        clients.failed(Handshake::Protocol);
        told.extend(clients.news(30_000));
        assert_eq!(
            told,
            [Misfit::HaveNoKeys, Misfit::WrongServerKey].map(|why| Incident::RefusingClients { count: 1, why })
        );
    }
}
