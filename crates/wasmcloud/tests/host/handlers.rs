//! Several components of a workload that handle messages.

use serde_json::{Value, json};

use crate::messaging::{goes_through, host_with_loopback, publish, send};
use crate::support::{TestHost, component, spec};

/// Two handlers, one of each version, and a sender, with these entries for messages.
fn workload(entries: impl IntoIterator<Item = Value>) -> Value {
    let components = [
        component("audit", test_guests::TELL_P3),
        component("worker", test_guests::TELL_P2),
        component("send", test_guests::SEND_P2),
    ];
    spec(components, entries)
}

fn entry(interfaces: &[&str], config: Value) -> Value {
    json!({
        "namespace": "wasmcloud",
        "package": "messaging",
        "interfaces": interfaces,
        "config": config,
    })
}

/// For all who handle, and for those who send.
fn open(config: Value) -> [Value; 1] {
    [entry(&["consumer", "handler"], config)]
}

/// For one who handles.
fn handler(config: Value) -> Value {
    entry(&["handler"], config)
}

/// For those who send.
fn consumer() -> Value {
    entry(&["consumer"], json!({}))
}

/// What the handlers wrote, as `component subject body`, in the order of the names.
async fn told(host: &TestHost, wanted: usize) -> Vec<String> {
    let lines = host.lines(wanted).await;
    let told = lines
        .iter()
        .map(|it| format!("{} {}", it.component, it.text));
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

/// As such manifests mean it elsewhere: each component has a group of its own, so each hears everything.
#[tokio::test]
async fn each_handler_gets_its_own_copy_of_what_one_entry_subscribes_to() {
    let host = TestHost::start().await;
    let spec = workload(open(json!({"subscriptions": "jobs.>"})));
    host.run("jobs", &spec).await;
    publish(&host, "jobs", "jobs.a", "x").await;
    assert_eq!(told(&host, 2).await, ["audit jobs.a x", "worker jobs.a x"]);
    host.stop_finds_nothing_running("jobs").await;
}

/// Unless they give the same name to their group: then one of them gets each.
#[tokio::test]
async fn handlers_of_one_group_share() {
    let host = TestHost::start().await;
    let config = json!({"subscriptions": "jobs.>", "consumer_group": "all"});
    host.run("jobs", &workload(open(config))).await;
    for number in 0..20 {
        publish(&host, "jobs", "jobs.a", &number.to_string()).await;
    }
    let asked = send(
        &host,
        "jobs",
        "request",
        &["\"jobs.echo\"", "\"hi\"", "10000"],
    )
    .await;
    assert_eq!(asked, "ok(\"hi\")");
    host.stop_finds_nothing_running("jobs").await;
    assert_eq!(host.lines(0).await.len(), 21);
}

#[tokio::test]
async fn an_entry_for_a_component_says_what_that_one_hears() {
    let host = TestHost::start().await;
    let entries = [
        consumer(),
        handler(
            json!({"component": "worker", "subscriptions": "jobs.*", "dead_letter": "dead", "max_deliveries": "2", "retry_backoff": "10ms"}),
        ),
        handler(json!({"component": "audit", "subscriptions": "dead, bills.*"})),
    ];
    host.run("jobs", &workload(entries)).await;
    for (subject, body) in [
        ("jobs.a", "1"),
        ("bills.a", "2"),
        ("jobs.trap", "3"),
        ("other", "4"),
    ] {
        publish(&host, "jobs", subject, body).await;
    }
    // Whoever traps says so as well.
    let mut all = 5;
    let told = loop {
        let told = told(&host, all).await;
        if told.contains(&"audit dead 3".to_owned()) && told.len() >= 5 {
            break told;
        }
        all = told.len() + 1;
    };
    for line in ["audit bills.a 2", "worker jobs.a 1", "worker jobs.trap 3"] {
        assert!(told.contains(&line.to_owned()), "{told:?}");
    }
    assert!(
        !told
            .iter()
            .any(|it| it.starts_with("audit jobs") || it.contains("other"))
    );
    host.stop_finds_nothing_running("jobs").await;
}

/// One entry speaks to those that no other names; each component may say more for itself, as manifests for other hosts do.
#[tokio::test]
async fn components_may_say_themselves_what_they_hear() {
    let host = TestHost::start().await;
    let mut spec = workload(open(json!({"subscriptions": "all"})));
    spec["components"][1]["localResources"]["config"] =
        json!({"subscriptions": "jobs.*", "max_in_flight": "1", "colour": "blue"});
    host.run("jobs", &spec).await;
    publish(&host, "jobs", "all", "1").await;
    publish(&host, "jobs", "jobs.a", "2").await;
    assert_eq!(told(&host, 2).await, ["audit all 1", "worker jobs.a 2"]);
    spec["components"][1]["localResources"]["config"]["subscriptions"] = json!("a..b");
    let error = host.try_run("wrong", &spec).await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("something before, between and after"),
        "{told}"
    );
}

/// A handler that is full of messages that take for ever has its own places only.
#[tokio::test]
async fn a_slow_handler_slows_its_own_subscription_only() {
    let host = TestHost::start().await;
    let entries = [
        consumer(),
        handler(json!({"component": "audit", "subscriptions": "slow.>", "max_in_flight": "1"})),
        handler(json!({"component": "worker", "subscriptions": "fast.>"})),
    ];
    let mut spec = workload(entries);
    spec["components"][0]["localResources"]["timeoutMs"] = json!(3000);
    host.run("jobs", &spec).await;
    for _ in 0..10 {
        publish(&host, "jobs", "slow.hang", "x").await;
    }
    host.lines(1).await;
    for number in 0..20 {
        publish(&host, "jobs", "fast.a", &number.to_string()).await;
    }
    let told = told(&host, 21).await;
    let fast = told.iter().filter(|it| it.starts_with("worker fast.a"));
    assert_eq!(fast.count(), 20, "{told:?}");
}

#[tokio::test]
async fn an_entry_for_nobody_is_an_error_with_the_nearest_name() {
    let host = TestHost::start().await;
    for (component, wanted) in [
        ("wroker", "did you mean `worker`?"),
        (
            "send",
            "which does not export `wasmcloud:messaging/handler@0.3.0`",
        ),
    ] {
        let spec = workload([consumer(), handler(json!({"component": component}))]);
        let error = host.try_run("jobs", &spec).await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains(wanted), "{told}");
    }
    let both = entry(&["consumer", "handler"], json!({"component": "worker"}));
    let error = host.try_run("jobs", &workload([both])).await.unwrap_err();
    let told = format!("{error:?}");
    assert!(
        told.contains("an entry with `component` is for its handler only"),
        "{told}"
    );
    let nats = json!({"backend": "nats", "url": "nats://127.0.0.1:1"});
    let mut elsewhere = entry(&["consumer"], nats);
    elsewhere["name"] = json!("wasmcloud-messaging");
    let error = host
        .try_run("jobs", &workload([consumer(), elsewhere]))
        .await
        .unwrap_err();
    let told = format!("{error:?}");
    assert!(told.contains("an earlier entry sends elsewhere"), "{told}");
}

/// Each has a queue group of its own there, too.
#[tokio::test]
async fn each_handler_gets_its_own_copy_over_nats() {
    let server = test_servers::Nats::launch();
    let host = host_with_loopback().await;
    let config = json!({"backend": "nats", "url": server.url(), "subscriptions": "jobs.>"});
    let spec = workload(open(config));
    host.run("jobs", &spec).await;
    goes_through(&host, "jobs", "jobs.a").await;
    assert_eq!(told(&host, 2).await, ["audit jobs.a x", "worker jobs.a x"]);
}
