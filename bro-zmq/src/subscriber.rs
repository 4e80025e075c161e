//! The receiving end: a socket that listens and connects, and the messages that arrive at it.

use std::ffi::c_int;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::transport::address_of;
use bro_zeromq_writer::writer::Head;
use bro_zeromq_writer::zmq::limits;
use bro_zeromq_writer::zmq::{
    Away, Context, Endpoint, EndpointError, Error, Event, Message, MonitoredSocket, Side, Socket, SocketType, Stream,
};

use crate::console::{Console, counted};
use crate::security::{Guard, Keys};

/// Messages that wait to be received, for each connection.
pub const HIGH_WATER_MARK: i32 = 10_000;
/// Milliseconds until a lost connection is tried again, at first.
pub const RECONNECT: i32 = 100;
/// Milliseconds until a lost connection is tried again, at most.
pub const RECONNECT_MAX: i32 = 5_000;

/// Seconds without a word after which a TCP peer is asked whether it is still there, seconds
/// between such questions, and how many remain without an answer. A peer that has vanished
/// without closing its connection is noticed within a minute.
const KEEPALIVE: [i32; 3] = [30, 10, 3];

/// Descriptors that stay free for keys, and for connections that are ended at once. If libzmq has no
/// descriptor to accept with, it tries again and again.
const SPARE: usize = 8;

/// How long clients wait at least when there are as many connections as there can be.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is told that there are too many connections.
const REPEAT: Duration = Duration::from_secs(60);

/// Where messages come from, and how.
#[derive(Clone)]
pub struct SubscriberOptions {
    /// Endpoints to listen on.
    pub bind: Vec<Endpoint>,
    /// Endpoints to connect to.
    pub connect: Vec<Endpoint>,
    /// Beginnings of log paths; none: all log paths.
    pub topics: Vec<Vec<u8>>,
    /// Messages that wait to be received, for each connection; 0: no limit.
    pub hwm: i32,
    /// Milliseconds until a lost connection is tried again, at first and at most.
    pub reconnect: (i32, i32),
    /// The keys. If there are any, nothing is received without encryption.
    pub keys: Option<Keys>,
}

impl SubscriberOptions {
    /// A source of all that arrives at endpoints to listen on.
    pub fn listening(bind: Vec<Endpoint>) -> Self {
        Self {
            bind,
            connect: Vec::new(),
            topics: Vec::new(),
            hwm: HIGH_WATER_MARK,
            reconnect: (RECONNECT, RECONNECT_MAX),
            keys: None,
        }
    }

    /// Sets the socket's options, before it listens or connects.
    fn configure(&self, socket: &Socket) -> Result<(), Error> {
        socket.set(zmq_sys::ZMQ_LINGER, 0)?;
        // Only subscriptions are queued for sending. A limit would lose those beyond it.
        socket.set(zmq_sys::ZMQ_SNDHWM, 0)?;
        limits::of_subscriber(socket, self.hwm)?;
        let (first, most) = self.reconnect;
        socket.set(zmq_sys::ZMQ_RECONNECT_IVL, first)?;
        socket.set(zmq_sys::ZMQ_RECONNECT_IVL_MAX, most)?;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE, 1)?;
        let [idle, interval, count] = KEEPALIVE;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE_IDLE, idle)?;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE_INTVL, interval)?;
        socket.set(zmq_sys::ZMQ_TCP_KEEPALIVE_CNT, count)?;
        // The topics are set before a publisher is there, so that it is told all of them at once.
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
    source: SubscriberOptions,
    socket: MonitoredSocket,
    /// The connections, the newest last.
    connections: Vec<Stream>,
    /// How many connections there can be, and the limit of descriptors that sets this.
    most: usize,
    limit: u64,
    /// True if there are `most` connections; when that last changed; and when it was last told.
    is_full: bool,
    full_changed: Option<Instant>,
    full_reported: Option<Instant>,
    /// When it was told that a publisher has sent too much.
    excess_reported: Option<Instant>,
    /// The publishers that have sent too much.
    away: Away,
    /// Once all connections are ended: those that have not been read to their ends.
    ending: Option<Vec<c_int>>,
    /// The endpoints that it listens on, with the ports that were chosen.
    bound: Vec<String>,
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
    /// Something else, of one frame or more than two: how many, and the first.
    Odd(usize, &'a [u8]),
}

impl Subscriber {
    /// Listens and connects.
    pub fn open(source: &SubscriberOptions) -> Result<Self, String> {
        let context = Arc::new(Context::new().map_err(no_socket)?);
        let guard = Guard::new(&context, source.keys.as_ref(), !source.bind.is_empty())?;
        let mut subscriber = Self {
            socket: socket(&context, source)?,
            source: source.clone(),
            connections: Vec::new(),
            most: 0,
            limit: 0,
            is_full: false,
            full_changed: None,
            full_reported: None,
            excess_reported: None,
            away: Away::default(),
            ending: None,
            bound: Vec::new(),
            guard,
            first: Message::new(),
            second: Message::new(),
            rest: Message::new(),
        };
        // Each endpoint to listen on takes a descriptor.
        (subscriber.most, subscriber.limit) = room(source.bind.len() + SPARE)?;
        limits::of_connections(&subscriber.socket, subscriber.most).map_err(no_socket)?;
        subscriber.listen()?;
        for index in 0..source.connect.len() {
            subscriber.connect(index)?;
        }
        Ok(subscriber)
    }

    /// The endpoints that it listens on, with the ports that were chosen.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// How connections are encrypted, in words; `None` if they are not.
    pub fn encryption(&self) -> Option<String> {
        self.source.keys.as_ref()?;
        Some(match self.guard.authorized() {
            None => "encrypted".to_owned(),
            Some((keys, dir)) => format!("encrypted, for {} in {}", counted(keys as u64, "key"), dir.display()),
        })
    }

    fn listen(&mut self) -> Result<(), String> {
        for endpoint in &self.source.bind {
            let secured = self.socket.secure(self.guard.server());
            let bound = secured
                .and_then(|()| prepare(&self.socket, endpoint))
                .and_then(|()| self.socket.bind(&endpoint.address));
            self.bound.push(bound.map_err(|error| explain("listen on", endpoint, error))?);
        }
        Ok(())
    }

    fn connect(&self, index: usize) -> Result<(), String> {
        let endpoint = &self.source.connect[index];
        let role = self.source.keys.as_ref().map(|keys| keys.client(index));
        let secured = self.socket.secure(role.as_ref());
        let connected = secured
            .and_then(|()| prepare(&self.socket, endpoint))
            .and_then(|()| self.socket.connect(&endpoint.address));
        connected.map_err(|error| explain("connect to", endpoint, error))
    }

    /// Looks after the connections: tells of peers with wrong keys, ends connections whose keys have
    /// been revoked, and makes those again that libzmq has given up.
    pub fn look(&mut self, console: &Console) -> Result<(), String> {
        self.take_events(console);
        if self.ending.is_some() {
            return Ok(());
        }
        let connects = &self.source.connect;
        for index in self.socket.given_up_indices(connects.iter().map(|endpoint| endpoint.address.as_c_str())) {
            // Disconnecting fails if libzmq has forgotten the address that it has given up.
            let _ = self.socket.disconnect(&connects[index].address);
            self.connect(index)?;
        }
        if self.guard.look(console) {
            // Peers that were let in with the revoked key are among the connections once their events are taken.
            self.take_events(console);
            self.connections.iter().for_each(Stream::hang_up);
            console.info("all connections were ended, because a key was revoked; publishers with other keys come back");
        }
        self.keep_within_limit(console);
        Ok(())
    }

    fn take_events(&mut self, console: &Console) {
        let (connects, binds) = (!self.source.connect.is_empty(), !self.source.bind.is_empty());
        while let Some(event) = self.socket.next_event() {
            match event {
                Event::Connected(descriptor) => self.connected(descriptor),
                Event::Disconnected(descriptor) => {
                    self.connections.retain(|stream| stream.descriptor() != descriptor);
                    self.ending.iter_mut().for_each(|ending| ending.retain(|&other| other != descriptor));
                }
                Event::Ready(_) => self.guard.ready(console),
                Event::Failed(how) => self.guard.failed(how, connects, binds, console),
                Event::Excess(peer) => self.excess(peer, console),
                Event::Retried(_) | Event::Full | Event::Closed => {}
            }
        }
    }

    /// Tells of a publisher that has sent more than it may, once in a while.
    fn excess(&mut self, peer: Option<IpAddr>, console: &Console) {
        let now = Instant::now();
        if let Some(peer) = peer {
            self.away.keep_away(peer, now);
        }
        if self.excess_reported.is_none_or(|reported| now - reported >= REPEAT) {
            self.excess_reported = Some(now);
            console.problem(
                "a publisher has sent a message of more than 1 GiB or 16 frames, or there is too much of such \
                 messages at once; its connection was ended, and its address is kept away for 10 seconds",
            );
        }
    }

    /// Ends a connection at once if there is no descriptor for it, or no more are taken.
    fn connected(&mut self, descriptor: c_int) {
        let stream = Stream::new(descriptor);
        let turned_away = self.away.turn_away(&stream, Instant::now());
        if !turned_away && (self.connections.len() >= self.most || self.ending.is_some()) {
            stream.hang_up();
        }
        self.connections.push(stream);
    }

    /// Makes clients wait while there are no descriptors for more of them.
    fn keep_within_limit(&mut self, console: &Console) {
        let now = Instant::now();
        let full = self.connections.len() >= self.most;
        if full != self.is_full && (full || self.full_changed.is_none_or(|changed| now - changed >= PAUSE)) {
            (self.is_full, self.full_changed) = (full, Some(now));
            self.socket.admit(!full);
            if full && self.full_reported.is_none_or(|reported| now - reported >= REPEAT) {
                self.full_reported = Some(now);
                console.problem(format!(
                    "the limit of {} open files leaves room for {}, which there are; others have to wait; raise it \
                     with LimitNOFILE in systemd, or ulimit -n",
                    self.limit,
                    counted(self.most as u64, "connection"),
                ));
            }
        }
    }

    /// Ends all connections, and those that come. What has arrived can still be received.
    pub fn hang_up(&mut self) {
        self.ending = Some(self.connections.iter().map(Stream::descriptor).collect());
        self.socket.admit(false);
        self.connections.iter().for_each(Stream::hang_up);
    }

    /// How many of the connections that were ended have not been read to their ends.
    pub fn unread_connections(&self) -> usize {
        self.ending.as_ref().map_or(0, Vec::len)
    }

    /// Receives a message if there is one. The message stays until the next call.
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
            1 => match Head::split(self.first.as_bytes()) {
                Some((topic, json)) => Received::Record(topic, json),
                None => Received::Odd(1, self.first.as_bytes()),
            },
            frames => Received::Odd(frames, self.first.as_bytes()),
        }))
    }

    /// Waits for a message, or for what [`Subscriber::look`] looks at, at most so many milliseconds.
    pub fn wait(&self, millis: i64) -> Result<(), Error> {
        self.socket.wait(millis)
    }
}

/// How many connections there can be beside what the process has open and what else it needs, and
/// the limit of descriptors.
fn room(needed: usize) -> Result<(usize, u64), String> {
    let limit = descriptor_limit();
    // The lowest free descriptor is the number of open descriptors, if none below it was closed.
    let open = File::open("/dev/null").map_err(|_| too_few_descriptors())?.as_raw_fd();
    let needed = usize::try_from(open).unwrap_or_default() + needed;
    match usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(needed) {
        0 => Err(too_few_descriptors()),
        most => Ok((most, limit)),
    }
}

/// Makes a socket with its options.
fn socket(context: &Arc<Context>, source: &SubscriberOptions) -> Result<MonitoredSocket, String> {
    let socket = Socket::new(context, SocketType::Sub).and_then(|socket| {
        source.configure(&socket)?;
        MonitoredSocket::new(context, socket)
    });
    socket.map_err(no_socket)
}

fn no_socket(error: Error) -> String {
    match error.0 {
        libc::EMFILE => too_few_descriptors(),
        _ => format!("cannot make a socket: {error}"),
    }
}

/// The limit of descriptors.
fn descriptor_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The message for too few descriptors to begin with.
pub fn too_few_descriptors() -> String {
    format!(
        "the limit of {} open files is too small; raise it with LimitNOFILE in systemd, or ulimit -n",
        descriptor_limit()
    )
}

fn prepare(socket: &Socket, endpoint: &Endpoint) -> Result<(), Error> {
    let ipv6 = if endpoint.bind { endpoint.is_ipv6() } else { address_of(endpoint).1 };
    socket.set(zmq_sys::ZMQ_IPV6, ipv6.into())
}

/// Reads an endpoint to listen on.
pub fn to_listen(text: &str) -> Result<Endpoint, EndpointError> {
    Endpoint::parse(text, Side::Listens)
}

/// Reads an endpoint to connect to.
pub fn to_connect(text: &str) -> Result<Endpoint, EndpointError> {
    Endpoint::parse(text, Side::Connects)
}

fn explain(verb: &str, endpoint: &Endpoint, error: Error) -> String {
    let address = endpoint.text();
    let hint = match error.0 {
        libc::EADDRINUSE => "another program listens there".to_owned(),
        libc::EEXIST => "a file is there that is no socket; move it away, or use another path".to_owned(),
        libc::ENOENT => "make the directory first".to_owned(),
        libc::ENOTSUP => "it cannot be encrypted".to_owned(),
        libc::ENODEV if endpoint.bind => {
            let host = endpoint.host_and_port().map_or(&*address, |(host, _)| host);
            format!(
                "\"{host}\" is no address and no network interface of this machine; listen on an address, such as \
                 127.0.0.1, or on * for all of them"
            )
        }
        libc::EADDRNOTAVAIL if endpoint.bind => {
            "listen on an address of this machine, or on * for all of them".to_owned()
        }
        _ => return format!("cannot {verb} {address}: {error}"),
    };
    format!("cannot {verb} {address}: {error}; {hint}")
}
