//! The manifests of the workloads that are measured, as JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::guests::{Dialect, Guests, Network};

/// A workload of one component that answers HTTP.
pub(crate) struct Http<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The component.
    pub(crate) image: &'a Path,
    /// Fields of the component beyond its name and image.
    pub(crate) fields: Value,
    /// The host name that it answers for; every one without it.
    pub(crate) host: Option<&'a str>,
}

impl Http<'_> {
    /// The manifest.
    pub(crate) fn manifest(&self) -> Value {
        let component = component("main", self.image, &self.fields);
        let config = self
            .host
            .map_or_else(|| json!({}), |host| json!({ "host": host }));
        let grant = json!({
            "namespace": "wasi", "package": "http", "interfaces": ["incoming-handler"], "config": config
        });
        workload(self.name, &[component], &[grant], &json!([]))
    }
}

/// A workload of one component in a registry that answers HTTP.
pub(crate) fn of_image(name: &str, image: &str, host: Option<&str>) -> Value {
    let component = json!({ "name": "main", "image": image, "imagePullPolicy": "IfNotPresent" });
    let config = host.map_or_else(|| json!({}), |host| json!({ "host": host }));
    let grant = json!({
        "namespace": "wasi", "package": "http", "interfaces": ["incoming-handler"], "config": config
    });
    workload(name, &[component], &[grant], &json!([]))
}

/// How one component of the `call` bench reaches the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The default: both are one component.
    Fused,
    /// The callee has a fresh instance for each call.
    IsolatedFresh,
    /// The callee has one instance for all calls.
    IsolatedPooled,
}

/// The pair of the `call` bench.
pub(crate) fn calc(guests: &Guests, link: Link) -> Value {
    let components = [
        component("caller", &guests.caller, &json!({})),
        callee(guests, link),
    ];
    let grant = json!({ "namespace": "bench", "package": "calc", "interfaces": ["drive"] });
    workload("calc", &components, &[grant], &json!([link.from("caller")]))
}

/// A service and the component that it calls.
pub(crate) fn calling(guests: &Guests, link: Link) -> Value {
    let grant = json!({ "namespace": "bench", "package": "calc", "interfaces": ["gate"] });
    let links = json!([link.from("service")]);
    let workload = workload("calling", &[callee(guests, link)], &[grant], &links);
    with_service(workload, &guests.caller, &json!({}))
}

fn callee(guests: &Guests, link: Link) -> Value {
    let fields = match link {
        Link::Fused | Link::IsolatedFresh => json!({}),
        Link::IsolatedPooled => json!({ "poolSize": 1 }),
    };
    component("callee", &guests.callee, &fields)
}

impl Link {
    fn from(self, caller: &str) -> Value {
        let kind = match self {
            Self::Fused => "fused",
            Self::IsolatedFresh | Self::IsolatedPooled => "isolated",
        };
        json!({ "from": caller, "import": "bench:calc/math@0.1.0", "to": "callee", "kind": kind })
    }
}

/// A service that listens, and a component without limits of time that talks to it.
pub(crate) fn network(name: &str, guests: &Network, environment: &Value) -> Value {
    let client = component("client", &guests.client, &no_limits());
    let drive = match guests.dialect {
        Dialect::P2 => "drive",
        Dialect::P3 => "drive-async",
    };
    let grant = json!({ "namespace": "bench", "package": "network", "interfaces": [drive] });
    let workload = workload(name, &[client], &[grant], &json!([]));
    with_service(workload, &guests.server, environment)
}

/// A workload of one component without limits of time, with fields beyond its name and image, and what it is granted.
pub(crate) fn capable(name: &str, image: &Path, fields: &Value, grants: &[Value]) -> Value {
    let mut guest = component("guest", image, &no_limits());
    if let (Some(guest), Some(fields)) = (guest.as_object_mut(), fields.as_object()) {
        guest.extend(fields.clone());
    }
    workload(name, &[guest], grants, &json!([]))
}

fn no_limits() -> Value {
    json!({ "localResources": { "cpuLimit": "none", "timeoutMs": "none" } })
}

/// A workload of nothing but a service.
pub(crate) fn service(name: &str, image: &Path) -> Value {
    let workload = json!({
        "apiVersion": "runtime.wasmcloud.dev/v1alpha1",
        "kind": "Workload",
        "metadata": { "name": name },
        "spec": {},
    });
    with_service(workload, image, &json!({}))
}

fn with_service(mut workload: Value, image: &Path, environment: &Value) -> Value {
    let resources = json!({ "environment": { "config": environment } });
    let service = json!({ "image": image, "localResources": resources });
    if let Some(spec) = workload.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("service".to_owned(), service);
    }
    workload
}

fn component(name: &str, image: &Path, fields: &Value) -> Value {
    let mut component = json!({ "name": name, "image": image });
    if let (Some(component), Some(fields)) = (component.as_object_mut(), fields.as_object()) {
        component.extend(fields.clone());
    }
    component
}

fn workload(name: &str, components: &[Value], grants: &[Value], links: &Value) -> Value {
    json!({
        "apiVersion": "runtime.wasmcloud.dev/v1alpha1",
        "kind": "Workload",
        "metadata": { "name": name },
        "spec": { "components": components, "hostInterfaces": grants, "links": links },
    })
}
