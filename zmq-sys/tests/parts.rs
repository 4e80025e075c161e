//! Parts of the patched libzmq by themselves, with sanitizers: the queue that takes the place of its
//! own (`queue.cc`), and what its trie of subscriptions counts (`trie.cc`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod compiler;

/// Compiles `code` with a sanitizer, as a source of libzmq. Returns the program, or the messages.
fn compile(sanitizer: &str, code: &Path, arguments: &[&str]) -> Result<PathBuf, String> {
    let include = Path::new(env!("ZMQ_SYS_INCLUDE"));
    let program = code.with_extension("");
    let output = compiler::command("CXX", "c++")
        .args(["-std=c++11", "-g", "-O1", "-pthread"])
        .arg(format!("-fsanitize={sanitizer}"))
        .args(arguments)
        .args([include, &include.join("../src")].map(|dir| format!("-I{}", dir.display())))
        .arg(code)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("run the C++ compiler");
    match output.status.success() {
        true => Ok(program),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn run(name: &str, sanitizer: &str) {
    if env!("ZMQ_SYS_SOURCE") != "bundled" || !cfg!(target_os = "linux") {
        println!("SKIPPED: libzmq is as it is");
        return;
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{sanitizer}"));
    fs::create_dir_all(&dir).unwrap();
    let empty = dir.join("empty.cc");
    fs::write(&empty, "int main() {}\n").unwrap();
    if let Err(messages) = compile(sanitizer, &empty, &[]) {
        println!("SKIPPED: the compiler has no -fsanitize={sanitizer}: {messages}");
        return;
    }
    let code = dir.join(format!("{name}.cc"));
    fs::copy(format!("tests/{name}.cc"), &code).unwrap();
    let program =
        compile(sanitizer, &code, &["-include", "platform.hpp"]).unwrap_or_else(|messages| panic!("{messages}"));
    let output = Command::new(program).output().expect("run the test program");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"passed\n", "{}: {messages}", output.status);
}

#[test]
fn no_data_race() {
    run("queue", "thread");
}

#[test]
fn no_invalid_access() {
    run("queue", "address,undefined");
}

#[test]
fn what_subscriptions_take() {
    // Other sanitizers have an allocator of their own, which counts otherwise.
    run("trie", "undefined");
}
