//! Start, status, stop: every move that is legal, the races between them, and the moves that are refused.

use std::path::Path;
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::json;
use wasmcloud::host::{Host as _, StartError, WorkloadState};
use wasmcloud::plugin::Ending;

use crate::messaging::messaging;
use crate::support::{
    Gate, Ledger, TestHost, Version, body_of, component, empty, http, http_at, id, p2, p3, request,
    spec, start_request, within,
};

#[tokio::test]
async fn a_workload_starts_is_seen_and_stops() {
    let host = TestHost::start().await;
    let started = host.run("one", &spec([p2()], [http()])).await;
    assert_eq!(started.state, WorkloadState::Running);
    let plan = started.plan.as_ref().expect("a plan");
    assert_eq!(plan.entries[0].root().unwrap().as_str(), "api");
    let status = host.status("one").await.expect("it is there");
    assert_eq!(
        (status.state, status.message),
        (WorkloadState::Running, None)
    );
    assert_eq!(
        (status.name.as_str(), status.namespace.as_str()),
        ("one", "default")
    );
    assert_eq!(host.stop("one").await.state, WorkloadState::Stopping);
    assert!(host.status("one").await.is_none());
    assert_eq!(host.get("/hello").await.status, 404);
    assert!(host.host.workloads().is_empty());
}

#[tokio::test]
async fn an_unknown_id_is_not_found() {
    let host = TestHost::start().await;
    let error = host.host.status(&id("none")).await.unwrap_err();
    assert_eq!(error.to_string(), "no workload has the id `none`");
    assert_eq!(host.host.stop(&id("none")).await.unwrap_err(), error);
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let host = TestHost::start().await;
    host.run("one", &spec([p2()], [http()])).await;
    let other = start_request(
        "one",
        "other",
        &spec([p3()], [http_at(json!({ "path": "/x" }))]),
        None,
    );
    let error = host.host.start(other).await.unwrap_err();
    assert!(
        matches!(&error, StartError::AlreadyExists(taken) if taken.as_str() == "one"),
        "{error:?}"
    );
    let status = host.status("one").await.expect("it is there");
    assert_eq!(
        (status.state, status.name.as_str()),
        (WorkloadState::Running, "one")
    );
    assert_eq!(host.get("/hello").await.status, 200);
}

#[tokio::test]
async fn a_failed_start_holds_nothing_and_can_be_tried_again() {
    let host = TestHost::start().await;
    let missing = spec([p2(), component("ghost", "/nowhere/ghost.wasm")], [http()]);
    let error = host.try_run("one", &missing).await.unwrap_err();
    assert!(
        matches!(&error, StartError::Fetch { component, .. } if component.as_str() == "ghost"),
        "{error:?}"
    );
    let status = host.status("one").await.expect("it is remembered");
    assert_eq!(
        (status.state, status.message),
        (WorkloadState::Failed, Some(error.to_string()))
    );
    assert!(status.plan.is_none());
    assert_eq!(host.get("/hello").await.status, 404);
    host.run("other", &spec([p2()], [http()])).await;
    host.stop("other").await;
    host.run("one", &spec([p2()], [http()])).await;
    assert_eq!(host.get("/hello").await.status, 200);
}

#[tokio::test]
async fn a_failed_workload_can_be_forgotten() {
    let host = TestHost::start().await;
    host.try_run("one", &spec([component("ghost", "/ghost.wasm")], [http()]))
        .await
        .unwrap_err();
    host.stop("one").await;
    assert!(host.status("one").await.is_none());
}

/// What this version does not do is refused by the host too, whoever made the workload and however.
#[tokio::test]
async fn what_is_not_run_yet_is_refused() {
    let host = TestHost::start().await;
    let components = [component("front", test_guests::FETCH_FRONT), p2()];
    let mut remote = start_request("one", "one", &spec(components, [http()]), None);
    remote.workload.links.push(wasmcloud::workload::Link {
        from: Some("front".parse().unwrap()),
        import: "wasi:http/incoming-handler@0.2.0".parse().unwrap(),
        to: wasmcloud::workload::LinkTarget::Component("app".parse().unwrap()),
        kind: wasmcloud::workload::LinkKind::Remote,
    });
    let error = host.host.start(remote).await.unwrap_err();
    assert!(matches!(error, StartError::Unsupported(_)), "{error:?}");
    assert!(error.to_string().contains("remote"), "{error}");
    assert!(error.places()[0].hint.is_some());
    host.run("one", &spec([p2()], [http()])).await;
}

#[tokio::test]
async fn a_start_gives_up_when_it_is_stopped() {
    let gate = Gate::closed();
    let fetch = gate.clone();
    let host = TestHost::with(|config| config.fetch = fetch).await;
    let start = {
        let host = host.host.clone();
        let request = start_request("one", "one", &spec([p2()], [http()]), None);
        tokio::spawn(async move { host.start(request).await })
    };
    gate.reached(1).await;
    assert_eq!(
        host.status("one").await.unwrap().state,
        WorkloadState::Starting
    );
    // An id that is starting is taken.
    let error = host
        .try_run("one", &spec([p2()], [http()]))
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::AlreadyExists(_)), "{error:?}");
    host.stop("one").await;
    let error = within(start).await.unwrap().unwrap_err();
    assert!(matches!(error, StartError::Stopped), "{error:?}");
    assert!(host.status("one").await.is_none());
    gate.let_through(9);
    host.run("one", &spec([p2()], [http()])).await;
    assert_eq!(host.get("/hello").await.status, 200);
}

/// Whoever is whole by itself does not wait for the last image, and nothing is compiled that is not used then.
#[tokio::test]
async fn what_has_arrived_is_compiled_while_others_are_on_their_way() {
    let gate = Gate::closed();
    let folder = tempfile::tempdir().unwrap();
    let compiled = folder.path().join("compiled");
    let (fetch, cache) = (gate.clone(), compiled.clone());
    let host = TestHost::with(|config| {
        config.fetch = fetch;
        config.engine.cache_dir = Some(cache);
    })
    .await;
    let components = [p2(), component("tell", test_guests::TELL_P2)];
    let messaging = messaging("0.2.0", json!({"subscriptions": "jobs.>"}));
    let request = start_request("one", "one", &spec(components, [http(), messaging]), None);
    let start = {
        let host = host.host.clone();
        tokio::spawn(async move { host.start(request).await })
    };
    gate.reached(2).await;
    gate.let_through(1);
    within(async {
        while artifacts(&compiled) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.let_through(1);
    within(start).await.unwrap().unwrap();
    assert_eq!(artifacts(&compiled), 2);
}

/// How many compiled components a cache has, besides what is known of their worlds.
fn artifacts(cache: &Path) -> usize {
    let folders = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let folders = folders.filter(|folder| !folder.file_name().to_string_lossy().contains("worlds"));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten());
    let names = files.flatten().map(|file| file.path());
    let compiled = names.filter(|name| name.extension().is_some_and(|it| it == "cwasm"));
    compiled.count()
}

#[tokio::test]
async fn a_caller_who_goes_away_gives_up_the_start() {
    let gate = Gate::closed();
    let fetch = gate.clone();
    let host = TestHost::with(|config| config.fetch = fetch).await;
    let spec = spec([p2()], [http()]);
    let start = {
        let host = host.host.clone();
        let request = start_request("one", "one", &spec, None);
        tokio::spawn(async move { host.start(request).await })
    };
    gate.reached(1).await;
    start.abort();
    assert!(start.await.unwrap_err().is_cancelled());
    assert!(host.status("one").await.is_none());
    gate.let_through(9);
    host.run("one", &spec).await;
}

/// Two who stop the same workload both wait until it is gone.
#[tokio::test]
async fn two_may_stop_the_same_workload() {
    let host = TestHost::start().await;
    host.run("one", &spec([p2()], [http()])).await;
    let mut connection = host.connect(Version::H1).await;
    let wanted = request(Version::H1, "GET", "localhost", "/never-ends", empty());
    let mut response = connection.send(wanted).await;
    body_of(response.body_mut(), "first chunk\n").await;
    let one = id("one");
    let (first, second) = (host.host.stop(&one), host.host.stop(&one));
    tokio::pin!(first, second);
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(
        host.status("one").await.unwrap().state,
        WorkloadState::Stopping
    );
    connection.leave().await;
    let (first, second) = within(async { tokio::join!(first, second) }).await;
    assert_eq!(first.unwrap().state, WorkloadState::Stopping);
    assert_eq!(second.unwrap().state, WorkloadState::Stopping);
    assert!(host.status("one").await.is_none());
}

/// A caller who does not wait for the end of a stop does not leave it half done.
#[tokio::test]
async fn a_stop_goes_on_without_its_caller() {
    let host = TestHost::start().await;
    host.run("one", &spec([p2()], [http()])).await;
    let mut connection = host.connect(Version::H1).await;
    let wanted = request(Version::H1, "GET", "localhost", "/never-ends", empty());
    let mut response = connection.send(wanted).await;
    body_of(response.body_mut(), "first chunk\n").await;
    let one = id("one");
    {
        let stop = host.host.stop(&one);
        tokio::pin!(stop);
        assert!((&mut stop).now_or_never().is_none());
    }
    connection.leave().await;
    host.stop_is_over("one").await;
}

/// What is being answered may be finished; new requests find nobody meanwhile.
#[tokio::test]
async fn a_stop_lets_an_answer_finish() {
    for component in [p2(), p3()] {
        let host = TestHost::start().await;
        host.run("one", &spec([component], [http()])).await;
        let mut connection = host.connect(Version::H1).await;
        let (sender, body) = crate::support::frames();
        let pending = connection.begin(request(Version::H1, "POST", "localhost", "/echo", body));
        sender
            .send(http_body::Frame::data("before".into()))
            .await
            .unwrap();
        let mut response = within(pending).await.unwrap().unwrap();
        body_of(response.body_mut(), "before").await;
        let one = id("one");
        let stop = host.host.stop(&one);
        tokio::pin!(stop);
        assert!((&mut stop).now_or_never().is_none());
        assert_eq!(host.get("/hello").await.status, 404);
        sender
            .send(http_body::Frame::data("after".into()))
            .await
            .unwrap();
        body_of(response.body_mut(), "after").await;
        assert!((&mut stop).now_or_never().is_none());
        drop(sender);
        assert_eq!(crate::support::Answer::of(response).await.body, "");
        within(stop).await.unwrap();
    }
}

/// When the grace is over the answer is cut, so that the client can tell that it is not whole.
#[tokio::test]
async fn a_stop_cuts_an_answer_when_the_grace_is_over() {
    for component in [p2(), p3()] {
        for version in [Version::H1, Version::H2] {
            let host = TestHost::with(|config| config.grace = Duration::from_millis(10)).await;
            host.run("one", &spec([component.clone()], [http()])).await;
            let mut connection = host.connect(version).await;
            let wanted = request(version, "GET", "localhost", "/never-ends", empty());
            let mut response = connection.send(wanted).await;
            body_of(response.body_mut(), "first chunk\n").await;
            host.stop("one").await;
            let end = within(http_body_util::BodyExt::collect(response.body_mut())).await;
            assert!(end.is_err(), "{version:?}: {end:?}");
        }
    }
}

/// A request that has no answer yet when the grace is over gets one that says to try again.
#[tokio::test]
async fn a_stop_answers_what_waits() {
    for component in [p2(), p3()] {
        let host = TestHost::with(|config| config.grace = Duration::ZERO).await;
        host.run("one", &spec([component], [http()])).await;
        let mut connection = host.connect(Version::H1).await;
        let pending = connection.begin(request(Version::H1, "GET", "localhost", "/hang", empty()));
        host.instances("one", 1).await;
        host.stop("one").await;
        let response = within(pending).await.unwrap().unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
    }
}

#[tokio::test]
async fn shutting_down_stops_everything() {
    let host = TestHost::start().await;
    for name in ["a", "b", "c"] {
        let entry = http_at(json!({ "path": format!("/{name}") }));
        host.run(name, &spec([p2()], [entry])).await;
    }
    within(host.host.shutdown()).await;
    assert!(host.host.workloads().is_empty());
}

/// The last handle gone, the port is free and nobody is left.
#[tokio::test]
async fn a_dropped_host_closes_its_port() {
    let host = TestHost::start().await;
    host.run("one", &spec([p2()], [http()])).await;
    let addr = host.addr();
    assert_eq!(host.get("/hello").await.status, 200);
    drop(host);
    let closed = async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(closed).await;
}

#[tokio::test]
async fn a_workload_may_come_to_its_own_end() {
    let ledger = std::sync::Arc::new(Ledger::default());
    let plugins = ledger.plugins();
    let host = TestHost::with(|config| config.plugins = plugins).await;
    let spec = spec([p2()], [http()]);
    for (ending, state, message) in [
        (Ending::Completed, WorkloadState::Completed, None),
        (
            Ending::Failed("out of luck".to_owned()),
            WorkloadState::Failed,
            Some("out of luck"),
        ),
    ] {
        host.run("one", &spec).await;
        let sender = ledger.ending(&id("one"));
        sender.end(ending.clone());
        host.reaches("one", state).await;
        let status = host.status("one").await.unwrap();
        assert_eq!(status.message.as_deref(), message);
        assert_eq!(ledger.bound(), 0);
        assert_eq!(host.get("/hello").await.status, 404);
        assert_eq!(host.host.heartbeat().await.workload_count, 0);
        // The id is free, and a late report of the first start does not touch the second.
        host.run("one", &spec).await;
        sender.end(ending);
        assert_eq!(host.get("/hello").await.status, 200);
        assert_eq!(
            host.status("one").await.unwrap().state,
            WorkloadState::Running
        );
        host.stop("one").await;
    }
}

#[tokio::test]
async fn a_heartbeat_counts() {
    let host = TestHost::with(|config| {
        config.friendly_name = Some("edge-7".to_owned());
        config.labels = [("zone".to_owned(), "a".to_owned())].into();
    })
    .await;
    let before = host.host.heartbeat().await;
    assert_eq!((before.workload_count, before.component_count), (0, 0));
    assert_eq!(
        (
            before.friendly_name.as_str(),
            before.labels["zone"].as_str()
        ),
        ("edge-7", "a")
    );
    assert_eq!(before.http_port, Some(host.addr().port()));
    assert!(
        before
            .imports
            .iter()
            .any(|import| import.to_string().starts_with("wasi:config/store"))
    );
    assert!(
        before
            .exports
            .iter()
            .any(|export| export.to_string().starts_with("wasi:http/"))
    );
    assert!(before.system_memory_total >= before.system_memory_free);
    host.run("one", &spec([p2()], [http_at(json!({ "path": "/one" }))]))
        .await;
    let components = [
        component("front", test_guests::ID_FRONT),
        component("back", test_guests::ID_BACK),
    ];
    host.run("two", &spec(components, [http()])).await;
    host.try_run("bad", &spec([component("x", "/x.wasm")], [http()]))
        .await
        .unwrap_err();
    let during = host.host.heartbeat().await;
    assert_eq!((during.workload_count, during.component_count), (2, 3));
    assert_eq!(during.id, before.id);
    host.stop("two").await;
    let after = host.host.heartbeat().await;
    assert_eq!((after.workload_count, after.component_count), (1, 1));
}
