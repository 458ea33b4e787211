//! Components that the configuration of a host makes plugins: what they export is offered to all workloads.
//!
//! Such a component is a workload of the host's own. Its calls come from other workloads, over isolated links: it runs in stores of
//! its own, with limits, grants and an egress policy of its own, and an instance that traps is replaced by the next one. What it
//! runs by itself is the service of that workload.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use wasmtime::component::LinkerInstance;

use super::fetching::{fetched, look};
use super::{StartError, StartRequest};
use crate::artifact::{By, Digest, Fetch, FetchError, Fetched, Wanted};
use crate::engine::inspect::{Extern, ExternKind};
use crate::engine::plan::runs;
use crate::engine::{World, define_to_one, inspect};
use crate::plugin::{Callee, Grant, Import, Offer, Plugin, PluginError, StoreData};
use crate::workload::{
    Component, ComponentName, HostInterface, Interface, Limit, NameError, Service, Workload,
    WorkloadId,
};

/// The namespace of workloads that are plugins.
const NAMESPACE: &str = "wasmcloud-plugins";
/// What the ids of workloads that are plugins begin with.
const ID: &str = "plugin:";

/// A component that is a plugin, as the configuration has it.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginComponent {
    /// The component, with its grants and limits. Its name is the id of the plugin.
    pub component: Component,
    /// Where relative paths in it begin.
    pub base: PathBuf,
    /// What its bytes must be: `sha256:` and 64 hexadecimal digits. `None`: anything.
    pub expected_digest: Option<String>,
    /// How often in a row what it runs by itself is started again after a crash. `None`: as often as it takes.
    pub max_restarts: Option<u64>,
}

/// Why a component cannot be a plugin.
#[derive(Debug, thiserror::Error)]
pub enum ComponentPluginError {
    /// It cannot be had, or is none, or does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its bytes are others than the configuration says.
    #[error("its digest is {found}, and the configuration wants {wanted}")]
    Digest {
        /// What they are.
        found: String,
        /// What they should be.
        wanted: String,
    },
    /// It exports nothing that could be offered.
    #[error("it exports no interface that workloads could import")]
    NothingOffered,
    /// It runs nothing by itself that could crash.
    #[error(
        "`maxRestarts` has no effect: it exports no `wasi:cli/run`, so nothing of it runs between calls, and a call after a trap finds another instance anyway"
    )]
    NothingToRestart,
    /// An interface cannot be called from other stores.
    #[error("its export `{interface}` cannot be offered to workloads: {reason}")]
    Confined {
        /// The interface.
        interface: String,
        /// Why.
        reason: String,
    },
}

/// A plugin that is a component.
pub struct ComponentPlugin {
    id: &'static str,
    world: Arc<World>,
    offered: Vec<Interface>,
    spec: PluginComponent,
    workload: Workload,
    /// What it was loaded from, until it is started from that.
    fetched: Mutex<Option<Fetched>>,
    /// There when it is up.
    callee: OnceLock<Callee>,
}

impl ComponentPlugin {
    /// Looks at the component, and runs nothing yet. `others` are the plugins of the host, which answer what it imports and whose
    /// entries it is not.
    ///
    /// # Errors
    /// When the component cannot be had, or offers nothing.
    pub async fn load(
        spec: PluginComponent,
        fetch: &dyn Fetch,
        others: &[Arc<dyn Plugin>],
    ) -> Result<Self, ComponentPluginError> {
        let image = spec.component.image.resolve(&spec.base);
        let fetched = fetched(fetch, &spec.component, &image, By::Host).await?;
        if let Some(wanted) = spec.expected_digest.clone() {
            let digest = fetched.digest.unwrap_or_else(|| Digest::of(&fetched.bytes));
            let found = digest.to_string();
            if found != wanted {
                return Err(ComponentPluginError::Digest { found, wanted });
            }
        }
        let inspect = |bytes: &[u8], _| inspect(bytes);
        let looked = look(fetched.clone(), &spec.component, image, inspect).await?;
        let world = looked.inspected.world;
        let offered = offered(&world, others)?;
        let service = service(&spec, &world)?;
        let workload = workload(&spec.component, service, &world, others)?;
        Ok(Self {
            // One for each plugin of a host, which lives as long as the process as a rule.
            id: Box::leak(spec.component.name.to_string().into_boxed_str()),
            world,
            offered,
            spec,
            workload,
            fetched: Mutex::new(Some(fetched)),
            callee: OnceLock::new(),
        })
    }

    /// What it was loaded from: only that was compared with the digest that the configuration wants, and pulled for the host. It is
    /// handed out once; `None` from then on.
    pub(crate) fn source(&self) -> Option<impl Fetch> {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.take().map(Loaded)
    }

    /// How to start it.
    pub(crate) fn request(&self) -> Result<StartRequest, StartError> {
        let id: Result<WorkloadId, _> = format!("{ID}{}", self.id).parse();
        Ok(StartRequest {
            id: id.map_err(|error| StartError::Host(format!("{error}")))?,
            workload: self.workload.clone(),
            base: self.spec.base.clone(),
            replaces: None,
        })
    }

    /// Its id, which is the name of the component.
    #[must_use]
    pub const fn name(&self) -> &ComponentName {
        &self.spec.component.name
    }

    /// From now on calls go there.
    pub(super) fn is_up(&self, callee: Callee) {
        // It is started once.
        let _ = self.callee.set(callee);
    }

    fn is_own(&self, workload: &Workload) -> bool {
        workload.namespace.as_str() == NAMESPACE && workload.name.as_str() == self.id
    }
}

/// What a plugin was loaded from, whatever is asked for: nothing else is part of its workload.
struct Loaded(Fetched);

#[async_trait]
impl Fetch for Loaded {
    async fn fetch(&self, _: Wanted<'_>) -> Result<Fetched, FetchError> {
        Ok(self.0.clone())
    }
}

/// Whether a workload is a plugin: those stop after the others.
pub(super) fn is_plugin(id: &WorkloadId) -> bool {
    id.as_str().starts_with(ID)
}

/// The exports that workloads may import: those that the host does not call itself.
fn offered(
    world: &World,
    others: &[Arc<dyn Plugin>],
) -> Result<Vec<Interface>, ComponentPluginError> {
    let called: Vec<Interface> = others.iter().flat_map(|plugin| plugin.handles()).collect();
    let mut offered = Vec::new();
    for export in &world.exports {
        let ExternKind::Interface {
            interface,
            types_only: false,
            confined,
        } = &export.kind
        else {
            continue;
        };
        let runs = interface.namespace == "wasi" && interface.package == "cli";
        if runs || called.iter().any(|handled| interface.accepts(handled)) {
            continue;
        }
        if let Some(confined) = confined {
            return Err(ComponentPluginError::Confined {
                interface: interface.to_string(),
                reason: confined.to_string(),
            });
        }
        offered.push(interface.clone());
    }
    match offered.is_empty() {
        true => Err(ComponentPluginError::NothingOffered),
        false => Ok(offered),
    }
}

/// What runs beside the calls: an instance of its own for `wasi:cli/run`, kept at work like the service of any workload.
fn service(spec: &PluginComponent, world: &World) -> Result<Option<Service>, ComponentPluginError> {
    if runs(world).is_none() {
        return match spec.max_restarts {
            Some(_) => Err(ComponentPluginError::NothingToRestart),
            None => Ok(None),
        };
    }
    let mut resources = spec.component.local_resources.clone();
    // Those are for one call.
    (resources.limits.cpu, resources.limits.time) = (Limit::Default, Limit::Default);
    let image = spec.component.image.clone();
    let max_restarts = spec.max_restarts.unwrap_or(u64::MAX);
    Ok(Some(Service::new(image, resources, max_restarts)))
}

/// The workload of a plugin. Who configures a host grants a plugin what it imports; what it may reach and spend stands with it.
fn workload(
    component: &Component,
    service: Option<Service>,
    world: &World,
    others: &[Arc<dyn Plugin>],
) -> Result<Workload, StartError> {
    let invalid = |error: NameError| StartError::Host(error.to_string());
    let offers: Vec<Offer> = others.iter().flat_map(|plugin| plugin.offers()).collect();
    let listed = |interface: &Interface| {
        let mut answers = offers
            .iter()
            .filter(|offer| interface.accepts(&offer.interface));
        answers.any(|offer| offer.grant == Grant::Listed)
    };
    let imports = world.imports.iter().filter_map(Extern::interface);
    let granted = imports.filter(|interface| listed(interface));
    Ok(Workload {
        namespace: NAMESPACE.parse().map_err(invalid)?,
        name: component.name.as_str().parse().map_err(invalid)?,
        annotations: Default::default(),
        labels: Default::default(),
        components: vec![component.clone()],
        service,
        host_interfaces: granted.map(entry).collect(),
        links: Vec::new(),
        volumes: Vec::new(),
        schedules: Vec::new(),
    })
}

fn entry(interface: &Interface) -> HostInterface {
    HostInterface {
        name: None,
        namespace: interface.namespace.clone(),
        package: interface.package.clone(),
        interfaces: [interface.name.clone()].into(),
        version: interface.version.clone(),
        config: Default::default(),
    }
}

impl Plugin for ComponentPlugin {
    fn id(&self) -> &'static str {
        self.id
    }

    fn offers(&self) -> Vec<Offer> {
        let offers = self.offered.iter().map(|interface| Offer {
            grant: Grant::Listed,
            ..Offer::identity(interface.clone())
        });
        offers.collect()
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        if !self.is_own(workload) || *workload == self.workload {
            return Vec::new();
        }
        let message = format!("`{NAMESPACE}/{}` is a plugin of this host", self.id);
        let error = PluginError::new(message).hint("choose another namespace");
        vec![error.at("metadata.namespace")]
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let Some(callee) = self.callee.get() else {
            wasmtime::bail!("the plugin `{}` is not up", self.id);
        };
        let Some(export) = self.world.exporting(import.interface) else {
            wasmtime::bail!("the plugin `{}` does not export it", self.id);
        };
        define_to_one(linker, import, callee, &export.name)
    }
}

impl std::fmt::Debug for ComponentPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentPlugin")
            .field("id", &self.id)
            .field("offered", &self.offered)
            .finish_non_exhaustive()
    }
}
