//! ZeroMQ: one context per process, sockets and messages that clean up after themselves.
//!
//! The types are thin wrappers over `zmq-sys`, and know nothing of logs.

mod away;
#[allow(unsafe_code, reason = "libzmq has a share in the memory")]
mod buffer;
#[allow(unsafe_code, reason = "libzmq is called")]
mod context;
#[allow(unsafe_code, reason = "libzmq is called")]
mod curve;
mod endpoint;
#[allow(unsafe_code, reason = "the standard library waits for a lock")]
mod ipc;
pub mod limits;
#[allow(unsafe_code, reason = "libzmq is called")]
mod message;
#[allow(unsafe_code, reason = "the system is called with descriptors that libzmq tells")]
mod monitor;
#[allow(unsafe_code, reason = "libzmq is called")]
mod socket;
#[allow(unsafe_code, reason = "the system is called with descriptors that libzmq tells")]
mod stream;
mod written;
pub mod zap;

use core::ffi::c_int;
use core::fmt;
use std::ffi::CStr;

pub use away::{Away, PENALTY};
pub use buffer::{Buffers, CHUNK_SIZE, Flight, MAX_CONSUMERS};
pub use context::{Context, Termination};
pub use curve::{KEY_TEXT, KeyPair, PublicKey, Role, SecretKey, has_curve, wipe};
pub use endpoint::{Endpoint, EndpointError, Side};
pub use message::Message;
pub use monitor::{Event, Handshake, MonitoredSocket};
pub use socket::{Socket, SocketType, wait_readable};
pub use stream::{Stream, descriptor_limit};
pub use written::{Acknowledged, Place, Written};
pub use zmq_sys::record::TELLS;

/// An error of libzmq: its error number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(pub c_int);

impl Error {
    /// The error of the call that this thread made last.
    #[allow(unsafe_code, reason = "libzmq is called")]
    fn last() -> Self {
        // SAFETY: reads a number of this thread's own.
        Self(unsafe { zmq_sys::zmq_errno() })
    }

    /// Turns a return code of libzmq (-1: failed) into a result.
    fn check(code: c_int) -> Result<c_int, Self> {
        if code == -1 { Err(Self::last()) } else { Ok(code) }
    }
}

#[allow(unsafe_code, reason = "libzmq is called")]
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: libzmq returns a static string for every number, known or not.
        let text = unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.0)
    }
}

impl std::error::Error for Error {}

/// libzmq's version: major, minor, patch.
#[must_use]
#[allow(unsafe_code, reason = "libzmq is called")]
pub fn version() -> (i32, i32, i32) {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: three integers to write to.
    unsafe { zmq_sys::zmq_version(&raw mut major, &raw mut minor, &raw mut patch) };
    (major, minor, patch)
}
