//! Decides who is let in at a bound endpoint with keys.
//!
//! A context has one handler that libzmq asks, and the endpoints of the process share it. Each endpoint
//! has a domain of its own, so that its keys do not open another endpoint.

use std::sync::{Arc, Mutex};

use super::{Curve, Failure, locked};
use crate::keys::Authorized;
use crate::zmq::zap::Handler;
use crate::zmq::{Context, Error, Role};

/// The handler of the process's context, and how many endpoints use it.
static HANDLER: Mutex<Option<(Handler, usize)>> = Mutex::new(None);

/// The server's keys, and the keys of its clients.
pub(super) struct Authentication {
    /// The role that the socket has to have.
    pub(super) role: Role,
    domain: String,
    /// The keys of clients that are let in.
    pub(super) authorized: Arc<Authorized>,
}

impl Authentication {
    /// Reads the directory of keys, and answers for this domain from now on.
    ///
    /// # Errors
    ///
    /// The directory cannot be used, or there is no handler to be had.
    pub(super) fn open(context: &Arc<Context>, curve: &Curve, domain: &str) -> Result<Self, Failure> {
        let no_handler = |error| Failure::Handler { error };
        let dir = curve.authorized.as_deref().ok_or(no_handler(Error(libc::EINVAL)))?;
        let authorized = Authorized::open(dir).map_err(|why| Failure::Keys { why, error: Error(libc::EACCES) })?;
        let authorized = Arc::new(authorized);
        let mut handler = locked(&HANDLER);
        let (handler, users) = match &mut *handler {
            Some(running) => running,
            none => none.insert((Handler::start(context).map_err(no_handler)?, 0)),
        };
        *users += 1;
        handler.open(domain, {
            let authorized = Arc::clone(&authorized);
            Box::new(move |key, address| authorized.decide(key, address))
        });
        let (domain, keys) = (domain.to_owned(), Arc::clone(&curve.keys));
        Ok(Self { role: Role::Server { keys, domain: domain.clone() }, domain, authorized })
    }
}

impl Drop for Authentication {
    fn drop(&mut self) {
        let mut running = locked(&HANDLER);
        let Some((handler, users)) = &mut *running else { return };
        handler.close(&self.domain);
        *users -= 1;
        if *users == 0 {
            // Ended under the lock: the next handler needs the same address.
            *running = None;
        }
    }
}
