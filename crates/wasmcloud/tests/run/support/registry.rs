//! Registries with something in them, and hosts that are told of them.

use std::fs;
use std::path::{Path, PathBuf};

use test_servers::{Registry, oras};

use super::{Host, Sandbox, at};

/// Runs the workloads in `w` with the configuration in `host.yaml`.
pub(crate) const RUN: [&str; 3] = ["w", "--config", "host.yaml"];

/// A folder with the app, and a registry that has it as `demo/app:1`, pushed by another client.
pub(crate) fn stocked() -> (Sandbox, Registry) {
    let (sandbox, registry) = (Sandbox::with_app(), Registry::start());
    let layer = "app.wasm:application/wasm";
    push(&sandbox, &registry, layer, "demo/app:1");
    (sandbox, registry)
}

/// Pushes a file of the folder as the one layer of an image. Its type stands behind its name.
pub(crate) fn push(sandbox: &Sandbox, registry: &Registry, layer: &str, to: &str) {
    sandbox.write("config.json", "{}");
    let at = format!("{}/{to}", registry.address());
    let mut oras = oras(&sandbox.path(""));
    let config = "config.json:application/vnd.wasm.config.v0+json";
    oras.args(["push", "--plain-http", "--config", config, &at, layer]);
    let pushed = oras.output().unwrap();
    assert!(
        pushed.status.success(),
        "{}",
        String::from_utf8_lossy(&pushed.stderr)
    );
}

/// Pushes a guest of the tests.
pub(crate) fn push_guest(sandbox: &Sandbox, registry: &Registry, guest: &str, to: &str) {
    fs::copy(guest, sandbox.path("pushed.wasm")).unwrap();
    push(sandbox, registry, "pushed.wasm:application/wasm", to);
}

/// What `demo/NAME:1` is called by those who ask at an address.
pub(crate) fn image(address: &str, name: &str) -> String {
    format!("{address}/demo/{name}:1")
}

/// The manifest of [`at`] with an image in place of the file.
pub(crate) fn at_image(name: &str, version: u32, image: &str) -> String {
    at(name, version).replace("../app.wasm", &format!("\"{image}\""))
}

/// The configuration of a host that speaks HTTP with a registry. What more there is goes on in the section `images`.
pub(crate) fn configuration(address: &str, more: &str) -> String {
    format!(
        "dataDir: data\nimages:\n  registries: {{ \"{address}\": {{ plainHttp: true }} }}\n{more}"
    )
}

/// Starts a host with a data folder of its own, whatever the configuration says.
pub(crate) fn start_in(sandbox: &Sandbox, data: &str) -> Host {
    sandbox.start(&[&RUN[..], &["--data-dir", data]].concat())
}

/// The files in a cache of compiled components, with what is known of their worlds.
pub(crate) fn kept_in(cache: &Path) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries(cache.to_owned()).flat_map(|folder| entries(folder.path()));
    let files = files.map(|file| file.path());
    files
        .filter(|file| file.extension().is_some_and(|it| it == "cwasm"))
        .collect()
}
