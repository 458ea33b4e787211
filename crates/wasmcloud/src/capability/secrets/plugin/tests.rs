//! What is wrong with a manifest is told before anything runs, and no value with it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::super::Workloads;
use super::*;
use crate::workload::manifest;

fn told(plugin: &Secrets, given: &str, entries: &str) -> String {
    let text = format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: shop}}\nspec:\n  components:\n  - {{name: front, image: ./a.wasm, localResources: {{secrets: {given}}}}}\n  hostInterfaces:\n{entries}"
    );
    let workload = manifest::parse(&text, Path::new("w.yaml"))
        .unwrap()
        .remove(0)
        .workload;
    let errors = plugin.check(&workload).into_iter().map(|error| {
        let path = error.path.clone().unwrap_or_default();
        format!(
            "{path}: {error}; {}",
            error.hint.clone().unwrap_or_default()
        )
    });
    let told = errors.collect::<Vec<_>>().join("\n");
    assert!(!told.contains("SECRETVALUE"), "{told}");
    told
}

fn entry(rest: &str) -> String {
    format!("  - {{namespace: wasmcloud, package: secrets, {rest}}}\n")
}

#[test]
fn what_fits_is_not_mentioned() {
    let plugin = Secrets::default();
    let values = entry("interfaces: [store, reveal, secret], config: {key: SECRETVALUE}");
    assert_eq!(told(&plugin, "[key]", &values), "");
    let both = entry("interfaces: [store, reveal]")
        + &entry("name: key, interfaces: [secret], config: {backend: encrypted, key: other}");
    assert_eq!(told(&plugin, "[key]", &both), "");
    assert_eq!(
        told(&plugin, "[]", &entry("interfaces: [store, reveal]")),
        ""
    );
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let plugin = Secrets::new(SecretsOptions::default(), None);
    let plain = |config: &str| entry(&format!("interfaces: [store, reveal], config: {config}"));
    let all = [
        told(&plugin, "[]", &plain("{key: SECRETVALUE}")),
        told(&plugin, "[kee]", &plain("{key: SECRETVALUE}")),
        told(&plugin, "[key]", &plain("{'a b': SECRETVALUE}")),
        told(
            &plugin,
            "[key]",
            &plain("{backend: vault, key: SECRETVALUE}"),
        ),
        told(&plugin, "[key]", &plain("{backend: file}")),
        told(
            &plugin,
            "[key]",
            &plain("{backend: environment, prefix: SHOP_}"),
        ),
        told(
            &plugin,
            "[key]",
            "  - {namespace: wasi, package: http, interfaces: [handler]}\n",
        ),
        told(
            &plugin,
            "[]",
            &entry("name: key, interfaces: [secret], config: {key: SECRETVALUE}"),
        ),
        told(
            &plugin,
            "[key]",
            &entry("name: key, interfaces: [store, secret], config: {key: SECRETVALUE}"),
        ),
        told(
            &plugin,
            "[key]",
            &entry("name: key, interfaces: [secret], config: {other: SECRETVALUE}"),
        ),
    ];
    insta::assert_snapshot!(all.join("\n"), @"
    spec.hostInterfaces.0.config.key: no component is given the secret `key`; list it in `localResources.secrets` of each component that may read it
    spec.hostInterfaces.0.config.key: no component is given the secret `key`; list it in `localResources.secrets` of each component that may read it
    spec.components.front.localResources.secrets: the entry for `wasmcloud:secrets` holds no secret `kee`; did you mean `key`?
    spec.hostInterfaces.0.config.a b: this is no name of a secret; wanted 1 to 128 letters, digits, `-`, `_` and `.`, beginning with a letter or digit; without `backend`, what stands in `config` are the secrets themselves
    spec.hostInterfaces.0.config.backend: `vault` is no `backend` that this host knows; known ones are environment, file, encrypted
    spec.hostInterfaces.0.config.key: `key` is not a setting of wasmcloud:secrets, or has no meaning beside the others; known settings are backend
    spec.hostInterfaces.0.config.path: `path` is missing: it is the folder with a file for each secret, or a YAML or JSON file with all; 
    spec.components.front.localResources.secrets: the secret `key` is the variable `SHOP_KEY`, which the host does not let this workload read; allow it in the host's configuration, under `secrets.environment`, or for `wash dev` with `--allow-env`
    spec.components.front.localResources.secrets: nothing in `hostInterfaces` says where the secret `key` comes from; add an entry for `wasmcloud:secrets` with `store` and `reveal`
    spec.hostInterfaces.0.name: no component is given the secret `key`; list it in `localResources.secrets` of each component that may read it
    spec.hostInterfaces.0: only `secret` is imported by a label such as `key`; list `store` and `reveal` in an entry without `name`
    spec.hostInterfaces.0.config.other: `other` is not the label that this entry is for; name the secret as the label
    ");
}

#[test]
fn the_key_of_the_encrypted_store_is_refused_on_every_host() {
    let entry =
        entry("interfaces: [store, reveal], config: {backend: environment, prefix: WASMCLOUD_}");
    let all = SecretsOptions {
        environment: vec![(Workloads::All, "WASMCLOUD_*".parse().unwrap())],
        ..SecretsOptions::default()
    };
    for plugin in [Secrets::default(), Secrets::new(all, None)] {
        let told = told(&plugin, "[secrets-key]", &entry);
        assert!(
            told.contains("the key of the encrypted store, which no workload may read"),
            "{told}"
        );
        assert!(
            told.starts_with("spec.components.front.localResources.secrets: "),
            "{told}"
        );
    }
}
