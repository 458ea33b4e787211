//! Secrets: read by whom they were given to, by nobody else, and shown nowhere.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use wasmcloud::assembly::HostConfig;
use wasmcloud::capability::secrets::{Owner, Vault};
use wasmcloud::host::{CallFailed, CallRequest};
use wasmcloud::plugin::Answer;

use crate::support::{Log, TestHost, component, id, spec, within};

const VALUE: &str = "correct horse battery staple";

/// A component that may read these secrets.
fn given(name: &str, image: &str, secrets: &[&str]) -> Value {
    let mut component = component(name, image);
    component["localResources"]["secrets"] = json!(secrets);
    component
}

fn entry(config: Value) -> Value {
    json!({
        "namespace": "wasmcloud", "package": "secrets", "version": "2.1.0",
        "interfaces": ["store", "reveal"], "config": config,
    })
}

/// `front` with a sibling behind it, fused.
fn shop(front: &[&str], back: &[&str], entries: impl IntoIterator<Item = Value>) -> Value {
    let front = given("front", test_guests::SECRETS_FRONT, front);
    let back = given("back", test_guests::SECRETS_BACK, back);
    spec([front, back], entries)
}

async fn host(change: impl FnOnce(&mut HostConfig)) -> TestHost {
    TestHost::with(|config| {
        config.calls_only = true;
        config.http = None;
        change(config);
    })
    .await
}

async fn call(host: &TestHost, function: &str, args: &[&str]) -> Result<Answer, CallFailed> {
    let request = CallRequest {
        workload: id("shop"),
        component: None,
        function: function.parse().unwrap(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    };
    within(host.host.call(&request)).await
}

async fn ask(host: &TestHost, function: &str, name: &str) -> String {
    let function = format!("test:secrets/front#{function}");
    let name = format!("\"{name}\"");
    let answer = call(host, &function, &[&name]).await;
    answer.expect("the call returns").wave().to_owned()
}

fn ok(value: &str) -> String {
    format!("ok(\"{value}\")")
}

const NOT_FOUND: &str = "err(\"SecretsError::NotFound\")";

/// Writes a file for its owner only, in the place of another.
fn write(path: &Path, content: impl AsRef<[u8]>) {
    let _ = fs::remove_file(path);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(content.as_ref()).unwrap();
}

#[tokio::test]
pub(crate) async fn secrets_front() {
    let host = host(|_| {}).await;
    let values = json!({ "api-key": VALUE, "empty": "" });
    host.run("shop", &shop(&["api-key", "empty"], &[], [entry(values)]))
        .await;
    assert_eq!(ask(&host, "read", "api-key").await, ok(VALUE));
    assert_eq!(ask(&host, "read", "empty").await, ok(""));
    for absent in ["other", "", "..", "a/b", "\\u{0}", &"x".repeat(4096)] {
        assert_eq!(ask(&host, "read", absent).await, NOT_FOUND, "{absent}");
    }
    host.stop_finds_nothing_running("shop").await;
}

/// Two components, compiled into one, each with what it was given.
#[tokio::test]
pub(crate) async fn secrets_back() {
    let log = Log::capture();
    let host = host(|_| {}).await;
    let values = json!({ "front": "of the front", "back": "of the back", "both": "of both" });
    let shop = shop(&["front", "both"], &["back", "both"], [entry(values)]);
    host.run("shop", &shop).await;
    assert_eq!(ask(&host, "read", "front").await, ok("of the front"));
    assert_eq!(ask(&host, "read-behind", "back").await, ok("of the back"));
    assert_eq!(ask(&host, "read-behind", "both").await, ok("of both"));
    assert_eq!(ask(&host, "show-behind", "both").await, ok("of both"));
    // A handle is worth nothing in the hands of another.
    for (function, name, culprit) in [
        ("read", "back", "front"),
        ("read-behind", "front", "back"),
        ("show-behind", "front", "back"),
    ] {
        let function = format!("test:secrets/front#{function}");
        let trapped = call(&host, &function, &[&format!("\"{name}\"")]).await;
        let told = trapped.unwrap_err().in_full();
        assert!(!told.contains("of the"), "{told}");
        let told = log.text();
        let wanted = format!("asks for the secret `{name}`, which it was not given");
        assert!(
            told.contains(&wanted) && told.contains(&format!("component={culprit}")),
            "{told}"
        );
    }
    assert_eq!(ask(&host, "read", "neither").await, NOT_FOUND);
    host.stop_finds_nothing_running("shop").await;
}

#[tokio::test]
async fn a_file_that_changes_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(|config| {
        let allowed = ("default/shop".parse().unwrap(), folder.path().to_owned());
        config.secrets.folders.push(allowed);
    })
    .await;
    let all = folder.path().join("all.yaml");
    for (path, key) in [
        (folder.path(), folder.path().join("key")),
        (&all, all.clone()),
    ] {
        let text = |value: &str| match path == all {
            true => format!("key: {value}\n"),
            false => format!("{value}\n"),
        };
        write(&key, text("one"));
        let config = json!({ "backend": "file", "path": path });
        host.run("shop", &shop(&["key"], &[], [entry(config)]))
            .await;
        for value in ["one", "two", "six"] {
            write(&key, text(value));
            assert_eq!(ask(&host, "read", "key").await, ok(value));
        }
        fs::remove_file(&key).unwrap();
        assert_eq!(ask(&host, "read", "key").await, NOT_FOUND);
        host.stop("shop").await;
    }
}

/// What is no text comes as bytes, as it is.
#[tokio::test]
async fn a_secret_may_be_any_bytes() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host = host(|config| {
        let allowed = ("*".parse().unwrap(), folder.path().to_owned());
        config.secrets.folders.push(allowed);
        config.data_dir = Some(data.path().to_owned());
    })
    .await;
    write(&folder.path().join("key"), [0xff, 0xfe]);
    let owner = Owner::workload(&Default::default(), &"shop".parse().unwrap());
    let vault = Vault::new(data.path(), None);
    vault
        .set(&owner, &"key".parse().unwrap(), &[0xff, 0xfe])
        .unwrap();
    for config in [
        json!({ "backend": "file", "path": folder.path() }),
        json!({ "backend": "encrypted" }),
    ] {
        host.run("shop", &shop(&["key"], &["key"], [entry(config)]))
            .await;
        for function in ["read", "read-behind", "show-behind"] {
            assert_eq!(ask(&host, function, "key").await, ok("[255, 254]"));
        }
        host.stop("shop").await;
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_is_an_error_of_the_call() {
    let log = Log::capture();
    let folder = tempfile::tempdir().unwrap();
    let host = host(|config| {
        let allowed = ("*".parse().unwrap(), folder.path().to_owned());
        config.secrets.folders.push(allowed);
    })
    .await;
    fs::write(folder.path().join("key"), VALUE).unwrap();
    let config = json!({ "backend": "file", "path": folder.path() });
    host.run("shop", &shop(&["key"], &[], [entry(config)]))
        .await;
    for _ in 0..2 {
        let told = ask(&host, "read", "key").await;
        assert!(told.contains("Io(") && !told.contains("tmp"), "{told}");
    }
    let told = log.text();
    assert_eq!(
        told.matches("`chmod 600` it").count(),
        1,
        "once a minute: {told}"
    );
}

#[tokio::test]
async fn a_manifest_reads_no_more_of_the_machine_than_it_may() {
    let (mine, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host = host(|config| {
        let allowed = [
            ("default/shop".parse().unwrap(), mine.path().to_owned()),
            ("default/bank".parse().unwrap(), others.path().to_owned()),
        ];
        config.secrets.folders.extend(allowed);
        let variables = "CARGO_PKG_NAM*".parse().unwrap();
        let allowed = ("default/shop".parse().unwrap(), variables);
        config.secrets.environment.push(allowed);
    })
    .await;
    write(&others.path().join("key"), VALUE);
    let up = mine
        .path()
        .join("..")
        .join(others.path().file_name().unwrap());
    for path in [others.path(), &up, Path::new("/"), Path::new("/nowhere")] {
        let config = json!({ "backend": "file", "path": path });
        let error = host
            .try_run("shop", &shop(&["key"], &[], [entry(config)]))
            .await;
        let told = error.unwrap_err().to_string();
        assert!(told.contains("read no secrets in"), "{told}");
    }
    let environment = |prefix: &str| entry(json!({ "backend": "environment", "prefix": prefix }));
    let error = host
        .try_run("shop", &shop(&["path"], &[], [environment("")]))
        .await;
    let told = error.unwrap_err().to_string();
    assert!(
        told.contains("the variable `PATH`, which the host does not let this workload read"),
        "{told}"
    );
    host.run("shop", &shop(&["name"], &[], [environment("CARGO_PKG_")]))
        .await;
    assert_eq!(ask(&host, "read", "name").await, ok("wasmcloud"));
}

/// As in `wash dev`: the data folder is in the project, all of which may be read.
#[tokio::test]
async fn the_key_of_the_encrypted_store_is_no_secret_of_a_workload() {
    let log = Log::capture();
    let project = tempfile::tempdir().unwrap();
    let data = project.path().join(".wash/data");
    fs::create_dir_all(&data).unwrap();
    let own = Owner::workload(&Default::default(), &"bank".parse().unwrap());
    let vault = Vault::new(&data, None);
    vault.set(&own, &"key".parse().unwrap(), b"one").unwrap();
    let key = fs::read_to_string(data.join("secrets.key")).unwrap();
    let host = host(|config| {
        let allowed = ("*".parse().unwrap(), project.path().to_owned());
        config.secrets.folders.push(allowed);
        let variables = ("*".parse().unwrap(), "WASMCLOUD_*".parse().unwrap());
        config.secrets.environment.push(variables);
        config.data_dir = Some(data.clone());
    })
    .await;
    let mut told = Vec::new();
    let mut refused = async |name: &str, config: Value, wanted: &str| {
        let shop = shop(&[name], &[], [entry(config)]);
        let error = host.try_run("shop", &shop).await.unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        told.push(error);
    };
    let inside = "the host keeps what is its own in";
    std::os::unix::fs::symlink(".wash/data", project.path().join("link")).unwrap();
    for (path, name) in [
        (".wash/data", "secrets.key"),
        ("link", "secrets.sealed"),
        (".wash/data/all.yaml", "key"),
    ] {
        let config = json!({ "backend": "file", "path": project.path().join(path) });
        refused(name, config, inside).await;
    }
    let apart = "part of the encrypted store of the host";
    fs::hard_link(data.join("secrets.key"), project.path().join("hard")).unwrap();
    std::os::unix::fs::symlink(".wash/data/secrets.key", project.path().join("soft")).unwrap();
    for name in ["hard", "soft"] {
        let config = json!({ "backend": "file", "path": project.path() });
        refused(name, config, apart).await;
    }
    let config = json!({ "backend": "environment", "prefix": "WASMCLOUD_" });
    refused(
        "secrets-key",
        config,
        "the variable `WASMCLOUD_SECRETS_KEY`",
    )
    .await;
    // A link that comes later helps as little.
    let config = json!({ "backend": "file", "path": project.path() });
    write(&project.path().join("late"), "not yet");
    host.run("shop", &shop(&["late"], &[], [entry(config)]))
        .await;
    assert_eq!(ask(&host, "read", "late").await, ok("not yet"));
    fs::remove_file(project.path().join("late")).unwrap();
    fs::hard_link(data.join("secrets.key"), project.path().join("late")).unwrap();
    told.push(ask(&host, "read", "late").await);
    assert!(told.last().unwrap().contains("Io("), "{told:?}");
    told.push(log.text());
    assert!(!told.concat().contains(key.trim()), "{told:?}");
}

#[tokio::test]
async fn the_encrypted_store_gives_each_workload_its_own() {
    let data = tempfile::tempdir().unwrap();
    let vault = Vault::new(data.path(), None);
    let namespace = Default::default();
    let owner = |name: &str| Owner::workload(&namespace, &name.parse().unwrap());
    let set = |owner: &Owner, value: &str| {
        vault
            .set(owner, &"key".parse().unwrap(), value.as_bytes())
            .unwrap();
    };
    set(&owner("shop"), "one");
    set(&owner("bank"), "of the bank");
    set(&Owner::shared(&namespace, "street"), "of the street");
    let folder = data.path().to_owned();
    let host = host(|config| config.data_dir = Some(folder)).await;
    let own = || shop(&["key"], &[], [entry(json!({ "backend": "encrypted" }))]);
    host.run("shop", &own()).await;
    for value in ["one", "two"] {
        set(&owner("shop"), value);
        assert_eq!(ask(&host, "read", "key").await, ok(value));
    }
    host.stop("shop").await;
    let config = json!({ "backend": "encrypted", "shared": "street" });
    host.run("shop", &shop(&["key"], &[], [entry(config)]))
        .await;
    assert_eq!(ask(&host, "read", "key").await, ok("of the street"));
}

/// Handles are counted like all others, and share one copy of the value.
#[tokio::test]
async fn nobody_takes_handles_without_end() {
    let host = host(|config| config.limits.handles = 100).await;
    let values = json!({ "key": "x".repeat(60_000) });
    host.run("shop", &shop(&["key"], &[], [entry(values)]))
        .await;
    let hoard = "test:secrets/front#hoard";
    let some = call(&host, hoard, &["\"key\"", "50"]).await.unwrap();
    assert_eq!(some.wave(), "\"all\"");
    let told = call(&host, hoard, &["\"key\"", "1000"])
        .await
        .unwrap_err()
        .in_full();
    assert!(!told.contains("xxx"), "{told}");
    assert!(ask(&host, "read", "key").await.starts_with("ok(\"xxx"));
}

/// A component that imports one secret by a label. Written by hand: the linker of Rust 1.95 knows no labels yet.
const LABELLED: &str = r#"
(component
  (import "wasmcloud:secrets/store@2.1.0" (instance $store
    (export "secret" (type (sub resource)))
    (type $v (variant (case "string" string) (case "bytes" (list u8))))
    (export "secret-value" (type (eq $v)))))
  (alias export $store "secret" (type $secret))
  (alias export $store "secret-value" (type $value))
  (import "db-password" (implements "wasmcloud:secrets/secret@2.1.0") (instance $label
    (alias outer 1 $secret (type $s))
    (export "secret" (type $t (eq $s)))
    (export "get" (func async (result (own $t))))))
  (import "wasmcloud:secrets/reveal@2.1.0" (instance $reveal
    (alias outer 1 $secret (type $s))
    (export "secret" (type $t (eq $s)))
    (alias outer 1 $value (type $v))
    (export "secret-value" (type $u (eq $v)))
    (export "reveal" (func async (param "s" (borrow $t)) (result $u)))))
  (core module $memory
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $m (instantiate $memory))
  (core func $get (canon lower (func $label "get")))
  (core func $reveal (canon lower (func $reveal "reveal")
    (memory $m "memory") (realloc (func $m "realloc"))))
  (core func $drop (canon resource.drop $secret))
  (core func $return (canon task.return (result string) (memory $m "memory")))
  (core module $code
    (import "" "memory" (memory 2))
    (import "" "get" (func $get (result i32)))
    (import "" "reveal" (func $reveal (param i32 i32)))
    (import "" "drop" (func $drop (param i32)))
    (import "" "return" (func $return (param i32 i32)))
    (func (export "read") (result i32)
      (local $secret i32)
      (local.set $secret (call $get))
      (call $reveal (local.get $secret) (i32.const 16))
      (call $drop (local.get $secret))
      (call $return (i32.load (i32.const 20)) (i32.load (i32.const 24)))
      (i32.const 0))
    (func (export "later") (param i32 i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $code (with "" (instance
    (export "memory" (memory $m "memory"))
    (export "get" (func $get))
    (export "reveal" (func $reveal))
    (export "drop" (func $drop))
    (export "return" (func $return))))))
  (func (export "read") async (result string)
    (canon lift (core func $i "read") async (callback (func $i "later")) (memory $m "memory"))))
"#;

#[tokio::test]
async fn a_secret_that_is_imported_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("labelled.wasm");
    fs::write(&image, wat::parse_str(LABELLED).unwrap()).unwrap();
    let host = host(|config| {
        let allowed = ("*".parse().unwrap(), folder.path().to_owned());
        config.secrets.folders.push(allowed);
    })
    .await;
    let label = |config: Value| {
        json!({
            "name": "db-password", "namespace": "wasmcloud", "package": "secrets",
            "interfaces": ["secret"], "config": config,
        })
    };
    let shop = |secrets: &[&str], config: Value| {
        let component = given("front", image.to_str().unwrap(), secrets);
        spec([component], [entry(json!({})), label(config)])
    };
    let values = json!({ "db-password": VALUE });
    host.run("shop", &shop(&["db-password"], values.clone()))
        .await;
    let read = async || call(&host, "read", &[]).await.unwrap().wave().to_owned();
    assert_eq!(read().await, format!("\"{VALUE}\""));
    host.stop("shop").await;

    let refused = async |shop: Value| host.try_run("shop", &shop).await.unwrap_err().to_string();
    let told = refused(shop(&[], values)).await;
    assert!(
        told.contains("no component is given the secret `db-password`"),
        "{told}"
    );
    let file = json!({ "backend": "file", "path": folder.path(), "key": "password" });
    let shop = shop(&["db-password"], file);
    let told = refused(shop.clone()).await;
    assert!(
        told.contains("there is no secret `password` for the import `db-password`"),
        "{told}"
    );

    let path = folder.path().join("password");
    write(&path, "one");
    host.run("shop", &shop).await;
    for value in ["one", "two"] {
        write(&path, value);
        assert_eq!(read().await, format!("\"{value}\""));
    }
    // The import cannot say that it is gone.
    fs::remove_file(&path).unwrap();
    assert_eq!(read().await, "\"two\"");
}

/// Whatever is printed about a workload with secrets, and about one that is refused: no value is in it.
#[tokio::test]
async fn no_value_shows_anywhere() {
    let log = Log::capture();
    let host = host(|_| {}).await;
    let good = shop(
        &["key"],
        &["other"],
        [entry(json!({ "key": VALUE, "other": VALUE }))],
    );
    let status = host.run("shop", &good).await;
    let mut told = vec![
        format!("{status:?}"),
        serde_json::to_string(&status).unwrap(),
    ];
    assert_eq!(ask(&host, "read", "key").await, ok(VALUE));
    let trapped = call(&host, "test:secrets/front#show-behind", &["\"key\""]).await;
    told.push(format!("{:?}", trapped.unwrap_err()));
    told.push(ask(&host, "read", "nothing").await);
    told.push(format!("{:?}", host.status("shop").await));
    for config in [
        json!({ "key": VALUE, "other": VALUE, "third": VALUE }),
        json!({ "kee": VALUE, "other": VALUE }),
        json!({ "a b": VALUE }),
        json!({ "backend": VALUE.replace(' ', "-"), "key": VALUE }),
        json!({ "backend": "encrypted", "key": VALUE }),
        json!({ "backend": "file", "path": "/nowhere", "key": VALUE }),
        json!({ "key": VALUE.repeat(3000), "other": VALUE }),
    ] {
        let is_word = config["backend"]
            .as_str()
            .is_some_and(|it| it.contains("horse"));
        let bad = shop(&["key"], &["other"], [entry(config)]);
        let error = host.try_run("other", &bad).await.unwrap_err();
        // A word that is no backend is told, as it is no value of a secret.
        if !is_word {
            told.push(format!("{error} {error:?}"));
        }
    }
    told.push(log.text());
    for told in told {
        assert!(!told.contains("horse"), "{told}");
    }
}
