//! Applies patches in the unified format, exactly or not at all.
//!
//! A patch begins with what it is for. What follows is as `diff -u` and `git diff` write it, with
//! `a/` and `b/` in front of the names. No file is made, removed or renamed, and a line that is to be
//! removed or kept has to be where the patch says.

use std::fs;
use std::path::{Path, PathBuf};

/// Applies all `*.patch` of a directory to a tree, in the order of their names.
///
/// # Errors
///
/// A patch cannot be read, or is for something else than is there: which, and where.
pub fn apply_all(patches: &Path, tree: &Path) -> Result<(), String> {
    let entries = fs::read_dir(patches).map_err(|error| format!("{}: {error}", patches.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    files.sort();
    for file in files {
        let patch = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        apply(&patch, tree).map_err(|why| format!("{}: {why}", file.display()))?;
    }
    Ok(())
}

/// Applies a patch to the files of a tree.
fn apply(patch: &str, tree: &Path) -> Result<(), String> {
    let mut lines = patch.lines().peekable();
    let mut any = false;
    while let Some(line) = lines.next() {
        if !line.starts_with("--- a/") {
            continue;
        }
        any = true;
        let name = lines.next().and_then(|line| line.strip_prefix("+++ b/"));
        let name = name.ok_or_else(|| format!("{line}: no \"+++ b/\" follows"))?;
        let path = tree.join(name);
        let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        let old: Vec<&str> = text.lines().collect();
        let (mut new, mut taken) = (Vec::new(), 0);
        while let Some(header) = lines.next_if(|line| line.starts_with("@@ ")) {
            let (start, mut from, mut to) = ranges(header).ok_or_else(|| format!("{name}: {header}"))?;
            let unchanged = old.get(taken..start).ok_or_else(|| format!("{name}: {header}: out of order"))?;
            new.extend_from_slice(unchanged);
            taken = start;
            while from > 0 || to > 0 {
                let line = lines.next().ok_or_else(|| format!("{name}: {header}: too short"))?;
                let (kind, content) = line.split_at_checked(1).unwrap_or((" ", ""));
                if kind != "+" {
                    if old.get(taken) != Some(&content) {
                        let found = old.get(taken).unwrap_or(&"the end");
                        return Err(format!("{name}:{}: expected {content:?}, found {found:?}", taken + 1));
                    }
                    taken += 1;
                }
                let (in_old, in_new) = match kind {
                    " " => (1, 1),
                    "-" => (1, 0),
                    "+" => (0, 1),
                    _ => return Err(format!("{name}: {header}: {line:?}")),
                };
                (from, to) = from
                    .checked_sub(in_old)
                    .zip(to.checked_sub(in_new))
                    .ok_or_else(|| format!("{name}: {header}: too long"))?;
                if in_new > 0 {
                    new.push(content);
                }
            }
        }
        new.extend_from_slice(&old[taken..]);
        fs::write(&path, new.join("\n") + "\n").map_err(|error| format!("{name}: {error}"))?;
    }
    if any {
        Ok(())
    } else {
        Err("it changes nothing".to_owned())
    }
}

/// Of `@@ -START,FROM +START,TO @@`: lines before the first in the old file, and numbers of lines.
fn ranges(header: &str) -> Option<(usize, usize, usize)> {
    let mut words = header.split(' ').skip(1);
    let mut range = |sign| {
        let (start, count) = words.next()?.strip_prefix(sign)?.split_once(',')?;
        Some((start.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
    };
    let ((start, from), (_, to)) = (range('-')?, range('+')?);
    Some((start.checked_sub(1)?, from, to))
}
