//! One document of a manifest: is it a workload at all, and what are its parts.

use std::path::Path;
use std::sync::Arc;

use serde_saphyr::{Error, Spanned};

use super::checker::Checker;
use super::raw::{Document, Header, Metadata, Spec};
use super::{API_VERSION, Manifest, components, interfaces, links, schedules, volumes};
use crate::workload::diagnostic::{Diagnostic, quoted};
use crate::workload::model::Workload;
use crate::workload::names::Namespace;
use crate::workload::yaml::{decode_all, explain};

/// The one kind that is read here.
const KIND: &str = "Workload";
/// Kinds of the same API that only a cluster's control plane acts on.
const CLUSTER_KINDS: [&str; 4] = [
    "WorkloadDeployment",
    "WorkloadReplicaSet",
    "Host",
    "Artifact",
];

/// Reads every document of a file.
///
/// The text is decoded twice, because only the header tells whether the strict shape applies. Both
/// decodings see the same documents: they skip the empty ones and end at broken syntax alike.
pub(super) fn read_all(file: &Arc<Path>, source: &Arc<str>) -> (Vec<Manifest>, Vec<Diagnostic>) {
    let mut headers = decode_all::<Spanned<Header>>(source).into_iter();
    let mut manifests = Vec::new();
    let mut errors = Vec::new();
    for document in decode_all::<Spanned<Document>>(source) {
        let mut checker = Checker::new(file, source);
        let known = match (headers.next(), &document) {
            (Some(Ok(header)), _) => check_header(&mut checker, &header),
            // The strict shape fails as well, and says more.
            (_, Err(_)) => true,
            (Some(Err(error)), Ok(_)) => {
                checker.errors.push(explain(&error, file, source));
                false
            }
            (None, Ok(document)) => {
                checker.error(
                    document.referenced,
                    "the kind of the document is unclear",
                    None,
                );
                false
            }
        };
        if known {
            manifests.extend(read_one(checker, document, &mut errors));
        } else {
            errors.append(&mut checker.errors);
        }
    }
    (manifests, errors)
}

fn read_one(
    mut checker: Checker,
    document: Result<Spanned<Document>, Error>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Manifest> {
    let workload = match document {
        Ok(document) => workload(&mut checker, &document),
        Err(error) => {
            let Checker {
                locations, errors, ..
            } = &mut checker;
            errors.push(explain(&error, &locations.file, &locations.source));
            None
        }
    };
    errors.append(&mut checker.errors);
    workload.map(|workload| Manifest {
        workload,
        locations: checker.locations,
    })
}

/// Whether the strict shape applies to the document. Whatever is wrong with the header is reported.
fn check_header(checker: &mut Checker, header: &Spanned<Header>) -> bool {
    let Header { api_version, kind } = &header.value;
    let hint = format!("begin with `apiVersion: {API_VERSION}` and `kind: Workload`");
    let missing = match (api_version, kind) {
        (None, None) => Some("the document has neither `apiVersion` nor `kind`"),
        (None, Some(_)) => Some("the document has no `apiVersion`"),
        (Some(_), None) => Some("the document has no `kind`"),
        (Some(_), Some(_)) => None,
    };
    if let Some(message) = missing {
        checker.error(header.referenced, message, Some(&hint));
    }
    let version = api_version
        .as_ref()
        .is_none_or(|version| check_version(checker, version));
    let kind = kind.as_ref().is_some_and(|kind| check_kind(checker, kind));
    version && kind
}

fn check_version(checker: &mut Checker, version: &Spanned<String>) -> bool {
    if version.value == API_VERSION {
        return true;
    }
    let hint = format!("write `apiVersion: {API_VERSION}`");
    let message = format!(
        "found apiVersion {}, wanted `{API_VERSION}`",
        quoted(&version.value)
    );
    checker.error(version.referenced, message, Some(&hint));
    false
}

fn check_kind(checker: &mut Checker, kind: &Spanned<String>) -> bool {
    if kind.value == KIND {
        return true;
    }
    if CLUSTER_KINDS.contains(&kind.value.as_str()) {
        let kind_is = format!("kind `{}` is for a cluster's control plane", kind.value);
        let hint = "write a `kind: Workload` with the same components";
        checker.error(
            kind.referenced,
            format!("{kind_is}; a host runs `kind: {KIND}`"),
            Some(hint),
        );
    } else {
        checker.unknown(kind, "is no kind that a host runs", &[KIND]);
    }
    false
}

/// The checked workload. Parts with errors are left out of it; the errors are with the checker.
fn workload(checker: &mut Checker, document: &Spanned<Document>) -> Option<Workload> {
    let start = document.referenced;
    checker.place("", start);
    let metadata = document.value.metadata.as_ref();
    let spec = document.value.spec.as_ref();
    let metadata = checker.required(start, "the document", "metadata", metadata);
    let spec = checker.required(start, "the document", "spec", spec);
    let workload = metadata.and_then(|metadata| named(checker, metadata));
    let mut workload = workload?;
    fill(checker, &mut workload, spec?);
    Some(workload)
}

fn named(checker: &mut Checker, metadata: &Spanned<Metadata>) -> Option<Workload> {
    let at = metadata.referenced;
    let metadata = &metadata.value;
    checker.place("metadata", at);
    checker.place_field("metadata", "name", metadata.name.as_ref());
    checker.place_field("metadata", "namespace", metadata.namespace.as_ref());
    let name = checker.required(at, "`metadata`", "name", metadata.name.as_ref());
    let name = name.and_then(|name| checker.parse(name));
    let namespace = match &metadata.namespace {
        Some(namespace) => checker.parse(namespace),
        None => Some(Namespace::default()),
    };
    Some(Workload {
        namespace: namespace?,
        name: name?,
        annotations: checker.map(&metadata.annotations, "the annotation"),
        labels: checker.map(&metadata.labels, "the label"),
        components: Vec::new(),
        service: None,
        host_interfaces: Vec::new(),
        links: Vec::new(),
        volumes: Vec::new(),
        schedules: Vec::new(),
    })
}

fn fill(checker: &mut Checker, workload: &mut Workload, spec: &Spanned<Spec>) {
    let at = spec.referenced;
    let spec = &spec.value;
    checker.place("spec", at);
    checker.place_field("spec", "components", spec.components.as_ref());
    checker.place_field("spec", "hostInterfaces", spec.host_interfaces.as_ref());
    checker.place_field("spec", "links", spec.links.as_ref());
    checker.place_field("spec", "volumes", spec.volumes.as_ref());
    checker.place_field("spec", "schedules", spec.schedules.as_ref());
    refuse_placement(checker, spec);
    let empty = spec
        .components
        .as_ref()
        .is_none_or(|list| list.value.is_empty());
    if empty && spec.service.is_none() {
        let hint = "list components under `spec.components`, each with `name` and `image`, or add a `spec.service`";
        checker.error(at, "the workload has no components", Some(hint));
    }
    workload.volumes = volumes::volumes(checker, &spec.volumes);
    workload.components = components::components(checker, spec);
    workload.service = spec
        .service
        .as_ref()
        .and_then(|service| components::service(checker, service));
    volumes::check_mounts(checker, spec);
    workload.host_interfaces = interfaces::host_interfaces(checker, &spec.host_interfaces);
    workload.links = links::links(checker, spec);
    workload.schedules = schedules::schedules(checker, spec);
}

fn refuse_placement(checker: &mut Checker, spec: &Spec) {
    let fields = [
        ("hostSelector", &spec.host_selector),
        ("hostId", &spec.host_id),
        ("environment", &spec.environment),
        ("kubernetes", &spec.kubernetes),
    ];
    for (name, field) in fields {
        let message = format!("`{name}` is for a scheduler; a host runs what it is given");
        let hint = if name == "environment" {
            "remove it; variables of a component go under its `localResources.environment.config`"
        } else {
            "remove it"
        };
        checker.refuse(field, &message, hint);
    }
}
