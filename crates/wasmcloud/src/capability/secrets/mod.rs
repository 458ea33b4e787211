//! `wasmcloud:secrets@2.1.0`: passwords, keys and tokens, handed to the components that were given them by name.
//!
//! A component gets a handle first and the value only when it reveals it. Values come from the manifest, from the host's
//! environment, from files, or from an encrypted store; they are never logged, and wiped from memory when nobody needs them.

#[cfg(test)]
mod conformance;
mod environment;
mod files;
mod guarded;
mod held;
mod options;
mod p3;
mod plugin;
mod reread;
mod settings;
mod values;
mod vault;

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use zeroize::Zeroizing;

pub use options::{SecretsOptions, Variables};
pub use plugin::Secrets;
pub use vault::{KEY_VARIABLE, Owner, Vault, VaultError};

pub use crate::capability::workloads::{AllowError, Workloads};
use crate::workload::SecretName;

/// The most bytes that a value may have.
pub const MOST_BYTES: usize = 64 * 1024;

/// The value of a secret. It has no `Debug`, and is wiped when the last handle to it goes.
#[derive(Clone)]
pub(crate) struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that it is, unless it is none.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    fn downgrade(&self) -> WeakSecret {
        WeakSecret(Arc::downgrade(&self.0))
    }
}

/// A secret that is wiped although this is there.
struct WeakSecret(Weak<Zeroizing<Vec<u8>>>);

impl WeakSecret {
    fn secret(&self) -> Option<Secret> {
        self.0.upgrade().map(Secret)
    }
}

/// Where the secrets of one entry of a manifest come from.
///
/// - R1 `get` answers what the secret is now: a change shows in the next call.
/// - R2 A name that is not there is `None`, and no error.
/// - R3 A value of more than [`MOST_BYTES`] is an error; it is never cut.
/// - R4 No error holds a value, a part of one, or the text around it.
/// - R5 Nothing of another tenant is answered, whatever the name.
#[async_trait]
pub(crate) trait SecretStore: Send + Sync {
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError>;
}

/// Why a secret could not be read. For the log: guests are told less.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// The value is larger than it may be.
    #[error("the secret has more than {MOST_BYTES} bytes")]
    TooLarge,
    /// What holds it cannot be read, or must not be trusted.
    #[error("{what}: {problem}")]
    Source { what: String, problem: String },
}

impl SecretsError {
    pub(crate) fn source(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Source {
            what: what.into(),
            problem: problem.to_string(),
        }
    }
}
