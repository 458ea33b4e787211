//! What becomes of messages whose handler fails, in either dialect and over every backend.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_servers::Nats;

use crate::jetstream::jetstream;
use crate::messaging::{host_with_loopback, p2, p3, publish, send, told};
use crate::support::{Log, TestHost};

/// What makes a workload of the settings of its messages.
type Workload = fn(Value) -> Value;

/// A handler and a sender of each dialect, and how the latter says that it waits for an answer for half a minute.
const DIALECTS: [(Workload, &str); 2] = [(p2, "30000"), (p3, "some(30000)")];
const BACKOFF: Duration = Duration::from_millis(50);

/// A handler that traps on every message is not asked for ever, and not without pauses: the message is a dead letter in the end, and
/// others are handled.
async fn traps_end_in_a_dead_letter(spec: &Value) {
    let log = Log::capture();
    let host = host_with_loopback().await;
    host.run("jobs", spec).await;
    let began = Instant::now();
    publish(&host, "jobs", "jobs.trap", "x").await;
    assert_eq!(told(&host, 3).await[..3], ["jobs.trap x"; 3]);
    // Twice as long the second time.
    let took = began.elapsed();
    assert!(took >= BACKOFF * 3, "{took:?}");
    assert_eq!(told(&host, 4).await[3], "dead x");
    publish(&host, "jobs", "jobs.fine", "y").await;
    assert_eq!(told(&host, 5).await[4], "jobs.fine y");
    host.stop_finds_nothing_running("jobs").await;
    let log = log.text();
    for wanted in [
        "a message was not handled",
        "the component trapped",
        "it is a dead letter now",
    ] {
        assert!(log.contains(wanted), "{wanted}: {log}");
    }
}

fn with_dead_letters() -> Value {
    json!({
        "subscriptions": "jobs.>, dead",
        "dead_letter": "dead",
        "max_deliveries": "3",
        "retry_backoff": format!("{}ms", BACKOFF.as_millis()),
    })
}

#[tokio::test]
async fn a_handler_that_always_traps_ends_in_a_dead_letter() {
    for (workload, _) in DIALECTS {
        traps_end_in_a_dead_letter(&workload(with_dead_letters())).await;
    }
}

#[tokio::test]
async fn over_streams_a_handler_that_always_traps_ends_in_a_dead_letter() {
    for (workload, _) in DIALECTS {
        let server = Nats::launch();
        let config = jetstream(&server, with_dead_letters());
        traps_end_in_a_dead_letter(&workload(config)).await;
    }
}

/// Nothing comes back over NATS as it is: the handler is called once, and the others are handled.
#[tokio::test]
async fn over_nats_a_handler_that_traps_is_called_once() {
    let server = Nats::launch();
    let config = json!({"backend": "nats", "url": server.url(), "subscriptions": "jobs.>"});
    for (workload, _) in DIALECTS {
        let host = host_with_loopback().await;
        host.run("jobs", &workload(config.clone())).await;
        publish(&host, "jobs", "jobs.trap", "x").await;
        for number in ["1", "2", "3"] {
            publish(&host, "jobs", "jobs.fine", number).await;
        }
        told(&host, 4).await;
        host.stop_finds_nothing_running("jobs").await;
        let mut told = told(&host, 4).await;
        told.sort();
        assert_eq!(
            told.join(", "),
            "jobs.fine 1, jobs.fine 2, jobs.fine 3, jobs.trap x"
        );
    }
}

/// Whoever asked waited until the time was over.
#[tokio::test]
async fn over_nats_who_asks_is_told_that_the_handler_has_failed() {
    let server = Nats::launch();
    let config = json!({"backend": "nats", "url": server.url(), "subscriptions": "jobs.>"});
    for (workload, time) in DIALECTS {
        let host = host_with_loopback().await;
        host.run("jobs", &workload(config.clone())).await;
        for (subject, wanted) in [
            ("\"jobs.fail\"", "err(\"told to fail\")"),
            ("\"jobs.trap\"", "err(\"the component trapped\")"),
        ] {
            let args = [subject, "\"x\"", time];
            assert_eq!(send(&host, "jobs", "request", &args).await, wanted);
        }
        host.stop_finds_nothing_running("jobs").await;
    }
}

/// A guest may give as its reason whatever its memory holds.
#[tokio::test]
async fn a_reason_of_a_megabyte_is_told_nowhere_as_a_whole() {
    for (workload, time) in DIALECTS {
        let log = Log::capture();
        let host = TestHost::start().await;
        host.run("jobs", &workload(json!({"max_deliveries": "1"})))
            .await;
        let args = ["\"jobs.ramble\"", "\"x\"", time];
        let asked = send(&host, "jobs", "request", &args).await;
        assert!(asked.starts_with("err(\"on and on"), "{asked}");
        assert!(asked.len() < 2 << 10, "{} bytes", asked.len());
        host.stop_finds_nothing_running("jobs").await;
        let log = log.text();
        let told = log.lines().find(|it| it.contains("was not handled"));
        let told = told.expect("it is told");
        assert!(told.contains("on and on"), "{told}");
        let longest = log.lines().map(str::len).max().unwrap();
        assert!(longest < 16 << 10, "{longest} bytes");
    }
}
