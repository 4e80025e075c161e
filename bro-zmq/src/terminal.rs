//! What the standard library does not tell about the standard streams.

use std::os::fd::{AsRawFd, RawFd};

/// Waits until a descriptor can be read, at most `millis` milliseconds. Returns true if it can be read, or
/// has failed.
pub fn wait_readable(file: &impl AsRawFd, millis: i32) -> bool {
    poll(file.as_raw_fd(), libc::POLLIN, millis) != 0
}

/// Returns true if nobody can read any more what is written to a pipe or a socket.
pub fn reader_has_gone(file: &impl AsRawFd) -> bool {
    poll(file.as_raw_fd(), 0, 0) & (libc::POLLERR | libc::POLLHUP) != 0
}

/// The events that have happened; none if the time has passed or a signal came.
fn poll(fd: RawFd, events: i16, millis: i32) -> i16 {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one item, valid during the call.
    if unsafe { libc::poll(&raw mut poll, 1, millis) } > 0 { poll.revents } else { 0 }
}

/// How many columns and rows a terminal has; `None` if `file` is no terminal, or does not tell.
pub fn size(file: &impl AsRawFd) -> Option<(usize, usize)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes a `winsize`, or fails if the descriptor is no terminal.
    let failed = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == -1;
    (!failed && size.ws_col > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// How many columns a terminal has; `None` if `file` is no terminal, or does not tell.
pub fn width(file: &impl AsRawFd) -> Option<usize> {
    size(file).map(|(columns, _)| columns)
}
