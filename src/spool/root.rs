//! The directory that the spools of a process share: its lock, and how full it is.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::OpenError;
use crate::lock::locked;

/// A spool directory that this process has locked.
#[derive(Debug)]
pub(super) struct Root {
    dir: PathBuf,
    /// The directory's device and inode: two paths can lead to one directory.
    id: (u64, u64),
    /// Bytes of the segments below it.
    used: AtomicU64,
    /// How many spools are open.
    spools: AtomicU64,
    /// The spools that are open, and the bytes of those that are not.
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    /// Keeps the root locked as long as it is open.
    lock: Option<File>,
    open: Vec<Arc<OpenSpool>>,
    idle: HashMap<String, u64>,
}

/// An open spool, as its root knows it.
#[derive(Debug)]
struct OpenSpool {
    name: String,
    /// Bytes of its segments.
    bytes: AtomicU64,
    /// True if it is open only because nobody else has it open: see [`Loan`].
    lent: bool,
    /// Locked while a lent spool is used.
    in_use: Mutex<()>,
    /// True if it was lent, and has been taken away.
    taken: AtomicBool,
}

/// All roots of the process.
static ROOTS: Mutex<Vec<Arc<Root>>> = Mutex::new(Vec::new());

/// The most spools of one name, beside each other, that are looked for.
const MAX_BESIDE: u32 = 16;

fn name_beside(name: &str, count: u32) -> String {
    if count == 1 { name.to_owned() } else { format!("{name}-{count}") }
}

/// One spool's share of its root.
#[derive(Debug)]
pub(super) struct Lease {
    root: Arc<Root>,
    spool: Arc<OpenSpool>,
}

/// A spool that is lent: [`Lease::take`] takes it away, between two uses.
#[derive(Debug)]
pub struct Loan(Arc<OpenSpool>);

impl Loan {
    /// The loan of the spool `name` below a directory.
    pub fn of(dir: &Path, name: &str) -> Option<Self> {
        let root = root_at(dir)?;
        let names = locked(&root.names);
        names.open.iter().find(|spool| spool.lent && spool.name == name).map(|spool| Self(Arc::clone(spool)))
    }

    /// Works with the spool. Returns `None` if the spool was taken away: it must not be used again then.
    pub fn with<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _in_use = locked(&self.0.in_use);
        (!self.0.taken.load(Ordering::Relaxed)).then(work)
    }
}

/// The names of spools with records that are not open, below a directory that this process has locked.
pub(super) fn idle(dir: &Path) -> Vec<String> {
    root_at(dir).map_or_else(Vec::new, |root| locked(&root.names).idle.keys().cloned().collect())
}

/// The directory, if this process has locked it.
fn root_at(dir: &Path) -> Option<Arc<Root>> {
    let found = fs::metadata(dir).ok()?;
    locked(&ROOTS).iter().find(|root| root.id == (found.dev(), found.ino())).cloned()
}

impl Lease {
    /// Makes the directory if need be, locks it for this process, and takes the spool `name` below it; the
    /// name is that of a subdirectory, without a slash. If this process has the spool open already, takes
    /// another beside it; if the spool is lent, takes it away.
    pub(super) fn take(dir: &Path, name: &str) -> Result<Self, OpenError> {
        loop {
            let mut roots = locked(&ROOTS);
            let root = Root::at(&mut roots, dir)?;
            let mut names = locked(&root.names);
            let Some(lent) = names.open.iter().find(|spool| spool.lent && spool.name == name).cloned() else {
                let is_open = |name: &String| names.open.iter().any(|spool| spool.name == *name);
                let name = (1..).map(|count| name_beside(name, count)).find(|name| !is_open(name)).unwrap_or_default();
                return Ok(Self::new(&root, &mut names, name, false));
            };
            drop((names, roots));
            // Waits for the end of its use, which needs the locks above.
            let in_use = locked(&lent.in_use);
            lent.taken.store(true, Ordering::Relaxed);
            drop(in_use);
            let _roots = locked(&ROOTS);
            names = locked(&root.names);
            if names.remove(&lent) {
                root.used.fetch_sub(lent.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
                root.spools.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes a spool that nobody has open, as a loan. Makes and locks the directory as [`Lease::take`] does.
    pub(super) fn borrow(dir: &Path, name: &str) -> Result<Self, OpenError> {
        let mut roots = locked(&ROOTS);
        let root = Root::at(&mut roots, dir)?;
        let mut names = locked(&root.names);
        if names.open.iter().any(|spool| spool.name == name) {
            return Err(OpenError::InUse { dir: dir.join(name), holder: Some(std::process::id()) });
        }
        Ok(Self::new(&root, &mut names, name.to_owned(), true))
    }

    /// The spools beside `name`, as [`Lease::take`] makes them, that exist and are not open.
    pub(super) fn beside(&self, name: &str) -> Vec<Self> {
        // Nobody opens one of them while the list of roots is locked.
        let _roots = locked(&ROOTS);
        let mut names = locked(&self.root.names);
        let others = (2..=MAX_BESIDE).map(|count| name_beside(name, count));
        let free: Vec<_> = others
            .filter(|other| !names.open.iter().any(|spool| spool.name == *other) && self.root.dir.join(other).is_dir())
            .collect();
        free.into_iter().map(|name| Self::new(&self.root, &mut names, name, false)).collect()
    }

    fn new(root: &Arc<Root>, names: &mut Names, name: String, lent: bool) -> Self {
        // From here on the spool counts its own bytes.
        let idle = names.idle.remove(&name).unwrap_or(0);
        root.used.fetch_sub(idle, Ordering::Relaxed);
        root.spools.fetch_add(1, Ordering::Relaxed);
        let spool = Arc::new(OpenSpool {
            name,
            bytes: AtomicU64::new(0),
            lent,
            in_use: Mutex::new(()),
            taken: AtomicBool::new(false),
        });
        names.open.push(Arc::clone(&spool));
        Self { root: Arc::clone(root), spool }
    }

    /// The loan of a spool that is lent.
    pub(super) fn loan(&self) -> Loan {
        Loan(Arc::clone(&self.spool))
    }

    /// Returns true if the spool was lent and taken away: it must not be used again then.
    pub(super) fn is_taken(&self) -> bool {
        self.spool.taken.load(Ordering::Relaxed)
    }

    /// The name of the spool's directory.
    pub(super) fn name(&self) -> &str {
        &self.spool.name
    }

    /// The spool's directory.
    pub(super) fn dir(&self) -> PathBuf {
        self.root.dir.join(&self.spool.name)
    }

    /// Bytes of this spool's segments.
    pub(super) fn bytes(&self) -> u64 {
        self.spool.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of all segments below the root.
    pub(super) fn used(&self) -> u64 {
        self.root.used.load(Ordering::Relaxed)
    }

    /// How many spools share the root.
    pub(super) fn spools(&self) -> u64 {
        self.root.spools.load(Ordering::Relaxed).max(1)
    }

    /// Counts bytes written.
    pub(super) fn add(&mut self, bytes: u64) {
        self.spool.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.root.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes deleted.
    pub(super) fn remove(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes());
        self.spool.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.root.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Makes the spool's directory, and the root's if somebody has deleted it.
    pub(super) fn make_dir(&self) -> io::Result<()> {
        for dir in [&self.root.dir, &self.dir()] {
            make_dir(dir)?;
        }
        Ok(())
    }
}

impl Names {
    /// Forgets an open spool. Returns true if it was open.
    fn remove(&mut self, spool: &Arc<OpenSpool>) -> bool {
        let before = self.open.len();
        self.open.retain(|open| !Arc::ptr_eq(open, spool));
        self.open.len() < before
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut roots = locked(&ROOTS);
        let mut names = locked(&self.root.names);
        if !names.remove(&self.spool) {
            // The spool was taken away: whoever took it counts what is there.
            return;
        }
        if self.bytes() > 0 {
            names.idle.insert(self.spool.name.clone(), self.bytes());
        }
        self.root.spools.fetch_sub(1, Ordering::Relaxed);
        if names.open.is_empty() {
            // The lock is given back now, while nobody can look for the root in the list. Closing the file is
            // not enough: a process that is about to be started has a copy until it runs its program.
            if let Some(file) = names.lock.take() {
                // SAFETY: an open file descriptor; nothing else is passed.
                unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
            }
            roots.retain(|root| !Arc::ptr_eq(root, &self.root));
        }
    }
}

impl Root {
    /// The directory, locked for this process.
    fn at(roots: &mut Vec<Arc<Self>>, dir: &Path) -> Result<Arc<Self>, OpenError> {
        let id = open_dir(dir)?;
        if let Some(root) = roots.iter().find(|root| root.id == id) {
            return Ok(Arc::clone(root));
        }
        let root = Arc::new(Self::lock(dir, id)?);
        roots.push(Arc::clone(&root));
        Ok(root)
    }

    fn lock(dir: &Path, id: (u64, u64)) -> Result<Self, OpenError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(dir.join("lock"))
            .map_err(|error| OpenError::unusable(dir, &error))?;
        // SAFETY: an open file descriptor; nothing else is passed.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EWOULDBLOCK) {
                return Err(OpenError::unusable(dir, &error));
            }
            return Err(OpenError::InUse { dir: dir.to_owned(), holder: process(&mut file) });
        }
        // A full disk is no reason to fail here.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        let idle = sizes(dir);
        let used = idle.values().sum();
        Ok(Self {
            dir: dir.to_owned(),
            id,
            used: AtomicU64::new(used),
            spools: AtomicU64::new(0),
            names: Mutex::new(Names { lock: Some(file), open: Vec::new(), idle }),
        })
    }
}

/// Returns who holds the lock of a directory: the process, if it is known. `None` if nobody does, or
/// there is no lock yet.
pub(super) fn holder(dir: &Path) -> io::Result<Option<Option<u32>>> {
    let lock = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(dir.join("lock"));
    let mut file = match lock {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // Shared: several may ask at a time. It is given back when the file is closed, below.
    // SAFETY: an open file descriptor; nothing else is passed.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB) } == 0 {
        return Ok(None);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::EWOULDBLOCK) {
        return Err(error);
    }
    Ok(Some(process(&mut file)))
}

/// The process that a lock's file names.
fn process(file: &mut File) -> Option<u32> {
    let mut holder = String::new();
    // The number is for messages only.
    let _ = file.take(20).read_to_string(&mut holder);
    holder.trim().parse().ok()
}

/// Bytes of the segments in each directory below.
fn sizes(dir: &Path) -> HashMap<String, u64> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let mut sizes = HashMap::new();
    for entry in entries(dir) {
        let segments = entries(&entry.path()).filter(|file| super::segment_number(&file.file_name()).is_some());
        // `DirEntry::metadata` does not follow links.
        let bytes: u64 = segments.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum();
        if let (Ok(name), 1..) = (entry.file_name().into_string(), bytes) {
            sizes.insert(name, bytes);
        }
    }
    sizes
}

/// Makes a directory that only its owner can use, unless it is there.
fn make_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes the root directory if need be, and returns its device and inode.
fn open_dir(dir: &Path) -> Result<(u64, u64), OpenError> {
    if !dir.is_absolute() {
        return Err(OpenError::Relative { dir: dir.to_owned() });
    }
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(dir).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => OpenError::NoParent { dir: dir.to_owned() },
                _ => OpenError::unusable(dir, &error),
            })?;
            // The new name is to outlast a power failure. A disk that cannot do this says so when records are
            // forced to it.
            let _ = sync_dir(dir.parent().unwrap_or(dir));
        }
        Err(error) => return Err(OpenError::unusable(dir, &error)),
        Ok(_) => {}
    }
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok((found.dev(), found.ino())),
        Ok(_) => Err(OpenError::NoDirectory { dir: dir.to_owned() }),
        Err(error) => Err(OpenError::unusable(dir, &error)),
    }
}

/// Forces the names in a directory to the disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Bytes that a file system has free for this user; `u64::MAX` if it does not tell.
pub(super) fn free_bytes(dir: &Path) -> u64 {
    let Ok(path) = CString::new(dir.as_os_str().as_bytes()) else { return u64::MAX };
    // SAFETY: all zeros are valid for this struct of numbers.
    let mut found: libc::statvfs = unsafe { core::mem::zeroed() };
    // SAFETY: a terminated string, and a struct to be written.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut found) } != 0 {
        return u64::MAX;
    }
    // The types of these two differ between systems.
    #[allow(clippy::unnecessary_cast)]
    (found.f_bavail as u64).saturating_mul(found.f_frsize as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process has such a copy between fork and exec.
    #[test]
    fn a_copy_of_the_lock_does_not_keep_it() {
        let dir = std::env::temp_dir().join(format!("bzw-spool-root-{}", std::process::id()));
        let lease = Lease::take(&dir, "one").unwrap();
        let copy = locked(&lease.root.names).lock.as_ref().unwrap().try_clone().unwrap();
        drop(lease);
        drop(Lease::take(&dir, "one").unwrap());
        drop(copy);
        fs::remove_dir_all(dir).unwrap();
    }
}
