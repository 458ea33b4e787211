//! `wash compile`: pulls and compiles what is to run elsewhere or later, and runs nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use wasmcloud::artifact::By;
use wasmcloud::assembly::{AssembleError, Compiled, Compiler, HostConfig, offers_of};
use wasmcloud::config::HostFile;
use wasmcloud::engine::inspect::inspect;
use wasmcloud::host::StartRequest;
use wasmcloud::registry::{AuthSource, Progress};
use wasmcloud::workload::{Image, Pull, Reference, Workload, WorkloadId};

use super::args::CompileArgs;
use super::{images_of, is_reference, local, of_image, of_images, reference, registries_of, say};
use crate::dev::usual_cache;
use crate::failure::Failure;
use crate::inspect::{built_file, is_manifest};
use crate::project::{self, Built, Project, ToRun, Worlds};
use crate::ui::{Ui, count};

pub(crate) async fn run(args: CompileArgs, ui: &Ui) -> Result<(), Failure> {
    let mut config = host_config(&args)?;
    let wanted = wanted(&args, &mut config, ui).await?;
    let cache_dir = config.engine.cache_dir.clone().unwrap_or_default();
    let bar = ui.progress("compiling");
    let unusable = |error: AssembleError| Failure::new(error.to_string());
    let compiler = Compiler::new(&config).await.map_err(unusable)?;
    let plugins = compiler.plugins().await.map_err(unusable)?;
    let plugin = |(id, compiled)| (format!("plugin {id}"), compiled);
    let mut all: Vec<_> = plugins.into_iter().map(plugin).collect();
    for to_run in &wanted {
        let request = StartRequest {
            id: id(&to_run.workload)?,
            workload: to_run.workload.clone(),
            base: to_run.base.clone(),
            replaces: None,
        };
        let compiled = compiler.compile(&request).await;
        let compiled = compiled.map_err(|errors| {
            let problems = errors.iter().flat_map(|error| to_run.start_problems(error));
            Failure::from(problems.collect::<Vec<_>>())
        })?;
        all.push((request.id.to_string(), compiled));
    }
    drop(bar);
    told(&all, &cache_dir, ui)
}

/// The host that will run it: one of this configuration file, or one that nothing is said of.
fn host_config(args: &CompileArgs) -> Result<HostConfig, Failure> {
    let file = args.config.as_deref().map(HostFile::load).transpose()?;
    let mut config = HostConfig::default();
    if file.is_none() {
        config.images.auth = AuthSource::User;
    }
    let file = file.unwrap_or_default();
    file.apply(&mut config);
    let data = file.data_dir.as_deref();
    let images = || file.images_in(data).or_else(|| local::folder(&args.cache));
    config.images.cache = args.cache.image_cache.clone().or_else(images);
    let compiled = || file.compiled_in(data).or_else(usual_cache);
    config.engine.cache_dir = args.cache_dir.clone().or_else(compiled);
    match config.engine.cache_dir {
        Some(_) => Ok(config),
        None => Err(Failure::new(
            "there is no folder for what is compiled: neither `XDG_CACHE_HOME` nor `HOME` is set",
        )
        .hint("name one with `--cache-dir`")),
    }
}

/// What is to be compiled: one component by itself, or the workloads of a manifest. What the command line says of their registries
/// comes into the configuration.
async fn wanted(
    args: &CompileArgs,
    config: &mut HostConfig,
    ui: &Ui,
) -> Result<Vec<ToRun>, Failure> {
    let what = args.what.as_str();
    if is_reference(what) {
        let reference = reference(what)?;
        say(
            &mut config.images,
            [reference.registry()].into(),
            &args.registry,
        )?;
        return Ok(vec![alone(&reference, config, ui).await?]);
    }
    let path = Path::new(what);
    if !path.exists() {
        return Err(Failure::new(format!("there is no {what}")).hint(
            "name an image (`registry/repository:tag`), a component (`.wasm`) or a manifest",
        ));
    }
    if !is_manifest(path) {
        let built = built_file(path)?;
        return Ok(vec![of_one(built, config).await?]);
    }
    let all = project::of_manifest(path)?;
    let named = registries_of(images_of(&all));
    if args.config.is_none() {
        // Whoever types the command has named them: they may be anywhere.
        for registry in &named {
            let registries = &mut config.images.settings.registries;
            registries.entry((*registry).to_owned()).or_default();
        }
    }
    say(&mut config.images, named, &args.registry)?;
    Ok(all)
}

/// A workload of one component, with what it asks for.
async fn of_one(built: Built, config: &HostConfig) -> Result<ToRun, Failure> {
    let offers = offers_of(config).await;
    let offers = offers.map_err(|error| Failure::new(error.to_string()))?;
    project::derive(&Project::of_a_file(), &[built], &offers, &Worlds::new())
}

/// A workload of an image alone.
async fn alone(reference: &Reference, config: &HostConfig, ui: &Ui) -> Result<ToRun, Failure> {
    let images = config
        .images
        .open(config.egress.clone(), Arc::clone(&config.resolver));
    let images = images.map_err(|error| of_images(&error))?;
    let bar = super::progress(ui, "pulling");
    let watcher = Arc::clone(&bar) as Arc<dyn Progress>;
    let pulled = images
        .pull(reference, &Pull::default(), By::Host, Some(watcher))
        .await;
    drop(bar);
    let pulled = pulled.map_err(|error| of_image(reference, &error))?;
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
    let mut to_run = of_one(built, config).await?;
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
