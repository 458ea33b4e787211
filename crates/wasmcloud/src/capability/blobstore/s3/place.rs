//! Where a bucket of S3 is and as whom to go there. It is secret as a whole.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::capability::settings::Settings;
use crate::plugin::PluginError;

/// Where AWS signs for when nothing is said; other servers seldom mind.
const REGION: &str = "us-east-1";
/// How long the prefix of all keys may be, in bytes: keys have 1,024 at most.
const LONGEST_PREFIX: usize = 256;

/// A bucket, and how to get there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct S3Place {
    pub(super) endpoint: Endpoint,
    pub(super) region: String,
    pub(super) bucket: String,
    /// The bucket is part of the host's name, and not of the path.
    pub(super) virtual_host: bool,
    /// What every key begins with. Empty, or it ends with a `/`.
    pub(super) prefix: String,
    /// `None`: requests are not signed.
    pub(super) keys: Option<AccessKeys>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct AccessKeys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) session: Option<String>,
}

impl fmt::Debug for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Place")
    }
}

/// The server: `https://HOST` or `http://HOST`, perhaps with a port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) tls: bool,
    /// Without brackets around an address.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl FromStr for Endpoint {
    type Err = &'static str;

    /// The error does not repeat the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "wanted a URL such as `https://s3.example.com` or `http://127.0.0.1:9000`, without a path, a user or \
                              a password";
        let uri: Uri = text.parse().map_err(|_| WANTED)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(WANTED),
        };
        let authority = uri.authority().ok_or(WANTED)?;
        let bare = uri.query().is_none() && matches!(uri.path(), "" | "/");
        let host = authority.host().trim_matches(['[', ']']);
        if !bare || host.is_empty() || authority.as_str().contains('@') {
            return Err(WANTED);
        }
        let port = authority.port_u16();
        if port.is_none() && authority.as_str() != authority.host() {
            return Err(WANTED);
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }
}

impl Endpoint {
    /// That of AWS for a region.
    fn of_region(region: &str) -> Self {
        Self {
            tls: true,
            host: format!("s3.{region}.amazonaws.com"),
            port: None,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// The URL of the server, or of a bucket that is part of its name.
    pub(super) fn url(&self, bucket: Option<&str>) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let host = bucket.map_or(host.clone(), |bucket| format!("{bucket}.{host}"));
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        format!("{scheme}://{host}{port}")
    }
}

impl S3Place {
    /// The host that is connected to.
    pub(super) fn host(&self) -> String {
        match self.virtual_host {
            true => format!("{}.{}", self.bucket, self.endpoint.host),
            false => self.endpoint.host.clone(),
        }
    }

    /// Reads it from the settings of an entry. `None`: something is wrong, and was noted.
    pub(in super::super) fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let bucket = settings.required("bucket", "it names the bucket of S3");
        let bucket = bucket.and_then(|_| settings.parse("bucket", bucket_name));
        let region = settings.parse("region", region_name);
        let given = settings.text("endpoint").is_some();
        let endpoint = settings.parse("endpoint", str::parse::<Endpoint>);
        let styles = [("true", true), ("false", false)];
        // A certificate of AWS is for one more part of a name, not for two.
        let dots = bucket.as_deref().is_some_and(|bucket| bucket.contains('.'));
        let path_style = settings.word("path-style", &styles);
        let path_style = path_style.unwrap_or(given || dots);
        let prefix = settings.text("prefix").is_some();
        let prefix = match prefix {
            true => settings.parse("prefix", key_prefix)?,
            false => String::new(),
        };
        let keys = access_keys(settings);
        let region = region.unwrap_or_else(|| REGION.to_owned());
        let endpoint = match given {
            true => endpoint?,
            false => Endpoint::of_region(&region),
        };
        Some(Self {
            endpoint,
            region,
            bucket: bucket?,
            virtual_host: !path_style,
            prefix,
            keys,
        })
    }
}

fn access_keys(settings: &mut Settings<'_>) -> Option<AccessKeys> {
    let [id, secret, session] = ["access-key-id", "secret-access-key", "session-token"]
        .map(|key| settings.text(key).map(str::to_owned));
    match (id, secret) {
        (Some(id), Some(secret)) => Some(AccessKeys {
            id,
            secret,
            session,
        }),
        (None, None) if session.is_none() => None,
        (None, _) => {
            let told = "`access-key-id` is missing: without it, the others are of no use";
            settings.wrong("access-key-id", PluginError::new(told));
            None
        }
        (Some(_), None) => {
            let told = "`secret-access-key` is missing: requests are signed with it";
            settings.wrong("secret-access-key", PluginError::new(told));
            None
        }
    }
}

fn bucket_name(name: &str) -> Result<String, &'static str> {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
    let ends = |b: Option<char>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let good = (3..=63).contains(&name.len())
        && name.bytes().all(letters)
        && !name.contains("..")
        && ends(name.chars().next())
        && ends(name.chars().next_back());
    good.then(|| name.to_owned()).ok_or(
        "wanted the name of a bucket: 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends",
    )
}

fn region_name(name: &str) -> Result<String, &'static str> {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (1..=64).contains(&name.len()) && name.bytes().all(letters);
    good.then(|| name.to_owned())
        .ok_or("wanted the name of a region, such as `eu-central-1`")
}

fn key_prefix(prefix: &str) -> Result<String, String> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let step = |step: &str| {
        (1..=200).contains(&step.len()) && step.bytes().all(letters) && !step.starts_with('.')
    };
    let bare = prefix.trim_end_matches('/');
    let good = prefix.len() <= LONGEST_PREFIX && bare.split('/').all(step);
    good.then(|| format!("{bare}/")).ok_or_else(|| {
        format!(
            "wanted words of letters, digits, `-`, `_` and `.` with `/` between them, {LONGEST_PREFIX} bytes at most"
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for (text, host, port) in [
            ("https://s3.example.com", "s3.example.com", 443),
            ("http://127.0.0.1:9000/", "127.0.0.1", 9000),
            ("http://[::1]:9000", "::1", 9000),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port()), (host, port));
            assert_eq!(endpoint.url(None), text.trim_end_matches('/'));
        }
        let endpoint: Endpoint = "https://s3.example.com:1".parse().unwrap();
        assert_eq!(
            endpoint.url(Some("photos")),
            "https://photos.s3.example.com:1"
        );
        for wrong in [
            "",
            "s3.example.com",
            "ftp://h",
            "https://",
            "https://h/path",
            "https://u:s3cret@h",
            "https://h:port",
            "https://h?x=s3cret",
        ] {
            let told = wrong.parse::<Endpoint>().map(drop).unwrap_err();
            assert!(!told.contains("s3cret"), "{wrong}: {told}");
        }
    }

    #[test]
    fn prefixes_lead_nowhere_else() {
        assert_eq!(key_prefix("a/b-1.x").unwrap(), "a/b-1.x/");
        assert_eq!(key_prefix("a/").unwrap(), "a/");
        for wrong in ["", "/", "/a", "a//b", "..", "a/../b", "a b", "ä", ".a"] {
            assert!(key_prefix(wrong).is_err(), "{wrong}");
        }
        assert!(key_prefix(&"x".repeat(300)).is_err());
    }
}
