//! Folders of the machine: which ones may be mounted, and what is said about the others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use wasmcloud::host::StartError;

use super::{BOTH, Machine, spec};

fn host_path(image: &str, path: &Path, read_only: bool) -> Value {
    spec(
        image,
        json!([{ "name": "data", "hostPath": { "path": path } }]),
        json!([{ "name": "data", "mountPath": "/data", "readOnly": read_only }]),
    )
}

/// Place, message and hint of a refusal.
async fn refused(machine: &Machine, path: &Path) -> (String, String, String) {
    let spec = host_path(test_guests::FS_P2, path, false);
    let error = machine.host.try_run("files", &spec).await.unwrap_err();
    assert!(matches!(error, StartError::Plugin { .. }), "{error:?}");
    let place = error.places().remove(0);
    (place.path, place.message, place.hint.unwrap())
}

#[tokio::test]
async fn a_folder_below_a_root_is_shared_with_the_machine() {
    for image in BOTH {
        let machine = Machine::start().await;
        let folder = machine.root.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("from-host"), "hello").unwrap();
        machine
            .host
            .run("files", &host_path(image, &folder, false))
            .await;
        let lines = machine
            .script("read,/data:from-host;write,/data:from-guest,hello")
            .await;
        assert_eq!(lines, ["hello", "5"]);
        machine.host.stop("files").await;
        assert_eq!(
            fs::read_to_string(folder.join("from-guest")).unwrap(),
            "hello"
        );
    }
}

/// The root may be mounted itself, and may be written as a link or reached through one inside.
#[tokio::test]
async fn a_root_and_links_that_stay_inside_are_fine() {
    let links = tempfile::tempdir().unwrap();
    let machine = Machine::with(|config| {
        symlink(&config.volumes.roots[0], links.path().join("root")).unwrap();
        config.volumes.roots.push(links.path().join("root"));
    })
    .await;
    let root = machine.root.path();
    fs::create_dir(root.join("real")).unwrap();
    symlink("real", root.join("link")).unwrap();
    for path in [
        root.to_owned(),
        root.join("link"),
        links.path().join("root/real"),
    ] {
        let spec = host_path(test_guests::FS_P2, &path, false);
        machine.host.run("files", &spec).await;
        machine.host.stop("files").await;
    }
}

#[tokio::test]
async fn a_folder_that_is_not_allowed_is_refused() {
    let machine = Machine::start().await;
    let root = machine.root.path();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(root.join("file"), "").unwrap();
    symlink(elsewhere.path(), root.join("out")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    for (path, wanted) in [
        (
            elsewhere.path().to_owned(),
            "none of the folders that this host allows",
        ),
        // Nobody learns whether it is there.
        (
            "/no/such/folder".into(),
            "none of the folders that this host allows",
        ),
        ("/".into(), "none of the folders that this host allows"),
        (
            root.join("sub/../.."),
            "none of the folders that this host allows",
        ),
        (root.join("out"), "follows a symbolic link"),
        (root.join("out/deeper"), "there is no folder"),
        (root.join("dangling"), "there is no folder"),
        (root.join("absent"), "there is no folder"),
        (root.join("file"), "is not a folder"),
        (root.join("file/sub"), "is not a folder"),
    ] {
        let (place, message, hint) = refused(&machine, &path).await;
        assert_eq!(place, "spec.volumes.0.hostPath.path");
        assert!(message.contains(wanted), "{message}");
        assert!(message.contains("the volume `data`"), "{message}");
        assert!(!message.contains(elsewhere.path().to_str().unwrap()) || path == elsewhere.path());
        assert!(!hint.is_empty());
    }
}

#[tokio::test]
async fn a_host_allows_no_folder_unless_it_is_told() {
    let machine = Machine::with(|config| config.volumes.roots.clear()).await;
    let (_, message, hint) = refused(&machine, machine.root.path()).await;
    assert!(message.contains("this host allows none"), "{message}");
    assert!(hint.contains("ephemeral"), "{hint}");
}

/// What nobody mounts is not opened, so it may be absent.
#[tokio::test]
async fn a_volume_that_nobody_mounts_is_left_alone() {
    let machine = Machine::start().await;
    let volumes = json!([{ "name": "data", "hostPath": { "path": "/no/such" } }, { "name": "tmp", "ephemeral": {} }]);
    machine
        .host
        .run("files", &spec(test_guests::FS_P2, volumes, json!([])))
        .await;
    assert_eq!(machine.script("mounts").await, [""]);
    assert!(machine.folders().is_empty());
}

#[tokio::test]
async fn what_is_read_only_is_not_changed() {
    for image in BOTH {
        let machine = Machine::start().await;
        let folder = machine.root.path().join("data");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("file"), "file").unwrap();
        machine
            .host
            .run("files", &host_path(image, &folder, true))
            .await;
        for command in [
            "write,/data:file,x",
            "write,/data:new,x",
            "append,/data:file,x",
            "stream,/data:file,0,1",
            "resize,/data:file,0",
            "touch,/data:new",
            "mkdir,/data:new",
            "rmdir,/data:sub",
            "unlink,/data:file",
            "rename,/data:file,/data:new",
            "link,/data:file,/data:new",
            "symlink,file,/data:new",
            "times,/data:file",
        ] {
            assert_eq!(
                machine.script(command).await,
                ["not-permitted"],
                "{command}"
            );
        }
        let lines = machine
            .script("read,/data:file;list,/data:.;size,/data:file")
            .await;
        assert_eq!(lines, ["file", "file,sub", "4"]);
    }
}

/// Linux has a file that behaves like one on a full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    for image in BOTH {
        let machine = Machine::with(|config| config.volumes.roots = vec!["/dev".into()]).await;
        let spec = host_path(image, Path::new("/dev"), false);
        machine.host.run("files", &spec).await;
        let lines = machine
            .script("stream,/data:full,0,5;append,/data:full,x;write,/data:full,x")
            .await;
        assert_eq!(lines, ["insufficient-space"; 3]);
    }
}
