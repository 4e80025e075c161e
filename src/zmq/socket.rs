//! A socket.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use zmq_sys::record::{send_one, send_two};

use super::{Context, Error, Message};

/// The socket types used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketType {
    /// Publishes, and sees what is subscribed to.
    XPub,
    /// Subscribes.
    Sub,
    /// Subscribes by messages.
    XSub,
    /// Hands each message to one of its peers.
    Push,
    /// Receives from sockets that push.
    Pull,
    /// Talks to one other socket of the process.
    Pair,
    /// Answers each request that it receives.
    Rep,
}

/// A socket. Only one thread may use it at a time.
#[derive(Debug)]
pub struct Socket {
    socket: NonNull<c_void>,
    context: Arc<Context>,
}

// SAFETY: libzmq allows a socket to go from one thread to another, with a full fence in between
// (zmq_socket(3)); a value that is sent has one. It is not `Sync`.
unsafe impl Send for Socket {}

impl Socket {
    /// Makes a socket.
    ///
    /// # Errors
    ///
    /// File descriptors, memory or the context's sockets are exhausted.
    pub fn new(context: &Arc<Context>, kind: SocketType) -> Result<Self, Error> {
        let kind = match kind {
            SocketType::XPub => zmq_sys::ZMQ_XPUB,
            SocketType::Sub => zmq_sys::ZMQ_SUB,
            SocketType::XSub => zmq_sys::ZMQ_XSUB,
            SocketType::Push => zmq_sys::ZMQ_PUSH,
            SocketType::Pull => zmq_sys::ZMQ_PULL,
            SocketType::Pair => zmq_sys::ZMQ_PAIR,
            SocketType::Rep => zmq_sys::ZMQ_REP,
        };
        super::context::require_descriptors()?;
        // SAFETY: a valid context; a null result is an error.
        let socket = NonNull::new(unsafe { zmq_sys::zmq_socket(context.as_ptr(), kind) }).ok_or_else(Error::last)?;
        Ok(Self { socket, context: Arc::clone(context) })
    }

    /// Sets an option that is an integer (`ZMQ_*` of zmq-sys).
    ///
    /// # Errors
    ///
    /// `EINVAL`: the option does not exist or does not take the value.
    pub fn set(&self, option: c_int, value: c_int) -> Result<(), Error> {
        // SAFETY: a valid socket, and a value of the size given.
        Error::check(unsafe {
            zmq_sys::zmq_setsockopt(self.socket.as_ptr(), option, (&raw const value).cast(), size_of::<c_int>())
        })?;
        Ok(())
    }

    /// Sets an option that is a string of bytes.
    ///
    /// # Errors
    ///
    /// As [`Socket::set`].
    pub fn set_bytes(&self, option: c_int, value: &[u8]) -> Result<(), Error> {
        // SAFETY: a valid socket, and a value of the size given.
        Error::check(unsafe {
            zmq_sys::zmq_setsockopt(self.socket.as_ptr(), option, value.as_ptr().cast(), value.len())
        })?;
        Ok(())
    }

    /// Starts connecting to an endpoint; libzmq goes on trying in the background.
    ///
    /// # Errors
    ///
    /// The endpoint is not valid or its transport not supported.
    pub fn connect(&self, endpoint: &CStr) -> Result<(), Error> {
        // SAFETY: a valid socket and a terminated string.
        Error::check(unsafe { zmq_sys::zmq_connect(self.socket.as_ptr(), endpoint.as_ptr()) })?;
        Ok(())
    }

    /// Undoes [`Socket::connect`]: the connection ends, with what is queued for it.
    ///
    /// # Errors
    ///
    /// The socket is not connected to that endpoint.
    pub fn disconnect(&self, endpoint: &CStr) -> Result<(), Error> {
        // SAFETY: a valid socket and a terminated string.
        Error::check(unsafe { zmq_sys::zmq_disconnect(self.socket.as_ptr(), endpoint.as_ptr()) })?;
        Ok(())
    }

    /// Undoes [`Socket::bind`], which has returned this endpoint. Connections stay. With `inproc` the address
    /// is free at once; with other transports a monitor tells when it is.
    ///
    /// # Errors
    ///
    /// The socket is not bound to that endpoint.
    pub fn unbind(&self, endpoint: &CStr) -> Result<(), Error> {
        // SAFETY: a valid socket and a terminated string.
        Error::check(unsafe { zmq_sys::zmq_unbind(self.socket.as_ptr(), endpoint.as_ptr()) })?;
        Ok(())
    }

    /// Binds to an endpoint and returns the endpoint as it is bound, with the port chosen.
    ///
    /// # Errors
    ///
    /// The endpoint is not valid, is in use, or may not be bound. `EEXIST`: a file is where an `ipc` socket
    /// is to be.
    pub fn bind(&self, endpoint: &CStr) -> Result<String, Error> {
        let _claim = super::ipc::claim(endpoint)?;
        let mut bound = [0_u8; 256];
        let mut len = bound.len();
        // SAFETY: a valid socket, a terminated string, and a buffer of the size given.
        unsafe {
            Error::check(zmq_sys::zmq_bind(self.socket.as_ptr(), endpoint.as_ptr()))?;
            Error::check(zmq_sys::zmq_getsockopt(
                self.socket.as_ptr(),
                zmq_sys::ZMQ_LAST_ENDPOINT,
                bound.as_mut_ptr().cast(),
                &raw mut len,
            ))?;
        }
        let bound = bound[..len].split(|&byte| byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(bound).into_owned())
    }

    /// Makes libzmq send events of the socket to a pair socket that connects to `endpoint`, of the transport
    /// `inproc`; `None` ends that. See [`super::MonitoredSocket`].
    ///
    /// # Errors
    ///
    /// As [`Socket::new`].
    pub(super) fn monitor(&self, endpoint: Option<&CStr>, events: c_int) -> Result<(), Error> {
        let endpoint = endpoint.map_or(core::ptr::null(), CStr::as_ptr);
        // SAFETY: a valid socket, and a terminated string or, to end it, null.
        Error::check(unsafe { zmq_sys::zmq_socket_monitor(self.socket.as_ptr(), endpoint, events) })?;
        Ok(())
    }

    /// Sends a frame without waiting and leaves an empty one; `more` if further frames of the
    /// message follow.
    ///
    /// # Errors
    ///
    /// The frame stays as it is; `EAGAIN` when the queue is full.
    #[inline]
    pub fn try_send(&self, message: &mut Message, more: bool) -> Result<(), Error> {
        let flags = zmq_sys::ZMQ_DONTWAIT | if more { zmq_sys::ZMQ_SNDMORE } else { 0 };
        // SAFETY: a valid socket and message; on success libzmq has emptied the message.
        uninterrupted(|| unsafe { zmq_sys::zmq_msg_send(&raw mut message.raw, self.socket.as_ptr(), flags) })
    }

    /// Sends a message of two frames, a copy of `first` and then `last`, or of `last` alone, without waiting, and
    /// without looking at what libzmq's I/O thread has told the socket; see [`Socket::catch_up`].
    ///
    /// # Errors
    ///
    /// Neither frame was taken, and `last` stays as it is; `EAGAIN` when the queue is full.
    #[inline]
    pub fn try_send_frames(&self, first: Option<&[u8]>, last: &mut Message) -> Result<(), Error> {
        let (socket, last) = (self.socket.as_ptr(), &raw mut last.raw);
        match first {
            // SAFETY: a valid socket and message, and bytes that libzmq copies. On success it has emptied the
            // message.
            Some(first) => uninterrupted(|| unsafe { send_two(socket, first.as_ptr().cast(), first.len(), last) }),
            // SAFETY: a valid socket and message; on success libzmq has emptied the message.
            None => uninterrupted(|| unsafe { send_one(socket, last) }),
        }
    }

    /// Reads an option that is an integer.
    ///
    /// # Errors
    ///
    /// As [`Socket::set`].
    pub fn get(&self, option: c_int) -> Result<c_int, Error> {
        let mut value: c_int = 0;
        let mut len = size_of::<c_int>();
        // SAFETY: a valid socket, and a buffer of the size given.
        Error::check(unsafe {
            zmq_sys::zmq_getsockopt(self.socket.as_ptr(), option, (&raw mut value).cast(), &raw mut len)
        })?;
        Ok(value)
    }

    /// Makes the socket look at what libzmq's I/O thread has told it, such as that the queue has room again.
    /// While sending, it looks once a millisecond at most, or not at all.
    #[cold]
    pub fn catch_up(&self) {
        // A socket that fails here fails again when it is used.
        let _ = self.get(zmq_sys::ZMQ_EVENTS);
    }

    /// Returns a descriptor that becomes readable when libzmq's I/O thread tells the socket something. It
    /// stays readable until [`Socket::catch_up`].
    ///
    /// # Errors
    ///
    /// As [`Socket::get`].
    pub fn descriptor(&self) -> Result<c_int, Error> {
        self.get(zmq_sys::ZMQ_FD)
    }

    /// Receives a frame if there is one.
    ///
    /// # Errors
    ///
    /// What libzmq says; `EAGAIN` is `Ok(None)` instead.
    pub fn try_recv(&self) -> Result<Option<Message>, Error> {
        let mut message = Message::new();
        Ok(self.try_recv_into(&mut message)?.then_some(message))
    }

    /// Receives a frame, if there is one, in the place of another. Returns true if there was one.
    ///
    /// # Errors
    ///
    /// What libzmq says; `EAGAIN` is `Ok(false)` instead.
    #[inline]
    pub fn try_recv_into(&self, message: &mut Message) -> Result<bool, Error> {
        let (socket, message) = (self.socket.as_ptr(), &raw mut message.raw);
        // SAFETY: a valid socket and message; libzmq releases what the message held.
        match uninterrupted(|| unsafe { zmq_sys::zmq_msg_recv(message, socket, zmq_sys::ZMQ_DONTWAIT) }) {
            Ok(()) => Ok(true),
            Err(Error(libc::EAGAIN)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until a frame can be received, at most `millis` (-1: for ever). Returns true if it can; a signal
    /// ends the wait early, with false.
    ///
    /// # Errors
    ///
    /// What libzmq says.
    pub fn wait_readable(&self, millis: i64) -> Result<bool, Error> {
        wait([self], millis)
    }

    /// A share in its context.
    #[must_use]
    pub fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: a valid socket, not used after this; closing a valid socket cannot fail.
        unsafe { zmq_sys::zmq_close(self.socket.as_ptr()) };
    }
}

/// Waits until one of the descriptors is readable, at most so long, rounded up to milliseconds. A
/// signal ends the wait, too.
pub fn wait_readable(descriptors: &[c_int], limit: Duration) {
    let mut items: Vec<_> =
        descriptors.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    let millis = c_int::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX);
    // SAFETY: as many items as are said.
    unsafe { libc::poll(items.as_mut_ptr(), items.len() as libc::nfds_t, millis) };
}

/// Waits until a frame can be received from one of the sockets, at most `millis` (-1: for ever). Returns false if
/// none can, or a signal ended the wait.
///
/// # Errors
///
/// What libzmq says.
pub(super) fn wait<const N: usize>(sockets: [&Socket; N], millis: i64) -> Result<bool, Error> {
    let item = |socket: &Socket| zmq_sys::zmq_pollitem_t {
        socket: socket.socket.as_ptr(),
        fd: 0,
        events: zmq_sys::ZMQ_POLLIN,
        revents: 0,
    };
    let mut items = sockets.map(item);
    // SAFETY: as many items as are said, of sockets that are borrowed.
    match Error::check(unsafe { zmq_sys::zmq_poll(items.as_mut_ptr(), N as c_int, millis) }) {
        Ok(count) => Ok(count > 0),
        Err(Error(libc::EINTR)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Calls libzmq again as long as a signal interrupts it.
#[inline]
fn uninterrupted(mut call: impl FnMut() -> c_int) -> Result<(), Error> {
    loop {
        if call() != -1 {
            return Ok(());
        }
        match Error::last() {
            Error(libc::EINTR) => {}
            error => return Err(error),
        }
    }
}
