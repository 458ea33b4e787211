//! The program does what its README says, with its component as a user builds it; and its plugin is as small as that says, and as
//! `docs/plugins.md` shows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PLUGIN: &str = include_str!("../src/plugin.rs");

#[test]
fn each_workload_has_a_book_of_its_own_until_that_is_full() {
    let guest = built_guest("books");
    let books = guest.join("books");
    let program = run(&guest.join("workload.yaml"), &books);
    let talk = String::from_utf8(program.stderr).unwrap();
    assert!(program.status.success(), "{talk}");
    let said = String::from_utf8(program.stdout).unwrap();
    assert_eq!(
        said,
        "hotel: welcome, Ada; lines left: 99\nhotel: welcome, Grace; lines left: 98\n\
         hut: welcome, Ada; lines left: 0\nhut: sorry, Grace: the book is full\n"
    );
    let readme = include_str!("../README.md");
    assert!(said.lines().all(|line| readme.contains(line)), "{said}");
    let book = |name: &str| fs::read_to_string(books.join(name)).unwrap();
    assert_eq!(
        book("default.hotel.txt"),
        "desk: Ada was here\ndesk: Grace was here\n"
    );
    assert_eq!(book("default.hut.txt"), "desk: Ada was here\n");
}

#[test]
fn a_workload_that_says_no_number_does_not_start_and_is_told_what_to_do() {
    let guest = built_guest("refused");
    let manifest = guest.join("workload.yaml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("lines: \"100\"", "lines: many")).unwrap();
    let program = run(&manifest, &guest.join("books"));
    let talk = String::from_utf8(program.stderr).unwrap();
    assert!(!program.status.success(), "{talk}");
    assert!(
        talk.contains("no number of `lines` is configured"),
        "{talk}"
    );
    assert!(talk.contains("add it to `config`"), "{talk}");
}

#[test]
fn the_plugin_takes_less_than_80_lines_and_is_what_the_documentation_shows() {
    let lines = PLUGIN.lines().count();
    assert!(lines < 80, "{lines} lines");
    let shown = format!("```rust,ignore\n{PLUGIN}```\n");
    let docs = include_str!("../../../docs/plugins.md");
    assert!(
        docs.contains(&shown),
        "docs/plugins.md shows another plugin than src/plugin.rs"
    );
}

fn run(manifest: &Path, books: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_custom-plugin"))
        .args([manifest, books])
        .output()
        .unwrap()
}

/// A folder of this name with the manifest of the guest and its component, which is built the first time.
fn built_guest(name: &str) -> PathBuf {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("desk-target");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked"])
        .args(["--target", "wasm32-wasip2", "--manifest-path"])
        .arg(guest.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // Meant for the program under test, not for another machine's code.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(built.success(), "the component does not build");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("desk")
        .join(name);
    fs::create_dir_all(folder.join("build")).unwrap();
    let component = target.join("wasm32-wasip2/release/desk.wasm");
    fs::copy(component, folder.join("build/desk.wasm")).unwrap();
    fs::copy(guest.join("workload.yaml"), folder.join("workload.yaml")).unwrap();
    folder
}
