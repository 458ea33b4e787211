//! Images in a real registry: pushed, pulled, copied, listed, looked at, verified, compiled, and kept.

use std::process::{Command, Stdio};

use serde_json::Value;
use test_servers::Registry;

use crate::support::{Dev, EMPTY_COMPONENT, Run, Sandbox};

/// A component with the metadata that its maker has put into it.
const METADATA: &str = r#"(component (@custom "version" "1.4.0") (@custom "licenses" "MIT") (@custom "description" "says hello"))"#;

/// `wash`, with nothing of this machine's user.
pub(crate) fn wash(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.command(args);
    command
        .env("HOME", sandbox.path("home"))
        .env("XDG_CACHE_HOME", sandbox.path("cache"))
        .env_remove("DOCKER_CONFIG")
        .env_remove("REGISTRY_AUTH_FILE")
        .env_remove("XDG_RUNTIME_DIR");
    command
}

pub(crate) fn run(sandbox: &Sandbox, registry: &Registry, args: &[&str]) -> Run {
    let address = registry.address();
    let all = [args, &["--plain-http", &address]].concat();
    sandbox.finish(wash(sandbox, &all))
}

pub(crate) fn json(sandbox: &Sandbox, registry: &Registry, args: &[&str]) -> Value {
    let all = [args, &["--output", "json"]].concat();
    run(sandbox, registry, &all).succeeded().json()
}

#[test]
fn a_component_is_pushed_seen_and_pulled_again() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", wat::parse_str(METADATA).unwrap());
    let at = format!("{}/demo/a:1", registry.address());
    let pushed = json(
        &sandbox,
        &registry,
        &["push", "a.wasm", &at, "-a", "team=shop"],
    );
    assert_eq!(pushed["pushed"], true);
    let digest = pushed["digest"].as_str().unwrap();
    assert_eq!(
        pushed["pinned"],
        format!("{}@{digest}", at.trim_end_matches(":1"))
    );

    let again = json(
        &sandbox,
        &registry,
        &["oci", "push", "a.wasm", &at, "-a", "team=shop"],
    );
    assert_eq!(
        (&again["pushed"], &again["digest"]),
        (&Value::Bool(false), &pushed["digest"])
    );

    let seen = json(&sandbox, &registry, &["inspect", &at]);
    assert_eq!(seen["digest"], digest);
    let said = &seen["annotations"];
    assert_eq!(said["team"], "shop");
    assert_eq!(said["org.opencontainers.image.version"], "1.4.0");
    assert_eq!(said["org.opencontainers.image.licenses"], "MIT");
    assert_eq!(seen["config"]["architecture"], "wasm");
    let wit = run(&sandbox, &registry, &["inspect", &at, "--wit"]).succeeded();
    assert!(wit.stdout.contains("world root"), "{}", wit.stdout);

    let tags = json(
        &sandbox,
        &registry,
        &["tags", &format!("{}/demo/a", registry.address())],
    );
    assert_eq!(tags["tags"], serde_json::json!(["1"]));

    let pulled = json(&sandbox, &registry, &["pull", &at]);
    assert_eq!(
        (&pulled["file"], &pulled["digest"]),
        (&"a.wasm".into(), &pushed["digest"])
    );
    let pinned = pushed["pinned"].as_str().unwrap();
    let cached = json(
        &sandbox,
        &registry,
        &["pull", pinned, "-f", "b.wasm", "--policy", "never"],
    );
    assert_eq!(cached["fromCache"], true);
    let bytes = |name: &str| std::fs::read(sandbox.path(name)).unwrap();
    assert!(bytes("a.wasm") == bytes("b.wasm"));
}

#[test]
fn what_is_no_component_is_not_pushed() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("text.wasm", "hello");
    sandbox.write("module.wasm", wat::parse_str("(module)").unwrap());
    let at = format!("{}/demo/a:1", registry.address());
    let text = run(&sandbox, &registry, &["push", "text.wasm", &at]);
    assert_eq!(text.code, Some(1));
    assert!(
        text.stderr
            .contains("text.wasm: this is not a WebAssembly component"),
        "{}",
        text.stderr
    );
    let module = run(&sandbox, &registry, &["push", "module.wasm", &at]);
    assert_eq!(module.code, Some(1), "{}", module.stderr);
    let missing = run(&sandbox, &registry, &["pull", &at]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("there is no"), "{}", missing.stderr);
    for wrong in ["demo", "r.example/A:1", "r.example/../etc:1"] {
        let run = run(&sandbox, &registry, &["push", "module.wasm", wrong]);
        assert_eq!(run.code, Some(2), "{wrong}: {}", run.stderr);
        assert!(run.stderr.contains("is no reference"), "{}", run.stderr);
    }
}

#[test]
fn plain_http_is_for_registries_that_are_named() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{}/demo/a:1", registry.address());
    let refused = sandbox.finish(wash(&sandbox, &["push", "a.wasm", &at]));
    assert_eq!(refused.code, Some(1));
    let other = wash(
        &sandbox,
        &["push", "a.wasm", &at, "--plain-http", "other.example"],
    );
    assert_eq!(sandbox.finish(other).code, Some(1));
}

/// Runs a command with a text as its input.
pub(crate) fn with_input(sandbox: &Sandbox, mut command: Command, text: &str) -> Run {
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
    let _ = sandbox;
    Run {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

#[test]
fn credentials_come_from_the_command_or_from_docker_and_are_never_shown() {
    let sandbox = Sandbox::new();
    let registry = Registry::with_users(&[("ada", "s3cret-word")]);
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{}/demo/a:1", registry.address());
    let denied = run(&sandbox, &registry, &["push", "a.wasm", &at, "--verbose"]);
    assert_eq!(denied.code, Some(1));
    assert!(denied.stderr.contains("docker login"), "{}", denied.stderr);

    let address = registry.address();
    let args = [
        "push",
        "a.wasm",
        &at,
        "--plain-http",
        &address,
        "--username",
        "ada",
        "--password-stdin",
        "--verbose",
    ];
    let wrong = with_input(&sandbox, wash(&sandbox, &args), "wr0ng-word\n");
    assert_eq!(wrong.code, Some(1));
    let mut right = wash(&sandbox, &args);
    right.env("RUST_LOG", "trace");
    let right = with_input(&sandbox, right, "s3cret-word\n").succeeded();

    sandbox.write(
        "home/.docker/config.json",
        format!(
            r#"{{"auths": {{"{address}": {{"username": "ada", "password": "s3cret-word"}}}}}}"#
        ),
    );
    let mut docker = wash(&sandbox, &["pull", &at, "--plain-http", &address]);
    docker.env("RUST_LOG", "trace");
    let docker = sandbox.finish(docker).succeeded();
    for run in [&denied, &wrong, &right, &docker] {
        for secret in ["s3cret-word", "wr0ng-word", "YWRhOnMzY3JldC13b3Jk"] {
            assert!(
                !run.stderr.contains(secret) && !run.stdout.contains(secret),
                "{}",
                run.stderr
            );
        }
    }
}

/// What is typed for the target of a copy is not shown to the source, which has a login of its own.
#[test]
fn the_password_of_a_copy_is_for_where_it_goes() {
    let sandbox = Sandbox::new();
    let users = &[("ada", "s3cret-word")];
    let (from, to) = (Registry::with_users(users), Registry::with_users(users));
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let (from, to) = (from.address(), to.address());
    let (source, target) = (format!("{from}/demo/a:1"), format!("{to}/demo/a:1"));
    let login = ["--username", "ada", "--password-stdin"];
    let http = ["--plain-http", &from, "--plain-http", &to];
    let with_login = |args: &[&str]| {
        let all = [args, &login, &http].concat();
        with_input(&sandbox, wash(&sandbox, &all), "s3cret-word\n")
    };
    with_login(&["push", "a.wasm", &source]).succeeded();
    let denied = with_login(&["copy", &source, &target]);
    assert_eq!(denied.code, Some(1));
    assert!(denied.stderr.contains(&from), "{}", denied.stderr);
    sandbox.write(
        "home/.docker/config.json",
        format!(r#"{{"auths": {{"{from}": {{"username": "ada", "password": "s3cret-word"}}}}}}"#),
    );
    with_login(&["copy", &source, &target]).succeeded();
}

#[test]
fn a_file_that_is_not_there_is_not_looked_for_in_a_registry() {
    let sandbox = Sandbox::new();
    for args in [
        ["inspect", "conf/hello.yaml"],
        ["compile", "build/hello.wasm"],
    ] {
        let run = sandbox.finish(wash(&sandbox, &args));
        let told = format!("there is no {}", args[1]);
        assert!(run.stderr.contains(&told), "{}", run.stderr);
    }
}

/// A commit does not have what was changed after it.
#[test]
fn only_what_is_committed_is_labelled_with_the_commit() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=ada", "-c", "user.email=ada@example.test"];
        let mut git = Command::new("git");
        git.args(who).args(args).current_dir(sandbox.path(""));
        assert!(git.output().unwrap().status.success(), "{args:?}");
    };
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    sandbox.write("source.txt", "first");
    git(&["init", "--quiet"]);
    git(&["add", "source.txt"]);
    git(&["commit", "--quiet", "-m", "first"]);
    let at = format!("{}/demo/a", registry.address());
    let revision = |tag: &str| {
        let at = format!("{at}:{tag}");
        run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
        let seen = json(&sandbox, &registry, &["inspect", &at]);
        seen["annotations"]["org.opencontainers.image.revision"].clone()
    };
    assert!(revision("clean").is_string());
    sandbox.write("source.txt", "second");
    assert_eq!(revision("dirty"), Value::Null);
}

/// A key pair of OpenSSL.
pub(crate) fn keys(sandbox: &Sandbox, name: &str) {
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl")
            .args(args)
            .current_dir(sandbox.path(""))
            .output();
        assert!(done.unwrap().status.success());
    };
    let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", &private]);
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
}

#[test]
fn what_is_signed_is_verified_and_its_copy_as_well() {
    let (sandbox, registry, other) = (Sandbox::new(), Registry::start(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    keys(&sandbox, "ours");
    keys(&sandbox, "theirs");
    let at = format!("{}/demo/a:1", registry.address());
    run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
    let unsigned = run(&sandbox, &registry, &["verify", &at, "--key", "ours.pub"]);
    assert_eq!(unsigned.code, Some(1));
    assert!(
        unsigned.stderr.contains("wash push --sign"),
        "{}",
        unsigned.stderr
    );

    let signed = json(
        &sandbox,
        &registry,
        &["push", "a.wasm", &at, "--sign", "ours.pem"],
    );
    assert!(signed["signature"].as_str().unwrap().ends_with(".sig"));
    run(&sandbox, &registry, &["verify", &at, "--key", "ours.pub"]).succeeded();
    let wrong = run(&sandbox, &registry, &["verify", &at, "--key", "theirs.pub"]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.stdout);
    let digest = signed["digest"].as_str().unwrap();
    run(&sandbox, &registry, &["verify", &at, "--digest", digest]).succeeded();

    let to = format!("{}/mirror/a:1", other.address());
    let copied = json(
        &sandbox,
        &registry,
        &[
            "copy",
            &at,
            &to,
            "--signatures",
            "--plain-http",
            &other.address(),
        ],
    );
    assert_eq!(
        (&copied["digest"], &copied["signatures"]),
        (&signed["digest"], &1.into())
    );
    run(&sandbox, &other, &["verify", &to, "--key", "ours.pub"]).succeeded();
}

#[test]
fn the_cache_is_shown_pruned_and_verified() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let at = format!("{}/demo/a:1", registry.address());
    run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
    run(&sandbox, &registry, &["pull", &at]).succeeded();
    let shown = sandbox.finish(wash(&sandbox, &["cache", "show", "--output", "json"]));
    let shown = shown.succeeded().json();
    let references: Vec<&str> = shown["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["reference"].as_str().unwrap())
        .collect();
    assert!(references.contains(&at.as_str()), "{references:?}");

    let verify = || sandbox.finish(wash(&sandbox, &["cache", "verify"]));
    assert!(verify().succeeded().stdout.contains("as it was written"));
    let blobs = sandbox.path("cache/wash/images/blobs/sha256");
    for blob in std::fs::read_dir(blobs).unwrap() {
        std::fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    let damaged = verify();
    assert_eq!(damaged.code, Some(1));
    assert!(damaged.stdout.contains("removed"), "{}", damaged.stdout);

    // Programs get one object that has all of it.
    run(&sandbox, &registry, &["pull", &at]).succeeded();
    for blob in std::fs::read_dir(sandbox.path("cache/wash/images/blobs/sha256")).unwrap() {
        std::fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    let damaged = sandbox.finish(wash(&sandbox, &["cache", "verify", "--output", "json"]));
    assert_eq!(damaged.code, Some(1));
    let damaged = damaged.json();
    assert_eq!(damaged["damaged"][0]["removed"], true, "{damaged}");
    assert!(damaged["error"]["message"].is_string(), "{damaged}");

    run(&sandbox, &registry, &["pull", &at]).succeeded();
    let pruned = sandbox.finish(wash(&sandbox, &["cache", "prune", "--output", "json"]));
    assert!(pruned.succeeded().json()["blobs"].as_u64().unwrap() >= 2);
    let old = sandbox.finish(wash(&sandbox, &["cache", "prune", "--unused-for", "30d"]));
    old.succeeded();
}

#[test]
fn a_project_has_components_of_a_registry_beside_its_own() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    std::fs::copy(test_guests::HTTP_P2, sandbox.path("side.wasm")).unwrap();
    let address = registry.address();
    let at = format!("{address}/demo/side:1");
    run(&sandbox, &registry, &["push", "side.wasm", &at]).succeeded();
    sandbox.write("p/own.wasm", EMPTY_COMPONENT);
    let configure = |image: &str| {
        let text = format!(
            "build: {{ command: 'true', component_path: own.wasm }}\ndev:\n  components:\n  \
             - {{ name: side, image: '{image}', pullPolicy: IfNotPresent }}\n\
             images: {{ registries: {{ '{address}': {{ plainHttp: true }} }} }}\n"
        );
        sandbox.write("p/.wash/config.yaml", text);
    };
    configure(&format!("{address}/demo/none:1"));
    let dev = ["dev", "p", "--http-addr", "127.0.0.1:0", "--output", "json"];
    let mut dev = Dev::start(wash(&sandbox, &dev));
    let failed = dev.expect("failed");
    let told = failed["errors"][0]["message"].as_str().unwrap();
    let wanted = format!("cannot read `{address}/demo/none:1`: ");
    assert!(told.starts_with(&wanted), "{failed}");
    configure(&at);
    dev.wait_for("ready");
    assert_eq!(dev.get("/hello").0, 200);
    dev.stop("TERM");
    let plan = sandbox
        .finish(wash(&sandbox, &["inspect", "p"]))
        .succeeded();
    assert!(plan.stdout.contains("side"), "{}", plan.stdout);
}
