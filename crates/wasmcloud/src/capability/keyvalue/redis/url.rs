//! Where a server is and how to log in. It is secret as a whole.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use redis::{ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo};

/// A URL such as `redis://user:password@host:6379/0`, or `rediss:` for TLS.
#[derive(Clone)]
pub(in super::super) struct ServerUrl {
    text: String,
    host: String,
    port: u16,
    tls: bool,
    login: RedisConnectionInfo,
}

impl FromStr for ServerUrl {
    type Err = &'static str;

    /// The error does not repeat the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str =
            "wanted a URL such as `redis://host:6379` or `rediss://user:password@host:6379/0`";
        let secure = ["rediss:", "valkeys:"];
        let secure = secure.iter().find_map(|it| text.strip_prefix(it));
        if secure.is_some_and(|rest| rest.contains('#')) {
            return Err("nothing may follow `#`: certificates are always checked");
        }
        let plain = match secure {
            Some(rest) => format!("redis:{rest}"),
            None => text.to_owned(),
        };
        let info = plain.into_connection_info().map_err(|_| WANTED)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(WANTED);
        };
        Ok(Self {
            text: text.to_owned(),
            host: host.clone(),
            port: *port,
            tls: secure.is_some(),
            login: info.redis_settings().clone(),
        })
    }
}

impl ServerUrl {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn login(&self) -> &RedisConnectionInfo {
        &self.login
    }
}

impl PartialEq for ServerUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ServerUrl {}

impl Hash for ServerUrl {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerUrl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_never_told() {
        let url: ServerUrl = "redis://ann:s3cret@store.example:7000/2".parse().unwrap();
        assert_eq!((url.host(), url.port()), ("store.example", 7000));
        assert_eq!(url.login().db(), 2);
        assert_eq!(url.login().password(), Some("s3cret"));
        assert_eq!(format!("{url:?}"), "ServerUrl");
        assert!(!url.is_tls());
        for secure in ["rediss://:s3cret@store.example", "valkeys://store.example"] {
            let url: ServerUrl = secure.parse().unwrap();
            assert_eq!((url.host(), url.port()), ("store.example", 6379));
            assert!(url.is_tls());
        }
        for wrong in [
            "",
            "store.example",
            "http://s3cret@h",
            "unix:///s3cret",
            "rediss://:s3cret@h/#insecure",
            "rediss:s3cret",
            "redis://h:port",
        ] {
            let told = wrong.parse::<ServerUrl>().unwrap_err();
            assert!(!told.contains("s3cret"), "{wrong}: {told}");
        }
    }
}
