//! The verdict: finds the signatures of an image and looks for one that meets the demand.

use std::sync::Arc;

use bytes::Bytes;

use crate::workload::Digest;

use super::bundle;
use super::candidate::{Candidate, Format, LARGEST_MANIFEST, leads};
use super::error::{Rejected, Rejection, VerifyErrorKind};
use super::key::PublicKey;
use super::keyless::Believed;
use super::policy::{Demand, Proof};
use super::source::{SignatureSource, SourceError};

/// By what an image meets a demand.
pub(super) async fn check(
    demand: &Demand,
    image: Digest,
    source: &dyn SignatureSource,
) -> Result<Proof, VerifyErrorKind> {
    let judge = match demand {
        Demand::Nothing => return Ok(Proof::NoDemand),
        Demand::Deny => return Err(VerifyErrorKind::Denied),
        Demand::Digests(pinned) if pinned.contains(&image) => return Ok(Proof::Pinned),
        Demand::Digests(_) => return Err(VerifyErrorKind::NotPinned { found: image }),
        Demand::Signed { keys } => Judge::Keys(keys.clone()),
        Demand::Keyless { root, identities } => Judge::Identities(Believed {
            root: Arc::clone(root),
            identities: identities.clone(),
        }),
    };
    let mut search = Search {
        judge: Arc::new(judge),
        image: Image {
            digest: image,
            bytes: None,
        },
        source,
        rejected: Vec::new(),
    };
    for format in [Format::Simple, Format::Bundle] {
        if let Some(proof) = search.look(format).await {
            return Ok(proof);
        }
    }
    Err(verdict(search.rejected))
}

/// What to say when nothing has been found that would do.
fn verdict(mut rejected: Vec<Rejected>) -> VerifyErrorKind {
    let is_unread = |one: &Rejected| matches!(one.why, Rejection::Unreadable(_));
    if rejected.is_empty() {
        return VerifyErrorKind::Unsigned;
    }
    if rejected.iter().all(is_unread)
        && let Rejection::Unreadable(problem) = rejected.swap_remove(0).why
    {
        return VerifyErrorKind::Unreadable(problem);
    }
    VerifyErrorKind::Rejected { rejected }
}

/// Who decides about a signature.
enum Judge {
    Keys(Vec<PublicKey>),
    Identities(Believed),
}

/// What a signature is wanted for.
#[derive(Clone)]
pub(super) struct Image {
    /// The digest of the manifest.
    pub(super) digest: Digest,
    /// The manifest itself, where a signature was made for that and not for its digest.
    pub(super) bytes: Option<Bytes>,
}

impl Judge {
    fn decide(&self, candidate: &Candidate, image: &Image) -> Result<Proof, Rejection> {
        match (self, candidate) {
            (Self::Keys(keys), Candidate::Simple(simple)) => simple.by_key(keys, image.digest),
            (Self::Keys(keys), Candidate::Bundle(bundle)) => bundle::by_key(bundle, keys, image),
            (Self::Identities(believed), Candidate::Simple(simple)) => {
                let proof = believed.check(&simple.to_bundle()?, simple.payload())?;
                simple.is_for(image.digest).map(|()| proof)
            }
            (Self::Identities(believed), Candidate::Bundle(bundle)) => {
                bundle::by_identity(bundle, believed, image)
            }
        }
    }
}

struct Search<'a> {
    judge: Arc<Judge>,
    image: Image,
    source: &'a dyn SignatureSource,
    rejected: Vec<Rejected>,
}

impl Search<'_> {
    /// Looks at what there is in one format, as far as the first signature that will do.
    async fn look(&mut self, format: Format) -> Option<Proof> {
        let found = match leads(format, self.image.digest, self.source).await {
            Ok(found) => found,
            Err(problem) => {
                self.reject(format.to_string(), Rejection::Unreadable(problem));
                return None;
            }
        };
        for lead in found {
            let (place, tried) = match lead {
                Ok(lead) => (
                    lead.place.clone(),
                    self.weigh(lead.read(self.source).await).await,
                ),
                Err(Rejected { place, why }) => (place, Err(why)),
            };
            match tried {
                Ok(proof) => return Some(proof),
                Err(why) => self.reject(place, why),
            }
        }
        None
    }

    async fn weigh(&mut self, read: Result<Candidate, Rejection>) -> Result<Proof, Rejection> {
        let candidate = read?;
        if candidate.is_for_bytes() && self.image.bytes.is_none() {
            let bytes = self.manifest().await.map_err(Rejection::Unreadable)?;
            self.image.bytes = Some(bytes);
        }
        let (judge, image) = (Arc::clone(&self.judge), self.image.clone());
        // It is work for the processor, and a registry says how much: whatever else runs on this thread is not to wait for it.
        let decided = tokio::task::spawn_blocking(move || judge.decide(&candidate, &image));
        decided.await.unwrap_or_else(|stopped| {
            let problem = format!("checking it came to no end: {stopped}");
            Err(Rejection::damaged("signature", problem))
        })
    }

    /// The manifest of the image itself.
    async fn manifest(&self) -> Result<Bytes, SourceError> {
        let version = self.image.digest.to_string();
        match self.source.manifest(&version, LARGEST_MANIFEST).await? {
            Some(found) if Digest::of(&found.bytes) == self.image.digest => Ok(found.bytes),
            Some(_) => Err(SourceError::new(format!(
                "the registry sends another manifest for {version}"
            ))),
            None => Err(SourceError::new(format!("there is no manifest {version}"))),
        }
    }

    fn reject(&mut self, place: String, why: Rejection) {
        self.rejected.push(Rejected { place, why });
    }
}
