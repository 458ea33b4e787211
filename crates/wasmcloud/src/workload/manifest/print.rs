//! A workload as a manifest again, in JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::API_VERSION;
use crate::workload::model::{
    Component, HostInterface, Image, Link, Service, Volume, VolumeSource, Workload,
};
use crate::workload::ports::PublishedPort;
use crate::workload::pull::{Pull, PullPolicy};
use crate::workload::resources::{
    Limit, LocalResources, Mebibytes, Milliseconds, NO_LIMIT, Reuse, VolumeMount,
};
use crate::workload::schedule::Schedule;

impl Workload {
    /// The workload as a manifest, in JSON. Read again, it is the same workload.
    ///
    /// It holds the values of environment and config, which may be secrets.
    #[must_use]
    pub fn to_manifest(&self) -> Value {
        let metadata = object([
            ("name", json!(self.name)),
            ("namespace", json!(self.namespace)),
            ("annotations", texts(&self.annotations)),
            ("labels", texts(&self.labels)),
        ]);
        let spec = object([
            ("components", list(&self.components, component)),
            (
                "service",
                self.service.as_ref().map_or(Value::Null, service),
            ),
            (
                "hostInterfaces",
                list(&self.host_interfaces, host_interface),
            ),
            ("links", list(&self.links, link)),
            ("volumes", list(&self.volumes, volume)),
            ("schedules", list(&self.schedules, schedule)),
        ]);
        json!({"apiVersion": API_VERSION, "kind": "Workload", "metadata": metadata, "spec": spec})
    }
}

/// An object of the fields that hold something.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    let filled = fields.into_iter().filter(|(_, value)| !empty(value));
    Value::Object(
        filled
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn list<T>(items: &[T], print: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(print).collect())
}

fn texts(map: &BTreeMap<String, String>) -> Value {
    let fields: Map<String, Value> = map
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    Value::Object(fields)
}

fn image(image: &Image) -> Value {
    json!(image.to_string())
}

fn pull_secret(pull: &Pull) -> Value {
    object([("name", json!(pull.secret))])
}

fn pull_policy(pull: &Pull) -> Value {
    json!(pull.policy.map(PullPolicy::as_str))
}

fn component(component: &Component) -> Value {
    let (size, invocations, concurrency) = match component.reuse {
        Reuse::Fresh => (None, None, None),
        Reuse::Pooled {
            size,
            max_invocations,
            max_concurrency,
        } => (Some(size), max_invocations, Some(max_concurrency)),
    };
    object([
        ("name", json!(component.name)),
        ("image", image(&component.image)),
        ("imagePullSecret", pull_secret(&component.pull)),
        ("imagePullPolicy", pull_policy(&component.pull)),
        ("poolSize", json!(size)),
        ("maxInvocations", json!(invocations)),
        ("maxConcurrency", json!(concurrency)),
        (
            "localResources",
            local_resources(&component.local_resources),
        ),
    ])
}

fn service(service: &Service) -> Value {
    let component = &service.component;
    object([
        ("image", image(&component.image)),
        ("imagePullSecret", pull_secret(&component.pull)),
        ("imagePullPolicy", pull_policy(&component.pull)),
        ("maxRestarts", json!(service.max_restarts)),
        ("ports", list(&service.ports, port)),
        (
            "localResources",
            local_resources(&component.local_resources),
        ),
    ])
}

fn port(port: &PublishedPort) -> Value {
    let file = |path: &Path| json!(path.display().to_string());
    let tls = port
        .tls
        .as_ref()
        .map(|tls| json!({"certificate": file(&tls.certificate), "key": file(&tls.key)}));
    object([
        ("name", json!(port.name)),
        ("containerPort", json!(port.container_port)),
        ("hostPort", json!(port.host_port)),
        ("hostIP", json!(port.host_ip)),
        ("tls", json!(tls)),
    ])
}

fn local_resources(resources: &LocalResources) -> Value {
    object([
        (
            "environment",
            object([("config", texts(&resources.environment))]),
        ),
        ("config", texts(&resources.config)),
        (
            "memoryLimitMb",
            limit(resources.limits.memory, |Mebibytes(amount)| amount),
        ),
        (
            "cpuLimit",
            limit(resources.limits.cpu, |Milliseconds(amount)| amount),
        ),
        (
            "timeoutMs",
            limit(resources.limits.time, |Milliseconds(amount)| amount),
        ),
        ("volumeMounts", list(&resources.volume_mounts, mount)),
        (
            "allowedHosts",
            list(&resources.allowed_hosts, |host| json!(host.to_string())),
        ),
        (
            "allowedIpNameLookups",
            list(&resources.allowed_ip_name_lookups, |name| {
                json!(name.to_string())
            }),
        ),
        (
            "allowedHostLoopbackPorts",
            list(&resources.allowed_host_loopback_ports, |port| {
                json!(port.to_string())
            }),
        ),
        ("secrets", list(&resources.secrets, |name| json!(name))),
    ])
}

fn limit<T>(limit: Limit<T>, amount: impl Fn(T) -> u32) -> Value {
    match limit {
        Limit::Default => Value::Null,
        Limit::Of(value) => json!(amount(value)),
        Limit::Unlimited => json!(NO_LIMIT),
    }
}

fn mount(mount: &VolumeMount) -> Value {
    json!({"name": mount.name, "mountPath": mount.mount_path, "readOnly": mount.read_only})
}

fn host_interface(entry: &HostInterface) -> Value {
    object([
        ("name", json!(entry.name)),
        ("namespace", json!(entry.namespace)),
        ("package", json!(entry.package)),
        ("interfaces", json!(entry.interfaces)),
        ("version", json!(entry.version)),
        ("config", texts(&entry.config)),
    ])
}

fn link(link: &Link) -> Value {
    object([
        ("from", json!(link.from)),
        ("import", json!(link.import)),
        ("to", json!(link.to.to_string())),
        ("kind", json!(link.kind.as_str())),
    ])
}

fn schedule(schedule: &Schedule) -> Value {
    object([
        ("name", json!(schedule.name)),
        ("component", json!(schedule.component)),
        ("function", json!(schedule.function)),
        ("args", json!(schedule.args)),
        ("schedule", json!(schedule.schedule)),
        ("timeZone", json!(schedule.time_zone)),
        ("concurrencyPolicy", json!(schedule.concurrency.as_str())),
        ("missedRuns", json!(schedule.missed.as_str())),
        (
            "suspend",
            schedule.suspend.then_some(json!(true)).unwrap_or_default(),
        ),
    ])
}

fn volume(volume: &Volume) -> Value {
    match &volume.source {
        VolumeSource::Ephemeral(size) => {
            let size = limit(*size, |Mebibytes(amount)| amount);
            json!({"name": volume.name, "ephemeral": object([("sizeLimitMb", size)])})
        }
        VolumeSource::HostPath(path) => {
            json!({"name": volume.name, "hostPath": {"path": path.display().to_string()}})
        }
    }
}
