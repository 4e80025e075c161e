//! What the build script makes of `--with-zmq=PREFIX`.

#[allow(dead_code)]
#[path = "../build/prefix.rs"]
mod prefix;

use std::fs;
use std::path::{Path, PathBuf};

use prefix::{Installed, Link, Version};

const TRIPLE: &str = "x86_64-linux-gnu";

/// A directory to pretend libzmq is installed in.
struct Prefix(PathBuf);

impl Prefix {
    fn new(name: &str) -> Prefix {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prefix").join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Prefix(dir)
    }

    fn with(self, file: &str, content: &str) -> Prefix {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn with_header(self, file: &str, version: Version) -> Prefix {
        let Version(major, minor, patch) = version;
        let text = format!(
            "#ifndef __ZMQ_H_INCLUDED__\n#define ZMQ_VERSION_MAJOR {major}\n\
             #define ZMQ_VERSION_MINOR {minor}\n# define  ZMQ_VERSION_PATCH\t{patch} /* ! */\n"
        );
        self.with(file, &text)
    }

    fn value(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn find(&self, link: Option<&str>) -> Result<Installed, String> {
        prefix::find(self.value(), link, TRIPLE)
    }

    /// The message, after checking what all of them have.
    fn error(&self, link: Option<&str>) -> String {
        let message = self.find(link).unwrap_err();
        let option = format!("--with-zmq={}", self.value());
        assert!(message.starts_with("error: "), "{message}");
        assert!(message.contains(&option), "{message}");
        assert!(message.contains("what to do: "), "{message}");
        message
    }

    fn assert_looked_for(&self, message: &str, files: &[&str]) {
        let expected: Vec<_> = files.iter().map(|file| format!("looked for: {}/{file}", self.value())).collect();
        let lines: Vec<_> = message.lines().filter(|line| line.starts_with("looked for: ")).collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn dynamic_is_preferred() {
    let prefix = Prefix::new("dynamic")
        .with_header("include/zmq.h", Version(4, 3, 4))
        .with("lib/libzmq.a", "")
        .with("lib/x86_64-linux-gnu/libzmq.so", "");
    let found = prefix.find(None).unwrap();
    assert_eq!(found.version, Version(4, 3, 4));
    assert_eq!(found.link, Link::Dynamic);
    assert_eq!(found.include, prefix.0.join("include"));
    assert_eq!(found.lib, prefix.0.join("lib/x86_64-linux-gnu"));

    let found = prefix.find(Some("static")).unwrap();
    assert_eq!(found.link, Link::Static);
    assert_eq!(found.lib, prefix.0.join("lib"));
}

#[test]
fn static_if_there_is_nothing_else() {
    let prefix = Prefix::new("static")
        .with_header("include/x86_64-linux-gnu/zmq.h", Version(4, 1, 0))
        .with("lib64/libzmq.a", "");
    let found = prefix.find(None).unwrap();
    assert_eq!(found.link, Link::Static);
    assert_eq!(found.include, prefix.0.join("include/x86_64-linux-gnu"));
    assert_eq!(found.lib, prefix.0.join("lib64"));
}

#[test]
fn no_header() {
    let prefix = Prefix::new("no_header").with("lib/libzmq.so", "");
    let message = prefix.error(None);
    assert!(message.contains("there is no zmq.h"), "{message}");
    prefix.assert_looked_for(&message, &["include/zmq.h", "include/x86_64-linux-gnu/zmq.h"]);
}

#[test]
fn no_such_directory() {
    let prefix = Prefix::new("no_such_directory");
    fs::remove_dir(&prefix.0).unwrap();
    assert!(prefix.error(None).contains("there is no zmq.h"));
}

#[test]
fn no_library() {
    let prefix = Prefix::new("no_library")
        .with_header("include/zmq.h", Version(4, 3, 5))
        // What there is without the development files.
        .with("lib/libzmq.so.5", "");
    let message = prefix.error(None);
    assert!(message.contains("no library"), "{message}");
    prefix.assert_looked_for(
        &message,
        &[
            "lib/libzmq.so",
            "lib64/libzmq.so",
            "lib/x86_64-linux-gnu/libzmq.so",
            "lib/libzmq.a",
            "lib64/libzmq.a",
            "lib/x86_64-linux-gnu/libzmq.a",
        ],
    );
}

#[test]
fn no_library_of_the_kind() {
    let prefix = Prefix::new("no_library_of_the_kind")
        .with_header("include/zmq.h", Version(4, 3, 5))
        .with("lib64/libzmq.so", "");
    let message = prefix.error(Some("static"));
    assert!(message.contains("BZW_ZMQ_LINK=static"), "{message}");
    assert!(message.contains("set BZW_ZMQ_LINK=dynamic"), "{message}");
    prefix.assert_looked_for(&message, &["lib/libzmq.a", "lib64/libzmq.a", "lib/x86_64-linux-gnu/libzmq.a"]);
}

#[test]
fn too_old() {
    let prefix = Prefix::new("too_old").with_header("include/zmq.h", Version(4, 0, 10)).with("lib/libzmq.so", "");
    let message = prefix.error(None);
    assert!(message.contains("4.0.10 is too old"), "{message}");
    assert!(message.contains("include/zmq.h"), "{message}");
    assert!(message.contains("looked for: libzmq 4.1 or newer"), "{message}");
}

#[test]
fn no_version() {
    let prefix =
        Prefix::new("no_version").with("include/zmq.h", "#define ZMQ_VERSION_MAJOR four\n").with("lib/libzmq.so", "");
    let message = prefix.error(None);
    assert!(message.contains("does not say its version"), "{message}");
    assert!(message.contains("ZMQ_VERSION_MAJOR"), "{message}");
}

#[test]
fn relative_path() {
    let message = prefix::find("opt/zmq", None, TRIPLE).unwrap_err();
    assert!(message.contains("--with-zmq=opt/zmq"), "{message}");
    assert!(message.contains("not an absolute path"), "{message}");
}

#[test]
fn wrong_link() {
    let message = Prefix::new("wrong_link").error(Some("shared"));
    assert!(message.contains("BZW_ZMQ_LINK=shared"), "{message}");

    let message = prefix::link_without_prefix("dynamic");
    assert!(message.contains("BZW_ZMQ_LINK=dynamic"), "{message}");
    assert!(message.contains("what to do: "), "{message}");
}

#[test]
fn multiarch_triples() {
    for (target, triple) in [
        ("x86_64-unknown-linux-gnu", "x86_64-linux-gnu"),
        ("i686-unknown-linux-gnu", "i386-linux-gnu"),
        ("aarch64-unknown-linux-gnu", "aarch64-linux-gnu"),
        ("armv7-unknown-linux-gnueabihf", "arm-linux-gnueabihf"),
        ("powerpc64le-unknown-linux-gnu", "powerpc64le-linux-gnu"),
        ("riscv64gc-unknown-linux-gnu", "riscv64-linux-gnu"),
    ] {
        assert_eq!(prefix::multiarch(target), triple);
    }
}

#[test]
fn needs_of_a_static_library() {
    let prefix = Prefix::new("needs")
        .with_header("include/zmq.h", Version(4, 3, 5))
        .with("lib/libzmq.a", "!<arch>\n\0sodium_init\0");
    let found = prefix.find(Some("static")).unwrap();
    let needs = prefix::static_needs(&found, "x86_64-unknown-linux-gnu");
    assert_eq!(needs.libs, ["sodium", "stdc++"]);

    let needs = prefix::parse_flags("-L/opt/lib -lzmq -lstdc++ -pthread -lrt");
    assert_eq!(needs.search, ["/opt/lib"]);
    assert_eq!(needs.libs, ["stdc++", "rt"]);
}
