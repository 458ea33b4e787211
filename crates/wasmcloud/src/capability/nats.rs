//! Connections to NATS servers that manifests name: through the egress policy, with an end to what servers may say, and back by
//! themselves when they are lost.

mod frames;
mod greeting;
#[cfg_attr(
    not(all(
        feature = "blobstore-nats",
        feature = "keyvalue-nats",
        feature = "messaging-nats"
    )),
    allow(dead_code, reason = "each capability needs a part of it")
)]
mod link;
mod relay;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{ConnectErrorKind, ConnectOptions, Event, ServerAddr};

#[cfg(feature = "messaging-nats")]
pub(crate) use link::Feed;
#[cfg(any(
    feature = "blobstore-nats",
    feature = "keyvalue-nats",
    feature = "messaging-nats"
))]
pub(crate) use link::{Link, Live};

use self::frames::Refused;
use crate::net::dial::DialError;

/// How long a start waits for a server, and how long connecting to one address may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is asked whether a server is still there; two questions without an answer end the connection.
const PING: Duration = Duration::from_secs(10);
/// How long between two attempts to connect, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is told that a server is away.
const TELL: Duration = Duration::from_secs(60);
/// How many messages of one subscription may be on their way through the client, which drops the others: more than one read from the
/// connection holds by far, and than a burst brings until whoever takes them has a turn. How much may wait then is counted elsewhere.
const CAPACITY: usize = 16 << 10;

/// Where servers are, and as whom to speak to them. The text may be secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct NatsUrl(Arc<str>);

/// A URL that leads to no NATS server. It does not repeat the URL.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("wanted `nats://HOST:PORT` or `tls://HOST:PORT`, or several with commas between them")]
pub(crate) struct NatsUrlError;

impl NatsUrl {
    fn servers(&self) -> Result<Vec<ServerAddr>, NatsUrlError> {
        let servers = self.0.split(',').map(|text| {
            let server: ServerAddr = text.trim().parse().map_err(|_| NatsUrlError)?;
            let known = ["nats", "tls"].contains(&server.scheme());
            let plain = !server.host().is_empty();
            (known && plain).then_some(server).ok_or(NatsUrlError)
        });
        servers.collect()
    }

    /// Where the servers are, for people: without who they are spoken to as.
    fn places(&self) -> String {
        let servers = self.servers().unwrap_or_default();
        let places = servers
            .iter()
            .map(|it| format!("`{}:{}`", it.host(), it.port()));
        places.collect::<Vec<_>>().join(", ")
    }
}

impl FromStr for NatsUrl {
    type Err = NatsUrlError;

    fn from_str(text: &str) -> Result<Self, NatsUrlError> {
        let url = Self(text.into());
        url.servers()?;
        Ok(url)
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NatsUrl")
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NatsError {
    #[error(transparent)]
    Url(#[from] NatsUrlError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the server does not accept who it is spoken to as")]
    Unauthorized,
    #[error("TLS to the server cannot be set up: {0}")]
    Tls(String),
    /// What it says is more than anybody here would take, or makes no sense. It may be another one the next time.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The client does not get to its relay.
    #[error("the machine has no connection within itself: {0}")]
    Inside(io::Error),
    /// For now.
    #[error("it cannot be reached")]
    Away,
}

impl NatsError {
    /// Whether somebody has to do something about it.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Dial(error) => matches!(error, DialError::Denied { .. }),
            Self::Url(_) | Self::Unauthorized | Self::Tls(_) => true,
            Self::Refused(_) | Self::Inside(_) | Self::Away => false,
        }
    }
}

fn is_refusal(kind: ConnectErrorKind) -> bool {
    matches!(
        kind,
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
    )
}

/// Everything but where the server is, and what becomes of it when it is lost.
fn options() -> ConnectOptions {
    ConnectOptions::new()
        .name("wasmcloud")
        .ignore_discovered_servers()
        .ping_interval(PING)
        .subscription_capacity(CAPACITY)
        .reconnect_delay_callback(|_| FIRST_PAUSE)
}

/// How long until the next attempt.
fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings.saturating_sub(1))
        .min(LONGEST_PAUSE)
}

fn tell(about: &str, event: &Event, told: &Mutex<Option<Instant>>) {
    match event {
        Event::Connected => tracing::info!(about, "connected to NATS"),
        Event::Disconnected | Event::ServerError(_) | Event::ClientError(_) => {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_none_or(|last| last.elapsed() >= TELL) {
                *told = Some(Instant::now());
                tracing::warn!(about, event = unquoted(event), "trouble with NATS");
            }
        }
        _ => tracing::debug!(about, event = unquoted(event), "NATS"),
    }
}

/// What has happened, without what the server quotes: subjects may hold keys of guests.
fn unquoted(event: &Event) -> String {
    let told = event.to_string();
    told.split(['"', '\''])
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn urls_are_read_and_never_shown() {
        for good in ["nats://h:4222", "tls://u:p@h", "nats://a,nats://b:1"] {
            let url: NatsUrl = good.parse().unwrap();
            assert_eq!(format!("{url:?}"), "NatsUrl");
        }
        let two: NatsUrl = "nats://ann:s3cret@a,nats://t0ken@b:1".parse().unwrap();
        assert_eq!(two.places(), "`a:4222`, `b:1`");
        for bad in ["", "http://h", "ws://h", "nats://", "nats://h:x"] {
            assert!(bad.parse::<NatsUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_pause_has_an_end() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(2), FIRST_PAUSE * 2);
        assert_eq!(pause(usize::MAX), LONGEST_PAUSE);
    }
}
