//! A bucket on a server, shared by all workloads that name it in the same way, and what its failures mean.

use std::fmt;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{Error, RetryConfig};
use tokio::sync::Mutex;

use super::place::{AccessKeys, S3Place};
use super::transport::{Denied, Full, Patience, Refusal, TooLong, Transport};
use crate::capability::blobstore::{BlobError, cause};
use crate::capability::reach::Reach;
use crate::net::dial::{Dial, DialError, NamedBy};
use crate::plugin::PluginError;

/// How often something is tried again that may be.
const RETRIES: usize = 2;

/// A bucket.
pub(in super::super) struct Bucket {
    place: S3Place,
    reach: Reach,
    /// Deletes one object by a request of its own, which every server knows.
    pub(super) store: AmazonS3,
    /// Deletes many by one request.
    pub(super) bulk: AmazonS3,
    /// Reads contents of objects, however long they are. The others take only short answers.
    pub(super) contents: AmazonS3,
    /// Held while a container is created: the order of those of this host does not depend on what the server can do. All tenants wait for
    /// it.
    pub(super) creating: Mutex<()>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bucket")
    }
}

impl Bucket {
    /// # Errors
    /// When the library does not take the settings.
    pub(in super::super) fn new(place: S3Place, dial: Dial) -> Result<Self, PluginError> {
        Self::with(place, dial, Patience::default())
    }

    pub(super) fn with(
        place: S3Place,
        dial: Dial,
        patience: Patience,
    ) -> Result<Self, PluginError> {
        let dial = dial.for_workload();
        let (host, port) = (place.host(), place.endpoint.port());
        let reach = Reach::new("s3", dial.clone(), &host, port, NamedBy::Workload);
        let calls = Transport::new(dial.clone(), patience, reach.clone());
        let contents = calls.for_contents(dial);
        let build = |transport: &Transport, bulk: bool| {
            let builder = builder(&place, transport.clone());
            let built = builder.with_disable_bulk_delete(!bulk).build();
            // What the library says may repeat settings.
            built.map_err(|_| PluginError::new("the client for S3 does not take these settings"))
        };
        Ok(Self {
            store: build(&calls, false)?,
            bulk: build(&calls, true)?,
            contents: build(&contents, false)?,
            place,
            reach,
            creating: Mutex::default(),
        })
    }

    /// What all keys of this place begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.place.prefix
    }

    /// Whether the workload may go there. A server that is merely not there now is no error.
    pub(in super::super) async fn may_connect(&self) -> Result<(), PluginError> {
        match self.reach.begin().await {
            Err(DialError::Denied { denial, hint }) => {
                let told = format!("the server of `endpoint` may not be reached: {denial}");
                Err(PluginError::new(told).hint(hint))
            }
            _ => Ok(()),
        }
    }

    /// Why it cannot be used now, for whoever runs the workload.
    pub(super) fn trouble(&self) -> Option<String> {
        self.reach.trouble()
    }
}

fn builder(place: &S3Place, transport: Transport) -> AmazonS3Builder {
    let virtual_bucket = place.virtual_host.then_some(place.bucket.as_str());
    let builder = AmazonS3Builder::new()
        .with_endpoint(place.endpoint.url(virtual_bucket))
        .with_virtual_hosted_style_request(place.virtual_host)
        .with_allow_http(!place.endpoint.tls)
        .with_bucket_name(&place.bucket)
        .with_region(&place.region)
        .with_retry(RetryConfig {
            max_retries: RETRIES,
            ..RetryConfig::default()
        })
        .with_http_connector(transport);
    let Some(keys) = &place.keys else {
        return builder.with_skip_signature(true);
    };
    let AccessKeys {
        id,
        secret,
        session,
    } = keys;
    let builder = builder
        .with_access_key_id(id)
        .with_secret_access_key(secret);
    match session {
        Some(session) => builder.with_token(session),
        None => builder,
    }
}

/// A key as the library wants it.
pub(super) fn key(text: &str) -> Result<Path, BlobError> {
    // None of ours has a step that it refuses.
    Path::parse(text).map_err(|_| BlobError::Other("the name makes no key of S3".to_owned()))
}

/// What a failure means. `absent` is for what is not there. Of what the server says nothing is repeated: it may hold keys.
pub(super) fn fault(error: &Error, absent: BlobError) -> BlobError {
    match error {
        Error::NotFound { .. } => return absent,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => return BlobError::Denied,
        _ => {}
    }
    if let Some(refusal) = cause::<Refusal>(error) {
        return BlobError::Other(refusal.to_string());
    }
    if cause::<Denied>(error).is_some() {
        return BlobError::Denied;
    }
    if cause::<Full>(error).is_some() {
        return BlobError::Quota("the store is full".to_owned());
    }
    if cause::<TooLong>(error).is_some() {
        return BlobError::Unavailable("its server has sent too much".to_owned());
    }
    match cause::<HttpError>(error).map(HttpError::kind) {
        Some(HttpErrorKind::Timeout) => BlobError::Timeout,
        Some(HttpErrorKind::Connect) => {
            BlobError::Unavailable("its server cannot be reached".to_owned())
        }
        Some(_) => BlobError::Unavailable("the connection to its server broke".to_owned()),
        None => BlobError::Unavailable("its server does not do what it is asked to".to_owned()),
    }
}
