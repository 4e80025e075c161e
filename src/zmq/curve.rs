//! CURVE keys, and what a socket does with them.
//!
//! CURVE (ZeroMQ RFC 26) encrypts connections and proves to each side that the other one has the
//! secret key of a public key. One side is the server, which clients know by its public key; the
//! server decides which clients it lets in, see [`super::zap`].

use core::ffi::{c_char, c_int};
use core::fmt;
use core::sync::atomic::{Ordering, compiler_fence};
use std::sync::Arc;

use super::{Error, Socket};

/// The option with which a server refuses everybody while no handler answers for its domain. libzmq has
/// it since 4.3, and declares it only with its drafts.
const ZMQ_ZAP_ENFORCE_DOMAIN: c_int = 93;

/// Bytes of a key.
const KEY: usize = 32;

/// Characters of a key in Z85.
pub const KEY_TEXT: usize = 40;

/// Z85's digits (ZeroMQ RFC 32).
const DIGITS: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// Returns true if the libzmq in use has CURVE, and is 4.3 or newer.
#[must_use]
pub fn has_curve() -> bool {
    // SAFETY: a terminated string.
    cfg!(zmq_curve) && super::version() >= (4, 3, 0) && unsafe { zmq_sys::zmq_has(c"curve".as_ptr()) == 1 }
}

/// Overwrites a secret. The compiler cannot leave this out.
pub fn wipe(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: a byte that is borrowed mutably.
        unsafe { core::ptr::write_volatile(byte, 0) };
    }
    compiler_fence(Ordering::SeqCst);
}

fn encode(key: &[u8; KEY], text: &mut [u8; KEY_TEXT]) {
    for (bytes, digits) in key.chunks_exact(4).zip(text.chunks_exact_mut(5)) {
        let mut number = bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[(number % 85) as usize];
            number /= 85;
        }
    }
}

/// Decodes a key. Returns `None` if the text is no key in Z85.
fn decode(text: &[u8], key: &mut [u8; KEY]) -> Option<()> {
    if text.len() != KEY_TEXT {
        return None;
    }
    for (digits, bytes) in text.chunks_exact(5).zip(key.chunks_exact_mut(4)) {
        let number = digits.iter().try_fold(0_u64, |number, digit| {
            DIGITS.iter().position(|known| known == digit).map(|value| number * 85 + value as u64)
        })?;
        bytes.copy_from_slice(&u32::try_from(number).ok()?.to_be_bytes());
    }
    Some(())
}

/// A public key. Shown in Z85.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; KEY]);

impl PublicKey {
    /// Reads 40 characters of Z85.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = [0; KEY];
        decode(text.as_bytes(), &mut key).map(|()| Self(key))
    }

    /// A key of 32 bytes, as it is on the wire.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; KEY_TEXT];
        encode(&self.0, &mut text);
        text.iter().try_for_each(|&digit| fmt::Write::write_char(f, digit.into()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret key. It has one place in memory, which is overwritten when it is dropped, and is not
/// shown. (libzmq makes copies of its own for its sockets and connections.)
pub struct SecretKey(Box<[u8; KEY]>);

impl SecretKey {
    /// Reads 40 characters of Z85.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut key = Self(Box::new([0; KEY]));
        decode(text, &mut key.0).map(|()| key)
    }

    /// Calls `write` with the key's text in Z85, which is overwritten afterwards.
    pub fn with_text<T>(&self, write: impl FnOnce(&[u8; KEY_TEXT]) -> T) -> T {
        let mut text = [0; KEY_TEXT];
        encode(&self.0, &mut text);
        let result = write(&text);
        wipe(&mut text);
        result
    }

    /// The public key that belongs to this key. `None` if libzmq has no CURVE.
    #[must_use]
    #[cfg(zmq_curve)]
    pub fn public_key(&self) -> Option<PublicKey> {
        let mut secret = [0; KEY_TEXT + 1];
        self.with_text(|text| secret[..KEY_TEXT].copy_from_slice(text));
        let mut public = [0_u8; KEY_TEXT + 1];
        // SAFETY: room for 40 characters and a null byte, and a terminated string of 40.
        let code = unsafe {
            zmq_sys::zmq_curve_public(public.as_mut_ptr().cast::<c_char>(), secret.as_ptr().cast::<c_char>())
        };
        wipe(&mut secret);
        if code != 0 {
            return None;
        }
        std::str::from_utf8(&public[..KEY_TEXT]).ok().and_then(PublicKey::parse)
    }

    /// The public key that belongs to this key: `None`, as the libzmq of this build is too old.
    #[must_use]
    #[cfg(not(zmq_curve))]
    pub fn public_key(&self) -> Option<PublicKey> {
        None
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        wipe(&mut self.0[..]);
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// A secret key and its public key.
#[derive(Debug)]
pub struct KeyPair {
    public: PublicKey,
    secret: SecretKey,
}

/// Compares the public keys: if they are equal, the secret keys are.
impl PartialEq for KeyPair {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for KeyPair {}

impl KeyPair {
    /// The pair of a secret key. `None` if libzmq has no CURVE.
    #[must_use]
    pub fn new(secret: SecretKey) -> Option<Self> {
        secret.public_key().map(|public| Self { public, secret })
    }

    /// A new pair.
    ///
    /// # Errors
    ///
    /// `ENOTSUP`: libzmq has no CURVE.
    pub fn generate() -> Result<Self, Error> {
        let (mut public, mut secret) = ([0_u8; KEY_TEXT + 1], [0_u8; KEY_TEXT + 1]);
        // SAFETY: room for 40 characters and a null byte each.
        let code = Error::check(unsafe {
            zmq_sys::zmq_curve_keypair(public.as_mut_ptr().cast::<c_char>(), secret.as_mut_ptr().cast::<c_char>())
        });
        let pair = SecretKey::parse(&secret[..KEY_TEXT]).and_then(Self::new);
        wipe(&mut secret);
        code.and_then(|_| pair.ok_or(Error(libc::ENOTSUP)))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The secret key.
    #[must_use]
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

/// What a socket is in the connections that it makes from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client, which knows the server's key.
    Client {
        /// The client's keys.
        keys: Arc<KeyPair>,
        /// The server's public key.
        server: PublicKey,
    },
    /// A server, which lets in whom the handler of its domain lets in; see [`super::zap`].
    Server {
        /// The server's keys.
        keys: Arc<KeyPair>,
        /// The domain.
        domain: String,
    },
}

impl Socket {
    /// Sets the keys for the endpoints that are connected or bound from now on; without a role, sets
    /// nothing. If this fails, the socket must not be used: it may be without encryption.
    ///
    /// # Errors
    ///
    /// `ENOTSUP`: libzmq has no CURVE, or, for a server, is older than 4.3 and would let in
    /// everybody while there is no handler.
    pub fn secure(&self, role: Option<&Role>) -> Result<(), Error> {
        let Some(role) = role else { return Ok(()) };
        let missing = |_| Error(libc::ENOTSUP);
        let (Role::Client { keys, .. } | Role::Server { keys, .. }) = role;
        self.set_bytes(zmq_sys::ZMQ_CURVE_PUBLICKEY, &keys.public.0).map_err(missing)?;
        self.set_bytes(zmq_sys::ZMQ_CURVE_SECRETKEY, &keys.secret.0[..]).map_err(missing)?;
        match role {
            Role::Client { server, .. } => {
                self.set_bytes(zmq_sys::ZMQ_CURVE_SERVERKEY, &server.0).map_err(missing)?;
            }
            Role::Server { domain, .. } => {
                self.set(ZMQ_ZAP_ENFORCE_DOMAIN, 1).map_err(missing)?;
                self.set_bytes(zmq_sys::ZMQ_ZAP_DOMAIN, domain.as_bytes())?;
                self.set(zmq_sys::ZMQ_CURVE_SERVER, 1).map_err(missing)?;
            }
        }
        if self.get(zmq_sys::ZMQ_MECHANISM)? != zmq_sys::ZMQ_CURVE {
            return Err(Error(libc::ENOTSUP));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of RFC 26's and zmq_curve_keypair(3)'s examples.
    const SERVER: (&str, &str) =
        ("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6");

    #[test]
    fn z85() {
        let key = PublicKey::parse(SERVER.0).unwrap();
        assert_eq!(key.to_string(), SERVER.0);
        assert_eq!(PublicKey::from_bytes(&key.0), Some(key));
        for text in
            ["", "rq:rM", &SERVER.0[1..], "#####rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", &format!("{} ", &SERVER.0[1..])]
        {
            assert_eq!(PublicKey::parse(text), None, "{text}");
        }
        assert_eq!(PublicKey::from_bytes(b"short"), None);
        assert_eq!(PublicKey([0xff; KEY]).to_string(), "%nSc0".repeat(8));
    }

    #[test]
    fn a_pair_is_derived_from_its_secret_key_which_is_not_shown() {
        let pair = KeyPair::new(SecretKey::parse(SERVER.1.as_bytes()).unwrap()).unwrap();
        assert_eq!(pair.public().to_string(), SERVER.0);
        pair.secret().with_text(|text| assert_eq!(text, SERVER.1.as_bytes()));
        assert_eq!(format!("{pair:?}"), format!("KeyPair {{ public: {}, secret: SecretKey }}", SERVER.0));
        let other = KeyPair::generate().unwrap();
        assert_ne!(other, KeyPair::generate().unwrap());
        assert_eq!(other.secret().public_key(), Some(other.public()));
    }
}
