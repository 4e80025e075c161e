//! Connecting to a subscriber, and staying connected.

use core::sync::atomic::Ordering;
use std::ffi::CString;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::names::{self, Name};
use super::options::open_socket;
use super::{CLOSED_IN_A_ROW, Failure, Pattern, Peers, Servers, Transport, TransportOptions, locked};
use crate::clock::coarse_millis;
use crate::report::{Burst, Incident, Phase, Report, Trouble};
use crate::zmq::limits::ENFORCED;
use crate::zmq::{Context, Endpoint, Error, Event, Handshake, MonitoredSocket, PENALTY, Role, Socket, version};

/// How long after libzmq has refused an address it is given the address again.
const CONNECT_AGAIN: Duration = Duration::from_secs(10);

/// The side that connects.
pub(super) struct Dialer {
    endpoint: Endpoint,
    role: Option<Role>,
    /// True if nothing is queued for a peer that is not there.
    strict: bool,
    /// The address that the socket is, or is to be, connected to; `None` until the name's address is known.
    address: Option<CString>,
    /// The name, if the endpoint has no address.
    name: Option<Name>,
    /// The address that the name has now, if the socket is connected to another.
    new_address: Option<IpAddr>,
    /// The peer, if there is one; for a moment there can be two.
    peers: Peers,
    /// True if no handshake has succeeded since one has failed.
    refused: bool,
    /// Handshakes in a row that ended without a word.
    closed: u32,
    /// True if the peer has sent more than it may.
    excess: bool,
    /// True if the connection is to be made anew.
    renew: bool,
    /// When to connect again after this side has ended the connection.
    penalty: Option<Instant>,
    /// The servers, and why they may be unfit as peers.
    servers: Servers,
    /// Connections that were lost.
    lost: u64,
    lost_connections: Burst,
}

impl Dialer {
    /// Makes a socket and starts connecting it.
    pub(super) fn open(
        context: &Arc<Context>,
        endpoint: Endpoint,
        options: &TransportOptions,
    ) -> Result<(MonitoredSocket, Self), Failure> {
        let socket = open_socket(context, options)?;
        if options.pattern == Pattern::Publish {
            // XPUB then tells of a new connection's subscriptions even before those of the last one have ended.
            socket.set(zmq_sys::ZMQ_XPUB_VERBOSE, 1).map_err(|error| Failure::Socket { error })?;
        }
        let name = endpoint.host_name().map(|(host, port)| Name::new(host, port, Instant::now()));
        let role = options.curve.as_ref().and_then(|curve| curve.client(&endpoint));
        let strict = role.is_some() && options.pattern == Pattern::Push;
        if strict {
            // Nothing is queued for a peer that has not shown that it has the right key.
            socket.set(zmq_sys::ZMQ_IMMEDIATE, 1).map_err(|error| Failure::Socket { error })?;
        }
        let servers = options.curve.as_ref().map_or_else(Servers::default, |curve| {
            Servers::new(curve.keys.public(), endpoint.server_key.into_iter().collect())
        });
        let dialer = Self {
            role,
            strict,
            address: name.is_none().then(|| endpoint.address.clone()),
            endpoint,
            name,
            new_address: None,
            peers: Peers::default(),
            refused: false,
            closed: 0,
            excess: false,
            renew: false,
            penalty: None,
            servers,
            lost: 0,
            lost_connections: Burst::default(),
        };
        dialer.connect(&socket).map_err(|error| Failure::Connect { endpoint: dialer.endpoint.to_string(), error })?;
        Ok((socket, dialer))
    }

    fn connect(&self, socket: &Socket) -> Result<(), Error> {
        let Some(address) = &self.address else { return Ok(()) };
        // An IPv6 address that a name was found to have has brackets.
        let ipv6 = self.endpoint.is_ipv6() || address.as_bytes().contains(&b'[');
        socket.set(zmq_sys::ZMQ_IPV6, ipv6.into())?;
        socket.secure(self.role.as_ref())?;
        socket.connect(address)
    }

    /// Looks the name up if that is due. May take long.
    pub(super) fn look_name_up(&mut self, transport: &Transport) {
        let Some(name) = &mut self.name else { return };
        let now = Instant::now();
        if name.due().is_none_or(|due| due > now) {
            return;
        }
        let (host, port) = name.parts();
        let found = names::look_up(host, port);
        let why = found.as_ref().err().map(ToString::to_string);
        self.new_address = name.found(found.unwrap_or_default(), Instant::now()).or(self.new_address);
        if let Some(why) = why {
            *locked(&transport.trouble) = Some(Trouble::NoName { endpoint: self.endpoint.to_string(), why });
        }
    }

    /// Takes note of what has happened to a connection.
    pub(super) fn note(&mut self, event: Event, transport: &Transport, now: Instant) {
        let endpoint = self.endpoint.to_string();
        match event {
            Event::Connected(_) if self.refused => {}
            Event::Connected(_) => *locked(&transport.trouble) = Some(Trouble::Silent { endpoint }),
            Event::Disconnected(descriptor) => {
                let was_ready = self.peers.ended(descriptor).is_some_and(|before| before > 0 || version() < (4, 3, 0));
                if was_ready {
                    self.lost += 1;
                    self.renew |= transport.key.resends;
                    transport.disconnected.fetch_add(1, Ordering::Release);
                }
                if let Some(name) = &mut self.name {
                    name.failed(now);
                }
                if was_ready {
                    *locked(&transport.trouble) = Some(Trouble::Lost { endpoint });
                }
                if was_ready && !transport.key.resends && self.strict {
                    // libzmq has given up what was queued.
                    transport.generation.fetch_add(1, Ordering::Release);
                }
            }
            Event::Retried(why) => {
                match why {
                    Some(error) => *locked(&transport.trouble) = Some(unreachable(endpoint, error)),
                    // The connection was lost, which is known already.
                    None if ENFORCED || self.closed > 0 => {}
                    None => *locked(&transport.trouble) = Some(Trouble::Unknown { endpoint }),
                }
                if let Some(name) = &mut self.name {
                    name.failed(now);
                }
            }
            Event::Failed(how) => {
                self.peers.failed();
                if how == Handshake::Closed {
                    self.closed += 1;
                    if self.closed < CLOSED_IN_A_ROW {
                        return;
                    }
                }
                self.refused = true;
                if let Some(why) = self.servers.failed(how) {
                    *locked(&transport.trouble) = Some(Trouble::Unfit { why: why.clone() });
                    transport.tell(Incident::Unfit { why });
                }
            }
            Event::Ready(descriptor) => {
                self.closed = 0;
                self.refused = false;
                self.peers.ready(descriptor);
                if let Some(name) = &mut self.name {
                    name.connected();
                }
                *locked(&transport.trouble) = None;
                if self.servers.ready() {
                    transport.tell(Incident::Fit);
                }
            }
            Event::Excess(_) => self.excess = true,
            Event::Full | Event::Closed => {}
        }
        transport.peers.store(self.peers.count(), Ordering::Release);
    }

    /// Does what is due, and returns when the next thing is.
    pub(super) fn keep(
        &mut self,
        transport: &Transport,
        socket: &mut MonitoredSocket,
        in_bounds: bool,
        now: Instant,
    ) -> Option<Instant> {
        self.report(transport);
        if self.penalty.is_some_and(|until| until <= now) {
            self.penalty = None;
            self.renew(transport, socket);
        }
        if self.penalty.is_some() {
            // Forgets what libzmq has given up: this side has ended its only connection by itself.
            socket.given_up_indices(std::iter::empty());
            return self.penalty;
        }
        if std::mem::take(&mut self.excess) || !in_bounds {
            self.disconnect(transport, socket);
            transport.tell(Incident::Excess);
            self.penalty = Some(now + PENALTY);
            return self.penalty;
        }
        if let Some(ip) = self.new_address.take() {
            self.disconnect(transport, socket);
            self.address = Some(self.endpoint.at(ip));
            self.renew(transport, socket);
        }
        let given_up = !socket.given_up_indices(self.address.iter().map(CString::as_c_str)).is_empty();
        if std::mem::take(&mut self.renew) || given_up || transport.renew.swap(false, Ordering::AcqRel) {
            self.disconnect(transport, socket);
            self.renew(transport, socket);
        }
        self.name.as_ref().and_then(Name::due)
    }

    /// Ends the connection, with what is queued for it.
    fn disconnect(&mut self, transport: &Transport, socket: &mut MonitoredSocket) {
        // First, so that records which libzmq gives up do not count as arrived.
        transport.renew(socket);
        if let Some(address) = &self.address {
            // Fails only for an endpoint that is not connected; libzmq may have given it up.
            let _ = socket.disconnect(address);
        }
        // No event tells of this end, and libzmq tells of the subscriptions' end only later: records sent
        // before go nowhere.
        self.peers = Peers::default();
        locked(&transport.topics).clear();
        transport.version.fetch_add(1, Ordering::Release);
    }

    /// Connects again.
    fn renew(&mut self, transport: &Transport, socket: &MonitoredSocket) {
        if let Err(error) = self.connect(socket) {
            let endpoint = self.endpoint.to_string();
            *locked(&transport.trouble) = Some(Trouble::CannotConnect { endpoint: endpoint.clone(), error });
            transport.report(Report::CannotConnect { endpoint, error });
            self.penalty = Some(Instant::now() + CONNECT_AGAIN);
        }
    }

    /// Tells of connections that were lost.
    fn report(&mut self, transport: &Transport) {
        transport.tell(match self.lost_connections.observe(self.lost, coarse_millis()) {
            Some(Phase::Began(_)) if transport.key.resends => Incident::ConnectionLostAndSentAgain,
            Some(Phase::Began(_)) => Incident::ConnectionLost,
            Some(Phase::Lasts(count)) => Incident::ConnectionLostAgain { count },
            Some(Phase::Ended(_)) | None => return,
        });
    }
}

/// Why a connection cannot be made, and what to do about it.
fn unreachable(endpoint: String, error: Error) -> Trouble {
    match error.0 {
        libc::ECONNREFUSED => Trouble::NobodyListens { endpoint },
        libc::ENOENT => Trouble::NoSocket { endpoint },
        libc::ETIMEDOUT => Trouble::NoAnswer { endpoint },
        _ => Trouble::Unreachable { endpoint, error },
    }
}
