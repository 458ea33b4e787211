//! Components in files.

use std::io;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncReadExt;

use super::{Fetch, FetchError, FetchErrorKind};
use crate::workload::Image;

/// Reads components from the file system.
#[derive(Clone, Debug)]
pub struct Files {
    /// The largest file that is read, in bytes.
    pub limit: u64,
}

impl Default for Files {
    /// 256 MiB: the largest components in use, with a whole language runtime inside, have 20.
    fn default() -> Self {
        Self { limit: 256 << 20 }
    }
}

#[async_trait]
impl Fetch for Files {
    async fn fetch(&self, image: &Image) -> Result<Bytes, FetchError> {
        let read = match image {
            Image::File(path) => self.read(path).await,
            Image::Registry(_) => Err(FetchErrorKind::Unsupported(
                "this version reads components from files only; give a path such as `./app.wasm`",
            )),
        };
        read.map_err(|kind| FetchError {
            image: image.to_string(),
            kind,
        })
    }
}

impl Files {
    /// Reads from one open file, so that what is checked is what is read, and never more than the limit, however the file grows.
    async fn read(&self, path: &Path) -> Result<Bytes, FetchErrorKind> {
        // Opening a pipe would wait for its other end.
        if !tokio::fs::metadata(path).await.map_err(io_error)?.is_file() {
            return Err(FetchErrorKind::NotAFile);
        }
        let file = tokio::fs::File::open(path).await.map_err(io_error)?;
        let metadata = file.metadata().await.map_err(io_error)?;
        let too_large = |found| FetchErrorKind::TooLarge {
            found,
            limit: self.limit,
        };
        if metadata.len() > self.limit {
            return Err(too_large(metadata.len()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        let read = file
            .take(self.limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .await
            .map_err(io_error)? as u64;
        if read > self.limit {
            Err(too_large(read))
        } else {
            Ok(bytes.into())
        }
    }
}

fn io_error(error: io::Error) -> FetchErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => FetchErrorKind::NotFound,
        io::ErrorKind::IsADirectory => FetchErrorKind::NotAFile,
        _ => FetchErrorKind::Io(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    async fn fetch(path: &Path, limit: u64) -> Result<Bytes, String> {
        Files { limit }
            .fetch(&Image::File(path.to_owned()))
            .await
            .map_err(|error| error.kind.to_string())
    }

    #[tokio::test]
    async fn a_file_is_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.wasm");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(fetch(&path, 5).await.unwrap(), "12345");
        assert_eq!(
            fetch(&path, 4).await.unwrap_err(),
            "it has 5 bytes, more than the limit of 4"
        );
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            fetch(&dir.path().join("none"), 9).await.unwrap_err(),
            "there is no such file"
        );
        assert_eq!(
            fetch(dir.path(), 9).await.unwrap_err(),
            "it is not a regular file"
        );
        assert_eq!(
            fetch(Path::new("/dev/zero"), 9).await.unwrap_err(),
            "it is not a regular file"
        );
    }

    #[tokio::test]
    async fn a_registry_image_is_refused_with_what_works_instead() {
        let error = Files::default()
            .fetch(&Image::Registry("ghcr.io/a/b:1".to_owned()))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("ghcr.io/a/b:1") && error.to_string().contains("./app.wasm"),
            "{error}"
        );
    }
}
