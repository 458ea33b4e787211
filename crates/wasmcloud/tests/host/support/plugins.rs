//! Plugins and sources for tests of the host: they fail, wait and look on as told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use wasmcloud::artifact::{Fetch, FetchError, Fetched, Files, Wanted};
use wasmcloud::capability::{config::Config, logging::Logging, wasi::Wasi};
use wasmcloud::plugin::{
    BindRequest, Binding, EndingSender, Import, Offer, Opening, Plugin, PluginError, State,
    StoreData,
};
use wasmcloud::workload::WorkloadId;
use wasmtime::component::LinkerInstance;

/// Where a plugin goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Bind,
    Link,
    PanicInLink,
    Open,
}

/// What is told when workloads go live.
type OnLive = Box<dyn Fn(&WorkloadId) + Send + Sync>;

/// Looks on from inside three plugins, and makes them fail.
#[derive(Default)]
pub(crate) struct Ledger {
    bound: AtomicUsize,
    ever_bound: AtomicUsize,
    fault: Mutex<Option<(&'static str, Fault)>>,
    endings: Mutex<HashMap<WorkloadId, EndingSender>>,
    on_live: Mutex<Option<OnLive>>,
}

impl Ledger {
    /// Plugins that do what the host's own do, under this ledger. They come before the host's own and so answer in their place.
    pub(crate) fn plugins(self: &Arc<Self>) -> Vec<Arc<dyn Plugin>> {
        let inner: [Arc<dyn Plugin>; 3] = [
            Arc::new(Config),
            Arc::new(Logging),
            Arc::new(Wasi::default()),
        ];
        let watched = inner.map(|inner| {
            let ledger = Arc::clone(self);
            Arc::new(Watched { inner, ledger }) as Arc<dyn Plugin>
        });
        watched.into()
    }

    /// How many bindings are held.
    pub(crate) fn bound(&self) -> usize {
        self.bound.load(Ordering::SeqCst)
    }

    /// How many bindings were ever made.
    pub(crate) fn ever_bound(&self) -> usize {
        self.ever_bound.load(Ordering::SeqCst)
    }

    /// Lets the plugin of that id fail from now on; `None` mends it.
    pub(crate) fn fail(&self, fault: Option<(&'static str, Fault)>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// How plugins report the end of a workload that has opened.
    pub(crate) fn ending(&self, id: &WorkloadId) -> EndingSender {
        self.endings.lock().unwrap()[id].clone()
    }

    /// Calls this whenever a workload goes live.
    pub(crate) fn on_live(&self, hook: impl Fn(&WorkloadId) + Send + Sync + 'static) {
        *self.on_live.lock().unwrap() = Some(Box::new(hook));
    }

    fn opened(&self, id: &WorkloadId, opening: &Opening) {
        let ending = opening.ending.clone();
        self.endings.lock().unwrap().insert(id.clone(), ending);
    }

    fn fails(&self, plugin: &str, fault: Fault) -> bool {
        self.fault.lock().unwrap().as_ref() == Some(&(plugin, fault))
    }
}

struct Watched {
    inner: Arc<dyn Plugin>,
    ledger: Arc<Ledger>,
}

#[async_trait]
impl Plugin for Watched {
    fn id(&self) -> &'static str {
        self.inner.id()
    }

    fn offers(&self) -> Vec<Offer> {
        self.inner.offers()
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        if self.ledger.fails(self.id(), Fault::Bind) {
            return Err(PluginError::new("told to fail at bind").hint("do not"));
        }
        let inner = self.inner.bind(request).await?;
        self.ledger.bound.fetch_add(1, Ordering::SeqCst);
        self.ledger.ever_bound.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(WatchedBinding {
            id: request.id.clone(),
            plugin: self.id(),
            inner,
            ledger: Arc::clone(&self.ledger),
        }))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        if self.ledger.fails(self.id(), Fault::Link) {
            return Err(wasmtime::format_err!("told to fail at link"));
        }
        assert!(
            !self.ledger.fails(self.id(), Fault::PanicInLink),
            "told to panic at link"
        );
        self.inner.link(import, linker)
    }
}

struct WatchedBinding {
    id: WorkloadId,
    plugin: &'static str,
    inner: Box<dyn Binding>,
    ledger: Arc<Ledger>,
}

#[async_trait]
impl Binding for WatchedBinding {
    fn state(&self) -> Option<State> {
        self.inner.state()
    }

    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        if self.ledger.fails(self.plugin, Fault::Open) {
            return Err(PluginError::new("told to fail at open"));
        }
        self.ledger.opened(&self.id, &opening);
        self.inner.open(opening).await
    }

    fn go_live(&mut self) {
        self.inner.go_live();
        if let Some(hook) = &*self.ledger.on_live.lock().unwrap() {
            hook(&self.id);
        }
    }
}

impl Drop for WatchedBinding {
    fn drop(&mut self) {
        self.ledger.bound.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Reads files, but only as often as it is let.
pub(crate) struct Gate {
    files: Files,
    passes: Semaphore,
    waiting: watch::Sender<usize>,
}

impl Gate {
    /// Lets nobody through.
    pub(crate) fn closed() -> Arc<Self> {
        Arc::new(Self {
            files: Files::default(),
            passes: Semaphore::new(0),
            waiting: watch::Sender::new(0),
        })
    }

    /// Lets some through, now or later.
    pub(crate) fn let_through(&self, fetches: usize) {
        self.passes.add_permits(fetches);
    }

    /// Waits until somebody has come to the gate that many times.
    pub(crate) async fn reached(&self, times: usize) {
        let mut waiting = self.waiting.subscribe();
        let reached = waiting.wait_for(|came| *came >= times);
        super::within(reached).await.expect("the gate stands");
    }
}

#[async_trait]
impl Fetch for Gate {
    async fn fetch(&self, wanted: Wanted<'_>) -> Result<Fetched, FetchError> {
        self.waiting.send_modify(|came| *came += 1);
        self.passes
            .acquire()
            .await
            .expect("the gate stands")
            .forget();
        self.files.fetch(wanted).await
    }
}
