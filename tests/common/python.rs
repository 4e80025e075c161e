//! Finds a Python that has pyzmq.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::root;

const MISSING: &str = "pyzmq is missing: python3 -m venv target/venv && target/venv/bin/pip install pyzmq";

/// Returns the first Python that has pyzmq, or says how to install pyzmq.
pub fn with_pyzmq() -> Result<PathBuf, &'static str> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let named = std::env::var_os("PYTHON").map(PathBuf::from);
        let installed = [root().join("target/venv/bin/python3"), PathBuf::from("python3")];
        named.into_iter().chain(installed).find(|python| {
            let output = Command::new(python).args(["-c", "import zmq"]).output();
            output.is_ok_and(|output| output.status.success())
        })
    };
    FOUND.get_or_init(find).clone().ok_or(MISSING)
}

/// Returns true if pyzmq is there. Otherwise says that the test is skipped, or fails, as [`required`] does.
pub fn has_pyzmq() -> bool {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    required(with_pyzmq(), &test).is_some()
}

/// Returns what a test needs. If it is missing, says that the test is skipped, or fails if
/// BZW_INTEROP=required is set.
pub fn required<T>(found: Result<T, &'static str>, test: &str) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) if std::env::var_os("BZW_INTEROP").is_some_and(|value| value == "required") => panic!("{why}"),
        Err(why) => {
            // The test harness shows what eprintln! prints only for tests that fail.
            let _ = std::io::stderr().write_all(format!("\nSKIPPED {test}: {why}\n").as_bytes());
            None
        }
    }
}
