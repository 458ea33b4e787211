//! Compiles what a host will run, and runs nothing: for hosts that start later, elsewhere, or without a network.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{AssembleError, HostConfig, component_plugins, examined, refusals, sources, unopened};
use crate::artifact::Fetch;
use crate::capability::wasi::Wasi;
use crate::engine::plan::{Member, plan_call};
use crate::engine::{Components, Engine, Flavour, plan};
use crate::host::{self, ComponentPlugin, StartError, StartRequest, worlds};
use crate::plugin::Plugin;
use crate::workload::ComponentName;

/// What became of the artifacts of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// How many were compiled now.
    pub compiled: usize,
    /// How many were in the cache of the engine already.
    pub cached: usize,
}

/// Compiles as a host of one configuration would, into the cache of its engine
/// ([`EngineOptions::cache_dir`](crate::engine::EngineOptions::cache_dir)).
pub struct Compiler<'a> {
    config: &'a HostConfig,
    fetch: Arc<dyn Fetch>,
    engine: Engine,
    /// Those of the configuration, with what is loaded of them.
    of_components: Vec<Arc<ComponentPlugin>>,
}

impl std::fmt::Debug for Compiler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler")
            .field("engine", &self.engine)
            .field("of_components", &self.of_components)
            .finish_non_exhaustive()
    }
}

impl<'a> Compiler<'a> {
    /// A compiler for a host of this configuration, whose component plugins are fetched, and looked at. Must be called inside a
    /// Tokio runtime.
    ///
    /// # Errors
    /// When a component cannot be a plugin, or registries cannot be used in the configured way.
    pub async fn new(config: &'a HostConfig) -> Result<Self, AssembleError> {
        let fetch = sources(config)?;
        let wasi = Wasi::new(config.volumes.clone());
        let mut plugins = [config.plugins.clone(), examined(config), unopened(wasi)].concat();
        let specs = &config.component_plugins;
        let of_components = component_plugins(specs, fetch.as_ref(), &plugins).await?;
        let before: Vec<Arc<dyn Plugin>> =
            of_components.iter().map(|it| Arc::clone(it) as _).collect();
        plugins.splice(0..0, before);
        Ok(Self {
            config,
            fetch,
            engine: Engine::new(config.engine.clone(), plugins.into()),
            of_components,
        })
    }

    /// Fetches the components of a workload, and compiles them. What the workload would be refused for is told.
    ///
    /// # Errors
    /// With everything that is wrong; never empty.
    pub async fn compile(&self, request: &StartRequest) -> Result<Compiled, Vec<StartError>> {
        let workload = &request.workload;
        let mut errors = refusals(workload, self.config, self.engine.plugins());
        let (components, wrong) = self.components(request, self.fetch.as_ref()).await;
        errors.extend(wrong);
        if !errors.is_empty() {
            return Err(errors);
        }
        let plan = plan(workload, &worlds(&components), self.engine.offers())
            .map_err(|wrong| vec![StartError::Plan(Arc::new(wrong))])?;
        let compiled = self.units(plan.units(), &components).await;
        compiled.map_err(|error| vec![error])
    }

    /// Compiles the component plugins of the configuration, once. Returns what became of each, by its id.
    ///
    /// # Errors
    /// When one does not compile.
    pub async fn plugins(&self) -> Result<Vec<(ComponentName, Compiled)>, AssembleError> {
        let mut all = Vec::new();
        for plugin in &self.of_components {
            let id = plugin.name().clone();
            match self.plugin(plugin).await {
                Ok(compiled) => all.push((id, compiled)),
                Err(error) => {
                    let source = error.into();
                    return Err(AssembleError::Plugin { id, source });
                }
            }
        }
        Ok(all)
    }

    /// A plugin is called by name, and what it runs by itself is its service.
    async fn plugin(&self, plugin: &ComponentPlugin) -> Result<Compiled, StartError> {
        let Some(source) = plugin.source() else {
            return Ok(Compiled::default());
        };
        let request = plugin.request()?;
        let (components, errors) = self.components(&request, &source).await;
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        let (workload, worlds) = (&request.workload, worlds(&components));
        let mut offers = self.engine.offers().clone();
        offers.closed = true;
        let wrong = |wrong| StartError::Plan(Arc::new(wrong));
        let alone = plan(workload, &worlds, &offers).map_err(wrong)?;
        let called = plan_call(workload, &worlds, &offers, plugin.name()).map_err(wrong)?;
        let called = (called.flavour, &called.members[..]);
        self.units(alone.units().chain([called]), &components).await
    }

    /// The components of a workload, and what is wrong with others.
    async fn components(
        &self,
        request: &StartRequest,
        fetch: &dyn Fetch,
    ) -> (Components, Vec<StartError>) {
        let known = self.engine.clone();
        let inspect = move |bytes: &[u8], digest| known.inspect_known(bytes, digest);
        host::look_at_all(fetch, request, inspect).await
    }

    async fn units<'m>(
        &self,
        units: impl Iterator<Item = (Flavour, &'m [Member])>,
        components: &Components,
    ) -> Result<Compiled, StartError> {
        let mut done = Compiled::default();
        // Several units may be one artifact, which was then compiled a moment ago.
        let mut seen = BTreeSet::new();
        for (flavour, members) in units {
            let compiled = self.engine.compile(flavour, members, components).await;
            let (artifact, from_disk) =
                compiled.map_err(|error| StartError::Prepare(Arc::new(error)))?;
            match (seen.insert(artifact), from_disk) {
                (false, _) => {}
                (true, true) => done.cached += 1,
                (true, false) => done.compiled += 1,
            }
        }
        Ok(done)
    }
}
