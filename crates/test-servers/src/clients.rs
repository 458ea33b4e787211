//! Programs of other people that speak with registries, to see that both understand each other.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The password of the keys that `cosign` makes and uses here.
const PASSWORD: &str = "of the test";

/// `skopeo` of Debian, in a folder that is also its home: it sees no credentials but those that a test puts there.
#[must_use]
pub fn skopeo(folder: &Path) -> Command {
    at_home("skopeo".into(), folder)
}

/// `oras`, in a folder that is also its home.
#[must_use]
pub fn oras(folder: &Path) -> Command {
    at_home(installed("trixie/usr/bin/oras"), folder)
}

/// `cosign` 2, in a folder that is also its home. It signs by a tag beside the image.
#[must_use]
pub fn cosign_2(folder: &Path) -> Command {
    at_home(installed("trixie/usr/bin/cosign"), folder)
}

/// `cosign` 3, in a folder that is also its home. It signs by a bundle that refers to the image, and verifies both.
#[must_use]
pub fn cosign_3(folder: &Path) -> Command {
    at_home(installed("forky/usr/bin/cosign"), folder)
}

fn at_home(program: PathBuf, folder: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", folder);
    command.env("COSIGN_PASSWORD", PASSWORD).current_dir(folder);
    command
}

/// Where a program was installed for the tests, or else whatever the machine has.
pub(crate) fn installed(below: &str) -> PathBuf {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let tools = Path::new(&home).join(".cache/wasmcloud-ci/tools");
    let installed = tools.join(below);
    if installed.is_file() {
        return installed;
    }
    let name = Path::new(below).file_name().expect("a name");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{FaultyRegistry, OtherRegistry, Registry, RegistryOptions};

    fn run_it(command: &mut Command) -> Result<String, String> {
        let output = command.output().expect("`cargo xtask test` installs it");
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout).expect("a text"));
        }
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {error}"))
    }

    fn run(mut command: Command) -> String {
        run_it(&mut command).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn they_push_copy_and_sign_at_both_registries() {
        let (registry, mut other) = (Registry::start(), OtherRegistry::start());
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::write(folder.join("a.wasm"), b"\0asm\x0d\0\x01\0").expect("a file");
        fs::write(folder.join("config.json"), "{}").expect("a file");
        let mut keys = cosign_2(folder);
        keys.arg("generate-key-pair");
        run(keys);
        for address in [registry.address(), other.address()] {
            let name = format!("{address}/a/b");
            let mut push = oras(folder);
            push.args([
                "push",
                "--plain-http",
                "--format",
                "go-template={{.digest}}",
            ]);
            push.args([
                "--config",
                "config.json:application/vnd.wasm.config.v0+json",
            ]);
            push.args([&format!("{name}:1"), "a.wasm:application/wasm"]);
            let image = format!("{name}@{}", run(push).trim());
            let mut three = cosign_3(folder);
            three.args(["sign", "--use-signing-config=false"]);
            let mut two = cosign_2(folder);
            two.arg("sign");
            for mut sign in [two, three] {
                sign.args(["--key", "cosign.key", "--tlog-upload=false", "--yes"]);
                sign.args(["--allow-http-registry", &image]);
                run(sign);
            }
            let mut verify = cosign_3(folder);
            verify.args(["verify", "--key", "cosign.pub", "--insecure-ignore-tlog"]);
            verify.args(["--allow-http-registry", &image]);
            run(verify);
            let mut copy = skopeo(folder);
            copy.args(["copy", "--insecure-policy", "--src-tls-verify=false"]);
            copy.args([&format!("docker://{name}:1"), "oci:layout:1"]);
            run(copy);
            assert!(folder.join("layout/index.json").is_file());
        }
        other.stop();
        other.resume();
        let mut tags = oras(folder);
        tags.args([
            "repo",
            "tags",
            "--plain-http",
            &format!("{}/a/b", other.address()),
        ]);
        assert!(run(tags).lines().any(|tag| tag == "1"));
    }

    #[test]
    fn they_log_in_as_the_registries_want() {
        let by_password = Registry::with(RegistryOptions {
            tls: true,
            users: vec![("me".to_owned(), "my secret".to_owned())],
            ..RegistryOptions::default()
        });
        let by_token = Registry::with_tokens(&[("me", "my secret")]);
        let faulty = FaultyRegistry::with_tls(by_token.port());
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::write(folder.join("a.wasm"), b"\0asm\x0d\0\x01\0").expect("a file");
        let push = |address: String, more: &[&str]| {
            let mut push = oras(folder);
            push.args(["push", "--username=me", "--password=my secret"]);
            push.args(more).arg(format!("{address}/a/b:1"));
            run_it(push.arg("a.wasm:application/wasm"))
        };
        let ca = |path: &Path| format!("--ca-file={}", path.display());
        push(by_password.address(), &[&ca(by_password.ca())]).expect("by a password");
        push(by_token.address(), &["--plain-http"]).expect("by a token");
        push(faulty.address(), &[&ca(faulty.ca())]).expect("by a token");
        let wrong = push(faulty.address(), &[&ca(faulty.ca()), "--password=another"]);
        wrong.expect_err("not by another password");
        let asked = by_token.tokens().asked();
        assert!(
            asked
                .iter()
                .any(|it| it.given && it.user.as_deref() == Some("me"))
        );
        assert!(asked.iter().any(|it| !it.given));
        let put = faulty.requests_of("PUT", "/manifests/");
        let token = put[0].authorization().expect("it needs one");
        assert!(token.starts_with("Bearer "));
    }
}
