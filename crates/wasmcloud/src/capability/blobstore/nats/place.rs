//! Where a NATS server is, and how many of several keep a copy. It is secret as a whole.

use std::fmt;

use crate::capability::nats::NatsUrl;
use crate::capability::settings::Settings;

/// A server, and how it keeps things.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct NatsPlace {
    pub(super) url: NatsUrl,
    /// How many servers of a cluster keep each object.
    pub(super) replicas: usize,
}

impl NatsPlace {
    /// Reads it from the settings of an entry. `None`: something is wrong, and was noted.
    pub(in super::super) fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let url = settings.required("url", "it says where the NATS server is");
        let url = url.and_then(|_| settings.parse("url", str::parse));
        let replicas = settings.number("replicas", 1..=5).unwrap_or(1);
        Some(Self {
            url: url?,
            replicas: usize::try_from(replicas).unwrap_or(1),
        })
    }
}

impl fmt::Debug for NatsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NatsPlace")
    }
}
