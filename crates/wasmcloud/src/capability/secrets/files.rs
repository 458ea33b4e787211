//! Secrets in files: a folder with a file for each, or one YAML or JSON file with all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::guarded::Guarded;
use super::reread::{Reread, open_unguarded, read};
use super::{MOST_BYTES, Secret, SecretStore, SecretsError};
use crate::workload::{SecretName, decode_yaml};

/// The most bytes that a file with all secrets may have.
const MOST_DOCUMENT: usize = 1024 * 1024;

/// A folder with a file for each secret, below one that is allowed. It is read anew each time.
pub(crate) struct Folder {
    root: PathBuf,
    inside: PathBuf,
    guarded: Guarded,
}

/// One file with a mapping of names to texts.
pub(crate) struct Document(Arc<Reread<BTreeMap<String, Secret>>>);

/// What a path below an allowed folder leads to, unless it is one of the host's own.
pub(super) fn at(root: &Path, inside: &Path, guarded: &Guarded) -> Arc<dyn SecretStore> {
    let (root, inside) = (root.to_owned(), inside.to_owned());
    let guarded = guarded.clone();
    if is_document(&inside) {
        let file = Reread::new(root, inside, MOST_DOCUMENT).unless(guarded);
        return Arc::new(Document(Arc::new(file)));
    }
    Arc::new(Folder {
        root,
        inside,
        guarded,
    })
}

/// Whether a path is that of a file with all secrets.
pub(crate) fn is_document(path: &Path) -> bool {
    let extension = path.extension().and_then(|it| it.to_str());
    extension.is_some_and(|it| ["yaml", "yml", "json"].contains(&it))
}

/// Work that blocks, off the threads that serve.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SecretsError> + Send + 'static,
) -> Result<T, SecretsError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SecretsError::source("reading secrets", error)))
}

#[async_trait]
impl SecretStore for Folder {
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError> {
        let (root, path) = (self.root.clone(), self.inside.join(name.as_str()));
        let guarded = self.guarded.clone();
        blocking(move || {
            let Some(mut file) = open_unguarded(&root, &path, &guarded)? else {
                return Ok(None);
            };
            let bytes = read(&mut file, MOST_BYTES).map_err(|error| {
                SecretsError::source(root.join(&path).display().to_string(), error)
            })?;
            let mut bytes = bytes.ok_or(SecretsError::TooLarge)?;
            cut_line_end(&mut bytes);
            Ok(Some(Secret(Arc::new(bytes))))
        })
        .await
    }
}

/// Editors end a text with a line end, which is no part of the secret.
fn cut_line_end(bytes: &mut Zeroizing<Vec<u8>>) {
    if std::str::from_utf8(bytes).is_ok() && bytes.ends_with(b"\n") {
        let end = if bytes.ends_with(b"\r\n") { 2 } else { 1 };
        let length = bytes.len() - end;
        bytes.truncate(length);
    }
}

#[async_trait]
impl SecretStore for Document {
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError> {
        let file = Arc::clone(&self.0);
        let all = blocking(move || file.get(parse)).await?;
        match all.and_then(|all| all.get(name.as_str()).cloned()) {
            Some(secret) if secret.bytes().len() > MOST_BYTES => Err(SecretsError::TooLarge),
            found => Ok(found),
        }
    }
}

/// What is wrong with it is not told in more detail, as that may be secret.
fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Secret>, String> {
    let wanted = || "it is no mapping of names to texts, in YAML or JSON".to_owned();
    let text = std::str::from_utf8(bytes).map_err(|_| wanted())?;
    let all: BTreeMap<String, String> = decode_yaml(text, Path::new("")).map_err(|_| wanted())?;
    let secret = |(name, text): (String, String)| (name, Secret::new(text.into_bytes()));
    Ok(all.into_iter().map(secret).collect())
}

#[cfg(test)]
mod tests;
