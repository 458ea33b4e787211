//! The plugin: bind finds the brokers, open subscribes, going live handles.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasmtime::component::LinkerInstance;

use super::brokers::Brokers;
use super::deliver::{Handle, serve};
use super::handling::{Handling, Own};
use super::memory::{Bus, Buses, Room};
use super::outlet::{Outlet, Turn, UnderWay};
use super::reason::{LOGGED, PASSED_ON, cut};
use super::settings;
use super::{Broker, Message, MessagingError, Subscription, Verdict, Wanted, p2, p3};
use crate::capability::in_flight::{InFlight, Permit};
use crate::capability::routes::troubled;
use crate::capability::tenant::Tenant;
#[cfg(feature = "messaging-nats")]
use crate::net::dial::Dial;
use crate::plugin::{
    Asker, BindRequest, Binding, CallError, Entry, Grant, Import, Offer, Opening, Plugin,
    PluginError, Presence, State, StoreData,
};
use crate::workload::{ComponentName, Interface, Workload};

const ID: &str = "wasmcloud-messaging";

/// How many bodies of 0.3 a workload may be sending at once.
const SENDING: usize = 64;
/// How many bytes of answers may wait for the guests of a workload to read them.
const UNREAD: usize = 64 << 20;
/// What a failure counts for in the log of its workload at least, in bytes: a line and a backtrace.
const FAILURE: usize = 4 << 10;

/// What messages may be and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagingOptions {
    /// How long the body of a message may be, in bytes.
    pub max_message: u64,
    /// How many messages may wait in the host for each subscription of a workload, those that are being handled among them.
    pub max_waiting: usize,
    /// How many bytes of messages may wait in the host for the subscriptions of one workload. What the workloads of a namespace share
    /// within the host has one such room, by however many names they do.
    pub max_waiting_bytes: usize,
}

impl Default for MessagingOptions {
    /// 1 MiB; 10 000 messages; 64 MiB.
    fn default() -> Self {
        Self {
            max_message: 1 << 20,
            max_waiting: 10_000,
            max_waiting_bytes: 64 << 20,
        }
    }
}

/// The plugin for `wasmcloud:messaging`.
#[derive(Default)]
pub struct Messaging {
    options: MessagingOptions,
    #[cfg(feature = "messaging-nats")]
    dial: Option<Dial>,
    buses: Mutex<Buses>,
    closed: CancellationToken,
}

impl std::fmt::Debug for Messaging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messaging")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Messaging {
    /// With options.
    #[must_use]
    pub fn new(options: MessagingOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// The way to servers, if this host has one.
    #[cfg(feature = "messaging-nats")]
    pub(super) fn dial(&self) -> Option<&Dial> {
        self.dial.as_ref()
    }

    /// Reaches the servers that manifests name; without a way out, they cannot be had.
    #[cfg(feature = "messaging-nats")]
    #[must_use]
    pub(crate) fn with_dial(mut self, dial: Dial) -> Self {
        self.dial = Some(dial);
        self
    }

    pub(super) fn room(&self) -> Room {
        Room {
            messages: self.options.max_waiting,
            bytes: self.options.max_waiting_bytes,
        }
    }

    pub(super) fn bus(&self, tenant: &Tenant) -> Bus {
        let mut buses = self.buses.lock().unwrap_or_else(PoisonError::into_inner);
        buses.of(tenant, self.room())
    }
}

fn interface(name: &str, minor: u64) -> Interface {
    Interface {
        namespace: "wasmcloud".to_owned(),
        package: "messaging".to_owned(),
        name: name.to_owned(),
        version: Some(semver::Version::new(0, minor, 0)),
    }
}

#[async_trait]
impl Plugin for Messaging {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self) -> Vec<Offer> {
        let both = [2, 3].into_iter().flat_map(|minor| {
            let consumer = Offer {
                grant: Grant::Listed,
                configurable: true,
                ..Offer::shared(interface("consumer", minor))
            };
            [Offer::shared(interface("types", minor)), consumer]
        });
        both.collect()
    }

    fn handles(&self) -> Vec<Interface> {
        vec![interface("handler", 3), interface("handler", 2)]
    }

    fn handles_every(&self) -> bool {
        true
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        settings::read(workload, ID).1
    }

    fn close(&self) {
        self.closed.cancel();
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let (entries, wrong) = settings::read(request.workload, ID);
        if let Some(wrong) = wrong.into_iter().next() {
            return Err(wrong);
        }
        let workload = request.workload;
        let about = format!("{}/{}", workload.namespace, workload.name);
        let (mut outlets, mut handlings) = (HashMap::new(), Vec::new());
        let (mut brokers, under_way) = (Brokers::of(self, &about), UnderWay::default());
        for entry in entries {
            let broker = brokers.get(&entry.backend).await?;
            if entry.sends {
                let longest = self.options.max_message;
                let outlet = Outlet::new(Arc::clone(&broker), longest, under_way.clone());
                outlets.insert(entry.label.clone(), outlet);
            }
            if let Some(handling) = entry.handles {
                handlings.push((broker, handling));
            }
        }
        Ok(Box::new(Bound {
            outlets: Arc::new(Outlets {
                by_label: outlets,
                sending: Arc::new(Semaphore::new(SENDING)),
                unread: InFlight::new(UNREAD),
            }),
            handlings,
            own: Own::of(workload),
            opened: Vec::new(),
            presence: None,
            serving: Vec::new(),
            closed: self.closed.child_token(),
        }))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let version = import.interface.version.as_ref();
        match (import.interface.name.as_str(), version.map(|it| it.minor)) {
            // It has no functions.
            ("types", _) => Ok(()),
            ("consumer", Some(2)) => p2::link(import, linker),
            ("consumer", Some(3)) => p3::link(import, linker),
            _ => Err(wasmtime::format_err!(
                "`{}` is not offered",
                import.interface
            )),
        }
    }
}

/// Where the components of a workload send to.
pub(super) struct Outlets {
    by_label: HashMap<Option<String>, Outlet>,
    sending: Arc<Semaphore>,
    unread: InFlight,
}

impl Outlets {
    /// Those of the workload that the store belongs to.
    pub(super) fn of(store: &StoreData) -> wasmtime::Result<Arc<Self>> {
        let outlets = store.workload().states.get_arc::<Self>();
        outlets.ok_or_else(|| wasmtime::format_err!("the workload is bound to no broker"))
    }

    /// Where an import leads.
    pub(super) fn to(&self, asker: &Asker) -> wasmtime::Result<Outlet> {
        let label = asker.label.as_deref().map(str::to_owned);
        let outlet = self.by_label.get(&label);
        // Whether a label has to have an entry of its own is for the plan to say.
        let outlet = outlet.or_else(|| self.by_label.get(&None)).cloned();
        outlet.ok_or_else(|| wasmtime::format_err!("the workload is granted no broker"))
    }

    /// Waits until another body may be sent.
    pub(super) async fn turn(&self) -> Turn {
        Arc::clone(&self.sending).acquire_owned().await.ok()
    }

    /// Waits until there is room for an answer that a guest has yet to read.
    ///
    /// # Errors
    /// When too much waits for that already: an answer that waits is in the host, too.
    pub(super) async fn room_for(&self, body: &Bytes) -> Result<Permit, MessagingError> {
        Ok(self.unread.admit(body.len()).await?)
    }
}

/// What one workload sends to, and hears.
struct Bound {
    outlets: Arc<Outlets>,
    handlings: Handlings,
    own: Own,
    opened: Vec<Opened>,
    presence: Option<Presence>,
    serving: Vec<JoinHandle<()>>,
    closed: CancellationToken,
}

/// The subscriptions of an entry, and the places of its handler.
struct Opened {
    subscriptions: Vec<Box<dyn Subscription>>,
    handler: Arc<Handler>,
    places: usize,
}

#[async_trait]
impl Binding for Bound {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.outlets)))
    }

    fn troubles(&self) -> Vec<String> {
        let sent = self.outlets.by_label.iter();
        let sent = sent.map(|(label, outlet)| (label.as_deref(), outlet.broker()));
        let heard = self.handlings.iter();
        let heard = heard.map(|(broker, _)| (None, broker.as_ref()));
        let troubles = sent.chain(heard).filter_map(|(label, broker)| {
            let why = broker.trouble()?;
            Some(troubled("messaging", label, &why))
        });
        troubles.collect()
    }

    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        if opening.entries.is_empty() {
            return Ok(());
        }
        self.presence = Some(opening.presence);
        for entry in opening.entries {
            let handler = Arc::new(Handler::of(entry)?);
            for (broker, handling) in self.handlings_of(&handler.entry.component)? {
                let subscriptions = subscribe(broker.as_ref(), &handling, &handler.entry).await;
                self.opened.push(Opened {
                    subscriptions: subscriptions.map_err(|error| {
                        PluginError::new(format!("cannot subscribe: {error}"))
                            .at("spec.hostInterfaces")
                    })?,
                    handler: Arc::clone(&handler),
                    places: handling.in_flight,
                });
            }
        }
        Ok(())
    }

    fn go_live(&mut self) {
        for opened in self.opened.drain(..) {
            let (handler, places) = (opened.handler as _, opened.places);
            let serving = serve(opened.subscriptions, handler, places, self.closed.clone());
            self.serving.push(tokio::spawn(serving));
        }
    }
}

/// How messages are handled, and whose they are.
type Handlings = Vec<(Arc<dyn Broker>, Handling)>;

impl Bound {
    /// What a component handles: what the entries say that name it, else those that name none, with what it says itself.
    fn handlings_of(&self, component: &ComponentName) -> Result<Handlings, PluginError> {
        let named = self.handlings_for(Some(component.as_str()));
        if !named.is_empty() {
            return Ok(named);
        }
        let open = self.handlings_for(None).into_iter();
        open.map(|(broker, handling)| Ok((broker, self.own.applied(component, handling)?)))
            .collect()
    }

    /// What the entries say that name a component, or none.
    fn handlings_for(&self, component: Option<&str>) -> Handlings {
        let all = self.handlings.iter();
        let those = all.filter(|(_, handling)| handling.component.as_deref() == component);
        those.cloned().collect()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.closed.cancel();
        // The workload is not gone before what its subscriptions have taken is handled, unless it must be.
        let Some(presence) = self.presence.take() else {
            return;
        };
        let (entered, serving) = (presence.enter(), std::mem::take(&mut self.serving));
        if serving.is_empty() {
            return;
        }
        tokio::spawn(async move {
            tokio::select! {
                () = presence.stopped() => {}
                _ = join_all(serving) => {}
            }
            drop(entered);
        });
    }
}

async fn subscribe(
    broker: &dyn Broker,
    handling: &Handling,
    entry: &Entry,
) -> Result<Vec<Box<dyn Subscription>>, MessagingError> {
    let workload = &entry.callee.context().workload;
    let group = handling.group.name(
        workload.namespace.as_str(),
        workload.name.as_str(),
        entry.component.as_str(),
    );
    let mut subscriptions = Vec::new();
    for pattern in &handling.patterns {
        let wanted = Wanted {
            pattern: pattern.clone(),
            group: group.clone(),
            wait: handling.wait,
            redelivery: handling.redelivery.clone(),
        };
        subscriptions.push(broker.subscribe(wanted).await?);
    }
    Ok(subscriptions)
}

/// The component that handles messages.
struct Handler {
    entry: Entry,
    is_p3: bool,
}

impl Handler {
    fn of(entry: Entry) -> Result<Self, PluginError> {
        entry.function("handle-message").map_err(|error| {
            PluginError::new(format!(
                "`{}` of component `{}` cannot be called: {error:#}",
                entry.export, entry.component
            ))
        })?;
        let version = entry.export.interface().and_then(|it| it.version.as_ref());
        let is_p3 = version.is_some_and(|version| version.minor == 3);
        Ok(Self { entry, is_p3 })
    }

    /// Says in the log of the workload, as far as it may, that a message was not handled.
    fn tell(&self, subject: &str, reason: &str) {
        let workload = &self.entry.callee.context().workload;
        let reason = cut(reason, LOGGED);
        let reason = reason.as_str();
        if workload.log.admits(FAILURE.max(reason.len())) {
            let component = &self.entry.component;
            tracing::warn!(%workload, %component, subject, reason, "a message was not handled");
        }
    }
}

#[async_trait]
impl Handle for Handler {
    async fn handle(&self, message: Message) -> Verdict {
        let subject = message.subject.clone();
        let handled = if self.is_p3 {
            p3::handle(&self.entry, message).await
        } else {
            p2::handle(&self.entry, message).await
        };
        let reason = match handled {
            Ok(Verdict::Failed(reason)) => reason,
            Ok(verdict) => return verdict,
            Err(CallError::Stopped) => return Verdict::Later,
            Err(error) if error.is_for_lack_of_room() => return Verdict::Later,
            Err(error) => {
                self.tell(subject.as_str(), &crate::plugin::in_full(&error));
                // Whoever asked may be somebody else's: where in the component it was is for the log.
                return Verdict::Failed(error.to_string());
            }
        };
        self.tell(subject.as_str(), &reason);
        Verdict::Failed(cut(&reason, PASSED_ON))
    }
}
