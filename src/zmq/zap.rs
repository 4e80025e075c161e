//! Who is let in: the handler that libzmq asks about the clients of CURVE servers.
//!
//! libzmq sends a request for each client to a socket of the same context that is bound to a
//! fixed address (ZAP, ZeroMQ RFC 27). So there is one handler for a context; it tells the servers
//! apart by their domains.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use super::{Context, Error, Message, PublicKey, Socket, SocketType};
use crate::lock::locked;

/// Where libzmq looks for the handler.
const ADDRESS: &core::ffi::CStr = c"inproc://zeromq.zap.01";

/// Milliseconds that the thread waits for a request before it looks whether to end.
const IDLE_MILLIS: i64 = 100;

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The client is let in.
    Admitted,
    /// The client is not let in, and is told so. libzmq's clients do not try again by themselves.
    Refused,
    /// The client is not let in now: the connection is closed without a word, and clients try again.
    Later,
}

/// Decides about a client, by its key and its address. Called on the handler's thread.
pub type Gate = Box<dyn Fn(PublicKey, &str) -> Verdict + Send + Sync>;

type Domains = Mutex<HashMap<String, Gate>>;

/// The handler of a context, with a thread of its own, which ends when this is dropped.
pub struct Handler {
    domains: Arc<Domains>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Handler {
    /// Starts the handler. Clients of domains without a gate are not let in.
    ///
    /// # Errors
    ///
    /// The context has one already (`EADDRINUSE`), or no socket or thread is to be had.
    pub fn start(context: &Arc<Context>) -> Result<Self, Error> {
        let domains: Arc<Domains> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new().name("zmq-zap".into()).spawn({
            let (context, domains, stop) = (Arc::clone(context), Arc::clone(&domains), Arc::clone(&stop));
            move || {
                let socket = Socket::new(&context, SocketType::Rep).and_then(|socket| {
                    socket.set(zmq_sys::ZMQ_LINGER, 0)?;
                    socket.bind(ADDRESS)?;
                    Ok(socket)
                });
                drop(context);
                match socket {
                    Ok(socket) => {
                        // `Handler::start` waits for this.
                        let _ = tell.send(Ok(()));
                        serve(&socket, &domains, &stop);
                        // The address is free at once for the next handler; closing takes its time.
                        let _ = socket.unbind(ADDRESS);
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                    }
                }
            }
        });
        let thread = thread.map_err(|error| Error(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        let started = told.recv().unwrap_or(Err(Error(libc::EAGAIN)));
        let handler = Self { domains, stop, thread: Some(thread) };
        started.map(|()| handler)
    }

    /// Sets who decides about a domain's clients.
    pub fn open(&self, domain: &str, gate: Gate) {
        locked(&self.domains).insert(domain.to_owned(), gate);
    }

    /// Lets in nobody at a domain from now on. They are told to try again: a server that ends may
    /// be about to be started again.
    pub fn close(&self, domain: &str) {
        locked(&self.domains).remove(domain);
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic, and nothing is left to do if it did.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &Socket, domains: &Domains, stop: &AtomicBool) {
    let mut frames: Vec<Message> = Vec::new();
    while !stop.load(Ordering::Acquire) {
        frames.clear();
        // A request arrives whole.
        while let Ok(Some(frame)) = socket.try_recv() {
            let more = frame.more();
            frames.push(frame);
            if !more {
                break;
            }
        }
        if frames.is_empty() {
            // An error would come again, and must not make this a busy loop.
            if socket.wait_readable(IDLE_MILLIS).is_err() {
                std::thread::sleep(core::time::Duration::from_millis(IDLE_MILLIS as u64));
            }
            continue;
        }
        let request: Vec<&[u8]> = frames.iter().map(Message::as_bytes).collect();
        let reply = answer(&request, domains);
        for (index, frame) in reply.iter().enumerate() {
            // Nobody is left to tell if libzmq does not take its answer: the client waits, and is
            // not let in.
            let Ok(mut message) = Message::copy_of(frame) else { return };
            if socket.try_send(&mut message, index + 1 < reply.len()).is_err() {
                break;
            }
        }
    }
}

/// The frames of the reply: version, request, status, text, user, metadata.
fn answer<'a>(request: &[&'a [u8]], domains: &Domains) -> [&'a [u8]; 6] {
    let reply = |id, status: &'static [u8], text: &'static [u8]| [&b"1.0"[..], id, status, text, b"", b""];
    match *request {
        [b"1.0", id, domain, address, _, b"CURVE", key] => {
            let domains = locked(domains);
            let gate = std::str::from_utf8(domain).ok().and_then(|domain| domains.get(domain));
            let verdict = match (gate, PublicKey::from_bytes(key)) {
                (Some(gate), Some(key)) => gate(key, &String::from_utf8_lossy(address)),
                (None, Some(_)) => Verdict::Later,
                (_, None) => Verdict::Refused,
            };
            match verdict {
                Verdict::Admitted => reply(id, b"200", b"OK"),
                Verdict::Refused => reply(id, b"400", b"this key is not authorized"),
                Verdict::Later => reply(id, b"300", b"try again"),
            }
        }
        [b"1.0", id, ..] => reply(id, b"400", b"only CURVE is allowed"),
        _ => reply(b"1", b"500", b"not a request of ZAP 1.0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_a_domain_a_mechanism_and_a_key() {
        let domains = Domains::default();
        let known = [7; 32];
        let gate: Gate = Box::new(move |key, address| match (Some(key) == PublicKey::from_bytes(&known), address) {
            (true, "192.0.2.1") => Verdict::Admitted,
            (true, _) => Verdict::Later,
            (false, _) => Verdict::Refused,
        });
        locked(&domains).insert("one".to_owned(), gate);
        let [one, two, here, there]: [&[u8]; 4] = [b"one", b"two", b"192.0.2.1", b"192.0.2.2"];
        let [curve, plain]: [&[u8]; 2] = [b"CURVE", b"PLAIN"];
        for (domain, address, mechanism, key, status) in [
            (one, here, curve, &known[..], "200"),
            (one, there, curve, &known, "300"),
            (one, here, curve, &[8; 32], "400"),
            (one, here, curve, &known[1..], "400"),
            (one, here, plain, &known, "400"),
            (two, here, curve, &known, "300"),
            (b"\xff", here, curve, &known, "300"),
        ] {
            let reply = answer(&[b"1.0", b"id", domain, address, b"", mechanism, key], &domains);
            assert_eq!((reply[0], reply[1], reply[2]), (&b"1.0"[..], &b"id"[..], status.as_bytes()));
        }
        for request in [&[][..], &[&b"2.0"[..], b"id"]] {
            assert_eq!(answer(request, &domains)[2], b"500");
        }
        assert_eq!(answer(&[b"1.0", b"id", b"one", b"", b"", b"CURVE"], &domains)[2], b"400");
    }

    #[test]
    fn a_context_has_one_handler_at_a_time() {
        let context = Arc::new(Context::new().unwrap());
        let handler = Handler::start(&context).unwrap();
        assert_eq!(Handler::start(&context).err(), Some(Error(libc::EADDRINUSE)));
        drop(handler);
        drop(Handler::start(&context).unwrap());
        assert_eq!(Arc::strong_count(&context), 1);
    }
}
