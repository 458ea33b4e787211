//! The one instance of a service: made before anybody calls it, used by everybody who does, and there for as long as the service.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::callee::{Callee, Lease, OnInstance};
use super::invocation::{CallError, Invocation};
use super::shared::{Crew, Job};

/// The instance of a service. Dropping it ends it; whoever is still being answered gets its answer before.
pub struct Resident {
    crew: Arc<Crew>,
    callee: Callee,
}

impl Callee {
    /// Makes the instance of a service whose engine runs WASI 0.3, and lets everybody call it.
    ///
    /// # Errors
    /// When there is no room, or the component fails while it starts.
    pub async fn reside(&self) -> Result<Resident, CallError> {
        // What runs while it starts is an invocation like any other, with an end.
        let callee = self.clone();
        let making = Box::pin(async move { callee.fresh().await });
        let warm = self.invocation(making, self.context().limits.time).await?;
        let crew = Crew::launch(self, warm, true);
        crew.board_resident();
        self.0.pool.settle(Some(Arc::clone(&crew)));
        Ok(Resident {
            crew,
            callee: self.clone(),
        })
    }

    /// Runs the service of an engine without an event loop, on a fresh instance, until it comes to its end. Nobody else can call it.
    pub fn run_service<T: Send + 'static>(
        &self,
        guest: impl for<'a> FnOnce(&'a mut Lease) -> OnInstance<'a, T> + Send + 'static,
    ) -> Invocation<T> {
        // Nobody waits for a service as they wait for an answer.
        let (callee, uncounted) = (self.clone(), TaskTracker::new().token());
        let work = Box::pin(async move { callee.alone(guest, uncounted).await });
        self.invocation(work, Duration::MAX)
    }
}

impl Resident {
    /// Does something on the instance, for as long as that takes.
    ///
    /// # Errors
    /// When it fails, or the instance does.
    pub async fn run<T: Send + 'static>(&self, job: Job<T>) -> Result<T, CallError> {
        let admission = self.callee.admit_to(&self.crew)?;
        admission.run(job).await
    }

    /// Completes when the instance has failed.
    pub async fn failed(&self) -> CallError {
        self.crew.failed(&self.callee).await
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.callee.0.pool.settle(None);
        self.crew.leave_resident();
    }
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resident")
            .field("callee", &self.callee)
            .finish_non_exhaustive()
    }
}
