//! What can be said about the HTTP client of a host.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the HTTP client that serves the guests of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Whose certificates are trusted; by default the roots of Mozilla that are compiled in.
    pub trust: TrustRoots,
    /// PEM files with certificates of authorities that are trusted besides; by default none. They are read once, at the start.
    pub extra_ca_files: Vec<PathBuf>,
    /// How many connections one workload has open at most, idle ones included; by default 128.
    pub max_connections: usize,
    /// How many connections all workloads together have open at most. `None`, the default: half of the files that the process may
    /// have open, at least 64 and at most 32,768.
    pub max_connections_of_host: Option<usize>,
    /// How long a request waits for a connection when there are as many as may be; by default 5 s. The wait counts inside the
    /// connect timeout.
    pub connection_wait: Duration,
    /// How long waiting, name lookup, connecting and the TLS handshake may take together where the guest does not say; by default
    /// 30 s.
    pub connect_timeout: Duration,
    /// How long the head of the response may take where the guest does not say; by default 600 s.
    pub first_byte_timeout: Duration,
    /// How long the response may pause where the guest does not say; by default 600 s.
    pub between_bytes_timeout: Duration,
    /// How long an idle connection is kept; by default 60 s.
    pub idle_timeout: Duration,
    /// How long the head of a response is at most, in bytes; by default 65,536, and at least 8,192. It has at most 128 headers.
    pub max_response_head: u32,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            trust: TrustRoots::default(),
            extra_ca_files: Vec::new(),
            max_connections: 128,
            max_connections_of_host: None,
            connection_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_secs(600),
            between_bytes_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(60),
            max_response_head: 64 * 1024,
        }
    }
}

/// Whose certificates are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustRoots {
    /// The roots of Mozilla, as they were when this was compiled.
    #[default]
    Webpki,
    /// Those and the ones that the operating system trusts.
    WebpkiAndNative,
    /// Those that the operating system trusts.
    Native,
    /// None but the extra files.
    ExtraOnly,
}
