//! Finds the libzmq that `--with-zmq=PREFIX` names.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `zmq_has` and with it the way this crate is used came with 4.1.
const OLDEST: Version = Version(4, 1, 0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Dynamic,
    Static,
}

impl Link {
    fn other(self) -> Link {
        match self {
            Link::Dynamic => Link::Static,
            Link::Static => Link::Dynamic,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Link::Dynamic if cfg!(target_vendor = "apple") => "libzmq.dylib",
            Link::Dynamic => "libzmq.so",
            Link::Static => "libzmq.a",
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Link::Dynamic => "dynamic",
            Link::Static => "static",
        })
    }
}

#[derive(Debug)]
pub struct Installed {
    pub version: Version,
    pub link: Link,
    pub include: PathBuf,
    pub header: PathBuf,
    pub lib: PathBuf,
    pub library: PathBuf,
}

/// Libraries that a static libzmq depends on, and where else to look for them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub search: Vec<String>,
    pub libs: Vec<String>,
}

/// Debian's name of the target, as in `/usr/lib/x86_64-linux-gnu`.
pub fn multiarch(target: &str) -> String {
    let mut parts = target.split('-');
    let arch = match parts.next().unwrap_or_default() {
        "i586" | "i686" => "i386",
        arch if arch.starts_with("armv") || arch.starts_with("thumbv") => "arm",
        arch if arch.starts_with("riscv64") => "riscv64",
        arch => arch,
    };
    // The vendor is not part of the name.
    parts.next();
    let mut name = arch.to_owned();
    for part in parts {
        name.push('-');
        name.push_str(part);
    }
    name
}

/// The version that a `zmq.h` declares.
pub fn version(header: &Path) -> Option<Version> {
    let text = fs::read(header).ok()?;
    let text = String::from_utf8_lossy(&text);
    let number = |name: &str| {
        text.lines().find_map(|line| {
            let mut words = line.trim().strip_prefix('#')?.split_whitespace();
            (words.next() == Some("define") && words.next() == Some(name)).then(|| words.next()?.parse().ok())?
        })
    };
    Some(Version(number("ZMQ_VERSION_MAJOR")?, number("ZMQ_VERSION_MINOR")?, number("ZMQ_VERSION_PATCH")?))
}

pub fn link_without_prefix(link: &str) -> String {
    format!(
        "error: BZW_ZMQ_LINK={link}: the bundled libzmq can only be linked statically\n\
         what to do: name an installed libzmq with --with-zmq=PREFIX, \
         or leave BZW_ZMQ_LINK unset"
    )
}

/// Finds header and library in `prefix`, or says what is wrong with it.
pub fn find(prefix: &str, link: Option<&str>, multiarch: &str) -> Result<Installed, String> {
    let wanted = match link {
        None => None,
        Some("dynamic") => Some(Link::Dynamic),
        Some("static") => Some(Link::Static),
        Some(other) => {
            return Err(format!(
                "error: BZW_ZMQ_LINK={other}: not a way to link the libzmq of --with-zmq={prefix}\n\
                 what to do: set it to \"dynamic\" or \"static\", or leave it unset"
            ))
        }
    };
    let fail = |problem: &str, looked_for: &[PathBuf], remedy: &str| {
        let mut text = format!("error: --with-zmq={prefix} (BZW_ZMQ_PREFIX): {problem}\n");
        for path in looked_for {
            text.push_str(&format!("looked for: {}\n", path.display()));
        }
        text.push_str(&format!("what to do: {remedy}, or leave the option out to use the bundled libzmq"));
        text
    };

    let root = Path::new(prefix);
    if !root.is_absolute() {
        return Err(fail(
            "not an absolute path",
            &[],
            "give the absolute path of the directory that libzmq was installed to",
        ));
    }

    let includes = [root.join("include"), root.join("include").join(multiarch)];
    let headers = includes.clone().map(|dir| dir.join("zmq.h"));
    let Some(index) = headers.iter().position(|path| path.is_file()) else {
        return Err(fail(
            "there is no zmq.h",
            &headers,
            "give the directory that has libzmq's include and lib directories, \
             and install the development files of libzmq there",
        ));
    };
    let header = headers[index].clone();
    let include = includes[index].clone();

    let newer = "give the prefix of a libzmq 4.1 or newer";
    let version = version(&header).ok_or_else(|| {
        fail(
            "zmq.h does not say its version",
            &[PathBuf::from(format!(
                "ZMQ_VERSION_MAJOR, ZMQ_VERSION_MINOR and ZMQ_VERSION_PATCH in {}",
                header.display()
            ))],
            newer,
        )
    })?;
    if version < OLDEST {
        return Err(fail(
            &format!("libzmq {version} is too old, according to {}", header.display()),
            &[PathBuf::from("libzmq 4.1 or newer")],
            newer,
        ));
    }

    let dirs = [root.join("lib"), root.join("lib64"), root.join("lib").join(multiarch)];
    let paths = |link: Link| dirs.iter().map(move |dir| (link, dir.join(link.file())));
    let candidates: Vec<_> = match wanted {
        Some(link) => paths(link).collect(),
        None => paths(Link::Dynamic).chain(paths(Link::Static)).collect(),
    };
    let Some((link, library)) = candidates.iter().find(|(_, path)| path.is_file()) else {
        let looked_for: Vec<_> = candidates.into_iter().map(|(_, path)| path).collect();
        // Naming the other kind helps more than anything else if it is there.
        let other = wanted.map(Link::other).filter(|&link| paths(link).any(|(_, path)| path.is_file()));
        return Err(match other {
            Some(other) => fail(
                &format!("there is no library for BZW_ZMQ_LINK={}", other.other()),
                &looked_for,
                &format!("set BZW_ZMQ_LINK={other}, for which there is one"),
            ),
            None => {
                fail("there is a zmq.h, but no library", &looked_for, "install the development files of libzmq there")
            }
        });
    };
    Ok(Installed {
        version,
        link: *link,
        include,
        header,
        lib: library.parent().expect("is in a directory").to_owned(),
        library: library.clone(),
    })
}

/// What the static library depends on, from its `.pc` file if it has one.
pub fn static_needs(found: &Installed, target: &str) -> Needs {
    let pc = found.lib.join("pkgconfig/libzmq.pc");
    let mut needs = Needs::default();
    if pc.is_file() {
        // pkg-config knows what the libraries in Requires.private are.
        let flags = pkg_config(&pc).or_else(|| libs_private(&pc));
        needs = parse_flags(&flags.unwrap_or_default());
    }
    let mut add = |name: &str| {
        if !needs.libs.iter().any(|lib| lib == name) {
            needs.libs.push(name.to_owned());
        }
    };
    if fs::read(&found.library).is_ok_and(|archive| contains(&archive, b"sodium_init\0")) {
        add("sodium");
    }
    match env::var("CXXSTDLIB") {
        Ok(name) if name.is_empty() => {}
        Ok(name) => add(&name),
        Err(_) if target.contains("apple") || target.contains("bsd") => add("c++"),
        Err(_) => add("stdc++"),
    }
    needs
}

fn pkg_config(pc: &Path) -> Option<String> {
    let dir = pc.parent()?;
    let mut path = vec![dir.to_owned()];
    if let Some(user) = env::var_os("PKG_CONFIG_PATH") {
        path.extend(env::split_paths(&user));
    }
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(program)
        .args(["--static", "--libs", "libzmq"])
        .env("PKG_CONFIG_PATH", env::join_paths(path).ok()?)
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The part that needs no other `.pc` file.
fn libs_private(pc: &Path) -> Option<String> {
    let text = fs::read_to_string(pc).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Libs.private:")).map(str::to_owned)
}

pub fn parse_flags(flags: &str) -> Needs {
    let mut needs = Needs::default();
    for flag in flags.split_whitespace() {
        if let Some(dir) = flag.strip_prefix("-L") {
            needs.search.push(dir.to_owned());
        } else if let Some(lib) = flag.strip_prefix("-l") {
            if lib != "zmq" {
                needs.libs.push(lib.to_owned());
            }
        }
    }
    needs
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
