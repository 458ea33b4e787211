//! One workload takes the place of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::json;
use wasmcloud::host::{Host as _, StartError, WorkloadState};

use crate::support::{
    Answer, Gate, Ledger, TestHost, Version, body_of, component, empty, frames, http, http_at, id,
    p2, request, spec, start_request, with_environment, within,
};

fn version(number: usize) -> serde_json::Value {
    let component = with_environment(p2(), json!({ "VERSION": number.to_string() }));
    spec([component], [http()])
}

/// Twenty versions under a constant stream of requests on new and kept connections: each is answered by one version or the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapping_versions_fails_no_request() {
    let host = Arc::new(TestHost::start().await);
    host.run("v0", &version(0)).await;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = [Version::H1, Version::H1, Version::H2]
        .into_iter()
        .map(|protocol| {
            let (host, done) = (Arc::clone(&host), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut newest, mut answered) = (0_usize, 0_usize);
                let mut kept = host.connect(protocol).await;
                while !done.load(Ordering::SeqCst) {
                    let get = request(protocol, "GET", "localhost", "/env", empty());
                    let answer = if answered % 2 == 0 {
                        Answer::of(kept.send(get).await).await
                    } else {
                        Answer::of(host.connect(protocol).await.send(get).await).await
                    };
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let seen = answer
                        .body
                        .trim()
                        .strip_prefix("VERSION=")
                        .unwrap()
                        .parse()
                        .unwrap();
                    assert!(newest <= seen, "{newest} came back after {seen}");
                    newest = seen;
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for number in 1..=20 {
        let (old, new) = (format!("v{}", number - 1), format!("v{number}"));
        host.replace(&old, &new, &version(number))
            .await
            .expect("the next version starts");
        let seen = host.get("/env").await.body;
        assert_eq!(seen, format!("VERSION={number}\n"));
        host.stop_is_over(&old).await;
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        assert!(within(client).await.expect("no request failed") > 0);
    }
    assert_eq!(host.host.workloads().len(), 1);
}

/// What the old version is answering it may finish.
#[tokio::test]
async fn the_old_version_finishes_what_it_is_at() {
    let host = TestHost::start().await;
    host.run("old", &version(1)).await;
    let mut connection = host.connect(Version::H1).await;
    let (sender, body) = frames();
    let pending = connection.begin(request(Version::H1, "POST", "localhost", "/echo", body));
    sender
        .send(http_body::Frame::data("one".into()))
        .await
        .unwrap();
    let mut response = within(pending).await.unwrap().unwrap();
    body_of(response.body_mut(), "one").await;
    host.replace("old", "new", &version(2)).await.unwrap();
    assert_eq!(host.get("/env").await.body, "VERSION=2\n");
    assert_eq!(
        host.status("old").await.unwrap().state,
        WorkloadState::Stopping
    );
    sender
        .send(http_body::Frame::data("two".into()))
        .await
        .unwrap();
    body_of(response.body_mut(), "two").await;
    drop(sender);
    Answer::of(response).await;
    host.stop_is_over("old").await;
}

/// A swap is no stop: with a grace that is over at once, a version that was replaced still finishes. Whoever stops it then waits no
/// longer than for any other.
#[tokio::test]
async fn a_replaced_version_is_given_time_until_somebody_stops_it() {
    let host = TestHost::with(|config| {
        config.grace = Duration::ZERO;
        config.replaced_grace = Duration::MAX;
    })
    .await;
    host.run("old", &version(1)).await;
    let mut connection = host.connect(Version::H1).await;
    let (sender, body) = frames();
    let pending = connection.begin(request(Version::H1, "POST", "localhost", "/echo", body));
    let one = http_body::Frame::data("one".into());
    sender.send(one).await.unwrap();
    let mut response = within(pending).await.unwrap().unwrap();
    body_of(response.body_mut(), "one").await;
    host.replace("old", "new", &version(2)).await.unwrap();
    let two = http_body::Frame::data("two".into());
    sender.send(two).await.unwrap();
    body_of(response.body_mut(), "two").await;
    host.stop_is_over("old").await;
    assert!(within(response.body_mut().collect()).await.is_err());
    assert_eq!(host.get("/env").await.body, "VERSION=2\n");
}

#[tokio::test]
async fn a_replacement_that_fails_leaves_the_old_one_serving() {
    let host = TestHost::start().await;
    host.run("old", &version(1)).await;
    host.run(
        "other",
        &spec([p2()], [http_at(json!({ "host": "taken.example" }))]),
    )
    .await;
    let missing = spec([component("api", "/nowhere.wasm")], [http()]);
    let unmet = spec([component("api", test_guests::UNMET)], [http()]);
    // It wants one route that is free and one that somebody else has.
    let config = json!({ "host": "free.example", "host-aliases": "taken.example" });
    let clash = spec([p2()], [http_at(config)]);
    for bad in [missing, unmet, clash] {
        host.replace("old", "new", &bad).await.unwrap_err();
        assert_eq!(host.get("/env").await.body, "VERSION=1\n");
        assert_eq!(
            host.status("old").await.unwrap().state,
            WorkloadState::Running
        );
        assert_eq!(
            host.status("new").await.unwrap().state,
            WorkloadState::Failed
        );
    }
    host.replace("old", "new", &version(2)).await.unwrap();
    assert_eq!(host.get("/env").await.body, "VERSION=2\n");
}

#[tokio::test]
async fn a_replacement_that_is_stopped_leaves_the_old_one_serving() {
    let gate = Gate::closed();
    let fetch = gate.clone();
    let host = TestHost::with(|config| config.fetch = fetch).await;
    gate.let_through(1);
    host.run("old", &version(1)).await;
    let start = {
        let host = host.host.clone();
        let request = start_request("new", "new", &version(2), Some(id("old")));
        tokio::spawn(async move { host.start(request).await })
    };
    gate.reached(2).await;
    host.stop("new").await;
    let error = within(start).await.unwrap().unwrap_err();
    assert!(matches!(error, StartError::Stopped), "{error:?}");
    assert_eq!(host.get("/env").await.body, "VERSION=1\n");
}

/// Stopped in the very moment in which it takes over: then both are gone. An old version that runs on but gets no requests would
/// be the one wrong outcome.
#[tokio::test]
async fn a_replacement_that_is_stopped_as_it_goes_live_leaves_no_half_state() {
    let ledger = Arc::new(Ledger::default());
    let plugins = ledger.plugins();
    let host = TestHost::with(|config| config.plugins = plugins).await;
    host.run("old", &version(1)).await;
    let stopper = host.host.clone();
    ledger.on_live(move |live| {
        // The first step of a stop is taken at once; the rest is waiting.
        let _ = futures::FutureExt::now_or_never(stopper.stop(live));
    });
    let error = host.replace("old", "new", &version(2)).await.unwrap_err();
    assert!(matches!(error, StartError::Stopped), "{error:?}");
    assert!(host.status("new").await.is_none());
    ledger.on_live(|_| {});
    match host.status("old").await.map(|status| status.state) {
        Some(WorkloadState::Running) => assert_eq!(host.get("/env").await.body, "VERSION=1\n"),
        _ => {
            host.stop_is_over("old").await;
            assert_eq!(host.get("/env").await.status, 404);
        }
    }
    host.host.shutdown().await;
    assert_eq!(ledger.bound(), 0);
}

/// The place of one that is not there is free to take.
#[tokio::test]
async fn what_is_replaced_need_not_exist() {
    let host = TestHost::start().await;
    host.replace("nobody", "new", &version(1)).await.unwrap();
    assert_eq!(host.get("/env").await.body, "VERSION=1\n");
    host.try_run("bad", &spec([component("x", "/x.wasm")], [http()]))
        .await
        .unwrap_err();
    host.replace(
        "bad",
        "newer",
        &spec([p2()], [http_at(json!({ "path": "/x" }))]),
    )
    .await
    .unwrap();
    assert_eq!(
        host.status("new").await.unwrap().state,
        WorkloadState::Running
    );
}

/// A third may not take over what the second got from the first.
#[tokio::test]
async fn a_route_that_was_handed_over_is_not_free() {
    let host = TestHost::start().await;
    host.run("old", &version(1)).await;
    host.replace("old", "new", &version(2)).await.unwrap();
    host.stop_is_over("old").await;
    let error = host.replace("old", "third", &version(3)).await.unwrap_err();
    assert!(error.to_string().contains("`default/new`"), "{error}");
    assert_eq!(host.get("/env").await.body, "VERSION=2\n");
}

/// Routes that the old version had and the new one does not want are gone with the swap.
#[tokio::test]
async fn routes_that_are_not_taken_over_go() {
    let host = TestHost::start().await;
    host.run("old", &spec([p2()], [http_at(json!({ "path": "/a" }))]))
        .await;
    host.replace(
        "old",
        "new",
        &spec([p2()], [http_at(json!({ "path": "/b" }))]),
    )
    .await
    .unwrap();
    assert_eq!(
        host.get("/a").await.body,
        "404 no workload answers for localhost/a\n"
    );
    assert_eq!(host.get("/b").await.body, "no such path\n");
}
