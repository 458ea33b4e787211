//! Keys and values: what guests keep, where it leads by which import, and who sees it.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_servers::{Nats, Redis};
use wasmcloud::assembly::HostConfig;
use wasmcloud::capability::keyvalue::KeyValueOptions;
use wasmcloud::host::CallRequest;

use crate::support::{TestHost, component, id, spec, within};

/// The entries of a package: one for the plain imports, and one for the label `sessions`.
fn entries(namespace: &str, plain: &Value, sessions: &Value) -> [Value; 2] {
    let interfaces: &[&str] = match namespace {
        "wasi" => &["store", "atomics", "batch"],
        _ => &["store", "atomics", "cas", "batch"],
    };
    [
        json!({ "namespace": namespace, "package": "keyvalue", "interfaces": interfaces, "config": plain }),
        json!({ "namespace": namespace, "package": "keyvalue", "interfaces": ["store"], "name": "sessions", "config": sessions }),
    ]
}

fn wasi(plain: Value, sessions: Value) -> Value {
    let keep = component("keep", test_guests::KEEP_P2);
    spec([keep], entries("wasi", &plain, &sessions))
}

fn asynchronous(plain: Value, sessions: Value) -> Value {
    let keep = component("keep", test_guests::KEEP_P3);
    spec([keep], entries("wasmcloud", &plain, &sessions))
}

/// A host whose workloads nobody calls but the test, and which may reach servers of this machine.
async fn host_with(change: impl FnOnce(&mut HostConfig)) -> TestHost {
    TestHost::with(|config| {
        config.calls_only = true;
        config.egress.allow = vec!["127.0.0.0/8".parse().unwrap()];
        change(config);
    })
    .await
}

async fn host() -> TestHost {
    host_with(|_| {}).await
}

async fn host_in(folder: &TempDir) -> TestHost {
    host_with(|config| config.data_dir = Some(folder.path().to_owned())).await
}

/// What a function answers: the text of what it returns.
async fn call(host: &TestHost, workload: &str, function: &str, args: &[&str]) -> String {
    let request = CallRequest {
        workload: id(workload),
        component: None,
        function: function.parse().unwrap(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    };
    let answer = within(host.host.call(&request)).await;
    answer.expect("the call returns").wave().to_owned()
}

/// Calls a function with texts, which are quoted, and other values, which are not.
macro_rules! says {
    ($host:expr, $workload:expr, $function:ident($($arg:expr),*)) => {
        call(&$host, $workload, &stringify!($function).replace('_', "-").replace("r#", ""), &[$($arg),*]).await
    };
}

mod bad_input;
mod through_guest;

fn nats() -> Nats {
    Nats::launch()
}

#[tokio::test]
pub(crate) async fn keep_p2() {
    let host = host().await;
    host.run("shop", &wasi(json!({}), json!({ "backend": "memory" })))
        .await;
    let nothing = says!(host, "shop", get("plain", "\"b\"", "\"k\""));
    assert_eq!(nothing, "ok(none)");
    let set = says!(host, "shop", set("plain", "\"b\"", "\"k\"", "\"v\""));
    assert_eq!(set, "ok");
    assert_eq!(
        says!(host, "shop", get("plain", "\"b\"", "\"k\"")),
        "ok(some(\"v\"))"
    );
    assert_eq!(
        says!(host, "shop", exists("plain", "\"b\"", "\"k\"")),
        "ok(true)"
    );
    assert_eq!(
        says!(host, "shop", get("plain", "\"c\"", "\"k\"")),
        "ok(none)"
    );
    assert_eq!(says!(host, "shop", delete("plain", "\"b\"", "\"k\"")), "ok");
    assert_eq!(says!(host, "shop", delete("plain", "\"b\"", "\"k\"")), "ok");
    assert_eq!(
        says!(host, "shop", exists("plain", "\"b\"", "\"k\"")),
        "ok(false)"
    );
    assert_eq!(says!(host, "shop", fill("\"b\"", "\"f\"", "3")), "ok");
    let many = says!(host, "shop", get_many("\"b\"", "[\"f2\", \"f9\"]"));
    assert_eq!(many, "ok([some((\"f2\", \"v\")), none])");
    assert_eq!(
        says!(host, "shop", delete_many("\"b\"", "[\"f2\", \"f9\"]")),
        "ok"
    );
    assert_eq!(says!(host, "shop", list("\"b\"", "none")), "ok((2, none))");
    host.stop_finds_nothing_running("shop").await;
}

#[tokio::test]
async fn counters_of_wasi_go_as_far_as_they_can_and_never_below_zero() {
    let host = host().await;
    host.run("shop", &wasi(json!({}), json!({}))).await;
    assert_eq!(says!(host, "shop", count("\"b\"", "\"n\"", "40")), "ok(40)");
    assert_eq!(says!(host, "shop", count("\"b\"", "\"n\"", "2")), "ok(42)");
    let past = "err(\"the counter would be out of range; it is unchanged\")";
    for delta in [u64::MAX, i64::MAX as u64] {
        let delta = delta.to_string();
        assert_eq!(says!(host, "shop", count("\"b\"", "\"n\"", &delta)), past);
    }
    assert_eq!(says!(host, "shop", count("\"b\"", "\"n\"", "0")), "ok(42)");
    let set = says!(host, "shop", set("plain", "\"b\"", "\"n\"", "\"-1\""));
    assert_eq!(set, "ok");
    assert_eq!(says!(host, "shop", count("\"b\"", "\"n\"", "5")), past);
    let set = says!(host, "shop", set("plain", "\"b\"", "\"n\"", "\"many\""));
    assert_eq!(set, "ok");
    assert_eq!(
        says!(host, "shop", count("\"b\"", "\"n\"", "1")),
        "err(\"the value of the key is not a whole number in decimal text\")"
    );
}

/// Two components in one store: both have the data of the workload, and the label of one leads where it should.
#[tokio::test]
pub(crate) async fn keep_front() {
    let host = host().await;
    let components = [
        component("front", test_guests::KEEP_FRONT),
        component("keep", test_guests::KEEP_P2),
    ];
    let sessions = json!({ "backend": "memory", "shared": "others" });
    let spec = spec(components, entries("wasi", &json!({}), &sessions));
    host.run("shop", &spec).await;
    let put = call(&host, "shop", "put", &["\"b\"", "\"k\""]).await;
    assert_eq!(put, "ok");
    assert_eq!(
        call(&host, "shop", "look", &["\"b\"", "\"k\""]).await,
        "\"- - sessions; front front -; plain plain -\""
    );
    host.stop_finds_nothing_running("shop").await;
}

/// What follows a page when it is asked for again, and in another bucket.
#[tokio::test]
async fn a_cursor_leads_on_in_its_own_bucket_only() {
    let host = host().await;
    host.run("shop", &wasi(json!({}), json!({}))).await;
    for part in ["a", "b", "c"] {
        let part = format!("\"{part}\"");
        assert_eq!(says!(host, "shop", fill("\"b\"", &part, "700")), "ok");
        assert_eq!(says!(host, "shop", fill("\"other\"", &part, "700")), "ok");
    }
    let (mut seen, mut cursor) = (0, "none".to_owned());
    loop {
        let page = says!(host, "shop", list("\"b\"", &cursor));
        let inside = page
            .strip_prefix("ok((")
            .and_then(|page| page.strip_suffix("))"));
        let (keys, next) = inside.unwrap().split_once(", ").unwrap();
        seen += keys.parse::<u32>().unwrap();
        if next == "none" {
            break;
        }
        assert_eq!(
            says!(host, "shop", list("\"other\"", next)),
            "err(\"the cursor is not of this bucket, or of another listing\")"
        );
        cursor = next.to_owned();
    }
    assert_eq!(seen, 2100);
}

#[tokio::test]
pub(crate) async fn keep_p3() {
    let host = host().await;
    host.run("shop", &asynchronous(json!({}), json!({}))).await;
    let (b, k) = ("\"b\"", "\"k\"");
    let set = says!(host, "shop", set("plain", b, k, "\"v\"", "none", "true"));
    assert_eq!(set, "ok");
    let set = says!(host, "shop", set("plain", b, k, "\"w\"", "none", "true"));
    assert_eq!(set, "err(\"precondition-failed\")");
    assert_eq!(says!(host, "shop", get("plain", b, k)), "ok(some(\"v\"))");
    let set = says!(
        host,
        "shop",
        set("plain", b, k, "\"w\"", "some(3600000)", "false")
    );
    assert_eq!(set, "ok");
    assert_eq!(says!(host, "shop", exists("plain", b, k)), "ok(true)");
    let pairs = "[(\"p1\", \"1\"), (\"q\", \"2\"), (\"p2\", \"3\")]";
    assert_eq!(
        says!(host, "shop", many("plain", b, pairs)),
        "ok([some((\"p1\", \"1\")), some((\"q\", \"2\")), some((\"p2\", \"3\"))])"
    );
    let listed = says!(host, "shop", list("plain", b, "some(\"p\")", "none"));
    assert_eq!(listed, "ok(([\"p1\", \"p2\"], none))");
    // A cursor is what a page ended with, and no key.
    let listed = says!(
        host,
        "shop",
        list("plain", b, "some(\"p\")", "some(\"p1\")")
    );
    assert_eq!(listed, "err(\"invalid-argument\")");
    assert_eq!(
        says!(host, "shop", delete_many("plain", b, "[\"p1\", \"q\"]")),
        "ok"
    );
    assert_eq!(says!(host, "shop", delete(b, k)), "ok");
    assert_eq!(
        says!(host, "shop", count("plain", b, "\"n\"", "-5")),
        "ok(-5)"
    );
    let most = i64::MIN.to_string();
    assert_eq!(
        says!(host, "shop", count("plain", b, "\"n\"", &most)),
        "err(\"the counter would be out of range; it is unchanged\")"
    );
    host.stop_finds_nothing_running("shop").await;
}

/// Also where the last key of the page begins with what is wanted.
#[tokio::test]
async fn a_cursor_of_the_asynchronous_package_is_good_for_its_own_listing_only() {
    let host = host().await;
    host.run("shop", &asynchronous(json!({}), json!({}))).await;
    let pairs: Vec<_> = (0..700).map(|n| format!("(\"k{n:04}\", \"v\")")).collect();
    for bucket in ["\"b\"", "\"other\""] {
        for keys in ["k", "l"] {
            let pairs = format!(
                "[{}]",
                pairs.join(", ").replace("(\"k", &format!("(\"{keys}"))
            );
            let set = says!(host, "shop", many("plain", bucket, &pairs));
            assert!(set.starts_with("ok("), "{set}");
        }
    }
    let page = says!(host, "shop", list("plain", "\"b\"", "none", "none"));
    let (_, cursor) = page.rsplit_once("], ").unwrap();
    let cursor = cursor.strip_suffix("))").unwrap();
    let rest = says!(host, "shop", list("plain", "\"b\"", "none", cursor));
    assert!(rest.starts_with("ok(([\"l0300\","), "{rest}");
    assert!(rest.ends_with("\"l0699\"], none))"), "{rest}");
    for (bucket, prefix) in [("\"other\"", "none"), ("\"b\"", "some(\"l\")")] {
        let refused = says!(host, "shop", list("plain", bucket, prefix, cursor));
        assert_eq!(refused, "err(\"invalid-argument\")", "{bucket} {prefix}");
    }
}

#[tokio::test]
async fn a_swap_is_made_only_where_it_should_be() {
    let host = host().await;
    host.run("shop", &asynchronous(json!({}), json!({}))).await;
    let (b, k) = ("\"b\"", "\"k\"");
    assert_eq!(says!(host, "shop", current("plain", b, k)), "ok(none)");
    let swap = says!(
        host,
        "shop",
        swap("plain", b, k, "\"2\"", "(none, some(\"1\"))")
    );
    assert_eq!(swap, "ok(some(\"nothing\"))");
    says!(host, "shop", set("plain", b, k, "\"1\"", "none", "false"));
    let found = says!(host, "shop", current("plain", b, k));
    let version = found
        .strip_prefix("ok(some((\"1\", ")
        .and_then(|it| it.strip_suffix(")))"));
    let require = format!("(some({}), none)", version.unwrap());
    assert_eq!(
        says!(host, "shop", swap("plain", b, k, "\"2\"", &require)),
        "ok(none)"
    );
    let swap = says!(host, "shop", swap("plain", b, k, "\"3\"", &require));
    assert_eq!(swap, "ok(some(\"2\"))");
    let swap = says!(host, "shop", swap("plain", b, k, "\"3\"", "(none, none)"));
    assert_eq!(swap, "err(\"invalid-argument\")");
}

#[tokio::test]
async fn a_label_leads_to_its_own_store() {
    let folder = tempfile::tempdir().unwrap();
    let (redis, nats) = (Redis::start(), nats());
    let host = host_in(&folder).await;
    let in_nats = json!({ "backend": "nats", "url": nats.url(), "prefix": "app", "size": "64MiB" });
    let in_redis = json!({ "backend": "redis", "url": redis.url(), "prefix": "app:" });
    for (name, spec) in [
        ("two", wasi(json!({}), in_redis.clone())),
        ("three", asynchronous(json!({}), in_redis)),
        ("two-nats", wasi(json!({}), in_nats.clone())),
        ("three-nats", asynchronous(json!({}), in_nats)),
    ] {
        host.run(name, &spec).await;
        let rest: &[&str] = if name.starts_with("two") {
            &[]
        } else {
            &["none", "false"]
        };
        for (way, value) in [("plain", "\"on disk\""), ("sessions", "\"on a server\"")] {
            let args = [&[way, "\"b\"", "\"k\"", value], rest].concat();
            assert_eq!(call(&host, name, "set", &args).await, "ok");
        }
        for (way, value) in [("plain", "\"on disk\""), ("sessions", "\"on a server\"")] {
            let got = says!(host, name, get(way, "\"b\"", "\"k\""));
            assert_eq!(got, format!("ok(some({value}))"), "{name} {way}");
        }
    }
    assert!(folder.path().join("keyvalue/keyvalue.redb").exists());
}

/// Both packages, and all who share a name, have the same data; nobody else has.
#[tokio::test]
async fn workloads_see_their_own_data_and_what_they_share() {
    let folder = tempfile::tempdir().unwrap();
    let (redis, nats) = (Redis::start(), nats());
    let host = host_in(&folder).await;
    for (kind, place) in [
        ("memory", json!({ "backend": "memory" })),
        ("disk", json!({ "backend": "redb" })),
        ("server", json!({ "backend": "redis", "url": redis.url() })),
        ("nats", json!({ "backend": "nats", "url": nats.url() })),
    ] {
        let mut shared = place.clone();
        shared["shared"] = json!("till");
        let names = ["red", "blue"].map(|name| format!("{kind}-{name}"));
        for name in &names {
            host.run(name, &wasi(place.clone(), shared.clone())).await;
        }
        let [red, blue] = &names;
        for way in ["plain", "sessions"] {
            let set = says!(host, red, set(way, "\"b\"", "\"k\"", "\"of red\""));
            assert_eq!(set, "ok");
        }
        let own = says!(host, blue, get("plain", "\"b\"", "\"k\""));
        assert_eq!(own, "ok(none)", "{kind}");
        assert_eq!(says!(host, blue, list("\"b\"", "none")), "ok((0, none))");
        let ours = says!(host, blue, get("sessions", "\"b\"", "\"k\""));
        assert_eq!(ours, "ok(some(\"of red\"))", "{kind}");
        // The same workload of the other package would find what it has kept.
        host.stop(red).await;
        host.run(red, &asynchronous(shared, place)).await;
        let kept = says!(host, red, get("plain", "\"b\"", "\"k\""));
        assert_eq!(kept, "ok(some(\"of red\"))", "{kind}");
        let kept = says!(host, red, get("sessions", "\"b\"", "\"k\""));
        let wanted = match kind {
            // Memory ends with the last workload that has it.
            "memory" => "ok(none)",
            _ => "ok(some(\"of red\"))",
        };
        assert_eq!(kept, wanted, "{kind}");
    }
}

/// Namespaces are apart also where workloads have the same name, and give the same name to share by.
#[tokio::test]
async fn the_same_names_in_two_namespaces_have_nothing_in_common() {
    let folder = tempfile::tempdir().unwrap();
    let (redis, nats) = (Redis::start(), nats());
    let host = host_in(&folder).await;
    for (kind, place) in [
        ("memory", json!({ "backend": "memory" })),
        ("disk", json!({ "backend": "redb" })),
        ("redis", json!({ "backend": "redis", "url": redis.url() })),
        ("nats", json!({ "backend": "nats", "url": nats.url() })),
    ] {
        let mut shared = place.clone();
        shared["shared"] = json!("till");
        let spec = wasi(place, shared);
        let red = host.run_in("red", kind, &spec).await;
        let blue = host.run_in("blue", kind, &spec).await;
        for way in ["plain", "sessions"] {
            let set = says!(host, &red, set(way, "\"b\"", "\"k\"", "\"of red\""));
            assert_eq!(set, "ok");
            let theirs = says!(host, &blue, get(way, "\"b\"", "\"k\""));
            assert_eq!(theirs, "ok(none)", "{kind} {way}");
            let ours = says!(host, &red, get(way, "\"b\"", "\"k\""));
            assert_eq!(ours, "ok(some(\"of red\"))", "{kind} {way}");
        }
    }
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    for visits in 1..=3 {
        let host = host_in(&folder).await;
        host.run("shop", &wasi(json!({}), json!({}))).await;
        let counted = says!(host, "shop", count("\"b\"", "\"visits\"", "1"));
        assert_eq!(counted, format!("ok({visits})"));
        host.stop("shop").await;
    }
}

/// A server that is not there keeps nobody from starting, and is found when it is there.
#[tokio::test]
async fn a_server_that_comes_later_is_found() {
    let mut redis = Redis::absent();
    let host = host().await;
    let place = json!({ "backend": "redis", "url": redis.url() });
    let started = host.run("two", &wasi(place.clone(), json!({}))).await;
    let away = format!(
        "keyvalue: redis at `127.0.0.1:{}`: it cannot be reached",
        redis.port()
    );
    assert_eq!(started.troubles, std::slice::from_ref(&away));
    host.run("three", &asynchronous(place, json!({}))).await;
    let absent = says!(host, "two", get("plain", "\"b\"", "\"k\""));
    assert!(
        absent.starts_with("err(\"the store is not available"),
        "{absent}"
    );
    assert!(!absent.contains(&redis.port().to_string()), "{absent}");
    let absent = says!(host, "three", get("plain", "\"b\"", "\"k\""));
    assert_eq!(absent, "err(\"store-unavailable\")");
    redis.resume();
    // Nobody has to have asked for anything.
    for workload in ["two", "three"] {
        host.until_well(workload).await;
    }
    let found = async {
        while says!(host, "three", get("plain", "\"b\"", "\"k\"")) != "ok(none)" {
            tokio::task::yield_now().await;
        }
    };
    within(found).await;
    assert_eq!(
        says!(host, "two", get("plain", "\"b\"", "\"k\"")),
        "ok(none)"
    );
    redis.kill();
    let absent = says!(host, "three", get("plain", "\"b\"", "\"k\""));
    assert_eq!(absent, "err(\"store-unavailable\")");
    host.until_troubled("three").await;
    assert_eq!(host.troubles("three").await, [away]);
}

/// The same with NATS, whose connection looks for the server by itself.
#[tokio::test]
async fn a_nats_server_that_comes_later_is_found() {
    let mut nats = nats();
    nats.stop();
    let host = host().await;
    let place = json!({ "backend": "nats", "url": nats.url() });
    let started = host.run("shop", &asynchronous(place, json!({}))).await;
    let away = format!(
        "keyvalue: nats at `127.0.0.1:{}`: it cannot be reached",
        nats.port()
    );
    assert_eq!(started.troubles, std::slice::from_ref(&away));
    let absent = says!(host, "shop", get("plain", "\"b\"", "\"k\""));
    assert_eq!(absent, "err(\"store-unavailable\")");
    nats.start();
    host.until_well("shop").await;
    let found = async {
        while says!(host, "shop", get("plain", "\"b\"", "\"k\"")) != "ok(none)" {
            tokio::task::yield_now().await;
        }
    };
    within(found).await;
    let set = says!(
        host,
        "shop",
        set("plain", "\"b\"", "\"k\"", "\"v\"", "none", "false")
    );
    assert_eq!(set, "ok");
    nats.stop();
    host.until_troubled("shop").await;
    assert_eq!(host.troubles("shop").await, [away]);
}

#[tokio::test]
async fn what_is_too_much_is_an_error_and_no_trap() {
    let host = host_with(|config| {
        config.keyvalue = KeyValueOptions {
            value_bytes: 100,
            memory_bytes: 1000,
            ..KeyValueOptions::default()
        };
    })
    .await;
    host.run("shop", &asynchronous(json!({}), json!({}))).await;
    let set = async |key: &str, bytes: usize| {
        let (key, value) = (format!("\"{key}\""), format!("\"{}\"", "v".repeat(bytes)));
        says!(
            host,
            "shop",
            set("plain", "\"b\"", &key, &value, "none", "false")
        )
    };
    assert_eq!(set("k", 100).await, "ok");
    assert_eq!(set("k", 101).await, "err(\"invalid-argument\")");
    assert_eq!(set("", 1).await, "err(\"invalid-argument\")");
    assert_eq!(set(&"k".repeat(4096), 1).await, "err(\"invalid-argument\")");
    for more in 0..3 {
        assert_eq!(set(&more.to_string(), 100).await, "ok");
    }
    assert_eq!(set("last", 100).await, "err(\"quota-exceeded\")");
    let long = format!("\"{}\"", "b".repeat(300));
    let opened = says!(host, "shop", get("plain", &long, "\"k\""));
    assert_eq!(opened, "err(\"invalid-argument\")");
}

/// Nothing starts on settings that are wrong, and the words say where and what would be right.
#[tokio::test]
async fn settings_that_are_wrong_are_told() {
    let host = host().await;
    for (config, wanted) in [
        (json!({ "backend": "reddis" }), "did you mean `redis`?"),
        (json!({ "backend": "redis" }), "`url` is missing"),
        (
            json!({ "backend": "redis", "url": "http://s3cret@h" }),
            "wanted a URL such as",
        ),
        (
            json!({ "backend": "memory", "url": "redis://s3cret@h" }),
            "`url` is not a setting",
        ),
        (
            json!({ "backend": "redis", "url": "rediss://:s3cret@h/#insecure" }),
            "certificates are always checked",
        ),
        (
            json!({ "backend": "redis", "url": "redis://h", "prefix": "default/workload/other/b/:" }),
            "wanted a text that has no `/`",
        ),
        (json!({ "backend": "nast" }), "did you mean `nats`?"),
        (json!({ "backend": "nats" }), "`url` is missing"),
        (
            json!({ "backend": "nats", "url": "redis://:s3cret@h" }),
            "wanted `nats://HOST:PORT`",
        ),
        (
            json!({ "backend": "nats", "url": "nats://h", "replicas": "6" }),
            "wanted a number from 1 to 5",
        ),
        (
            json!({ "backend": "nats", "url": "nats://h", "prefix": "a_b" }),
            "letters, digits and `-`",
        ),
        (
            json!({ "backend": "nats", "url": "nats://h", "replica": "3" }),
            "did you mean `replicas`?",
        ),
        (json!({ "shraed": "till" }), "did you mean `shared`?"),
        (json!({ "shared": "Till" }), "no name to share by"),
        (
            json!({ "backend": "filesystem", "root": "/d" }),
            "leave `backend` and `root` out",
        ),
        (json!({ "backend": "redb" }), "this host has no data folder"),
    ] {
        let started = host.try_run("shop", &wasi(json!({}), config.clone())).await;
        let error = started.unwrap_err();
        let told = format!("{error} {:?}", error.places());
        assert!(told.contains(wanted), "{config}: {told}");
        assert!(told.contains("spec.hostInterfaces.1"), "{config}: {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
    let host = TestHost::with(|config| config.calls_only = true).await;
    for (backend, url) in [
        ("redis", "redis://127.0.0.1:6379"),
        ("redis", "rediss://127.0.0.1:6379"),
        ("nats", "nats://127.0.0.1:4222"),
    ] {
        let denied = json!({ "backend": backend, "url": url });
        let started = host.try_run("shop", &wasi(denied, json!({}))).await;
        let told = started.unwrap_err().to_string();
        assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
    }
}
