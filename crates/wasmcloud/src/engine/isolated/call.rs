//! One call from a store into another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{Accessor, ComponentExportIndex, Func, Instance, Val};
use wasmtime::{AsContextMut, Store};

use super::budget::{self, Carried, Full, Held};
use super::failure::Failed;
use crate::instance::{
    CallError, CalledBy, Callee, ComponentContext, InstanceContext, IsolatedCallee, OnInstance,
    Position, StoreData, WorkloadContext,
};
use crate::workload::ComponentName;

/// How a function that a linker defines finds who answers it.
pub(in crate::engine) trait Way: Clone + Send + Sync + 'static {
    /// Who answers the function at this place of the import, when it is called from this store.
    fn target(
        &self,
        store: &StoreData,
        function: usize,
        name: Arc<str>,
    ) -> wasmtime::Result<Target>;
}

/// An isolated import as a linker knows it: who answers stands in the caller's store.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Place {
    /// Who calls.
    pub(in crate::engine) position: Position,
    /// Which of the caller's callees answers.
    pub(in crate::engine) slot: usize,
}

impl Way for Place {
    fn target(
        &self,
        store: &StoreData,
        function: usize,
        name: Arc<str>,
    ) -> wasmtime::Result<Target> {
        let found = store.callee(self.slot);
        Target::of(store, self.position, found, function, name)
    }
}

/// An import that the same callee answers for whoever asks.
#[derive(Clone, Debug)]
pub(super) struct ToOne {
    /// Who calls.
    pub(super) position: Position,
    pub(super) to: IsolatedCallee,
}

impl Way for ToOne {
    fn target(
        &self,
        store: &StoreData,
        function: usize,
        name: Arc<str>,
    ) -> wasmtime::Result<Target> {
        Target::of(store, self.position, Some(&self.to), function, name)
    }
}

/// Who answers a call.
pub(in crate::engine) struct Target {
    workload: Arc<WorkloadContext>,
    caller: Arc<ComponentContext>,
    callee: Callee,
    index: ComponentExportIndex,
    name: Arc<str>,
}

impl Target {
    fn of(
        store: &StoreData,
        position: Position,
        found: Option<&IsolatedCallee>,
        function: usize,
        name: Arc<str>,
    ) -> wasmtime::Result<Self> {
        let caller = Arc::clone(store.caller(position)?);
        let index = found.and_then(|found| found.functions.get(function));
        let Some((found, index)) = found.zip(index) else {
            return Err(wasmtime::format_err!(
                "nobody answers function {function} of an isolated import of `{}`",
                caller.name
            ));
        };
        Ok(Self {
            workload: Arc::clone(store.workload()),
            caller,
            callee: found.callee.clone(),
            index: *index,
            name,
        })
    }

    /// The component that calls.
    pub(super) fn caller(&self) -> &ComponentName {
        &self.caller.name
    }

    /// The component that is called.
    pub(super) fn component(&self) -> String {
        let root = self.callee.context().members.first();
        root.map(|root| root.name.to_string()).unwrap_or_default()
    }

    /// The workload that calls. What its calls carry is held on its account.
    pub(super) fn workload(&self) -> &WorkloadContext {
        &self.workload
    }

    /// Who calls, as the callee may know it.
    fn calling(&self) -> CalledBy {
        CalledBy {
            workload: Arc::clone(&self.workload),
            component: Arc::clone(&self.caller),
        }
    }

    /// The function that is called.
    pub(super) fn function(&self) -> &str {
        &self.name
    }

    /// Calls it. Whoever gives up ends the call. One that carries more than there is room for fails at once.
    pub(super) async fn call<C: Crossing>(
        &self,
        crossing: C,
        params: C::Params,
    ) -> Result<Counted<C::Results>, Failed> {
        let bytes = C::size_of_params(&params);
        let held = budget::hold(self.workload(), Carried::Parameters, bytes)?;
        let (callee, index, calling) = (self.callee.clone(), self.index, self.calling());
        if callee.is_concurrent() {
            return apart(crossing, &callee, index, calling, (params, held)).await;
        }
        let called = callee.invoke(move |lease| {
            Box::pin(async move {
                let (store, instance) = lease.parts()?;
                let workload = Arc::clone(&calling.workload);
                store.data_mut().is_called_by(Some(calling));
                let results = crossing.alone(store, instance, index, params).await?;
                drop(held);
                Ok(count::<C>(&workload, results))
            })
        });
        Ok(called.await??)
    }
}

/// Values, and the room that they take until they are with whoever wants them.
pub(super) type Counted<T> = (T, Held);

/// Takes room for results.
fn count<C: Crossing>(
    workload: &WorkloadContext,
    results: C::Results,
) -> Result<Counted<C::Results>, Full> {
    let bytes = C::size_of_results(&results);
    let held = budget::hold(workload, Carried::Results, bytes)?;
    Ok((results, held))
}

/// Calls a callee whose engine has an event loop. That runs on a task of its own: loops cannot be within one another, and the
/// caller may be in its own. What the callee does after it has answered goes on there.
async fn apart<C: Crossing>(
    crossing: C,
    callee: &Callee,
    index: ComponentExportIndex,
    calling: CalledBy,
    (params, held): Counted<C::Params>,
) -> Result<Counted<C::Results>, Failed> {
    let (tell, told) = oneshot::channel();
    let called = callee.invoke_concurrent(
        move |accessor, instance| {
            Box::pin(async move {
                let workload = Arc::clone(&calling.workload);
                accessor.with(|mut store| store.data_mut().is_called_by(Some(calling)));
                let results = crossing.together(accessor, instance, index, params).await?;
                drop(held);
                // A caller who has left wants to know nothing.
                let _ = tell.send(count::<C>(&workload, results));
                Ok(())
            })
        },
        |()| {},
    );
    let answered = Arc::new(AtomicBool::new(false));
    let watched = watch(called, Arc::clone(callee.context()), Arc::clone(&answered));
    let task = AbortOnDropHandle::new(tokio::spawn(watched));
    if let Ok(results) = told.await {
        answered.store(true, Ordering::Release);
        task.detach();
        return Ok(results?);
    }
    match task.await {
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(())) | Err(_) => Err(CallError::Crashed.into()),
    }
}

/// Says so when a callee fails after it has answered: no caller is told.
async fn watch(
    called: impl Future<Output = Result<(), CallError>> + Send,
    context: Arc<InstanceContext>,
    answered: Arc<AtomicBool>,
) -> Result<(), CallError> {
    let outcome = called.await;
    let workload = &context.workload;
    if let (Err(error), true) = (&outcome, answered.load(Ordering::Acquire))
        && workload.log.admits(0)
    {
        tracing::warn!(%workload, error = format!("{error:#}"), "an isolated component failed after it had answered");
    }
    outcome
}

/// How values cross.
pub(super) trait Crossing: Copy + Send + Sync + 'static {
    /// What the function takes.
    type Params: Send + 'static;
    /// What it returns.
    type Results: Send + 'static;

    /// What parameters take of the host's memory, in bytes.
    fn size_of_params(params: &Self::Params) -> usize;

    /// What results take of the host's memory, in bytes.
    fn size_of_results(results: &Self::Results) -> usize;

    /// Calls the function of an instance that nobody else uses.
    fn alone(
        self,
        store: &mut Store<StoreData>,
        instance: Instance,
        index: ComponentExportIndex,
        params: Self::Params,
    ) -> OnInstance<'_, Self::Results>;

    /// Calls the function of an instance that others may use as well.
    fn together(
        self,
        accessor: &Accessor<StoreData>,
        instance: Instance,
        index: ComponentExportIndex,
        params: Self::Params,
    ) -> OnInstance<'_, Self::Results>;
}

/// Values of any type, each told what it is.
#[derive(Clone, Copy)]
pub(super) struct Dynamic {
    /// How many results there are.
    pub(super) results: usize,
}

impl Dynamic {
    fn room(self) -> Vec<Val> {
        vec![Val::Bool(false); self.results]
    }
}

fn find(
    mut store: impl AsContextMut,
    instance: Instance,
    index: ComponentExportIndex,
) -> wasmtime::Result<Func> {
    instance
        .get_func(&mut store, index)
        .ok_or_else(|| wasmtime::format_err!("the callee has lost its function"))
}

impl Crossing for Dynamic {
    type Params = Vec<Val>;
    type Results = Vec<Val>;

    /// The engine keeps a copy of its own until the call is over.
    fn size_of_params(params: &Vec<Val>) -> usize {
        budget::size(params).saturating_mul(2)
    }

    fn size_of_results(results: &Vec<Val>) -> usize {
        budget::size(results)
    }

    fn alone(
        self,
        store: &mut Store<StoreData>,
        instance: Instance,
        index: ComponentExportIndex,
        params: Vec<Val>,
    ) -> OnInstance<'_, Vec<Val>> {
        Box::pin(async move {
            let function = find(&mut *store, instance, index)?;
            let mut results = self.room();
            function.call_async(store, &params, &mut results).await?;
            Ok(results)
        })
    }

    fn together(
        self,
        accessor: &Accessor<StoreData>,
        instance: Instance,
        index: ComponentExportIndex,
        params: Vec<Val>,
    ) -> OnInstance<'_, Vec<Val>> {
        Box::pin(async move {
            let function = accessor.with(|store| find(store, instance, index))?;
            let mut results = self.room();
            function
                .call_concurrent(accessor, &params, &mut results)
                .await?;
            Ok(results)
        })
    }
}
