//! What the HTTP server takes from a client, and how long it waits for one. Every limit is always on.

use std::time::Duration;

use crate::capability::room::part_of_open_files;

const KIB: usize = 1 << 10;
const GIB: u64 = 1 << 30;

/// The fewest and the most connections that [`HttpLimits::connections`] allows by default.
const CONNECTIONS: std::ops::RangeInclusive<usize> = 64..=32_768;

/// The least that a head may be limited to: Hyper reads that much at once.
const MIN_HEAD_SIZE: usize = 8 * KIB;

/// Limits of the HTTP server. The defaults suit a server that strangers reach; `docs/limits.md` says what happens beyond each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long the head of a request may take to come in, from its first byte, or from the beginning of the connection. 30 s.
    pub head_timeout: Duration,
    /// The most bytes of a head, of requests and of answers: method, URI and header fields. 64 KiB; less than 8 KiB counts as 8 KiB.
    pub head_size: usize,
    /// The most header fields, of requests and of answers, and as many trailers. 100.
    pub header_fields: usize,
    /// The most bytes of a request's URI. 16 KiB.
    pub uri_length: usize,
    /// The most bytes of a request's body. 1 GiB: guests read bodies piece by piece, so this bounds what one request may cost in
    /// traffic, not in memory.
    pub body_size: u64,
    /// How long a guest that reads its request's body waits for the next piece. 60 s.
    pub body_timeout: Duration,
    /// How long a connection may be open without a request. 75 s.
    pub keep_alive: Duration,
    /// How long a client may take nothing of an answer that waits to be sent: of the connection, or of one stream of HTTP/2. 60 s.
    pub write_timeout: Duration,
    /// The most connections at a time. Half of the process's limit of open files, at least 64 and at most 32,768.
    pub connections: usize,
    /// The most connections at a time from one client: an IPv4 address, or an IPv6 network of 64 bits. None by default: many clients
    /// may stand behind one address.
    pub connections_per_client: Option<usize>,
    /// The most requests at a time on one HTTP/2 connection. 128.
    pub streams: u32,
    /// The most streams of an HTTP/2 connection that the client reset before the server got to them. 20.
    pub pending_resets: usize,
    /// The most streams that one HTTP/2 connection may make the server reset by breaking the protocol. 1,024.
    pub stream_errors: usize,
    /// After how long a silent HTTP/2 connection is asked whether it is still there; it has as long again to answer. 20 s.
    pub ping_interval: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(30),
            head_size: 64 * KIB,
            header_fields: 100,
            uri_length: 16 * KIB,
            body_size: GIB,
            body_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            // The other half is for what guests and caches open.
            connections: part_of_open_files(2, CONNECTIONS),
            connections_per_client: None,
            streams: 128,
            pending_resets: 20,
            stream_errors: 1024,
            ping_interval: Duration::from_secs(20),
        }
    }
}

impl HttpLimits {
    /// [`Self::head_size`], as far as it can be had.
    pub(super) fn head_size(&self) -> usize {
        self.head_size.max(MIN_HEAD_SIZE)
    }
}
