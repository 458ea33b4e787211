//! What the tests of the engine share: small components in text form, and a plugin that answers and calls them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime::component::LinkerInstance;

use super::cache::DiskCache;
use super::config::config;
use super::isolated::slots;
use super::plan::{LinkPlan, Member, PlannedCallee, PlannedEntry, Worlds, plan};
use super::{
    Allocation, Artifact, Components, Engine, EngineOptions, Flavour, PrepareError, attribution,
    inspect,
};
use crate::instance::{CalleeParts, HostRoom, IsolatedCallee, MemoryAccount, WorkloadLog};
use crate::plugin::{
    CallError, Callee, ComponentContext, Import, InstanceContext, Offer, Plugin, StoreData,
    TracingOutput, WorkloadContext,
};
use crate::policy::GuestLimits;
use crate::workload::{Component, Interface, Link, LinkKind, LinkTarget, Workload};

/// Answers `demo:host/seven`, which is 7 to everyone, and `demo:host/place`, which is each caller's position; calls
/// `demo:entry/run`.
pub(super) struct Bench;

impl Plugin for Bench {
    fn id(&self) -> &'static str {
        "bench"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![
            Offer::shared("demo:host/seven@1.0.0".parse().unwrap()),
            Offer::identity("demo:host/place@1.0.0".parse().unwrap()),
        ]
    }

    fn handles(&self) -> Vec<Interface> {
        vec!["demo:entry/run@1.0.0".parse().unwrap()]
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let number = if import.interface.name == "seven" {
            7
        } else {
            import.position.0
        };
        linker.func_wrap("f", move |_, (): ()| Ok((number,)))
    }
}

/// An engine with the plugin and WASI, which keeps its artifacts in the folder if there is one.
pub(super) fn engine(cache_dir: Option<&Path>) -> Engine {
    let options = EngineOptions {
        allocation: Allocation::OnDemand { instances: 64 },
        cache_dir: cache_dir.map(Path::to_owned),
        compilations: 2,
    };
    let plugins: [Arc<dyn Plugin>; 2] = [
        Arc::new(Bench),
        Arc::new(crate::capability::wasi::Wasi::default()),
    ];
    Engine::new(options, Arc::new(plugins))
}

/// The artifacts of one engine of this program.
pub(super) fn plain_cache(root: &Path) -> std::io::Result<DiskCache> {
    let allocation = Allocation::OnDemand { instances: 64 };
    let engine = wasmtime::Engine::new(&config(Flavour::Plain, allocation)).unwrap();
    DiskCache::open(root, &engine, Flavour::Plain)
}

/// Makes a file look as if it was last used so long ago.
pub(super) fn make_old(file: &Path, age: Duration) {
    let file = std::fs::File::open(file).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// How long ago a file was last used, as it looks.
pub(super) fn age(file: &Path) -> Duration {
    let used = std::fs::metadata(file).unwrap().modified().unwrap();
    used.elapsed().unwrap()
}

/// A component whose export `f` (`run` of an entry) adds `own` to what its imports give. Its core module has no name.
pub(super) fn adder(export: &str, imports: &[&str], own: u32) -> Vec<u8> {
    let body = (0..imports.len()).map(|n| format!("(i32.add (call {n}))"));
    component(
        export,
        imports,
        &format!("(i32.const {own}) {}", body.collect::<String>()),
    )
}

/// Like [`adder`], with any code that leaves an `i32`; import `n` is function `n`.
pub(super) fn component(export: &str, imports: &[&str], code: &str) -> Vec<u8> {
    let function = if export == ENTRY { "run" } else { "f" };
    let mut text = String::from("(component");
    let (mut core, mut with) = (String::new(), String::new());
    for (n, import) in imports.iter().enumerate() {
        text += &format!(
            r#" (import "{import}" (instance $i{n} (export "f" (func (result u32)))))
                (alias export $i{n} "f" (func $f{n}))
                (core func $c{n} (canon lower (func $f{n})))"#
        );
        core += &format!(r#" (import "" "{n}" (func (result i32)))"#);
        with += &format!(r#" (export "{n}" (func $c{n}))"#);
    }
    text += &format!(
        r#" (core module {core} (func (export "{export}#f") (result i32) {code}))
            (core instance $m (instantiate 0 (with "" (instance {with}))))
            (func $out (result u32) (canon lift (core func $m "{export}#f")))
            (instance $e (export "{function}" (func $out)))
            (export "{export}" (instance $e)))"#
    );
    wat::parse_str(&text).unwrap()
}

/// What the plugin calls.
pub(super) const ENTRY: &str = "demo:entry/run@1.0.0";
/// What the plugin answers, alike for all.
pub(super) const SEVEN: &str = "demo:host/seven@1.0.0";
/// What the plugin answers differently for each.
pub(super) const PLACE: &str = "demo:host/place@1.0.0";
/// What siblings answer.
pub(super) const LEFT: &str = "demo:x/left@1.0.0";
/// What siblings answer.
pub(super) const RIGHT: &str = "demo:x/right@1.0.0";

/// A planned workload with one entry.
pub(super) struct Planned {
    pub(super) entry: PlannedEntry,
    pub(super) callees: Vec<PlannedCallee>,
    pub(super) components: Components,
}

/// Plans components for the engine's host; `links` are `(from, import, to)`.
pub(super) fn planned(
    engine: &Engine,
    components: &[(&str, Vec<u8>)],
    links: &[(&str, &str, &str)],
) -> Planned {
    planned_over(LinkKind::Fused, engine, components, links)
}

/// Like [`planned`], with links of another kind.
pub(super) fn planned_over(
    kind: LinkKind,
    engine: &Engine,
    components: &[(&str, Vec<u8>)],
    links: &[(&str, &str, &str)],
) -> Planned {
    let components: Components = components
        .iter()
        .map(|(name, bytes)| (name.parse().unwrap(), inspect(bytes).unwrap()))
        .collect();
    let worlds: Worlds = components
        .iter()
        .map(|(name, inspected)| (name.clone(), Arc::clone(&inspected.world)))
        .collect();
    let workload = workload(kind, &components, links);
    let mut plan: LinkPlan = plan(&workload, &worlds, engine.offers()).unwrap();
    assert_eq!(plan.entries.len(), 1);
    Planned {
        entry: plan.entries.remove(0),
        callees: plan.callees,
        components,
    }
}

fn workload(kind: LinkKind, components: &Components, links: &[(&str, &str, &str)]) -> Workload {
    let components = components.keys().map(|name| Component {
        pull: Default::default(),
        name: name.clone(),
        image: "./x.wasm".parse().unwrap(),
        local_resources: Default::default(),
        reuse: Default::default(),
    });
    let links = links.iter().map(|(from, import, to)| Link {
        from: Some(from.parse().unwrap()),
        import: import.parse().unwrap(),
        to: LinkTarget::Component(to.parse().unwrap()),
        kind,
    });
    Workload {
        namespace: Default::default(),
        name: "test".parse().unwrap(),
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
        components: components.collect(),
        service: None,
        host_interfaces: vec!["demo:entry/run".parse().unwrap()],
        links: links.collect(),
        volumes: Vec::new(),
        schedules: Vec::new(),
    }
}

impl Planned {
    pub(super) async fn prepare(&self, engine: &Engine) -> Arc<Artifact> {
        self.try_prepare(engine).await.unwrap()
    }

    pub(super) async fn try_prepare(&self, engine: &Engine) -> Result<Arc<Artifact>, PrepareError> {
        let PlannedEntry {
            flavour, members, ..
        } = &self.entry;
        engine.prepare(*flavour, members, &self.components).await
    }

    /// Who the members of the entry are, as their instances see it.
    pub(super) fn context(&self) -> Arc<InstanceContext> {
        self.context_of(&self.entry.members, Vec::new())
    }

    fn context_of(&self, members: &[Member], callees: Vec<IsolatedCallee>) -> Arc<InstanceContext> {
        let members = || members.iter().map(|member| &member.component);
        let worlds = members().map(|name| Arc::clone(&self.components[name].world));
        let contexts = members().map(|name| {
            Arc::new(ComponentContext {
                name: name.clone(),
                environment: Vec::new(),
                role: Default::default(),
                allowed_hosts: Vec::new(),
                allowed_names: Vec::new(),
                host_ports: Vec::new(),
                told: Default::default(),
            })
        });
        Arc::new(InstanceContext {
            workload: Arc::new(WorkloadContext {
                id: "test".parse().unwrap(),
                namespace: Default::default(),
                name: "test".parse().unwrap(),
                states: std::iter::empty().collect(),
                log: Arc::new(WorkloadLog::new(Arc::new(TracingOutput), 0, u64::MAX)),
                memory: Arc::new(MemoryAccount::of_host(u64::MAX)),
                farewell: Default::default(),
                crossing: WorkloadContext::room_to_cross(),
            }),
            members: contexts.collect(),
            attribution: attribution(worlds.collect()),
            limits: GuestLimits::default().instance([&Default::default()]),
            callees,
        })
    }

    /// A way to call what was made of the members.
    fn callee(
        &self,
        artifact: &Artifact,
        members: &[Member],
        made: &[(Arc<Artifact>, Callee)],
    ) -> Callee {
        let answers = slots(members).enumerate().map(|(slot, (_, _, link))| {
            let (callee, called) = &made[link.callee];
            IsolatedCallee {
                callee: called.clone(),
                functions: artifact.connect(slot, callee, &link.export).unwrap(),
            }
        });
        let mut room = HostRoom::new(GuestLimits::default(), u64::MAX).workload();
        Callee::new(CalleeParts {
            resident: false,
            pre: artifact.pre.clone(),
            context: self.context_of(members, answers.collect()),
            concurrent: artifact.flavour == Flavour::Concurrent,
            reuse: Default::default(),
            share: room.share(&artifact.capacity),
            tenant: Arc::clone(&room.tenant),
            processors: room.host.processors.clone(),
            patience: Duration::ZERO,
            leases: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }

    /// Prepares everything and calls the entry.
    pub(super) async fn run_all(&self, engine: &Engine) -> wasmtime::Result<u32> {
        let mut made = Vec::new();
        for PlannedCallee { flavour, members } in &self.callees {
            let artifact = engine.prepare(*flavour, members, &self.components).await;
            let artifact = artifact.unwrap();
            let callee = self.callee(&artifact, members, &made);
            made.push((artifact, callee));
        }
        let artifact = self.prepare(engine).await;
        call(&self.callee(&artifact, &self.entry.members, &made)).await
    }

    /// Calls the entry in a fresh instance.
    pub(super) async fn run(&self, artifact: &Artifact) -> wasmtime::Result<u32> {
        call(&self.callee(artifact, &self.entry.members, &[])).await
    }

    /// Prepares and calls the entry; the error, and the component whose code failed as far as that can be told.
    pub(super) async fn failure(&self, engine: &Engine) -> (wasmtime::Error, Option<String>) {
        let error = self.run(&*self.prepare(engine).await).await.unwrap_err();
        let culprit = self.context().culprit(&error).map(|it| it.name.to_string());
        (error, culprit)
    }
}

async fn call(callee: &Callee) -> wasmtime::Result<u32> {
    let ran = callee.invoke(|lease| {
        Box::pin(async move {
            let (store, instance) = lease.parts()?;
            let entry = instance.get_export_index(&mut *store, None, ENTRY).unwrap();
            let run = instance
                .get_export_index(&mut *store, Some(&entry), "run")
                .unwrap();
            let run = instance.get_typed_func::<(), (u32,)>(&mut *store, run)?;
            Ok(run.call_async(&mut *store, ()).await?.0)
        })
    });
    ran.await.map_err(|error| match error {
        CallError::Trap(error) | CallError::Instantiate(error) => error,
        error => panic!("{error}"),
    })
}
