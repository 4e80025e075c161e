//! The options of CURVE: who this side is, whom it sends to, and who is let in.

use std::path::Path;
use std::sync::Arc;

use super::option::{ConfigError, Given, Reason};
use crate::keys::{self, Authorized};
use crate::transport::Curve;
use crate::zmq::PublicKey;

/// Reads the options and the files that they name; `None` if no option is set. If one is, each endpoint
/// (its name, and true if it is bound) must have the keys that it needs. Returns a server's key for each
/// endpoint to connect to.
///
/// # Errors
///
/// The first value that is not allowed, or the option that is missing.
#[allow(clippy::type_complexity, reason = "two results of one call")]
pub fn parse<'a>(
    find: impl Fn(&str) -> Option<Given<'a>>,
    endpoints: &[(String, bool)],
) -> Result<Option<(Curve, Vec<Option<PublicKey>>)>, ConfigError> {
    let given = |name: &str| find(name).filter(|option| !option.value.is_empty());
    let [server, public, secret, authorized] =
        ["curve_server_key", "curve_public_key_file", "curve_secret_key_file", "curve_authorized_keys_dir"].map(given);
    let Some(any) = secret.or(server).or(authorized).or(public) else { return Ok(None) };
    keys::require_curve().map_err(|reason| any.error(reason))?;
    let Some(secret) = secret else {
        return Err(any.error(Reason::NoSecretKey));
    };
    let pair = keys::read_secret(secret.path()?).map_err(|reason| secret.error(reason))?;
    if let Some(public) = public
        && keys::read_public(public.path()?).map_err(|reason| public.error(reason))? != pair.public()
    {
        return Err(public.error(Reason::OtherPair));
    }
    let server_keys = server.map(server_keys).transpose()?.unwrap_or_default();
    let connected = endpoints.iter().filter(|(_, bind)| !bind).count();
    if let Some(server) = server.filter(|_| connected > 0 && ![1, connected].contains(&server_keys.len())) {
        return Err(server.error(Reason::KeyCount { keys: server_keys.len(), endpoints: connected }));
    }
    let mut servers = server_keys.into_iter().cycle();
    let servers: Vec<_> = endpoints.iter().map(|(_, bind)| if *bind { None } else { servers.next() }).collect();
    for ((endpoint, bind), key) in endpoints.iter().zip(&servers) {
        let missing = match (bind, key, authorized) {
            (true, _, None) => "curve_authorized_keys_dir",
            (false, None, _) => "curve_server_key",
            _ => continue,
        };
        return Err(any.error(Reason::Unencrypted { endpoint: endpoint.clone(), missing }));
    }
    let authorized = authorized.map(|dir| {
        let path = dir.path()?;
        Authorized::open(path).map(|_| path.to_owned()).map_err(|reason| dir.error(reason))
    });
    Ok(Some((Curve { keys: Arc::new(pair), authorized: authorized.transpose()? }, servers)))
}

/// Public keys with commas between, or files that have them.
fn server_keys(option: Given<'_>) -> Result<Vec<PublicKey>, ConfigError> {
    option
        .value
        .split(',')
        .map(str::trim)
        .map(|value| match PublicKey::parse(value) {
            Some(key) if (Given { value, ..option }).is_key() => Ok(key),
            _ if value.starts_with('/') => keys::read_public(Path::new(value)).map_err(|reason| option.error(reason)),
            _ => Err(option.error(Reason::KeyOrFile)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::option::Scope;
    use super::*;
    use crate::keys::{tests::Dir, write_pair};
    use crate::zmq::KeyPair;
    use std::os::unix::fs::PermissionsExt;

    const KEY: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

    fn parse(endpoint: &str, options: &[(&str, &str)]) -> Result<Config, String> {
        let endpoint = ("endpoint", endpoint);
        let given: Vec<_> = std::iter::once(&endpoint)
            .chain(options)
            .map(|&(name, value)| Given { scope: Scope::Global, name, value })
            .collect();
        Config::parse(&given).map_err(|error| error.to_string())
    }

    #[test]
    fn every_endpoint_has_keys_or_none_has() {
        let dir = Dir::new("config");
        let pair = KeyPair::generate().unwrap();
        let [public, secret] = write_pair(&dir.0.join("own"), &pair, "").unwrap();
        let [public, secret, dir_text] = [&public, &secret, &dir.0].map(|path| path.to_str().unwrap());
        let (server, own) = (("curve_server_key", KEY), ("curve_secret_key_file", secret));
        let authorized = ("curve_authorized_keys_dir", dir_text);
        let (out, bound) = ("tcp://a:1", "@tcp://*:2");

        let none = parse(out, &[("curve_server_key", ""), ("curve_secret_key_file", "")]).unwrap();
        assert!(none.curve.is_none());
        let client = parse(out, &[server, own, ("curve_public_key_file", public)]).unwrap();
        assert_eq!(client.curve.as_ref().unwrap().keys.public(), pair.public());
        assert_eq!(client.endpoints[0].server_key.unwrap().to_string(), KEY);
        assert!(client.curve.as_ref().unwrap().client(&client.endpoints[0]).is_some());
        let both = parse(&format!("{bound},{out},tcp://b:1"), &[server, own, authorized]).unwrap();
        let keys: Vec<_> = both.endpoints.iter().map(|endpoint| endpoint.server_key.is_some()).collect();
        assert_eq!(keys, [false, true, true]);
        assert_eq!(both.curve.unwrap().authorized.as_deref(), Some(&*dir.0));
        let two = format!("{KEY}, {public}");
        let each = parse(&format!("{out},{bound},tcp://b:1"), &[("curve_server_key", &two), own, authorized]).unwrap();
        assert_eq!(each.endpoints[0].server_key.unwrap().to_string(), KEY);
        assert_eq!(each.endpoints[2].server_key, Some(pair.public()));
        assert_eq!(each.clone(), each);

        let other = write_pair(&dir.0.join("other"), &KeyPair::generate().unwrap(), "").unwrap();
        for (endpoint, options, parts) in [
            (out, &[server][..], ["LogZeroMQ::curve_server_key = \"…\"", "set curve_secret_key_file, too"]),
            (out, &[own], ["tcp://a:1 would be without encryption", "set curve_server_key, too"]),
            (out, &[own, authorized], ["tcp://a:1 would be without encryption", "set curve_server_key, too"]),
            (bound, &[own, server], ["@tcp://*:2 would be without encryption", "set curve_authorized_keys_dir"]),
            (out, &[own, ("curve_server_key", "short")], ["= \"…\"", "40 characters"]),
            (out, &[own, ("curve_server_key", &two)], ["there are 2 keys for 1 endpoints", "one for all"]),
            (out, &[own, ("curve_server_key", "/nowhere/x.key")], ["cannot read /nowhere/x.key", "No such file"]),
            (out, &[server, ("curve_secret_key_file", "own.key_secret")], ["= \"…\"", "absolute path"]),
            (out, &[server, ("curve_secret_key_file", public)], [public, "has no secret-key"]),
            (
                out,
                &[server, own, ("curve_public_key_file", other[0].to_str().unwrap())],
                ["other.key\"", "not the public key"],
            ),
            (bound, &[own, ("curve_authorized_keys_dir", secret)], ["cannot read", "Not a directory"]),
        ] {
            let error = parse(endpoint, options).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{error:?} lacks {part:?}");
            }
        }
        std::fs::set_permissions(secret, PermissionsExt::from_mode(0o644)).unwrap();
        let error = parse(out, &[server, own]).unwrap_err();
        assert!(error.contains("chmod 600") && error.contains("mode 0644"), "{error}");
    }

    /// Somebody gives a key instead of the key's file.
    #[test]
    fn no_error_shows_a_secret_key() {
        let slash = format!("/{}", &KEY[1..]);
        for key in [KEY, &slash, &KEY[1..], &format!("{KEY},{KEY}")] {
            for name in
                ["curve_server_key", "curve_secret_key_file", "curve_public_key_file", "curve_authorized_keys_dir"]
            {
                for more in [None, Some(("curve_secret_key_file", "/nowhere"))] {
                    let options: Vec<_> =
                        std::iter::once((name, key)).chain(more.filter(|more| more.0 != name)).collect();
                    let error = parse("tcp://a:1", &options).unwrap_err();
                    assert!(!error.contains(&KEY[1..]), "{error}");
                }
            }
        }
    }
}
