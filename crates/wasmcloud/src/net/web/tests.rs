//! How many connections a server gets, whatever it does with them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Mutex;

use futures::future::{Either, join_all, select};
use futures::poll;
use http_body_util::Full;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::net::resolve::SystemResolver;
use crate::net::trust::Authorities;
use crate::policy::EgressPolicy;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// For what is given up.
const SHORT: Duration = Duration::from_millis(200);

/// Takes connections, and answers a request for each permit that it is given.
struct Server {
    address: SocketAddr,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    answers: Arc<Semaphore>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            peers: Arc::default(),
            answers: Arc::new(Semaphore::new(0)),
        };
        let (peers, answers) = (Arc::clone(&server.peers), Arc::clone(&server.answers));
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                peers.lock().unwrap().push(peer);
                tokio::spawn(serve(stream, Arc::clone(&answers)));
            }
        });
        server
    }

    fn connections(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    /// Waits until it has taken so many connections.
    async fn until_connected(&self, times: usize) {
        let connected = async {
            while self.connections() < times {
                yield_now().await;
            }
        };
        timeout(LONG, connected).await.unwrap();
    }

    /// Waits until it has taken all connections that there are now.
    async fn up_to_date(&self) {
        let own = TcpStream::connect(self.address).await.unwrap();
        let own = own.local_addr().unwrap();
        let taken = async {
            while !self.peers.lock().unwrap().contains(&own) {
                yield_now().await;
            }
        };
        timeout(LONG, taken).await.unwrap();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: Arc<Semaphore>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let answer = answers.acquire().await.map_err(io::Error::other)?;
        answer.forget();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await?;
        stream.flush().await?;
    }
}

fn dial() -> Dial {
    Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()))
}

/// One with at most so many connections.
fn web(most: usize) -> Web<Full<Bytes>> {
    Web::with_connections(dial(), NamedBy::Host, LONG, most)
}

fn to(server: &Server) -> Request<Full<Bytes>> {
    let url = format!("http://{}/", server.address);
    Request::get(url).body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_server_that_never_answers_gets_no_more_connections_than_it_may() {
    let server = Server::start().await;
    let web = web(2);
    let asked = pin!(join_all((0..100).map(|_| web.send(to(&server), LONG))));
    let counted = pin!(async {
        server.until_connected(2).await;
        server.up_to_date().await;
    });
    let first = select(asked, counted).await;
    assert!(matches!(first, Either::Right(_)), "nothing is answered");
    assert_eq!(server.connections(), 3, "two, and that of the test");
}

#[tokio::test]
async fn who_finds_no_connection_left_gets_one_that_comes_free() {
    let server = Server::start().await;
    let web = web(1);
    let mut asked = Box::pin(join_all((0..3).map(|_| web.send(to(&server), LONG))));
    // All three have begun before one is answered.
    assert!(poll!(&mut asked).is_pending());
    server.answers.add_permits(3);
    for answer in asked.await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    server.up_to_date().await;
    assert_eq!(server.connections(), 2, "one, and that of the test");
}

#[tokio::test]
async fn waiting_for_a_connection_is_a_part_of_the_patience() {
    let server = Server::start().await;
    let web = web(1);
    let mut first = Box::pin(web.send(to(&server), LONG));
    assert!(poll!(&mut first).is_pending());
    let late = web.send(to(&server), SHORT).await;
    assert!(matches!(late, Err(WebError::Late(_))));
    server.answers.add_permits(1);
    assert_eq!(first.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_its_connection_to_others() {
    let server = Server::start().await;
    let web = web(1);
    let given_up = web.send(to(&server), SHORT).await;
    assert!(matches!(given_up, Err(WebError::Late(_))));
    // One for a server that does not know yet.
    server.answers.add_permits(2);
    let answer = web.send(to(&server), LONG).await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn a_server_that_never_answers_keeps_nobody_from_another_one() {
    let (silent, other) = (Server::start().await, Server::start().await);
    let web = web(1);
    let mut asked = Box::pin(web.send(to(&silent), LONG));
    assert!(poll!(&mut asked).is_pending());
    other.answers.add_permits(1);
    let answer = web.send(to(&other), LONG).await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn a_connection_ends_also_where_the_server_takes_nothing_any_more() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (deaf, _) = listener.accept().await.unwrap();
        let _deaf = acceptor.accept(deaf).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        serve(stream, Arc::new(Semaphore::new(1))).await
    });
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let dial = dial().trusting(Authorities::load(&[file]).unwrap());
    let patience = Duration::from_secs(2);
    let web = Web::with_connections(dial, NamedBy::Host, patience, 1);
    // More than the system holds for whoever does not take it.
    let large = Full::new(Bytes::from(vec![0; 64 << 20]));
    let given_up = Request::put(&url).body(large).unwrap();
    let given_up = web.send(given_up, patience).await;
    assert!(matches!(given_up, Err(WebError::Late(_))));
    let asked = Request::get(&url).body(Full::default()).unwrap();
    assert_eq!(web.send(asked, LONG).await.unwrap().status(), 200);
}
