//! The stream of a tenant: found, or made as it is wanted.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType};
use tokio::time::timeout;

use super::answers::refused;
use super::room::{Reads, Room};
use crate::capability::keyvalue::Fault;

/// After how long a stream is asked again, at first, that may be just being made.
const ASKED_AGAIN: Duration = Duration::from_millis(250);

/// Finds the stream or makes it, and has it as the manifest wants it.
pub(super) async fn open(room: &Room) -> Result<Reads, Fault> {
    let info = format!("STREAM.INFO.{}", room.stream());
    let config = match room.api::<Info>(&info, &()).await? {
        Ok(info) => info.config,
        Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => create(room).await?,
        Err(error) => return Err(refused(&error)),
    };
    let config = match changed(room, &config)? {
        Some(wanted) => update(room, wanted).await?,
        None => config,
    };
    Ok(match config.allow_direct && config.num_replicas <= 1 {
        true => {
            until_it_answers(room).await?;
            Reads::Direct
        }
        // Any of several servers answers directly, also one that has not heard of the last change.
        false => Reads::Leader,
    })
}

/// A stream that another host is just making is there already, and leaves questions without an answer until it is made.
async fn until_it_answers(room: &Room) -> Result<(), Fault> {
    let mut patient = ASKED_AGAIN;
    loop {
        if let Ok(answered) = timeout(patient, room.answers()).await {
            return answered;
        }
        // The way to it may be a slow one.
        patient *= 2;
    }
}

async fn create(room: &Room) -> Result<Config, Fault> {
    let api = format!("STREAM.CREATE.{}", room.stream());
    match room.api::<Info>(&api, &wanted(room)).await? {
        Ok(info) => Ok(info.config),
        // Another host was quicker.
        Err(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST => {
            let info = format!("STREAM.INFO.{}", room.stream());
            let found = room.api::<Info>(&info, &()).await?;
            found
                .map(|info| info.config)
                .map_err(|error| refused(&error))
        }
        Err(error) => Err(refused(&error)),
    }
}

async fn update(room: &Room, wanted: Config) -> Result<Config, Fault> {
    let api = format!("STREAM.UPDATE.{}", room.stream());
    let done = room.api::<Info>(&api, &wanted).await?;
    done.map(|info| info.config)
        .map_err(|error| refused(&error))
}

/// As it is made: what other programs take for a bucket, where messages may be taken away as well.
fn wanted(room: &Room) -> Config {
    let replicas = room.wish().replicas.unwrap_or(1);
    Config {
        name: room.stream(),
        description: Some("keys and values of a workload".to_owned()),
        subjects: vec![format!("{}>", room.prefix())],
        max_messages_per_subject: 1,
        max_messages: -1,
        max_consumers: -1,
        max_bytes: room.wish().size.map_or(-1, bytes),
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: replicas,
        allow_rollup: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// What must be another way than it is; an error if it is not what we make.
fn changed(room: &Room, found: &Config) -> Result<Option<Config>, Fault> {
    let ours = wanted(room);
    if found.subjects != ours.subjects || found.max_messages_per_subject != 1 {
        let told = format!(
            "its server has something else under the name of `{}`",
            room.bucket()
        );
        return Err(Fault::Other(told));
    }
    let mut wanted = found.clone();
    if let Some(replicas) = room.wish().replicas {
        wanted.num_replicas = replicas;
    }
    if let Some(size) = room.wish().size {
        wanted.max_bytes = bytes(size);
    }
    Ok((wanted != *found).then_some(wanted))
}

fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
