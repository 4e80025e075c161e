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
//! It knows nothing of ZeroMQ: it writes into memory that it is given ([`Out`]).

pub mod address;
mod envelope;
pub mod number;
mod out;
mod plan;
mod record;
mod scan;
pub mod text;
pub mod time;

pub use envelope::Envelope;
pub use out::{Cursor, Full, Out};
pub use plan::{FieldPlan, Style};
pub use record::{EncodeError, MAX_DEPTH, encode};
pub use text::EscapePolicy;
pub use time::TimeFormat;

#[cfg(test)]
mod test_support {
    use super::Out;

    /// What `write` writes, given room for 64 KiB.
    pub fn written_bytes(write: impl FnOnce(&mut Out<'_>)) -> Vec<u8> {
        let mut memory = Vec::with_capacity(65_536);
        let mut out = Out::new(memory.spare_capacity_mut());
        write(&mut out);
        let len = out.len();
        // SAFETY: the cursor has written these bytes.
        unsafe { memory.set_len(len) };
        memory
    }

    /// The same, as text.
    pub fn written(write: impl FnOnce(&mut Out<'_>)) -> String {
        String::from_utf8(written_bytes(write)).unwrap()
    }
}
