//! Uploads of blobs: none if it is there, none if the registry has it in another repository, or else in one piece.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use url::Url;

use super::blob::Progress;
use super::body::Outgoing;
use super::door::{Actions, Answer, Ask, Content, Door};
use super::error::{RegistryError, RegistryErrorKind};
use super::place;
use super::registries::{Access, Registries};
use super::retry::persist;
use crate::registry::layout::Descriptor;
use crate::workload::{Digest, Reference};

/// How much is handed over at once. What has been taken is a sign of life, and one of a whole blob would be the last.
const PIECE: usize = 64 << 10;

/// The bytes of a blob.
pub(in crate::registry) enum Source {
    Bytes(Bytes),
    Stream(Outgoing),
}

/// Where an upload goes on.
enum Begun {
    /// Nothing has to be sent: the registry has it from another repository.
    Mounted,
    At(Url),
}

impl Door {
    pub(in crate::registry) async fn has_blob(
        &self,
        digest: Digest,
    ) -> Result<bool, RegistryError> {
        let asked = persist(self.inner.settings.retries, || async {
            let url = self.url(&format!("blobs/{digest}"));
            self.ask(Ask::new(Method::HEAD, url), "such blob").await
        });
        match asked.await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Puts a blob there unless it is there already, which it says.
    pub(in crate::registry) async fn put_blob(
        &self,
        blob: &Descriptor,
        bytes: &Bytes,
    ) -> Result<bool, RegistryError> {
        if self.has_blob(blob.digest).await? {
            return Ok(true);
        }
        persist(self.inner.settings.retries, || {
            self.upload(blob, Source::Bytes(bytes.clone()))
        })
        .await?;
        Ok(false)
    }

    /// Has the registry take a blob from another of its repositories. Whether it did.
    pub(in crate::registry) async fn mount(
        &self,
        digest: Digest,
        from: &str,
    ) -> Result<bool, RegistryError> {
        let digest = digest.to_string();
        let begun = self.begin(&[("mount", &digest), ("from", from)]).await?;
        Ok(matches!(begun, Begun::Mounted))
    }

    /// Sends a blob, once.
    pub(in crate::registry) async fn upload(
        &self,
        blob: &Descriptor,
        source: Source,
    ) -> Result<(), RegistryError> {
        let Begun::At(mut url) = self.begin(&[]).await? else {
            return Ok(());
        };
        // What the registry has put behind its address stays as it is.
        url.query_pairs_mut()
            .append_pair("digest", &blob.digest.to_string());
        let content = match source {
            Source::Bytes(bytes) => self.pieces(bytes),
            Source::Stream(stream) => stream,
        };
        let mut ask = Ask::new(Method::PUT, url)
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            )
            .header(CONTENT_LENGTH, HeaderValue::from(blob.size));
        ask.content = Content::Stream(Some(content));
        self.ask(ask, "upload any more").await.map(|_| ())
    }

    async fn begin(&self, query: &[(&str, &str)]) -> Result<Begun, RegistryError> {
        let mut url = self.url("blobs/uploads/");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self
            .ask(Ask::new(Method::POST, url), "repository of this name")
            .await?;
        match answer.response.status() {
            StatusCode::CREATED => Ok(Begun::Mounted),
            _ => location(&answer)
                .map(Begun::At)
                .map_err(|kind| self.error(kind)),
        }
    }

    fn pieces(&self, bytes: Bytes) -> Outgoing {
        let pieces = Pieces {
            total: bytes.len() as u64,
            rest: bytes,
            progress: self.told(),
        };
        pieces.map_err(|never| match never {}).boxed_unsync()
    }
}

fn location(answer: &Answer) -> Result<Url, RegistryErrorKind> {
    let location = answer.response.headers().get(LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    let missing = || {
        RegistryErrorKind::Protocol(
            "it takes an upload, and does not say where (`Location`)".to_owned(),
        )
    };
    place::follow(&answer.url, location.ok_or_else(missing)?)
}

/// Bytes that go piece by piece, and tell how far they are.
struct Pieces {
    rest: Bytes,
    total: u64,
    progress: Option<Arc<dyn Progress>>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let len = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(len);
        if let Some(progress) = &self.progress {
            progress.moved(self.total - self.rest.len() as u64, self.total);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Registries {
    /// Puts a blob into a repository unless it is there already, which it says.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn put_blob(
        &self,
        reference: &Reference,
        bytes: &Bytes,
        access: &Access,
    ) -> Result<bool, RegistryError> {
        let door = self.home(reference, access, Actions::Push)?;
        let blob = Descriptor::of("", bytes);
        self.within(reference, door.put_blob(&blob, bytes)).await
    }
}
