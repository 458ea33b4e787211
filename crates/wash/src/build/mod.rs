//! `wash build`: a project becomes components.

mod cargo;
mod command;
mod messages;
mod relay;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde_json::{Value, json};
use tokio::time::Instant;
use wasmcloud::engine::inspect::{Inspected, World, inspect};

pub(crate) use cargo::outside_sources;

use crate::cli::BuildArgs;
use crate::failure::Failure;
use crate::project::{Built, Project, Recipe};
use crate::ui::{Ui, count, duration, size, table};

/// The folder of a project that components are put into.
pub(crate) const OUTPUT: &str = "build";

/// Why a project was not built.
#[derive(Debug)]
pub(crate) struct BuildError {
    pub(crate) failure: Failure,
    /// Whether no change of a source could help.
    pub(crate) hopeless: bool,
}

impl From<Failure> for BuildError {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            hopeless: false,
        }
    }
}

impl BuildError {
    fn hopeless(failure: Failure) -> Self {
        Self {
            failure,
            hopeless: true,
        }
    }
}

/// What was built, and when the compiler was done with it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) components: Vec<Built>,
    pub(crate) compiled: Instant,
}

pub(crate) async fn run(args: BuildArgs, ui: &Ui) -> Result<(), Failure> {
    let project = Project::open(&args.dir)?;
    let recipe = project.recipe(false)?;
    let start = Instant::now();
    let outcome = build(&project, &recipe, &args.profile, ui)
        .await
        .map_err(|error| error.failure)?;
    let taken = start.elapsed();
    ui.result(
        || to_json(&project, &outcome.components, taken),
        || to_text(&project, &outcome.components),
    )?;
    if !ui.is_json() {
        ui.say(format_args!(
            "built {} in {}",
            count(outcome.components.len(), "component"),
            duration(taken)
        ));
    }
    Ok(())
}

/// Builds a project the way its recipe says.
pub(crate) async fn build(
    project: &Project,
    recipe: &Recipe,
    profile: &str,
    ui: &Ui,
) -> Result<Outcome, BuildError> {
    crate::wit::ensure(project, ui).await?;
    match recipe {
        Recipe::None => Ok(Outcome {
            components: Vec::new(),
            compiled: Instant::now(),
        }),
        Recipe::Command { command, component } => {
            command::run(project, command, ui).await?;
            let compiled = Instant::now();
            let built = vec![from_command(project, component)?];
            Ok(Outcome {
                components: built,
                compiled,
            })
        }
        Recipe::Cargo => {
            // Before the compiler has taken its time.
            refuse_link(project).map_err(BuildError::hopeless)?;
            let artifacts = cargo::build(project, profile, ui).await?;
            let compiled = Instant::now();
            let _progress = ui.progress("looking at the components");
            let built = artifacts
                .iter()
                .map(|artifact| from_cargo(project, artifact))
                .collect::<Result<_, _>>()?;
            Ok(Outcome {
                components: built,
                compiled,
            })
        }
    }
}

/// Looks at what a command left behind. It stays where it is: a core module is adapted when it is loaded.
fn from_command(project: &Project, component: &Path) -> Result<Built, Failure> {
    let file = project.path(component);
    let bytes = fs::read(&file).map_err(|error| {
        let hint =
            "`build.component_path` names what the command leaves behind, relative to the project";
        Failure::io(
            "the command ended well, but cannot read",
            file.display(),
            &error,
        )
        .hint(hint)
    })?;
    let inspected = look_at(&file, &bytes)?;
    let name = component
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Built {
        name,
        path: component.to_owned(),
        inspected,
        changed: true,
    })
}

/// Puts what Cargo built into the project's folder for components, adapted if it is a core module.
fn from_cargo(project: &Project, artifact: &cargo::Artifact) -> Result<Built, Failure> {
    let read = fs::read(&artifact.file)
        .map_err(|error| Failure::io("cannot read", artifact.file.display(), &error))?;
    let inspected = look_at(&artifact.file, &read)?;
    // What ran since the first look may have put a link there.
    refuse_link(project)?;
    let path = PathBuf::from(OUTPUT).join(format!("{}.wasm", artifact.name));
    let file = project.path(&path);
    let changed = write(&file, &inspected.bytes)
        .map_err(|error| Failure::io("cannot write", file.display(), &error))?;
    Ok(Built {
        name: artifact.name.clone(),
        path,
        inspected,
        changed,
    })
}

/// Refuses a folder for components that is a link: a project that was only downloaded must not have files written elsewhere.
fn refuse_link(project: &Project) -> Result<(), Failure> {
    let folder = project.dir.join(OUTPUT);
    if !folder
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
    {
        return Ok(());
    }
    let shown = project.path(OUTPUT);
    let message = format!(
        "{} is a symbolic link, and components are not written through one",
        shown.display()
    );
    Err(Failure::new(message).hint("remove the link; the build makes a folder of its own"))
}

fn look_at(file: &Path, bytes: &[u8]) -> Result<Inspected, Failure> {
    inspect(bytes).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

/// Writes a file so that readers see all of it or nothing, and only if something is different.
fn write(file: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fs::read(file).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(true)
}

fn to_text(project: &Project, components: &[Built]) -> String {
    let rows = components.iter().map(|one| {
        let adapted = if one.inspected.adapted {
            ", adapted from a core module"
        } else {
            ""
        };
        vec![
            one.name.clone(),
            project.path(&one.path).display().to_string(),
            size(one.inspected.bytes.len()),
            summary(&one.inspected.world) + adapted,
        ]
    });
    table(&rows.collect::<Vec<_>>())
}

/// A world in a few words.
fn summary(world: &World) -> String {
    format!(
        "{}, {}",
        count(world.imports.len(), "import"),
        count(world.exports.len(), "export")
    )
}

fn to_json(project: &Project, components: &[Built], taken: Duration) -> Value {
    let components = components.iter().map(|one| {
        let world = &one.inspected.world;
        json!({
            "name": one.name,
            "path": project.path(&one.path),
            "bytes": one.inspected.bytes.len(),
            "digest": one.inspected.digest.to_string(),
            "adapted": one.inspected.adapted,
            "changed": one.changed,
            "imports": world.imports.iter().map(|import| &import.name).collect::<Vec<_>>(),
            "exports": world.exports.iter().map(|export| &export.name).collect::<Vec<_>>(),
        })
    });
    let millis = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX);
    json!({"components": components.collect::<Vec<_>>(), "millis": millis})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_only_when_it_differs() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("build/a.wasm");
        assert!(write(&file, b"one").unwrap());
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        assert!(!write(&file, b"one").unwrap());
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
        assert!(write(&file, b"two").unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(file.parent().unwrap().read_dir().unwrap().count(), 1);
    }
}
