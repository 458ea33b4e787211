//! Verify before run: what a host demands of an image, and whether its signatures meet it. Bytes in, verdict out; nothing here
//! speaks to a network, and what fails never gets as far as the compiler.
//!
//! Two formats are understood, both those of cosign: "simple signing" under a tag beside the image, and bundles of Sigstore that
//! refer to it. Signatures by keys need nothing but the key. Signatures by identities, whose keys live for minutes, need a trust root:
//! the authorities and logs that are believed, as Sigstore publishes them in `trusted_root.json`.

mod bundle;
mod candidate;
mod check;
mod error;
mod glob;
mod key;
mod keyless;
mod policy;
mod provider;
mod signing;
mod simple;
mod source;
mod trust;

pub use error::{Rejected, Rejection, VerifyError, VerifyErrorKind};
pub use key::{KeyError, PublicKey};
pub use policy::{
    Demand, Identity, Pattern, PatternError, Proof, Rule, Subject, Verified, VerifyPolicy,
};
pub(super) use signing::JoinedSignatures;
pub use signing::{SignError, SignatureArtifact, SigningKey};
pub use source::{RawManifest, Referrer, SignatureSource, SourceError};
pub use trust::{TrustRoot, TrustRootError};

#[cfg(test)]
pub(super) mod tests;
