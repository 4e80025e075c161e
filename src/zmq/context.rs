//! The process's ZeroMQ context.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::time::Duration;
use std::sync::{Arc, Mutex, Weak, mpsc};

use super::Error;
use crate::lock::locked;

/// Sockets that a process can have at a time. libzmq's own limit of 1,023 is too small for
/// a host with many log paths and several endpoints for each; a slot takes 8 bytes.
const MAX_SOCKETS: i32 = 16_383;

/// A ZeroMQ context; [`Context::shared`] gives all writers of a process the same one.
#[derive(Debug)]
pub struct Context {
    context: NonNull<c_void>,
}

// SAFETY: libzmq's contexts may be used from any thread.
unsafe impl Send for Context {}
// SAFETY: libzmq's contexts may be used from several threads at a time.
unsafe impl Sync for Context {}

/// How ending a context went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// Others still use the context.
    InUse,
    /// The context has ended: everything was sent, or the linger time has passed.
    Done,
    /// The context could not end in time; a thread of its own goes on trying.
    TimedOut,
}

static SHARED: Mutex<Weak<Context>> = Mutex::new(Weak::new());

impl Context {
    /// The process's context, made now if there is none.
    ///
    /// # Errors
    ///
    /// libzmq cannot make one: file descriptors or memory are exhausted.
    pub fn shared() -> Result<Arc<Self>, Error> {
        let mut shared = locked(&SHARED);
        if let Some(context) = shared.upgrade() {
            return Ok(context);
        }
        let context = Arc::new(Self::new()?);
        *shared = Arc::downgrade(&context);
        Ok(context)
    }

    /// Makes a context that is shared with nobody.
    ///
    /// # Errors
    ///
    /// As [`Context::shared`].
    pub fn new() -> Result<Self, Error> {
        require_descriptors()?;
        // SAFETY: no arguments; a null result is an error.
        let context = NonNull::new(unsafe { zmq_sys::zmq_ctx_new() }).ok_or_else(Error::last)?;
        // SAFETY: a fresh context.
        unsafe { zmq_sys::zmq_ctx_set(context.as_ptr(), zmq_sys::ZMQ_MAX_SOCKETS, MAX_SOCKETS) };
        Ok(Self { context })
    }

    pub(super) fn as_ptr(&self) -> *mut c_void {
        self.context.as_ptr()
    }

    /// Gives up a share in a context. The last one ends it and waits for what its closed
    /// sockets still have to send: until their linger times have passed, and at most
    /// `patience` (`None`: as long as it takes).
    ///
    /// The limit is needed because libzmq resolves names in its I/O thread, where a name server that does
    /// not answer holds up everything.
    #[must_use]
    pub fn release(self: Arc<Self>, patience: Option<Duration>) -> Termination {
        let context = {
            // Under the lock, so that nobody takes a new share in a context that ends.
            let _shared = locked(&SHARED);
            match Arc::try_unwrap(self) {
                Ok(context) => context,
                Err(_) => return Termination::InUse,
            }
        };
        let Some(patience) = patience else {
            drop(context);
            return Termination::Done;
        };
        let (ended, end) = mpsc::channel();
        let thread = std::thread::Builder::new().name("zmq-term".into()).spawn(move || {
            drop(context);
            // The receiver may have lost patience.
            let _ = ended.send(());
        });
        match thread {
            Ok(thread) => match end.recv_timeout(patience) {
                Ok(()) => {
                    let _ = thread.join();
                    Termination::Done
                }
                Err(_) => Termination::TimedOut,
            },
            // The closure was dropped, and the context with it.
            Err(_) => Termination::Done,
        }
    }
}

/// Descriptors that a context and its first socket take at most: a mailbox and a poller
/// for each of two threads, and the mailbox of the socket; and some for the connections.
const DESCRIPTORS: usize = 10;

/// Makes sure that file descriptors are to be had. libzmq aborts the process if it gets none
/// while it makes its threads.
///
/// # Errors
///
/// What the system says, such as `EMFILE`.
pub(super) fn require_descriptors() -> Result<(), Error> {
    let mut spare = [-1; DESCRIPTORS];
    let mut result = Ok(());
    for descriptor in &mut spare {
        // SAFETY: no pointers.
        *descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if *descriptor == -1 {
            result = Err(Error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EMFILE)));
            break;
        }
    }
    for descriptor in spare.into_iter().filter(|&descriptor| descriptor != -1) {
        // SAFETY: just made, and nobody else knows it.
        unsafe { libc::close(descriptor) };
    }
    result
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is valid, and every socket borrowed a share of it, so all are
        // closed. A signal may interrupt the wait.
        while unsafe { zmq_sys::zmq_ctx_term(self.context.as_ptr()) } == -1 && Error::last() == Error(libc::EINTR) {}
    }
}
