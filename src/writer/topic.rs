//! The first frame of every message, made of a template and the log path.

/// `topic`: a template for the first frame, with the sensor's name filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Path,
}

impl Topic {
    /// Reads a template, in which `%path` is the log path, `%sensor` what `sensor` returns,
    /// and `%%` a percent sign.
    ///
    /// # Errors
    ///
    /// There is another placeholder, nothing at all, or `sensor` failed.
    pub fn parse(template: &str, sensor: impl Fn() -> Result<String, String>) -> Result<Self, String> {
        if template.is_empty() {
            return Err("nobody can tell an empty topic from another; use %path, or a text with it".into());
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            rest = if let Some(rest) = after.strip_prefix('%') {
                text.push('%');
                rest
            } else if let Some(rest) = after.strip_prefix("sensor") {
                text.push_str(&sensor()?);
                rest
            } else if let Some(rest) = after.strip_prefix("path") {
                parts.extend([Part::Text(std::mem::take(&mut text)), Part::Path]);
                rest
            } else {
                let end = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
                let name = &after[..end];
                return Err(format!("%{name} is no placeholder; use %path, %sensor, or %% for a percent sign"));
            };
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Ok(Self { parts })
    }

    /// The topic of a log path.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Path => path,
            })
            .collect()
    }
}

/// This machine's host name.
///
/// # Errors
///
/// The system does not tell it; says what to do.
pub fn host_name() -> Result<String, String> {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        _ => Err("%sensor is this machine's name, which the system does not tell; set LogZeroMQ::sensor".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(template: &str) -> Result<Topic, String> {
        Topic::parse(template, || Ok("s1%path".to_owned()))
    }

    #[test]
    fn templates() {
        for (template, topic) in [
            ("%path", "conn"),
            ("zeek/%sensor/%path", "zeek/s1%path/conn"),
            ("%%%path%path2%%path", "%connconn2%path"),
            ("logs", "logs"),
            ("ü-%path-ü", "ü-conn-ü"),
        ] {
            assert_eq!(parse(template).unwrap().of("conn"), topic, "{template}");
        }
    }

    #[test]
    fn errors_name_the_placeholder() {
        for (template, part) in [
            ("", "empty topic"),
            ("%paht", "%paht is no placeholder; use %path"),
            ("a%", "% is no placeholder"),
            ("%path%", "% is no placeholder"),
            ("%ü/", "%ü is no placeholder"),
        ] {
            let error = parse(template).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(Topic::parse("%path", || Err("not asked for".to_owned())).is_ok());
        assert_eq!(Topic::parse("%sensor", || Err("no name".to_owned())), Err("no name".to_owned()));
    }

    #[test]
    fn this_machine_has_a_name() {
        let name = host_name().unwrap();
        assert!(!name.contains(char::is_whitespace), "{name:?}");
    }
}
