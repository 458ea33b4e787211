//! `wash build`: what cannot be built says why. What can is built by the tests of the examples.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{EMPTY_COMPONENT, Sandbox};

/// A package without dependencies, so that it is built in no time.
fn package(sandbox: &Sandbox, dir: &str, lib: &str, source: &str) {
    let manifest = format!(
        "[package]\nname = \"{dir}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{lib}\n\n[workspace]\n"
    );
    sandbox.write(&format!("{dir}/Cargo.toml"), manifest);
    sandbox.write(&format!("{dir}/src/lib.rs"), source);
}

const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]";

#[test]
fn a_folder_without_a_project_has_nothing_to_build() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.run(&["build"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: there is nothing to build in .: it has no Cargo.toml, and no `build.command` in .wash/config.yaml
    hint: `wash new NAME` makes a project
    ");
    assert_snapshot!(sandbox.run(&["build", "nowhere"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: there is no folder nowhere
    hint: `wash new NAME` makes a project
    ");
}

#[test]
fn a_compiler_error_is_shown_and_tools_get_its_place() {
    let sandbox = Sandbox::new();
    package(
        &sandbox,
        "wrong",
        CDYLIB,
        "pub fn f() -> u8 {\n    missing\n}\n",
    );
    let run = sandbox.run(&["build", "wrong"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(
        run.stderr
            .contains("error[E0425]: cannot find value `missing`"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.ends_with("error: the project does not build\n"),
        "{}",
        run.stderr
    );
    let error = sandbox.run(&["build", "wrong", "--output", "json"]).json();
    assert_eq!(
        (
            &error["error"]["file"],
            &error["error"]["line"],
            &error["error"]["column"]
        ),
        (&json!("src/lib.rs"), &json!(2), &json!(5))
    );
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("error[E0425]"),
        "{error}"
    );
}

#[test]
fn a_broken_manifest_is_told_by_cargo() {
    let sandbox = Sandbox::new();
    sandbox.write("p/Cargo.toml", "[package\n");
    let run = sandbox.run(&["build", "p"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.starts_with("error: ")
            && run
                .stderr
                .ends_with("error: Cargo cannot read the project\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_library_that_is_no_component_is_told_what_is_missing() {
    let sandbox = Sandbox::new();
    package(&sandbox, "plain", "", "");
    let run = sandbox.run(&["build", "plain"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("error: the project in plain builds no component\nhint: a component is a library of type `cdylib`"), "{}", run.stderr);
}

#[test]
fn a_component_is_built_and_left_alone_when_nothing_changed() {
    let sandbox = Sandbox::new();
    package(&sandbox, "small", CDYLIB, "");
    let first = sandbox
        .run(&["build", "small", "--output", "json"])
        .succeeded()
        .json();
    assert_eq!(
        (
            &first["components"][0]["path"],
            &first["components"][0]["changed"]
        ),
        (&json!("small/build/small.wasm"), &json!(true))
    );
    let second = sandbox
        .run(&["build", "small", "--output", "json"])
        .succeeded()
        .json();
    assert_eq!(second["components"][0]["changed"], false);
    assert_eq!(
        second["components"][0]["digest"],
        first["components"][0]["digest"]
    );
    let text = sandbox.run(&["build", "small"]).succeeded();
    assert!(
        text.stdout.starts_with("small  small/build/small.wasm  "),
        "{}",
        text.stdout
    );
    assert!(
        text.stderr.contains("built 1 component in "),
        "{}",
        text.stderr
    );
}

#[test]
fn a_command_of_the_project_builds_it() {
    let sandbox = Sandbox::new();
    sandbox.write("input.wasm", EMPTY_COMPONENT);
    sandbox.write(".wash/config.yaml", "build:\n  command: echo working; cp input.wasm $TO\n  env: {TO: out.wasm}\n  component_path: out.wasm\n");
    let run = sandbox.run(&["build"]).succeeded();
    assert_eq!(run.stdout, "out  out.wasm  8 B  0 imports, 0 exports\n");
    assert!(
        run.stderr.starts_with("working\nbuilt 1 component in "),
        "{}",
        run.stderr
    );
    sandbox.write(
        ".wash/config.yaml",
        "build: {command: 'echo oh no >&2; exit 3', component_path: out.wasm}\n",
    );
    assert_snapshot!(sandbox.run(&["build"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    oh no
    error: the build failed: `echo oh no >&2; exit 3` ended with exit status: 3
    ");
    sandbox.write(
        ".wash/config.yaml",
        "build: {command: 'true', component_path: other.wasm}\n",
    );
    assert_snapshot!(sandbox.run(&["build"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: the command ended well, but cannot read other.wasm: No such file or directory (os error 2)
    hint: `build.component_path` names what the command leaves behind, relative to the project
    ");
}

#[test]
fn a_typo_in_the_configuration_is_shown_where_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write(".wash/config.yaml", "build:\n  comand: make\n");
    assert_snapshot!(sandbox.run(&["build"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: unknown field `comand`
     --> .wash/config.yaml:2:3
      |
    2 |   comand: …
      |   ^^^^^^
      |
      = hint: did you mean `command`? known here: `command`, `env`, `component_path`
    ");
    sandbox.write(
        ".wash/config.yaml",
        "build: {command: make}\ndev:\n  tls_cert_path: cert.pem\n",
    );
    let error = sandbox.run(&["build", "--output", "json"]).json();
    assert_eq!(
        error["error"]["message"],
        "`dev.tls_cert_path` is not supported yet"
    );
    assert_eq!(
        (&error["error"]["file"], &error["error"]["line"]),
        (&json!(".wash/config.yaml"), &json!(3))
    );
}

#[test]
fn without_cargo_the_message_says_so() {
    let sandbox = Sandbox::new();
    package(&sandbox, "any", CDYLIB, "");
    let mut command = sandbox.command(&["build", "any"]);
    command
        .env_remove("CARGO")
        .env("PATH", sandbox.path("empty"));
    let run = sandbox.finish(command);
    assert_snapshot!(run.snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot run `cargo`, which builds this project: No such file or directory (os error 2)
    hint: install Rust from https://rustup.rs
    ");
}

#[test]
fn without_the_target_the_hint_says_how_to_get_it() {
    let sandbox = Sandbox::new();
    package(&sandbox, "any", CDYLIB, "");
    sandbox.write(
        "rustc",
        "#!/bin/sh\nif [ \"$1\" = --print ]; then echo /nowhere; else exit 1; fi\n",
    );
    let rustc = sandbox.path("rustc");
    std::fs::set_permissions(&rustc, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = sandbox.command(&["build", "any"]);
    command.env("RUSTC", &rustc);
    let run = sandbox.finish(command);
    let wanted = "error: the project does not build\nhint: components are compiled for wasm32-wasip2: run `rustup target add wasm32-wasip2`\n";
    assert!(run.stderr.ends_with(wanted), "{}", run.stderr);
}

#[test]
fn nothing_is_written_through_a_folder_that_is_a_link() {
    let sandbox = Sandbox::new();
    package(&sandbox, "linked", CDYLIB, "pub fn f() {}\n");
    std::fs::create_dir(sandbox.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", sandbox.path("linked/build")).unwrap();
    assert_snapshot!(sandbox.run(&["build", "linked"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: linked/build is a symbolic link, and components are not written through one
    hint: remove the link; the build makes a folder of its own
    ");
    let written = sandbox.path("elsewhere").read_dir().unwrap();
    assert_eq!(written.count(), 0);
}
