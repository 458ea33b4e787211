//! Ports of services that are published on the machine, and what becomes of connections when the workload ends.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wasmcloud::host::Host as _;
use wasmcloud::plugin::Port;

use super::*;
use crate::support::{id, start_request, within};

/// Starts a server that is published wherever there is a free port, and says where that is.
async fn publish(host: &TestHost, name: &str, replaces: Option<&str>) -> SocketAddr {
    let mut service = json!({ "image": test_guests::NET_ECHO });
    service["ports"] = json!([{ "name": "echo", "containerPort": 7070 }]);
    let service = with_environment(service, json!({ "PORT": "7070" }));
    let mut spec = spec([], []);
    spec["service"] = service;
    let mut request = start_request(name, name, &spec, replaces.map(id));
    if let Some(replaced) = replaces {
        let taken = published(host, replaced).await;
        request.workload.service.as_mut().unwrap().ports[0].host_port = taken.port();
    } else {
        // No manifest can say so.
        request.workload.service.as_mut().unwrap().ports[0].host_port = 0;
    }
    within(host.host.start(request)).await.expect("it starts");
    published(host, name).await
}

async fn published(host: &TestHost, name: &str) -> SocketAddr {
    let ports = host.status(name).await.unwrap().ports;
    let mut published = ports.iter().filter_map(|Port { published, .. }| *published);
    published.next().expect("a port is published")
}

/// Connects, and makes sure that the service is at the other end.
async fn connect(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("somebody listens");
    stream.write_all(b"e").await.unwrap();
    assert_eq!(echo(&mut stream, "hello").await, "hello");
    stream
}

async fn echo(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    within(stream.read_exact(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Nothing more comes, in whatever way that is said.
async fn is_over(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn what_listens_on_the_machine_is_what_the_manifest_publishes() {
    let host = host().await;
    let addr = publish(&host, "one", None).await;
    assert!(addr.ip().is_loopback());
    drop(connect(addr).await);
    host.stop("one").await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_stop_waits_for_open_connections() {
    let host = Arc::new(host().await);
    let addr = publish(&host, "one", None).await;
    let mut open = connect(addr).await;
    let stop = {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.stop("one").await })
    };
    host.reaches("one", WorkloadState::Stopping).await;
    assert_eq!(echo(&mut open, "still here").await, "still here");
    assert!(!stop.is_finished());
    drop(open);
    within(stop).await.unwrap();
}

#[tokio::test]
async fn connections_end_with_the_grace() {
    let host = host_with(2, |config| config.grace = Duration::ZERO).await;
    let addr = publish(&host, "one", None).await;
    let open = connect(addr).await;
    host.stop("one").await;
    is_over(open).await;
}

#[tokio::test]
async fn a_host_that_shuts_down_ends_what_is_open() {
    let host = host_with(2, |config| config.grace = Duration::from_millis(1)).await;
    let addr = publish(&host, "one", None).await;
    let open = connect(addr).await;
    assert!(
        !within(host.host.shutdown()).await,
        "something was cut short"
    );
    is_over(open).await;
    assert!(TcpStream::connect(addr).await.is_err());
}

/// The very socket is handed over: whoever is connected stays with the old one, whoever comes gets the new one.
#[tokio::test]
async fn a_port_goes_over_to_the_workload_that_takes_the_place() {
    let host = host().await;
    let addr = publish(&host, "old", None).await;
    let mut open = connect(addr).await;
    assert_eq!(publish(&host, "new", Some("old")).await, addr);
    drop(connect(addr).await);
    assert_eq!(echo(&mut open, "still here").await, "still here");
    drop(open);
    host.stop_is_over("old").await;
    drop(connect(addr).await);
}
