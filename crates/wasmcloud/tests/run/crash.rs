//! Processes that are killed, and disks that are full.

use std::fs;

use serde_json::json;

use crate::support::{Host, Sandbox, at};

#[test]
fn after_a_kill_it_starts_from_its_cache_and_compiles_nothing() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    let mut first = sandbox.start(&["w", "--data-dir", "data"]);
    assert_eq!(first.expect("ready")["compiled"], 1);
    first.signal("KILL");
    assert_eq!(first.ended().0, None);
    // As if it had been killed while it wrote.
    let folder = fs::read_dir(sandbox.path("data/cache"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(folder.join(".new-x"), "half").unwrap();
    let mut second = sandbox.start(&["w", "--data-dir", "data"]);
    let ready = second.expect("ready");
    assert_eq!(
        (&ready["compiled"], &ready["workloads"]),
        (&json!(0), &json!(["default:a"]))
    );
    assert_eq!(second.version("a"), Some(1));
    second.stop();
    assert!(!folder.join(".new-x").exists());
}

#[test]
fn compiled_code_that_was_damaged_is_compiled_again() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    let mut first = sandbox.start(&["w", "--data-dir", "data", "--cache-dir", "elsewhere"]);
    first.expect("ready");
    first.stop();
    for folder in fs::read_dir(sandbox.path("elsewhere")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    let mut second = sandbox.start(&["w", "--data-dir", "data", "--cache-dir", "elsewhere"]);
    assert_eq!(second.expect("ready")["compiled"], 1);
    assert_eq!(second.version("a"), Some(1));
    second.stop();
}

/// On a disk of a few KiB, where the system lets this user mount one; elsewhere there is nothing to see.
#[test]
fn a_disk_that_is_full_costs_time_and_nothing_else() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    fs::create_dir(sandbox.path("data")).unwrap();
    let run = sandbox.reporting(&["w", "--data-dir", "data"]);
    let mount = "mount -t tmpfs -o size=64k,mode=700 none data";
    let Some(mounted) = sandbox.after_mounting(mount, &run) else {
        return;
    };
    let mut host = Host::start(mounted);
    assert_eq!(host.expect("ready")["workloads"], json!(["default:a"]));
    assert_eq!(host.version("a"), Some(1));
    let talk = host.stop();
    assert!(talk.contains("No space left on device"), "{talk}");
}
