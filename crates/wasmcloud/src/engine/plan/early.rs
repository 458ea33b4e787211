//! What is known of a plan before all components of a workload have arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::resolve::{Resolution, resolve};
use super::{Member, Offers, Worlds, layout, runs};
use crate::engine::config::Flavour;
use crate::engine::inspect::{Extern, World};
use crate::workload::{ComponentName, LinkTarget, Workload};

/// What a component becomes if its siblings have nothing to do with it, as far as its own world tells: all that it exports is called
/// by the host, and all that it imports is answered by it. `None` where a sibling may call it or answer it: then the two may become
/// one, and what either is alone is worth nothing.
///
/// The plan of the whole workload may still decide otherwise: a sibling may export what the host offers as well.
#[must_use]
pub fn plan_early(
    workload: &Workload,
    component: &ComponentName,
    world: &Arc<World>,
    offers: &Offers,
) -> Option<(Flavour, Vec<Member>)> {
    let alone = !offers.closed && !is_linked(workload, component) && is_called(world, offers);
    if !alone {
        return None;
    }
    let worlds = Worlds::from([(component.clone(), Arc::clone(world))]);
    // Most of them are about siblings that are not there.
    let mut problems = Vec::new();
    let resolved = resolve(workload, &worlds, offers, &mut problems);
    let answers = resolved.get(component)?;
    if !is_answered(world, answers, offers) {
        return None;
    }
    let (own, _) = layout::lay_out_call(component, &worlds, &resolved);
    Some(own)
}

/// Whether a link of the manifest ties it to a sibling.
fn is_linked(workload: &Workload, component: &ComponentName) -> bool {
    workload
        .links
        .iter()
        .any(|link| match (&link.from, &link.to) {
            (Some(from), LinkTarget::Component(to)) => from == component || to == component,
            _ => false,
        })
}

/// Whether nobody but the host calls what it exports.
fn is_called(world: &World, offers: &Offers) -> bool {
    let run = runs(world);
    let exports = world
        .exports
        .iter()
        .filter(|export| !export.is_types_only());
    let mut exports = exports.filter_map(Extern::interface).peekable();
    exports.peek().is_some()
        && exports.all(|export| {
            let mut handled = offers.calls.iter().flat_map(|calls| &calls.exports);
            run.as_ref() == Some(export) || handled.any(|handled| handled.accepts(export))
        })
}

/// Whether the host answers all that it imports. What the host calls as well, a component in front of another imports.
fn is_answered(world: &World, answers: &BTreeMap<String, Resolution>, offers: &Offers) -> bool {
    let called = |import: &Extern| {
        let mut handled = offers.calls.iter().flat_map(|calls| &calls.exports);
        let interface = import.interface();
        interface.is_some_and(|interface| handled.any(|handled| interface.accepts(handled)))
    };
    world.imports.iter().all(|import| {
        import.is_types_only() || (answers.contains_key(&import.name) && !called(import))
    })
}
