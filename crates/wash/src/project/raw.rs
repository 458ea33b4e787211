//! `.wash/config.yaml` as it is written, before anything is checked. Keys that this version does not serve are known by name,
//! so that they can be refused where they stand.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;
use wasmcloud::config::{HostPlugins, WrittenImages};

use super::interface::Entry;
use super::service::Port;

/// A key that is refused whatever it holds.
pub(super) type Refused = Option<Spanned<IgnoredAny>>;
pub(super) type Texts = BTreeMap<String, String>;
pub(super) type List = Option<Vec<Spanned<String>>>;
pub(super) type Number = Option<Spanned<i64>>;

/// Declares a table of the file: the keys that are served, and those that are not yet.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($served:ident $(= $given:literal)? : $type:ty),* $(,)? } refused { $($refused:ident $(= $key:literal)?),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name {
            $($(#[serde(rename = $given)])? pub(super) $served: $type,)*
            $($(#[serde(rename = $key)])? $refused: Refused,)*
        }

        impl $name {
            /// Keys of wash 2 that are not served.
            pub(super) const REFUSED: &'static [&'static str] = &[$(table!(@key $refused $($key)?)),*];

            /// The keys that are there and not served, each with its place.
            pub(super) fn refused(&self) -> Vec<(&'static str, &Spanned<IgnoredAny>)> {
                let all: Vec<(&'static str, &Refused)> = vec![$((table!(@key $refused $($key)?), &self.$refused)),*];
                all.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect()
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}

table! {
    /// The whole file. `version` describes the file and asks for nothing.
    Root {
        _version = "version": Option<IgnoredAny>,
        build: Option<Build>,
        dev: Option<Dev>,
        host: Option<Host>,
        images: Option<WrittenImages>,
        wit: Option<crate::wit::RawWit>,
        workload: Option<Spanned<Workload>>,
    }
    refused { new, configs, secrets }
}

table! {
    /// How the project is built.
    Build {
        command: Option<Spanned<String>>,
        env: Texts,
        component_path: Option<Spanned<String>>,
    }
    refused {}
}

table! {
    /// Settings of `wash dev`.
    Dev {
        command: Option<Spanned<String>>,
        component_path: Option<Spanned<String>>,
        address: Option<Spanned<String>>,
        components: Option<Spanned<Vec<Spanned<Component>>>>,
        environment: Option<Spanned<Texts>>,
        host_interfaces: Option<Spanned<Vec<Entry>>>,
        volumes: Option<Spanned<Vec<Spanned<Volume>>>>,
        allow_egress: List,
        postgres_url: Option<Spanned<String>>,
        service: Option<Spanned<bool>>,
        service_file: Option<Spanned<String>>,
        service_image: Option<Spanned<String>>,
        service_pull_policy: Option<Spanned<String>>,
        service_ports: Option<Spanned<Vec<Spanned<Port>>>>,
        host_plugins: Option<HostPlugins>,
    }
    refused {
        allow_insecure_registries,
        tls_cert_path, tls_key_path, tls_ca_path, http_client_ca_paths, http_client_trust_roots, max_connections,
        max_outbound_http_connections_per_workload, max_outbound_socket_connections_per_workload,
        max_inbound_socket_connections_per_workload, http_connection_wait, wasi_webgpu, data_nats_url, wasi_keyvalue_redis_url,
        wasi_keyvalue_path, wasi_keyvalue_nats_url, wasi_blobstore_path, wasi_otel, wasm_proposals,
    }
}

table! {
    /// Settings of the host that runs the project.
    Host {
        host_plugins = "hostPlugins": Option<HostPlugins>,
    }
    refused {}
}

table! {
    /// A component that runs beside the project's own.
    Component {
        name: Option<Spanned<String>>,
        file: Option<Spanned<String>>,
        image: Option<Spanned<String>>,
        pull_policy = "pullPolicy": Option<Spanned<String>>,
        environment: Texts,
        config: Texts,
        allowed_hosts = "allowedHosts": List,
        allowed_ip_name_lookups = "allowedIpNameLookups": List,
        allowed_host_loopback_ports = "allowedHostLoopbackPorts": List,
        pool_size = "poolSize": Number,
        max_invocations = "maxInvocations": Number,
        max_concurrency = "maxConcurrency": Number,
    }
    refused {}
}

/// A folder that the project's own components see.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Volume {
    pub(super) host_path: Option<Spanned<String>>,
    pub(super) guest_path: Option<Spanned<String>>,
}

table! {
    /// What the project's own component runs with.
    Workload {
        environment: Environment,
        config: Texts,
        allowed_hosts = "allowedHosts": List,
        allowed_ip_name_lookups = "allowedIpNameLookups": List,
        allowed_host_loopback_ports = "allowedHostLoopbackPorts": List,
    }
    refused {}
}

table! {
    /// Environment variables and where they come from.
    Environment {
        config: Texts,
    }
    refused { config_from = "configFrom", secret_from = "secretFrom" }
}
