//! Blobs: named objects of bytes in named containers. The port that every backend answers, its errors and its limits; the plugin
//! serves it as `wasi:blobstore` and as `wasmcloud:blobstore`.

mod bounded;
#[cfg(test)]
mod conformance;
mod container;
mod filesystem;
mod memory;
#[cfg(feature = "blobstore-nats")]
mod nats;
mod options;
mod p2;
mod p3;
mod places;
mod plugin;
#[cfg(feature = "blobstore-s3")]
mod s3;
mod settings;
mod unbroken;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

pub use options::BlobOptions;
pub use plugin::Blobstore;

use crate::capability::budget::Full;

/// How long the name of a container or of an object may be, in bytes.
const LONGEST_NAME: usize = 1024;
/// How much is moved at once, where a backend may choose.
const PIECE: usize = 256 << 10;

/// What one tenant keeps.
///
/// - B1 A name is any text of 1 to 1,024 bytes. Two names that differ never meet, whatever they contain.
/// - B2 Of several that create a container at once, one succeeds; the others are told that it exists.
/// - B3 What is written is seen when it was committed and not before, all of it or none. A writer that is dropped leaves nothing.
/// - B4 Who reads goes on reading what was there at the beginning, whatever becomes of the object.
/// - B5 A range ends with the object at the latest; one that begins behind the end is empty.
/// - B6 A copy or a move puts the whole object in the place of whatever was there. Onto itself, it changes nothing.
/// - B7 Deleting what is not there succeeds; everything else that names a container or an object that is not there fails and says
///   which of the two it is. So does a commit into a container that was deleted meanwhile.
/// - B8 A list holds every object that was there all the time, once. It ends with an error rather than early.
/// - B9 What one tenant keeps, no other one sees.
/// - B10 Contents flow: however large an object is, little of it is in memory at once. A backend in memory keeps contents and copies
///   none.
#[async_trait]
trait Blobs: fmt::Debug + Send + Sync + 'static {
    async fn create_container(&self, container: &Name) -> Result<(), BlobError>;
    /// When it was created.
    async fn container_created(&self, container: &Name) -> Result<SystemTime, BlobError>;
    async fn delete_container(&self, container: &Name) -> Result<(), BlobError>;
    /// Deletes its objects.
    async fn clear(&self, container: &Name) -> Result<(), BlobError>;
    async fn list(&self, container: &Name) -> Result<Names, BlobError>;
    async fn info(&self, object: &ObjectId) -> Result<ObjectInfo, BlobError>;
    async fn read(&self, object: &ObjectId, range: Range) -> Result<Reading, BlobError>;
    async fn write(&self, object: &ObjectId) -> Result<Box<dyn Writing>, BlobError>;
    async fn delete(&self, object: &ObjectId) -> Result<(), BlobError>;
    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError>;
    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError>;

    /// Why nothing can be had from it now, for whoever runs the workload.
    fn trouble(&self) -> Option<String> {
        None
    }
}

/// An object that is being written.
#[async_trait]
trait Writing: Send {
    /// Appends. After an error, nothing can be committed.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;
    /// Puts what was written in its place, for good.
    async fn commit(self: Box<Self>) -> Result<(), BlobError>;
}

/// Names of objects, as they come.
type Names = Pin<Box<dyn Stream<Item = Result<String, BlobError>> + Send>>;
/// Contents, as they come.
type Contents = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// A range of an object that is being read.
struct Reading {
    /// How many bytes it has.
    length: u64,
    contents: Contents,
}

/// Which bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    /// The first byte that is not part of it.
    end: u64,
}

impl Range {
    /// Both ends belong to it, as in the interfaces.
    fn inclusive(start: u64, end: u64) -> Result<Self, BlobError> {
        if start > end {
            let told = format!("a range cannot begin at {start} and end at {end}");
            return Err(BlobError::Other(told));
        }
        let end = end.saturating_add(1);
        Ok(Self { start, end })
    }

    /// What of it there is in an object of this size.
    fn within(self, size: u64) -> Self {
        let end = self.end.min(size);
        let start = self.start.min(end);
        Self { start, end }
    }

    fn length(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What is known of an object.
#[derive(Clone, Copy, Debug)]
struct ObjectInfo {
    /// When this content took its place.
    created: SystemTime,
    /// In bytes.
    size: u64,
}

/// The name of a container or of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name(String);

impl Name {
    fn parse(name: String) -> Result<Self, BlobError> {
        match name.len() {
            0 => Err(BlobError::Name("a name cannot be empty")),
            1..=LONGEST_NAME => Ok(Self(name)),
            _ => Err(BlobError::Name("a name has at most 1024 bytes")),
        }
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object in its container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ObjectId {
    container: Name,
    object: Name,
}

/// Why something was not done. No message tells where the host keeps things.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum BlobError {
    #[error("there is no such container")]
    NoSuchContainer,
    #[error("the container exists already")]
    ContainerExists,
    #[error("there is no such object")]
    NoSuchObject,
    #[error("{0}")]
    Quota(String),
    #[error("{0}")]
    Name(&'static str),
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    #[cfg_attr(
        not(feature = "blobstore-s3"),
        allow(dead_code, reason = "only a server says so")
    )]
    #[error("the store does not let this workload in")]
    Denied,
    #[cfg_attr(
        not(any(feature = "blobstore-nats", feature = "blobstore-s3")),
        allow(dead_code, reason = "only a server is waited for")
    )]
    #[error("the store does not answer in time")]
    Timeout,
    #[error("{0}")]
    Other(String),
}

impl From<Full> for BlobError {
    fn from(full: Full) -> Self {
        Self::Quota(full.to_string())
    }
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Quota("the store is full".to_owned()),
            FileTooLarge => Self::Quota("the store takes no object of this size".to_owned()),
            // What the system has to say of a path may name it.
            kind => Self::Unavailable(kind.to_string()),
        }
    }
}

impl From<tokio::task::JoinError> for BlobError {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::Unavailable("its work was broken off".to_owned())
    }
}

/// Something further down in an error.
#[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
fn cause<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_name_is_any_text_within_reason() {
        let long = "x".repeat(LONGEST_NAME);
        for good in ["a", "..", "/", "a/../b", "nul\0", "Ä", &long] {
            assert_eq!(Name::parse(good.to_owned()).unwrap().as_str(), good);
        }
        assert!(Name::parse(String::new()).is_err());
        assert!(Name::parse(long + "x").is_err());
    }

    #[test]
    fn both_ends_belong_to_a_range_and_it_ends_with_the_object() {
        let range = |start, end| Range::inclusive(start, end).unwrap();
        assert_eq!(range(0, 0).within(10).length(), 1);
        assert_eq!(range(3, 5).within(10).length(), 3);
        assert_eq!(range(3, u64::MAX).within(10).length(), 7);
        assert_eq!(range(10, 20).within(10).length(), 0);
        assert_eq!(range(u64::MAX, u64::MAX).within(10).length(), 0);
        assert_eq!(range(0, u64::MAX).within(0).length(), 0);
        assert!(Range::inclusive(2, 1).is_err());
    }
}
