//! A bound endpoint: one socket for all writers of the process.
//!
//! A socket belongs to one thread, and an address can be bound once. So the first writer with
//! that endpoint starts a thread that owns the socket; each writer hands its records over
//! through a pair of sockets within the process, which takes neither a lock nor a copy. The
//! thread takes no more than the socket does: what it cannot send waits in the writers' own
//! queues, where each sees that its queue is full.
//!
//! What the writers ask for at every turn, they read from memory: the subscriptions, whenever
//! their version has changed, and whether all has been sent.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::config::{Config, Endpoint, Pattern};
use super::curve::Curve;
use super::door::Door;
use super::handshake::{Clients, LOOK_INTERVAL};
use super::link::{Failure, MAX_SUBSCRIPTIONS, READ_AT_ONCE, kind, prepare};
use super::report::Level;
use super::subscriptions::{Subscriptions, parse};
use crate::clock::coarse_millis;
use crate::zmq::{Context, Error, Event, Kind, Message, Socket, Watched, limits, poll, writable};

/// Records taken from the writers before the subscriptions are looked at again.
const ROUND: usize = 256;

/// How long the thread waits for records; a bound for the end, which wakes it, too.
const IDLE_MILLIS: i64 = 100;

/// How long it waits when a subscriber's queue is full: libzmq does not tell when it no longer is.
const FULL_MILLIS: i64 = 1;

/// How often an address that is in use is tried again.
const BIND_AGAIN: Duration = Duration::from_millis(500);

/// Reports that wait for a writer; further ones are left out.
const MAX_NOTICES: usize = 200;

/// A writer's way to a bound socket.
pub struct Bound {
    publisher: Arc<Publisher>,
    /// To the publisher's thread.
    socket: Socket,
    /// The version of the subscriptions that this writer knows.
    seen: u64,
    /// How often the connections were all ended, as this writer knows.
    resets: u32,
}

/// What the thread and the writers share.
struct Publisher {
    address: CString,
    /// The subscriptions' topics.
    topics: Mutex<BTreeSet<Vec<u8>>>,
    /// Goes up whenever `topics` changes.
    version: AtomicU64,
    /// Goes up whenever all connections were ended.
    resets: AtomicU32,
    /// What there is to report.
    notices: Mutex<VecDeque<(Level, String)>>,
    /// The system has taken everything that was sent.
    flushed: AtomicBool,
    /// Nobody has anything to send any more.
    stop: AtomicBool,
    /// How long the socket may linger then, in milliseconds.
    linger: AtomicI32,
}

impl Publisher {
    fn notice(&self, level: Level, text: String) {
        let mut notices = locked(&self.notices);
        if notices.len() < MAX_NOTICES {
            notices.push_back((level, text));
        }
    }
}

struct Running {
    publisher: Arc<Publisher>,
    /// The keys of the socket.
    curve: Option<Curve>,
    /// Where writers connect to.
    entrance: CString,
    users: usize,
    thread: JoinHandle<()>,
}

static RUNNING: Mutex<Option<HashMap<CString, Running>>> = Mutex::new(None);

fn running() -> MutexGuard<'static, Option<HashMap<CString, Running>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bound {
    /// Joins the socket that is bound to an endpoint; the first one makes it, with its own
    /// options. An address in use is tried again until it is free.
    ///
    /// # Errors
    ///
    /// A socket cannot be made, the address can never be bound, or it is bound with other keys.
    pub fn join(context: &Arc<Context>, endpoint: &Endpoint, config: &Config) -> Result<Self, Failure> {
        let no_socket = |error| ("cannot make a socket".to_owned(), error);
        let mut running = running();
        let all = running.get_or_insert_default();
        if !all.contains_key(&endpoint.address) {
            all.insert(endpoint.address.clone(), start(context, endpoint, config)?);
        }
        let Some(one) = all.get_mut(&endpoint.address) else { return Err(no_socket(Error(libc::EINVAL))) };
        if one.curve != config.curve {
            let what = format!("cannot share {endpoint} with a filter that has other keys, or none");
            return Err((what, Error(libc::EADDRINUSE)));
        }
        let socket = Socket::new(context, Kind::Push).map_err(no_socket).and_then(|socket| {
            let set = |option, value| socket.set(option, value).map_err(no_socket);
            set(zmq_sys::ZMQ_SNDHWM, config.high_water_mark)?;
            set(zmq_sys::ZMQ_LINGER, 0)?;
            socket.connect(&one.entrance).map_err(no_socket)?;
            Ok(socket)
        });
        one.users += 1;
        let publisher = Arc::clone(&one.publisher);
        drop(running);
        match socket {
            Ok(socket) => {
                let resets = publisher.resets.load(Ordering::Acquire);
                Ok(Self { publisher, socket, seen: 0, resets })
            }
            Err(failure) => {
                leave(&publisher, 0, None);
                Err(failure)
            }
        }
    }

    /// Where records are handed over.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The subscriptions, if they may have changed since the last time.
    pub fn subscriptions(&mut self, topic: &[u8]) -> Option<Subscriptions> {
        let version = self.publisher.version.load(Ordering::Acquire);
        if version == self.seen {
            return None;
        }
        self.seen = version;
        Some(Subscriptions::of(locked(&self.publisher.topics).iter().map(Vec::as_slice), topic))
    }

    /// How often all connections were ended since the last time.
    pub fn resets(&mut self) -> u32 {
        let resets = self.publisher.resets.load(Ordering::Acquire);
        resets.wrapping_sub(std::mem::replace(&mut self.resets, resets))
    }

    /// What there is to report; whoever asks first gets it.
    pub fn notices(&self) -> Vec<(Level, String)> {
        locked(&self.publisher.notices).drain(..).collect()
    }

    /// Whether the system has taken everything that was sent.
    pub fn flushed(&self) -> bool {
        self.publisher.flushed.load(Ordering::Acquire)
    }

    /// Leaves. The last one ends the thread, and the socket lingers for so many milliseconds.
    pub fn leave(self, linger: i32) {
        leave(&self.publisher, linger, Some(self.socket));
    }
}

fn leave(publisher: &Arc<Publisher>, linger: i32, socket: Option<Socket>) {
    let mut running = running();
    let Some(all) = running.as_mut() else { return };
    let Some(one) = all.get_mut(&publisher.address) else { return };
    one.users -= 1;
    if one.users > 0 {
        return;
    }
    let Some(one) = all.remove(&publisher.address) else { return };
    drop(running);
    publisher.linger.store(linger, Ordering::Release);
    publisher.stop.store(true, Ordering::Release);
    if let Some(socket) = &socket {
        // Wakes the thread: a message of one frame is no record.
        let _ = socket.try_send(&mut Message::new(), false);
    }
    // It cannot panic, and nothing is left to do if it did.
    drop(one.thread.join());
}

/// Starts the thread of an endpoint.
fn start(context: &Arc<Context>, endpoint: &Endpoint, config: &Config) -> Result<Running, Failure> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let entrance = format!("inproc://publisher-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let entrance = CString::new(entrance).map_err(|_| ("cannot make a socket".to_owned(), Error(libc::EINVAL)))?;
    let publisher = Arc::new(Publisher {
        address: endpoint.address.clone(),
        topics: Mutex::default(),
        version: AtomicU64::new(0),
        resets: AtomicU32::new(0),
        notices: Mutex::default(),
        flushed: AtomicBool::new(true),
        stop: AtomicBool::new(false),
        linger: AtomicI32::new(config.linger_millis()),
    });
    let (tell, told) = mpsc::channel();
    let thread = std::thread::Builder::new().name("zmq-publisher".into()).spawn({
        let (context, endpoint, config) = (Arc::clone(context), endpoint.clone(), config.clone());
        let (entrance, publisher) = (entrance.clone(), Arc::clone(&publisher));
        move || match Thread::open(&context, &entrance, endpoint, &config, publisher) {
            Ok(thread) => {
                // The other side waits for it.
                let _ = tell.send(Ok(()));
                thread.run();
            }
            Err(failure) => {
                let _ = tell.send(Err(failure));
            }
        }
    });
    let no_thread = |error: std::io::Error| {
        ("cannot start a thread".to_owned(), Error(error.raw_os_error().unwrap_or(libc::EAGAIN)))
    };
    let thread = thread.map_err(no_thread)?;
    match told.recv() {
        Ok(Ok(())) => Ok(Running { publisher, curve: config.curve.clone(), entrance, users: 0, thread }),
        Ok(Err(failure)) => {
            let _ = thread.join();
            Err(failure)
        }
        Err(_) => Err(("cannot start a thread".to_owned(), Error(libc::EAGAIN))),
    }
}

/// The thread's side.
struct Thread {
    publisher: Arc<Publisher>,
    context: Arc<Context>,
    endpoint: Endpoint,
    config: Config,
    /// Where the writers' records come from.
    entrance: Socket,
    socket: Watched,
    /// What the socket is bound to, with the addresses that libzmq has put in.
    bound: Option<CString>,
    /// Who is let in, if there are keys.
    door: Option<Door>,
    /// When that was last looked at.
    looked: Instant,
    /// Clients that failed in the handshake.
    clients: Clients,
    /// The address is in use, and that was told.
    told: bool,
    /// Of the peers that are there.
    descriptors: Vec<i32>,
    /// When to bind again; `None` once it is bound.
    bind_at: Option<Instant>,
    /// A record that the socket did not take.
    pending: Option<(Message, Message)>,
    /// When the last writer left.
    left_at: Option<Instant>,
}

/// Makes the socket, with all its options.
fn open_socket(
    context: &Arc<Context>,
    endpoint: &Endpoint,
    config: &Config,
    door: Option<&Door>,
) -> Result<Watched, Failure> {
    let no_socket = |error| ("cannot make a socket".to_owned(), error);
    let socket = Socket::new(context, kind(config.pattern)).map_err(no_socket)?;
    prepare(&socket, config)?;
    socket.secure(door.map(Door::role)).map_err(|error| (format!("cannot encrypt {endpoint}"), error))?;
    if endpoint.needs_ipv6() {
        socket.set(zmq_sys::ZMQ_IPV6, 1).map_err(|error| ("cannot use IPv6".to_owned(), error))?;
    }
    Watched::new(context, socket).map_err(no_socket)
}

/// How forwarding went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Forwarded {
    /// Nothing was there.
    Nothing,
    Some,
    /// A peer's queue is full.
    Full,
}

impl Thread {
    fn open(
        context: &Arc<Context>,
        entrance: &CStr,
        endpoint: Endpoint,
        config: &Config,
        publisher: Arc<Publisher>,
    ) -> Result<Self, Failure> {
        let no_socket = |error| ("cannot make a socket".to_owned(), error);
        let inside = Socket::new(context, Kind::Pull).map_err(no_socket)?;
        // The writers' own high water marks count.
        inside.set(zmq_sys::ZMQ_RCVHWM, 1).map_err(no_socket)?;
        inside.bind(entrance).map_err(no_socket)?;
        let door = match &config.curve {
            Some(curve) => Some(Door::open(context, curve, &entrance.to_string_lossy())?),
            None => None,
        };
        let socket = open_socket(context, &endpoint, config, door.as_ref())?;
        let mut thread = Self {
            publisher,
            context: Arc::clone(context),
            endpoint,
            config: config.clone(),
            entrance: inside,
            socket,
            bound: None,
            door,
            looked: Instant::now(),
            clients: Clients::new(config.curve.is_some()),
            told: false,
            descriptors: Vec::new(),
            bind_at: None,
            pending: None,
            left_at: None,
        };
        thread.bind().map_err(|error| (format!("cannot bind {}", thread.endpoint), error))?;
        Ok(thread)
    }

    /// Binds, or sets when to try again.
    ///
    /// # Errors
    ///
    /// The address is none that could ever be bound.
    fn bind(&mut self) -> Result<(), Error> {
        match self.socket.bind(&self.endpoint.address) {
            Ok(bound) => {
                self.bind_at = None;
                self.told = false;
                self.bound = CString::new(bound).ok();
            }
            Err(error @ Error(libc::EADDRINUSE | libc::EADDRNOTAVAIL | libc::ENODEV | libc::EACCES)) => {
                self.bind_at = Some(Instant::now() + BIND_AGAIN);
                if !std::mem::replace(&mut self.told, true) {
                    let endpoint = &self.endpoint;
                    let text = format!(
                        "cannot bind {endpoint}: {error}; trying again until it can; until then nobody can subscribe"
                    );
                    self.publisher.notice(Level::Warning, text);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Looks after who is let in.
    fn look(&mut self) {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked = Instant::now();
        let Self { endpoint, publisher, .. } = self;
        for text in self.clients.news(coarse_millis()) {
            publisher.notice(Level::Warning, format!("{endpoint}: {text}"));
        }
        let Some(door) = &self.door else { return };
        for (level, text) in door.news() {
            publisher.notice(level, format!("{endpoint}: {text}"));
        }
        if door.revoked() {
            self.reset();
            let text = format!(
                "{}: all connections were ended, because a key was revoked; subscribers with other keys come back",
                self.endpoint
            );
            self.publisher.notice(Level::Info, text);
        }
    }

    /// Ends all connections, which is the only way that libzmq has to end one. Those whose keys
    /// are still authorized come back by themselves.
    fn reset(&mut self) {
        self.socket.unbind_all(self.bound.take().iter().map(CString::as_c_str));
        // Until there is a new one nothing is given to the old one.
        let socket = loop {
            match open_socket(&self.context, &self.endpoint, &self.config, self.door.as_ref()) {
                Ok(socket) => break Some(socket),
                Err(_) if self.publisher.stop.load(Ordering::Acquire) => break None,
                Err(_) => std::thread::sleep(BIND_AGAIN),
            }
        };
        // Refused only for values below -1.
        let _ = self.socket.set(zmq_sys::ZMQ_LINGER, 0);
        let Some(socket) = socket else { return };
        self.socket = socket;
        self.descriptors.clear();
        locked(&self.publisher.topics).clear();
        self.publisher.version.fetch_add(1, Ordering::Release);
        self.publisher.resets.fetch_add(1, Ordering::Release);
        if self.bind().is_err() {
            self.bind_at = Some(Instant::now() + BIND_AGAIN);
        }
    }

    fn run(mut self) {
        loop {
            let forwarded = self.forward();
            self.read_subscriptions();
            self.watch();
            self.look();
            if self.publisher.stop.load(Ordering::Acquire) && self.may_end(forwarded) {
                break;
            }
            if self.bind_at.is_some_and(|at| Instant::now() >= at) {
                // Whatever it is now, it may be another thing the next time.
                if self.bind().is_err() {
                    self.bind_at = Some(Instant::now() + BIND_AGAIN);
                }
            }
            let publishes = self.config.pattern == Pattern::Publish;
            // The errors would come again when the sockets are used.
            match forwarded {
                Forwarded::Some => {}
                Forwarded::Nothing => {
                    let mut items = [self.entrance.poll_item(true, false), self.socket.poll_item(publishes, false)];
                    let items = if publishes { &mut items[..] } else { &mut items[..1] };
                    let _ = poll(items, if self.settled() { IDLE_MILLIS } else { FULL_MILLIS });
                }
                Forwarded::Full if publishes => std::thread::sleep(Duration::from_millis(FULL_MILLIS as u64)),
                Forwarded::Full => {
                    let _ = poll(&mut [self.socket.poll_item(false, true)], FULL_MILLIS);
                }
            }
        }
        let linger = self.publisher.linger.load(Ordering::Acquire);
        // Refused only for values below -1.
        let _ = self.socket.set(zmq_sys::ZMQ_LINGER, linger);
    }

    /// Whether nothing is left to do, or its time is over.
    fn may_end(&mut self, forwarded: Forwarded) -> bool {
        let left_at = *self.left_at.get_or_insert_with(Instant::now);
        let linger = u64::try_from(self.publisher.linger.load(Ordering::Acquire)).map(Duration::from_millis);
        forwarded == Forwarded::Nothing || linger.is_ok_and(|linger| left_at.elapsed() >= linger)
    }

    fn forward(&mut self) -> Forwarded {
        let mut forwarded = Forwarded::Nothing;
        for _ in 0..ROUND {
            let Some((topic, mut body)) = self.pending.take().or_else(|| self.receive()) else { break };
            self.publisher.flushed.store(false, Ordering::Release);
            if self.socket.try_send_two(topic.as_bytes(), &mut body, true).is_err() {
                self.pending = Some((topic, body));
                return Forwarded::Full;
            }
            forwarded = Forwarded::Some;
        }
        forwarded
    }

    /// The next record of a writer's.
    fn receive(&self) -> Option<(Message, Message)> {
        loop {
            let topic = self.entrance.try_recv().ok().flatten()?;
            if topic.more() {
                // Messages arrive whole.
                return Some((topic, self.entrance.try_recv().ok().flatten()?));
            }
        }
    }

    fn read_subscriptions(&mut self) {
        if self.config.pattern != Pattern::Publish {
            return;
        }
        for _ in 0..READ_AT_ONCE {
            let Ok(Some(message)) = self.socket.try_recv() else { break };
            let Some((added, topic)) = parse(message.as_bytes()) else { continue };
            let mut topics = locked(&self.publisher.topics);
            // XPUB tells of each topic once, however many peers subscribe to it.
            if added {
                topics.insert(topic.to_vec());
            } else {
                topics.remove(topic);
            }
            let count = topics.len();
            drop(topics);
            self.publisher.version.fetch_add(1, Ordering::Release);
            if !limits::ENFORCED && count > MAX_SUBSCRIPTIONS {
                self.clients.flooded();
                self.reset();
                return;
            }
        }
    }

    /// Follows the connections.
    fn watch(&mut self) {
        while let Some(event) = self.socket.next_event() {
            match event {
                Event::Connected(descriptor) => self.descriptors.push(descriptor),
                Event::Disconnected(descriptor) => self.descriptors.retain(|&other| other != descriptor),
                Event::Failed(how) => self.clients.failed(how),
                Event::Excess => self.clients.flooded(),
                Event::Ready | Event::Unbound => {}
            }
        }
        if self.settled() {
            return;
        }
        if self.pending.is_none() && self.descriptors.iter().all(|&descriptor| writable(descriptor)) {
            self.publisher.flushed.store(true, Ordering::Release);
        }
    }

    fn settled(&self) -> bool {
        self.publisher.flushed.load(Ordering::Acquire)
    }
}
