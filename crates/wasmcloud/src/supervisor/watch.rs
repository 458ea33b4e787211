//! Waits until something may have changed. It only wakes: whoever is woken looks for himself, so a note too many does no harm, and
//! one too few only until the next look.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::places::Places;

/// How long nothing must happen before a change counts as over: files are written in pieces.
const QUIET: Duration = Duration::from_millis(100);
/// How long is waited for that.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches the places of some files.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    shared: Arc<Shared>,
    /// The folders that are watched, each with the device and inode it had.
    folders: HashMap<PathBuf, Option<(u64, u64)>>,
}

#[derive(Default)]
struct Shared {
    places: Mutex<Places>,
    /// Folders that were moved or deleted, and their watches with them; another folder may have their name, and even their inode.
    lost: Mutex<BTreeSet<PathBuf>>,
    news: Notify,
}

impl Watch {
    pub(super) fn new() -> notify::Result<Self> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event| told.take(event))?;
        Ok(Self {
            watcher,
            shared,
            folders: HashMap::new(),
        })
    }

    /// Watches these places and no others. Says whether one is new, so that what changed in it before is not known.
    pub(super) fn set(&mut self, places: Places) -> bool {
        let gone = self
            .folders
            .keys()
            .filter(|folder| !places.contains_key(*folder));
        for folder in gone.cloned().collect::<Vec<_>>() {
            self.leave(&folder);
        }
        let lost = std::mem::take(&mut *lock(&self.shared.lost));
        lost.iter().for_each(|folder| self.leave(folder));
        let mut new = false;
        for folder in places.keys() {
            let now = identity(folder);
            if self.folders.get(folder).is_some_and(|known| *known == now) {
                continue;
            }
            self.leave(folder);
            new |= now.is_some();
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder.clone(), now)),
                // It was there a moment ago, so it has changed: that shows at the next look.
                Err(_) if now.is_none() => {}
                Err(error) => {
                    // Told once: the folder counts as watched, and what changes in it is found when everything is looked at.
                    self.folders.insert(folder.clone(), now);
                    warn(folder, &error);
                }
            }
        }
        *lock(&self.shared.places) = places;
        new
    }

    fn leave(&mut self, folder: &Path) {
        if self.folders.remove(folder).is_some() {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(folder);
        }
    }

    /// Waits for a change and the quiet after it. A change is not lost when the future is dropped.
    pub(super) async fn changed(&self) {
        self.shared.news.notified().await;
        let put_back = PutBack(Some(&self.shared.news));
        let patience = Instant::now() + PATIENCE;
        loop {
            let quiet = (Instant::now() + QUIET).min(patience);
            if timeout_at(quiet, self.shared.news.notified())
                .await
                .is_err()
            {
                break;
            }
        }
        put_back.done();
    }
}

/// Tells of a change again unless somebody has dealt with it.
struct PutBack<'a>(Option<&'a Notify>);

impl PutBack<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        if let Some(news) = self.0 {
            news.notify_one();
        }
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(folder).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn warn(folder: &Path, error: &notify::Error) {
    let hint = match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "allow more watches: `sysctl fs.inotify.max_user_watches=524288`"
        }
        _ => "it is looked at twice a minute instead",
    };
    tracing::warn!(folder = %folder.display(), %error, hint, "changes in this folder will be noticed late");
}

impl Shared {
    /// Passes on what may mean that content changed: whoever reads the files changes nothing.
    fn take(&self, event: notify::Result<notify::Event>) {
        let counts = match event {
            Err(_) => true,
            Ok(event) if event.need_rescan() => true,
            Ok(event) => match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                    self.concerns(&event.paths)
                }
                EventKind::Access(_) => false,
                _ => self.concerns(&event.paths),
            },
        };
        if counts {
            self.news.notify_one();
        }
    }

    fn concerns(&self, paths: &[PathBuf]) -> bool {
        let places = lock(&self.places);
        let own: Vec<&PathBuf> = paths
            .iter()
            .filter(|path| places.contains_key(*path))
            .collect();
        lock(&self.lost).extend(own.iter().copied().cloned());
        let inside = |path: &PathBuf| {
            let interest = path.parent().and_then(|folder| places.get(folder));
            interest.is_some_and(|interest| interest.has(path))
        };
        !own.is_empty() || paths.iter().any(inside)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::look::Sources;
    use super::super::places::places;
    use super::*;

    fn set(watch: &mut Watch, path: &Path) -> bool {
        let mut sources = Sources::new(vec![path.to_owned()]);
        let look = sources.look();
        watch.set(places(&sources, &look))
    }

    #[tokio::test]
    async fn a_change_of_what_counts_wakes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap();
        let mut watch = Watch::new().unwrap();
        assert!(set(&mut watch, &folder));
        assert!(!set(&mut watch, &folder));
        fs::write(folder.join("a.yaml"), "x").unwrap();
        watch.changed().await;
    }

    #[tokio::test]
    async fn a_change_that_nobody_waited_to_the_end_for_is_told_again() {
        let watch = Watch::new().unwrap();
        watch.shared.news.notify_one();
        let interrupted = futures::FutureExt::now_or_never(watch.changed());
        assert_eq!(interrupted, None);
        watch.changed().await;
        assert_eq!(futures::FutureExt::now_or_never(watch.changed()), None);
    }

    /// A new folder often gets the inode of the one that was deleted.
    #[tokio::test]
    async fn a_folder_that_is_made_anew_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap().join("workloads");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new().unwrap();
        set(&mut watch, &folder);
        fs::remove_dir(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        watch.changed().await;
        assert!(set(&mut watch, &folder));
        fs::write(folder.join("a.yaml"), "x").unwrap();
        watch.changed().await;
    }

    #[tokio::test]
    async fn a_folder_that_comes_back_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let folder = root.join("workloads");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new().unwrap();
        set(&mut watch, &folder);
        fs::rename(&folder, root.join("away")).unwrap();
        watch.changed().await;
        set(&mut watch, &folder);
        fs::create_dir(&folder).unwrap();
        watch.changed().await;
        assert!(set(&mut watch, &folder));
        fs::write(folder.join("a.yaml"), "x").unwrap();
        watch.changed().await;
    }
}
