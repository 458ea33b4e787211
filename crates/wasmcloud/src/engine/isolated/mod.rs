//! Links imports that a callee in a store of its own answers: each function calls whom the caller's store names, and copies plain
//! values there and back.

mod budget;
mod call;
mod failure;
mod typed;

use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, LinkerInstance};

use super::Artifact;
use super::plan::{IsolatedImport, Member};
use crate::instance::{Callee, IsolatedCallee, StoreData};
use crate::plugin::Import;
use crate::workload::ComponentName;

pub(super) use call::{Place, Way};

use call::{Dynamic, ToOne};
use failure::Failure;

/// Why one component cannot call another over an isolated link.
#[derive(Debug, thiserror::Error)]
#[error(
    "component `{from}` cannot call component `{to}`: what `{import}` means differs between the two: {reason}"
)]
pub struct IsolationError {
    /// The importing component.
    pub from: ComponentName,
    /// The exporting component.
    pub to: ComponentName,
    /// The import.
    pub import: String,
    /// How they differ.
    pub reason: String,
}

/// The functions that one isolated import calls. Their places are what the linker knows them by.
pub(super) type Functions = Vec<(String, ComponentFunc)>;

/// The isolated imports of members, each with its member's position and its own. The places of this list are the slots by which
/// linkers and stores know callees; names play no part in them.
pub(crate) fn slots(members: &[Member]) -> impl Iterator<Item = (usize, &Member, &IsolatedImport)> {
    let members = members.iter().enumerate();
    members.flat_map(|(position, member)| {
        let imports = member.isolated.iter();
        imports.map(move |import| (position, member, import))
    })
}

/// Defines the functions of an isolated import.
pub(super) fn define(
    linker: &mut LinkerInstance<'_, StoreData>,
    ty: &ComponentInstance,
    engine: &wasmtime::Engine,
    way: &impl Way,
) -> wasmtime::Result<Functions> {
    let mut functions = Functions::new();
    for (name, export) in ty.exports(engine) {
        // Plain types need no definition, and nothing else can be in here: the plan saw to it.
        let ComponentItem::ComponentFunc(ty) = export.ty else {
            continue;
        };
        define_function(linker, name, &ty, (way.clone(), functions.len()))?;
        functions.push((name.to_owned(), ty));
    }
    Ok(functions)
}

fn define_function(
    linker: &mut LinkerInstance<'_, StoreData>,
    name: &str,
    ty: &ComponentFunc,
    (way, function): (impl Way, usize),
) -> wasmtime::Result<()> {
    if typed::define(linker, name, ty, (&way, function))? {
        return Ok(());
    }
    let name: Arc<str> = name.into();
    let failure = Arc::new(Failure::of(ty));
    let crossing = Dynamic {
        results: ty.results().len(),
    };
    if ty.async_() {
        linker.func_new_concurrent(&Arc::clone(&name), move |accessor, _, params, results| {
            let (way, name, failure) = (way.clone(), Arc::clone(&name), Arc::clone(&failure));
            Box::pin(async move {
                let target =
                    accessor.with(|mut store| way.target(store.data_mut(), function, name))?;
                let answer = target.call(crossing, params.to_vec()).await;
                failure.deliver(answer, &target, results)
            })
        })
    } else {
        linker.func_new_async(&Arc::clone(&name), move |store, _, params, results| {
            let (way, name, failure) = (way.clone(), Arc::clone(&name), Arc::clone(&failure));
            Box::new(async move {
                let target = way.target(store.data(), function, name)?;
                let answer = target.call(crossing, params.to_vec()).await;
                failure.deliver(answer, &target, results)
            })
        })
    }
}

impl Artifact {
    /// Finds the functions of an isolated import in the callee, and makes sure that both mean the same by them.
    ///
    /// # Errors
    /// When a function is missing there or has another type, which is what the text says.
    pub(crate) fn connect(
        &self,
        slot: usize,
        callee: &Self,
        export: &str,
    ) -> Result<Arc<[ComponentExportIndex]>, String> {
        let functions = self.isolated.get(slot).into_iter().flatten();
        find(functions, callee.pre.component(), export)
    }
}

/// Finds functions in an export of a component.
fn find<'a>(
    functions: impl Iterator<Item = &'a (String, ComponentFunc)>,
    component: &Component,
    export: &str,
) -> Result<Arc<[ComponentExportIndex]>, String> {
    let missing = || format!("instance `{export}` is missing");
    let export = component
        .get_export_index(None, export)
        .ok_or_else(missing)?;
    let find = |(name, wanted): &(String, ComponentFunc)| {
        let Some((ComponentItem::ComponentFunc(found), index)) =
            component.get_export(Some(&export), name.as_str())
        else {
            return Err(format!("function `{name}` is missing"));
        };
        differing(wanted, &found).map_or(Ok(index), |what| Err(format!("function `{name}` {what}")))
    };
    functions.map(find).collect()
}

/// Defines the functions of an import which the same callee answers, whoever asks.
///
/// # Errors
/// When the callee has no such functions, or understands something else by them.
pub(crate) fn define_to_one(
    linker: &mut LinkerInstance<'_, StoreData>,
    import: &Import<'_>,
    callee: &Callee,
    export: &str,
) -> wasmtime::Result<()> {
    let component = callee.pre().component();
    let functions: Functions = import
        .ty
        .exports(component.engine())
        .filter_map(|(name, export)| match export.ty {
            ComponentItem::ComponentFunc(ty) => Some((name.to_owned(), ty)),
            _ => None,
        })
        .collect();
    let found = find(functions.iter(), component, export);
    let to = IsolatedCallee {
        callee: callee.clone(),
        functions: found.map_err(wasmtime::Error::msg)?,
    };
    let way = ToOne {
        position: import.position,
        to,
    };
    for (place, (name, ty)) in functions.iter().enumerate() {
        define_function(linker, name, ty, (way.clone(), place))?;
    }
    Ok(())
}

/// In what two functions differ.
fn differing(wanted: &ComponentFunc, found: &ComponentFunc) -> Option<String> {
    if wanted.async_() != found.async_() {
        let kind = |ty: &ComponentFunc| if ty.async_() { "async" } else { "not async" };
        return Some(format!(
            "is {} here but {} there",
            kind(wanted),
            kind(found)
        ));
    }
    let (here, there) = (wanted.params().len(), found.params().len());
    if here != there {
        return Some(format!("takes {here} parameters here but {there} there"));
    }
    let mut params = wanted.params().zip(found.params());
    if let Some(((name, _), _)) = params.find(|(here, there)| here != there) {
        return Some(format!("takes another parameter `{name}` there"));
    }
    let same = wanted.results().eq(found.results());
    (!same).then(|| "returns something else there".to_owned())
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
