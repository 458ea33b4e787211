//! The objects of a container, read as they are asked for.

use std::fs::{self, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use futures::{StreamExt as _, stream};
use tokio::task::spawn_blocking;

use super::home::Home;
use super::names::{GOES_ON, name_of};
use super::{Place, change, container_metadata};
use crate::capability::blobstore::{BlobError, Names};

/// How many names are read at once.
const BATCH: usize = 256;

/// The names of the objects in a container. Blocks, and what it gives does not.
pub(super) fn list(container: &Path) -> Result<Names, BlobError> {
    let walk = Walk::of(container)?;
    let batches = stream::unfold(Some(walk), |walk| async {
        let mut walk = walk?;
        let read = spawn_blocking(move || {
            let names = walk.names();
            (names, walk)
        });
        match read.await {
            Ok((Ok(names), _)) if names.is_empty() => None,
            Ok((Ok(names), walk)) => Some((names.into_iter().map(Ok).collect(), Some(walk))),
            Ok((Err(error), _)) => Some((vec![Err(error.into())], None)),
            Err(error) => Some((vec![Err(error.into())], None)),
        }
    });
    Ok(Box::pin(batches.flat_map(stream::iter::<Vec<_>>)))
}

/// Deletes the objects of a container. Blocks.
pub(super) fn clear(home: &Home, container: &Path) -> Result<(), BlobError> {
    let mut walk = Walk::of(container)?;
    while let Some((path, _)) = walk.next()? {
        let place = Place {
            container: container.to_owned(),
            path,
        };
        match change::take(home, &place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => change::tidy(container, &place.path),
        }
    }
    Ok(fs::File::open(container)?.sync_all()?)
}

/// A walk through a container: its folder, and those where long names go on.
struct Walk {
    open: Vec<(ReadDir, PathBuf)>,
}

impl Walk {
    fn of(container: &Path) -> Result<Self, BlobError> {
        container_metadata(container)?;
        let open = vec![(fs::read_dir(container)?, PathBuf::new())];
        Ok(Self { open })
    }

    /// The next object: where it is, and its name. Files that are none are passed over.
    fn next(&mut self) -> io::Result<Option<(PathBuf, String)>> {
        while let Some((folder, way)) = self.open.last_mut() {
            let Some(entry) = folder.next() else {
                self.open.pop();
                continue;
            };
            let entry = entry?;
            let way = way.join(entry.file_name());
            let goes_on = way.to_str().is_some_and(|way| way.ends_with(GOES_ON));
            if goes_on {
                match fs::read_dir(entry.path()) {
                    Ok(folder) => self.open.push((folder, way)),
                    // It went when the last object in it did.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            } else if let Some(name) = way.to_str().and_then(name_of)
                && entry.file_type()?.is_file()
            {
                return Ok(Some((entry.path(), name.as_str().to_owned())));
            }
        }
        Ok(None)
    }

    /// The next names; none at the end.
    fn names(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        while names.len() < BATCH
            && let Some((_, name)) = self.next()?
        {
            names.push(name);
        }
        Ok(names)
    }
}
