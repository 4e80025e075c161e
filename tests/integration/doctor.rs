//! `bro-zmq doctor` where there is no host, or something that is none. With a host it is
//! tried by hand: it asks the host itself.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn doctor(path: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bro-zmq"))
        .arg("doctor")
        .arg(path)
        .env_remove("ZEEK_PLUGIN_PATH")
        .env_remove("BRO_PLUGIN_PATH")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A file of this test's own.
fn file(name: &str, content: &[u8]) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{name}"));
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_place_without_a_host_is_an_error() {
    let (status, out, err) = doctor(Path::new(env!("CARGO_TARGET_TMPDIR")));
    assert_eq!(status, Some(2));
    assert!(out.is_empty() && err.contains("there is no host there, neither bin/zeek nor bin/bro"), "{out}{err}");
}

#[test]
fn a_file_that_is_no_program_is_an_error() {
    let (status, out, err) = doctor(&file("text", b"#!/bin/sh\n"));
    assert_eq!(status, Some(2));
    assert!(out.is_empty() && err.contains("no 64-bit program"), "{out}{err}");
}

#[test]
fn another_program_is_no_host() {
    let (status, out, err) = doctor(&env::current_exe().unwrap());
    assert_eq!(status, Some(1), "{err}");
    assert!(out.contains("wrong  it is neither Bro nor Zeek"), "{out}{err}");
}

#[test]
fn a_broken_program_is_said_to_be_one() {
    let whole = fs::read(env::current_exe().unwrap()).unwrap();
    let header = &whole[..64];
    for (i, content) in
        [header.to_vec(), [header, &[0xff; 4096]].concat(), [header, &[0x7f; 4096]].concat()].iter().enumerate()
    {
        let (status, out, err) = doctor(&file(&format!("broken-{i}"), content));
        assert!(matches!(status, Some(1 | 2)), "{status:?} {out}{err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    // Every byte of the front, one at a time.
    let front = &whole[..whole.len().min(1 << 16)];
    for at in (16..2048).step_by(61) {
        let mut content = front.to_vec();
        content[at] ^= 0xff;
        let (status, out, err) = doctor(&file("flipped", &content));
        assert!(matches!(status, Some(1 | 2)), "{status:?} {out}{err}");
    }
}
