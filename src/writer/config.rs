//! The options of a writer: their names, defaults and allowed values.

use core::fmt::{self, Write as _};
use core::time::Duration;
use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use super::curve::Curve;
use super::extra::{self, ExtraFields};
use super::topic::{Frames, Head, Template, host_name};
use crate::json::{EscapePolicy, Style, TimeFormat};
use crate::spool::{self, Sync, WhenFull};
use crate::zmq::{MAX_CONSUMERS, PublicKey, Role};

/// The names of all options: `LogZeroMQ::NAME` in scripts, `NAME` in a filter's `$config`.
pub static OPTION_NAMES: &[&CStr] = &[
    c"endpoint",
    c"socket_type",
    c"zmq_hwm",
    c"zmq_linger",
    c"zmq_connect_pause",
    c"wait_for_subscriber",
    c"reconnect_interval",
    c"reconnect_interval_max",
    c"tcp_keepalive",
    c"heartbeat_interval",
    c"heartbeat_timeout",
    c"curve_server_key",
    c"curve_public_key_file",
    c"curve_secret_key_file",
    c"curve_authorized_keys_dir",
    c"stats_interval",
    c"stats_topic",
    c"batch_records",
    c"batch_latency",
    c"flush_interval",
    c"json_timestamps",
    c"json_include_unset_fields",
    c"json_string_escape_policy",
    c"topic",
    c"frames",
    c"sensor",
    c"spool_dir",
    c"spool_max_bytes",
    c"spool_when_full",
    c"spool_sync",
    c"spool_always",
    c"extra_fields",
    c"tag_json",
];

/// Names of what is no option but text that the script makes of one: of `extra_fields`.
pub static SCRIPT_NAMES: &[&CStr] = &[c"extra_fields_hex"];

/// Where an option's value comes from; the filter's wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The script's global of this name.
    Global,
    /// The filter's `$config` table.
    Filter,
}

/// One option as it was given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Where it comes from.
    pub source: Source,
    /// Its name, without the module.
    pub name: &'a str,
    /// Its value, as text.
    pub value: &'a str,
}

/// A writer's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to publish; at least one.
    pub endpoints: Vec<Endpoint>,
    /// `zmq_hwm`: records that libzmq queues for each endpoint; 0 is no limit.
    pub high_water_mark: i32,
    /// `zmq_linger`: how long unsent records are kept at the end; `None` is for ever.
    pub linger: Option<Duration>,
    /// `zmq_connect_pause`: how long to sleep after connecting.
    pub connect_pause: Duration,
    /// `socket_type`: what kind of socket the records go to.
    pub pattern: Pattern,
    /// `wait_for_subscriber`: how long records are held for the first subscription.
    pub wait_for_subscriber: Duration,
    /// How the connections are kept.
    pub keep_alive: KeepAlive,
    /// `curve_…`: the keys. With them no endpoint is without encryption.
    pub curve: Option<Curve>,
    /// `stats_interval`: how often the writer publishes its statistics; `None` is never.
    pub stats_interval: Option<Duration>,
    /// `stats_topic`: the first frame of that.
    pub stats_topic: String,
    /// `batch_records`: how many records a message may have.
    pub batch_records: u64,
    /// `batch_latency`: how long a record may wait for that many.
    pub batch_latency: Duration,
    /// `flush_interval`: how long a record may wait in the host's buffer; zero is as long as the
    /// host likes.
    pub flush_interval: Duration,
    /// `json_timestamps`, `json_include_unset_fields` and `json_string_escape_policy`.
    pub style: Style,
    /// `topic`, with `sensor` filled in.
    pub topic: Template,
    /// `frames`: how many frames a message has.
    pub frames: Frames,
    /// `spool_dir`, and with it `spool_max_bytes`, `spool_when_full` and `spool_sync`.
    pub spool: Option<spool::Options>,
    /// `spool_always`: every record goes through the spool. Never without one.
    pub spool_always: bool,
    /// The spool is one that no writer has open, and is given back when one opens it. No option.
    pub borrows_spool: bool,
    /// `extra_fields`: what every record gets.
    pub extra_fields: ExtraFields,
    /// `tag_json`: whether a record is put into an object, under its log path.
    pub tag_json: bool,
}

/// ZeroMQ's patterns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Every subscriber gets the records that it subscribes to.
    #[default]
    Publish,
    /// Each record goes to one of the peers.
    Push,
}

/// How a connection is kept; all durations in milliseconds, as libzmq takes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeepAlive {
    /// `reconnect_interval`: pause before connecting again.
    pub reconnect: i32,
    /// `reconnect_interval_max`: what that grows to, twice as long each time.
    pub reconnect_max: i32,
    /// `tcp_keepalive`: idle time before the system asks the peer whether it is there; 0 is
    /// never.
    pub keepalive: i32,
    /// `heartbeat_interval`: how often ZeroMQ asks; 0 is never.
    pub heartbeat: i32,
    /// `heartbeat_timeout`: how long it waits for the answer.
    pub heartbeat_timeout: i32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { reconnect: 100, reconnect_max: 1000, keepalive: 60_000, heartbeat: 0, heartbeat_timeout: 0 }
    }
}

/// An endpoint to connect or bind to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As libzmq takes it, such as `tcp://192.0.2.1:12345`.
    pub address: CString,
    /// Subscribers connect to the plugin, not the other way round.
    pub bind: bool,
    /// `curve_server_key`: the key of the subscriber there; of those to connect to, if there are
    /// keys at all.
    pub server_key: Option<PublicKey>,
    /// The host of a `tcp` endpoint.
    host: Option<Host>,
}

/// Who reads an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The plugin: `@` in front says that it is bound.
    Plugin,
    /// Who listens there, at a port that the system chooses if it is `*`.
    Listens,
    /// Who connects to it.
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

impl Endpoint {
    /// Reads one endpoint.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what is right, without its text.
    pub fn parse(text: &str, side: Side) -> Result<Self, String> {
        // czmq's prefixes: "@" binds, ">" connects, as does an endpoint without one.
        let (endpoint, bind) = match (side, text.as_bytes().first()) {
            (Side::Plugin, Some(b'@')) => (&text[1..], true),
            (Side::Plugin | Side::Connects, Some(b'>')) => (&text[1..], false),
            (Side::Listens, Some(b'@')) => (&text[1..], true),
            (Side::Connects, Some(b'@')) => return Err("@ is for an endpoint to listen on; leave it away".into()),
            (Side::Listens, Some(b'>')) => return Err("> is for an endpoint to connect to; leave it away".into()),
            _ => (text, side == Side::Listens),
        };
        if endpoint.is_empty() {
            return Err(match side {
                Side::Plugin => "there is an empty endpoint between the commas".into(),
                Side::Listens | Side::Connects => AN_ENDPOINT.into(),
            });
        }
        if side != Side::Plugin && [",tcp://", ",ipc://", ", "].iter().any(|next| endpoint.contains(next)) {
            return Err("give several endpoints one by one, and not with commas".into());
        }
        let Ok(address) = CString::new(endpoint) else { return Err("an endpoint cannot contain a NUL byte".into()) };
        let host = if let Some(rest) = endpoint.strip_prefix("tcp://") {
            // libzmq takes a local address to connect from in front of a semicolon.
            let rest = if bind { rest } else { rest.rsplit(';').next().unwrap_or(rest) };
            Some(parse_host(rest, bind, side == Side::Listens)?)
        } else if let Some(path) = endpoint.strip_prefix("ipc://") {
            match path.len() {
                0 => return Err("name the socket's path behind ipc://, such as ipc:///var/tmp/zeek-logs".into()),
                1..=MAX_IPC_PATH => None,
                len => return Err(format!("the socket's path has {len} bytes; the system allows {MAX_IPC_PATH}")),
            }
        } else if let Some((transport, _)) = endpoint.split_once("://") {
            return Err(format!("the transport {transport} is not supported; use tcp://HOST:PORT or ipc://PATH"));
        } else {
            return Err(AN_ENDPOINT.into());
        };
        Ok(Self { address, bind, server_key: None, host })
    }

    /// The name and the port of an endpoint to connect to that is not given by its address.
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

    /// The same, with an address in the place of its name.
    #[must_use]
    pub fn at(&self, ip: IpAddr) -> CString {
        let text = self.address.to_string_lossy();
        // In front of a semicolon is the address to connect from.
        let from = text.rfind(';').map_or("tcp://".len(), |semicolon| semicolon + 1);
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
        f.write_str(&self.address.to_string_lossy())
    }
}

/// A value that is not allowed: names the option, the value, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    option: String,
    value: String,
    reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, value, reason } = self;
        write!(f, "{option} = \"{}\": ", value.escape_debug())?;
        // It can quote a part of the value, and is one line.
        reason
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_debug()) } else { f.write_char(c) })
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the options. Of several values for one option the last from the filter counts,
    /// or else the last global. An empty endpoint counts as none.
    ///
    /// # Errors
    ///
    /// The first value that is not allowed.
    pub fn parse(given: &[Given<'_>]) -> Result<Self, ConfigError> {
        let find = |name: &str| {
            let of = |source| given.iter().rev().find(move |option| option.name == name && option.source == source);
            of(Source::Filter)
                .filter(|option| name != "endpoint" || !option.value.trim().is_empty())
                .or_else(|| of(Source::Global))
                .copied()
        };
        let mut endpoints = match find("endpoint") {
            Some(option) => parse_endpoints(option)?,
            None => return Err(Given { source: Source::Global, name: "endpoint", value: "" }.error(NO_ENDPOINT)),
        };
        let high_water_mark = number(find("zmq_hwm"), 1000, 0, "0 (no limit)")?;
        let linger = number(find("zmq_linger"), 3000, -1, "-1 (for ever)")?;
        let pause = number(find("zmq_connect_pause"), 0, 0, "0 (no pause)")?;
        let pattern = match find("socket_type") {
            None => Pattern::default(),
            Some(option) => match option.value.trim() {
                "publish" => Pattern::Publish,
                "push" => Pattern::Push,
                _ => return Err(option.error("use publish or push")),
            },
        };
        let usual = KeepAlive::default();
        let keep_alive = KeepAlive {
            reconnect: interval(find("reconnect_interval"), usual.reconnect, 1)?,
            reconnect_max: interval(find("reconnect_interval_max"), usual.reconnect_max, 0)?,
            keepalive: interval(find("tcp_keepalive"), usual.keepalive, 0)?,
            heartbeat: interval(find("heartbeat_interval"), usual.heartbeat, 0)?,
            heartbeat_timeout: interval(find("heartbeat_timeout"), usual.heartbeat_timeout, 0)?,
        };
        let secured: Vec<_> = endpoints.iter().map(|endpoint| (endpoint.to_string(), endpoint.bind)).collect();
        let curve = Curve::parse(find, &secured)?.map(|(curve, server_keys)| {
            for (endpoint, key) in endpoints.iter_mut().zip(server_keys) {
                endpoint.server_key = key;
            }
            curve
        });
        let wait = interval(find("wait_for_subscriber"), 0, 0)?;
        let frames = match find("frames") {
            None => Frames::default(),
            Some(option) => match option.value.trim() {
                "two" => Frames::Two,
                "one" => Frames::One,
                _ => return Err(option.error("use two (topic, JSON) or one (both, with a space between)")),
            },
        };
        let stats_interval = interval(find("stats_interval"), 0, 0)?;
        let stats_topic = match find("stats_topic") {
            None => "zeromq_stats",
            Some(option) if option.value.is_empty() && frames == Frames::Two => {
                return Err(option.error("name a topic, such as zeromq_stats"));
            }
            Some(option) => option.value,
        };
        let batch_records = match find("batch_records") {
            None => 1,
            Some(option) => match option.value.trim().parse() {
                Ok(records @ 0..=MAX_BATCH) => records.max(1),
                _ => {
                    return Err(option.error("use a whole number of records from 1 (no batches) to 65536, such as 100"));
                }
            },
        };
        let batch_latency = interval(find("batch_latency"), 1000, 1)?;
        let flush_interval = interval(find("flush_interval"), FLUSH_INTERVAL, 0)?;
        let time = match find("json_timestamps") {
            None => TimeFormat::default(),
            Some(option) => match option.value {
                "JSON::TS_EPOCH" => TimeFormat::Epoch,
                "JSON::TS_MILLIS" => TimeFormat::Millis,
                "JSON::TS_MILLIS_UNSIGNED" => TimeFormat::MillisUnsigned,
                "JSON::TS_ISO8601" => TimeFormat::Iso8601,
                _ => {
                    return Err(option
                        .error("use JSON::TS_EPOCH, JSON::TS_MILLIS, JSON::TS_MILLIS_UNSIGNED or JSON::TS_ISO8601"));
                }
            },
        };
        let include_unset = switch(find("json_include_unset_fields"))?;
        let escape = match find("json_string_escape_policy") {
            None => EscapePolicy::default(),
            Some(option) => match option.value {
                "JSON::STRING_ESCAPE_POLICY_HEX" => EscapePolicy::Hex,
                "JSON::STRING_ESCAPE_POLICY_PUA" => EscapePolicy::Pua,
                "JSON::STRING_ESCAPE_POLICY_TSV" => EscapePolicy::Tsv,
                _ => {
                    return Err(option.error(
                        "use JSON::STRING_ESCAPE_POLICY_HEX, JSON::STRING_ESCAPE_POLICY_PUA or \
                         JSON::STRING_ESCAPE_POLICY_TSV",
                    ));
                }
            },
        };
        let topic = find("topic").unwrap_or(Given { source: Source::Global, name: "topic", value: "%path" });
        let sensor = || match find("sensor") {
            Some(Given { value, .. }) if !value.is_empty() => Ok(value.to_owned()),
            _ => host_name(),
        };
        if topic.value.is_empty() && frames == Frames::Two {
            return Err(topic.error("nobody can tell an empty topic from another; use %path, or a text with it"));
        }
        let topic = Template::parse(topic.value.as_bytes(), sensor).map_err(|reason| topic.error(reason))?;
        let (spool, spool_always) = parse_spool(find)?;
        let extra_fields = match (find("extra_fields"), find("extra_fields_hex")) {
            (Some(option), _) => extra::parse_text(option.value)
                .and_then(|fields| extra::templates(fields, sensor))
                .map_err(|reason| option.error(reason))?,
            (None, Some(option)) => extra::parse_hex(option.value)
                .and_then(|fields| extra::templates(fields, sensor))
                .map_err(|reason| Given { name: "extra_fields", ..option }.error(reason))?,
            (None, None) => ExtraFields::new(),
        };
        let tag_json = switch(find("tag_json"))?;
        Ok(Self {
            endpoints,
            high_water_mark,
            linger: u64::try_from(linger).ok().map(Duration::from_millis),
            connect_pause: millis(pause),
            pattern,
            wait_for_subscriber: millis(wait),
            keep_alive,
            curve,
            stats_interval: (stats_interval > 0).then(|| millis(stats_interval)),
            stats_topic: stats_topic.to_owned(),
            batch_records,
            batch_latency: millis(batch_latency),
            flush_interval: millis(flush_interval),
            style: Style { time, include_unset, escape },
            topic,
            frames,
            spool,
            spool_always,
            borrows_spool: false,
            extra_fields,
            tag_json,
        })
    }

    /// What the messages of a log path begin with.
    #[must_use]
    pub fn head(&self, path: &[u8]) -> Head {
        Head::new(self.topic.of(path), self.frames)
    }

    /// What a socket is to be before it connects to an endpoint: with keys, their client. `None`
    /// without keys.
    #[must_use]
    pub fn client(&self, endpoint: &Endpoint) -> Option<Role> {
        let keys = Arc::clone(&self.curve.as_ref()?.keys);
        endpoint.server_key.map(|server| Role::Client { keys, server })
    }
}

/// The names in a filter's `$config` that are no options of this writer.
pub fn unknown_options<'a>(given: &'a [Given<'a>]) -> impl Iterator<Item = &'a str> {
    given
        .iter()
        .filter(|option| !OPTION_NAMES.iter().any(|known| known.to_bytes() == option.name.as_bytes()))
        .map(|option| option.name)
}

impl<'a> Given<'a> {
    pub(super) fn error(&self, reason: impl Into<String>) -> ConfigError {
        let option = match self.source {
            Source::Global => format!("LogZeroMQ::{}", self.name),
            Source::Filter => format!("$config[\"{}\"]", self.name),
        };
        // By mistake it may be a secret key, instead of its file.
        let shown = !self.name.starts_with("curve_") || (self.value.starts_with('/') && !self.is_key());
        let value = if shown { self.value.to_owned() } else { "…".to_owned() };
        ConfigError { option, value, reason: reason.into() }
    }

    /// Whether the value is a key and not a path. Keys can begin with a slash, too.
    pub(super) fn is_key(&self) -> bool {
        PublicKey::parse(self.value).is_some() && !Path::new(self.value).exists()
    }

    /// The value as an absolute path.
    pub(super) fn path(self) -> Result<&'a Path, ConfigError> {
        let path = Path::new(self.value);
        if !path.is_absolute() || self.value.contains('\0') || self.is_key() {
            return Err(self.error("use an absolute path, such as /etc/zeek/keys/sensor.key_secret"));
        }
        Ok(path)
    }
}

const AN_ENDPOINT: &str = "an endpoint is tcp://HOST:PORT or ipc://PATH, such as tcp://127.0.0.1:12345";

const NO_ENDPOINT: &str = "there is no endpoint to send to; name the subscriber's, such as tcp://127.0.0.1:12345";

fn number(option: Option<Given<'_>>, default: i32, min: i32, min_means: &str) -> Result<i32, ConfigError> {
    let Some(option) = option else { return Ok(default) };
    match option.value.trim().parse() {
        Ok(number) if number >= min => Ok(number),
        _ => Err(option.error(format!("use a whole number from {min_means} to {}, such as {default}", i32::MAX))),
    }
}

fn switch(option: Option<Given<'_>>) -> Result<bool, ConfigError> {
    let Some(option) = option else { return Ok(false) };
    match option.value {
        "T" | "true" | "1" => Ok(true),
        "F" | "false" | "0" => Ok(false),
        _ => Err(option.error("use T or F")),
    }
}

/// Default of `flush_interval`, in milliseconds. docs/performance.md has what others cost.
const FLUSH_INTERVAL: i32 = 4;

/// Limit of `batch_records`: far more than a message gets.
const MAX_BATCH: u64 = 65_536;

/// Default of `spool_max_bytes`: 1 GiB.
const SPOOL_MAX_BYTES: u64 = 1 << 30;

/// Reads the options of the spool, and whether it takes every record.
fn parse_spool<'a>(find: impl Fn(&str) -> Option<Given<'a>>) -> Result<(Option<spool::Options>, bool), ConfigError> {
    let max_bytes = match find("spool_max_bytes") {
        None => SPOOL_MAX_BYTES,
        Some(option) => match option.value.trim().parse() {
            Ok(bytes @ 1_048_576..) => bytes,
            _ => return Err(option.error("use a whole number of bytes, 1048576 (1 MiB) or more")),
        },
    };
    let when_full = match find("spool_when_full") {
        None => WhenFull::default(),
        Some(option) => match option.value {
            "oldest" => WhenFull::Oldest,
            "newest" => WhenFull::Newest,
            _ => return Err(option.error("use oldest or newest")),
        },
    };
    let sync = match find("spool_sync") {
        None => Sync::default(),
        Some(option) => match option.value {
            "never" => Sync::Never,
            "interval" => Sync::Interval,
            "always" => Sync::Always,
            _ => return Err(option.error("use never, interval or always")),
        },
    };
    let always = find("spool_always");
    let every_record = switch(always)?;
    let dir = find("spool_dir").filter(|option| !option.value.is_empty());
    match (dir, always) {
        // Whether it can be used shows when it is: no log is off because of its spool.
        (Some(dir), _) => {
            Ok((Some(spool::Options { dir: dir.value.into(), max_bytes, when_full, sync }), every_record))
        }
        (None, Some(always)) if every_record && find("spool_dir").is_none_or(|dir| dir.source != Source::Filter) => {
            Err(always.error("there is no spool; set spool_dir, too"))
        }
        (None, _) => Ok((None, false)),
    }
}

fn millis(number: i32) -> Duration {
    Duration::from_millis(number.unsigned_abs().into())
}

/// An interval in milliseconds. As text it is a number of seconds, as the host hands it over,
/// or a number and a unit of the host's scripts.
fn interval(option: Option<Given<'_>>, default: i32, min: i32) -> Result<i32, ConfigError> {
    const UNITS: [(&str, f64); 5] = [("msec", 1.0), ("sec", 1e3), ("min", 6e4), ("hr", 3.6e6), ("day", 8.64e7)];
    let Some(option) = option else { return Ok(default) };
    let text = option.value.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let unit = if unit.is_empty() {
        Some(1e3)
    } else {
        UNITS.into_iter().find_map(|(name, factor)| (unit.strip_suffix('s').unwrap_or(unit) == name).then_some(factor))
    };
    let number = digits.trim_end().parse::<f64>().ok().zip(unit).map(|(number, unit)| (number * unit).round());
    match number {
        Some(number) if (f64::from(min)..=f64::from(i32::MAX)).contains(&number) => Ok(number as i32),
        _ => Err(option.error(format!(
            "use an interval from {min} msec to 24 days, such as {}",
            if default == 0 { "5 sec".to_owned() } else { format!("{default} msec") }
        ))),
    }
}

fn parse_endpoints(option: Given<'_>) -> Result<Vec<Endpoint>, ConfigError> {
    if option.value.trim().is_empty() {
        return Err(option.error(NO_ENDPOINT));
    }
    let endpoints: Vec<_> = option
        .value
        .split(',')
        .map(|endpoint| Endpoint::parse(endpoint.trim(), Side::Plugin).map_err(|reason| option.error(reason)))
        .collect::<Result<_, _>>()?;
    if endpoints.len() > MAX_CONSUMERS {
        return Err(
            option.error(format!("there are {} endpoints; at most {MAX_CONSUMERS} are allowed", endpoints.len()))
        );
    }
    Ok(endpoints)
}

/// Longest path of a Unix domain socket (`sun_path` less its terminator).
const MAX_IPC_PATH: usize = 107;

/// Reads host and port; `*` is a port if it can be any.
fn parse_host(rest: &str, bind: bool, any_port: bool) -> Result<Host, String> {
    let Some((host, port)) = rest.rsplit_once(':') else {
        return Err("the port is missing; write tcp://HOST:PORT, such as tcp://127.0.0.1:12345".into());
    };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        _ if any_port && port == "*" => 0,
        _ => return Err(format!("the port \"{port}\" is not a number from 1 to 65535")),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // An IPv6 address may name its interface behind a percent sign.
    let address = literal.unwrap_or(host).split('%').next().unwrap_or_default();
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok(Host::V6);
    }
    if literal.is_some() || host.contains(':') {
        return Err(format!("\"{host}\" is not an IPv6 address; write tcp://[2001:db8::1]:{port}"));
    }
    match host {
        "" => Err("the host is missing; write tcp://HOST:PORT, such as tcp://127.0.0.1:12345".into()),
        "*" if bind => Ok(Host::Any),
        "*" => Err("to connect, it needs the address of the other side instead of *".into()),
        _ if host.parse::<Ipv4Addr>().is_ok() => Ok(Host::V4),
        _ if host.contains(|c: char| c.is_whitespace() || c == '/') => Err(format!("{host:?} is not a host name")),
        _ => Ok(Host::Name(host.to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global<'a>(name: &'a str, value: &'a str) -> Given<'a> {
        Given { source: Source::Global, name, value }
    }

    fn filter<'a>(name: &'a str, value: &'a str) -> Given<'a> {
        Given { source: Source::Filter, name, value }
    }

    const ENDPOINT: Given<'static> = Given { source: Source::Global, name: "endpoint", value: "tcp://localhost:1234" };

    #[test]
    fn defaults_are_the_original_plugins() {
        let config = Config::parse(&[ENDPOINT]).unwrap();
        assert_eq!(config.high_water_mark, 1000);
        assert_eq!(config.linger, Some(Duration::from_secs(3)));
        assert_eq!(config.connect_pause, Duration::ZERO);
        assert_eq!(config.style, Style::default());
        assert_eq!(config.topic.of(b"conn"), "conn".as_bytes());
        assert_eq!(config.endpoints[0].to_string(), "tcp://localhost:1234");
    }

    #[test]
    fn the_filter_wins() {
        let config = Config::parse(&[
            filter("endpoint", "ipc:///tmp/a"),
            filter("zmq_hwm", "5"),
            ENDPOINT,
            global("zmq_hwm", "7"),
            global("zmq_linger", "-1"),
            global("json_timestamps", "JSON::TS_ISO8601"),
            filter("json_include_unset_fields", "T"),
        ])
        .unwrap();
        assert_eq!(config.endpoints[0].to_string(), "ipc:///tmp/a");
        assert_eq!(config.high_water_mark, 5);
        assert_eq!(config.linger, None);
        let escape = EscapePolicy::Hex;
        assert_eq!(config.style, Style { time: TimeFormat::Iso8601, include_unset: true, escape });
    }

    #[test]
    fn the_spool() {
        let spool = |given: &[Given<'_>]| {
            let config = Config::parse(&[&[ENDPOINT], given].concat()).unwrap();
            (config.spool, config.spool_always)
        };
        assert_eq!(spool(&[]), (None, false));
        // What the scripts give for a host that sets nothing.
        assert_eq!(spool(&[global("spool_dir", ""), global("spool_always", "F")]), (None, false));
        let defaults = spool::Options {
            dir: "/var/spool/x".into(),
            max_bytes: 1 << 30,
            when_full: WhenFull::Oldest,
            sync: Sync::Interval,
        };
        let dir = global("spool_dir", "/var/spool/x");
        assert_eq!(spool(&[dir]), (Some(defaults), false));
        let others =
            spool::Options { dir: "/y".into(), max_bytes: 1 << 20, when_full: WhenFull::Newest, sync: Sync::Always };
        let given = [
            dir,
            filter("spool_dir", "/y"),
            filter("spool_max_bytes", "1048576"),
            filter("spool_when_full", "newest"),
            global("spool_sync", "always"),
            global("spool_always", "T"),
        ];
        assert_eq!(spool(&given), (Some(others), true));
        // A filter can do without.
        assert_eq!(spool(&[dir, global("spool_always", "T"), filter("spool_dir", "")]), (None, false));
    }

    #[test]
    fn an_empty_endpoint_in_the_filter_means_the_global_one() {
        let config = Config::parse(&[filter("endpoint", ""), ENDPOINT]).unwrap();
        assert_eq!(config.endpoints[0].to_string(), "tcp://localhost:1234");
    }

    #[test]
    fn every_form_of_text_and_time_has_its_name() {
        for (name, time) in [
            ("JSON::TS_EPOCH", TimeFormat::Epoch),
            ("JSON::TS_MILLIS", TimeFormat::Millis),
            ("JSON::TS_MILLIS_UNSIGNED", TimeFormat::MillisUnsigned),
            ("JSON::TS_ISO8601", TimeFormat::Iso8601),
        ] {
            assert_eq!(Config::parse(&[ENDPOINT, filter("json_timestamps", name)]).unwrap().style.time, time);
        }
        for (name, escape) in [
            ("JSON::STRING_ESCAPE_POLICY_HEX", EscapePolicy::Hex),
            ("JSON::STRING_ESCAPE_POLICY_PUA", EscapePolicy::Pua),
            ("JSON::STRING_ESCAPE_POLICY_TSV", EscapePolicy::Tsv),
        ] {
            let given = [ENDPOINT, global("json_string_escape_policy", name)];
            assert_eq!(Config::parse(&given).unwrap().style.escape, escape);
        }
    }

    #[test]
    fn extra_fields_of_the_filter_replace_the_scripts() {
        let given = [ENDPOINT, global("extra_fields_hex", "62=32,61=31"), global("tag_json", "T")];
        let pair = |name: &str, value: &str| {
            (name.as_bytes().to_vec(), Template::parse(value.as_bytes(), || Ok("s1".to_owned())).unwrap())
        };
        let config = Config::parse(&given).unwrap();
        assert_eq!(config.extra_fields, [pair("a", "1"), pair("b", "2")]);
        assert!(config.tag_json);
        let given = [&given[..], &[filter("extra_fields", "c=3"), filter("tag_json", "F")]].concat();
        let config = Config::parse(&given).unwrap();
        assert_eq!(config.extra_fields, [pair("c", "3")]);
        assert!(!config.tag_json);
        let given = [&given[..], &[filter("extra_fields", "")]].concat();
        assert_eq!(Config::parse(&given).unwrap().extra_fields, []);
        let given = [ENDPOINT, global("extra_fields_hex", "5f70617468=2570617468"), global("sensor", "s1")];
        assert_eq!(Config::parse(&given).unwrap().extra_fields, [pair("_path", "%path")]);
        let given = [&given[..], &[filter("extra_fields", "at=%sensor/%path")]].concat();
        assert_eq!(Config::parse(&given).unwrap().extra_fields, [pair("at", "%sensor/%path")]);
    }

    #[test]
    fn one_frame_may_have_no_topic() {
        let head =
            |given: &[Given<'_>]| Config::parse(&[&[ENDPOINT], given].concat()).map(|config| config.head(b"conn"));
        assert_eq!(head(&[]), Ok(Head::new(b"conn".to_vec(), Frames::Two)));
        assert_eq!(head(&[global("frames", "one")]), Ok(Head::new(b"conn".to_vec(), Frames::One)));
        let bare = [global("frames", "one"), global("topic", ""), global("stats_topic", "")];
        assert_eq!(head(&bare), Ok(Head::new(Vec::new(), Frames::One)));
        assert!(head(&[&bare[..], &[filter("frames", "two")]].concat()).is_err());
        assert!(head(&[global("frames", "one"), filter("frames", "two"), global("stats_topic", "")]).is_err());
    }

    #[test]
    fn the_topic_has_the_sensors_name() {
        let given = [ENDPOINT, global("topic", "%sensor/%path"), global("sensor", "s1")];
        assert_eq!(Config::parse(&given).unwrap().topic.of(b"conn"), "s1/conn".as_bytes());
        let given = [&given[..], &[filter("sensor", "s2"), filter("topic", "%path@%sensor")]].concat();
        assert_eq!(Config::parse(&given).unwrap().topic.of(b"conn"), "conn@s2".as_bytes());
        let given = [&given[..], &[filter("sensor", "")]].concat();
        assert_eq!(
            Config::parse(&given).unwrap().topic.of(b"conn"),
            format!("conn@{}", host_name().unwrap()).into_bytes()
        );
    }

    #[test]
    fn several_endpoints() {
        let config =
            Config::parse(&[global("endpoint", "tcp://a:1, >tcp://[::1]:2 ,ipc:///x,tcp://fe80::1%eth0:3")]).unwrap();
        let all: Vec<_> = config.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["tcp://a:1", "tcp://[::1]:2", "ipc:///x", "tcp://fe80::1%eth0:3"]);
        assert!(config.endpoints[1].is_ipv6() && config.endpoints[3].is_ipv6());
        assert!(!config.endpoints[2].is_ipv6());
    }

    #[test]
    fn an_endpoint_to_bind() {
        let config = Config::parse(&[global("endpoint", "@tcp://*:5, @ipc:///x, @tcp://[::]:6")]).unwrap();
        assert!(config.endpoints.iter().all(|endpoint| endpoint.bind));
        assert_eq!(config.endpoints[0].address.to_str(), Ok("tcp://*:5"));
        assert_eq!(config.endpoints[0].to_string(), "@tcp://*:5");
        assert!(config.endpoints[2].is_ipv6());
        assert!(!Config::parse(&[ENDPOINT]).unwrap().endpoints[0].bind);
    }

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
            assert!(error.contains(why), "{text}: {error}");
        }
        let name = |text| {
            Endpoint::parse(text, Side::Connects).unwrap().host_name().map(|(name, port)| (name.to_owned(), port))
        };
        assert_eq!(name("tcp://a:5"), Some(("a".to_owned(), 5)));
        assert_eq!(name("tcp://192.0.2.1:5"), None);
    }

    #[test]
    fn intervals() {
        for (text, millis) in [
            ("0", 0),
            ("2.500000000", 2500),
            ("2.5 sec", 2500),
            ("1secs", 1000),
            ("250 msec", 250),
            ("250.0 msecs", 250),
            (" 2 min ", 120_000),
            ("1hr", 3_600_000),
            ("1 day", 86_400_000),
        ] {
            let config = Config::parse(&[ENDPOINT, filter("wait_for_subscriber", text)]).unwrap();
            assert_eq!(config.wait_for_subscriber, Duration::from_millis(millis), "{text}");
        }
        let config = Config::parse(&[ENDPOINT]).unwrap();
        assert_eq!(config.keep_alive, KeepAlive::default());
        assert_eq!((config.wait_for_subscriber, config.stats_interval), (Duration::ZERO, None));
        assert_eq!(config.flush_interval, Duration::from_millis(4));
        let config = Config::parse(&[ENDPOINT, global("flush_interval", "0.000000000")]).unwrap();
        assert_eq!(config.flush_interval, Duration::ZERO);
    }

    #[test]
    fn errors_name_option_value_and_fix() {
        let long = format!("ipc://{}", "x".repeat(108));
        for (option, parts) in [
            (global("endpoint", ""), ["LogZeroMQ::endpoint = \"\"", "tcp://127.0.0.1:12345"]),
            (global("endpoint", "localhost:1"), ["LogZeroMQ::endpoint = \"localhost:1\"", "tcp://HOST:PORT"]),
            (filter("endpoint", "tcp://x"), ["$config[\"endpoint\"] = \"tcp://x\"", "port is missing"]),
            (filter("endpoint", "tcp://x:0"), ["tcp://x:0", "1 to 65535"]),
            (filter("endpoint", "tcp://x:65536"), ["tcp://x:65536", "1 to 65535"]),
            (filter("endpoint", "tcp://x:http"), ["tcp://x:http", "1 to 65535"]),
            (filter("endpoint", "tcp://:1"), ["tcp://:1", "host is missing"]),
            (filter("endpoint", "tcp://*:1"), ["tcp://*:1", "to connect"]),
            (filter("endpoint", "tcp://[zz]:1"), ["[zz]", "IPv6"]),
            (filter("endpoint", "tcp://a b:1"), ["a b", "host name"]),
            (filter("endpoint", "udp://a:1"), ["udp", "not supported"]),
            (filter("endpoint", "tcp://a:1,,tcp://b:1"), ["tcp://a:1,,tcp://b:1", "empty endpoint"]),
            (filter("endpoint", "ipc://"), ["ipc://", "path"]),
            (filter("endpoint", &long), ["ipc://xxx", "107"]),
            (filter("endpoint", "tcp://a\n:1"), ["tcp://a\\n:1", "host name"]),
            (filter("endpoint", "tcp://a:1\n2"), ["tcp://a:1\\n2", "port \"1\\n2\""]),
            (global("zmq_hwm", "-1"), ["LogZeroMQ::zmq_hwm = \"-1\"", "0 (no limit) to 2147483647"]),
            (global("zmq_hwm", "many"), ["LogZeroMQ::zmq_hwm = \"many\"", "such as 1000"]),
            (global("zmq_linger", "-2"), ["LogZeroMQ::zmq_linger = \"-2\"", "-1 (for ever)"]),
            (filter("zmq_connect_pause", "-1"), ["$config[\"zmq_connect_pause\"] = \"-1\"", "0 (no pause)"]),
            (filter("socket_type", "pub"), ["$config[\"socket_type\"] = \"pub\"", "publish or push"]),
            (filter("wait_for_subscriber", "soon"), ["$config[\"wait_for_subscriber\"] = \"soon\"", "such as 5 sec"]),
            (filter("wait_for_subscriber", "-1"), ["\"-1\"", "from 0 msec"]),
            (filter("wait_for_subscriber", "1 week"), ["\"1 week\"", "to 24 days"]),
            (filter("wait_for_subscriber", "nan"), ["\"nan\"", "to 24 days"]),
            (filter("wait_for_subscriber", "ä"), ["\"ä\"", "to 24 days"]),
            (filter("reconnect_interval", "0"), ["reconnect_interval", "such as 100 msec"]),
            (filter("stats_topic", ""), ["stats_topic", "name a topic"]),
            (
                filter("batch_records", "65537"),
                ["$config[\"batch_records\"] = \"65537\"", "from 1 (no batches) to 65536"],
            ),
            (filter("flush_interval", "now"), ["$config[\"flush_interval\"] = \"now\"", "such as 4 msec"]),
            (global("batch_latency", "0"), ["LogZeroMQ::batch_latency = \"0\"", "from 1 msec"]),
            (filter("json_timestamps", "TS_EPOCH"), ["$config[\"json_timestamps\"]", "JSON::TS_EPOCH"]),
            (filter("json_include_unset_fields", "yes"), ["json_include_unset_fields", "T or F"]),
            (global("spool_max_bytes", "1048575"), ["LogZeroMQ::spool_max_bytes = \"1048575\"", "1048576 (1 MiB)"]),
            (filter("spool_max_bytes", "1G"), ["$config[\"spool_max_bytes\"] = \"1G\"", "whole number of bytes"]),
            (global("spool_when_full", "old"), ["LogZeroMQ::spool_when_full = \"old\"", "oldest or newest"]),
            (global("spool_sync", ""), ["LogZeroMQ::spool_sync = \"\"", "never, interval or always"]),
            (filter("spool_always", "maybe"), ["$config[\"spool_always\"] = \"maybe\"", "T or F"]),
            (global("spool_always", "T"), ["LogZeroMQ::spool_always = \"T\"", "set spool_dir"]),
            (filter("tag_json", "on"), ["$config[\"tag_json\"] = \"on\"", "T or F"]),
            (filter("json_string_escape_policy", "HEX"), ["json_string_escape_policy", "_PUA or JSON::"]),
            (filter("extra_fields", "a"), ["$config[\"extra_fields\"] = \"a\"", "name=value"]),
            (global("extra_fields_hex", "=61"), ["LogZeroMQ::extra_fields", "no name"]),
            (global("topic", ""), ["LogZeroMQ::topic = \"\"", "%path"]),
            (global("frames", "1"), ["LogZeroMQ::frames = \"1\"", "use two (topic, JSON) or one"]),
            (filter("extra_fields", "a=%paht"), ["$config[\"extra_fields\"] = \"a=%paht\"", "%paht is no placeholder"]),
            (global("extra_fields_hex", "61=25"), ["LogZeroMQ::extra_fields", "%% for a percent sign"]),
            (filter("topic", "%sensro/%path"), ["$config[\"topic\"] = \"%sensro/%path\"", "%sensor"]),
        ] {
            let given: &[Given<'_>] = if option.name == "endpoint" { &[option] } else { &[ENDPOINT, option] };
            let error = Config::parse(given).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{error:?} lacks {part:?}");
            }
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn unknown_names_are_found() {
        let given = [filter("endpoint", "x"), filter("endpiont", "x")];
        assert_eq!(unknown_options(&given).collect::<Vec<_>>(), ["endpiont"]);
        assert_eq!(unknown_options(&[filter("extra_fields_hex", "")]).count(), 1);
    }
}
