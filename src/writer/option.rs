//! Options as they are given: text, which is read as a number, an interval, a switch or a choice.

use core::fmt;
use core::ops::RangeBounds;
use core::str::FromStr;
use std::path::Path;

use crate::keys::KeyError;
use crate::texts::texts;
use crate::zmq::{EndpointError, KEY_TEXT, MAX_CONSUMERS, PublicKey};

/// Where an option's value comes from; the filter's wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The script's global of this name.
    Global,
    /// The filter's `$config` table.
    Filter,
}

/// One option as it was given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Where it comes from.
    pub scope: Scope,
    /// Its name, without the module.
    pub name: &'a str,
    /// Its value, as text.
    pub value: &'a str,
}

/// A value that is not allowed: the option's name, the value, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    scope: Scope,
    option: String,
    value: String,
    reason: Reason,
}

/// The form of fields, in the messages about them.
const FORM: &str = "write name=value, with commas between, such as sensor=nids1,site=berlin";

texts! {
    /// What is wrong with a value, and what to do about it; `name` says how an option is called.
    pub enum Reason(name: &dyn Fn(&str, Mention) -> String) {
        Number { min: &'static str, such_as: &'static str } =
            "use a whole number from {min} to {max}, such as {such_as}" [max = i32::MAX],
        Interval { min: i32, such_as: String } = "use an interval from {min} msec to 24 days, such as {such_as}",
        Switch = "use T or F",
        Choice { choices: String } = "use {choices}",
        Path = "use an absolute path, such as /etc/zeek/keys/sensor.key_secret",
        Frames = "use two (topic, JSON) or one (both, with a space between)",
        Batch = "use a whole number of records from 1 (no batches) to 65536, such as 100",
        SpoolBytes = "use a whole number of bytes, 1048576 (1 MiB) or more",
        NoSpool = "there is no spool; set {dir}, too" [dir = name("spool_dir", Mention::Anywhere)],
        NoEndpoint = "there is no endpoint to send to; name the subscriber's, such as tcp://127.0.0.1:12345",
        Endpoints { count: usize } = "there are {count} endpoints; at most {MAX_CONSUMERS} are allowed",
        Endpoint { error: EndpointError } = "{error}",
        NoStatsTopic = "name a topic, such as zeromq_stats",
        NoTopic = "nobody can tell an empty topic from another; use %path, or a text with it",
        NoPlaceholder { word: String } = "%{word} is no placeholder; use %path, %sensor, or %% for a percent sign",
        NoSensor = "%sensor is this machine's name, which the system does not tell; set {sensor}"
            [sensor = name("sensor", Mention::SetIn(Scope::Global))],
        NoField = "there is an empty field between the commas; {FORM}",
        NoFieldName = "a field has no name; {FORM}",
        NoFieldValue { field: String } = "the field {field:?} has no value; {FORM}",
        FieldTwice { field: String } = "the field {field:?} is there twice",
        Backslash = "the backslash at the end stands in front of nothing; write \\\\",
        OfTheScript = "this is for the plugin's script only",
        Key { error: KeyError } = "{error}",
        KeyOrFile = "use the {KEY_TEXT} characters of a public key, or the absolute path of its file NAME.key",
        KeyCount { keys: usize, endpoints: usize } =
            "there are {keys} keys for {endpoints} endpoints to connect to; give one for all, or one for each",
        NoSecretKey = "there is no secret key to go with it; set {file}, too"
            [file = name("curve_secret_key_file", Mention::Anywhere)],
        OtherPair = "it is not the public key of {file}; name the other file of the pair"
            [file = name("curve_secret_key_file", Mention::Anywhere)],
        Unencrypted { endpoint: String, missing: &'static str } =
            "{endpoint} would be without encryption; set {option}, too, or no key at all for this endpoint"
            [option = name(missing, Mention::Anywhere)],
    }
}

impl From<EndpointError> for Reason {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint { error }
    }
}

impl From<KeyError> for Reason {
    fn from(error: KeyError) -> Self {
        Self::Key { error }
    }
}

/// How an error mentions an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mention {
    /// The option was given there, or is to be set there.
    SetIn(Scope),
    /// The error speaks of the option, wherever it is set.
    Anywhere,
}

impl ConfigError {
    /// The error in its reader's words: `name` says how the reader calls an option.
    #[must_use]
    pub fn text(&self, name: impl Fn(&str, Mention) -> String) -> String {
        let Self { scope, option, value, reason } = self;
        let mut text = format!("{} = \"{}\": ", name(option, Mention::SetIn(*scope)), value.escape_debug());
        // The reason can quote a part of the value. The text is to be one line.
        for c in reason.text(&name).chars() {
            if c.is_control() { text.extend(c.escape_debug()) } else { text.push(c) }
        }
        text
    }
}

impl fmt::Display for ConfigError {
    /// In the words of the host's scripts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(|name, how| match how {
            Mention::SetIn(Scope::Global) => format!("LogZeroMQ::{name}"),
            Mention::SetIn(Scope::Filter) => format!("$config[\"{name}\"]"),
            Mention::Anywhere => name.to_owned(),
        }))
    }
}

impl std::error::Error for ConfigError {}

impl<'a> Given<'a> {
    pub(super) fn error(&self, reason: impl Into<Reason>) -> ConfigError {
        // By mistake, the value may be a secret key instead of the key's file.
        let shown = !self.name.starts_with("curve_") || (self.value.starts_with('/') && !self.is_key());
        let value = if shown { self.value.to_owned() } else { "…".to_owned() };
        ConfigError { scope: self.scope, option: self.name.to_owned(), value, reason: reason.into() }
    }

    /// Returns true if the value is a key and not a path. Keys can begin with a slash, too.
    pub(super) fn is_key(&self) -> bool {
        PublicKey::parse(self.value).is_some() && !Path::new(self.value).exists()
    }

    /// The value as an absolute path.
    pub(super) fn path(self) -> Result<&'a Path, ConfigError> {
        let path = Path::new(self.value);
        if !path.is_absolute() || self.value.contains('\0') || self.is_key() {
            return Err(self.error(Reason::Path));
        }
        Ok(path)
    }
}

/// An option's value that is being read, with all options that were given.
#[derive(Clone, Copy)]
pub(super) struct OptionValue<'a> {
    /// The option as it was given, or else with its default.
    pub given: Given<'a>,
    default: &'static str,
    all: &'a [Given<'a>],
}

impl<'a> OptionValue<'a> {
    /// The value of the option of this name.
    pub(super) fn new(name: &'static str, default: &'static str, all: &'a [Given<'a>]) -> Self {
        let default_one = Given { scope: Scope::Global, name, value: default };
        let value = Self { given: default_one, default, all };
        Self { given: value.find(name).unwrap_or(default_one), ..value }
    }

    /// Another option, if it was given.
    pub(super) fn find(&self, name: &str) -> Option<Given<'a>> {
        let of = |scope| self.all.iter().rev().find(move |option| option.name == name && option.scope == scope);
        of(Scope::Filter)
            .filter(|option| name != "endpoint" || !option.value.trim().is_empty())
            .or_else(|| of(Scope::Global))
            .copied()
    }

    /// The value without blanks around it.
    pub(super) fn trimmed(mut self) -> Self {
        self.given.value = self.given.value.trim();
        self
    }

    /// A number in a range; `otherwise` is the reason of the error.
    pub(super) fn within<T: FromStr + PartialOrd>(
        self,
        range: impl RangeBounds<T>,
        otherwise: Reason,
    ) -> Result<T, ConfigError> {
        match self.given.value.trim().parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.given.error(otherwise)),
        }
    }

    /// A number that is at least `min`, which errors call `min_means`.
    pub(super) fn number(self, min: i32, min_means: &'static str) -> Result<i32, ConfigError> {
        self.within(min.., Reason::Number { min: min_means, such_as: self.default })
    }

    /// An interval in milliseconds, at least `min`. As text it is a number of seconds, as the host hands
    /// it over, or a number and a unit of the host's scripts.
    pub(super) fn interval(self, min: i32) -> Result<i32, ConfigError> {
        match milliseconds(self.given.value) {
            Some(number) if (f64::from(min)..=f64::from(i32::MAX)).contains(&number) => Ok(number as i32),
            _ => {
                let default = milliseconds(self.default).filter(|&default| default > 0.0);
                let such_as = default.map_or_else(|| "5 sec".to_owned(), |default| format!("{default} msec"));
                Err(self.given.error(Reason::Interval { min, such_as }))
            }
        }
    }

    /// On or off.
    pub(super) fn switch(self) -> Result<bool, ConfigError> {
        match self.given.value {
            "T" | "true" | "1" => Ok(true),
            "F" | "false" | "0" => Ok(false),
            _ => Err(self.given.error(Reason::Switch)),
        }
    }

    /// One of several choices, by its name.
    pub(super) fn choice<T: Copy>(self, all: &[(&str, T)]) -> Result<T, ConfigError> {
        all.iter().find(|(name, _)| *name == self.given.value).map(|&(_, one)| one).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            let (last, others) = names.split_last().unwrap_or((&"", &[]));
            self.given.error(Reason::Choice { choices: format!("{} or {last}", others.join(", ")) })
        })
    }
}

fn milliseconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 5] = [("msec", 1.0), ("sec", 1e3), ("min", 6e4), ("hr", 3.6e6), ("day", 8.64e7)];
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1e3,
        unit => {
            let unit = unit.strip_suffix('s').unwrap_or(unit);
            UNITS.into_iter().find_map(|(name, factor)| (unit == name).then_some(factor))?
        }
    };
    Some((digits.trim_end().parse::<f64>().ok()? * factor).round())
}
