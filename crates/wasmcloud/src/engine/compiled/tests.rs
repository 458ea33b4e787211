//! The cache folder as those see it who look after it, and hosts that start.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::engine::cache::{DiskCache, Found};
use crate::engine::config::{Allocation, config};
use crate::engine::testing::{make_old, plain_cache};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The folder of an engine that is none of this program's.
const OTHER: &str = "plain-0123456789abcdef";
/// The folder for the worlds of another version.
const OTHER_WORLDS: &str = "worlds-1-0.0.1";

/// A cache folder.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    fn cache(&self) -> CompiledCache {
        CompiledCache::open(&self.path()).unwrap()
    }

    /// The folder of an engine of this program.
    fn own(&self) -> DiskCache {
        plain_cache(&self.path()).unwrap()
    }

    fn folder(&self, name: &str) -> DiskCache {
        DiskCache::open_folder(&self.path(), name).unwrap()
    }

    /// What is in it, by name.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = entries(&self.path())
            .unwrap()
            .iter()
            .filter_map(name_of)
            .collect();
        names.sort();
        names
    }
}

/// Keeps a text as if it was last used so many days ago, and says where.
fn keep(cache: &DiskCache, text: &str, days: u32) -> PathBuf {
    let key = Digest::of(text.as_bytes());
    cache.store(&key, text.as_bytes()).unwrap();
    let path = cache.path(&key);
    make_old(&path, days * DAY);
    path
}

fn bytes(files: &[PathBuf]) -> u64 {
    let sizes = files.iter().map(|file| fs::metadata(file).unwrap().len());
    sizes.sum()
}

#[test]
fn what_is_kept_is_counted_and_what_is_of_no_use_here_told_apart() {
    let root = Root::new();
    assert_eq!(root.cache().list().unwrap(), Listing::default());
    assert!(!root.path().exists());
    let own = [
        keep(&root.own(), "a", 0),
        keep(&root.own(), "b", 400),
        keep(&root.folder(worlds::FOLDER), "c", 0),
    ];
    let other = [
        keep(&root.folder(OTHER), "a", 0),
        keep(&root.folder(OTHER_WORLDS), "longer", 0),
    ];
    let wanted = Listing {
        artifacts: 3,
        worlds: 2,
        bytes: bytes(&own) + bytes(&other),
        stale: 2,
        stale_bytes: bytes(&other),
    };
    assert_eq!(root.cache().list().unwrap(), wanted);
}

#[test]
fn an_engine_of_this_program_is_one_of_its_own_however_it_allocates() {
    let own = own_folders().unwrap();
    for flavour in FLAVOURS {
        for allocation in [
            Allocation::Pooled { instances: 64 },
            Allocation::OnDemand { instances: 64 },
        ] {
            let engine = wasmtime::Engine::new(&config(flavour, allocation)).unwrap();
            let name = folder_name(&engine, flavour);
            assert!(own.contains(&name), "{flavour:?}, {allocation}");
        }
    }
    assert!(!own.contains(OTHER) && !own.contains(OTHER_WORLDS));
}

#[test]
fn everything_that_is_ours_is_pruned_and_nothing_else() {
    let root = Root::new();
    let mut files = vec![
        keep(&root.own(), "a", 0),
        keep(&root.folder(OTHER), "b", 0),
        keep(&root.folder(OTHER_WORLDS), "c", 0),
    ];
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    };
    files.push(write(&format!("{OTHER}/.new-left"), "half"));
    let name = format!("{}.cwasm", Digest::of(b"a").hex());
    let others = [
        write(&format!("{OTHER}/notes.txt"), "mine"),
        write(&format!("{OTHER}/mine.cwasm"), "mine"),
        write(&format!("plain-text/{name}"), "mine"),
        write("file", "mine"),
    ];
    let wanted = Pruned {
        artifacts: 2,
        worlds: 1,
        leftovers: 1,
        bytes: bytes(&files),
    };
    assert_eq!(root.cache().prune(Prune::All).unwrap(), wanted);
    assert!(others.iter().all(|file| file.exists()));
    // Folders that are empty have gone.
    assert_eq!(root.names(), ["file", OTHER, "plain-text"]);
    assert_eq!(root.cache().list().unwrap(), Listing::default());
}

#[test]
fn what_was_not_used_for_so_long_is_pruned() {
    let root = Root::new();
    let [fresh, old, other] = [
        keep(&root.own(), "fresh", 9),
        keep(&root.own(), "old", 10),
        keep(&root.folder(OTHER), "other", 11),
    ];
    let since = 10 * DAY;
    let pruned = root.cache().prune(Prune::Unused { since }).unwrap();
    assert_eq!((pruned.artifacts, pruned.files()), (2, 2));
    assert!(fresh.exists() && !old.exists() && !other.exists());
}

#[test]
fn the_least_recently_used_go_until_the_rest_is_small_enough() {
    let root = Root::new();
    let own = root.own();
    let [oldest, second, used] = [
        keep(&own, "a", 4),
        keep(&root.folder(worlds::FOLDER), "b", 3),
        keep(&own, "c", 5),
    ];
    let one = bytes(std::slice::from_ref(&used));
    // It would go first, if nobody had used it now.
    let found = own.load(&Digest::of(b"c"));
    assert_eq!(found, Found::Artifact(b"c".to_vec()));
    let prune = |most| root.cache().prune(Prune::ToSize(most)).unwrap();
    assert_eq!(prune(3 * one), Pruned::default());
    assert_eq!(prune(3 * one - 1).artifacts, 1);
    assert!(!oldest.exists() && second.exists() && used.exists());
    assert_eq!(prune(one).worlds, 1);
    assert!(!second.exists() && used.exists());
}

#[test]
fn symbolic_links_are_not_followed() {
    let (root, elsewhere) = (Root::new(), Root::new());
    let file = keep(&elsewhere.own(), "a", 400);
    let link = root.folder(OTHER).path(&Digest::of(b"a"));
    symlink(&file, &link).unwrap();
    let folder = root.path().join("plain-00000000deadbeef");
    symlink(file.parent().unwrap(), &folder).unwrap();
    fs::write(&file, "damaged").unwrap();
    make_old(&file, 400 * DAY);
    assert_eq!(root.cache().list().unwrap(), Listing::default());
    assert!(root.cache().verify().unwrap().is_empty());
    let pruned = root.cache().prune(Prune::All).unwrap();
    assert_eq!(pruned, Pruned::default());
    assert_eq!(remove_leftovers(&root.path()), 0);
    assert!(file.exists() && link.is_symlink() && folder.is_symlink());
}

#[test]
fn what_others_may_write_to_is_left_alone() {
    let root = Root::new();
    let (good, bad) = (
        keep(&root.own(), "a", 0),
        keep(&root.folder(OTHER), "b", 400),
    );
    let open = |folder: &Path| {
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder, everybody).unwrap();
    };
    open(bad.parent().unwrap());
    assert_eq!(root.cache().list().unwrap().artifacts, 1);
    assert_eq!(remove_leftovers(&root.path()), 0);
    assert_eq!(root.cache().prune(Prune::All).unwrap().artifacts, 1);
    assert!(!good.exists() && bad.exists());
    open(&root.path());
    let error = CompiledCache::open(&root.path()).unwrap_err();
    assert!(error.to_string().contains("chmod 700"), "{error}");
    assert_eq!(remove_leftovers(&root.path()), 0);
}

#[test]
fn what_is_damaged_is_found_and_removed() {
    let root = Root::new();
    let intact = [keep(&root.own(), "a", 0), keep(&root.folder(OTHER), "b", 0)];
    let mut damaged = [
        keep(&root.own(), "c", 0),
        keep(&root.folder(OTHER), "d", 0),
        keep(&root.folder(worlds::FOLDER), "e", 0),
    ];
    damaged.sort();
    for file in &damaged {
        let mut bytes = fs::read(file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(file, bytes).unwrap();
    }
    let found = root.cache().verify().unwrap();
    let wanted = damaged.clone().map(|path| Damaged {
        path,
        problem: "its content is not what was written under this name".to_owned(),
        is_removed: true,
    });
    assert_eq!(found, wanted);
    assert!(damaged.iter().all(|file| !file.exists()));
    assert!(intact.iter().all(|file| file.exists()));
    assert!(root.cache().verify().unwrap().is_empty());
}

#[test]
fn what_another_version_laid_out_in_another_way_is_not_judged() {
    let root = Root::new();
    let (own, other) = (keep(&root.own(), "a", 0), keep(&root.folder(OTHER), "a", 0));
    for file in [&own, &other] {
        let mut bytes = fs::read(file).unwrap();
        bytes[7] += 1;
        fs::write(file, bytes).unwrap();
    }
    let found = root.cache().verify().unwrap();
    let wanted = Damaged {
        path: own,
        problem: "it is no artifact of this version".to_owned(),
        is_removed: true,
    };
    assert_eq!(found, [wanted]);
    assert!(other.exists());
}

#[test]
fn a_start_removes_what_other_versions_left_and_nobody_used_for_long() {
    let root = Root::new();
    let kept = [
        keep(&root.own(), "ahead of time", 400),
        keep(&root.folder(worlds::FOLDER), "ahead of time", 400),
        keep(&root.folder(OTHER), "used", 29),
    ];
    let gone = [
        keep(&root.folder(OTHER), "old", 30),
        keep(&root.folder("concurrent-0123456789abcdef"), "old", 31),
        keep(&root.folder(OTHER_WORLDS), "old", 31),
    ];
    assert_eq!(remove_leftovers(&root.path()), 3);
    assert!(kept.iter().all(|file| file.exists()));
    assert!(gone.iter().all(|file| !file.exists()));
    // So have the folders that are empty now.
    assert_eq!(root.names().len(), 3);
    assert_eq!(remove_leftovers(&root.path()), 0);
}

#[test]
fn half_written_files_of_processes_that_are_gone_are_removed() {
    let root = Root::new();
    let whole = keep(&root.own(), "key", 0);
    let folder = whole.parent().unwrap();
    fs::write(folder.join(".new-left"), "half").unwrap();
    let live = File::create(folder.join(".new-live")).unwrap();
    live.lock().unwrap();
    assert_eq!(remove_leftovers(&root.path()), 1);
    let nothing = Prune::Unused { since: DAY };
    assert_eq!(root.cache().prune(nothing).unwrap().leftovers, 0);
    drop(live);
    assert_eq!(root.cache().prune(nothing).unwrap().leftovers, 1);
    fs::write(folder.join(".new-left"), "half").unwrap();
    assert_eq!(remove_leftovers(&root.path()), 1);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    assert_eq!(remove_leftovers(&root.path().join("none")), 0);
}
