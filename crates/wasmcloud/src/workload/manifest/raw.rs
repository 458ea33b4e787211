//! A manifest as it is written, before anything is checked. Every value knows its place in the file.
//!
//! Required fields are optional here, so that one pass reports everything that is missing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

pub(super) type Text = Option<Spanned<String>>;
pub(super) type Number = Option<Spanned<i64>>;
/// A number, or the word that stands for no limit.
pub(super) enum Amount {
    Number(i64),
    Word(String),
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number or `none`")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Amount, E> {
                Ok(Amount::Number(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount::Number(i64::try_from(number).unwrap_or(i64::MAX)))
            }

            fn visit_str<E>(self, word: &str) -> Result<Amount, E> {
                Ok(Amount::Word(word.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

pub(super) type List<T> = Option<Spanned<Vec<Spanned<T>>>>;
pub(super) type Map = Option<Spanned<BTreeMap<String, Spanned<String>>>>;
/// A field that is refused whatever it holds.
pub(super) type Refused = Option<Spanned<IgnoredAny>>;

/// What tells the kind of a document. Read on its own first: another kind has other fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    pub(super) api_version: Text,
    pub(super) kind: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    pub(super) _api_version: Text,
    #[serde(rename = "kind")]
    pub(super) _kind: Text,
    pub(super) metadata: Option<Spanned<Metadata>>,
    pub(super) spec: Option<Spanned<Spec>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: Text,
    pub(super) namespace: Text,
    pub(super) annotations: Map,
    pub(super) labels: Map,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) components: List<Component>,
    #[serde(default, deserialize_with = "one_service")]
    pub(super) service: Option<Spanned<Service>>,
    pub(super) host_interfaces: List<HostInterface>,
    pub(super) links: List<Link>,
    pub(super) volumes: List<Volume>,
    pub(super) schedules: List<Schedule>,
    pub(super) host_selector: Refused,
    pub(super) host_id: Refused,
    pub(super) environment: Refused,
    pub(super) kubernetes: Refused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Component {
    pub(super) name: Text,
    pub(super) image: Text,
    pub(super) image_pull_secret: Option<Spanned<PullSecret>>,
    pub(super) image_pull_policy: Text,
    pub(super) pool_size: Number,
    pub(super) max_invocations: Number,
    pub(super) max_concurrency: Number,
    pub(super) local_resources: Option<Spanned<LocalResources>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Service {
    pub(super) image: Text,
    pub(super) image_pull_secret: Option<Spanned<PullSecret>>,
    pub(super) image_pull_policy: Text,
    pub(super) max_restarts: Number,
    pub(super) ports: List<Port>,
    pub(super) local_resources: Option<Spanned<LocalResources>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PullSecret {
    pub(super) name: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Port {
    pub(super) name: Text,
    pub(super) container_port: Number,
    pub(super) host_port: Number,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: Text,
    pub(super) protocol: Text,
    pub(super) tls: Option<Spanned<PortTls>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PortTls {
    pub(super) certificate: Text,
    pub(super) key: Text,
}

/// There is one: who writes a list is told so, rather than that its first entry is no image.
fn one_service<'de, D>(deserializer: D) -> Result<Option<Spanned<Service>>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    struct One(Service);

    impl<'de> Deserialize<'de> for One {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = One;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("one mapping, as a workload has one service at most")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<One, A::Error> {
                    let map = serde::de::value::MapAccessDeserializer::new(map);
                    Service::deserialize(map).map(One)
                }
            }
            deserializer.deserialize_any(Visitor)
        }
    }

    let found: Option<Spanned<One>> = Option::deserialize(deserializer)?;
    Ok(found.map(|found| Spanned {
        value: found.value.0,
        referenced: found.referenced,
        defined: found.defined,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LocalResources {
    pub(super) environment: Option<Spanned<Environment>>,
    pub(super) config: Map,
    pub(super) memory_limit_mb: Option<Spanned<Amount>>,
    pub(super) cpu_limit: Option<Spanned<Amount>>,
    pub(super) timeout_ms: Option<Spanned<Amount>>,
    pub(super) volume_mounts: List<VolumeMount>,
    pub(super) allowed_hosts: List<String>,
    pub(super) allowed_ip_name_lookups: List<String>,
    pub(super) allowed_host_loopback_ports: List<String>,
    pub(super) secrets: List<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Environment {
    pub(super) config: Map,
    pub(super) config_from: Refused,
    pub(super) secret_from: Refused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub(super) name: Text,
    pub(super) mount_path: Text,
    pub(super) read_only: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct HostInterface {
    pub(super) name: Text,
    pub(super) namespace: Text,
    pub(super) package: Text,
    pub(super) interfaces: List<String>,
    pub(super) version: Text,
    pub(super) config: Map,
    pub(super) config_from: Refused,
    pub(super) secret_from: Refused,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Link {
    pub(super) from: Text,
    pub(super) import: Text,
    pub(super) to: Text,
    pub(super) kind: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Schedule {
    pub(super) name: Text,
    pub(super) component: Text,
    pub(super) function: Text,
    pub(super) args: List<String>,
    pub(super) schedule: Text,
    pub(super) time_zone: Text,
    pub(super) concurrency_policy: Text,
    pub(super) missed_runs: Text,
    pub(super) suspend: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Volume {
    pub(super) name: Text,
    pub(super) ephemeral: Option<Spanned<Ephemeral>>,
    pub(super) host_path: Option<Spanned<HostPath>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Ephemeral {
    pub(super) size_limit_mb: Option<Spanned<Amount>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostPath {
    pub(super) path: Text,
}
