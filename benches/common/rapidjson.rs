//! The peer that does what a host's formatter does, in C++ (`benches/rapidjson/formatter.cc`).
//!
//! It is compiled when a benchmark runs, not when one is built: so neither the crate's
//! build script nor the other benchmarks need RapidJSON.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use super::table::directory;
use super::{Set, root};

type FormatFn = unsafe extern "C" fn(
    num_fields: c_int,
    fields: *const *const c_void,
    values: *const *const c_void,
    out: *mut c_char,
    size: usize,
) -> usize;

/// The formatter.
#[derive(Clone, Copy)]
pub struct RapidJson(FormatFn);

impl RapidJson {
    /// Compiles and loads it; `None`, and a line that says why, if that cannot be done.
    #[must_use]
    pub fn load() -> Option<Self> {
        Self::try_load().inspect_err(|why| println!("RapidJSON is left out: {why}")).ok()
    }

    fn try_load() -> Result<Self, String> {
        let source = root().join("benches/rapidjson/formatter.cc");
        let library = directory().join("libformatter.so");
        std::fs::create_dir_all(directory()).map_err(|error| error.to_string())?;
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let mut words = compiler.split_whitespace();
        let output = Command::new(words.next().unwrap_or("c++"))
            .args(words)
            .args(["-std=c++17", "-O2", "-DNDEBUG", "-fPIC", "-shared", "-Wall", "-o"])
            .args([&library, &source])
            .output()
            .map_err(|error| format!("{compiler}: {error}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(if errors.contains("rapidjson/") && errors.contains("No such file") {
                "its headers are not installed (Debian: rapidjson-dev)".to_owned()
            } else {
                format!("it does not compile:\n{errors}")
            });
        }
        let name = CString::new(library.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        // SAFETY: a library of our own, without constructors, that stays loaded; the
        // function has this type.
        unsafe {
            let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            let name = c"format_as_hosts_do";
            let symbol = if handle.is_null() { handle } else { libc::dlsym(handle, name.as_ptr()) };
            if symbol.is_null() {
                return Err(format!("cannot load {}", library.display()));
            }
            Ok(Self(std::mem::transmute::<*mut c_void, FormatFn>(symbol)))
        }
    }

    /// Formats a record as hosts do, into `out`.
    #[inline]
    #[must_use]
    pub fn format(&self, set: &Set, index: usize, out: &mut [u8]) -> usize {
        let columns = set.names.len() as c_int;
        // SAFETY: a record of as many columns, in the layout that the C++ side declares, and
        // memory of the size given.
        let len =
            unsafe { (self.0)(columns, set.columns().as_ptr(), set.values(index), out.as_mut_ptr().cast(), out.len()) };
        assert!(len <= out.len());
        len
    }
}

/// Returns true if two JSON texts are the same bytes, apart from numbers of the same value with other
/// digits: RapidJSON's Grisu2 does not always find the shortest ones.
#[must_use]
pub fn same_but_for_digits(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        let same = match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) => a == b || (number(a).is_some() && number(a) == number(b)),
            _ => false,
        };
        if !same {
            return false;
        }
    }
}

fn number(token: &[u8]) -> Option<f64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// Strings, numbers and words, and everything between them byte by byte.
fn tokens(mut json: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let first = *json.first()?;
        let len = if first == b'"' {
            let mut end = 1;
            while json[end] != b'"' {
                end += if json[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        } else {
            let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
            json.iter().take_while(|&byte| of_word(byte)).count().max(1)
        };
        let (token, rest) = json.split_at(len);
        json = rest;
        Some(token)
    })
}
