//! Copies what a reference leads to from one registry to another, byte for byte.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::mpsc;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, future::BoxFuture};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use super::client::{
    Access, Actions, Door, RawManifest, Registries, RegistryError, RegistryErrorKind, Sink, Source,
    optional, persist, pushed_version,
};
use super::layout::{Descriptor, Manifest, media};
use super::push::Pushed;
use crate::workload::{Digest, Reference};

/// How deep indexes may be in indexes, and how many manifests there may be in all.
const LARGEST: (usize, usize) = (4, 1000);
/// How many pieces wait between the two registries.
const WAITING: usize = 4;

/// A copy on its way.
struct Copying<'a> {
    registries: &'a Registries,
    from: (&'a Reference, &'a Access),
    to: Door,
    /// What is there by now.
    done: BTreeSet<Digest>,
}

impl Registries {
    /// Copies what a reference leads to, with all that belongs to it, each side with its own access. The manifest goes last.
    ///
    /// # Errors
    /// When it cannot be had, or the other registry does not take it.
    pub async fn copy(
        &self,
        from: (&Reference, &Access),
        to: (&Reference, &Access),
    ) -> Result<Pushed, RegistryError> {
        let manifest = self.manifest(from.0, from.1).await?;
        let manifest = manifest.ok_or_else(|| RegistryError {
            place: format!("{}/{}", from.0.registry(), from.0.repository()),
            kind: RegistryErrorKind::NotFound(format!("`{}`", from.0.version())),
        })?;
        let digest = manifest.digest;
        let door = self.home(to.0, to.1, Actions::Push)?;
        let version = pushed_version(&door, to.0, digest)?;
        let there = self.within(to.0, door.digest(&version)).await;
        if optional(there)? == Some(digest) {
            let was_there = true;
            return Ok(Pushed { digest, was_there });
        }
        let mut copying = Copying {
            registries: self,
            from,
            to: door,
            done: BTreeSet::new(),
        };
        copying.all(&manifest, &version, 0).await?;
        let was_there = false;
        Ok(Pushed { digest, was_there })
    }
}

impl Copying<'_> {
    /// A manifest with all that it names.
    fn all<'b>(
        &'b mut self,
        manifest: &'b RawManifest,
        version: &'b str,
        depth: usize,
    ) -> BoxFuture<'b, Result<(), RegistryError>> {
        async move {
            let kind = manifest.media_type.as_deref();
            let parsed = Manifest::parse(kind, &manifest.bytes);
            let parsed =
                parsed.map_err(|error| self.to.error(RegistryErrorKind::Manifest(error)))?;
            let usual = match parsed {
                Manifest::Image { config, layers, .. } => {
                    for blob in std::iter::once(&config).chain(&layers) {
                        self.blob(blob).await?;
                    }
                    media::MANIFEST
                }
                Manifest::Index { manifests, .. } => {
                    for inner in &manifests {
                        self.inner(inner, depth + 1).await?;
                    }
                    media::INDEX
                }
            };
            let kind = declared(manifest).unwrap_or_else(|| usual.to_owned());
            let (reference, _) = self.from;
            let put = self.to.put_manifest(version, &kind, &manifest.bytes);
            self.registries.within(reference, put).await?;
            Ok(())
        }
        .boxed()
    }

    async fn inner(&mut self, manifest: &Descriptor, depth: usize) -> Result<(), RegistryError> {
        if depth > LARGEST.0 || self.done.len() > LARGEST.1 {
            let text = "its indexes lead to more manifests than are copied at once";
            return Err(self.to.error(RegistryErrorKind::Protocol(text.to_owned())));
        }
        if !self.done.insert(manifest.digest) {
            return Ok(());
        }
        let (reference, access) = self.from;
        let at = reference.at(manifest.digest);
        let found = self.registries.manifest(&at, access).await?;
        let found = found.ok_or_else(|| {
            let what = format!("`{}`, which its index names", manifest.digest);
            self.to.error(RegistryErrorKind::NotFound(what))
        })?;
        let version = found.digest.to_string();
        self.all(&found, &version, depth).await
    }

    async fn blob(&mut self, blob: &Descriptor) -> Result<(), RegistryError> {
        if !self.done.insert(blob.digest) {
            return Ok(());
        }
        let (reference, access) = self.from;
        let to = &self.to;
        let work = async {
            if to.has_blob(blob.digest).await? {
                return Ok(());
            }
            if to.is_of(reference.registry()) {
                match to.mount(blob.digest, reference.repository()).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    // Whoever may write there need not be who may read here.
                    Err(error) if matches!(error.kind, RegistryErrorKind::Denied(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let retries = self.registries.settings().retries;
            persist(retries, || self.relay(reference, blob, access)).await
        };
        self.registries.within(reference, work).await
    }

    /// From one to the other, as it comes.
    async fn relay(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        access: &Access,
    ) -> Result<(), RegistryError> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let frames = receiver.map(|piece: Piece| piece.map(Frame::data));
        let source = Source::Stream(StreamBody::new(frames).boxed_unsync());
        let down = async {
            let mut pipe = Pipe(sender);
            let fetched = self
                .registries
                .blob(reference, blob, &mut pipe, access)
                .await;
            if fetched.is_err() {
                // So that what was sent until now is not taken for all.
                let _ = pipe.0.send(Err("the other side broke off".into())).await;
            }
            fetched
        };
        match futures::join!(down, self.to.upload(blob, source)) {
            (Ok(()), uploaded) => uploaded,
            // It was not the first to give up.
            (Err(error), Err(other)) if matches!(error.kind, RegistryErrorKind::Keep(_)) => {
                Err(other)
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// What a manifest says it is, or was sent as.
fn declared(manifest: &RawManifest) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    let typed = serde_json::from_slice::<Typed>(&manifest.bytes).ok();
    typed
        .and_then(|typed| typed.media_type)
        .or_else(|| manifest.media_type.clone())
}

type Piece = Result<Bytes, Box<dyn Error + Send + Sync>>;

/// To the other side.
struct Pipe(mpsc::Sender<Piece>);

#[async_trait]
impl Sink for Pipe {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let sent = self.0.send(Ok(bytes)).await;
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    async fn restart(&mut self) -> io::Result<()> {
        Err(io::Error::other("what was sent on cannot be taken back"))
    }
}
