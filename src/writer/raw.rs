//! Records that are JSON already, as logs that are replayed have them.

use super::{MAX_RECORD, SEPARATOR, Writer};
use crate::clock::coarse_millis;

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
                if self.batch.add(now) {
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
        let before = self.buffers.pending().len();
        let begun = self.batch.records() == 0 || self.buffers.append(&[SEPARATOR]);
        if begun && self.buffers.append(object) {
            return Ok(());
        }
        self.buffers.truncate(before);
        self.flush();
        if self.buffers.put(object) { Ok(()) } else { Err("memory is exhausted") }
    }
}
