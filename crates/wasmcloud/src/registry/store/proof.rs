//! Who could fetch an image from its registry, remembered without the credentials themselves.

use std::fmt;

use rustls::crypto::ring::default_provider;
use sha2::{Digest as _, Sha256};

use super::error::StoreErrorKind;
use super::folder::{Folder, read_small};

/// How long the salt is in bytes.
const LENGTH: usize = 32;
/// How many bytes SHA-256 takes at a time.
const BLOCK: usize = 64;

/// Whom a registry gave an image to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Proof {
    /// Anybody who asked.
    Anonymous,
    /// Whoever runs the host, where no workload could have asked.
    Host,
    /// Who had these credentials.
    Credentials(Fingerprint),
}

/// Stands for the credentials for a registry, in one cache only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// Random bytes that a cache keeps to itself, so that its fingerprints cannot be compared with those of another one, nor looked up
/// in a list of usual passwords that was made beforehand.
pub(super) struct Salt([u8; LENGTH]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

impl Salt {
    /// That of a cache. If it has none and cannot keep one, it is one for this process: then nothing that needs credentials is
    /// found again later, and the registry is asked.
    pub(super) fn of(folder: &Folder) -> Result<Self, StoreErrorKind> {
        if let Some(salt) = Self::read(folder) {
            return Ok(salt);
        }
        match Self::make(folder) {
            Err(StoreErrorKind::Io(error)) => Err(StoreErrorKind::Io(error)),
            Ok(salt) => Ok(salt),
            Err(error) => {
                let folder = folder.root().display();
                tracing::debug!(%folder, %error, "the cache of images cannot remember who may have its private images");
                Self::random()
            }
        }
    }

    /// What stands for credentials. Each part is preceded by its length, so that no two lists of parts look alike.
    pub(super) fn fingerprint(&self, registry: &str, identity: &[&[u8]]) -> Fingerprint {
        // HMAC as RFC 2104 has it.
        let pad = |with: u8| {
            let mut block = [with; BLOCK];
            for (byte, salt) in block.iter_mut().zip(self.0) {
                *byte ^= salt;
            }
            Sha256::new().chain_update(block)
        };
        let mut inner = pad(0x36);
        for part in [registry.as_bytes()]
            .into_iter()
            .chain(identity.iter().copied())
        {
            inner.update((part.len() as u64).to_be_bytes());
            inner.update(part);
        }
        let outer = pad(0x5c).chain_update(inner.finalize());
        Fingerprint(outer.finalize().into())
    }

    fn make(folder: &Folder) -> Result<Self, StoreErrorKind> {
        let _change = folder.change()?;
        // Another process may have been first.
        if let Some(salt) = Self::read(folder) {
            return Ok(salt);
        }
        let salt = Self::random()?;
        folder.write(&folder.salt(), &salt.0)?;
        Ok(salt)
    }

    fn read(folder: &Folder) -> Option<Self> {
        let bytes = read_small(&folder.salt(), LENGTH as u64).ok()??;
        Some(Self(bytes.try_into().ok()?))
    }

    fn random() -> Result<Self, StoreErrorKind> {
        let mut salt = [0; LENGTH];
        let filled = default_provider().secure_random.fill(&mut salt);
        filled.map_err(|_| {
            StoreErrorKind::Io(std::io::Error::other("the system has no random bytes"))
        })?;
        Ok(Self(salt))
    }
}
