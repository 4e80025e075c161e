//! The libzmq functions and constants used by the ZeroMQ log writer, declared
//! by hand. `tests/header.rs` compares every declaration with `zmq.h`.
//!
//! Names, types and meanings are those of libzmq; see its manual pages for
//! details. Everything is in libzmq 4.1, the oldest version that can be linked,
//! unless its description says "since libzmq" and a later version: an older
//! library rejects such an option with `EINVAL` and lacks such a function. The
//! version linked is known to build scripts of dependent crates as
//! `DEP_ZMQ_VERSION`, and at run time from [`zmq_version`].
//!
//! By default, libzmq 4.3.5 and the part of libsodium that CURVE needs are
//! compiled and linked statically. If the environment variable
//! `BZW_ZMQ_PREFIX` is set, the libzmq installed there is linked: the shared
//! library if there is one, else `libzmq.a`, unless `BZW_ZMQ_LINK` says
//! `dynamic` or `static`. To end up in a shared object, a `libzmq.a` has to be
//! position-independent.

#![no_std]
#![allow(non_camel_case_types)]

// The crate is needed only for what it links.
#[cfg(all(zmq_bundled, feature = "curve"))]
extern crate libsodium_sys as _;

use core::ffi::{c_char, c_int, c_long, c_short, c_void};

pub mod limits;
pub mod record;

/// A message. Treat it as opaque, and do not move it between
/// [`zmq_msg_init`] and [`zmq_msg_close`] except with [`zmq_msg_move`].
#[repr(C)]
pub struct zmq_msg_t {
    _align: [*mut c_void; 0],
    _opaque: [u8; 64],
}

/// What [`zmq_poll`] is to wait for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct zmq_pollitem_t {
    /// A socket, or null to poll `fd` instead.
    pub socket: *mut c_void,
    /// A file descriptor, ignored if there is a socket.
    pub fd: c_int,
    /// Events to wait for, a combination of `ZMQ_POLL*`.
    pub events: c_short,
    /// Events that have happened.
    pub revents: c_short,
}

/// Frees the data given to [`zmq_msg_init_data`]. Called from any thread.
pub type zmq_free_fn = unsafe extern "C" fn(data: *mut c_void, hint: *mut c_void);

extern "C" {
    /// Stores the version of the library.
    pub fn zmq_version(major: *mut c_int, minor: *mut c_int, patch: *mut c_int);
    /// The error of the last call in this thread.
    pub fn zmq_errno() -> c_int;
    /// Describes an error. The string is static.
    pub fn zmq_strerror(errnum: c_int) -> *const c_char;
    /// Returns 1 if the library has a capability, else 0.
    pub fn zmq_has(capability: *const c_char) -> c_int;

    /// Creates a context.
    pub fn zmq_ctx_new() -> *mut c_void;
    /// Sets an option of a context.
    pub fn zmq_ctx_set(context: *mut c_void, option: c_int, optval: c_int) -> c_int;
    /// Reads an option of a context.
    pub fn zmq_ctx_get(context: *mut c_void, option: c_int) -> c_int;
    /// Makes blocking calls on the context's sockets fail with [`ETERM`].
    pub fn zmq_ctx_shutdown(context: *mut c_void) -> c_int;
    /// Destroys a context, once its sockets are closed and have lingered.
    pub fn zmq_ctx_term(context: *mut c_void) -> c_int;

    /// Creates a socket.
    pub fn zmq_socket(context: *mut c_void, kind: c_int) -> *mut c_void;
    /// Closes a socket.
    pub fn zmq_close(socket: *mut c_void) -> c_int;
    /// Sets an option of a socket.
    pub fn zmq_setsockopt(socket: *mut c_void, option: c_int, optval: *const c_void, optvallen: usize) -> c_int;
    /// Reads an option of a socket.
    pub fn zmq_getsockopt(socket: *mut c_void, option: c_int, optval: *mut c_void, optvallen: *mut usize) -> c_int;
    /// Accepts connections at an endpoint.
    pub fn zmq_bind(socket: *mut c_void, endpoint: *const c_char) -> c_int;
    /// Undoes [`zmq_bind`].
    pub fn zmq_unbind(socket: *mut c_void, endpoint: *const c_char) -> c_int;
    /// Connects to an endpoint, in the background.
    pub fn zmq_connect(socket: *mut c_void, endpoint: *const c_char) -> c_int;
    /// Undoes [`zmq_connect`].
    pub fn zmq_disconnect(socket: *mut c_void, endpoint: *const c_char) -> c_int;
    /// Reports events of a socket to a `ZMQ_PAIR` socket at an inproc endpoint.
    pub fn zmq_socket_monitor(socket: *mut c_void, endpoint: *const c_char, events: c_int) -> c_int;

    /// Initialises an empty message.
    pub fn zmq_msg_init(msg: *mut zmq_msg_t) -> c_int;
    /// Initialises a message of a size in bytes.
    pub fn zmq_msg_init_size(msg: *mut zmq_msg_t, size: usize) -> c_int;
    /// Initialises a message that takes over a buffer.
    pub fn zmq_msg_init_data(
        msg: *mut zmq_msg_t,
        data: *mut c_void,
        size: usize,
        ffn: Option<zmq_free_fn>,
        hint: *mut c_void,
    ) -> c_int;
    /// Makes `dest` share the content of `src`.
    pub fn zmq_msg_copy(dest: *mut zmq_msg_t, src: *mut zmq_msg_t) -> c_int;
    /// Moves the content of `src` to `dest`, and leaves `src` empty.
    pub fn zmq_msg_move(dest: *mut zmq_msg_t, src: *mut zmq_msg_t) -> c_int;
    /// Releases a message.
    pub fn zmq_msg_close(msg: *mut zmq_msg_t) -> c_int;
    /// The content of a message.
    pub fn zmq_msg_data(msg: *mut zmq_msg_t) -> *mut c_void;
    /// The size of a message in bytes.
    pub fn zmq_msg_size(msg: *const zmq_msg_t) -> usize;
    /// Returns 1 if more parts of the message follow, else 0.
    pub fn zmq_msg_more(msg: *const zmq_msg_t) -> c_int;
    /// Queues a message, which is empty afterwards. Returns its size, or -1.
    pub fn zmq_msg_send(msg: *mut zmq_msg_t, socket: *mut c_void, flags: c_int) -> c_int;
    /// Receives a message. Returns its size, or -1.
    pub fn zmq_msg_recv(msg: *mut zmq_msg_t, socket: *mut c_void, flags: c_int) -> c_int;
    /// Queues a copy of a buffer. Returns its size, or -1.
    pub fn zmq_send(socket: *mut c_void, buf: *const c_void, len: usize, flags: c_int) -> c_int;
    /// Receives into a buffer. Returns the size of the message, even if it was
    /// truncated, or -1.
    pub fn zmq_recv(socket: *mut c_void, buf: *mut c_void, len: usize, flags: c_int) -> c_int;

    /// Waits for events: not at all if `timeout` is 0, without limit if it is
    /// -1, else for so many milliseconds. Returns the number of items with
    /// events, or -1.
    pub fn zmq_poll(items: *mut zmq_pollitem_t, nitems: c_int, timeout: c_long) -> c_int;

    /// Makes a pair of CURVE keys, in Z85: 40 characters and a null byte each.
    pub fn zmq_curve_keypair(z85_public_key: *mut c_char, z85_secret_key: *mut c_char) -> c_int;
    /// Computes a CURVE public key from the secret key; since libzmq 4.2.
    pub fn zmq_curve_public(z85_public_key: *mut c_char, z85_secret_key: *const c_char) -> c_int;
    /// Encodes data, of a size divisible by 4, in Z85. `dest` takes 5
    /// characters for every 4 bytes, and a null byte. Returns null on failure.
    pub fn zmq_z85_encode(dest: *mut c_char, data: *const u8, size: usize) -> *mut c_char;
    /// Decodes Z85, of a length divisible by 5. Returns null on failure.
    pub fn zmq_z85_decode(dest: *mut u8, string: *const c_char) -> *mut u8;
}

/// The number from which libzmq counts its own error codes.
pub const ZMQ_HAUSNUMERO: c_int = 156384712;
/// The socket is not in a state to do this.
pub const EFSM: c_int = ZMQ_HAUSNUMERO + 51;
/// The protocol does not go with the socket type.
pub const ENOCOMPATPROTO: c_int = ZMQ_HAUSNUMERO + 52;
/// The context was shut down.
pub const ETERM: c_int = ZMQ_HAUSNUMERO + 53;
/// There is no I/O thread to do this.
pub const EMTHREAD: c_int = ZMQ_HAUSNUMERO + 54;

// Options of contexts.

/// Number of I/O threads, before the first socket is created.
pub const ZMQ_IO_THREADS: c_int = 1;
/// Maximum number of sockets.
pub const ZMQ_MAX_SOCKETS: c_int = 2;
/// Prefix of the names of I/O threads, a number; since libzmq 4.3.
pub const ZMQ_THREAD_NAME_PREFIX: c_int = 9;
/// 1 if [`zmq_ctx_term`] waits for messages without limit by default, else 0;
/// since libzmq 4.2.
pub const ZMQ_BLOCKY: c_int = 70;

// Types of sockets.

/// Exclusive pair, as used for monitoring.
pub const ZMQ_PAIR: c_int = 0;
/// Publisher.
pub const ZMQ_PUB: c_int = 1;
/// Subscriber.
pub const ZMQ_SUB: c_int = 2;
/// Request.
pub const ZMQ_REQ: c_int = 3;
/// Reply.
pub const ZMQ_REP: c_int = 4;
/// Asynchronous request.
pub const ZMQ_DEALER: c_int = 5;
/// Asynchronous reply.
pub const ZMQ_ROUTER: c_int = 6;
/// End of a pipeline.
pub const ZMQ_PULL: c_int = 7;
/// Start of a pipeline.
pub const ZMQ_PUSH: c_int = 8;
/// Publisher that receives subscriptions.
pub const ZMQ_XPUB: c_int = 9;
/// Subscriber that sends subscriptions.
pub const ZMQ_XSUB: c_int = 10;

// Options of sockets. They are `c_int` unless described otherwise.

/// I/O threads to use: a bit mask, `u64`.
pub const ZMQ_AFFINITY: c_int = 4;
/// Add a subscription: prefix of messages, bytes.
pub const ZMQ_SUBSCRIBE: c_int = 6;
/// Remove a subscription: prefix of messages, bytes.
pub const ZMQ_UNSUBSCRIBE: c_int = 7;
/// Kernel's send buffer, in bytes.
pub const ZMQ_SNDBUF: c_int = 11;
/// Kernel's receive buffer, in bytes.
pub const ZMQ_RCVBUF: c_int = 12;
/// 1 if more parts of the message follow, else 0; read only.
pub const ZMQ_RCVMORE: c_int = 13;
/// File descriptor that signals that events are to be read, read only.
pub const ZMQ_FD: c_int = 14;
/// Events, a combination of [`ZMQ_POLLIN`] and [`ZMQ_POLLOUT`], read only.
pub const ZMQ_EVENTS: c_int = 15;
/// Type of the socket, read only.
pub const ZMQ_TYPE: c_int = 16;
/// How long unsent messages are kept after closing, in milliseconds; -1 is
/// without limit.
pub const ZMQ_LINGER: c_int = 17;
/// Time between attempts to reconnect, in milliseconds; -1 is never.
pub const ZMQ_RECONNECT_IVL: c_int = 18;
/// Maximum length of the queue of pending connections.
pub const ZMQ_BACKLOG: c_int = 19;
/// The limit up to which [`ZMQ_RECONNECT_IVL`] doubles, in milliseconds; 0 is no doubling.
pub const ZMQ_RECONNECT_IVL_MAX: c_int = 21;
/// Maximum size of inbound messages, in bytes: `i64`; -1 is no limit.
pub const ZMQ_MAXMSGSIZE: c_int = 22;
/// Maximum number of queued outbound messages per peer; 0 is no limit.
pub const ZMQ_SNDHWM: c_int = 23;
/// Maximum number of queued inbound messages per peer; 0 is no limit.
pub const ZMQ_RCVHWM: c_int = 24;
/// How long receiving blocks, in milliseconds; -1 is without limit.
pub const ZMQ_RCVTIMEO: c_int = 27;
/// How long sending blocks, in milliseconds; -1 is without limit.
pub const ZMQ_SNDTIMEO: c_int = 28;
/// Last endpoint bound, with its actual port: string, read only.
pub const ZMQ_LAST_ENDPOINT: c_int = 32;
/// TCP keepalive: 1 or 0; -1 is the system's default.
pub const ZMQ_TCP_KEEPALIVE: c_int = 34;
/// Keepalive probes before the connection is given up; -1 is the default.
pub const ZMQ_TCP_KEEPALIVE_CNT: c_int = 35;
/// Idle time before keepalive probes, in seconds; -1 is the default.
pub const ZMQ_TCP_KEEPALIVE_IDLE: c_int = 36;
/// Time between keepalive probes, in seconds; -1 is the default.
pub const ZMQ_TCP_KEEPALIVE_INTVL: c_int = 37;
/// 1 to queue messages for completed connections only, else 0.
pub const ZMQ_IMMEDIATE: c_int = 39;
/// 1 to report every subscription, not only new ones, else 0.
pub const ZMQ_XPUB_VERBOSE: c_int = 40;
/// 1 to use IPv6 too, else 0.
pub const ZMQ_IPV6: c_int = 42;
/// Security mechanism in use, read only.
pub const ZMQ_MECHANISM: c_int = 43;
/// 1 to be a PLAIN server, else 0.
pub const ZMQ_PLAIN_SERVER: c_int = 44;
/// PLAIN client's user name: string.
pub const ZMQ_PLAIN_USERNAME: c_int = 45;
/// PLAIN client's password: string.
pub const ZMQ_PLAIN_PASSWORD: c_int = 46;
/// 1 to be a CURVE server, else 0.
pub const ZMQ_CURVE_SERVER: c_int = 47;
/// Own CURVE public key: 32 bytes, or 41 in Z85 with the null byte.
pub const ZMQ_CURVE_PUBLICKEY: c_int = 48;
/// Own CURVE secret key: 32 bytes, or 41 in Z85 with the null byte.
pub const ZMQ_CURVE_SECRETKEY: c_int = 49;
/// Server's CURVE public key: 32 bytes, or 41 in Z85 with the null byte.
pub const ZMQ_CURVE_SERVERKEY: c_int = 50;
/// 1 to keep only the last message, else 0.
pub const ZMQ_CONFLATE: c_int = 54;
/// Domain of authentication: string.
pub const ZMQ_ZAP_DOMAIN: c_int = 55;
/// How long a handshake may take, in milliseconds; 0 is without limit.
pub const ZMQ_HANDSHAKE_IVL: c_int = 66;
/// 1 if sending fails rather than drops if a queue is full, else 0.
pub const ZMQ_XPUB_NODROP: c_int = 69;
/// 1 if subscriptions take effect only when set by hand, else 0; since
/// libzmq 4.2.
pub const ZMQ_XPUB_MANUAL: c_int = 71;
/// Time between heartbeats, in milliseconds; 0 is none; since libzmq 4.2.
pub const ZMQ_HEARTBEAT_IVL: c_int = 75;
/// How long the peer waits for traffic, in milliseconds; 0 is without limit;
/// since libzmq 4.2.
pub const ZMQ_HEARTBEAT_TTL: c_int = 76;
/// How long to wait for the answer to a heartbeat, in milliseconds; -1 is as
/// long as [`ZMQ_HEARTBEAT_IVL`]; since libzmq 4.2.
pub const ZMQ_HEARTBEAT_TIMEOUT: c_int = 77;
/// Like [`ZMQ_XPUB_VERBOSE`], and unsubscriptions too: 1 or 0; since libzmq 4.2.
pub const ZMQ_XPUB_VERBOSER: c_int = 78;
/// How long to wait for a connection, in milliseconds; 0 is as long as the
/// system does; since libzmq 4.2.
pub const ZMQ_CONNECT_TIMEOUT: c_int = 79;
/// How long TCP retransmits, in milliseconds; 0 is the system's default; since
/// libzmq 4.2.
pub const ZMQ_TCP_MAXRT: c_int = 80;

// Values of `ZMQ_MECHANISM`.

/// No security.
pub const ZMQ_NULL: c_int = 0;
/// User name and password in clear text.
pub const ZMQ_PLAIN: c_int = 1;
/// Encryption and authentication with elliptic curves.
pub const ZMQ_CURVE: c_int = 2;

// Flags of sending and receiving.

/// Fail with `EAGAIN` rather than block.
pub const ZMQ_DONTWAIT: c_int = 1;
/// More parts of the message follow.
pub const ZMQ_SNDMORE: c_int = 2;

// Events to poll for.

/// A message can be received.
pub const ZMQ_POLLIN: c_short = 1;
/// A message can be sent.
pub const ZMQ_POLLOUT: c_short = 2;
/// There is an error; for file descriptors only.
pub const ZMQ_POLLERR: c_short = 4;

// Events of monitors. Each has a value, described here.

/// Connected. Value: file descriptor.
pub const ZMQ_EVENT_CONNECTED: c_int = 0x0001;
/// Connecting in the background. Value: errno, which is `EINPROGRESS`; of the bundled libzmq also why a try has
/// failed, just before [`ZMQ_EVENT_CONNECT_RETRIED`].
pub const ZMQ_EVENT_CONNECT_DELAYED: c_int = 0x0002;
/// Connecting again. Value: time until then, in milliseconds.
pub const ZMQ_EVENT_CONNECT_RETRIED: c_int = 0x0004;
/// Bound. Value: file descriptor.
pub const ZMQ_EVENT_LISTENING: c_int = 0x0008;
/// Could not bind. Value: errno.
pub const ZMQ_EVENT_BIND_FAILED: c_int = 0x0010;
/// Accepted a connection. Value: file descriptor.
pub const ZMQ_EVENT_ACCEPTED: c_int = 0x0020;
/// Could not accept a connection. Value: errno.
pub const ZMQ_EVENT_ACCEPT_FAILED: c_int = 0x0040;
/// Stopped listening, or ended a try to connect. Value: file descriptor.
pub const ZMQ_EVENT_CLOSED: c_int = 0x0080;
/// Could not close a connection. Value: errno.
pub const ZMQ_EVENT_CLOSE_FAILED: c_int = 0x0100;
/// The connection broke. Value: file descriptor.
pub const ZMQ_EVENT_DISCONNECTED: c_int = 0x0200;
/// The monitor ends. No value.
pub const ZMQ_EVENT_MONITOR_STOPPED: c_int = 0x0400;
/// The handshake failed. Value: errno; since libzmq 4.3.
pub const ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: c_int = 0x0800;
/// The handshake is complete. Value: the bundled libzmq's is the file descriptor,
/// another's says nothing; since libzmq 4.3.
pub const ZMQ_EVENT_HANDSHAKE_SUCCEEDED: c_int = 0x1000;
/// The handshake broke the protocol. Value: which error; since libzmq 4.3.
pub const ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: c_int = 0x2000;
/// The handshake was refused. Value: status of the authenticator; since libzmq 4.3.
pub const ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: c_int = 0x4000;
/// Value of [`ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL`]: the peer uses another
/// security mechanism; since libzmq 4.3.
pub const ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: c_int = 0x11000002;
/// All events.
pub const ZMQ_EVENT_ALL: c_int = 0xFFFF;
