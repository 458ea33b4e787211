//! The manifests of the examples, as they are, on one port.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Sandbox, copy};

const EXAMPLES: [&str; 4] = [
    "http-chain",
    "http-hello",
    "http-hello-p3",
    "http-middleware",
];

/// Builds an example as `wash build` does, with plain Cargo: a component for each package.
fn build(folder: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--target",
        "wasm32-wasip2",
        "--message-format",
        "json",
    ]);
    cargo.current_dir(folder).env(
        "CARGO_TARGET_DIR",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"),
    );
    for key in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(key);
    }
    let output = cargo.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::create_dir(folder.join("build")).unwrap();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let files = message["filenames"].as_array().into_iter().flatten();
        for file in files
            .filter_map(Value::as_str)
            .filter(|file| file.ends_with(".wasm"))
        {
            let name = message["target"]["name"]
                .as_str()
                .unwrap()
                .replace('_', "-");
            std::fs::copy(file, folder.join(format!("build/{name}.wasm"))).unwrap();
        }
    }
}

#[test]
fn the_examples_are_served_together_by_host_and_path() {
    let sandbox = Sandbox::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let manifests: Vec<String> = EXAMPLES
        .map(|name| format!("{name}/workload.yaml"))
        .to_vec();
    for name in EXAMPLES {
        copy(&examples.join(name), &sandbox.path(name));
        build(&sandbox.path(name));
    }
    let paths: Vec<&str> = manifests.iter().map(String::as_str).collect();
    let mut host = sandbox.start(&paths);
    let ready = host.expect("ready");
    assert_eq!(
        ready["workloads"],
        json!(EXAMPLES.map(|name| format!("default:{name}")))
    );
    assert_eq!(ready["failed"], json!([]));
    assert_eq!(
        host.get("127.0.0.1", "/"),
        (200, "Hello from wasmCloud!\n".to_owned())
    );
    assert_eq!(
        host.get("hello-p3.localhost", "/"),
        (200, "Hello from wasmCloud, on WASI 0.3!\n".to_owned())
    );
    assert_eq!(
        host.get("chain.localhost", "/?name=Ada&lang=de"),
        (200, "Hallo, Ada!\n".to_owned())
    );
    assert_eq!(
        host.get("middleware.localhost", "/"),
        (401, "A token is needed.\n".to_owned())
    );
    host.stop();
}
