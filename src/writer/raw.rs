//! Records that are JSON already, as logs that are replayed have them.

use super::{MAX_RECORD, Writer};
use crate::clock::coarse_millis;
use crate::report::Problem;

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
    fn copy(&mut self, object: &[u8]) -> Result<(), Problem> {
        if object.len() > MAX_RECORD {
            return Err(Problem::TooLarge);
        }
        let before = self.buffers.pending().len();
        if self.buffers.append(self.batch.lead()) && self.buffers.append(object) {
            return Ok(());
        }
        self.buffers.truncate(before);
        self.flush();
        if self.buffers.put(&[self.batch.lead(), object]) { Ok(()) } else { Err(Problem::NoMemory) }
    }
}
