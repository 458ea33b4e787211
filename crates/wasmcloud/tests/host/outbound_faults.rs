//! Every way in which a request can fail, by a server that fails that way, and the error that the guest gets.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wasmcloud::assembly::{AssembleError, assemble};
use wasmcloud::capability::http::TrustRoots;

use crate::egress::{fetch, loopback, reaching};
use crate::stories::{P2, P3};
use crate::support::{Authority, Names, Outside, TestHost};

/// A host whose workload, of each dialect, reaches this machine.
async fn host(authority: Option<&Authority>) -> TestHost {
    let names = Names::default()
        .with("tls.test", &["127.0.0.1"])
        .with("other.test", &["127.0.0.1"])
        .with("nowhere.test", &[]);
    let host = TestHost::with(|config| {
        config.egress = loopback();
        config.resolver = Arc::new(names);
        config.http_client.extra_ca_files = authority.map(Authority::file).into_iter().collect();
    })
    .await;
    for dialect in [&P2, &P3] {
        let name = dialect.context;
        host.run(name, &reaching(dialect, name, &["*"])).await;
    }
    host
}

/// What both guests get for a URL.
async fn both_get(host: &TestHost, url: &str, wanted: &str) {
    for dialect in [&P2, &P3] {
        let got = fetch(host, dialect.context, url).await;
        assert_eq!(got.trim_end(), wanted, "{} from {url}", dialect.context);
    }
}

/// A server that reads a request's head, answers with bytes, and closes.
async fn answers(bytes: impl Into<Vec<u8>>) -> Outside {
    let bytes = Arc::new(bytes.into());
    Outside::raw(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            // What the client still says is read, so that the answer is not lost in a reset.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or_default() == 0 {
            return;
        }
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    let host = host(None).await;
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    for (bytes, wanted) in [
        ("", "ErrorCode::ConnectionTerminated"),
        ("HTTP/1.1 200 OK\r\nx: y", "ErrorCode::ConnectionTerminated"),
        ("good morning\r\n\r\n", "ErrorCode::HttpProtocolError"),
        ("HTTP/9.9 200 OK\r\n\r\n", "ErrorCode::HttpProtocolError"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "ErrorCode::HttpProtocolError"),
        (
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "ErrorCode::HttpProtocolError",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "ErrorCode::HttpProtocolError",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n",
            "ErrorCode::HttpUpgradeFailed",
        ),
        (&many, "ErrorCode::HttpResponseHeaderSectionSize(None)"),
        (&long, "ErrorCode::HttpResponseHeaderSectionSize(None)"),
    ] {
        let outside = answers(bytes).await;
        both_get(&host, &outside.url("/"), wanted).await;
    }
}

#[tokio::test]
async fn bodies_that_break_off() {
    let host = host(None).await;
    for (body, wanted) in [
        (
            "content-length: 10\r\n\r\nhalf",
            "half\n\nbroke off: Some(ErrorCode::HttpResponseIncomplete)",
        ),
        (
            "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "half\n\nbroke off: Some(ErrorCode::HttpResponseIncomplete)",
        ),
        (
            "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
            "half\n\nbroke off: Some(ErrorCode::HttpProtocolError)",
        ),
        ("content-length: 4\r\n\r\nfour", "four"),
        ("\r\nuntil the end", "until the end"),
    ] {
        let outside = answers(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        for dialect in [&P2, &P3] {
            let got = fetch(&host, dialect.context, &outside.url("/")).await;
            let got = got.strip_prefix("status 200\n").unwrap_or(&got).trim_end();
            let wanted = wanted.replace("\n\n", "\n");
            assert_eq!(got, wanted, "{} from {body}", dialect.context);
        }
    }
}

#[tokio::test]
async fn connections_that_do_not_come_about() {
    let host = host(None).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    both_get(
        &host,
        &format!("http://{closed}/"),
        "ErrorCode::ConnectionRefused",
    )
    .await;
    for (name, wanted) in [
        (
            "unknown.test",
            "ErrorCode::DnsError(DnsErrorPayload { rcode: Some(\"NXDOMAIN\"), info-code: None })",
        ),
        ("nowhere.test", "ErrorCode::DestinationNotFound"),
        ("silent.test", "ErrorCode::DnsTimeout"),
    ] {
        both_get(&host, &format!("http://{name}:1/&connect=50"), wanted).await;
    }
}

#[tokio::test]
async fn servers_that_take_their_time() {
    let host = host(None).await;
    let outside = Outside::http().await;
    let silent = outside.url("/silent&first=50");
    both_get(&host, &silent, "ErrorCode::HttpResponseTimeout").await;
    let stalls = outside.url("/stalls&between=50");
    both_get(
        &host,
        &stalls,
        "status 200\nfirst\nbroke off: Some(ErrorCode::ConnectionReadTimeout)",
    )
    .await;
    let url = format!("https://{}/&connect=50", outside.addr);
    let quiet = Outside::raw(async |stream| {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let quiet = url.replace(&outside.addr.to_string(), &quiet.addr.to_string());
    both_get(&host, &quiet, "ErrorCode::ConnectionTimeout").await;
}

#[tokio::test]
async fn tls_that_fails() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let host = host(Some(&known)).await;
    let good = Outside::https(known.server("tls.test", &[])).await;
    let bad = Outside::https(unknown.server("tls.test", &[])).await;
    let url =
        |name: &str, outside: &Outside| format!("https://{name}:{}/hello", outside.addr.port());
    both_get(
        &host,
        &url("tls.test", &good),
        "status 200\nhello from outside",
    )
    .await;
    both_get(
        &host,
        &url("other.test", &good),
        "ErrorCode::TlsCertificateError",
    )
    .await;
    both_get(
        &host,
        &url("127.0.0.1", &good),
        "ErrorCode::TlsCertificateError",
    )
    .await;
    both_get(
        &host,
        &url("tls.test", &bad),
        "ErrorCode::TlsCertificateError",
    )
    .await;
    for (bytes, wanted) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "ErrorCode::TlsProtocolError",
        ),
        (&[][..], "ErrorCode::ConnectionTerminated"),
        // A fatal alert: handshake failure.
        (
            &[0x15, 3, 3, 0, 2, 2, 40][..],
            "ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert-id: Some(40), alert-message: Some(\"HandshakeFailure\") })",
        ),
    ] {
        let outside = Outside::raw(move |mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        both_get(&host, &url("tls.test", &outside), wanted).await;
    }
}

#[tokio::test]
async fn requests_that_go_nowhere() {
    let host = host(None).await;
    let outside = Outside::http().await;
    let tunnel = outside.url("/&method=CONNECT");
    both_get(&host, &tunnel, "ErrorCode::HttpRequestMethodInvalid").await;
    let named = format!("http://user@{}/hello", outside.addr);
    both_get(&host, &named, "ErrorCode::HttpRequestUriInvalid").await;
    assert_eq!(outside.seen().opened, 0);
}

#[tokio::test]
async fn a_host_that_cannot_trust_anybody_does_not_start() {
    let missing = "/nowhere/ca.pem";
    let config = |trust, files: &[&str]| {
        let mut config = wasmcloud::assembly::HostConfig::default();
        config.http_client.trust = trust;
        config.http_client.extra_ca_files = files.iter().map(Into::into).collect();
        config
    };
    for (config, wanted) in [
        (
            config(TrustRoots::ExtraOnly, &[]),
            "no certificates are trusted",
        ),
        (config(TrustRoots::Webpki, &[missing]), missing),
    ] {
        let error = assemble(config).await.unwrap_err();
        assert!(matches!(error, AssembleError::Trust(_)), "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}
