//! The receiving end: a socket that listens and connects, and the messages that arrive at it.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::zmq::{Context, Error, Event, Kind, Message, Socket, Watched};

use crate::console::Console;
use crate::security::{Guard, Keys};

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
    /// With them nothing is received without encryption.
    pub keys: Option<Keys>,
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
            keys: None,
        }
    }

    /// Sets the socket's options, before it listens or connects.
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

/// How long what has arrived at a socket before its connections are ended is still taken.
const BEFORE: Duration = Duration::from_secs(1);

/// Receives messages.
pub struct Subscriber {
    context: Arc<Context>,
    source: Source,
    socket: Watched,
    /// The one before, with what has arrived there; until when.
    before: Option<(Watched, Instant)>,
    /// What it listens on, with the ports that were chosen.
    bound: Vec<String>,
    connects: Vec<CString>,
    guard: Guard,
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
    /// Listens and connects.
    pub fn open(source: &Source) -> Result<Self, String> {
        let failed = |error: Error| format!("cannot make a socket: {error}");
        let context = Arc::new(Context::new().map_err(failed)?);
        let guard = Guard::new(&context, source.keys.as_ref(), !source.bind.is_empty())?;
        let connects = source.connect.iter().map(|endpoint| {
            CString::new(endpoint.as_str()).map_err(|_| explain("connect to", endpoint, Error(libc::EINVAL)))
        });
        let mut subscriber = Self {
            socket: socket(&context, source)?,
            connects: connects.collect::<Result<_, _>>()?,
            context,
            source: source.clone(),
            before: None,
            bound: source.bind.clone(),
            guard,
            first: Message::new(),
            second: Message::new(),
            rest: Message::new(),
        };
        subscriber.listen()?;
        for index in 0..subscriber.connects.len() {
            subscriber.connect(index)?;
        }
        Ok(subscriber)
    }

    /// The endpoints that it listens on, with the ports that were chosen.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    fn listen(&mut self) -> Result<(), String> {
        for endpoint in &mut self.bound {
            let secured = self.socket.secure(self.guard.server());
            let bound =
                secured.and_then(|()| prepare(&self.socket, endpoint)).and_then(|address| self.socket.bind(&address));
            *endpoint = bound.map_err(|error| explain("listen on", endpoint, error))?;
        }
        Ok(())
    }

    fn connect(&self, index: usize) -> Result<(), String> {
        let endpoint = &self.source.connect[index];
        let role = self.source.keys.as_ref().map(|keys| keys.client(index));
        let secured = self.socket.secure(role.as_ref());
        let connected =
            secured.and_then(|()| prepare(&self.socket, endpoint)).and_then(|address| self.socket.connect(&address));
        connected.map_err(|error| explain("connect to", endpoint, error))
    }

    /// Looks after the connections: tells of peers with wrong keys, ends connections whose keys have
    /// been revoked, and makes those again that libzmq has given up.
    pub fn look(&mut self, console: &Console) -> Result<(), String> {
        let (connects, binds) = (!self.connects.is_empty(), !self.bound.is_empty());
        while let Some(event) = self.socket.next_event() {
            match event {
                Event::Ready => self.guard.ready(console),
                Event::Failed(how) => self.guard.failed(how, connects, binds, console),
                Event::Connected(_) | Event::Disconnected(_) | Event::Unbound => {}
            }
        }
        for index in self.socket.given_up(self.connects.iter().map(CString::as_c_str)) {
            // Of what it has given up libzmq may know no more.
            let _ = self.socket.disconnect(&self.connects[index]);
            self.connect(index)?;
        }
        if self.guard.look(console) {
            self.reset()?;
            console.info("all connections were ended, because a key was revoked; publishers with other keys come back");
        }
        Ok(())
    }

    /// Ends all connections, which is the only way that libzmq has to end one.
    fn reset(&mut self) -> Result<(), String> {
        let bound: Vec<_> = self.bound.iter().filter_map(|endpoint| CString::new(endpoint.as_str()).ok()).collect();
        self.socket.unbind_all(bound.iter().map(CString::as_c_str));
        let new = socket(&self.context, &self.source)?;
        let old = std::mem::replace(&mut self.socket, new);
        self.before = Some((old, Instant::now() + BEFORE));
        self.listen()?;
        (0..self.connects.len()).try_for_each(|index| self.connect(index))
    }

    /// The socket that has the next message.
    #[cold]
    fn take_from_before(&mut self) -> Result<bool, Error> {
        let Some((before, until)) = &self.before else { return Ok(false) };
        if Instant::now() < *until && before.try_recv_into(&mut self.first)? {
            return Ok(true);
        }
        self.before = None;
        Ok(false)
    }

    /// Receives a message if there is one. It stays until the next call.
    #[inline]
    pub fn try_receive(&mut self) -> Result<Option<Received<'_>>, Error> {
        let before = self.before.is_some() && self.take_from_before()?;
        if !before && !self.socket.try_recv_into(&mut self.first)? {
            return Ok(None);
        }
        let socket = match &self.before {
            Some((old, _)) if before => old,
            _ => &self.socket,
        };
        let mut frames = 1;
        let mut more = self.first.more();
        while more {
            // A message arrives as a whole, so its frames are all there.
            let frame = if frames == 1 { &mut self.second } else { &mut self.rest };
            if !socket.try_recv_into(frame)? {
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

/// A socket with its options.
fn socket(context: &Arc<Context>, source: &Source) -> Result<Watched, String> {
    let socket = Socket::new(context, Kind::Sub).and_then(|socket| {
        source.configure(&socket)?;
        Watched::new(context, socket)
    });
    socket.map_err(|error| format!("cannot make a socket: {error}"))
}

fn prepare(socket: &Socket, endpoint: &str) -> Result<CString, Error> {
    socket.set(zmq_sys::ZMQ_IPV6, i32::from(endpoint.contains('[')))?;
    CString::new(endpoint).map_err(|_| Error(libc::EINVAL))
}

fn explain(verb: &str, endpoint: &str, error: Error) -> String {
    let hint = match error.0 {
        libc::EADDRINUSE => "; another program listens there",
        libc::EINVAL => "; an endpoint is tcp://ADDRESS:PORT or ipc://PATH",
        libc::ENOTSUP => "; it cannot be encrypted",
        libc::EPROTONOSUPPORT => "; use tcp://ADDRESS:PORT or ipc://PATH",
        libc::ENODEV | libc::EADDRNOTAVAIL if verb == "listen on" => {
            "; listen on an address of this machine, or on * for all of them"
        }
        _ => "",
    };
    format!("cannot {verb} {endpoint}: {error}{hint}")
}
