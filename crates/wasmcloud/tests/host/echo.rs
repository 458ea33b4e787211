//! The guests that measure the network inside a workload: an echo server as its service, and a client beside it.

use std::sync::Arc;

use serde_json::{Value, json};
use wasmcloud::capability::direct::{Direct, DirectError};

use crate::support::{TestHost, component, id, spec, with_environment, within};

/// Where the server listens, inside the workload.
const PORT: u16 = 7070;

/// A host whose client can be called, with a workload of both.
async fn host_of(server: Value, client: &str, interface: &str) -> (TestHost, Direct) {
    let direct = Direct::new(format!("bench:network/{interface}@0.1.0").parse().unwrap());
    let plugin = Arc::new(direct.clone());
    let host = TestHost::with(|config| {
        config.plugins.push(plugin);
        config.sockets.network.connections = 3;
    })
    .await;
    let grant = json!({ "namespace": "bench", "package": "network", "interfaces": [interface] });
    let mut spec = spec([component("client", client)], [grant]);
    spec["service"] = server;
    host.run("echo", &spec).await;
    (host, direct)
}

fn server(image: &str, environment: Value) -> Value {
    with_environment(json!({ "image": image }), environment)
}

async fn drive(direct: &Direct, function: &str, amount: u64) -> Result<u64, String> {
    let id = id("echo");
    let driven: Result<(Result<u64, String>,), DirectError> = match function {
        "bulk" => within(direct.call(&id, function, (PORT, amount))).await,
        _ => {
            let rounds = u32::try_from(amount).unwrap();
            within(direct.call(&id, function, (PORT, rounds))).await
        }
    };
    driven.expect("the call returns").0
}

/// Both ways of talking, twice: the server goes on to the next connection.
async fn both_ways(server: Value, client: &str, interface: &str) {
    let (host, direct) = host_of(server, client, interface).await;
    for _ in 0..2 {
        assert!(drive(&direct, "ping-pong", 100).await.unwrap() > 0);
        assert!(drive(&direct, "bulk", 1_000_000).await.unwrap() > 0);
    }
    host.stop("echo").await;
}

#[tokio::test]
pub(crate) async fn net_drive() {
    let server = server(test_guests::NET_ECHO, json!({ "PORT": PORT.to_string() }));
    both_ways(server, test_guests::NET_DRIVE, "drive").await;
}

#[tokio::test]
pub(crate) async fn net_drive_p3() {
    let server = server(
        test_guests::NET_ECHO_P3,
        json!({ "PORT": PORT.to_string() }),
    );
    both_ways(server, test_guests::NET_DRIVE_P3, "drive-async").await;
}

/// Both versions of WASI share the network.
#[tokio::test]
pub(crate) async fn net_echo_p3() {
    let server = server(
        test_guests::NET_ECHO_P3,
        json!({ "PORT": PORT.to_string() }),
    );
    both_ways(server, test_guests::NET_DRIVE, "drive").await;
}

/// Connections are held, and there are no more than the host gives.
#[tokio::test]
pub(crate) async fn net_echo() {
    let environment = json!({ "PORT": PORT.to_string(), "HOLD": "3" });
    let server = server(test_guests::NET_ECHO, environment);
    let (host, direct) = host_of(server, test_guests::NET_DRIVE, "drive").await;
    let holding = tokio::spawn(async move {
        let held: Result<(Result<(), String>,), DirectError> =
            direct.call(&id("echo"), "hold", (PORT, 3_u32)).await;
        held.expect("the call returns").0
    });
    let mut said: Vec<String> = host.lines(2).await.into_iter().map(|it| it.text).collect();
    said.sort();
    assert!(said[0].starts_with("held 3 "), "{said:?}");
    assert!(said[1].starts_with("opened 3 "), "{said:?}");
    // Until somebody gives it up, the client holds on.
    holding.abort();
    host.stop("echo").await;
}
