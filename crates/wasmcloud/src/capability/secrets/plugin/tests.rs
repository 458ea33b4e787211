//! What is wrong with a manifest is told before anything runs, and no value with it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

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
    insta::assert_snapshot!(all.join("\n"), @"");
}
