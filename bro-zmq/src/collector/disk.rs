//! The operations that the collector needs on files, and the system's own.
//!
//! The rest of the collector knows files only by [`Disk`], so that a test can play a disk that is full,
//! fails, or stops at any operation.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Permissions of what is made, which the umask narrows: logs say who talked to whom.
pub const FILE_MODE: u32 = 0o640;
pub const DIRECTORY_MODE: u32 = 0o750;

/// Operations on files. Links are followed in directories' names only.
pub trait Disk {
    /// An open file.
    type File;

    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Self::File>;
    /// What a file is.
    fn status(&self, file: &Self::File) -> io::Result<Status>;
    /// Reads at a place; less than there is room for at the end.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes behind the end; returns how many bytes.
    fn append(&self, file: &Self::File, bytes: &[u8]) -> io::Result<usize>;
    /// Writes in the place of the file's first bytes.
    fn overwrite(&self, file: &Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Cuts off what is behind so many bytes.
    fn cut(&self, file: &Self::File, len: u64) -> io::Result<()>;
    /// Gives a file the permissions and times of another.
    fn resemble(&self, file: &Self::File, other: &Status) -> io::Result<()>;
    /// Puts a file on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Puts the names in a directory on the disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory, with those above it.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Finds what has a name; a link is not followed.
    fn find(&self, path: &Path) -> io::Result<Option<Identity>>;
    /// Gives a file another name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Lists a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read and to append to; made if it is not there.
    Append,
    /// A file that is there.
    Existing,
    /// A new file, where none is yet.
    New,
}

/// Tells files apart: device and number.
pub type Identity = (u64, u64);

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which file.
    pub identity: Identity,
    /// Bytes in it.
    pub len: u64,
    /// Permissions.
    pub mode: u32,
    /// When it was written to last.
    pub modified: SystemTime,
    /// When it was made, where the file system knows.
    pub created: Option<SystemTime>,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The directory's path and the name.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What a name in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory, or a link to one.
    Directory(Identity),
    /// A regular file, and no link.
    File,
    /// Anything else.
    Other,
}

/// Writes a stream to the end of a file.
pub struct Appender<'a, D: Disk>(pub &'a D, pub &'a D::File);

impl<D: Disk> Write for Appender<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(self.1, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns true if an error says that a file is not there.
pub fn is_missing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// The system's files. Holds descriptors for files that are to be opened, which connections would
/// take otherwise.
pub struct System {
    /// How many files can be open at a time.
    files: usize,
    open: Arc<AtomicUsize>,
    /// Descriptors that stand for files that are not open.
    held: Mutex<Vec<fs::File>>,
}

/// An open file of the system.
pub struct Held {
    file: fs::File,
    open: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns true if no descriptor was to be had.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl System {
    /// Takes descriptors for so many files.
    ///
    /// # Errors
    ///
    /// There are fewer descriptors.
    pub fn new(files: usize) -> io::Result<Self> {
        let system = Self { files, open: Arc::default(), held: Mutex::default() };
        system.hold()?;
        Ok(system)
    }

    /// Takes back the descriptors of files that were closed.
    ///
    /// # Errors
    ///
    /// Others have the descriptors.
    pub fn hold(&self) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.files.saturating_sub(self.open.load(Ordering::Relaxed));
        held.truncate(wanted);
        while held.len() < wanted {
            held.push(fs::File::open("/dev/null")?);
        }
        Ok(())
    }

    /// Gives one descriptor back to the system. Returns false if none is held.
    fn release(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }

    /// Gives a descriptor back and calls `call`, which needs one, until it gets one.
    fn with_descriptor<T>(&self, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.release();
        loop {
            match call() {
                // Somebody else took the descriptor.
                Err(error) if is_exhausted(&error) && self.release() => {}
                result => return result,
            }
        }
    }
}

impl Disk for System {
    type File = Held;

    fn open(&self, path: &Path, how: Open) -> io::Result<Held> {
        let mut options = OpenOptions::new();
        // Opening follows no link that somebody has planted, and waits for no reader of a pipe.
        options.read(true).write(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match how {
            Open::Append => options.append(true).create(true),
            Open::Existing => &mut options,
            Open::New => options.append(true).create_new(true).mode(0o600),
        };
        let file = self.with_descriptor(|| options.open(path))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Held { file, open: Arc::clone(&self.open) })
    }

    fn status(&self, file: &Held) -> io::Result<Status> {
        let metadata = file.file.metadata()?;
        Ok(Status {
            identity: (metadata.dev(), metadata.ino()),
            len: metadata.len(),
            mode: metadata.mode() & 0o7777,
            modified: metadata.modified()?,
            created: metadata.created().ok(),
        })
    }

    fn read_at(&self, file: &Held, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        retried(|| file.file.read_at(buffer, at))
    }

    fn append(&self, file: &Held, bytes: &[u8]) -> io::Result<usize> {
        retried(|| (&file.file).write(bytes))
    }

    fn overwrite(&self, file: &Held, bytes: &[u8]) -> io::Result<()> {
        file.file.write_all_at(bytes, 0)
    }

    fn cut(&self, file: &Held, len: u64) -> io::Result<()> {
        file.file.set_len(len)
    }

    fn resemble(&self, file: &Held, other: &Status) -> io::Result<()> {
        file.file.set_permissions(fs::Permissions::from_mode(other.mode))?;
        file.file.set_modified(other.modified)
    }

    fn sync(&self, file: &Held) -> io::Result<()> {
        file.file.sync_all()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.with_descriptor(|| fs::File::open(path))?.sync_all()
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
    }

    fn find(&self, path: &Path) -> io::Result<Option<Identity>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in self.with_descriptor(|| fs::read_dir(path))? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let followed = if kind.is_file() { None } else { fs::metadata(&path).ok() };
            let kind = match followed {
                _ if kind.is_file() => EntryKind::File,
                Some(metadata) if metadata.is_dir() => EntryKind::Directory((metadata.dev(), metadata.ino())),
                _ => EntryKind::Other,
            };
            entries.push(Entry { path, kind });
        }
        Ok(entries)
    }
}

fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
