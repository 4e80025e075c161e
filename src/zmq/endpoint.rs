//! Endpoints: how they are written, and what each transport can do.

use core::fmt;
use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::PublicKey;
use crate::texts::texts;

const TCP: &str = "tcp://";
const IPC: &str = "ipc://";

/// An endpoint to connect or bind to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As libzmq takes it, such as `tcp://192.0.2.1:12345`.
    pub address: CString,
    /// True if subscribers connect to the plugin; false if the plugin connects.
    pub bind: bool,
    /// `curve_server_key`: the key of the subscriber to connect to, if there are keys.
    pub server_key: Option<PublicKey>,
    /// The host of a `tcp` endpoint.
    host: Option<Host>,
}

/// The program that reads an endpoint, and what it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The plugin: `@` in front says that it is bound.
    Plugin,
    /// A program that listens there; if the port is `*`, the system chooses one.
    Listens,
    /// A program that connects to it.
    Connects,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// All addresses of the machine.
    Any,
    V4,
    V6,
    Name(String, u16),
}

texts! {
    /// What is wrong with an endpoint, and how to mend it; the endpoint itself is not named.
    pub enum EndpointError {
        Form = "an endpoint is tcp://HOST:PORT or ipc://PATH, such as tcp://127.0.0.1:12345",
        ToListen = "@ is for an endpoint to listen on; leave it away",
        ToConnect = "> is for an endpoint to connect to; leave it away",
        Empty = "there is an empty endpoint between the commas",
        Several = "give several endpoints one by one, and not with commas",
        Nul = "an endpoint cannot contain a NUL byte",
        NoPath = "name the socket's path behind ipc://, such as ipc:///var/tmp/zeek-logs",
        LongPath { len: usize } = "the socket's path has {len} bytes; the system allows {MAX_IPC_PATH}",
        Transport { transport: String } =
            "the transport {transport} is not supported; use tcp://HOST:PORT or ipc://PATH",
        NoPort = "the port is missing; write tcp://HOST:PORT, such as tcp://127.0.0.1:12345",
        Port { port: String } = "the port \"{port}\" is not a number from 1 to 65535",
        NotIpv6 { host: String, port: u16 } = "\"{host}\" is not an IPv6 address; write tcp://[2001:db8::1]:{port}",
        NoHost = "the host is missing; write tcp://HOST:PORT, such as tcp://127.0.0.1:12345",
        AnyHost = "to connect, it needs the address of the other side instead of *",
        Host { host: String } = "{host:?} is not a host name",
    }
}

impl Endpoint {
    /// Reads one endpoint.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str, side: Side) -> Result<Self, EndpointError> {
        // czmq's prefixes: "@" binds, ">" connects, as does an endpoint without one.
        let (endpoint, bind) = match (side, text.as_bytes().first()) {
            (Side::Plugin, Some(b'@')) => (&text[1..], true),
            (Side::Plugin | Side::Connects, Some(b'>')) => (&text[1..], false),
            (Side::Listens, Some(b'@')) => (&text[1..], true),
            (Side::Connects, Some(b'@')) => return Err(EndpointError::ToListen),
            (Side::Listens, Some(b'>')) => return Err(EndpointError::ToConnect),
            _ => (text, side == Side::Listens),
        };
        if endpoint.is_empty() {
            return Err(match side {
                Side::Plugin => EndpointError::Empty,
                Side::Listens | Side::Connects => EndpointError::Form,
            });
        }
        let is_next = |text: &str| text.starts_with(' ') || text.contains("://");
        if side != Side::Plugin && endpoint.split(',').skip(1).any(is_next) {
            return Err(EndpointError::Several);
        }
        let address = CString::new(endpoint).map_err(|_| EndpointError::Nul)?;
        let host = if let Some(rest) = endpoint.strip_prefix(TCP) {
            // libzmq takes a local address to connect from in front of a semicolon.
            let rest = if bind { rest } else { rest.rsplit(';').next().unwrap_or(rest) };
            Some(parse_host(rest, bind, side == Side::Listens)?)
        } else if let Some(path) = endpoint.strip_prefix(IPC) {
            match path.len() {
                0 => return Err(EndpointError::NoPath),
                1..=MAX_IPC_PATH => None,
                len => return Err(EndpointError::LongPath { len }),
            }
        } else if let Some((transport, _)) = endpoint.split_once("://") {
            return Err(EndpointError::Transport { transport: transport.to_owned() });
        } else {
            return Err(EndpointError::Form);
        };
        Ok(Self { address, bind, server_key: None, host })
    }

    /// The name and the port of an endpoint to connect to, unless its host is given by an address.
    #[must_use]
    pub fn host_name(&self) -> Option<(&str, u16)> {
        match &self.host {
            Some(Host::Name(name, port)) if !self.bind => Some((name, *port)),
            _ => None,
        }
    }

    /// Returns true if the socket must be told to use IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.host == Some(Host::V6)
    }

    /// The host and the port of a `tcp` endpoint; the port is `*` if the system is to choose it.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(&str, &str)> {
        host_and_port(self.address.to_str().ok()?)
    }

    /// The file of an `ipc` endpoint that has one.
    #[must_use]
    pub fn socket_path(&self) -> Option<&Path> {
        socket_path(&self.address)
    }

    /// The address as text, without the prefix that says who connects.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        self.address.to_string_lossy()
    }

    /// The endpoint's address, with an IP address in the place of its host name.
    #[must_use]
    pub fn at(&self, ip: IpAddr) -> CString {
        let text = self.text();
        // In front of a semicolon is the address to connect from.
        let from = text.rfind(';').map_or(TCP.len(), |semicolon| semicolon + 1);
        let port = text.rsplit(':').next().unwrap_or_default();
        let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
        CString::new(format!("{}{host}:{port}", &text[..from])).unwrap_or_else(|_| self.address.clone())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bind {
            f.write_str("@")?;
        }
        f.write_str(&self.text())
    }
}

/// The host and the port of a `tcp` address, without what stands around an IPv6 address.
fn host_and_port(address: &str) -> Option<(&str, &str)> {
    let rest = address.strip_prefix(TCP)?;
    // In front of a semicolon is the address to connect from.
    let (host, port) = rest.rsplit(';').next().unwrap_or(rest).rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port))
}

/// The IP address of a host that is given by one.
fn literal(host: &str) -> Option<IpAddr> {
    // An IPv6 address may name its interface behind a percent sign.
    host.split('%').next()?.parse().ok()
}

/// The file of a Unix domain socket's address; `None` for another transport, and for a name that is
/// no file.
#[must_use]
pub(super) fn socket_path(address: &CStr) -> Option<&Path> {
    match address.to_bytes().strip_prefix(IPC.as_bytes())? {
        // A name behind `@` is abstract: it has no file.
        [] | [b'@', ..] => None,
        path => Some(Path::new(OsStr::from_bytes(path))),
    }
}

/// The IP address in an event's address.
pub(super) fn ip_of(address: &str) -> Option<IpAddr> {
    literal(host_and_port(address)?.0)
}

/// Returns true if an endpoint, as it was given, can have the address of an event. The event's address
/// may be resolved already.
pub(super) fn can_have_address(endpoint: &str, address: &str) -> bool {
    if endpoint == address {
        return true;
    }
    let (Some((host, port)), Some((found, found_port))) = (host_and_port(endpoint), host_and_port(address)) else {
        return false;
    };
    // A name can be any address.
    port == found_port && literal(host).is_none_or(|host| literal(found).is_none_or(|found| host == found))
}

/// Longest path of a Unix domain socket (`sun_path` less its terminator).
const MAX_IPC_PATH: usize = 107;

/// Reads host and port. With `any_port`, the port may be `*`.
fn parse_host(rest: &str, bind: bool, any_port: bool) -> Result<Host, EndpointError> {
    let (host, port) = rest.rsplit_once(':').ok_or(EndpointError::NoPort)?;
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ if any_port && port == "*" => 0,
        _ => return Err(EndpointError::Port { port: port.to_owned() }),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // An IPv6 address may name its interface behind a percent sign.
    let address = literal.unwrap_or(host).split('%').next().unwrap_or_default();
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok(Host::V6);
    }
    if literal.is_some() || host.contains(':') {
        return Err(EndpointError::NotIpv6 { host: host.to_owned(), port });
    }
    match host {
        "" => Err(EndpointError::NoHost),
        "*" if bind => Ok(Host::Any),
        "*" => Err(EndpointError::AnyHost),
        _ if host.parse::<Ipv4Addr>().is_ok() => Ok(Host::V4),
        _ if host.contains(|c: char| c.is_whitespace() || c == '/') => {
            Err(EndpointError::Host { host: host.to_owned() })
        }
        _ => Ok(Host::Name(host.to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_either_side() {
        let parse = |text, side| Endpoint::parse(text, side).map(|endpoint| (endpoint.to_string(), endpoint.bind));
        for (text, side) in [
            ("tcp://*:*", Side::Listens),
            ("@tcp://*:*", Side::Listens),
            ("tcp://127.0.0.1:5", Side::Listens),
            ("ipc:///x,y", Side::Listens),
            ("tcp://a:5", Side::Connects),
            (">tcp://a:5", Side::Connects),
            ("tcp://192.0.2.1:0;192.0.2.2:5", Side::Connects),
        ] {
            let bind = side == Side::Listens;
            let shown = format!("{}{}", if bind { "@" } else { "" }, text.trim_start_matches(['@', '>']));
            assert_eq!(parse(text, side), Ok((shown, bind)));
        }
        for (text, side, why) in [
            ("tcp://127.0.0.1:70000", Side::Listens, "the port \"70000\" is not a number from 1 to 65535"),
            ("tcp://127.0.0.1:0", Side::Listens, "the port \"0\" is not"),
            ("tcp://a:*", Side::Connects, "the port \"*\" is not"),
            ("@tcp://*:*", Side::Plugin, "the port \"*\" is not"),
            ("tcp://*:5", Side::Connects, "to connect, it needs the address of the other side"),
            ("@tcp://a:5", Side::Connects, "@ is for an endpoint to listen on"),
            (">tcp://a:5", Side::Listens, "> is for an endpoint to connect to"),
            ("tcp://a:5,tcp://b:5", Side::Connects, "one by one"),
            ("tcp://a:5, ipc:///x", Side::Listens, "one by one"),
            ("", Side::Listens, "an endpoint is tcp://HOST:PORT"),
        ] {
            let error = parse(text, side).unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
        let name = |text| {
            Endpoint::parse(text, Side::Connects).unwrap().host_name().map(|(name, port)| (name.to_owned(), port))
        };
        assert_eq!(name("tcp://a:5"), Some(("a".to_owned(), 5)));
        assert_eq!(name("tcp://192.0.2.1:5"), None);
    }

    #[test]
    fn ip_addresses_of_events() {
        for (address, ip) in [
            ("tcp://127.0.0.1:5", Some("127.0.0.1")),
            ("tcp://[2001:db8::1]:5", Some("2001:db8::1")),
            ("tcp://[fe80::1%eth0]:5", Some("fe80::1")),
            ("ipc:///a", None),
            ("", None),
        ] {
            assert_eq!(ip_of(address), ip.map(|ip| ip.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn addresses_of_endpoints() {
        for (endpoint, address, may) in [
            ("ipc:///a", "ipc:///a", true),
            ("ipc:///a", "ipc:///b", false),
            ("tcp://127.0.0.1:5", "tcp://127.0.0.1:5", true),
            ("tcp://127.0.0.1:5", "tcp://127.0.0.2:5", false),
            ("tcp://127.0.0.1:5", "tcp://127.0.0.1:6", false),
            ("tcp://localhost:5", "tcp://127.0.0.1:5", true),
            ("tcp://localhost:5", "tcp://localhost:6", false),
            ("tcp://::1:5", "tcp://[::1]:5", true),
            ("tcp://fe80::1%eth0:5", "tcp://[fe80::1]:5", true),
            ("tcp://10.0.0.1:0;10.0.0.2:5", "tcp://10.0.0.2:5", true),
            ("tcp://127.0.0.1:5", "ipc:///a", false),
            ("tcp://", "tcp://x", false),
        ] {
            assert_eq!(can_have_address(endpoint, address), may, "{endpoint} {address}");
        }
    }

    #[test]
    fn files_of_sockets() {
        for (address, path) in [
            (c"ipc:///run/a", Some("/run/a")),
            (c"ipc://a", Some("a")),
            (c"ipc://@abstract", None),
            (c"ipc://", None),
            (c"tcp://127.0.0.1:1", None),
        ] {
            assert_eq!(socket_path(address), path.map(Path::new), "{address:?}");
        }
    }
}
