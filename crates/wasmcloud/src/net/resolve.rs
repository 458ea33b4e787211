//! Where the addresses of names come from: a port, so that every capability that reaches out asks the same resolver.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// Finds the addresses of names.
///
/// - R1 Addresses come in the order in which they are best tried.
/// - R2 A name without addresses is an empty list or [`ResolveError::NotFound`], never an address that leads nowhere.
/// - R3 Nothing is granted by resolving: whoever asks checks each address before it is connected to.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a name, which is in lower case and has no dot at its end.
    ///
    /// # Errors
    /// When there is no such name, or nobody who knows can be asked.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError>;
}

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no such name.
    #[error("there is no such name")]
    NotFound,
    /// The resolver failed, or does not tell why it found nothing.
    #[error("the name could not be looked up: {0}")]
    Failed(#[source] io::Error),
}

/// How many names are asked for at once. A lookup holds a thread until the operating system gives up, and threads are needed for
/// other things, too.
const LOOKUPS: usize = 64;

/// The resolver of the operating system, with its files and search domains.
#[derive(Clone, Debug)]
pub struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let closed = || ResolveError::Failed(io::ErrorKind::Other.into());
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let name = name.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            // Held by the thread: whoever asked may have left long before it is done.
            let _permit = permit;
            (name.as_str(), 0).to_socket_addrs()
        });
        let found = lookup.await.map_err(|_| closed())?;
        let mut addresses = Vec::new();
        for address in found.map_err(ResolveError::Failed)? {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[tokio::test]
    async fn the_system_knows_this_machine_once() {
        let found = SystemResolver::default()
            .resolve("localhost")
            .await
            .unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(!found.is_empty() && found.len() <= 2, "{found:?}");
    }
}
