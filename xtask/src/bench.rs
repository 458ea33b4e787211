//! `cargo xtask bench`: hands over to the crate `xtask-bench`, which links the library. It is a
//! crate of its own so that the other tasks need not compile Wasmtime.

use std::env;
use std::ffi::OsString;

use anyhow::Context as _;

use crate::shell::{self, cargo};
use crate::tools::{For, ensure};

/// Installs the load generator and the servers that will be needed, then measures in a release build.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<()> {
    if wants(&LOADING, args) {
        ensure(For::BenchLoad)?;
    }
    if wants(&CAPABILITIES, args) {
        ensure(For::BenchCapabilities)?;
    }
    if wants(&REGISTRY, args) {
        ensure(For::BenchOci)?;
    }
    let mut command = cargo()?;
    // A path after `--wasmtime` is relative to where it was typed.
    command.current_dir(env::current_dir().context("the current folder cannot be read")?);
    command
        .args(["run", "--release", "--package", "xtask-bench", "--"])
        .args(args);
    shell::run(&mut command)
}

/// The benches that put a server under load.
const LOADING: [&str; 3] = ["http", "density", "neighbour"];
/// The one whose guests speak to servers.
const CAPABILITIES: [&str; 1] = ["capabilities"];
/// The one that speaks to a registry.
const REGISTRY: [&str; 1] = ["oci"];
/// The others.
const QUIET: [&str; 6] = [
    "call",
    "start",
    "network",
    "connections",
    "services",
    "many-services",
];

/// Whether one of some benches is among what was asked for: by name, or because nothing was named.
fn wants(some: &[&str], args: &[OsString]) -> bool {
    let names = |known: &[&str]| args.iter().any(|arg| known.iter().any(|name| arg == name));
    let any = [&LOADING[..], &CAPABILITIES, &REGISTRY, &QUIET]
        .into_iter()
        .any(names);
    !names(&["--help", "-h"]) && (names(some) || !any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(some: &[&str], args: &[&str]) -> bool {
        wants(some, &args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn load_is_wanted_for_servers_and_for_everything() {
        let wants = |args| asked(&LOADING, args);
        assert!(wants(&[]));
        assert!(wants(&["call", "http"]));
        assert!(wants(&["density"]));
        assert!(wants(&["start", "neighbour"]));
        assert!(wants(&["--wasmtime", "/bin/wasmtime"]));
        assert!(!wants(&["call"]));
        assert!(!wants(&["network", "many-services"]));
        assert!(!wants(&["capabilities"]));
        assert!(!wants(&["--help"]));
    }

    #[test]
    fn servers_are_wanted_for_capabilities_and_for_everything() {
        let wants = |args| asked(&CAPABILITIES, args);
        assert!(wants(&[]));
        assert!(wants(&["capabilities", "--only", "redis"]));
        assert!(!wants(&["http"]));
        assert!(!wants(&["call", "start"]));
        assert!(!wants(&["-h"]));
    }
}
