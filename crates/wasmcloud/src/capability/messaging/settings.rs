//! What the `config` of an entry of `hostInterfaces` says about messages.

use std::time::Duration;

#[cfg(feature = "messaging-nats")]
use super::jetstream::{Keep, Place};
use super::{Pattern, Redelivery, Subject};
#[cfg(feature = "messaging-nats")]
use crate::capability::nats::NatsUrl;
use crate::capability::settings::Settings;
use crate::capability::tenant::Tenant;
use crate::plugin::PluginError;
use crate::workload::{HostInterface, Interface, Workload};

/// How many messages a handler handles at once, unless it says otherwise, and at most.
const IN_FLIGHT: usize = 32;
const MOST_IN_FLIGHT: u64 = 4096;
/// How long a message waits for its handler, unless its settings say otherwise, and at most.
const WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// How often a message may come back, and how long it may stay away for the first time.
const MOST_DELIVERIES: u64 = 1000;
const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);
/// How long a server waits for word of a message, unless the settings say otherwise, at least and at most.
#[cfg(feature = "messaging-nats")]
const ACK_WAIT: Duration = Duration::from_secs(30);
#[cfg(feature = "messaging-nats")]
const ACK_WAIT_LIMITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];
/// How much a stream may keep, and for how long: a minute to a year.
#[cfg(feature = "messaging-nats")]
const LEAST_BYTES: u64 = 1 << 20;
#[cfg(feature = "messaging-nats")]
const MOST_BYTES: u64 = 1 << 40;
#[cfg(feature = "messaging-nats")]
const AGE_LIMITS: [Duration; 2] = [
    Duration::from_secs(60),
    Duration::from_secs(366 * 24 * 60 * 60),
];
/// How many subscriptions an entry may have, and how long the name of a group may be.
const MOST_SUBSCRIPTIONS: usize = 128;
const LONGEST_GROUP: usize = 128;

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

/// A place in JetStream, and how its messages are given out.
#[cfg(feature = "messaging-nats")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Streams {
    pub(super) url: NatsUrl,
    pub(super) place: Place,
    pub(super) ack_wait: Duration,
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

    /// What is heard by who names no subscriptions.
    fn unnamed(&self) -> Unnamed {
        match self {
            Self::Memory(_) => Unnamed::Everything,
            #[cfg(feature = "messaging-nats")]
            Self::Nats(_) => Unnamed::Nothing,
            #[cfg(feature = "messaging-nats")]
            Self::JetStream(streams) if streams.place.is_own() => Unnamed::Everything,
            #[cfg(feature = "messaging-nats")]
            Self::JetStream(_) => Unnamed::Wrong,
        }
    }
}

/// What is heard by who names no subscriptions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unnamed {
    Everything,
    #[cfg_attr(
        not(feature = "messaging-nats"),
        expect(dead_code, reason = "only servers have more than the workload's")
    )]
    Nothing,
    /// They have to be named.
    #[cfg_attr(
        not(feature = "messaging-nats"),
        expect(dead_code, reason = "only servers have more than the workload's")
    )]
    Wrong,
}

/// How messages are handled.
#[derive(Clone, Debug)]
pub(super) struct Handling {
    /// Which component handles them; `None`: every one that no other entry names.
    pub(super) component: Option<String>,
    pub(super) patterns: Vec<Pattern>,
    pub(super) group: Group,
    pub(super) in_flight: usize,
    pub(super) wait: Duration,
    pub(super) redelivery: Redelivery,
}

/// With whom subscriptions share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// With those of the same component of the same workload.
    Own,
    /// With all that give the same name.
    Named(String),
    /// With nobody: each gets everything.
    Broadcast,
}

impl Group {
    /// Its name; `None`: everybody gets everything.
    pub(super) fn name(&self, namespace: &str, workload: &str, component: &str) -> Option<String> {
        match self {
            Self::Own => Some(format!("wasmcloud.{namespace}.{workload}.{component}")),
            Self::Named(name) => Some(name.clone()),
            Self::Broadcast => None,
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
        let handles = handles.then(|| handling(backend.as_ref(), sends, &mut settings));
        let label = entry.name.clone().filter(|name| name != id);
        let mut wrong = settings.finish();
        if sends && entries.iter().any(|it| it.sends && it.label == label) {
            let error = "an earlier entry says already where this workload sends messages";
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

#[cfg(feature = "messaging-nats")]
fn streams(workload: &Workload, settings: &mut Settings<'_>) -> Option<Streams> {
    settings.required("url", "it says where the NATS server is")?;
    let url = settings.parse("url", str::parse);
    let place = match settings.text("stream") {
        Some(_) => settings.parse("stream", Place::existing),
        None => Some(Place::of(
            &Tenant::configured(workload, settings),
            keep(settings),
        )),
    };
    let ack_wait = settings.parse("ack_wait", |text| within(text, ACK_WAIT_LIMITS));
    Some(Streams {
        url: url?,
        place: place?,
        ack_wait: ack_wait.unwrap_or(ACK_WAIT),
    })
}

/// What a stream keeps that is made for the workload.
#[cfg(feature = "messaging-nats")]
fn keep(settings: &mut Settings<'_>) -> Keep {
    let default = Keep::default();
    let bytes = settings.parse("max_bytes", |text| {
        let bytes = crate::workload::size(text).map_err(|wanted| wanted.to_string())?;
        let fits = (LEAST_BYTES..=MOST_BYTES).contains(&bytes);
        fits.then_some(bytes)
            .ok_or("wanted from 1MiB to 1TiB".to_owned())
    });
    let age = settings.parse("max_age", |text| within(text, AGE_LIMITS));
    let replicas = settings.number("replicas", 1..=5);
    Keep {
        bytes: bytes.unwrap_or(default.bytes),
        age: age.unwrap_or(default.age),
        replicas: replicas.map_or(default.replicas, |it| {
            usize::try_from(it).unwrap_or(default.replicas)
        }),
    }
}

fn handling(backend: Option<&Backend>, sends: bool, settings: &mut Settings<'_>) -> Handling {
    let component = settings.text("component").map(str::to_owned);
    if sends && component.is_some() {
        let error = "an entry with `component` is for its handler only: the sending of a workload is for all of its components";
        let error = PluginError::new(error).hint("list `consumer` in an entry of its own");
        settings.wrong("component", error);
    }
    let unnamed = backend.map_or(Unnamed::Everything, Backend::unnamed);
    let patterns = patterns(unnamed, settings);
    let group = settings.parse("consumer_group", |name| match name {
        "broadcast" => Ok(Group::Broadcast),
        _ if is_group(name) => Ok(Group::Named(name.to_owned())),
        _ => Err(format!(
            "wanted `broadcast` or a name of at most {LONGEST_GROUP} letters, digits, `-`, `_` and `.`"
        )),
    });
    let in_flight = settings.number("max_in_flight", 1..=MOST_IN_FLIGHT);
    let wait = settings.parse("admission_wait", |text| at_most(text, LONGEST_WAIT));
    let redelivery = match backend.is_none_or(Backend::redelivers) {
        true => redelivery(settings),
        // Nothing comes back: settings for that have no meaning.
        false => Redelivery::default(),
    };
    Handling {
        component,
        patterns,
        group: group.unwrap_or(Group::Own),
        in_flight: in_flight.map_or(IN_FLIGHT, |number| {
            usize::try_from(number).unwrap_or(IN_FLIGHT)
        }),
        wait: wait.unwrap_or(WAIT),
        redelivery,
    }
}

fn patterns(unnamed: Unnamed, settings: &mut Settings<'_>) -> Vec<Pattern> {
    if unnamed == Unnamed::Wrong {
        settings.required(
            "subscriptions",
            "it says what to hear of the stream; `>` is all of it",
        );
    }
    let mut patterns: Vec<Pattern> = Vec::new();
    for text in settings.list("subscriptions") {
        match text.parse() {
            Ok(pattern) if !patterns.contains(&pattern) => patterns.push(pattern),
            Ok(_) => {}
            Err(error) => {
                let error = PluginError::new(format!("`{text}`: {error}"));
                settings.wrong("subscriptions", error);
            }
        }
    }
    if patterns.len() > MOST_SUBSCRIPTIONS {
        let error = format!("at most {MOST_SUBSCRIPTIONS} subscriptions are possible");
        settings.wrong("subscriptions", PluginError::new(error));
    }
    if patterns.is_empty() && unnamed == Unnamed::Everything {
        patterns.extend(">".parse());
    }
    patterns
}

fn redelivery(settings: &mut Settings<'_>) -> Redelivery {
    let default = Redelivery::default();
    let most = settings.number("max_deliveries", 1..=MOST_DELIVERIES);
    let backoff = settings.parse("retry_backoff", |text| at_most(text, LONGEST_BACKOFF));
    Redelivery {
        most: most.map_or(default.most, |most| {
            u32::try_from(most).unwrap_or(default.most)
        }),
        backoff: backoff.unwrap_or(default.backoff),
        dead_letter: settings.parse("dead_letter", str::parse::<Subject>),
    }
}

/// A length of time; a number alone is one of seconds.
fn at_most(text: &str, most: Duration) -> Result<Duration, String> {
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => crate::workload::duration(text).map_err(|wanted| wanted.to_string())?,
    };
    if time > most {
        return Err(format!("wanted at most {}s", most.as_secs()));
    }
    Ok(time)
}

/// A length of time between two others.
#[cfg(feature = "messaging-nats")]
fn within(text: &str, [least, most]: [Duration; 2]) -> Result<Duration, String> {
    let time = at_most(text, most)?;
    if time < least {
        return Err(format!("wanted at least {}s", least.as_secs()));
    }
    Ok(time)
}

fn is_group(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=LONGEST_GROUP).contains(&name.len()) && name.bytes().all(letter)
}
