//! Processes that are killed, and disks that are full.

use std::fs;
use std::process::Command;

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
    let run = sandbox.command(&[
        "w",
        "--data-dir",
        "data",
        "--http-addr",
        "127.0.0.1:0",
        "--output",
        "json",
    ]);
    let mount = "mount -t tmpfs -o size=64k,mode=700 none data";
    let unshare = |flags: &str| {
        let mut unshare = Command::new("unshare");
        unshare
            .args([flags, "sh", "-c"])
            .current_dir(sandbox.path(""));
        unshare
    };
    let works = |flags: &&str| {
        unshare(flags)
            .arg(mount)
            .output()
            .is_ok_and(|it| it.status.success())
    };
    let Some(flags) = ["-rm", "-m"].into_iter().find(works) else {
        return;
    };
    let mut shell = unshare(flags);
    shell
        .arg(format!("{mount} && exec \"$0\" \"$@\""))
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(sandbox.path(""))
        .env_remove("RUST_LOG");
    let mut host = Host::start(shell);
    assert_eq!(host.expect("ready")["workloads"], json!(["default:a"]));
    assert_eq!(host.version("a"), Some(1));
    host.signal("TERM");
    host.expect("stopping");
    host.expect("stopped");
    let (code, talk) = host.ended();
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("No space left on device"), "{talk}");
}
