//! A relay between a client and a server that say what a test wants.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use futures::poll;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;

use super::*;
use crate::net::resolve::SystemResolver;
use crate::policy::EgressPolicy;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// More than there is room for on the way.
const MUCH: usize = 64 << 20;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.unwrap()
}

/// A relay that runs, and the server that it leads to.
struct Opened {
    inside: Inside,
    server: TcpStream,
    listener: TcpListener,
    gone: CancellationToken,
    relay: JoinHandle<()>,
}

async fn server(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = soon(listener.accept()).await.unwrap();
    stream.write_all(b"INFO {}\r\n").await.unwrap();
    stream
}

async fn opened() -> Opened {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place {
        host: "nats.test".to_owned(),
        at: listener.local_addr().unwrap(),
    };
    let login = "nats://ann:s3cret@nats.test".parse().unwrap();
    let target = Target {
        dial: Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default())),
        by: NamedBy::Host,
        places: vec![place],
        tls: false,
        login: Login::of(&[login]),
        largest: 1000,
    };
    let (opened, server) = tokio::join!(Relay::open(target), server(&listener));
    let (relay, inside) = opened.unwrap();
    let gone = CancellationToken::new();
    Opened {
        relay: tokio::spawn(relay.run(gone.clone())),
        inside,
        server,
        listener,
        gone,
    }
}

impl Opened {
    async fn stranger(&self) -> io::Result<TcpStream> {
        let address = &self.inside.address;
        TcpStream::connect((address.host(), address.port())).await
    }

    /// Somebody who says that this is the secret.
    async fn client(&self, secret: &str) -> TcpStream {
        let mut stream = self.stranger().await.unwrap();
        soon(first_line(&mut stream, 1000)).await.unwrap();
        let said = format!("CONNECT {{\"auth_token\":\"{secret}\"}}\r\n");
        stream.write_all(said.as_bytes()).await.unwrap();
        stream
    }

    /// The client, of which the server has heard.
    async fn let_in(&mut self) -> TcpStream {
        let client = self.client(&self.inside.secret).await;
        soon(first_line(&mut self.server, 1000)).await.unwrap();
        client
    }
}

async fn left(mut stream: TcpStream) -> Vec<u8> {
    let mut left = Vec::new();
    soon(stream.read_to_end(&mut left)).await.unwrap();
    left
}

#[tokio::test]
async fn strangers_are_turned_away_and_keep_the_client_from_nothing() {
    let mut opened = opened().await;
    let silent = opened.stranger().await.unwrap();
    let wrong = opened.client("wr0ng").await;
    assert!(left(wrong).await.is_empty());
    let mut client = opened.client(&opened.inside.secret).await;
    client.write_all(b"PING\r\n").await.unwrap();
    let (line, mut rest) = soon(first_line(&mut opened.server, 1000)).await.unwrap();
    let line = String::from_utf8(line.to_vec()).unwrap();
    assert!(line.contains("\"pass\":\"s3cret\""), "{line}");
    assert!(!line.contains(&opened.inside.secret), "{line}");
    while rest.len() < 6 {
        soon(opened.server.read_buf(&mut rest)).await.unwrap();
    }
    assert_eq!(&rest[..], b"PING\r\n");
    assert_eq!(left(silent).await, b"INFO {\"tls_required\":false}\r\n");
    let late = opened.stranger().await.unwrap();
    assert!(left(late).await.is_empty());
    opened.server.write_all(b"PONG\r\n").await.unwrap();
    let (line, _) = soon(first_line(&mut client, 1000)).await.unwrap();
    assert_eq!(&line[..], b"PONG\r\n");
}

/// So that nothing of it is lost with the relay.
#[tokio::test]
async fn what_the_client_has_said_is_on_its_way_when_the_relay_says_so() {
    let mut opened = opened().await;
    let mut client = opened.let_in().await;
    let reading = tokio::spawn(left(opened.server));
    soon(client.write_all(&vec![b'x'; MUCH])).await.unwrap();
    soon(opened.inside.flushed()).await;
    opened.relay.abort();
    assert_eq!(soon(reading).await.unwrap().len(), MUCH);
}

#[tokio::test]
async fn what_a_client_has_said_last_gets_to_the_server_when_it_is_gone() {
    let mut opened = opened().await;
    let mut client = opened.let_in().await;
    let gone = opened.gone.clone();
    let saying = tokio::spawn(async move {
        client.write_all(&vec![b'x'; MUCH]).await.unwrap();
        drop(client);
        gone.cancel();
    });
    assert_eq!(left(opened.server).await.len(), MUCH);
    soon(saying).await.unwrap();
}

#[tokio::test]
async fn a_client_that_comes_again_gets_the_server_again_until_it_is_gone() {
    let mut opened = opened().await;
    for _ in 0..3 {
        let client = opened.let_in().await;
        opened.server = {
            opened.server.shutdown().await.unwrap();
            assert!(left(client).await.is_empty());
            server(&opened.listener).await
        };
    }
    drop(opened.let_in().await);
    opened.gone.cancel();
    let closed = async {
        while opened.stranger().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(closed).await;
}

/// Nobody else can take its place as long as the client may look for it.
#[tokio::test]
async fn a_relay_that_has_lost_its_server_lets_nobody_in_and_stays_where_it_is() {
    let mut opened = opened().await;
    let client = opened.let_in().await;
    let address = opened.inside.address.clone();
    opened.server.write_all(b"MSG a 1 1001\r\n").await.unwrap();
    assert!(left(client).await.is_empty());
    let refused = Refused::Message {
        bytes: 1001,
        most: 1000,
    };
    assert_eq!(opened.inside.refused(), Some(refused));
    for _ in 0..3 {
        assert!(left(opened.stranger().await.unwrap()).await.is_empty());
    }
    let taken = TcpListener::bind((address.host(), address.port())).await;
    assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    // It would answer the same, and is not asked again.
    assert!(poll!(Box::pin(opened.listener.accept())).is_pending());
    soon(opened.inside.flushed()).await;
}
