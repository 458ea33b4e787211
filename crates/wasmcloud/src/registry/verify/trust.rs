//! Who is believed about identities: the authorities and logs of a `trusted_root.json`.

use std::fmt;

use sigstore_verify::Verifier;
use sigstore_verify::trust_root::TrustedRoot;

use crate::workload::Digest;

use super::provider;

/// Sigstore's own has 7 KiB.
const LARGEST: usize = 1024 * 1024;

/// Certificate authorities, logs of signatures, logs of certificates, and authorities for timestamps.
pub struct TrustRoot {
    pub(super) verifier: Verifier,
    pub(super) logs: Vec<Vec<u8>>,
    /// Where it has no logs of certificates, certificates need not be in any.
    pub(super) has_certificate_logs: bool,
    digest: Digest,
}

impl TrustRoot {
    /// Of a `trusted_root.json`: <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>.
    ///
    /// # Errors
    /// When it is no such file, or has nobody in it to be believed.
    pub fn from_json(text: &str) -> Result<Self, TrustRootError> {
        provider::install();
        if text.len() > LARGEST {
            return Err(TrustRootError::Large { found: text.len() });
        }
        let root = TrustedRoot::from_json(text)
            .map_err(|error| TrustRootError::Format(error.to_string()))?;
        if root.certificate_authorities.is_empty() {
            return Err(TrustRootError::Nobody(
                "certificate authorities (`certificateAuthorities`)",
            ));
        }
        if root.tlogs.is_empty() {
            return Err(TrustRootError::Nobody("logs (`tlogs`)"));
        }
        let verifier =
            Verifier::new(&root).map_err(|error| TrustRootError::Content(error.to_string()))?;
        let ids = root
            .tlogs
            .iter()
            .map(|log| log.log_id.key_id.as_bytes().to_vec());
        Ok(Self {
            verifier,
            logs: ids.collect(),
            has_certificate_logs: !root.ctlogs.is_empty(),
            digest: Digest::of(text.as_bytes()),
        })
    }

    /// The digest of the file.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoot({})", self.digest)
    }
}

/// A trust root that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustRootError {
    /// It is too large.
    #[error(
        "it has {found} bytes, more than the limit of {LARGEST}; wanted a `trusted_root.json` of Sigstore"
    )]
    Large {
        /// Its size in bytes.
        found: usize,
    },
    /// It is another kind of file.
    #[error("it is no `trusted_root.json` of Sigstore: {0}")]
    Format(String),
    /// Nothing could be verified with it.
    #[error("it has no {0}, so that no signature could be verified with it")]
    Nobody(&'static str),
    /// A key or certificate in it is damaged or unknown.
    #[error("a key or certificate in it cannot be used: {0}")]
    Content(String),
}
