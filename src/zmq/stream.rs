//! What the system knows of a connection that libzmq has made.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A connection of libzmq's, known by its descriptor. libzmq closes the descriptor when it likes, and the
/// system may give its number to another file of the process at any time.
#[derive(Debug)]
pub struct Stream {
    descriptor: c_int,
    /// The inode, by which to tell if the descriptor still is this connection's.
    inode: Option<libc::ino_t>,
}

impl Stream {
    /// The connection that has this descriptor now.
    #[must_use]
    pub fn new(descriptor: c_int) -> Self {
        Self { descriptor, inode: inode(descriptor) }
    }

    /// The connection's number in [`Place`](super::Place).
    #[must_use]
    pub fn connection(&self) -> Option<u32> {
        // libzmq tells 32 bits of the inode; inodes of sockets have no more.
        self.inode.map(|inode| inode as u32)
    }

    /// The number by which events name the connection.
    #[must_use]
    pub fn descriptor(&self) -> c_int {
        self.descriptor
    }

    /// The peer's address; `None` over a Unix domain socket, and once the connection has ended.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut size = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: memory for any address, and its size; a family's address is what the family says.
        unsafe {
            if libc::getpeername(self.descriptor, address.as_mut_ptr().cast(), &raw mut size) != 0 {
                return None;
            }
            let address = address.as_ptr();
            match c_int::from((*address).ss_family) {
                libc::AF_INET => Some(
                    Ipv4Addr::from_bits(u32::from_be((*address.cast::<libc::sockaddr_in>()).sin_addr.s_addr)).into(),
                ),
                libc::AF_INET6 => {
                    Some(Ipv6Addr::from((*address.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr).into())
                }
                _ => None,
            }
        }
    }

    /// How many bytes the peer has not acknowledged (`SIOCOUTQ`, tcp(7)) or, over a Unix domain socket, not
    /// read. `None` once the connection has ended.
    #[must_use]
    pub fn unsent(&self) -> Option<u64> {
        let mut bytes: c_int = 0;
        // SAFETY: writes a number; to look at another file does no harm.
        let result = unsafe { libc::ioctl(self.descriptor, libc::TIOCOUTQ, &raw mut bytes) };
        // The inode is compared afterwards, so that it is known what was looked at.
        let same = self.inode.is_some() && inode(self.descriptor) == self.inode;
        if result == 0 && same { u64::try_from(bytes).ok() } else { None }
    }

    /// Ends the connection. What has arrived can still be received; what arrives from now on is refused,
    /// and the peer is told.
    pub fn hang_up(&self) {
        if self.inode.is_some() && inode(self.descriptor) == self.inode {
            // SAFETY: no pointers. It is open until libzmq has seen this.
            unsafe { libc::shutdown(self.descriptor, libc::SHUT_RDWR) };
        }
    }
}

/// How many descriptors the process may have (`RLIMIT_NOFILE`); `None` is as many as it likes.
#[must_use]
pub fn descriptor_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: memory for what is written.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// The inode: no other open socket has this number at the same time.
fn inode(descriptor: c_int) -> Option<libc::ino_t> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: memory for what is written; read only if it was.
    unsafe { (libc::fstat(descriptor, status.as_mut_ptr()) == 0).then(|| status.assume_init().st_ino) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    #[test]
    fn another_file_with_the_number_is_not_taken_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65_536]).is_ok() {}
        let stream = Stream::new(client.as_raw_fd());
        assert!(stream.unsent().unwrap() > 0);
        assert_eq!(stream.peer(), Some(listener.local_addr().unwrap().ip()));
        // SAFETY: both are open, and nobody else has the first.
        unsafe { libc::dup2(server.as_raw_fd(), client.as_raw_fd()) };
        assert_eq!(stream.unsent(), None);
        drop(client);
        assert_eq!(stream.unsent(), None);
        assert_eq!(Stream::new(-1).unsent(), None);
        assert_eq!(Stream::new(-1).peer(), None);
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(Stream::new(client.as_raw_fd()).peer(), Some(listener.local_addr().unwrap().ip()));
        let (unix, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(Stream::new(unix.as_raw_fd()).peer(), None);
    }
}
