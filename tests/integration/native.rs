//! For tests that compile and run programs in C: compilers, this crate's libraries, and a
//! place for what is built.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The crate's directory.
pub fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory of this test program's own, for what it builds.
pub fn scratch() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
    fs::create_dir_all(&directory).expect("the scratch directory can be made");
    directory
}

/// A compiler, with the flags that everything here is compiled with. `variable` is CC or
/// CXX and may hold flags of its own.
pub fn compile(variable: &str, flags: &[&str]) -> Command {
    let default = if variable == "CXX" { "c++" } else { "cc" };
    let compiler = env::var(variable).ok().filter(|value| !value.trim().is_empty()).unwrap_or_else(|| default.into());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(default));
    command.args(words).args(["-Wall", "-Wextra", "-Werror"]).args(flags);
    command.arg("-I").arg(manifest().join("include"));
    command
}

/// The static ("a") or shared ("so") library that cargo has built for this test.
pub fn library(extension: &str) -> PathBuf {
    let extension = if extension == "so" { env::consts::DLL_EXTENSION } else { extension };
    let test = env::current_exe().expect("a test program knows its path");
    let deps = test.parent().expect("a program is in a directory");
    let profile = deps.parent().unwrap_or(deps);
    // The newest, for the profile's directory may hold the library of an earlier build.
    [deps, profile]
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libbro_zeromq_writer") && name.ends_with(&format!(".{extension}"))
        })
        .max_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
        .unwrap_or_else(|| panic!("no libbro_zeromq_writer.{extension} in {} or above", deps.display()))
}

/// Runs a program that has to succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
