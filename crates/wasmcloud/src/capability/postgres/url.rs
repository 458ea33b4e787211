//! Where a server is, how to log in and how far to trust it. It is secret as a whole.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

const WANTED: &str = "wanted a URL such as `postgres://user:password@host:5432/database`";
/// What a URL may say behind its `?`, besides `sslmode` and `pool_size`.
const PASSED: [&str; 4] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "options",
];
/// How long it takes to connect at most, where nothing is said.
const CONNECT: Duration = Duration::from_secs(5);

/// A URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`.
#[derive(Clone)]
pub struct ServerUrl {
    config: Config,
    host: String,
    port: u16,
    pub(super) mode: Mode,
    pub(super) pool_size: Option<usize>,
}

/// Why a text is no such URL. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(&'static str);

/// How far a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As little as one may: not at all on this machine, in full to others.
    Usual,
    Disable,
    /// The server proves by the authorities of the host's configuration that it is one of theirs.
    Authority,
    /// The server proves that it is the one of that name.
    Full,
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = UrlError(WANTED);
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return Err(wrong);
        }
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut pool_size, mut passed) = (Mode::Usual, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "sslmode" => mode = sslmode(value)?,
                "pool_size" => {
                    let size = value.parse().ok().filter(|size| *size > 0);
                    pool_size =
                        Some(size.ok_or(UrlError("`pool_size` in it is no number above 0"))?);
                }
                key if PASSED.contains(&key) => passed.push(pair),
                _ => {
                    return Err(UrlError(
                        "behind its `?`, this host knows `sslmode`, `pool_size`, `application_name`, `channel_binding`, `connect_timeout` and `options`",
                    ));
                }
            }
        }
        let plain = match passed.is_empty() {
            true => place.to_owned(),
            false => format!("{place}?{}", passed.join("&")),
        };
        let mut config: Config = plain.parse().map_err(|_| wrong)?;
        let (host, port) = match (config.get_hosts(), config.get_ports()) {
            ([Host::Tcp(host)], []) => (host.clone(), 5432),
            ([Host::Tcp(host)], [port]) => (host.clone(), *port),
            ([], _) => return Err(wrong),
            #[cfg(unix)]
            ([Host::Unix(_)], _) => {
                return Err(UrlError("this host does not connect to sockets in folders"));
            }
            _ => {
                return Err(UrlError(
                    "this host connects to one server, and the URL names several",
                ));
            }
        };
        if host.is_empty() || config.get_user().is_none_or(str::is_empty) {
            return Err(UrlError("the URL must name the server and the user"));
        }
        if config.get_application_name().is_none() {
            config.application_name("wasmcloud");
        }
        Ok(Self {
            config,
            host,
            port,
            mode,
            pool_size,
        })
    }
}

fn sslmode(value: &str) -> Result<Mode, UrlError> {
    match value {
        "disable" => Ok(Mode::Disable),
        "verify-ca" => Ok(Mode::Authority),
        "require" | "verify-full" => Ok(Mode::Full),
        "allow" | "prefer" => Err(UrlError(
            "`sslmode` in it would let anybody on the way turn TLS off; wanted `verify-full`, or `disable` to do without",
        )),
        _ => Err(UrlError(
            "`sslmode` in it must be `disable`, `require`, `verify-ca` or `verify-full`",
        )),
    }
}

impl ServerUrl {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How to log in.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn database(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    /// The same server with another database.
    pub(super) fn with_database(mut self, database: &str) -> Self {
        self.config.dbname(database);
        self
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.config
            .get_connect_timeout()
            .copied()
            .unwrap_or(CONNECT)
    }
}

impl PartialEq for ServerUrl {
    fn eq(&self, other: &Self) -> bool {
        (
            &self.config,
            &self.host,
            self.port,
            self.mode,
            self.pool_size,
        ) == (
            &other.config,
            &other.host,
            other.port,
            other.mode,
            other.pool_size,
        )
    }
}

impl Eq for ServerUrl {}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerUrl")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn urls_are_read_and_never_told() {
        let url: ServerUrl =
            "postgres://ann:s3%20cret@db.example:7000/shop?sslmode=verify-ca&pool_size=3&connect_timeout=2"
                .parse()
                .unwrap();
        assert_eq!((url.host(), url.port()), ("db.example", 7000));
        assert_eq!(url.config().get_password(), Some(&b"s3 cret"[..]));
        assert_eq!((url.database(), url.mode), (Some("shop"), Mode::Authority));
        assert_eq!(
            (url.pool_size, url.connect_timeout()),
            (Some(3), Duration::from_secs(2))
        );
        assert_eq!(url.clone().with_database("other").database(), Some("other"));
        assert_eq!(format!("{url:?}"), "ServerUrl");
        let url: ServerUrl = "postgresql://ann@db.example".parse().unwrap();
        assert_eq!(
            (url.port(), url.database(), url.mode),
            (5432, None, Mode::Usual)
        );
        for wrong in [
            "",
            "s3cret",
            "mysql://s3cret@h",
            "postgres://",
            "postgres://s3cret@h:port/x",
            "postgres://h/s3cret",
            "postgres://a:s3cret@h1,h2/x",
            "postgres://a:s3cret@%2Frun/x",
            "postgres://a:s3cret@h/x?sslmode=prefer",
            "postgres://a:s3cret@h/x?sslmode=s3cret",
            "postgres://a:s3cret@h/x?sslrootcert=/etc/s3cret",
            "postgres://a:s3cret@h/x?hostaddr=10.0.0.1",
            "postgres://a:s3cret@h/x?pool_size=0",
            "host=h user=s3cret",
        ] {
            let told = wrong.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(!told.contains("s3cret"), "{wrong}: {told}");
        }
    }
}
