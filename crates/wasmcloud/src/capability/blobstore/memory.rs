//! Blobs in memory, for as long as somebody uses them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream;

use super::unbroken::Unbroken;
use super::{BlobError, Blobs, Name, Names, ObjectId, ObjectInfo, PIECE, Range, Reading, Writing};
use crate::capability::budget::{Budget, Room};

/// What a container or an object takes besides its name and its contents.
const ENTRY: u64 = 256;
/// How many names a list holds at once.
const PAGE: usize = 256;

/// What one tenant keeps in memory.
#[derive(Debug)]
pub(super) struct Memory {
    budget: Arc<Budget>,
    containers: Arc<Mutex<Containers>>,
}

type Containers = BTreeMap<Name, Container>;

#[derive(Debug)]
struct Container {
    created: SystemTime,
    objects: BTreeMap<Name, Object>,
    /// What makes it this one: who began to write into one that was deleted must not find its successor.
    identity: Arc<()>,
    _room: Room,
}

#[derive(Debug)]
struct Object {
    created: SystemTime,
    content: Arc<Content>,
    _room: Room,
}

#[derive(Debug)]
struct Content {
    pieces: Vec<Bytes>,
    size: u64,
    _room: Room,
}

impl Memory {
    /// An empty one.
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            containers: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Containers> {
        lock(&self.containers)
    }

    /// Room for an entry of this name.
    fn entry(&self, name: &Name) -> Result<Room, BlobError> {
        let mut room = self.budget.room();
        room.grow(ENTRY + name.as_str().len() as u64)?;
        Ok(room)
    }

    /// Puts the content of one object in the place of another, and says that it was in the first one's place.
    fn duplicate(&self, from: &ObjectId, to: &ObjectId, moved: bool) -> Result<(), BlobError> {
        let room = self.entry(&to.object)?;
        let mut containers = self.lock();
        let object = found(&containers, from)?;
        let created = if moved {
            object.created
        } else {
            SystemTime::now()
        };
        let content = Arc::clone(&object.content);
        let target = containers.get_mut(&to.container);
        let target = target.ok_or(BlobError::NoSuchContainer)?;
        if from == to {
            return Ok(());
        }
        let object = Object {
            created,
            content,
            _room: room,
        };
        target.objects.insert(to.object.clone(), object);
        if moved && let Some(source) = containers.get_mut(&from.container) {
            source.objects.remove(&from.object);
        }
        Ok(())
    }
}

fn lock(containers: &Mutex<Containers>) -> MutexGuard<'_, Containers> {
    containers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn found<'a>(containers: &'a Containers, id: &ObjectId) -> Result<&'a Object, BlobError> {
    let container = containers.get(&id.container);
    let container = container.ok_or(BlobError::NoSuchContainer)?;
    container
        .objects
        .get(&id.object)
        .ok_or(BlobError::NoSuchObject)
}

#[async_trait]
impl Blobs for Memory {
    async fn create_container(&self, container: &Name) -> Result<(), BlobError> {
        let room = self.entry(container)?;
        let mut containers = self.lock();
        if containers.contains_key(container) {
            return Err(BlobError::ContainerExists);
        }
        let made = Container {
            created: SystemTime::now(),
            objects: BTreeMap::new(),
            identity: Arc::default(),
            _room: room,
        };
        containers.insert(container.clone(), made);
        Ok(())
    }

    async fn container_created(&self, container: &Name) -> Result<SystemTime, BlobError> {
        let containers = self.lock();
        let found = containers.get(container);
        Ok(found.ok_or(BlobError::NoSuchContainer)?.created)
    }

    async fn delete_container(&self, container: &Name) -> Result<(), BlobError> {
        self.lock().remove(container);
        Ok(())
    }

    async fn clear(&self, container: &Name) -> Result<(), BlobError> {
        let mut containers = self.lock();
        let found = containers.get_mut(container);
        found.ok_or(BlobError::NoSuchContainer)?.objects.clear();
        Ok(())
    }

    async fn list(&self, container: &Name) -> Result<Names, BlobError> {
        let containers = self.lock();
        let found = containers.get(container);
        let identity = &found.ok_or(BlobError::NoSuchContainer)?.identity;
        let mut listing = Listing {
            containers: Arc::clone(&self.containers),
            identity: Arc::downgrade(identity),
            container: container.clone(),
            last: None,
        };
        let pages = std::iter::from_fn(move || listing.page());
        Ok(Box::pin(stream::iter(pages.flatten().map(|it| Ok(it.0)))))
    }

    async fn info(&self, object: &ObjectId) -> Result<ObjectInfo, BlobError> {
        let containers = self.lock();
        let found = found(&containers, object)?;
        Ok(ObjectInfo {
            created: found.created,
            size: found.content.size,
        })
    }

    async fn read(&self, object: &ObjectId, range: Range) -> Result<Reading, BlobError> {
        let content = Arc::clone(&found(&self.lock(), object)?.content);
        let range = range.within(content.size);
        let (mut index, mut begins) = (0, 0);
        // The pieces before the range are passed over when it is read.
        let next = move || {
            loop {
                let piece = content.pieces.get(index)?;
                let (start, end) = (begins, begins + piece.len() as u64);
                (index, begins) = (index + 1, end);
                if start >= range.end {
                    return None;
                }
                let (from, to) = (range.start.max(start), range.end.min(end));
                if from < to {
                    let at = |place: u64| usize::try_from(place - start).unwrap_or(piece.len());
                    return Some(Ok(piece.slice(at(from)..at(to))));
                }
            }
        };
        Ok(Reading {
            length: range.length(),
            contents: Box::pin(stream::iter(std::iter::from_fn(next))),
        })
    }

    async fn write(&self, object: &ObjectId) -> Result<Box<dyn Writing>, BlobError> {
        let containers = self.lock();
        let found = containers.get(&object.container);
        let container = &found.ok_or(BlobError::NoSuchContainer)?.identity;
        Ok(Unbroken::around(MemoryWriting {
            containers: Arc::clone(&self.containers),
            container: Arc::downgrade(container),
            object: object.clone(),
            entry: self.entry(&object.object)?,
            room: self.budget.room(),
            pieces: Vec::new(),
            last: BytesMut::new(),
            size: 0,
        }))
    }

    async fn delete(&self, object: &ObjectId) -> Result<(), BlobError> {
        let mut containers = self.lock();
        let container = containers.get_mut(&object.container);
        let objects = &mut container.ok_or(BlobError::NoSuchContainer)?.objects;
        objects.remove(&object.object);
        Ok(())
    }

    async fn copy(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        self.duplicate(from, to, false)
    }

    async fn rename(&self, from: &ObjectId, to: &ObjectId) -> Result<(), BlobError> {
        self.duplicate(from, to, true)
    }
}

/// A list, as far as it was read. What is still to come is looked up when it is wanted: a copy of all names would be counted nowhere.
struct Listing {
    containers: Arc<Mutex<Containers>>,
    container: Name,
    identity: Weak<()>,
    last: Option<Name>,
}

impl Listing {
    /// The next names. Of a container that is gone, none was there all the time.
    fn page(&mut self) -> Option<Vec<Name>> {
        let containers = lock(&self.containers);
        let container = containers.get(&self.container);
        let container = container.filter(|it| it.identity_is(&self.identity))?;
        let after = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rest = container
            .objects
            .range::<Name, _>((after, Bound::Unbounded));
        let page: Vec<Name> = rest.take(PAGE).map(|(name, _)| name.clone()).collect();
        self.last = Some(page.last()?.clone());
        Some(page)
    }
}

struct MemoryWriting {
    containers: Arc<Mutex<Containers>>,
    container: Weak<()>,
    object: ObjectId,
    entry: Room,
    room: Room,
    pieces: Vec<Bytes>,
    /// What came last. Small pieces are put together, as each takes more than its bytes.
    last: BytesMut,
    size: u64,
}

#[async_trait]
impl Writing for MemoryWriting {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.room.grow(bytes.len() as u64)?;
        self.size += bytes.len() as u64;
        self.last.extend_from_slice(&bytes);
        if self.last.len() >= PIECE {
            self.pieces.push(self.last.split().freeze());
        }
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), BlobError> {
        let mut this = *self;
        if !this.last.is_empty() {
            this.pieces.push(Bytes::copy_from_slice(&this.last));
        }
        let content = Content {
            pieces: this.pieces,
            size: this.size,
            _room: this.room,
        };
        let object = Object {
            created: SystemTime::now(),
            content: Arc::new(content),
            _room: this.entry,
        };
        let mut containers = lock(&this.containers);
        let container = containers.get_mut(&this.object.container);
        let container = container.filter(|it| it.identity_is(&this.container));
        let container = container.ok_or(BlobError::NoSuchContainer)?;
        container.objects.insert(this.object.object, object);
        Ok(())
    }
}

impl Container {
    fn identity_is(&self, other: &Weak<()>) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.identity), other.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use futures::StreamExt as _;

    use super::super::conformance::{self, id, name, write_all};
    use super::*;

    #[tokio::test]
    async fn it_conforms() {
        let budget = Budget::new(256 << 20);
        conformance::whole(async |_| {
            let store: Arc<dyn Blobs> = Arc::new(Memory::new(Arc::clone(&budget)));
            store
        })
        .await;
        assert_eq!(budget.used(), 0, "nothing is left when nobody is left");
    }

    #[tokio::test]
    async fn everything_that_grows_is_counted() {
        let budget = Budget::new(4096);
        let blobs: Arc<dyn Blobs> = Arc::new(Memory::new(Arc::clone(&budget)));
        blobs
            .create_container(&id("c", "o").container)
            .await
            .unwrap();
        write_all(&blobs, "c", "big", &[0; 2000]).await.unwrap();
        let full = write_all(&blobs, "c", "other", &[0; 2000])
            .await
            .unwrap_err();
        assert!(matches!(full, BlobError::Quota(_)), "{full}");
        blobs.copy(&id("c", "big"), &id("c", "copy")).await.unwrap();
        let mut empty = 0;
        while write_all(&blobs, "c", &empty.to_string(), b"")
            .await
            .is_ok()
        {
            empty += 1;
        }
        assert!((1..10).contains(&empty), "{empty}");
        blobs.clear(&id("c", "o").container).await.unwrap();
        write_all(&blobs, "c", "other", &[0; 2000]).await.unwrap();
        blobs
            .delete_container(&id("c", "o").container)
            .await
            .unwrap();
        assert_eq!(budget.used(), 0);
    }

    async fn with_objects(count: usize) -> Arc<dyn Blobs> {
        let blobs: Arc<dyn Blobs> = Arc::new(Memory::new(Budget::new(1 << 20)));
        blobs.create_container(&name("c")).await.unwrap();
        for number in 0..count {
            let object = format!("{number:04}");
            write_all(&blobs, "c", &object, b"").await.unwrap();
        }
        blobs
    }

    /// With 256 lists at once, copies of all names were many times what a tenant may keep.
    #[tokio::test]
    async fn a_list_holds_one_page_of_names_however_many_there_are() {
        let blobs = with_objects(2 * PAGE + 1).await;
        let mut names = blobs.list(&name("c")).await.unwrap();
        assert_eq!(names.next().await.unwrap().unwrap(), "0000");
        blobs.clear(&name("c")).await.unwrap();
        write_all(&blobs, "c", "0001", b"").await.unwrap();
        write_all(&blobs, "c", "new", b"").await.unwrap();
        let rest: Vec<_> = names.collect().await;
        // The rest of the page that was read, and what is behind it now.
        assert_eq!(rest.len(), PAGE);
        assert_eq!(rest.last(), Some(&Ok("new".to_owned())));
    }

    #[tokio::test]
    async fn a_list_of_a_container_that_is_gone_goes_on_in_no_other() {
        let blobs = with_objects(PAGE + 1).await;
        let mut names = blobs.list(&name("c")).await.unwrap();
        names.next().await.unwrap().unwrap();
        blobs.delete_container(&name("c")).await.unwrap();
        blobs.create_container(&name("c")).await.unwrap();
        write_all(&blobs, "c", "other", b"").await.unwrap();
        let rest: Vec<_> = names.collect().await;
        assert_eq!(rest.len(), PAGE - 1);
    }
}
