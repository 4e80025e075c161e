//! One transport for each endpoint of the process: a socket, its peers, and a thread that looks after
//! both.
//!
//! All writers with the same endpoint, and the same options for it, share a transport, connected or
//! bound. So a log costs neither a descriptor nor a connection. A [`User`] is a writer's share.
//!
//! A writer sends from its own thread, with the socket's lock, which it holds for as long as libzmq
//! takes to put a record into its queue. (A thread that owns the socket, and a queue from each writer to
//! it, cost a quarter more processor time for each record, a descriptor for each log, and a change of
//! thread on the way.) libzmq's queue has no limit here: each writer counts what it has there, and
//! keeps to its own `zmq_hwm`.
//!
//! All work that can take time happens on the transport's thread: it looks names up, tries addresses
//! again, and reads keys. Writers read the results from memory.

mod authentication;
mod dial;
mod handshake;
mod listen;
mod names;
mod options;
mod subscriptions;
mod thread;
mod trail;

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::io::PipeWriter;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::keys::KeyError;
use crate::lock::locked;
use crate::report::{Incident, Report, Trouble};
use crate::texts::texts;
use crate::zmq::{Acknowledged, Context, Endpoint, Error, Message, MonitoredSocket, Place, Stream, Written};
use subscriptions::{Topics, parse};
use thread::Thread;

use handshake::Peers;
pub use handshake::{CLOSED_IN_A_ROW, Clients, LOOK_INTERVAL, Servers};
pub use names::address_of;
pub use options::{Curve, KeepAlive, Pattern, TransportOptions};
pub use subscriptions::Subscriptions;
pub use trail::Trail;

texts! {
    /// What libzmq or the system could not do, and why.
    pub enum Failure {
        Context { error: Error } = "cannot make a ZeroMQ context: {error}",
        Socket { error: Error } = "cannot make a socket: {error}",
        Pipe { error: Error } = "cannot make a pipe: {error}",
        Thread { error: Error } = "cannot start a thread: {error}",
        Option { name: &'static str, value: i32, error: Error } = "cannot set {name} to {value}: {error}",
        Limits { error: Error } = "cannot set limits: {error}",
        Ipv6 { error: Error } = "cannot use IPv6: {error}",
        Connect { endpoint: String, error: Error } = "cannot connect to {endpoint}: {error}",
        Bind { endpoint: String, error: Error } = "cannot bind {endpoint}: {error}",
        Share { endpoint: String, error: Error } =
            "cannot share {endpoint} with a filter that has other keys, or none: {error}",
        Encrypt { endpoint: String, error: Error } = "cannot encrypt {endpoint}: {error}",
        Handler { error: Error } = "cannot answer for who is let in: {error}",
        Keys { why: KeyError, error: Error } = "{why}: {error}",
    }
}

/// Different topics that a socket's peers can subscribe to where libzmq does not limit what each may.
/// More are an attack on the host's memory, and end all connections.
const MAX_SUBSCRIPTIONS: usize = 100_000;

/// Messages of peers that are read before other things have their turn.
const READ_AT_ONCE: usize = 10_000;

/// Reports that wait for a writer; further ones are left out.
const MAX_NOTICES: usize = 200;

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// None of the peers has room for it.
    Full,
    /// The connection was made anew, and the writer has not seen this yet: see [`User::events`].
    Renewed,
    /// The socket has failed.
    Failed,
}

/// What happened since a writer last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// True if a connection was lost.
    pub disconnected: bool,
    /// True if the records queued for a connection were lost with it, or all connections were ended.
    pub renewed: bool,
    /// How many bytes of [`User::unacknowledged`] were on their way to peers that have left while others stay.
    pub astray: u64,
}

/// All that a socket is told: endpoints with equal keys are one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    endpoint: Endpoint,
    pattern: Pattern,
    curve: Option<Curve>,
    keep_alive: KeepAlive,
    /// True if writers keep what they have handed over, and hand it over again when a connection was lost.
    resends: bool,
}

impl Key {
    fn new(endpoint: &Endpoint, options: &TransportOptions) -> Self {
        // Writers that differ in the high water mark share a transport: each keeps to its own.
        let TransportOptions { pattern, keep_alive, curve, high_water_mark: _, resends } = options.clone();
        // The peers of a bound endpoint come and go one by one.
        Self { endpoint: endpoint.clone(), pattern, curve, keep_alive, resends: resends && !endpoint.bind }
    }

    /// Returns true if there can be several peers, each of which gets other records.
    fn divides(&self) -> bool {
        self.pattern == Pattern::Push && self.endpoint.bind
    }
}

/// A socket, and what is known of its peers.
struct Transport {
    key: Key,
    /// When it was made.
    begun: Instant,
    /// There until the last writer has left. Only the thread that has it locked uses it.
    socket: Mutex<Option<MonitoredSocket>>,
    /// The subscriptions' topics. XPUB tells of each topic once, however many peers subscribe to it.
    topics: Mutex<Topics>,
    /// When the topics changed last.
    heard: Mutex<Instant>,
    /// Notified, with `topics`, when they or the peers have changed.
    changed: Condvar,
    /// Goes up whenever `topics` changes.
    version: AtomicU64,
    /// Peers whose handshake has succeeded.
    peers: AtomicUsize,
    /// Goes up whenever a connection is lost; at a bound endpoint, whenever the last is.
    disconnected: AtomicU32,
    /// Goes up whenever the queued records are lost. Changes only with `socket` locked.
    generation: AtomicU32,
    /// Bytes handed to libzmq, as they go over the network.
    handed: AtomicU64,
    /// Bytes that libzmq's queue still had when each writer last looked.
    waiting: AtomicU64,
    /// Counts the bytes that libzmq has written to connections, as far as writers keep records until they have
    /// arrived.
    written: Arc<Written>,
    /// The connections of the peers that are there.
    connections: Mutex<Vec<Outgoing>>,
    /// Bytes that were on their way to peers that have left while others stayed.
    astray: AtomicU64,
    /// What there is to report.
    notices: Mutex<VecDeque<Report>>,
    /// Why there is no peer, if that is known, and what to do about it.
    trouble: Mutex<Option<Trouble>>,
    /// True if a writer wants the connection made anew.
    renew: AtomicBool,
    /// True if nobody uses it any more.
    stop: AtomicBool,
    /// True while the thread waits for a name server.
    waits: AtomicBool,
}

/// The connection of a peer that is there.
struct Outgoing {
    stream: Stream,
    /// Bytes that its system had not acknowledged when a writer last looked.
    unsent: u64,
}

/// A transport in use.
struct Running {
    transport: Arc<Transport>,
    users: usize,
    thread: JoinHandle<()>,
    /// The thread ends when this is dropped.
    stop: PipeWriter,
}

static RUNNING: Mutex<Vec<Running>> = Mutex::new(Vec::new());

impl Transport {
    fn report(&self, report: Report) {
        let mut notices = locked(&self.notices);
        if notices.len() < MAX_NOTICES {
            notices.push_back(report);
        }
    }

    fn tell(&self, event: Incident) {
        self.report(event.at(&self.key.endpoint));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Takes note that the queued records are lost: writers are not to send before they know. The
    /// socket is the one that is locked.
    fn renew(&self, _socket: &mut MonitoredSocket) {
        locked(&self.connections).clear();
        self.peers.store(0, Ordering::Release);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Reads what the peers have told the socket. Returns true if there may be more. Only the transport's
    /// thread does this: the thread that reads subscriptions allocates memory for them, and the system's
    /// allocator keeps freed memory apart for each thread.
    fn read(&self, socket: &MonitoredSocket) -> bool {
        if self.key.pattern == Pattern::Push {
            // The peers say nothing, but libzmq's I/O thread may.
            socket.catch_up();
            return false;
        }
        let mut topics = None;
        let mut more = true;
        for _ in 0..READ_AT_ONCE {
            // A failing socket fails the next send, which counts it.
            let Ok(Some(message)) = socket.try_recv() else {
                more = false;
                break;
            };
            let Some((added, topic)) = parse(message.as_bytes()) else { continue };
            let topics = topics.get_or_insert_with(|| locked(&self.topics));
            if added {
                topics.insert(topic);
            } else {
                topics.remove(topic);
            }
        }
        if topics.is_some() {
            *locked(&self.heard) = Instant::now();
            self.version.fetch_add(1, Ordering::Release);
            self.changed.notify_all();
        }
        more
    }

    /// Bytes of a record on the network: its frames with their headers, and what encryption adds.
    fn size(&self, first: Option<&[u8]>, body: usize) -> u64 {
        let frame = |len: usize| {
            let len = if self.key.curve.is_some() { len + 33 } else { len };
            len + if len > 255 { 9 } else { 2 }
        };
        (first.map_or(0, |first| frame(first.len())) + frame(body)) as u64
    }
}

/// A writer's share in a transport.
pub struct User {
    transport: Arc<Transport>,
    /// The transport's counters as this writer has seen them last.
    version: u64,
    generation: u32,
    disconnected: u32,
    astray: u64,
    /// This writer's part of [`Transport::waiting`].
    waiting: u64,
}

impl User {
    /// Joins the transport of an endpoint; the first user makes it. An address that is in use is tried again
    /// until it is free; an address to connect to, until somebody is there.
    ///
    /// # Errors
    ///
    /// A socket cannot be made, the address can never be bound, or it is bound with other keys.
    pub fn join(context: &Arc<Context>, endpoint: &Endpoint, options: &TransportOptions) -> Result<Self, Failure> {
        let key = Key::new(endpoint, options);
        let mut running = locked(&RUNNING);
        let same = |one: &Running| {
            let other = &one.transport.key;
            if endpoint.bind {
                other.endpoint.bind && other.endpoint.address == endpoint.address
            } else {
                *other == key
            }
        };
        let index = match running.iter().position(same) {
            Some(index) if running[index].transport.key.curve != key.curve => {
                return Err(Failure::Share { endpoint: endpoint.to_string(), error: Error(libc::EADDRINUSE) });
            }
            Some(index) => index,
            None => {
                running.push(Thread::start(context, key, options)?);
                running.len() - 1
            }
        };
        let one = &mut running[index];
        one.users += 1;
        let transport = Arc::clone(&one.transport);
        let generation = transport.generation.load(Ordering::Acquire);
        let disconnected = transport.disconnected.load(Ordering::Acquire);
        let astray = transport.astray.load(Ordering::Acquire);
        Ok(Self { transport, version: 0, generation, disconnected, astray, waiting: 0 })
    }

    /// Sends a record: the first frame, if there are two, then the body, which is empty afterwards. If writers
    /// keep what they have handed over, and the connection was made anew, sends nothing before this writer
    /// knows of it.
    ///
    /// # Errors
    ///
    /// The record was not taken, and neither was a part of it.
    #[inline]
    pub fn send(&self, first: Option<&[u8]>, body: &mut Message) -> Result<(), Refusal> {
        let transport = &*self.transport;
        let size = transport.size(first, body.as_bytes().len());
        let socket = locked(&transport.socket);
        if transport.key.resends && transport.generation.load(Ordering::Relaxed) != self.generation {
            return Err(Refusal::Renewed);
        }
        let Some(socket) = &*socket else { return Err(Refusal::Failed) };
        let sent = socket.try_send_frames(first, body).or_else(|error| {
            if error != Error(libc::EAGAIN) {
                return Err(error);
            }
            // The queue may only look full.
            socket.catch_up();
            socket.try_send_frames(first, body)
        });
        match sent {
            Ok(()) => {
                transport.handed.fetch_add(size, Ordering::Relaxed);
                Ok(())
            }
            Err(Error(libc::EAGAIN)) => Err(Refusal::Full),
            Err(_) => Err(Refusal::Failed),
        }
    }

    /// Returns the subscriptions, seen from messages that begin with `beginning`, if they may have changed since
    /// the last call.
    pub fn subscriptions(&mut self, beginning: &[u8]) -> Option<Subscriptions> {
        let version = self.transport.version.load(Ordering::Acquire);
        if version == self.version {
            return None;
        }
        self.version = version;
        Some(Subscriptions::of(&locked(&self.transport.topics), beginning))
    }

    /// When the transport was made, and when the subscriptions have changed last.
    #[must_use]
    pub fn since(&self) -> (Instant, Instant) {
        (self.transport.begun, *locked(&self.transport.heard))
    }

    /// What happened to the connections since the last time.
    pub fn events(&mut self) -> Events {
        let generation = self.transport.generation.load(Ordering::Acquire);
        let disconnected = self.transport.disconnected.load(Ordering::Acquire);
        let astray = self.transport.astray.load(Ordering::Acquire);
        Events {
            astray: astray - std::mem::replace(&mut self.astray, astray),
            renewed: std::mem::replace(&mut self.generation, generation) != generation,
            disconnected: std::mem::replace(&mut self.disconnected, disconnected) != disconnected,
        }
    }

    /// Peers that are there, and have the right key if there are keys.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.transport.peers.load(Ordering::Acquire)
    }

    /// Returns true if subscribers connect to this side.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.transport.key.endpoint.bind
    }

    /// Returns true if libzmq queues records only for peers that are there. The records queued for a peer are
    /// lost with its connection.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        let Key { endpoint, pattern, curve, .. } = &self.transport.key;
        *pattern == Pattern::Push && (endpoint.bind || curve.is_some())
    }

    /// What there is to report of the endpoint; whoever asks first gets it.
    pub fn notices(&self) -> Vec<Report> {
        locked(&self.transport.notices).drain(..).collect()
    }

    /// Why nobody subscribes, as far as that is known, and what to do about it.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        let trouble = locked(&self.transport.trouble).clone();
        trouble.unwrap_or_else(|| match (self.peers(), self.is_bound()) {
            (0, true) => Trouble::NobodyHasCome,
            (0, false) => Trouble::NobodyHasAnswered,
            _ => Trouble::NoTopic,
        })
    }

    /// How many bytes all writers have handed over.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.transport.handed.load(Ordering::Relaxed)
    }

    /// Tells how many bytes this writer has in libzmq's queue, and returns how many all have.
    pub fn tell_waiting(&mut self, bytes: u64) -> u64 {
        let change = bytes.wrapping_sub(std::mem::replace(&mut self.waiting, bytes));
        self.transport.waiting.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
    }

    /// Bytes of a record on the network.
    #[must_use]
    pub fn size(&self, first: Option<&[u8]>, body: usize) -> u64 {
        self.transport.size(first, body)
    }

    /// Counts what was written to connections.
    #[must_use]
    pub fn written(&self) -> &Arc<Written> {
        &self.transport.written
    }

    /// Returns true if there are several peers, each of which gets other records.
    #[must_use]
    pub fn is_divided(&self) -> bool {
        self.transport.key.divides() && self.peers() > 1
    }

    /// How many of the bytes written the peers' systems have not acknowledged. If all peers get the same
    /// records, the peer with the most bytes counts, else all together. `None` without a connection, and while
    /// a connection ends, when the number is not known.
    #[must_use]
    pub fn unacknowledged(&self) -> Option<u64> {
        let mut connections = locked(&self.transport.connections);
        if connections.is_empty() {
            return None;
        }
        let all_get_all = self.transport.key.pattern == Pattern::Publish;
        connections.iter_mut().try_fold(0_u64, |all, Outgoing { stream, unsent }| {
            *unsent = stream.unsent()?;
            Some(if all_get_all { all.max(*unsent) } else { all + *unsent })
        })
    }

    /// How far the peers' systems have acknowledged what was [written](User::written).
    #[must_use]
    pub fn acknowledged(&self) -> Acknowledged {
        // Read first, so that bytes written afterwards are among the unacknowledged.
        let written = &self.transport.written;
        let Some(mut places) = written.each() else {
            let written = written.all();
            return Acknowledged::All(self.unacknowledged().and_then(|unsent| written.checked_sub(unsent)));
        };
        let connections = locked(&self.transport.connections);
        places.retain_mut(|Place { connection, end }| {
            let found = connections.iter().find(|one| one.stream.connection() == Some(*connection));
            let unsent = found.and_then(|one| one.stream.unsent());
            *end = end.saturating_sub(unsent.unwrap_or(0));
            unsent.is_some()
        });
        Acknowledged::Each(places)
    }

    /// Makes the thread end the connection and make it anew, within a second: the records queued there are
    /// lost.
    pub fn renew(&self) {
        self.transport.renew.store(true, Ordering::Release);
    }

    /// Waits for [`User::subscriptions`] to change, at most so long.
    pub fn wait(&self, limit: Duration) {
        let topics = locked(&self.transport.topics);
        if self.transport.version.load(Ordering::Acquire) == self.version {
            // The caller looks, woken early or not.
            drop(self.transport.changed.wait_timeout(topics, limit));
        }
    }

    /// Leaves. The last user ends the transport; libzmq goes on sending what it has for at most `linger`
    /// (`None`: without limit).
    pub fn leave(mut self, linger: Option<Duration>) {
        self.tell_waiting(0);
        let mut running = locked(&RUNNING);
        let Some(index) = running.iter().position(|one| Arc::ptr_eq(&one.transport, &self.transport)) else { return };
        running[index].users -= 1;
        if running[index].users > 0 {
            return;
        }
        // The lock is held until the address is free for the next transport.
        let Running { transport, thread, stop, .. } = running.swap_remove(index);
        transport.stop.store(true, Ordering::SeqCst);
        drop(stop);
        // A thread that waits for a name server finds later that it has nothing left to do.
        if !transport.waits.load(Ordering::SeqCst) {
            // The thread cannot panic, and nothing would be left to do if it did.
            drop(thread.join());
        }
        let socket = locked(&transport.socket).take();
        if let Some(socket) = socket {
            let millis = linger.map_or(-1, |linger| i32::try_from(linger.as_millis()).unwrap_or(i32::MAX));
            // Refused only for values below -1.
            let _ = socket.set(zmq_sys::ZMQ_LINGER, millis);
        }
    }
}
