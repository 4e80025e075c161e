//! The output cursor: where the next byte of JSON goes.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};

/// There is no room left; encode again into more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Memory to be filled, and how far it is.
///
/// [`Out::reserve`] checks for room once for many values ([`Out::hold_back`]); the functions of
/// [`Cursor`] then write without a check, which a `&mut [u8]` cannot. A check per block of columns
/// instead of per byte saves about a third of the encoder's time.
pub struct Out<'a> {
    /// The beginning of the memory.
    origin: *mut u8,
    start: *mut u8,
    cursor: Cursor,
    /// The end of the memory, less what is held back.
    end: *mut u8,
    lifetime: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

/// Where the next byte goes: writes to memory that has been reserved.
///
/// Functions that are not inlined take and return it as a value, which stays in a register.
#[derive(Clone, Copy)]
pub struct Cursor {
    next: *mut u8,
    /// The end of the memory.
    #[cfg(debug_assertions)]
    end: *mut u8,
}

impl Deref for Out<'_> {
    type Target = Cursor;

    #[inline(always)]
    fn deref(&self) -> &Cursor {
        &self.cursor
    }
}

impl DerefMut for Out<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Cursor {
        &mut self.cursor
    }
}

impl<'a> Out<'a> {
    /// Starts at the beginning of `memory`.
    #[must_use]
    pub fn new(memory: &'a mut [MaybeUninit<u8>]) -> Self {
        let range = memory.as_mut_ptr_range();
        let (start, end) = (range.start.cast(), range.end.cast());
        let cursor = Cursor {
            next: start,
            #[cfg(debug_assertions)]
            end,
        };
        Self { origin: start, start, cursor, end, lifetime: PhantomData }
    }

    /// Writes a prefix to `memory` and starts behind it: [`Out::len`] and [`Out::written`] leave the
    /// prefix out.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn behind(memory: &'a mut [MaybeUninit<u8>], prefix: &[u8]) -> Result<Self, Full> {
        let mut out = Self::new(memory);
        out.append(prefix)?;
        out.start = out.cursor.next;
        Ok(out)
    }

    /// How many bytes have been written.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.cursor.next as usize - self.start as usize
    }

    /// Returns true if nothing has been written.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cursor.next == self.start
    }

    /// The bytes written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        // SAFETY: the bytes from `start` to `next` have been written by this cursor.
        unsafe { core::slice::from_raw_parts(self.start, self.len()) }
    }

    /// All bytes written, a prefix included, for as long as the memory is borrowed.
    #[inline]
    #[must_use]
    pub fn into_written(self) -> &'a [u8] {
        // SAFETY: the bytes from `origin` to `next` have been written by this cursor, which is gone.
        unsafe { core::slice::from_raw_parts(self.origin, self.cursor.next as usize - self.origin as usize) }
    }

    /// Goes back to where [`Out::len`] was `len`, to write again from there.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len());
        // SAFETY: `start + len` is within what has been written, as just checked.
        self.cursor.next = unsafe { self.start.add(len) };
    }

    /// Writes bytes.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.reserve(bytes.len())?;
        // SAFETY: room for all of `bytes` was just reserved.
        unsafe { self.push_slice(bytes) };
        Ok(())
    }

    /// Replaces the first of the bytes written.
    pub fn set_first(&mut self, byte: u8) {
        assert!(!self.is_empty());
        // SAFETY: the first byte has been written.
        unsafe { self.start.write(byte) };
    }

    /// Makes sure that `count` more bytes can be pushed, and that what is held back is still
    /// there after them.
    #[inline(always)]
    pub fn reserve(&self, count: usize) -> Result<(), Full> {
        if isize::try_from(count).is_ok_and(|count| count <= self.left()) { Ok(()) } else { Err(Full) }
    }

    /// How many bytes can be reserved; negative when some of what was held back has been used.
    #[inline(always)]
    #[must_use]
    pub fn left(&self) -> isize {
        (self.end as isize).wrapping_sub(self.cursor.next as isize)
    }

    /// Takes `count` bytes away from what [`Out::reserve`] may give. Whenever `reserve` succeeds from
    /// then on, `count` more bytes can be pushed besides those that it reserves.
    ///
    /// # Errors
    ///
    /// There are not as many bytes left.
    #[inline]
    pub fn hold_back(&mut self, count: usize) -> Result<(), Full> {
        self.reserve(count)?;
        // SAFETY: `count` bytes before `end` were just seen to be free, so they are in the memory.
        self.end = unsafe { self.end.sub(count) };
        Ok(())
    }

    /// A copy, which goes on from the same place. A value whose address is passed to a function that is
    /// not inlined has to live in memory; if the copy's is passed, the original stays in registers.
    #[inline(always)]
    pub(super) fn copy(&mut self) -> Out<'a> {
        Out { ..*self }
    }

    /// Calls a function that is not inlined with a copy. Unless the call fails, writing goes on behind
    /// what the copy has written.
    #[inline(always)]
    pub(super) fn with_copy<E>(&mut self, call: impl FnOnce(&mut Out<'a>) -> Result<(), E>) -> Result<(), E> {
        let mut copy = self.copy();
        call(&mut copy)?;
        self.cursor = copy.cursor;
        Ok(())
    }
}

impl Cursor {
    /// Goes back over `count` bytes.
    ///
    /// # Safety
    ///
    /// At least `count` bytes have been written.
    #[inline(always)]
    pub unsafe fn rewind(&mut self, count: usize) {
        // SAFETY: the caller promises that `count` bytes have been written before `next`.
        self.next = unsafe { self.next.sub(count) };
    }

    /// The byte written last.
    ///
    /// # Safety
    ///
    /// At least one byte has been written.
    #[inline(always)]
    pub unsafe fn last(&self) -> u8 {
        // SAFETY: the caller promises that the byte before `next` has been written.
        unsafe { self.next.sub(1).read() }
    }

    /// `N` bytes, of which the first `len` are those written last.
    ///
    /// # Safety
    ///
    /// At least `len` bytes have been written, and room for `N` less `len` more is reserved.
    #[inline(always)]
    pub unsafe fn last_block<const N: usize>(&self, len: usize) -> MaybeUninit<[u8; N]> {
        // SAFETY: the caller promises `len` bytes before `next` and `N - len` reserved bytes behind
        // it; the type allows for those to be uninitialized.
        unsafe { self.next.sub(len).cast::<MaybeUninit<[u8; N]>>().read_unaligned() }
    }

    /// Writes all of a block but counts only the first `len` bytes.
    ///
    /// # Safety
    ///
    /// The first `len` bytes are initialized, `len` is at most `N`, and room for `N` bytes is reserved.
    #[inline(always)]
    pub unsafe fn push_block<const N: usize>(&mut self, block: &MaybeUninit<[u8; N]>, len: usize) {
        debug_assert!(len <= N);
        self.check(N);
        // SAFETY: the caller has reserved `N` bytes at `next`, and `len` is at most `N`.
        unsafe {
            self.next.cast::<MaybeUninit<[u8; N]>>().write_unaligned(*block);
            self.next = self.next.add(len);
        }
    }

    /// Writes one byte.
    ///
    /// # Safety
    ///
    /// Room for one byte is reserved.
    #[inline(always)]
    pub unsafe fn push(&mut self, byte: u8) {
        self.check(1);
        // SAFETY: the caller has reserved a byte at `next`.
        unsafe {
            self.next.write(byte);
            self.next = self.next.add(1);
        }
    }

    /// Writes bytes.
    ///
    /// # Safety
    ///
    /// Room for all of `bytes` is reserved.
    #[inline(always)]
    pub unsafe fn push_slice(&mut self, bytes: &[u8]) {
        self.check(bytes.len());
        // SAFETY: the caller has reserved as many bytes at `next`; a shared slice cannot overlap
        // memory that is borrowed mutably.
        unsafe {
            self.next.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.next = self.next.add(bytes.len());
        }
    }

    /// Writes all of `bytes` but counts only the first `len`: a copy of constant size is a few moves,
    /// a copy of variable size a call.
    ///
    /// # Safety
    ///
    /// Room for `N` bytes is reserved, and `len` is at most `N`.
    #[inline(always)]
    pub unsafe fn push_padded<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        // SAFETY: all of `bytes` is initialized; the caller has reserved `N` bytes, and `len` is at
        // most `N`.
        unsafe { self.push_block(&MaybeUninit::new(*bytes), len) };
    }

    /// Writes `len` bytes, of which `first` are the first and `last` the last.
    ///
    /// # Safety
    ///
    /// Room for `len` bytes is reserved, and `len` is from `N` to twice `N`.
    #[inline(always)]
    pub unsafe fn push_overlapping<const N: usize>(&mut self, first: &[u8; N], last: &[u8; N], len: usize) {
        debug_assert!((N..=2 * N).contains(&len));
        self.check(len);
        // SAFETY: the caller has reserved `len` bytes at `next`. Both blocks lie within them, as `len`
        // is at least `N`.
        unsafe {
            self.next.cast::<[u8; N]>().write_unaligned(*first);
            self.next = self.next.add(len);
            self.next.sub(N).cast::<[u8; N]>().write_unaligned(*last);
        }
    }

    /// In debug builds, checks that there is room.
    #[inline(always)]
    fn check(&self, count: usize) {
        #[cfg(debug_assertions)]
        assert!(self.end as usize - self.next as usize >= count);
        #[cfg(not(debug_assertions))]
        let _ = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_checked_to_the_byte() {
        let mut memory = [MaybeUninit::uninit(); 4];
        let mut out = Out::new(&mut memory);
        assert_eq!(out.reserve(4), Ok(()));
        assert_eq!(out.reserve(5), Err(Full));
        // SAFETY: room for four bytes is reserved.
        unsafe { out.push_slice(b"abc") };
        assert_eq!(out.reserve(1), Ok(()));
        assert_eq!(out.reserve(2), Err(Full));
        assert_eq!(out.reserve(usize::MAX), Err(Full));
        assert_eq!(out.written(), b"abc");
        out.set_first(b'{');
        out.truncate(2);
        assert_eq!(out.written(), b"{b");
    }

    #[test]
    fn what_is_held_back_stays() {
        let mut memory = [MaybeUninit::uninit(); 8];
        let mut out = Out::new(&mut memory);
        assert_eq!(out.hold_back(9), Err(Full));
        assert_eq!(out.hold_back(3), Ok(()));
        assert_eq!(out.reserve(5), Ok(()));
        assert_eq!(out.reserve(6), Err(Full));
        // SAFETY: five bytes are reserved, and three held back.
        unsafe { out.push_slice(b"abcdef") };
        assert_eq!(out.reserve(0), Err(Full));
        // SAFETY: two bytes of those held back are left.
        unsafe { out.push_slice(b"gh") };
        assert_eq!(out.written(), b"abcdefgh");
    }
}
