//! Connections to the outside: whose they are, how many there are, and when they end.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use wasmcloud::assembly::HostConfig;
use wasmcloud::capability::http::{ClientStats, TrustRoots};

use crate::egress::{fetch, loopback, reaching};
use crate::stories::{Dialect, P2, P3};
use crate::support::{
    Authority, Body, Connection, Names, Outside, TestHost, Version, body_of, empty, frames, full,
    id, request, within,
};

const HELLO: &str = "status 200\nhello from outside\n";

/// A host whose workloads reach this machine.
async fn host(change: impl FnOnce(&mut HostConfig)) -> TestHost {
    TestHost::with(|config| {
        config.egress = loopback();
        change(config);
    })
    .await
}

/// One workload under the name of its dialect.
async fn run(host: &TestHost, dialect: &Dialect) -> &'static str {
    let name = dialect.context;
    host.run(name, &reaching(dialect, name, &["*"])).await;
    name
}

fn stats(host: &TestHost, name: &str) -> ClientStats {
    host.outgoing.stats(&id(name)).expect("it runs")
}

/// Waits until the client of a workload is in a state.
async fn reaches(host: &TestHost, name: &str, wanted: impl Fn(ClientStats) -> bool) {
    let reached = async {
        while !wanted(stats(host, name)) {
            tokio::task::yield_now().await;
        }
    };
    within(reached).await;
}

/// Begins a request to a workload, and leaves its answer for later.
async fn begin(host: &TestHost, name: &str, method: &str, path: &str, body: Body) -> Begun {
    let mut connection = host.connect(Version::H1).await;
    let pending = connection.begin(request(Version::H1, method, name, path, body));
    Begun {
        connection,
        pending,
    }
}

struct Begun {
    connection: Connection,
    pending: tokio::task::JoinHandle<hyper::Result<http::Response<hyper::body::Incoming>>>,
}

impl Begun {
    async fn body(self) -> String {
        let response = within(self.pending).await.unwrap().expect("an answer");
        crate::support::Answer::of(response).await.body
    }
}

#[tokio::test]
async fn connections_are_kept_for_the_workload_and_for_nobody_else() {
    for dialect in [&P2, &P3] {
        let outside = Outside::http().await;
        let host = host(|_| {}).await;
        for (workloads, name) in ["one", "two"].into_iter().enumerate() {
            host.run(name, &reaching(dialect, name, &["*"])).await;
            for _ in 0..3 {
                assert_eq!(fetch(&host, name, &outside.url("/hello")).await, HELLO);
                reaches(&host, name, |stats| stats.idle == 1).await;
            }
            assert_eq!(outside.seen().opened, workloads + 1);
            let stats = stats(&host, name);
            assert_eq!((stats.open, stats.opened, stats.requests), (1, 1, 3));
        }
        assert_eq!(host.outgoing.open(), 2);
        host.stop("one").await;
        outside.sees(|seen| seen.closed == 1).await;
        assert_eq!(host.outgoing.stats(&id("one")), None);
        assert_eq!(stats(&host, "two").open, 1);
    }
}

/// A connection that the other side closed while it was idle is not used again.
#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let outside = Outside::raw(async |mut stream| {
        let mut head = vec![0; 4096];
        let _ = stream.read(&mut head).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\nhello from outside\n";
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
    })
    .await;
    let host = host(|_| {}).await;
    let name = run(&host, &P2).await;
    for times in 1..=4 {
        assert_eq!(fetch(&host, name, &outside.url("/hello")).await, HELLO);
        assert_eq!(outside.seen().opened, times);
    }
}

#[tokio::test]
async fn idle_connections_are_closed_in_time() {
    let outside = Outside::http().await;
    let host = host(|config| config.http_client.idle_timeout = Duration::from_millis(20)).await;
    let name = run(&host, &P2).await;
    assert_eq!(fetch(&host, name, &outside.url("/hello")).await, HELLO);
    outside.sees(|seen| seen.closed == 1).await;
    reaches(&host, name, |stats| stats.open == 0 && stats.idle == 0).await;
}

/// HTTP/2 where the server offers it, and many requests share one connection.
#[tokio::test]
async fn https_speaks_the_version_that_the_server_offers() {
    let authority = Authority::new();
    let host = host(|config| {
        config.http_client.extra_ca_files = vec![authority.file()];
        config.resolver = std::sync::Arc::new(Names::default().with("tls.test", &["127.0.0.1"]));
    })
    .await;
    for dialect in [&P2, &P3] {
        let name = run(&host, dialect).await;
        for (alpn, version) in [
            (&["h2", "http/1.1"][..], "HTTP/2.0"),
            (&["http/1.1"][..], "HTTP/1.1"),
            (&[][..], "HTTP/1.1"),
        ] {
            let outside = Outside::https(authority.server("tls.test", alpn)).await;
            let url = |path: &str| format!("https://tls.test:{}{path}", outside.addr.port());
            for _ in 0..3 {
                let body = fetch(&host, name, &url("/version")).await;
                assert_eq!(body, format!("status 200\n{version}\n"));
                reaches(&host, name, |stats| stats.idle == stats.open).await;
            }
            let body = fetch(
                &host,
                name,
                &format!("{}&method=POST&send=300000", url("/length")),
            )
            .await;
            assert_eq!(body, "status 200\nSome(300000)\n");
            assert_eq!(outside.seen().opened, 1, "{version}");
            let host_seen = fetch(&host, name, &url("/host")).await;
            assert!(
                host_seen.contains(&format!("tls.test:{}", outside.addr.port())),
                "{host_seen}"
            );
        }
    }
}

#[tokio::test]
async fn requests_share_a_connection_over_http_2() {
    let authority = Authority::new();
    let host = host(|config| {
        config.http_client.extra_ca_files = vec![authority.file()];
        config.http_client.trust = TrustRoots::ExtraOnly;
        config.http_client.max_connections = 1;
    })
    .await;
    let outside = Outside::https(authority.server("127.0.0.1", &["h2"])).await;
    let name = run(&host, &P3).await;
    let url = |path: &str| format!("https://{}{path}", outside.addr);
    assert!(
        fetch(&host, name, &url("/version"))
            .await
            .contains("HTTP/2")
    );
    let mut held = Vec::new();
    for _ in 0..5 {
        let path = format!("/http?url={}", url("/silent"));
        held.push(begin(&host, name, "GET", &path, empty()).await);
    }
    outside
        .sees(|seen| {
            seen.requests
                .iter()
                .filter(|line| line.contains("silent"))
                .count()
                == 5
        })
        .await;
    assert_eq!(fetch(&host, name, &url("/hello")).await, HELLO);
    assert_eq!((outside.seen().opened, stats(&host, name).open), (1, 1));
    for begun in held {
        begun.connection.leave().await;
    }
    host.instances(name, 0).await;
    assert_eq!(fetch(&host, name, &url("/hello")).await, HELLO);
    assert_eq!(outside.seen().opened, 1);
}

/// A workload has so many connections; the next request waits for one, and gets it when it is free.
#[tokio::test]
async fn a_request_waits_for_a_connection_of_its_workload() {
    for dialect in [&P2, &P3] {
        let outside = Outside::http().await;
        let host = host(|config| config.http_client.max_connections = 1).await;
        let name = run(&host, dialect).await;
        let (upload, body) = frames();
        let path = format!("/relay?url={}", outside.url("/length"));
        let first = begin(&host, name, "POST", &path, body).await;
        upload
            .send(http_body::Frame::data("x".into()))
            .await
            .unwrap();
        outside.sees(|seen| seen.requests.len() == 1).await;
        let path = format!("/http?url={}", outside.url("/hello"));
        let second = begin(&host, name, "GET", &path, empty()).await;
        reaches(&host, name, |stats| stats.waiting == 1).await;
        assert_eq!(outside.seen().requests.len(), 1);
        drop(upload);
        assert_eq!(first.body().await, "Some(1)\n");
        assert_eq!(second.body().await, HELLO);
        assert_eq!(outside.seen().opened, 1);
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_in_an_error() {
    let outside = Outside::http().await;
    let host = host(|config| {
        config.http_client.max_connections = 1;
        config.http_client.connection_wait = Duration::from_millis(200);
    })
    .await;
    for dialect in [&P2, &P3] {
        let name = run(&host, dialect).await;
        let path = format!("/http?url={}", outside.url("/silent"));
        let held = begin(&host, name, "GET", &path, empty()).await;
        reaches(&host, name, |stats| stats.open == 1).await;
        let late = fetch(&host, name, &outside.url("/hello")).await;
        assert_eq!(late, "ErrorCode::ConnectionLimitReached\n");
        let sooner = fetch(&host, name, &outside.url("/hello&connect=20")).await;
        assert_eq!(sooner, "ErrorCode::ConnectionTimeout\n");
        held.connection.leave().await;
        reaches(&host, name, |stats| stats.open == 0).await;
        assert_eq!(fetch(&host, name, &outside.url("/hello")).await, HELLO);
    }
}

/// An idle connection is closed where its place is needed: of the same workload, or of another when the host has none left.
#[tokio::test]
async fn idle_connections_make_room() {
    let (here, there) = (Outside::http().await, Outside::http().await);
    let limits: [fn(&mut HostConfig); 2] = [
        |config| config.http_client.max_connections = 1,
        |config| config.http_client.max_connections_of_host = Some(1),
    ];
    for (round, limit) in limits.into_iter().enumerate() {
        let host = host(limit).await;
        let (first, second) = (run(&host, &P2).await, run(&host, &P3).await);
        assert_eq!(fetch(&host, first, &here.url("/hello")).await, HELLO);
        let next = [first, second][round];
        assert_eq!(fetch(&host, next, &there.url("/hello")).await, HELLO);
        here.sees(|seen| seen.closed == round + 1).await;
        reaches(&host, first, |stats| stats.open <= 1).await;
    }
}

/// A client that leaves takes along its guest, and the guest its connection: before the head of the answer, and in its body.
#[tokio::test]
async fn a_client_that_leaves_closes_what_its_guest_opened() {
    for dialect in [&P2, &P3] {
        for path in ["/silent", "/stalls"] {
            let outside = Outside::http().await;
            let host = host(|_| {}).await;
            let name = run(&host, dialect).await;
            let path = format!("/http?url={}", outside.url(path));
            let begun = begin(&host, name, "GET", &path, empty()).await;
            outside.sees(|seen| seen.requests.len() == 1).await;
            assert_eq!(stats(&host, name).open, 1);
            begun.connection.leave().await;
            host.instances(name, 0).await;
            outside.sees(|seen| seen.closed == 1).await;
            reaches(&host, name, |stats| stats.open == 0 && stats.idle == 0).await;
        }
    }
}

/// Half a body must not look whole to the server because the guest that sent it is gone, on whichever thread that is noticed first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_broken_off_does_not_look_whole() {
    let (received, mut bytes) = tokio::sync::mpsc::channel(1);
    let (begun_sender, mut begun) = tokio::sync::mpsc::channel(1);
    let outside = Outside::raw(move |mut stream| {
        let (received, begun) = (received.clone(), begun_sender.clone());
        async move {
            let mut all = Vec::new();
            while !all.ends_with(b"half\r\n") {
                if stream.read_buf(&mut all).await.unwrap_or_default() == 0 {
                    break;
                }
            }
            begun.send(()).await.unwrap();
            let _ = stream.read_to_end(&mut all).await;
            received.send(all).await.unwrap();
        }
    })
    .await;
    let host = host(|_| {}).await;
    for dialect in [&P2, &P3] {
        let name = run(&host, dialect).await;
        for _ in 0..10 {
            let path = format!("/half?url={}", outside.url("/upload"));
            let client = begin(&host, name, "GET", &path, empty()).await;
            within(begun.recv()).await.expect("half of the upload");
            client.connection.leave().await;
            let bytes = within(bytes.recv()).await.expect("the upload");
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("transfer-encoding: chunked"), "{text}");
            assert!(text.ends_with("half\r\n"), "{text}");
        }
        reaches(&host, name, |stats| stats.open == 0).await;
    }
}

/// What comes in goes out chunk by chunk, both ways, and no faster than the other side takes it.
#[tokio::test]
async fn bodies_stream_through() {
    for dialect in [&P2, &P3] {
        let outside = Outside::http().await;
        let host = host(|_| {}).await;
        let name = run(&host, dialect).await;
        let big = vec![b'x'; 3 << 20];
        let path = format!("/relay?url={}", outside.url("/length"));
        let begun = begin(&host, name, "POST", &path, full(big)).await;
        assert_eq!(begun.body().await, format!("Some({})\n", 3 << 20));
    }
    let outside = Outside::http().await;
    let host = host(|_| {}).await;
    let name = run(&host, &P3).await;
    let (upload, body) = frames();
    let path = format!("/relay?url={}", outside.url("/echo"));
    let begun = begin(&host, name, "POST", &path, body).await;
    upload
        .send(http_body::Frame::data("one".into()))
        .await
        .unwrap();
    let mut response = within(begun.pending).await.unwrap().unwrap().into_body();
    body_of(&mut response, "one").await;
    upload
        .send(http_body::Frame::data("two".into()))
        .await
        .unwrap();
    body_of(&mut response, "two").await;
}

/// A guest that leaves the response unread closes the connection; it could not be used again.
#[tokio::test]
async fn an_unread_response_closes_its_connection() {
    for dialect in [&P2, &P3] {
        let outside = Outside::http().await;
        let host = host(|_| {}).await;
        let name = run(&host, dialect).await;
        let url = outside.url("/stalls&drop=1");
        assert_eq!(fetch(&host, name, &url).await, "status 200\n");
        outside.sees(|seen| seen.closed == 1).await;
        reaches(&host, name, |stats| stats.open == 0).await;
    }
}
