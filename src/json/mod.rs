//! Turns a record into JSON: the bytes that the host's own JSON log would have.
//!
//! The form is the one of Zeek 4.2 and later (`LogAscii::use_json=T`), whatever the host:
//!
//! - an object, its members in the columns' order; unset columns are left out, or null;
//! - numbers as RapidJSON writes them ([`number`]), times as one of [`TimeFormat`];
//! - text as UTF-8, with bytes that are none as `\xNN` ([`text`]);
//! - addresses as in RFC 5952, subnets with their length ([`address`]);
//! - sets and vectors as arrays, nested up to [`MAX_DEPTH`].
//!
//! This module knows nothing of ZeroMQ: it writes into memory that it is given ([`Out`]).

#[allow(unsafe_code, reason = "it writes to memory that was reserved for a whole block of columns")]
pub mod address;
mod envelope;
#[allow(unsafe_code, reason = "it writes to memory that was reserved for a whole block of columns")]
pub mod number;
#[allow(unsafe_code, reason = "the cursor writes without a check that there is room")]
mod out;
mod plan;
#[allow(unsafe_code, reason = "it reads the host's values, and writes to memory that was reserved")]
mod record;
#[allow(unsafe_code, reason = "it uses the instructions that a processor was seen to have")]
mod scan;
#[allow(unsafe_code, reason = "it writes to memory that was reserved for a whole block of columns")]
pub mod text;
#[allow(unsafe_code, reason = "it writes to memory that was reserved for a whole block of columns")]
pub mod time;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "it uses the instructions that a processor was seen to have")]
mod utf8;

pub use envelope::Envelope;
pub use out::{Cursor, Full, Out};
pub use plan::{FieldPlan, Style};
pub use record::{EncodeError, MAX_DEPTH, encode};
pub use text::EscapePolicy;
pub use time::TimeFormat;

#[cfg(test)]
#[allow(unsafe_code, reason = "it maps memory that ends at a page which cannot be read")]
mod test_support {
    use super::Out;

    /// Returns what `write` writes; it has room for 64 KiB.
    pub(super) fn written_bytes(write: impl FnOnce(&mut Out<'_>)) -> Vec<u8> {
        let mut memory = Vec::with_capacity(65_536);
        let mut out = Out::new(memory.spare_capacity_mut());
        write(&mut out);
        let len = out.len();
        // SAFETY: the cursor has written these bytes.
        unsafe { memory.set_len(len) };
        memory
    }

    /// Returns what `write` writes, as text; it has room for 64 KiB.
    pub(super) fn written(write: impl FnOnce(&mut Out<'_>)) -> String {
        String::from_utf8(written_bytes(write)).unwrap()
    }

    /// Two pages of memory, and behind them a page that cannot be read.
    #[cfg(target_os = "linux")]
    pub(super) struct Guarded(*mut u8);

    #[cfg(target_os = "linux")]
    impl Guarded {
        const PAGE: usize = 4096;

        pub(super) fn new() -> Self {
            // SAFETY: fresh memory, of which the last page is made inaccessible.
            unsafe {
                let (access, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
                let memory = libc::mmap(core::ptr::null_mut(), 3 * Self::PAGE, access, private, -1, 0);
                assert_ne!(memory, libc::MAP_FAILED);
                assert_eq!(libc::mprotect(memory.add(2 * Self::PAGE), Self::PAGE, libc::PROT_NONE), 0);
                Self(memory.cast())
            }
        }

        pub(super) fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: mapped in `new`, zero at first, and borrowed as this is.
            unsafe { core::slice::from_raw_parts_mut(self.0, 2 * Self::PAGE) }
        }
    }

    #[cfg(target_os = "linux")]
    impl Drop for Guarded {
        fn drop(&mut self) {
            // SAFETY: mapped in `new`, and no longer borrowed.
            assert_eq!(unsafe { libc::munmap(self.0.cast(), 3 * Self::PAGE) }, 0);
        }
    }
}
