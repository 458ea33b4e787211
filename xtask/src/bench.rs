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
        ensure(For::BenchHttp)?;
    }
    let mut command = cargo()?;
    // A path after `--wasmtime` is relative to where it was typed.
    command.current_dir(env::current_dir().context("the current folder cannot be read")?);
    command
        .args(["run", "--release", "--package", "xtask-bench", "--"])
        .args(args);
    shell::run(&mut command)
}

/// Whether the `http` bench is among what was asked for: by name, or because nothing was named.
fn wants_load(args: &[OsString]) -> bool {
    let asks_for_help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    let others = ["call", "start"];
    let named_http = args.iter().any(|arg| arg == "http");
    let named_other = args
        .iter()
        .any(|arg| others.iter().any(|other| arg == other));
    !asks_for_help && (named_http || !named_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_wanted_for_http_or_for_everything() {
        let wants =
            |args: &[&str]| wants_load(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(wants(&[]));
        assert!(wants(&["call", "http"]));
        assert!(wants(&["--wasmtime", "/bin/wasmtime"]));
        assert!(!wants(&["call"]));
        assert!(!wants(&["--help"]));
    }
}
