//! What `.wash/config.yaml` gives components to run with: hosts, folders, pools, each checked at its place.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;
use serde_saphyr::Spanned;
use wasmcloud::workload::{AllowedHost, AllowedName, HostPort, ReachError, Reuse, VolumeMount};

use super::config::Checker;
use super::raw;

/// A folder of the machine that the project's own components see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Without links, as it was when the configuration was read.
    pub(crate) host: PathBuf,
    /// Where they see it.
    pub(crate) guest: String,
}

/// What of the outside a component may reach.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// Hosts that it may send requests and connect to.
    pub(crate) hosts: Vec<AllowedHost>,
    /// Names that it may look up.
    pub(crate) names: Vec<AllowedName>,
    /// Ports of the machine's own loopback.
    pub(crate) host_ports: Vec<HostPort>,
}

/// Reads what of the outside a component may reach: its hosts, names, and ports of the machine.
pub(super) fn reach(
    checker: &mut Checker,
    hosts: &raw::List,
    names: &raw::List,
    host_ports: &raw::List,
) -> Reach {
    let wrong = |error: ReachError| (error.to_string(), error.hint);
    Reach {
        hosts: items(checker, hosts, |text| {
            AllowedHost::from_str(text).map_err(|error| (error.to_string(), error.hint))
        }),
        names: items(checker, names, |text| text.parse().map_err(wrong)),
        host_ports: items(checker, host_ports, |text| text.parse().map_err(wrong)),
    }
}

/// Networks that components may reach.
pub(super) fn networks(checker: &mut Checker, list: &raw::List) -> Vec<IpNet> {
    items(checker, list, |text| {
        text.parse().map_err(|_| {
            let hint = "write a network such as `10.1.0.0/16`, or `127.0.0.1/32` for one address";
            (format!("`{text}` is no network"), hint.to_owned())
        })
    })
}

fn items<T>(
    checker: &mut Checker,
    list: &raw::List,
    read: impl Fn(&str) -> Result<T, (String, String)>,
) -> Vec<T> {
    let mut read_items = Vec::new();
    for item in list.iter().flatten() {
        match read(&item.value) {
            Ok(value) => read_items.push(value),
            Err((message, hint)) => checker.error(item, message, &hint),
        }
    }
    read_items
}

/// Whether instances of a component are used again.
pub(super) fn reuse(checker: &mut Checker, component: &raw::Component) -> Reuse {
    let size = positive(checker, &component.pool_size);
    let invocations = positive(checker, &component.max_invocations);
    let concurrency = positive(checker, &component.max_concurrency);
    if let Some(size) = size {
        return Reuse::Pooled {
            size,
            max_invocations: invocations,
            max_concurrency: concurrency.unwrap_or(NonZeroU32::MIN),
        };
    }
    let fields = [
        ("maxInvocations", invocations, &component.max_invocations),
        ("maxConcurrency", concurrency, &component.max_concurrency),
    ];
    for (name, value, field) in fields {
        if let (Some(_), Some(field)) = (value, field) {
            let message = format!("`{name}` is for pooled instances, and there is no `poolSize`");
            checker.error(
                field,
                message,
                &format!("add `poolSize`, or remove `{name}`"),
            );
        }
    }
    Reuse::Fresh
}

/// A number of at least 1; 0 says the same as nothing.
fn positive(checker: &mut Checker, number: &raw::Number) -> Option<NonZeroU32> {
    let number = number.as_ref()?;
    match u32::try_from(number.value) {
        Ok(value) => NonZeroU32::new(value),
        Err(_) => {
            let message = format!("found {}, wanted 0 to {}", number.value, u32::MAX);
            checker.error(number, message, "0 says the same as leaving it out");
            None
        }
    }
}

/// Folders that must be there: the host allows nothing that only comes later.
pub(super) fn folders(
    checker: &mut Checker,
    dir: &Path,
    list: &[Spanned<raw::Volume>],
) -> Vec<Folder> {
    let mut seen = BTreeMap::new();
    let mut folders = Vec::new();
    for item in list {
        let raw::Volume {
            host_path,
            guest_path,
        } = &item.value;
        let (Some(host_path), Some(guest_path)) = (host_path, guest_path) else {
            let hint = "write `{host_path: ./data, guest_path: /data}`";
            checker.error(item, "a volume needs `host_path` and `guest_path`", hint);
            continue;
        };
        let host = folder(&dir.join(&host_path.value)).map_err(|problem| {
            let message = format!("`{}` {problem}", host_path.value);
            let hint =
                "make it first, or correct the path, which begins at the folder of the project";
            checker.error(host_path, message, hint);
        });
        let guest = VolumeMount::path(&guest_path.value).map_err(|error| {
            let hint = "write the path where the components see the folder, such as `/data`";
            checker.error(guest_path, error.to_string(), hint);
        });
        let (Ok(host), Ok(guest)) = (host, guest) else {
            continue;
        };
        if let Some(line) = seen.insert(guest.clone(), guest_path.referenced.line()) {
            let message =
                format!("`{guest}` is the `guest_path` of another volume, at line {line}");
            checker.error(guest_path, message, "choose another one");
        }
        folders.push(Folder { host, guest });
    }
    folders
}

fn folder(path: &Path) -> Result<PathBuf, String> {
    let found = path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is no folder: it is not there".to_owned(),
        _ => format!("cannot be opened: {error}"),
    })?;
    if found.is_dir() {
        Ok(found)
    } else {
        Err("is no folder".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wasmcloud::assembly::offers;
    use wasmcloud::workload::{VolumeSource, Workload};

    use super::*;
    use crate::project::{Project, Worlds, derive};

    /// A project with a folder `data`, and what its configuration makes of it.
    fn project(config: &str) -> (tempfile::TempDir, Result<Project, String>) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".wash")).unwrap();
        fs::create_dir_all(dir.path().join("data")).unwrap();
        fs::write(dir.path().join(".wash/config.yaml"), config).unwrap();
        let project = Project::open(dir.path()).map_err(|failure| failure.message());
        (dir, project)
    }

    /// The workload of a project whose own component is `own`.
    fn workload(config: &str) -> (tempfile::TempDir, Workload) {
        let (dir, project) = project(config);
        let own = crate::project::Built {
            name: "own".to_owned(),
            path: "own.wasm".into(),
            inspected: wasmcloud::engine::inspect::inspect(b"\0asm\x0d\0\x01\0").unwrap(),
            changed: true,
        };
        let to_run = derive(&project.unwrap(), &[own], &offers(), &Worlds::new()).unwrap();
        (dir, to_run.workload)
    }

    #[test]
    fn each_component_gets_the_hosts_and_the_pool_that_are_its_own() {
        let (_dir, workload) = workload(
            "workload: {allowedHosts: [a.example]}\ndev:\n  components:\n  - {name: side, file: side.wasm, \
             allowedHosts: ['*.b.example'], poolSize: 3, maxInvocations: 9, maxConcurrency: 2}\n  - {name: plain, file: side.wasm}\n",
        );
        let hosts: Vec<Vec<String>> = workload
            .components
            .iter()
            .map(|component| {
                let hosts = &component.local_resources.allowed_hosts;
                hosts.iter().map(ToString::to_string).collect()
            })
            .collect();
        assert_eq!(hosts, [vec!["a.example"], vec!["*.b.example"], vec![]]);
        let number = |number| NonZeroU32::new(number).unwrap();
        let pooled = Reuse::Pooled {
            size: number(3),
            max_invocations: Some(number(9)),
            max_concurrency: number(2),
        };
        let reuse: Vec<Reuse> = workload.components.iter().map(|one| one.reuse).collect();
        assert_eq!(reuse, [Reuse::Fresh, pooled, Reuse::Fresh]);
    }

    #[test]
    fn names_and_ports_of_the_machine_are_granted_to_those_that_list_them_and_to_the_service() {
        let (_dir, workload) = workload(
            "workload: {allowedIpNameLookups: ['*.a.example'], allowedHostLoopbackPorts: ['5432', 53/udp]}\n\
             dev: {service_file: side.wasm, components: [{name: side, file: side.wasm, allowedHostLoopbackPorts: ['80']}]}\n",
        );
        let reach = |component: &wasmcloud::workload::Component| {
            let resources = &component.local_resources;
            let names = resources
                .allowed_ip_name_lookups
                .iter()
                .map(ToString::to_string);
            let ports = resources
                .allowed_host_loopback_ports
                .iter()
                .map(ToString::to_string);
            names.chain(ports).collect::<Vec<_>>().join(" ")
        };
        let reaches: Vec<String> = workload.parts().map(reach).collect();
        assert_eq!(
            reaches,
            ["*.a.example 5432 53/udp", "80", "*.a.example 5432 53/udp"]
        );
    }

    #[test]
    fn folders_become_volumes_of_the_own_components() {
        let (dir, workload) = workload(
            "dev:\n  volumes: [{host_path: ./data, guest_path: /data/}]\n  components: [{name: side, file: side.wasm}]\n",
        );
        let folder = dir.path().canonicalize().unwrap().join("data");
        assert_eq!(workload.volumes[0].source, VolumeSource::HostPath(folder));
        let mounts = |index: usize| &workload.components[index].local_resources.volume_mounts;
        assert_eq!(mounts(0)[0].name, workload.volumes[0].name);
        assert_eq!(mounts(0)[0].mount_path, "/data");
        assert!(mounts(1).is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        for (config, told) in [
            (
                "workload: {allowedHosts: [https://a.example/x]}",
                ":1:27: `https://a.example/x` has more than a host",
            ),
            (
                "workload: {allowedHostLoopbackPorts: ['0']}",
                ":1:39: `0` is no port",
            ),
            (
                "workload: {allowedIpNameLookups: ['a.example:53']}",
                ":1:35: `a.example:53` has a port",
            ),
            (
                "dev: {components: [{name: a, file: b, maxInvocations: 2}]}",
                ":1:55: `maxInvocations` is for pooled instances, and there is no `poolSize`",
            ),
            (
                "dev: {components: [{name: a, file: b, poolSize: -1}]}",
                ":1:49: found -1, wanted 0 to",
            ),
            (
                "dev: {volumes: [{host_path: gone, guest_path: /x}]}",
                ":1:29: `gone` is no folder: it is not there",
            ),
            (
                "dev: {volumes: [{host_path: data, guest_path: x}]}",
                ":1:47: found `x`, wanted an absolute path",
            ),
            (
                "dev: {volumes: [{host_path: data, guest_path: /x}, {host_path: data, guest_path: /x/.}]}",
                ":1:82: `/x` is the `guest_path` of another volume, at line 1",
            ),
            (
                "dev: {volumes: [{host_path: data}]}",
                ":1:17: a volume needs `host_path` and `guest_path`",
            ),
            (
                "dev: {allow_egress: [localhost]}",
                ":1:22: `localhost` is no network",
            ),
        ] {
            let error = project(config).1.unwrap_err();
            assert!(error.contains(told), "{told}\n{error}");
        }
    }
}
