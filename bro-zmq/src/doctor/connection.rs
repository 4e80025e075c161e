//! Tries an endpoint as the plugin would use it.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bro_zeromq_writer::keys::{Authorized, read_public, read_secret};
use bro_zeromq_writer::writer::{Config, Given, Scope};
use bro_zeromq_writer::zmq::{Context, Endpoint, Error, PublicKey, Socket, SocketType};

use super::Findings;
use crate::console::{counted, thousands};
use crate::print;
use crate::probe::{Probe, Reached};
use crate::security::{KeyArgs, absolute, argument};
use crate::stop::Stop;

/// The most topics that are listed.
const LISTED: usize = 10;

/// How long a name server or a machine may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The arguments about endpoints.
#[derive(clap::Args)]
pub struct EndpointArgs {
    /// Where the plugin is to send, as LogZeroMQ::endpoint: is the name known, does anybody listen, do
    /// the keys fit, who subscribes to what
    #[arg(short, long, value_name = "ENDPOINT", help_heading = "Connections")]
    endpoint: Option<String>,
    /// How long to wait for subscriptions
    #[arg(short, long, value_name = "SECONDS", default_value = "3", value_parser = crate::replay::parse_seconds, requires = "endpoint", help_heading = "Connections")]
    wait: Duration,
    #[command(flatten)]
    keys: KeyArgs,
    /// For endpoints with @: directory with the public keys, NAME.key, of subscribers that are let in
    #[arg(long, value_name = "DIR", requires = "endpoint", help_heading = "Encryption")]
    curve_authorized_keys_dir: Option<PathBuf>,
}

impl EndpointArgs {
    /// Returns true if there is anything to be looked at.
    pub fn any(&self) -> bool {
        self.endpoint.is_some() || !self.keys.options().is_empty()
    }
}

/// Tries the endpoints, and looks at the keys.
pub fn look(findings: &mut Findings, args: &EndpointArgs) {
    let mut options = args.keys.options();
    options.extend(
        args.curve_authorized_keys_dir.as_deref().map(|dir| ("curve_authorized_keys_dir".to_owned(), absolute(dir))),
    );
    let before = findings.wrong;
    look_at_keys(findings, &options);
    let Some(endpoint) = &args.endpoint else { return };
    options.push(("endpoint".to_owned(), endpoint.clone()));
    let given: Vec<_> = options.iter().map(|(name, value)| Given { scope: Scope::Global, name, value }).collect();
    let mut config = match Config::parse(&given) {
        Ok(config) => config,
        Err(error) => {
            // A fault of a key's file was told above.
            if findings.wrong == before {
                findings.wrong(error.text(argument));
            }
            return;
        }
    };
    let (bound, connected): (Vec<_>, Vec<_>) = config.endpoints.drain(..).partition(|endpoint| endpoint.bind);
    for endpoint in &bound {
        try_to_bind(findings, endpoint);
    }
    config.endpoints = connected.into_iter().filter(|endpoint| try_to_reach(findings, endpoint)).collect();
    if !config.endpoints.is_empty() {
        shake_hands(findings, &config, args.wait);
    }
}

/// Looks at the files of keys, each on its own.
fn look_at_keys(findings: &mut Findings, options: &[(String, String)]) {
    for (name, value) in options {
        match name.as_str() {
            "curve_secret_key_file" => match read_secret(value.as_ref()) {
                Ok(pair) => Findings::good(format!(
                    "the secret key in {value} can be used; its public key is {}",
                    pair.public()
                )),
                Err(error) => findings.wrong(error),
            },
            "curve_public_key_file" => match read_public(value.as_ref()) {
                Ok(_) => Findings::good(format!("the public key in {value} can be used")),
                Err(error) => findings.wrong(error),
            },
            "curve_server_key" => {
                for key in value.split(',') {
                    match PublicKey::parse(key) {
                        _ if key.starts_with('/') => match read_public(key.as_ref()) {
                            Ok(public) => Findings::good(format!("the subscriber's public key in {key} is {public}")),
                            Err(error) => findings.wrong(error),
                        },
                        Some(_) => {}
                        // The value is not shown, because it may be a secret key by mistake.
                        None => findings.wrong(
                            "--curve-server-key is neither the 40 characters of a public key nor a file that is there",
                        ),
                    }
                }
            }
            "curve_authorized_keys_dir" => match Authorized::open(value.as_ref()) {
                Ok(authorized) => {
                    Findings::good(format!("{} can be used in {value}", counted(authorized.count() as u64, "key")));
                    for notice in authorized.notices() {
                        findings.wrong(notice);
                    }
                }
                Err(error) => findings.wrong(error),
            },
            _ => {}
        }
    }
}

/// Listens where the plugin is to listen, for a moment.
fn try_to_bind(findings: &mut Findings, endpoint: &Endpoint) {
    let bind = || -> Result<(), Error> {
        let socket = Socket::new(&Arc::new(Context::new()?), SocketType::XPub)?;
        socket.set(zmq_sys::ZMQ_LINGER, 0)?;
        socket.set(zmq_sys::ZMQ_IPV6, endpoint.is_ipv6().into())?;
        socket.bind(&endpoint.address).map(drop)
    };
    match bind() {
        Ok(()) => Findings::good(format!("{endpoint}: the plugin can listen there; subscribers are not waited for")),
        Err(error @ Error(libc::EADDRINUSE)) => {
            findings.wrong(format!("{endpoint}: {error}: by the host, if it is running; or end the other program"));
        }
        Err(error) => {
            findings
                .wrong(format!("{endpoint}: {error}; listen on an address of this machine, or on * for all of them"));
        }
    }
}

/// Connects to an endpoint, without sending anything. Returns true unless nothing listens there.
fn try_to_reach(findings: &mut Findings, endpoint: &Endpoint) -> bool {
    if let Some(path) = endpoint.socket_path() {
        return match UnixStream::connect(path) {
            Ok(_) => true,
            Err(error) => {
                findings.wrong(format!("{endpoint}: {}", explain_socket_error(&error)));
                false
            }
        };
    }
    // A Unix domain socket's name that is no file (`ipc://@name`) is left to the handshake.
    let Some((host, port)) = endpoint.host_and_port() else { return true };
    let addresses = match resolve(host.to_owned(), port.parse().unwrap_or_default()) {
        Ok(addresses) => addresses,
        Err(why) => {
            findings.wrong(format!("{endpoint}: {why}"));
            return false;
        }
    };
    // The plugin, too, tries IPv4 addresses first.
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    let Some(&first) = first else {
        findings.wrong(format!("{endpoint}: the name {host} has no address"));
        return false;
    };
    if endpoint.host_name().is_some() {
        let others = match addresses.len() {
            1 => String::new(),
            count => format!(", the one that is used of {count}"),
        };
        Findings::good(format!("{endpoint}: the name has the address {}{others}", first.ip()));
    }
    match TcpStream::connect_timeout(&first, ANSWER) {
        Ok(_) => true,
        Err(error) => {
            findings.wrong(format!("{endpoint}: {}", explain_address_error(&error, first)));
            false
        }
    }
}

/// Looks a name up.
fn resolve(host: String, port: u16) -> Result<Vec<SocketAddr>, String> {
    let name = host.clone();
    let (found, result) = mpsc::channel();
    thread::spawn(move || {
        // Sending fails if the answer comes too late, when nobody waits for it any more.
        let _ = found.send((host.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    });
    match result.recv_timeout(ANSWER) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(format!("the name {name} is not found ({error}); correct it, or use an address")),
        Err(_) => Err(format!(
            "no name server tells the address of {name} within {} s; see /etc/resolv.conf, or use an address",
            ANSWER.as_secs()
        )),
    }
}

/// What a failure to connect to an address means.
fn explain_address_error(error: &io::Error, address: SocketAddr) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            format!("nobody listens at {address}: start the subscriber, or correct the port")
        }
        ErrorKind::TimedOut => {
            format!("{address} does not answer: the machine is down, or a firewall is in the way")
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            format!("there is no way to {address}: correct the address, or see the routes and firewalls")
        }
        _ => format!("cannot connect to {address}: {error}"),
    }
}

/// What a failure to connect to a path means.
fn explain_socket_error(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no socket of that name: start the subscriber, which makes it".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens there: start the subscriber".to_owned(),
        ErrorKind::PermissionDenied => {
            "this user may not connect to it: see the modes of the socket and of its directory".to_owned()
        }
        _ => format!("cannot connect: {error}"),
    }
}

/// Connects as a writer does, and sees what is subscribed to.
fn shake_hands(findings: &mut Findings, config: &Config, patience: Duration) {
    let mut probe = match Probe::open(config) {
        Ok(probe) => probe,
        Err(error) => return findings.wrong(error),
    };
    probe.wait(patience, &Stop::default());
    for (endpoint, seen) in config.endpoints.iter().zip(probe.seen()) {
        let mut wrong = |what: &dyn Display| findings.wrong(format!("{endpoint}: {what}"));
        match (seen.why, seen.reached) {
            (Some(why), _) => wrong(&why),
            (None, Reached::Nobody) => wrong(&"the connection ended again and again; see what the subscriber says"),
            (None, Reached::Connected) => {
                wrong(&"something listens there that does not answer as a ZeroMQ subscriber; correct the endpoint");
            }
            (None, Reached::Ready) if seen.topics.is_empty() => {
                wrong(
                    &"it is connected, and nobody subscribes to anything there: give the subscriber a topic; it may be empty",
                );
            }
            (None, Reached::Ready) => {
                let encrypted = if config.curve.is_some() { ", encrypted" } else { "" };
                let topics = wanted(seen.topics.iter().map(Vec::as_slice));
                Findings::good(format!("{endpoint}: it is connected{encrypted}, and gets {topics}"));
            }
        }
    }
}

/// What subscribers get, in words.
fn wanted<'a>(topics: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> String {
    if topics.clone().any(<[u8]>::is_empty) {
        return "all logs".to_owned();
    }
    let more = topics.len().saturating_sub(LISTED);
    let listed: Vec<_> = topics.take(LISTED).map(print::shown).collect();
    let more = if more == 0 { String::new() } else { format!(" and {} more", thousands(more as u64)) };
    format!("logs that begin with {}{more}", listed.join(", "))
}
