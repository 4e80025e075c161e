//! The directory that the spools of a process share: its lock, and how full it is.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::OpenError;

/// A spool directory that this process has locked.
#[derive(Debug)]
pub struct Root {
    dir: PathBuf,
    /// Its device and inode: two paths can lead to it.
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
    open: Vec<String>,
    idle: HashMap<String, u64>,
}

/// All of the process's.
static ROOTS: Mutex<Vec<Arc<Root>>> = Mutex::new(Vec::new());

/// How many of the same name are looked for.
const MAX_BESIDE: u32 = 16;

fn numbered(name: &str, count: u32) -> String {
    if count == 1 { name.to_owned() } else { format!("{name}-{count}") }
}

/// One spool's share of its root.
#[derive(Debug)]
pub struct Lease {
    root: Arc<Root>,
    name: String,
    /// Bytes of this spool's segments.
    bytes: u64,
}

impl Lease {
    /// Makes the directory if need be, locks it for this process, and takes the spool
    /// `name` below it, which has no more than a subdirectory's name. When this process has
    /// it open already, another one beside it.
    pub fn take(dir: &Path, name: &str) -> Result<Self, OpenError> {
        let mut roots = lock(&ROOTS);
        let id = open_dir(dir)?;
        let root = match roots.iter().find(|root| root.id == id) {
            Some(root) => Arc::clone(root),
            None => {
                let root = Arc::new(Root::lock(dir, id)?);
                roots.push(Arc::clone(&root));
                root
            }
        };
        let open = lock(&root.names).open.clone();
        let name = (1..).map(|count| numbered(name, count)).find(|name| !open.contains(name)).unwrap_or_default();
        Ok(Self::new(root, name))
    }

    /// The spools beside `name`, as [`Lease::take`] makes them, that exist and are not open.
    pub fn beside(&self, name: &str) -> Vec<Self> {
        // Nobody opens one meanwhile.
        let _roots = lock(&ROOTS);
        let open = lock(&self.root.names).open.clone();
        let others = (2..=MAX_BESIDE).map(|count| numbered(name, count));
        let free = others.filter(|other| !open.contains(other) && self.root.dir.join(other).is_dir());
        free.map(|name| Self::new(Arc::clone(&self.root), name)).collect()
    }

    fn new(root: Arc<Root>, name: String) -> Self {
        let mut names = lock(&root.names);
        // From here on the spool counts what it has.
        let idle = names.idle.remove(&name).unwrap_or(0);
        root.used.fetch_sub(idle, Ordering::Relaxed);
        names.open.push(name.clone());
        drop(names);
        root.spools.fetch_add(1, Ordering::Relaxed);
        Self { root, name, bytes: 0 }
    }

    /// The name of the spool's directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The spool's directory.
    pub fn dir(&self) -> PathBuf {
        self.root.dir.join(&self.name)
    }

    /// Bytes of this spool's segments.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of all segments below the root.
    pub fn used(&self) -> u64 {
        self.root.used.load(Ordering::Relaxed)
    }

    /// How many spools share the root.
    pub fn spools(&self) -> u64 {
        self.root.spools.load(Ordering::Relaxed).max(1)
    }

    /// Counts bytes written.
    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.root.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes deleted.
    pub fn remove(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.root.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Makes the spool's directory, and the root's if somebody has deleted it.
    pub fn make_dir(&self) -> io::Result<()> {
        for dir in [&self.root.dir, &self.dir()] {
            make_dir(dir)?;
        }
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut roots = lock(&ROOTS);
        let mut names = lock(&self.root.names);
        names.open.retain(|open| *open != self.name);
        if self.bytes > 0 {
            names.idle.insert(self.name.clone(), self.bytes);
        }
        self.root.spools.fetch_sub(1, Ordering::Relaxed);
        if names.open.is_empty() {
            // Unlocked now, while nobody can look for it in the list; and not just closed: a
            // process that is about to be started has a copy until it runs its program.
            if let Some(file) = names.lock.take() {
                // SAFETY: an open file descriptor; nothing else is passed.
                unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
            }
            roots.retain(|root| !Arc::ptr_eq(root, &self.root));
        }
    }
}

impl Root {
    fn lock(dir: &Path, id: (u64, u64)) -> Result<Self, OpenError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(dir.join("lock"))
            .map_err(|error| OpenError::Unusable(dir.to_owned(), error))?;
        // SAFETY: an open file descriptor; nothing else is passed.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EWOULDBLOCK) {
                return Err(OpenError::Unusable(dir.to_owned(), error));
            }
            return Err(OpenError::InUse(dir.to_owned(), process(&mut file)));
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

/// Who holds the lock of a directory: the process, if that is known. `None` if nobody does, or it
/// has none yet.
pub fn holder(dir: &Path) -> io::Result<Option<Option<u32>>> {
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
    // Who holds it is for messages only.
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

/// Makes a directory of one's own, unless it is there.
fn make_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes the root directory if need be, and returns its device and inode.
fn open_dir(dir: &Path) -> Result<(u64, u64), OpenError> {
    if !dir.is_absolute() {
        return Err(OpenError::Relative(dir.to_owned()));
    }
    match fs::metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(dir).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => OpenError::NoParent(dir.to_owned()),
                _ => OpenError::Unusable(dir.to_owned(), error),
            })?;
        }
        Err(error) => return Err(OpenError::Unusable(dir.to_owned(), error)),
        Ok(_) => {}
    }
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok((found.dev(), found.ino())),
        Ok(_) => Err(OpenError::NoDirectory(dir.to_owned())),
        Err(error) => Err(OpenError::Unusable(dir.to_owned(), error)),
    }
}

/// Bytes that a file system has for this user; as many as there can be if it does not tell.
pub fn free_bytes(dir: &Path) -> u64 {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a process has one between fork and exec.
    #[test]
    fn a_copy_of_the_lock_does_not_keep_it() {
        let dir = std::env::temp_dir().join(format!("bzw-spool-root-{}", std::process::id()));
        let lease = Lease::take(&dir, "one").unwrap();
        let copy = lock(&lease.root.names).lock.as_ref().unwrap().try_clone().unwrap();
        drop(lease);
        drop(Lease::take(&dir, "one").unwrap());
        drop(copy);
        fs::remove_dir_all(dir).unwrap();
    }
}
