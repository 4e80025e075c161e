//! Adds the host's side to the shared object: for the host that is given to the build
//! (`bro-plugin/build/host.rs`), or with the feature `portable` for every host
//! (`bro-plugin/build/portable.rs`). Without either, only libzmq is looked at.

#[path = "bro-plugin/build/common.rs"]
mod common;
#[path = "bro-plugin/build/host.rs"]
mod host;
#[allow(dead_code, reason = "the plugin has more of it")]
#[path = "src/host/layout.rs"]
mod layout;
#[path = "bro-plugin/build/libzmq.rs"]
mod libzmq;
#[path = "bro-plugin/build/portable.rs"]
mod portable;

use common::var;
use host::Host;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(bzw_host, zmq_curve)");
    for path in ["build.rs", "bro-plugin/build", "src/host/layout.rs"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for name in
        ["BZW_HOST_VERSION", "BZW_HOST_INCLUDES", "BZW_HOST_DEBUG", "BZW_OBJECTS", "CXX", "CXXFLAGS", "LIBCLANG_PATH"]
    {
        println!("cargo::rerun-if-env-changed={name}");
    }

    libzmq::find_at_run_time();
    // Older versions of libzmq lack functions and options that CURVE is used with.
    if var("DEP_ZMQ_VERSION").is_some_and(|version| at_least(&version, [4, 3])) {
        println!("cargo::rustc-cfg=zmq_curve");
    }

    let result = match cfg!(feature = "portable") {
        true => portable::build(),
        false => Host::from_env().and_then(|host| host.map_or(Ok(()), |host| host::build(&host))),
    };
    if let Err(message) = result {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// Returns true if a version such as 4.3.5 is `wanted` or newer.
fn at_least(version: &str, wanted: [u32; 2]) -> bool {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).take(2).collect();
    numbers.as_slice() >= wanted.as_slice()
}
