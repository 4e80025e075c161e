//! Records that are JSON already, as logs that are replayed have them.

use core::mem::MaybeUninit;

use super::{MAX_RECORD, Writer};
use crate::clock::coarse_millis;
use crate::zmq::CHUNK_SIZE;

impl Writer {
    /// Publishes a JSON object, without line feeds, byte for byte: options that say how a record is
    /// written (`json_timestamps`, `extra_fields`, `tag_json` and so on) do not change it.
    /// Everything else is as for other records.
    pub fn write_json(&mut self, object: &[u8]) {
        let now = coarse_millis();
        if !self.begin(now) {
            return;
        }
        match self.copy(object) {
            Ok(()) => {
                if self.batch.add(object.len(), now) {
                    self.flush();
                }
            }
            Err(problem) => self.count_unencoded(problem),
        }
    }

    /// Copies a record to the end of the batch.
    fn copy(&mut self, object: &[u8]) -> Result<(), &'static str> {
        if object.len() > MAX_RECORD {
            return Err("its JSON has more than 1 GiB");
        }
        let mut fits = put(self.batch.room(self.buffers.free_space()).unwrap_or_default(), object);
        if !fits {
            self.flush();
            // What it then has is enough.
            fits = self.buffers.grow((self.batch.head() + object.len()).max(CHUNK_SIZE / 2))
                && put(self.batch.room(self.buffers.free_space()).unwrap_or_default(), object);
        }
        if fits { Ok(()) } else { Err("memory is exhausted") }
    }
}

/// Copies bytes to the start of `room`; false if there are too many.
fn put(room: &mut [MaybeUninit<u8>], bytes: &[u8]) -> bool {
    let Some(room) = room.get_mut(..bytes.len()) else { return false };
    for (to, from) in room.iter_mut().zip(bytes) {
        to.write(*from);
    }
    true
}
