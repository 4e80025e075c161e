//! Messages over memory of the caller's, bookkeeping included.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

use crate::{zmq_free_fn, zmq_msg_t};

/// What libzmq has to know of a message over memory of the caller's: where it is, how large, how
/// to release it, and by how many it is shared.
#[repr(C)]
pub struct Content([MaybeUninit<*mut c_void>; 5]);

/// Whether [`msg_init_external`] allocates.
pub const ALLOCATES: bool = !cfg!(zmq_bundled);

#[cfg(zmq_bundled)]
extern "C" {
    /// `build/external.cc`.
    fn zmq_sys_msg_init_external(
        msg: *mut zmq_msg_t,
        content: *mut c_void,
        data: *mut c_void,
        size: usize,
        ffn: Option<zmq_free_fn>,
        hint: *mut c_void,
    ) -> c_int;
}

/// As [`crate::zmq_msg_init_data`], with `content` in the place of what that allocates. An
/// installed libzmq (`BZW_ZMQ_PREFIX`) does not offer this: there, it is the same as that.
///
/// # Safety
///
/// As for `zmq_msg_init_data`, with an `ffn`. Besides, `content` is valid, aligned, and used for
/// nothing else until `ffn` is called, which may free it.
#[inline]
pub unsafe fn msg_init_external(
    msg: *mut zmq_msg_t,
    content: *mut Content,
    data: *mut c_void,
    size: usize,
    ffn: zmq_free_fn,
    hint: *mut c_void,
) -> c_int {
    #[cfg(zmq_bundled)]
    return zmq_sys_msg_init_external(msg, content.cast(), data, size, Some(ffn), hint);
    #[cfg(not(zmq_bundled))]
    {
        let _ = content;
        crate::zmq_msg_init_data(msg, data, size, Some(ffn), hint)
    }
}
