//! A peer that speaks ZMTP 3.1 byte by byte, so that it can say what no library would.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::FromRawFd;
use std::time::Duration;

use bro_zeromq_writer::zmq::{KeyPair, PublicKey};
use libsodium_sys as sodium;

/// A frame's flags.
pub const MORE: u8 = 1;
const LARGE: u8 = 2;
pub const COMMAND: u8 = 4;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose keys a peer has, and whom it expects, if it encrypts.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    pub own: &'a KeyPair,
    pub server: PublicKey,
}

/// One end of a connection.
pub struct Zmtp {
    pub stream: TcpStream,
    session: Option<Session>,
    /// Bytes written so far.
    pub sent: u64,
}

/// What encrypts a connection: the key, the prefixes of both sides' nonces, and the next nonce.
struct Session {
    key: [u8; 32],
    own: &'static [u8; 16],
    peers: &'static [u8; 16],
    nonce: u64,
}

fn closed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, what.to_owned())
}

impl Zmtp {
    /// A connection on which nothing has been said.
    pub fn silent(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, session: None, sent: 0 }
    }

    /// Connects to `HOST:PORT`.
    pub fn connect(address: &str) -> io::Result<Self> {
        TcpStream::connect(address).map(Self::silent)
    }

    /// Connects to `HOST:PORT`, both of IPv4, from an address of this machine.
    pub fn connect_from(source: Ipv4Addr, address: &str) -> io::Result<Self> {
        let raw = |address: SocketAddrV4| libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: address.port().to_be(),
            sin_addr: libc::in_addr { s_addr: address.ip().to_bits().to_be() },
            sin_zero: [0; 8],
        };
        let source = raw(SocketAddrV4::new(source, 0));
        let target = raw(address.parse().unwrap());
        let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        // SAFETY: a descriptor that nobody else has, and addresses of the size given.
        unsafe {
            let descriptor = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            assert_ne!(descriptor, -1);
            let stream = TcpStream::from_raw_fd(descriptor);
            for call in [libc::bind, libc::connect].into_iter().zip([&source, &target]) {
                let (call, address): (unsafe extern "C" fn(_, _, _) -> _, _) = call;
                if call(descriptor, (&raw const *address).cast(), size) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(Self::silent(stream))
        }
    }

    /// Waits for somebody to connect.
    pub fn accept(listener: &TcpListener) -> io::Result<Self> {
        listener.accept().map(|(stream, _)| Self::silent(stream))
    }

    /// Exchanges greetings and says what kind of socket this is. `server` is true on the side that listens.
    pub fn introduce(&mut self, kind: &str, secrets: Option<Secrets<'_>>, server: bool) -> io::Result<()> {
        let mut greeting = [0; 64];
        greeting[..12].copy_from_slice(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01");
        let mechanism: &[u8] = if secrets.is_some() { b"CURVE" } else { b"NULL" };
        greeting[12..12 + mechanism.len()].copy_from_slice(mechanism);
        greeting[32] = u8::from(server && secrets.is_some());
        self.raw(&greeting)?;
        self.stream.read_exact(&mut greeting)?;
        let mut metadata = b"\x0bSocket-Type\0\0\0".to_vec();
        metadata.push(kind.len() as u8);
        metadata.extend(kind.as_bytes());
        match secrets {
            None => {
                self.frame(COMMAND, &[b"\x05READY", &metadata[..]].concat())?;
                self.read()?;
            }
            Some(secrets) if server => self.serve(secrets, &metadata)?,
            Some(secrets) => self.join(secrets, &metadata)?,
        }
        Ok(())
    }

    /// The client's part of CurveZMQ's handshake.
    fn join(&mut self, secrets: Secrets<'_>, metadata: &[u8]) -> io::Result<()> {
        let (own, server) = (raw_key(&secrets.own.secret().with_text(|key| key.to_vec())), key_of(secrets.server));
        let own_public = key_of(secrets.own.public());
        let (short_public, short) = pair();
        let hello = seal(&shared(&server, &short), b"CurveZMQHELLO---", 1_u64, &[0; 64]);
        let parts: [&[u8]; 5] = [b"\x05HELLO\x01\0", &[0; 72], &short_public, &1_u64.to_be_bytes(), &hello];
        self.frame(COMMAND, &parts.concat())?;
        let (_, welcome) = self.read()?;
        let (nonce, sealed) = welcome.get(8..).and_then(|rest| rest.split_at_checked(16)).ok_or(closed("welcome"))?;
        let nonce = [b"WELCOME-", nonce].concat();
        let opened = open(&shared(&server, &short), &nonce, sealed).ok_or(closed("welcome"))?;
        let (theirs, cookie) = opened.split_at(32);
        let theirs: [u8; 32] = theirs.try_into().unwrap();
        let vouch_nonce = [7; 16];
        let vouched = [&short_public[..], &server].concat();
        let vouch = seal_with(&shared(&theirs, &own), &[b"VOUCH---", &vouch_nonce[..]].concat(), &vouched);
        let key = shared(&theirs, &short);
        let inner = [&own_public[..], &vouch_nonce, &vouch, metadata].concat();
        let sealed = seal(&key, b"CurveZMQINITIATE", 2, &inner);
        self.frame(COMMAND, &[b"\x08INITIATE", cookie, &2_u64.to_be_bytes()[..], &sealed].concat())?;
        let (_, ready) = self.read()?;
        if !ready.starts_with(b"\x05READY") {
            return Err(closed("not let in"));
        }
        self.session = Some(Session { key, own: b"CurveZMQMESSAGEC", peers: b"CurveZMQMESSAGES", nonce: 3 });
        Ok(())
    }

    /// The server's part, which lets everybody in.
    fn serve(&mut self, secrets: Secrets<'_>, metadata: &[u8]) -> io::Result<()> {
        let own = raw_key(&secrets.own.secret().with_text(|key| key.to_vec()));
        let (_, hello) = self.read()?;
        let theirs: [u8; 32] = hello.get(80..112).ok_or(closed("hello"))?.try_into().unwrap();
        let (short_public, short) = pair();
        let welcome = seal_with(
            &shared(&theirs, &own),
            &[&b"WELCOME-"[..], &[9; 16]].concat(),
            &[&short_public[..], &[1; 96]].concat(),
        );
        self.frame(COMMAND, &[&b"\x07WELCOME"[..], &[9; 16], &welcome].concat())?;
        self.read()?;
        let key = shared(&theirs, &short);
        let sealed = seal(&key, b"CurveZMQREADY---", 1, metadata);
        self.frame(COMMAND, &[&b"\x05READY"[..], &1_u64.to_be_bytes(), &sealed].concat())?;
        self.session = Some(Session { key, own: b"CurveZMQMESSAGES", peers: b"CurveZMQMESSAGEC", nonce: 2 });
        Ok(())
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.sent += bytes.len() as u64;
        Ok(())
    }

    fn frame(&mut self, flags: u8, body: &[u8]) -> io::Result<()> {
        let mut frame = Vec::new();
        put(&mut frame, flags, body);
        self.raw(&frame)
    }

    /// Appends a frame of a message, or a command, as it is sent on this connection.
    pub fn encode(&mut self, to: &mut Vec<u8>, flags: u8, body: &[u8]) {
        match &mut self.session {
            None => put(to, flags, body),
            Some(session) => {
                // Within an encrypted frame, the flags are other bits.
                let inner = [&[flags & MORE | (flags & COMMAND) >> 1], body].concat();
                let sealed = seal(&session.key, session.own, session.nonce, &inner);
                put(to, 0, &[b"\x07MESSAGE", &session.nonce.to_be_bytes()[..], &sealed].concat());
                session.nonce += 1;
            }
        }
    }

    /// Sends a frame of a message, or a command.
    pub fn send(&mut self, flags: u8, body: &[u8]) -> io::Result<()> {
        let mut frame = Vec::new();
        self.encode(&mut frame, flags, body);
        self.raw(&frame)
    }

    /// The next frame: its flags and body.
    pub fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let (flags, body) = self.read()?;
        let Some(session) = &self.session else { return Ok((flags, body)) };
        let (nonce, sealed) = body.get(8..).and_then(|rest| rest.split_at_checked(8)).ok_or(closed("message"))?;
        let inner = open(&session.key, &[&session.peers[..], nonce].concat(), sealed).ok_or(closed("message"))?;
        Ok((inner[0], inner[1..].to_vec()))
    }

    fn read(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let len = match head[0] & LARGE {
            0 => usize::from(head[1]),
            _ => {
                let mut rest = [0; 7];
                self.stream.read_exact(&mut rest)?;
                rest.iter().fold(usize::from(head[1]), |len, &byte| len << 8 | usize::from(byte))
            }
        };
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}

fn put(to: &mut Vec<u8>, flags: u8, body: &[u8]) {
    match u8::try_from(body.len()) {
        Ok(len) => to.extend([flags, len]),
        Err(_) => {
            to.push(flags | LARGE);
            to.extend((body.len() as u64).to_be_bytes());
        }
    }
    to.extend(body);
}

/// A key's bytes from its text.
fn raw_key(text: &[u8]) -> [u8; 32] {
    let text = CString::new(text).unwrap();
    let mut key = [0; 32];
    // SAFETY: 40 characters become 32 bytes.
    assert!(!unsafe { zmq_sys::zmq_z85_decode(key.as_mut_ptr(), text.as_ptr()) }.is_null());
    key
}

fn key_of(key: PublicKey) -> [u8; 32] {
    raw_key(key.to_string().as_bytes())
}

/// A new public key and its secret one.
fn pair() -> ([u8; 32], [u8; 32]) {
    let (mut public, mut secret) = ([0; 32], [0; 32]);
    // SAFETY: two keys to write to.
    unsafe { sodium::crypto_box_keypair(public.as_mut_ptr(), secret.as_mut_ptr()) };
    (public, secret)
}

/// The key that both sides compute from each other's public keys and their own secret keys.
fn shared(public: &[u8; 32], secret: &[u8; 32]) -> [u8; 32] {
    let mut key = [0; 32];
    // SAFETY: three keys.
    assert_eq!(unsafe { sodium::crypto_box_beforenm(key.as_mut_ptr(), public.as_ptr(), secret.as_ptr()) }, 0);
    key
}

fn seal(key: &[u8; 32], prefix: &[u8; 16], nonce: u64, plain: &[u8]) -> Vec<u8> {
    seal_with(key, &[&prefix[..], &nonce.to_be_bytes()].concat(), plain)
}

fn seal_with(key: &[u8; 32], nonce: &[u8], plain: &[u8]) -> Vec<u8> {
    assert_eq!(nonce.len(), 24);
    let mut sealed = vec![0; plain.len() + 16];
    // SAFETY: room for the text and its authenticator; a nonce and a key of their sizes.
    let code = unsafe {
        sodium::crypto_box_easy_afternm(
            sealed.as_mut_ptr(),
            plain.as_ptr(),
            plain.len() as u64,
            nonce.as_ptr(),
            key.as_ptr(),
        )
    };
    assert_eq!(code, 0);
    sealed
}

fn open(key: &[u8; 32], nonce: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(nonce.len(), 24);
    let mut plain = vec![0; sealed.len().checked_sub(16)?];
    // SAFETY: room for the text; a nonce and a key of their sizes.
    let code = unsafe {
        sodium::crypto_box_open_easy_afternm(
            plain.as_mut_ptr(),
            sealed.as_ptr(),
            sealed.len() as u64,
            nonce.as_ptr(),
            key.as_ptr(),
        )
    };
    (code == 0).then_some(plain)
}
