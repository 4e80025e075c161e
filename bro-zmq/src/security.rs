//! The arguments for keys, and messages about peers that have the wrong keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bro_zeromq_writer::clock::coarse_millis;
use bro_zeromq_writer::keys::Authorized;
use bro_zeromq_writer::report::Unfit;
use bro_zeromq_writer::transport::{CLOSED_IN_A_ROW, Clients, Curve, LOOK_INTERVAL, Servers};
use bro_zeromq_writer::writer::{Given, Mention, Scope, parse_curve};
use bro_zeromq_writer::zmq::zap::Handler;
use bro_zeromq_writer::zmq::{Context, Endpoint, Handshake, PublicKey, Role};

use crate::console::Console;

/// The keys of this side and of the one that it connects to.
#[derive(clap::Args)]
pub struct KeyArgs {
    /// Encrypt (CURVE), and connect to nobody but who has the secret key of this public key: 40
    /// characters, or its file
    #[arg(long, value_name = "KEY", help_heading = "Encryption")]
    curve_server_key: Option<String>,
    /// File of this side's public key; need not be given
    #[arg(long, value_name = "FILE", requires = "curve_secret_key_file", help_heading = "Encryption")]
    curve_public_key_file: Option<PathBuf>,
    /// File of this side's secret key, NAME.key_secret of keygen
    #[arg(long, value_name = "FILE", help_heading = "Encryption")]
    curve_secret_key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// The arguments as options of the plugin.
    pub fn options(&self) -> Vec<(String, String)> {
        // The plugin takes absolute paths only; an argument that names no file may be a key.
        let server = self.curve_server_key.as_ref().map(|key| {
            let files = key.split(',').map(str::trim).map(|key| match Path::new(key).exists() {
                true => absolute(Path::new(key)),
                false => key.to_owned(),
            });
            files.collect::<Vec<_>>().join(",")
        });
        let [public, secret] =
            [&self.curve_public_key_file, &self.curve_secret_key_file].map(|file| file.as_deref().map(absolute));
        [("curve_server_key", server), ("curve_public_key_file", public), ("curve_secret_key_file", secret)]
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)))
            .collect()
    }
}

/// A path from `/` on, as the plugin takes it.
pub fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// How an option of the plugin's is called on the command line.
pub fn argument(name: &str, how: Mention) -> String {
    match (name, how) {
        ("zmq_hwm", Mention::SetIn(_)) => "--hwm".to_owned(),
        ("zmq_linger", Mention::SetIn(_)) => "--linger".to_owned(),
        ("endpoint", Mention::SetIn(_)) => "--endpoint".to_owned(),
        _ if name.starts_with("curve_") => format!("--{}", name.replace('_', "-")),
        (_, Mention::SetIn(_)) => format!("--option {name}"),
        (_, Mention::Anywhere) => name.to_owned(),
    }
}

/// Why a connection to a peer of this kind cannot be, in the words of the command line.
pub fn unfit(why: &Unfit, peer: &str) -> String {
    why.text(peer, |name| argument(name, Mention::Anywhere))
}

/// The keys of a subscriber.
#[derive(Clone)]
pub struct Keys {
    curve: Curve,
    /// The public keys of the publishers to connect to.
    servers: Vec<PublicKey>,
}

impl Keys {
    /// Reads the files. Returns `None` if there are none.
    pub fn read(args: &KeyArgs, authorized: Option<&Path>, endpoints: &[Endpoint]) -> Result<Option<Self>, String> {
        let mut options = args.options();
        options.extend(authorized.map(|dir| ("curve_authorized_keys_dir".to_owned(), absolute(dir))));
        let find = |name: &str| {
            options.iter().find(|(option, _)| option == name).map(|(name, value)| Given {
                scope: Scope::Global,
                name,
                value,
            })
        };
        let endpoints: Vec<_> =
            endpoints.iter().map(|endpoint| (endpoint.text().into_owned(), endpoint.bind)).collect();
        let parsed = parse_curve(find, &endpoints).map_err(|error| error.text(argument))?;
        Ok(parsed.map(|(curve, servers)| Self { curve, servers: servers.into_iter().flatten().collect() }))
    }

    /// The role of a socket that connects to the publisher of this number.
    pub fn client(&self, index: usize) -> Role {
        Role::Client { keys: Arc::clone(&self.curve.keys), server: self.servers[index] }
    }
}

/// Watches over the peers of a socket.
pub struct Guard {
    /// The socket's keys as a server, who is let in, and whom libzmq asks.
    door: Option<(Role, Arc<Authorized>, Handler)>,
    servers: Servers,
    clients: Clients,
    closed: u32,
    looked: Instant,
}

/// The domain of the only server there is.
const DOMAIN: &str = "bro-zmq";

impl Guard {
    /// Makes the guard for a context's socket, which listens if `binds` is true.
    pub fn new(context: &Arc<Context>, keys: Option<&Keys>, binds: bool) -> Result<Self, String> {
        let door = match keys.and_then(|keys| Some((keys, keys.curve.authorized.as_ref().filter(|_| binds)?))) {
            None => None,
            Some((keys, dir)) => {
                let authorized = Arc::new(Authorized::open(dir).map_err(|error| error.to_string())?);
                let handler = Handler::start(context).map_err(|error| format!("cannot answer for keys: {error}"))?;
                let gate = Arc::clone(&authorized);
                handler.open(DOMAIN, Box::new(move |key, address| gate.decide(key, address)));
                let role = Role::Server { keys: Arc::clone(&keys.curve.keys), domain: DOMAIN.to_owned() };
                Some((role, authorized, handler))
            }
        };
        let servers =
            keys.map_or_else(Servers::default, |keys| Servers::new(keys.curve.keys.public(), keys.servers.clone()));
        Ok(Self { door, servers, clients: Clients::new(keys.is_some()), closed: 0, looked: Instant::now() })
    }

    /// How many keys are let in, and the directory that they are in, if the socket listens with keys.
    pub fn authorized(&self) -> Option<(usize, &Path)> {
        self.door.as_ref().map(|(_, authorized, _)| (authorized.count(), authorized.dir()))
    }

    /// The role of a socket that listens.
    pub fn server(&self) -> Option<&Role> {
        self.door.as_ref().map(|(role, ..)| role)
    }

    /// Takes note that a handshake has succeeded.
    pub fn ready(&mut self, console: &Console) {
        self.closed = 0;
        if self.servers.ready() {
            console.info("a publisher is there now, and its handshake has succeeded");
        }
    }

    /// Takes note that a handshake has failed, on a socket that connects, listens (`binds`), or does both.
    pub fn failed(&mut self, how: Handshake, connects: bool, binds: bool, console: &Console) {
        if binds {
            self.clients.failed(how);
        }
        // If the socket does both, nobody knows which kind of connection failed: the failure counts for both.
        if !connects {
            return;
        }
        self.closed += u32::from(how == Handshake::Closed);
        if (how != Handshake::Closed || self.closed >= CLOSED_IN_A_ROW)
            && let Some(why) = self.servers.failed(how)
        {
            console.problem(unfit(&why, "publisher"));
        }
    }

    /// Reports clients that are refused, and changes of keys. Returns true if a key has been revoked, so that
    /// connections must end.
    pub fn look(&mut self, console: &Console) -> bool {
        if self.looked.elapsed() < LOOK_INTERVAL {
            return false;
        }
        self.looked = Instant::now();
        for refusing in self.clients.news(coarse_millis()) {
            console.problem(refusing.to_string());
        }
        let Some((_, authorized, _)) = &self.door else { return false };
        let revoked = authorized.revoked();
        for notice in authorized.notices() {
            match notice.is_problem() {
                true => console.problem(notice.to_string()),
                false => console.info(notice.to_string()),
            }
        }
        revoked
    }
}
