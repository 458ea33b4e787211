//! A running workload, seen by somebody who wants to hear of what changes rather than to ask again and again.

use std::fmt;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream, SelectAll};
use tokio::sync::watch;

use super::ServiceStatus;

/// The service and the ports of a workload that runs, or ran.
pub struct Watched {
    service: Option<watch::Receiver<ServiceStatus>>,
    changes: SelectAll<BoxStream<'static, ()>>,
}

impl Watched {
    pub(super) fn new(
        service: Option<watch::Receiver<ServiceStatus>>,
        ports: impl Iterator<Item = watch::Receiver<()>>,
    ) -> Self {
        let changes = ports.map(changes_of);
        let changes = changes.chain(service.clone().map(changes_of)).collect();
        Self { service, changes }
    }

    /// How the service is, or was when it came to its end; nothing, if there is none.
    #[must_use]
    pub fn service(&self) -> Option<ServiceStatus> {
        let service = self.service.as_ref()?;
        Some(service.borrow().clone())
    }

    /// Returns when something may have changed since this was made, or since the last call returned. What changed more than once
    /// is told once. `false`: nothing will change any more, as the workload is gone.
    pub async fn changed(&mut self) -> bool {
        self.changes.next().await.is_some()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("service", &self.service())
            .finish_non_exhaustive()
    }
}

fn changes_of<T: Send + Sync + 'static>(receiver: watch::Receiver<T>) -> BoxStream<'static, ()> {
    stream::unfold(receiver, async |mut receiver| {
        receiver.changed().await.ok().map(|()| ((), receiver))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ServiceState;

    fn status(state: ServiceState) -> ServiceStatus {
        ServiceStatus {
            state,
            restarts: 0,
            reason: None,
        }
    }

    #[tokio::test]
    async fn changes_are_told_until_everything_is_gone() {
        let (tell, service) = watch::channel(status(ServiceState::Running));
        let (ports, port_changes) = watch::channel(());
        let mut watched = Watched::new(Some(service), [port_changes].into_iter());
        assert_eq!(watched.service(), Some(status(ServiceState::Running)));
        ports.send_replace(());
        assert!(watched.changed().await);
        tell.send_replace(status(ServiceState::Completed));
        drop((tell, ports));
        assert!(watched.changed().await);
        assert!(!watched.changed().await);
        assert_eq!(watched.service(), Some(status(ServiceState::Completed)));
    }
}
