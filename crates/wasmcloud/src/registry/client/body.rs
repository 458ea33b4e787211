//! Bodies of requests and of answers, with an end to each.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;

use super::error::{RegistryErrorKind, Unreachable};
use crate::net::web::Patient;

/// The most of an error that is read.
const LARGEST_ERROR: u64 = 16 << 10;
/// How much of what a registry says about an error is told.
const WORDS: usize = 200;

/// What is sent.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

pub(super) fn whole(bytes: Bytes) -> Outgoing {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Reads all of an answer, if it is small enough.
pub(super) async fn read(
    mut body: Patient,
    limit: u64,
    what: impl Fn() -> String,
) -> Result<Bytes, RegistryErrorKind> {
    let too_large = || RegistryErrorKind::TooLarge {
        what: what(),
        limit,
    };
    if body.size_hint().lower() > limit {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| RegistryErrorKind::Unreachable {
            who: what(),
            problem: Unreachable(error),
        })?;
        if let Ok(data) = frame.into_data() {
            if (bytes.len() + data.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

#[derive(serde::Deserialize)]
struct Said {
    errors: Vec<OneSaid>,
}

#[derive(serde::Deserialize)]
struct OneSaid {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a registry says about an error, as far as it is worth telling. Nothing, if it cannot be read.
pub(super) async fn words(body: Patient) -> String {
    let read = read(body, LARGEST_ERROR, String::new).await;
    let said: Option<Said> = read
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let first = said.and_then(|said| said.errors.into_iter().next());
    let text = match first {
        Some(said) if said.message.is_empty() => said.code,
        Some(said) => said.message,
        None => String::new(),
    };
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(WORDS).collect()
}
