//! Memory that records are encoded into and that then becomes a message.
//!
//! A [`Buffers`] hands out the free end of a *chunk*. What was written there becomes a
//! [`Message`] without being copied: libzmq sends it from where it lies and calls back when
//! it is done with it, on its I/O thread. A chunk holds many records; when the last of them
//! has been released it is used again. So a record costs no allocation of ours, and the
//! memory held is what libzmq holds, in whole chunks.
//!
//! Invariants:
//! - `Chunk::users` is [`OWNED`] + the messages released so far (negative) while the chunk
//!   is being filled, and the number of messages not yet released afterwards. The thread
//!   that brings it to zero owns the chunk.
//! - A chunk is in exactly one place: being filled, held by messages, or in the free list.
//! - The free list is pushed to by any thread and emptied as a whole by the owner, so that
//!   it needs no lock and knows no ABA problem.

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::alloc::{alloc, dealloc};
use std::sync::Arc;

use super::{Error, Message};

/// Bytes of a chunk, header included. Larger records get a chunk of their own, which is
/// freed after use.
pub const CHUNK_SIZE: usize = 64 * 1024;

/// Free chunks that are kept; more are given back to the system.
const KEEP: usize = 16;

/// Stands for the messages that a chunk being filled may still become: far more than fit.
const OWNED: usize = 1 << 40;

struct Chunk {
    users: AtomicUsize,
    /// Bytes, header included.
    size: usize,
    /// The next in the free list.
    next: *mut Chunk,
    shared: Arc<Shared>,
}

struct Shared {
    free: AtomicPtr<Chunk>,
    /// The [`Buffers`] is gone: chunks are freed instead of being kept.
    closed: AtomicBool,
}

/// Gives memory to encode into; belongs to one thread.
pub struct Buffers {
    shared: Arc<Shared>,
    /// The chunk being filled.
    current: Option<Current>,
    /// Chunks ready for use.
    ready: Vec<NonNull<Chunk>>,
}

struct Current {
    chunk: NonNull<Chunk>,
    /// Bytes used, header included.
    used: usize,
    /// Messages made from it.
    messages: usize,
}

impl Buffers {
    /// Has no memory until it is asked for some.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared { free: AtomicPtr::new(ptr::null_mut()), closed: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), current: None, ready: Vec::with_capacity(KEEP) }
    }

    /// The memory left in the chunk being filled; possibly none.
    #[inline]
    pub fn free_space(&mut self) -> &mut [MaybeUninit<u8>] {
        match &self.current {
            // SAFETY: the rest of the chunk belongs to nobody yet.
            Some(current) => unsafe {
                let chunk = current.chunk.as_ptr();
                let start = chunk.cast::<MaybeUninit<u8>>().add(current.used);
                core::slice::from_raw_parts_mut(start, (*chunk).size - current.used)
            },
            None => &mut [],
        }
    }

    /// Leaves the chunk being filled and gets one with at least `room` bytes free.
    /// `false` if memory is exhausted.
    #[cold]
    pub fn grow(&mut self, room: usize) -> bool {
        self.retire();
        let header = size_of::<Chunk>();
        let Some(size) = room.checked_add(header) else { return false };
        let chunk = if size <= CHUNK_SIZE { self.standard_chunk() } else { self.allocate(size) };
        self.current = chunk.map(|chunk| Current { chunk, used: header, messages: 0 });
        self.current.is_some()
    }

    /// Makes a message of the first `len` bytes of [`Buffers::free_space`], which stay free:
    /// [`Buffers::advance`] passes them. Several messages may share them.
    ///
    /// # Safety
    ///
    /// These bytes have been written, and are not written again.
    ///
    /// # Errors
    ///
    /// Memory is exhausted.
    pub unsafe fn message(&mut self, len: usize) -> Result<Message, Error> {
        let Some(current) = &mut self.current else { return Err(Error(libc::EINVAL)) };
        // SAFETY: the bytes lie in the chunk, which stays until `release` was called once
        // for each message, counted here.
        unsafe {
            let data = current.chunk.as_ptr().cast::<u8>().add(current.used);
            let message = Message::over(data, len, release, current.chunk.as_ptr().cast())?;
            current.messages += 1;
            Ok(message)
        }
    }

    /// Goes on behind the first `len` bytes of [`Buffers::free_space`].
    #[inline]
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.free_space().len());
        if let Some(current) = &mut self.current {
            current.used += len;
        }
    }

    /// Leaves the chunk being filled to its messages.
    fn retire(&mut self) {
        if let Some(Current { chunk, messages, .. }) = self.current.take() {
            // SAFETY: valid until its users are zero.
            unsafe { drop_users(chunk, OWNED - messages) };
        }
    }

    fn standard_chunk(&mut self) -> Option<NonNull<Chunk>> {
        if self.ready.is_empty() {
            let mut chunk = self.shared.free.swap(ptr::null_mut(), Ordering::Acquire);
            while let Some(free) = NonNull::new(chunk) {
                // SAFETY: taken off the list as a whole, so it is ours.
                unsafe {
                    chunk = (*free.as_ptr()).next;
                    if self.ready.len() < KEEP {
                        self.ready.push(free);
                    } else {
                        deallocate(free);
                    }
                }
            }
        }
        match self.ready.pop() {
            Some(chunk) => {
                // SAFETY: ours alone.
                unsafe { (*chunk.as_ptr()).users.store(OWNED, Ordering::Relaxed) };
                Some(chunk)
            }
            None => self.allocate(CHUNK_SIZE),
        }
    }

    fn allocate(&self, size: usize) -> Option<NonNull<Chunk>> {
        let layout = chunk_layout(size)?;
        // SAFETY: the layout's size is not zero; the memory is initialised before use.
        unsafe {
            let chunk = NonNull::new(alloc(layout).cast::<Chunk>())?;
            chunk.as_ptr().write(Chunk {
                users: AtomicUsize::new(OWNED),
                size,
                next: ptr::null_mut(),
                shared: Arc::clone(&self.shared),
            });
            Some(chunk)
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.retire();
        for chunk in self.ready.drain(..) {
            // SAFETY: ours alone.
            unsafe { deallocate(chunk) };
        }
        self.shared.closed.store(true, Ordering::SeqCst);
        free_all(&self.shared);
    }
}

fn chunk_layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, align_of::<Chunk>()).ok()
}

/// Frees what is in the free list.
fn free_all(shared: &Shared) {
    let mut chunk = shared.free.swap(ptr::null_mut(), Ordering::SeqCst);
    while let Some(free) = NonNull::new(chunk) {
        // SAFETY: taken off the list as a whole, so it is ours. The caller holds a share in
        // `shared` of its own.
        unsafe {
            chunk = (*free.as_ptr()).next;
            deallocate(free);
        }
    }
}

/// # Safety
///
/// Nobody else refers to the chunk.
unsafe fn deallocate(chunk: NonNull<Chunk>) {
    // SAFETY: made by `allocate` with this size.
    unsafe {
        let size = (*chunk.as_ptr()).size;
        ptr::drop_in_place(chunk.as_ptr());
        if let Some(layout) = chunk_layout(size) {
            dealloc(chunk.as_ptr().cast(), layout);
        }
    }
}

/// Gives up some of the uses of a chunk; whoever gives up the last one puts it away.
///
/// # Safety
///
/// They are the caller's to give up.
unsafe fn drop_users(chunk: NonNull<Chunk>, count: usize) {
    // SAFETY: the chunk is valid until its users are zero. Release makes what this thread
    // did with the chunk visible to the one that takes it, which acquires.
    unsafe {
        if (*chunk.as_ptr()).users.fetch_sub(count, Ordering::AcqRel) != count {
            return;
        }
        if (*chunk.as_ptr()).size != CHUNK_SIZE {
            deallocate(chunk);
            return;
        }
        let shared = Arc::clone(&(*chunk.as_ptr()).shared);
        let mut next = shared.free.load(Ordering::Relaxed);
        loop {
            (*chunk.as_ptr()).next = next;
            match shared.free.compare_exchange_weak(next, chunk.as_ptr(), Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => next = now,
            }
        }
        // Either this sees that the owner is gone, or the owner, emptying the list after
        // having said so, sees the chunk.
        if shared.closed.load(Ordering::SeqCst) {
            free_all(&shared);
        }
    }
}

/// What libzmq calls when it has no use for a message's memory any more.
unsafe extern "C" fn release(_data: *mut c_void, hint: *mut c_void) {
    if let Some(chunk) = NonNull::new(hint.cast::<Chunk>()) {
        // SAFETY: `hint` is the chunk that `Buffers::message` counted this message for.
        unsafe { drop_users(chunk, 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffers: &mut Buffers, bytes: &[u8]) -> Message {
        if buffers.free_space().len() < bytes.len() {
            assert!(buffers.grow(bytes.len()));
        }
        for (to, from) in buffers.free_space().iter_mut().zip(bytes) {
            to.write(*from);
        }
        // SAFETY: just written, and passed below.
        let message = unsafe { buffers.message(bytes.len()) }.unwrap();
        buffers.advance(bytes.len());
        message
    }

    #[test]
    fn messages_keep_their_bytes() {
        let mut buffers = Buffers::new();
        let mut held = std::collections::VecDeque::new();
        for round in 0..20_000_usize {
            let bytes = vec![round as u8; round % 700 + 1];
            held.push_back((put(&mut buffers, &bytes), bytes));
            if held.len() > 500 {
                let (message, bytes) = held.pop_front().unwrap();
                assert_eq!(message.as_bytes(), bytes);
            }
        }
        drop(buffers);
        for (message, bytes) in held {
            assert_eq!(message.as_bytes(), bytes);
        }
    }

    #[test]
    fn a_large_record_has_a_chunk_of_its_own() {
        let mut buffers = Buffers::new();
        let message = put(&mut buffers, &vec![7; 3 * CHUNK_SIZE]);
        assert_eq!(message.as_bytes().len(), 3 * CHUNK_SIZE);
        assert!(!buffers.grow(usize::MAX));
    }

    #[test]
    fn released_on_another_thread_while_the_owner_goes_on_or_ends() {
        for _ in 0..50 {
            let (sender, receiver) = std::sync::mpsc::channel::<Vec<Message>>();
            let other = std::thread::spawn(move || receiver.into_iter().for_each(drop));
            let mut buffers = Buffers::new();
            for _ in 0..200 {
                sender.send((0..20).map(|_| put(&mut buffers, &[1; 300])).collect()).unwrap();
            }
            drop(buffers);
            drop(sender);
            other.join().unwrap();
        }
    }
}
