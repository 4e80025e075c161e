//! Unix domain sockets' paths: in use, or left by a crash.
//!
//! libzmq removes whatever is at the path that it binds. If a program listens there, it would go on
//! listening, and nobody would ever reach it again.

use core::ffi::CStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::Error;
use super::endpoint::socket_path;

/// How long a socket's owner may take between closing it and removing its file.
const REMOVAL: Duration = Duration::from_millis(20);

/// How often to wait for another process that is about to bind in the same directory.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps others that ask for such a lock from binding in the same directory, until it is dropped.
#[derive(Debug)]
pub(super) struct PathLock {
    _directory: Option<File>,
}

/// Makes sure that nobody listens at an endpoint, if it is an `ipc` path. The claim is to be kept until
/// the endpoint is bound.
///
/// # Errors
///
/// `EADDRINUSE`: somebody listens there. `EEXIST`: the file there is not a socket.
pub(super) fn claim(endpoint: &CStr) -> Result<PathLock, Error> {
    // `*` is a path that libzmq makes up; behind `@` the system itself keeps others out.
    let Some(path) = socket_path(endpoint).filter(|&path| path != Path::new("*")) else {
        return Ok(PathLock { _directory: None });
    };
    let claim = PathLock { _directory: lock(path) };
    if is_left_over(path)? {
        // A process that has just ended is about to remove the file: it must not hit the next socket's.
        sleep(REMOVAL);
        is_left_over(path)?;
    }
    Ok(claim)
}

/// Locks the directory; without a lock, two processes that begin at the same time may not see each
/// other.
fn lock(path: &Path) -> Option<File> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = File::open(directory.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..TRIES {
        // SAFETY: a descriptor that is open; no memory is involved.
        if unsafe { libc::flock(directory.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Some(directory);
        }
        sleep(PAUSE);
    }
    None
}

/// Returns true if there is a socket's file at which nobody listens.
fn is_left_over(path: &Path) -> Result<bool, Error> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(Error(libc::EEXIST)),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        // Binding says what is wrong.
        Err(_) => return Ok(false),
    }
    // The system does not connect a socket of another type, so that the listener sees nothing. But it
    // looks first whether somebody has the path.
    match UnixDatagram::unbound().and_then(|socket| socket.connect(path)) {
        Err(error) => match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Ok(true),
            Some(libc::EPROTOTYPE) => Err(Error(libc::EADDRINUSE)),
            Some(libc::ENOENT) | None => Ok(false),
            Some(error) => Err(Error(error)),
        },
        Ok(()) => Err(Error(libc::EADDRINUSE)),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_path_is_in_use_while_somebody_listens() {
        let directory = std::env::temp_dir().join(format!("bzw-claim-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        let endpoint = CString::new(format!("ipc://{}", path.display())).unwrap();
        let error = || claim(&endpoint).map(drop).err();
        assert_eq!(error(), None);
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(error(), Some(Error(libc::EADDRINUSE)));
        // Nobody has connected.
        assert_eq!(listener.accept().map(drop).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(listener);
        assert!(path.exists());
        assert_eq!(error(), None);
        fs::remove_file(&path).unwrap();
        let datagrams = UnixDatagram::bind(&path).unwrap();
        assert_eq!(error(), Some(Error(libc::EADDRINUSE)));
        drop(datagrams);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(error(), Some(Error(libc::EEXIST)));
        for other in [c"tcp://127.0.0.1:1", c"ipc://*", c"ipc://@abstract", c"ipc://", c"ipc:///nowhere/at/all"] {
            assert_eq!(claim(other).map(drop), Ok(()), "{other:?}");
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
