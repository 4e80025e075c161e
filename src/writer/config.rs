//! The options of a writer: their names, types, defaults and allowed values.

use core::time::Duration;
use std::ffi::CStr;

use super::curve;
use super::extra::{self, ExtraFields};
use super::option::{ConfigError, Given, OptionValue, Reason, Scope};
use super::topic::{Frames, Head, Template, host_name};
use crate::json::{EscapePolicy, Style, TimeFormat};
use crate::spool::{SpoolOptions, SyncPolicy, WhenFull};
use crate::transport::{Curve, KeepAlive, Pattern, TransportOptions};
use crate::zmq::{Endpoint, MAX_CONSUMERS, Side};

/// An option.
pub struct Spec {
    /// `LogZeroMQ::NAME` in scripts, `NAME` in a filter's `$config`.
    pub name: &'static CStr,
    /// Its type in scripts.
    pub kind: &'static str,
    /// Its default, as a script has it, without quotes.
    pub default: &'static str,
    /// Reads its value, or its default, into a configuration that has the options above it.
    read: fn(&mut Config, OptionValue<'_>) -> Result<(), ConfigError>,
}

/// All options. Each is a constant in `scripts/init.zeek`, and a section of docs/options.md.
pub static OPTIONS: &[Spec] = &[
    option(c"endpoint", "string", "", |c, v| endpoints(v.given).map(|all| c.endpoints = all)),
    option(c"socket_type", "string", "publish", |c, v| v.trimmed().choice(PATTERNS).map(|one| c.pattern = one)),
    option(c"frames", "string", "two", |c, v| {
        v.trimmed().choice(FRAMES).map(|one| c.frames = one).map_err(|_| v.given.error(Reason::Frames))
    }),
    option(c"zmq_hwm", "count", "1000", |c, v| v.number(0, "0 (no limit)").map(|n| c.high_water_mark = n)),
    option(c"zmq_linger", "int", "3000", |c, v| {
        v.number(-1, "-1 (for ever)").map(|n| c.linger = u64::try_from(n).ok().map(Duration::from_millis))
    }),
    option(c"zmq_connect_pause", "int", "0", |c, v| v.number(0, "0 (no pause)").map(|n| c.connect_pause = millis(n))),
    option(c"wait_for_subscriber", "interval", "0 sec", |c, v| {
        v.interval(0).map(|n| c.wait_for_subscriber = millis(n))
    }),
    option(c"reconnect_interval", "interval", "100 msec", |c, v| v.interval(1).map(|n| c.keep_alive.reconnect = n)),
    option(c"reconnect_interval_max", "interval", "1 sec", |c, v| {
        v.interval(0).map(|n| c.keep_alive.reconnect_max = n)
    }),
    option(c"tcp_keepalive", "interval", "1 min", |c, v| v.interval(0).map(|n| c.keep_alive.keepalive = n)),
    option(c"heartbeat_interval", "interval", "0 sec", |c, v| v.interval(0).map(|n| c.keep_alive.heartbeat = n)),
    option(c"heartbeat_timeout", "interval", "0 sec", |c, v| v.interval(0).map(|n| c.keep_alive.heartbeat_timeout = n)),
    option(c"curve_server_key", "string", "", read_by_keys),
    option(c"curve_public_key_file", "string", "", read_by_keys),
    option(c"curve_secret_key_file", "string", "", read_by_keys),
    option(c"curve_authorized_keys_dir", "string", "", keys),
    option(c"stats_interval", "interval", "0 sec", |c, v| {
        v.interval(0).map(|n| c.stats_interval = (n > 0).then(|| millis(n)))
    }),
    option(c"stats_topic", "string", "zeromq_stats", |c, v| {
        if v.given.value.is_empty() && c.frames == Frames::Two {
            return Err(v.given.error(Reason::NoStatsTopic));
        }
        c.stats_topic = v.given.value.to_owned();
        Ok(())
    }),
    option(c"batch_records", "count", "1", |c, v| {
        v.within(0..=MAX_BATCH, Reason::Batch).map(|n| c.batch_records = n.max(1))
    }),
    option(c"batch_latency", "interval", "1 sec", |c, v| v.interval(1).map(|n| c.batch_latency = millis(n))),
    // docs/performance.md says what other intervals cost.
    option(c"flush_interval", "interval", "2 msec", |c, v| v.interval(0).map(|n| c.flush_interval = millis(n))),
    option(c"json_timestamps", "JSON::TimestampFormat", "JSON::TS_EPOCH", |c, v| {
        v.choice(TIMES).map(|one| c.style.time = one)
    }),
    option(c"json_include_unset_fields", "bool", "F", |c, v| v.switch().map(|on| c.style.include_unset = on)),
    option(c"json_string_escape_policy", "JSON::StringEscapePolicy", "JSON::STRING_ESCAPE_POLICY_HEX", |c, v| {
        v.choice(ESCAPES).map(|one| c.style.escape = one)
    }),
    option(c"topic", "string", "%path", topic),
    // `topic` and `extra_fields` fill the name in.
    option(c"sensor", "string", "", |_, _| Ok(())),
    option(c"spool_dir", "string", "", |c, v| {
        // The directory is not tried here: a log is sent even if its spool cannot be used.
        c.spool = (!v.given.value.is_empty()).then(|| SpoolOptions {
            dir: v.given.value.into(),
            max_bytes: u64::MAX,
            when_full: WhenFull::default(),
            sync: SyncPolicy::default(),
        });
        Ok(())
    }),
    option(c"spool_max_bytes", "count", "1073741824", |c, v| {
        v.within(1 << 20.., Reason::SpoolBytes).map(|n| c.spool.iter_mut().for_each(|spool| spool.max_bytes = n))
    }),
    option(c"spool_when_full", "string", "oldest", |c, v| {
        v.choice(WHEN_FULL).map(|one| c.spool.iter_mut().for_each(|spool| spool.when_full = one))
    }),
    option(c"spool_sync", "string", "interval", |c, v| {
        v.choice(SYNC).map(|one| c.spool.iter_mut().for_each(|spool| spool.sync = one))
    }),
    option(c"spool_always", "bool", "F", |c, v| {
        let always = v.switch()?;
        // A filter can do without the spool that the globals set up.
        let without = v.find("spool_dir").is_some_and(|dir| dir.scope == Scope::Filter);
        if always && c.spool.is_none() && !without {
            return Err(v.given.error(Reason::NoSpool));
        }
        c.spool_always = always && c.spool.is_some();
        Ok(())
    }),
    option(c"extra_fields", "table[string] of string", "", extra_fields),
    option(c"tag_json", "bool", "F", |c, v| v.switch().map(|on| c.tag_json = on)),
];

const PATTERNS: &[(&str, Pattern)] = &[("publish", Pattern::Publish), ("push", Pattern::Push)];

const FRAMES: &[(&str, Frames)] = &[("two", Frames::Two), ("one", Frames::One)];

const TIMES: &[(&str, TimeFormat)] = &[
    ("JSON::TS_EPOCH", TimeFormat::Epoch),
    ("JSON::TS_MILLIS", TimeFormat::Millis),
    ("JSON::TS_MILLIS_UNSIGNED", TimeFormat::MillisUnsigned),
    ("JSON::TS_ISO8601", TimeFormat::Iso8601),
];

const ESCAPES: &[(&str, EscapePolicy)] = &[
    ("JSON::STRING_ESCAPE_POLICY_HEX", EscapePolicy::Hex),
    ("JSON::STRING_ESCAPE_POLICY_PUA", EscapePolicy::Pua),
    ("JSON::STRING_ESCAPE_POLICY_TSV", EscapePolicy::Tsv),
];

const WHEN_FULL: &[(&str, WhenFull)] = &[("oldest", WhenFull::Oldest), ("newest", WhenFull::Newest)];

const SYNC: &[(&str, SyncPolicy)] =
    &[("never", SyncPolicy::Never), ("interval", SyncPolicy::Interval), ("always", SyncPolicy::Always)];

/// Limit of `batch_records`: far more than a message gets.
const MAX_BATCH: u64 = 65_536;

/// Names that are no options: the texts that the script makes of tables, here of `extra_fields`.
pub static SCRIPT_NAMES: &[&CStr] = &[c"extra_fields_hex"];

/// A writer's options. By `Default` none of them is read yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// `stats_topic`: the topic of the statistics.
    pub stats_topic: String,
    /// `batch_records`: how many records a message may have.
    pub batch_records: u64,
    /// `batch_latency`: how long a record may wait for `batch_records`.
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
    pub spool: Option<SpoolOptions>,
    /// `spool_always`: true if every record goes through the spool; false without a spool.
    pub spool_always: bool,
    /// True if the spool is one that no writer has open, and is given back when a writer opens it. Not an option.
    pub borrows_spool: bool,
    /// `extra_fields`: what every record gets.
    pub extra_fields: ExtraFields,
    /// `tag_json`: true if a record is put into an object, under its log path.
    pub tag_json: bool,
}

impl Config {
    /// Reads the options. Of several values for one option the last from the filter counts,
    /// or else the last global. An empty endpoint counts as none.
    ///
    /// # Errors
    ///
    /// The first value that is not allowed.
    pub fn parse(given: &[Given<'_>]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for option in OPTIONS {
            (option.read)(&mut config, OptionValue::new(option.name(), option.default, given))?;
        }
        Ok(config)
    }

    /// What the messages of a log path begin with.
    #[must_use]
    pub fn head(&self, path: &[u8]) -> Head {
        Head::new(self.topic.of(path), self.frames)
    }

    /// The options that the endpoints' transports need.
    #[must_use]
    pub fn transport(&self) -> TransportOptions {
        TransportOptions {
            pattern: self.pattern,
            keep_alive: self.keep_alive.clone(),
            curve: self.curve.clone(),
            high_water_mark: self.high_water_mark,
            resends: self.spool.is_some(),
        }
    }
}

impl Spec {
    /// The option's name as text.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }
}

const fn option(
    name: &'static CStr,
    kind: &'static str,
    default: &'static str,
    read: fn(&mut Config, OptionValue<'_>) -> Result<(), ConfigError>,
) -> Spec {
    Spec { name, kind, default, read }
}

/// The names in a filter's `$config` that are no options of this writer.
pub fn unknown_options<'a>(given: &'a [Given<'a>]) -> impl Iterator<Item = &'a str> {
    given.iter().map(|option| option.name).filter(|name| !OPTIONS.iter().any(|known| known.name() == *name))
}

fn millis(number: i32) -> Duration {
    Duration::from_millis(number.unsigned_abs().into())
}

/// Reads nothing: of some options that belong together, the last reads all, with [`keys`].
fn read_by_keys(_: &mut Config, _: OptionValue<'_>) -> Result<(), ConfigError> {
    Ok(())
}

fn endpoints(option: Given<'_>) -> Result<Vec<Endpoint>, ConfigError> {
    if option.value.trim().is_empty() {
        return Err(option.error(Reason::NoEndpoint));
    }
    let endpoints: Vec<_> = option
        .value
        .split(',')
        .map(|endpoint| Endpoint::parse(endpoint.trim(), Side::Plugin).map_err(|reason| option.error(reason)))
        .collect::<Result<_, _>>()?;
    if endpoints.len() > MAX_CONSUMERS {
        return Err(option.error(Reason::Endpoints { count: endpoints.len() }));
    }
    Ok(endpoints)
}

/// Reads the files of keys, and gives each endpoint its server's.
fn keys(config: &mut Config, value: OptionValue<'_>) -> Result<(), ConfigError> {
    let secured: Vec<_> = config.endpoints.iter().map(|endpoint| (endpoint.to_string(), endpoint.bind)).collect();
    if let Some((curve, server_keys)) = curve::parse(|name| value.find(name), &secured)? {
        config.curve = Some(curve);
        for (endpoint, key) in config.endpoints.iter_mut().zip(server_keys) {
            endpoint.server_key = key;
        }
    }
    Ok(())
}

/// The sensor's name, as it was given or as the machine is called.
fn sensor(value: OptionValue<'_>) -> Result<String, Reason> {
    match value.find("sensor") {
        Some(Given { value, .. }) if !value.is_empty() => Ok(value.to_owned()),
        _ => host_name().ok_or(Reason::NoSensor),
    }
}

fn topic(config: &mut Config, value: OptionValue<'_>) -> Result<(), ConfigError> {
    let topic = value.given;
    if topic.value.is_empty() && config.frames == Frames::Two {
        return Err(topic.error(Reason::NoTopic));
    }
    let template = Template::parse(topic.value.as_bytes(), || sensor(value));
    config.topic = template.map_err(|reason| topic.error(reason))?;
    Ok(())
}

fn extra_fields(config: &mut Config, value: OptionValue<'_>) -> Result<(), ConfigError> {
    let (given, fields) = match (value.find("extra_fields"), value.find("extra_fields_hex")) {
        (None, Some(hex)) => (Given { name: "extra_fields", ..hex }, extra::parse_hex(hex.value)),
        _ => (value.given, extra::parse_text(value.given.value)),
    };
    let fields = fields.and_then(|fields| extra::templates(fields, || sensor(value)));
    config.extra_fields = fields.map_err(|reason| given.error(reason))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global<'a>(name: &'a str, value: &'a str) -> Given<'a> {
        Given { scope: Scope::Global, name, value }
    }

    fn filter<'a>(name: &'a str, value: &'a str) -> Given<'a> {
        Given { scope: Scope::Filter, name, value }
    }

    const ENDPOINT: Given<'static> = Given { scope: Scope::Global, name: "endpoint", value: "tcp://localhost:1234" };

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
        let defaults = SpoolOptions {
            dir: "/var/spool/x".into(),
            max_bytes: 1 << 30,
            when_full: WhenFull::Oldest,
            sync: SyncPolicy::Interval,
        };
        let dir = global("spool_dir", "/var/spool/x");
        assert_eq!(spool(&[dir]), (Some(defaults), false));
        let others = SpoolOptions {
            dir: "/y".into(),
            max_bytes: 1 << 20,
            when_full: WhenFull::Newest,
            sync: SyncPolicy::Always,
        };
        let given = [
            dir,
            filter("spool_dir", "/y"),
            filter("spool_max_bytes", "1048576"),
            filter("spool_when_full", "newest"),
            global("spool_sync", "always"),
            global("spool_always", "T"),
        ];
        assert_eq!(spool(&given), (Some(others), true));
        // A filter can do without the spool that the globals set up.
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
        assert_eq!(
            config.keep_alive,
            KeepAlive { reconnect: 100, reconnect_max: 1000, keepalive: 60_000, heartbeat: 0, heartbeat_timeout: 0 }
        );
        assert_eq!((config.wait_for_subscriber, config.stats_interval), (Duration::ZERO, None));
        assert_eq!(config.flush_interval, Duration::from_millis(2));
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
            (filter("flush_interval", "now"), ["$config[\"flush_interval\"] = \"now\"", "such as 2 msec"]),
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
