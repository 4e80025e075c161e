//! Finds out who is subscribed to what, with a connection of its own to each endpoint.
//!
//! A writer knows who is subscribed to its own log path only. The probe sees every topic, and so tells a
//! missing subscriber from a subscriber that wants other logs.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bro_zeromq_writer::transport::{Servers, address_of};
use bro_zeromq_writer::writer::{Config, Frames, Head, Template};
use bro_zeromq_writer::zmq::limits;
use bro_zeromq_writer::zmq::{Context, Error, Event, MonitoredSocket, Role, Socket, SocketType};

use crate::security::unfit;
use crate::stop::Stop;

/// How long a wait lasts before a look whether to end.
const SLICE: Duration = Duration::from_millis(50);

/// When the last topic came this long ago, there are no more. A subscriber tells its topics one by one,
/// in several TCP segments, and does not say which is the last.
const SETTLED: Duration = Duration::from_millis(300);

/// Sees the subscriptions at every endpoint.
pub struct Probe {
    endpoints: Vec<Endpoint>,
    topic: Template,
    frames: Frames,
}

struct Endpoint {
    name: String,
    address: CString,
    role: Option<Role>,
    socket: MonitoredSocket,
    topics: BTreeSet<Vec<u8>>,
    servers: Servers,
    /// How far the connection has come.
    reached: Reached,
    /// Why nobody is there, if it is known.
    why: Option<String>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// There is no connection.
    Nobody,
    /// The connection stands, and no handshake has succeeded yet.
    Connected,
    /// The handshake has succeeded.
    Ready,
}

/// What was seen at an endpoint.
pub struct Seen<'a> {
    /// How far the connection has come.
    pub reached: Reached,
    /// Why no further, if it is known.
    pub why: Option<&'a str>,
    /// What is subscribed to there.
    pub topics: &'a BTreeSet<Vec<u8>>,
}

/// An endpoint where nobody is.
pub struct Missing {
    /// The endpoint.
    pub name: String,
    /// Why, if it is known.
    pub why: Option<String>,
}

impl Probe {
    /// Starts connecting to the endpoints of a configuration.
    pub fn open(config: &Config) -> Result<Self, String> {
        let context = Context::new().map(Arc::new).map_err(|error| format!("cannot make a ZeroMQ context: {error}"))?;
        let endpoints = config.endpoints.iter().map(|endpoint| {
            if endpoint.bind {
                return Err(format!("cannot use {endpoint}: replay connects, and does not bind"));
            }
            let (address, ipv6) = address_of(endpoint);
            let unknown = endpoint.host_name().filter(|_| address == endpoint.address);
            let why = unknown.map(|(name, _)| format!("the name {name} is not found; correct it, or use an address"));
            let open = || -> Result<MonitoredSocket, Error> {
                let socket = Socket::new(&context, SocketType::XPub)?;
                socket.set(zmq_sys::ZMQ_LINGER, 0)?;
                socket.set(zmq_sys::ZMQ_IPV6, ipv6.into())?;
                limits::of_publisher(&socket)?;
                MonitoredSocket::new(&context, socket)
            };
            let failed = |error| format!("cannot connect to {endpoint}: {error}");
            let servers = match (&config.curve, endpoint.server_key) {
                (Some(curve), Some(key)) => Servers::new(curve.keys.public(), vec![key]),
                _ => Servers::default(),
            };
            let probed = Endpoint {
                name: endpoint.to_string(),
                address,
                role: config.curve.as_ref().and_then(|curve| curve.client(endpoint)),
                socket: open().map_err(failed)?,
                topics: BTreeSet::new(),
                servers,
                reached: Reached::Nobody,
                why,
            };
            probed.connect().map_err(failed)?;
            Ok(probed)
        });
        let endpoints = endpoints.collect::<Result<_, String>>()?;
        Ok(Self { endpoints, topic: config.topic.clone(), frames: config.frames })
    }

    /// The names of the endpoints, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| endpoint.name.as_str())
    }

    /// Waits until every endpoint has told its subscriptions, at most so long. An endpoint that has begun
    /// to tell is heard to the end in any case. Returns the endpoints without a subscriber.
    pub fn wait(&mut self, patience: Duration, stop: &Stop) -> Vec<Missing> {
        let start = Instant::now();
        for endpoint in &mut self.endpoints {
            let mut heard = Instant::now();
            loop {
                if endpoint.poll() {
                    heard = Instant::now();
                }
                let left = match endpoint.any() {
                    // Everything is subscribed to: no further topic would change anything.
                    true if endpoint.topics.contains(&b""[..]) => Duration::ZERO,
                    true => SETTLED.saturating_sub(heard.elapsed()),
                    false => patience.saturating_sub(start.elapsed()),
                };
                if left.is_zero() || stop.requested() {
                    break;
                }
                let slice = left.min(SLICE);
                // An error shows as a subscriber that does not come.
                let _ = endpoint.socket.wait_readable(slice.as_millis().max(1) as i64);
            }
        }
        let missing = self.endpoints.iter().filter(|endpoint| !endpoint.any());
        missing.map(|endpoint| Missing { name: endpoint.name.clone(), why: endpoint.why.clone() }).collect()
    }

    /// What was seen at each endpoint, in order.
    pub fn seen(&self) -> impl Iterator<Item = Seen<'_>> {
        self.endpoints.iter().map(|Endpoint { reached, why, topics, .. }| Seen {
            reached: *reached,
            why: why.as_deref(),
            topics,
        })
    }

    /// Takes note of subscriptions that have come or gone.
    pub fn poll(&mut self) {
        for endpoint in &mut self.endpoints {
            endpoint.poll();
        }
    }

    /// Returns true if a log path is subscribed to at an endpoint.
    pub fn wants(&self, endpoint: u32, path: &[u8]) -> bool {
        let log = Head::new(self.topic.of(path), self.frames);
        self.endpoints
            .get(endpoint as usize)
            .is_some_and(|endpoint| endpoint.topics.iter().any(|topic| log.beginning().starts_with(topic)))
    }

    /// Returns true if anything is subscribed to at an endpoint.
    pub fn any(&self, endpoint: u32) -> bool {
        self.endpoints.get(endpoint as usize).is_some_and(Endpoint::any)
    }
}

impl Endpoint {
    fn connect(&self) -> Result<(), Error> {
        self.socket.secure(self.role.as_ref())?;
        self.socket.connect(&self.address)
    }

    fn any(&self) -> bool {
        !self.topics.is_empty()
    }

    /// Reads what has come; returns true if there was something.
    fn poll(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.socket.next_event() {
            match event {
                Event::Ready(_) => {
                    self.servers.ready();
                    (self.reached, self.why) = (Reached::Ready, None);
                }
                Event::Failed(how) => {
                    self.why = self.servers.failed(how).map(|why| unfit(&why, "subscriber")).or(self.why.take());
                }
                Event::Connected(_) => self.reached = Reached::Connected,
                Event::Disconnected(_) => self.reached = Reached::Nobody,
                Event::Retried(_) | Event::Excess(_) | Event::Full | Event::Closed => {}
            }
        }
        for _ in self.socket.given_up_indices(iter::once(self.address.as_c_str())) {
            // Disconnecting fails if libzmq has forgotten the address that it has given up. A failure to connect
            // shows as a subscriber that does not come.
            let _ = self.socket.disconnect(&self.address);
            let _ = self.connect();
        }
        while let Ok(Some(message)) = self.socket.try_recv() {
            any = true;
            match message.as_bytes() {
                [1, topic @ ..] => {
                    self.topics.insert(topic.to_vec());
                }
                [0, topic @ ..] => {
                    self.topics.remove(topic);
                }
                _ => {}
            }
        }
        any
    }
}
