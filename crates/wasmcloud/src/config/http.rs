//! The section `http`: the HTTP server, and the client that sends what components ask for.

use std::net::SocketAddr;

use serde::Deserialize;

use super::http_client::{self, HttpClientSection};
use super::http_limits::{self, HttpLimitsSection};
use super::reader::{Reader, Text};
#[cfg(feature = "http")]
use crate::assembly::HostConfig;
#[cfg(feature = "http")]
use crate::capability::http::{ErrorDetail, HttpOptions};

/// The HTTP server, and the client that sends what components ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSection {
    /// Where to listen; port 0 takes a free one.
    pub addr: Option<SocketAddr>,
    /// Whether clients are told everything about failures, rather than an id under which the log has the rest.
    pub full_errors: Option<bool>,
    /// What clients may send, and how long they may wait.
    pub limits: HttpLimitsSection,
    /// The client.
    pub client: HttpClientSection,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    addr: Text,
    errors: Text,
    limits: Option<http_limits::Raw>,
    client: Option<http_client::Raw>,
}

pub(super) fn read(reader: &mut Reader, raw: Raw) -> HttpSection {
    let hint = "write an IP address and a port, such as `127.0.0.1:8000` or `[::]:80`";
    HttpSection {
        addr: reader.parse(raw.addr, "an address to listen on", hint),
        full_errors: reader.choice(raw.errors, &[("reference", false), ("full", true)]),
        limits: raw
            .limits
            .map(|raw| http_limits::read(reader, raw))
            .unwrap_or_default(),
        client: raw
            .client
            .map(|raw| http_client::read(reader, raw))
            .unwrap_or_default(),
    }
}

#[cfg(feature = "http")]
impl HttpSection {
    /// A host that has no HTTP server gets one where the file has an address for it.
    pub(super) fn apply(&self, config: &mut HostConfig) {
        self.client.apply(&mut config.http_client);
        let config = &mut config.http;
        if let Some(addr) = self.addr {
            config.get_or_insert_with(|| HttpOptions::new(addr)).addr = addr;
        }
        let Some(options) = config else {
            return;
        };
        self.limits.apply(&mut options.limits);
        if let Some(full) = self.full_errors {
            options.errors = if full {
                ErrorDetail::Full
            } else {
                ErrorDetail::Reference
            };
        }
    }
}
