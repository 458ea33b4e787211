//! Requests and answers, streamed both ways.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::Dialect;
use crate::support::{Answer, TestHost, Version, body_of, empty, frames, full, request, within};

pub(crate) async fn hello(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("hello", &dialect.spec()).await;
    let answer = host.get("/hello?name=x").await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, dialect.hello)
    );
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    let records = host.requests(1).await;
    let record = &records[0];
    assert_eq!(
        (record.method.as_str(), record.host.as_str()),
        ("GET", "localhost")
    );
    // Queries may hold secrets.
    assert_eq!((record.path.as_str(), record.status), ("/hello", 200));
    assert_eq!(record.workload.as_deref(), Some("hello"));
    assert_eq!(record.component.as_deref(), Some("api"));
}

async fn echo_both_ways(dialect: &Dialect, version: Version) {
    let host = TestHost::start().await;
    host.run("echo", &dialect.spec()).await;
    let mut connection = host.connect(version).await;
    let (sender, body) = frames();
    let pending = connection.begin(request(version, "POST", "localhost", "/echo", body));
    sender.send(Frame::data(Bytes::from("one"))).await.unwrap();
    let response = within(pending).await.unwrap().unwrap();
    let mut echoed = response.into_body();
    // Each chunk comes back before the next is sent, so nothing on the way waits for the whole.
    body_of(&mut echoed, "one").await;
    for chunk in ["two", "three"] {
        sender.send(Frame::data(Bytes::from(chunk))).await.unwrap();
        body_of(&mut echoed, chunk).await;
    }
    drop(sender);
    let rest = within(echoed.collect()).await.unwrap();
    assert_eq!(rest.to_bytes(), "");
    host.stop_finds_nothing_running("echo").await;
}

pub(crate) async fn echo_streams_both_ways_over_http_1(dialect: &Dialect) {
    echo_both_ways(dialect, Version::H1).await;
}

pub(crate) async fn echo_streams_both_ways_over_http_2(dialect: &Dialect) {
    echo_both_ways(dialect, Version::H2).await;
}

/// The guest answers without a look at the body, of which the client has sent only the beginning.
pub(crate) async fn an_answer_may_come_before_the_request_is_whole(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("early", &dialect.spec()).await;
    for version in [Version::H1, Version::H2] {
        let mut connection = host.connect(version).await;
        let (sender, body) = frames();
        sender
            .send(Frame::data(Bytes::from("begun")))
            .await
            .unwrap();
        let response = connection
            .send(request(version, "POST", "localhost", "/early", body))
            .await;
        let answer = Answer::of(response).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, dialect.hello)
        );
        drop(sender);
    }
    host.stop_finds_nothing_running("early").await;
}

/// Whatever version of HTTP was spoken, the guest sees method, scheme, authority and path the same.
pub(crate) async fn a_guest_sees_the_request(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("headers", &dialect.spec()).await;
    for version in [Version::H1, Version::H2] {
        let mut wanted = request(
            version,
            "PUT",
            "Shop.example:8080",
            "/headers?a=b&c",
            empty(),
        );
        let headers = wanted.headers_mut();
        headers.append("x-tag", HeaderValue::from_static("one"));
        headers.append("x-tag", HeaderValue::from_static("two"));
        let mut connection = host.connect(version).await;
        let answer = Answer::of(connection.send(wanted).await).await;
        let lines: Vec<&str> = answer.body.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "method Method::Put",
                "scheme Some(Scheme::Http)",
                "authority Shop.example:8080",
                "path-with-query /headers?a=b&c"
            ],
            "{version:?}"
        );
        let tags = lines.iter().filter(|line| line.starts_with("x-tag: "));
        assert_eq!(
            tags.collect::<Vec<_>>(),
            [&"x-tag: one", &"x-tag: two"],
            "{version:?}"
        );
    }
}

pub(crate) async fn trailers_come_after_the_body(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("grpc", &dialect.spec()).await;
    for version in [Version::H1, Version::H2] {
        let mut wanted = request(version, "POST", "localhost", "/trailers", full("call"));
        // Over HTTP/1.1 a client has to say that it takes trailers.
        wanted
            .headers_mut()
            .insert("te", HeaderValue::from_static("trailers"));
        let mut connection = host.connect(version).await;
        let answer = Answer::of(connection.send(wanted).await).await;
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert_eq!(answer.body, "\0\0\0\0\u{2}ok");
        let trailers = answer.trailers.unwrap_or_else(|| panic!("{version:?}"));
        assert_eq!(trailers["grpc-status"], "0");
    }
}

/// Trailers of the request reach the guest, and those of the guest the client.
pub(crate) async fn trailers_are_echoed(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("echo", &dialect.spec()).await;
    let mut connection = host.connect(Version::H2).await;
    let (sender, body) = frames();
    let pending = connection.begin(request(Version::H2, "POST", "localhost", "/echo", body));
    sender.send(Frame::data(Bytes::from("data"))).await.unwrap();
    let trailers =
        HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))]);
    sender.send(Frame::trailers(trailers)).await.unwrap();
    drop(sender);
    let answer = Answer::of(within(pending).await.unwrap().unwrap()).await;
    assert_eq!(answer.body, "data");
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "7");
}

/// Three events written one by one arrive as three chunks, not as one lump at the end.
pub(crate) async fn events_come_one_by_one(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("events", &dialect.spec()).await;
    let mut raw = host.raw().await;
    raw.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let answer = raw.answer().await.expect("an answer");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let event = |n| format!("id: {n}\ndata: event {n}\n\n");
    assert_eq!(answer.chunks, [event(1), event(2), event(3)]);
}

pub(crate) async fn statuses_pass_through(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("status", &dialect.spec()).await;
    for code in [200, 201, 299, 301, 404, 418, 451, 500, 503, 599] {
        let answer = host.get(&format!("/status?code={code}")).await;
        assert_eq!(answer.status.as_u16(), code);
        assert_eq!(answer.body, format!("{code}\n"));
    }
}

/// Answers that must not have a body have none on the wire, so the connection is good for another request.
pub(crate) async fn answers_without_a_body_keep_the_connection_whole(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("status", &dialect.spec()).await;
    for version in [Version::H1, Version::H2] {
        let mut connection = host.connect(version).await;
        for (method, path, status) in [
            ("GET", "/status?code=204", 204),
            ("GET", "/status?code=304", 304),
            ("HEAD", "/hello", 200),
            ("HEAD", "/events", 200),
            ("HEAD", "/nowhere", 404),
        ] {
            let wanted = request(version, method, "localhost", path, empty());
            let answer = Answer::of(connection.send(wanted).await).await;
            assert_eq!(
                (answer.status.as_u16(), answer.body.as_str()),
                (status, ""),
                "{version:?} {method} {path}"
            );
        }
        let wanted = request(version, "GET", "localhost", "/hello", empty());
        let answer = Answer::of(connection.send(wanted).await).await;
        assert_eq!(answer.body, dialect.hello);
    }
    host.stop_finds_nothing_running("status").await;
}

/// A `1xx` is the server's to send: as a guest's answer it would leave the client waiting, or turn the connection into something
/// else.
pub(crate) async fn an_interim_status_is_no_answer(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("status", &dialect.spec()).await;
    for code in [100, 101, 103, 199] {
        for version in [Version::H1, Version::H2] {
            let path = format!("/status?code={code}");
            let wanted = request(version, "GET", "localhost", &path, empty());
            let mut connection = host.connect(version).await;
            let answer = Answer::of(connection.send(wanted).await).await;
            assert_eq!(answer.status.as_u16(), 500, "{version:?} {code}");
        }
    }
    assert_eq!(host.get("/hello").await.body, dialect.hello);
    host.stop_finds_nothing_running("status").await;
}

/// A client may ask for leave to send its body; it gets that, or the head of the answer, and either way may send.
pub(crate) async fn a_client_that_waits_for_leave_gets_it(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("echo", &dialect.spec()).await;
    let mut raw = host.raw().await;
    raw.send(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\
         Expect: 100-continue\r\n\r\n",
    )
    .await;
    let status = raw.line().await.expect("leave or an answer");
    assert!(
        ["HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"].contains(&status.as_str()),
        "{status}"
    );
    raw.send("body").await;
    let rest = String::from_utf8(raw.rest().await).unwrap();
    assert!(rest.contains("\r\nbody\r\n"), "{rest}");
}
