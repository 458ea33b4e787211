//! What clients with bad intentions send. Whatever it is, the next honest request is answered, and nobody gets a request that was
//! meant for another.

use serde_json::json;

use crate::stories::{P2, P3};
use crate::support::{Answer, TestHost, Version, component, empty, http_at, request, spec, within};

/// A host with a tenant for each of two names, and nobody for the rest.
async fn two_tenants() -> TestHost {
    let host = TestHost::start().await;
    for (name, image) in [
        ("good", test_guests::HTTP_P2),
        ("evil", test_guests::HTTP_P3),
    ] {
        let entry = http_at(json!({ "host": format!("{name}.example") }));
        host.run(name, &spec([component("api", image)], [entry]))
            .await;
    }
    host
}

async fn lives(host: &TestHost) {
    assert_eq!(host.get_from("good.example", "/hello").await.body, P2.hello);
    assert_eq!(host.get_from("evil.example", "/hello").await.body, P3.hello);
}

/// Sends bytes and gives the status of what comes back, 0 if the connection is just closed.
async fn status_of(host: &TestHost, bytes: impl AsRef<[u8]>) -> u16 {
    let mut raw = host.raw().await;
    raw.send(bytes).await;
    raw.answer().await.map_or(0, |answer| answer.status)
}

#[tokio::test]
async fn garbage_is_a_bad_request() {
    let host = two_tenants().await;
    for garbage in [
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nHost good.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : good.example\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: good.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: good.example\r\n folded: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: good.example\r\nX: a\0b\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: good.example\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: good.example\r\n\r\n",
        "GET http:// HTTP/1.1\r\nHost: good.example\r\n\r\n",
        "G\u{0}T / HTTP/1.1\r\nHost: good.example\r\n\r\n",
    ] {
        assert_eq!(status_of(&host, garbage).await, 400, "{garbage:?}");
    }
    lives(&host).await;
}

#[tokio::test]
async fn a_request_must_name_one_host() {
    let host = two_tenants().await;
    for headers in [
        "",
        "Host:\r\n",
        "Host: :80\r\n",
        "Host: good.example\r\nHost: good.example\r\n",
        "Host: good.example\r\nHost: evil.example\r\n",
        "Host: evil.example@good.example\r\n",
        "Host: good.example/x\r\n",
        "Host: good.example, evil.example\r\n",
        "Host: good example\r\n",
        "Host: good.example:80:80\r\n",
        "Host: good.example:http\r\n",
        "Host: good.example:99999\r\n",
        "Host: [::1\r\n",
        "Host: [::1]good.example\r\n",
        "Host: good.example\u{fc}\r\n",
    ] {
        for start in ["GET /hello HTTP/1.1", "GET /hello HTTP/1.0"] {
            let request = format!("{start}\r\n{headers}\r\n");
            assert_eq!(status_of(&host, &request).await, 400, "{request:?}");
        }
    }
    assert!(
        host.requests(0)
            .await
            .iter()
            .all(|record| record.workload.is_none())
    );
    lives(&host).await;
}

/// A target that names the host goes before the header, and the guest sees no trace of another.
#[tokio::test]
async fn an_absolute_target_decides() {
    let host = two_tenants().await;
    let mut raw = host.raw().await;
    raw.send("GET http://good.example/headers HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    let body = raw.answer().await.expect("an answer").body();
    assert!(body.contains("authority good.example\n"), "{body}");
    assert!(!body.contains("evil"), "{body}");
    for bad in [
        // Without the header it is no HTTP/1.1, whatever the target says.
        "GET http://good.example/hello HTTP/1.1\r\n\r\n",
        "GET http://good.example/hello HTTP/1.1\r\nHost: good.example\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example@good.example/hello HTTP/1.1\r\nHost: good.example\r\n\r\n",
        "GET http://good.example:x/hello HTTP/1.1\r\nHost: good.example\r\n\r\n",
    ] {
        assert_eq!(status_of(&host, bad).await, 400, "{bad}");
    }
    lives(&host).await;
}

/// Over HTTP/2 the target and the header must agree, or some proxy may read the other one.
#[tokio::test]
async fn over_http_2_target_and_host_must_agree() {
    let host = two_tenants().await;
    let mut connection = host.connect(Version::H2).await;
    let with_host = |value: &'static str| {
        let mut wanted = request(Version::H2, "GET", "good.example", "/hello", empty());
        wanted.headers_mut().insert("host", value.parse().unwrap());
        wanted
    };
    let agreed = Answer::of(connection.send(with_host("Good.example")).await).await;
    assert_eq!(agreed.body, P2.hello);
    for other in ["evil.example", "good.example:81", "", "x@good.example"] {
        assert_eq!(
            connection.send(with_host(other)).await.status(),
            400,
            "{other}"
        );
    }
    let named = request(
        Version::H2,
        "GET",
        "evil.example@good.example",
        "/hello",
        empty(),
    );
    assert_eq!(connection.send(named).await.status(), 400);
}

/// Two ways to say how long a body is: what follows must never be taken for a request of its own.
#[tokio::test]
async fn a_smuggled_request_is_not_answered() {
    let host = two_tenants().await;
    let smuggled = "GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let chunked = "0\r\n\r\n";
    let length = chunked.len() + smuggled.len();
    for headers in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Content-Length: 5\r\nContent-Length: 6\r\n".to_owned(),
        "Content-Length: 5, 6\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding:\u{b}chunked\r\n".to_owned(),
    ] {
        let mut raw = host.raw().await;
        raw.send(format!(
            "POST /echo HTTP/1.1\r\nHost: good.example\r\n{headers}\r\n{chunked}{smuggled}"
        ))
        .await;
        let first = raw.answer().await.map_or(400, |answer| answer.status);
        assert!([200, 400].contains(&first), "{headers}: {first}");
        let rest = raw.rest().await;
        assert_eq!(String::from_utf8_lossy(&rest), "", "{headers}");
    }
    assert!(
        host.requests(0)
            .await
            .iter()
            .all(|record| record.workload.as_deref() != Some("evil"))
    );
    lives(&host).await;
}

/// A body in broken chunks ends in an error, on the guest's side too; never in a body that looks whole.
#[tokio::test]
async fn broken_chunks_end_the_connection() {
    let host = two_tenants().await;
    for chunks in [
        "zz\r\n",
        "-1\r\nx",
        "ffffffffffffffffff\r\n",
        "5\r\nhello!!\r\n0\r\n\r\n",
    ] {
        let mut raw = host.raw().await;
        let head =
            "POST /echo HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        raw.send(format!("{head}{chunks}")).await;
        let answer = String::from_utf8(raw.rest().await).unwrap();
        assert!(!answer.ends_with("0\r\n\r\n"), "{chunks:?}: {answer}");
    }
    lives(&host).await;
    host.stop_finds_nothing_running("good").await;
}

#[tokio::test]
async fn a_tunnel_is_not_given() {
    let host = two_tenants().await;
    let tunnel = "CONNECT good.example:80 HTTP/1.1\r\nHost: good.example:80\r\n\r\n";
    assert_eq!(status_of(&host, tunnel).await, 501);
    let mut connection = host.connect(Version::H2).await;
    let wanted = http::Request::connect("good.example:80")
        .body(empty())
        .unwrap();
    assert_eq!(connection.send(wanted).await.status(), 501);
    assert!(
        host.requests(2)
            .await
            .iter()
            .all(|record| record.workload.is_none())
    );
    lives(&host).await;
}

#[tokio::test]
async fn a_star_is_nobodys_path() {
    let host = two_tenants().await;
    for method in ["OPTIONS", "GET"] {
        let status = status_of(
            &host,
            format!("{method} * HTTP/1.1\r\nHost: good.example\r\n\r\n"),
        )
        .await;
        assert!([400, 404].contains(&status), "{method}: {status}");
    }
    lives(&host).await;
}

#[tokio::test]
async fn an_upgrade_is_not_followed() {
    let host = two_tenants().await;
    let mut raw = host.raw().await;
    raw.send(
        "GET /hello HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    )
    .await;
    let answer = raw.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.body().as_str()), (200, P2.hello));
}

#[tokio::test]
async fn heads_have_a_limit() {
    let host = two_tenants().await;
    let start = "GET /hello HTTP/1.1\r\nHost: good.example\r\n";
    let long = "x".repeat(1 << 20);
    assert_eq!(
        status_of(&host, format!("{start}X: {long}\r\n\r\n")).await,
        431
    );
    let status = status_of(
        &host,
        format!("GET /{long} HTTP/1.1\r\nHost: good.example\r\n\r\n"),
    )
    .await;
    assert!([400, 414, 431].contains(&status), "{status}");
    let many = "X: y\r\n".repeat(10_000);
    assert_eq!(status_of(&host, format!("{start}{many}\r\n")).await, 431);
    let mut wanted = request(Version::H2, "GET", "good.example", "/hello", empty());
    wanted.headers_mut().insert("x", long.parse().unwrap());
    let mut connection = host.connect(Version::H2).await;
    let answer = connection
        .try_send(wanted)
        .await
        .map(|answer| answer.status());
    assert!(
        matches!(
            &answer,
            Err(_) | Ok(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        ),
        "{answer:?}"
    );
    lives(&host).await;
}

/// Streams that are opened and reset as fast as the client can: the guests end, and others are served meanwhile.
#[tokio::test]
async fn rapid_resets_leave_nothing_behind() {
    let host = two_tenants().await;
    let mut connection = host.connect(Version::H2).await;
    for _ in 0..500 {
        let pending = connection.begin(request(
            Version::H2,
            "GET",
            "good.example",
            "/hang",
            empty(),
        ));
        tokio::task::yield_now().await;
        pending.abort();
    }
    lives(&host).await;
    connection.leave().await;
    host.stop_finds_nothing_running("good").await;
}

/// Nobody has to read the body of a request that is refused.
#[tokio::test]
async fn a_refused_body_does_not_become_a_request() {
    let host = two_tenants().await;
    let body = "GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let next = "GET /status?code=204 HTTP/1.1\r\nHost: good.example\r\nConnection: close\r\n\r\n";
    let mut raw = host.raw().await;
    raw.send(format!("{head}{body}{next}")).await;
    assert_eq!(raw.answer().await.expect("an answer").status, 404);
    if let Some(answer) = raw.answer().await {
        assert_eq!(answer.status, 204);
    }
    assert!(
        host.requests(1)
            .await
            .iter()
            .all(|record| record.workload.as_deref() != Some("evil"))
    );
    lives(&host).await;
}

/// Connections that say nothing hold nobody up.
#[tokio::test]
async fn silent_connections_hold_nobody_up() {
    let host = two_tenants().await;
    let mut silent = Vec::new();
    for index in 0..200 {
        let mut raw = host.raw().await;
        raw.send(["", "G", "PRI * HTTP/2", "GET / HTTP/1.1\r\nHost"][index % 4])
            .await;
        silent.push(raw);
    }
    within(lives(&host)).await;
}
