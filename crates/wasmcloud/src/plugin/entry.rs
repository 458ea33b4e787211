//! What a plugin calls: an export of a started workload.

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

use super::{CallError, Callee};
use crate::workload::{ComponentName, Export, ScheduleName};

/// An entry of a started workload: a component whose export the plugin may call.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The component that exports it.
    pub component: ComponentName,
    /// The export, as the component names it.
    pub export: Export,
    /// The schedule that it is for, if it is for one.
    pub schedule: Option<ScheduleName>,
    /// How to get instances of it.
    pub callee: Callee,
}

impl Entry {
    /// Calls a synchronous function of the export with values of types that are known, on a warm instance where there is one.
    ///
    /// # Errors
    /// When the export has no such function, or not of such types, and when the call comes to no good end.
    pub async fn call<P, R>(&self, function: &str, params: P) -> Result<R, CallError>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let index = self.function(function).map_err(CallError::Trap)?;
        let invocation = self.callee.invoke(move |lease| {
            Box::pin(async move {
                let (store, instance) = lease.parts()?;
                let function = instance.get_typed_func::<P, R>(&mut *store, &index)?;
                function.call_async(store, params).await
            })
        });
        invocation.await
    }

    /// Where a function of the export is found in an instance.
    ///
    /// # Errors
    /// When there is none of the name.
    pub fn function(&self, name: &str) -> wasmtime::Result<ComponentExportIndex> {
        let component = self.callee.pre().component();
        let interface = self.export.interface();
        let found = match interface {
            Some(interface) => component
                .get_export_index(None, interface.to_string())
                .and_then(|interface| component.get_export_index(Some(&interface), name)),
            None => component.get_export_index(None, name),
        };
        let other = matches!(&self.export, Export::Function(only) if only.function != name);
        found.filter(|_| !other).ok_or_else(|| {
            wasmtime::format_err!(
                "`{}` of component `{}` has no function `{name}`",
                self.export,
                self.component
            )
        })
    }
}
