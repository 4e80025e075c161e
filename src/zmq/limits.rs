//! What peers can make a socket hold, in bytes.
//!
//! The bundled libzmq keeps all limits ([`ENFORCED`]). Another libzmq keeps only those it knows: the size
//! of a frame, and the time for a handshake.

use std::ffi::c_int;

pub use zmq_sys::limits::ENFORCED;
use zmq_sys::limits::{
    ZMQ_MAX_CONNECTIONS, ZMQ_MAX_LARGE_BYTES, ZMQ_RCVHWM_BYTES, ZMQ_XPUB_MAX_BYTES, ZMQ_XPUB_MAX_TOPICS,
};

use super::{Error, Socket};

/// Bytes of a topic that a peer can subscribe to.
pub const MAX_TOPIC: usize = 1024;

/// Topics that a peer can subscribe to.
pub const MAX_TOPICS: usize = 10_000;

/// Connections of a bound endpoint that publishes.
pub const MAX_PEERS: usize = 64;

/// Bytes of a message to a publisher: a topic with the bytes that encryption and ZMTP 3.1 add, or a
/// peer's part of a handshake, its keys included.
const MAX_TO_PUBLISHER: i64 = MAX_TOPIC as i64 + 512;

/// Bytes of such messages that wait, for each peer.
const WAITING_AT_PUBLISHER: c_int = 16 * 1024;

/// Bytes that the subscriptions of all peers of a socket take.
const SUBSCRIPTIONS: c_int = 3 << 20;

/// Milliseconds until a connection is closed whose handshake has not succeeded.
const HANDSHAKE: c_int = 10_000;

/// Bytes of a message to a subscriber, all of its frames together. There can be 16 frames.
const MAX_TO_SUBSCRIBER: i64 = 1 << 30;

/// Bytes of all frames of more than 64 KiB that subscribers have, or have begun to receive: of one
/// message that is as large as can be, or of many.
const LARGE_AT_SUBSCRIBERS: i64 = MAX_TO_SUBSCRIBER + (1 << 20);

/// Bytes of messages that wait, for each publisher.
const WAITING_AT_SUBSCRIBER: c_int = 8 << 20;

/// Sets the limits of a socket that publishes (XPUB or PUSH), before it binds or connects.
///
/// # Errors
///
/// What libzmq says. A limit that it lacks is no error.
pub fn of_publisher(socket: &Socket) -> Result<(), Error> {
    socket.set_bytes(zmq_sys::ZMQ_MAXMSGSIZE, &MAX_TO_PUBLISHER.to_ne_bytes())?;
    socket.set(zmq_sys::ZMQ_HANDSHAKE_IVL, HANDSHAKE)?;
    if ENFORCED {
        socket.set(ZMQ_RCVHWM_BYTES, WAITING_AT_PUBLISHER)?;
        socket.set(ZMQ_XPUB_MAX_TOPICS, MAX_TOPICS as c_int)?;
        socket.set(ZMQ_XPUB_MAX_BYTES, SUBSCRIPTIONS)?;
    }
    of_connections(socket, MAX_PEERS)
}

/// Sets the limits of a socket that subscribes, before it binds or connects. `hwm` is how many messages may
/// wait for each publisher; 0: no limit, neither of number nor of bytes.
///
/// # Errors
///
/// As [`of_publisher`].
pub fn of_subscriber(socket: &Socket, hwm: c_int) -> Result<(), Error> {
    socket.set(zmq_sys::ZMQ_RCVHWM, hwm)?;
    socket.set_bytes(zmq_sys::ZMQ_MAXMSGSIZE, &MAX_TO_SUBSCRIBER.to_ne_bytes())?;
    if ENFORCED {
        socket.set(ZMQ_RCVHWM_BYTES, if hwm == 0 { 0 } else { WAITING_AT_SUBSCRIBER })?;
        socket.set_bytes(ZMQ_MAX_LARGE_BYTES, &LARGE_AT_SUBSCRIBERS.to_ne_bytes())?;
    }
    socket.set(zmq_sys::ZMQ_HANDSHAKE_IVL, HANDSHAKE)
}

/// Limits the connections of an endpoint, before it is bound. Connections that have ended count, too, until
/// they have been read to their ends.
///
/// # Errors
///
/// As [`of_publisher`].
pub fn of_connections(socket: &Socket, most: usize) -> Result<(), Error> {
    if ENFORCED {
        socket.set(ZMQ_MAX_CONNECTIONS, c_int::try_from(most).unwrap_or(c_int::MAX))?;
    }
    Ok(())
}
