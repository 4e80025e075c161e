//! Builds the bundled libzmq, or finds the one to link instead.
//!
//! `BZW_ZMQ_PREFIX` is set by `configure --with-zmq=PREFIX`. Without it, libzmq
//! and libsodium are compiled and linked statically. `BZW_ZMQ_LINK` is
//! `dynamic` or `static` and chooses between the libraries found in the prefix.
//!
//! Crates that depend on this one get, in their build script:
//!
//! - `DEP_ZMQ_SOURCE`: `bundled` or `prefix`
//! - `DEP_ZMQ_LINK`: `static` or `dynamic`
//! - `DEP_ZMQ_VERSION`: such as `4.3.5`
//! - `DEP_ZMQ_INCLUDE`: the directory of `zmq.h`
//! - `DEP_ZMQ_LIB`: the directory of the library, for an rpath if it is dynamic

mod bundled;
mod patch;
mod prefix;

use std::env;
use std::path::Path;
use std::process::exit;

use prefix::Link;

fn main() {
    for path in ["build", "libzmq", "patches"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rustc-check-cfg=cfg(zmq_bundled)");
    for name in ["BZW_ZMQ_PREFIX", "BZW_ZMQ_LINK"] {
        println!("cargo:rerun-if-env-changed={name}");
    }

    let link = variable("BZW_ZMQ_LINK");
    let result = match variable("BZW_ZMQ_PREFIX") {
        Some(prefix) => link_installed(&prefix, link.as_deref()),
        None => build_bundled(link.as_deref()),
    };
    if let Err(message) = result {
        eprintln!("{message}");
        exit(1);
    }
}

/// An environment variable that counts as unset when it is empty.
fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name)?;
    let value = value.to_str().unwrap_or_else(|| {
        eprintln!("{name}={}: not valid UTF-8", value.to_string_lossy());
        exit(1);
    });
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn build_bundled(link: Option<&str>) -> Result<(), String> {
    match link {
        None | Some("static") => {}
        Some(link) => return Err(prefix::link_without_prefix(link)),
    }
    println!("cargo:rustc-cfg=zmq_bundled");
    let include = bundled::build()?;
    let version = prefix::version(&include.join("zmq.h"))
        .ok_or_else(|| format!("no version in {}", include.join("zmq.h").display()))?;
    let lib = env::var_os("OUT_DIR").expect("set by cargo");
    publish("bundled", Link::Static, version, &include, Path::new(&lib));
    Ok(())
}

fn link_installed(value: &str, link: Option<&str>) -> Result<(), String> {
    let target = env::var("TARGET").expect("set by cargo");
    let found = prefix::find(value, link, &prefix::multiarch(&target))?;

    println!("cargo:rerun-if-changed={}", found.header.display());
    println!("cargo:rerun-if-changed={}", found.library.display());
    println!("cargo:rustc-link-search=native={}", found.lib.display());
    match found.link {
        Link::Dynamic => {
            println!("cargo:rustc-link-lib=dylib=zmq");
            // The rpath is for this crate's tests; a dependent crate decides for itself.
            println!("cargo:rustc-link-arg-tests=-Wl,-rpath,{}", found.lib.display());
        }
        Link::Static => {
            println!("cargo:rustc-link-lib=static=zmq");
            for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "CXXSTDLIB"] {
                println!("cargo:rerun-if-env-changed={name}");
            }
            if !is_position_independent(&found.library) {
                println!(
                    "cargo:warning={} is not position-independent, so no plugin can contain it; \
                     use BZW_ZMQ_LINK=dynamic, or a libzmq built --with-pic",
                    found.library.display()
                );
            }
            let needs = prefix::static_needs(&found, &target);
            for dir in needs.search {
                println!("cargo:rustc-link-search=native={dir}");
            }
            for lib in needs.libs {
                println!("cargo:rustc-link-lib=dylib={lib}");
            }
        }
    }
    publish("prefix", found.link, found.version, &found.include, &found.lib);
    Ok(())
}

/// Returns true if a shared object can be made of a static library. If not, linking fails, too, but
/// with many errors, and only at the end of the build.
fn is_position_independent(library: &Path) -> bool {
    let out = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("probe.so");
    let output = cc::Build::new()
        .get_compiler()
        .to_command()
        .args(["-shared", "-nostdlib", "-Wl,--unresolved-symbols=ignore-all"])
        .arg("-Wl,--whole-archive")
        .arg(library)
        .arg("-o")
        .arg(out)
        .output();
    // Without a compiler, linking has to tell.
    output.map_or(true, |output| output.status.success())
}

/// Tells dependent crates, and this crate's tests, what is linked.
fn publish(source: &str, link: Link, version: prefix::Version, include: &Path, lib: &Path) {
    println!("cargo:source={source}");
    println!("cargo:link={link}");
    println!("cargo:version={version}");
    println!("cargo:include={}", include.display());
    println!("cargo:lib={}", lib.display());
    println!("cargo:rustc-env=ZMQ_SYS_SOURCE={source}");
    println!("cargo:rustc-env=ZMQ_SYS_VERSION={version}");
    println!("cargo:rustc-env=ZMQ_SYS_INCLUDE={}", include.display());
}
