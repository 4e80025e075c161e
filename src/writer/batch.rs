//! Records that become one message, a line each: `batch_records`.
//!
//! They are encoded one behind the other into the memory that becomes the message, so that a
//! batch costs neither a copy nor an allocation for each record. It ends early when that memory
//! does, which is the case after some 64 KiB.

use core::mem::MaybeUninit;

use super::config::Config;
use crate::json::Full;

/// How often a host calls [`super::Writer::heartbeat`], in milliseconds: a batch that would be
/// due before the next one is ended.
const HEARTBEAT_MILLIS: u64 = 1000;

/// What stands between two records. JSON as it is written here has none.
const SEPARATOR: u8 = b'\n';

/// The batch that is being filled, at the start of the buffers' free space.
#[derive(Debug)]
pub struct Batch {
    /// What the message begins with, in front of its records.
    head: Box<[u8]>,
    /// Records that end it.
    limit: u64,
    /// How long its first record may wait, in milliseconds.
    latency: u64,
    /// When it got that, in [`crate::clock::coarse_millis`].
    begun: u64,
    records: u64,
    len: usize,
}

impl Batch {
    /// An empty one, of messages that begin so.
    pub fn new(config: &Config, head: &[u8]) -> Self {
        let latency = config.batch_latency.as_millis() as u64;
        Self { head: head.into(), limit: config.batch_records, latency, begun: 0, records: 0, len: 0 }
    }

    /// Whether a message can have several records.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.limit > 1
    }

    /// Records in it.
    #[inline]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes in front of the first record.
    pub fn head(&self) -> usize {
        self.head.len()
    }

    /// Where the next record goes.
    ///
    /// # Errors
    ///
    /// The memory does not suffice.
    #[inline]
    pub fn room<'a>(&self, memory: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [MaybeUninit<u8>], Full> {
        if self.records == 0 {
            return if self.head.is_empty() { Ok(memory) } else { self.begin(memory) };
        }
        let (separator, room) = memory[self.len..].split_first_mut().ok_or(Full)?;
        separator.write(SEPARATOR);
        Ok(room)
    }

    /// Writes what the message begins with; its records come next.
    #[inline(never)]
    fn begin<'a>(&self, memory: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [MaybeUninit<u8>], Full> {
        let (head, room) = memory.split_at_mut_checked(self.head.len()).ok_or(Full)?;
        for (slot, byte) in head.iter_mut().zip(&*self.head) {
            slot.write(*byte);
        }
        Ok(room)
    }

    /// Takes the record of `len` bytes that was written there. Whether the batch is to end.
    #[inline]
    pub fn add(&mut self, len: usize, now: u64) -> bool {
        if self.records == 0 {
            self.begun = now;
            self.len = self.head.len();
        } else {
            self.len += 1;
        }
        self.len += len;
        self.records += 1;
        self.records >= self.limit || now.wrapping_sub(self.begun) >= self.latency
    }

    /// Whether it is to end with this heartbeat.
    pub fn is_due(&self, now: u64) -> bool {
        self.records > 0 && now.wrapping_sub(self.begun) + HEARTBEAT_MILLIS > self.latency
    }

    /// Ends it: its bytes and records, and an empty one in its place.
    #[inline]
    pub fn take(&mut self) -> (usize, u64) {
        (std::mem::take(&mut self.len), std::mem::take(&mut self.records))
    }
}

/// The records of a message, without what it begins with.
pub fn records(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split(|&byte| byte == SEPARATOR)
}
