//! A directory of public keys, whose owners are let in.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Failure;
use crate::zmq::PublicKey;
use crate::zmq::zap::Verdict;

/// When the directory was read this long ago, it is read again.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A refusal is told again when it was told this long ago, or when the client was not refused for as long.
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
    /// The last problem with the directory, or a file in it, that was told.
    problem: Option<String>,
    /// The keys whose owners have been let in.
    admitted: BTreeSet<PublicKey>,
    /// Refusals by the client's address, not by key: keys cost an attacker nothing.
    refused: BTreeMap<String, Refusals>,
    /// True if there are refusals from more addresses, and this was told.
    flooded: bool,
    news: Vec<News>,
}

type Files = BTreeMap<PathBuf, PublicKey>;

#[derive(Debug)]
struct Refusals {
    last: Instant,
    told: Instant,
    count: u64,
}

/// What there is to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A client was refused.
    Refused(String),
    /// The directory, or a file in it, cannot be used.
    Problem(String),
    /// It can be used again, or a key has come or gone.
    Changed(String),
}

impl Authorized {
    /// Reads a directory. Nobody but its owner may be able to write to it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or others can write to it.
    pub fn open(dir: &Path) -> Result<Self, String> {
        let (files, problem) = read(dir, &Files::new())?;
        let keys: BTreeSet<_> = files.values().copied().collect();
        let mut news: Vec<_> = problem.iter().cloned().map(News::Problem).collect();
        if keys.is_empty() {
            let message =
                format!("there is no key in {}: nobody is let in until there is a file NAME.key", dir.display());
            news.push(News::Problem(message));
        }
        let state = State {
            keys,
            files,
            read: Instant::now(),
            problem,
            admitted: BTreeSet::new(),
            refused: BTreeMap::new(),
            flooded: false,
            news,
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
    /// gone since the last call.
    pub fn revoked(&self) -> bool {
        let mut state = self.state();
        state.refresh(&self.dir, Instant::now());
        let State { keys, admitted, .. } = &mut *state;
        let before = admitted.len();
        admitted.retain(|key| keys.contains(key));
        admitted.len() < before
    }

    /// What there is to report.
    pub fn news(&self) -> Vec<News> {
        std::mem::take(&mut self.state().news)
    }
}

impl State {
    /// Reads the directory, unless this was done a moment ago. Returns false if it cannot be read: the keys
    /// are the last known then.
    fn refresh(&mut self, dir: &Path, now: Instant) -> bool {
        if now - self.read < MAX_AGE {
            return true;
        }
        let (files, problem) = match read(dir, &self.files) {
            Ok((files, problem)) => (Some(files), problem),
            Err(error) => (None, Some(format!("{error}; nobody is let in until it can be read"))),
        };
        if problem != self.problem {
            self.news.push(match &problem {
                Some(problem) => News::Problem(problem.clone()),
                None => News::Changed(format!("{} can be read again", dir.display())),
            });
            self.problem = problem;
        }
        let Some(files) = files else { return false };
        self.read = now;
        let keys: BTreeSet<_> = files.values().copied().collect();
        self.files = files;
        for key in keys.difference(&self.keys) {
            self.news.push(News::Changed(format!("the key {key} is authorized from now on")));
        }
        for key in self.keys.difference(&keys) {
            self.news.push(News::Changed(format!("the key {key} is no longer authorized")));
        }
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
                    let message =
                        format!("refusing clients at more than {MAX_ADDRESSES} addresses; further ones are not told");
                    self.news.push(News::Refused(message));
                }
                return;
            }
            self.flooded = false;
        }
        let at = match user {
            None => format!("at {address}"),
            Some(user) => format!("of user {user} on this machine"),
        };
        let refusals = self.refused.entry(address.to_owned()).or_insert(Refusals { last: now, told: now, count: 0 });
        refusals.count += 1;
        let again = if refusals.count == 1 {
            String::new()
        } else if now - refusals.last >= QUIET || now - refusals.told >= REPEAT {
            format!(" again ({} times so far)", refusals.count)
        } else {
            refusals.last = now;
            return;
        };
        (refusals.last, refusals.told) = (now, now);
        self.news.push(News::Refused(format!("refused a client {at}{again}: its key {key} is not authorized")));
    }
}

/// Returns the keys of a directory by their files, and what is wrong with a file in it. A file that cannot
/// be read has the key that is `known` of it: a key is revoked only if it is known to be gone.
fn read(dir: &Path, known: &Files) -> Result<(Files, Option<String>), String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", dir.display());
    let metadata = dir.metadata().map_err(failed)?;
    let entries = dir.read_dir().map_err(failed)?;
    writable_by_others(dir, &metadata)?;
    let mut keys = Files::new();
    let mut problems = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "key") {
            continue;
        }
        let checked = path.metadata().map_err(|error| Failure::unread(&path, &error));
        let key =
            checked.and_then(|metadata| Ok(writable_by_others(&path, &metadata)?)).and_then(|()| super::public(&path));
        match (key, known.get(&path)) {
            (Ok(key), _) => drop(keys.insert(path, key)),
            (Err(failure), Some(&key)) if !failure.gone => {
                problems.insert(format!("{}; its key stays as it was", failure.text));
                keys.insert(path, key);
            }
            (Err(failure), _) => drop(problems.insert(failure.text)),
        }
    }
    let count = problems.len();
    let problem = problems.into_iter().next().map(|first| match count {
        1 => format!("a key cannot be read: {first}"),
        _ => format!("{count} keys cannot be read; the first one: {first}"),
    });
    Ok((keys, problem))
}

fn writable_by_others(path: &Path, metadata: &std::fs::Metadata) -> Result<(), String> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let name = path.display();
    Err(format!("{name} can be written by others (mode {mode:04o}), who could let anybody in: chmod go-w {name}"))
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
        authorized
            .news()
            .into_iter()
            .map(|news| match news {
                News::Refused(text) | News::Problem(text) | News::Changed(text) => text,
            })
            .collect()
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
        // It does not matter where else the key is: files that end in .key_secret are not looked at.
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
        authorized.news();
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
        assert!(Authorized::open(&keys).unwrap_err().contains("cannot read"));
        let authorized = Authorized::open(&dir.0).unwrap();
        assert_eq!(authorized.decide(key, "::1"), Verdict::Admitted);
        std::fs::set_permissions(&dir.0, PermissionsExt::from_mode(0o770)).unwrap();
        age(&authorized);
        assert_eq!(authorized.decide(key, "::1"), Verdict::Later);
        assert!(!authorized.revoked());
        let found = texts(&authorized);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("(mode 0770)") && found[0].contains("chmod go-w"), "{found:?}");
        assert!(Authorized::open(&dir.0).unwrap_err().contains("chmod go-w"));
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
        // For any user that the tests run as: an error of the system; there is neither a file nor none.
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
