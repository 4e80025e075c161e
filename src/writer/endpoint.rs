//! One endpoint of a writer: its socket, who is subscribed, and what became of the records.

use super::config::{Config, Endpoint};
use super::report::{Burst, Level, News, Reporter};
use crate::zmq::{Context, Error, Kind, Message, Socket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What became of the records; see `bzw_stats` in the C header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Taken by libzmq.
    pub sent: u64,
    /// Nobody was subscribed to the log path.
    pub no_subscriber: u64,
    /// The high water mark was reached.
    pub queue_full: u64,
    /// The record could not be encoded.
    pub encoding: u64,
    /// The socket failed.
    pub closed: u64,
    /// Both frames of the records sent.
    pub bytes: u64,
}

impl Counters {
    /// All drops.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.no_subscriber + self.queue_full + self.encoding + self.closed
    }
}

/// A connection to one endpoint.
pub struct Connection {
    endpoint: Endpoint,
    high_water_mark: i32,
    /// `None` after the socket has failed.
    socket: Option<Socket>,
    subscriptions: Subscriptions,
    /// What became of the records.
    pub counters: Counters,
    bursts: Bursts,
}

/// One for each reason that records are dropped for.
#[derive(Debug, Default)]
struct Bursts {
    no_subscriber: Burst,
    queue_full: Burst,
    encoding: Burst,
    closed: Burst,
}

/// The subscriptions that a socket has, as it told.
#[derive(Debug, Default)]
struct Subscriptions {
    /// Those that match the log path. XPUB tells of each topic once, however many
    /// subscribers share it.
    matching: u64,
    /// All others.
    other: u64,
}

impl Connection {
    /// Makes a socket and starts connecting it.
    ///
    /// # Errors
    ///
    /// What libzmq could not do, and why.
    pub fn open(context: &Arc<Context>, endpoint: Endpoint, config: &Config) -> Result<Self, (String, Error)> {
        let socket = Socket::new(context, Kind::XPub).map_err(|error| ("cannot make a socket".to_owned(), error))?;
        let set = |name: &str, option, value| {
            socket.set(option, value).map_err(|error| (format!("cannot set {name} to {value}"), error))
        };
        set("the linger time", zmq_sys::ZMQ_LINGER, config.linger_millis())?;
        set("the high water mark", zmq_sys::ZMQ_SNDHWM, config.high_water_mark)?;
        // A full queue is an error that can be counted, not a record that vanishes.
        set("ZMQ_XPUB_NODROP", zmq_sys::ZMQ_XPUB_NODROP, 1)?;
        if endpoint.needs_ipv6() {
            set("ZMQ_IPV6", zmq_sys::ZMQ_IPV6, 1)?;
        }
        socket.connect(&endpoint.address).map_err(|error| (format!("cannot connect to {endpoint}"), error))?;
        Ok(Self {
            endpoint,
            high_water_mark: config.high_water_mark,
            socket: Some(socket),
            subscriptions: Subscriptions::default(),
            counters: Counters::default(),
            bursts: Bursts::default(),
        })
    }

    /// Whether a subscription matches the log path, as of the last [`Connection::poll`].
    #[inline]
    #[must_use]
    pub fn subscribed(&self) -> bool {
        self.subscriptions.matching > 0
    }

    /// Whether anything is subscribed to.
    pub fn any_subscription(&self) -> bool {
        self.subscriptions.matching + self.subscriptions.other > 0
    }

    /// Reads the subscriptions that have arrived; returns whether there were any.
    pub fn poll(&mut self, path: &[u8]) -> bool {
        let Some(socket) = &self.socket else { return false };
        let mut any = false;
        // A failing socket fails the next send, which counts it.
        while let Ok(Some(message)) = socket.try_recv() {
            any |= self.subscriptions.update(message.as_bytes(), path);
        }
        any
    }

    /// Waits for something to [`Connection::poll`], at most so long.
    pub fn wait(&self, limit: Duration) {
        match &self.socket {
            // The error would come again from the next send.
            Some(socket) => drop(socket.wait_readable(limit.as_millis() as i64)),
            None => std::thread::sleep(limit),
        }
    }

    /// Sends a record: the log path, then the body. Counts what becomes of it.
    #[inline]
    pub fn send(&mut self, path: &[u8], body: Result<Message, Error>) {
        let (Some(socket), Ok(body)) = (&self.socket, body) else {
            self.counters.closed += 1;
            return;
        };
        let len = body.as_bytes().len();
        let first = socket.try_send_first(path).or_else(|error| {
            if error != Error(libc::EAGAIN) {
                return Err(error);
            }
            // The queue may only look full.
            socket.catch_up();
            socket.try_send_first(path)
        });
        match first {
            Ok(()) => {}
            Err(Error(libc::EAGAIN)) => {
                self.counters.queue_full += 1;
                return;
            }
            Err(_) => {
                self.counters.closed += 1;
                return;
            }
        }
        if send_last(socket, body) {
            self.counters.sent += 1;
            self.counters.bytes += (path.len() + len) as u64;
        } else {
            // The first frame is with libzmq. Closing the socket takes it back; using the
            // socket on would make the next record's first frame this one's body.
            self.counters.closed += 1;
            self.socket = None;
        }
    }

    /// Reports drops that began, last or have ended. `problem` is the last record's that
    /// could not be encoded.
    pub fn report(&mut self, path: &str, problem: &str, now: u64, reporter: &mut Reporter) {
        let Self { endpoint, counters, bursts, .. } = self;
        let hwm = self.high_water_mark;
        if self.subscriptions.other > 0 {
            // A subscriber is there and does not want this log: that is its choice.
            bursts.no_subscriber.skip_to(counters.no_subscriber);
        }
        for (burst, dropped, why) in [
            (
                &mut bursts.no_subscriber,
                counters.no_subscriber,
                format!("nobody subscribes to \"{path}\"; start the subscriber, or correct the endpoint"),
            ),
            (
                &mut bursts.queue_full,
                counters.queue_full,
                format!("{hwm} records are waiting, the limit of LogZeroMQ::zmq_hwm; the subscriber does not keep up"),
            ),
            (&mut bursts.encoding, counters.encoding, format!("they cannot be encoded: {problem}")),
            (&mut bursts.closed, counters.closed, "the socket failed".to_owned()),
        ] {
            match burst.observe(dropped, now) {
                None => {}
                Some(News::Began(count)) => {
                    reporter(Level::Warning, &format!("{endpoint}: dropping records ({count} so far): {why}"));
                }
                Some(News::Lasts(count)) => {
                    reporter(Level::Warning, &format!("{endpoint}: still dropping records ({count} so far): {why}"));
                }
                Some(News::Ended(count)) => {
                    reporter(Level::Info, &format!("{endpoint}: no longer dropping records; {count} were dropped"));
                }
            }
        }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Closes the socket.
    pub fn close(self) {
        if let Some(socket) = self.socket {
            drop(socket.close());
        }
    }
}

/// Sends the last frame of a message whose first was accepted. libzmq decides on the first
/// whether there is room, so this does not wait unless it breaks that promise.
#[inline]
fn send_last(socket: &Socket, body: Message) -> bool {
    match socket.try_send(body, false) {
        Ok(()) => true,
        Err((Error(libc::EAGAIN), body)) => retry_last(socket, body),
        Err(_) => false,
    }
}

#[cold]
fn retry_last(socket: &Socket, mut body: Message) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(1));
        match socket.try_send(body, false) {
            Ok(()) => return true,
            Err((Error(libc::EAGAIN), again)) => body = again,
            Err(_) => return false,
        }
    }
    false
}

impl Subscriptions {
    /// Takes a message of an XPUB socket: 1 and a topic, or 0 and a topic. Anything else is
    /// a peer's own message, of no concern here. Returns whether it was one.
    fn update(&mut self, message: &[u8], path: &[u8]) -> bool {
        let (added, topic) = match message {
            [1, topic @ ..] => (true, topic),
            [0, topic @ ..] => (false, topic),
            _ => return false,
        };
        let count = if path.starts_with(topic) { &mut self.matching } else { &mut self.other };
        *count = if added { *count + 1 } else { count.saturating_sub(1) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_match_by_prefix() {
        let mut subscriptions = Subscriptions::default();
        for (message, matching, other) in [
            (&b"\x01dns"[..], 0, 1),
            (b"\x01con", 1, 1),
            (b"\x01", 2, 1),
            (b"\x01conn-2", 2, 2),
            (b"hello", 2, 2),
            (b"", 2, 2),
            (b"\x00con", 1, 2),
            (b"\x00", 0, 2),
            (b"\x00", 0, 2),
            (b"\x00dns", 0, 1),
        ] {
            subscriptions.update(message, b"conn");
            assert_eq!((subscriptions.matching, subscriptions.other), (matching, other), "{message:?}");
        }
    }
}
