//! Components and the service of a workload, at 127.0.0.1 and ::1.

use super::*;
use crate::support::within;

const LISTEN: &str = "listen,127.0.0.1:7000;echo,0";

/// A workload of a component that does what it is told, and a service that echoes; up when the service listens.
async fn echoed(host: &TestHost, client: &Guest, image: &str, script: &str) {
    let spec = client.spec(client.name, json!({}));
    host.run(client.name, &with_service(spec, image, script))
        .await;
    let lines = said(host, 1).await;
    assert!(lines[0].starts_with("listening"), "{lines:?}");
}

/// There and back, with the end that the client tells and the service passes on.
async fn reaches_an_echo(image: &str) {
    for client in [&P2, &P3] {
        let host = TestHost::start().await;
        echoed(&host, client, image, LISTEN).await;
        let shut = if client.name == "p2" {
            "shut,0,write"
        } else {
            "shut,0"
        };
        for _ in 0..3 {
            let script = format!("connect,127.0.0.1:7000;write,0,hello;{shut};read-all,0");
            let answers = run(&host, client.name, &script).await;
            assert_eq!(answers[..2], ["connected 0", "wrote 5"]);
            assert!(answers[3].starts_with("read hello"), "{answers:?}");
        }
        host.stop(client.name).await;
        let lines = said(&host, 2).await;
        assert!(lines[1].starts_with("no more"), "{lines:?}");
    }
}

#[tokio::test]
pub(crate) async fn net_p2() {
    reaches_an_echo(test_guests::NET_P2).await;
}

#[tokio::test]
pub(crate) async fn net_p3() {
    reaches_an_echo(test_guests::NET_P3).await;
}

/// It serves many at once, so that a client that waits is in nobody's way.
#[tokio::test]
pub(crate) async fn net_wstd() {
    reaches_an_echo(test_guests::NET_WSTD).await;
    let host = TestHost::start().await;
    echoed(&host, &P2, test_guests::NET_WSTD, "").await;
    let script = "connect,127.0.0.1:7000;connect,127.0.0.1:7000;connect,localhost:7000;write,2,c;read,2,9;write,0,a;read,0,9;write,1,b;read,1,9";
    let answers = run(&host, "p2", script).await;
    let read = answers.iter().filter(|answer| answer.starts_with("read"));
    assert_eq!(read.collect::<Vec<_>>(), ["read c", "read a", "read b"]);
}
