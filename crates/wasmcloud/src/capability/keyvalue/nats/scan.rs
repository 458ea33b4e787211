//! Goes through what a stream has, for listings and to take away what is over.

use std::sync::Weak;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Context};
use futures::{StreamExt as _, stream};
use tokio::time::{sleep, timeout};

use super::room::{KEY, Room, expires, strange};
use super::server::away;
use crate::capability::keyvalue::Fault;
use crate::capability::keyvalue::entries::{Millis, now};

/// How many messages are asked for at once; the connection holds so many for whoever is slow.
const STEP: usize = 200;
/// How long the server keeps in mind how far somebody came who does not ask on.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// How often the server may have nothing while there is more.
const STALLS: usize = 20;
/// How many messages that are over are taken away at the same time.
const REMOVALS: usize = 16;

/// A message, without its value.
pub(super) struct Seen<'a> {
    /// What follows the prefix of the filter.
    pub(super) rest: &'a str,
    /// The key, where the subject does not tell it.
    pub(super) key: Option<&'a str>,
    pub(super) expires: Option<Millis>,
    pub(super) revision: u64,
}

impl Seen<'_> {
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// Goes through all messages of subjects that begin with a text, and gives each that is there all the time at least once.
///
/// There is one message for each subject, and a change puts it at the end; so whoever goes from the beginning to the end, until nothing
/// comes any more, meets them all.
pub(super) async fn through(
    room: &Room,
    prefix: &str,
    mut each: impl FnMut(&Seen<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let filter = format!("{prefix}>");
    if room.in_time(room.last(&filter)).await?.is_none() {
        return Ok(());
    }
    let live = room.server().connected().await?;
    let walk = Walk::begin(room, &live.context, &filter).await?;
    let (mut came, mut stalls, mut taken) = (0, 0, 0);
    let done = loop {
        let step = walk.step(room, prefix, &mut taken, &mut each).await;
        let (count, newest) = match step {
            Ok(step) => step,
            Err(fault) => break Err(fault),
        };
        came = newest.unwrap_or(came);
        if count == STEP {
            continue;
        }
        match room.in_time(room.last(&filter)).await {
            Ok(Some(last)) if last > came => {}
            done => break done.map(drop),
        }
        stalls = if count == 0 { stalls + 1 } else { 0 };
        if stalls > STALLS {
            break Err(Fault::Unavailable(
                "its server does not tell all keys".to_owned(),
            ));
        }
    };
    walk.end(room).await;
    done
}

/// A place in a stream that the server keeps for us.
struct Walk {
    consumer: PullConsumer,
    name: String,
    patient: Duration,
}

impl Walk {
    async fn begin(room: &Room, context: &Context, filter: &str) -> Result<Self, Fault> {
        let stream = context.get_stream_no_info(room.stream()).await;
        let stream = stream.map_err(|_| strange())?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            filter_subject: filter.to_owned(),
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: FORGOTTEN,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|_| away())?;
        Ok(Self {
            name: consumer.cached_info().name.clone(),
            consumer,
            patient: room.server().times().patient,
        })
    }

    /// Takes some messages; how many, and the number of the last.
    async fn step(
        &self,
        room: &Room,
        prefix: &str,
        taken: &mut u64,
        each: &mut impl FnMut(&Seen<'_>) -> Result<(), Fault>,
    ) -> Result<(usize, Option<u64>), Fault> {
        room.server().connected().await?;
        let fetch = self.consumer.fetch().max_messages(STEP).messages();
        let fetched = timeout(self.patient, fetch).await;
        let mut fetched = fetched.map_err(|_| Fault::Timeout)?.map_err(|_| away())?;
        let (mut count, mut newest) = (0, None);
        loop {
            let next = timeout(self.patient, fetched.next()).await;
            let Some(message) = next.map_err(|_| Fault::Timeout)? else {
                return Ok((count, newest));
            };
            let message = message.map_err(|_| away())?;
            let info = message.info().map_err(|_| strange())?;
            *taken += 1;
            if info.consumer_sequence != *taken {
                // One was lost on the way, and will not come again.
                return Err(Fault::Unavailable(
                    "a part of the keys was lost on the way".to_owned(),
                ));
            }
            newest = Some(info.stream_sequence);
            count += 1;
            each(&seen(&message, prefix, info.stream_sequence)?)?;
        }
    }

    /// The server forgets by itself, too, only later.
    async fn end(self, room: &Room) {
        let api = format!("CONSUMER.DELETE.{}.{}", room.stream(), self.name);
        let gone = room.api::<serde_json::Value>(&api, &());
        let _ = timeout(self.patient, gone).await;
    }
}

fn seen<'a>(
    message: &'a jetstream::Message,
    prefix: &str,
    revision: u64,
) -> Result<Seen<'a>, Fault> {
    let rest = message.subject.strip_prefix(prefix).ok_or_else(strange)?;
    let headers = message.headers.as_ref();
    let key = headers.and_then(|headers| headers.get(KEY));
    Ok(Seen {
        rest,
        key: key.map(|key| key.as_str()),
        expires: headers.map_or(Ok(None), expires)?,
        revision,
    })
}

/// Takes messages away that are over. What fails is found again another time.
pub(super) async fn remove(room: &Room, over: Vec<u64>) {
    let removed = stream::iter(over).map(|revision| room.in_time(room.remove(revision)));
    removed
        .buffer_unordered(REMOVALS)
        .for_each(async |_| ())
        .await;
}

/// Takes away what is over and nobody asks for any more, as long as the room is there.
pub(super) async fn sweep_now_and_then(room: Weak<Room>, every: Duration) {
    loop {
        // Hosts that have the same room should not all come at once.
        sleep(every.mul_f64(0.5 + fastrand::f64())).await;
        let Some(room) = room.upgrade() else { return };
        if room.had_ends() {
            let swept = sweep(&room).await;
            if !matches!(swept, Ok(0)) {
                room.has_ends();
            }
        }
    }
}

/// Takes away what is over; how many are left that will be.
async fn sweep(room: &Room) -> Result<usize, Fault> {
    let (mut over, mut left) = (Vec::new(), 0);
    let now = now();
    let each = |seen: &Seen<'_>| {
        match (seen.is_over(now), seen.expires) {
            (true, _) => over.push(seen.revision),
            (false, Some(_)) => left += 1,
            (false, None) => {}
        }
        Ok(())
    };
    through(room, &room.prefix(), each).await?;
    remove(room, over).await;
    Ok(left)
}
