//! What the tests of images have in common: the program with nothing of this machine's user, logins, keys, and commits.

use std::process::{Command, Stdio};

use serde_json::Value;
use test_servers::Registry;

use crate::support::{Run, Sandbox};

/// A component with the metadata that its maker has put into it.
pub(crate) const METADATA: &str = r#"(component (@custom "version" "1.4.0") (@custom "licenses" "MIT") (@custom "description" "says hello"))"#;

/// A user with a password, and both as `Basic` has them.
pub(crate) const ADA: (&str, &str) = ("ada", "s3cret-word");
pub(crate) const ADA_ENCODED: &str = "YWRhOnMzY3JldC13b3Jk";

/// `wash`, with nothing of this machine's user.
pub(crate) fn wash(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.command(args);
    command
        .env("HOME", sandbox.path("home"))
        .env("XDG_CACHE_HOME", sandbox.path("cache"));
    for key in [
        "COSIGN_PASSWORD",
        "DOCKER_CONFIG",
        "REGISTRY_AUTH_FILE",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
    ] {
        command.env_remove(key);
    }
    command
}

/// Runs `wash` with a registry at an address that speaks HTTP.
pub(crate) fn run_at(sandbox: &Sandbox, address: &str, args: &[&str]) -> Run {
    sandbox.finish(wash(sandbox, &[args, &["--plain-http", address]].concat()))
}

pub(crate) fn run(sandbox: &Sandbox, registry: &Registry, args: &[&str]) -> Run {
    run_at(sandbox, &registry.address(), args)
}

pub(crate) fn json(sandbox: &Sandbox, registry: &Registry, args: &[&str]) -> Value {
    let all = [args, &["--output", "json"]].concat();
    run(sandbox, registry, &all).succeeded().json()
}

/// Runs a command with a text as its input.
pub(crate) fn with_input(mut command: Command, text: &str) -> Run {
    use std::io::Write as _;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Runs `wash` with Ada's name and password, and registries at addresses that speak HTTP.
pub(crate) fn as_ada(sandbox: &Sandbox, addresses: &[&str], args: &[&str]) -> Run {
    let login = ["--username", ADA.0, "--password-stdin"];
    let mut command = wash(sandbox, &[args, &login].concat());
    for &address in addresses {
        command.args(["--plain-http", address]);
    }
    with_input(command, &format!("{}\n", ADA.1))
}

/// The file of Docker's with Ada's password for a registry.
pub(crate) fn login_file(address: &str) -> String {
    let (name, password) = ADA;
    format!(r#"{{"auths": {{"{address}": {{"username": "{name}", "password": "{password}"}}}}}}"#)
}

/// Runs `openssl`, which must not fail.
pub(crate) fn openssl(sandbox: &Sandbox, args: &[&str]) {
    let mut openssl = Command::new("openssl");
    openssl.args(args).current_dir(sandbox.path(""));
    let done = openssl.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {said}");
}

/// A key pair of OpenSSL.
pub(crate) fn keys(sandbox: &Sandbox, name: &str) {
    let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
    let generate = ["genpkey", "-algorithm", "ed25519", "-out", &private];
    openssl(sandbox, &generate);
    openssl(
        sandbox,
        &["pkey", "-in", &private, "-pubout", "-out", &public],
    );
}

/// When everything is committed here.
pub(crate) const COMMITTED: &str = "2024-05-06T09:08:09+02:00";

/// Runs `git`, which must not fail, with nothing of this machine's user.
pub(crate) fn git(sandbox: &Sandbox, args: &[&str]) {
    let who = ["-c", "user.name=ada", "-c", "user.email=ada@example.test"];
    let mut git = Command::new("git");
    git.args(who).args(args).current_dir(sandbox.path(""));
    git.env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_COMMITTER_DATE", COMMITTED);
    let done = git.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {said}");
}

/// Makes the sandbox a repository with one commit, of a file `source.txt`.
pub(crate) fn commit(sandbox: &Sandbox) {
    sandbox.write("source.txt", "first");
    git(sandbox, &["init", "--quiet"]);
    git(sandbox, &["add", "source.txt"]);
    git(sandbox, &["commit", "--quiet", "-m", "first"]);
}
