//! A call without a host that runs: one is put together for this call, and nothing of it is published.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use wasmcloud::artifact::{Fetch as _, Files, Wanted};
use wasmcloud::assembly::{Assembled, HostConfig, assemble, offers};
use wasmcloud::capability::postgres::{Databases, PostgresOptions, Workloads};
use wasmcloud::capability::sockets::SocketOptions;
use wasmcloud::capability::wasi::VolumeOptions;
use wasmcloud::engine::EngineOptions;
use wasmcloud::engine::inspect::inspect;
use wasmcloud::host::{CallRequest, Host as _, StartRequest};
use wasmcloud::plugin::{GuestLine, GuestOutput};
use wasmcloud::policy::EgressOptions;
use wasmcloud::workload::Workload;

use super::{Returned, in_a_shell};
use crate::cli::CallArgs;
use crate::dev::{egress_hints, usual_cache};
use crate::failure::Failure;
use crate::images;
use crate::inspect::of_folder;
use crate::project::{self, Project, ToRun, Worlds};
use crate::ui::{Ui, printable};

/// The id of the one workload.
const ID: &str = "call";

/// What there is to call.
struct Scene {
    to_run: ToRun,
    project: Option<Project>,
}

pub(super) async fn call(
    args: &CallArgs,
    export: String,
    values: Vec<String>,
    ui: &Ui,
) -> Result<Returned, Failure> {
    let function = export
        .parse()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    let component = args.component.as_ref().map(|name| name.parse());
    let component = component
        .transpose()
        .map_err(|error| Failure::usage(format!("{error}")))?;
    let scene = scene(args, Path::new("."), true).await?;
    let Assembled { host, .. } = assemble(config(args, scene.project.as_ref(), ui))
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
    let id: wasmcloud::workload::WorkloadId = ID
        .parse()
        .map_err(|error| Failure::new(format!("{error}")))?;
    let progress = ui.progress("starting");
    let started = host
        .start(StartRequest {
            id: id.clone(),
            workload: scene.to_run.workload.clone(),
            base: scene.to_run.base.clone(),
            replaces: None,
        })
        .await;
    started.map_err(|error| Failure::from(scene.to_run.start_problems(&error)))?;
    let request = CallRequest {
        workload: id,
        component,
        function,
        args: values,
    };
    // What is called for the first time is compiled now.
    let answer = host.call(&request).await;
    drop(progress);
    let answer = answer.map_err(|error| {
        let failure = Failure::new(error.in_full());
        match in_a_shell(error.hint()) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    });
    let returned = answer.map(|answer| Returned {
        wave: answer.wave().to_owned(),
        result: answer.json(),
        err: answer.is_err(),
    });
    host.shutdown().await;
    returned
}

/// The names of the functions that may be called here; none where there is nothing to be called.
pub(super) async fn exports(args: &CallArgs, folder: &Path) -> BTreeSet<String> {
    let Ok(scene) = scene(args, folder, false).await else {
        return BTreeSet::new();
    };
    let mut names = BTreeSet::new();
    for component in &scene.to_run.workload.components {
        let image = component.image.resolve(&scene.to_run.base);
        // Whoever completes a command line is not to wait for a registry.
        let Ok(fetched) = Files::default().fetch(Wanted::by_host(&image)).await else {
            continue;
        };
        if let Ok(inspected) = inspect(&fetched.bytes) {
            let functions = inspected.world.functions.iter();
            names.extend(functions.map(|function| function.name.function.clone()));
        }
    }
    names
}

/// What the files say that were named, or else the folder. `pulling` is whether registries may be asked.
async fn scene(args: &CallArgs, folder: &Path, pulling: bool) -> Result<Scene, Failure> {
    if let Some(file) = &args.file {
        let built = crate::inspect::built_file(file)?;
        let project = Project::of_a_file();
        return Ok(Scene {
            to_run: project::derive(&project, &[built], &offers(), &Worlds::new())?,
            project: None,
        });
    }
    let (all, project) = match &args.manifest {
        Some(manifest) => (project::of_manifest(manifest)?, None),
        None => (
            of_folder(folder, pulling).await?,
            Project::open(folder).ok(),
        ),
    };
    let to_run = one_of(all, args.workload.as_deref())?;
    Ok(Scene { to_run, project })
}

fn one_of(mut all: Vec<ToRun>, wanted: Option<&str>) -> Result<ToRun, Failure> {
    let full = |workload: &Workload| format!("{}/{}", workload.namespace, workload.name);
    let names: Vec<String> = all.iter().map(|it| full(&it.workload)).collect();
    if let Some(wanted) = wanted {
        all.retain(|it| it.workload.name.as_str() == wanted || full(&it.workload) == wanted);
    }
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(Failure::new(format!(
            "no workload is called `{}`",
            wanted.unwrap_or_default()
        ))
        .hint(format!("there is {}", names.join(", ")))),
        (Some(_), false) => Err(Failure::new(format!(
            "there are several workloads: {}",
            names.join(", ")
        ))
        .hint("choose one with `--workload`")),
    }
}

fn config(args: &CallArgs, project: Option<&Project>, ui: &Ui) -> HostConfig {
    let config = project.map(|project| &project.config);
    let folders = config.into_iter().flat_map(|config| &config.volumes);
    let networks = config.into_iter().flat_map(|config| &config.allow_egress);
    let plugins = config.into_iter().flat_map(|config| &config.host_plugins);
    HostConfig {
        calls_only: true,
        engine: EngineOptions {
            cache_dir: args.cache_dir.clone().or_else(usual_cache),
            ..EngineOptions::default()
        },
        egress: EgressOptions {
            allow: args.allow_egress.iter().chain(networks).copied().collect(),
            hints: egress_hints("call"),
            ..EgressOptions::default()
        },
        sockets: SocketOptions {
            allow_host_loopback: args.allow_host_loopback,
            ..SocketOptions::default()
        },
        volumes: VolumeOptions {
            roots: folders
                .map(|folder| &folder.host)
                .chain(&args.allow_folder)
                .cloned()
                .collect(),
            ..VolumeOptions::default()
        },
        component_plugins: plugins.cloned().collect(),
        images: config.map_or_else(images::usual, |config| config.images()),
        postgres: PostgresOptions {
            url: config.and_then(|config| config.postgres_url.clone()),
            // Who names the server writes the manifest as well.
            databases: vec![(Workloads::All, Databases::All)],
            ..PostgresOptions::default()
        },
        output: Arc::new(Lines(*ui)),
        ..HostConfig::default()
    }
}

/// Shows what guests write, on standard error: standard output is for the result.
struct Lines(Ui);

impl GuestOutput for Lines {
    fn line(&self, line: GuestLine<'_>) {
        self.0
            .say(format!("[{}] {}", line.component, printable(line.text)));
    }
}
