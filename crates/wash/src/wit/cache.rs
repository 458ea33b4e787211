//! What was downloaded before, by the digest of its content. Nothing is believed that does not have its digest.

use std::env;
use std::path::PathBuf;

use wasmcloud::workload::Digest;

use super::files;
use super::remote::MOST_BYTES;

/// A folder of downloads. Without one, nothing is kept.
#[derive(Clone, Debug)]
pub(super) struct Cache(Option<PathBuf>);

impl Cache {
    /// That of the user.
    pub(super) fn of_user() -> Self {
        let absolute = |key| {
            env::var_os(key)
                .map(PathBuf::from)
                .filter(|it| it.is_absolute())
        };
        let folder =
            absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
        Self(folder.map(|folder| folder.join("wash/wit")))
    }

    /// The content with that digest. What is damaged is as if it were not there.
    pub(super) fn get(&self, digest: Digest) -> Option<Vec<u8>> {
        let bytes = files::read(&self.file(digest)?, MOST_BYTES).ok()?;
        (Digest::of(&bytes) == digest).then_some(bytes)
    }

    /// Keeps content; that it cannot be kept hurts nobody now.
    pub(super) fn put(&self, digest: Digest, bytes: &[u8]) {
        if let Some(file) = self.file(digest)
            && let Err(error) = files::replace(&file, bytes)
        {
            tracing::debug!("cannot keep {}: {error}", file.display());
        }
    }

    fn file(&self, digest: Digest) -> Option<PathBuf> {
        let folder = self.0.as_ref()?;
        Some(folder.join(format!("{}.wasm", digest.hex())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache(Some(dir.path().to_owned()));
        let digest = Digest::of(b"content");
        cache.put(digest, b"content");
        assert_eq!(cache.get(digest).unwrap(), b"content");
        cache.put(digest, b"another");
        assert_eq!(cache.get(digest), None);
    }
}
