//! `wash cache`: what was compiled is shown, pruned and verified beside the images.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::image_support::wash;
use crate::support::{Run, Sandbox};

/// A folder with a component to compile.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::copy(test_guests::HTTP_P2, sandbox.path("app.wasm")).unwrap();
    sandbox
}

/// With what is compiled in the folder `compiled`.
fn run(sandbox: &Sandbox, args: &[&str]) -> Run {
    let all = [args, &["--cache-dir", "compiled"]].concat();
    sandbox.finish(wash(sandbox, &all))
}

fn told(sandbox: &Sandbox, args: &[&str]) -> Value {
    let all = [args, &["--output", "json"]].concat();
    run(sandbox, &all).succeeded().json()
}

/// How many artifacts the component has to be compiled into, after all that is there already.
fn compile(sandbox: &Sandbox) -> Value {
    let compiled = told(sandbox, &["compile", "app.wasm"]);
    compiled["workloads"][0]["compiled"].clone()
}

/// What is in a folder below `compiled` whose name begins so.
fn files(sandbox: &Sandbox, folder: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(sandbox.path("compiled")).unwrap();
    let folders = folders.map(|entry| entry.unwrap()).filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.starts_with(folder)
    });
    let files = folders.flat_map(|entry| fs::read_dir(entry.path()).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

/// The only artifact.
fn artifact(sandbox: &Sandbox) -> PathBuf {
    let mut files = files(sandbox, "plain-");
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn what_is_compiled_is_shown_and_pruned_and_compiled_again() {
    let sandbox = sandbox();
    let show = || told(&sandbox, &["cache", "show"])["compiled"].clone();
    assert_eq!(show()["artifacts"], 0);
    assert_eq!(compile(&sandbox), 1);
    assert_eq!(compile(&sandbox), 0);
    let kept = [files(&sandbox, "plain-"), files(&sandbox, "worlds-")].concat();
    let sizes = kept.iter().map(|file| fs::metadata(file).unwrap().len());
    let bytes: u64 = sizes.sum();
    assert_eq!(
        show(),
        json!({
            "folder": "[DIR]/compiled",
            "artifacts": 1,
            "worlds": 1,
            "bytes": bytes,
            "stale": {"count": 0, "bytes": 0},
        })
    );
    let text = run(&sandbox, &["cache", "show"]).succeeded().stdout;
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("1 compiled artifact and 1 description of components, "),
        "{text}"
    );
    assert!(last.ends_with(" in [DIR]/compiled"), "{text}");

    let pruned = |args: &[&str]| {
        let all = [&["cache", "prune"][..], args].concat();
        told(&sandbox, &all)["compiled"].clone()
    };
    let nothing = json!({"artifacts": 0, "worlds": 0, "leftovers": 0, "bytes": 0});
    assert_eq!(pruned(&["--unused-for", "1h"]), nothing);
    assert_eq!(pruned(&["--to-size", "1GiB"]), nothing);
    let all = json!({"artifacts": 1, "worlds": 1, "leftovers": 0, "bytes": bytes});
    assert_eq!(pruned(&[]), all);
    assert_eq!(show()["bytes"], 0);
    assert_eq!(compile(&sandbox), 1);
    let text = run(&sandbox, &["cache", "prune", "--to-size", "1B"]);
    let text = text.succeeded().stdout;
    let last = text.lines().last().unwrap();
    let wanted = "removed 2 files of compiled components, ";
    assert!(last.starts_with(wanted), "{text}");
}

#[test]
fn a_compiled_component_that_is_damaged_is_told_and_removed() {
    let sandbox = sandbox();
    compile(&sandbox);
    let verify = |more: &[&str]| run(&sandbox, &[&["cache", "verify"][..], more].concat());
    let intact = verify(&[]).succeeded();
    assert!(intact.stdout.contains("as it was written"));

    let artifact = artifact(&sandbox);
    fs::write(&artifact, "damaged").unwrap();
    let damaged = verify(&["--output", "json"]);
    assert_eq!(damaged.code, Some(1), "{}", damaged.stderr);
    let damaged = damaged.json();
    let name = artifact.file_name().unwrap().to_str().unwrap();
    let told = &damaged["damaged"][0];
    assert!(told["path"].as_str().unwrap().ends_with(name), "{damaged}");
    assert_eq!(told["removed"], true, "{damaged}");
    assert_eq!(told["references"], json!([]), "{damaged}");
    assert!(!artifact.exists());

    assert_eq!(compile(&sandbox), 1);
    fs::write(&artifact, "damaged").unwrap();
    let damaged = verify(&[]);
    assert_eq!(damaged.code, Some(1), "{}", damaged.stderr);
    let wanted = format!("{name}: it is no artifact of this version");
    assert!(damaged.stdout.contains("removed [DIR]/compiled/"));
    assert!(damaged.stdout.contains(&wanted), "{}", damaged.stdout);
    assert!(damaged.stderr.contains("compiled again"));
    verify(&[]).succeeded();
}

#[test]
fn what_another_version_compiled_is_told_apart_and_pruned() {
    let sandbox = sandbox();
    compile(&sandbox);
    let artifact = artifact(&sandbox);
    let size = fs::metadata(&artifact).unwrap().len();
    let other = sandbox.path("compiled/plain-0123456789abcdef");
    fs::rename(artifact.parent().unwrap(), &other).unwrap();
    assert_eq!(compile(&sandbox), 1);
    let shown = told(&sandbox, &["cache", "show"]);
    let compiled = &shown["compiled"];
    assert_eq!(compiled["artifacts"], 2, "{shown}");
    let stale = json!({"count": 1, "bytes": size});
    assert_eq!(compiled["stale"], stale, "{shown}");
    let text = run(&sandbox, &["cache", "show"]).succeeded().stdout;
    assert!(text.contains("; 1 of other versions, "), "{text}");
    let pruned = told(&sandbox, &["cache", "prune"]);
    assert_eq!(pruned["compiled"]["artifacts"], 2, "{pruned}");
    assert!(!other.exists());
}

/// The folder of images that is named says nothing about the other one.
#[test]
fn without_a_folder_it_is_where_the_user_has_what_is_compiled() {
    let sandbox = sandbox();
    let run = |args: &[&str]| {
        let all = [args, &["--output", "json"]].concat();
        sandbox.finish(wash(&sandbox, &all)).succeeded().json()
    };
    run(&["compile", "app.wasm"]);
    let shown = run(&["cache", "show"]);
    let compiled = &shown["compiled"];
    assert_eq!(compiled["folder"], "[DIR]/cache/wash/compiled", "{shown}");
    assert_eq!(compiled["artifacts"], 1, "{shown}");
    // Somebody else's images have nothing to do with it.
    let pruned = run(&["cache", "prune", "--image-cache=images"]);
    assert_eq!(pruned["compiled"], Value::Null, "{pruned}");
    assert_eq!(run(&["cache", "show"])["compiled"]["artifacts"], 1);
}

#[test]
fn a_folder_that_others_may_write_to_is_not_touched() {
    let sandbox = sandbox();
    compile(&sandbox);
    let folder = sandbox.path("compiled");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    for command in ["show", "prune", "verify"] {
        let refused = run(&sandbox, &["cache", command]);
        assert_eq!(refused.code, Some(1), "{command}");
        let told = refused.stderr;
        assert!(told.contains("[DIR]/compiled: others may write"), "{told}");
        assert!(told.contains("--cache-dir"), "{told}");
    }
    assert_eq!(files(&sandbox, "plain-").len(), 1);
}
