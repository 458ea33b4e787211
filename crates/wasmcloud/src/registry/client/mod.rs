//! The protocol of registries: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>. What is bounded: sizes, waits,
//! attempts and redirects. Who sees credentials: the registry that they are for, and who gives tokens for it.

mod blob;
mod body;
mod door;
mod doors;
mod error;
mod facts;
mod manifest;
mod place;
mod registries;
mod retry;
mod tags;
#[cfg(test)]
mod tests;
mod token;
mod upload;

pub use blob::{Progress, Sink};
pub use error::{Refusal, RegistryError, RegistryErrorKind, Unreachable};
pub use manifest::RawManifest;
pub use registries::{Access, Registries};

pub(super) use door::{Actions, Door};
pub(super) use doors::first;
pub(super) use manifest::{optional, pushed_version};
pub(super) use place::base;
pub(super) use retry::persist;
pub(super) use upload::Source;
