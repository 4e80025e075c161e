//! Memory that records are encoded into and that then becomes a message.
//!
//! A [`Buffers`] hands out the free end of a *chunk*. The bytes written there become a
//! [`Message`] without being copied: libzmq sends them from where they lie, keeps its bookkeeping
//! right in front of them, and calls back when it is done with both, on its I/O thread. A chunk
//! holds many records; it is used again when the last of them has been released. So a record costs
//! no allocation, and the memory held is what libzmq holds, in whole chunks.
//!
//! Each message is for one *consumer*, a small number. Each consumer has two counts: how many of its records libzmq
//! has released, and how many of these it has given up. The others of these were written to a connection; records
//! not released still wait to be sent. A [`Flight`] tells this of a single message, whose bytes it keeps; it may
//! stand for several records.
//!
//! Nearly all messages are of one record, for the first consumer. The atomic operation that gives up
//! their chunk counts them, too; the counts of the chunks are added up when somebody asks.
//!
//! Invariants:
//! - While a chunk is being filled, the lower half of `Chunk::state` is [`OWNED`] minus the messages
//!   released so far. Afterwards it is the number of messages not yet released. The thread
//!   that brings this half to zero puts the chunk into the free list.
//! - A chunk is in exactly one place: being filled, with libzmq, or ready. Chunks with libzmq are in
//!   `Buffers::sent`; so are the chunks in the free list.
//! - The free list is pushed to by any thread and emptied as a whole by the owner, so that
//!   it needs no lock and knows no ABA problem.

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::alloc::{alloc, dealloc};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use zmq_sys::record::{Content, was_written, written_to};

use super::{Error, Message, Place, Written};

/// Bytes of a chunk, header included. Larger records get a chunk of their own, which is not
/// used again.
pub const CHUNK_SIZE: usize = 64 * 1024;

/// Free chunks that are kept; more are given back to the system.
const KEEP: usize = 16;

/// Consumers that messages can be counted for.
pub const MAX_CONSUMERS: usize = 64;

/// Every 64th message of a consumer is a step; with the first consumer, the first message of a chunk and every 64th
/// after it. Every flight is a step, too.
const STEP: u64 = 64;

/// Stands for the messages that a chunk being filled may still become: far more than fit.
const OWNED: u64 = 1 << 31;

/// Added to a chunk's state for a message of the first consumer's: it takes one use from the lower half,
/// which carries one into the upper half.
const RELEASED: u64 = u32::MAX as u64;

// The alignment leaves room in a chunk's address for a consumer: libzmq gets the sum of both, by which
// it releases a message.
#[repr(align(64))]
struct Chunk {
    /// Lower half: uses. Upper half: messages of one record for the first consumer that libzmq
    /// has released.
    state: AtomicU64,
    /// Bytes, header included.
    size: usize,
    /// The next chunk in the free list.
    next: AtomicPtr<Chunk>,
    pool: Arc<ChunkPool>,
}

/// What a [`Buffers`] and its chunks share: where chunks come back, and counts of their records.
struct ChunkPool {
    free: AtomicPtr<Chunk>,
    /// True if the [`Buffers`] is gone: chunks are freed then instead of being kept.
    closed: AtomicBool,
    /// The records released so far, for each consumer, without those that the chunks count.
    released: Box<[Count]>,
    /// The records given up so far, for each consumer; they are among those released.
    given_up: Box<[AtomicU64]>,
    /// For each consumer, what counts its flights when they are written, and its steps.
    written: Box<[OnceLock<Arc<Written>>]>,
}

impl ChunkPool {
    /// Notes that libzmq releases a message of a consumer, if this is a step. `released` were counted before.
    fn step(&self, consumer: usize, released: u64) {
        if released.is_multiple_of(STEP)
            && let Some(written) = self.written[consumer].get()
        {
            written.step();
        }
    }
}

/// A count in a cache line of its own: libzmq's I/O thread writes it for each message.
#[repr(align(64))]
struct Count(AtomicU64);

impl Chunk {
    /// Messages counted here that libzmq has released.
    fn released(&self) -> u64 {
        self.state.load(Ordering::Acquire) >> 32
    }
}

/// Gives memory to encode into; belongs to one thread.
pub struct Buffers {
    pool: Arc<ChunkPool>,
    consumers: usize,
    /// The chunk being filled.
    current: Option<Current>,
    /// Chunks with libzmq, the oldest first.
    sent: VecDeque<NonNull<Chunk>>,
    /// Chunks ready for use.
    ready: Vec<NonNull<Chunk>>,
    /// The counts of chunks that have come back.
    released: u64,
}

struct Current {
    chunk: NonNull<Chunk>,
    /// Bytes used, header included: a multiple of [`Content`]'s alignment. Room for a [`Content`]
    /// follows, and then the free bytes.
    used: usize,
    /// Where the [`Content`] of the messages made of the pending bytes ends; 0 if there are none.
    contents_end: usize,
    /// How many of the free bytes, from the first on, are pending: written, but not passed yet.
    pending: usize,
    /// Messages made from the chunk.
    messages: u64,
    /// The chunk's size, and where the room for further messages' [`Content`] begins. libzmq's I/O
    /// thread writes to the chunk's header all the time, so that nothing is read from there.
    size: usize,
    end: usize,
}

impl Current {
    /// Where the free bytes begin.
    fn start(&self) -> usize {
        self.used + size_of::<Content>()
    }

    /// Returns room for the [`Content`] of a message over the pending bytes, and these bytes. The room is in
    /// front of them, on libzmq's way to them; for further messages it is behind them.
    fn take_content_room(&mut self) -> Result<(*mut Content, *mut u8), Error> {
        let start = match self.contents_end {
            0 => self.used,
            contents_end => (self.start() + self.pending).max(contents_end).next_multiple_of(align_of::<Content>()),
        };
        let end = start + size_of::<Content>();
        if end > self.size {
            return Err(Error(libc::ENOMEM));
        }
        self.contents_end = end;
        let chunk = self.chunk.as_ptr().cast::<u8>();
        // SAFETY: `end`, just checked, and the pending bytes lie within the chunk's `size`.
        Ok(unsafe { (chunk.add(start).cast(), chunk.add(self.start())) })
    }
}

impl Buffers {
    /// Makes buffers without memory, which comes with [`Buffers::grow`].
    ///
    /// # Panics
    ///
    /// There are more than [`MAX_CONSUMERS`].
    #[must_use]
    pub fn new(consumers: usize) -> Self {
        assert!(consumers <= MAX_CONSUMERS);
        let pool = ChunkPool {
            free: AtomicPtr::new(ptr::null_mut()),
            closed: AtomicBool::new(false),
            released: (0..consumers).map(|_| Count(AtomicU64::new(0))).collect(),
            given_up: (0..consumers).map(|_| AtomicU64::new(0)).collect(),
            written: (0..consumers).map(|_| OnceLock::new()).collect(),
        };
        let ready = Vec::with_capacity(KEEP);
        Self { pool: Arc::new(pool), consumers, current: None, sent: VecDeque::new(), ready, released: 0 }
    }

    /// From now on, counts in `written` the bytes of a consumer's flights when they are written, and the
    /// steps of all its messages. A second call for the consumer does nothing.
    pub fn follow(&self, consumer: usize, written: &Arc<Written>) {
        let _ = self.pool.written[consumer].set(Arc::clone(written));
    }

    /// Bytes kept behind the bytes of messages for their [`Content`]: for each consumer except the first.
    fn reserve(&self) -> usize {
        size_of::<Content>() * self.consumers.saturating_sub(1) + align_of::<Content>()
    }

    /// The memory behind what is pending; possibly none.
    #[inline]
    fn free_space(&mut self) -> &mut [MaybeUninit<u8>] {
        let Some(current) = &self.current else { return &mut [] };
        let start = current.start() + current.pending;
        if start >= current.end {
            return &mut [];
        }
        // SAFETY: from `start` to `end` the chunk belongs to nobody yet: messages are made of what is pending,
        // and their `Content` is passed before more is written.
        unsafe {
            let memory = current.chunk.as_ptr().cast::<MaybeUninit<u8>>().add(start);
            core::slice::from_raw_parts_mut(memory, current.end - start)
        }
    }

    /// How many bytes can be written.
    #[inline]
    pub fn room(&mut self) -> usize {
        self.free_space().len()
    }

    /// The bytes that are pending: messages can be made of them.
    #[inline]
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        let Some(current) = &self.current else { return &[] };
        // SAFETY: `pending` bytes have been written from `start` on, within the chunk.
        unsafe {
            core::slice::from_raw_parts(current.chunk.as_ptr().cast::<u8>().add(current.start()), current.pending)
        }
    }

    /// Calls `write` with the free memory. The bytes that `write` returns, from the first on, are pending then,
    /// behind those that are pending already. If `write` fails, none are added.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    ///
    /// # Panics
    ///
    /// `write` returns bytes that are not the first of the memory.
    #[inline]
    pub fn write<T, E>(
        &mut self,
        write: impl for<'a> FnOnce(&'a mut [MaybeUninit<u8>]) -> Result<(&'a [u8], T), E>,
    ) -> Result<T, E> {
        if self.current.as_ref().is_some_and(|current| current.contents_end != 0) {
            // Messages were made of what was pending.
            self.advance();
        }
        let memory = self.free_space();
        let (start, size) = (memory.as_ptr().cast::<u8>(), memory.len());
        let (written, result) = write(memory)?;
        assert!(written.as_ptr() == start && written.len() <= size);
        let len = written.len();
        if let Some(current) = &mut self.current {
            current.pending += len;
        }
        Ok(result)
    }

    /// Writes these bytes behind what is pending. Returns false if there is no room.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        let copied = self.write(|memory| {
            let memory = memory.get_mut(..bytes.len()).ok_or(())?;
            for (to, from) in memory.iter_mut().zip(bytes) {
                to.write(*from);
            }
            // SAFETY: these bytes were just copied there.
            let written = unsafe { core::slice::from_raw_parts(memory.as_ptr().cast(), bytes.len()) };
            Ok::<_, ()>((written, ()))
        });
        copied.is_ok()
    }

    /// Takes back what is pending, except for the first `len` bytes and for bytes that messages were made of.
    pub fn truncate(&mut self, len: usize) {
        if let Some(current) = &mut self.current
            && current.contents_end == 0
        {
            current.pending = current.pending.min(len);
        }
    }

    /// Leaves the chunk being filled, with what is pending there, and gets a chunk with at least `room` bytes
    /// free. Returns false if memory is exhausted.
    #[cold]
    pub fn grow(&mut self, room: usize) -> bool {
        self.retire();
        self.collect();
        let header = size_of::<Chunk>();
        let Some(size) = room.checked_add(header + size_of::<Content>() + self.reserve()) else { return false };
        let chunk = if size <= CHUNK_SIZE { self.standard_chunk() } else { self.allocate(size) };
        let size = size.max(CHUNK_SIZE);
        let end = size - self.reserve();
        self.current =
            chunk.map(|chunk| Current { chunk, used: header, contents_end: 0, pending: 0, messages: 0, size, end });
        self.current.is_some()
    }

    /// Gives an empty message the pending bytes. They stay pending until [`Buffers::advance`] passes them:
    /// several messages may share them, one for each consumer.
    ///
    /// # Errors
    ///
    /// There is no room for more messages over the same bytes than there are consumers.
    ///
    /// # Panics
    ///
    /// There is no such consumer.
    #[inline]
    pub fn message(&mut self, message: &mut Message, consumer: usize) -> Result<(), Error> {
        assert!(consumer < self.consumers);
        let Some(current) = &mut self.current else { return Err(Error(libc::EINVAL)) };
        // SAFETY: the pending bytes have been written. They lie in the chunk, which stays until `release` was
        // called once for each message that is counted here. The hint, less than 64 bytes behind the chunk's
        // start, stays within it.
        unsafe {
            let (content, data) = current.take_content_room()?;
            let hint = current.chunk.as_ptr().cast::<u8>().add(consumer);
            message.refer_to(content, data, current.pending, release, hint.cast())?;
            current.messages += 1;
            Ok(())
        }
    }

    /// As [`Buffers::message`], for a message of `records` records, which takes `size` bytes at a connection. The
    /// flight tells when libzmq has released the message. Allocates.
    ///
    /// # Errors
    ///
    /// As [`Buffers::message`].
    ///
    /// # Panics
    ///
    /// As [`Buffers::message`].
    pub fn flight(
        &mut self,
        message: &mut Message,
        consumer: usize,
        records: u64,
        size: u64,
    ) -> Result<Arc<Flight>, Error> {
        assert!(consumer < self.consumers);
        let Some(current) = &mut self.current else { return Err(Error(libc::EINVAL)) };
        let len = current.pending;
        // SAFETY: the pending bytes have been written. They lie in the chunk, which stays until the flight is
        // dropped: it counts as a message. The hint is a share in the flight, which `release_flight` takes.
        unsafe {
            let (content, data) = current.take_content_room()?;
            let (connection, end) = (AtomicU32::new(0), AtomicU64::new(WITH_LIBZMQ));
            let flight = Flight { chunk: current.chunk, content, data, len, consumer, records, size, connection, end };
            current.messages += 1;
            let flight = Arc::new(flight);
            let hint = Arc::into_raw(Arc::clone(&flight));
            if let Err(error) = message.refer_to(content, data, len, release_flight, hint.cast_mut().cast()) {
                drop(Arc::from_raw(hint));
                return Err(error);
            }
            Ok(flight)
        }
    }

    /// Writes these parts, one behind the other, in the place of what is pending. Returns false if memory is
    /// exhausted.
    pub fn put(&mut self, parts: &[&[u8]]) -> bool {
        self.truncate(0);
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.room() < len && !self.grow(len.max(CHUNK_SIZE / 2)) {
            return false;
        }
        parts.iter().all(|part| self.append(part))
    }

    /// How many of a consumer's records libzmq has given up: their connection ended, or there was none, or
    /// libzmq has not taken the message.
    #[must_use]
    pub fn given_up(&self, consumer: usize) -> u64 {
        self.pool.given_up[consumer].load(Ordering::Acquire)
    }

    /// How many of a consumer's records libzmq has released: it has written them to a connection, or has
    /// given them up.
    #[must_use]
    pub fn released(&self, consumer: usize) -> u64 {
        let counted = self.pool.released[consumer].0.load(Ordering::Acquire);
        if consumer != 0 {
            return counted;
        }
        let current = self.current.as_ref().map(|current| &current.chunk);
        // SAFETY: chunks in `sent` are valid: only the owner, which calls this, frees them or uses them again.
        self.sent
            .iter()
            .chain(current)
            .fold(counted + self.released, |sum, chunk| unsafe { sum + chunk.as_ref().released() })
    }

    /// Passes the pending bytes and the [`Content`] of their messages: writing goes on behind them.
    #[inline]
    pub fn advance(&mut self) {
        if let Some(current) = &mut self.current {
            let end = current.start() + current.pending;
            current.used = end.max(current.contents_end).next_multiple_of(align_of::<Content>());
            current.contents_end = 0;
            current.pending = 0;
        }
    }

    /// Leaves the chunk being filled to its messages.
    fn retire(&mut self) {
        if let Some(Current { chunk, messages, .. }) = self.current.take() {
            self.sent.push_back(chunk);
            // SAFETY: the chunk is valid until its uses are zero; these are what the owner has beyond its messages.
            unsafe { drop_uses(chunk, OWNED - messages) };
        }
    }

    /// Takes back the chunks that libzmq has released, and frees those that are not to be kept.
    pub fn collect(&mut self) {
        let mut chunk = self.pool.free.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(free) = NonNull::new(chunk) {
            // Chunks come back in the order in which they were sent, nearly always.
            if let Some(index) = self.sent.iter().position(|sent| *sent == free) {
                self.sent.remove(index);
            }
            // SAFETY: the list was taken as a whole, so that its chunks are the owner's, and nobody else's.
            unsafe {
                chunk = free.as_ref().next.load(Ordering::Relaxed);
                self.released += free.as_ref().released();
                if self.ready.len() < KEEP && free.as_ref().size == CHUNK_SIZE {
                    self.ready.push(free);
                } else {
                    deallocate(free);
                }
            }
        }
    }

    fn standard_chunk(&mut self) -> Option<NonNull<Chunk>> {
        match self.ready.pop() {
            Some(chunk) => {
                // SAFETY: ours alone.
                unsafe { chunk.as_ref().state.store(OWNED, Ordering::Relaxed) };
                Some(chunk)
            }
            None => self.allocate(CHUNK_SIZE),
        }
    }

    fn allocate(&self, size: usize) -> Option<NonNull<Chunk>> {
        let layout = chunk_layout(size)?;
        // SAFETY: the layout's size is not zero, and the header is initialised here before anything reads it.
        unsafe {
            let chunk = NonNull::new(alloc(layout).cast::<Chunk>())?;
            chunk.as_ptr().write(Chunk {
                state: AtomicU64::new(OWNED),
                size,
                next: AtomicPtr::new(ptr::null_mut()),
                pool: Arc::clone(&self.pool),
            });
            Some(chunk)
        }
    }
}

/// A message that is with libzmq, and its bytes.
#[derive(Debug)]
pub struct Flight {
    /// The chunk that the message's bytes are in; the flight counts as a message made of it.
    chunk: NonNull<Chunk>,
    content: *const Content,
    data: *const u8,
    len: usize,
    consumer: usize,
    records: u64,
    size: u64,
    /// The connection that the message was written to; set before `end`.
    connection: AtomicU32,
    /// Where the message ends in what was written; or [`WITH_LIBZMQ`], or [`GIVEN_UP`].
    end: AtomicU64,
}

/// A flight's `end` while libzmq has the message.
const WITH_LIBZMQ: u64 = u64::MAX;

/// A flight's `end` once libzmq has given the message up.
const GIVEN_UP: u64 = u64::MAX - 1;

// SAFETY: nobody writes the bytes any more, and any thread may give up the chunk.
unsafe impl Send for Flight {}
// SAFETY: what is shared is read only, or atomic.
unsafe impl Sync for Flight {}

impl Flight {
    /// Returns where the message ends in what its consumer [follows](Buffers::follow), once libzmq has
    /// written it to a connection.
    #[must_use]
    pub fn written(&self) -> Option<Place> {
        let end = self.end.load(Ordering::Acquire);
        (end < GIVEN_UP).then(|| Place { connection: self.connection.load(Ordering::Relaxed), end })
    }

    /// Returns true if libzmq has given the message up.
    #[must_use]
    pub fn given_up(&self) -> bool {
        self.end.load(Ordering::Acquire) == GIVEN_UP
    }

    /// The records in the message.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The message's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes were written at `data`. They lie in the chunk, which stays until this is dropped.
        unsafe { core::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // SAFETY: one use of the chunk was counted for this flight when it was made.
        unsafe { drop_uses(self.chunk, 1) };
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.retire();
        for chunk in self.ready.drain(..) {
            // SAFETY: ours alone.
            unsafe { deallocate(chunk) };
        }
        self.pool.closed.store(true, Ordering::SeqCst);
        free_all(&self.pool);
    }
}

fn chunk_layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, align_of::<Chunk>()).ok()
}

/// Frees what is in the free list.
fn free_all(pool: &ChunkPool) {
    let mut chunk = pool.free.swap(ptr::null_mut(), Ordering::SeqCst);
    while let Some(free) = NonNull::new(chunk) {
        // SAFETY: taken off the list as a whole, so it is ours. The caller holds a share in
        // `pool` of its own.
        unsafe {
            chunk = free.as_ref().next.load(Ordering::Relaxed);
            deallocate(free);
        }
    }
}

/// Frees a chunk.
///
/// # Safety
///
/// Nobody else refers to the chunk.
unsafe fn deallocate(chunk: NonNull<Chunk>) {
    // SAFETY: `allocate` has made the chunk, with the size in its header; nobody else refers to it.
    unsafe {
        let size = (*chunk.as_ptr()).size;
        ptr::drop_in_place(chunk.as_ptr());
        if let Some(layout) = chunk_layout(size) {
            dealloc(chunk.as_ptr().cast(), layout);
        }
    }
}

/// Gives up some of the uses of a chunk; the thread that gives up the last use puts the chunk away.
///
/// # Safety
///
/// The uses are the caller's: nobody else gives them up.
unsafe fn drop_uses(chunk: NonNull<Chunk>, count: u64) {
    // SAFETY: the chunk is valid until its uses are zero, and the caller still has some. Release makes
    // what this thread did with the chunk visible to the thread that takes it, which acquires.
    unsafe {
        if chunk.as_ref().state.fetch_sub(count, Ordering::AcqRel) as u32 == count as u32 {
            put_away(chunk);
        }
    }
}

/// Puts a chunk into the free list.
///
/// # Safety
///
/// The caller has given up its last use.
#[cold]
unsafe fn put_away(chunk: NonNull<Chunk>) {
    // SAFETY: a chunk without uses is this thread's until it is in the list: nobody else changes it or
    // frees it.
    unsafe {
        let pool = Arc::clone(&chunk.as_ref().pool);
        let mut next = pool.free.load(Ordering::Relaxed);
        loop {
            chunk.as_ref().next.store(next, Ordering::Relaxed);
            match pool.free.compare_exchange_weak(next, chunk.as_ptr(), Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => next = now,
            }
        }
        // Either this thread sees that the owner is gone, or the owner, which sets `closed` and then empties the
        // list, sees the chunk.
        if pool.closed.load(Ordering::SeqCst) {
            free_all(&pool);
        }
    }
}

/// The function that libzmq calls when it has no use for a message's memory any more.
unsafe extern "C" fn release(data: *mut c_void, hint: *mut c_void) {
    let consumer = hint.addr() % align_of::<Chunk>();
    if let Some(chunk) = NonNull::new(hint.cast::<u8>().wrapping_sub(consumer).cast::<Chunk>()) {
        // SAFETY: `hint` is the chunk that `Buffers::message` counted this message for, plus
        // the consumer. The chunk is valid until the message is counted as released.
        unsafe {
            if !was_written(data) {
                // This comes first, so that whoever sees the message released sees it given up.
                chunk.as_ref().pool.given_up[consumer].fetch_add(1, Ordering::Release);
            }
            let pool = &chunk.as_ref().pool;
            if consumer == 0 {
                pool.step(consumer, chunk.as_ref().released());
                if chunk.as_ref().state.fetch_add(RELEASED, Ordering::AcqRel) as u32 == 1 {
                    put_away(chunk);
                }
            } else {
                pool.step(consumer, pool.released[consumer].0.load(Ordering::Relaxed));
                pool.released[consumer].0.fetch_add(1, Ordering::Release);
                drop_uses(chunk, 1);
            }
        }
    }
}

/// The function that libzmq calls when it has no use for the memory of a [`Buffers::flight`] any more.
unsafe extern "C" fn release_flight(data: *mut c_void, hint: *mut c_void) {
    // SAFETY: `hint` is the share that `Buffers::flight` gave away, and libzmq calls this once. The flight
    // keeps its chunk valid.
    let (flight, pool) = unsafe {
        let flight = Arc::from_raw(hint.cast_const().cast::<Flight>());
        let pool = &raw const *flight.chunk.as_ref().pool;
        (flight, &*pool)
    };
    let Flight { consumer, records, size, .. } = *flight;
    if let Some(written) = pool.written[consumer].get() {
        written.step();
    }
    let end = if was_written(data) {
        // SAFETY: libzmq is releasing the message of this `content`, which is in the chunk that the flight keeps.
        let connection = unsafe { written_to(flight.content) };
        // A connection's messages are written in the order in which they are released.
        let place = pool.written[consumer].get().map(|written| written.add(connection, size));
        flight.connection.store(place.map_or(0, |place| place.connection), Ordering::Relaxed);
        place.map_or(0, |place| place.end)
    } else {
        pool.given_up[consumer].fetch_add(records, Ordering::Release);
        GIVEN_UP
    };
    pool.released[consumer].0.fetch_add(records, Ordering::Release);
    flight.end.store(end, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use zmq_sys::record::TELLS;

    use super::*;

    fn put(buffers: &mut Buffers, bytes: &[u8]) -> Message {
        let mut message = Message::new();
        assert!(buffers.put(&[bytes]));
        buffers.message(&mut message, 0).unwrap();
        buffers.advance();
        message
    }

    #[test]
    fn messages_keep_their_bytes() {
        let mut buffers = Buffers::new(1);
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
    fn what_is_pending_is_written_in_parts_and_stays_with_its_messages() {
        let mut buffers = Buffers::new(2);
        assert!(!buffers.append(b"none") && buffers.pending().is_empty());
        assert!(buffers.put(&[b"", b"a"]) && buffers.append(b"bc"));
        assert_eq!(buffers.write(|_| Err::<(&[u8], ()), _>("failed")), Err("failed"));
        assert_eq!(buffers.pending(), b"abc");
        buffers.truncate(2);
        assert!(buffers.append(b"!"));
        let [mut first, mut second] = [Message::new(), Message::new()];
        buffers.message(&mut first, 0).unwrap();
        // A message was made of these bytes: they are not taken back, and no more come to them.
        buffers.truncate(1);
        buffers.message(&mut second, 1).unwrap();
        assert!(buffers.append(b"next"));
        assert_eq!(buffers.pending(), b"next");
        let mut third = Message::new();
        buffers.message(&mut third, 0).unwrap();
        drop(buffers);
        assert_eq!([first.as_bytes(), second.as_bytes(), third.as_bytes()], [&b"ab!"[..], b"ab!", b"next"]);
    }

    #[test]
    #[should_panic(expected = "written.as_ptr() == start")]
    fn what_was_not_written_into_the_memory_is_never_pending() {
        let mut buffers = Buffers::new(1);
        assert!(buffers.grow(1));
        let _ = buffers.write(|_| Ok::<_, ()>((&b"elsewhere"[..], ())));
    }

    #[test]
    fn what_is_released_is_counted_for_each_consumer() {
        let mut buffers = Buffers::new(MAX_CONSUMERS);
        // As many messages as fit, at the end of each chunk too.
        for round in 0..200_u64 {
            let bytes = vec![round as u8; 2000 - round as usize];
            assert!(buffers.put(&[&bytes]));
            let mut messages: Vec<_> = (0..MAX_CONSUMERS).map(|_| Message::new()).collect();
            for (consumer, message) in messages.iter_mut().enumerate() {
                buffers.message(message, consumer).unwrap();
            }
            buffers.advance();
            assert!(messages.iter().all(|message| message.as_bytes() == bytes));
            drop(messages);
            for consumer in 0..MAX_CONSUMERS {
                assert_eq!(buffers.released(consumer), round + 1);
            }
        }
    }

    #[test]
    fn a_flight_keeps_its_bytes_and_tells_when_it_has_ended() {
        let mut buffers = Buffers::new(2);
        let mut flights = Vec::new();
        for round in 0..3000_usize {
            let bytes = vec![round as u8; 100];
            assert!(buffers.put(&[&bytes]));
            let mut message = Message::new();
            let flight = buffers.flight(&mut message, 1, 2, 100).unwrap();
            buffers.advance();
            assert!(!flight.given_up());
            drop(message);
            // Nobody was there to write it to; only the bundled libzmq tells.
            assert_eq!((flight.written().is_some(), flight.given_up()), (!TELLS, TELLS));
            flights.push((flight, bytes));
        }
        assert_eq!((buffers.released(0), buffers.released(1)), (0, 6000));
        assert_eq!((buffers.given_up(0), buffers.given_up(1)), (0, if TELLS { 6000 } else { 0 }));
        // Both kinds in one chunk.
        let plain = put(&mut buffers, &[1]);
        assert!(buffers.put(&[&[2]]));
        let mut message = Message::new();
        drop(buffers.flight(&mut message, 0, 7, 1).unwrap());
        buffers.advance();
        drop(plain);
        assert_eq!(buffers.released(0), 1);
        drop(message);
        assert_eq!(buffers.released(0), 8);
        drop(buffers);
        for (flight, bytes) in flights {
            assert_eq!(flight.as_bytes(), bytes);
        }
    }

    #[test]
    fn a_large_record_has_a_chunk_of_its_own() {
        let mut buffers = Buffers::new(1);
        let message = put(&mut buffers, &vec![7; 3 * CHUNK_SIZE]);
        assert_eq!(message.as_bytes().len(), 3 * CHUNK_SIZE);
        assert!(buffers.grow(1));
        drop(message);
        assert_eq!((buffers.sent.len(), buffers.ready.len(), buffers.released(0)), (1, 0, 1));
        buffers.collect();
        assert_eq!((buffers.sent.len(), buffers.ready.len(), buffers.released(0)), (0, 0, 1));
        assert!(!buffers.grow(usize::MAX));
    }

    #[test]
    fn chunks_are_used_again_and_no_more_kept_than_said() {
        let mut buffers = Buffers::new(1);
        let messages: Vec<_> = (0..3 * KEEP).map(|_| put(&mut buffers, &vec![7; CHUNK_SIZE / 2])).collect();
        let chunks: Vec<_> = buffers.sent.iter().copied().collect();
        assert_eq!(chunks.len(), 3 * KEEP - 1);
        drop(messages);
        buffers.collect();
        assert!(buffers.sent.is_empty());
        assert_eq!(buffers.ready.len(), KEEP);
        assert!(buffers.ready.iter().all(|ready| chunks.contains(ready)));
        let next = *buffers.ready.last().unwrap();
        assert!(buffers.grow(1));
        assert_eq!(buffers.current.as_ref().unwrap().chunk, next);
        assert_eq!(buffers.released(0), 3 * KEEP as u64);
    }

    #[test]
    fn released_on_another_thread_while_the_owner_goes_on_or_ends() {
        for _ in 0..50 {
            let (sender, receiver) = std::sync::mpsc::channel::<Vec<Message>>();
            let other = std::thread::spawn(move || receiver.into_iter().for_each(drop));
            let mut buffers = Buffers::new(1);
            for _ in 0..200 {
                sender.send((0..20).map(|_| put(&mut buffers, &[1; 300])).collect()).unwrap();
            }
            let more = put(&mut buffers, &[1; 300]);
            assert!(buffers.released(0) <= 4000);
            drop(sender);
            other.join().unwrap();
            assert_eq!(buffers.released(0), 4000);
            buffers.collect();
            assert_eq!(buffers.released(0), 4000);
            drop(buffers);
            drop(more);
        }
    }
}
