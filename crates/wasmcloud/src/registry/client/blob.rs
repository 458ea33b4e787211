//! Blobs: streamed to whoever keeps them, gone on with after a broken connection, never longer than they should be, and checked by
//! their digests.

mod pace;
mod slots;

use std::io;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use pace::Pace;
pub(super) use slots::Slots;

use super::door::{Answer, Ask, Door};
use super::doors::{Doors, pass_over};
use super::error::{RegistryError, RegistryErrorKind, Unreachable};
use super::registries::{Access, Registries};
use super::retry::Failures;
use crate::net::web::{Patient, WebError};
use crate::registry::layout::Descriptor;
use crate::workload::{Digest, Reference};

/// Where the bytes of a blob go.
///
/// - S1 Bytes come in order, and only once, until `restart`.
/// - S2 Nothing is told when they are complete: whoever gave the sink learns it, and only then they have the digest.
#[async_trait]
pub trait Sink: Send {
    /// What is there from an earlier time: how many bytes, and the state of a hash that has seen them. Nothing by default.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn begun(&mut self) -> io::Result<(u64, Sha256)> {
        Ok((0, Sha256::new()))
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they cannot be kept.
    async fn write(&mut self, bytes: Bytes) -> io::Result<()>;

    /// Forgets all bytes, also those from an earlier time.
    ///
    /// # Errors
    /// When there is no way back.
    async fn restart(&mut self) -> io::Result<()>;
}

#[async_trait]
impl Sink for BytesMut {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.extend_from_slice(&bytes);
        Ok(())
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// Whoever wants to know how far a blob is.
pub trait Progress: Send + Sync {
    /// So many of so many bytes are there. They can become fewer, when it is begun again.
    fn moved(&self, done: u64, total: u64);
}

/// A blob on its way.
pub(super) struct Transfer<'a> {
    blob: &'a Descriptor,
    sink: &'a mut dyn Sink,
    hash: Sha256,
    done: u64,
    /// Whether the registry can begin in the middle, as far as it is known.
    resumes: bool,
}

impl<'a> Transfer<'a> {
    pub(super) async fn new(
        blob: &'a Descriptor,
        sink: &'a mut dyn Sink,
    ) -> Result<Self, RegistryErrorKind> {
        let begun = sink.begun().await;
        let (done, hash) = begun.map_err(RegistryErrorKind::Keep)?;
        let mut transfer = Self {
            blob,
            sink,
            hash,
            done,
            resumes: true,
        };
        if done > blob.size {
            transfer.restart().await?;
        }
        Ok(transfer)
    }

    async fn restart(&mut self) -> Result<(), RegistryErrorKind> {
        if self.done > 0 {
            self.sink.restart().await.map_err(RegistryErrorKind::Keep)?;
        }
        self.done = 0;
        self.hash = Sha256::new();
        Ok(())
    }

    fn what(&self) -> String {
        format!("the blob {}", self.blob.digest)
    }

    /// Takes what comes, which is no more than what is missing.
    async fn take(&mut self, bytes: Bytes) -> Result<(), RegistryErrorKind> {
        let done = self.done.saturating_add(bytes.len() as u64);
        if done > self.blob.size {
            return Err(self.too_large());
        }
        self.hash.update(&bytes);
        let kept = self.sink.write(bytes).await;
        kept.map_err(RegistryErrorKind::Keep)?;
        self.done = done;
        Ok(())
    }

    fn too_large(&self) -> RegistryErrorKind {
        RegistryErrorKind::TooLarge {
            what: self.what(),
            limit: self.blob.size,
        }
    }

    fn finish(&self) -> Result<(), RegistryErrorKind> {
        if self.done < self.blob.size {
            return Err(RegistryErrorKind::Truncated {
                what: self.what(),
                found: self.done,
                size: self.blob.size,
            });
        }
        let found = Digest::from_bytes(self.hash.clone().finalize().into());
        match found == self.blob.digest {
            true => Ok(()),
            false => Err(RegistryErrorKind::Digest {
                what: self.what(),
                wanted: self.blob.digest,
                found,
            }),
        }
    }

    /// Makes sure that what an answer has goes on where this is.
    async fn begin(&mut self, answer: &Answer) -> Result<(), RegistryErrorKind> {
        let is_part = answer.response.status() == StatusCode::PARTIAL_CONTENT;
        if !is_part {
            self.restart().await?;
        } else if begins_at(answer.response.headers()) != Some((self.done, self.blob.size)) {
            let text = format!(
                "{} was asked for from byte {} on, and something else came",
                self.what(),
                self.done
            );
            return Err(RegistryErrorKind::Protocol(text));
        }
        let missing = self.blob.size.saturating_sub(self.done);
        match answer.response.body().size_hint().lower() > missing {
            true => Err(self.too_large()),
            false => Ok(()),
        }
    }
}

/// Where a part begins, and how long the whole is: `bytes 5-9/10`.
fn begins_at(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (part, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    Some((part.split_once('-')?.0.parse().ok()?, whole.parse().ok()?))
}

impl Door {
    async fn blob(&self, transfer: &mut Transfer<'_>) -> Result<(), RegistryError> {
        let mut failures = Failures::new(self.inner.settings.retries);
        let (mut pace, mut began) = (Pace::default(), Instant::now());
        let mut was_wrong = false;
        loop {
            let before = transfer.done;
            let Err(error) = self.stretch(transfer).await else {
                return Ok(());
            };
            pace.add(transfer.done.saturating_sub(before), began.elapsed());
            began = Instant::now();
            // A byte now and then is no way further.
            if pace.is_kept() {
                failures.forget();
                pace = Pace::default();
            }
            let is_wrong = matches!(
                error.kind,
                RegistryErrorKind::Digest { .. } | RegistryErrorKind::TooLarge { .. }
            );
            let no_range = matches!(error.kind, RegistryErrorKind::Status { status, .. } if status == StatusCode::RANGE_NOT_SATISFIABLE);
            if is_wrong || no_range {
                let restarted = transfer.restart().await;
                restarted.map_err(|kind| self.error(kind))?;
            }
            match &error.kind {
                // Once: it may have been damaged on the way.
                RegistryErrorKind::Digest { .. } if !was_wrong => was_wrong = true,
                _ if no_range && transfer.resumes => transfer.resumes = false,
                _ => self.in_time(failures.wait(error)).await?,
            }
        }
    }

    /// From where it is, as far as it comes.
    async fn stretch(&self, transfer: &mut Transfer<'_>) -> Result<(), RegistryError> {
        let wrong = |kind| self.error(kind);
        if transfer.done > 0 && transfer.done == transfer.blob.size {
            return transfer.finish().map_err(wrong);
        }
        if !transfer.resumes {
            transfer.restart().await.map_err(wrong)?;
        }
        let url = self.url(&format!("blobs/{}", transfer.blob.digest));
        let mut ask = Ask::new(Method::GET, url);
        if transfer.done > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", transfer.done));
            ask = range
                .into_iter()
                .fold(ask, |ask, range| ask.header(RANGE, range));
        }
        let answer = self.in_time(self.ask(ask, &transfer.what())).await?;
        self.flow(transfer, answer).await
    }

    async fn flow(&self, transfer: &mut Transfer<'_>, answer: Answer) -> Result<(), RegistryError> {
        let wrong = |kind| self.error(kind);
        transfer.begin(&answer).await.map_err(wrong)?;
        self.progress(transfer.done, transfer.blob.size);
        let (what, silence) = (transfer.what(), self.inner.settings.silence);
        let (mut body, mut pace) = (answer.response.into_body(), Pace::default());
        loop {
            let asked = Instant::now();
            let Some(bytes) = self.in_time(self.piece(&mut body, &what)).await? else {
                return transfer.finish().map_err(wrong);
            };
            // How long the sink takes is not the registry's fault.
            pace.add(bytes.len() as u64, asked.elapsed());
            transfer.take(bytes).await.map_err(wrong)?;
            self.progress(transfer.done, transfer.blob.size);
            if transfer.done < transfer.blob.size && pace.is_lost_for(silence) {
                return Err(self.broken(&what, WebError::Late(silence)));
            }
        }
    }

    /// What comes next. None at the end.
    async fn piece(&self, body: &mut Patient, what: &str) -> Result<Option<Bytes>, RegistryError> {
        match body.frame().await {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(problem)) => Err(self.broken(what, problem)),
        }
    }

    fn broken(&self, what: &str, problem: WebError) -> RegistryError {
        self.error(RegistryErrorKind::Unreachable {
            who: what.to_owned(),
            problem: Unreachable(problem),
        })
    }
}

impl Doors {
    /// Fetches a blob from the first that has it. What one has begun the next goes on with. A mirror whose time is over is left only
    /// while it is waited for, so that what the sink has and what is known of it stay the same.
    pub(super) async fn blob(&self, transfer: &mut Transfer<'_>) -> Result<(), RegistryError> {
        for mirror in &self.mirrors {
            match mirror.blob(transfer).await {
                Ok(()) => return Ok(()),
                Err(error) => pass_over(error)?,
            }
        }
        self.itself.blob(transfer).await
    }
}

impl Registries {
    /// Fetches a blob of a repository. When it returns, the sink has had all of it, and it has the digest.
    ///
    /// # Errors
    /// When it cannot be had, or is another one. What the sink has got by then may be gone on with later.
    pub async fn blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        sink: &mut dyn Sink,
        access: &Access,
    ) -> Result<(), RegistryError> {
        // The wait for others has an end, and takes nothing of the time that the blob has.
        let slot = async { Ok(self.inner().slots.take(reference.registry()).await) };
        let _slot = self.within(reference, slot).await?;
        let work = async {
            let doors = self.doors_within(reference, access, self.settings().longest)?;
            let place = |kind| RegistryError {
                place: format!("{}/{}", reference.registry(), reference.repository()),
                kind,
            };
            let mut transfer = Transfer::new(blob, sink).await.map_err(place)?;
            doors.blob(&mut transfer).await
        };
        self.within(reference, work).await
    }

    /// Fetches a blob of at most so many bytes as a whole.
    ///
    /// # Errors
    /// When it is larger, cannot be had, or is another one.
    pub async fn small_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        limit: u64,
        access: &Access,
    ) -> Result<Bytes, RegistryError> {
        if blob.size > limit {
            let what = format!("the blob {}", blob.digest);
            return Err(RegistryError {
                place: format!("{}/{}", reference.registry(), reference.repository()),
                kind: RegistryErrorKind::TooLarge { what, limit },
            });
        }
        let mut bytes = BytesMut::new();
        self.blob(reference, blob, &mut bytes, access).await?;
        Ok(bytes.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_where_it_begins() {
        let of = |text: &str| {
            let headers = [(CONTENT_RANGE, text.parse().unwrap())];
            begins_at(&headers.into_iter().collect())
        };
        assert_eq!(of("bytes 5-9/10"), Some((5, 10)));
        for wrong in [
            "",
            "bytes */10",
            "bytes 5-9/*",
            "5-9/10",
            "bytes -5/10",
            "bytes x-9/10",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
