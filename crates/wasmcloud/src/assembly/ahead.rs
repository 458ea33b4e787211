//! Compiles what a host will run, and runs nothing: for hosts that start later, elsewhere, or without a network.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, stream};

use super::{HostConfig, examined_plugins, refusals, sources};
use crate::artifact::By;
use crate::capability::wasi::Wasi;
use crate::engine::plan::{Member, Worlds};
use crate::engine::{Components, Engine, Flavour, plan};
use crate::host::{self, FETCHES, StartError, StartRequest};

/// What became of the artifacts of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// How many were compiled now.
    pub compiled: usize,
    /// How many were in the cache of the engine already.
    pub cached: usize,
}

/// Fetches the components of a workload, and compiles them as a host of this configuration would, into the cache of its engine
/// ([`EngineOptions::cache_dir`](crate::engine::EngineOptions::cache_dir)). What the workload would be refused for is told.
///
/// # Errors
/// With everything that is wrong; never empty.
pub async fn compile(
    request: &StartRequest,
    config: &HostConfig,
) -> Result<Compiled, Vec<StartError>> {
    let workload = &request.workload;
    let fetch = sources(config).map_err(|error| vec![StartError::Host(error.to_string())])?;
    let wasi = Wasi::new(config.volumes.clone());
    let plugins = examined_plugins(config, fetch.as_ref(), &wasi).await;
    let mut errors = refusals(workload, config, &plugins);
    let engine = Engine::new(config.engine.clone(), plugins.into());
    let (mut components, mut worlds) = (Components::new(), Worlds::new());
    let looks = workload.parts().map(|component| {
        let (known, fetch, by) = (engine.clone(), &fetch, By::Workload(&workload.namespace));
        let inspect = move |bytes: &[u8], digest| known.inspect_known(bytes, digest);
        async move {
            let looked = host::look_at(fetch.as_ref(), component, by, &request.base, inspect);
            (component, looked.await)
        }
    });
    let looks: Vec<_> = looks.collect();
    let looked: Vec<_> = stream::iter(looks).buffered(FETCHES).collect().await;
    for (component, looked) in looked {
        match looked {
            Ok(looked) => {
                let name = component.name.clone();
                worlds.insert(name.clone(), Arc::clone(&looked.inspected.world));
                components.insert(name, looked.inspected);
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let plan = plan(workload, &worlds, engine.offers())
        .map_err(|wrong| vec![StartError::Plan(Arc::new(wrong))])?;
    let entries = plan.entries.iter().map(|it| (it.flavour, &it.members));
    let callees = plan.callees.iter().map(|it| (it.flavour, &it.members));
    let service = plan.service.iter().map(|it| (it.flavour, &it.members));
    let mut done = Compiled::default();
    // Several entries may be one artifact, which is then in memory, and no longer seen on disk.
    let mut seen = BTreeSet::new();
    for (flavour, members) in entries.chain(callees).chain(service) {
        if !seen.insert(told(flavour, members)) {
            continue;
        }
        let prepared = engine.prepare(flavour, members, &components).await;
        let prepared = prepared.map_err(|error| vec![StartError::Prepare(Arc::new(error))])?;
        match prepared.from_disk {
            true => done.cached += 1,
            false => done.compiled += 1,
        }
    }
    Ok(done)
}

fn told(flavour: Flavour, members: &[Member]) -> String {
    format!("{flavour:?} {members:?}")
}
