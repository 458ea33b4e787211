//! Links a compiled artifact: each of its imports, and nothing else, is answered by the plugin that offers it.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::fuse;
use super::plan::Offers;
use crate::plugin::{Import, Plugins, Position, StoreData};
use crate::workload::Interface;

/// Why an artifact could not be linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A plugin could not answer an import that it offers.
    #[error("`{import}` cannot be answered by {plugin}: {reason}")]
    Plugin {
        /// The import.
        import: String,
        /// The plugin.
        plugin: &'static str,
        /// Why.
        reason: String,
    },
    /// What the component imports is not what the host offers under that name.
    #[error("the component does not fit this host: {0}")]
    Mismatch(String),
}

/// Links an artifact. `fused` says whether it was fused from several members, so that its labels carry positions.
///
/// # Errors
/// When an import differs from what the host offers under its name.
pub(super) fn link(
    component: &Component,
    plugins: &Plugins,
    offers: &Offers,
    fused: bool,
) -> Result<InstancePre<StoreData>, LinkError> {
    let engine = component.engine();
    let mut linker = Linker::<StoreData>::new(engine);
    // A capability may put a function of its own in the place of one that a library brought.
    linker.allow_shadowing(true);
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        let ComponentItem::ComponentInstance(_) = import.ty else {
            continue;
        };
        let named = if name.contains(':') {
            Some(name)
        } else {
            import.implements
        };
        let Some(Ok(interface)) = named.map(str::parse::<Interface>) else {
            continue;
        };
        let Some(answer) = offers.answer(&interface) else {
            continue;
        };
        let Some(plugin) = plugins.iter().find(|plugin| plugin.id() == answer.plugin) else {
            continue;
        };
        let position = if fused {
            fuse::position(name).unwrap_or_default()
        } else {
            Position(0)
        };
        let import = Import {
            interface: &interface,
            position,
        };
        let linked = linker
            .instance(name)
            .and_then(|mut instance| plugin.link(&import, &mut instance));
        linked.map_err(|error| LinkError::Plugin {
            import: name.to_owned(),
            plugin: plugin.id(),
            reason: format!("{error:#}"),
        })?;
    }
    // An import that nobody answers holds types only, or is told apart here by the engine.
    linker
        .instantiate_pre(component)
        .map_err(|error| LinkError::Mismatch(format!("{error:#}")))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
