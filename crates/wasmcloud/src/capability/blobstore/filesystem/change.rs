//! What changes the folders of a tenant. All of it blocks.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use super::folder::{Folder, GONE, sync_above};
use super::home::Home;
use super::{Found, Place, container_metadata};
use crate::capability::blobstore::BlobError;
use crate::capability::budget::Room;

/// How often a step of a path may vanish under our feet.
const TRIES: usize = 16;

/// Makes a container.
pub(super) fn create(home: &Home, path: &Path) -> Result<(), BlobError> {
    let room = home.container(path)?;
    let made = with_steps(&home.path, path, || fs::create_dir(path));
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BlobError::ContainerExists,
        _ => error.into(),
    })?;
    room.keep();
    Ok(sync_above(path)?)
}

/// Removes a container with everything in it.
pub(super) fn remove(folder: &Folder, home: &Home, path: &Path) -> Result<(), BlobError> {
    let taken = {
        let _turn = home.turn();
        folder.take(path)
    };
    match taken {
        Ok(taken) => {
            home.gone(path, &taken.path().join(GONE));
            tidy(&home.path, path);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts a file that was written where an object is to be, if its container still is the one that it was begun for. The room is what
/// it takes there.
pub(super) fn place(
    file: NamedTempFile,
    place: &Place,
    container: &Found,
    home: &Home,
    room: Room,
) -> Result<(), BlobError> {
    file.as_file().sync_all()?;
    let turn = home.turn();
    if !container.is_at(&place.container)? {
        return Err(BlobError::NoSuchContainer);
    }
    // It stays open, and so locked, until it is in its place.
    let (_file, path) = file.into_parts();
    let before = size(place);
    move_to(&path, place)?;
    // There is nothing to remove in its old place.
    let _ = path.keep();
    room.keep();
    if let Some(before) = before {
        home.left(place, before);
    }
    drop(turn);
    Ok(sync_above(&place.path)?)
}

/// Copies an object. Where the disk can, its bytes are shared.
pub(super) fn copy(
    folder: &Folder,
    home: &Home,
    from: &Place,
    to: &Place,
) -> Result<(), BlobError> {
    let mut source = from.open()?;
    let container = Found::at(&to.container)?;
    if from.path == to.path {
        return Ok(());
    }
    let mut room = home.object(to)?;
    room.grow(source.metadata()?.len())?;
    let mut file = folder.file()?;
    io::copy(&mut source, file.as_file_mut())?;
    place(file, to, &container, home, room)
}

/// Moves an object.
pub(super) fn rename(home: &Home, from: &Place, to: &Place) -> Result<(), BlobError> {
    from.metadata()?;
    container_metadata(&to.container)?;
    if from.path == to.path {
        return Ok(());
    }
    let room = home.moved(from, to)?;
    let turn = home.turn();
    let before = size(to);
    move_to(&from.path, to)?;
    room.keep();
    home.shortened(from, to);
    if let Some(before) = before {
        home.left(to, before);
    }
    drop(turn);
    tidy(&from.container, &from.path);
    sync_above(&to.path)?;
    match sync_above(&from.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Deletes an object.
pub(super) fn delete(home: &Home, place: &Place) -> Result<(), BlobError> {
    match take(home, place).map_err(|error| place.explain(error)) {
        Err(BlobError::NoSuchObject) => return Ok(()),
        deleted => deleted?,
    }
    let synced = sync_above(&place.path);
    tidy(&place.container, &place.path);
    Ok(synced?)
}

/// Takes an object from its place.
pub(super) fn take(home: &Home, place: &Place) -> io::Result<()> {
    let _turn = home.turn();
    let before = size(place);
    fs::remove_file(&place.path)?;
    home.left(place, before.unwrap_or(0));
    Ok(())
}

/// How large the object is that is there, if there is one.
fn size(place: &Place) -> Option<u64> {
    let found = place.path.symlink_metadata().ok();
    found.filter(fs::Metadata::is_file).map(|found| found.len())
}

/// Removes the steps to what was there, as far as nothing else is on them.
pub(super) fn tidy(above: &Path, path: &Path) {
    let steps = path.ancestors().skip(1).take_while(|step| *step != above);
    for step in steps {
        if fs::remove_dir(step).is_err() {
            return;
        }
    }
}

fn move_to(from: &Path, to: &Place) -> Result<(), BlobError> {
    let moved = with_steps(&to.container, &to.path, || fs::rename(from, &to.path));
    moved.map_err(|error| match container_metadata(&to.container) {
        Err(gone) => gone,
        Ok(_) if error.kind() == io::ErrorKind::NotFound => BlobError::NoSuchObject,
        Ok(_) => error.into(),
    })
}

/// Does something that needs the steps between a folder and a path, which come and go with what is on them. The folder itself is
/// not made.
fn with_steps(above: &Path, path: &Path, work: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let mut done = work();
    for _ in 0..TRIES {
        match &done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return done,
        }
        let Ok(below) = path.strip_prefix(above) else {
            return done;
        };
        let mut step = above.to_owned();
        for next in below.parent().into_iter().flat_map(Path::components) {
            step.push(next);
            match fs::create_dir(&step) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        done = work();
    }
    done
}
