//! The section `http.client`: the client that sends what components ask for.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::reader::{List, Number, Reader, Text};
#[cfg(feature = "http")]
use crate::capability::http::{ClientOptions, TrustRoots};

/// The client that sends what components ask for. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpClientSection {
    /// Whose certificates are trusted.
    pub trust: Option<TrustSection>,
    /// PEM files with certificates of authorities that are trusted besides.
    pub extra_ca_files: Option<Vec<PathBuf>>,
    /// How many connections all workloads together have open.
    pub connections: Option<u32>,
    /// How many connections one workload has open.
    pub connections_per_workload: Option<u32>,
    /// How long a request waits for a connection.
    pub connection_wait: Option<Duration>,
    /// How long it may take to connect.
    pub connect_timeout: Option<Duration>,
    /// How long the head of the response may take.
    pub first_byte_timeout: Option<Duration>,
    /// How long the response may pause.
    pub between_bytes_timeout: Option<Duration>,
    /// How long an idle connection is kept.
    pub idle_timeout: Option<Duration>,
    /// How long the head of a response is at most, in bytes.
    pub head_size: Option<u32>,
}

/// Whose certificates are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustSection {
    /// The roots of Mozilla, compiled in.
    Webpki,
    /// Those and the ones that the operating system trusts.
    WebpkiAndNative,
    /// Those that the operating system trusts.
    Native,
    /// None but the extra files.
    ExtraOnly,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    trust: Text,
    extra_ca_files: List,
    connections: Number,
    connections_per_workload: Number,
    connection_wait: Text,
    connect_timeout: Text,
    first_byte_timeout: Text,
    between_bytes_timeout: Text,
    idle_timeout: Text,
    head_size: Text,
}

/// Larger ones are mistakes.
const MOST: u32 = 1_000_000;
/// What the client can be told of a head, in bytes.
const HEADS: std::ops::RangeInclusive<u32> = 8 << 10..=16 << 20;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> HttpClientSection {
    let trust = [
        ("webpki", TrustSection::Webpki),
        ("webpki-and-native", TrustSection::WebpkiAndNative),
        ("native", TrustSection::Native),
        ("extra-only", TrustSection::ExtraOnly),
    ];
    HttpClientSection {
        trust: reader.choice(raw.trust, &trust),
        extra_ca_files: reader.list(raw.extra_ca_files, |reader, path| reader.path(Some(path))),
        connections: reader.number(raw.connections, 1..=MOST),
        connections_per_workload: reader.number(raw.connections_per_workload, 1..=MOST),
        connection_wait: reader.duration(raw.connection_wait),
        connect_timeout: reader.duration(raw.connect_timeout),
        first_byte_timeout: reader.duration(raw.first_byte_timeout),
        between_bytes_timeout: reader.duration(raw.between_bytes_timeout),
        idle_timeout: reader.duration(raw.idle_timeout),
        head_size: reader.text(raw.head_size, |text| {
            let size = super::reader::size(text)?;
            let size = u32::try_from(size).ok();
            let fits = size.filter(|size| HEADS.contains(size));
            fits.ok_or_else(|| "wanted a size from `8KiB` to `16MiB`".to_owned())
        }),
    }
}

#[cfg(feature = "http")]
impl HttpClientSection {
    pub(super) fn apply(&self, options: &mut ClientOptions) {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        if let Some(trust) = self.trust {
            options.trust = match trust {
                TrustSection::Webpki => TrustRoots::Webpki,
                TrustSection::WebpkiAndNative => TrustRoots::WebpkiAndNative,
                TrustSection::Native => TrustRoots::Native,
                TrustSection::ExtraOnly => TrustRoots::ExtraOnly,
            };
        }
        if let Some(files) = &self.extra_ca_files {
            options.extra_ca_files.clone_from(files);
        }
        let connections = self.connections.map(count);
        options.max_connections_of_host = connections.or(options.max_connections_of_host);
        let of_workload = self.connections_per_workload;
        options.max_connections = of_workload.map_or(options.max_connections, count);
        let time = |written: Option<Duration>, before: &mut Duration| {
            *before = written.unwrap_or(*before);
        };
        time(self.connection_wait, &mut options.connection_wait);
        time(self.connect_timeout, &mut options.connect_timeout);
        time(self.first_byte_timeout, &mut options.first_byte_timeout);
        time(
            self.between_bytes_timeout,
            &mut options.between_bytes_timeout,
        );
        time(self.idle_timeout, &mut options.idle_timeout);
        options.max_response_head = self.head_size.unwrap_or(options.max_response_head);
    }
}
