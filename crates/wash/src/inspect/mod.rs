//! `wash inspect`: what a component is, or how the components of a workload are linked.

mod component;
mod plan;

use std::io;
use std::path::Path;

use wasmcloud::artifact::Fetch;
use wasmcloud::assembly::HostConfig;
use wasmcloud::engine::plan::Offers;

use crate::cli::InspectArgs;
use crate::failure::Failure;
use crate::images;
use crate::project::{self, Project, ToRun};
use crate::ui::Ui;

pub(crate) use component::{built_file, world_of_bytes};
pub(crate) use plan::{plan_json, plan_text};

pub(crate) async fn run(args: &InspectArgs, ui: &Ui) -> Result<(), Failure> {
    let path = &args.path;
    if let Some(text) = path.to_str().filter(|text| images::is_reference(text)) {
        return match args.wit {
            true => images::inspect_wit(text, &args.registry, ui).await,
            false => images::inspect(text, &args.registry, ui).await,
        };
    }
    let metadata = path.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("there is no {}", path.display())),
        _ => Failure::io("cannot open", path.display(), &error),
    })?;
    if metadata.is_file() && !is_manifest(path) {
        return component::run(path, args.wit, ui).await;
    }
    if args.wit {
        return Err(
            Failure::usage("`--wit` is for a component").hint("give the path of a `.wasm` file")
        );
    }
    if metadata.is_dir() {
        let project = Project::open(path)?;
        let mut options = project.config.images();
        let manifest = project.manifest.as_deref().map(project::of_manifest);
        let manifest = manifest.transpose()?.unwrap_or_default();
        let parts = project.config.parts().map(|part| &part.image);
        let named = images::registries_of(parts.chain(images::images_of(&manifest)));
        images::say(&mut options, named, &args.registry)?;
        let source = images::source(&options)?;
        let offers = offers_of(&project).await?;
        let workloads = of_project(&project, &offers, Some(source.as_ref())).await?;
        return plan::run(&workloads, &offers, source.as_ref(), ui).await;
    }
    let workloads = project::of_manifest(path)?;
    let mut options = images::usual();
    let named = images::registries_of(images::images_of(&workloads));
    images::say(&mut options, named, &args.registry)?;
    let source = images::source(&options)?;
    let offers = wasmcloud::assembly::offers();
    plan::run(&workloads, &offers, source.as_ref(), ui).await
}

/// What the host of a project offers, with the plugins of its configuration.
async fn offers_of(project: &Project) -> Result<Offers, Failure> {
    let config = HostConfig {
        component_plugins: project.config.host_plugins.clone(),
        images: project.config.images(),
        ..HostConfig::default()
    };
    let offers = wasmcloud::assembly::offers_of(&config).await;
    offers.map_err(|error| Failure::new(error.to_string()))
}

pub(crate) fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// The workloads of a project: those of its manifest, or what was built last. Without `pulling`, no registry is asked what the images
/// are that its configuration names.
pub(crate) async fn of_folder(dir: &Path, pulling: bool) -> Result<Vec<ToRun>, Failure> {
    let project = Project::open(dir)?;
    let source = pulling.then(|| images::source(&project.config.images()));
    let source = source.transpose()?;
    of_project(&project, &offers_of(&project).await?, source.as_deref()).await
}

async fn of_project(
    project: &Project,
    offers: &Offers,
    source: Option<&dyn Fetch>,
) -> Result<Vec<ToRun>, Failure> {
    let dir = &project.dir;
    if let Some(manifest) = &project.manifest {
        return project::of_manifest(manifest);
    }
    let built = component::built(project)?;
    let config = &project.config;
    if built.is_empty() && config.components.is_empty() && config.service.named.is_none() {
        let message = format!(
            "{} has no manifest and no components that were built",
            dir.display()
        );
        return Err(Failure::new(message)
            .hint("run `wash build` first, or give the path of a manifest or a component"));
    }
    let named = project::worlds(project, source).await?;
    Ok(vec![project::derive(project, &built, offers, &named)?])
}
