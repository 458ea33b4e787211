//! Images in a real registry: pushed, pulled, listed, looked at, and kept.

use serde_json::Value;
use test_servers::Registry;

use crate::image_support::{METADATA, json, run, wash};
use crate::support::{Dev, EMPTY_COMPONENT, Sandbox};

#[test]
fn a_component_is_pushed_seen_and_pulled_again() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", wat::parse_str(METADATA).unwrap());
    let at = format!("{}/demo/a:1", registry.address());
    let pushed = json(
        &sandbox,
        &registry,
        &["push", "a.wasm", &at, "-a", "team=shop"],
    );
    assert_eq!(pushed["pushed"], true);
    let digest = pushed["digest"].as_str().unwrap();
    assert_eq!(
        pushed["pinned"],
        format!("{}@{digest}", at.trim_end_matches(":1"))
    );

    let again = json(
        &sandbox,
        &registry,
        &["oci", "push", "a.wasm", &at, "-a", "team=shop"],
    );
    assert_eq!(
        (&again["pushed"], &again["digest"]),
        (&Value::Bool(false), &pushed["digest"])
    );

    let seen = json(&sandbox, &registry, &["inspect", &at]);
    assert_eq!(seen["digest"], digest);
    let said = &seen["annotations"];
    assert_eq!(said["team"], "shop");
    assert_eq!(said["org.opencontainers.image.version"], "1.4.0");
    assert_eq!(said["org.opencontainers.image.licenses"], "MIT");
    assert_eq!(seen["config"]["architecture"], "wasm");
    let wit = run(&sandbox, &registry, &["inspect", &at, "--wit"]).succeeded();
    assert!(wit.stdout.contains("world root"), "{}", wit.stdout);

    let tags = json(
        &sandbox,
        &registry,
        &["tags", &format!("{}/demo/a", registry.address())],
    );
    assert_eq!(tags["tags"], serde_json::json!(["1"]));

    let pulled = json(&sandbox, &registry, &["pull", &at]);
    assert_eq!(
        (&pulled["file"], &pulled["digest"]),
        (&"a.wasm".into(), &pushed["digest"])
    );
    let pinned = pushed["pinned"].as_str().unwrap();
    let cached = json(
        &sandbox,
        &registry,
        &["pull", pinned, "-f", "b.wasm", "--policy", "never"],
    );
    assert_eq!(cached["fromCache"], true);
    let bytes = |name: &str| std::fs::read(sandbox.path(name)).unwrap();
    assert!(bytes("a.wasm") == bytes("b.wasm"));
}

#[test]
fn what_is_no_component_is_not_pushed() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("text.wasm", "hello");
    sandbox.write("module.wasm", wat::parse_str("(module)").unwrap());
    let at = format!("{}/demo/a:1", registry.address());
    let text = run(&sandbox, &registry, &["push", "text.wasm", &at]);
    assert_eq!(text.code, Some(1));
    assert!(
        text.stderr
            .contains("text.wasm: this is not a WebAssembly component"),
        "{}",
        text.stderr
    );
    let module = run(&sandbox, &registry, &["push", "module.wasm", &at]);
    assert_eq!(module.code, Some(1), "{}", module.stderr);
    let missing = run(&sandbox, &registry, &["pull", &at]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("there is no"), "{}", missing.stderr);
    for wrong in ["demo", "r.example/A:1", "r.example/../etc:1"] {
        let run = run(&sandbox, &registry, &["push", "module.wasm", wrong]);
        assert_eq!(run.code, Some(2), "{wrong}: {}", run.stderr);
        assert!(run.stderr.contains("is no reference"), "{}", run.stderr);
    }
}

#[test]
fn a_file_that_is_not_there_is_not_looked_for_in_a_registry() {
    let sandbox = Sandbox::new();
    for args in [
        ["inspect", "conf/hello.yaml"],
        ["compile", "build/hello.wasm"],
    ] {
        let run = sandbox.finish(wash(&sandbox, &args));
        let told = format!("there is no {}", args[1]);
        assert!(run.stderr.contains(&told), "{}", run.stderr);
    }
}

#[test]
fn the_cache_is_shown_pruned_and_verified() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{}/demo/a:1", registry.address());
    run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
    run(&sandbox, &registry, &["pull", &at]).succeeded();
    let shown = sandbox.finish(wash(&sandbox, &["cache", "show", "--output", "json"]));
    let shown = shown.succeeded().json();
    let references: Vec<&str> = shown["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["reference"].as_str().unwrap())
        .collect();
    assert!(references.contains(&at.as_str()), "{references:?}");

    let verify = || sandbox.finish(wash(&sandbox, &["cache", "verify"]));
    assert!(verify().succeeded().stdout.contains("as it was written"));
    let blobs = sandbox.path("cache/wash/images/blobs/sha256");
    for blob in std::fs::read_dir(blobs).unwrap() {
        std::fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    let damaged = verify();
    assert_eq!(damaged.code, Some(1));
    assert!(damaged.stdout.contains("removed"), "{}", damaged.stdout);

    // Programs get one object that has all of it.
    run(&sandbox, &registry, &["pull", &at]).succeeded();
    for blob in std::fs::read_dir(sandbox.path("cache/wash/images/blobs/sha256")).unwrap() {
        std::fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    let damaged = sandbox.finish(wash(&sandbox, &["cache", "verify", "--output", "json"]));
    assert_eq!(damaged.code, Some(1));
    let damaged = damaged.json();
    assert_eq!(damaged["damaged"][0]["removed"], true, "{damaged}");
    assert!(damaged["error"]["message"].is_string(), "{damaged}");

    run(&sandbox, &registry, &["pull", &at]).succeeded();
    let pruned = sandbox.finish(wash(&sandbox, &["cache", "prune", "--output", "json"]));
    assert!(pruned.succeeded().json()["blobs"].as_u64().unwrap() >= 2);
    let old = sandbox.finish(wash(&sandbox, &["cache", "prune", "--unused-for", "30d"]));
    old.succeeded();
}

#[test]
fn a_project_has_components_of_a_registry_beside_its_own() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("side.wasm")).unwrap();
    let address = registry.address();
    let at = format!("{address}/demo/side:1");
    run(&sandbox, &registry, &["push", "side.wasm", &at]).succeeded();
    sandbox.write("p/own.wasm", EMPTY_COMPONENT);
    let configure = |image: &str| {
        let text = format!(
            "build: {{ command: 'true', component_path: own.wasm }}\ndev:\n  components:\n  \
             - {{ name: side, image: '{image}', pullPolicy: IfNotPresent }}\n\
             images: {{ registries: {{ '{address}': {{ plainHttp: true }} }} }}\n"
        );
        sandbox.write("p/.wash/config.yaml", text);
    };
    configure(&format!("{address}/demo/none:1"));
    let dev = ["dev", "p", "--http-addr", "127.0.0.1:0", "--output", "json"];
    let mut dev = Dev::start(wash(&sandbox, &dev));
    let failed = dev.expect("failed");
    let told = failed["errors"][0]["message"].as_str().unwrap();
    let wanted = format!("cannot read `{address}/demo/none:1`: ");
    assert!(told.starts_with(&wanted), "{failed}");
    configure(&at);
    dev.wait_for("ready");
    assert_eq!(dev.get("/hello").0, 200);
    dev.stop("TERM");
    let plan = sandbox
        .finish(wash(&sandbox, &["inspect", "p"]))
        .succeeded();
    assert!(plan.stdout.contains("side"), "{}", plan.stdout);
}
