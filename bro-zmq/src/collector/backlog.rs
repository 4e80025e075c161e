//! Which closed file is to be finished next, and what there is to say of files that wait.
//!
//! A file that cannot be finished is tried again after a while, and holds up no other.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::core::{Closed, REPORT};
use crate::console::{bytes, counted, duration};

/// After this time, a file that could not be finished is tried again.
pub const RETRY: Duration = Duration::from_secs(10);

/// Finishing falls behind when a file has waited for so long.
const BEHIND: Duration = Duration::from_secs(60);

/// Files that wait to be finished.
#[derive(Default)]
pub struct Backlog {
    /// Files that were not tried yet, or are to be tried again, the next in front.
    ready: VecDeque<Job>,
    /// Files that failed, in the order in which they are tried again.
    failed: VecDeque<Job>,
    /// Files under way: when they were closed, and their sizes.
    busy: Vec<(PathBuf, Duration, u64)>,
    /// True if no more files come; a file that fails is not tried again then.
    ending: bool,
    /// When a failure was reported, while there is one.
    trouble: Option<Duration>,
    /// When it was reported that finishing falls behind, while it does.
    behind: Option<Duration>,
    messages: Vec<String>,
}

/// A file to be finished.
#[derive(Debug)]
pub struct Job {
    /// The closed file.
    pub closed: Closed,
    since: Duration,
    /// When it is tried again.
    retry: Duration,
}

impl Backlog {
    /// Takes a file that was closed now.
    pub fn push(&mut self, closed: Closed, now: Duration) {
        self.ready.push_back(Job { closed, since: now, retry: now });
    }

    /// The file to be finished now, if there is one. [`Backlog::done`] says what became of it.
    pub fn next(&mut self, now: Duration) -> Option<Job> {
        let again = self.failed.front().is_some_and(|job| !self.ending && job.retry <= now);
        let job = if again { self.failed.pop_front() } else { self.ready.pop_front() }?;
        self.busy.push((job.closed.path.clone(), job.since, job.closed.size));
        Some(job)
    }

    /// A file was finished, or could not be.
    pub fn done(&mut self, mut job: Job, result: io::Result<()>, now: Duration) {
        self.busy.retain(|(path, ..)| *path != job.closed.path);
        let Err(error) = result else {
            if self.failed.is_empty() && self.trouble.take().is_some() {
                self.messages.push("files can be finished again".to_owned());
            }
            return;
        };
        if self.trouble.is_none_or(|reported| now >= reported + REPORT) && !self.ending {
            self.trouble = Some(now);
            let others = match self.failed.len() {
                0 => String::new(),
                more => format!("; {} more cannot be finished either", counted(more as u64, "file")),
            };
            self.messages.push(format!(
                "cannot finish {}: {error}; it stays as it is, and is tried again every {} s{others}",
                job.closed.path.display(),
                RETRY.as_secs()
            ));
        }
        job.retry = now + RETRY;
        self.failed.push_back(job);
    }

    /// No more files come. Those that failed are tried once more.
    pub fn end(&mut self) {
        self.ending = true;
        self.ready.append(&mut self.failed);
    }

    /// Returns true if it has ended, and nothing is left to be tried.
    pub fn is_over(&self) -> bool {
        self.ending && self.ready.is_empty()
    }

    /// How many files are not finished.
    pub fn len(&self) -> usize {
        self.ready.len() + self.failed.len() + self.busy.len()
    }

    /// When there will be something to do, if nothing comes.
    pub fn wake(&self) -> Option<Duration> {
        self.failed.front().map(|job| job.retry)
    }

    /// Returns what there is to say, for the user.
    pub fn messages(&mut self, now: Duration) -> Vec<String> {
        let healthy = self.ready.iter().map(|job| (job.since, job.closed.size));
        let busy = self.busy.iter().map(|&(_, since, size)| (since, size));
        let (mut count, mut size, mut oldest) = (0, 0, now);
        for (since, bytes) in healthy.chain(busy) {
            count += 1;
            size += bytes;
            oldest = oldest.min(since);
        }
        let age = now.saturating_sub(oldest);
        if age < BEHIND {
            if self.behind.take().is_some() {
                self.messages.push("finishing has caught up".to_owned());
            }
        } else if self.behind.is_none_or(|reported| now >= reported + REPORT) {
            self.behind = Some(now);
            self.messages.push(format!(
                "finishing files falls behind: {} of {} wait, the oldest for {}",
                counted(count, "file"),
                bytes(size),
                duration(age)
            ));
        }
        std::mem::take(&mut self.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(name: &str) -> Closed {
        Closed { path: PathBuf::from(name), size: 1_000_000 }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn files_that_fail_hold_up_no_others() {
        let mut backlog = Backlog::default();
        for number in 0..8 {
            backlog.push(closed(&format!("bad{number}")), at(0));
        }
        for number in 0..15 {
            backlog.push(closed(&format!("good{number}")), at(0));
        }
        let mut finished = 0;
        while let Some(job) = backlog.next(at(0)) {
            let bad = job.closed.path.to_str().unwrap().starts_with("bad");
            finished += usize::from(!bad);
            backlog.done(job, if bad { Err(io::Error::other("no")) } else { Ok(()) }, at(0));
        }
        assert_eq!((finished, backlog.len(), backlog.wake()), (15, 8, Some(at(10))));
        assert_eq!(backlog.messages(at(1)).len(), 1, "the first is told, and not the others");
        // Later ones do not wait for them, and they are tried again although others come.
        backlog.push(closed("later"), at(5));
        let job = backlog.next(at(5)).unwrap();
        assert_eq!(job.closed.path, PathBuf::from("later"));
        backlog.done(job, Ok(()), at(5));
        assert!(backlog.next(at(9)).is_none());
        backlog.push(closed("last"), at(10));
        for _ in 0..8 {
            let job = backlog.next(at(10)).unwrap();
            assert!(job.closed.path.to_str().unwrap().starts_with("bad"));
            backlog.done(job, Ok(()), at(10));
        }
        assert_eq!(backlog.messages(at(10)), ["files can be finished again"]);
    }

    #[test]
    fn falling_behind_is_told() {
        let mut backlog = Backlog::default();
        backlog.push(closed("a"), at(0));
        backlog.push(closed("b"), at(50));
        let job = backlog.next(at(0)).unwrap();
        assert!(backlog.messages(at(59)).is_empty());
        let behind = "finishing files falls behind: 2 files of 2.0 MB wait, the oldest for 70.00 s";
        assert_eq!(backlog.messages(at(70)), [behind]);
        assert!(backlog.messages(at(129)).is_empty(), "once a minute");
        backlog.done(job, Ok(()), at(130));
        assert_eq!(backlog.messages(at(130)).len(), 1);
        let job = backlog.next(at(131)).unwrap();
        backlog.done(job, Ok(()), at(132));
        assert_eq!(backlog.messages(at(132)), ["finishing has caught up"]);
    }

    #[test]
    fn the_end_tries_everything_once() {
        let mut backlog = Backlog::default();
        backlog.push(closed("bad"), at(0));
        let job = backlog.next(at(0)).unwrap();
        backlog.done(job, Err(io::Error::other("no")), at(0));
        backlog.push(closed("good"), at(1));
        backlog.end();
        while let Some(job) = backlog.next(at(1)) {
            let bad = job.closed.path.to_str() == Some("bad");
            backlog.done(job, if bad { Err(io::Error::other("no")) } else { Ok(()) }, at(1));
        }
        assert!(backlog.is_over() && backlog.len() == 1);
    }
}
