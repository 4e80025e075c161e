//! Binding an endpoint, and who may connect to it.

use core::sync::atomic::Ordering;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::authentication::Authentication;
use super::options::open_socket;
use super::{Clients, Failure, LOOK_INTERVAL, Pattern, Peers, Transport, TransportOptions, locked};
use crate::clock::coarse_millis;
use crate::report::{Incident, Report, Trouble};
use crate::zmq::{Away, Context, Endpoint, Error, Event, MonitoredSocket, Stream, descriptor_limit};

/// How often an address that is in use is tried again.
const BIND_AGAIN: Duration = Duration::from_millis(500);

/// Descriptors that are left to the host: connections that would take them wait.
const SPARE: u64 = 48;

/// The side that subscribers connect to.
pub(super) struct Listener {
    endpoint: Endpoint,
    options: TransportOptions,
    /// The endpoint that the socket is bound to, as libzmq names it.
    bound: Option<CString>,
    /// When to bind again; `None` once it is bound.
    bind_at: Option<Instant>,
    /// True if the address is in use, and this was told.
    told: bool,
    /// True if the socket has ended all connections and is to give way to a new one.
    ended: bool,
    /// Who is let in, if there are keys.
    authentication: Option<Authentication>,
    /// When to look at the directory of keys again.
    look_at: Instant,
    /// Clients that failed in the handshake.
    clients: Clients,
    peers: Peers,
    /// True if there are no descriptors for more connections; `told_full` is true if this was told.
    full: bool,
    told_full: bool,
    /// True if all places were taken, and this was told.
    told_places: bool,
    /// Peers that have sent more than they may.
    away: Away,
}

impl Listener {
    /// Makes a socket and binds it, or sets when to try again.
    ///
    /// # Errors
    ///
    /// The address can never be bound, or the keys cannot be used.
    pub(super) fn open(
        context: &Arc<Context>,
        transport: &Transport,
        endpoint: Endpoint,
        options: &TransportOptions,
    ) -> Result<(MonitoredSocket, Self), Failure> {
        let authentication = match &options.curve {
            Some(curve) => Some(Authentication::open(context, curve, &endpoint.text())?),
            None => None,
        };
        let mut listener = Self {
            endpoint,
            options: options.clone(),
            bound: None,
            bind_at: None,
            told: false,
            ended: false,
            authentication,
            look_at: Instant::now(),
            clients: Clients::new(options.curve.is_some()),
            peers: Peers::default(),
            full: false,
            told_full: false,
            told_places: false,
            away: Away::default(),
        };
        let socket = listener.open_socket(context)?;
        listener
            .bind(transport, &socket)
            .map_err(|error| Failure::Bind { endpoint: listener.endpoint.to_string(), error })?;
        Ok((socket, listener))
    }

    fn open_socket(&self, context: &Arc<Context>) -> Result<MonitoredSocket, Failure> {
        let Self { endpoint, options, .. } = self;
        let socket = open_socket(context, options)?;
        if options.pattern == Pattern::Push {
            // Each peer has a limit of its own, so that one that stands still does not get everything.
            let value = options.high_water_mark;
            socket.set(zmq_sys::ZMQ_SNDHWM, value).map_err(|error| Failure::Option {
                name: "the high water mark",
                value,
                error,
            })?;
        }
        socket
            .secure(self.authentication.as_ref().map(|one| &one.role))
            .map_err(|error| Failure::Encrypt { endpoint: endpoint.to_string(), error })?;
        if endpoint.is_ipv6() {
            socket.set(zmq_sys::ZMQ_IPV6, 1).map_err(|error| Failure::Ipv6 { error })?;
        }
        Ok(socket)
    }

    /// Binds, or sets when to try again.
    ///
    /// # Errors
    ///
    /// The address can never be bound.
    fn bind(&mut self, transport: &Transport, socket: &MonitoredSocket) -> Result<(), Error> {
        match socket.bind(&self.endpoint.address) {
            Ok(bound) => {
                self.bind_at = None;
                self.told = false;
                self.bound = CString::new(bound).ok();
                *locked(&transport.trouble) = None;
                Ok(())
            }
            Err(error) => {
                self.bind_at = Some(Instant::now() + BIND_AGAIN);
                let endpoint = self.endpoint.to_string();
                *locked(&transport.trouble) = Some(Trouble::CannotBind { endpoint: endpoint.clone(), error });
                let passes = matches!(error.0, libc::EADDRINUSE | libc::EADDRNOTAVAIL | libc::ENODEV | libc::EACCES);
                if !passes {
                    return Err(error);
                }
                if !std::mem::replace(&mut self.told, true) {
                    transport.report(Report::CannotBind { endpoint, error });
                }
                Ok(())
            }
        }
    }

    /// Takes note of what has happened to a connection.
    pub(super) fn note(&mut self, event: Event, transport: &Transport, now: Instant) {
        match event {
            Event::Ready(descriptor) => self.peers.ready(descriptor),
            Event::Failed(how) => {
                self.peers.failed();
                self.clients.failed(how);
            }
            Event::Disconnected(descriptor) => {
                if self.peers.ended(descriptor) == Some(1) {
                    transport.disconnected.fetch_add(1, Ordering::Release);
                }
            }
            // If there is no descriptor left, libzmq tries to accept again and again, which takes a processor.
            Event::Connected(descriptor) => {
                let stream = Stream::new(descriptor);
                if self.away.turn_away(&stream, now) {
                    return;
                }
                if descriptor_limit().is_some_and(|limit| descriptor as u64 + SPARE >= limit) {
                    self.full = true;
                    stream.hang_up();
                }
            }
            Event::Excess(peer) => {
                self.clients.flooded();
                if let Some(peer) = peer {
                    self.away.keep_away(peer, now);
                }
            }
            Event::Full if !std::mem::replace(&mut self.told_places, true) => {
                transport.tell(Incident::PlacesTaken);
            }
            Event::Full | Event::Retried(_) | Event::Closed => {}
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
        if !in_bounds {
            self.clients.flooded();
            self.end(transport, socket);
        }
        if self.look_at <= now {
            self.look_at = now + LOOK_INTERVAL;
            self.look(transport, socket);
        }
        if self.ended && self.bind_at.is_none_or(|at| at <= now) {
            self.begin_again(socket, now);
        }
        if !self.ended && self.bind_at.is_some_and(|at| at <= now) {
            // Whatever is wrong now, it may be right the next time.
            let _ = self.bind(transport, socket);
        }
        self.keep_descriptors(transport, socket);
        // Without keys clients only make reports.
        let look_at = self.authentication.as_ref().map(|_| self.look_at);
        [self.bind_at, look_at].into_iter().flatten().min()
    }

    /// Makes subscribers wait while there are no descriptors for more of them.
    fn keep_descriptors(&mut self, transport: &Transport, socket: &MonitoredSocket) {
        let Some(limit) = descriptor_limit() else { return };
        let was_full = self.full;
        // The lowest free descriptor is the number of open descriptors, if none below it was closed.
        self.full = File::open("/dev/null").map_or(true, |file| file.as_raw_fd() as u64 + 1 + SPARE >= limit);
        if self.full || was_full {
            socket.admit(!self.full);
        }
        if self.full && !std::mem::replace(&mut self.told_full, true) {
            transport.tell(Incident::NoDescriptors { limit });
        }
    }

    /// Looks for keys that have come or gone, and reports refusals.
    fn look(&mut self, transport: &Transport, socket: &mut MonitoredSocket) {
        for event in self.clients.news(coarse_millis()) {
            transport.tell(event);
        }
        let Some(Authentication { authorized, .. }) = &self.authentication else { return };
        for notice in authorized.notices() {
            transport.tell(Incident::Keys { notice });
        }
        if authorized.revoked() {
            transport.tell(Incident::Revoked);
            self.end(transport, socket);
        }
    }

    /// Ends all connections: libzmq cannot end a single one. Clients whose keys are still authorized come
    /// back by themselves.
    fn end(&mut self, transport: &Transport, socket: &mut MonitoredSocket) {
        socket.unbind_all(self.bound.take().iter().map(CString::as_c_str));
        self.ended = true;
        self.bind_at = None;
        self.peers = Peers::default();
        locked(&transport.topics).clear();
        transport.version.fetch_add(1, Ordering::Release);
        transport.renew(socket);
    }

    /// A new socket takes the place of the one that has ended all connections.
    fn begin_again(&mut self, socket: &mut MonitoredSocket, now: Instant) {
        self.bind_at = Some(now);
        match self.open_socket(&socket.context()) {
            Ok(new) => {
                // Refused only for values below -1.
                let _ = socket.set(zmq_sys::ZMQ_LINGER, 0);
                *socket = new;
                self.ended = false;
            }
            Err(_) => self.bind_at = Some(now + BIND_AGAIN),
        }
    }
}
