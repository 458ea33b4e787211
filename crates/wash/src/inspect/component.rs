//! What one component is: its size, digest, imports and exports, or its world as WIT.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wasmcloud::artifact::{Fetch as _, Files, Wanted};
use wasmcloud::engine::inspect::{Extern, Inspected, inspect};
use wasmcloud::workload::Image;
use wit_component::{DecodedWasm, WitPrinter};

use crate::build::OUTPUT;
use crate::failure::Failure;
use crate::project::{Built, Project, Recipe};
use crate::ui::{Ui, count, size};

pub(super) async fn run(path: &Path, wit: bool, ui: &Ui) -> Result<(), Failure> {
    let image = Image::File(path.to_owned());
    let fetched = Files::default().fetch(Wanted::by_host(&image)).await;
    let bytes = fetched
        .map_err(|error| Failure::new(format!("cannot read {}: {}", path.display(), error.kind)))?;
    let inspected = look_at(path, &bytes.bytes)?;
    if wit {
        let text = world_as_wit(&inspected)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        return ui.result(|| json!({"wit": text}), || text.trim_end().to_owned());
    }
    ui.result(|| to_json(path, &inspected), || to_text(path, &inspected))
}

fn look_at(path: &Path, bytes: &[u8]) -> Result<Inspected, Failure> {
    inspect(bytes).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// A file as if a build had made it.
pub(crate) fn built_file(path: &Path) -> Result<Built, Failure> {
    let bytes =
        fs::read(path).map_err(|error| Failure::io("cannot read", path.display(), &error))?;
    let name = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    Ok(Built {
        name,
        inspected: look_at(path, &bytes)?,
        path: path.to_owned(),
        changed: false,
    })
}

/// What the last build of a project left behind.
pub(super) fn built(project: &Project) -> Result<Vec<Built>, Failure> {
    let paths = match project.recipe(true) {
        Ok(Recipe::Command { component, .. }) if project.path(&component).is_file() => {
            vec![component]
        }
        _ => outputs(project),
    };
    let look = |path: PathBuf| {
        let file = project.path(&path);
        let bytes =
            fs::read(&file).map_err(|error| Failure::io("cannot read", file.display(), &error))?;
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(Built {
            name,
            inspected: look_at(&file, &bytes)?,
            path,
            changed: false,
        })
    };
    paths.into_iter().map(look).collect()
}

/// The components in a project's folder for them, by name.
fn outputs(project: &Project) -> Vec<PathBuf> {
    let entries = project
        .dir
        .join(OUTPUT)
        .read_dir()
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.map(|entry| Path::new(OUTPUT).join(entry.file_name()));
    let mut paths: Vec<PathBuf> = names
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect();
    paths.sort();
    paths
}

/// The world of a component from elsewhere as WIT.
pub(crate) fn world_of_bytes(about: &str, bytes: &[u8]) -> Result<String, Failure> {
    let inspected = look_at(Path::new(about), bytes)?;
    world_as_wit(&inspected).map_err(|error| Failure::new(format!("{about}: {error}")))
}

fn world_as_wit(inspected: &Inspected) -> Result<String, String> {
    let fail = |error: &dyn std::fmt::Display| format!("its world cannot be shown: {error:#}");
    match wit_component::decode(&inspected.bytes).map_err(|error| fail(&error))? {
        DecodedWasm::Component(resolve, world) => {
            let package = resolve
                .worlds
                .get(world)
                .and_then(|world| world.package)
                .ok_or_else(|| fail(&"it has no package"))?;
            let mut printer = WitPrinter::default();
            printer
                .print(&resolve, package, &[])
                .map_err(|error| fail(&error))?;
            Ok(printer.output.to_string())
        }
        DecodedWasm::WitPackage(..) => Err("it holds WIT and no code".to_owned()),
    }
}

/// Which engine runs it when nothing is fused with it.
fn flavour(inspected: &Inspected) -> &'static str {
    if inspected.world.concurrent {
        "concurrent"
    } else {
        "plain"
    }
}

/// The name of an import or export, and for a label what is behind it.
fn external(item: &Extern) -> String {
    match item.interface() {
        Some(interface) if item.is_label() => format!("{} ({interface})", item.name),
        _ => item.name.clone(),
    }
}

fn to_text(path: &Path, inspected: &Inspected) -> String {
    let what = if inspected.adapted {
        "a core module, adapted to a component"
    } else {
        "a component"
    };
    let engine = match flavour(inspected) {
        "concurrent" => "concurrent (WASI 0.3, async functions)",
        _ => "plain (synchronous functions only)",
    };
    let mut lines = vec![
        format!("{}: {what}", path.display()),
        format!("size     {}", size(inspected.bytes.len())),
        format!("digest   {}", inspected.digest),
        format!("engine   {engine}"),
    ];
    for (what, items) in [
        ("import", &inspected.world.imports),
        ("export", &inspected.world.exports),
    ] {
        lines.push(count(items.len(), what));
        lines.extend(items.iter().map(|item| format!("  {}", external(item))));
    }
    lines.join("\n")
}

fn to_json(path: &Path, inspected: &Inspected) -> Value {
    let items = |items: &[Extern]| -> Vec<Value> {
        items
            .iter()
            .map(|item| json!({"name": item.name, "interface": item.interface()}))
            .collect()
    };
    json!({
        "path": path,
        "adapted": inspected.adapted,
        "bytes": inspected.bytes.len(),
        "digest": inspected.digest.to_string(),
        "flavour": flavour(inspected),
        "imports": items(&inspected.world.imports),
        "exports": items(&inspected.world.exports),
    })
}
