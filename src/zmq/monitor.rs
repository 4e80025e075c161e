//! What happens to a socket's connections.

use core::ffi::c_int;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};
use std::ffi::CString;
use std::sync::Arc;

use super::{Context, Error, Kind, Message, Socket};

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer is there, at this file descriptor. It has not introduced itself yet.
    Connected(c_int),
    /// The peer at this file descriptor, which is closed by now, has gone.
    Disconnected(c_int),
    /// The peer has introduced itself: messages can flow.
    Ready,
    /// The peer speaks something else.
    ProtocolError,
    /// The peer refused the keys, or is refused.
    AuthenticationError,
}

/// The events asked for: rare ones only, so that they never pile up.
const EVENTS: c_int = zmq_sys::ZMQ_EVENT_CONNECTED
    | zmq_sys::ZMQ_EVENT_ACCEPTED
    | zmq_sys::ZMQ_EVENT_DISCONNECTED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
    | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;

/// A socket whose events are received. Belongs to the thread that made it.
#[derive(Debug)]
pub struct Watched {
    socket: Socket,
    /// Where the events come from.
    monitor: Socket,
}

impl Watched {
    /// Starts to watch a socket.
    ///
    /// # Errors
    ///
    /// File descriptors, memory or the context's sockets are exhausted.
    pub fn new(context: &Arc<Context>, socket: Socket) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("inproc://monitor-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).map_err(|_| Error(libc::EINVAL))?;
        let monitor = Socket::new(context, Kind::Pair)?;
        // libzmq's I/O thread waits when a monitor's queue is full.
        monitor.set(zmq_sys::ZMQ_RCVHWM, 0)?;
        monitor.set(zmq_sys::ZMQ_LINGER, 0)?;
        socket.monitor(Some(&name), EVENTS)?;
        let watched = Self { socket, monitor };
        watched.monitor.connect(&name)?;
        Ok(watched)
    }

    /// The next event, if there is one.
    pub fn next_event(&self) -> Option<Event> {
        loop {
            // A monitor that fails tells nothing, as one whose socket is idle.
            let message = self.monitor.try_recv().ok().flatten()?;
            let event = Self::parse(&message);
            let mut more = message.more();
            // The second frame is the endpoint.
            while more {
                more = self.monitor.try_recv().ok().flatten()?.more();
            }
            if event.is_some() {
                return event;
            }
        }
    }

    /// The first frame: the event in 16 bits and a value in 32, as the machine has them
    /// (`zmq_socket_monitor(3)`).
    fn parse(message: &Message) -> Option<Event> {
        let [e0, e1, v0, v1, v2, v3] = *message.as_bytes() else { return None };
        let value = i32::from_ne_bytes([v0, v1, v2, v3]);
        match c_int::from(u16::from_ne_bytes([e0, e1])) {
            zmq_sys::ZMQ_EVENT_CONNECTED | zmq_sys::ZMQ_EVENT_ACCEPTED => Some(Event::Connected(value)),
            zmq_sys::ZMQ_EVENT_DISCONNECTED => Some(Event::Disconnected(value)),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => Some(Event::Ready),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => {
                Some(Event::ProtocolError)
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => Some(Event::AuthenticationError),
            _ => None,
        }
    }
}

impl Deref for Watched {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The socket lives on in libzmq's threads for a while. Would it still tell a monitor that
        // is gone, the I/O thread would wait for it for ever.
        // Fails only for a context that has ended, where nothing is told any more.
        let _ = self.socket.monitor(None, 0);
    }
}

/// How many bytes of a connection the peer has not acknowledged (`SIOCOUTQ`, tcp(7)); over a
/// Unix domain socket, has not read. `None` for a descriptor that is not a socket (any more).
#[must_use]
pub fn unsent_bytes(descriptor: c_int) -> Option<u64> {
    let mut bytes: c_int = 0;
    // SAFETY: writes a number; the descriptor is libzmq's, and looking at one that was closed
    // or belongs to something else by now does no harm.
    let result = unsafe { libc::ioctl(descriptor, libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { u64::try_from(bytes).ok() } else { None }
}

/// Whether the system would take more bytes for a connection now, or it has ended.
#[must_use]
pub fn writable(descriptor: c_int) -> bool {
    let mut item = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one item, valid during the call; the descriptor as above.
    unsafe { libc::poll(&raw mut item, 1, 0) != 0 }
}
