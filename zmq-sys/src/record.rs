//! Sending a record at less cost than with libzmq's C interface: messages over memory of the
//! caller's, bookkeeping included; two frames with one call; and no look at what the socket's I/O
//! thread has told it.
//!
//! An installed libzmq (`BZW_ZMQ_PREFIX`) does not offer this. With it, the functions use its C
//! interface.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

use crate::{zmq_free_fn, zmq_msg_t};

/// libzmq's bookkeeping for a message over memory of the caller's: where the memory is, its size, how to
/// release it, how many share it, and to which connection it was written.
#[repr(C)]
pub struct Content([MaybeUninit<*mut c_void>; 6]);

/// True if [`msg_init_external`] allocates.
pub const ALLOCATES: bool = !cfg!(zmq_bundled);

// `libzmq/record.cc`.
#[cfg(zmq_bundled)]
extern "C" {
    fn zmq_sys_msg_init_external(
        msg: *mut zmq_msg_t,
        content: *mut c_void,
        data: *mut c_void,
        size: usize,
        ffn: Option<zmq_free_fn>,
        hint: *mut c_void,
    ) -> c_int;
    fn zmq_sys_written_to(content: *const c_void) -> u32;
    fn zmq_sys_send_one(socket: *mut c_void, msg: *mut zmq_msg_t) -> c_int;
    fn zmq_sys_send_two(socket: *mut c_void, first: *const c_void, size: usize, last: *mut zmq_msg_t) -> c_int;
}

/// True if libzmq, when it releases a message, tells what became of it; see [`was_written`].
pub const TELLS: bool = cfg!(zmq_bundled);

/// Returns true if a message of [`msg_init_external`] was written to a connection, its last byte
/// included; `data` is what the message's `ffn` was given. Otherwise it was given up: the connection
/// ended, or there was none.
///
/// An installed libzmq does not tell ([`TELLS`]). With it, all that is released counts as written, also
/// up to 8 KiB that its engine has not written yet, and messages that were given up.
#[inline]
#[must_use]
pub fn was_written(data: *mut c_void) -> bool {
    !TELLS || data.is_null()
}

/// Returns the connection that a message was written to, the last one if there were several: its
/// socket's inode, never 0. Returns 0 if the message was given up, and with an installed libzmq.
///
/// # Safety
///
/// `content` is that of a message of [`msg_init_external`] whose `ffn` is being called, or was.
#[inline]
#[must_use]
pub unsafe fn written_to(content: *const Content) -> u32 {
    #[cfg(zmq_bundled)]
    return zmq_sys_written_to(content.cast());
    #[cfg(not(zmq_bundled))]
    {
        let _ = content;
        0
    }
}

/// Makes a message over memory of the caller's, as [`crate::zmq_msg_init_data`] does, with `content` in
/// the place of the memory that the latter allocates. `ffn` is given `data`, or null; see
/// [`was_written`].
///
/// # Safety
///
/// `msg` can be written to, and nothing is lost by that. `size` bytes can be read at `data` until libzmq
/// calls `ffn` with `hint`, on any thread. Until then `content` is valid, aligned, and used for nothing
/// else; `ffn` may free both.
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

/// Sends a message of two frames, a copy of `size` bytes at `first` and then `last`, without
/// waiting. Returns 0, or -1 and an error of `zmq_msg_send`'s: then neither frame was taken,
/// unless the context has been terminated, and `last` is what it was.
///
/// The bundled libzmq's socket does not look first at what its I/O thread has told it: that peers have
/// come or gone, or that there is room again. The caller has to make it look, by other calls, from time
/// to time and when there is no room (`EAGAIN`).
///
/// # Safety
///
/// `socket` is a valid socket of a kind that can send, used by this thread only; there are as
/// many bytes at `first`, and `last` is an initialised message without `ZMQ_MORE`.
#[inline]
pub unsafe fn send_two(socket: *mut c_void, first: *const c_void, size: usize, last: *mut zmq_msg_t) -> c_int {
    #[cfg(zmq_bundled)]
    return zmq_sys_send_two(socket, first, size, last);
    #[cfg(not(zmq_bundled))]
    {
        if crate::zmq_send(socket, first, size, crate::ZMQ_DONTWAIT | crate::ZMQ_SNDMORE) == -1 {
            return -1;
        }
        send_one(socket, last)
    }
}

/// Sends a message of one frame, or the last frame of a message, without waiting; as with [`send_two`],
/// the socket does not look first at what its I/O thread has told it. Returns 0, or -1 and an error of
/// `zmq_msg_send`'s: then the frame was not taken, and is what it was.
///
/// # Safety
///
/// `socket` is a valid socket of a kind that can send, used by this thread only, and `msg` is an
/// initialised message without `ZMQ_MORE`.
#[inline]
pub unsafe fn send_one(socket: *mut c_void, msg: *mut zmq_msg_t) -> c_int {
    #[cfg(zmq_bundled)]
    return zmq_sys_send_one(socket, msg);
    #[cfg(not(zmq_bundled))]
    loop {
        if crate::zmq_msg_send(msg, socket, crate::ZMQ_DONTWAIT) != -1 {
            return 0;
        }
        if crate::zmq_errno() != EINTR {
            return -1;
        }
    }
}

/// The error when a signal came while the socket looked at what its I/O thread has told it. All systems
/// have the same number.
#[cfg(not(zmq_bundled))]
const EINTR: c_int = 4;
