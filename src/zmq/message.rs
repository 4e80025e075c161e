//! A frame of a message.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use zmq_sys::record::{Content, msg_init_external};

use super::Error;

/// A frame: owns its `zmq_msg_t` until it is sent.
///
/// Moving it is fine: libzmq moves its messages by copying their bytes, too (`msg_t::move`).
pub struct Message {
    pub(super) raw: zmq_sys::zmq_msg_t,
}

// SAFETY: a message has no thread of its own; libzmq counts the references to shared data atomically.
unsafe impl Send for Message {}

impl Message {
    /// An empty frame, to receive into.
    #[must_use]
    pub fn new() -> Self {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: initialises `raw`; documented never to fail.
        unsafe {
            zmq_sys::zmq_msg_init(raw.as_mut_ptr());
            Self { raw: raw.assume_init() }
        }
    }

    /// A frame with a copy of `bytes`.
    ///
    /// # Errors
    ///
    /// Memory is exhausted.
    pub fn copy_of(bytes: &[u8]) -> Result<Self, Error> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: initialised by libzmq if it succeeds, with room for as many bytes.
        unsafe {
            Error::check(zmq_sys::zmq_msg_init_size(raw.as_mut_ptr(), bytes.len()))?;
            let mut raw = raw.assume_init();
            zmq_sys::zmq_msg_data(&raw mut raw).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            Ok(Self { raw })
        }
    }

    /// Gives an empty frame memory that stays where it is.
    ///
    /// # Safety
    ///
    /// Until libzmq calls `release`, `len` bytes can be read at `data`, and `content` is valid, aligned, and used
    /// for nothing else. Unless this fails, libzmq calls `release` once, on any thread, with `hint`, and with
    /// `data` or null.
    ///
    /// # Errors
    ///
    /// Memory is exhausted; `release` has not been called.
    #[inline]
    pub(super) unsafe fn refer_to(
        &mut self,
        content: *mut Content,
        data: *mut u8,
        len: usize,
        release: zmq_sys::zmq_free_fn,
        hint: *mut c_void,
    ) -> Result<(), Error> {
        debug_assert!(self.as_bytes().is_empty());
        // SAFETY: an empty message holds nothing that would be lost. The caller promises that `data` and
        // `content` are valid until `release` is called.
        Error::check(unsafe { msg_init_external(&raw mut self.raw, content, data.cast(), len, release, hint) })?;
        Ok(())
    }

    /// The frame's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: libzmq's data and size of an initialised message; it takes a mutable
        // pointer but does not write.
        unsafe {
            let data = zmq_sys::zmq_msg_data((&raw const self.raw).cast_mut()).cast::<u8>();
            let size = zmq_sys::zmq_msg_size(&raw const self.raw);
            if size == 0 { &[] } else { core::slice::from_raw_parts(data, size) }
        }
    }

    /// Returns true if more frames of the message follow.
    #[must_use]
    pub fn more(&self) -> bool {
        // SAFETY: an initialised message.
        unsafe { zmq_sys::zmq_msg_more(&raw const self.raw) != 0 }
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: an initialised message; one that was sent is empty, and closing it is fine.
        unsafe { zmq_sys::zmq_msg_close(&raw mut self.raw) };
    }
}
