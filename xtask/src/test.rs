//! `cargo xtask test`: install what the tests need, then run all of them.

use std::ffi::{OsStr, OsString};

use crate::shell::{self, cargo, root};
use crate::tools::{For, ensure, ensure_targets};

/// The arguments of Cargo's own test runner, so that no other has to be installed.
fn run_args(cargo_args: &[OsString], test_args: &[OsString]) -> Vec<OsString> {
    let mut args = vec![OsString::from("test")];
    if !cargo_args.iter().any(|arg| picks_a_package(arg)) {
        args.push("--workspace".into());
    }
    args.extend(cargo_args.iter().cloned());
    if !test_args.is_empty() {
        args.push("--".into());
        args.extend(test_args.iter().cloned());
    }
    args
}

/// The command: tools first, then the tests.
pub(crate) fn run(cargo_args: &[OsString], test_args: &[OsString]) -> anyhow::Result<()> {
    ensure_targets(&root()?)?;
    ensure(For::Test)?;
    shell::run(cargo()?.args(run_args(cargo_args, test_args)))
}

fn picks_a_package(arg: &OsStr) -> bool {
    let arg = arg.to_string_lossy();
    arg.starts_with("-p") || arg.starts_with("--package") || arg == "--workspace" || arg == "--all"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(cargo: &[&str], test: &[&str]) -> String {
        let own = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        run_args(&own(cargo), &own(test))
            .join(OsStr::new(" "))
            .into_string()
            .unwrap()
    }

    #[test]
    fn everything_is_tested_unless_a_package_is_picked() {
        assert_eq!(args(&[], &[]), "test --workspace");
        assert_eq!(
            args(&["--lib", "plan::"], &["--nocapture"]),
            "test --workspace --lib plan:: -- --nocapture"
        );
        assert_eq!(args(&["-p", "wash"], &[]), "test -p wash");
        assert_eq!(args(&["--package=wash"], &[]), "test --package=wash");
    }
}
