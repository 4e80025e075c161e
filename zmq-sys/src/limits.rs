//! Limits that only the bundled libzmq has: `patches` say what each option is for. An installed libzmq
//! (`BZW_ZMQ_PREFIX`) rejects them with `EINVAL`.

use core::ffi::c_int;

/// True if the libzmq that is linked has these limits.
pub const ENFORCED: bool = cfg!(zmq_bundled);

/// Bytes of messages that may wait to be received, for each connection; 0: no limit.
pub const ZMQ_RCVHWM_BYTES: c_int = 1001;
/// Topics that a peer of an XPUB socket may subscribe to; 0: no limit.
pub const ZMQ_XPUB_MAX_TOPICS: c_int = 1002;
/// Bytes that the subscriptions to an XPUB socket may take; 0: no limit.
pub const ZMQ_XPUB_MAX_BYTES: c_int = 1003;
/// Connections of an endpoint that is bound; 0: no limit.
pub const ZMQ_MAX_CONNECTIONS: c_int = 1004;
/// Bytes of all frames of more than 64 KiB together, in the process (`i64`); 0: no limit.
pub const ZMQ_MAX_LARGE_BYTES: c_int = 1005;
/// The value of `ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL` when a peer has sent more than it may, also
/// after its handshake.
pub const ZMQ_PROTOCOL_ERROR_ZMTP_TOO_MUCH: c_int = 0x1000_0040;
