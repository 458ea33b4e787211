//! A workload for a project that has no manifest: what was built, with the grants that it asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wasmcloud::engine::inspect::{Inspected, World};
use wasmcloud::engine::plan::Offers;
use wasmcloud::plugin::Grant;
use wasmcloud::workload::{
    Component, ComponentName, HostInterface, Interface, LocalResources, Namespace, Reuse, Service,
    Volume, VolumeMount, VolumeSource, Workload,
};

use super::part::{Part, Worlds};
use super::resources::{Folder, Reach};
use super::service::{self, Chosen, Ports};
use super::{Config, Project, ToRun, label};
use crate::failure::Failure;

/// How often in a row a service is started again after a crash where no manifest says it: often enough to wait a few seconds for
/// what it needs, such as a database.
const RESTARTS: u64 = 5;

/// A component that was built.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    /// The name of its package.
    pub(crate) name: String,
    /// Where it is, relative to the project.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) inspected: Inspected,
    /// Whether it differs from what was there before.
    pub(crate) changed: bool,
}

/// The workload of a project without a manifest: its own components, those that the configuration puts beside them, and the
/// grants that all of them need. `named` is what those are that no build makes.
pub(crate) fn derive(
    project: &Project,
    built: &[Built],
    offers: &Offers,
    named: &Worlds,
) -> Result<ToRun, Failure> {
    let config = &project.config;
    let chosen = service::choose(&config.service, built, offers)?;
    let (mut components, mut worlds) = own_components(config, built, chosen.as_ref())?;
    for sidecar in &config.components {
        worlds.extend(named.get(&sidecar.part.image).cloned());
        components.push(component(
            sidecar.name.clone(),
            sidecar.part.clone(),
            resources(&sidecar.environment, &sidecar.config, &sidecar.reach),
            sidecar.reuse,
        ));
    }
    let service = chosen.and_then(|chosen| {
        let part = match chosen {
            Chosen::Built(place) => Part::file(&built.get(place)?.path),
            Chosen::Named(part) => {
                worlds.extend(named.get(&part.image).cloned());
                part.clone()
            }
        };
        Some(service_of(config, part))
    });
    refuse_twice(&components, service.as_ref())?;
    let mut host_interfaces = config.host_interfaces.clone();
    for world in &worlds {
        grant(world, offers, &mut host_interfaces);
    }
    let name = match built {
        [one] => component_name(&one.name)?.to_string(),
        _ => project.name(),
    };
    let workload = Workload {
        namespace: Namespace::default(),
        name: name
            .parse()
            .map_err(|error| Failure::new(format!("{error}")))?,
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
        components,
        service,
        host_interfaces,
        links: Vec::new(),
        volumes: config.volumes.iter().enumerate().map(volume).collect(),
        schedules: Vec::new(),
    };
    Ok(ToRun {
        workload,
        base: project.dir.clone(),
        locations: None,
    })
}

/// The project's own components but for the service, and the worlds of all of them.
fn own_components(
    config: &Config,
    built: &[Built],
    chosen: Option<&Chosen<'_>>,
) -> Result<(Vec<Component>, Vec<Arc<World>>), Failure> {
    let mut components = Vec::new();
    for (place, one) in built.iter().enumerate() {
        if chosen != Some(&Chosen::Built(place)) {
            let name = component_name(&one.name)?;
            let resources = own_resources(config);
            components.push(component(
                name,
                Part::file(&one.path),
                resources,
                Reuse::Fresh,
            ));
        }
    }
    let worlds = built.iter().map(|one| Arc::clone(&one.inspected.world));
    Ok((components, worlds.collect()))
}

/// The service runs with what the project's own components run with.
fn service_of(config: &Config, part: Part) -> Service {
    let mut service = Service::new(part.image, own_resources(config), RESTARTS);
    service.component.pull = part.pull;
    service.ports = config.service.ports.iter().map(Ports::published).collect();
    service
}

fn component_name(package: &str) -> Result<ComponentName, Failure> {
    let name = label(package).and_then(|label| label.parse().ok());
    name.ok_or_else(|| {
        Failure::new(format!(
            "the package name `{package}` cannot be the name of a component"
        ))
    })
}

fn refuse_twice(components: &[Component], service: Option<&Service>) -> Result<(), Failure> {
    let mut seen = BTreeMap::new();
    let service = service.map(|service| &service.component);
    for component in service.into_iter().chain(components) {
        if let Some(other) = seen.insert(&component.name, &component.image) {
            let message = format!(
                "two components are called `{}`: {other} and {}",
                component.name, component.image
            );
            return Err(Failure::new(message).hint("rename one of them"));
        }
    }
    Ok(())
}

/// The folder that the configuration names as the n-th, as a volume.
fn volume((number, folder): (usize, &Folder)) -> Volume {
    Volume {
        name: volume_name(number),
        source: VolumeSource::HostPath(folder.host.clone()),
    }
}

/// Where the project's own components see it.
fn mount((number, folder): (usize, &Folder)) -> VolumeMount {
    VolumeMount {
        name: volume_name(number),
        mount_path: folder.guest.clone(),
        read_only: false,
    }
}

fn volume_name(number: usize) -> String {
    format!("dev-{number}")
}

fn component(
    name: ComponentName,
    part: Part,
    local_resources: LocalResources,
    reuse: Reuse,
) -> Component {
    Component {
        name,
        image: part.image,
        pull: part.pull,
        local_resources,
        reuse,
    }
}

/// What the project's own components run with.
fn own_resources(config: &Config) -> LocalResources {
    LocalResources {
        volume_mounts: config.volumes.iter().enumerate().map(mount).collect(),
        ..resources(&config.environment, &config.config, &config.reach)
    }
}

fn resources(
    environment: &BTreeMap<String, String>,
    config: &BTreeMap<String, String>,
    reach: &Reach,
) -> LocalResources {
    LocalResources {
        allowed_hosts: reach.hosts.clone(),
        allowed_ip_name_lookups: reach.names.clone(),
        allowed_host_loopback_ports: reach.host_ports.clone(),
        environment: environment.clone(),
        config: config.clone(),
        ..LocalResources::default()
    }
}

/// Adds what a component must be granted: exports that the host calls, and imports that have to be listed.
fn grant(world: &World, offers: &Offers, granted: &mut Vec<HostInterface>) {
    let exports = world.exports.iter().filter_map(|export| export.interface());
    let called = exports.filter(|export| {
        offers
            .calls
            .iter()
            .any(|calls| calls.exports.iter().any(|call| call.accepts(export)))
    });
    let imports = world.imports.iter().filter_map(|import| import.interface());
    let listed = imports.filter(|import| {
        offers
            .answer(import)
            .is_some_and(|answer| answer.offer.grant == Grant::Listed)
    });
    for interface in called.chain(listed) {
        if !granted.iter().any(|entry| entry.covers(interface)) {
            add(interface, granted);
        }
    }
}

fn add(interface: &Interface, granted: &mut Vec<HostInterface>) {
    let plain = |entry: &&mut HostInterface| {
        let same_package =
            entry.namespace == interface.namespace && entry.package == interface.package;
        same_package && entry.version.is_none() && entry.name.is_none()
    };
    match granted.iter_mut().find(plain) {
        Some(entry) => drop(entry.interfaces.insert(interface.name.clone())),
        None => granted.push(HostInterface {
            name: None,
            namespace: interface.namespace.clone(),
            package: interface.package.clone(),
            interfaces: [interface.name.clone()].into(),
            version: None,
            config: BTreeMap::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use wasmcloud::engine::inspect::{Extern, ExternKind};
    use wasmcloud::engine::plan::{Answer, Calls};
    use wasmcloud::plugin::Offer;

    use super::*;

    fn id(text: &str) -> Interface {
        text.parse().unwrap()
    }

    fn external(text: &str) -> Extern {
        Extern {
            name: text.to_owned(),
            kind: ExternKind::Interface {
                interface: id(text),
                types_only: false,
                confined: None,
            },
        }
    }

    #[test]
    fn grants_follow_from_what_a_component_imports_and_exports() {
        let listed = Offer {
            grant: Grant::Listed,
            ..Offer::shared(id("wasi:keyvalue/store@0.2.0"))
        };
        let free = Offer::shared(id("wasi:random/random@0.2.0"));
        let offers = Offers {
            answers: vec![
                Answer {
                    plugin: "kv",
                    offer: listed,
                },
                Answer {
                    plugin: "wasi",
                    offer: free,
                },
            ],
            calls: vec![Calls {
                plugin: "http",
                exports: vec![
                    id("wasi:http/handler@0.3.0"),
                    id("wasi:http/incoming-handler@0.2.12"),
                ],
                every: false,
            }],
            ..Offers::default()
        };
        let world = World {
            imports: [
                "wasi:keyvalue/store@0.2.0",
                "wasi:random/random@0.2.0",
                "demo:a/b",
            ]
            .map(external)
            .to_vec(),
            exports: [
                "wasi:http/incoming-handler@0.2.0",
                "wasi:http/handler@0.3.0",
                "demo:c/d",
            ]
            .map(external)
            .to_vec(),
            ..World::default()
        };
        let mut granted = Vec::new();
        grant(&world, &offers, &mut granted);
        grant(&world, &offers, &mut granted);
        let shown: Vec<String> = granted.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["wasi:http/handler,incoming-handler", "wasi:keyvalue/store"]
        );
    }

    #[test]
    fn what_is_listed_already_is_not_listed_again() {
        let offers = Offers {
            answers: Vec::new(),
            calls: vec![Calls {
                plugin: "http",
                exports: vec![id("wasi:http/incoming-handler@0.2.12")],
                every: false,
            }],
            ..Offers::default()
        };
        let world = World {
            exports: vec![external("wasi:http/incoming-handler@0.2.0")],
            ..World::default()
        };
        let mut granted = vec!["wasi:http/incoming-handler@0.2.2".parse().unwrap()];
        grant(&world, &offers, &mut granted);
        assert_eq!(granted.len(), 1);
    }
}
