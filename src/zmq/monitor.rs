//! What happens to a socket's connections.

use core::ffi::c_int;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::ffi::{CStr, CString};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use zmq_sys::limits::{ENFORCED, ZMQ_PROTOCOL_ERROR_ZMTP_TOO_MUCH};

use super::endpoint::{can_have_address, ip_of};
use super::{Context, Error, Message, Socket, SocketType};

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer has connected, at this file descriptor. Its handshake comes next.
    Connected(c_int),
    /// The peer at this file descriptor has gone. The descriptor is closed by now.
    Disconnected(c_int),
    /// The handshake has succeeded: messages can flow. Only the bundled libzmq tells the file descriptor.
    Ready(Option<c_int>),
    /// The peer, or this side, has ended the handshake.
    Failed(Handshake),
    /// A try to connect has failed, or a connection was lost: the next try follows. Only the bundled libzmq
    /// tells why the try has failed.
    Retried(Option<Error>),
    /// The peer at this address, if it has one, has sent more than it may (see [`super::limits`]); its
    /// connection ends.
    Excess(Option<IpAddr>),
    /// A peer was turned away: there is no room for more (see [`super::limits::of_connections`]).
    Full,
    /// A bound socket no longer listens, and the address is free; or a try to connect has ended.
    Closed,
}

/// How a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The connection was closed without a word.
    Closed,
    /// One side encrypts, and the other does not.
    Mechanism,
    /// The peer does not speak the protocol; with CURVE, it does not have the key that it should have.
    Protocol,
    /// The peer, or this side, knows the key and does not let its owner in.
    Refused,
}

/// The events asked for: only rare events, so that they never pile up.
const EVENTS: c_int = (if ENFORCED { zmq_sys::ZMQ_EVENT_ACCEPT_FAILED } else { 0 })
    | zmq_sys::ZMQ_EVENT_CONNECTED
    | zmq_sys::ZMQ_EVENT_CONNECT_DELAYED
    | zmq_sys::ZMQ_EVENT_ACCEPTED
    | zmq_sys::ZMQ_EVENT_LISTENING
    | zmq_sys::ZMQ_EVENT_CONNECT_RETRIED
    | zmq_sys::ZMQ_EVENT_CLOSED
    | zmq_sys::ZMQ_EVENT_DISCONNECTED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;

/// Events that wait to be looked at; further ones are lost.
const MAX_EVENTS: c_int = 4000;

/// A connection that libzmq has not tried again so long after its end is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(1);

/// How long unbinding may wait until the system has given an address free.
const UNBIND: Duration = Duration::from_secs(1);

/// A socket whose events are received. Belongs to the thread that made it.
#[derive(Debug)]
pub struct MonitoredSocket {
    socket: Socket,
    /// Where the events come from.
    monitor: Socket,
    /// Connections that ended and are not tried again yet, by their addresses.
    ended: Vec<(String, Instant)>,
    /// The descriptors with which the socket listens.
    listeners: Vec<c_int>,
    /// Why a try to connect has failed; the event that tells of the failure comes next.
    failed: Option<Error>,
}

impl MonitoredSocket {
    /// Starts to watch a socket.
    ///
    /// # Errors
    ///
    /// File descriptors, memory or the context's sockets are exhausted.
    pub fn new(context: &Arc<Context>, socket: Socket) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("inproc://monitor-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).map_err(|_| Error(libc::EINVAL))?;
        let monitor = Socket::new(context, SocketType::Pair)?;
        // The I/O thread of another libzmq waits when a monitor's queue is full, so its queue has no limit.
        monitor.set(zmq_sys::ZMQ_RCVHWM, if ENFORCED { MAX_EVENTS } else { 0 })?;
        monitor.set(zmq_sys::ZMQ_LINGER, 0)?;
        socket.monitor(Some(&name), EVENTS)?;
        let watched = Self { socket, monitor, ended: Vec::new(), listeners: Vec::new(), failed: None };
        watched.monitor.connect(&name)?;
        Ok(watched)
    }

    /// Undoes [`Socket::bind`], which has returned these endpoints, and waits until their addresses are free, for a
    /// second at most. When they are, libzmq has removed a Unix domain socket's file, and cannot hit that of the
    /// next socket. Other events that come meanwhile are lost.
    pub fn unbind_all<'a>(&mut self, endpoints: impl Iterator<Item = &'a CStr>) {
        let mut left = endpoints.filter(|endpoint| self.socket.unbind(endpoint).is_ok()).count();
        let began = Instant::now();
        while left > 0 && began.elapsed() < UNBIND {
            match self.next_event() {
                Some(Event::Closed) => left -= 1,
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Waits until a message can be received or there is an event, at most so many milliseconds.
    ///
    /// # Errors
    ///
    /// What libzmq says.
    pub fn wait(&self, millis: i64) -> Result<(), Error> {
        super::socket::wait([&self.socket, &self.monitor], millis).map(drop)
    }

    /// Returns descriptors that become readable when libzmq's I/O thread has told the socket something, and
    /// when there is an event. Neither stays readable when another thread has looked.
    #[must_use]
    pub fn descriptors(&self) -> [c_int; 2] {
        // Fails only for a context that has ended.
        [&self.socket, &self.monitor].map(|socket| socket.descriptor().unwrap_or(-1))
    }

    /// Makes clients of tcp wait before they connect, or lets them connect. libzmq does not notice those that wait:
    /// it cannot stop accepting without ending the connections that it has accepted.
    pub fn admit(&self, clients: bool) {
        for &listener in &self.listeners {
            filter(listener, clients);
        }
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            // A monitor that fails tells nothing, like the monitor of an idle socket.
            let message = self.monitor.try_recv().ok().flatten()?;
            let mut more = message.more();
            let mut address = Message::new();
            // The second frame is the endpoint.
            while more {
                address = self.monitor.try_recv().ok().flatten()?;
                more = address.more();
            }
            let event = self.parse(&message, &String::from_utf8_lossy(address.as_bytes()));
            if event.is_some() {
                return event;
            }
        }
    }

    /// Reads the first frame: the event in 16 bits and a value in 32, in the machine's byte order
    /// (`zmq_socket_monitor(3)`).
    fn parse(&mut self, message: &Message, address: &str) -> Option<Event> {
        let [e0, e1, v0, v1, v2, v3] = *message.as_bytes() else { return None };
        let value = i32::from_ne_bytes([v0, v1, v2, v3]);
        match c_int::from(u16::from_ne_bytes([e0, e1])) {
            zmq_sys::ZMQ_EVENT_CONNECTED => {
                self.goes_on(address);
                Some(Event::Connected(value))
            }
            zmq_sys::ZMQ_EVENT_CONNECT_DELAYED => {
                self.failed = (value != libc::EINPROGRESS).then_some(Error(value));
                None
            }
            zmq_sys::ZMQ_EVENT_CONNECT_RETRIED => {
                self.goes_on(address);
                Some(Event::Retried(self.failed.take()))
            }
            zmq_sys::ZMQ_EVENT_ACCEPTED => Some(Event::Connected(value)),
            zmq_sys::ZMQ_EVENT_DISCONNECTED => {
                if !self.ended.iter().any(|(ended, _)| ended == address) {
                    self.ended.push((address.to_owned(), Instant::now()));
                }
                Some(Event::Disconnected(value))
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => Some(Event::Ready(ENFORCED.then_some(value))),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => Some(Event::Failed(Handshake::Closed)),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL if value == ZMQ_PROTOCOL_ERROR_ZMTP_TOO_MUCH => {
                Some(Event::Excess(ip_of(address)))
            }
            zmq_sys::ZMQ_EVENT_ACCEPT_FAILED if value == libc::EUSERS => Some(Event::Full),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL => Some(Event::Failed(match value {
                zmq_sys::ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH => Handshake::Mechanism,
                _ => Handshake::Protocol,
            })),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => Some(Event::Failed(Handshake::Refused)),
            zmq_sys::ZMQ_EVENT_LISTENING => {
                self.listeners.push(value);
                None
            }
            zmq_sys::ZMQ_EVENT_CLOSED => {
                self.listeners.retain(|&listener| listener != value);
                Some(Event::Closed)
            }
            _ => None,
        }
    }

    /// Takes note that libzmq goes on trying to connect to an address.
    fn goes_on(&mut self, address: &str) {
        self.ended.retain(|(ended, _)| !can_have_address(ended, address));
    }

    /// Returns which of a socket's connections libzmq has given up for good, as of the last
    /// [`MonitoredSocket::next_event`], by their indices in `endpoints`: all that the socket connects to. libzmq
    /// gives up a connection when the peer breaks the protocol or refuses the keys. The connection needs
    /// [`Socket::disconnect`], and to be made again. If several endpoints are names with the same port, it may not
    /// be known which of them was given up; then none of them is returned.
    pub fn given_up_indices<'a>(&mut self, endpoints: impl ExactSizeIterator<Item = &'a CStr> + Clone) -> Vec<usize> {
        // A libzmq without events of handshakes may tell of wrong ends of connections.
        if self.ended.is_empty() || super::version() < (4, 3, 0) {
            return Vec::new();
        }
        let mut found = Vec::new();
        self.ended.retain(|(address, since)| {
            let over = since.elapsed() >= GIVE_UP_AFTER;
            if over {
                let mut candidates = endpoints.clone().enumerate().filter(|(_, endpoint)| {
                    endpoints.len() == 1 || endpoint.to_str().is_ok_and(|endpoint| can_have_address(endpoint, address))
                });
                if let (Some((index, _)), None) = (candidates.next(), candidates.next()) {
                    found.push(index);
                }
            }
            !over
        });
        found
    }
}

impl Deref for MonitoredSocket {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for MonitoredSocket {
    fn drop(&mut self) {
        // The socket lives on in libzmq's threads for a while. If it still told a monitor that is gone, the
        // I/O thread would wait for ever. This fails only for a context that has ended, where nothing is
        // told any more.
        let _ = self.socket.monitor(None, 0);
    }
}

/// Makes a listening socket drop all packets, so that clients try again for some time; or none, if `pass`.
fn filter(listener: c_int, pass: bool) {
    let mut nothing = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    let option = if pass { libc::SO_DETACH_FILTER } else { libc::SO_ATTACH_FILTER };
    // SAFETY: the program and its only instruction live until the call returns, which copies them.
    // The call fails, and does nothing, for a descriptor that is no socket, and if there is no filter.
    unsafe {
        libc::setsockopt(
            listener,
            libc::SOL_SOCKET,
            option,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        );
    }
}
