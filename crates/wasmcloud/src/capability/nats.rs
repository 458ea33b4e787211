//! Connections to NATS servers that manifests name: through the egress policy, and back by themselves when they are lost.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::dial::{Dial, DialError, NamedBy};

/// How long a start waits for a server.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is asked whether a server is still there; two questions without an answer end the connection.
const PING: Duration = Duration::from_secs(10);
/// How long between two attempts to connect again, at first and at most.
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
    #[error("the NATS server does not accept who it is spoken to as")]
    Unauthorized,
    #[error("TLS to the NATS server cannot be set up: {0}")]
    Tls(String),
    #[error("the NATS client failed: {0}")]
    Client(&'static str),
}

/// Connects. A server that is away is waited for in the background; only what waiting will not cure is an error. `about` says in the
/// log whose connection it is.
pub(crate) async fn connect(
    dial: &Dial,
    url: &NatsUrl,
    by: NamedBy,
    about: &str,
) -> Result<Client, NatsError> {
    let mut addresses = Vec::new();
    let servers = url.servers()?;
    for server in &servers {
        for address in dial.addresses(server.host(), server.port(), by).await? {
            let address = format!("nats://{address}").parse::<ServerAddr>();
            addresses.push(address.map_err(|_| NatsUrlError)?);
        }
    }
    let options = || options(dial, &servers, about);
    let first = options()?.connection_timeout(PATIENCE);
    let first = tokio::time::timeout(PATIENCE, first.connect(addresses.clone())).await;
    match first {
        Ok(Ok(client)) => return Ok(client),
        Ok(Err(error)) if is_refusal(error.kind()) => return Err(NatsError::Unauthorized),
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(
                about,
                "the NATS server does not answer; it is waited for in the background"
            );
        }
    }
    let waiting = options()?.retry_on_initial_connect();
    let client = waiting.connect(addresses).await;
    client.map_err(|_| NatsError::Client("it did not start"))
}

/// Whether messages can be sent now.
pub(crate) fn is_connected(client: &Client) -> bool {
    client.connection_state() == State::Connected
}

fn is_refusal(kind: ConnectErrorKind) -> bool {
    matches!(
        kind,
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
    )
}

fn options(dial: &Dial, servers: &[ServerAddr], about: &str) -> Result<ConnectOptions, NatsError> {
    let told = Arc::new(Mutex::new(None));
    let name = about.to_owned();
    let mut options = ConnectOptions::new()
        .name("wasmcloud")
        .ignore_discovered_servers()
        .max_reconnects(None)
        .ping_interval(PING)
        .subscription_capacity(CAPACITY)
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            tell(&name, &event, &told);
            std::future::ready(())
        });
    let user = servers
        .iter()
        .find_map(|server| Some((server.username()?, server.password())));
    options = match user {
        Some((user, Some(password))) => {
            options.user_and_password(user.to_owned(), password.to_owned())
        }
        Some((token, None)) => options.token(token.to_owned()),
        None => options,
    };
    if servers.iter().any(ServerAddr::tls_required) {
        let names = servers.iter().map(ServerAddr::host);
        options = options
            .require_tls(true)
            .tls_client_config(tls(dial, names).map_err(NatsError::Tls)?);
    }
    Ok(options)
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

/// TLS to servers that are connected to by their addresses: their certificates are for their names.
fn tls<'a>(dial: &Dial, names: impl Iterator<Item = &'a str>) -> Result<ClientConfig, String> {
    let names: Result<Vec<_>, _> = names
        .map(|name| ServerName::try_from(name.to_owned()))
        .collect();
    let named = Named {
        names: names.map_err(|error| error.to_string())?,
        verifier: dial.authorities().verifier()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(named))
        .with_no_client_auth())
}

/// Checks certificates as usual, for names of its own.
#[derive(Debug)]
struct Named {
    names: Vec<ServerName<'static>>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut last = rustls::Error::General("there is no name".to_owned());
        for name in &self.names {
            let verified =
                self.verifier
                    .verify_server_cert(certificate, intermediates, name, ocsp, now);
            match verified {
                Ok(verified) => return Ok(verified),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
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
