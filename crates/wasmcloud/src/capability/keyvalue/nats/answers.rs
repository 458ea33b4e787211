//! What a server's refusals mean, in our words: its own may hold keys.

use async_nats::client::RequestErrorKind;
use async_nats::jetstream::{Error, ErrorCode};

use crate::capability::keyvalue::Fault;

/// There was no answer.
pub(super) fn unanswered(kind: RequestErrorKind, most: usize) -> Fault {
    match kind {
        RequestErrorKind::TimedOut => Fault::Timeout,
        // Nobody there has to do with the stream: it is gone, or the server is only starting.
        RequestErrorKind::NoResponders => not_ready(),
        RequestErrorKind::MaxPayloadExceeded => too_large(most),
        RequestErrorKind::InvalidSubject => {
            Fault::Other("the server cannot have such a key".to_owned())
        }
        RequestErrorKind::Other => {
            Fault::Unavailable("the connection to its server broke".to_owned())
        }
    }
}

/// The server says no.
pub(super) fn refused(error: &Error) -> Fault {
    let code = error.error_code();
    let told = error.to_string();
    match code {
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::MAXIMUM_STREAMS_LIMIT
        | ErrorCode::STREAM_MAX_STREAM_BYTES_EXCEEDED => full(),
        // Its store failed, which it says of a stream that has as much as it may have, too.
        ErrorCode::STREAM_STORE_FAILED if told.contains("maximum") => full(),
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            Fault::Invalid("the value is larger than its server takes".to_owned())
        }
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            Fault::Other("its server has no JetStream for this account".to_owned())
        }
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED | ErrorCode::CLUSTER_NO_PEERS => {
            Fault::Other("its server has not so many others for `replicas`".to_owned())
        }
        ErrorCode::STREAM_MAX_BYTES_REQUIRED => {
            Fault::Other("its server wants a limit: set `size`".to_owned())
        }
        ErrorCode::STREAM_NOT_FOUND => not_ready(),
        _ if error.code() == 503 => not_ready(),
        _ => Fault::Other(format!("its server answers with error {}", error.code())),
    }
}

fn not_ready() -> Fault {
    Fault::Unavailable("its server is not ready, or has no JetStream".to_owned())
}

fn full() -> Fault {
    Fault::Full("its server has no room left for the workload".to_owned())
}

fn too_large(most: usize) -> Fault {
    Fault::Invalid(format!(
        "its server takes at most {most} bytes for a value with what is kept beside it"
    ))
}
