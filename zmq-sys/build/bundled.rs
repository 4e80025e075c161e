//! Compiles libzmq from the source that comes with zeromq-src; libsodium-sys-stable has
//! compiled libsodium before.

use std::env;
use std::path::PathBuf;

use zeromq_src::LibLocation;

/// What libzmq's own configure script would find on Linux. zeromq-src leaves
/// these out, which silently disables keepalive, thread names, eventfd,
/// close-on-exec and the handling of fork.
const LINUX: &[&str] = &[
    "HAVE_ACCEPT4",
    "HAVE_CLOCK_GETTIME",
    "HAVE_FORK",
    "HAVE_IF_NAMETOINDEX",
    "HAVE_MKDTEMP",
    "HAVE_POSIX_MEMALIGN=1",
    "ZMQ_CACHELINE_SIZE=64",
    "ZMQ_HAVE_EVENTFD",
    "ZMQ_HAVE_EVENTFD_CLOEXEC",
    "ZMQ_HAVE_IFADDRS",
    "ZMQ_HAVE_NOEXCEPT",
    "ZMQ_HAVE_O_CLOEXEC",
    "ZMQ_HAVE_PTHREAD_SETNAME_2",
    "ZMQ_HAVE_PTHREAD_SET_AFFINITY",
    "ZMQ_HAVE_SOCK_CLOEXEC",
    "ZMQ_HAVE_SO_BINDTODEVICE",
    "ZMQ_HAVE_SO_KEEPALIVE",
    "ZMQ_HAVE_SO_PEERCRED",
    "ZMQ_HAVE_SO_PRIORITY",
    "ZMQ_HAVE_TCP_KEEPCNT",
    "ZMQ_HAVE_TCP_KEEPIDLE",
    "ZMQ_HAVE_TCP_KEEPINTVL",
    "ZMQ_IOTHREAD_POLLER_USE_EPOLL_CLOEXEC",
];

/// The same for other Unix systems, as far as all of them have it.
const UNIX: &[&str] = &[
    "HAVE_CLOCK_GETTIME",
    "HAVE_FORK",
    "HAVE_MKDTEMP",
    "ZMQ_HAVE_IFADDRS",
    "ZMQ_HAVE_NOEXCEPT",
    "ZMQ_HAVE_O_CLOEXEC",
    "ZMQ_HAVE_SO_KEEPALIVE",
];

/// Builds libzmq and returns the directory of `zmq.h`.
pub fn build() -> PathBuf {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));

    // zeromq-src has no parameters for these, so they go through the variables
    // that cc reads. Debug builds of this crate need no slow libzmq.
    if !matches!(env::var("OPT_LEVEL").as_deref(), Ok("2" | "3")) {
        env::set_var("OPT_LEVEL", "2");
    }
    env::set_var("DEBUG", "false");

    let sodium = |kind: &str| env::var_os(format!("DEP_SODIUM_{kind}")).expect("set by libsodium-sys-stable");
    let sodium = LibLocation::new(PathBuf::from(sodium("LIB")), PathBuf::from(sodium("INCLUDE")));

    // Nothing of libzmq may be visible outside the library it is linked into.
    // The warnings are not ours.
    let mut flags = String::from("-w -fvisibility=hidden -fvisibility-inlines-hidden -DZMQ_NO_EXPORT -DSODIUM_STATIC");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    for name in if linux { LINUX } else { UNIX } {
        flags.push_str(" -D");
        flags.push_str(name);
    }
    if linux {
        // Relative to this crate's directory, where the compiler runs. Each says what it is for.
        flags.push_str(" -include build/symbols.h -include build/queue.h");
    }
    if let Ok(user) = env::var("CXXFLAGS") {
        flags.push(' ');
        flags.push_str(&user);
    }
    env::set_var("CXXFLAGS", flags);

    zeromq_src::Build::new().with_libsodium(Some(sodium)).build();
    let source = out.join("source");
    cc::Build::new()
        .cpp(true)
        .std("c++11")
        // Where zeromq-src puts platform.hpp.
        .include(&out)
        .include(source.join("include"))
        .include(source.join("src"))
        .file("build/external.cc")
        .compile("zmq_sys_external");
    source.join("include")
}
