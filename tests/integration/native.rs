//! For tests that compile and run programs in C: compilers, this crate's libraries, and a
//! place for what is built.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

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

/// Builds this crate's static ("a") or shared ("so") library, and returns its path.
pub fn library(extension: &str) -> PathBuf {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        // Built in the tests' target directory, which has its dependencies already.
        let test = env::current_exe().expect("a test program knows its path");
        let profile = test.ancestors().nth(2).expect("a program is in a directory of its profile");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        run(Command::new(cargo)
            .current_dir(manifest())
            .args([
                "rustc",
                "--locked",
                "--quiet",
                "-p",
                "bro-zeromq-writer",
                "--lib",
                "--crate-type",
                "cdylib,staticlib",
                "--target-dir",
            ])
            .arg(target));
        profile.to_owned()
    });
    let extension = if extension == "so" { env::consts::DLL_EXTENSION } else { extension };
    DIRECTORY.join(format!("libbro_zeromq_writer.{extension}"))
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
