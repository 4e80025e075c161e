//! Ctrl-C, SIGTERM and SIGHUP.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A flag that says when it is time to end. Clones share it.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Makes a flag that Ctrl-C and SIGTERM set. The second of them ends the process at once.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        stop.register()?;
        Ok(stop)
    }

    /// Has Ctrl-C and SIGTERM set this flag. The second of them ends the process at once.
    pub fn register(&self) -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal passes the condition and then makes it true.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&self.0))?;
            signal_hook::flag::register(signal, Arc::clone(&self.0))?;
        }
        Ok(())
    }

    /// Returns true if it is time to end.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes it time to end.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Says that SIGHUP has come.
pub struct Hangup(Arc<AtomicBool>);

impl Hangup {
    /// Makes a flag that SIGHUP sets. With a terminal, SIGHUP means that the terminal has gone, and sets `stop`
    /// instead.
    pub fn on_signal(stop: &Stop) -> io::Result<Self> {
        let hangup = Self(Arc::default());
        let flag = if io::stderr().is_terminal() { &stop.0 } else { &hangup.0 };
        signal_hook::flag::register(SIGHUP, Arc::clone(flag))?;
        Ok(hangup)
    }

    /// Returns true if the signal has come since the last call.
    pub fn taken(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}
