//! How an inbound capability calls a workload: it asks for an invocation of an entry and says what to do with the instance.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use wasmtime::Store;
use wasmtime::component::{Accessor, Instance, InstancePre};

use super::capacity::{Idle, Permit, Share};
use super::invocation::{CallError, Guest, Invocation, Runner};
use super::pool::{Event, Pool, PoolUsage};
use super::processor::{Processors, Tenant};
use super::shared::{self, Admission};
use super::{InstanceContext, Owner, StoreData};
use crate::workload::Reuse;

/// A way to call one entry. Cheap to clone.
#[derive(Clone)]
pub struct Callee(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) parts: CalleeParts,
    pub(super) pool: Arc<Pool>,
    /// How many slots of the host an instance takes.
    weight: u32,
}

/// What a [`Callee`] is made of.
pub struct CalleeParts {
    /// What instances are made from.
    pub pre: InstancePre<StoreData>,
    /// Whom they belong to, and what they may use.
    pub context: Arc<InstanceContext>,
    /// Whether the engine runs WASI 0.3 async code.
    pub concurrent: bool,
    /// Whether instances are used again.
    pub reuse: Reuse,
    /// Whether it is a service: there is one instance, which somebody else makes, or there is none.
    pub resident: bool,
    /// The workload's share of the host's room.
    pub share: Arc<Share>,
    /// The workload's share of the processors.
    pub tenant: Arc<Tenant>,
    /// The host's processors.
    pub processors: Processors,
    /// How long an invocation waits for room.
    pub patience: Duration,
    /// Counts the invocations of the workload.
    pub leases: TaskTracker,
    /// When it is cancelled, invocations end.
    pub stopping: CancellationToken,
}

/// What a guest does with an instance.
pub type OnInstance<'a, T> = Pin<Box<dyn Future<Output = wasmtime::Result<T>> + Send + 'a>>;

impl Callee {
    /// An entry. Must be called once for each: it owns the pool.
    #[must_use]
    pub fn new(parts: CalleeParts) -> Self {
        let pool = Arc::new(Pool::default());
        if let Reuse::Pooled { .. } = parts.reuse {
            let idle: Weak<dyn Idle> = Arc::downgrade(&pool) as Weak<dyn Idle>;
            parts.share.keeps_idle(idle);
        }
        let weight = weight(&parts.pre);
        Self(Arc::new(Inner {
            parts,
            pool,
            weight,
        }))
    }

    /// What instances are made from; plugins look exports up in it once, when they open.
    #[must_use]
    pub fn pre(&self) -> &InstancePre<StoreData> {
        &self.0.parts.pre
    }

    /// The workload and components behind it.
    #[must_use]
    pub fn context(&self) -> &Arc<InstanceContext> {
        &self.0.parts.context
    }

    /// Whether the engine runs WASI 0.3 async code.
    #[must_use]
    pub fn is_concurrent(&self) -> bool {
        self.0.parts.concurrent
    }

    /// Completes when the workload is being stopped and its calls must end.
    pub async fn stopped(&self) {
        self.0.parts.stopping.cancelled().await;
    }

    /// Whether the workload is being stopped and its calls must end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.parts.stopping.is_cancelled()
    }

    /// Whether several invocations may be on one instance at once.
    #[must_use]
    pub fn shares_instances(&self) -> bool {
        self.0.parts.resident
            || matches!(
                self.0.parts.reuse,
                Reuse::Pooled { max_concurrency, .. } if max_concurrency > NonZeroU32::MIN
            )
    }

    /// Entered, its workload waits for the caller before it is gone. `None`: it lets nobody in any more, and whoever takes its place
    /// is there already.
    #[must_use]
    pub fn enter(&self) -> Option<Entered> {
        let parts = &self.0.parts;
        Presence::of(&parts.leases, &parts.stopping).enter()
    }

    /// How often its instances were used again.
    #[must_use]
    pub fn usage(&self) -> PoolUsage {
        self.0.pool.usage()
    }

    /// Drops the instances that nobody uses, and those in use when they are done.
    pub fn clear(&self) {
        self.0.pool.clear();
    }

    /// Completes when a workload that is stopped has no instance left.
    pub(crate) async fn gone(&self) {
        self.0.pool.gone().await;
    }

    /// Calls the entry on an instance that no other invocation uses meanwhile: a warm one where there is one, else a fresh one. It
    /// begins when the invocation is first polled, and limits count from then on, also while the component starts.
    ///
    /// What `guest` returns without an error leaves the instance fit for the next invocation.
    pub fn invoke<T: Send + 'static>(
        &self,
        guest: impl for<'a> FnOnce(&'a mut Lease) -> OnInstance<'a, T> + Send + 'static,
    ) -> Invocation<T> {
        let (callee, counted) = (self.clone(), self.0.parts.leases.token());
        let work = Box::pin(async move {
            callee.is_open()?;
            if callee.0.parts.resident {
                return Err(CallError::Busy);
            }
            callee.alone(guest, counted).await
        });
        self.invocation(work, self.0.parts.context.limits.time)
    }

    /// Like [`Callee::invoke`] for code of WASI 0.3: several invocations may share an instance, where the workload asks for that.
    ///
    /// What `guest` returns is handed on when everything that the guest began has come to its end; `settled` is told right before
    /// the instance goes.
    pub fn invoke_concurrent<T: Send + 'static>(
        &self,
        guest: impl for<'a> FnOnce(&'a Accessor<StoreData>, Instance) -> OnInstance<'a, T>
        + Send
        + 'static,
        settled: fn(&mut T),
    ) -> Invocation<T> {
        let (callee, counted) = (self.clone(), self.0.parts.leases.token());
        let guest = Box::new(guest);
        let work = Box::pin(async move {
            callee.is_open()?;
            let guest: shared::Job<T> = match callee.admit().await? {
                Some(admission) => {
                    let mut done = admission.run(guest).await?;
                    drop(counted);
                    settled(&mut done);
                    return Ok(done);
                }
                None => guest,
            };
            callee
                .alone(move |lease| lease.run_concurrent(guest, settled), counted)
                .await
        });
        self.invocation(work, self.0.parts.context.limits.time)
    }

    /// Whoever keeps a callee beyond the end of its workload calls nothing any more.
    fn is_open(&self) -> Result<(), CallError> {
        if self.is_stopped() {
            return Err(CallError::Stopped);
        }
        Ok(())
    }

    pub(super) fn invocation<T: Send + 'static>(
        &self,
        guest: Guest<T>,
        time: Duration,
    ) -> Invocation<T> {
        let parts = &self.0.parts;
        let runner = Runner::new(
            guest,
            parts.processors.clone(),
            Arc::clone(&parts.tenant),
            parts.context.limits.cpu,
        );
        Invocation::new(runner, time, parts.stopping.clone())
    }

    pub(super) async fn alone<T>(
        &self,
        guest: impl for<'a> FnOnce(&'a mut Lease) -> OnInstance<'a, T> + Send,
        counted: TaskTrackerToken,
    ) -> Result<T, CallError> {
        let mut lease = self.lease(counted).await?;
        match guest(&mut lease).await {
            Ok(done) => {
                lease.give_back();
                Ok(done)
            }
            Err(error) => Err(CallError::Trap(lease.explain(error))),
        }
    }

    async fn lease(&self, counted: TaskTrackerToken) -> Result<Lease, CallError> {
        let warm = match self.0.pool.take() {
            Some(mut warm) => {
                self.0.pool.note(Event::Hit);
                warm.store.data_mut().is_called_by(None);
                warm
            }
            None => self.fresh().await?,
        };
        Ok(Lease {
            warm: Some(warm),
            callee: self.clone(),
            _counted: counted,
        })
    }

    /// Makes an instance, when there is room.
    pub(super) async fn fresh(&self) -> Result<Warm, CallError> {
        let parts = &self.0.parts;
        let permit = parts.share.acquire(self.0.weight, parts.patience).await?;
        self.0.pool.note(Event::Miss);
        loop {
            let mut store = self.store();
            let error = match parts.pre.instantiate_async(&mut store).await {
                Ok(instance) => {
                    return Ok(Warm {
                        store,
                        instance,
                        served: 0,
                        _permit: permit,
                    });
                }
                Err(error) => error,
            };
            let refused = store.data_mut().memory().refused();
            if !refused.is_some_and(|refused| self.makes_room(refused.owner)) {
                return Err(CallError::Instantiate(explained(error, &mut store)));
            }
        }
    }

    /// Gives up an instance that is kept for nobody in particular, where that helps. False when there is none.
    fn makes_room(&self, owner: Owner) -> bool {
        match owner {
            Owner::Instance => false,
            Owner::Workload => self.0.pool.evict(),
            Owner::Host => self.0.parts.share.evict_one(),
        }
    }

    fn store(&self) -> Store<StoreData> {
        let context = &self.0.parts.context;
        let limits = &context.limits;
        let mut store = Store::new(
            self.0.parts.pre.engine(),
            StoreData::new(Arc::clone(context)),
        );
        store.limiter(|data| data.memory());
        store.set_hostcall_fuel(limits.call_bytes);
        store.set_max_component_handles(limits.handles);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(limits.handles);
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store
    }

    async fn admit(&self) -> Result<Option<Admission>, CallError> {
        if self.0.parts.resident {
            let crew = self.0.pool.resident().ok_or(CallError::NotUp)?;
            return self.admit_to(&crew).map(Some);
        }
        match self.0.parts.reuse {
            Reuse::Pooled {
                size,
                max_invocations,
                max_concurrency,
            } if max_concurrency > NonZeroU32::MIN => {
                let rules = shared::Rules {
                    size: size.get() as usize,
                    invocations: max_invocations.map_or(u32::MAX, NonZeroU32::get),
                    concurrency: max_concurrency.get(),
                };
                shared::admit(self, rules).await
            }
            _ => Ok(None),
        }
    }
}

impl Callee {
    /// A place on the instance of a service.
    pub(super) fn admit_to(&self, crew: &Arc<shared::Crew>) -> Result<Admission, CallError> {
        if !crew.board_resident() {
            return Err(CallError::NotUp);
        }
        Ok(Admission::new(Arc::clone(crew), self.clone()))
    }
}

/// Counts those for whom a workload waits before it is gone.
#[derive(Clone, Debug)]
pub struct Presence {
    leases: TaskTracker,
    stopping: CancellationToken,
}

impl Presence {
    /// With the tracker of the workload's invocations, and what ends them.
    #[must_use]
    pub fn of(leases: &TaskTracker, stopping: &CancellationToken) -> Self {
        Self {
            leases: leases.clone(),
            stopping: stopping.clone(),
        }
    }

    /// Completes when the workload waits no longer.
    pub async fn stopped(&self) {
        self.stopping.cancelled().await;
    }

    /// One more. `None`: it lets nobody in any more.
    #[must_use]
    pub fn enter(&self) -> Option<Entered> {
        let counted = self.leases.token();
        (!self.leases.is_closed()).then_some(Entered { _counted: counted })
    }
}

/// Somebody for whom a workload waits before it is gone.
#[derive(Debug)]
pub struct Entered {
    _counted: TaskTrackerToken,
}

/// How many slots an instance takes: one, or more where it has more memories or tables than a slot has room for.
fn weight(pre: &InstancePre<StoreData>) -> u32 {
    let Some(resources) = pre.component().resources_required() else {
        return 1;
    };
    let memories = resources.num_memories.div_ceil(MEMORIES_PER_SLOT);
    let tables = resources.num_tables.div_ceil(TABLES_PER_SLOT);
    memories.max(tables).max(1)
}

/// How many memories a pool has for each instance.
pub const MEMORIES_PER_SLOT: u32 = 2;
/// How many tables a pool has for each instance.
pub const TABLES_PER_SLOT: u32 = 8;

/// Adds to an error what the guest did not say: that it got no more memory.
pub(super) fn explained(error: wasmtime::Error, store: &mut Store<StoreData>) -> wasmtime::Error {
    match store.data_mut().memory().refused() {
        Some(refused) => error.context(refused),
        None => error,
    }
}

impl fmt::Debug for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callee")
            .field("context", &self.0.parts.context)
            .field("concurrent", &self.0.parts.concurrent)
            .finish_non_exhaustive()
    }
}

/// An instance that is fit for an invocation.
pub(super) struct Warm {
    pub(super) store: Store<StoreData>,
    pub(super) instance: Instance,
    served: u32,
    _permit: Permit,
}

/// An instance for one invocation, and the store it lives in.
pub struct Lease {
    /// There until it is given back.
    warm: Option<Warm>,
    callee: Callee,
    _counted: TaskTrackerToken,
}

impl Lease {
    /// The store and the instance in it.
    ///
    /// # Errors
    /// Never while the guest has the lease.
    pub fn parts(&mut self) -> wasmtime::Result<(&mut Store<StoreData>, Instance)> {
        match &mut self.warm {
            Some(warm) => Ok((&mut warm.store, warm.instance)),
            None => Err(wasmtime::format_err!("the instance was given back")),
        }
    }

    /// Runs something with the instance's event loop, and then what the guest has left to do.
    fn run_concurrent<T: Send + 'static>(
        &mut self,
        guest: shared::Job<T>,
        settled: fn(&mut T),
    ) -> OnInstance<'_, T> {
        Box::pin(async move {
            let (store, instance) = self.parts()?;
            let mut done = store
                .run_concurrent(async move |accessor| {
                    let done = guest(accessor, instance).await?;
                    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                    wasmtime::error::Ok(done)
                })
                .await
                .flatten()?;
            settled(&mut done);
            Ok(done)
        })
    }

    fn explain(&mut self, error: wasmtime::Error) -> wasmtime::Error {
        match &mut self.warm {
            Some(warm) => explained(error, &mut warm.store),
            None => error,
        }
    }

    /// Leaves the instance for the next invocation, where the workload asks for that.
    fn give_back(mut self) {
        let Some(mut warm) = self.warm.take() else {
            return;
        };
        let Reuse::Pooled {
            size,
            max_invocations,
            max_concurrency: NonZeroU32::MIN,
        } = self.callee.0.parts.reuse
        else {
            return;
        };
        warm.served += 1;
        let pool = &self.callee.0.pool;
        if max_invocations.is_some_and(|most| warm.served >= most.get()) {
            pool.note(Event::UsedUp);
            return;
        }
        if self.callee.is_stopped() {
            return;
        }
        warm.store.data_mut().memory().forgive();
        warm.store.set_epoch_deadline(1);
        pool.keep(warm, size.get() as usize);
        // Whoever waits for room is better served by the room. Only now: who began to wait before found nothing to be given up.
        if self.callee.0.parts.share.is_wanted() {
            pool.evict();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.warm.is_some() && self.callee.0.parts.reuse != Reuse::Fresh {
            self.callee.0.pool.note(Event::Failed);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("callee", &self.callee)
            .finish_non_exhaustive()
    }
}
