//! The way to an endpoint: a socket, what is known of its peers, and sending two frames.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bound::Bound;
use super::config::{Config, Endpoint, Pattern};
use super::handshake::CLOSED_IN_A_ROW;
use super::report::Level;
use super::subscriptions::Subscriptions;
use crate::zmq::limits;
use crate::zmq::{Context, Error, Event, Handshake, Kind, Message, Role, Socket, Watched, unsent_bytes, writable};

/// What libzmq could not do, and why.
pub type Failure = (String, Error);

/// Bytes that libzmq has taken from its queue at most and the system has not
/// (`out_batch_size` of libzmq).
pub const BATCH: usize = 8192;

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The high water mark is reached.
    Full,
    /// The socket has failed.
    Failed,
}

/// What happened to the connections since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Peers that have gone.
    pub disconnected: u32,
    /// Why there is no peer, if that is known.
    pub failed: Option<Handshake>,
    /// A peer has introduced itself, after all that failed.
    pub ready: bool,
    /// A connection that libzmq had given up is tried again; what was queued for it is lost.
    pub revived: bool,
}

impl Events {
    /// Adds later ones.
    pub fn add(&mut self, later: Self) {
        self.disconnected += later.disconnected;
        self.failed = later.failed.or(self.failed.filter(|_| !later.ready));
        self.ready = later.ready || (self.ready && later.failed.is_none());
        self.revived |= later.revived;
    }
}

/// Where records go.
pub struct Link {
    way: Way,
    subscriptions: Subscriptions,
    /// Everything is wanted: the peers do not subscribe.
    push: bool,
    /// The next record sent is to see what libzmq's I/O thread has told the socket.
    look: bool,
}

enum Way {
    /// A socket of the writer's own, connected.
    Own(Own),
    /// One that is bound, shared by the writers of the process.
    Shared(Bound),
    /// It has failed.
    None,
}

struct Own {
    socket: Watched,
    /// What it connects to, and as what.
    endpoints: Vec<(CString, Option<Role>)>,
    /// Of the peers that are there.
    descriptors: Vec<i32>,
    /// Handshakes in a row that ended without a word.
    closed: u32,
    /// Peers whose handshake has succeeded.
    ready: usize,
    /// The next connection to end is one whose handshake has failed.
    failing: bool,
    /// When to connect again, after this side has ended the connection; and whether that was told.
    ended: Option<(Instant, bool)>,
    /// That has happened since the events were last asked for.
    hung_up: bool,
}

/// Sets the options that all sockets have.
pub fn prepare(socket: &Socket, config: &Config) -> Result<(), Failure> {
    let set = |name: &str, option, value| {
        socket.set(option, value).map_err(|error| (format!("cannot set {name} to {value}"), error))
    };
    // An option that an old libzmq lacks is one that this writer can do without.
    let try_set = |option, value| {
        let _ = socket.set(option, value);
    };
    set("the linger time", zmq_sys::ZMQ_LINGER, config.linger_millis())?;
    set("the high water mark", zmq_sys::ZMQ_SNDHWM, config.high_water_mark)?;
    // Peers send subscriptions only. More costs the peer its connection, and not the host its memory.
    limits::of_publisher(socket).map_err(|error| ("cannot set limits".to_owned(), error))?;
    if config.pattern == Pattern::Publish {
        // A full queue is an error that can be counted, not a record that vanishes.
        set("ZMQ_XPUB_NODROP", zmq_sys::ZMQ_XPUB_NODROP, 1)?;
    }
    let transport = &config.transport;
    set("reconnect_interval", zmq_sys::ZMQ_RECONNECT_IVL, transport.reconnect)?;
    set("reconnect_interval_max", zmq_sys::ZMQ_RECONNECT_IVL_MAX, transport.reconnect_max)?;
    // A firewall that drops what it does not like would hold up the next try for minutes.
    try_set(zmq_sys::ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MILLIS);
    if transport.keepalive > 0 {
        let idle = (transport.keepalive / 1000).max(1);
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE, 1)?;
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE_IDLE, idle)?;
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE_INTVL, (idle / KEEPALIVE_PROBES).max(1))?;
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES)?;
    }
    if transport.heartbeat > 0 {
        let timeout = if transport.heartbeat_timeout > 0 { transport.heartbeat_timeout } else { transport.heartbeat };
        set("heartbeat_interval", zmq_sys::ZMQ_HEARTBEAT_IVL, transport.heartbeat)?;
        set("heartbeat_timeout", zmq_sys::ZMQ_HEARTBEAT_TIMEOUT, timeout)?;
    }
    Ok(())
}

/// How long a connection stays away then.
const PENALTY: Duration = Duration::from_secs(10);

/// Different topics that a socket's peers can subscribe to where libzmq does not limit what each may.
/// More are an attack on the host's memory, and end all connections.
pub const MAX_SUBSCRIPTIONS: usize = 100_000;

/// Messages of peers that are read before other things have their turn.
pub const READ_AT_ONCE: usize = 10_000;

/// Limit for one try to connect.
const CONNECT_TIMEOUT_MILLIS: i32 = 5000;

/// Unanswered ones after which the system gives a connection up. Together they take as long as
/// the idle time before them.
const KEEPALIVE_PROBES: i32 = 4;

/// The socket type that a pattern needs.
pub fn kind(pattern: Pattern) -> Kind {
    match pattern {
        Pattern::Publish => Kind::XPub,
        Pattern::Push => Kind::Push,
    }
}

impl Link {
    /// Makes a socket and starts connecting or binding it.
    ///
    /// # Errors
    ///
    /// What libzmq could not do.
    pub fn open(context: &Arc<Context>, endpoints: &[Endpoint], config: &Config) -> Result<Self, Failure> {
        let way = match endpoints {
            [endpoint] if endpoint.bind => Way::Shared(Bound::join(context, endpoint, config)?),
            _ => Way::Own(Own::open(context, endpoints, config)?),
        };
        Ok(Self { way, subscriptions: Subscriptions::default(), push: config.pattern == Pattern::Push, look: true })
    }

    /// Whether the log's records are wanted, as of the last [`Link::poll`].
    #[must_use]
    pub fn wanted(&self) -> bool {
        match &self.way {
            Way::Own(own) if self.is_strict() => own.ready > 0,
            _ => self.push || self.subscriptions.matching > 0,
        }
    }

    /// Whether libzmq queues records only for peers that are there and have the right key. What it
    /// has queued for one is lost with the connection.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        matches!(&self.way, Way::Own(own) if self.push && own.secured())
    }

    /// The subscriptions, as of the last [`Link::poll`].
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions {
        self.subscriptions
    }

    /// Reads the subscriptions that have arrived; returns whether there were any.
    pub fn poll(&mut self, topic: &[u8]) -> bool {
        let mut any = false;
        self.look = true;
        match &mut self.way {
            // A push socket's peers send nothing. A failing socket fails the next send, which
            // counts it.
            Way::Own(own) if !self.push => {
                let mut read = 0;
                while read < READ_AT_ONCE
                    && let Ok(Some(message)) = own.socket.try_recv()
                {
                    any |= self.subscriptions.update(message.as_bytes(), topic);
                    read += 1;
                }
                if !limits::ENFORCED && self.subscriptions.count() > MAX_SUBSCRIPTIONS as u64 {
                    own.end();
                }
            }
            Way::Shared(bound) => {
                if let Some(subscriptions) = bound.subscriptions(topic) {
                    any = subscriptions != self.subscriptions;
                    self.subscriptions = subscriptions;
                }
            }
            Way::Own(_) | Way::None => {}
        }
        any
    }

    /// What happened to the connections since the last time.
    pub fn events(&mut self) -> Events {
        match &mut self.way {
            Way::Own(own) => {
                let mut events = own.events();
                match own.revive() {
                    Ok(revived) => events.revived = revived,
                    Err(_) => self.way = Way::None,
                }
                events
            }
            Way::Shared(bound) => Events { disconnected: bound.resets(), ..Events::default() },
            Way::None => Events::default(),
        }
    }

    /// What there is to report; of a socket that writers share, one of them gets it.
    pub fn notices(&mut self, name: &str) -> Vec<(Level, String)> {
        match &mut self.way {
            Way::Shared(bound) => bound.notices(),
            Way::Own(Own { ended: Some((_, told @ false)), .. }) => {
                *told = true;
                vec![(
                    Level::Warning,
                    format!(
                        "{name}: the subscriber has sent more than a subscriber may: more than 10,000 topics, or too \
                         much at once; its connection was ended for a while"
                    ),
                )]
            }
            Way::Own(_) | Way::None => Vec::new(),
        }
    }

    /// Whether the socket has not failed.
    #[must_use]
    pub fn works(&self) -> bool {
        !matches!(self.way, Way::None)
    }

    /// Whether it is a bound socket that writers share.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.way, Way::Shared(_))
    }

    /// Whether somebody is there to send to.
    #[must_use]
    pub fn connected(&self) -> bool {
        match &self.way {
            Way::Own(own) => self.wanted() && !own.descriptors.is_empty(),
            Way::Shared(_) => self.wanted(),
            Way::None => false,
        }
    }

    /// How many bytes at most have left libzmq's queue that the peer's system has not
    /// acknowledged; of a bound endpoint, that the system here has not taken. `None` while a
    /// connection ends: nobody knows then.
    #[must_use]
    pub fn unacknowledged(&self) -> Option<u64> {
        match &self.way {
            Way::Own(own) => own.descriptors.iter().try_fold(0, |sum, &descriptor| {
                let batch = if writable(descriptor) { 0 } else { BATCH as u64 };
                unsent_bytes(descriptor).map(|unsent| sum + unsent + batch)
            }),
            Way::Shared(_) | Way::None => Some(0),
        }
    }

    /// Whether the system has taken everything that left libzmq's queue.
    #[must_use]
    pub fn flushed(&self) -> bool {
        match &self.way {
            Way::Own(own) => own.descriptors.iter().all(|&descriptor| writable(descriptor)),
            Way::Shared(bound) => bound.flushed(),
            Way::None => true,
        }
    }

    /// Waits for something to [`Link::poll`], at most so long.
    pub fn wait(&self, limit: Duration) {
        match &self.way {
            // The error would come again from the next send.
            Way::Own(own) => drop(own.socket.wait_readable(limit.as_millis() as i64)),
            Way::Shared(_) | Way::None => std::thread::sleep(limit.min(Duration::from_millis(2))),
        }
    }

    /// What becomes readable when libzmq's I/O thread has told the socket something, such as that
    /// its queue has room again. `None` if the socket has failed.
    #[must_use]
    pub fn descriptor(&self) -> Option<i32> {
        match &self.way {
            Way::Own(own) => own.socket.descriptor().ok(),
            Way::Shared(bound) => bound.socket().descriptor().ok(),
            Way::None => None,
        }
    }

    /// Sends a record: the topic, then the body, which is empty afterwards. What libzmq's I/O
    /// thread tells the socket is seen once for each [`Link::poll`].
    ///
    /// # Errors
    ///
    /// It was not taken, neither frame.
    #[inline]
    pub fn send(&mut self, topic: &[u8], body: &mut Message) -> Result<(), Refusal> {
        let socket = match &self.way {
            Way::Own(own) => &own.socket,
            Way::Shared(bound) => bound.socket(),
            Way::None => return Err(Refusal::Failed),
        };
        let sent = socket.try_send_two(topic, body, std::mem::take(&mut self.look)).or_else(|error| {
            if error != Error(libc::EAGAIN) {
                return Err(error);
            }
            // The queue may only look full.
            socket.catch_up();
            socket.try_send_two(topic, body, false)
        });
        sent.map_err(|error| if error == Error(libc::EAGAIN) { Refusal::Full } else { Refusal::Failed })
    }

    /// Closes the socket. libzmq goes on sending what it has for so long; `None` is for ever.
    pub fn close(self, linger: Option<Duration>) {
        let millis = linger.map_or(-1, |linger| i32::try_from(linger.as_millis()).unwrap_or(i32::MAX));
        match self.way {
            Way::Own(own) => {
                // Refused only for values below -1.
                let _ = own.socket.set(zmq_sys::ZMQ_LINGER, millis);
            }
            Way::Shared(bound) => bound.leave(millis),
            Way::None => {}
        }
    }
}

impl Own {
    fn open(context: &Arc<Context>, endpoints: &[Endpoint], config: &Config) -> Result<Self, Failure> {
        let no_socket = |error| ("cannot make a socket".to_owned(), error);
        let socket = Socket::new(context, kind(config.pattern)).map_err(no_socket)?;
        prepare(&socket, config)?;
        let socket = Watched::new(context, socket).map_err(no_socket)?;
        if config.curve.is_some() && config.pattern == Pattern::Push {
            // Nothing is queued for a peer that has not shown that it has the right key.
            socket.set(zmq_sys::ZMQ_IMMEDIATE, 1).map_err(no_socket)?;
        }
        let mut own = Self {
            socket,
            endpoints: Vec::new(),
            descriptors: Vec::new(),
            closed: 0,
            ready: 0,
            failing: false,
            ended: None,
            hung_up: false,
        };
        for endpoint in endpoints {
            if endpoint.needs_ipv6() {
                own.socket.set(zmq_sys::ZMQ_IPV6, 1).map_err(|error| ("cannot use IPv6".to_owned(), error))?;
            }
            own.endpoints.push((endpoint.address.clone(), config.client(endpoint)));
            own.connect(own.endpoints.len() - 1).map_err(|error| (format!("cannot connect to {endpoint}"), error))?;
        }
        Ok(own)
    }

    fn connect(&self, index: usize) -> Result<(), Error> {
        let (address, role) = &self.endpoints[index];
        self.socket.secure(role.as_ref())?;
        self.socket.connect(address)
    }

    fn events(&mut self) -> Events {
        let mut events = Events { disconnected: std::mem::take(&mut self.hung_up).into(), ..Events::default() };
        while let Some(event) = self.socket.next_event() {
            match event {
                Event::Connected(descriptor) => self.descriptors.push(descriptor),
                Event::Disconnected(descriptor) => {
                    self.descriptors.retain(|&other| other != descriptor);
                    events.disconnected += 1;
                    if !std::mem::take(&mut self.failing) {
                        self.ready = self.ready.saturating_sub(1);
                    }
                }
                Event::Failed(Handshake::Closed) => {
                    self.failing = true;
                    self.closed += 1;
                    if self.closed >= CLOSED_IN_A_ROW {
                        events.failed = Some(Handshake::Closed);
                        events.ready = false;
                    }
                }
                Event::Failed(how) => {
                    self.failing = true;
                    events.failed = Some(how);
                    events.ready = false;
                }
                Event::Ready => {
                    self.closed = 0;
                    self.ready += 1;
                    events.failed = None;
                    events.ready = true;
                }
                Event::Excess => self.end(),
                Event::Unbound => {}
            }
        }
        events
    }

    /// Ends the connections for a while.
    fn end(&mut self) {
        if self.ended.is_none() {
            for (address, _) in &self.endpoints {
                // Fails only for what is not connected.
                let _ = self.socket.disconnect(address);
            }
            // Of this end no event tells.
            self.descriptors.clear();
            self.ready = 0;
            self.hung_up = true;
            self.ended = Some((Instant::now() + PENALTY, false));
        }
    }

    fn secured(&self) -> bool {
        self.endpoints.iter().any(|(_, role)| role.is_some())
    }

    /// Connects again to what libzmq has given up, or this side has. Whether there was something.
    fn revive(&mut self) -> Result<bool, Error> {
        if let Some((until, _)) = self.ended {
            // What libzmq has given up is just this.
            self.socket.given_up(self.endpoints.iter().map(|(address, _)| address.as_c_str()));
            if Instant::now() < until {
                return Ok(false);
            }
            self.ended = None;
            (0..self.endpoints.len()).try_for_each(|index| self.connect(index))?;
            return Ok(true);
        }
        let given_up = self.socket.given_up(self.endpoints.iter().map(|(address, _)| address.as_c_str()));
        for &index in &given_up {
            // Of what it has given up libzmq may know no more.
            let _ = self.socket.disconnect(&self.endpoints[index].0);
            self.connect(index)?;
        }
        Ok(!given_up.is_empty())
    }
}
