//! The threads that finish closed files: they wait for the disk, and compress.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::backlog::Backlog;
use super::core::{Closed, SharedNames};
use super::disk::System;
use super::finish::{Compression, Finish};

/// Threads at most.
const THREADS: usize = 8;

/// How many threads there are: a processor is left for receiving.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, |all| (all.get() - 1).clamp(1, THREADS))
}

/// Files being finished, on threads of their own.
pub struct Finisher {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    root: PathBuf,
    disk: Arc<System>,
    names: SharedNames<System>,
    compression: Compression,
    start: Instant,
    stop: AtomicBool,
    backlog: Mutex<Backlog>,
    changed: Condvar,
}

impl Shared {
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there will be no more work.
    fn work(&self) {
        let finish = Finish {
            disk: &*self.disk,
            names: &self.names,
            root: &self.root,
            compression: self.compression,
            stop: &self.stop,
        };
        let mut backlog = self.backlog();
        loop {
            if let Some(job) = backlog.next(self.start.elapsed()) {
                drop(backlog);
                let result = finish.finish(&job.closed.path);
                backlog = self.backlog();
                backlog.done(job, result, self.start.elapsed());
            } else if backlog.is_over() {
                return;
            } else {
                let rest = backlog.wake().map_or(Duration::MAX, |wake| wake.saturating_sub(self.start.elapsed()));
                // Never for so long that an overflow is near.
                let rest = rest.clamp(Duration::from_millis(10), Duration::from_secs(3_600));
                backlog = self.changed.wait_timeout(backlog, rest).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl Finisher {
    /// Starts the threads, for files below a directory.
    pub fn start(
        root: PathBuf,
        disk: Arc<System>,
        names: SharedNames<System>,
        compression: Compression,
        start: Instant,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            root,
            disk,
            names,
            compression,
            start,
            stop: AtomicBool::new(false),
            backlog: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut finisher = Self { shared, threads: Vec::new() };
        for _ in 0..threads() {
            let shared = Arc::clone(&finisher.shared);
            match thread::Builder::new().name("finisher".into()).spawn(move || shared.work()) {
                Ok(thread) => finisher.threads.push(thread),
                // A single thread is enough.
                Err(error) if finisher.threads.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(finisher)
    }

    /// Has a closed file finished.
    pub fn finish(&self, closed: Closed) {
        self.shared.backlog().push(closed, self.shared.start.elapsed());
        self.shared.changed.notify_one();
    }

    /// Returns what there is to say, for the user.
    pub fn messages(&self) -> Vec<String> {
        self.shared.backlog().messages(self.shared.start.elapsed())
    }

    /// Ends the threads once everything is finished or `impatient` says so. Returns how many
    /// files are left for the next run.
    pub fn end(&mut self, impatient: impl Fn() -> bool) -> usize {
        self.shared.backlog().end();
        self.shared.changed.notify_all();
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            if impatient() {
                self.shared.stop.store(true, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(5));
        }
        for thread in self.threads.drain(..) {
            // A thread that has panicked has left its file for the next run.
            let _ = thread.join();
        }
        self.shared.backlog().len()
    }
}
