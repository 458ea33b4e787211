//! Connects to servers that a manifest names: every capability with a client of its own comes through here, so that none reaches
//! what the egress policy denies.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::resolve::{Resolve, ResolveError};
use super::trust::Authorities;
use crate::policy::{Denial, EgressPolicy, Verdict};

/// How long the operating system may take to connect to one address.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many names are looked up at once for one workload: a quarter of what the resolver does at once.
const LOOKUPS: usize = 16;

/// The way out. Clones look up names within the same limit.
#[derive(Clone)]
pub(crate) struct Dial {
    policy: EgressPolicy,
    resolver: Arc<dyn Resolve>,
    authorities: Arc<Authorities>,
    /// A permit for each name that is looked up. `None`: there is no limit but that of the resolver.
    lookups: Option<Arc<Semaphore>>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Who named a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    /// The configuration of the host, which may lead anywhere.
    Host,
    /// The manifest of a workload.
    Workload,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The name leads nowhere.
    #[error("`{name}`: {source}")]
    Name { name: String, source: ResolveError },
    /// It leads where it must not.
    #[error("{denial}; {hint}")]
    Denied { denial: Denial, hint: String },
    /// Nobody answers there.
    #[error("cannot connect to {to}: {source}")]
    Connect { to: SocketAddr, source: io::Error },
    /// Nobody that is trusted says that it is who it should be.
    #[error("TLS with `{name}`: {problem}")]
    Tls { name: String, problem: String },
}

impl Dial {
    pub(crate) fn new(policy: EgressPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            policy,
            resolver,
            authorities: Arc::default(),
            lookups: None,
        }
    }

    /// The same way out for one workload, or for a server that workloads share: with a limit of its own to the names that are looked up
    /// at once, so that it cannot keep the resolver from all others.
    #[cfg_attr(
        not(feature = "blobstore-s3"),
        allow(dead_code, reason = "not every client is for one server")
    )]
    pub(crate) fn for_workload(&self) -> Self {
        Self {
            lookups: Some(Arc::new(Semaphore::new(LOOKUPS))),
            ..self.clone()
        }
    }

    /// Trusts more than the operating system does.
    pub(crate) fn trusting(mut self, authorities: Authorities) -> Self {
        self.authorities = Arc::new(authorities);
        self
    }

    /// Who may certify servers.
    pub(crate) fn authorities(&self) -> &Arc<Authorities> {
        &self.authorities
    }

    /// The addresses of a host that may be connected to. Whoever asks connects to these, and looks up no name again.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
        by: NamedBy,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let found = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let name = host.trim_end_matches('.').to_ascii_lowercase();
                let found = self.look_up(&name).await;
                let found = found.and_then(|found| match found.is_empty() {
                    true => Err(ResolveError::NotFound),
                    false => Ok(found),
                });
                found.map_err(|source| DialError::Name { name, source })?
            }
        };
        let mut allowed = Vec::new();
        let mut denied = None;
        for address in found {
            match self.may(address, by) {
                Ok(()) => allowed.push(SocketAddr::new(address, port)),
                Err(error) => denied = denied.or(Some(error)),
            }
        }
        match denied {
            Some(error) if allowed.is_empty() => Err(error),
            _ => Ok(allowed),
        }
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let Some(lookups) = &self.lookups else {
            return self.resolver.resolve(name).await;
        };
        let closed = || ResolveError::Failed(io::ErrorKind::Other.into());
        let permit = Arc::clone(lookups).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        // A lookup goes on when nobody waits for it any more, and counts until it is done: else who is in a hurry could keep every
        // thread of the resolver busy.
        let lookup = tokio::spawn(async move {
            let _permit = permit;
            resolver.resolve(&name).await
        });
        lookup.await.map_err(|_| closed())?
    }

    fn may(&self, address: IpAddr, by: NamedBy) -> Result<(), DialError> {
        if by == NamedBy::Host {
            return Ok(());
        }
        match self.policy.address(address) {
            Verdict::Allowed => Ok(()),
            Verdict::Audited(denial) => {
                tracing::warn!(%denial, "a backend would be denied");
                Ok(())
            }
            Verdict::Denied(denial) => {
                let hint = self.policy.hint(&denial).to_owned();
                Err(DialError::Denied { denial, hint })
            }
        }
    }

    /// Connects to the first address that answers.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        by: NamedBy,
    ) -> Result<TcpStream, DialError> {
        let mut last = None;
        for to in self.addresses(host, port, by).await? {
            let connected = timeout(PATIENCE, TcpStream::connect(to)).await;
            match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(stream) => {
                    // Small questions must not wait for each other.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(source) => last = Some(DialError::Connect { to, source }),
            }
        }
        Err(last.unwrap_or_else(|| DialError::Name {
            name: host.to_owned(),
            source: ResolveError::NotFound,
        }))
    }

    /// Speaks TLS on a connection to a host, and makes sure that it is this one.
    pub(crate) async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, DialError> {
        let name = host.trim_matches(['[', ']']).trim_end_matches('.');
        let wrong = |problem: String| DialError::Tls {
            name: name.to_owned(),
            problem,
        };
        let config = self.authorities.client().map_err(wrong)?;
        let server = rustls::pki_types::ServerName::try_from(name.to_owned());
        let server = server.map_err(|error| wrong(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let secured = timeout(PATIENCE, connector.connect(server, stream)).await;
        let secured = secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        secured.map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use futures::future::join_all;
    use futures::poll;

    use super::*;
    use crate::policy::EgressOptions;

    /// Knows one name, with these addresses.
    struct Fixed(Vec<IpAddr>);

    #[async_trait]
    impl Resolve for Fixed {
        async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
            match name {
                "store.example" => Ok(self.0.clone()),
                _ => Err(ResolveError::NotFound),
            }
        }
    }

    fn dial(addresses: &[&str], allow: &[&str]) -> Dial {
        let options = EgressOptions {
            allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
            ..EgressOptions::default()
        };
        let found = addresses.iter().map(|it| it.parse().unwrap()).collect();
        Dial::new(EgressPolicy::new(options), Arc::new(Fixed(found)))
    }

    /// Finds nothing before it is told to, and notes what it was asked for.
    struct Slow {
        asked: Mutex<Vec<String>>,
        answers: Semaphore,
    }

    impl Slow {
        fn asked(&self) -> usize {
            self.asked.lock().unwrap().len()
        }

        async fn until_asked(&self, times: usize) {
            let asked = async {
                while self.asked() < times {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(60), asked).await.unwrap();
        }
    }

    #[async_trait]
    impl Resolve for Slow {
        async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
            self.asked.lock().unwrap().push(name.to_owned());
            self.answers.acquire().await.unwrap().forget();
            Err(ResolveError::NotFound)
        }
    }

    #[tokio::test]
    async fn lookups_that_a_workload_gave_up_count_until_they_are_done_and_only_for_itself() {
        let slow = Arc::new(Slow {
            asked: Mutex::default(),
            answers: Semaphore::new(0),
        });
        let host = Dial::new(EgressPolicy::default(), Arc::clone(&slow) as _);
        let workload = host.for_workload();
        let look_up = |dial: Dial| async move {
            let found = dial.addresses("slow.example", 1, NamedBy::Workload);
            found.await.unwrap_err().to_string()
        };
        for times in 1..=LOOKUPS {
            let mut given_up = Box::pin(look_up(workload.clone()));
            assert!(poll!(&mut given_up).is_pending());
            drop(given_up);
            slow.until_asked(times).await;
        }
        // One more has to wait for an answer to any of those.
        let mut waiting = Box::pin(look_up(workload.clone()));
        assert!(poll!(&mut waiting).is_pending());
        // Others need not.
        let others = [look_up(host.for_workload()), look_up(host.clone())];
        let others = tokio::spawn(join_all(others));
        slow.until_asked(LOOKUPS + 2).await;
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(slow.asked(), LOOKUPS + 2);
        slow.answers.add_permits(LOOKUPS + 3);
        assert!(waiting.await.contains("no such name"));
        assert_eq!(slow.asked(), LOOKUPS + 3);
        others.await.unwrap();
    }

    #[tokio::test]
    async fn a_manifest_leads_only_where_the_policy_allows() {
        let dial = dial(
            &["169.254.169.254", "192.0.2.1", "203.0.113.9", "8.8.8.8"],
            &[],
        );
        let to = dial.addresses("Store.Example.", 6379, NamedBy::Workload);
        assert_eq!(to.await.unwrap(), ["8.8.8.8:6379".parse().unwrap()]);
        let denied = dial.addresses("127.0.0.1", 6379, NamedBy::Workload).await;
        let told = denied.unwrap_err().to_string();
        assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
        let by_host = dial.addresses("[::1]", 6379, NamedBy::Host).await;
        assert_eq!(by_host.unwrap(), ["[::1]:6379".parse().unwrap()]);
        let unknown = dial.addresses("other.example", 6379, NamedBy::Host).await;
        assert!(unknown.unwrap_err().to_string().contains("no such name"));
    }

    #[tokio::test]
    async fn the_first_address_that_answers_is_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dial = dial(&["127.0.0.2", "127.0.0.1"], &["127.0.0.0/8"]);
        let stream = dial.connect("store.example", port, NamedBy::Workload).await;
        assert_eq!(
            stream.unwrap().peer_addr().unwrap(),
            listener.local_addr().unwrap()
        );
        drop(listener);
        let refused = dial.connect("store.example", port, NamedBy::Workload).await;
        let told = refused.unwrap_err().to_string();
        assert!(
            told.starts_with(&format!("cannot connect to 127.0.0.1:{port}")),
            "{told}"
        );
    }
}
