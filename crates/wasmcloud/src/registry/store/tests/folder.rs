//! The folder itself: whose it is, what is in it, and what becomes of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn only_its_owner_reaches_what_is_in_it() {
    let cache = Cache::new();
    let store = cache.open();
    let _half = begun(&store, b"half", &image("a")).await;
    drop(pull(&store, &image("a"), b"layer", Proof::Anonymous).await);
    let mut folders = vec![cache.path()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(folder.clone()), 0o700);
        for name in names(folder.clone()) {
            let path = folder.join(name);
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    assert_eq!(mode(path.clone()), 0o600, "{}", path.display());
                    files += 1;
                }
            }
        }
    }
    // The layout, the salt, the lock; two blobs and where they come from; a record, and half a blob.
    assert_eq!(files, 9);
}

#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    for below in [
        "",
        "blobs",
        "blobs/sha256",
        "sources",
        "references",
        "partial",
    ] {
        let cache = Cache::new();
        drop(cache.open());
        let path = cache.path().join(below);
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let error = Store::open(&cache.path(), cache.options).unwrap_err();
        assert!(
            matches!(error.kind(), StoreErrorKind::NotPrivate { .. }),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("chmod 700"));
    }
}

#[test]
fn a_folder_of_a_later_version_or_of_something_else_is_left_alone() {
    let cache = Cache::new();
    drop(cache.open());
    fs::write(cache.path().join("layout"), "wasmcloud-images 2\n").unwrap();
    let told = |cache: &Cache| Store::open(&cache.path(), cache.options).unwrap_err();
    let error = told(&cache);
    let path = cache.path().display().to_string();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot use the folder in the cache of images `{path}`: it is laid out in version 2, and only version 1 is known"
        )
    );
    assert!(error.hint().unwrap().contains("another folder"));
    fs::write(cache.path().join("layout"), "layout").unwrap();
    assert!(matches!(told(&cache).kind(), StoreErrorKind::Foreign));
    // An image layout that is somebody's own has blobs of the same names.
    let theirs = Cache::new();
    fs::create_dir_all(theirs.path().join("blobs/sha256")).unwrap();
    fs::set_permissions(theirs.path(), Permissions::from_mode(0o700)).unwrap();
    fs::write(theirs.path().join("oci-layout"), "{}").unwrap();
    let error = told(&theirs);
    assert!(matches!(error.kind(), StoreErrorKind::Foreign), "{error}");
    assert!(error.hint().unwrap().contains("empty folder"));
    assert_eq!(names(theirs.path()), ["blobs", "oci-layout"]);
}

#[test]
fn an_empty_folder_may_be_there_and_the_root_of_a_disk_is_one() {
    let cache = Cache::new();
    fs::create_dir_all(cache.path().join("lost+found")).unwrap();
    drop(cache.open());
    drop(cache.open());
}

#[tokio::test]
async fn a_folder_that_is_removed_while_it_is_open_is_made_again() {
    let cache = Cache::new();
    let store = cache.open();
    drop(pull(&store, &image("a"), b"layer", Proof::Anonymous).await);
    fs::remove_dir_all(cache.path()).unwrap();
    assert!(store.record(&image("a")).await.unwrap().is_none());
    assert!(read(&store, b"layer").await.is_none());
    assert!(store.list().await.unwrap().images.is_empty());
    fs::remove_dir_all(cache.path()).unwrap();
    drop(pull(&store, &image("a"), b"layer", Proof::Anonymous).await);
    assert!(cache.open().record(&image("a")).await.unwrap().is_some());
}

#[test]
fn stores_that_open_a_new_folder_at_once_have_the_same_salt() {
    let cache = Cache::new();
    let proofs: Vec<Proof> = std::thread::scope(|scope| {
        let open = || cache.open().fingerprint("r.example", &[b"secret"]);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let proofs = threads.into_iter().map(|thread| thread.join().unwrap());
        proofs.collect()
    });
    assert!(proofs.iter().all(|proof| *proof == proofs[0]));
}
