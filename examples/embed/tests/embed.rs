//! The program does what its README says, with its component as a user builds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_component_reckons_with_the_prices_of_the_program() {
    let program = Command::new(env!("CARGO_BIN_EXE_embed"))
        .arg(built_guest().join("workload.yaml"))
        .output()
        .unwrap();
    let talk = String::from_utf8(program.stderr).unwrap();
    assert!(program.status.success(), "{talk}");
    let said = String::from_utf8(program.stdout).unwrap();
    assert_eq!(said, "three pears: 135 cents\n");
    let readme = include_str!("../README.md");
    assert!(said.lines().all(|line| readme.contains(line)), "{said}");
}

#[test]
fn a_component_that_is_missing_is_an_error_that_says_where_it_was_looked_for() {
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/workload.yaml");
    let alone = Path::new(env!("CARGO_TARGET_TMPDIR")).join("without-component");
    fs::create_dir_all(&alone).unwrap();
    let manifest = alone.join("workload.yaml");
    fs::copy(guest, &manifest).unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_embed"))
        .arg(manifest)
        .output()
        .unwrap();
    let talk = String::from_utf8(program.stderr).unwrap();
    assert!(
        !program.status.success() && talk.contains("orders.wasm"),
        "{talk}"
    );
}

/// A folder with the manifest of the guest and its component, which is built the first time.
fn built_guest() -> PathBuf {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            "wasm32-wasip2",
        ])
        .arg("--manifest-path")
        .arg(guest.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("target"))
        // Meant for the program under test, not for another machine's code.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(built.success(), "the component does not build");
    let component = folder.join("target/wasm32-wasip2/release/orders.wasm");
    fs::create_dir_all(folder.join("build")).unwrap();
    fs::copy(component, folder.join("build/orders.wasm")).unwrap();
    fs::copy(guest.join("workload.yaml"), folder.join("workload.yaml")).unwrap();
    folder
}
