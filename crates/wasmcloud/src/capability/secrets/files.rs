//! Secrets in files: a folder with a file for each, or one YAML or JSON file with all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::reread::{Reread, open_below, read};
use super::{MOST_BYTES, Secret, SecretStore, SecretsError};
use crate::workload::{SecretName, decode_yaml};

/// The most bytes that a file with all secrets may have.
const MOST_DOCUMENT: usize = 1024 * 1024;

/// A folder with a file for each secret. It is read anew each time.
pub(crate) struct Folder(PathBuf);

/// One file with a mapping of names to texts.
pub(crate) struct Document(Arc<Reread<BTreeMap<String, Secret>>>);

/// What a path leads to.
pub(crate) fn at(path: &Path) -> Arc<dyn SecretStore> {
    match document_name(path) {
        Some((folder, name)) => {
            let file = Reread::new(folder.to_owned(), name, MOST_DOCUMENT);
            Arc::new(Document(Arc::new(file)))
        }
        None => Arc::new(Folder(path.to_owned())),
    }
}

/// The folder and the name of a file with all secrets, if the path is that of one.
fn document_name(path: &Path) -> Option<(&Path, PathBuf)> {
    let extension = path.extension()?.to_str()?;
    let is_document = ["yaml", "yml", "json"].contains(&extension);
    let name = path.file_name().filter(|_| is_document)?;
    Some((path.parent()?, name.into()))
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
        let (folder, name) = (self.0.clone(), name.clone());
        blocking(move || {
            let Some(mut file) = open_below(&folder, Path::new(name.as_str()))? else {
                return Ok(None);
            };
            let bytes = read(&mut file, MOST_BYTES).map_err(|error| {
                SecretsError::source(folder.join(name.as_str()).display().to_string(), error)
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
