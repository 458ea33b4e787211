//! Finds what may be a signature, in the places where clients put them.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use sigstore_verify::types::{Bundle, SignatureContent};

use crate::workload::Digest;

use super::bundle;
use super::error::{Rejected, Rejection};
use super::simple::{PAYLOAD, Simple};
use super::source::{RawManifest, Referrer, SignatureSource, SourceError};

/// What the media types of all versions of bundles begin with.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
/// What lists have as the type of anything with an empty configuration, when a client takes the one for the other.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The most signatures that are looked at in each format. Each costs a request or two.
pub(super) const MOST: usize = 32;
/// The largest manifest, also the one of the image.
pub(super) const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;
const LARGEST_PAYLOAD: u64 = 256 * 1024;
const LARGEST_BUNDLE: u64 = 1024 * 1024;

/// Where and how signatures are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Under the tag `sha256-….sig`: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>.
    Simple,
    /// As referrers: <https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md>.
    Bundle,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "the signatures of the image",
            Self::Bundle => "what refers to the image",
        })
    }
}

/// The tag for signatures of the simple format.
pub(super) fn tag(image: Digest) -> String {
    format!("sha256-{}.sig", image.hex())
}

/// The tag for what refers to an image in a registry without an API for that.
fn referrers_tag(image: Digest) -> String {
    format!("sha256-{}", image.hex())
}

/// Something that may be a signature, and has not been read yet.
pub(super) struct Lead {
    pub(super) place: String,
    digest: Digest,
    size: u64,
    kind: Kind,
}

enum Kind {
    Simple(BTreeMap<String, String>),
    Bundle,
}

/// A signature that has been read.
pub(super) enum Candidate {
    Simple(Simple),
    Bundle(Box<Bundle>),
}

impl Candidate {
    /// Whether the bytes of the manifest were signed, and not a text with their digest in it.
    pub(super) fn is_for_bytes(&self) -> bool {
        matches!(self, Self::Bundle(bundle) if matches!(bundle.content, SignatureContent::MessageSignature(_)))
    }
}

impl Lead {
    pub(super) async fn read(self, source: &dyn SignatureSource) -> Result<Candidate, Rejection> {
        let (what, limit) = match self.kind {
            Kind::Simple(_) => ("payload", LARGEST_PAYLOAD),
            Kind::Bundle => ("bundle", LARGEST_BUNDLE),
        };
        let too_large = |found| Rejection::Large { what, found, limit };
        if self.size > limit {
            return Err(too_large(self.size));
        }
        let bytes: Bytes = source
            .blob(self.digest, self.size)
            .await
            .map_err(Rejection::Unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        let found = Digest::of(&bytes);
        if found != self.digest {
            let problem = format!("its digest is {found}, not {}", self.digest);
            return Err(Rejection::damaged(what, problem));
        }
        match self.kind {
            Kind::Simple(annotations) => Simple::read(bytes, &annotations).map(Candidate::Simple),
            Kind::Bundle => bundle::read(&bytes).map(|bundle| Candidate::Bundle(Box::new(bundle))),
        }
    }
}

type Leads = Vec<Result<Lead, Rejected>>;

/// What may be a signature, and what cannot be one and why.
pub(super) async fn leads(
    format: Format,
    image: Digest,
    source: &dyn SignatureSource,
) -> Result<Leads, SourceError> {
    let mut found = match format {
        Format::Simple => {
            let tag = tag(image);
            match source.manifest(&tag, LARGEST_MANIFEST).await? {
                Some(manifest) => in_manifest(&tag, &manifest),
                None => Vec::new(),
            }
        }
        Format::Bundle => in_referrers(image, source).await?,
    };
    if found.len() > MOST {
        found.truncate(MOST);
        found.push(Err(Rejected {
            place: format.to_string(),
            why: Rejection::Many { limit: MOST },
        }));
    }
    Ok(found)
}

async fn in_referrers(image: Digest, source: &dyn SignatureSource) -> Result<Leads, SourceError> {
    let mut listed = source.referrers(image).await?.unwrap_or_default();
    let mut found = Vec::new();
    // Also where the registry has the API: what was put under the tag before it had it may not be in there.
    if listed.is_empty() {
        let tag = referrers_tag(image);
        match source.manifest(&tag, LARGEST_MANIFEST).await? {
            None => return Ok(found),
            Some(index) => match in_index(&tag, &index) {
                Ok(referrers) => listed = referrers,
                Err(rejected) => return Ok(vec![Err(rejected)]),
            },
        }
    }
    listed.retain(|one| {
        let kind = one.artifact_type.as_deref();
        kind.is_none_or(|kind| kind.is_empty() || kind == EMPTY || kind.starts_with(BUNDLE))
    });
    for referrer in listed.into_iter().take(MOST + 1) {
        let version = referrer.digest.to_string();
        match source.manifest(&version, LARGEST_MANIFEST).await {
            Ok(Some(manifest)) if Digest::of(&manifest.bytes) == referrer.digest => {
                found.extend(in_manifest(&version, &manifest));
            }
            Ok(Some(_)) => found.push(Err(broken(&version, "it is not what its digest says"))),
            Ok(None) => found.push(Err(broken(
                &version,
                "it is listed, but there is no such manifest",
            ))),
            Err(problem) => found.push(Err(Rejected {
                place: version,
                why: Rejection::Unreadable(problem),
            })),
        }
        if found.len() > MOST {
            break;
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: Option<String>,
    digest: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

fn parse(place: &str, raw: &RawManifest) -> Result<Manifest, Rejected> {
    if raw.bytes.len() as u64 > LARGEST_MANIFEST {
        return Err(Rejected {
            place: place.to_owned(),
            why: Rejection::Large {
                what: "manifest",
                found: raw.bytes.len() as u64,
                limit: LARGEST_MANIFEST,
            },
        });
    }
    serde_json::from_slice(&raw.bytes).map_err(|error| broken(place, error))
}

fn broken(place: &str, problem: impl fmt::Display) -> Rejected {
    Rejected {
        place: place.to_owned(),
        why: Rejection::damaged("manifest", problem),
    }
}

fn in_index(place: &str, raw: &RawManifest) -> Result<Vec<Referrer>, Rejected> {
    let listed = parse(place, raw)?.manifests.into_iter();
    listed
        .map(|one| {
            Ok(Referrer {
                digest: one.digest.parse().map_err(|error| broken(place, error))?,
                artifact_type: one.artifact_type,
            })
        })
        .collect()
}

/// The layers that hold a signature.
fn in_manifest(place: &str, raw: &RawManifest) -> Leads {
    let manifest = match parse(place, raw) {
        Ok(manifest) => manifest,
        Err(rejected) => return vec![Err(rejected)],
    };
    let lead = |(at, layer): (usize, Descriptor)| {
        let kind = match layer.media_type.as_str() {
            PAYLOAD => Kind::Simple(layer.annotations.unwrap_or_default()),
            other if other.starts_with(BUNDLE) => Kind::Bundle,
            _ => return None,
        };
        let place = format!("{place}, layer {}", at + 1);
        Some(match layer.digest.parse() {
            Ok(digest) => Ok(Lead {
                place,
                digest,
                size: layer.size,
                kind,
            }),
            Err(problem) => Err(broken(&place, problem)),
        })
    };
    manifest
        .layers
        .into_iter()
        .enumerate()
        .filter_map(lead)
        .take(MOST + 1)
        .collect()
}
