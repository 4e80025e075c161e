//! Files of keys, in the format of ZeroMQ's certificates (czmq's `zcert`, pyzmq's
//! `zmq.auth.create_certificates`), and directories of keys whose owners are let in.
//!
//! A certificate is a file in ZPL (ZeroMQ RFC 4), with the keys in its section `curve`:
//!
//! ```text
//! curve
//!     public-key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
//!     secret-key = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
//! ```

mod authorized;

use std::fmt::Write as _;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::texts::texts;
use crate::zmq::{KeyPair, PublicKey, SecretKey, has_curve, wipe};

pub use authorized::{Authorized, Notice, Unread, Whence};

texts! {
    /// What is wrong with a key's file, or with a directory of them, and what to do; never a key.
    pub enum KeyError {
        NoCurve =
            "the libzmq in use has no CURVE (4.3 or newer with libsodium is needed); nothing is sent without \
             encryption. Build without --with-zmq, which has it",
        Missing { name: String, error: String } = "cannot read {name}: {error}",
        Unread { name: String, error: String } = "cannot read {name}: {error}",
        NoFile { name: String } = "{name} is not a file",
        TooLarge { name: String } = "{name} is no certificate: it has more than {MAX_FILE} bytes",
        Damaged { name: String, why: Damage } = "{name}: {why}",
        NoSecret { name: String } = "{name} has no secret-key; name the file that keygen calls NAME.key_secret",
        NoPublic { name: String } = "{name} has no public-key in a section curve",
        NoPair { name: String } = "the public-key in {name} is not the one of its secret-key; make new keys",
        Open { name: String, mode: u32, fix: u32 } =
            "{name} can be read or written by others (mode {mode:04o}): chmod {fix:o} {name}, and, if others had \
             access, make new keys",
        Writable { name: String, mode: u32 } =
            "{name} can be written by others (mode {mode:04o}), who could let anybody in: chmod go-w {name}",
        Unwritten { name: String, error: String } = "cannot write {name}: {error}",
        Exists { name: String } = "{name} is there already; keys are never overwritten: name other files, or remove it",
    }
}

texts! {
    /// What is wrong with a certificate.
    pub enum Damage {
        Public = "its public-key is not 40 characters of Z85",
        Secret = "its secret-key is not 40 characters of Z85",
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn unread(path: &Path, error: &io::Error) -> KeyError {
    let (name, text) = (name(path), error.to_string());
    match error.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { name, error: text },
        _ => KeyError::Unread { name, error: text },
    }
}

/// A larger file is no certificate.
const MAX_FILE: usize = 16 * 1024;

/// The content of a file, overwritten when it is dropped.
struct Content {
    bytes: Box<[u8; MAX_FILE + 1]>,
    len: usize,
}

impl Drop for Content {
    fn drop(&mut self) {
        wipe(&mut self.bytes[..self.len]);
    }
}

/// What is in a certificate.
#[derive(Debug, Default)]
pub struct Certificate {
    /// The public key, if there is one.
    pub public: Option<PublicKey>,
    /// The secret key, if there is one.
    pub secret: Option<SecretKey>,
}

impl Certificate {
    /// Reads the text of a certificate. Lines that are no keys are ignored.
    ///
    /// # Errors
    ///
    /// What is wrong with a key; never the key itself.
    pub fn parse(text: &[u8]) -> Result<Self, Damage> {
        let mut certificate = Self::default();
        let mut in_curve = false;
        for line in text.split(|&byte| byte == b'\n') {
            let content = line.trim_ascii();
            if content.is_empty() || content.starts_with(b"#") {
                continue;
            }
            if !line[0].is_ascii_whitespace() {
                in_curve = content == b"curve";
                continue;
            }
            let Some(equals) = content.iter().position(|&byte| byte == b'=').filter(|_| in_curve) else { continue };
            let value = unquoted(content[equals + 1..].trim_ascii());
            match content[..equals].trim_ascii() {
                b"public-key" => {
                    let key = std::str::from_utf8(value).ok().and_then(PublicKey::parse);
                    certificate.public = Some(key.ok_or(Damage::Public)?);
                }
                b"secret-key" => {
                    certificate.secret = Some(SecretKey::parse(value).ok_or(Damage::Secret)?);
                }
                _ => {}
            }
        }
        Ok(certificate)
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside,
        _ => value,
    }
}

/// Reads a secret key, and its public key with it. Only the file's owner may be able to read or write
/// it. If the owner is another user, whom this process trusts to keep it, that user's group may read it,
/// too.
///
/// # Errors
///
/// What is wrong, with the file's name and what to do; never a key.
pub fn read_secret(path: &Path) -> Result<KeyPair, KeyError> {
    let (content, metadata) = read(path)?;
    // The content is looked at before the mode: a public key may be read by everybody.
    let certificate = certificate(path, &content)?;
    let secret = certificate.secret.ok_or_else(|| KeyError::NoSecret { name: name(path) })?;
    let mode = metadata.mode() & 0o7777;
    let ours = metadata.uid() == effective_user();
    // A service manager hands over files of root's, readable by the service's group or by an
    // access control list, which looks the same.
    let (forbidden, fix) = if ours { (0o077, 0o600) } else { (0o027, 0o640) };
    if mode & forbidden != 0 {
        return Err(KeyError::Open { name: name(path), mode, fix });
    }
    let pair = KeyPair::new(secret).ok_or(KeyError::NoCurve)?;
    if certificate.public.is_some_and(|public| public != pair.public()) {
        return Err(KeyError::NoPair { name: name(path) });
    }
    Ok(pair)
}

/// Reads a public key.
///
/// # Errors
///
/// What is wrong, with the file's name.
pub fn read_public(path: &Path) -> Result<PublicKey, KeyError> {
    let (content, _) = read(path)?;
    let public = certificate(path, &content)?.public;
    public.ok_or_else(|| KeyError::NoPublic { name: name(path) })
}

/// Fails if libzmq has no CURVE.
///
/// # Errors
///
/// [`KeyError::NoCurve`].
pub fn require_curve() -> Result<(), KeyError> {
    if has_curve() { Ok(()) } else { Err(KeyError::NoCurve) }
}

fn certificate(path: &Path, content: &Content) -> Result<Certificate, KeyError> {
    Certificate::parse(&content.bytes[..content.len]).map_err(|why| KeyError::Damaged { name: name(path), why })
}

#[allow(unsafe_code, reason = "the standard library does not tell the user")]
fn effective_user() -> u32 {
    // SAFETY: no arguments, and it cannot fail.
    unsafe { libc::geteuid() }
}

/// Reads a file, which must be a small one.
fn read(path: &Path) -> Result<(Content, Metadata), KeyError> {
    let failed = |error: io::Error| unread(path, &error);
    // A pipe without a writer is not waited for.
    let mut file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeyError::NoFile { name: name(path) });
    }
    let mut content = Content { bytes: Box::new([0; MAX_FILE + 1]), len: 0 };
    loop {
        match file.read(&mut content.bytes[content.len..]) {
            Ok(0) => break,
            Ok(count) => content.len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if content.len > MAX_FILE {
        return Err(KeyError::TooLarge { name: name(path) });
    }
    Ok((content, metadata))
}

/// Writes the two files of a pair, `NAME.key` and `NAME.key_secret`, which must not be there. Only their
/// owner can read the secret key. Returns their names.
///
/// # Errors
///
/// What could not be written, and why.
pub fn write_pair(name: &Path, pair: &KeyPair, comment: &str) -> Result<[PathBuf; 2], KeyError> {
    let [public, secret] = ["key", "key_secret"].map(|extension| {
        let mut path = name.as_os_str().to_owned();
        path.push(".");
        path.push(extension);
        PathBuf::from(path)
    });
    let comment = comment.escape_debug();
    let mut text = format!("# {comment}\n# ZeroMQ CURVE public certificate: give it to the other side.\n\n");
    // Writing to a string does not fail.
    let _ = write!(text, "metadata\ncurve\n    public-key = \"{}\"\n", pair.public());
    // The secret key's file comes first: it has both keys, so that half a pair is never left.
    if public.symlink_metadata().is_ok() {
        return Err(KeyError::Exists { name: self::name(&public) });
    }
    let mut file = create(&secret, 0o600)?;
    let result = pair.secret().with_text(|key| {
        write!(file, "# {comment}\n# ZeroMQ CURVE secret certificate: it stays here.\n\n")?;
        write!(file, "metadata\ncurve\n    public-key = \"{}\"\n    secret-key = \"", pair.public())?;
        file.write_all(key)?;
        file.write_all(b"\"\n")
    });
    result.and_then(|()| file.sync_all()).map_err(|error| unwritten(&secret, &error))?;
    let mut file = create(&public, 0o644)?;
    // For everybody, whatever the umask takes away from new files.
    let readable = file.set_permissions(Permissions::from_mode(0o644));
    readable
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(|error| unwritten(&public, &error))?;
    Ok([public, secret])
}

fn create(path: &Path, mode: u32) -> Result<File, KeyError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { name: name(path) },
        _ => unwritten(path, &error),
    })
}

fn unwritten(path: &Path, error: &io::Error) -> KeyError {
    KeyError::Unwritten { name: name(path), error: error.to_string() }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) struct Dir(pub PathBuf);

    impl Dir {
        pub(crate) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bzw-keys-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_pair_is_written_and_read_again() {
        let dir = Dir::new("pair");
        let pair = KeyPair::generate().unwrap();
        let [public, secret] = write_pair(&dir.0.join("sensor.one"), &pair, "made by a test\nwith two lines").unwrap();
        assert_eq!(public, dir.0.join("sensor.one.key"));
        for (file, mode) in [(&public, 0o644), (&secret, 0o600)] {
            assert_eq!(file.metadata().unwrap().mode() & 0o7777, mode);
        }
        assert_eq!(read_public(&public).unwrap(), pair.public());
        assert_eq!(read_public(&secret).unwrap(), pair.public());
        assert_eq!(read_secret(&secret).unwrap(), pair);
        let key = pair.secret().with_text(|key| String::from_utf8(key.to_vec()).unwrap());
        assert!(!std::fs::read_to_string(&public).unwrap().contains(&key));
        assert!(read_secret(&public).unwrap_err().to_string().contains("has no secret-key"));
        for again in [write_pair(&dir.0.join("sensor.one"), &pair, ""), {
            std::fs::remove_file(&public).unwrap();
            write_pair(&dir.0.join("sensor.one"), &pair, "")
        }] {
            assert!(again.unwrap_err().to_string().contains("is there already"));
        }
        assert!(!public.exists());
    }

    #[test]
    fn a_secret_that_others_have_access_to_is_refused() {
        let dir = Dir::new("mode");
        let [_, secret] = write_pair(&dir.0.join("x"), &KeyPair::generate().unwrap(), "").unwrap();
        for bad in [0o640, 0o604, 0o620, 0o602, 0o660, 0o644] {
            mode(&secret, bad);
            let error = read_secret(&secret).unwrap_err().to_string();
            for part in [secret.to_str().unwrap(), &format!("mode {bad:04o}"), "chmod 600"] {
                assert!(error.contains(part), "{error}");
            }
        }
        mode(&secret, 0o400);
        read_secret(&secret).unwrap();
    }

    #[test]
    fn other_tools_certificates() {
        let (public, secret) = ("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6");
        for text in [
            format!(
                "#   ****  Generated on 2013  ****\n\nmetadata\n    curve = \"x\"\ncurve\n    public-key = \"{public}\"\n    secret-key = \"{secret}\"\n"
            ),
            format!("curve\r\n\tpublic-key='{public}'\r\n\tsecret-key = {secret}\r\n"),
            format!("curve\n  secret-key = \"{secret}\"\n  public-key = {public}\nother\n  public-key = \"x\"\n"),
        ] {
            let certificate = Certificate::parse(text.as_bytes()).unwrap();
            assert_eq!(certificate.public.unwrap().to_string(), public);
            certificate.secret.unwrap().with_text(|text| assert_eq!(text, secret.as_bytes()));
        }
        for text in
            [&b""[..], b"curve\npublic-key = x", b"metadata\n    public-key = x\n", b"\xff\xfe\n=\n =\ncurve\n =\n"]
        {
            let certificate = Certificate::parse(text).unwrap();
            assert!(certificate.public.is_none() && certificate.secret.is_none());
        }
        for text in ["curve\n public-key = \"\"", "curve\n secret-key = x", "curve\n public-key = \u{e4}"] {
            assert!(Certificate::parse(text.as_bytes()).is_err());
        }
    }

    #[test]
    fn what_is_no_certificate() {
        let dir = Dir::new("odd");
        let file = dir.0.join("file");
        assert!(
            read_public(&file)
                .unwrap_err()
                .to_string()
                .starts_with(&format!("cannot read {}: No such file", file.display()))
        );
        assert!(read_public(&dir.0).unwrap_err().to_string().contains("is not a file"));
        assert!(read_public(Path::new("/dev/zero")).unwrap_err().to_string().contains("is not a file"));
        std::fs::write(&file, vec![b'\n'; MAX_FILE + 1]).unwrap();
        assert!(read_public(&file).unwrap_err().to_string().contains("more than 16384 bytes"));
        std::fs::write(&file, vec![b'\n'; MAX_FILE]).unwrap();
        assert!(read_public(&file).unwrap_err().to_string().contains("has no public-key"));
        let (one, two) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let text = two.secret().with_text(|key| {
            format!("curve\n public-key = \"{}\"\n secret-key = \"{}\"\n", one.public(), String::from_utf8_lossy(key))
        });
        std::fs::write(&file, text).unwrap();
        mode(&file, 0o600);
        assert!(read_secret(&file).unwrap_err().to_string().contains("is not the one of its secret-key"));
    }
}
