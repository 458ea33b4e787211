//! Volumes, and where components mount them.

use std::collections::BTreeMap;

use serde_saphyr::{Location, Spanned};

use super::checker::Checker;
use super::raw;
use crate::workload::diagnostic::quoted;
use crate::workload::model::{Volume, VolumeSource};
use crate::workload::resources::{Mebibytes, MountPathError, VolumeMount};

pub(super) fn mounts(
    checker: &mut Checker,
    list: &raw::List<raw::VolumeMount>,
) -> Vec<VolumeMount> {
    let mut seen = BTreeMap::new();
    let mut mounts = Vec::new();
    for item in list.iter().flat_map(|list| &list.value) {
        let raw = &item.value;
        let name = checker.required(item.referenced, "the mount", "name", raw.name.as_ref());
        let path = raw.mount_path.as_ref();
        let path = checker.required(item.referenced, "the mount", "mountPath", path);
        let Some((name, path)) = name.zip(path) else {
            continue;
        };
        let Some(mount_path) = mount_path(checker, path) else {
            continue;
        };
        let what = format!("a mount at {}", quoted(&path.value));
        checker.unique(&mut seen, mount_path.clone(), &what, path.referenced);
        mounts.push(VolumeMount {
            name: name.value.clone(),
            mount_path,
            read_only: raw.read_only.unwrap_or_default(),
        });
    }
    mounts
}

fn mount_path(checker: &mut Checker, path: &Spanned<String>) -> Option<String> {
    VolumeMount::path(&path.value)
        .map_err(|error| {
            let up = matches!(error, MountPathError::Up(_));
            let hint = up.then_some("write the path where the component sees the volume");
            checker.error(path.referenced, error.to_string(), hint);
        })
        .ok()
}

/// Every mount must name a volume of the workload.
pub(super) fn check_mounts(checker: &mut Checker, spec: &raw::Spec) {
    let volumes = spec.volumes.iter().flat_map(|list| &list.value);
    let names: Vec<&str> = volumes
        .filter_map(|volume| volume.value.name.as_ref())
        .map(|name| name.value.as_str())
        .collect();
    let components = spec.components.iter().flat_map(|list| &list.value);
    let resources = components.filter_map(|component| component.value.local_resources.as_ref());
    let service = spec
        .service
        .iter()
        .filter_map(|service| service.value.local_resources.as_ref());
    let mounts = resources
        .chain(service)
        .flat_map(|resources| resources.value.volume_mounts.iter())
        .flat_map(|list| &list.value);
    for name in mounts.filter_map(|mount| mount.value.name.as_ref()) {
        if !names.contains(&name.value.as_str()) {
            checker.unknown(name, "is no volume of this workload", &names);
        }
    }
}

pub(super) fn volumes(checker: &mut Checker, list: &raw::List<raw::Volume>) -> Vec<Volume> {
    let mut seen = BTreeMap::new();
    let items = list.iter().flat_map(|list| &list.value);
    items
        .enumerate()
        .filter_map(|(index, item)| volume(checker, index, item, &mut seen))
        .collect()
}

fn volume(
    checker: &mut Checker,
    index: usize,
    item: &Spanned<raw::Volume>,
    seen: &mut BTreeMap<String, Location>,
) -> Option<Volume> {
    let at = item.referenced;
    let raw = &item.value;
    let base = format!("spec.volumes.{index}");
    checker.place(&base, at);
    checker.place_field(&base, "ephemeral", raw.ephemeral.as_ref());
    checker.place_field(&base, "hostPath", raw.host_path.as_ref());
    let name = checker.required(at, "the volume", "name", raw.name.as_ref())?;
    let what = format!("a volume called {}", quoted(&name.value));
    checker.unique(seen, name.value.clone(), &what, name.referenced);
    if name.value.is_empty() {
        checker.error(name.referenced, "the name of the volume is empty", None);
    }
    let source = match (&raw.ephemeral, &raw.host_path) {
        (Some(ephemeral), None) => {
            let limit = ephemeral.value.size_limit_mb.as_ref();
            checker.place_field(&format!("{base}.ephemeral"), "sizeLimitMb", limit);
            VolumeSource::Ephemeral(checker.limit(limit, Mebibytes))
        }
        (None, Some(host)) => host_path(checker, &base, host)?,
        _ => {
            let message = format!(
                "the volume {} needs exactly one source",
                quoted(&name.value)
            );
            let hint = "write `ephemeral: {}` or `hostPath: {path: /srv/data}`";
            checker.error(at, message, Some(hint));
            return None;
        }
    };
    Some(Volume {
        name: name.value.clone(),
        source,
    })
}

fn host_path(
    checker: &mut Checker,
    base: &str,
    host: &Spanned<raw::HostPath>,
) -> Option<VolumeSource> {
    let path = host.value.path.as_ref();
    checker.place_field(&format!("{base}.hostPath"), "path", path);
    let path = checker.required(host.referenced, "`hostPath`", "path", path)?;
    if !path.value.starts_with('/') || path.value.contains('\0') {
        let message = format!("found {}, wanted an absolute path", quoted(&path.value));
        let hint = "write the folder of the machine, such as `/srv/data`";
        checker.error(path.referenced, message, Some(hint));
        return None;
    }
    Some(VolumeSource::HostPath(path.value.clone().into()))
}
