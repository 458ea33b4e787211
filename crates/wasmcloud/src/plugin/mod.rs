//! What a capability must be: the contract between the engine, which links components, and the plugins that answer their
//! imports or call their exports.
//!
//! A plugin meets a workload in three moments. **bind** acquires whatever the workload needs, **link** puts functions into a
//! linker (no I/O, no state of a workload), **open** lets the world in. What bind returns owns everything acquired: dropping it
//! is the only undo.

mod ending;
mod entry;
mod scheduled;
mod wave;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use wasmtime::component::LinkerInstance;
use wasmtime::component::types::ComponentInstance;

pub use ending::{Ended, Ending, EndingSender};
pub use entry::Entry;
pub use scheduled::{LastRun, RunOutcome, ScheduleStatus, Scheduled};
pub(crate) use wave::in_full;
pub use wave::{Answer, WaveError};

#[cfg(feature = "http")]
pub use crate::instance::{Answered, SendRequest};
pub use crate::instance::{
    Attribution, CallError, Callee, ComponentContext, Entered, FileState, GuestLine, GuestOutput,
    InstanceContext, Invocation, Lease, LogLevel, NoMemory, OnInstance, Position, Presence, Role,
    Source, State, States, StoreData, Telling, Told, TracingOutput, WorkloadContext,
};
use crate::workload::{ComponentName, HostInterface, Interface, Workload, WorkloadId};

/// Whether a workload has to list an interface before its components may import it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Free to every component: it only computes, or it denies by itself.
    Free,
    /// Reaches out or keeps data: `hostInterfaces` must list it.
    Listed,
}

/// An interface that a plugin answers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The interface, at the version the plugin implements.
    pub interface: Interface,
    /// Whether `hostInterfaces` must list it.
    pub grant: Grant,
    /// Whether the answer depends on which component asks. Such imports stay apart when components are fused, and the plugin is
    /// told the caller's [`Position`]. An interface that defines resources cannot bear identity.
    pub identity: bool,
    /// Whether the plugin reads the `config` of a matching `hostInterfaces` entry. Where it does not, a `config` is an error.
    pub configurable: bool,
}

impl Offer {
    /// An offer that needs no grant, bears no identity and takes no configuration.
    #[must_use]
    pub fn shared(interface: Interface) -> Self {
        Self {
            interface,
            grant: Grant::Free,
            identity: false,
            configurable: false,
        }
    }

    /// Like [`Offer::shared`], for an interface whose answer depends on the caller.
    #[must_use]
    pub fn identity(interface: Interface) -> Self {
        Self {
            identity: true,
            ..Self::shared(interface)
        }
    }
}

/// A capability of the host. Implementations are registered once per host and serve all its workloads.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// A stable name for messages and plans, such as `wasi-config`.
    fn id(&self) -> &'static str;

    /// The imports it answers.
    fn offers(&self) -> Vec<Offer>;

    /// The exports it calls, most wanted first. A component that exports one of them is an entry of its workload when
    /// `hostInterfaces` lists the interface. Interfaces of one plugin are alternatives: a component that exports several is
    /// called through the first.
    fn handles(&self) -> Vec<Interface> {
        Vec::new()
    }

    /// Whether it calls every component that exports what it handles. Where it does not, it calls the one in front of the others.
    /// An entry of `hostInterfaces` whose `config` has a `component` is then for that one, and one without is for all that no other
    /// entry names.
    fn handles_every(&self) -> bool {
        false
    }

    /// Whether it calls what the `schedules` of a workload name. Of several plugins that do, the first one does.
    fn runs_schedules(&self) -> bool {
        false
    }

    /// Looks at the settings of a workload, without touching anything: everything that is wrong with them. Called before anything
    /// is fetched, and by whoever wants to know without starting.
    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        let _ = workload;
        Vec::new()
    }

    /// Whether a workload uses it although none of its components imports or exports anything for it.
    fn is_wanted(&self, workload: &Workload) -> bool {
        let _ = workload;
        false
    }

    /// Acquires what one workload needs.
    ///
    /// # Errors
    /// When the workload's configuration is wrong or a backend cannot be had; then nothing is held.
    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let _ = request;
        Ok(Box::new(NothingHeld))
    }

    /// Lets nobody in any more: the host is shutting down. What is being answered goes on.
    fn close(&self) {}

    /// Returns when nobody is left whom it had let in before [`Plugin::close`].
    async fn closed(&self) {}

    /// Puts the functions of one import into the linker. Called once for each import of an artifact, so never with anything that
    /// belongs to a workload: that travels in [`StoreData`].
    ///
    /// # Errors
    /// When the import is not one of its offers, or a function cannot be defined.
    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()>;
}

/// An import of an artifact that a plugin is asked to answer.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// The interface as the component names it; its version may differ from the offer's on the same track.
    pub interface: &'a Interface,
    /// Which component of the fused one asks; 0 for interfaces that bear no identity.
    pub position: Position,
    /// By which label, where the component does not import the interface by its own name. Labels stay apart whatever the interface.
    pub label: Option<&'a str>,
    /// What the importing component takes the interface for.
    pub ty: &'a ComponentInstance,
}

impl Import<'_> {
    /// Who asks.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker {
            position: self.position,
            label: self.label.map(Arc::from),
        }
    }
}

/// Who asks, of an import whose answer depends on that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// Which component of the fused one.
    pub position: Position,
    /// By which label.
    pub label: Option<Arc<str>>,
}

/// What a plugin is told when a workload that uses it starts.
#[derive(Clone, Copy, Debug)]
pub struct BindRequest<'a> {
    /// The id under which the supervisor started it.
    pub id: &'a WorkloadId,
    /// The whole workload.
    pub workload: &'a Workload,
    /// Where relative paths in it begin.
    pub base: &'a Path,
    /// The entries of `hostInterfaces` that concern this plugin.
    pub interfaces: &'a [HostInterface],
    /// Which components use which of its offers, by their position in the workload.
    pub uses: &'a [(ComponentName, Interface)],
}

/// What [`Binding::open`] is given.
#[derive(Debug)]
pub struct Opening {
    /// The entries that the plugin handles.
    pub entries: Vec<Entry>,
    /// The workload whose place this one takes: the plugin hands over what must not be absent or double, such as routes.
    pub replaces: Option<WorkloadId>,
    /// Where to tell the host that the workload is over.
    pub ending: EndingSender,
    /// For whom the workload waits before it is gone, besides its entries' callers.
    pub presence: Presence,
}

/// A port on which a workload listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Port {
    /// Where, inside the workload.
    pub inside: SocketAddr,
    /// Where the machine takes connections for it, if it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<SocketAddr>,
}

/// What a plugin holds for one workload. Dropping it releases everything and ends what [`Binding::open`] began.
#[async_trait]
pub trait Binding: Send + Sync + 'static {
    /// What host functions of this plugin need to see in the store of every instance of the workload.
    fn state(&self) -> Option<State> {
        None
    }

    /// The ports on which the workload listens now.
    fn ports(&self) -> Vec<Port> {
        Vec::new()
    }

    /// What the workload cannot have now of what it was granted, in words for whoever runs it: which backend of what is away, and why as
    /// far as is known. It is asked often, and must not wait; secrets are none of it.
    fn troubles(&self) -> Vec<String> {
        Vec::new()
    }

    /// Changes whenever [`Binding::ports`] may have.
    fn port_changes(&self) -> Option<watch::Receiver<()>> {
        None
    }

    /// Returns when whoever is let in would find somebody. Called when the service of the workload is up, which may take its time.
    async fn ready(&self) {}

    /// Makes ready to let the world in: everything that can fail. Called once, when everything else of the workload is ready; one
    /// workload at a time.
    ///
    /// # Errors
    /// When the outside cannot be joined, such as a route that another workload holds.
    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        let _ = opening;
        Ok(())
    }

    /// How the schedules of the workload stand, and how to run one now; for the plugin that runs them.
    fn schedules(&self) -> Option<Arc<dyn Scheduled>> {
        None
    }

    /// Lets the world in, taking over from the workload that is replaced. Called when all plugins have opened; it cannot fail.
    fn go_live(&mut self) {}
}

/// The binding of a plugin that needs nothing.
#[derive(Debug)]
pub struct NothingHeld;

impl Binding for NothingHeld {}

/// Why a plugin refused a workload.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PluginError {
    /// What failed, what was found and what was wanted.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the manifest, as a path such as `spec.hostInterfaces.0`.
    pub path: Option<String>,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl PluginError {
    /// An error with a message only.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            path: None,
            source: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the place in the manifest.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// The plugins of a host, in a fixed order.
pub type Plugins = Arc<[Arc<dyn Plugin>]>;
