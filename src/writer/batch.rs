//! Records that become one message, a line each: `batch_records`.
//!
//! They are encoded one behind the other into the memory that becomes the message, so that a
//! batch costs neither a copy nor an allocation for each record. A batch ends early when that
//! memory does, after some 64 KiB.

use super::config::Config;

/// How often a host calls [`super::Writer::heartbeat`], in milliseconds: a batch that would be
/// due before the next call is ended.
const HEARTBEAT_MILLIS: u64 = 1000;

/// What stands between two records: a line feed, which JSON as it is written here has nowhere.
const SEPARATOR: u8 = b'\n';

/// The batch that is being filled: what is pending in the buffers.
#[derive(Debug)]
pub(super) struct Batch {
    /// What the message begins with, in front of its records.
    head: Box<[u8]>,
    /// How many records end the batch.
    limit: u64,
    /// How long the first record may wait, in milliseconds.
    latency: u64,
    /// When the first record came, in [`crate::clock::coarse_millis`].
    begun: u64,
    records: u64,
}

impl Batch {
    /// Makes an empty batch; `head` is what its messages begin with.
    pub(super) fn new(config: &Config, head: &[u8]) -> Self {
        let latency = config.batch_latency.as_millis() as u64;
        Self { head: head.into(), limit: config.batch_records, latency, begun: 0, records: 0 }
    }

    /// Returns true if a message can have several records.
    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.limit > 1
    }

    /// Records in the batch.
    #[inline]
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// What comes in front of the next record.
    #[inline]
    pub(super) fn lead(&self) -> &[u8] {
        if self.records == 0 { &self.head } else { &[SEPARATOR] }
    }

    /// Takes a record that was written. Returns true if the batch is to end.
    #[inline]
    pub(super) fn add(&mut self, now: u64) -> bool {
        if self.records == 0 {
            self.begun = now;
        }
        self.records += 1;
        self.records >= self.limit || now.wrapping_sub(self.begun) >= self.latency
    }

    /// Returns true if the batch is to end with this heartbeat.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.records > 0 && now.wrapping_sub(self.begun) + HEARTBEAT_MILLIS > self.latency
    }

    /// Ends the batch, begins an empty one, and returns how many records it had.
    #[inline]
    pub(super) fn take(&mut self) -> u64 {
        std::mem::take(&mut self.records)
    }
}

/// The records of a message, without what it begins with.
pub(super) fn records(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message.split(|&byte| byte == SEPARATOR)
}
