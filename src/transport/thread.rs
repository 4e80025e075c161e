//! The thread of a transport, for all work that may take time. Nobody waits for it.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::io::{PipeReader, pipe};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::dial::Dialer;
use super::listen::Listener;
use super::{Failure, Key, MAX_SUBSCRIPTIONS, Outgoing, Running, Transport, TransportOptions, locked};
use crate::zmq::{Context, Error, Event, MonitoredSocket, Stream, TELLS, Written, limits, wait_readable};

/// How often the thread looks around if nothing is due earlier.
const IDLE: Duration = Duration::from_secs(1);

/// The thread's side of a transport.
pub(super) struct Thread {
    transport: Arc<Transport>,
    direction: Direction,
    /// A pipe to which nothing is ever written. It ends with the last writer.
    stop: PipeReader,
}

/// Who connects.
enum Direction {
    /// This side connects.
    Dialer(Box<Dialer>),
    /// The subscribers connect.
    Listener(Box<Listener>),
}

impl Thread {
    /// Makes the socket, binds it or begins to connect it, and starts the thread.
    ///
    /// # Errors
    ///
    /// What libzmq or the system could not do.
    pub(super) fn start(context: &Arc<Context>, key: Key, options: &TransportOptions) -> Result<Running, Failure> {
        let of_system = |error: std::io::Error| Error(error.raw_os_error().unwrap_or(libc::EAGAIN));
        let (reader, stop) = pipe().map_err(|error| Failure::Pipe { error: of_system(error) })?;
        let endpoint = key.endpoint.clone();
        let written = if key.divides() && TELLS { Written::of_each() } else { Written::default() };
        let transport = Arc::new(Transport {
            key,
            begun: Instant::now(),
            heard: Mutex::new(Instant::now()),
            socket: Mutex::default(),
            topics: Mutex::default(),
            changed: Condvar::new(),
            version: AtomicU64::new(1),
            peers: AtomicUsize::new(0),
            disconnected: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            handed: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            written: Arc::new(written),
            connections: Mutex::default(),
            astray: AtomicU64::new(0),
            notices: Mutex::new(VecDeque::new()),
            trouble: Mutex::default(),
            renew: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            waits: AtomicBool::new(false),
        });
        let (socket, direction) = if endpoint.bind {
            let (socket, listener) = Listener::open(context, &transport, endpoint, options)?;
            (socket, Direction::Listener(Box::new(listener)))
        } else {
            let (socket, dialer) = Dialer::open(context, endpoint, options)?;
            (socket, Direction::Dialer(Box::new(dialer)))
        };
        *locked(&transport.socket) = Some(socket);
        let thread = Self { transport: Arc::clone(&transport), direction, stop: reader };
        let thread = std::thread::Builder::new()
            .name("zmq-endpoint".into())
            .spawn(move || thread.run())
            .map_err(|error| Failure::Thread { error: of_system(error) })?;
        Ok(Running { transport, users: 0, thread, stop })
    }

    fn run(mut self) {
        let mut wait = Duration::ZERO;
        loop {
            let descriptors = locked(&self.transport.socket).as_ref().map(MonitoredSocket::descriptors);
            let Some([socket, events]) = descriptors else { return };
            wait_readable(&[self.stop.as_raw_fd(), socket, events], wait);
            if self.transport.stopped() {
                return;
            }
            self.look_names_up();
            let mut locked_socket = locked(&self.transport.socket);
            let Some(socket) = &mut *locked_socket else { return };
            let now = Instant::now();
            let more = self.transport.read(socket);
            let in_bounds = limits::ENFORCED || locked(&self.transport.topics).len() <= MAX_SUBSCRIPTIONS;
            while let Some(event) = socket.next_event() {
                self.note(event);
                match &mut self.direction {
                    Direction::Dialer(dialer) => dialer.note(event, &self.transport, now),
                    Direction::Listener(listener) => listener.note(event, &self.transport, now),
                }
            }
            let due = match &mut self.direction {
                Direction::Dialer(dialer) => dialer.keep(&self.transport, socket, in_bounds, now),
                Direction::Listener(listener) => listener.keep(&self.transport, socket, in_bounds, now),
            };
            drop(locked_socket);
            // Somebody may wait for a peer.
            self.transport.changed.notify_all();
            wait = match more {
                true => Duration::ZERO,
                false => due.map_or(IDLE, |due| due.saturating_duration_since(now).min(IDLE)),
            };
        }
    }

    /// Follows the connections.
    fn note(&self, event: Event) {
        let mut connections = locked(&self.transport.connections);
        match event {
            Event::Connected(descriptor) => {
                // There may have been no event of the end of a connection that had this descriptor before.
                self.part(&mut connections, descriptor);
                connections.push(Outgoing { stream: Stream::new(descriptor), unsent: 0 });
            }
            Event::Disconnected(descriptor) => self.part(&mut connections, descriptor),
            Event::Failed(_) | Event::Ready(_) | Event::Retried(_) | Event::Excess(_) | Event::Full | Event::Closed => {
            }
        }
    }

    /// Forgets the connection with this descriptor, which has ended.
    fn part(&self, connections: &mut Vec<Outgoing>, descriptor: c_int) {
        let Some(index) = connections.iter().position(|one| one.stream.descriptor() == descriptor) else { return };
        let Outgoing { stream, unsent } = connections.remove(index);
        if let Some(connection) = stream.connection() {
            self.transport.written.forget(connection);
        }
        if self.transport.key.divides() && !connections.is_empty() {
            self.transport.astray.fetch_add(unsent, Ordering::Release);
        }
    }

    /// Looks names up, without the socket's lock: this takes as long as the name server does.
    fn look_names_up(&mut self) {
        let Direction::Dialer(dialer) = &mut self.direction else { return };
        let waits = &self.transport.waits;
        waits.store(true, Ordering::SeqCst);
        // Either this thread sees that it is to stop, or the thread that stops it sees that it waits here.
        if !self.transport.stopped() {
            dialer.look_name_up(&self.transport);
        }
        waits.store(false, Ordering::SeqCst);
    }
}
