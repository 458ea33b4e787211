//! Blobs on servers: those that are not there yet, that are full, and what passes through the host.

use serde_json::{Value, json};
use test_servers::{Nats, Proxy, S3, Way};

use super::{Guest, P2, P3, on_nats, on_s3, reaching, script};
use crate::support::{TestHost, within};

/// A server of S3 behind a way that can be cut.
fn behind(server: &S3) -> (Proxy, Value) {
    let proxy = Proxy::to(server.port());
    let mut kept = on_s3(server);
    kept["endpoint"] = json!(format!("http://127.0.0.1:{}", proxy.port()));
    (proxy, kept)
}

/// Asks until it goes well.
async fn until_back(host: &TestHost, command: &str, wanted: &str) {
    let back = async {
        while script(host, command).await != [wanted] {
            tokio::task::yield_now().await;
        }
    };
    within(back).await;
}

/// Nobody has to start things in order.
async fn starts_without(guest: Guest, host: &TestHost, kept: Value, comes: impl FnOnce()) {
    let told = match guest.namespace {
        "wasi" => "error: the store ",
        _ => "error: ",
    };
    host.run("blobs", &guest.spec("localhost", kept.clone(), kept))
        .await;
    for line in script(host, "exists,c;create,c;open,c;delete,c").await {
        assert!(line.starts_with(told), "{line}");
        let typed = ["StoreUnavailable", "Timeout", "cannot be used", "in time"];
        assert!(typed.iter().any(|it| line.contains(it)), "{line}");
    }
    comes();
    until_back(host, "exists,c", "false").await;
    let told = script(host, "create,c;put,c,o,kept;all,c,o;delete,c").await;
    assert_eq!(told, ["c", "ok", "kept", "ok"]);
    host.stop_finds_nothing_running("blobs").await;
}

#[tokio::test]
async fn a_workload_starts_without_its_server_of_s3_and_recovers() {
    let server = S3::in_memory();
    let host = reaching().await;
    for guest in [P2, P3] {
        let (proxy, kept) = behind(&server);
        proxy.set(Way::Cut);
        starts_without(guest, &host, kept, || proxy.set(Way::Open)).await;
    }
}

#[tokio::test]
async fn a_workload_starts_without_its_nats_and_recovers() {
    let host = reaching().await;
    for guest in [P2, P3] {
        let mut server = Nats::launch();
        let kept = on_nats(&server);
        server.stop();
        starts_without(guest, &host, kept, || server.start()).await;
    }
}

/// The server copies by itself: of 32 MiB, little passes through the host.
#[tokio::test]
async fn copies_and_moves_on_s3_do_not_pass_through_the_host() {
    const SIZE: u64 = 32 << 20;
    let server = S3::in_memory();
    let host = reaching().await;
    for guest in [P2, P3] {
        let (proxy, kept) = behind(&server);
        host.run("blobs", &guest.spec("localhost", kept.clone(), kept))
            .await;
        assert_eq!(script(&host, "create,c;fill,c,o,32").await, ["c", "ok"]);
        let before = proxy.passed();
        assert!(before > SIZE, "{before}");
        let told = script(&host, "copy,c,o,c,copy;move,c,o,c,moved;size,c,copy;list,c").await;
        assert_eq!(told, ["ok", "ok", &SIZE.to_string(), "copy moved"]);
        let passed = proxy.passed() - before;
        assert!(passed < 1 << 20, "{passed} bytes");
        assert_eq!(script(&host, "delete,c").await, ["ok"]);
        host.stop("blobs").await;
    }
}
