//! How an inbound capability calls a workload: it leases an instance, calls the export, and gives the lease up.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::{InstanceContext, StoreData};

/// A way to lease instances of one entry. Cheap to clone.
#[derive(Clone)]
pub struct Callee(Arc<Inner>);

struct Inner {
    pre: InstancePre<StoreData>,
    context: Arc<InstanceContext>,
    concurrent: bool,
    leases: TaskTracker,
    stopping: CancellationToken,
}

impl Callee {
    /// An entry that is instantiated from `pre`. `leases` counts its instances; when `stopping` is cancelled, callers give up
    /// theirs. `concurrent` says whether the engine runs WASI 0.3 async code.
    #[must_use]
    pub fn new(
        pre: InstancePre<StoreData>,
        context: Arc<InstanceContext>,
        concurrent: bool,
        leases: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            pre,
            context,
            concurrent,
            leases,
            stopping,
        }))
    }

    /// What instances are made from; plugins look exports up in it once, when they open.
    #[must_use]
    pub fn pre(&self) -> &InstancePre<StoreData> {
        &self.0.pre
    }

    /// The workload and components behind it.
    #[must_use]
    pub fn context(&self) -> &Arc<InstanceContext> {
        &self.0.context
    }

    /// Whether the engine runs WASI 0.3 async code.
    #[must_use]
    pub fn is_concurrent(&self) -> bool {
        self.0.concurrent
    }

    /// Completes when the workload is being stopped and its calls must end.
    pub async fn stopped(&self) {
        self.0.stopping.cancelled().await;
    }

    /// Whether the workload is being stopped and its calls must end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stopping.is_cancelled()
    }

    /// Leases an instance: always a fresh one, whose store dies with the lease.
    ///
    /// # Errors
    /// When the host has no room for another instance, or the component fails while it starts.
    pub async fn lease(&self) -> Result<Lease, InstanceError> {
        let counted = self.0.leases.token();
        let mut store = Store::new(
            self.0.pre.engine(),
            StoreData::new(Arc::clone(&self.0.context)),
        );
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self
            .0
            .pre
            .instantiate_async(&mut store)
            .await
            .map_err(InstanceError::from_wasmtime)?;
        Ok(Lease {
            store,
            instance,
            _counted: counted,
        })
    }
}

impl fmt::Debug for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callee")
            .field("context", &self.0.context)
            .field("concurrent", &self.0.concurrent)
            .finish_non_exhaustive()
    }
}

/// An instance for one caller, and the store it lives in.
#[derive(Debug)]
pub struct Lease {
    /// The store; dropping it frees everything the guest held.
    pub store: Store<StoreData>,
    /// The instance in it.
    pub instance: Instance,
    _counted: TaskTrackerToken,
}

/// A type with a destructor is captured whole: an `async move` block that uses nothing but the store would otherwise leave the
/// count behind, and a stopped workload would not wait for it.
impl Drop for Lease {
    fn drop(&mut self) {}
}

/// Why there is no instance.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The host runs as many instances as it has room for.
    #[error("the host has no room for another instance")]
    NoRoom(#[source] wasmtime::Error),
    /// The component failed while it started.
    #[error("the component could not be instantiated")]
    Failed(#[source] wasmtime::Error),
}

impl InstanceError {
    fn from_wasmtime(error: wasmtime::Error) -> Self {
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            Self::NoRoom(error)
        } else {
            Self::Failed(error)
        }
    }
}
