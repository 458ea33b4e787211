//! `wasi:tls` of both versions, over sockets of the guest, with real servers on this machine.

use std::sync::Arc;

use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::support::{Authority, Outside, TestHost, component, http, spec, within};

const NAME: &str = "server.test";
const BOTH: [&str; 2] = [test_guests::TLS_P2, test_guests::TLS_P3];

/// A host that trusts an authority, and lets workloads reach its loopback.
async fn host(authority: &Authority) -> TestHost {
    TestHost::with(|config| {
        config.http_client.extra_ca_files = vec![authority.file()];
        config.sockets.allow_host_loopback = true;
    })
    .await
}

/// A workload that may reach a server, and has no other grant.
fn reaching(image: &str, server: &Outside) -> Value {
    let mut component = component("api", image);
    let port = server.addr.port().to_string();
    component["localResources"] = json!({ "allowedHostLoopbackPorts": [port] });
    spec([component], [http()])
}

/// What a guest is told that runs a command.
async fn told(host: &TestHost, command: &str) -> String {
    let answer = within(host.get(&format!("/run?{command}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// What a guest of a host of its own is told by a server.
async fn said(image: &str, authority: &Authority, server: &Outside, name: &str) -> String {
    let host = host(authority).await;
    host.run("tls", &reaching(image, server)).await;
    let port = server.addr.port();
    let said = told(&host, &format!("say,{port},{name},hello")).await;
    // A guest that was told something goes on.
    assert!(told(&host, &format!("leave,{port},{name}")).await == "left");
    said
}

/// Reads everything, and sends it back.
async fn echo(config: ServerConfig) -> Outside {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Outside::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut all = Vec::new();
            if stream.read_to_end(&mut all).await.is_ok() {
                let _ = stream.write_all(&all).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

async fn talks(image: &str) {
    let authority = Authority::new();
    let server = echo(authority.server(NAME, &[])).await;
    let host = host(&authority).await;
    host.run("tls", &reaching(image, &server)).await;
    let port = server.addr.port();
    assert_eq!(
        told(&host, &format!("say,{port},{NAME},hello")).await,
        "hello"
    );
    assert_eq!(told(&host, &format!("say,{port},{NAME},")).await, "");
    let much = format!("fill,{port},{NAME},1000000");
    assert_eq!(told(&host, &much).await, "1000000");
    server
        .sees(|seen| seen.opened == 3 && seen.closed == 3)
        .await;
    host.stop_finds_nothing_running("tls").await;
}

#[tokio::test]
pub(crate) async fn tls_p2() {
    talks(test_guests::TLS_P2).await;
}

#[tokio::test]
pub(crate) async fn tls_p3() {
    talks(test_guests::TLS_P3).await;
}

#[tokio::test]
async fn who_cannot_prove_its_name_is_an_error_and_no_trap() {
    let (authority, other) = (Authority::new(), Authority::new());
    let unknown = echo(other.server(NAME, &[])).await;
    let known = echo(authority.server(NAME, &[])).await;
    for image in BOTH {
        let answer = said(image, &authority, &unknown, NAME).await;
        // The two authorities have the same name, so it is the signature that is wrong.
        assert!(
            answer.starts_with("error: invalid peer certificate: "),
            "{answer}"
        );
        let answer = said(image, &authority, &known, "other.test").await;
        assert!(
            answer.contains("certificate not valid for name"),
            "{answer}"
        );
        let answer = said(image, &authority, &known, "a_b..c").await;
        assert!(
            answer.contains("`a_b..c` is no name of a server"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn who_does_not_speak_tls_is_an_error_and_no_trap() {
    let authority = Authority::new();
    let garbage = Outside::raw(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let gone = Outside::raw(|stream| async move { drop(stream) }).await;
    for image in BOTH {
        let answer = said(image, &authority, &garbage, NAME).await;
        assert!(
            answer.starts_with("error: received corrupt message"),
            "{answer}"
        );
        let answer = said(image, &authority, &gone, NAME).await;
        assert!(answer.starts_with("error: "), "{answer}");
    }
}

/// A server that goes without a farewell may have been cut off by somebody, so what came is not whole.
#[tokio::test]
async fn a_connection_that_is_cut_is_an_error() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(NAME, &[])));
    let cut = Outside::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"half").await;
                let _ = stream.flush().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
                // The connection ends, and TLS does not.
                let (mut socket, _) = stream.into_inner();
                let _ = socket.shutdown().await;
            }
        }
    })
    .await;
    for image in BOTH {
        let answer = said(image, &authority, &cut, NAME).await;
        assert!(answer.starts_with("error: "), "{answer}");
        assert!(answer.contains("close_notify"), "{answer}");
    }
}

/// What its directions take, a connector has only with a place: it took it before it had one.
#[tokio::test]
async fn a_connector_without_a_place_is_told_so_and_no_trap() {
    let authority = Authority::new();
    let host = host(&authority).await;
    let api = component("api", test_guests::TLS_P3);
    host.run("tls", &spec([api], [http()])).await;
    let full =
        "the workload has 256 connections with TLS, as many as it may: end some of them first";
    let before = "`send` and `receive` have to be set up before `connect`";
    assert_eq!(
        told(&host, &format!("crowd,256,{NAME}")).await,
        format!("{full}; {full}; {before}")
    );
    host.stop_finds_nothing_running("tls").await;
}

#[tokio::test]
async fn directions_are_set_up_once_and_before_there_is_a_connection() {
    let authority = Authority::new();
    let server = echo(authority.server(NAME, &[])).await;
    let host = host(&authority).await;
    host.run("tls", &reaching(test_guests::TLS_P3, &server))
        .await;
    let before = "`send` and `receive` have to be set up before `connect`";
    assert_eq!(
        told(&host, &format!("alone,{NAME}")).await,
        format!("error: {before}")
    );
    assert_eq!(
        told(&host, &format!("twice,{NAME}")).await,
        format!("this direction is set up already; {before}")
    );
}
