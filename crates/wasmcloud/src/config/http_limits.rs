//! The section `http.limits`: what clients of the HTTP server may send, and how long they may wait.

use std::time::Duration;

use serde::Deserialize;

use super::reader::{Number, Reader, Text};
#[cfg(feature = "http")]
use crate::capability::http::HttpLimits;

/// What clients of the HTTP server may send, and how long they may wait. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `HttpLimits`")]
pub struct HttpLimitsSection {
    pub head_timeout: Option<Duration>,
    pub head_size: Option<u64>,
    pub header_fields: Option<u32>,
    pub uri_length: Option<u64>,
    pub body_size: Option<u64>,
    pub body_timeout: Option<Duration>,
    pub keep_alive: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub connections: Option<u32>,
    pub connections_per_client: Option<u32>,
    pub streams: Option<u32>,
    pub pending_resets: Option<u32>,
    pub stream_errors: Option<u32>,
    pub ping_interval: Option<Duration>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    head_timeout: Text,
    head_size: Text,
    header_fields: Number,
    uri_length: Text,
    body_size: Text,
    body_timeout: Text,
    keep_alive: Text,
    write_timeout: Text,
    connections: Number,
    connections_per_client: Number,
    streams: Number,
    pending_resets: Number,
    stream_errors: Number,
    ping_interval: Text,
}

/// Larger ones are mistakes.
const MOST: u32 = 1_000_000;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> HttpLimitsSection {
    HttpLimitsSection {
        head_timeout: reader.duration(raw.head_timeout),
        head_size: reader.size(raw.head_size),
        header_fields: reader.number(raw.header_fields, 1..=MOST),
        uri_length: reader.size(raw.uri_length),
        body_size: reader.size(raw.body_size),
        body_timeout: reader.duration(raw.body_timeout),
        keep_alive: reader.duration(raw.keep_alive),
        write_timeout: reader.duration(raw.write_timeout),
        connections: reader.number(raw.connections, 1..=MOST),
        connections_per_client: reader.number(raw.connections_per_client, 1..=MOST),
        streams: reader.number(raw.streams, 1..=MOST),
        pending_resets: reader.number(raw.pending_resets, 1..=MOST),
        stream_errors: reader.number(raw.stream_errors, 1..=MOST),
        ping_interval: reader.duration(raw.ping_interval),
    }
}

#[cfg(feature = "http")]
impl HttpLimitsSection {
    pub(super) fn apply(&self, limits: &mut HttpLimits) {
        let size = |size: Option<u64>, default: usize| {
            size.map_or(default, |size| usize::try_from(size).unwrap_or(usize::MAX))
        };
        let number = |number: Option<u32>, default: usize| size(number.map(u64::from), default);
        limits.head_timeout = self.head_timeout.unwrap_or(limits.head_timeout);
        limits.head_size = size(self.head_size, limits.head_size);
        limits.header_fields = number(self.header_fields, limits.header_fields);
        limits.uri_length = size(self.uri_length, limits.uri_length);
        limits.body_size = self.body_size.unwrap_or(limits.body_size);
        limits.body_timeout = self.body_timeout.unwrap_or(limits.body_timeout);
        limits.keep_alive = self.keep_alive.unwrap_or(limits.keep_alive);
        limits.write_timeout = self.write_timeout.unwrap_or(limits.write_timeout);
        limits.connections = number(self.connections, limits.connections);
        if self.connections_per_client.is_some() {
            limits.connections_per_client = Some(number(self.connections_per_client, usize::MAX));
        }
        limits.streams = self.streams.unwrap_or(limits.streams);
        limits.pending_resets = number(self.pending_resets, limits.pending_resets);
        limits.stream_errors = number(self.stream_errors, limits.stream_errors);
        limits.ping_interval = self.ping_interval.unwrap_or(limits.ping_interval);
    }
}
