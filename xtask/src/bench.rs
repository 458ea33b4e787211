//! `cargo xtask bench`: hands over to the crate `xtask-bench`, which links the library. It is a
//! crate of its own so that the other tasks need not compile Wasmtime.

use std::env;
use std::ffi::OsString;

use anyhow::Context as _;

use crate::shell::{self, cargo};
use crate::tools::{For, ensure};

/// Installs the load generator if it will be needed, then measures in a release build.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<()> {
    if wants_load(args) {
        ensure(For::BenchLoad)?;
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
/// The others.
const QUIET: [&str; 6] = [
    "call",
    "start",
    "network",
    "connections",
    "services",
    "many-services",
];

/// Whether a bench that needs the load generator is among what was asked for: by name, or because nothing was named.
fn wants_load(args: &[OsString]) -> bool {
    let names = |known: &[&str]| args.iter().any(|arg| known.iter().any(|name| arg == name));
    !names(&["--help", "-h"]) && (names(&LOADING) || !names(&QUIET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_wanted_for_servers_and_for_everything() {
        let wants =
            |args: &[&str]| wants_load(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(wants(&[]));
        assert!(wants(&["call", "http"]));
        assert!(wants(&["density"]));
        assert!(wants(&["start", "neighbour"]));
        assert!(wants(&["--wasmtime", "/bin/wasmtime"]));
        assert!(!wants(&["call"]));
        assert!(!wants(&["network", "many-services"]));
        assert!(!wants(&["--help"]));
    }
}
