//! A project folder: its configuration, its manifest, and how it is built.

mod config;
mod derive;
mod interface;
mod part;
mod raw;
mod resources;
mod service;
mod workloads;

use std::io;
use std::path::{Path, PathBuf};

pub(crate) use config::Config;
pub(crate) use derive::{Built, derive};
pub(crate) use part::{Worlds, worlds};
pub(crate) use workloads::{MISSING, ToRun, of_manifest};

use crate::failure::Failure;

/// The names a manifest may have, the usual one first.
const MANIFESTS: [&str; 3] = ["workload.yaml", "workload.yml", "workload.json"];

/// A project folder.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// The folder as it was typed, for messages and for building.
    pub(crate) dir: PathBuf,
    /// What `.wash/config.yaml` says.
    pub(crate) config: Config,
    /// The manifest, if there is one.
    pub(crate) manifest: Option<PathBuf>,
}

/// What has to be done to get the components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// A command of the user's, and the component that it leaves behind.
    Command {
        /// For `sh -c`.
        command: String,
        /// Relative to the project.
        component: PathBuf,
    },
    /// `cargo build`.
    Cargo,
    /// Nothing: the components are there.
    None,
}

impl Project {
    /// Looks at a folder.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        match dir.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(Failure::new(format!("{} is not a folder", dir.display()))
                    .hint("give the folder of a project"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let hint = "`wash new NAME` makes a project";
                return Err(
                    Failure::new(format!("there is no folder {}", dir.display())).hint(hint),
                );
            }
            Err(error) => return Err(Failure::io("cannot open", dir.display(), &error)),
        }
        let manifest = only_one(dir, MANIFESTS)?;
        let config = Config::load(dir, manifest.as_deref())?;
        Ok(Self {
            dir: dir.to_owned(),
            config,
            manifest,
        })
    }

    /// What stands in for a project around a single file of the current folder.
    pub(crate) fn of_a_file() -> Self {
        Self {
            dir: PathBuf::from("."),
            config: Config::default(),
            manifest: None,
        }
    }

    /// How it is built. `dev` says whether the settings for `wash dev` come first.
    pub(crate) fn recipe(&self, dev: bool) -> Result<Recipe, Failure> {
        if let Some((command, component)) = self.config.command(dev) {
            let component = component.map_or_else(|| self.usual_component(), Path::to_owned);
            return Ok(Recipe::Command {
                command: command.to_owned(),
                component,
            });
        }
        if self.dir.join("Cargo.toml").is_file() {
            return Ok(Recipe::Cargo);
        }
        if dev && self.manifest.is_some() {
            return Ok(Recipe::None);
        }
        let found = if self.manifest.is_some() {
            "a manifest, but "
        } else {
            ""
        };
        let what =
            format!("it has {found}no Cargo.toml, and no `build.command` in .wash/config.yaml");
        Err(Failure::new(format!(
            "there is nothing to build in {}: {what}",
            self.dir.display()
        ))
        .hint("`wash new NAME` makes a project"))
    }

    /// The path of something in it, short enough to read.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        if self.dir == Path::new(".") {
            inside.as_ref().to_owned()
        } else {
            self.dir.join(inside)
        }
    }

    /// A name for it: that of its folder, made fit for a workload.
    pub(crate) fn name(&self) -> String {
        label(&self.folder_name()).unwrap_or_else(|| "project".to_owned())
    }

    fn folder_name(&self) -> String {
        let folder = self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone());
        folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// What a command leaves behind if the configuration does not say: a file with the folder's name.
    fn usual_component(&self) -> PathBuf {
        PathBuf::from(format!("{}.wasm", self.folder_name()))
    }
}

/// The one file of several names that is there; two are an error, because one of them would be ignored.
fn only_one<const N: usize>(dir: &Path, names: [&str; N]) -> Result<Option<PathBuf>, Failure> {
    let mut there = names
        .iter()
        .map(|name| {
            if dir == Path::new(".") {
                PathBuf::from(name)
            } else {
                dir.join(name)
            }
        })
        .filter(|path| path.is_file());
    match (there.next(), there.next()) {
        (Some(one), Some(other)) => {
            let message = format!(
                "both {} and {} are there, and only one is read",
                one.display(),
                other.display()
            );
            Err(Failure::new(message).hint("remove one of them"))
        }
        (one, _) => Ok(one),
    }
}

/// A name as components and workloads have it: `My_App` becomes `my-app`. Nothing, if nothing is left of it.
pub(crate) fn label(name: &str) -> Option<String> {
    let plain = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    });
    let plain: String = plain.take(63).collect();
    let plain = plain.trim_matches('-');
    (!plain.is_empty()).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_become_labels() {
        assert_eq!(label("My_App.2").as_deref(), Some("my-app-2"));
        assert_eq!(label("_x_").as_deref(), Some("x"));
        assert_eq!(label("__"), None);
    }

    #[test]
    fn a_folder_without_anything_has_nothing_to_build() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::open(dir.path()).unwrap();
        assert!(
            project
                .recipe(true)
                .unwrap_err()
                .message()
                .contains("it has no Cargo.toml, and no `build.command`")
        );
        std::fs::write(dir.path().join("workload.json"), "{}").unwrap();
        let project = Project::open(dir.path()).unwrap();
        assert_eq!(project.recipe(true).unwrap(), Recipe::None);
        assert!(
            project
                .recipe(false)
                .unwrap_err()
                .message()
                .contains("a manifest, but no Cargo.toml")
        );
    }

    #[test]
    fn two_manifests_are_one_too_many() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["workload.yaml", "workload.json"] {
            std::fs::write(dir.path().join(name), "{}").unwrap();
        }
        assert!(
            Project::open(dir.path())
                .unwrap_err()
                .message()
                .contains("only one is read")
        );
    }

    #[test]
    fn a_command_comes_before_cargo() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".wash")).unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        let config =
            |text: &str| std::fs::write(dir.path().join(".wash/config.yaml"), text).unwrap();
        config("build: {command: make, component_path: out.wasm}\ndev: {command: make dev}\n");
        let project = Project::open(dir.path()).unwrap();
        let recipe = |command: &str| Recipe::Command {
            command: command.to_owned(),
            component: "out.wasm".into(),
        };
        assert_eq!(project.recipe(false).unwrap(), recipe("make"));
        assert_eq!(project.recipe(true).unwrap(), recipe("make dev"));
        config("build: {command: make}\n");
        let usual = dir.path().file_name().unwrap().to_str().unwrap();
        let Recipe::Command { component, .. } =
            Project::open(dir.path()).unwrap().recipe(false).unwrap()
        else {
            panic!()
        };
        assert_eq!(component, Path::new(&format!("{usual}.wasm")));
        config("");
        assert_eq!(
            Project::open(dir.path()).unwrap().recipe(false).unwrap(),
            Recipe::Cargo
        );
    }
}
