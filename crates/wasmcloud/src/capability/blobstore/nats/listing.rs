//! The names of the objects of a container, as they come: little of a list is in memory at once, however long it is.
//!
//! There is one message for each object, and a change puts it at the end of the stream. So whoever goes from the beginning to the end,
//! until nothing comes any more, meets every object that is there all the time. One that is replaced on the way is met twice, and given
//! once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind, Stream};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::server::{PATIENCE, Server, fault, of_api, stream_of};
use super::{Found, Nats, names};
use crate::capability::blobstore::{BlobError, Names};
use crate::capability::budget::Room;

/// How many messages are asked for at once; the connection holds so many for whoever is slow.
pub(super) const STEP: usize = 200;
/// How long the server keeps in mind how far somebody came who does not ask on.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// How often the server may have nothing while there is more.
const STALLS: usize = 20;
/// What it takes to keep in mind that a name was given, in bytes: a digest of 16, in a table that is partly empty, and once more while
/// that grows.
pub(super) const EACH: u64 = 48;

/// The names of the objects of a container.
pub(super) fn list(nats: Nats, found: Found) -> Names {
    let walk = Walk {
        prefix: format!("$O.{}.M.", found.bucket),
        given: Given {
            digests: HashSet::new(),
            room: nats.held.room(),
        },
        nats,
        found,
        place: None,
        next: 1,
        stalls: 0,
        over: false,
    };
    let pages = stream::try_unfold(walk, |mut walk| async move {
        let page = walk.page().await?;
        Ok::<_, BlobError>(page.map(|names| (names, walk)))
    });
    let names = pages.map_ok(|names| stream::iter(names).map(Ok));
    Box::pin(names.try_flatten())
}

/// How far somebody has come.
struct Walk {
    nats: Nats,
    found: Found,
    /// What the subjects of objects begin with.
    prefix: String,
    /// `None`: the server does not know yet where to go on.
    place: Option<Place>,
    /// The first message of the stream that has not come.
    next: u64,
    given: Given,
    stalls: usize,
    over: bool,
}

impl Walk {
    fn filter(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// The next names. `None`: there are no more.
    async fn page(&mut self) -> Result<Option<Vec<String>>, BlobError> {
        while !self.over {
            let subjects = self.step().await?;
            let count = subjects.len();
            self.over = count < STEP && self.is_at_the_end(count).await?;
            let names = self.fresh(&subjects)?;
            if !names.is_empty() {
                return Ok(Some(names));
            }
        }
        // Where the container went meanwhile, the list is not whole.
        self.nats.still(&self.found).await?;
        Ok(None)
    }

    /// The next messages, by their subjects. A server that has forgotten where to go on, because the guest has paused for long, is told
    /// again; so is one of whose messages some were lost on the way.
    async fn step(&mut self) -> Result<Vec<String>, BlobError> {
        let came = match &mut self.place {
            Some(place) => place.fetch().await.ok(),
            None => None,
        };
        let came = match came {
            Some(came) => came,
            None => {
                let server = &self.nats.server;
                let place = Place::begin(server, &self.found, self.filter(), self.next).await?;
                self.place.insert(place).fetch().await?
            }
        };
        if let Some((last, _)) = came.last() {
            self.next = last.saturating_add(1);
        }
        Ok(came.into_iter().map(|(_, subject)| subject).collect())
    }

    /// Whether there is nothing more, where fewer came than might have: a server may have nothing for now although there is more.
    async fn is_at_the_end(&mut self, came: usize) -> Result<bool, BlobError> {
        let stream = stream_of(&self.found.bucket);
        let last = self.nats.server.last(&stream, &self.filter()).await?;
        if last.is_none_or(|last| last.sequence < self.next) {
            return Ok(true);
        }
        self.stalls = if came == 0 { self.stalls + 1 } else { 0 };
        match self.stalls > STALLS {
            true => {
                let told = "its server does not tell all objects";
                Err(BlobError::Unavailable(told.to_owned()))
            }
            false => Ok(false),
        }
    }

    /// The names that were not given yet.
    fn fresh(&mut self, subjects: &[String]) -> Result<Vec<String>, BlobError> {
        let mut fresh = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let damaged = || BlobError::Other("the bucket holds what is no object".to_owned());
            let name = subject.strip_prefix(&self.prefix).and_then(names::text);
            let name = name.ok_or_else(damaged)?;
            if self.given.is_first(&name)? {
                fresh.push(name);
            }
        }
        Ok(fresh)
    }
}

/// The names that were given, by digests: names themselves would take up to a hundred times as much.
struct Given {
    digests: HashSet<[u8; 16]>,
    room: Room,
}

impl Given {
    /// Whether a name is given for the first time.
    fn is_first(&mut self, name: &str) -> Result<bool, BlobError> {
        let digest = Sha256::digest(name.as_bytes());
        let digest = digest.first_chunk::<16>().copied().unwrap_or_default();
        if self.digests.contains(&digest) {
            return Ok(false);
        }
        self.room.grow(EACH).map_err(|full| {
            BlobError::Quota(format!(
                "the lists that are open are too long: the workload has {} bytes for them, {EACH} for each name",
                full.most
            ))
        })?;
        self.digests.insert(digest);
        Ok(true)
    }
}

/// A place in a stream that the server keeps for us. Dropping it has it forgotten.
struct Place {
    server: Arc<Server>,
    stream: Stream<()>,
    consumer: PullConsumer,
    /// How many messages have come.
    taken: u64,
}

impl Place {
    /// Before the first message of a subject that is not before one.
    async fn begin(
        server: &Arc<Server>,
        found: &Found,
        filter: String,
        from: u64,
    ) -> Result<Self, BlobError> {
        let stream = server.stream(&stream_of(&found.bucket)).await?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: from,
            },
            ack_policy: AckPolicy::None,
            filter_subject: filter,
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: FORGOTTEN,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await;
        Ok(Self {
            server: Arc::clone(server),
            stream,
            consumer: consumer.map_err(|error| of_consumer(&error))?,
            taken: 0,
        })
    }

    /// What comes next, [`STEP`] messages at most: where each is in the stream, and its subject.
    async fn fetch(&mut self) -> Result<Vec<(u64, String)>, BlobError> {
        drop(self.server.connected()?);
        let asked = self.consumer.fetch().max_messages(STEP).messages();
        let asked = timeout(PATIENCE, asked).await;
        let asked = asked.map_err(|_| BlobError::Timeout)?;
        let mut messages = asked.map_err(|_| broken())?;
        let mut came = Vec::new();
        loop {
            let next = timeout(PATIENCE, messages.next()).await;
            let Some(message) = next.map_err(|_| BlobError::Timeout)? else {
                return Ok(came);
            };
            let message = message.map_err(|_| broken())?;
            let info = message.info().map_err(|_| broken())?;
            self.taken += 1;
            if info.consumer_sequence != self.taken {
                // One was lost on the way, and will not come again.
                return Err(broken());
            }
            came.push((info.stream_sequence, message.subject.as_str().to_owned()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (server, stream) = (Arc::clone(&self.server), self.stream.clone());
        let name = self.consumer.cached_info().name.clone();
        runtime.spawn(async move {
            // The server forgets by itself, too, only later.
            if server.connected().is_ok() {
                let _ = stream.delete_consumer(&name).await;
            }
        });
    }
}

fn broken() -> BlobError {
    BlobError::Unavailable("its server does not do what it is asked to".to_owned())
}

fn of_consumer(error: &ConsumerError) -> BlobError {
    match error.kind() {
        ConsumerErrorKind::JetStream(error) => of_api(&error, BlobError::NoSuchContainer),
        ConsumerErrorKind::TimedOut => BlobError::Timeout,
        _ => fault(error, BlobError::NoSuchContainer),
    }
}
