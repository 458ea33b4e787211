//! Links a compiled artifact: each of its imports, and nothing else, is answered by the plugin that offers it, or by whom the plan
//! keeps isolated.

use std::collections::HashMap;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker};

use super::fuse;
use super::isolated::{self, Functions, Place, slots};
use super::plan::{Member, Offers};
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

/// What linking gives.
pub(super) struct Linked {
    /// What instances are made from.
    pub(super) pre: InstancePre<StoreData>,
    /// The functions of its isolated imports, by slot.
    pub(super) isolated: Vec<Functions>,
}

/// Links an artifact that was made of the members.
///
/// # Errors
/// When an import differs from what the host offers under its name.
pub(super) fn link(
    component: &Component,
    plugins: &Plugins,
    offers: &Offers,
    members: &[Member],
) -> Result<Linked, LinkError> {
    let engine = component.engine();
    let mut linker = Linker::new(engine);
    // A capability may put a function of its own in the place of one that a library brought.
    linker.allow_shadowing(true);
    let mut linking = Linking {
        linker,
        plugins,
        offers,
        fused: members.len() > 1,
        labels: labels(members),
        slots: HashMap::new(),
        isolated: Vec::new(),
    };
    linking.find_slots(members);
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        if let ComponentItem::ComponentInstance(ty) = &import.ty
            && !linking.isolated(name, ty)?
        {
            linking.answered(name, import.implements, ty)?;
        }
    }
    // An import that nobody answers holds types only, or is told apart here by the engine.
    let pre = linking
        .linker
        .instantiate_pre(component)
        .map_err(|error| LinkError::Mismatch(format!("{error:#}")))?;
    Ok(Linked {
        pre,
        isolated: linking.isolated,
    })
}

/// The imports that go by a label of the component's own choice, as the artifact names them, and the labels.
fn labels(members: &[Member]) -> HashMap<String, String> {
    let fused = members.len() > 1;
    let imports = members.iter().enumerate().flat_map(|(position, member)| {
        let labels = member.apart.iter().filter(|import| !import.contains(':'));
        labels.map(move |label| (position, label))
    });
    let named = imports.map(|(position, label)| {
        let name = match fused {
            true => fuse::label(position, label),
            false => label.clone(),
        };
        (name, label.clone())
    });
    named.collect()
}

struct Linking<'a> {
    linker: Linker<StoreData>,
    plugins: &'a Plugins,
    offers: &'a Offers,
    /// Whether there are several members, so that labels carry positions.
    fused: bool,
    /// The labels that components gave to their imports, by what the artifact calls those.
    labels: HashMap<String, String>,
    /// The isolated imports as the artifact names them, with their members' positions and their slots.
    slots: HashMap<String, (usize, usize)>,
    isolated: Vec<Functions>,
}

impl Linking<'_> {
    fn find_slots(&mut self, members: &[Member]) {
        for (slot, (position, _, link)) in slots(members).enumerate() {
            let name = if self.fused {
                fuse::label(position, &link.import)
            } else {
                link.import.clone()
            };
            self.slots.insert(name, (position, slot));
            self.isolated.push(Functions::new());
        }
    }

    /// Defines an import that a callee in another store answers. False if it is none.
    fn isolated(&mut self, name: &str, ty: &ComponentInstance) -> Result<bool, LinkError> {
        let Some((position, slot)) = self.slots.get(name).copied() else {
            return Ok(false);
        };
        let place = Place {
            position: Position(u32::try_from(position).unwrap_or(u32::MAX)),
            slot,
        };
        let engine = self.linker.engine().clone();
        let functions = self
            .linker
            .instance(name)
            .and_then(|mut instance| isolated::define(&mut instance, ty, &engine, &place));
        let functions = functions.map_err(|error| LinkError::Mismatch(format!("{error:#}")))?;
        if let Some(known) = self.isolated.get_mut(slot) {
            *known = functions;
        }
        Ok(true)
    }

    /// Lets the plugin that offers an import define it, where there is one.
    fn answered(
        &mut self,
        name: &str,
        implements: Option<&str>,
        ty: &ComponentInstance,
    ) -> Result<(), LinkError> {
        let named = if name.contains(':') {
            Some(name)
        } else {
            implements
        };
        let Some(Ok(interface)) = named.map(str::parse::<Interface>) else {
            return Ok(());
        };
        let Some(answer) = self.offers.answer(&interface) else {
            return Ok(());
        };
        let mut plugins = self.plugins.iter();
        let Some(plugin) = plugins.find(|plugin| plugin.id() == answer.plugin) else {
            return Ok(());
        };
        let position = if self.fused {
            fuse::position(name).unwrap_or_default()
        } else {
            Position(0)
        };
        let import = Import {
            interface: &interface,
            position,
            label: self.labels.get(name).map(String::as_str),
            ty,
        };
        let linked = self
            .linker
            .instance(name)
            .and_then(|mut instance| plugin.link(&import, &mut instance));
        linked.map_err(|error| LinkError::Plugin {
            import: name.to_owned(),
            plugin: plugin.id(),
            reason: format!("{error:#}"),
        })
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
