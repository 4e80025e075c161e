//! Options as they are given: text, which is read as a number, an interval, a switch or a choice.

use core::fmt;
use core::ops::RangeBounds;
use core::str::FromStr;
use std::path::Path;

use crate::zmq::PublicKey;

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

/// A value that is not allowed: whose it is, the value, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    source: Source,
    option: String,
    value: String,
    reason: Reason,
}

/// What is wrong with a value, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    text: String,
    /// An option that is named next, and what stands behind its name.
    option: Option<(Mention, &'static str, &'static str)>,
}

/// How an error has come to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mention {
    /// It was given there, or is to be set there.
    From(Source),
    /// The error speaks of it, wherever it is set.
    Anywhere,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self { text, option: None }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Reason {
    /// With an option's name in it.
    pub fn naming(before: impl Into<String>, how: Mention, option: &'static str, behind: &'static str) -> Self {
        Self { text: before.into(), option: Some((how, option, behind)) }
    }
}

impl ConfigError {
    /// The error in the words of whom it is for: `name` says how an option is called there.
    #[must_use]
    pub fn text(&self, name: impl Fn(&str, Mention) -> String) -> String {
        let Self { source, option, value, reason: Reason { text, option: other } } = self;
        let mut reason = text.clone();
        if let Some((how, option, behind)) = other {
            reason.extend([&*name(option, *how), behind]);
        }
        let mut text = format!("{} = \"{}\": ", name(option, Mention::From(*source)), value.escape_debug());
        // It can quote a part of the value, and is one line.
        for c in reason.chars() {
            if c.is_control() { text.extend(c.escape_debug()) } else { text.push(c) }
        }
        text
    }
}

impl fmt::Display for ConfigError {
    /// In the words of the host's scripts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(|name, how| match how {
            Mention::From(Source::Global) => format!("LogZeroMQ::{name}"),
            Mention::From(Source::Filter) => format!("$config[\"{name}\"]"),
            Mention::Anywhere => name.to_owned(),
        }))
    }
}

impl std::error::Error for ConfigError {}

impl<'a> Given<'a> {
    pub(super) fn error(&self, reason: impl Into<Reason>) -> ConfigError {
        // By mistake it may be a secret key, instead of its file.
        let shown = !self.name.starts_with("curve_") || (self.value.starts_with('/') && !self.is_key());
        let value = if shown { self.value.to_owned() } else { "…".to_owned() };
        ConfigError { source: self.source, option: self.name.to_owned(), value, reason: reason.into() }
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

/// An option's value that is being read, with all that were given.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    /// As it was given, or else its default.
    pub given: Given<'a>,
    default: &'static str,
    all: &'a [Given<'a>],
}

impl<'a> Value<'a> {
    /// That of the option of this name.
    pub fn new(name: &'static str, default: &'static str, all: &'a [Given<'a>]) -> Self {
        let default_one = Given { source: Source::Global, name, value: default };
        let value = Self { given: default_one, default, all };
        Self { given: value.find(name).unwrap_or(default_one), ..value }
    }

    /// Another option, if it was given.
    pub fn find(&self, name: &str) -> Option<Given<'a>> {
        let of = |source| self.all.iter().rev().find(move |option| option.name == name && option.source == source);
        of(Source::Filter)
            .filter(|option| name != "endpoint" || !option.value.trim().is_empty())
            .or_else(|| of(Source::Global))
            .copied()
    }

    /// The same without blanks around it.
    pub fn trimmed(mut self) -> Self {
        self.given.value = self.given.value.trim();
        self
    }

    /// Text of at least one character.
    pub fn not_empty(self, otherwise: &str) -> Result<&'a str, ConfigError> {
        if self.given.value.is_empty() { Err(self.given.error(otherwise)) } else { Ok(self.given.value) }
    }

    /// A number in a range, of which the error tells.
    pub fn within<T: FromStr + PartialOrd>(
        self,
        range: impl RangeBounds<T>,
        otherwise: impl Fn() -> String,
    ) -> Result<T, ConfigError> {
        match self.given.value.trim().parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.given.error(otherwise())),
        }
    }

    /// A number that is at least `min`, which means what is said of it.
    pub fn number(self, min: i32, min_means: &str) -> Result<i32, ConfigError> {
        self.within(min.., || format!("use a whole number from {min_means} to {}, such as {}", i32::MAX, self.default))
    }

    /// An interval in milliseconds, at least `min`. As text it is a number of seconds, as the host hands
    /// it over, or a number and a unit of the host's scripts.
    pub fn interval(self, min: i32) -> Result<i32, ConfigError> {
        match milliseconds(self.given.value) {
            Some(number) if (f64::from(min)..=f64::from(i32::MAX)).contains(&number) => Ok(number as i32),
            _ => {
                let default = milliseconds(self.default).filter(|&default| default > 0.0);
                let example = default.map_or_else(|| "5 sec".to_owned(), |default| format!("{default} msec"));
                Err(self.given.error(format!("use an interval from {min} msec to 24 days, such as {example}")))
            }
        }
    }

    /// On or off.
    pub fn switch(self) -> Result<bool, ConfigError> {
        match self.given.value {
            "T" | "true" | "1" => Ok(true),
            "F" | "false" | "0" => Ok(false),
            _ => Err(self.given.error("use T or F")),
        }
    }

    /// One of several by their names.
    pub fn choice<T: Copy>(self, all: &[(&str, T)]) -> Result<T, ConfigError> {
        all.iter().find(|(name, _)| *name == self.given.value).map(|&(_, one)| one).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            let (last, others) = names.split_last().unwrap_or((&"", &[]));
            self.given.error(format!("use {} or {last}", others.join(", ")))
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
