//! Manifests, as JSON values: short to write in a test, and read by the same parser as any other.

use serde_json::{Value, json};

/// A manifest of a workload.
pub(crate) fn manifest(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "runtime.wasmcloud.dev/v1alpha1",
        "kind": "Workload",
        "metadata": { "name": name },
        "spec": spec,
    })
    .to_string()
}

/// A spec of components and host interfaces.
pub(crate) fn spec(
    components: impl IntoIterator<Item = Value>,
    interfaces: impl IntoIterator<Item = Value>,
) -> Value {
    json!({
        "components": components.into_iter().collect::<Vec<_>>(),
        "hostInterfaces": interfaces.into_iter().collect::<Vec<_>>(),
    })
}

pub(crate) fn component(name: &str, image: &str) -> Value {
    json!({ "name": name, "image": image })
}

/// The WASI 0.2 guest under the name `api`.
pub(crate) fn p2() -> Value {
    component("api", test_guests::HTTP_P2)
}

/// The WASI 0.3 guest under the name `api`.
pub(crate) fn p3() -> Value {
    component("api", test_guests::HTTP_P3)
}

pub(crate) fn with_environment(mut component: Value, variables: Value) -> Value {
    component["localResources"]["environment"]["config"] = variables;
    component
}

pub(crate) fn with_config(mut component: Value, config: Value) -> Value {
    component["localResources"]["config"] = config;
    component
}

/// The entry that lets a workload answer every request.
pub(crate) fn http() -> Value {
    json!({ "namespace": "wasi", "package": "http", "interfaces": ["incoming-handler"] })
}

/// The entry that lets a workload answer some requests: `host`, `host-aliases`, `path`.
pub(crate) fn http_at(config: Value) -> Value {
    let mut entry = http();
    entry["config"] = config;
    entry
}
