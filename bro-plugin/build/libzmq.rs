//! libzmq as the build has it.

use std::env;
use std::path::Path;

/// A variable of the environment that is set and not empty.
pub fn var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Lets a linked program find a libzmq outside the system's directories where the build has found it.
pub fn find_at_run_time() {
    if let (Some("dynamic"), Some(lib)) = (var("DEP_ZMQ_LINK").as_deref(), var("DEP_ZMQ_LIB"))
        && !["/lib", "/usr/lib"].iter().any(|system| Path::new(&lib).starts_with(system))
    {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
