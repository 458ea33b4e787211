//! Lets the program around a host call exports of its workloads by itself: a plugin for one interface of the program's choice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower};

use crate::plugin::{
    BindRequest, Binding, CallError, Entry, Import, Offer, Opening, Plugin, PluginError, StoreData,
};
use crate::workload::{Interface, WorkloadId};

/// Calls one interface of the workloads that export it and list it in `hostInterfaces`. Clones share what is open: one is given to
/// the host, another is kept to call with.
#[derive(Clone, Debug)]
pub struct Direct(Arc<Open>);

#[derive(Debug)]
struct Open {
    interface: Interface,
    entries: Mutex<HashMap<WorkloadId, Entry>>,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum DirectError {
    /// No workload of that id runs and exports the interface.
    #[error("no workload `{id}` runs that exports `{interface}` and lists it in `hostInterfaces`")]
    NotOpen {
        /// The id.
        id: WorkloadId,
        /// The interface.
        interface: Box<Interface>,
    },
    /// The call came to no good end.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Direct {
    /// For one interface.
    #[must_use]
    pub fn new(interface: Interface) -> Self {
        Self(Arc::new(Open {
            interface,
            entries: Mutex::default(),
        }))
    }

    /// Calls a function of a workload's export; see [`Entry::call`].
    ///
    /// # Errors
    /// When the workload is not there, or the call comes to no good end.
    pub async fn call<P, R>(
        &self,
        id: &WorkloadId,
        function: &str,
        params: P,
    ) -> Result<R, DirectError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let entry = self.entry(id)?;
        Ok(entry.call(function, params).await?)
    }

    /// The entry of a workload, for calls that [`Direct::call`] does not make.
    ///
    /// # Errors
    /// When the workload is not there.
    pub fn entry(&self, id: &WorkloadId) -> Result<Entry, DirectError> {
        let entry = self.0.entries().get(id).cloned();
        entry.ok_or_else(|| DirectError::NotOpen {
            id: id.clone(),
            interface: Box::new(self.0.interface.clone()),
        })
    }
}

impl Open {
    fn entries(&self) -> MutexGuard<'_, HashMap<WorkloadId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Plugin for Direct {
    fn id(&self) -> &'static str {
        "direct"
    }

    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    fn handles(&self) -> Vec<Interface> {
        vec![self.0.interface.clone()]
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        Ok(Box::new(Bound {
            open: Arc::clone(&self.0),
            id: request.id.clone(),
            opened: None,
        }))
    }

    fn link(
        &self,
        import: &Import<'_>,
        _: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        Err(wasmtime::format_err!(
            "`{}` is not offered",
            import.interface
        ))
    }
}

struct Bound {
    open: Arc<Open>,
    id: WorkloadId,
    opened: Option<Entry>,
}

#[async_trait]
impl Binding for Bound {
    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        self.opened = opening.entries.into_iter().next();
        Ok(())
    }

    fn go_live(&mut self) {
        if let Some(entry) = self.opened.take() {
            self.open.entries().insert(self.id.clone(), entry);
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.open.entries().remove(&self.id);
    }
}
