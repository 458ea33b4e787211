//! Builds the guest programs of the tests and writes a Rust file that says where they are.

#![expect(
    clippy::print_stderr,
    reason = "Cargo shows what a failing build script prints"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

/// Guests that are core modules; the others are components.
const CORE_MODULES: [&str; 3] = ["blobs-p2", "blobs-p3", "p1-module"];

/// What of the environment would make the guests differ from how they build by hand: flags, wrappers (Clippy is one)
/// and settings that are meant for the workspace under test.
const NOT_FOR_GUESTS: [&str; 12] = [
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "CLIPPY_",
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_ENCODED_",
    "CARGO_FEATURE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
];

/// One guest: the name of its folder and package, and what it is for.
struct Guest {
    name: String,
    about: String,
}

impl Guest {
    fn file(&self) -> String {
        format!("{}.wasm", self.ident())
    }

    fn ident(&self) -> String {
        self.name.replace('-', "_")
    }

    fn target(&self) -> &'static str {
        if CORE_MODULES.contains(&self.name.as_str()) {
            "wasm32-wasip1"
        } else {
            "wasm32-wasip2"
        }
    }
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("the guest programs of the tests could not be built: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = here.join("../wasmcloud/tests/guests");
    let workspace = workspace
        .canonicalize()
        .map_err(|e| format!("{}: {e}", workspace.display()))?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    watch(&here.join("build.rs"));
    watch(&workspace.join("Cargo.toml"));
    watch(&workspace.join("Cargo.lock"));
    let guests = guests(&workspace)?;

    let target = target_folder(&out);
    for triple in ["wasm32-wasip2", "wasm32-wasip1"] {
        let of_triple: Vec<&Guest> = guests
            .iter()
            .filter(|guest| guest.target() == triple)
            .collect();
        cargo_build(&workspace, &target, triple, &of_triple)?;
    }
    for guest in &guests {
        let built = target
            .join(guest.target())
            .join("release")
            .join(guest.file());
        let copy = out.join(guest.file());
        copied(guest, &built, &copy).map_err(|e| format!("copying {}: {e}", built.display()))?;
    }
    let generated = out.join("guests.rs");
    fs::write(&generated, source(&guests, &out))
        .map_err(|e| format!("{}: {e}", generated.display()))
}

/// Copies a guest, and makes a component of one that the linker was told to leave as it is: the one that comes with Rust does not
/// know imports by labels yet.
fn copied(guest: &Guest, built: &Path, copy: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(built)?;
    let is_core = bytes.get(4..8) == Some(&[1, 0, 0, 0]);
    if !is_core || CORE_MODULES.contains(&guest.name.as_str()) {
        return Ok(fs::write(copy, bytes)?);
    }
    let mut encoder = ComponentEncoder::default().module(&bytes)?.adapter(
        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    )?;
    Ok(fs::write(copy, encoder.encode()?)?)
}

/// Every folder of the workspace that makes a Wasm file, by name.
fn guests(workspace: &Path) -> Result<Vec<Guest>, String> {
    let folders = fs::read_dir(workspace).map_err(|e| format!("{}: {e}", workspace.display()))?;
    let mut guests = Vec::new();
    for folder in folders {
        let folder = folder.map_err(|e| format!("{}: {e}", workspace.display()))?;
        let name = folder.file_name().to_string_lossy().into_owned();
        // Watching `target` would build again after every build.
        if folder.path().is_file() || name == "target" {
            continue;
        }
        watch(&folder.path());
        let Ok(manifest) = fs::read_to_string(folder.path().join("Cargo.toml")) else {
            continue;
        };
        if manifest.contains("crate-type = [\"cdylib\"]") {
            guests.push(Guest {
                name,
                about: description(&manifest).to_owned(),
            });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

fn description(manifest: &str) -> &str {
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("description = \""));
    line.and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or("A guest without a description")
}

/// A folder beside the others in Cargo's target folder, which outlives changes to this crate: only the first build is
/// a cold one.
fn target_folder(out: &Path) -> PathBuf {
    let root = out
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    root.unwrap_or(out).join("guests")
}

fn cargo_build(
    workspace: &Path,
    target: &Path,
    triple: &str,
    guests: &[&Guest],
) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args(["build", "--release", "--target", triple])
        .current_dir(workspace);
    for guest in guests {
        cargo.args(["--package", &guest.name]);
    }
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        if NOT_FOR_GUESTS.iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(&key);
        }
    }
    cargo.env("CARGO_TARGET_DIR", target);
    let output = cargo
        .output()
        .map_err(|e| format!("{}: {e}", cargo.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut problem = format!(
        "cargo ended with {} in {}\n{errors}",
        output.status,
        workspace.display()
    );
    if errors.contains("target may not be installed") {
        let _ = write!(problem, "hint: rustup target add {triple}");
    }
    Err(problem)
}

/// A constant for each guest, all of them as a list, and the macro that visits each.
fn source(guests: &[Guest], out: &Path) -> String {
    let (mut constants, mut list, mut calls) = (String::new(), String::new(), String::new());
    for guest in guests {
        let (ident, path) = (guest.ident(), out.join(guest.file()));
        let constant = ident.to_uppercase();
        let _ = writeln!(
            constants,
            "/// {}.\npub const {constant}: &str = {path:?};",
            guest.about
        );
        let _ = writeln!(list, "    ({:?}, {constant}),", guest.name);
        let _ = writeln!(calls, "        $check!({ident});");
    }
    format!(
        "{constants}
/// Name and path of every guest.
pub const ALL: &[(&str, &str)] = &[
{list}];

/// Calls the macro `$check` once for each guest, with its name as an identifier: `http_p2`.
#[macro_export]
macro_rules! for_each_guest {{
    ($check:ident) => {{
{calls}    }};
}}
"
    )
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|e| format!("{name}: {e}"))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
