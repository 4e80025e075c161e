//! The output cursor: where the next byte of JSON goes.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// There is no room left; encode again into more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A cursor over memory to be filled.
///
/// Room is asked for once per field, with [`Out::reserve`]; the `push` functions then
/// write without looking. That check per field instead of per byte is worth about a
/// third of the encoder's time, and is why this is not a `&mut [u8]`.
pub struct Out<'a> {
    start: *mut u8,
    next: *mut u8,
    end: *mut u8,
    lifetime: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

impl<'a> Out<'a> {
    /// Starts at the beginning of `memory`.
    #[must_use]
    pub fn new(memory: &'a mut [MaybeUninit<u8>]) -> Self {
        let range = memory.as_mut_ptr_range();
        Self { start: range.start.cast(), next: range.start.cast(), end: range.end.cast(), lifetime: PhantomData }
    }

    /// How many bytes have been written.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.next as usize - self.start as usize
    }

    /// Whether nothing has been written.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.start
    }

    /// The bytes written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        // SAFETY: the bytes from `start` to `next` have been written by this cursor.
        unsafe { core::slice::from_raw_parts(self.start, self.len()) }
    }

    /// Goes back to where [`Out::len`] was `len`, to write again from there.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len());
        // SAFETY: within what has been written.
        self.next = unsafe { self.start.add(len) };
    }

    /// Replaces the byte written first.
    pub fn set_first(&mut self, byte: u8) {
        assert!(!self.is_empty());
        // SAFETY: the first byte has been written.
        unsafe { self.start.write(byte) };
    }

    /// Goes back over `count` bytes.
    ///
    /// # Safety
    ///
    /// As many bytes have been written.
    #[inline]
    pub unsafe fn rewind(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        // SAFETY: within what has been written.
        self.next = unsafe { self.next.sub(count) };
    }

    /// Makes sure that `count` more bytes can be pushed.
    #[inline]
    pub fn reserve(&self, count: usize) -> Result<(), Full> {
        if self.end as usize - self.next as usize >= count { Ok(()) } else { Err(Full) }
    }

    /// Writes one byte.
    ///
    /// # Safety
    ///
    /// Room for it is reserved.
    #[inline]
    pub unsafe fn push(&mut self, byte: u8) {
        debug_assert!(self.next < self.end);
        // SAFETY: reserved by the caller.
        unsafe {
            self.next.write(byte);
            self.next = self.next.add(1);
        }
    }

    /// Calls a function that is not inlined with a copy of the cursor. A cursor whose address
    /// is passed on lives in memory; so this one can stay in registers.
    #[inline(always)]
    pub(super) fn apart<T>(&mut self, call: impl FnOnce(&mut Out<'a>) -> T) -> T {
        let mut copy = Out { ..*self };
        let result = call(&mut copy);
        self.next = copy.next;
        result
    }

    /// Writes bytes.
    ///
    /// # Safety
    ///
    /// Room for them is reserved.
    #[inline]
    pub unsafe fn push_slice(&mut self, bytes: &[u8]) {
        debug_assert!(self.end as usize - self.next as usize >= bytes.len());
        // SAFETY: reserved by the caller; a shared slice cannot overlap memory borrowed mutably.
        unsafe {
            self.next.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            self.next = self.next.add(bytes.len());
        }
    }

    /// Writes all of `bytes` but counts only the first `len`: a copy of constant size is a
    /// few moves where one of variable size is a call.
    ///
    /// # Safety
    ///
    /// Room for all `N` is reserved, and `len` is at most `N`.
    #[inline]
    pub unsafe fn push_padded<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        debug_assert!(len <= N && self.end as usize - self.next as usize >= N);
        // SAFETY: reserved by the caller.
        unsafe {
            self.next.cast::<[u8; N]>().write_unaligned(*bytes);
            self.next = self.next.add(len);
        }
    }

    /// Writes `len` bytes, of which `first` are the first and `last` the last.
    ///
    /// # Safety
    ///
    /// Room for them is reserved, and `len` is from `N` to twice that.
    #[inline]
    pub unsafe fn push_overlapping<const N: usize>(&mut self, first: &[u8; N], last: &[u8; N], len: usize) {
        debug_assert!((N..=2 * N).contains(&len) && self.end as usize - self.next as usize >= len);
        // SAFETY: reserved by the caller.
        unsafe {
            self.next.cast::<[u8; N]>().write_unaligned(*first);
            self.next = self.next.add(len);
            self.next.sub(N).cast::<[u8; N]>().write_unaligned(*last);
        }
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
}
