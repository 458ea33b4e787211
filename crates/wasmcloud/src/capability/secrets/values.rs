//! Secrets that stand in the manifest.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MOST_BYTES, Secret, SecretStore, SecretsError};
use crate::workload::SecretName;

/// Values by name. They change with the manifest only.
pub(crate) struct Values(BTreeMap<SecretName, Secret>);

impl Values {
    pub(crate) fn new(values: BTreeMap<SecretName, Secret>) -> Self {
        Self(values)
    }
}

#[async_trait]
impl SecretStore for Values {
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError> {
        match self.0.get(name) {
            Some(secret) if secret.bytes().len() > MOST_BYTES => Err(SecretsError::TooLarge),
            found => Ok(found.cloned()),
        }
    }
}
