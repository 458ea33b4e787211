//! Images for whoever wants them: from the cache where the policy of the pull allows it, or else from their registry, and only if they
//! meet what is demanded of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::Sha256;
use tokio::time::timeout;

use super::access::{AuthFile, Found, Keychain};
use super::client::{Access, Progress, Registries, RegistryError, RegistryErrorKind, Sink};
use super::layout::{Artifact, Descriptor};
use super::pull::Resolved;
use super::reachable::{Reach, Whom, proof};
use super::signatures::{Asked, Held, Kept};
use super::store::{Download, Partial, Pin, Record, Store, StoreError};
use super::verify::{
    SignatureSource, SourceError, Verified, VerifyError, VerifyErrorKind, VerifyPolicy,
};
use crate::artifact::{By, Fetch, FetchError, FetchErrorKind, Fetched, Hold, Wanted};
use crate::net::dial::Dial;
use crate::workload::{Digest, Image, Namespace, Pull, PullPolicy, Reference, SecretName};

/// The largest manifest that is read from the cache, in bytes: registries take no larger ones.
const LARGEST_MANIFEST: u64 = 4 << 20;

/// Images of registries. A clone is the same.
#[derive(Clone, Debug)]
pub struct Images(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registries: Registries,
    reach: Reach,
    store: Option<Store>,
    policy: VerifyPolicy,
    keys: Keys,
}

/// The credentials of a host.
#[derive(Debug)]
pub(super) struct Keys {
    /// What everybody may use.
    pub(super) common: Keychain,
    /// By who may use it, and its name.
    pub(super) secrets: BTreeMap<(Namespace, SecretName), AuthFile>,
}

/// An image that may run.
pub struct Pulled {
    /// The component.
    pub bytes: Bytes,
    /// The same repository, at the digest of the manifest.
    pub reference: Reference,
    /// The digest of the component.
    pub layer: Digest,
    /// What it meets the demand of the host by.
    pub verified: Verified,
    /// Whether nothing of it was downloaded.
    pub from_cache: bool,
    /// Held while something runs that was made from it.
    pub hold: Option<Hold>,
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulled")
            .field("reference", &self.reference)
            .field("bytes", &self.bytes.len())
            .field("verified", &self.verified)
            .field("from_cache", &self.from_cache)
            .finish_non_exhaustive()
    }
}

/// Why an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The registry does not give it.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// The cache does not give it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It does not meet what is demanded of it.
    #[error("{0}")]
    Verify(Box<VerifyError>),
    /// The host has no such pull secret for this namespace.
    #[error("the host has no pull secret `{name}` for the namespace `{namespace}`")]
    NoSecret {
        /// Its name.
        name: SecretName,
        /// Who wants to use it.
        namespace: Namespace,
    },
    /// It must not be pulled, and is not there.
    #[error("it is not in the cache, and its pull policy is `Never`")]
    NotPresent,
    /// It must not be pulled, and was pulled by others only.
    #[error(
        "it is in the cache, but was never pulled with these credentials, and its pull policy is `Never`"
    )]
    NotProven,
    /// It must not be pulled, and nothing is kept.
    #[error("its pull policy is `Never`, and there is no cache of images")]
    NoCache,
}

impl From<VerifyError> for ImageError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(Box::new(error))
    }
}

impl ImageError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Registry(error) => return error.hint(),
            Self::Store(error) => return error.hint().map(str::to_owned),
            Self::Verify(error) => return error.hint(),
            Self::NoSecret { .. } => "list it in `images.pullSecrets` of the host's configuration",
            Self::NotPresent => "pull it first (`wash compile`), or use `IfNotPresent`",
            Self::NotProven => {
                "use `IfNotPresent`, so that the registry can be asked whether they do; if only the host may go there, list the registry under `images.registries` of the host's configuration and pull it again"
            }
            Self::NoCache => "give the host a folder for its cache (`images.cacheDir`)",
        };
        Some(hint.to_owned())
    }
}

/// Who asks for an image.
struct Asker {
    access: Access,
    is_host: bool,
}

impl Asker {
    /// Whether a record shows that they would be given its image with these credentials.
    fn may_have(
        &self,
        store: &Store,
        record: &Record,
        reference: &Reference,
        with: Option<&Found>,
    ) -> bool {
        let counts = |whom| record.proves(&proof(store, reference, with, whom));
        counts(Whom::Everybody) || self.is_host && counts(Whom::Host)
    }
}

/// What the cache has of an image.
enum Hit {
    Image(Box<Pulled>),
    /// Nothing, or nothing that can be used.
    None,
    /// It is there, but not for these credentials.
    Unproven,
    /// It is there, but does not meet the demand with what is there of signatures.
    Rejected(Box<VerifyError>),
}

impl Images {
    pub(super) fn new(
        registries: Registries,
        dial: Dial,
        store: Option<Store>,
        policy: VerifyPolicy,
        keys: Keys,
    ) -> Self {
        Self(Arc::new(Inner {
            registries,
            reach: Reach::new(dial),
            store,
            policy,
            keys,
        }))
    }

    /// The registries, for what is no pull.
    #[must_use]
    pub fn registries(&self) -> &Registries {
        &self.0.registries
    }

    /// The cache, if there is one.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.0.store.as_ref()
    }

    /// What is demanded of images.
    #[must_use]
    pub fn policy(&self) -> &VerifyPolicy {
        &self.0.policy
    }

    /// The access of whoever runs this program.
    #[must_use]
    pub fn access(&self) -> Access {
        Access::of_host(self.0.keys.common.clone())
    }

    /// Gets an image, from the cache or its registry.
    ///
    /// # Errors
    /// When it cannot be had, or does not meet what is demanded of it.
    pub async fn pull(
        &self,
        reference: &Reference,
        pull: &Pull,
        by: By<'_>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<Pulled, ImageError> {
        let mut access = self.access_of(pull, by)?;
        if let Some(progress) = progress {
            access = access.telling(progress);
        }
        let is_host = by == By::Host;
        let asker = Asker { access, is_host };
        let hit = match pull.policy_for(reference) {
            PullPolicy::Always => Hit::None,
            PullPolicy::IfNotPresent => match self.cached(reference, &asker).await {
                // Without the cache, it can be had all the same.
                Err(ImageError::Store(error)) => {
                    tracing::warn!(image = %reference, %error, "the cache cannot be read, so that the registry is asked");
                    Hit::None
                }
                hit => hit?,
            },
            PullPolicy::Never => return self.never(self.cached(reference, &asker).await?),
        };
        match hit {
            Hit::Image(pulled) => Ok(*pulled),
            Hit::None | Hit::Unproven => self.download(reference, &asker).await,
            Hit::Rejected(error) => self.again(reference, &asker, *error).await,
        }
    }

    /// What the cache has, or why that will not do.
    fn never(&self, hit: Hit) -> Result<Pulled, ImageError> {
        match hit {
            Hit::Image(pulled) => Ok(*pulled),
            Hit::Rejected(error) => Err((*error).into()),
            Hit::Unproven => Err(ImageError::NotProven),
            Hit::None if self.store().is_none() => Err(ImageError::NoCache),
            Hit::None => Err(ImageError::NotPresent),
        }
    }

    /// Asks the registry, which may have signatures by now that the cache has not, or another image.
    async fn again(
        &self,
        reference: &Reference,
        asker: &Asker,
        rejected: VerifyError,
    ) -> Result<Pulled, ImageError> {
        // Nothing that it could say would change that.
        if matches!(rejected.kind, VerifyErrorKind::Denied) {
            return Err(rejected.into());
        }
        match self.download(reference, asker).await {
            // That it would not have been allowed to run says more than that nobody can be asked.
            Err(ImageError::Registry(error)) if error.may_pass() => {
                tracing::warn!(image = %reference, %error, "the registry cannot be asked for other signatures");
                Err(rejected.into())
            }
            pulled => pulled,
        }
    }

    /// With what a registry is asked for somebody.
    fn access_of(&self, pull: &Pull, by: By<'_>) -> Result<Access, ImageError> {
        let mut keychain = self.0.keys.common.clone();
        if let Some(name) = &pull.secret {
            let namespace = match by {
                By::Host => Namespace::default(),
                By::Workload(namespace) => namespace.clone(),
            };
            let whose = (namespace, name.clone());
            let Some(secret) = self.0.keys.secrets.get(&whose) else {
                let (namespace, name) = whose;
                return Err(ImageError::NoSecret { name, namespace });
            };
            keychain = keychain.pull_secret(name.as_str(), secret.clone());
        }
        Ok(match by {
            By::Host => Access::of_host(keychain),
            By::Workload(_) => Access::of_workload(keychain),
        })
    }

    /// What the cache has, without touching the network.
    async fn cached(&self, reference: &Reference, asker: &Asker) -> Result<Hit, ImageError> {
        let Some(store) = self.store() else {
            return Ok(Hit::None);
        };
        let Some(record) = store.record(reference).await? else {
            return Ok(Hit::None);
        };
        if !self.is_proven(store, &record, reference, asker).await? {
            return Ok(Hit::Unproven);
        }
        if !has_layer(store, &record).await? {
            return Ok(Hit::None);
        }
        let kept = Kept { store, reference };
        let verified = match self.verify(reference, record.manifest, &kept).await {
            Ok(verified) => verified,
            Err(error) => return Ok(Hit::Rejected(Box::new(error))),
        };
        let limit = self.registries().settings().largest_image;
        let Some((bytes, pin)) = store.blob(&record.layer, limit).await? else {
            return Ok(Hit::None);
        };
        Ok(Hit::Image(Box::new(Pulled {
            bytes,
            reference: reference.at(record.manifest),
            layer: record.layer,
            verified,
            from_cache: true,
            hold: Some(Arc::new(pin)),
        })))
    }

    /// Whether the registry, or a mirror of it, gave the image to somebody with the same credentials.
    async fn is_proven(
        &self,
        store: &Store,
        record: &Record,
        reference: &Reference,
        asker: &Asker,
    ) -> Result<bool, ImageError> {
        // Programs that know credentials are asked only where somebody needs some.
        if asker.may_have(store, record, reference, None) {
            return Ok(true);
        }
        let doors = self.registries().doors(reference, &asker.access)?;
        let mut failed = None;
        for door in doors.all() {
            match door.credentials().await {
                Ok(found) if asker.may_have(store, record, reference, Some(&found)) => {
                    return Ok(true);
                }
                Ok(_) => failed = None,
                Err(kind) => failed = Some(door.error(kind)),
            }
        }
        // The last one is the registry itself. A mirror that cannot be asked is passed over.
        failed.map_or(Ok(false), |error| Err(error.into()))
    }

    async fn verify(
        &self,
        reference: &Reference,
        manifest: Digest,
        signatures: &dyn SignatureSource,
    ) -> Result<Verified, VerifyError> {
        self.0.policy.verify(reference, manifest, signatures).await
    }

    /// The same with what the registry says of signatures. It may have many, and take long for each: all of it together takes no
    /// longer than one thing may.
    pub(super) async fn verify_asked(
        &self,
        reference: &Reference,
        manifest: Digest,
        signatures: &Asked<'_>,
    ) -> Result<Verified, VerifyError> {
        let longest = self.registries().settings().longest;
        match timeout(longest, self.verify(reference, manifest, signatures)).await {
            Ok(verified) => verified,
            Err(_) => Err(late(self.policy(), reference, manifest, longest)),
        }
    }

    /// From the registry, but for what the cache has of the same repository.
    async fn download(&self, reference: &Reference, asker: &Asker) -> Result<Pulled, ImageError> {
        let access = &asker.access;
        let resolved = self.registries().resolve(reference, access).await?;
        let held = self.store().map(|_| Held::default());
        let signatures = Asked::new(self.registries(), held, reference, access);
        // What is not allowed to run is not even downloaded, and nothing of it is kept.
        let verified = self
            .verify_asked(reference, resolved.digest, &signatures)
            .await?;
        let signatures = signatures.into_held();
        let pulled = |bytes, hold, from_cache| Pulled {
            bytes,
            reference: resolved.reference.clone(),
            layer: resolved.artifact.layer.digest,
            verified: verified.clone(),
            from_cache,
            hold,
        };
        if let Some(store) = self.store() {
            match self
                .keep(store, reference, &resolved, signatures, asker)
                .await
            {
                Ok((bytes, pin, from_cache)) => {
                    return Ok(pulled(bytes, Some(Arc::new(pin) as Hold), from_cache));
                }
                Err(ImageError::Store(error)) => {
                    // What cannot be kept can run all the same.
                    tracing::warn!(image = %reference, %error, "an image is not kept in the cache");
                }
                Err(error) => return Err(error),
            }
        }
        let limit = self.registries().settings().largest_image;
        let layer = &resolved.artifact.layer;
        let bytes = self
            .registries()
            .small_blob(reference, layer, limit, access)
            .await?;
        Ok(pulled(bytes, None, false))
    }

    /// Downloads into the cache what is not there, and says whether that was nothing.
    async fn keep(
        &self,
        store: &Store,
        reference: &Reference,
        resolved: &Resolved,
        signatures: Held,
        asker: &Asker,
    ) -> Result<(Bytes, Pin, bool), ImageError> {
        let layer = &resolved.artifact.layer;
        let limit = self.registries().settings().largest_image;
        let mut from_cache = true;
        // Twice: what is damaged is seen, and removed, when it is read.
        for _ in 0..2 {
            let begun = store.download(&layer.digest, layer.size, reference);
            let _pin = match begun.await? {
                Download::Present(pin) => pin,
                Download::Partial(partial) => {
                    from_cache = false;
                    self.fetch(reference, layer, partial, &asker.access).await?
                }
            };
            if let Some((bytes, pin)) = store.blob(&layer.digest, limit).await? {
                let whom = self.whom(reference, asker).await;
                let noted = note(store, reference, resolved, signatures, whom);
                if let Err(error) = noted.await {
                    // The layer is there: it need not be downloaded again once the registry was asked.
                    tracing::warn!(image = %reference, %error, "what is known of an image is not kept in the cache");
                }
                return Ok((bytes, pin, from_cache));
            }
        }
        Err(store.gone(&layer.digest).into())
    }

    /// Downloads what is missing of a blob.
    async fn fetch(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        partial: Partial,
        access: &Access,
    ) -> Result<Pin, ImageError> {
        let mut keeping = Keeping(partial);
        let fetched = self
            .registries()
            .blob(reference, blob, &mut keeping, access)
            .await;
        match fetched {
            Ok(()) => Ok(keeping.0.commit().await?),
            Err(error) => {
                keeping.0.leave().await;
                Err(of_keeping(error))
            }
        }
    }

    /// For whom it counts that somebody was given an image. For a workload, the egress policy was asked on the way.
    async fn whom(&self, reference: &Reference, asker: &Asker) -> Whom {
        match asker.is_host {
            true => {
                let settings = self.registries().settings();
                self.0.reach.whom(reference.registry(), settings).await
            }
            false => Whom::Everybody,
        }
    }
}

/// That the registry takes too long over the signatures of an image.
fn late(
    policy: &VerifyPolicy,
    image: &Reference,
    manifest: Digest,
    longest: Duration,
) -> VerifyError {
    let mut rules = policy.rules.iter();
    let rule = rules.find(|rule| rule.pattern.matches(image));
    let problem = RegistryError {
        place: format!("{}/{}", image.registry(), image.repository()),
        kind: RegistryErrorKind::Late(longest),
    };
    VerifyError {
        image: image.clone(),
        manifest,
        rule: rule.map(|rule| rule.pattern.clone()),
        wanted: policy.demand(image).to_string(),
        kind: VerifyErrorKind::Unreadable(SourceError::new(problem)),
    }
}

/// What the cache could not keep is its failure, not the registry's.
fn of_keeping(error: RegistryError) -> ImageError {
    let RegistryErrorKind::Keep(kept) = error.kind else {
        return ImageError::Registry(error);
    };
    match kept.downcast::<StoreError>() {
        Ok(error) => ImageError::Store(error),
        Err(kept) => ImageError::Registry(RegistryError {
            kind: RegistryErrorKind::Keep(kept),
            ..error
        }),
    }
}

/// Keeps what is known of an image, with the signatures that it was allowed to run by.
async fn note(
    store: &Store,
    reference: &Reference,
    resolved: &Resolved,
    signatures: Held,
    whom: Whom,
) -> Result<(), StoreError> {
    let manifest = resolved.manifest.bytes.clone();
    let (_, _pin) = store.keep(manifest, reference).await?;
    let layer = &resolved.artifact.layer;
    let to = proof(store, reference, resolved.with.as_ref(), whom);
    let mut record = Record::new(resolved.digest, layer.digest, layer.size, to);
    record.related = signatures.keep_in(store, reference, to).await;
    store.put(&resolved.reference, record.clone()).await?;
    store.put(reference, record).await
}

/// Whether the layer of a record is that of the manifest, which is what signatures are for. A signature, which is kept as well, has
/// none.
async fn has_layer(store: &Store, record: &Record) -> Result<bool, StoreError> {
    let Some((manifest, _)) = store.blob(&record.manifest, LARGEST_MANIFEST).await? else {
        return Ok(false);
    };
    let artifact = Artifact::read(None, &manifest, u64::MAX);
    Ok(artifact.is_ok_and(|artifact| artifact.layer.digest == record.layer))
}

/// A download that goes into the cache.
struct Keeping(Partial);

#[async_trait]
impl Sink for Keeping {
    async fn begun(&mut self) -> io::Result<(u64, Sha256)> {
        let failed = || io::Error::other("this download has failed already");
        self.0.begun().ok_or_else(failed)
    }

    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0.write(bytes).await.map_err(io::Error::other)
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.0.restart().await.map_err(io::Error::other)
    }
}

/// Images of registries, and files from another source.
pub struct Sources {
    images: Images,
    files: Arc<dyn Fetch>,
}

impl Sources {
    /// Both.
    #[must_use]
    pub fn new(images: Images, files: Arc<dyn Fetch>) -> Self {
        Self { images, files }
    }
}

#[async_trait]
impl Fetch for Sources {
    async fn fetch(&self, wanted: Wanted<'_>) -> Result<Fetched, FetchError> {
        let Image::Registry(reference) = wanted.image else {
            return self.files.fetch(wanted).await;
        };
        let pulled = self.images.pull(reference, wanted.pull, wanted.by, None);
        let pulled = pulled.await.map_err(|error| FetchError {
            image: wanted.image.to_string(),
            kind: FetchErrorKind::Registry {
                hint: error.hint(),
                problem: Box::new(error),
            },
        })?;
        tracing::debug!(
            image = %reference,
            manifest = %pulled.verified.manifest,
            from_cache = pulled.from_cache,
            verified = %pulled.verified.by,
            "an image is there"
        );
        Ok(Fetched {
            bytes: pulled.bytes,
            digest: Some(pulled.layer),
            pinned: Some(Image::Registry(pulled.reference)),
            hold: pulled.hold,
        })
    }
}
