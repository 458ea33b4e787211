//! Components, the service, and what each of them runs with.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde_saphyr::{Location, Spanned};

use super::checker::Checker;
use super::ports::ports;
use super::raw;
use super::volumes::mounts;
use crate::workload::diagnostic::quoted;
use crate::workload::egress::AllowedHostError;
use crate::workload::model::{Component, Image, Service};
use crate::workload::names::ComponentName;
use crate::workload::pull::{Pull, PullPolicy};
use crate::workload::reach::ReachError;
use crate::workload::resources::{Limits, LocalResources, Mebibytes, Milliseconds, Reuse};
use crate::workload::secret::{SecretName, SecretNameError};

/// Taken: a link writes it for the host.
const HOST: &str = "host";
const POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

pub(super) fn components(checker: &mut Checker, spec: &raw::Spec) -> Vec<Component> {
    let mut seen = BTreeMap::new();
    let items = || spec.components.iter().flat_map(|list| &list.value);
    if spec.service.is_some() {
        let names = items().filter_map(|item| item.value.name.as_ref());
        let service = ComponentName::service();
        for name in names.filter(|name| name.value == service.as_str()) {
            let message = "a component is called `service`, as the service of the workload is";
            checker.error(name.referenced, message, Some("choose another name"));
        }
    }
    items()
        .filter_map(|item| component(checker, item, &mut seen))
        .collect()
}

fn component(
    checker: &mut Checker,
    item: &Spanned<raw::Component>,
    seen: &mut BTreeMap<String, Location>,
) -> Option<Component> {
    let at = item.referenced;
    let raw = &item.value;
    let name = checker.required(at, "the component", "name", raw.name.as_ref());
    let name: Option<ComponentName> = name.and_then(|name| component_name(checker, name, seen));
    let what = name.as_ref().map_or_else(
        || "the component".to_owned(),
        |name| format!("component `{name}`"),
    );
    let base = name.as_ref().map(|name| format!("spec.components.{name}"));
    if let Some(base) = &base {
        checker.place(base, at);
        checker.place_field(base, "name", raw.name.as_ref());
        checker.place_field(base, "image", raw.image.as_ref());
        checker.place_field(base, "poolSize", raw.pool_size.as_ref());
        checker.place_field(base, "localResources", raw.local_resources.as_ref());
    }
    let image = image(checker, at, &what, raw.image.as_ref());
    let pull = pull(
        checker,
        image.as_ref(),
        &raw.image_pull_secret,
        &raw.image_pull_policy,
    );
    let reuse = reuse(checker, raw);
    let base = base.unwrap_or_default();
    let local_resources = local_resources(checker, &base, raw.local_resources.as_ref());
    Some(Component {
        name: name?,
        image: image?,
        pull,
        local_resources,
        reuse,
    })
}

fn component_name(
    checker: &mut Checker,
    name: &Spanned<String>,
    seen: &mut BTreeMap<String, Location>,
) -> Option<ComponentName> {
    let at = name.referenced;
    if name.value == HOST {
        let hint = "choose another name; links write `host` for the host itself";
        checker.error(at, "no component can be called `host`", Some(hint));
        return None;
    }
    let what = format!("a component called {}", quoted(&name.value));
    checker.unique(seen, name.value.clone(), &what, at);
    checker.parse(name)
}

fn image(
    checker: &mut Checker,
    at: Location,
    what: &str,
    image: Option<&Spanned<String>>,
) -> Option<Image> {
    let image = checker.required(at, what, "image", image)?;
    checker.parse(image)
}

fn pull(
    checker: &mut Checker,
    image: Option<&Image>,
    secret: &Option<Spanned<raw::PullSecret>>,
    policy: &Option<Spanned<String>>,
) -> Pull {
    let places = [
        ("imagePullSecret", secret.as_ref().map(|it| it.referenced)),
        ("imagePullPolicy", policy.as_ref().map(|it| it.referenced)),
    ];
    for (field, at) in places {
        if let (Some(Image::File(_)), Some(at)) = (image, at) {
            let message = format!("`{field}` is for registry images; a file is always read");
            checker.error(at, message, Some("remove it"));
        }
    }
    Pull {
        policy: policy
            .as_ref()
            .and_then(|policy| pull_policy(checker, policy)),
        secret: secret.as_ref().and_then(|secret| {
            let (at, raw) = (secret.referenced, &secret.value);
            let name = checker.required(at, "`imagePullSecret`", "name", raw.name.as_ref());
            name.and_then(|name| checker.parse(name))
        }),
    }
}

fn pull_policy(checker: &mut Checker, policy: &Spanned<String>) -> Option<PullPolicy> {
    let parsed = policy.value.parse().ok();
    if parsed.is_none() {
        checker.unknown(policy, "is no pull policy", &POLICIES);
    }
    parsed
}

fn reuse(checker: &mut Checker, raw: &raw::Component) -> Reuse {
    let size = checker
        .positive(raw.pool_size.as_ref())
        .and_then(NonZeroU32::new);
    let invocations = checker
        .positive(raw.max_invocations.as_ref())
        .and_then(NonZeroU32::new);
    let concurrency = checker
        .positive(raw.max_concurrency.as_ref())
        .and_then(NonZeroU32::new);
    if let Some(size) = size {
        return Reuse::Pooled {
            size,
            max_invocations: invocations,
            max_concurrency: concurrency.unwrap_or(NonZeroU32::MIN),
        };
    }
    let fields = [
        ("maxInvocations", invocations, &raw.max_invocations),
        ("maxConcurrency", concurrency, &raw.max_concurrency),
    ];
    for (name, value, field) in fields {
        if let (Some(_), Some(field)) = (value, field) {
            let message = format!("`{name}` is for pooled instances, and there is no `poolSize`");
            let hint = format!("add `poolSize`, or remove `{name}`");
            checker.error(field.referenced, message, Some(&hint));
        }
    }
    Reuse::Fresh
}

pub(super) fn service(checker: &mut Checker, service: &Spanned<raw::Service>) -> Option<Service> {
    let at = service.referenced;
    let raw = &service.value;
    checker.place("spec.service", at);
    let image = image(checker, at, "the service", raw.image.as_ref());
    let pull = pull(
        checker,
        image.as_ref(),
        &raw.image_pull_secret,
        &raw.image_pull_policy,
    );
    // Whatever is found out later about a component is found out about the service as well.
    let base = format!("spec.components.{}", ComponentName::service());
    checker.place(&base, at);
    checker.place_field(&base, "image", raw.image.as_ref());
    let local_resources = local_resources(checker, &base, raw.local_resources.as_ref());
    let cpu = raw
        .local_resources
        .as_ref()
        .and_then(|it| it.value.cpu_limit.as_ref());
    if let Some(cpu) = cpu {
        let message =
            "`cpuLimit` is for one invocation, and a service computes for as long as it lives";
        let hint = "remove it; services share the processors fairly with everything else";
        checker.error(cpu.referenced, message, Some(hint));
    }
    let restarts = raw.max_restarts.as_ref().map_or(Ok(0), |number| {
        u64::try_from(number.value).map_err(|_| (number.referenced, number.value))
    });
    let max_restarts = restarts.unwrap_or_else(|(at, number)| {
        checker.error(at, format!("found {number}, wanted 0 or more"), None);
        0
    });
    let ports = ports(checker, &raw.ports);
    let mut service = Service::new(image?, local_resources, max_restarts);
    service.component.pull = pull;
    service.ports = ports;
    Some(service)
}

fn local_resources(
    checker: &mut Checker,
    base: &str,
    raw: Option<&Spanned<raw::LocalResources>>,
) -> LocalResources {
    let Some(raw) = raw else {
        return LocalResources::default();
    };
    let raw = &raw.value;
    let base = format!("{base}.localResources");
    checker.place_field(&base, "memoryLimitMb", raw.memory_limit_mb.as_ref());
    checker.place_field(&base, "cpuLimit", raw.cpu_limit.as_ref());
    checker.place_field(&base, "timeoutMs", raw.timeout_ms.as_ref());
    checker.place_field(&base, "volumeMounts", raw.volume_mounts.as_ref());
    checker.place_field(&base, "allowedHosts", raw.allowed_hosts.as_ref());
    checker.place_field(
        &base,
        "allowedIpNameLookups",
        raw.allowed_ip_name_lookups.as_ref(),
    );
    let ports = raw.allowed_host_loopback_ports.as_ref();
    checker.place_field(&base, "allowedHostLoopbackPorts", ports);
    checker.place_field(&base, "secrets", raw.secrets.as_ref());
    LocalResources {
        environment: environment(checker, raw.environment.as_ref()),
        config: checker.map(&raw.config, "the config key"),
        limits: Limits {
            memory: checker.limit(raw.memory_limit_mb.as_ref(), Mebibytes),
            cpu: checker.limit(raw.cpu_limit.as_ref(), Milliseconds),
            time: checker.limit(raw.timeout_ms.as_ref(), Milliseconds),
        },
        volume_mounts: mounts(checker, &raw.volume_mounts),
        allowed_hosts: entries(checker, &raw.allowed_hosts, |error: AllowedHostError| {
            error.hint
        }),
        allowed_ip_name_lookups: entries(
            checker,
            &raw.allowed_ip_name_lookups,
            |error: ReachError| error.hint,
        ),
        allowed_host_loopback_ports: entries(
            checker,
            &raw.allowed_host_loopback_ports,
            |error: ReachError| error.hint,
        ),
        secrets: secrets(checker, &raw.secrets),
    }
}

fn secrets(checker: &mut Checker, list: &raw::List<String>) -> Vec<SecretName> {
    let hint = "write the names of secrets, one by one, as the component asks for them";
    let names = entries(checker, list, |_: SecretNameError| hint.to_owned());
    let mut seen = BTreeMap::new();
    for item in list.iter().flat_map(|list| &list.value) {
        let what = format!("the secret {}", quoted(&item.value));
        checker.unique(&mut seen, item.value.clone(), &what, item.referenced);
    }
    names
}

/// A list of what a component may reach, each entry checked at its place.
fn entries<T, E>(
    checker: &mut Checker,
    list: &raw::List<String>,
    hint: impl Fn(E) -> String,
) -> Vec<T>
where
    T: FromStr<Err = E>,
    E: ToString,
{
    let mut entries = Vec::new();
    for item in list.iter().flat_map(|list| &list.value) {
        match item.value.parse::<T>() {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                let message = error.to_string();
                checker.error(item.referenced, message, Some(&hint(error)));
            }
        }
    }
    entries
}

fn environment(
    checker: &mut Checker,
    raw: Option<&Spanned<raw::Environment>>,
) -> BTreeMap<String, String> {
    let Some(raw) = raw else {
        return BTreeMap::new();
    };
    let raw = &raw.value;
    refuse_cluster_sources(checker, &raw.config_from, &raw.secret_from);
    for (key, value) in raw.config.iter().flat_map(|map| &map.value) {
        if key.contains('=') {
            let message = format!("the variable {} has a `=` in its name", quoted(key));
            checker.error(value.referenced, message, None);
        }
    }
    checker.map(&raw.config, "the variable")
}

pub(super) fn refuse_cluster_sources(
    checker: &mut Checker,
    config: &raw::Refused,
    secret: &raw::Refused,
) {
    let hint = "write the values under `config`";
    let message = "`configFrom` names ConfigMaps of a cluster, which a host does not see";
    checker.refuse(config, message, hint);
    let message = "`secretFrom` names Secrets of a cluster, which a host does not see";
    checker.refuse(secret, message, hint);
}
