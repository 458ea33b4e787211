//! Components in files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Fetch, FetchError, FetchErrorKind, Fetched, Wanted};
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
    async fn fetch(&self, wanted: Wanted<'_>) -> Result<Fetched, FetchError> {
        let read = match wanted.image {
            Image::File(path) => self.read(path).await,
            Image::Registry(_) => Err(FetchErrorKind::Unsupported(
                "only components in files are read here; give a path such as `./app.wasm`",
            )),
        };
        read.map(Fetched::from).map_err(|kind| FetchError {
            image: wanted.image.to_string(),
            kind,
        })
    }
}

impl Files {
    async fn read(&self, path: &Path) -> Result<Bytes, FetchErrorKind> {
        let (files, path) = (self.clone(), path.to_owned());
        let read = tokio::task::spawn_blocking(move || files.read_now(&path));
        read.await
            .unwrap_or_else(|stopped| Err(FetchErrorKind::Io(io::Error::other(stopped))))
    }

    /// Reads from one open file, so that what is checked is what is read, and never more than the limit, however the file grows.
    pub(crate) fn read_now(&self, path: &Path) -> Result<Bytes, FetchErrorKind> {
        let file = open(path).map_err(|error| open_error(path, error))?;
        let metadata = file.metadata().map_err(io_error)?;
        if !metadata.is_file() {
            return Err(FetchErrorKind::NotAFile);
        }
        let too_large = |found| FetchErrorKind::TooLarge {
            found,
            limit: self.limit,
        };
        if metadata.len() > self.limit {
            return Err(too_large(metadata.len()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        let mut file = file.take(self.limit.saturating_add(1));
        let read = file.read_to_end(&mut bytes).map_err(io_error)? as u64;
        if read > self.limit {
            Err(too_large(read))
        } else {
            Ok(bytes.into())
        }
    }
}

/// Opens whatever is there without waiting for anybody: a pipe would wait for its other end.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, O_NONBLOCK);
    options.open(path)
}

/// The same on every Linux that Wasmtime compiles for.
#[cfg(any(target_os = "linux", target_os = "android"))]
const O_NONBLOCK: i32 = 0o4000;
/// macOS and the BSDs.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
const O_NONBLOCK: i32 = 4;

/// Sockets and some devices do not even open. The second look is only for the message.
fn open_error(path: &Path, error: io::Error) -> FetchErrorKind {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        FetchErrorKind::NotAFile
    } else {
        io_error(error)
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
        let image = Image::File(path.to_owned());
        let fetched = Files { limit }.fetch(Wanted::by_host(&image)).await;
        fetched
            .map(|fetched| fetched.bytes)
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

    #[cfg(unix)]
    #[tokio::test]
    async fn a_pipe_or_a_socket_is_refused_without_waiting_for_its_other_end() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, socket) = (dir.path().join("pipe"), dir.path().join("socket"));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [pipe, socket] {
            assert_eq!(
                fetch(&path, 9).await.unwrap_err(),
                "it is not a regular file"
            );
        }
    }

    #[tokio::test]
    async fn a_registry_image_is_refused_with_what_works_instead() {
        let image = "ghcr.io/a/b:1".parse().unwrap();
        let error = Files::default()
            .fetch(Wanted::by_host(&image))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("ghcr.io/a/b:1") && error.to_string().contains("./app.wasm"),
            "{error}"
        );
    }
}
