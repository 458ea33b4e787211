//! Who one is at a registry, and who the registry is: credentials from the command line, from files and from programs; TLS and HTTP.

use std::process::Command;

use test_servers::Registry;

use crate::image_support::{ADA, ADA_ENCODED, as_ada, login_file, run, run_at, wash, with_input};
use crate::support::{EMPTY_COMPONENT, Run, Sandbox};

#[test]
fn plain_http_is_for_registries_that_are_named() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{}/demo/a:1", registry.address());
    let push = ["push", "a.wasm", &at];
    let refused = sandbox.finish(wash(&sandbox, &push));
    refused.failed().says("`--plain-http`");
    run_at(&sandbox, "other.example", &push).failed();
}

#[test]
fn credentials_come_from_the_command_or_from_docker_and_are_never_shown() {
    let sandbox = Sandbox::new();
    let registry = Registry::with_users(&[ADA]);
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{}/demo/a:1", registry.address());
    let denied = run(&sandbox, &registry, &["push", "a.wasm", &at, "--verbose"]);
    let denied = denied.failed().says("docker login");

    let address = registry.address();
    let traced = |args: &[&str]| {
        let mut command = wash(&sandbox, &[args, &["--plain-http", &address]].concat());
        command.env("RUST_LOG", "trace");
        command
    };
    let args = [
        "push",
        "a.wasm",
        &at,
        "--username",
        "ada",
        "--password-stdin",
    ];
    let wrong = with_input(traced(&args), "wr0ng-word\n").failed();
    let right = with_input(traced(&args), "s3cret-word\n").succeeded();

    sandbox.write("home/.docker/config.json", login_file(&address));
    let docker = sandbox.finish(traced(&["pull", &at])).succeeded();
    for run in [&denied, &wrong, &right, &docker] {
        for secret in [ADA.1, "wr0ng-word", ADA_ENCODED] {
            let said = run.snapshot();
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// What is typed for the target of a copy is not shown to the source, which has a login of its own.
#[test]
fn the_password_of_a_copy_is_for_where_it_goes() {
    let sandbox = Sandbox::new();
    let (from, to) = (Registry::with_users(&[ADA]), Registry::with_users(&[ADA]));
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let (from, to) = (from.address(), to.address());
    let (source, target) = (format!("{from}/demo/a:1"), format!("{to}/demo/a:1"));
    let with_login = |args: &[&str]| as_ada(&sandbox, &[&from, &to], args);
    with_login(&["push", "a.wasm", &source]).succeeded();
    let copy = ["copy", &source, &target];
    with_login(&copy).failed().says(&from);
    sandbox.write("home/.docker/config.json", login_file(&from));
    with_login(&copy).succeeded();
}

/// A helper of Docker's that knows Ada's password for all registries, and writes down what it is asked.
const KNOWS_ALL: &str =
    r#"echo "$1 $(cat)" >>asked; echo '{"Username": "ada", "Secret": "s3cret-word"}'"#;

/// A registry for Ada alone that has `demo/a:1`, and a folder with a configuration of Docker's that may name helpers.
struct Helped {
    sandbox: Sandbox,
    registry: Registry,
}

impl Helped {
    fn new() -> Self {
        let helped = Self {
            sandbox: Sandbox::new(),
            registry: Registry::with_users(&[ADA]),
        };
        helped.sandbox.write("a.wasm", EMPTY_COMPONENT);
        let push = ["push", "a.wasm", &helped.image()];
        as_ada(&helped.sandbox, &[&helped.registry.address()], &push).succeeded();
        helped
    }

    fn image(&self) -> String {
        format!("{}/demo/a:1", self.registry.address())
    }

    /// Puts a helper on the path. Another process writes it: a program that is open here for a moment could not be run.
    fn helper(&self, name: &str, script: &str) {
        self.sandbox
            .write("script", format!("#!/bin/sh\n{script}\n"));
        let program = format!("bin/docker-credential-{name}");
        let mut install = Command::new("install");
        install.args(["-D", "-m", "755", "script", &program]);
        let done = install.current_dir(self.sandbox.path("")).status();
        assert!(done.unwrap().success());
    }

    fn docker_has(&self, config: &str) {
        self.sandbox.write("docker/config.json", config);
    }

    /// Pulls the image, as somebody for whom Docker has that configuration.
    fn pull(&self) -> Run {
        let (image, address) = (self.image(), self.registry.address());
        let mut command = wash(&self.sandbox, &["pull", &image, "--plain-http", &address]);
        let path = std::env::var("PATH").unwrap();
        let bin = self.sandbox.path("bin");
        command
            .env("DOCKER_CONFIG", self.sandbox.path("docker"))
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("RUST_LOG", "trace");
        let run = self.sandbox.finish(command);
        let said = run.snapshot();
        for secret in [ADA.1, ADA_ENCODED, "hunter2"] {
            assert!(!said.contains(secret), "{said}");
        }
        run
    }

    /// Whether a helper was asked, and for nothing but this registry.
    fn was_asked(&self) -> bool {
        let asked = self.sandbox.path("asked");
        let Ok(lines) = std::fs::read_to_string(&asked) else {
            return false;
        };
        let wanted = format!("get {}", self.registry.address());
        assert!(lines.lines().all(|line| line == wanted), "{lines}");
        std::fs::remove_file(asked).unwrap();
        true
    }
}

#[test]
fn a_credential_helper_is_asked_for_the_registry_that_wants_credentials() {
    let helped = Helped::new();
    let address = helped.registry.address();
    helped.docker_has("{}");
    helped.pull().failed().says("docker login");
    helped.helper("shop", KNOWS_ALL);
    for config in [
        r#"{"credsStore": "shop"}"#.to_owned(),
        format!(r#"{{"credHelpers": {{"{address}": "shop"}}, "credsStore": "none"}}"#),
        // As `docker login` leaves it: the password is not in the file.
        format!(r#"{{"auths": {{"{address}": {{}}}}, "credsStore": "shop"}}"#),
    ] {
        helped.docker_has(&config);
        helped.pull().succeeded();
        assert!(helped.was_asked(), "{config}");
    }
}

#[test]
fn a_credential_helper_is_not_asked_for_another_registry_or_where_nothing_is_wanted() {
    let helped = Helped::new();
    helped.helper("shop", KNOWS_ALL);
    helped.docker_has(r#"{"credHelpers": {"other.example": "shop"}}"#);
    helped.pull().failed().says("docker login");
    assert!(!helped.was_asked());
    // What the file itself has for the registry comes before a helper for all.
    let login = login_file(&helped.registry.address());
    helped.docker_has(&login.replacen('{', r#"{"credsStore": "shop", "#, 1));
    helped.pull().succeeded();
    assert!(!helped.was_asked());

    let helped = Helped {
        registry: Registry::start(),
        ..helped
    };
    let push = ["push", "a.wasm", &helped.image()];
    run(&helped.sandbox, &helped.registry, &push).succeeded();
    helped.docker_has(r#"{"credsStore": "shop"}"#);
    helped.pull().succeeded();
    assert!(!helped.was_asked());
}

#[test]
fn a_credential_helper_that_fails_is_told_by_name_and_its_words_are_not() {
    let helped = Helped::new();
    helped.docker_has(r#"{"credsStore": "shop"}"#);
    let fails = |why: &str| {
        let run = helped.pull().failed();
        run.says("`docker-credential-shop`, which `[DIR]/docker/config.json` names")
            .says(why);
    };
    fails("it cannot be run");
    helped.helper("shop", "echo hunter2; echo hunter2 >&2; exit 3");
    fails("it failed (exit status: 3)");
    helped.helper("shop", "echo hunter2");
    fails("its answer is no JSON");
}

/// Docker's configuration comes first; where its helper knows nothing, Podman's file is read.
#[test]
fn where_a_credential_helper_knows_nothing_the_next_place_is_looked_at() {
    let helped = Helped::new();
    helped.docker_has(r#"{"credsStore": "shop"}"#);
    let nothing = r#"cat >asked; echo "credentials not found in native keychain"; exit 1"#;
    helped.helper("shop", nothing);
    helped.pull().failed().says("there are none");
    let login = login_file(&helped.registry.address());
    helped
        .sandbox
        .write("home/.config/containers/auth.json", login);
    helped.pull().succeeded();
    assert_eq!(helped.sandbox.read("asked"), helped.registry.address());
}

#[test]
fn an_authority_of_ones_own_is_believed_where_it_is_named() {
    let (sandbox, registry) = (Sandbox::new(), Registry::with_tls());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{}/demo/a:1", registry.address());
    let wash = |args: &[&str]| sandbox.finish(wash(&sandbox, args));
    let refused = wash(&["push", "a.wasm", &at]).failed();
    refused.says("TLS with `127.0.0.1`").says("`--ca-file`");
    let (ours, theirs) = (registry.ca(), Registry::with_tls());
    let (ours, theirs) = (ours.to_str().unwrap(), theirs.ca().to_str().unwrap());
    let other = wash(&["push", "a.wasm", &at, "--ca-file", theirs]).failed();
    other.says("TLS with `127.0.0.1`");
    wash(&["push", "a.wasm", &at, "--ca-file", ours]).succeeded();
    // Any of several will do.
    let both = ["--ca-file", theirs, "--ca-file", ours];
    let pulled = wash(&[&["pull", &at][..], &both].concat());
    assert!(
        pulled
            .succeeded()
            .stdout
            .starts_with("a.wasm: 8 B, pulled\n")
    );
    for (file, why) in [
        ("none.pem", "No such file"),
        ("a.wasm", "BEGIN CERTIFICATE"),
    ] {
        let run = wash(&["tags", &at, "--ca-file", file]).failed();
        run.says(file).says(why);
    }
}
