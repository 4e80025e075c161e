//! Tells systemd that a service with `Type=notify` has started.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells systemd that the start is over: signals are handled, and the subscriber listens. Without systemd,
/// nothing happens.
pub fn ready() {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        // If this fails, systemd waits in vain, and says so.
        let _ = notify(&socket);
    }
}

fn notify(socket: &OsString) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address).map(drop)
}
