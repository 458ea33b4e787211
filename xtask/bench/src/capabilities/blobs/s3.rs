//! The client of S3 that the host uses, with parts as large as there, one after another.

use std::time::Instant;

use anyhow::ensure;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Connector;
use hyper_util::rt::TokioExecutor;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStoreExt as _, PutPayload};

use super::{Mover, Way};
use crate::capabilities::servers::S3;
use crate::workers::Workers;

/// How large the parts of a large object are.
const PART: u64 = 8 << 20;

/// A bucket, and the threads that use it.
pub(super) struct Bucket {
    store: AmazonS3,
    workers: Workers,
}

impl Bucket {
    pub(super) fn new(server: &S3) -> anyhow::Result<Self> {
        let builder = AmazonS3Builder::new()
            .with_endpoint(server.endpoint())
            .with_allow_http(true)
            .with_bucket_name(S3::BUCKET)
            .with_region("us-east-1")
            .with_access_key_id(S3::KEY_ID)
            .with_secret_access_key(S3::SECRET)
            .with_http_connector(Transport::default());
        Ok(Self {
            store: builder.build()?,
            workers: Workers::new()?,
        })
    }
}

impl Mover for Bucket {
    fn name(&self, _: Way) -> &'static str {
        "native"
    }

    async fn flow(&self, way: Way, bytes: u64) -> anyhow::Result<f64> {
        let store = self.store.clone();
        let flow = async move {
            let (begun, path) = (Instant::now(), Path::from("native"));
            match way {
                Way::Write => write(&store, &path, bytes).await?,
                Way::Read => {
                    let mut contents = store.get(&path).await?.into_stream();
                    let mut read = 0;
                    while let Some(piece) = contents.next().await {
                        read += piece?.len() as u64;
                    }
                    ensure!(read == bytes, "{read} bytes came, not {bytes}");
                }
            }
            Ok(begun.elapsed().as_secs_f64())
        };
        self.workers.run(flow).await
    }
}

async fn write(store: &AmazonS3, path: &Path, bytes: u64) -> anyhow::Result<()> {
    let piece = Bytes::from(vec![7; usize::try_from(PART.min(bytes))?]);
    if bytes <= PART {
        store.put(path, PutPayload::from_bytes(piece)).await?;
        return Ok(());
    }
    let mut upload = store.put_multipart(path).await?;
    let mut left = bytes;
    while left > 0 {
        let length = left.min(PART);
        let part = piece.slice(..usize::try_from(length)?);
        upload.put_part(PutPayload::from_bytes(part)).await?;
        left -= length;
    }
    upload.complete().await?;
    Ok(())
}

/// Requests through hyper and nothing else.
#[derive(Clone, Debug)]
struct Transport(Client<Connector, HttpRequestBody>);

impl Default for Transport {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.request(request).await;
        let answer = answer.map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}
