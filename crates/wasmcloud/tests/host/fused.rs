//! Several components in one workload: who they are to the host, what crosses between them, and what cannot be joined. A test is
//! named after each guest.

use serde_json::{Value, json};
use wasmcloud::host::{StartError, WorkloadState};

use crate::support::{
    Answer, Connection, TestHost, Version, body_of, component, empty, frames, http, request, spec,
    with_config, with_environment, within,
};

fn named(name: &str, image: &str) -> Value {
    let component = with_environment(
        component(name, image),
        json!({ "WHO": format!("{name}-env") }),
    );
    with_config(component, json!({ "who": format!("{name}-config") }))
}

/// Two components share a store; each sees its own settings, and its lines carry its own name.
#[tokio::test]
pub(crate) async fn id_front() {
    let host = TestHost::start().await;
    let components = [
        named("one", test_guests::ID_FRONT),
        named("two", test_guests::ID_BACK),
    ];
    let status = host.run("identity", &spec(components, [http()])).await;
    assert_eq!(
        host.get("/").await.body,
        "front env=one-env config=one-config; back env=two-env config=two-config\n"
    );
    let lines = host.lines(2).await;
    let labelled: Vec<_> = lines
        .iter()
        .map(|line| (line.component.as_str(), line.text.as_str()))
        .collect();
    assert_eq!(labelled, [("one", "front line"), ("two", "back line")]);
    let plan = status.plan.expect("a plan");
    assert_eq!(plan.entries[0].members.len(), 2);
}

/// The same two components in two workloads at once: one artifact, four identities.
#[tokio::test]
pub(crate) async fn id_back() {
    let host = TestHost::start().await;
    for tenant in ["red", "blue"] {
        let settings = |part: &str, image| {
            with_environment(
                component(part, image),
                json!({ "WHO": format!("{tenant}-{part}") }),
            )
        };
        let components = [
            settings("front", test_guests::ID_FRONT),
            settings("back", test_guests::ID_BACK),
        ];
        let entry = crate::support::http_at(json!({ "host": format!("{tenant}.example") }));
        host.run(tenant, &spec(components, [entry])).await;
    }
    for tenant in ["red", "blue", "red"] {
        let answer = host.get_from(&format!("{tenant}.example"), "/").await;
        assert_eq!(
            answer.body,
            format!("front env={tenant}-front config=unset; back env={tenant}-back config=unset\n")
        );
    }
    let lines = host.lines(6).await;
    assert!(
        lines.iter().filter(|line| line.workload == "red").count() == 4,
        "{lines:?}"
    );
}

/// Owned and borrowed resources of one component in the hands of another.
#[tokio::test]
pub(crate) async fn res_user() {
    let host = TestHost::start().await;
    let components = [
        component("user", test_guests::RES_USER),
        component("provider", test_guests::RES_PROVIDER),
    ];
    host.run("resources", &spec(components, [http()])).await;
    for _ in 0..2 {
        assert_eq!(
            host.get("/").await.body,
            "bump 11 21; peek 11; consume 22\n"
        );
    }
}

/// Nobody calls a provider by itself, and the error says so.
#[tokio::test]
pub(crate) async fn res_provider() {
    let host = TestHost::start().await;
    let alone = spec([component("provider", test_guests::RES_PROVIDER)], [http()]);
    let error = host.try_run("alone", &alone).await.unwrap_err();
    assert!(matches!(error, StartError::Plan(_)), "{error:?}");
    assert!(error.to_string().contains("wasi:http"), "{error}");
}

/// Streams and futures cross between components, in both directions.
#[tokio::test]
pub(crate) async fn stream_user() {
    let host = TestHost::start().await;
    let components = [
        component("user", test_guests::STREAM_USER),
        component("provider", test_guests::STREAM_PROVIDER),
    ];
    host.run("streams", &spec(components, [http()])).await;
    for n in [0_u64, 1, 1000, 123_456] {
        let sum: u64 = (0..n).map(|number| number & 0xff).sum();
        assert_eq!(
            host.get(&format!("/?n={n}")).await.body,
            format!("numbers {n} sum {sum}; later 42; sink {n}\n")
        );
    }
    host.stop_finds_nothing_running("streams").await;
}

/// A client that leaves ends both ends of a stream.
#[tokio::test]
pub(crate) async fn stream_provider() {
    let host = TestHost::start().await;
    let components = [
        component("provider", test_guests::STREAM_PROVIDER),
        component("user", test_guests::STREAM_USER),
    ];
    host.run("streams", &spec(components, [http()])).await;
    let mut connection = host.connect(Version::H1).await;
    let wanted = request(Version::H1, "GET", "localhost", "/?n=4000000000", empty());
    let pending = connection.begin(wanted);
    host.instances("streams", 1).await;
    connection.leave().await;
    pending.abort();
    host.stop_finds_nothing_running("streams").await;
}

/// WASI 0.3 in front, 0.2 behind.
#[tokio::test]
pub(crate) async fn mixed_front() {
    let host = TestHost::start().await;
    let components = [
        component("front", test_guests::MIXED_FRONT),
        named("back", test_guests::ID_BACK),
    ];
    host.run("mixed", &spec(components, [http()])).await;
    assert_eq!(
        host.get("/").await.body,
        "front 0.3; back env=back-env config=back-config\n"
    );
    assert_eq!(host.lines(1).await[0].component, "back");
}

fn guarded_by(count: usize) -> Value {
    let mut components = vec![component("api", test_guests::HTTP_P2)];
    let mut links = Vec::new();
    for index in 1..=count {
        let name = format!("mw{index}");
        components.push(component(&name, test_guests::MW));
        let to = if index == 1 {
            "api".to_owned()
        } else {
            format!("mw{}", index - 1)
        };
        links.push(json!({ "from": name, "import": "wasi:http/incoming-handler", "to": to }));
    }
    let mut spec = spec(components, [http()]);
    if count > 1 {
        spec["links"] = Value::Array(links);
    }
    spec
}

/// Middleware turns requests away or hands them on, streams and all; two in a row are as good as one.
#[tokio::test]
pub(crate) async fn mw() {
    let host = TestHost::start().await;
    for count in [1, 2] {
        host.run("guarded", &guarded_by(count)).await;
        assert_eq!(host.get("/hello").await.status, 403);
        let (sender, body) = frames();
        let mut wanted = request(Version::H1, "POST", "localhost", "/echo", body);
        wanted.headers_mut().insert("x-mw", "yes".parse().unwrap());
        let mut connection: Connection = host.connect(Version::H1).await;
        let mut response = connection.send(wanted).await;
        for chunk in ["one", "two"] {
            sender
                .send(http_body::Frame::data(chunk.into()))
                .await
                .unwrap();
            body_of(response.body_mut(), chunk).await;
        }
        drop(sender);
        assert_eq!(Answer::of(response).await.body, "");
        host.stop_finds_nothing_running("guarded").await;
    }
}

/// The component to blame is named, also when it is called by another.
#[tokio::test]
async fn a_trap_behind_middleware_names_the_component_that_trapped() {
    let host = TestHost::start().await;
    host.run("guarded", &guarded_by(1)).await;
    let mut wanted = request(Version::H1, "GET", "localhost", "/trap-before", empty());
    wanted.headers_mut().insert("x-mw", "yes".parse().unwrap());
    let answer = Answer::of(host.connect(Version::H1).await.send(wanted).await).await;
    assert!(
        answer.body.starts_with("500 component `api` trapped"),
        "{}",
        answer.body
    );
}

/// A component that can also be run as a command is called as a handler.
#[tokio::test]
pub(crate) async fn handler_and_run() {
    let host = TestHost::start().await;
    host.run(
        "both",
        &spec([component("both", test_guests::HANDLER_AND_RUN)], [http()]),
    )
    .await;
    assert_eq!(host.get("/").await.body, "handled\n");
}

/// A core module of WASI preview 1 is adapted on the way in; what it prints is labelled like the rest.
#[tokio::test]
pub(crate) async fn p1_module() {
    let host = TestHost::start().await;
    host.run(
        "old",
        &spec([component("module", test_guests::P1_MODULE)], [http()]),
    )
    .await;
    assert_eq!(host.get("/").await.body, "adapted\n");
    let line = host.lines(1).await.remove(0);
    assert_eq!(
        (line.component.as_str(), line.source.as_str()),
        ("module", "stdout")
    );
    assert_eq!(line.text, "printed through preview 1");
}

/// An import without an answer: the error names component and import, and nothing is held.
#[tokio::test]
pub(crate) async fn unmet() {
    let host = TestHost::start().await;
    let components = spec([component("lonely", test_guests::UNMET)], [http()]);
    let error = host.try_run("unmet", &components).await.unwrap_err();
    assert!(matches!(error, StartError::Plan(_)), "{error:?}");
    for wanted in ["lonely", "test:nowhere/nothing@1.0.0"] {
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let places = error.places();
    assert_eq!(places[0].path, "spec.components.lonely");
    let status = host.status("unmet").await.expect("it is remembered");
    assert_eq!(status.state, WorkloadState::Failed);
    assert_eq!(status.message, Some(error.to_string()));
    assert_eq!(host.get("/").await.status, 404);
}

async fn circle(names: [&str; 2]) -> StartError {
    let host = TestHost::start().await;
    let components = [
        component(names[0], test_guests::CYCLE_A),
        component(names[1], test_guests::CYCLE_B),
    ];
    within(host.try_run("circle", &spec(components, [http()])))
        .await
        .unwrap_err()
}

/// Components that call each other in a circle are refused, and the circle is shown.
#[tokio::test]
pub(crate) async fn cycle_a() {
    let error = circle(["a", "b"]).await;
    assert!(matches!(error, StartError::Plan(_)), "{error:?}");
    assert!(error.to_string().contains("a → b → a"), "{error}");
}

/// The circle is found whatever its members are called.
#[tokio::test]
pub(crate) async fn cycle_b() {
    let error = circle(["z", "a"]).await;
    assert!(error.to_string().contains("a → z → a"), "{error}");
}
