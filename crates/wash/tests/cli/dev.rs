//! `wash dev`: how it begins and ends, and what keeps it from beginning.

use std::net::TcpListener;

use crate::support::{EMPTY_COMPONENT, Sandbox};

/// A project that needs no build: a manifest with a component that nothing calls.
fn prebuilt(sandbox: &Sandbox) {
    sandbox.write(
        "p/workload.yaml",
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: shop}\nspec:\n  components:\n  - {name: a, image: ./a.wasm}\n",
    );
    sandbox.write("p/a.wasm", EMPTY_COMPONENT);
}

#[test]
fn a_folder_is_served_once() {
    let sandbox = Sandbox::new();
    prebuilt(&sandbox);
    let mut first = sandbox.dev("p");
    first.expect("failed");
    let second = sandbox.run(&["dev", "p", "--http-addr", "127.0.0.1:0"]);
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
    let wanted = format!("error: another `wash dev` runs in p (process {}, http://127.0.0.1:", first.pid());
    assert!(second.stderr.starts_with(&wanted), "{}", second.stderr);
    assert!(second.stderr.ends_with("hint: use that one, or stop it first\n"), "{}", second.stderr);
    first.stop("TERM");
    let mut third = sandbox.dev("p");
    third.expect("failed");
    third.stop("INT");
}

#[test]
fn a_port_in_use_is_named() {
    let sandbox = Sandbox::new();
    prebuilt(&sandbox);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = sandbox.run(&["dev", "p", "--http-addr", &address]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with(&format!("error: cannot listen for HTTP on {address}: Address already in use")), "{}", run.stderr);
    assert!(run.stderr.contains("hint: another program listens there; choose another address with `--http-addr`"), "{}", run.stderr);
    sandbox.write("q/.wash/config.yaml", format!("build: {{command: 'true'}}\ndev: {{address: '{address}'}}\n"));
    let error = sandbox.run(&["dev", "q", "--output", "json"]);
    assert!(error.json()["error"]["message"].as_str().unwrap().contains(&address), "{}", error.snapshot());
}

#[test]
fn what_no_change_of_a_source_could_mend_ends_it() {
    let sandbox = Sandbox::new();
    sandbox.write("p/.wash/config.yaml", "dev:\n  adress: 127.0.0.1:0\n");
    let run = sandbox.run(&["dev", "p"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("p/.wash/config.yaml:2:3") && run.stderr.contains("did you mean `address`?"), "{}", run.stderr);
    assert_eq!(sandbox.run(&["dev", "nowhere"]).code, Some(1));
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    assert!(sandbox.run(&["dev", "empty"]).stderr.contains("there is nothing to build in empty"));
    assert_eq!(sandbox.run(&["dev", "p", "--http-addr", "nine"]).code, Some(2));
}

#[test]
fn a_manifest_is_read_again_when_it_changes_and_nothing_is_built() {
    let sandbox = Sandbox::new();
    prebuilt(&sandbox);
    let mut dev = sandbox.dev("p");
    let failed = dev.expect("failed");
    assert_eq!(failed["stage"], "start");
    assert!(failed["errors"][0]["file"].as_str().unwrap().ends_with("p/workload.yaml"), "{failed}");
    sandbox.edit("p/workload.yaml", "./a.wasm", "./b.wasm");
    let failed = dev.expect("failed");
    assert!(failed["message"].as_str().unwrap().contains("there is no such file"), "{failed}");
    sandbox.edit("p/workload.yaml", "metadata", "metadatta");
    let failed = dev.expect("failed");
    assert_eq!(failed["stage"], "manifest");
    assert!(failed["message"].as_str().unwrap().contains("unknown field `metadatta`"), "{failed}");
    sandbox.edit("p/workload.yaml", "metadatta", "metadata");
    assert_eq!(dev.expect("failed")["stage"], "start");
    sandbox.write("p/b.wasm", "text");
    let failed = dev.expect("failed");
    assert!(failed["message"].as_str().unwrap().contains("it is text that begins with"), "{failed}");
    dev.stop("TERM");
}
