//! `wash compile`: what is pulled and compiled ahead of time, for hosts that start later, elsewhere, or without a network.

use std::path::Path;

use serde_json::Value;
use test_servers::Registry;

use crate::image_support::{ADA, as_ada, json, keys, login_file, run, wash};
use crate::support::Sandbox;

#[test]
fn what_is_compiled_ahead_is_there_when_the_registry_is_gone() {
    let (sandbox, mut registry) = (Sandbox::new(), Registry::start());
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("app.wasm")).unwrap();
    let at = format!("{}/demo/app:1", registry.address());
    run(&sandbox, &registry, &["push", "app.wasm", &at]).succeeded();
    let compiled = json(
        &sandbox,
        &registry,
        &["compile", &at, "--cache-dir", "compiled"],
    );
    assert_eq!(compiled["workloads"][0]["compiled"], 1, "{compiled}");
    registry.stop();
    sandbox.write(
        "workload.yaml",
        format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: app }}\nspec:\n  \
             components: [{{ name: app, image: \"{at}\", imagePullPolicy: Never }}]\n  \
             hostInterfaces: [{{ namespace: wasi, package: http, interfaces: [incoming-handler] }}]\n"
        ),
    );
    let again = json(
        &sandbox,
        &registry,
        &["compile", "workload.yaml", "--cache-dir", "compiled"],
    );
    let workload = &again["workloads"][0];
    assert_eq!(
        (&workload["compiled"], &workload["cached"]),
        (&0.into(), &1.into()),
        "{again}"
    );
    assert!(Path::new(&sandbox.path("compiled")).is_dir());
    let none = run(&sandbox, &registry, &["compile", "nothing.yaml"]);
    assert_eq!(none.code, Some(1));
    assert!(
        none.stderr.contains("there is no nothing.yaml"),
        "{}",
        none.stderr
    );
}

/// A manifest of one image that is pulled if it is not there.
fn manifest(image: &str, more: &str) -> String {
    format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: app }}\nspec:\n  \
         components: [{{ name: app, image: \"{image}\", imagePullPolicy: IfNotPresent{more} }}]\n  \
         hostInterfaces: [{{ namespace: wasi, package: http, interfaces: [incoming-handler] }}]\n"
    )
}

/// Signatures that the rules of a host ask for come with the image, so that the host can verify it when the registry is gone.
#[test]
fn what_a_host_demands_is_there_when_the_registry_is_gone() {
    let (sandbox, mut registry) = (Sandbox::new(), Registry::start());
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("a.wasm")).unwrap();
    keys(&sandbox, "ours");
    let address = registry.address();
    let at = |name: &str| format!("{address}/demo/{name}:1");
    let signed = ["push", "a.wasm", &at("signed"), "--sign", "ours.pem"];
    run(&sandbox, &registry, &signed).succeeded();
    run(&sandbox, &registry, &["push", "a.wasm", &at("plain")]).succeeded();
    sandbox.write(
        "host.yaml",
        format!(
            "dataDir: data\nimages:\n  registries: {{ '{address}': {{ plainHttp: true }} }}\n  \
             verify: [{{ images: '**', keys: [ours.pub] }}]\n"
        ),
    );
    sandbox.write("signed.yaml", manifest(&at("signed"), ""));
    sandbox.write("plain.yaml", manifest(&at("plain"), ""));
    let compile = |what: &str| {
        let args = ["compile", what, "--config", "host.yaml", "--output", "json"];
        sandbox.finish(wash(&sandbox, &args))
    };
    let refused = compile("plain.yaml");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("plain.yaml:5:"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("wash push --sign"),
        "{}",
        refused.stderr
    );
    compile("signed.yaml").succeeded();
    // In the folders of the host.
    for folder in ["data/images", "data/cache"] {
        assert!(sandbox.path(folder).is_dir(), "{folder}");
    }
    registry.stop();
    let again = compile("signed.yaml").succeeded().json();
    assert_eq!(again["workloads"][0]["compiled"], 0, "{again}");
}

/// Credentials come from the command line, and pull secrets from the host's configuration.
#[test]
fn what_is_private_is_compiled_with_the_credentials_for_it() {
    let sandbox = Sandbox::new();
    let registry = Registry::with_users(&[ADA]);
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("a.wasm")).unwrap();
    let address = registry.address();
    let at = format!("{address}/demo/a:1");
    let with_login = |args: &[&str]| as_ada(&sandbox, &[&address], args);
    with_login(&["push", "a.wasm", &at]).succeeded();
    let denied = run(&sandbox, &registry, &["compile", &at]);
    assert!(denied.stderr.contains("docker login"), "{}", denied.stderr);
    with_login(&["compile", &at]).succeeded();
    sandbox.write("app.yaml", manifest(&at, ""));
    with_login(&["compile", "app.yaml", "--image-cache", "own"]).succeeded();
    with_login(&["inspect", "app.yaml"]).succeeded();

    sandbox.write(
        "secret.yaml",
        manifest(&at, ", imagePullSecret: { name: shop }"),
    );
    sandbox.write("shop.json", login_file(&address));
    private(&sandbox.path("shop.json"));
    sandbox.write(
        "host.yaml",
        format!(
            "dataDir: data\nimages:\n  pullSecrets: {{ default: {{ shop: shop.json }} }}\n  \
             registries: {{ '{address}': {{ plainHttp: true }} }}\n"
        ),
    );
    let args = ["compile", "secret.yaml", "--config", "host.yaml"];
    sandbox.finish(wash(&sandbox, &args)).succeeded();
    let two = manifest(&at, "")
        + "---\n"
        + &manifest("r.example/b:1", "").replace("{ name: app }", "{ name: other }");
    sandbox.write("two.yaml", two);
    let unclear = with_login(&["compile", "two.yaml"]);
    assert_eq!(unclear.code, Some(2));
    assert!(
        unclear.stderr.contains("`--username` is for one registry"),
        "{}",
        unclear.stderr
    );
}

/// What the configuration of the host makes plugins is compiled as well, and who calls them does not need them for that.
#[test]
fn plugins_of_a_host_and_who_calls_them_are_compiled_ahead() {
    let sandbox = Sandbox::new();
    for (from, to) in [
        (test_guests::TELLER, "teller.wasm"),
        (test_guests::CLERK, "clerk.wasm"),
    ] {
        std::fs::copy(from, sandbox.path(to)).unwrap();
    }
    sandbox.write(
        "host.yaml",
        "dataDir: data\nhostPlugins: [{ id: clerk, file: clerk.wasm }]\n",
    );
    sandbox.write(
        "shop.yaml",
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: { name: shop }\nspec:\n  \
         components: [{ name: teller, image: ./teller.wasm }]\n  \
         hostInterfaces: [{ namespace: test, package: ledger, interfaces: [book] }]\n  \
         schedules: [{ name: daily, component: teller, function: tell, args: ['\"x\"'], schedule: '@daily' }]\n",
    );
    let compile = || {
        let args = ["compile", "shop.yaml", "--config", "host.yaml"];
        let args = [&args[..], &["--output", "json"]].concat();
        let told = sandbox.finish(wash(&sandbox, &args)).succeeded().json();
        told["workloads"].clone()
    };
    let first = compile();
    let of = |told: &Value, nth: usize| {
        let of = &told[nth];
        (
            of["workload"].clone(),
            of["compiled"].clone(),
            of["cached"].clone(),
        )
    };
    // Its calls and what it runs by itself are one artifact.
    assert_eq!(of(&first, 0), ("plugin clerk".into(), 1.into(), 0.into()));
    assert_eq!(of(&first, 1), ("default:shop".into(), 1.into(), 0.into()));
    let again = compile();
    assert_eq!(of(&again, 0), ("plugin clerk".into(), 0.into(), 1.into()));
    assert_eq!(of(&again, 1), ("default:shop".into(), 0.into(), 1.into()));
}

/// So that nobody else may read it.
fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
