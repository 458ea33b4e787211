//! What the `config` of an entry of `hostInterfaces` says about messages.

use super::handling::{Handling, Space, handling};
#[cfg(feature = "messaging-nats")]
use super::jetstream::{Streams, streams};
#[cfg(feature = "messaging-nats")]
use crate::capability::nats::NatsUrl;
use crate::capability::settings::Settings;
use crate::capability::tenant::Tenant;
use crate::plugin::PluginError;
use crate::workload::{HostInterface, Interface, Workload};

/// An entry for messages.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// By which label components import what it is for.
    pub(super) label: Option<String>,
    pub(super) backend: Backend,
    /// Whether it is for those who send.
    pub(super) sends: bool,
    /// What it subscribes to, where it is for those who handle.
    pub(super) handles: Option<Handling>,
}

/// What passes the messages on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Backend {
    /// The host itself, for one tenant.
    Memory(Tenant),
    /// Servers, for whoever may speak to them.
    #[cfg(feature = "messaging-nats")]
    Nats(NatsUrl),
    /// Streams on servers.
    #[cfg(feature = "messaging-nats")]
    JetStream(Streams),
}

impl Backend {
    /// Whether messages come back that are not handled.
    fn redelivers(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            #[cfg(feature = "messaging-nats")]
            Self::Nats(_) => false,
            #[cfg(feature = "messaging-nats")]
            Self::JetStream(_) => true,
        }
    }

    /// What its subjects lead to.
    pub(super) fn space(&self) -> Space {
        match self {
            Self::Memory(_) => Space::Own,
            #[cfg(feature = "messaging-nats")]
            Self::Nats(_) => Space::Server,
            #[cfg(feature = "messaging-nats")]
            Self::JetStream(streams) if streams.place.is_own() => Space::Own,
            #[cfg(feature = "messaging-nats")]
            Self::JetStream(_) => Space::Stream,
        }
    }
}

/// Whether an entry is for messages.
pub(super) fn is_ours(entry: &HostInterface) -> bool {
    let interface = |name: &str| Interface {
        namespace: "wasmcloud".to_owned(),
        package: "messaging".to_owned(),
        name: name.to_owned(),
        version: None,
    };
    ["types", "consumer", "handler"]
        .iter()
        .any(|name| entry.covers(&interface(name)))
}

/// The entries of a workload that are for messages, and everything that is wrong with them.
pub(super) fn read(workload: &Workload, id: &str) -> (Vec<Entry>, Vec<PluginError>) {
    let (mut entries, mut errors): (Vec<Entry>, _) = (Vec::new(), Vec::new());
    let ours = workload.host_interfaces.iter().enumerate();
    for (index, entry) in ours.filter(|(_, entry)| is_ours(entry)) {
        let mut settings = Settings::of(entry, index);
        let sends = entry.interfaces.contains("consumer");
        let backend = backend(workload, &mut settings);
        let handles = entry.interfaces.contains("handler");
        let handles = handles.then(|| {
            let space = backend.as_ref().map_or(Space::Own, Backend::space);
            let redelivers = backend.as_ref().is_none_or(Backend::redelivers);
            handling(space, redelivers, sends, &mut settings)
        });
        let label = entry.name.clone().filter(|name| name != id);
        let mut wrong = settings.finish();
        let elsewhere = |other: &Entry| {
            other.sends && other.label == label && Some(&other.backend) != backend.as_ref()
        };
        if sends && entries.iter().any(elsewhere) {
            let error = "an earlier entry sends elsewhere what this workload sends";
            let hint = "list `consumer` in one of them only";
            let place = format!("spec.hostInterfaces.{index}.interfaces");
            wrong.push(PluginError::new(error).hint(hint).at(place));
        }
        if let (Some(backend), true) = (backend, wrong.is_empty()) {
            entries.push(Entry {
                label,
                backend,
                sends,
                handles,
            });
        }
        errors.extend(wrong);
    }
    (entries, errors)
}

/// What a backend is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    #[cfg(feature = "messaging-nats")]
    Nats,
    #[cfg(feature = "messaging-nats")]
    JetStream,
}

const KINDS: &[(&str, Kind)] = &[
    ("in-memory", Kind::Memory),
    #[cfg(feature = "messaging-nats")]
    ("nats", Kind::Nats),
    #[cfg(feature = "messaging-nats")]
    ("jetstream", Kind::JetStream),
];

/// `None`: it is wrong.
fn backend(workload: &Workload, settings: &mut Settings<'_>) -> Option<Backend> {
    let kind = match settings.text("backend") {
        None => Kind::Memory,
        Some(_) => settings.word("backend", KINDS)?,
    };
    match kind {
        Kind::Memory => Some(Backend::Memory(Tenant::configured(workload, settings))),
        #[cfg(feature = "messaging-nats")]
        Kind::Nats => {
            settings.required("url", "it says where the NATS server is")?;
            settings.parse("url", str::parse).map(Backend::Nats)
        }
        #[cfg(feature = "messaging-nats")]
        Kind::JetStream => streams(workload, settings).map(Backend::JetStream),
    }
}
