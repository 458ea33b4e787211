//! Threads that run one side of a comparison: as many as a server has, and idle while it is not its turn.

use std::future::Future;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// As many threads as the servers under load have.
pub(crate) const WORKERS: usize = 2;

/// A runtime of its own. Dropping it ends what runs there, without waiting.
pub(crate) struct Workers(Option<Runtime>);

impl Workers {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(WORKERS).enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs something there, and waits for it here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> anyhow::Result<T> {
        let runtime = self.0.as_ref().context("the threads are gone")?;
        runtime.spawn(work).await?
    }

    /// Runs something there for as long as the threads are there.
    pub(crate) fn detach(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let runtime = self.0.as_ref().context("the threads are gone")?;
        drop(runtime.spawn(work));
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
