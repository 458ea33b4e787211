//! Components in registries of OCI: which one a reference leads to, with which credentials, and how it comes and goes.
//!
//! A client of our own, over the connections that the egress policy sees: `docs/decisions/0013` says why.

mod access;
mod client;
mod copy;
mod layout;
mod options;
mod packages;
mod pull;
mod push;
mod reachable;
mod settings;
mod signatures;
mod signing;
mod source;
pub mod store;
#[cfg(test)]
mod tests;
pub mod verify;

pub use access::{
    AccessError, AccessProblem, AuthFile, AuthFileProblem, Credentials, Found, HelperProblem,
    Keychain, Origin, SecretText,
};
pub use client::{
    Access, Progress, RawManifest, Refusal, Registries, RegistryError, RegistryErrorKind, Sink,
    Unreachable,
};
pub use layout::{Artifact, Descriptor, Manifest, ManifestError, NotAComponent, Platform};
pub use options::{AuthSource, ImageOptions, ImagesError, Login, Requirement};
pub use packages::{NewPackage, PackageRelease, PublishError};
pub use pull::Resolved;
pub use push::{ComponentFacts, Pushed, Wasi};
pub use settings::{Mirror, RegistrySettings, Retries, Settings, SettingsError};
pub use signing::SigningError;
pub use source::{ImageError, Images, Pulled, Sources};
