//! `wasi:blobstore` as a component: what it is asked to keep, it keeps in the files of a volume.

mod container;
mod draft;
mod names;
mod value;
mod volume;

wit_bindgen::generate!({ path: "wit", world: "blobs", generate_all });

use exports::wasi::blobstore::blobstore::{Container as OwnContainer, Guest, ObjectId};

use container::Container;
use draft::Draft;
use volume::{Kept, Outcome};

struct Blobs;

export!(Blobs);

impl Guest for Blobs {
    fn create_container(name: String) -> Outcome<OwnContainer> {
        let kept = Kept::container(&name)?;
        kept.create()?;
        Ok(OwnContainer::new(Container { name, kept }))
    }

    fn get_container(name: String) -> Outcome<OwnContainer> {
        let kept = Kept::container(&name)?;
        match kept.is_there()? {
            true => Ok(OwnContainer::new(Container { name, kept })),
            false => Err(volume::no_container()),
        }
    }

    fn delete_container(name: String) -> Outcome<()> {
        Kept::container(&name)?.delete()
    }

    fn container_exists(name: String) -> Outcome<bool> {
        Kept::container(&name)?.is_there()
    }

    fn copy_object(from: ObjectId, to: ObjectId) -> Outcome<()> {
        let from = Kept::container(&from.container)?.object(&from.object)?;
        let to = Kept::container(&to.container)?.object(&to.object)?;
        let (file, size) = from.open()?;
        let draft = Draft::new()?;
        draft.take(&file, 0, size)?;
        draft.commit(&to)
    }

    fn move_object(from: ObjectId, to: ObjectId) -> Outcome<()> {
        let from = Kept::container(&from.container)?.object(&from.object)?;
        let to = Kept::container(&to.container)?.object(&to.object)?;
        from.rename(&to)
    }
}
