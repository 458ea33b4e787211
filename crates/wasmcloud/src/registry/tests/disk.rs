//! Disks that are full, and disks that cannot be written to: images run all the same.

use test_servers::{FaultyRegistry, Registry};

use super::PullPolicy::{Always, IfNotPresent, Never};
use super::*;

/// Runs a test of this file in a process of its own, which has a disk where `IMAGES_DISK` says.
fn on_a_disk(test: &str, mount: &str) {
    let disk = tempfile::tempdir().unwrap();
    let mount = format!("{mount} && exec \"$0\" \"$@\"");
    // A disk that only this process sees, so that nobody has to be an administrator.
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &mount]);
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored"]);
    command
        .arg(format!("registry::tests::disk::{test}"))
        .env("IMAGES_DISK", disk.path());
    let told = run(&mut command);
    assert!(told.contains("1 passed"), "{told}");
}

fn on_its_disk(faulty: &FaultyRegistry) -> Host {
    let mut host = Host::before(faulty);
    host.options.cache = std::env::var_os("IMAGES_DISK").map(PathBuf::from);
    host
}

#[test]
fn a_full_disk_keeps_no_image_from_running() {
    on_a_disk(
        "on_a_small_disk",
        "mount -t tmpfs -o size=1m,mode=700 none \"$IMAGES_DISK\"",
    );
}

#[tokio::test]
#[ignore = "run by the test above, on a disk of its own"]
async fn on_a_small_disk() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = on_its_disk(&faulty);
    let images = host.images();
    let [large, small] = ["large:1", "small:1"].map(|rest| reference(&faulty.address(), rest));
    let component = [component(1, 3 << 20), component(2, 10_000)];
    push(&images, &large, &component[0]).await;
    push(&images, &small, &component[1]).await;
    for policy in [IfNotPresent, Always] {
        let pulled = pull(&images, &large, policy).await.unwrap();
        assert_eq!(
            (pulled.bytes, pulled.from_cache),
            (component[0].clone(), false)
        );
        assert!(pulled.hold.is_none());
    }
    assert!(matches!(
        pull(&images, &large, Never).await,
        Err(ImageError::NotPresent)
    ));
    // What fits is kept.
    pull(&images, &small, IfNotPresent).await.unwrap();
    assert_eq!(
        pull(&images, &small, Never).await.unwrap().bytes,
        component[1]
    );
}

#[test]
fn a_read_only_disk_keeps_no_image_from_running() {
    on_a_disk(
        "on_a_disk_that_becomes_read_only",
        "mount -t tmpfs -o mode=700 none \"$IMAGES_DISK\"",
    );
}

#[tokio::test]
#[ignore = "run by the test above, on a disk of its own"]
async fn on_a_disk_that_becomes_read_only() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let host = on_its_disk(&faulty);
    let images = host.images();
    let [there, other] = ["there:1", "other:1"].map(|rest| reference(&faulty.address(), rest));
    let component = [component(1, 10_000), component(2, 10_000)];
    push(&images, &there, &component[0]).await;
    push(&images, &other, &component[1]).await;
    pull(&images, &there, IfNotPresent).await.unwrap();
    run(Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(host.cache()));
    for images in [images, host.images()] {
        faulty.forget();
        for policy in [IfNotPresent, Never, Always] {
            let pulled = pull(&images, &there, policy).await.unwrap();
            assert_eq!(
                (pulled.bytes, pulled.from_cache),
                (component[0].clone(), true)
            );
        }
        // To keep nothing is no reason to download what is there.
        assert_eq!(faulty.count("GET", "/blobs/"), 0);
        for policy in [IfNotPresent, Always] {
            let pulled = pull(&images, &other, policy).await.unwrap();
            assert_eq!(
                (pulled.bytes, pulled.from_cache),
                (component[1].clone(), false)
            );
        }
        assert_eq!(faulty.count("GET", "/blobs/"), 2);
    }
}
