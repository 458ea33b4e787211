//! The service of a workload: what runs in it, and which of its exports the outside may call.

use super::{Offers, Problem, Worlds};
use crate::engine::inspect::{Extern, World};
use crate::workload::{ComponentName, Interface, Workload};

/// What a service runs, most wanted first.
const RUNS: [&str; 2] = ["wasi:cli/run@0.3.0", "wasi:cli/run@0.2.0"];

/// The service of a workload, as far as its own world tells.
pub(super) struct Service<'a> {
    pub(super) name: &'a ComponentName,
    /// What runs; a service may as well only answer.
    pub(super) run: Option<Interface>,
}

/// The service of a workload whose worlds are known.
pub(super) fn service<'a>(workload: &'a Workload, worlds: &Worlds) -> Option<Service<'a>> {
    let name = &workload.service.as_ref()?.component.name;
    let run = worlds.get(name).and_then(|world| runs(world));
    Some(Service { name, run })
}

/// What a component runs by itself, if it does.
#[must_use]
pub fn runs(world: &World) -> Option<Interface> {
    let wanted = RUNS.iter().filter_map(|run| run.parse().ok());
    let mut exports = wanted.filter_map(|run: Interface| world.exporting(&run)?.interface());
    exports.next().cloned()
}

/// Whether the one instance of a service can answer an export while it runs: the function must be one of those that overlap, which
/// came with version 0.3 of the interfaces that this host calls.
pub(super) fn answers(export: &Extern) -> bool {
    let version = export.interface().and_then(|it| it.version.as_ref());
    version.is_some_and(|version| (version.major, version.minor) >= (0, 3))
}

/// A service that nothing would ever run or call.
pub(super) fn idle(service: &Service<'_>, worlds: &Worlds, offers: &Offers) -> Option<Problem> {
    let world = worlds.get(service.name)?;
    let mut callable = offers.calls.iter().flat_map(|calls| &calls.exports);
    let handler = callable.find_map(|call| world.exporting(call).filter(|it| answers(it)));
    let exports = world.exports.iter().filter_map(Extern::interface);
    service.run.is_none().then(|| Problem::IdleService {
        exports: exports.cloned().collect(),
        handler: handler.and_then(Extern::interface).cloned(),
    })
}
