//! The world outside the host: servers on loopback that behave and misbehave, an authority that signs their certificates, and a
//! resolver that knows what a test tells it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use wasmcloud::net::resolve::{Resolve, ResolveError};

use super::{Body, empty, full, within};

/// An address of this machine that is not its loopback, if it has one. Nothing is sent to find it.
pub(crate) async fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").await.ok()?;
    socket.connect("192.0.2.1:9").await.ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// What a server has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Connections that were made.
    pub(crate) opened: usize,
    /// Connections that have ended.
    pub(crate) closed: usize,
    /// Requests, as `METHOD path`.
    pub(crate) requests: Vec<String>,
}

/// A server outside the host.
pub(crate) struct Outside {
    pub(crate) addr: SocketAddr,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Outside {
    /// HTTP/1.1 in the clear.
    pub(crate) async fn http() -> Self {
        Self::serve(http_1).await
    }

    /// HTTPS, with HTTP/2 for those who want it.
    pub(crate) async fn https(config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::serve(move |stream, seen| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let service = service_fn(move |request| answer(request, seen.clone()));
                    let server = http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                } else {
                    http_1(stream, seen).await;
                }
            }
        })
        .await
    }

    /// Anything: what is done with each connection.
    pub(crate) async fn raw<F>(behave: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::serve(move |stream, _| behave(stream)).await
    }

    async fn serve<F>(
        connection: impl Fn(TcpStream, watch::Sender<Seen>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                sender.send_modify(|seen| seen.opened += 1);
                let (connection, sender) = (connection(stream, sender.clone()), sender.clone());
                tokio::spawn(async move {
                    connection.await;
                    sender.send_modify(|seen| seen.closed += 1);
                });
            }
        });
        Self { addr, seen, task }
    }

    /// A URL of this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until the server has seen something.
    pub(crate) async fn sees(&self, wanted: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        within(seen.wait_for(wanted)).await.unwrap();
    }
}

async fn http_1<S>(stream: S, seen: watch::Sender<Seen>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request| answer(request, seen.clone()));
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    seen: watch::Sender<Seen>,
) -> Result<Response<Body>, Infallible> {
    let (path, query) = (request.uri().path().to_owned(), request.uri().query());
    let line = format!("{} {path}", request.method());
    seen.send_modify(|seen| seen.requests.push(line));
    let body = match path.as_str() {
        "/hello" => full("hello from outside\n"),
        "/version" => full(format!("{:?}\n", request.version())),
        "/host" => {
            let host = request.headers().get("host").map(|host| host.to_str());
            full(format!("{host:?} {:?}\n", request.uri().authority()))
        }
        "/echo" => request
            .into_body()
            .map_err(|_| -> Infallible { panic!("the echo broke off") })
            .boxed_unsync(),
        "/length" => {
            let body = request.into_body().collect().await;
            full(format!(
                "{:?}\n",
                body.map(|body| body.to_bytes().len()).ok()
            ))
        }
        "/redirect" => {
            let to = query.unwrap().strip_prefix("to=").unwrap();
            let response = Response::builder().status(302).header("location", to);
            return Ok(response.body(empty()).unwrap());
        }
        "/silent" => std::future::pending().await,
        "/stalls" => {
            let first = futures::stream::once(async { Ok(Frame::data(Bytes::from("first"))) });
            let rest = futures::stream::pending();
            http_body_util::StreamBody::new(futures::StreamExt::chain(first, rest)).boxed_unsync()
        }
        _ => return Ok(Response::builder().status(404).body(empty()).unwrap()),
    };
    Ok(Response::new(body))
}

/// An authority that nobody knows yet, in a file for those who should.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Self { issuer, folder }
    }

    /// Its certificate, as PEM.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server with a certificate for a name, which speaks these versions of HTTP.
    pub(crate) fn server(&self, name: &str, alpn: &[&str]) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// Knows the names that it was told; nobody else is asked. `silent.test` is never answered.
#[derive(Default)]
pub(crate) struct Names(HashMap<String, Vec<IpAddr>>);

impl Names {
    pub(crate) fn with(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        self.0.insert(name.to_owned(), addresses.collect());
        self
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if name == "silent.test" {
            std::future::pending().await
        }
        self.0.get(name).cloned().ok_or(ResolveError::NotFound)
    }
}
