//! A directory of public keys, whose owners are let in.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{KeyError, name, unread};
use crate::texts::texts;
use crate::zmq::PublicKey;
use crate::zmq::zap::Verdict;

/// When the directory was read this long ago, it is read again.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A refusal is told again when the client was not refused for `QUIET`, or when it was told `REPEAT` ago.
const QUIET: Duration = Duration::from_secs(10);
const REPEAT: Duration = Duration::from_secs(60);

/// Addresses whose refusals are told at the same time.
const MAX_ADDRESSES: usize = 100;

/// The keys in the files `*.key` of a directory, which are read again when they have changed.
#[derive(Debug)]
pub struct Authorized {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: BTreeSet<PublicKey>,
    /// The keys by file: a file that cannot be read now keeps its key.
    files: Files,
    read: Instant,
    /// Why the directory, or a file in it, cannot be used, as it was told.
    problem: Option<Notice>,
    /// The keys with which clients have been let in.
    admitted: BTreeSet<PublicKey>,
    /// Refusals by the client's address, not by key: keys cost an attacker nothing.
    refused: BTreeMap<String, Refusals>,
    /// True if more addresses than [`MAX_ADDRESSES`] were refused, and this was told.
    flooded: bool,
    notices: Vec<Notice>,
}

type Files = BTreeMap<PathBuf, PublicKey>;

#[derive(Debug)]
struct Refusals {
    last: Instant,
    told: Instant,
    count: u64,
}

texts! {
    /// What there is to report of a directory.
    pub enum Notice {
        Empty { name: String } = "there is no key in {name}: nobody is let in until there is a file NAME.key",
        KeyUnread { first: Unread } = "a key cannot be read: {first}",
        KeysUnread { count: usize, first: Unread } = "{count} keys cannot be read; the first one: {first}",
        Unusable { why: KeyError } = "{why}; nobody is let in until it can be read",
        Usable { name: String } = "{name} can be read again",
        Added { key: PublicKey } = "the key {key} is authorized from now on",
        Removed { key: PublicKey } = "the key {key} is no longer authorized",
        Refused { whence: Whence, key: PublicKey } = "refused a client {whence}: its key {key} is not authorized",
        RefusedAgain { whence: Whence, count: u64, key: PublicKey } =
            "refused a client {whence} again ({count} times so far): its key {key} is not authorized",
        Flooded = "refusing clients at more than {MAX_ADDRESSES} addresses; further ones are not told",
    }
}

texts! {
    /// Where a client is.
    pub enum Whence {
        Address { address: String } = "at {address}",
        User { user: String } = "of user {user} on this machine",
    }
}

texts! {
    /// A key's file that cannot be used: its key is not known, or stays as it was.
    pub enum Unread {
        None { why: KeyError } = "{why}",
        AsBefore { why: KeyError } = "{why}; its key stays as it was",
    }
}

impl Notice {
    /// Returns true unless the notice is only for the record.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        !matches!(self, Self::Usable { .. } | Self::Added { .. } | Self::Removed { .. })
    }
}

impl Authorized {
    /// Reads a directory. Nobody but its owner may be able to write to it.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or others can write to it.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let (files, problem) = read(dir, &Files::new())?;
        let keys: BTreeSet<_> = files.values().copied().collect();
        let mut notices = Vec::from_iter(problem.clone());
        if keys.is_empty() {
            notices.push(Notice::Empty { name: name(dir) });
        }
        let state = State {
            keys,
            files,
            read: Instant::now(),
            problem,
            admitted: BTreeSet::new(),
            refused: BTreeMap::new(),
            flooded: false,
            notices,
        };
        Ok(Self { dir: dir.to_owned(), state: Mutex::new(state) })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many keys there were at the last look.
    pub fn count(&self) -> usize {
        self.state().keys.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a client.
    pub fn decide(&self, key: PublicKey, address: &str) -> Verdict {
        let now = Instant::now();
        let mut state = self.state();
        let readable = state.refresh(&self.dir, now);
        if state.keys.contains(&key) && readable {
            state.admitted.insert(key);
            return Verdict::Admitted;
        }
        if !readable {
            return Verdict::Later;
        }
        state.refuse(key, address, now);
        Verdict::Refused
    }

    /// Reads the directory again if it is time to. Returns true if the key of a client that was let in has
    /// gone from the directory since the last call.
    pub fn revoked(&self) -> bool {
        let mut state = self.state();
        state.refresh(&self.dir, Instant::now());
        let State { keys, admitted, .. } = &mut *state;
        let before = admitted.len();
        admitted.retain(|key| keys.contains(key));
        admitted.len() < before
    }

    /// What there is to report.
    pub fn notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.state().notices)
    }
}

impl State {
    /// Returns true if the keys are those in the directory. If it cannot be read, they are the last known.
    fn refresh(&mut self, dir: &Path, now: Instant) -> bool {
        if now - self.read < MAX_AGE {
            return true;
        }
        let (files, problem) = match read(dir, &self.files) {
            Ok((files, problem)) => (Some(files), problem),
            Err(why) => (None, Some(Notice::Unusable { why })),
        };
        if problem != self.problem {
            self.notices.push(problem.clone().unwrap_or_else(|| Notice::Usable { name: name(dir) }));
            self.problem = problem;
        }
        let Some(files) = files else { return false };
        self.read = now;
        let keys: BTreeSet<_> = files.values().copied().collect();
        self.files = files;
        self.notices.extend(keys.difference(&self.keys).map(|&key| Notice::Added { key }));
        self.notices.extend(self.keys.difference(&keys).map(|&key| Notice::Removed { key }));
        self.keys = keys;
        true
    }

    fn refuse(&mut self, key: PublicKey, address: &str, now: Instant) {
        // The address of a Unix domain socket is "localhost", user, group and process.
        let user = address.strip_prefix("localhost:").map(|peer| peer.split(':').next().unwrap_or_default());
        let address = user.unwrap_or(address);
        if self.refused.len() >= MAX_ADDRESSES && !self.refused.contains_key(address) {
            self.refused.retain(|_, refusals| now - refusals.last < QUIET);
            if self.refused.len() >= MAX_ADDRESSES {
                if !std::mem::replace(&mut self.flooded, true) {
                    self.notices.push(Notice::Flooded);
                }
                return;
            }
            self.flooded = false;
        }
        let whence = match user {
            None => Whence::Address { address: address.to_owned() },
            Some(user) => Whence::User { user: user.to_owned() },
        };
        let refusals = self.refused.entry(address.to_owned()).or_insert(Refusals { last: now, told: now, count: 0 });
        refusals.count += 1;
        let notice = if refusals.count == 1 {
            Notice::Refused { whence, key }
        } else if now - refusals.last >= QUIET || now - refusals.told >= REPEAT {
            Notice::RefusedAgain { whence, count: refusals.count, key }
        } else {
            refusals.last = now;
            return;
        };
        (refusals.last, refusals.told) = (now, now);
        self.notices.push(notice);
    }
}

/// The keys of a directory by their files, and what is wrong with a file in it. A file that cannot be
/// read has the key that is `known` of it: only what is known to be gone is revoked.
fn read(dir: &Path, known: &Files) -> Result<(Files, Option<Notice>), KeyError> {
    let failed = |error: std::io::Error| unread(dir, &error);
    let metadata = dir.metadata().map_err(failed)?;
    let entries = dir.read_dir().map_err(failed)?;
    writable_by_others(dir, &metadata)?;
    let mut keys = Files::new();
    let mut problems = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "key") {
            continue;
        }
        let checked = path.metadata().map_err(|error| unread(&path, &error));
        let key =
            checked.and_then(|metadata| writable_by_others(&path, &metadata)).and_then(|()| super::read_public(&path));
        let problem = match (key, known.get(&path)) {
            (Ok(key), _) => {
                keys.insert(path, key);
                continue;
            }
            // The file may still have its key.
            (Err(why @ KeyError::Unread { .. }), Some(&key)) => {
                keys.insert(path, key);
                Unread::AsBefore { why }
            }
            (Err(why), _) => Unread::None { why },
        };
        problems.insert(problem.to_string(), problem);
    }
    let count = problems.len();
    let problem = problems.into_values().next().map(|first| match count {
        1 => Notice::KeyUnread { first },
        _ => Notice::KeysUnread { count, first },
    });
    Ok((keys, problem))
}

fn writable_by_others(path: &Path, metadata: &std::fs::Metadata) -> Result<(), KeyError> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(KeyError::Writable { name: name(path), mode })
}

#[cfg(test)]
mod tests {
    use super::super::tests::Dir;
    use super::super::write_pair;
    use super::*;
    use crate::zmq::KeyPair;
    use std::os::unix::fs::PermissionsExt;

    /// A key and its file.
    fn client(dir: &Dir, name: &str) -> (PublicKey, PathBuf) {
        let pair = KeyPair::generate().unwrap();
        let [public, _] = write_pair(&dir.0.join(name), &pair, "").unwrap();
        (pair.public(), public)
    }

    /// Makes what is known of the directory too old.
    fn age(authorized: &Authorized) {
        authorized.state().read = Instant::now().checked_sub(MAX_AGE).unwrap();
    }

    fn texts(authorized: &Authorized) -> Vec<String> {
        authorized.notices().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_come_and_go() {
        let dir = Dir::new("authorized");
        let authorized = Authorized::open(&dir.0).unwrap();
        assert!(texts(&authorized)[0].contains("there is no key in"));
        let ((one, file), (two, _)) = (client(&dir, "one"), client(&dir, "two"));
        assert_eq!(authorized.decide(one, "::1"), Verdict::Refused);
        age(&authorized);
        assert_eq!(authorized.decide(one, "::1"), Verdict::Admitted);
        assert_eq!(authorized.decide(two, "::1"), Verdict::Admitted);
        assert!(!authorized.revoked());
        // The key is in another file, too, but files that end in .key_secret are not looked at.
        std::fs::remove_file(file).unwrap();
        age(&authorized);
        assert!(authorized.revoked());
        assert!(!authorized.revoked());
        assert_eq!(authorized.decide(one, "::1"), Verdict::Refused);
        assert_eq!(authorized.decide(two, "::1"), Verdict::Admitted);
        let texts = texts(&authorized);
        assert!(texts.contains(&format!("the key {one} is no longer authorized")), "{texts:?}");
    }

    #[test]
    fn a_key_that_nobody_has_used_is_removed_without_ado() {
        let dir = Dir::new("unused");
        let (_, file) = client(&dir, "one");
        let authorized = Authorized::open(&dir.0).unwrap();
        std::fs::remove_file(file).unwrap();
        age(&authorized);
        assert!(!authorized.revoked());
    }

    #[test]
    fn refusals_are_told_once_in_a_while() {
        let dir = Dir::new("refused");
        let authorized = Authorized::open(&dir.0).unwrap();
        authorized.notices();
        let key = KeyPair::generate().unwrap().public();
        for _ in 0..50 {
            assert_eq!(authorized.decide(key, "192.0.2.1"), Verdict::Refused);
        }
        assert_eq!(texts(&authorized), [format!("refused a client at 192.0.2.1: its key {key} is not authorized")]);
        for address in ["192.0.2.2", "localhost:1000:1:77", "localhost:1000:1:78"] {
            authorized.decide(key, address);
        }
        let told = texts(&authorized);
        assert!(told.len() == 2 && told[1].contains("of user 1000 on this machine"), "{told:?}");
        let later = Instant::now() + QUIET;
        authorized.state().refuse(key, "192.0.2.1", later);
        assert!(texts(&authorized)[0].contains("at 192.0.2.1 again (51 times so far)"));
        for host in 0..2 * MAX_ADDRESSES {
            authorized.state().refuse(key, &format!("2001:db8::{host:x}"), later);
        }
        assert_eq!(authorized.state().refused.len(), MAX_ADDRESSES);
        let told = texts(&authorized);
        assert_eq!(told.len(), MAX_ADDRESSES);
        assert!(told[MAX_ADDRESSES - 1].contains("further ones are not told"), "{told:?}");
    }

    #[test]
    fn a_directory_that_cannot_be_used_lets_nobody_in() {
        let dir = Dir::new("unusable");
        let (key, _) = client(&dir, "one");
        let keys = dir.0.join("keys");
        assert!(Authorized::open(&keys).unwrap_err().to_string().contains("cannot read"));
        let authorized = Authorized::open(&dir.0).unwrap();
        assert_eq!(authorized.decide(key, "::1"), Verdict::Admitted);
        std::fs::set_permissions(&dir.0, PermissionsExt::from_mode(0o770)).unwrap();
        age(&authorized);
        assert_eq!(authorized.decide(key, "::1"), Verdict::Later);
        assert!(!authorized.revoked());
        let found = texts(&authorized);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("(mode 0770)") && found[0].contains("chmod go-w"), "{found:?}");
        assert!(Authorized::open(&dir.0).unwrap_err().to_string().contains("chmod go-w"));
        std::fs::set_permissions(&dir.0, PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(authorized.decide(key, "::1"), Verdict::Admitted);
        assert!(texts(&authorized)[0].contains("can be read again"));
    }

    #[test]
    fn a_file_that_is_no_certificate_is_told_and_left_out() {
        let dir = Dir::new("files");
        let (key, file) = client(&dir, "one");
        std::fs::write(dir.0.join("two.key"), "curve\n public-key = \"no\"\n").unwrap();
        std::fs::write(dir.0.join("README"), "no key").unwrap();
        let authorized = Authorized::open(&dir.0).unwrap();
        let found = texts(&authorized);
        assert!(
            found.len() == 1 && found[0].contains("a key cannot be read: ") && found[0].contains("two.key"),
            "{found:?}"
        );
        assert_eq!(authorized.decide(key, "::1"), Verdict::Admitted);
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o666)).unwrap();
        age(&authorized);
        assert!(authorized.revoked());
        assert!(texts(&authorized)[0].contains("2 keys cannot be read; "));
    }

    #[test]
    fn a_file_that_cannot_be_read_does_not_revoke_its_key() {
        let dir = Dir::new("unread");
        let (key, file) = client(&dir, "one");
        let authorized = Authorized::open(&dir.0).unwrap();
        assert_eq!(authorized.decide(key, "::1"), Verdict::Admitted);
        // For any user that the tests run as, a link to itself is an error of the system, not a missing file.
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();
        age(&authorized);
        assert!(!authorized.revoked());
        assert_eq!(authorized.decide(key, "::1"), Verdict::Admitted);
        let found = texts(&authorized);
        assert!(found.len() == 1 && found[0].ends_with("; its key stays as it was"), "{found:?}");
        std::fs::remove_file(&file).unwrap();
        age(&authorized);
        assert!(authorized.revoked());
    }
}
