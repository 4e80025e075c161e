//! Patches apply exactly or not at all.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../build/patch.rs"]
mod patch;

/// Applies a patch to a tree with a file of the lines 1 to 20. Returns the file's text.
fn apply(name: &str, text: &str) -> Result<String, String> {
    let dir: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("patch").join(name);
    let (tree, patches) = (dir.join("tree"), dir.join("patches"));
    for dir in [&tree.join("src"), &patches] {
        fs::create_dir_all(dir).unwrap();
    }
    let file = tree.join("src/x.cpp");
    let lines: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    fs::write(patches.join("0001-x.patch"), text).unwrap();
    patch::apply_all(&patches, &tree)?;
    Ok(fs::read_to_string(file).unwrap())
}

const HEAD: &str = "What it is for\n\n--- a/src/x.cpp\n+++ b/src/x.cpp\n";

#[test]
fn lines_are_added_and_removed() {
    let text = format!("{HEAD}@@ -2,3 +2,4 @@ context\n 2\n-3\n+three\n+and\n 4\n@@ -19,2 +20,1 @@\n 19\n-20\n");
    let patched = apply("good", &text).unwrap();
    let expected = ["1", "2", "three", "and", "4"].map(str::to_owned).into_iter();
    let expected: Vec<String> = expected.chain((5..20).map(|n| n.to_string())).collect();
    assert_eq!(patched, expected.join("\n") + "\n");
}

#[test]
fn what_does_not_fit_is_an_error_that_says_where() {
    for (name, text, error) in [
        ("other", format!("{HEAD}@@ -2,2 +2,1 @@\n 2\n-4\n"), "src/x.cpp:3: expected \"4\", found \"3\""),
        ("moved", format!("{HEAD}@@ -3,2 +3,1 @@\n 2\n-3\n"), "src/x.cpp:3: expected \"2\", found \"3\""),
        ("end", format!("{HEAD}@@ -20,2 +20,2 @@\n 20\n 21\n"), "src/x.cpp:21: expected \"21\", found \"the end\""),
        ("order", format!("{HEAD}@@ -9,1 +9,1 @@\n 9\n@@ -2,1 +2,1 @@\n 2\n"), "out of order"),
        ("short", format!("{HEAD}@@ -2,2 +2,2 @@\n 2\n"), "too short"),
        ("long", format!("{HEAD}@@ -2,1 +2,2 @@\n-2\n-3\n"), "too long"),
        ("header", format!("{HEAD}@@ -2 +2 @@\n 2\n"), "@@ -2 +2 @@"),
        ("nothing", "What it is for\n".to_owned(), "it changes nothing"),
        ("file", "--- a/src/y.cpp\n+++ b/src/y.cpp\n@@ -1,1 +1,1 @@\n 1\n".to_owned(), "src/y.cpp"),
    ] {
        let why = apply(name, &text).unwrap_err();
        assert!(why.contains("0001-x.patch: ") && why.contains(error), "{name}: {why}");
    }
}
