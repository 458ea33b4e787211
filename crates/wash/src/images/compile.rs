//! `wash compile`: pulls and compiles what is to run elsewhere or later, and runs nothing.

use std::path::{Path, PathBuf};

use serde_json::json;
use wasmcloud::artifact::By;
use wasmcloud::assembly::{Compiled, HostConfig, compile, offers};
use wasmcloud::engine::EngineOptions;
use wasmcloud::engine::inspect::inspect;
use wasmcloud::host::StartRequest;
use wasmcloud::registry::ImageOptions;
use wasmcloud::workload::{Image, Pull, Reference, Workload, WorkloadId};

use super::args::CompileArgs;
use super::{is_reference, local, of_image, open, options, reference};
use crate::dev::usual_cache;
use crate::failure::Failure;
use crate::inspect::{built_file, is_manifest};
use crate::project::{self, Built, Project, ToRun, Worlds};
use crate::ui::{Ui, count};

pub(crate) async fn run(args: CompileArgs, ui: &Ui) -> Result<(), Failure> {
    let cache_dir = args.cache_dir.clone().or_else(usual_cache).ok_or_else(|| {
        Failure::new(
            "there is no folder for what is compiled: neither `XDG_CACHE_HOME` nor `HOME` is set",
        )
        .hint("name one with `--cache-dir`")
    })?;
    let mut images = options(&registries(&args)?, &args.registry)?;
    images.cache = local::folder(&args.cache);
    let wanted = wanted(&args.what, &images).await?;
    let config = HostConfig {
        images,
        engine: EngineOptions {
            cache_dir: Some(cache_dir.clone()),
            ..EngineOptions::default()
        },
        ..HostConfig::default()
    };
    let bar = ui.progress("compiling");
    let mut all = Vec::new();
    for to_run in &wanted {
        let request = StartRequest {
            id: id(&to_run.workload)?,
            workload: to_run.workload.clone(),
            base: to_run.base.clone(),
            replaces: None,
        };
        let compiled = compile(&request, &config).await;
        let compiled = compiled.map_err(|errors| {
            let problems = errors.iter().flat_map(|error| to_run.start_problems(error));
            Failure::from(problems.collect::<Vec<_>>())
        })?;
        all.push((request.id.to_string(), compiled));
    }
    drop(bar);
    told(&all, &cache_dir, ui)
}

/// What is to be compiled: one component by itself, or the workloads of a manifest.
async fn wanted(what: &str, images: &ImageOptions) -> Result<Vec<ToRun>, Failure> {
    if is_reference(what) {
        return Ok(vec![alone(what, images).await?]);
    }
    let path = Path::new(what);
    if !path.exists() {
        return Err(Failure::new(format!("there is no {what}")).hint(
            "name an image (`registry/repository:tag`), a component (`.wasm`) or a manifest",
        ));
    }
    if is_manifest(path) {
        return project::of_manifest(path);
    }
    let built = built_file(path)?;
    Ok(vec![project::derive(
        &Project::of_a_file(),
        &[built],
        &offers(),
        &Worlds::new(),
    )?])
}

/// A workload of an image alone, with what its component asks for.
async fn alone(what: &str, images: &ImageOptions) -> Result<ToRun, Failure> {
    let reference = reference(what)?;
    let pull = Pull::default();
    let pulled = open(images)?.pull(&reference, &pull, By::Host, None).await;
    let pulled = pulled.map_err(|error| of_image(&reference, &error))?;
    let inspected = inspect(&pulled.bytes);
    let built = Built {
        name: reference
            .repository()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned(),
        path: PathBuf::new(),
        inspected: inspected.map_err(|error| Failure::new(format!("`{reference}`: {error}")))?,
        changed: false,
    };
    let mut to_run = project::derive(
        &Project::of_a_file(),
        &[built],
        &offers(),
        &Worlds::new(),
    )?;
    let workload = &mut to_run.workload;
    let service = workload
        .service
        .iter_mut()
        .map(|service| &mut service.component);
    for component in workload.components.iter_mut().chain(service) {
        component.image = Image::Registry(pulled.reference.clone());
    }
    Ok(to_run)
}

/// The registries that certificates of the command line are for: those that the manifest names.
fn registries(args: &CompileArgs) -> Result<Vec<Reference>, Failure> {
    if is_reference(&args.what) {
        return Ok(vec![reference(&args.what)?]);
    }
    let path = Path::new(&args.what);
    if !path.exists() || !is_manifest(path) {
        return Ok(Vec::new());
    }
    let all = project::of_manifest(path)?;
    let parts = all.iter().flat_map(|to_run| to_run.workload.parts());
    let named = parts.filter_map(|component| match &component.image {
        Image::Registry(reference) => Some(reference.clone()),
        Image::File(_) => None,
    });
    Ok(named.collect())
}

fn id(workload: &Workload) -> Result<WorkloadId, Failure> {
    let id = format!("{}:{}", workload.namespace, workload.name);
    id.parse().map_err(|error| Failure::new(format!("{error}")))
}

fn told(all: &[(String, Compiled)], cache_dir: &Path, ui: &Ui) -> Result<(), Failure> {
    let value = || {
        let workloads = all.iter().map(|(id, compiled)| {
            json!({"workload": id, "compiled": compiled.compiled, "cached": compiled.cached})
        });
        json!({"cacheDir": cache_dir, "workloads": workloads.collect::<Vec<_>>()})
    };
    ui.result(value, || {
        let lines = all.iter().map(|(id, compiled)| {
            let made = count(compiled.compiled, "artifact");
            format!(
                "{id}: {made} compiled, {} in the cache already",
                compiled.cached
            )
        });
        let folder = std::iter::once(format!("in {}", cache_dir.display()));
        lines.chain(folder).collect::<Vec<_>>().join("\n")
    })
}
