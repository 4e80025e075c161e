//! The receiving end: a socket that listens and connects, and the messages that arrive at it.

use std::ffi::CString;
use std::sync::Arc;

use bro_zeromq_writer::zmq::{Context, Error, Kind, Message, Socket};

/// A larger frame breaks its connection; the plugin sends none.
const MAX_FRAME: i64 = 1 << 30;

/// Seconds without a word after which a TCP peer is asked whether it is still there, seconds
/// between such questions, and how many remain without an answer. A peer that has vanished
/// without closing its connection is noticed within a minute.
const KEEPALIVE: [i32; 3] = [30, 10, 3];

/// Where messages come from, and how.
#[derive(Clone)]
pub struct Source {
    /// Endpoints to listen on.
    pub bind: Vec<String>,
    /// Endpoints to connect to.
    pub connect: Vec<String>,
    /// Beginnings of log paths; none: all log paths.
    pub topics: Vec<Vec<u8>>,
    /// Messages that wait to be received, for each connection; 0: no limit.
    pub hwm: i32,
    /// Milliseconds until a lost connection is tried again, at first and at most.
    pub reconnect: (i32, i32),
}

impl Source {
    /// Everything that arrives at one endpoint.
    pub fn listening(endpoint: &str) -> Self {
        Self {
            bind: vec![endpoint.to_owned()],
            connect: Vec::new(),
            topics: Vec::new(),
            hwm: crate::subscribe::HIGH_WATER_MARK,
            reconnect: (crate::subscribe::RECONNECT, crate::subscribe::RECONNECT_MAX),
        }
    }

    /// Sets the socket's options, before it listens or connects. The place for what secures
    /// connections, too.
    fn configure(&self, socket: &Socket) -> Result<(), Error> {
        socket.set(zmq_sys::ZMQ_LINGER, 0)?;
        socket.set(zmq_sys::ZMQ_RCVHWM, self.hwm)?;
        socket.set_bytes(zmq_sys::ZMQ_MAXMSGSIZE, &MAX_FRAME.to_ne_bytes())?;
        let (first, most) = self.reconnect;
        socket.set(zmq_sys::ZMQ_RECONNECT_IVL, first)?;
        socket.set(zmq_sys::ZMQ_RECONNECT_IVL_MAX, most)?;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE, 1)?;
        let [idle, interval, count] = KEEPALIVE;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE_IDLE, idle)?;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE_INTVL, interval)?;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE_CNT, count)?;
        // Before a publisher is there, so that it is told all at once.
        for topic in &self.topics {
            socket.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, topic)?;
        }
        if self.topics.is_empty() {
            socket.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"")?;
        }
        Ok(())
    }
}

/// Receives messages.
pub struct Subscriber {
    socket: Socket,
    first: Message,
    second: Message,
    /// Frames after the second.
    rest: Message,
}

/// A message.
pub enum Received<'a> {
    /// A record: its log path and its JSON.
    Record(&'a [u8], &'a [u8]),
    /// Something with another number of frames than two: how many, and the first.
    Odd(usize, &'a [u8]),
}

impl Subscriber {
    /// Listens and connects. Returns the endpoints that it listens on, with the ports that
    /// were chosen, too.
    pub fn open(source: &Source) -> Result<(Self, Vec<String>), String> {
        let failed = |error: Error| format!("cannot make a socket: {error}");
        let context = Arc::new(Context::new().map_err(failed)?);
        let socket = Socket::new(&context, Kind::Sub).map_err(failed)?;
        source.configure(&socket).map_err(failed)?;
        let mut bound = Vec::new();
        for endpoint in &source.bind {
            let endpoint_bound = prepare(&socket, endpoint).and_then(|c_endpoint| socket.bind(&c_endpoint));
            bound.push(endpoint_bound.map_err(|error| explain("listen on", endpoint, error))?);
        }
        for endpoint in &source.connect {
            let connected = prepare(&socket, endpoint).and_then(|c_endpoint| socket.connect(&c_endpoint));
            connected.map_err(|error| explain("connect to", endpoint, error))?;
        }
        Ok((Self { socket, first: Message::new(), second: Message::new(), rest: Message::new() }, bound))
    }

    /// Receives a message if there is one. It stays until the next call.
    #[inline]
    pub fn try_receive(&mut self) -> Result<Option<Received<'_>>, Error> {
        if !self.socket.try_recv_into(&mut self.first)? {
            return Ok(None);
        }
        let mut frames = 1;
        let mut more = self.first.more();
        while more {
            // A message arrives as a whole, so its frames are all there.
            let frame = if frames == 1 { &mut self.second } else { &mut self.rest };
            if !self.socket.try_recv_into(frame)? {
                break;
            }
            frames += 1;
            more = frame.more();
        }
        Ok(Some(match frames {
            2 => Received::Record(self.first.as_bytes(), self.second.as_bytes()),
            frames => Received::Odd(frames, self.first.as_bytes()),
        }))
    }

    /// Waits for a message, at most so many milliseconds.
    pub fn wait(&self, millis: i64) -> Result<(), Error> {
        self.socket.wait_readable(millis).map(drop)
    }
}

fn prepare(socket: &Socket, endpoint: &str) -> Result<CString, Error> {
    socket.set(zmq_sys::ZMQ_IPV6, i32::from(endpoint.contains('[')))?;
    CString::new(endpoint).map_err(|_| Error(libc::EINVAL))
}

fn explain(verb: &str, endpoint: &str, error: Error) -> String {
    let hint = match error.0 {
        libc::EADDRINUSE => "; another program listens there",
        libc::EINVAL => "; an endpoint is tcp://ADDRESS:PORT or ipc://PATH",
        libc::EPROTONOSUPPORT => "; use tcp://ADDRESS:PORT or ipc://PATH",
        libc::ENODEV | libc::EADDRNOTAVAIL if verb == "listen on" => {
            "; listen on an address of this machine, or on * for all of them"
        }
        _ => "",
    };
    format!("cannot {verb} {endpoint}: {error}{hint}")
}
