//! A server of HTTP that says what a test wants: one request for each connection, and each is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::{Descriptor, manifest, media};

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Such as `GET /v2/`.
    pub(super) line: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is said.
#[derive(Clone)]
pub(super) enum Say {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
        /// How much of the body is sent before the connection breaks.
        sent: usize,
        /// Whether its length is told.
        sized: bool,
        /// How many bytes of the body are sent at a time, and how long after those the next, if not all at once.
        drip: Option<(usize, Duration)>,
        /// Whether the connection stays when everything is sent.
        stays: bool,
    },
    /// The connection ends.
    Nothing,
    /// It does not.
    Silence,
}

impl Say {
    pub(super) fn status(status: u16) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
            sent: usize::MAX,
            sized: true,
            drip: None,
            stays: false,
        }
    }

    pub(super) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::status(200).body(bytes)
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.into()));
        }
        self
    }

    pub(super) fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        if let Self::Answer { body, .. } = &mut self {
            *body = bytes.into();
        }
        self
    }

    pub(super) fn breaking_after(mut self, len: usize) -> Self {
        if let Self::Answer { sent, .. } = &mut self {
            *sent = len;
        }
        self
    }

    pub(super) fn unsized_(mut self) -> Self {
        if let Self::Answer { sized, .. } = &mut self {
            *sized = false;
        }
        self
    }

    pub(super) fn dripping(self, every: Duration) -> Self {
        self.in_pieces(1, every)
    }

    pub(super) fn in_pieces(mut self, len: usize, every: Duration) -> Self {
        if let Self::Answer { drip, .. } = &mut self {
            *drip = Some((len, every));
        }
        self
    }

    pub(super) fn staying(mut self) -> Self {
        if let Self::Answer { stays, .. } = &mut self {
            *stays = true;
        }
        self
    }
}

/// A server.
pub(super) struct Fake {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Fake {
    /// One that answers each request as this says, which is told how many of the same there were before.
    pub(super) async fn start(say: impl Fn(&Seen, usize) -> Say + Send + Sync + 'static) -> Self {
        Self::over("127.0.0.1", None, say).await
    }

    pub(super) async fn over(
        ip: &str,
        tls: Option<TlsAcceptor>,
        say: impl Fn(&Seen, usize) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (log, say) = (Arc::clone(&seen), Arc::new(say));
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, say, tls) = (Arc::clone(&log), Arc::clone(&say), tls.clone());
                connections.spawn(async move {
                    // Whoever does not like what it hears may go at any time.
                    let _ = match tls {
                        None => serve(stream, &log, &*say).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &log, &*say).await,
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        });
        Self {
            address,
            seen,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests that begin so.
    pub(super) fn seen_of(&self, line: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.line.starts_with(line));
        seen
    }

    pub(super) fn was_shown(&self, name: &str) -> bool {
        self.seen()
            .iter()
            .any(|seen| seen.headers.contains_key(name))
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<Seen>>,
    say: &(impl Fn(&Seen, usize) -> Say + Sync),
) -> std::io::Result<()> {
    let seen = read(&mut stream).await?;
    let nth = {
        let mut log = log.lock().unwrap();
        let nth = log.iter().filter(|before| before.line == seen.line).count();
        log.push(seen.clone());
        nth
    };
    match say(&seen, nth) {
        Say::Nothing => Ok(()),
        Say::Silence => std::future::pending().await,
        Say::Answer {
            status,
            headers,
            body,
            sent,
            sized,
            drip,
            stays,
        } => {
            let mut head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n");
            if sized && !headers.iter().any(|(name, _)| name == "content-length") {
                head.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            stream.write_all(format!("{head}\r\n").as_bytes()).await?;
            if !seen.line.starts_with("HEAD") {
                send(&mut stream, &body[..sent.min(body.len())], drip).await?;
            }
            if stays {
                std::future::pending::<()>().await;
            }
            stream.shutdown().await
        }
    }
}

async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    body: &[u8],
    drip: Option<(usize, Duration)>,
) -> std::io::Result<()> {
    let Some((len, every)) = drip else {
        stream.write_all(body).await?;
        return stream.flush().await;
    };
    let mut ticks = tokio::time::interval(every);
    for piece in body.chunks(len) {
        ticks.tick().await;
        stream.write_all(piece).await?;
        stream.flush().await?;
    }
    Ok(())
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines
        .next()
        .unwrap()
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let len = headers
        .get("content-length")
        .map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    Ok(Seen {
        line,
        headers,
        body: body.into(),
    })
}

/// What a registry with one component in `app`, under `1`, says to anybody.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) component: Bytes,
    pub(super) layer: Descriptor,
    pub(super) manifest: Bytes,
}

impl Kept {
    pub(super) fn new(component: Bytes) -> Self {
        let layer = Descriptor::of(media::WASM, &component);
        let manifest = manifest(&layer);
        Self {
            component,
            layer,
            manifest,
        }
    }

    pub(super) fn manifest(&self) -> Say {
        Say::bytes(self.manifest.clone()).header("content-type", media::MANIFEST)
    }

    pub(super) fn blob_path(&self) -> String {
        format!("/v2/app/blobs/{}", self.layer.digest)
    }

    /// Without ranges.
    pub(super) fn say(&self, seen: &Seen) -> Say {
        match seen.line.split_once(' ').unwrap().1 {
            path if path.starts_with("/v2/app/manifests/") => self.manifest(),
            path if path == self.blob_path() => Say::bytes(self.component.clone()),
            _ => Say::status(404),
        }
    }

    /// From where it is asked for.
    pub(super) fn part(&self, seen: &Seen) -> Say {
        let Some(range) = seen.header("range") else {
            return Say::bytes(self.component.clone());
        };
        let from: usize = range
            .strip_prefix("bytes=")
            .unwrap()
            .trim_end_matches('-')
            .parse()
            .unwrap();
        let len = self.component.len();
        Say::status(206)
            .header("content-range", format!("bytes {from}-{}/{len}", len - 1))
            .body(self.component.slice(from..))
    }
}
