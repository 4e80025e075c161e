//! Names of closed files: none is given twice, whatever becomes of the files and the clock.
//!
//! A name has the log's name, a time, and, if need be, a number. Finished files are taken away, so
//! the files that are there do not tell which names were given. Each log remembers its own names of
//! this run. Of all earlier names, the latest time and the highest number are enough; a file has
//! them before a name is given. A time that is not later than all before it gets a number that is
//! higher than all before it.

use std::io;
use std::sync::Arc;

use super::disk::Disk;

/// Names that were given, as far as is known: their latest time and highest number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The latest time, as in the names.
    pub time: String,
    /// The highest number.
    pub number: u32,
}

impl Mark {
    /// Takes a name in; returns true if it was not covered before.
    pub fn cover(&mut self, time: &str, number: u32) -> bool {
        let news = time > self.time.as_str() || number > self.number;
        if time > self.time.as_str() {
            time.clone_into(&mut self.time);
        }
        self.number = self.number.max(number);
        news
    }

    /// Bytes of its text: 19 of the time, 10 of the number, a space and a line feed.
    const LEN: usize = 31;

    /// The text that stands in the file, always of the same length.
    fn text(&self) -> String {
        format!("{:<19} {:010}\n", self.time, self.number)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (time, number) = std::str::from_utf8(text).ok()?.strip_suffix('\n')?.split_once(' ')?;
        let number = number.trim_start().parse().ok()?;
        Some(Self { time: time.to_owned(), number })
    }
}

/// The names that a log has had in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The last name's time and number.
    pub time: String,
    pub number: u32,
    /// The number of a time's first name: 0, or, once a time was not later than all before it, one above all
    /// numbers before.
    first_number: u32,
    /// The latest time and the highest number of these names.
    mark: Mark,
}

/// Gives names.
pub struct Names<D: Disk> {
    disk: Arc<D>,
    file: D::File,
    /// Covers all names that logs do not know of.
    before: Mark,
    /// The mark that stands in the file.
    mark: Mark,
    /// The highest number that was given to a file apart from its log.
    last_fresh: u32,
}

impl<D: Disk> Names<D> {
    /// Begins with the mark in the file, or else with `found`, the mark of the names that are there.
    pub fn open(disk: Arc<D>, file: D::File, found: &Mark) -> io::Result<Self> {
        let mut text = [0; Mark::LEN];
        let len = disk.read_at(&file, &mut text, 0)?;
        let mark = Mark::parse(&text[..len]).unwrap_or_else(|| found.clone());
        let names = Self { disk, file, before: mark.clone(), mark, last_fresh: 0 };
        // The mark takes its room on the disk now, so that later writes of it need none.
        names.disk.overwrite(&names.file, names.mark.text().as_bytes())?;
        Ok(names)
    }

    /// The next name of a log that has had `last`. It may be used once it is [written down](Self::write_down).
    pub fn next(&self, last: Option<&Given>, time: &str) -> Given {
        let later = time > self.before.time.as_str();
        let (first_number, number) = match last {
            None if later => (0, 0),
            Some(last) if later && time > last.mark.time.as_str() => (0, 0),
            Some(last) if time == last.time && last.number + 1 > self.last_fresh => {
                (last.first_number, last.number + 1)
            }
            Some(last) if time > last.time.as_str() && last.first_number > self.before.number => {
                (last.first_number, last.first_number)
            }
            _ => {
                let first = last.map_or(0, |last| last.mark.number).max(self.before.number) + 1;
                (first, first)
            }
        };
        let mut mark = last.map(|last| last.mark.clone()).unwrap_or_default();
        mark.cover(time, number);
        Given { time: time.to_owned(), number, first_number, mark }
    }

    /// Returns the next name, if another file has this one.
    pub fn following(&self, mut name: Given) -> Given {
        name.number += 1;
        name.mark.number = name.mark.number.max(name.number);
        name
    }

    /// Writes down that a name is given.
    pub fn write_down(&mut self, name: &Given) -> io::Result<()> {
        self.write(&name.time, name.number)
    }

    /// A number that no name has had.
    pub fn fresh(&mut self) -> io::Result<u32> {
        let number = self.mark.number + 1;
        self.write("", number)?;
        // Logs must not come upon it either.
        self.last_fresh = number;
        self.before.number = self.before.number.max(number);
        Ok(number)
    }

    fn write(&mut self, time: &str, number: u32) -> io::Result<()> {
        let mut mark = self.mark.clone();
        if mark.cover(time, number) {
            self.disk.overwrite(&self.file, mark.text().as_bytes())?;
            self.mark = mark;
        }
        Ok(())
    }

    /// Remembers the names of a log that is forgotten.
    pub fn forget(&mut self, last: &Given) {
        self.before.cover(&last.mark.time, last.mark.number);
    }

    /// Puts the file on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.sync(&self.file)
    }
}
