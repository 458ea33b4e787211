//! Manifests and descriptors, as the image specification has them:
//! <https://github.com/opencontainers/image-spec/blob/main/manifest.md>.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::media;
use crate::workload::Digest;

/// How long a type of media or of an artifact may be.
const LONGEST_TYPE: usize = 255;
/// How many letters of a text from a stranger are shown.
const SHOWN: usize = 200;
/// How many layers or manifests one manifest may name.
const MOST: usize = 1000;

/// What a registry keeps under a tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// An image, or another artifact.
    Image {
        /// What is said about it.
        config: Descriptor,
        /// What is in it.
        layers: Vec<Descriptor>,
        /// What else is said about it.
        annotations: BTreeMap<String, String>,
        /// What kind of artifact it is.
        artifact_type: Option<String>,
        /// What it belongs to, such as what a signature signs.
        subject: Option<Box<Descriptor>>,
    },
    /// Several manifests.
    Index {
        /// Which ones.
        manifests: Vec<Descriptor>,
        /// What else is said about it.
        annotations: BTreeMap<String, String>,
    },
}

/// What is somewhere: its type, digest and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its type.
    pub media_type: String,
    /// Its digest.
    #[serde(serialize_with = "as_text")]
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What else is said about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What kind of artifact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor.
    pub architecture: String,
    /// The operating system.
    pub os: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", shown(&self.os), shown(&self.architecture))
    }
}

fn as_text<S: serde::Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(digest)
}

/// Why a manifest is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is something else.
    #[error("it is no JSON of a manifest: {0}")]
    Json(String),
    /// It is from before 2016.
    #[error(
        "it is of schema version 1, which is signed by nobody any more: push the image again with a newer client"
    )]
    Schema1,
    /// Two clients could see two things in it.
    #[error("it could be read in two ways: {0}")]
    Ambiguous(String),
    /// A descriptor is wrong.
    #[error("{what}: {problem}")]
    Descriptor {
        /// Which one.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What kind of artifact it is takes too many letters.
    #[error("its artifact type has more than {LONGEST_TYPE} letters")]
    LongType,
    /// There are too many descriptors.
    #[error("it has {0} layers or manifests, more than {MOST}")]
    Many(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<i64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    subject: Option<RawDescriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: String,
    size: serde_json::Number,
    annotations: Option<BTreeMap<String, String>>,
    artifact_type: Option<String>,
    platform: Option<Platform>,
}

impl Manifest {
    /// Reads a manifest that was sent as this type.
    ///
    /// # Errors
    /// When it is none, or could be read in two ways.
    pub fn parse(media_type: Option<&str>, bytes: &[u8]) -> Result<Self, ManifestError> {
        let raw: Raw = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Json(shown(&error.to_string())))?;
        if raw.schema_version == Some(1) {
            return Err(ManifestError::Schema1);
        }
        let is_index = raw.is_index(media_type.filter(|it| is_manifest(it)))?;
        let annotations = raw.annotations.unwrap_or_default();
        if is_index {
            let manifests = all("manifest", raw.manifests.unwrap_or_default())?;
            return Ok(Self::Index {
                manifests,
                annotations,
            });
        }
        if is_long(raw.artifact_type.as_deref()) {
            return Err(ManifestError::LongType);
        }
        let config = raw
            .config
            .ok_or_else(|| ManifestError::Json("it has no `config`".to_owned()))?;
        let subject = raw
            .subject
            .map(|subject| subject.checked(|| "its subject".to_owned()));
        Ok(Self::Image {
            config: config.checked(|| "its config".to_owned())?,
            layers: all("layer", raw.layers.unwrap_or_default())?,
            annotations,
            artifact_type: raw.artifact_type.filter(|kind| !kind.is_empty()),
            subject: subject.transpose()?.map(Box::new),
        })
    }
}

impl Raw {
    fn is_index(&self, sent_as: Option<&str>) -> Result<bool, ManifestError> {
        let ambiguous = |how: &str| Err(ManifestError::Ambiguous(how.to_owned()));
        if self.manifests.is_some() && (self.layers.is_some() || self.config.is_some()) {
            return ambiguous(
                "it has `manifests` as an index has, and `layers` or a `config` as an image",
            );
        }
        match (sent_as, self.media_type.as_deref()) {
            (Some(sent_as), Some(says)) if sent_as != says => {
                return ambiguous(&format!(
                    "it was sent as {sent_as}, and says that it is {}",
                    shown(says)
                ));
            }
            _ => {}
        }
        let is_index = self.manifests.is_some();
        match sent_as.or(self.media_type.as_deref()) {
            Some(media::INDEX | media::DOCKER_LIST) if !is_index => {
                ambiguous("it says that it is an index, and has no `manifests`")
            }
            Some(media::MANIFEST | media::DOCKER_MANIFEST) if is_index => {
                ambiguous("it says that it is no index, and has `manifests`")
            }
            _ => Ok(is_index),
        }
    }
}

/// Whether a type is one of manifests: others say nothing about what was sent.
fn is_manifest(media_type: &str) -> bool {
    [
        media::MANIFEST,
        media::INDEX,
        media::DOCKER_MANIFEST,
        media::DOCKER_LIST,
    ]
    .contains(&media_type)
}

fn all(what: &str, raw: Vec<RawDescriptor>) -> Result<Vec<Descriptor>, ManifestError> {
    if raw.len() > MOST {
        return Err(ManifestError::Many(raw.len()));
    }
    let raw = raw.into_iter().enumerate();
    raw.map(|(at, raw)| raw.checked(|| format!("its {what} {}", at + 1)))
        .collect()
}

impl RawDescriptor {
    fn checked(self, what: impl Fn() -> String) -> Result<Descriptor, ManifestError> {
        let wrong = |problem: String| ManifestError::Descriptor {
            what: what(),
            problem,
        };
        let media_type = self.media_type.unwrap_or_default();
        if is_long(Some(&media_type)) || is_long(self.artifact_type.as_deref()) {
            return Err(wrong(format!(
                "its type has more than {LONGEST_TYPE} letters"
            )));
        }
        let digest = self.digest.parse::<Digest>();
        let size = self.size.as_u64();
        Ok(Descriptor {
            media_type,
            digest: digest.map_err(|error| wrong(error.to_string()))?,
            size: size
                .ok_or_else(|| wrong(format!("its size of {} is no number of bytes", self.size)))?,
            annotations: self.annotations.unwrap_or_default(),
            artifact_type: self.artifact_type,
            platform: self.platform,
        })
    }
}

impl Descriptor {
    /// Of some bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: BTreeMap::new(),
            artifact_type: None,
            platform: None,
        }
    }

    pub(super) fn told(&self) -> String {
        match &self.platform {
            Some(platform) => platform.to_string(),
            None => shown(&self.media_type),
        }
    }
}

fn is_long(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| kind.len() > LONGEST_TYPE)
}

/// What a stranger wrote, for a message: not too much of it, and nothing that a terminal would obey. Said of what it gave, it gives
/// the same.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars().take(SHOWN) {
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    schema_version: u32,
    media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// The bytes of a manifest. The same parts give the same bytes.
pub(crate) fn write(
    artifact_type: Option<&str>,
    config: &Descriptor,
    layers: &[Descriptor],
    subject: Option<&Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let written = Written {
        schema_version: 2,
        media_type: media::MANIFEST,
        artifact_type,
        config,
        layers,
        subject,
        annotations,
    };
    // Strings and numbers are always JSON.
    serde_json::to_vec(&written).unwrap_or_default()
}
