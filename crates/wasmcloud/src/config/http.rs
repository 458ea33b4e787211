//! The section `http`: the HTTP server.

use std::net::SocketAddr;

use serde::Deserialize;

use super::http_limits::{self, HttpLimitsSection};
use super::reader::{Reader, Text};
#[cfg(feature = "http")]
use crate::capability::http::{ErrorDetail, HttpOptions};

/// The HTTP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSection {
    /// Where to listen; port 0 takes a free one.
    pub addr: Option<SocketAddr>,
    /// Whether clients are told everything about failures, rather than an id under which the log has the rest.
    pub full_errors: Option<bool>,
    /// What clients may send, and how long they may wait.
    pub limits: HttpLimitsSection,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    addr: Text,
    errors: Text,
    limits: Option<http_limits::Raw>,
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
    }
}

#[cfg(feature = "http")]
impl HttpSection {
    /// A host that has no HTTP server gets one where the file has an address for it.
    pub(super) fn apply(&self, config: &mut Option<HttpOptions>) {
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
