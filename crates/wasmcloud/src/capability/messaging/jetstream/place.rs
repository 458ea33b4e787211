//! Where the messages of a tenant are in JetStream: which stream takes them, and by which subjects.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError,
    RequestErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};

use crate::capability::tenant::Tenant;

/// What a stream of our own keeps. What is left out stays as it is, or is the default when the stream is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in super::super) struct Keep {
    /// How many bytes of messages that are not handled. What finds no room is refused.
    pub(in super::super) bytes: Option<u64>,
    /// For how long.
    pub(in super::super) age: Option<Duration>,
    /// On how many servers.
    pub(in super::super) replicas: Option<usize>,
}

/// What a stream keeps of which nothing is said: 256 MiB, for a week.
const BYTES: i64 = 256 << 20;
const AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A stream and its subjects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Place {
    stream: String,
    /// What the subjects of messages begin with that are stored.
    stored: String,
    /// What the subjects of requests begin with.
    asked: String,
    /// What it keeps, where it is for us to make.
    own: Option<Keep>,
}

/// What is wrong with the name of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum NameError {
    #[error(
        "wanted the name of a stream: at most {LONGEST_NAME} characters without spaces, `.`, `*`, `>`, `/` and `\\`"
    )]
    Unfit,
    #[error(
        "streams that begin with `wasmcloud_` are those of workloads; leave `stream` out, or use `shared`, for one that is made"
    )]
    OfWorkloads,
    #[error(
        "streams that begin with `KV_`, `OBJ_` or `$` keep no messages, but keys, blobs or what is the server's"
    )]
    NoMessages,
}

/// How long the name of a stream may be.
const LONGEST_NAME: usize = 200;
/// What the names of streams begin with that are made for workloads.
const OF_WORKLOADS: &str = "wasmcloud_";
/// What the names of streams begin with that keep something else.
const NO_MESSAGES: [&str; 3] = ["KV_", "OBJ_", "$"];

impl Place {
    /// A stream of a tenant's own, which takes what only this tenant sends. Names have no `_` and no `=`, so no two tenants meet.
    pub(in super::super) fn of(tenant: &Tenant, keep: Keep) -> Self {
        let name = tenant.parts().map(|part| part.replace('.', "=")).join("_");
        let words = tenant.parts().map(|part| part.replace('.', "_")).join(".");
        Self {
            stream: format!("{OF_WORKLOADS}{name}"),
            stored: format!("wasmcloud.messages.{words}.stored."),
            asked: format!("wasmcloud.messages.{words}.asked."),
            own: Some(keep),
        }
    }

    /// A stream that somebody else has made, with the subjects that it has.
    pub(in super::super) fn existing(name: &str) -> Result<Self, NameError> {
        let wrong = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains(wrong) {
            return Err(NameError::Unfit);
        }
        if name.starts_with(OF_WORKLOADS) {
            return Err(NameError::OfWorkloads);
        }
        if NO_MESSAGES.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(NameError::NoMessages);
        }
        Ok(Self {
            stream: name.to_owned(),
            stored: String::new(),
            asked: format!("wasmcloud.requests.{name}."),
            own: None,
        })
    }

    pub(in super::super) fn name(&self) -> &str {
        &self.stream
    }

    /// What the subjects of messages begin with that are stored.
    pub(super) fn stored(&self) -> &str {
        &self.stored
    }

    /// What the subjects of requests begin with.
    pub(super) fn asked(&self) -> &str {
        &self.asked
    }

    /// Whether the stream is for us to make.
    pub(in super::super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The stream, if it is there; one of our own is changed if it keeps something else. Without one that is for others to make, nothing
    /// can be done.
    pub(super) async fn find(&self, context: &Context) -> Result<Option<Stream>, Trouble> {
        let found = match context.get_stream(&self.stream).await {
            Ok(stream) => Some(stream),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(told)
                    if told.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    None
                }
                GetStreamErrorKind::JetStream(told) => return Err(Trouble::of(&told)),
                _ if nobody_answers(&error) => return Err(Trouble::Absent),
                _ => return Err(Trouble::Passing(error.to_string())),
            },
        };
        if let (Some(stream), Some(keep)) = (&found, self.own) {
            let config = &stream.cached_info().config;
            let wanted = keep.applied(config.clone());
            if wanted != *config {
                context.update_stream(&wanted).await.map_err(troubled)?;
            }
        }
        if found.is_none() && self.own.is_none() {
            return Err(Trouble::Lasting(format!(
                "the NATS server has no stream `{}`; leave `stream` out to have one made",
                self.stream
            )));
        }
        Ok(found)
    }

    /// Makes the stream of our own.
    pub(super) async fn make(&self, context: &Context) -> Result<Stream, Trouble> {
        let config = self.own.unwrap_or_default().applied(Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}>", self.stored)],
            description: Some("made by wasmCloud".to_owned()),
            // What every group has handled takes no room, and nothing makes room for what comes later.
            retention: RetentionPolicy::Interest,
            discard: DiscardPolicy::New,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_bytes: BYTES,
            max_age: AGE,
            num_replicas: 1,
            ..Config::default()
        });
        let created = context.create_stream(&config).await.map_err(troubled);
        created?;
        let stream = context.get_stream(&self.stream).await;
        stream.map_err(|error| Trouble::Passing(error.to_string()))
    }
}

impl Keep {
    fn applied(self, config: Config) -> Config {
        Config {
            max_bytes: self.bytes.map_or(config.max_bytes, |bytes| {
                i64::try_from(bytes).unwrap_or(i64::MAX)
            }),
            max_age: self.age.unwrap_or(config.max_age),
            num_replicas: self.replicas.unwrap_or(config.num_replicas),
            ..config
        }
    }
}

/// Why there is no stream or consumer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may be there in a moment.
    Passing(String),
    /// The server does not do JetStream.
    Absent,
    /// Somebody has to do something about it.
    Lasting(String),
}

impl Trouble {
    /// What a server that answers says.
    pub(super) fn of(error: &async_nats::jetstream::Error) -> Self {
        // Servers of a cluster that elect or start answer so.
        if error.code() == 503 && error.error_code() != ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT
        {
            return Self::Passing(error.to_string());
        }
        Self::Lasting(format!("NATS JetStream: {error}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(why) | Self::Lasting(why) => f.write_str(why),
            Self::Absent => f.write_str(
                "the NATS server does not do JetStream; it has to be started with `-js`, or its account given a part of it",
            ),
        }
    }
}

fn nobody_answers(error: &GetStreamError) -> bool {
    let source = std::error::Error::source(error);
    let request = source.and_then(|source| source.downcast_ref::<RequestError>());
    request.is_some_and(|request| request.kind() == RequestErrorKind::NoResponders)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn troubled(error: CreateStreamError) -> Trouble {
    match error.kind() {
        CreateStreamErrorKind::JetStream(told) => Trouble::of(&told),
        _ => Trouble::Passing(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_streams_are_read() {
        assert_eq!(Place::existing("ORDERS").unwrap().name(), "ORDERS");
        for wrong in ["", "a b", "a.b", "a>", "*", "a/b", "a\\b", "a\n"] {
            assert_eq!(Place::existing(wrong), Err(NameError::Unfit), "{wrong:?}");
        }
    }

    /// By its name, a manifest would have had the messages of another workload, or its keys.
    #[test]
    fn streams_that_are_made_for_others_are_not_to_be_had() {
        let of_workloads = "wasmcloud_default_workload_bank";
        assert_eq!(Place::existing(of_workloads), Err(NameError::OfWorkloads));
        for other in [
            "KV_wasmcloud__default__workload__bank",
            "OBJ_a",
            "$MQTT_msgs",
        ] {
            assert_eq!(Place::existing(other), Err(NameError::NoMessages));
        }
    }
}
