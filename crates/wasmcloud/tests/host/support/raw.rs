//! A connection without manners: sends any bytes, and shows what comes back as it is.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::within;

/// A connection for bytes that no HTTP library would send.
pub(crate) struct Raw(BufReader<TcpStream>);

/// An answer, with the chunks of its body as they came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) chunks: Vec<String>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl RawAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn body(&self) -> String {
        self.chunks.concat()
    }
}

impl Raw {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(addr).await.unwrap()))
    }

    /// A connection that gives answers little room: what it does not read, the other side has to keep.
    pub(crate) async fn narrow(addr: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self(BufReader::new(socket.connect(addr).await.unwrap()))
    }

    /// Goes away without a goodbye: what is under way is thrown away on both sides.
    pub(crate) fn reset(self) {
        self.0.get_ref().set_zero_linger().unwrap();
    }

    /// Sends no more, and goes on reading.
    pub(crate) async fn finish_sending(&mut self) {
        self.0.get_mut().shutdown().await.unwrap();
    }

    /// Sends everything, or as much as the other side takes before it hangs up.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within(self.0.get_mut().write_all(bytes.as_ref())).await;
    }

    /// Reads one answer; `None` if the connection is closed before one begins.
    pub(crate) async fn answer(&mut self) -> Option<RawAnswer> {
        self.answer_to("GET").await
    }

    /// Reads the answer to a method: those to `HEAD` have no body.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Option<RawAnswer> {
        let status_line = within(self.line()).await?;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = within(self.fields()).await;
        let mut answer = RawAnswer {
            status,
            headers,
            chunks: Vec::new(),
            trailers: Vec::new(),
        };
        if method != "HEAD" && status >= 200 {
            within(self.body(&mut answer)).await;
        }
        Some(answer)
    }

    async fn body(&mut self, answer: &mut RawAnswer) {
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.line().await.expect("a chunk");
                let size = usize::from_str_radix(&size, 16).expect("a chunk size");
                if size == 0 {
                    break;
                }
                answer.chunks.push(self.text(size).await);
                assert_eq!(self.line().await.as_deref(), Some(""));
            }
            answer.trailers = self.fields().await;
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.chunks.push(self.text(length).await);
        }
    }

    async fn text(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await.expect("a whole body");
        String::from_utf8(bytes).unwrap()
    }

    async fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(line) = self.line().await.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').expect("a field");
            fields.push((name.to_lowercase(), value.trim().to_owned()));
        }
        fields
    }

    /// Reads a line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        // A connection that is reset ends as one that is closed does.
        let read = within(self.0.read_line(&mut line))
            .await
            .unwrap_or_default();
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Everything until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = within(self.0.read_to_end(&mut rest)).await;
        rest
    }
}
