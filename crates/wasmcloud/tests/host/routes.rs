//! Which workload answers.

use serde_json::{Value, json};
use wasmcloud::host::{Host as _, StartError, WorkloadState};

use crate::support::{
    Access, TestHost, Version, component, empty, http, http_at, id, p2, request, spec,
    with_environment, within,
};

/// A workload that says who it is at `/env`, wherever it is routed.
fn who(name: &str, config: Value) -> Value {
    spec(
        [with_environment(p2(), json!({ "WHO": name }))],
        [http_at(config)],
    )
}

/// Which workload got a request: the access log knows.
async fn routed(host: &TestHost, authority: &str, path: &str) -> Option<String> {
    let before = host.requests(0).await.len();
    host.get_from(authority, path).await;
    host.requests(before + 1)
        .await
        .pop()
        .expect("a record")
        .workload
}

#[tokio::test]
async fn a_workload_is_found_by_host_alias_and_longest_path() {
    let host = TestHost::start().await;
    let workloads = [
        ("any", json!({})),
        ("any-api", json!({ "path": "/api" })),
        (
            "shop",
            json!({ "host": "Shop.example", "host-aliases": "store.example, www.shop.example" }),
        ),
        (
            "shop-api",
            json!({ "host": "shop.example", "path": "/api" }),
        ),
        (
            "shop-v2",
            json!({ "host": "shop.example", "path": "/api/v2/" }),
        ),
    ];
    for (name, config) in workloads {
        host.run(name, &who(name, config)).await;
    }
    for (authority, path, wanted) in [
        ("localhost", "/", "any"),
        ("127.0.0.1:1234", "/env?x=/api", "any"),
        ("localhost", "/api", "any-api"),
        ("localhost", "/api/env", "any-api"),
        ("localhost", "/apis", "any"),
        ("shop.example", "/env", "shop"),
        ("SHOP.EXAMPLE:8080", "/env", "shop"),
        ("shop.example.", "/env", "shop"),
        ("store.example", "/env", "shop"),
        ("www.shop.example", "/env", "shop"),
        ("store.example", "/api/v2", "shop"),
        ("shop.example", "/api/v1", "shop-api"),
        ("shop.example", "/api/v2", "shop-v2"),
        ("shop.example", "/api/v2?q", "shop-v2"),
        ("shop.example", "/api/v2/x/y", "shop-v2"),
        ("shop.example", "/api/v22", "shop-api"),
        ("evil-shop.example", "/env", "any"),
        ("shop.example.evil", "/env", "any"),
    ] {
        let got = routed(&host, authority, path).await;
        assert_eq!(got.as_deref(), Some(wanted), "{authority}{path}");
    }
}

#[tokio::test]
async fn nobody_answers_for_an_unknown_host_or_path() {
    let host = TestHost::start().await;
    assert_eq!(host.get("/").await.status, 404);
    host.run(
        "shop",
        &who("shop", json!({ "host": "shop.example", "path": "/api" })),
    )
    .await;
    for (authority, path) in [
        ("shop.example", "/"),
        ("other.example", "/api"),
        ("localhost", "/api"),
    ] {
        let answer = host.get_from(authority, path).await;
        assert_eq!(answer.status, 404, "{authority}{path}");
        assert_eq!(
            answer.body,
            format!("404 no workload answers for {authority}{path}\n")
        );
    }
    let wanted = Access {
        method: "GET".to_owned(),
        host: "localhost".to_owned(),
        path: "/".to_owned(),
        status: 404,
        workload: None,
        component: None,
    };
    assert_eq!(host.requests(1).await[0], wanted);
}

/// Routes are compared as they are sent: nothing is decoded, collapsed or resolved, so that host and guest read a path alike.
#[tokio::test]
async fn a_path_is_taken_as_it_is_sent() {
    let host = TestHost::start().await;
    host.run("root", &who("root", json!({}))).await;
    host.run("admin", &who("admin", json!({ "path": "/admin" })))
        .await;
    for (path, wanted) in [
        ("//", "root"),
        ("//admin", "root"),
        ("/..", "root"),
        ("/x/../admin", "root"),
        ("/./admin", "root"),
        ("/%61dmin", "root"),
        ("/admin%2fx", "root"),
        ("/ADMIN", "root"),
        ("/admin//", "admin"),
        ("/admin/../x", "admin"),
        ("/admin/%2e%2e/x", "admin"),
        ("/admin;x", "root"),
    ] {
        let mut raw = host.raw().await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .await;
        raw.answer().await.expect("an answer");
        let last = host.requests(0).await.pop().expect("a record");
        assert_eq!(
            (last.workload.as_deref(), last.path.as_str()),
            (Some(wanted), path)
        );
    }
}

#[tokio::test]
async fn a_clash_names_both_and_the_first_keeps_serving() {
    let host = TestHost::start().await;
    host.run(
        "first",
        &who("first", json!({ "host": "a.example", "path": "/x" })),
    )
    .await;
    let config = json!({ "host": "b.example", "host-aliases": "A.EXAMPLE", "path": "/x/" });
    let error = host
        .try_run("second", &who("second", config.clone()))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StartError::Plugin {
                plugin: "wasi-http",
                ..
            }
        ),
        "{error:?}"
    );
    for wanted in ["`default/first`", "`default/second`", "a.example/x"] {
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert!(error.places()[0].path.starts_with("spec.hostInterfaces"));
    // Not even the alias that was free is held.
    assert_eq!(host.get_from("b.example", "/x").await.status, 404);
    assert_eq!(
        routed(&host, "a.example", "/x").await.as_deref(),
        Some("first")
    );
    assert_eq!(
        host.status("second").await.unwrap().state,
        WorkloadState::Failed
    );
    host.stop("first").await;
    host.run("second", &who("second", config)).await;
    assert_eq!(
        routed(&host, "a.example", "/x").await.as_deref(),
        Some("second")
    );
}

/// One workload that names a route twice does not clash with itself.
#[tokio::test]
async fn a_workload_may_say_a_route_twice() {
    let host = TestHost::start().await;
    let config = json!({ "host": "a.example", "host-aliases": "a.example,A.example." });
    host.run("twice", &who("twice", config)).await;
    assert_eq!(
        routed(&host, "a.example", "/").await.as_deref(),
        Some("twice")
    );
}

#[tokio::test]
async fn a_route_that_could_match_nothing_is_refused() {
    let host = TestHost::start().await;
    for (config, wanted) in [
        (json!({ "hosts": "a.example" }), "did you mean `host`?"),
        (json!({ "path": "api" }), "must begin with `/`"),
        (json!({ "host": "*.example" }), "no host name"),
        (json!({ "host": "" }), "no host name"),
    ] {
        let error = host.try_run("bad", &who("bad", config)).await.unwrap_err();
        let place = error.places().remove(0);
        let text = format!("{} {}", place.message, place.hint.unwrap_or_default());
        assert!(text.contains(wanted), "{text}");
        assert!(
            place.path.starts_with("spec.hostInterfaces.0.config."),
            "{}",
            place.path
        );
    }
}

#[tokio::test]
async fn a_stopped_workload_answers_no_more_on_open_connections() {
    let host = TestHost::start().await;
    host.run("gone", &spec([p2()], [http()])).await;
    for version in [Version::H1, Version::H2] {
        let mut connection = host.connect(version).await;
        let wanted = || request(version, "GET", "localhost", "/hello", empty());
        assert_eq!(connection.send(wanted()).await.status(), 200);
        host.stop("gone").await;
        let response = connection.send(wanted()).await;
        assert_eq!(response.status(), 404, "{version:?}");
        host.run("gone", &spec([p2()], [http()])).await;
    }
}

#[tokio::test]
async fn without_a_server_a_handler_is_refused() {
    let host = TestHost::with(|config| config.http = None).await;
    let error = host
        .try_run("web", &spec([p2()], [http()]))
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Plan(_)), "{error:?}");
    assert!(error.to_string().contains("wasi:http"), "{error}");
    let heartbeat = host.host.heartbeat().await;
    assert_eq!(heartbeat.http_port, None);
    let mut called = heartbeat.exports.iter();
    assert!(called.all(|export| export.package != "http"));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let host = TestHost::start().await;
    let addr = host.addr();
    let config = wasmcloud::assembly::HostConfig {
        http: Some(wasmcloud::capability::http::HttpOptions::new(addr)),
        ..Default::default()
    };
    let error = wasmcloud::assembly::assemble(config).await.unwrap_err();
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

/// A component that no request can reach, because the manifest lists no handler.
#[tokio::test]
async fn a_handler_that_is_not_listed_is_named() {
    let host = TestHost::start().await;
    let error = host
        .try_run("mute", &spec([component("api", test_guests::HTTP_P2)], []))
        .await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("api"), "{error}");
    assert!(error.places()[0].hint.is_some(), "{error}");
    assert!(host.host.status(&id("other")).await.is_err());
}

/// Settings are looked at before anything is fetched, and everything wrong with them is told.
#[tokio::test]
async fn wrong_settings_are_told_all_at_once_and_before_anything_else() {
    let host = TestHost::start().await;
    let config = json!({ "hosst": "a.example", "path": "api" });
    let missing = component("api", "/nowhere.wasm");
    let error = host
        .try_run("app", &spec([missing], [http_at(config)]))
        .await;
    let places = error.unwrap_err().places();
    let paths: Vec<&str> = places.iter().map(|place| place.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.hostInterfaces.0.config.hosst",
            "spec.hostInterfaces.0.config.path"
        ]
    );
    assert_eq!(places[0].hint.as_deref(), Some("did you mean `host`?"));
}

/// A host that shuts down does not answer that nobody is there: it is not reached any more.
#[tokio::test]
async fn a_host_that_shuts_down_stops_listening() {
    let host = TestHost::start().await;
    host.run("app", &spec([p2()], [http()])).await;
    let addr = host.addr();
    within(host.host.shutdown()).await;
    let refused = async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within(refused).await;
}
