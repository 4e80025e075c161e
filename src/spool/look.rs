//! Looks at what lies in a spool directory, and changes nothing.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::segment::{Owner, owner};
use super::segment_number;
use super::state::{Left, newest};

/// The records of one log path and endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The spool's directory.
    pub dir: PathBuf,
    /// Log path and endpoint, as far as a segment tells.
    pub whose: Option<String>,
    /// Records that wait, if the last run has ended properly and none has begun since.
    pub records: Option<u64>,
    /// Bytes of the segments.
    pub bytes: u64,
    /// True if a later version of the program wrote the spool.
    pub newer: bool,
}

/// Returns what waits in each spool of a root directory, empty ones left out.
///
/// # Errors
///
/// The directory cannot be read.
pub fn waiting(root: &Path) -> io::Result<Vec<Waiting>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        // Links are not followed; opening a spool does not follow them either.
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let spool = look(&entry.path())?;
        if spool.bytes > 0 {
            found.push(spool);
        }
    }
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(found)
}

/// Returns who holds a root directory's lock: the process, if it is known. `None` if nobody does, or
/// there is no lock yet.
///
/// # Errors
///
/// The file cannot be read.
pub fn holder(root: &Path) -> io::Result<Option<Option<u32>>> {
    super::root::holder(root)
}

fn look(dir: &Path) -> io::Result<Waiting> {
    let mut spool = Waiting { dir: dir.to_owned(), whose: None, records: None, bytes: 0, newer: false };
    let mut identity = None;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if segment_number(&entry.file_name()).is_none() || !entry.file_type()?.is_file() {
            continue;
        }
        spool.bytes += entry.metadata()?.len();
        match owner(&open(&entry.path())?)? {
            Owner::Known { hash, whose } => {
                identity = Some(hash);
                spool.whose = Some(whose);
            }
            Owner::Newer => spool.newer = true,
            Owner::Unknown => {}
        }
    }
    let (Some(identity), Ok(state)) = (identity, open(&dir.join(OsStr::new("state")))) else { return Ok(spool) };
    match newest(&state, identity)?.1 {
        Left::Whole(state) if state.closed => spool.records = Some(state.end.saturating_sub(state.confirmed.record)),
        Left::Newer(_) => spool.newer = true,
        Left::Whole(_) | Left::Nothing | Left::Damaged => {}
    }
    Ok(spool)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)
}
