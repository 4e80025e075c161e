//! Finds out whether a spool directory can be used, and what waits in it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bro_zeromq_writer::spool::{holder, waiting};
use rustix::fs::{Access, access, statvfs};

use super::Findings;
use crate::console::{bytes, counted};

/// Bytes that a spool may take unless `spool_max_bytes` says otherwise.
const USUAL: u64 = 1 << 30;

/// Looks at a directory, without changing it.
pub fn look(findings: &mut Findings, dir: &Path) {
    let name = dir.display();
    if !dir.is_absolute() {
        return findings.wrong(format!("{name}: use an absolute path, such as /var/spool/zeek-zmq"));
    }
    // Files are made in the directory; if it is not there, it is made in the directory above.
    let there = match fs::metadata(dir) {
        Ok(found) if found.is_dir() => Some(dir),
        Ok(_) => return findings.wrong(format!("{name} is not a directory; name one, or remove it")),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return findings.wrong(format!("{name} cannot be used: {error}")),
    };
    let parent = dir.parent().unwrap_or(dir);
    let place = there.unwrap_or(parent);
    if there.is_none() && !parent.is_dir() {
        return findings
            .wrong(format!("{name} cannot be made, because {} is not there; make that first", parent.display()));
    }
    if let Err(error) = access(place, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return findings
            .wrong(format!("{} cannot be written to: {error}; give it to the host's user: chown", place.display()));
    }
    match there {
        Some(_) => Findings::good(format!("{name} is there, and can be written to")),
        None => Findings::good(format!("{name} is not there yet; the host makes it")),
    }
    if let Ok(disk) = statvfs(place) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free == 0 {
            findings.wrong(format!("{name}: its disk is full; make space"));
        } else if free < USUAL {
            Findings::note(format!(
                "{name}: its disk has {} left; LogZeroMQ::spool_max_bytes is {} by default",
                bytes(free),
                bytes(USUAL)
            ));
        } else {
            Findings::good(format!("{name}: its disk has {} left", bytes(free)));
        }
    }
    if there.is_some() {
        look_inside(findings, dir);
    }
}

fn look_inside(findings: &mut Findings, dir: &Path) {
    let name = dir.display();
    let failed = |findings: &mut Findings, error| findings.wrong(format!("{name} cannot be read: {error}"));
    let used = match holder(dir) {
        Err(error) => return failed(findings, error),
        Ok(None) => false,
        Ok(Some(process)) => {
            let process = process.map_or_else(String::new, |process| format!(", process {process}"));
            Findings::note(format!("{name} is in use by a host{process}; another one needs a directory of its own"));
            true
        }
    };
    let spools = match waiting(dir) {
        Ok(spools) => spools,
        Err(error) => return failed(findings, error),
    };
    if spools.is_empty() {
        Findings::good(format!("{name}: nothing waits in it"));
    }
    for spool in spools {
        let whose = spool.whose.unwrap_or_else(|| spool.dir.display().to_string());
        if spool.newer {
            findings.wrong(format!(
                "{whose}: a later version of the plugin wrote what waits; use that one, or remove {}",
                spool.dir.display()
            ));
            continue;
        }
        let what = match spool.records {
            Some(records) => format!("{} in {}", counted(records, "record"), bytes(spool.bytes)),
            None => bytes(spool.bytes),
        };
        let why = match spool.records {
            None if !used => ": the last run did not end properly, and the next one counts what is left",
            _ => "",
        };
        Findings::note(format!("{whose}: {what} wait{why}"));
    }
}
