//! `make` and `./configure` remove no directories that are not theirs, and all users can read what they
//! install.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory of a test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bro-zmq-install-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command line in the source tree, without MAKEFLAGS and CARGO_TARGET_DIR.
fn shell(line: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_remove("MAKEFLAGS").env_remove("CARGO_TARGET_DIR").output().unwrap()
}

#[test]
fn make_removes_nothing_outside_of_a_directory_of_its_own() {
    for variable in ["BUILD", "PORTABLE"] {
        for value in ["", "/", "//", "a b", " "] {
            for target in ["clean", "all", "portable", "install"] {
                let output = shell(&format!("make --dry-run {target} {variable}='{value}'"));
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "make {target} {variable}='{value}': {said}");
                assert!(said.contains(&format!("{variable}=\"")) && said.contains(": give one directory"), "{said}");
                assert!(!String::from_utf8_lossy(&output.stdout).contains("rm "));
            }
        }
    }
}

#[test]
fn configure_refuses_directories_that_make_cannot_use() {
    let scratch = Scratch::new("configure");
    for (value, expected) in [("", "needs a value"), ("a b", "a path with blanks"), ("a\tb", "a path with blanks")] {
        let directory = if value.is_empty() { String::new() } else { scratch.0.join(value).display().to_string() };
        let output = shell(&format!("./configure --without-host '--build-dir={directory}'"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{value:?}: {said}");
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 0, "nothing was made");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_installed_can_be_read_whatever_the_umask() {
    for umask in ["022", "027", "077"] {
        let scratch = Scratch::new(umask);
        let (build, target) = (scratch.0.join("build"), scratch.0.join("host/lib/plugins"));
        let output = shell(&format!(
            "umask {umask} && mkdir -p {build}/NCSA_ZeroMQWriter/lib && cd {build} &&
             echo 'PLUGIN_DIR := {target}' >config.mk && echo >NCSA_ZeroMQWriter/__zeek_plugin__ &&
             install -m 755 config.mk NCSA_ZeroMQWriter/lib/x.so &&
             mkdir bin && install -m 755 config.mk bin/bro-zmq && ln -s bro-zmq bin/zeek-zmq &&
             cd \"$OLDPWD\" && make install BUILD={build}",
            build = build.display(),
            target = target.display()
        ));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let plugin = target.join("NCSA_ZeroMQWriter");
        for (path, expected) in [
            (scratch.0.join("host"), 0o755),
            (target, 0o755),
            (plugin.clone(), 0o755),
            (plugin.join("lib"), 0o755),
            (plugin.join("lib/x.so"), 0o755),
            (plugin.join("__zeek_plugin__"), 0o644),
            (plugin.join("bin"), 0o755),
            (plugin.join("bin/zeek-zmq"), 0o755),
        ] {
            assert_eq!(mode(&path), expected, "umask {umask}: {}", path.display());
        }
    }
}
