//! Compiles libzmq from the source in the crate zeromq-src, with what `patches` and `libzmq` change;
//! with the feature `curve`, libsodium-sys-stable has compiled libsodium before.
//!
//! - `libzmq/linux.h`, `libzmq/unix.h`: what the system has, in the place of `platform.hpp`
//! - `libzmq/ypipe.hpp`: another queue between threads, in the place of libzmq's (on Linux)
//! - `libzmq/record.cc`: functions of our own
//! - `patches/`: everything else, see [`crate::patch`]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::patch;

/// The crate that has the source, and the directories that are needed of it.
const CRATE: &str = "zeromq-src";
const DIRECTORIES: [&str; 3] = ["include", "src", "external/sha1"];

/// Sources that need GnuTLS.
const LEFT_OUT: [&str; 2] = ["wss_address.cpp", "wss_engine.cpp"];

/// The sources of libzmq that a record passes through, in the order in which it does. On Linux they are compiled as
/// one, so that the compiler can inline the many small functions of one that are called by another. This saves a
/// tenth of libzmq's part in sending and receiving.
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
///
/// # Errors
///
/// The source is not to be had, or is another one than the patches are for.
pub fn build() -> Result<PathBuf, String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let tree = out.join("libzmq");
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    copy(&source()?, &tree, linux).map_err(|error| format!("cannot copy libzmq's source: {error}"))?;
    patch::apply_all(Path::new("patches"), &tree)?;

    let src = tree.join("src");
    let entries = fs::read_dir(&src).map_err(|error| format!("{}: {error}", src.display()))?;
    let mut sources: BTreeSet<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension() == Some(OsStr::new("cpp")))
        .collect();
    for name in LEFT_OUT {
        sources.remove(&src.join(name));
    }
    let record = src.join("record.cc");
    if linux {
        let mut names = Vec::new();
        for name in RECORD_PATH {
            let path = src.join(format!("{name}.cpp"));
            if !sources.remove(&path) {
                return Err(format!("{} has no {name}.cpp", src.display()));
            }
            names.push(path);
        }
        names.push(record);
        // The others are one, too: they include much of the same, so that one by one they take six times as long.
        let units = [unit(&src, "record_path.cc", &names)?, unit(&src, "others.cc", &sources)?];
        sources = BTreeSet::from(units);
    } else {
        sources.insert(record);
    }

    let mut compiler = compiler(&tree);
    let sha1 = compiler.clone().file(tree.join("external/sha1/sha1.c")).compile_intermediates();
    compiler.cpp(true).std("c++11").flag("-fvisibility-inlines-hidden").objects(sha1).files(sources);
    compiler.compile("zmq");
    if let Some(sodium) = sodium("LIB") {
        println!("cargo:rustc-link-search={sodium}");
        println!("cargo:rustc-link-lib=static=sodium");
    }
    Ok(tree.join("include"))
}

/// A directory of libsodium's, if it was compiled.
fn sodium(what: &str) -> Option<String> {
    env::var(format!("DEP_SODIUM_{what}")).ok()
}

/// Writes a source file that includes several.
fn unit<'a>(src: &Path, name: &str, of: impl IntoIterator<Item = &'a PathBuf>) -> Result<PathBuf, String> {
    let text: String = of.into_iter().map(|path| format!("#include \"{}\"\n", path.display())).collect();
    let path = src.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// A compiler with what libzmq's sources need.
fn compiler(tree: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    // Debug builds of this crate need no slow libzmq.
    if !matches!(env::var("OPT_LEVEL").as_deref(), Ok("2" | "3")) {
        build.opt_level(2);
    }
    // Nothing of libzmq may be visible outside the library it is linked into. The warnings are not
    // ours.
    build
        .debug(false)
        .warnings(false)
        .flag("-w")
        .flag("-fvisibility=hidden")
        .flag_if_supported(format!("-ffile-prefix-map={}=libzmq", tree.display()))
        .define("ZMQ_NO_EXPORT", None)
        .define("ZMQ_STATIC", None)
        .flag("-include")
        .flag(tree.join("src/platform.hpp"))
        .includes([tree.join("include"), tree.join("src"), tree.join("external")]);
    if let Some(sodium) = sodium("INCLUDE") {
        build.define("SODIUM_STATIC", None).include(sodium);
    }
    build
}

/// The directory of libzmq's source, which cargo knows: a build script is not told where the crates
/// are that it is linked with.
fn source() -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").expect("set by cargo");
    let metadata = |network: &[&str]| {
        let output = Command::new(&cargo).args(["metadata", "--format-version=1"]).args(network).output();
        output.map_err(|error| format!("cargo metadata: {error}"))
    };
    let mut output = metadata(&["--offline"])?;
    if !output.status.success() {
        // Offline, cargo fails if it lacks the source of any crate, needed here or not.
        output = metadata(&[])?;
    }
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let manifest = text.split_once(&format!("\"name\":\"{CRATE}\",")).and_then(|(_, package)| {
        let (_, path) = package.split_once("\"manifest_path\":\"")?;
        Some(Path::new(path.split('"').next()?))
    });
    let manifest = manifest.ok_or_else(|| format!("cargo metadata has no {CRATE}"))?;
    println!("cargo:rerun-if-changed={}", manifest.display());
    Ok(manifest.with_file_name("vendor"))
}

/// Copies what is needed of libzmq's source, and what stands in the place of some of it.
fn copy(from: &Path, to: &Path, linux: bool) -> std::io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for directory in DIRECTORIES {
        fs::create_dir_all(to.join(directory))?;
        for entry in fs::read_dir(from.join(directory))? {
            let entry = entry?;
            // A copy's permissions would be those of the original, which may be read-only.
            fs::write(to.join(directory).join(entry.file_name()), fs::read(entry.path())?)?;
        }
    }
    let ours = Path::new("libzmq");
    let src = to.join("src");
    let mut platform = fs::read_to_string(ours.join(if linux { "linux.h" } else { "unix.h" }))?;
    if sodium("LIB").is_some() {
        platform += "#define ZMQ_HAVE_CURVE 1\n#define ZMQ_USE_LIBSODIUM 1\n";
    }
    fs::write(src.join("platform.hpp"), platform)?;
    fs::copy(ours.join("record.cc"), src.join("record.cc"))?;
    if linux {
        fs::copy(ours.join("ypipe.hpp"), src.join("ypipe.hpp"))?;
    }
    Ok(())
}
