//! The limits of the HTTP server, each gone beyond by a client that means harm: it gets what the limit says, the guest is free
//! again, and the next client is served.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use wasmcloud::capability::http::HttpLimits;

use crate::stories::{Dialect, P2, P3};
use crate::support::{
    Answer, Body, Raw, TestHost, Version, empty, frames, full, h2, request, within,
};

const NAME: &str = "limited";
/// Short enough to wait for, and long enough for an honest client on a busy machine.
const SOON: Duration = Duration::from_millis(300);
const BOTH: [Version; 2] = [Version::H1, Version::H2];

async fn limited(dialect: &Dialect, change: impl FnOnce(&mut HttpLimits)) -> TestHost {
    let host = TestHost::with(|config| change(&mut config.http.as_mut().unwrap().limits)).await;
    host.run(NAME, &dialect.spec()).await;
    host
}

async fn lives(host: &TestHost, dialect: &Dialect) {
    host.instances(NAME, 0).await;
    assert_eq!(host.get("/hello").await.body, dialect.hello);
}

async fn ask(
    host: &TestHost,
    version: Version,
    path: &str,
    fields: &[(&'static str, &str)],
) -> u16 {
    let mut wanted = request(version, "GET", "localhost", path, empty());
    for (name, value) in fields {
        wanted.headers_mut().append(*name, value.parse().unwrap());
    }
    let mut connection = host.connect(version).await;
    connection.send(wanted).await.status().as_u16()
}

#[tokio::test]
async fn a_head_has_so_many_bytes_and_fields() {
    let host = limited(&P2, |_| {}).await;
    let (fits, long) = ("x".repeat(60_000), "x".repeat(100_000));
    for version in BOTH {
        assert_eq!(ask(&host, version, "/hello", &[("x", &fits)]).await, 200);
        assert_eq!(ask(&host, version, "/hello", &[("x", &long)]).await, 431);
        assert_eq!(ask(&host, version, "/hello", &[("x", "y"); 90]).await, 200);
        assert_eq!(ask(&host, version, "/hello", &[("x", "y"); 200]).await, 431);
        let path = format!("/hello?{}", "x".repeat(16_000));
        assert_eq!(ask(&host, version, &path, &[]).await, 200);
        let path = format!("/hello?{}", "x".repeat(20_000));
        assert_eq!(ask(&host, version, &path, &[]).await, 414, "{version:?}");
    }
    lives(&host, &P2).await;
}

#[tokio::test]
async fn more_fields_may_be_allowed() {
    let host = limited(&P2, |limits| limits.header_fields = 300).await;
    for version in BOTH {
        assert_eq!(ask(&host, version, "/hello", &[("x", "y"); 200]).await, 200);
        assert_eq!(ask(&host, version, "/hello", &[("x", "y"); 301]).await, 431);
    }
}

/// The first head, and the next one of a connection that has been good so far.
#[tokio::test]
async fn a_slow_head_ends_its_connection() {
    let host = limited(&P2, |limits| limits.head_timeout = SOON).await;
    for beginning in ["", "G", "GET / HTTP/1.1\r\nHost: loc", "PRI * HTTP/2.0\r\n"] {
        let mut raw = host.raw().await;
        raw.send(beginning).await;
        assert_eq!(raw.rest().await, b"", "{beginning:?}");
    }
    let mut raw = host.raw().await;
    raw.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.answer().await.expect("an answer").status, 200);
    raw.send("GET /hello HTTP/1.1\r\n").await;
    assert_eq!(raw.rest().await, b"");
    lives(&host, &P2).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let host = limited(&P2, |limits| {
        (limits.keep_alive, limits.head_timeout) = (SOON, Duration::from_secs(5));
    })
    .await;
    let mut raw = host.raw().await;
    raw.send("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.answer().await.expect("an answer").status, 200);
    assert_eq!(raw.rest().await, b"");
    // One of HTTP/2 is told first, so that no request is lost on the way.
    let mut connection = host.connect(Version::H2).await;
    let wanted = request(Version::H2, "GET", "localhost", "/hello", empty());
    assert_eq!(connection.send(wanted).await.status(), 200);
    connection.closed().await;
    lives(&host, &P2).await;
}

/// A connection with a request is not idle, however long that takes.
#[tokio::test]
async fn a_long_request_outlives_the_patience_with_idle_connections() {
    let host = limited(&P2, |limits| {
        (limits.keep_alive, limits.head_timeout) = (SOON, SOON);
    })
    .await;
    for version in BOTH {
        let mut connection = host.connect(version).await;
        let (sender, body) = frames();
        let pending = connection.begin(request(version, "POST", "localhost", "/slurp", body));
        host.instances(NAME, 1).await;
        // Both of these would have been told to leave by now.
        for _ in 0..2 {
            assert_eq!(host.raw().await.rest().await, b"");
        }
        sender.send(Frame::data(Bytes::from("body"))).await.unwrap();
        drop(sender);
        let answer = Answer::of(within(pending).await.unwrap().unwrap()).await;
        assert_eq!(answer.body, "4\n", "{version:?}");
    }
}

fn chunked(path: &str, chunks: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

async fn a_slow_body_ends_its_guest(dialect: &Dialect) {
    let host = limited(dialect, |limits| limits.body_timeout = SOON).await;
    let mut raw = host.raw().await;
    raw.send(chunked("/slurp", "4\r\nbody\r\n")).await;
    let answer = raw.answer().await.expect("an answer");
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(raw.rest().await, b"");
    // When the answer has begun, all that is left is to break it off.
    let mut raw = host.raw().await;
    raw.send(chunked("/echo", "4\r\nbody\r\n")).await;
    let rest = String::from_utf8(raw.rest().await).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK"), "{rest}");
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
    let mut connection = host.connect(Version::H2).await;
    let (_sender, body) = frames();
    let wanted = request(Version::H2, "POST", "localhost", "/slurp", body);
    assert_eq!(connection.send(wanted).await.status(), 408);
    // A guest that does not want the body waits for nobody.
    let mut raw = host.raw().await;
    raw.send(chunked("/never-ends", "4\r\nbody\r\n")).await;
    host.instances(NAME, 1).await;
    // This one has waited no longer.
    let mut other = host.raw().await;
    other.send(chunked("/slurp", "")).await;
    assert_eq!(other.answer().await.expect("an answer").status, 408);
    host.instances(NAME, 1).await;
    drop(raw);
    lives(&host, dialect).await;
}

#[tokio::test]
async fn a_slow_body_ends_its_wasi_0_2_guest() {
    a_slow_body_ends_its_guest(&P2).await;
}

#[tokio::test]
async fn a_slow_body_ends_its_wasi_0_3_guest() {
    a_slow_body_ends_its_guest(&P3).await;
}

async fn a_body_has_so_many_bytes(dialect: &Dialect) {
    let host = limited(dialect, |limits| limits.body_size = 1000).await;
    let post = |version, path: &str, body: Body| request(version, "POST", "localhost", path, body);
    for version in BOTH {
        let mut connection = host.connect(version).await;
        let wanted = post(version, "/slurp", full(vec![0; 1000]));
        assert_eq!(
            Answer::of(connection.send(wanted).await).await.body,
            "1000\n"
        );
        let before = host.requests(0).await.len();
        let wanted = post(version, "/slurp", full(vec![0; 1001]));
        let answer = Answer::of(connection.send(wanted).await).await;
        assert_eq!(answer.status, 413, "{version:?}");
        assert!(
            answer.body.contains("at most 1000 bytes"),
            "{}",
            answer.body
        );
        let record = host.requests(before + 1).await;
        // No guest was asked.
        assert!(record[before].workload.is_none(), "{version:?}");
    }
    for version in BOTH {
        let mut connection = host.connect(version).await;
        let (sender, body) = frames();
        let pending = connection.begin(post(version, "/slurp", body));
        for _ in 0..2 {
            let piece = Frame::data(Bytes::from(vec![0; 600]));
            sender.send(piece).await.unwrap();
        }
        let answer = Answer::of(within(pending).await.unwrap().unwrap()).await;
        assert_eq!(answer.status, 413, "{version:?}");
    }
    // The guests were told why.
    for line in host.lines(2).await {
        assert!(names_the_limit(&line.text), "{line:?}");
    }
    let mut raw = host.raw().await;
    raw.send(chunked(
        "/echo",
        &format!("258\r\n{0}\r\n258\r\n{0}\r\n", "x".repeat(600)),
    ))
    .await;
    let rest = String::from_utf8(raw.rest().await).unwrap();
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
    lives(&host, dialect).await;
}

fn names_the_limit(line: &str) -> bool {
    // As a code of WASI 0.3, and in words in 0.2, where the bindings know the codes of answers only.
    line == "broke off: ErrorCode::HttpRequestBodySize(Some(1000))"
        || line.starts_with("broke off: HTTP request body size exceeds limit: 1000 bytes")
}

#[tokio::test]
async fn a_body_for_a_wasi_0_2_guest_has_so_many_bytes() {
    a_body_has_so_many_bytes(&P2).await;
}

#[tokio::test]
async fn a_body_for_a_wasi_0_3_guest_has_so_many_bytes() {
    a_body_has_so_many_bytes(&P3).await;
}

/// Who announces too much is told before the body is asked for.
#[tokio::test]
async fn too_long_a_body_is_not_asked_for() {
    let host = limited(&P2, |_| {}).await;
    let mut raw = host.raw().await;
    raw.send(format!(
        "POST /slurp HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        (1_u64 << 30) + 1
    ))
    .await;
    let answer = raw.answer().await.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("connection")),
        (413, Some("close"))
    );
    assert_eq!(raw.rest().await, b"");
}

async fn a_client_that_reads_nothing_ends_its_guest(dialect: &Dialect) {
    let host = limited(dialect, |limits| limits.write_timeout = SOON).await;
    let mut raw = Raw::narrow(host.addr()).await;
    raw.send("GET /big?mib=64 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.line().await.as_deref(), Some("HTTP/1.1 200 OK"));
    host.instances(NAME, 0).await;
    drop(raw);
    // A stream without a window is reset, and the others of its connection go on.
    let mut connection = host.connect(Version::H2).await;
    let get = |path| request(Version::H2, "GET", "localhost", path, empty());
    let waiting = connection.send(get("/never-ends")).await;
    let unread = connection.send(get("/big?mib=64")).await;
    host.instances(NAME, 1).await;
    assert!(within(unread.into_body().collect()).await.is_err());
    let answer = Answer::of(connection.send(get("/hello")).await).await;
    assert_eq!(answer.body, dialect.hello);
    drop(waiting);
    lives(&host, dialect).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_ends_its_wasi_0_2_guest() {
    a_client_that_reads_nothing_ends_its_guest(&P2).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_ends_its_wasi_0_3_guest() {
    a_client_that_reads_nothing_ends_its_guest(&P3).await;
}

#[tokio::test]
async fn connections_beyond_the_most_wait_until_one_closes() {
    let host = limited(&P2, |limits| limits.connections = 3).await;
    let mut flood = Vec::new();
    for _ in 0..50 {
        let mut raw = host.raw().await;
        raw.send("GET /status?code=204 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        flood.push(raw);
    }
    // All are answered in their turn, three at a time: each gives its place to one of those who wait.
    for mut raw in flood {
        assert_eq!(raw.answer().await.expect("an answer").status, 204);
    }
    lives(&host, &P2).await;
}

#[tokio::test]
async fn a_client_has_no_more_connections_than_its_share() {
    let host = limited(&P2, |limits| limits.connections_per_client = Some(2)).await;
    let mut first = host.connect(Version::H1).await;
    let second = host.connect(Version::H1).await;
    let mut third = host.raw().await;
    assert_eq!(third.rest().await, b"");
    let wanted = request(Version::H1, "GET", "localhost", "/hello", empty());
    assert_eq!(first.send(wanted).await.status(), 200);
    second.leave().await;
    let served = async {
        loop {
            let mut raw = host.raw().await;
            raw.send("GET /status?code=204 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await;
            if let Some(answer) = raw.answer().await {
                return answer.status;
            }
        }
    };
    assert_eq!(within(served).await, 204);
}

/// RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection() {
    let host = limited(&P2, |_| {}).await;
    let mut flood = h2::begin();
    for number in 0..5000 {
        flood.extend(h2::get(2 * number + 1, "/hang"));
        flood.extend(h2::reset(2 * number + 1));
    }
    let mut raw = host.raw().await;
    raw.send(flood).await;
    let rest = raw.rest().await;
    assert_eq!(h2::farewells(&rest), [ENHANCE_YOUR_CALM]);
    lives(&host, &P2).await;
}

/// A client in the middle of a head cannot answer the server's question whether it is still there.
#[tokio::test]
async fn a_slow_head_of_http_2_ends_its_connection() {
    let host = limited(&P2, |limits| limits.ping_interval = SOON).await;
    let mut raw = host.raw().await;
    raw.send([h2::begin(), h2::head(1, "GET", "/hang", h2::END_STREAM)].concat())
        .await;
    raw.rest().await;
    lives(&host, &P2).await;
}

/// More requests at once than a connection may have are not begun.
#[tokio::test]
async fn a_connection_has_so_many_streams() {
    let host = limited(&P2, |limits| limits.streams = 4).await;
    let mut raw = host.raw().await;
    let mut requests = h2::begin();
    for number in 0..10 {
        requests.extend(h2::get(2 * number + 1, "/hang"));
    }
    raw.send(requests).await;
    host.instances(NAME, 4).await;
    let mut polite = host.connect(Version::H2).await;
    let wanted = request(Version::H2, "GET", "localhost", "/hello", empty());
    assert_eq!(Answer::of(polite.send(wanted).await).await.body, P2.hello);
    host.instances(NAME, 4).await;
    drop(raw);
    lives(&host, &P2).await;
}

/// What a client would choke on is an answer that says so.
async fn an_answer_has_so_many_fields(dialect: &Dialect) {
    let host = limited(dialect, |_| {}).await;
    for version in BOTH {
        let get = |path| request(version, "GET", "localhost", path, empty());
        let mut connection = host.connect(version).await;
        assert_eq!(connection.send(get("/fields?n=90")).await.status(), 200);
        for (path, told) in [
            (
                "/fields?n=1000",
                "1000 header fields, at most 100 are allowed",
            ),
            // The bindings of the guest trap: it may not hold so many.
            ("/fields?n=30000", "`api`"),
        ] {
            let mut connection = host.connect(version).await;
            let answer = Answer::of(connection.send(get(path)).await).await;
            assert_eq!(answer.status, 500, "{version:?} {path}");
            assert!(answer.body.contains(told), "{}", answer.body);
        }
    }
    lives(&host, dialect).await;
}

#[tokio::test]
async fn an_answer_of_a_wasi_0_2_guest_has_so_many_fields() {
    an_answer_has_so_many_fields(&P2).await;
}

#[tokio::test]
async fn an_answer_of_a_wasi_0_3_guest_has_so_many_fields() {
    an_answer_has_so_many_fields(&P3).await;
}
