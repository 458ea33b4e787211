//! Messages between the components of workloads, kept in streams of NATS JetStream.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use test_servers::Nats;

use crate::messaging::{goes_through, host_with_loopback, p2, p3, publish, send, told};
use crate::support::{Log, TestHost, within};

/// The settings of an entry that leads to streams on a server.
pub(crate) fn jetstream(server: &Nats, more: Value) -> Value {
    let mut config = json!({"backend": "jetstream", "url": server.url()});
    let all = config.as_object_mut().unwrap();
    all.extend(more.as_object().unwrap().clone());
    config
}

/// What is asked and answered is the same, whoever passes it on.
#[tokio::test]
async fn a_request_is_answered_over_every_backend() {
    let server = Nats::launch();
    let host = host_with_loopback().await;
    let backends = [
        json!({"subscriptions": "jobs.>"}),
        json!({"backend": "nats", "url": server.url(), "subscriptions": "jobs.>"}),
        jetstream(&server, json!({"subscriptions": "jobs.>"})),
    ];
    for (number, config) in backends.into_iter().enumerate() {
        let (old, new) = (format!("old{number}"), format!("new{number}"));
        host.run(&old, &p2(config.clone())).await;
        let args = ["\"jobs.echo\"", "\"hi\"", "10000"];
        assert_eq!(send(&host, &old, "request", &args).await, "ok(\"hi\")");
        let nobody = ["\"other\"", "\"hi\"", "10000"];
        let nobody = send(&host, &old, "request", &nobody).await;
        assert_eq!(nobody, "err(\"nobody answers requests to this subject\")");
        host.stop_finds_nothing_running(&old).await;
        host.run(&new, &p3(config)).await;
        let args = ["\"jobs.echo\"", "\"hi\"", "some(10000)"];
        assert_eq!(send(&host, &new, "request", &args).await, "ok(\"hi\")");
        let late = ["\"jobs.a\"", "\"hi\"", "some(50)"];
        assert_eq!(
            send(&host, &new, "request", &late).await,
            "err(\"timeout\")"
        );
        // Nobody waits for an answer that will not come.
        let rejected = ["\"jobs.reject\"", "\"hi\"", "some(60000)"];
        assert_eq!(
            send(&host, &new, "request", &rejected).await,
            "err(\"the handler has rejected it\")"
        );
        let wrong = ["\"a..b\"", "\"hi\"", "none"];
        assert_eq!(
            send(&host, &new, "request", &wrong).await,
            "err(\"subject-invalid\")"
        );
        assert_eq!(
            send(&host, &new, "publish", &["\"$SYS.a\"", "\"hi\""]).await,
            "err(\"access-denied\")"
        );
        host.stop_finds_nothing_running(&new).await;
    }
}

/// Nobody handles anything, on no host at all, and the server falls over meanwhile.
#[tokio::test]
async fn messages_wait_for_a_handler_that_does_not_run() {
    let mut server = Nats::launch();
    let config = jetstream(
        &server,
        json!({"shared": "team", "subscriptions": "jobs.*"}),
    );
    let sends = {
        let mut spec = p2(jetstream(&server, json!({"shared": "team"})));
        spec["components"].as_array_mut().unwrap().remove(0);
        spec["hostInterfaces"][0]["interfaces"] = json!(["consumer"]);
        spec
    };
    let host = TestHost::with(|config| {
        config.egress.allow.push("127.0.0.0/8".parse().unwrap());
        config.calls_only = true;
    })
    .await;
    let handles = host_with_loopback().await;
    handles.run("handler", &p2(config.clone())).await;
    handles.stop_finds_nothing_running("handler").await;
    host.run("sender", &sends).await;
    for number in 0..3 {
        publish(&host, "sender", "jobs.a", &number.to_string()).await;
    }
    server.stop();
    server.start();
    handles.run("handler", &p2(config)).await;
    assert_eq!(
        told(&handles, 3).await,
        ["jobs.a 0", "jobs.a 1", "jobs.a 2"]
    );
    assert!(host.lines(0).await.is_empty());
}

#[tokio::test]
async fn what_is_rejected_does_not_come_back_and_what_fails_does() {
    let server = Nats::launch();
    let host = host_with_loopback().await;
    let config = jetstream(
        &server,
        json!({
            "subscriptions": "jobs.>,dead",
            "dead_letter": "dead",
            "max_deliveries": "2",
            "retry_backoff": "10ms",
        }),
    );
    host.run("jobs", &p3(config)).await;
    publish(&host, "jobs", "jobs.reject", "1").await;
    assert_eq!(told(&host, 2).await, ["jobs.reject 1", "dead 1"]);
    publish(&host, "jobs", "jobs.retry", "2").await;
    assert_eq!(
        told(&host, 5).await[2..],
        ["jobs.retry 2", "jobs.retry 2", "dead 2"]
    );
}

/// Replicas on two hosts have one consumer, unless each wants everything.
#[tokio::test]
async fn replicas_share_messages_unless_they_want_all() {
    let server = Nats::launch();
    let (one, other) = (host_with_loopback().await, host_with_loopback().await);
    for host in [&one, &other] {
        let config = jetstream(&server, json!({"subscriptions": "a.*"}));
        host.run("shared", &p2(config)).await;
    }
    for number in 0..50 {
        publish(&one, "shared", "a.b", &number.to_string()).await;
    }
    let texts = async || {
        let lines = [one.lines(0).await, other.lines(0).await].concat();
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>()
    };
    within(async {
        while texts().await.len() < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for host in [&one, &other] {
        host.stop_finds_nothing_running("shared").await;
    }
    let texts = texts().await;
    assert_eq!(
        (texts.len(), texts.iter().collect::<BTreeSet<_>>().len()),
        (50, 50)
    );
    let all = json!({"subscriptions": "c.*", "consumer_group": "broadcast"});
    for host in [&one, &other] {
        host.run("all", &p3(jetstream(&server, all.clone()))).await;
    }
    publish(&one, "all", "c.d", "x").await;
    for host in [&one, &other] {
        within(async {
            while !host.lines(0).await.iter().any(|it| it.text == "c.d x") {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// The workload starts, senders are told, and everything is well when it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_absent_keeps_no_workload_from_starting() {
    let mut server = Nats::launch();
    let config = jetstream(&server, json!({"subscriptions": "a.*"}));
    server.stop();
    let log = Log::capture();
    let host = host_with_loopback().await;
    let started = host.run("jobs", &p3(config)).await;
    let away = format!("nats at `127.0.0.1:{}`", server.port());
    let told = started.troubles.concat();
    assert!(told.contains(&away), "{told}");
    assert!(
        log.text().contains("the NATS server does not answer"),
        "{}",
        log.text()
    );
    let away = send(&host, "jobs", "publish", &["\"a.b\"", "\"x\""]).await;
    assert_eq!(away, "err(\"broker-unavailable\")");
    server.start();
    goes_through(&host, "jobs", "other").await;
    within(async {
        while host.lines(0).await.is_empty() {
            goes_through(&host, "jobs", "a.b").await;
        }
    })
    .await;
    host.until_well("jobs").await;
    host.stop_finds_nothing_running("jobs").await;
}

/// A stream that is named has to be there, and settings of a stream of our own mean nothing beside it.
#[tokio::test]
async fn what_cannot_be_is_an_error_at_the_start() {
    let server = Nats::launch();
    let host = host_with_loopback().await;
    for (more, wanted) in [
        (
            json!({"stream": "ORDERS", "subscriptions": "a"}),
            "no stream `ORDERS`",
        ),
        (json!({"stream": "ORDERS"}), "`subscriptions` is missing"),
        (
            json!({"stream": "a.b", "subscriptions": "a"}),
            "wanted the name of a stream",
        ),
        (
            json!({"stream": "A", "subscriptions": "a", "max_bytes": "1MiB"}),
            "`max_bytes` is not a setting",
        ),
        (
            json!({"stream": "wasmcloud_default_workload_bank", "subscriptions": ">"}),
            "are those of workloads",
        ),
        (
            json!({"stream": "KV_wasmcloud__default__workload__bank", "subscriptions": ">"}),
            "keep no messages",
        ),
        (
            json!({"stream": "ORDERS", "subscriptions": "wasmcloud.messages.>"}),
            "belong to hosts",
        ),
        (
            json!({"stream": "ORDERS", "subscriptions": "a", "dead_letter": "runtime.host.a"}),
            "belong to hosts",
        ),
        (
            json!({"consumer_group": "wasmcloud.default.bank.pay"}),
            "are those of components",
        ),
        (json!({"max_bytes": "1KiB"}), "wanted from 1MiB"),
        (json!({"ack_wait": "10ms"}), "wanted at least 1s"),
    ] {
        let spec = p2(jetstream(&server, more));
        let error = host.try_run("jobs", &spec).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(wanted), "{told}");
    }
}
