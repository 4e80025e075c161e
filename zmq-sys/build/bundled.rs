//! Compiles libzmq from the source that comes with zeromq-src, and, with what of it a record
//! passes through, functions of our own; libsodium-sys-stable has compiled libsodium before.

use std::path::{Path, PathBuf};
use std::{env, fs};

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

/// What zeromq-src defines on Linux. What is compiled here has to have the same, or classes would
/// have two layouts; the version of zeromq-src is an exact one for this reason.
const DEFINED_ON_LINUX: &[&str] = &[
    "HAVE_STRNLEN",
    "ZMQ_HAVE_CURVE",
    "ZMQ_HAVE_IPC",
    "ZMQ_HAVE_LINUX",
    "ZMQ_HAVE_STRUCT_SOCKADDR_UN",
    "ZMQ_HAVE_UIO",
    "ZMQ_HAVE_WS",
    "ZMQ_IOTHREAD_POLLER_USE_EPOLL",
    "ZMQ_POLL_BASED_ON_POLL",
    "ZMQ_STATIC",
    "ZMQ_USE_BUILTIN_SHA1",
    "ZMQ_USE_CV_IMPL_STL11",
    "ZMQ_USE_LIBSODIUM",
];

/// The same for what zeromq-src finds out by a test.
const STRLCPY: &str = "\
#include <string.h>
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 38)
#define ZMQ_HAVE_STRLCPY 1
#endif
#else
#define ZMQ_HAVE_STRLCPY 1
#endif
";

/// The functions that are ours.
const RECORD: &str = "build/record.cc";

/// The sources of libzmq that a record passes through, in the order in which it does.
const RECORD_PATH: &[&str] = &[
    "msg",
    "metadata",
    "clock",
    "object",
    "mailbox",
    "signaler",
    "pipe",
    "mtrie",
    "dist",
    "lb",
    "fq",
    "socket_base",
    "xpub",
    "push",
    "xsub",
    "sub",
    "pull",
    "zmq",
    "session_base",
    "v2_encoder",
    "v3_1_encoder",
    "v2_decoder",
    "decoder_allocators",
    "tcp",
    "stream_engine_base",
    "zmtp_engine",
    "io_object",
    "poller_base",
    "epoll",
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

    zeromq_src::Build::new().with_libsodium(Some(sodium.clone())).build();
    let source = out.join("source");
    let mut build = cc::Build::new();
    // Where zeromq-src puts platform.hpp.
    build.cpp(true).std("c++11").include(&out).include(source.join("include")).include(source.join("src"));
    if linux {
        remove_objects(&out.join("lib").join("libzmq.a"));
        for name in DEFINED_ON_LINUX {
            build.define(name, "1");
        }
        let unit = out.join("record_path.cc");
        fs::write(&unit, record_path()).expect("OUT_DIR is writable");
        build.include(sodium.include_dir()).include(env::current_dir().expect("this crate's directory")).file(unit);
    } else {
        build.define("ZMQ_IOTHREAD_POLLER_USE_KQUEUE", "1").define("ZMQ_POLL_BASED_ON_POLL", "1").file(RECORD);
    }
    build.compile("zmq_sys_record");
    source.join("include")
}

/// One source file of those that a record passes through, so that the compiler sees through the
/// many small functions of one that are called by another: with sending and receiving, a tenth
/// of libzmq's part.
fn record_path() -> String {
    let mut unit = String::from(STRLCPY);
    for name in RECORD_PATH {
        unit.push_str(&format!("#include \"{name}.cpp\"\n"));
    }
    unit.push_str(&format!("#include \"{RECORD}\"\n"));
    unit
}

/// Removes from the library what is compiled as one.
fn remove_objects(library: &Path) {
    let archiver = |operation: &str| {
        let mut command = cc::Build::new().get_archiver();
        command.arg(operation).arg(library);
        command
    };
    let output = archiver("t").output().expect("the archiver that has made the library");
    let listed = String::from_utf8_lossy(&output.stdout);
    // Their names begin with a number of cc's.
    let is_part = |object: &&str| {
        let name = object.trim_end_matches(".o").rsplit('-').next();
        name.is_some_and(|name| RECORD_PATH.contains(&name))
    };
    let objects: Vec<_> = listed.lines().filter(is_part).collect();
    assert_eq!(objects.len(), RECORD_PATH.len(), "{} has other objects than expected: {listed}", library.display());
    let status = archiver("d").args(objects).status().expect("as above");
    assert!(status.success(), "{}: {status}", library.display());
}
