//! Blobs on servers: those that are not there yet, that are full or go in the middle, and what passes through the host.

use std::time::Duration;

use serde_json::{Value, json};
use test_servers::{Nats, Proxy, S3, Way};

use super::{Guest, P2, P3, on_nats, on_s3, reaching, script};
use crate::support::{TestHost, within};

/// A NATS server behind a way that can be cut.
fn nats_behind(server: &Nats) -> (Proxy, Value) {
    let proxy = Proxy::to(server.port());
    let mut kept = on_nats(server);
    kept["url"] = json!(format!("nats://127.0.0.1:{}", proxy.port()));
    (proxy, kept)
}

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

/// Half of what was asked for is not what was asked for: nobody may take it for the object.
async fn breaks_off(guest: Guest, host: &TestHost, proxy: &Proxy, kept: Value) {
    /// What all bytes of the object come to: each is a 1.
    const SIZE: u64 = 32 << 20;
    host.run("blobs", &guest.spec("localhost", kept.clone(), kept))
        .await;
    assert_eq!(script(host, "create,c;fill,c,o,32").await, ["c", "ok"]);
    // Slow enough that the end is far when the way is cut.
    proxy.set(Way::Slow(Duration::from_millis(1)));
    let before = proxy.passed();
    let cutting = async {
        while proxy.passed() < before + (1 << 20) {
            tokio::task::yield_now().await;
        }
        proxy.set(Way::Cut);
    };
    let both = async { tokio::join!(host.get("/run?sum,c,o"), cutting) };
    let (answer, ()) = within(both).await;
    match guest.namespace {
        // The stream says so.
        "wasi" => {
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(answer.body.starts_with("error: "), "{}", answer.body);
            let told = "LastOperationFailed";
            assert!(answer.body.contains(told), "{}", answer.body);
        }
        // The stream has no way to, so the guest comes to its end.
        _ => {
            assert_eq!(answer.status, 500, "{}", answer.body);
            assert!(answer.body.contains("the store "), "{}", answer.body);
        }
    }
    proxy.set(Way::Open);
    let whole = SIZE.to_string();
    until_back(host, "size,c,o", &whole).await;
    let told = script(host, "sum,c,o;delete,c").await;
    assert_eq!(told, [whole.as_str(), "ok"]);
    host.stop_finds_nothing_running("blobs").await;
}

#[tokio::test]
async fn a_read_from_s3_that_breaks_off_passes_for_nothing_whole() {
    let server = S3::start();
    let host = reaching().await;
    for guest in [P2, P3] {
        let (proxy, kept) = behind(&server);
        breaks_off(guest, &host, &proxy, kept).await;
    }
}

#[tokio::test]
async fn a_read_from_nats_that_breaks_off_passes_for_nothing_whole() {
    let server = Nats::launch();
    let host = reaching().await;
    for guest in [P2, P3] {
        let (proxy, kept) = nats_behind(&server);
        breaks_off(guest, &host, &proxy, kept).await;
    }
}
