//! Waits until sources change: events of the file system, gathered until they stop, and checked against what the files hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::tree::{Filter, Tree, all};
use crate::failure::Failure;

/// How long nothing must happen before changes are acted on: an editor or a checkout writes several files.
const QUIET: Duration = Duration::from_millis(60);
/// How long changes are gathered at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// Files whose content differs.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) files: BTreeSet<PathBuf>,
    /// When the first of them was noticed.
    pub(super) since: Instant,
}

/// What the file system tells.
enum Note {
    Path(PathBuf),
    /// Something was missed.
    Lost,
}

/// Watches the sources of a project.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    notes: mpsc::UnboundedReceiver<(Instant, Note)>,
    filter: Filter,
    tree: Tree,
    quiet: Duration,
    /// What was noticed and not told yet, and when the first of it was.
    gathered: BTreeSet<PathBuf>,
    since: Option<Instant>,
}

impl Watch {
    /// Begins to watch. From now on no change is missed.
    pub(super) fn start(filter: Filter) -> Result<Self, Failure> {
        let (sender, notes) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| tell(event, &sender))
            .map_err(|error| cannot(&error))?;
        let mut watch = Self {
            watcher,
            notes,
            filter: Filter::default(),
            tree: Tree::default(),
            quiet: QUIET,
            gathered: BTreeSet::new(),
            since: None,
        };
        for root in filter.roots.clone() {
            watch
                .watcher
                .watch(&root, RecursiveMode::NonRecursive)
                .map_err(|error| cannot(&error))?;
            watch.filter.roots.push(root.clone());
            for entry in root.read_dir().into_iter().flatten().flatten() {
                watch.enter(&entry.path())?;
            }
        }
        watch.filter.without = filter.without;
        watch.follow(filter.extra);
        watch.tree = Tree::read(&watch.filter);
        Ok(watch)
    }

    /// Watches a folder directly inside a root with everything in it, unless it is one of output: a watch costs memory for
    /// each folder, and a build touches thousands.
    fn enter(&mut self, path: &Path) -> Result<(), Failure> {
        let is_folder = path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir());
        if is_folder && self.filter.counts(path) {
            self.watcher
                .watch(path, RecursiveMode::Recursive)
                .map_err(|error| cannot(&error))?;
        }
        Ok(())
    }

    /// Follows single files as well, wherever they are, instead of those followed before.
    pub(super) fn follow(&mut self, files: BTreeSet<PathBuf>) {
        let new: BTreeSet<PathBuf> = files.difference(&self.filter.extra).cloned().collect();
        for folder in new.iter().filter_map(|file| file.parent()) {
            if !self.filter.counts(folder)
                && let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive)
            {
                tracing::warn!(folder = %folder.display(), %error, "changes in this folder will not be noticed");
            }
        }
        self.filter.extra = files;
        self.tree.update(&self.filter, &new);
    }

    /// The single files that are followed.
    pub(super) fn followed(&self) -> &BTreeSet<PathBuf> {
        &self.filter.extra
    }

    /// Leaves files out from now on.
    pub(super) fn leave_out(&mut self, files: &BTreeSet<PathBuf>) {
        self.filter.without.extend(files.iter().cloned());
    }

    /// Takes what some files hold now for granted: the build wrote them itself.
    pub(super) fn accept(&mut self, files: BTreeSet<PathBuf>) {
        self.tree.update(&self.filter, &files);
    }

    /// Waits for changes and for the quiet after them. Never returns an empty set. Nothing is lost when the future is dropped: the
    /// next call goes on.
    pub(super) async fn changed(&mut self) -> Changes {
        loop {
            while self.since.is_none() {
                match self.notes.recv().await {
                    Some((noticed, note)) => self.since = self.absorb(note).then_some(noticed),
                    // The watcher lives as long as this does, so there will be news.
                    None => std::future::pending().await,
                }
            }
            let patience = Instant::now() + PATIENCE;
            let mut quiet = Instant::now() + self.quiet;
            while let Ok(Some((_, note))) = timeout_at(quiet.min(patience), self.notes.recv()).await
            {
                if self.absorb(note) {
                    quiet = Instant::now() + self.quiet;
                }
            }
            let paths = std::mem::take(&mut self.gathered);
            let since = self.since.take().unwrap_or_else(Instant::now);
            let files = self.tree.update(&self.filter, &paths);
            if !files.is_empty() {
                return Changes { files, since };
            }
        }
    }

    /// Adds what a note is about, and says whether it counts.
    fn absorb(&mut self, note: Note) -> bool {
        match note {
            Note::Lost => self.gathered.extend(all(&self.filter)),
            Note::Path(path) if self.filter.counts(&path) => {
                let inside_root = path
                    .parent()
                    .is_some_and(|parent| self.filter.roots.iter().any(|root| root == parent));
                if inside_root && let Err(failure) = self.enter(&path) {
                    tracing::warn!(folder = %path.display(), reason = failure.message(), "changes in this folder will not be noticed");
                }
                self.gathered.insert(path);
            }
            Note::Path(_) => return false,
        }
        true
    }
}

/// Passes on what may mean that content changed; compilers read sources all the time.
fn tell(event: notify::Result<notify::Event>, notes: &mpsc::UnboundedSender<(Instant, Note)>) {
    // When nobody listens any more, the program is ending.
    let send = |note| drop(notes.send((Instant::now(), note)));
    match event {
        Err(_) => send(Note::Lost),
        Ok(event) if event.need_rescan() => send(Note::Lost),
        Ok(event) => match event.kind {
            EventKind::Access(AccessKind::Close(notify::event::AccessMode::Write)) => event
                .paths
                .into_iter()
                .for_each(|path| send(Note::Path(path))),
            EventKind::Access(_) => {}
            _ => event
                .paths
                .into_iter()
                .for_each(|path| send(Note::Path(path))),
        },
    }
}

fn cannot(error: &notify::Error) -> Failure {
    let failure = Failure::new(format!("cannot watch the sources: {error}"));
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            failure.hint("allow more watches: `sysctl fs.inotify.max_user_watches=524288`")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn watched() -> (tempfile::TempDir, PathBuf, Watch) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("src")).unwrap();
        fs::write(root.join("src/a.rs"), "1").unwrap();
        let filter = Filter {
            roots: vec![root.clone()],
            ..Filter::default()
        };
        let mut watch = Watch::start(filter).unwrap();
        // A busy machine may not tell of a burst at once.
        watch.quiet = Duration::from_millis(300);
        (dir, root, watch)
    }

    /// It was, when a service had something to tell while changes were gathered.
    #[tokio::test]
    async fn a_change_is_not_lost_on_who_is_called_away() {
        let (_dir, root, mut watch) = watched();
        fs::write(root.join("src/a.rs"), "2").unwrap();
        for _ in 0..5 {
            let called_away = tokio::time::timeout(Duration::from_millis(10), watch.changed());
            assert!(called_away.await.is_err(), "it is not quiet yet");
        }
        assert_eq!(watch.changed().await.files, [root.join("src/a.rs")].into());
    }

    #[tokio::test]
    async fn a_burst_is_one_change_and_a_touch_is_none() {
        let (_dir, root, mut watch) = watched();
        fs::write(root.join("src/a.rs"), "1").unwrap();
        for text in ["2", "3", "4"] {
            fs::write(root.join("src/a.rs"), text).unwrap();
            fs::write(root.join("b.toml"), text).unwrap();
        }
        assert_eq!(
            watch.changed().await.files,
            [root.join("b.toml"), root.join("src/a.rs")].into()
        );
        fs::write(root.join("src/a.rs"), "4").unwrap();
        fs::write(root.join("src/marker"), "").unwrap();
        assert_eq!(
            watch.changed().await.files,
            [root.join("src/marker")].into()
        );
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_noticed_and_new_folders_are_entered() {
        let (_dir, root, mut watch) = watched();
        fs::write(root.join("src/.a.rs.swp"), "new").unwrap();
        fs::rename(root.join("src/.a.rs.swp"), root.join("src/a.rs")).unwrap();
        assert_eq!(watch.changed().await.files, [root.join("src/a.rs")].into());
        fs::create_dir_all(root.join("wit/deps")).unwrap();
        fs::write(root.join("wit/deps/x.wit"), "1").unwrap();
        assert_eq!(
            watch.changed().await.files,
            [root.join("wit/deps/x.wit")].into()
        );
        fs::write(root.join("wit/deps/x.wit"), "2").unwrap();
        assert_eq!(
            watch.changed().await.files,
            [root.join("wit/deps/x.wit")].into()
        );
    }

    #[tokio::test]
    async fn output_is_not_noticed_unless_it_is_followed() {
        let (_dir, root, mut watch) = watched();
        let own = root.join("build/own.wasm");
        fs::create_dir(root.join("build")).unwrap();
        fs::write(&own, "1").unwrap();
        watch.follow([own.clone()].into());
        fs::write(root.join("build/other.wasm"), "1").unwrap();
        fs::write(&own, "2").unwrap();
        assert_eq!(watch.changed().await.files, [own].into());
    }

    #[tokio::test]
    async fn what_the_build_wrote_itself_can_be_accepted() {
        let (_dir, root, mut watch) = watched();
        fs::write(root.join("Cargo.lock"), "1").unwrap();
        watch.accept([root.join("Cargo.lock")].into());
        fs::write(root.join("src/a.rs"), "2").unwrap();
        assert_eq!(watch.changed().await.files, [root.join("src/a.rs")].into());
    }
}
