//! Secrets, as an operator meets them: they are read, and nothing that is printed holds any of them, whatever is logged.
//!
//! Whatever must not show has the marker `s3cret` in it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use test_servers::{Nats, Proxy, Redis, S3, Way};
use wasmcloud::capability::secrets::{Owner, Vault};
use wasmcloud::control::{Answered, Command};

use crate::support::{Finished, Host, LEVELS, Sandbox};

const MARKER: &str = "s3cret";

fn workload(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "runtime.wasmcloud.dev/v1alpha1",
        "kind": "Workload",
        "metadata": { "name": name },
        "spec": spec,
    })
    .to_string()
}

/// Something to run, and almost never.
fn seldom(component: &str, function: &str, args: &[&str]) -> Value {
    json!([{
        "name": "seldom", "component": component, "function": function, "args": args,
        "schedule": "0 0 29 2 *",
    }])
}

/// A host that logs everything that there is to log.
fn start(sandbox: &Sandbox, variables: &[(&str, &str)]) -> Host {
    let args = ["w", "--data-dir", "data", "--config", "host.yaml"];
    let rest = ["--http-addr", "127.0.0.1:0", "--output", "json"];
    let mut command = sandbox.command(&[&args[..], &rest].concat());
    command.env("RUST_LOG", LEVELS);
    command.envs(variables.iter().copied());
    Host::start(command)
}

/// Everything that is told of the one workload that does not start.
fn failure(host: &mut Host) -> String {
    let mut told = String::new();
    loop {
        let event = host.next();
        told += &event.to_string();
        if event["event"] == "workload-failed" {
            return told;
        }
    }
}

/// Ends it, and looks through everything that it said.
fn end_without_a_word(mut host: Host, sandbox: &Sandbox, mut told: Vec<String>) -> String {
    told.push(format!("{:?}", sandbox.ask(Command::Status)));
    host.signal("TERM");
    for kind in ["stopping", "stopped"] {
        told.push(host.expect(kind).to_string());
    }
    let (_, talk) = host.ended();
    assert!(talk.lines().count() > 100, "everything is logged: {talk}");
    // What components print is theirs.
    let own = talk.lines().filter(|line| !line.contains(" guest: "));
    told.extend(own.map(str::to_owned));
    let leaks: Vec<&String> = told.iter().filter(|it| it.contains(MARKER)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    talk
}

/// A shop that reads the secret `api-key`.
fn shop(name: &str, config: Value) -> String {
    let component = |name: &str, secrets: &[&str]| json!({ "name": name, "image": format!("../{name}.wasm"), "localResources": { "secrets": secrets } });
    let entry = json!({
        "namespace": "wasmcloud", "package": "secrets", "interfaces": ["store", "reveal"], "config": config,
    });
    let spec = json!({
        "components": [component("front", &["api-key"]), component("back", &[])],
        "hostInterfaces": [entry],
        "schedules": seldom("front", "test:secrets/front#read", &["\"api-key\""]),
    });
    workload(name, &spec)
}

/// Whatever a secret comes from, it is with the component and nowhere else.
#[test]
fn what_is_printed_holds_no_secret_of_any_backend() {
    let sandbox = Sandbox::with_app();
    for (name, guest) in [
        ("front", test_guests::SECRETS_FRONT),
        ("back", test_guests::SECRETS_BACK),
    ] {
        fs::copy(guest, sandbox.path(&format!("{name}.wasm"))).unwrap();
    }
    let keys = sandbox.path("keys");
    fs::create_dir(&keys).unwrap();
    let key_file = |value: &str, mode: u32| {
        sandbox.write("keys/api-key", value);
        fs::set_permissions(keys.join("api-key"), Permissions::from_mode(mode)).unwrap();
    };
    key_file("file_s3cret", 0o600);
    fs::create_dir_all(sandbox.path("data/kept")).unwrap();
    let vault = Vault::new(&sandbox.path("data/kept"), None);
    let owner = Owner::workload(&Default::default(), &"encrypted".parse().unwrap());
    vault
        .set(&owner, &"api-key".parse().unwrap(), b"encrypted_s3cret")
        .unwrap();
    let configs = [
        ("encrypted", json!({ "backend": "encrypted" })),
        (
            "environment",
            json!({ "backend": "environment", "prefix": "SHOP_" }),
        ),
        ("file", json!({ "backend": "file", "path": keys })),
        ("values", json!({ "api-key": "values_s3cret" })),
    ];
    for (name, config) in &configs {
        sandbox.write(&format!("w/{name}.yaml"), shop(name, config.clone()));
    }
    sandbox.write(
        "w/wrong.yaml",
        shop(
            "wrong",
            json!({ "api-key": "one_s3cret", "other": "other_s3cret" }),
        ),
    );
    let folders = json!({ "*": [keys] });
    let allowed = json!({ "secrets": { "environment": { "*": ["SHOP_*"] }, "folders": folders } });
    sandbox.write("host.yaml", allowed.to_string());
    let mut host = start(&sandbox, &[("SHOP_API_KEY", "environment_s3cret")]);
    let ready = host.expect("ready");
    let mut told = vec![ready.to_string()];
    assert_eq!(ready["workloads"].as_array().unwrap().len(), 4, "{ready}");
    let failed = failure(&mut host);
    assert!(
        failed.contains("no component is given the secret `other`"),
        "{failed}"
    );
    told.push(failed);
    for (name, _) in &configs {
        let read = |function: &str| {
            let function = format!("front/test:secrets/front#{function}");
            sandbox.call(name, &function, &["\"api-key\""])
        };
        let Answered::Answer { wave, .. } = read("read") else {
            panic!("{name} does not read its secret");
        };
        assert_eq!(wave, format!("ok(\"{name}_s3cret\")"));
        // Its sibling was not given it.
        let function = "front/test:secrets/front#show-behind";
        let trapped = sandbox.failure(name, function, &["\"api-key\""]);
        assert!(trapped.contains("was not given the secret"), "{trapped}");
        told.push(trapped);
    }
    key_file("file_s3cret", 0o644);
    let failed = sandbox.wave("file", "front/test:secrets/front#read", &["\"api-key\""]);
    assert!(failed.contains("Io("), "{failed}");
    told.push(failed);
    let talk = end_without_a_word(host, &sandbox, told);
    assert!(talk.contains("`chmod 600` it"), "{talk}");
}

/// The servers of keys and values, messages and blobs: URLs, passwords, and everything that guests send there.
struct Servers {
    redis: Redis,
    nats: Nats,
    s3: S3,
    /// The way to the server of S3.
    proxy: Proxy,
}

impl Servers {
    fn start() -> Self {
        let s3 = S3::in_memory();
        Self {
            redis: Redis::with_password("pass_s3cret"),
            nats: Nats::launch_with(&["--user", "user_s3cret", "--pass", "pass_s3cret"]),
            proxy: Proxy::to(s3.port()),
            s3,
        }
    }

    fn nats(&self, password: &str) -> String {
        format!(
            "nats://user_s3cret:{password}@127.0.0.1:{}",
            self.nats.port()
        )
    }

    /// Everything that leads to a server, once with the right password and once with another.
    fn workloads(&self) -> Vec<(&'static str, String)> {
        let redis = |password: &str| {
            let url = format!("redis://:{password}@127.0.0.1:{}", self.redis.port());
            json!({ "backend": "redis", "url": url })
        };
        let nats = |password: &str| json!({ "backend": "nats", "url": self.nats(password) });
        let s3 = json!({
            "backend": "s3",
            "endpoint": format!("http://127.0.0.1:{}", self.proxy.port()),
            "bucket": S3::BUCKET,
            "access-key-id": "key_s3cret",
            "secret-access-key": "access_s3cret",
            "session-token": "token_s3cret",
        });
        let jobs = json!({
            "namespace": "wasmcloud", "package": "messaging", "version": "0.3.0",
            "interfaces": ["types", "consumer", "handler"],
            "config": { "backend": "nats", "url": self.nats("pass_s3cret"), "subscriptions": "jobs.>" },
        });
        let jobs = json!({
            "components": [
                { "name": "tell", "image": "../tell.wasm" },
                { "name": "send", "image": "../send.wasm" },
            ],
            "hostInterfaces": [jobs],
        });
        vec![
            ("jobs", workload("jobs", &jobs)),
            ("nats", keep("nats", &nats("pass_s3cret"))),
            ("nats-blobs", blobs("nats-blobs", &nats("pass_s3cret"))),
            ("nats-wrong", keep("nats-wrong", &nats("wrong_s3cret"))),
            ("redis", keep("redis", &redis("pass_s3cret"))),
            ("redis-wrong", keep("redis-wrong", &redis("wrong_s3cret"))),
            ("s3", blobs("s3", &s3)),
        ]
    }
}

/// Keeps keys and values there.
fn keep(name: &str, config: &Value) -> String {
    let entry = |interfaces: &[&str], label: Option<&str>| {
        json!({
            "namespace": "wasmcloud", "package": "keyvalue", "interfaces": interfaces,
            "name": label, "config": config,
        })
    };
    let spec = json!({
        "components": [{ "name": "keep", "image": "../keep.wasm" }],
        "hostInterfaces": [
            entry(&["store", "atomics", "cas", "batch"], None),
            entry(&["store"], Some("sessions")),
        ],
        "schedules": seldom("keep", "delete", &["\"b\"", "\"k\""]),
    });
    workload(name, &spec)
}

/// Keeps blobs there.
fn blobs(name: &str, config: &Value) -> String {
    let entry = |label: Option<&str>| {
        json!({
            "namespace": "wasmcloud", "package": "blobstore", "interfaces": ["blobstore"],
            "name": label, "config": config,
        })
    };
    let http = json!({
        "namespace": "wasi", "package": "http", "interfaces": ["incoming-handler"],
        "config": { "host": format!("{name}.localhost") },
    });
    let spec = json!({
        "components": [{ "name": "blobs", "image": "../blobs.wasm" }],
        "hostInterfaces": [http, entry(None), entry(Some("archive"))],
    });
    workload(name, &spec)
}

/// What guests do with them. What they are told is theirs; all that matters here is whether it went well.
fn use_all(sandbox: &Sandbox, host: &Host, goes: bool) {
    let keep = |workload: &str| {
        let (bucket, key) = ("\"bucket_s3cret\"", "\"key_s3cret\"");
        let set = ["plain", bucket, key, "\"value_s3cret\"", "none", "false"];
        let set = sandbox.wave(workload, "set", &set);
        let get = sandbox.wave(workload, "get", &["plain", bucket, key]);
        let list = sandbox.wave(workload, "list", &["plain", bucket, "none", "none"]);
        let count = sandbox.wave(
            workload,
            "count",
            &["plain", bucket, "\"count_s3cret\"", "1"],
        );
        [set, get, list, count]
    };
    for workload in ["redis", "nats"] {
        for told in keep(workload) {
            assert_eq!(told.starts_with("ok"), goes, "{workload}: {told}");
        }
    }
    for told in keep("redis-wrong") {
        assert!(told.starts_with("err"), "{told}");
    }
    let script = "create,c_s3cret;put,c_s3cret,o_s3cret,text_s3cret;all,c_s3cret,o_s3cret;list,c_s3cret;\
                  copy,c_s3cret,o_s3cret,c_s3cret,p_s3cret;all,c_s3cret,absent_s3cret;delete,c_s3cret";
    for workload in ["nats-blobs", "s3"] {
        let (status, lines) = host.get(&format!("{workload}.localhost"), &format!("/run?{script}"));
        assert_eq!(status, 200, "{lines}");
        assert_eq!(lines.contains("text_s3cret"), goes, "{workload}: {lines}");
    }
    let publish = ["\"jobs.subject_s3cret\"", "\"body_s3cret\""];
    let published = sandbox.wave("jobs", "send/publish", &publish);
    assert_eq!(published.starts_with("ok"), goes, "{published}");
}

#[test]
fn what_is_printed_holds_nothing_of_what_goes_to_servers() {
    let mut servers = Servers::start();
    let sandbox = Sandbox::with_app();
    for (name, guest) in [
        ("keep", test_guests::KEEP_P3),
        ("blobs", test_guests::BLOBS_P3),
        ("tell", test_guests::TELL_P3),
        ("send", test_guests::SEND_P3),
    ] {
        fs::copy(guest, sandbox.path(&format!("{name}.wasm"))).unwrap();
    }
    let workloads = servers.workloads();
    for (name, text) in &workloads {
        sandbox.write(&format!("w/{name}.yaml"), text);
    }
    sandbox.write("host.yaml", "egress: { allow: [127.0.0.0/8] }\n");
    let mut host = start(&sandbox, &[]);
    let ready = host.expect("ready");
    // Who is not let in, does not start.
    assert_eq!(ready["failed"], json!(["default:nats-wrong"]), "{ready}");
    assert_eq!(
        ready["workloads"].as_array().unwrap().len(),
        workloads.len() - 1,
        "{ready}"
    );
    let failed = failure(&mut host);
    use_all(&sandbox, &host, true);
    servers.redis.kill();
    servers.nats.stop();
    servers.proxy.set(Way::Cut);
    use_all(&sandbox, &host, false);
    end_without_a_word(host, &sandbox, vec![ready.to_string(), failed]);
    drop(servers.s3);
}

/// What is wrong with a URL is told without it.
#[test]
fn what_is_wrong_with_an_entry_is_told_without_its_secrets() {
    let servers = [
        (
            "keyvalue",
            "store",
            json!({ "backend": "redis", "url": "mysql://u:pass_s3cret@h" }),
        ),
        (
            "keyvalue",
            "store",
            json!({ "backend": "nats", "url": "http://u:pass_s3cret@h" }),
        ),
        (
            "blobstore",
            "blobstore",
            json!({ "backend": "nats", "url": "redis://u:pass_s3cret@h" }),
        ),
        (
            "blobstore",
            "blobstore",
            json!({ "backend": "s3", "bucket": "b", "access-key-id": "key_s3cret" }),
        ),
        (
            "messaging",
            "consumer",
            json!({ "backend": "nats", "url": "nats://u:pass_s3cret@h:port" }),
        ),
    ];
    for (package, interface, config) in servers {
        let sandbox = Sandbox::with_app();
        let entry = json!({ "namespace": "wasmcloud", "package": package, "interfaces": [interface], "config": config });
        let app = json!({ "name": "app", "image": "../app.wasm" });
        let spec = json!({ "components": [app], "hostInterfaces": [entry] });
        sandbox.write("w/shop.yaml", workload("shop", &spec));
        let checked: Finished = sandbox.finish(&["w", "--check"]);
        assert_ne!(checked.code(), Some(0), "{config}");
        let told = format!("{}{}", checked.stdout(), checked.stderr());
        assert!(!told.contains(MARKER), "{told}");
    }
}
