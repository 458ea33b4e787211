//! How long ephemeral volumes live: as long as their workload, and no start inherits from another.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::json;
use wasmcloud::host::Host as _;

use super::{BOTH, Machine, ephemeral, spec};

use crate::support::{Answer, Fault, Ledger, Version, frames, id, request, within};

#[tokio::test]
async fn an_ephemeral_volume_is_private_and_gone_with_its_workload() {
    for image in BOTH {
        let machine = Machine::start().await;
        assert!(
            fs::read_dir(machine.ephemeral.path())
                .unwrap()
                .next()
                .is_none()
        );
        machine
            .host
            .run("files", &ephemeral(image, json!({})))
            .await;
        machine.script("mkdir,/data:d;write,/data:d/a,hello").await;
        let folders = machine.folders();
        assert_eq!(folders.len(), 1);
        assert_eq!(fs::metadata(&folders[0]).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(folders[0].join("d/a")).unwrap(), "hello");

        machine.host.stop("files").await;
        machine.reaches_folders(0).await;
        machine
            .host
            .run("files", &ephemeral(image, json!({})))
            .await;
        assert_eq!(machine.script("list,/data:.").await, [""]);
    }
}

#[tokio::test]
async fn the_one_that_replaces_another_begins_with_an_empty_volume() {
    let machine = Machine::start().await;
    let spec = ephemeral(test_guests::FS_P2, json!({}));
    machine.host.run("one", &spec).await;
    machine.script("write,/data:a,hello").await;
    machine.host.replace("one", "two", &spec).await.unwrap();
    assert_eq!(machine.script("list,/data:.").await, [""]);
    machine.reaches_folders(1).await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_folder() {
    let ledger = Arc::new(Ledger::default());
    let plugins = ledger.plugins();
    let machine = Machine::with(|config| config.plugins = plugins[..2].to_vec()).await;
    let mut spec = ephemeral(test_guests::FS_P2, json!({}));
    // Bound after the first one; the second one is absent.
    spec["volumes"].as_array_mut().unwrap().push(
        json!({ "name": "absent", "hostPath": { "path": machine.root.path().join("absent") } }),
    );
    let mounts = &mut spec["components"][0]["localResources"]["volumeMounts"];
    let mounts = mounts.as_array_mut().unwrap();
    mounts.push(json!({ "name": "absent", "mountPath": "/absent" }));
    machine.host.try_run("files", &spec).await.unwrap_err();
    machine.reaches_folders(0).await;
}

/// A guest that is still at work when its workload stops keeps its files until it ends.
#[tokio::test]
async fn a_guest_that_finishes_its_work_has_its_files() {
    let machine = Machine::start().await;
    let spec = ephemeral(test_guests::FS_P2, json!({}));
    machine.host.run("files", &spec).await;
    machine.script("write,/data:a,hello").await;
    let mut connection = machine.host.connect(Version::H1).await;
    let (sender, body) = frames();
    let target = "/after-body?read,/data:a;write,/data:b,x";
    let pending = connection.begin(request(Version::H1, "POST", "localhost", target, body));
    machine.host.instances("files", 1).await;
    let files = id("files");
    let stop = machine.host.host.stop(&files);
    tokio::pin!(stop);
    assert!((&mut stop).now_or_never().is_none());
    drop(sender);
    let answer = within(pending).await.unwrap().unwrap();
    assert_eq!(Answer::of(answer).await.body, "hello\n1\n");
    within(stop).await.unwrap();
    machine.reaches_folders(0).await;
}

#[tokio::test]
async fn a_plugin_that_fails_to_open_leaves_no_folder() {
    let ledger = Arc::new(Ledger::default());
    let plugins = ledger.plugins();
    let machine = Machine::with(|config| config.plugins = plugins[..2].to_vec()).await;
    ledger.fail(Some(("wasi-config", Fault::Open)));
    let mut spec = ephemeral(test_guests::HTTP_P2, json!({}));
    spec["hostInterfaces"] = json!([crate::support::http()]);
    machine.host.try_run("files", &spec).await.unwrap_err();
    machine.reaches_folders(0).await;
}

#[tokio::test]
async fn a_host_that_goes_takes_its_volumes_along() {
    let machine = Machine::start().await;
    let spec = ephemeral(test_guests::FS_P2, json!({}));
    machine.host.run("files", &spec).await;
    machine.script("write,/data:a,hello").await;
    let Machine {
        host, ephemeral, ..
    } = machine;
    drop(host);
    let gone = async {
        while fs::read_dir(ephemeral.path()).unwrap().next().is_some() {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
}

#[tokio::test]
async fn what_a_killed_host_left_is_removed_by_the_next_one() {
    let machine = Machine::with(|config| {
        let base = config.volumes.ephemeral_dir.as_ref().unwrap();
        let dead = base.join("wasmcloud-volumes-dead");
        fs::DirBuilder::new().mode(0o700).create(&dead).unwrap();
        fs::create_dir_all(dead.join("volume-1/sub")).unwrap();
        fs::write(dead.join("volume-1/sub/file"), "x").unwrap();
    })
    .await;
    assert!(machine.folders().is_empty());
    assert!(
        fs::read_dir(machine.ephemeral.path())
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn a_host_without_a_place_for_volumes_says_so() {
    let machine = Machine::with(|config| {
        let file = config.volumes.ephemeral_dir.as_ref().unwrap().join("file");
        fs::write(&file, "").unwrap();
        config.volumes.ephemeral_dir = Some(file.join("below"));
    })
    .await;
    let spec = ephemeral(test_guests::FS_P2, json!({}));
    let error = machine.host.try_run("files", &spec).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no ephemeral volume can be made in"),
        "{error}"
    );
    assert_eq!(error.places()[0].path, "spec.volumes.0.ephemeral");
    // Nothing else is in the way of workloads without one.
    let none = self::spec(test_guests::FS_P2, json!([]), json!([]));
    machine.host.run("files", &none).await;
}
