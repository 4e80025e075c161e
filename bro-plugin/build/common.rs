//! How the host's side is compiled, for one host or for every host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

pub use crate::libzmq::var;

/// The error tells the one who builds what is wrong.
pub type Result<T> = std::result::Result<T, String>;

/// Where cargo wants what is generated.
pub fn out_dir() -> Result<PathBuf> {
    Ok(PathBuf::from(var("OUT_DIR").ok_or("OUT_DIR is not set")?))
}

/// Writes a file, unless it is as it should be: compilers and cargo look at the file's time.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Why something was not compiled.
pub enum Failure {
    /// The compiler cannot be used.
    Compiler(String),
    /// What the compiler said of the sources.
    Sources(String),
}

impl Failure {
    /// What the one who builds is told; `sources` explains what the compiler said.
    pub fn explain(self, sources: impl FnOnce(&str) -> String) -> String {
        match self {
            Self::Compiler(message) => message,
            Self::Sources(messages) => sources(&messages),
        }
    }
}

/// Compiles sources, and adds them to the shared object.
pub fn compile<const N: usize>(
    mut build: cc::Build,
    sources: &[&'static str; N],
    out: &Path,
) -> std::result::Result<(), Failure> {
    for path in ["bro-plugin", "include"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for part in ["MAJOR", "MINOR", "PATCH"] {
        let value = var(&format!("CARGO_PKG_VERSION_{part}")).unwrap_or_default();
        build.define(&format!("BZW_VERSION_{part}"), value.as_str());
    }
    let compiler = tool(&build).map_err(Failure::Compiler)?;
    // The build of a host that is to contain the plugin says where it wants the objects.
    let dir = var("BZW_OBJECTS").map_or_else(|| out.to_owned(), PathBuf::from);
    fs::create_dir_all(&dir).map_err(|error| Failure::Compiler(format!("cannot make {}: {error}", dir.display())))?;
    let objects = sources.map(|source| (source, dir.join(source.replace('/', "-")).with_extension("o")));
    // All sources at once: the host's headers take the time.
    let running = objects.each_ref().map(|(source, object)| {
        compiler.to_command().arg("-c").arg(source).arg("-o").arg(object).stderr(Stdio::piped()).spawn()
    });
    for child in running {
        let output = child
            .and_then(Child::wait_with_output)
            .map_err(|error| Failure::Compiler(format!("cannot run {}: {error}", compiler.path().display())))?;
        if !output.status.success() {
            return Err(Failure::Sources(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }

    // Objects and not a library, and for the shared object alone: the linker must keep
    // the plugin's global object, which nothing refers to, and only a host has the
    // symbols that the glue needs.
    for (_, object) in objects {
        println!("cargo::rustc-link-arg={}", object.display());
    }
    println!("cargo::rustc-link-arg=-lstdc++");
    Ok(())
}

/// The C++ compiler with all its arguments.
pub fn tool(build: &cc::Build) -> Result<cc::Tool> {
    build.try_get_compiler().map_err(|error| {
        format!("no C++ compiler: {error}\ninstall one (Debian: g++) or name it in the environment variable CXX")
    })
}
