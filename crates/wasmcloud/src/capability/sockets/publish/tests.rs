//! Ports published on the machine, with real sockets outside and the network of a workload inside.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod ends;
mod hand_over;
mod secret;

use std::future::poll_fn;

use futures::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::network::{Connection, Listener, NetError, NetworkBudget};
use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn id(name: &str) -> WorkloadId {
    name.parse().unwrap()
}

fn publisher() -> Publisher {
    Publisher::new(PublishOptions::default())
}

/// Port 80 of the network inside, at an address outside.
fn port_at(addr: SocketAddr) -> PublishedPort {
    PublishedPort {
        name: "echo".to_owned(),
        container_port: 80,
        host_port: addr.port(),
        host_ip: addr.ip(),
        tls: None,
    }
}

fn any_port() -> PublishedPort {
    port_at(SocketAddr::new(LOOPBACK, 0))
}

/// A workload whose service listens on port 80.
struct Workload {
    id: WorkloadId,
    network: Arc<Network>,
    service: Listener,
}

impl Workload {
    fn new(name: &str) -> Self {
        Self::at(name, "127.0.0.1:80")
    }

    fn at(name: &str, addr: &str) -> Self {
        let network = Network::new(NetworkBudget::default());
        let service = network.bind_tcp(addr.parse().unwrap()).unwrap().listen(8);
        Self {
            id: id(name),
            network,
            service,
        }
    }

    async fn open(
        &self,
        publisher: &Publisher,
        replaces: Option<&Self>,
        port: PublishedPort,
    ) -> Result<Publication, PluginError> {
        let replaces = replaces.map(|replaced| &replaced.id);
        let mut opened = publisher
            .open(&self.id, replaces, &[port], Path::new("/"), &self.network)
            .await?;
        Ok(opened.remove(0))
    }

    /// Publishes at any port.
    async fn publish(&self, publisher: &Publisher) -> Publication {
        let mut publication = self.open(publisher, None, any_port()).await.unwrap();
        publication.go_live();
        publication
    }

    async fn accept(&mut self) -> Connection {
        poll_fn(|cx| self.service.poll_accept(cx)).await.unwrap()
    }

    /// Both ends of a connection.
    async fn connected(&mut self, publication: &Publication) -> (TcpStream, Connection) {
        let outside = TcpStream::connect(publication.addr()).await.unwrap();
        (outside, self.accept().await)
    }
}

async fn send(to: &mut (impl tokio::io::AsyncWrite + Unpin), text: &str) {
    to.write_all(text.as_bytes()).await.unwrap();
}

async fn receive(from: &mut (impl tokio::io::AsyncRead + Unpin), length: usize) -> String {
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_connection_from_outside_arrives_inside() {
    let mut workload = Workload::new("echo");
    let publication = workload.publish(&publisher()).await;
    let (mut outside, mut inside) = workload.connected(&publication).await;
    assert_eq!(inside.local.to_string(), "127.0.0.1:80");
    send(&mut outside, "ping").await;
    assert_eq!(receive(&mut inside.reader, 4).await, "ping");
    send(&mut inside.writer, "pong").await;
    assert_eq!(receive(&mut outside, 4).await, "pong");
    assert_eq!(publication.connections(), 1);
}

#[tokio::test]
async fn a_service_may_listen_on_ipv6() {
    let mut workload = Workload::at("six", "[::1]:80");
    let publication = workload.publish(&publisher()).await;
    let (mut outside, mut inside) = workload.connected(&publication).await;
    send(&mut outside, "six").await;
    assert_eq!(receive(&mut inside.reader, 3).await, "six");
}

#[tokio::test]
async fn nobody_is_let_in_before_the_workload_is_ready() {
    let mut workload = Workload::new("slow");
    let publisher = publisher();
    let mut publication = workload.open(&publisher, None, any_port()).await.unwrap();
    let mut early = TcpStream::connect(publication.addr()).await.unwrap();
    send(&mut early, "early").await;
    assert_eq!(workload.network.usage().connections, 0);
    publication.go_live();
    let mut inside = workload.accept().await;
    assert_eq!(receive(&mut inside.reader, 5).await, "early");
}

#[tokio::test]
async fn where_nobody_listens_inside_the_connection_is_closed() {
    let workload = Workload::at("elsewhere", "127.0.0.1:81");
    let publication = workload.publish(&publisher()).await;
    let mut outside = TcpStream::connect(publication.addr()).await.unwrap();
    assert_eq!(outside.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn much_goes_both_ways_at_once() {
    const MUCH: usize = 8 * 1024 * 1024;
    let mut workload = Workload::new("bulk");
    let publication = workload.publish(&publisher()).await;
    let (outside, inside) = workload.connected(&publication).await;
    let data = |seed| -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(|| random.u8(..))
            .take(MUCH)
            .collect()
    };
    let (mut outside_read, mut outside_write) = outside.into_split();
    let (mut inside_read, mut inside_write) = (inside.reader, inside.writer);
    let (up, down) = (data(1), data(2));
    let (mut came_in, mut came_out) = (Vec::new(), Vec::new());
    let all = tokio::join!(
        async {
            outside_write.write_all(&up).await?;
            outside_write.shutdown().await
        },
        async {
            inside_write.write_all(&down).await?;
            inside_write.shutdown().await
        },
        inside_read.read_to_end(&mut came_in),
        outside_read.read_to_end(&mut came_out),
    );
    all.0.unwrap();
    all.1.unwrap();
    assert!(came_in == up && came_out == down);
}

#[tokio::test]
async fn whoever_does_not_read_holds_up_whoever_writes() {
    let mut workload = Workload::new("deaf");
    let publication = workload.publish(&publisher()).await;
    let (mut outside, mut inside) = workload.connected(&publication).await;
    let writes = tokio::spawn(async move {
        outside.write_all(&vec![1; 64 * 1024 * 1024]).await.unwrap();
        outside
    });
    // What is held inside is bounded; the rest is with the operating system and the writer.
    poll_fn(|cx| inside.reader.poll_readable(cx)).await;
    let mut read = 0;
    let mut piece = vec![0; 1024 * 1024];
    while read < 64 * 1024 * 1024 {
        assert!(workload.network.usage().buffered <= 64 * 1024);
        read += inside.reader.read(&mut piece).await.unwrap();
    }
    writes.await.unwrap();
}

#[tokio::test]
async fn an_address_has_one_holder_and_the_error_names_it() {
    let publisher = publisher();
    let (first, second) = (Workload::new("first"), Workload::new("second"));
    let publication = first.publish(&publisher).await;
    let taken = port_at(publication.addr());
    let mut error = second
        .open(&publisher, None, taken.clone())
        .await
        .unwrap_err();
    let addr = publication.addr();
    let expected =
        format!("the port `echo` cannot be published at {addr}: the workload `first` has {addr}");
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.path.take().unwrap(), "spec.service.ports.0");
    second
        .open(&publisher, Some(&second), taken.clone())
        .await
        .unwrap_err();
    drop(publication);
    second.open(&publisher, None, taken).await.unwrap();
}

#[tokio::test]
async fn an_address_of_another_program_is_told() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let workload = Workload::new("late");
    let port = port_at(other.local_addr().unwrap());
    let error = workload.open(&publisher(), None, port).await.unwrap_err();
    assert!(
        error.to_string().ends_with("another program listens there"),
        "{error}"
    );
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn when_one_port_fails_the_others_are_given_back() {
    let publisher = publisher();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let workload = Workload::new("half");
    let free = {
        let publication = workload.publish(&publisher).await;
        port_at(publication.addr())
    };
    let taken = port_at(other.local_addr().unwrap());
    let ports = [free.clone(), taken];
    let opened = publisher.open(
        &workload.id,
        None,
        &ports,
        Path::new("/"),
        &workload.network,
    );
    let error = opened.await.unwrap_err();
    assert_eq!(error.path.unwrap(), "spec.service.ports.1");
    workload.open(&publisher, None, free).await.unwrap();
}

#[test]
fn all_addresses_of_a_family_clash_with_each_of_them() {
    let clash = |one: &str, other: &str| clash(one.parse().unwrap(), other.parse().unwrap());
    assert!(clash("0.0.0.0:80", "10.0.0.1:80") && clash("[::1]:80", "[::]:80"));
    assert!(!clash("0.0.0.0:80", "10.0.0.1:81") && !clash("0.0.0.0:80", "[::1]:80"));
    assert!(!clash("10.0.0.1:80", "10.0.0.2:80"));
}

#[test]
fn only_allowed_addresses_are_published_at() {
    let port = |ip: &str| port_at(SocketAddr::new(ip.parse().unwrap(), 80));
    let allows = |allow: &[&str], ip: &str| {
        let publisher = Publisher::new(PublishOptions {
            allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
            ..PublishOptions::default()
        });
        publisher.check(&port(ip)).is_ok()
    };
    let default = publisher();
    for ip in ["127.0.0.1", "127.1.2.3", "::1"] {
        default.check(&port(ip)).unwrap();
    }
    for ip in ["0.0.0.0", "::", "10.0.0.1", "fe80::1"] {
        default.check(&port(ip)).unwrap_err();
    }
    assert!(allows(&["10.0.0.0/8"], "10.1.1.1") && !allows(&["10.0.0.0/8"], "127.0.0.1"));
    assert!(allows(&["0.0.0.0/0"], "0.0.0.0") && !allows(&["0.0.0.0/0"], "::"));
    assert!(!allows(&["0.0.0.0/8"], "0.0.0.0"), "a part is not all");
    let errors = default.check_all(&[port("127.0.0.1"), port("10.0.0.1")]);
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].path.as_deref(),
        Some("spec.service.ports.1.hostIP")
    );
    let text =
        "the port `echo` cannot be published at 10.0.0.1:80: this host allows 127.0.0.0/8, ::1/128";
    assert_eq!(errors[0].to_string(), text);
}
