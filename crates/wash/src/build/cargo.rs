//! Builds Rust projects with Cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use super::{BuildError, messages, relay};
use crate::failure::Failure;
use crate::project::Project;
use crate::ui::Ui;

/// What components are compiled for.
const TARGET: &str = "wasm32-wasip2";

/// A WebAssembly file that Cargo built.
#[derive(Debug)]
pub(super) struct Artifact {
    /// The name of its package, or of its program where the package has several.
    pub(super) name: String,
    pub(super) file: PathBuf,
}

/// What `cargo metadata` says of a project.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_default_members: Vec<String>,
    workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    path: Option<PathBuf>,
}

/// A message that `cargo build` prints for tools; those of other kinds have no such fields.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// A program or library that was built.
#[derive(Debug)]
struct Product {
    package: String,
    target: String,
    library: bool,
    file: PathBuf,
}

/// Builds the project and says where its WebAssembly files are, by name.
pub(super) async fn build(
    project: &Project,
    profile: &str,
    ui: &Ui,
) -> Result<Vec<Artifact>, BuildError> {
    let metadata = metadata(&project.dir, Some(ui)).await?;
    let selected = metadata.selected(&project.dir);
    let mut command = cargo(&project.dir);
    command.args([
        "build",
        "--target",
        TARGET,
        "--profile",
        profile,
        "--message-format",
        "json-render-diagnostics",
    ]);
    command.envs(&project.config.build_env);
    let mut products = Vec::new();
    let ran = relay::run(command, ui, |line| {
        match serde_json::from_str::<Message>(line) {
            Ok(message) => products.extend(product(message, &selected)),
            Err(_) => ui.say(line),
        }
    });
    let ran = ran
        .await
        .map_err(|error| BuildError::hopeless(no_cargo(&error)))?;
    if !ran.status.success() {
        return Err(failed(&project.dir, ran).await.into());
    }
    let artifacts = named(products)?;
    if artifacts.is_empty() {
        let hint = "a component is a library of type `cdylib`: add `[lib]` with `crate-type = [\"cdylib\"]` to Cargo.toml";
        return Err(Failure::new(format!(
            "the project in {} builds no component",
            project.dir.display()
        ))
        .hint(hint)
        .into());
    }
    Ok(artifacts)
}

/// Folders outside the project that it takes sources from, as far as they are known.
pub(crate) async fn outside_sources(dir: &Path) -> Vec<PathBuf> {
    let (Ok(metadata), Ok(dir)) = (metadata(dir, None).await, dir.canonicalize()) else {
        return Vec::new();
    };
    let selected = metadata.selected(&dir);
    let packages = metadata
        .packages
        .iter()
        .filter(|package| selected.contains_key(&package.id));
    let paths = packages.flat_map(|package| {
        package
            .dependencies
            .iter()
            .filter_map(|dependency| dependency.path.clone())
    });
    // A folder around the project holds its output too, which would be taken for sources.
    let outside = paths.filter(|path| !path.starts_with(&dir) && !dir.starts_with(path));
    outside.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Metadata {
    /// The packages that `cargo build` in a folder builds, by id: that of the folder, or else what the workspace says.
    fn selected(&self, dir: &Path) -> BTreeMap<String, String> {
        let manifest = dir
            .canonicalize()
            .unwrap_or_else(|_| dir.to_owned())
            .join("Cargo.toml");
        let member = self
            .packages
            .iter()
            .find(|package| package.manifest_path == manifest && !self.is_root(&manifest));
        let default = |package: &&Package| self.workspace_default_members.contains(&package.id);
        let packages: Vec<&Package> = match member {
            Some(package) => vec![package],
            None => self.packages.iter().filter(default).collect(),
        };
        packages
            .into_iter()
            .map(|package| (package.id.clone(), package.name.clone()))
            .collect()
    }

    fn is_root(&self, manifest: &Path) -> bool {
        manifest.parent() == Some(&self.workspace_root)
    }
}

/// Cargo in a folder, in the environment of a plain shell: what `cargo run` set for this program is taken out again, because
/// build scripts that watch those variables would run each time.
fn cargo(dir: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(dir);
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}

fn no_cargo(error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot run `cargo`, which builds this project: {error}"
    ))
    .hint("install Rust from https://rustup.rs")
}

/// Asks for the packages of a project. With `ui`, what Cargo has to complain is shown.
async fn metadata(dir: &Path, ui: Option<&Ui>) -> Result<Metadata, BuildError> {
    let mut command = cargo(dir);
    command
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command
        .output()
        .await
        .map_err(|error| BuildError::hopeless(no_cargo(&error)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        if let Some(ui) = ui {
            ui.say(said.trim_end());
        }
        let problem = messages::first_error(&said)
            .map_or_else(|| Failure::new(said.trim_end()), Failure::from);
        return Err(problem.shown("Cargo cannot read the project").into());
    }
    let metadata = serde_json::from_slice(&output.stdout);
    Ok(metadata.map_err(|error| {
        Failure::new(format!(
            "`cargo metadata` said something unexpected: {error}"
        ))
    })?)
}

/// What a message says was built, if it is a WebAssembly file of a selected package.
fn product(message: Message, selected: &BTreeMap<String, String>) -> Option<Product> {
    let target = message
        .target
        .filter(|_| message.reason == "compiler-artifact")?;
    let package = selected.get(&message.package_id?)?;
    let library = target.kind.iter().any(|kind| kind == "cdylib");
    if !library && !target.kind.iter().any(|kind| kind == "bin") {
        return None;
    }
    let file = message.filenames.into_iter().find(|file| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    })?;
    Some(Product {
        package: package.clone(),
        target: target.name,
        library,
        file,
    })
}

/// Gives each product a name: that of its package, except for the programs of a package with several products.
fn named(products: Vec<Product>) -> Result<Vec<Artifact>, Failure> {
    let mut of_package: BTreeMap<String, usize> = BTreeMap::new();
    for product in &products {
        *of_package.entry(product.package.clone()).or_default() += 1;
    }
    let mut artifacts: BTreeMap<String, PathBuf> = BTreeMap::new();
    for product in products {
        let alone = of_package.get(&product.package) == Some(&1);
        let name = if alone || product.library {
            product.package
        } else {
            product.target
        };
        if let Some(other) = artifacts.insert(name.clone(), product.file.clone()) {
            let message = format!(
                "two components are called `{name}`: {} and {}",
                other.display(),
                product.file.display()
            );
            return Err(Failure::new(message).hint("rename one of them"));
        }
    }
    Ok(artifacts
        .into_iter()
        .map(|(name, file)| Artifact { name, file })
        .collect())
}

/// Why Cargo failed. It has said so itself, except for what would help.
async fn failed(dir: &Path, ran: relay::Ran) -> Failure {
    let problem = ran.said.as_deref().and_then(messages::first_error);
    let mut failure = problem.map_or_else(
        || Failure::new(format!("`cargo build` ended with {}", ran.status)),
        Failure::from,
    );
    if !has_target(dir).await {
        failure = failure.hint(format!(
            "components are compiled for {TARGET}: run `rustup target add {TARGET}`"
        ));
    }
    failure.shown("the project does not build")
}

/// Whether the compiler has the libraries of the target. When in doubt, it has.
async fn has_target(dir: &Path) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .output()
        .await;
    output
        .ok()
        .filter(|output| output.status.success())
        .is_none_or(|output| {
            let path = String::from_utf8_lossy(&output.stdout);
            Path::new(path.trim()).is_dir()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(package: &str, target: &str, kind: &str, file: &str) -> Message {
        let message = serde_json::json!({
            "reason": "compiler-artifact", "package_id": package, "target": {"name": target, "kind": [kind]}, "filenames": [file], "fresh": true,
        });
        serde_json::from_value(message).unwrap()
    }

    fn product_of(package: &str, target: &str, kind: &str, file: &str) -> Option<Product> {
        let selected = BTreeMap::from([("a-id".to_owned(), "a".to_owned())]);
        product(message(package, target, kind, file), &selected)
    }

    #[test]
    fn only_webassembly_of_the_project_counts() {
        assert!(product_of("a-id", "a", "cdylib", "x/a.wasm").is_some());
        assert!(product_of("a-id", "a", "bin", "x/a.wasm").is_some());
        assert!(product_of("a-id", "a", "lib", "x/liba.rlib").is_none());
        assert!(product_of("a-id", "a", "cdylib", "x/liba.rlib").is_none());
        assert!(product_of("other", "b", "cdylib", "x/b.wasm").is_none());
    }

    #[test]
    fn names_are_those_of_packages_unless_one_has_several_products() {
        let names = |products: &[(&str, &str, &str)]| {
            let products = products
                .iter()
                .map(|(target, kind, file)| product_of("a-id", target, kind, file).unwrap());
            named(products.collect()).map(|artifacts| {
                artifacts
                    .into_iter()
                    .map(|artifact| artifact.name)
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(names(&[("odd", "bin", "odd.wasm")]).unwrap(), ["a"]);
        assert_eq!(
            names(&[("lib", "cdylib", "l.wasm"), ("tool", "bin", "t.wasm")]).unwrap(),
            ["a", "tool"]
        );
        assert!(
            names(&[("lib", "cdylib", "l.wasm"), ("a", "bin", "t.wasm")])
                .unwrap_err()
                .message()
                .contains("two components are called `a`")
        );
    }

    #[test]
    fn a_member_is_built_alone_and_a_root_builds_what_the_workspace_says() {
        let metadata: Metadata = serde_json::from_value(serde_json::json!({
            "packages": [
                {"id": "1", "name": "one", "manifest_path": "/w/Cargo.toml", "dependencies": []},
                {"id": "2", "name": "two", "manifest_path": "/w/two/Cargo.toml", "dependencies": []},
            ],
            "workspace_default_members": ["1", "2"], "workspace_root": "/w",
        }))
        .unwrap();
        assert_eq!(metadata.selected(Path::new("/w")).len(), 2);
        assert_eq!(
            metadata
                .selected(Path::new("/w/two"))
                .into_values()
                .collect::<Vec<_>>(),
            ["two"]
        );
    }
}
