//! How much goes into an ephemeral volume, by every way there is, and that it comes back.

use serde_json::{Value, json};

use super::{BOTH, Machine, ephemeral};

const FULL: &str = "insufficient-space";
/// What an entry counts.
const ENTRY: u64 = 4096;
const MIB: u64 = 1 << 20;
/// What goes into a file when all of 1 MiB is filled with pieces of 64 KiB.
const MOST: u64 = (MIB - ENTRY) / 65_536 * 65_536;

async fn small(image: &str) -> Machine {
    let machine = Machine::start().await;
    let spec = ephemeral(image, json!({ "sizeLimitMb": 1 }));
    machine.host.run("files", &spec).await;
    machine
}

/// The size of everything in the only volume.
fn on_disk(machine: &Machine) -> u64 {
    let mut size = 0;
    let mut folders = machine.folders();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                size += metadata.len();
            }
        }
    }
    size
}

#[tokio::test]
async fn a_full_volume_takes_no_more_and_what_is_deleted_comes_back() {
    for image in BOTH {
        let machine = small(image).await;
        let filled = format!("{MOST} {FULL}");
        for _ in 0..3 {
            assert_eq!(machine.script("fill,/data:a,65536").await, [&*filled]);
            assert!(on_disk(&machine) <= MIB);
            assert_eq!(machine.script("append,/data:a,small").await, ["ok"]);
            assert_eq!(machine.script("unlink,/data:a").await, ["ok"]);
        }
        // Cut off, replaced by a rename, and opened anew it comes back as well.
        for free in [
            "resize,/data:a,0;append,/data:a,x;unlink,/data:a",
            "touch,/data:b;rename,/data:b,/data:a;unlink,/data:a",
            "write,/data:a,x;unlink,/data:a",
        ] {
            assert_eq!(machine.script("fill,/data:a,65536").await, [&*filled]);
            let lines = machine.script(free).await;
            assert!(
                !lines.iter().any(|line| line.contains(FULL)),
                "{free}: {lines:?}"
            );
        }
        assert_eq!(machine.script("fill,/data:a,65536").await, [&*filled]);
    }
}

#[tokio::test]
async fn no_way_of_writing_passes_the_limit() {
    for image in BOTH {
        let machine = small(image).await;
        for command in [
            // A hole counts as what it will be when somebody fills it.
            "stream,/data:a,9999999,1",
            "stream,/data:a,1048000,1000",
            "stream,/data:a,18446744073709551615,1",
            "stream,/data:a,0,2000000",
            "resize,/data:a,1048576",
            "resize,/data:a,9223372036854775807",
        ] {
            let lines = machine
                .script(&format!("touch,/data:a;{command};unlink,/data:a"))
                .await;
            let wanted = if command.contains("18446744073709551615") {
                "invalid"
            } else {
                FULL
            };
            assert_eq!(lines, ["ok", wanted, "ok"], "{command}");
        }
        assert!(on_disk(&machine) <= MIB);
    }
}

/// A million files without content would fill the disk's table of files.
#[tokio::test]
async fn empty_entries_count() {
    let entries = MIB / ENTRY;
    for image in BOTH {
        let machine = small(image).await;
        let lines = machine.script("many,/data:e,1000000").await;
        assert_eq!(lines, [format!("{entries} {FULL}")]);
        for command in [
            "mkdir,/data:d",
            "symlink,e-0,/data:s",
            "link,/data:e-0,/data:h",
            "touch,/data:t",
            "append,/data:e-0,x",
        ] {
            assert_eq!(machine.script(command).await, [FULL], "{command}");
        }
        // What is there opens, and what fails for another reason takes nothing.
        let lines = machine
            .script("touch,/data:e-0;unlink,/data:e-1;mkdir,/data:e-0;mkdir,/data:d;unlink,/data:e-2;link,/data:e-0,/data:h")
            .await;
        assert_eq!(lines, ["ok", "ok", "exist", "ok", "ok", "ok"]);
    }
}

/// What is open keeps its room when its name is gone, until it is closed.
#[tokio::test]
async fn a_file_without_a_name_counts_while_it_is_open() {
    for image in BOTH {
        let machine = small(image).await;
        let lines = machine
            .script("fill,/data:a,65536;hold,/data:a;unlink,/data:a;fill,/data:b,65536;release;fill,/data:b,65536")
            .await;
        let filled = format!("{MOST} {FULL}");
        assert_eq!(
            lines,
            [&*filled, "ok", "ok", &*format!("0 {FULL}"), "ok", &*filled]
        );
    }
}

#[tokio::test]
async fn the_host_says_how_large_a_volume_is_and_may_be() {
    let machine = Machine::with(|config| {
        config.volumes.ephemeral_size = wasmcloud::workload::Mebibytes(1);
        config.volumes.largest_ephemeral = Some(wasmcloud::workload::Mebibytes(2));
    })
    .await;
    for limit in [
        json!({}),
        json!({ "sizeLimitMb": 0 }),
        json!({ "sizeLimitMb": -1 }),
    ] {
        machine
            .host
            .run("files", &ephemeral(test_guests::FS_P2, limit))
            .await;
        let lines = machine
            .script("resize,/data:a,0;touch,/data:a;resize,/data:a,1044480;resize,/data:a,1044481")
            .await;
        assert_eq!(lines, ["no-entry", "ok", "ok", FULL]);
        machine.host.stop("files").await;
    }
    for (limit, wanted) in [
        (json!(3), "asks for 3 MiB"),
        (json!("none"), "asks for no limit"),
    ] {
        let spec = ephemeral(test_guests::FS_P2, json!({ "sizeLimitMb": limit }));
        let error = machine.host.try_run("files", &spec).await.unwrap_err();
        let place = error.places().remove(0);
        assert_eq!(place.path, "spec.volumes.0.ephemeral.sizeLimitMb");
        assert!(place.message.contains(wanted), "{}", place.message);
        assert!(place.message.contains("at most 2 MiB"), "{}", place.message);
    }
}

#[tokio::test]
async fn a_volume_without_a_limit_is_asked_for_by_name() {
    for image in BOTH {
        let machine = Machine::with(|config| config.volumes.largest_ephemeral = None).await;
        let none: Value = json!({ "sizeLimitMb": "none" });
        machine.host.run("files", &ephemeral(image, none)).await;
        let lines = machine
            .script("touch,/data:a;resize,/data:a,1000000000;stream,/data:b,0,100000")
            .await;
        assert_eq!(lines, ["ok", "ok", "ok"]);
    }
}

/// Descriptors are the whole host's, so one guest cannot take them all.
#[tokio::test]
async fn open_files_and_listings_are_limited() {
    for image in BOTH {
        let machine = Machine::with(|config| config.volumes.most_open = 20).await;
        machine
            .host
            .run("files", &ephemeral(image, json!({})))
            .await;
        let lines = machine
            .script("touch,/data:a;opens,/data:a,1000;release;opens,/data:a,10")
            .await;
        assert_eq!(lines, ["ok", "20 quota", "ok", "10 ok"]);
        let lines = machine.script("listings,/data:.,1000").await;
        assert_eq!(lines, ["16 quota"]);
    }
}
