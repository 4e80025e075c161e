//! The addresses of a name, and which of them is tried.
//!
//! libzmq would look a name up on its I/O thread, where all sockets of the process wait for the
//! answer. So it is given addresses only, and names are looked up on the thread of the endpoint
//! that they belong to.
//!
//! IPv4 comes before IPv6; otherwise the order is the resolver's. An address that does not answer
//! [`TRIES`] times in a row gives way to the next address, and the last to the first. The name is
//! looked up again whenever a try has failed, at most once in [`AGAIN`]. An address that the name no
//! longer has gives way at once.

use std::ffi::CString;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::zmq::Endpoint;

/// How often an address is tried before it is the next address's turn.
const TRIES: u32 = 3;

/// How soon a name is looked up again.
const AGAIN: Duration = Duration::from_secs(1);

/// A name, and what is known of it.
#[derive(Debug)]
pub(super) struct Name {
    host: String,
    port: u16,
    addresses: Vec<IpAddr>,
    /// The address that is being tried.
    current: Option<IpAddr>,
    /// How often `current` has failed in a row.
    failed: u32,
    /// When to look the name up again.
    due: Option<Instant>,
}

impl Name {
    /// Makes a name that is to be looked up at once.
    pub(super) fn new(host: &str, port: u16, now: Instant) -> Self {
        Self { host: host.to_owned(), port, addresses: Vec::new(), current: None, failed: 0, due: Some(now) }
    }

    /// When the name is to be looked up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What [`look_up`] needs.
    pub(super) fn parts(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Takes note that a try to connect has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failed += 1;
        self.due.get_or_insert(now + AGAIN);
    }

    /// Takes note that a connection was made.
    pub(super) fn connected(&mut self) {
        self.failed = 0;
        self.due = None;
    }

    /// Takes the addresses that the name was found to have. Returns the address to connect to, if it is
    /// another than before.
    pub(super) fn found(&mut self, mut addresses: Vec<IpAddr>, now: Instant) -> Option<IpAddr> {
        addresses.sort_by_key(IpAddr::is_ipv6);
        addresses.dedup();
        // If the name is not found now, the old address is as good as any.
        if !addresses.is_empty() {
            self.addresses = addresses;
        }
        self.due = None;
        let index = self.addresses.iter().position(|&address| Some(address) == self.current);
        let next = match index {
            Some(index) if self.failed < TRIES => index,
            Some(index) => (index + 1) % self.addresses.len(),
            None => 0,
        };
        let Some(&next) = self.addresses.get(next) else {
            self.due = Some(now + AGAIN);
            return None;
        };
        if self.failed >= TRIES {
            self.failed = 0;
        }
        (self.current.replace(next) != Some(next)).then_some(next)
    }
}

/// The addresses of a name; none if it is not found. Takes as long as the name server does.
pub(super) fn look_up(host: &str, port: u16) -> Result<Vec<IpAddr>, std::io::Error> {
    Ok((host, port).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Returns the address to connect to for an endpoint, and true if it is IPv6. A name is looked up, which
/// takes as long as the name server does; a name that is not found stays a name.
#[must_use]
pub fn address_of(endpoint: &Endpoint) -> (CString, bool) {
    let found = endpoint.host_name().and_then(|(host, port)| look_up(host, port).ok());
    match found.and_then(|found| found.into_iter().min_by_key(IpAddr::is_ipv6)) {
        Some(ip) => (endpoint.at(ip), ip.is_ipv6()),
        None => (endpoint.address.clone(), endpoint.is_ipv6()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_take_turns_and_changes_are_seen() {
        let now = Instant::now();
        let mut name = Name::new("sensor", 1, now);
        assert_eq!(name.due(), Some(now));
        assert_eq!(name.found(vec![], now), None);
        assert!(name.due().is_some());
        let both = || vec![ip("::1"), ip("10.0.0.1"), ip("10.0.0.2")];
        assert_eq!(name.found(both(), now), Some(ip("10.0.0.1")));
        assert_eq!(name.due(), None);
        let mut tried = Vec::new();
        for _ in 0..3 * TRIES {
            name.failed(now);
            assert!(name.due().is_some());
            tried.extend(name.found(both(), now));
        }
        assert_eq!(tried, [ip("10.0.0.2"), ip("::1"), ip("10.0.0.1")]);
        // An address that connects starts again.
        name.failed(now);
        name.connected();
        name.failed(now);
        name.failed(now);
        assert_eq!(name.found(both(), now), None);
        // The address is another now; if the name is not found, the address stays.
        assert_eq!(name.found(vec![ip("10.0.0.9")], now), Some(ip("10.0.0.9")));
        name.failed(now);
        assert_eq!(name.found(vec![], now), None);
    }

    #[test]
    fn a_single_address_is_left_to_libzmq() {
        let now = Instant::now();
        let mut name = Name::new("sensor", 1, now);
        assert_eq!(name.found(vec![ip("10.0.0.1")], now), Some(ip("10.0.0.1")));
        for _ in 0..10 {
            name.failed(now);
            assert_eq!(name.found(vec![ip("10.0.0.1")], now), None);
        }
    }
}
