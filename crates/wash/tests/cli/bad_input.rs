//! Manifests with something wrong: every problem at its place, with an exit code and a hint.

use insta::assert_snapshot;
use serde_json::json;

use crate::support::{EMPTY_COMPONENT, Sandbox};

const HEAD: &str =
    "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: shop}\nspec:\n";

fn with_manifest(spec: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("workload.yaml", format!("{HEAD}{spec}"));
    sandbox.write("empty.wasm", EMPTY_COMPONENT);
    sandbox
}

#[test]
fn a_missing_image_is_shown_in_the_manifest() {
    let sandbox = with_manifest("  components:\n  - name: api\n    image: ./build/api.wasm\n");
    assert_snapshot!(sandbox.run(&["inspect", "workload.yaml"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: component `api`: cannot read `./build/api.wasm`: there is no such file
     --> workload.yaml:7:12
      |
    7 |     image: ./build/api.wasm
      |            ^^^^^^^^^^^^^^^^
      |
      = hint: paths begin at the folder of the manifest; `wash build` puts components into its folder `build`
    ");
}

/// It is looked for once, and missing wherever it is named.
#[test]
fn an_image_that_two_components_want_is_missed_by_both() {
    let sandbox = with_manifest(
        "  components:\n  - {name: one, image: ./none.wasm}\n  - {name: two, image: ./none.wasm}\n",
    );
    for command in ["inspect", "compile"] {
        let missed = sandbox.run(&[command, "workload.yaml", "--output", "json"]);
        let errors = missed.json()["errors"].clone();
        for (nth, name) in ["one", "two"].iter().enumerate() {
            let told = errors[nth]["message"].as_str().unwrap();
            assert!(
                told.starts_with(&format!("component `{name}`: ")),
                "{errors}"
            );
            assert_eq!(errors[nth]["line"], 6 + nth, "{errors}");
        }
    }
}

#[test]
fn a_text_file_and_a_cut_off_component_are_named() {
    let sandbox = with_manifest(
        "  components:\n  - {name: text, image: ./text.wasm}\n  - {name: cut, image: ./cut.wasm}\n",
    );
    sandbox.write("text.wasm", "not wasm");
    sandbox.write("cut.wasm", [EMPTY_COMPONENT, b"\x04\x20\0asm"].concat());
    let error = sandbox.run(&["inspect", ".", "--output", "json"]);
    assert_eq!(error.code, Some(1));
    let errors = &error.json()["errors"];
    assert!(
        errors[0]["message"]
            .as_str()
            .unwrap()
            .contains("not a WebAssembly component: it is text"),
        "{errors}"
    );
    assert!(
        errors[1]["message"]
            .as_str()
            .unwrap()
            .contains("component `cut` (./cut.wasm): the component is damaged"),
        "{errors}"
    );
    assert_eq!(
        (&errors[1]["file"], &errors[1]["line"]),
        (&json!("workload.yaml"), &json!(7))
    );
}

#[test]
fn a_typo_a_wrong_type_and_a_name_twice_are_all_told_at_once() {
    let sandbox = with_manifest(
        "  components:\n  - {name: a, image: ./empty.wasm}\n  - {name: a, image: ./empty.wasm}\n  volumes: {}\n",
    );
    let errors = sandbox.run(&["inspect", "workload.yaml", "--output", "json"]);
    assert_eq!(errors.code, Some(1));
    assert_eq!(errors.json()["error"]["file"], "workload.yaml");
    let sandbox = with_manifest("  component: []\n");
    let run = sandbox.run(&["inspect", "workload.yaml"]);
    assert!(
        run.stderr.contains("unknown field `component`")
            && run.stderr.contains("did you mean `components`?"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("workload.yaml:5:3"), "{}", run.stderr);
}

#[test]
fn wrong_settings_of_http_are_told_with_what_else_is_wrong() {
    let sandbox = with_manifest(
        "  components:\n  - {name: a, image: ./empty.wasm}\n  hostInterfaces:\n  - namespace: wasi\n    package: http\n    interfaces: [incoming-handler]\n    config: {hosst: x}\n",
    );
    let run = sandbox.run(&["inspect", "workload.yaml"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    for said in [
        "error: `hosst` is not a setting of wasi:http",
        "--> workload.yaml:8:5",
        "hint: did you mean `host`?",
        "no component exports",
    ] {
        assert!(run.stderr.contains(said), "{said}\n{}", run.stderr);
    }
    let json = sandbox
        .run(&["inspect", "workload.yaml", "--output", "json"])
        .json();
    let error = &json["error"];
    assert_eq!(
        (&error["file"], &error["line"], &error["column"]),
        (&json!("workload.yaml"), &json!(8), &json!(5))
    );
}

#[test]
fn a_workload_that_nothing_would_call_is_no_plan() {
    let sandbox = with_manifest("  components:\n  - {name: a, image: ./empty.wasm}\n");
    let run = sandbox.run(&["inspect", "workload.yaml"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("error: nothing would run") && run.stderr.contains("workload.yaml:"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_folder_with_two_manifests_is_not_guessed_at() {
    let sandbox = with_manifest("");
    sandbox.write("workload.json", "{}");
    let run = sandbox.run(&["inspect"]);
    assert_snapshot!(run.snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: both workload.yaml and workload.json are there, and only one is read
    hint: remove one of them
    ");
}

#[test]
fn wit_is_of_a_component() {
    let sandbox = with_manifest("");
    let run = sandbox.run(&["inspect", "workload.yaml", "--wit"]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (
            Some(2),
            "error: `--wit` is for a component\nhint: give the path of a `.wasm` file\n"
        )
    );
}
