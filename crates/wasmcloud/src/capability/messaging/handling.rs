//! How messages are handled: what an entry of `hostInterfaces` says, and what a component says for itself.

use std::collections::HashMap;
use std::time::Duration;

use super::{Pattern, Redelivery, Subject, SubjectError};
use crate::capability::settings::Settings;
use crate::plugin::PluginError;
use crate::workload::{Component, ComponentName, HostInterface, Workload};

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
/// What the names of groups begin with that components have by themselves.
const GROUPS_OF_COMPONENTS: &str = "wasmcloud.";

/// What subjects lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// What the workload, or those that share with it, have for themselves.
    Own,
    /// What everybody uses who may speak to a server.
    #[cfg(feature = "messaging-nats")]
    Server,
    /// What a stream has that somebody else has made.
    #[cfg(feature = "messaging-nats")]
    Stream,
}

impl Space {
    /// Whether a workload may hear a pattern there.
    fn may_hear(self, pattern: &Pattern) -> Result<(), SubjectError> {
        match self {
            Self::Own => {
                let _ = pattern;
                Ok(())
            }
            #[cfg(feature = "messaging-nats")]
            Self::Server => pattern.may_be_heard(),
            #[cfg(feature = "messaging-nats")]
            Self::Stream => pattern.may_be_heard_of_a_stream(),
        }
    }

    /// A subject that messages may go to there which are given up.
    fn dead_letter(self, text: &str) -> Result<Subject, SubjectError> {
        let subject: Subject = text.parse()?;
        #[cfg(feature = "messaging-nats")]
        if self != Self::Own {
            subject.may_be_sent_to()?;
        }
        Ok(subject)
    }

    /// What is heard by who names no subscriptions.
    fn unnamed(self) -> Unnamed {
        match self {
            Self::Own => Unnamed::Everything,
            #[cfg(feature = "messaging-nats")]
            Self::Server => Unnamed::Nothing,
            #[cfg(feature = "messaging-nats")]
            Self::Stream => Unnamed::Wrong,
        }
    }
}

/// How messages are handled.
#[derive(Clone, Debug)]
pub(super) struct Handling {
    space: Space,
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
    /// Its name; `None`: everybody gets everything. Names have no `_`, so in that of a component the dots of a name are told from
    /// those between two, and no two components meet.
    pub(super) fn name(&self, namespace: &str, workload: &str, component: &str) -> Option<String> {
        match self {
            Self::Own => {
                let words = [namespace, workload, component].map(|name| name.replace('.', "_"));
                Some(format!("{GROUPS_OF_COMPONENTS}{}", words.join(".")))
            }
            Self::Named(name) => Some(name.clone()),
            Self::Broadcast => None,
        }
    }
}

/// What is heard by who names no subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unnamed {
    Everything,
    Nothing,
    /// They have to be named.
    #[cfg_attr(
        not(feature = "messaging-nats"),
        allow(dead_code, reason = "only servers have more than the workload's")
    )]
    Wrong,
}

pub(super) fn handling(
    space: Space,
    redelivers: bool,
    sends: bool,
    settings: &mut Settings<'_>,
) -> Handling {
    let component = settings.text("component").map(str::to_owned);
    if sends && component.is_some() {
        let error = "an entry with `component` is for its handler only: the sending of a workload is for all of its components";
        let error = PluginError::new(error).hint("list `consumer` in an entry of its own");
        settings.wrong("component", error);
    }
    Handling {
        space,
        component,
        patterns: patterns(space, space.unnamed(), settings),
        group: group(settings).unwrap_or(Group::Own),
        in_flight: in_flight(settings).unwrap_or(IN_FLIGHT),
        wait: wait(settings).unwrap_or(WAIT),
        redelivery: match redelivers {
            true => redelivery(space, settings),
            // Nothing comes back: settings for that have no meaning.
            false => Redelivery::default(),
        },
    }
}

fn group(settings: &mut Settings<'_>) -> Option<Group> {
    settings.parse("consumer_group", |name| match name {
        "broadcast" => Ok(Group::Broadcast),
        _ if name.starts_with(GROUPS_OF_COMPONENTS) => Err(format!(
            "groups that begin with `{GROUPS_OF_COMPONENTS}` are those of components; leave it out for that of the component"
        )),
        _ if is_group(name) => Ok(Group::Named(name.to_owned())),
        _ => Err(format!(
            "wanted `broadcast` or a name of at most {LONGEST_GROUP} letters, digits, `-`, `_` and `.`"
        )),
    })
}

fn in_flight(settings: &mut Settings<'_>) -> Option<usize> {
    let number = settings.number("max_in_flight", 1..=MOST_IN_FLIGHT)?;
    usize::try_from(number).ok()
}

fn wait(settings: &mut Settings<'_>) -> Option<Duration> {
    settings.parse("admission_wait", |text| at_most(text, LONGEST_WAIT))
}

fn patterns(space: Space, unnamed: Unnamed, settings: &mut Settings<'_>) -> Vec<Pattern> {
    if unnamed == Unnamed::Wrong {
        settings.required(
            "subscriptions",
            "it says what to hear of the stream; `>` is all of it",
        );
    }
    let mut patterns: Vec<Pattern> = Vec::new();
    for text in settings.list("subscriptions") {
        let pattern = text.parse().and_then(|pattern| {
            space.may_hear(&pattern)?;
            Ok(pattern)
        });
        match pattern {
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

fn redelivery(space: Space, settings: &mut Settings<'_>) -> Redelivery {
    let default = Redelivery::default();
    let most = settings.number("max_deliveries", 1..=MOST_DELIVERIES);
    let backoff = settings.parse("retry_backoff", |text| at_most(text, LONGEST_BACKOFF));
    Redelivery {
        most: most.map_or(default.most, |most| {
            u32::try_from(most).unwrap_or(default.most)
        }),
        backoff: backoff.unwrap_or(default.backoff),
        dead_letter: settings.parse("dead_letter", |text| space.dead_letter(text)),
    }
}

/// A length of time; a number alone is one of seconds.
pub(super) fn at_most(text: &str, most: Duration) -> Result<Duration, String> {
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

/// What components may say for themselves.
const OF_COMPONENTS: [&str; 4] = [
    "subscriptions",
    "consumer_group",
    "max_in_flight",
    "admission_wait",
];

/// What components say for themselves, in their `localResources.config`. It counts where an entry of `hostInterfaces` speaks to all. What
/// `config` is for otherwise stands beside it, so it is nothing of ours until the component turns out to be a handler.
#[derive(Clone, Debug, Default)]
pub(super) struct Own(HashMap<ComponentName, HostInterface>);

impl Own {
    pub(super) fn of(workload: &Workload) -> Self {
        let service = workload.service.iter().map(|service| &service.component);
        let components = workload.components.iter().chain(service);
        Self(components.filter_map(said_by).collect())
    }

    /// How a component handles messages that an entry for all says how to handle.
    pub(super) fn applied(
        &self,
        component: &ComponentName,
        mut handling: Handling,
    ) -> Result<Handling, PluginError> {
        let Some(entry) = self.0.get(component) else {
            return Ok(handling);
        };
        let path = format!("spec.components.{component}.localResources.config");
        let mut settings = Settings::under(entry, path);
        if entry.config.contains_key("subscriptions") {
            handling.patterns = patterns(handling.space, Unnamed::Nothing, &mut settings);
        }
        handling.group = group(&mut settings).unwrap_or(handling.group);
        handling.in_flight = in_flight(&mut settings).unwrap_or(handling.in_flight);
        handling.wait = wait(&mut settings).unwrap_or(handling.wait);
        settings
            .finish()
            .into_iter()
            .next()
            .map_or(Ok(handling), Err)
    }
}

/// What a component says about messages, in the form of an entry.
fn said_by(component: &Component) -> Option<(ComponentName, HostInterface)> {
    let config = component.local_resources.config.iter();
    let ours = config.filter(|(key, _)| OF_COMPONENTS.contains(&key.as_str()));
    let mut entry: HostInterface = "wasmcloud:messaging/handler".parse().ok()?;
    entry.config = ours
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!entry.config.is_empty()).then(|| (component.name.clone(), entry))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// They shared a queue on a server, so one tenant got messages of the other.
    #[test]
    fn components_of_two_namespaces_never_share_a_group() {
        let own = |namespace, workload| Group::Own.name(namespace, workload, "w");
        let names = [
            own("team-a.eu", "shop"),
            own("team-a", "eu.shop"),
            own("team-a", "eu-shop"),
            own("team-a.eu.shop", "w"),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names.iter().skip(index + 1).any(|other| other == name));
        }
        let plain = own("team-a", "shop");
        assert_eq!(plain.as_deref(), Some("wasmcloud.team-a.shop.w"));
    }

    #[test]
    fn no_manifest_names_the_group_of_a_component() {
        let own = Group::Own.name("team-a.eu", "shop", "w").unwrap();
        let named = Some(Group::Named("team".to_owned()));
        for (name, wanted) in [("team", named), (own.as_str(), None)] {
            let mut entry: HostInterface = "wasmcloud:messaging/handler".parse().unwrap();
            let (key, value) = ("consumer_group".to_owned(), name.to_owned());
            entry.config.insert(key, value);
            assert_eq!(group(&mut Settings::of(&entry, 0)), wanted, "{name}");
        }
    }
}
