//! Finds the files that an earlier run has left in the directory.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, Entry, EntryKind, Identity};
use super::file_name::{self, FileKind};
use super::names::Mark;

/// The files that were found.
#[derive(Default)]
pub struct Found {
    /// Current files, by their log paths.
    pub current: Vec<(Vec<u8>, PathBuf)>,
    /// Files to be finished, in the order of their names.
    pub closed: BTreeSet<PathBuf>,
    /// Parts of finished files.
    pub partial: Vec<PathBuf>,
    /// The latest time and the highest number in the names of all of them.
    pub mark: Mark,
    /// Directories that cannot be looked into.
    pub problems: Vec<String>,
}

impl Found {
    /// Looks into a directory and those below it. They may be links; each is looked into once.
    ///
    /// # Errors
    ///
    /// The directory itself cannot be read.
    pub fn look(disk: &impl Disk, root: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        let mut seen: BTreeSet<_> = disk.find(&root.join("."))?.into_iter().collect();
        for entry in disk.list(root)? {
            found.take(disk, root, entry, 0, &mut seen);
        }
        found.current.sort();
        Ok(found)
    }

    fn take(&mut self, disk: &impl Disk, root: &Path, entry: Entry, depth: usize, seen: &mut BTreeSet<Identity>) {
        let Entry { path, kind } = entry;
        match kind {
            EntryKind::Directory(identity) if depth + 1 < file_name::DEPTH_LIMIT && seen.insert(identity) => {
                match disk.list(&path) {
                    Ok(entries) => entries.into_iter().for_each(|entry| self.take(disk, root, entry, depth + 1, seen)),
                    Err(error) => self.problems.push(format!("cannot read {}: {error}", path.display())),
                }
            }
            EntryKind::File => {
                if let Some((time, number)) = file_name::time_and_number(&path) {
                    self.mark.cover(time, number);
                }
                match path.strip_prefix(root).map(file_name::classify) {
                    Ok(FileKind::Current(log_path)) => self.current.push((log_path, path)),
                    Ok(FileKind::Closed) => drop(self.closed.insert(path)),
                    Ok(FileKind::Complete(closed)) => drop(self.closed.insert(root.join(closed))),
                    Ok(FileKind::Partial) => self.partial.push(path),
                    Ok(FileKind::Other) | Err(_) => {}
                }
            }
            EntryKind::Directory(_) | EntryKind::Other => {}
        }
    }
}
