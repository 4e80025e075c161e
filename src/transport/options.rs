//! The options that sockets get.

use std::path::PathBuf;
use std::sync::Arc;

use super::Failure;
use crate::zmq::{Context, Endpoint, KeyPair, MonitoredSocket, Role, Socket, SocketType, limits};

/// What a transport needs of a writer's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// What kind of socket it is.
    pub pattern: Pattern,
    /// How the connections are kept.
    pub keep_alive: KeepAlive,
    /// The keys.
    pub curve: Option<Curve>,
    /// Records that wait for each peer of a bound socket that pushes; 0 is no limit.
    pub high_water_mark: i32,
    /// True if writers keep what they have handed over, and hand it over again when a connection was lost.
    pub resends: bool,
}

/// ZeroMQ's patterns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Every subscriber gets the records that it subscribes to.
    #[default]
    Publish,
    /// Each record goes to one of the peers.
    Push,
}

/// How a connection is kept; all durations in milliseconds, as libzmq takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeepAlive {
    /// `reconnect_interval`: pause before connecting again.
    pub reconnect: i32,
    /// `reconnect_interval_max`: the longest pause; it is twice as long each time.
    pub reconnect_max: i32,
    /// `tcp_keepalive`: idle time before the system asks the peer if it is still there; 0 is never.
    pub keepalive: i32,
    /// `heartbeat_interval`: how often ZeroMQ asks; 0 is never.
    pub heartbeat: i32,
    /// `heartbeat_timeout`: how long it waits for the answer.
    pub heartbeat_timeout: i32,
}

/// Who this side is, and who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    /// `curve_secret_key_file`, whose public key is the one of `curve_public_key_file`.
    pub keys: Arc<KeyPair>,
    /// `curve_authorized_keys_dir`; there if an endpoint is bound.
    pub authorized: Option<PathBuf>,
}

impl Curve {
    /// The role that a socket is to have before it connects to an endpoint, which has the key of its server.
    #[must_use]
    pub fn client(&self, endpoint: &Endpoint) -> Option<Role> {
        let keys = Arc::clone(&self.keys);
        endpoint.server_key.map(|server| Role::Client { keys, server })
    }
}

/// Limit for one try to connect.
const CONNECT_TIMEOUT_MILLIS: i32 = 5000;

/// The number of unanswered keepalive probes after which the system gives a connection up. Together they
/// take as long as the idle time before them.
const KEEPALIVE_PROBES: i32 = 4;

/// Makes a socket with all its options.
pub(super) fn open_socket(context: &Arc<Context>, options: &TransportOptions) -> Result<MonitoredSocket, Failure> {
    let no_socket = |error| Failure::Socket { error };
    let socket_type = match options.pattern {
        Pattern::Publish => SocketType::XPub,
        Pattern::Push => SocketType::Push,
    };
    let socket = Socket::new(context, socket_type).map_err(no_socket)?;
    prepare(&socket, options)?;
    MonitoredSocket::new(context, socket).map_err(no_socket)
}

/// Sets the options that all sockets have.
fn prepare(socket: &Socket, options: &TransportOptions) -> Result<(), Failure> {
    let set = |name, option, value| socket.set(option, value).map_err(|error| Failure::Option { name, value, error });
    // An option that an old libzmq lacks is one that this writer can do without.
    let try_set = |option, value| {
        let _ = socket.set(option, value);
    };
    // Records queued for a connection that this side ends must not come after all, behind those that are
    // sent again. At the end the last writer says how long there is.
    set("the linger time", zmq_sys::ZMQ_LINGER, 0)?;
    // Each writer keeps to its own limit, so that none takes the room of another.
    set("the high water mark", zmq_sys::ZMQ_SNDHWM, 0)?;
    // Peers send subscriptions only. More costs the peer its connection, and not the host its memory.
    limits::of_publisher(socket).map_err(|error| Failure::Limits { error })?;
    let keep_alive = &options.keep_alive;
    set("reconnect_interval", zmq_sys::ZMQ_RECONNECT_IVL, keep_alive.reconnect)?;
    set("reconnect_interval_max", zmq_sys::ZMQ_RECONNECT_IVL_MAX, keep_alive.reconnect_max)?;
    // A firewall that drops what it does not like would hold up the next try for minutes.
    try_set(zmq_sys::ZMQ_CONNECT_TIMEOUT, CONNECT_TIMEOUT_MILLIS);
    if keep_alive.keepalive > 0 {
        let idle = (keep_alive.keepalive / 1000).max(1);
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE, 1)?;
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE_IDLE, idle)?;
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE_INTVL, (idle / KEEPALIVE_PROBES).max(1))?;
        set("tcp_keepalive", zmq_sys::ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES)?;
    }
    if keep_alive.heartbeat > 0 {
        let timeout =
            if keep_alive.heartbeat_timeout > 0 { keep_alive.heartbeat_timeout } else { keep_alive.heartbeat };
        set("heartbeat_interval", zmq_sys::ZMQ_HEARTBEAT_IVL, keep_alive.heartbeat)?;
        set("heartbeat_timeout", zmq_sys::ZMQ_HEARTBEAT_TIMEOUT, timeout)?;
    }
    Ok(())
}
