//! Files that change while the program runs, in all the ways in which files change.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::{Host, Sandbox, at};

/// A host that runs version 1 of `a`.
fn running(sandbox: &Sandbox) -> Host {
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&["w"]);
    host.expect("ready");
    assert_eq!(host.version("a"), Some(1));
    host
}

#[test]
fn workloads_come_change_and_go_with_their_files() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("w/b.yaml", at("b", 1));
    let started = host.expect("workload-started");
    assert_eq!(
        (&started["workload"], &started["compiled"]),
        (&json!("default:b"), &json!(true))
    );
    sandbox.write("w/b.yaml", at("b", 2));
    assert_eq!(host.expect("workload-replaced")["workload"], "default:b");
    assert_eq!((host.version("a"), host.version("b")), (Some(1), Some(2)));
    sandbox.remove("w/b.yaml");
    assert_eq!(host.expect("workload-stopped")["workload"], "default:b");
    assert_eq!((host.version("a"), host.version("b")), (Some(1), None));
    sandbox.write("w/b.yaml", at("b", 3));
    host.expect("workload-started");
    assert_eq!(host.version("b"), Some(3));
    host.stop();
}

#[test]
fn the_same_content_again_restarts_nothing() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("w/a.yaml", at("a", 1));
    sandbox.write("app.wasm", fs::read(test_guests::HTTP_P2).unwrap());
    host.nothing_new();
    sandbox.write("w/a.yaml", format!("# only a comment\n{}", at("a", 1)));
    host.nothing_new();
    sandbox.rename("w/a.yaml", "w/other.yaml");
    host.nothing_new();
    assert_eq!(host.version("a"), Some(1));
    host.stop();
}

#[test]
fn a_new_component_takes_over() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("app.wasm", fs::read(test_guests::HTTP_P3).unwrap());
    // The other component exports what 0.3 calls the handler; an entry for either name serves both.
    assert_eq!(host.expect("workload-replaced")["workload"], "default:a");
    assert_eq!(host.version("a"), Some(1));
    host.stop();
}

#[test]
fn a_manifest_that_changes_into_garbage_leaves_the_last_good_version() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("w/a.yaml", at("a", 2).replace("image:", "imgae:"));
    let error = host.expect("error");
    assert_eq!(
        (&error["file"], &error["line"], &error["column"]),
        (&json!("w/a.yaml"), &json!(6), &json!(20))
    );
    assert!(
        error["hint"]
            .as_str()
            .unwrap()
            .contains("did you mean `image`?"),
        "{error}"
    );
    assert_eq!(error["running"], json!(["default:a"]));
    assert_eq!(host.version("a"), Some(1));
    host.nothing_new();
    sandbox.write("w/a.yaml", at("a", 2));
    assert_eq!(host.expect("usable")["file"], "w/a.yaml");
    host.expect("workload-replaced");
    assert_eq!(host.version("a"), Some(2));
    host.stop();
}

#[test]
fn a_new_version_that_does_not_start_leaves_the_last_good_one() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("w/a.yaml", at("a", 2).replace("app.wasm", "none.wasm"));
    let error = host.expect("error");
    assert_eq!(
        (&error["file"], &error["line"], &error["running"]),
        (&json!("w/a.yaml"), &json!(6), &json!(["default:a"]))
    );
    let failed = host.expect("workload-failed");
    assert_eq!(
        (&failed["workload"], &failed["running"]),
        (&json!("default:a"), &json!("default:a"))
    );
    assert_eq!(host.version("a"), Some(1));
    sandbox.write("w/a.yaml", at("a", 1));
    host.nothing_new();
    assert_eq!(host.version("a"), Some(1));
    host.stop();
}

/// A component that is copied slowly, into its place: whatever is seen of it meanwhile, the good one serves until all is there.
#[test]
fn a_component_that_is_replaced_while_it_is_read_does_no_harm() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    let whole = fs::read(test_guests::HTTP_P3).unwrap();
    let (begin, rest) = whole.split_at(whole.len() / 2);
    let mut file = fs::File::create(sandbox.path("app.wasm")).unwrap();
    file.write_all(begin).unwrap();
    file.flush().unwrap();
    // Half of it is there long enough to be noticed, and is refused.
    host.expect("error");
    assert_eq!(host.expect("workload-failed")["running"], "default:a");
    assert_eq!(host.version("a"), Some(1));
    file.write_all(rest).unwrap();
    drop(file);
    host.expect("workload-replaced");
    assert_eq!(host.version("a"), Some(1));
    host.stop();
}

#[test]
fn a_folder_that_disappears_keeps_its_workloads_and_is_followed_when_it_is_back() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.rename("w", "away");
    let error = host.expect("error");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("no such folder"),
        "{error}"
    );
    assert_eq!(error["running"], json!(["default:a"]));
    assert_eq!(host.version("a"), Some(1));
    fs::create_dir(sandbox.path("w")).unwrap();
    sandbox.write("w/a.yaml", at("a", 2));
    // Whether the folder is seen empty first depends on how fast the file follows.
    loop {
        let event = host.next();
        match event["event"].as_str().unwrap() {
            "usable" => {}
            "workload-replaced" => break,
            other => panic!("{other}: {event}"),
        }
    }
    sandbox.write("w/a.yaml", at("a", 3));
    host.expect("workload-replaced");
    assert_eq!(host.version("a"), Some(3));
    host.stop();
}

/// As Kubernetes mounts a ConfigMap: files are links through a link that is swapped.
#[test]
fn a_config_map_is_swapped_as_a_whole() {
    let sandbox = Sandbox::with_app();
    for version in [1, 2] {
        let folder = sandbox.path("w").join(format!("..v{version}"));
        fs::create_dir(&folder).unwrap();
        let text =
            at("a", version).replace("../app.wasm", sandbox.path("app.wasm").to_str().unwrap());
        fs::write(folder.join("a.yaml"), text).unwrap();
    }
    symlink("..v1", sandbox.path("w/..data")).unwrap();
    symlink("..data/a.yaml", sandbox.path("w/a.yaml")).unwrap();
    let mut host = sandbox.start(&["w"]);
    host.expect("ready");
    assert_eq!(host.version("a"), Some(1));
    symlink("..v2", sandbox.path("w/..data_tmp")).unwrap();
    sandbox.rename("w/..data_tmp", "w/..data");
    host.expect("workload-replaced");
    assert_eq!(host.version("a"), Some(2));
    fs::remove_dir_all(sandbox.path("w/..v1")).unwrap();
    host.nothing_new();
    host.stop();
}

/// As some editors save: the old file is moved away, and the new one is written.
#[test]
fn a_file_that_is_away_for_a_moment_stops_nothing() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&["w/a.yaml"]);
    host.expect("ready");
    sandbox.rename("w/a.yaml", "w/a.yaml~");
    fs::write(sandbox.path("w/a.yaml"), at("a", 2)).unwrap();
    host.expect("workload-replaced");
    assert_eq!(host.version("a"), Some(2));
    sandbox.remove("w/a.yaml");
    host.expect("workload-stopped");
    sandbox.write("w/a.yaml", at("a", 3));
    host.expect("workload-started");
    assert_eq!(host.version("a"), Some(3));
    host.stop();
}

/// A workload under a new name takes the place of the one that the file had, routes included.
#[test]
fn a_workload_that_is_renamed_is_swapped() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("w/a.yaml", at("a", 2).replace("name: a }", "name: b }"));
    let replaced = host.expect("workload-replaced");
    assert_eq!(
        (&replaced["workload"], &replaced["renamed"]),
        (&json!("default:b"), &json!("default:a"))
    );
    assert_eq!(host.version("a"), Some(2));
    host.stop();
}

#[test]
fn of_two_files_for_one_workload_the_one_that_runs_counts() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("w/0.yaml", at("a", 2));
    let error = host.expect("error");
    assert_eq!(
        (&error["file"], &error["line"]),
        (&json!("w/0.yaml"), &json!(3))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("is also in w/a.yaml"),
        "{error}"
    );
    assert_eq!(host.version("a"), Some(1));
    sandbox.remove("w/a.yaml");
    loop {
        let event = host.next();
        match event["event"].as_str().unwrap() {
            "usable" => {}
            "workload-replaced" => break,
            other => panic!("{other}: {event}"),
        }
    }
    assert_eq!(host.version("a"), Some(2));
    host.stop();
}

/// What did not start because another one was in its way starts when that one is gone.
#[test]
fn a_route_that_becomes_free_is_taken() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox);
    sandbox.write("w/b.yaml", at("a", 2).replace("name: a }", "name: b }"));
    let error = host.expect("error");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("both want to answer"),
        "{error}"
    );
    host.expect("workload-failed");
    sandbox.remove("w/a.yaml");
    host.expect("workload-stopped");
    host.expect("workload-started");
    assert_eq!(host.version("a"), Some(2));
    host.stop();
}
