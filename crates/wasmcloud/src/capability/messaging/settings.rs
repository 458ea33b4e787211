//! What the `config` of an entry of `hostInterfaces` says about messages.

use std::time::Duration;

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
}

/// How messages are handled.
#[derive(Clone, Debug)]
pub(super) struct Handling {
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
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    let ours = workload.host_interfaces.iter().enumerate();
    for (index, entry) in ours.filter(|(_, entry)| is_ours(entry)) {
        let mut settings = Settings::of(entry, index);
        let sends = entry.interfaces.contains("consumer");
        let backend = backend(workload, &mut settings);
        let handles = entry.interfaces.contains("handler");
        let handles = handles.then(|| handling(backend.as_ref(), &mut settings));
        let wrong = settings.finish();
        if let (Some(backend), true) = (backend, wrong.is_empty()) {
            entries.push(Entry {
                label: entry.name.clone().filter(|name| name != id),
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
}

const KINDS: &[(&str, Kind)] = &[
    ("in-memory", Kind::Memory),
    #[cfg(feature = "messaging-nats")]
    ("nats", Kind::Nats),
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
    }
}

fn handling(backend: Option<&Backend>, settings: &mut Settings<'_>) -> Handling {
    let in_memory = backend.is_none_or(|backend| matches!(backend, Backend::Memory(_)));
    let patterns = patterns(in_memory, settings);
    let group = settings.parse("consumer_group", |name| match name {
        "broadcast" => Ok(Group::Broadcast),
        _ if is_group(name) => Ok(Group::Named(name.to_owned())),
        _ => Err(format!(
            "wanted `broadcast` or a name of at most {LONGEST_GROUP} letters, digits, `-`, `_` and `.`"
        )),
    });
    let in_flight = settings.number("max_in_flight", 1..=MOST_IN_FLIGHT);
    let wait = settings.parse("admission_wait", |text| at_most(text, LONGEST_WAIT));
    let redelivery = match in_memory {
        true => redelivery(settings),
        // Nothing comes back: settings for that have no meaning.
        false => Redelivery::default(),
    };
    Handling {
        patterns,
        group: group.unwrap_or(Group::Own),
        in_flight: in_flight.map_or(IN_FLIGHT, |number| {
            usize::try_from(number).unwrap_or(IN_FLIGHT)
        }),
        wait: wait.unwrap_or(WAIT),
        redelivery,
    }
}

fn patterns(in_memory: bool, settings: &mut Settings<'_>) -> Vec<Pattern> {
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
    if patterns.is_empty() && in_memory {
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

fn is_group(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=LONGEST_GROUP).contains(&name.len()) && name.bytes().all(letter)
}
