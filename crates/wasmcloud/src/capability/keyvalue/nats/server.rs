//! A connection to a server, or to several that are one cluster. It comes back by itself.
//!
//! Each tenant has one of its own: a server sends in order, and cuts off whoever takes too slowly what was asked for.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::room::{Room, Wish};
use super::{OnNats, names};
use crate::capability::keyvalue::complaint::Complaint;
use crate::capability::keyvalue::{Fault, KeyValueOptions};
use crate::capability::nats::{Link, Live, NatsError, NatsUrl};
use crate::capability::tenant::Tenant;
use crate::net::dial::{Dial, DialError, NamedBy};
use crate::plugin::PluginError;

/// How long connecting may take, and then each answer.
const PATIENT: Duration = Duration::from_secs(5);
/// How long to leave a server alone that must not be spoken to.
const PAUSE: Duration = Duration::from_secs(2);
/// How long until what is over is looked for, where nobody has come upon it.
const SWEEP: Duration = Duration::from_secs(300);
/// What an answer has in it besides a value and its key.
const BESIDES: usize = 64 << 10;

/// A server.
pub(in super::super) struct Server {
    about: String,
    url: NatsUrl,
    dial: Dial,
    /// Once it is there, it looks for the server by itself.
    link: OnceLock<Link>,
    /// Held while somebody connects, so that one does; until when nobody is to.
    until: tokio::sync::Mutex<Instant>,
    complaint: Complaint,
    times: Times,
    /// How long an answer may be.
    largest: usize,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Times {
    /// How long connecting may take, and then each answer.
    pub(in super::super) patient: Duration,
    /// How long until what is over is looked for.
    pub(in super::super) sweep: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            patient: PATIENT,
            sweep: SWEEP,
        }
    }
}

impl Server {
    /// `about` says in the log whose it is.
    pub(in super::super) fn new(
        about: String,
        url: NatsUrl,
        dial: Dial,
        options: &KeyValueOptions,
    ) -> Arc<Self> {
        Self::with_times(about, url, dial, options, Times::default())
    }

    pub(in super::super) fn with_times(
        about: String,
        url: NatsUrl,
        dial: Dial,
        options: &KeyValueOptions,
        times: Times,
    ) -> Arc<Self> {
        Arc::new(Self {
            about,
            url,
            dial,
            link: OnceLock::new(),
            until: tokio::sync::Mutex::new(Instant::now()),
            complaint: Complaint::default(),
            times,
            largest: largest(options),
        })
    }

    /// What a tenant keeps there.
    pub(in super::super) fn tenant(
        self: &Arc<Self>,
        tenant: &Tenant,
        prefix: &str,
        wish: Wish,
    ) -> OnNats {
        let bucket = names::bucket(prefix, tenant);
        OnNats(Room::new(Arc::clone(self), bucket, wish))
    }

    /// Connects. A server that is merely not there now is no error.
    pub(in super::super) async fn begin(&self) -> Result<(), PluginError> {
        match timeout(self.times.patient, self.link()).await {
            Ok(Err(NatsError::Dial(DialError::Denied { denial, hint }))) => {
                let told = format!("the server of `url` may not be reached: {denial}");
                Err(PluginError::new(told).hint(hint))
            }
            Ok(Err(error @ (NatsError::Unauthorized | NatsError::Tls(_) | NatsError::Url(_)))) => {
                let told =
                    format!("keys and values cannot be kept on the server of `url`: {error}");
                Err(PluginError::new(told))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    /// The connection, if it is there now.
    pub(super) async fn connected(&self) -> Result<Arc<Live>, Fault> {
        let link = match self.link.get() {
            Some(link) => link,
            None => self.link().await.map_err(|error| self.unreached(&error))?,
        };
        // The connection itself tells the log.
        link.live().ok_or_else(away)
    }

    /// Why it cannot be used now, for whoever runs the workload.
    pub(super) fn trouble(&self) -> Option<String> {
        self.link.get()?.trouble()
    }

    async fn link(&self) -> Result<&Link, NatsError> {
        let mut until = self.until.lock().await;
        if let Some(link) = self.link.get() {
            return Ok(link);
        }
        if Instant::now() < *until {
            return Err(NatsError::Away);
        }
        let opened = Link::open_within(
            &self.dial,
            &self.url,
            NamedBy::Workload,
            &self.about,
            self.times.patient,
            self.largest,
        );
        match opened.await {
            Ok(link) => Ok(self.link.get_or_init(|| link)),
            Err(error) => {
                *until = Instant::now() + PAUSE;
                Err(error)
            }
        }
    }

    fn unreached(&self, error: &NatsError) -> Fault {
        match error {
            NatsError::Away => {}
            error => {
                let told = Fault::Unavailable(error.to_string());
                self.complain(&told);
            }
        }
        match error {
            NatsError::Dial(DialError::Denied { .. }) | NatsError::Unauthorized => Fault::Denied,
            // Where the server is, is no business of the guest's.
            _ => away(),
        }
    }

    /// Tells the log.
    pub(super) fn complain(&self, fault: &Fault) {
        self.complaint.about(&self.about, fault);
    }
}

/// How long an answer may be: what is on its way to a workload counts by the longest value that there may be.
fn largest(options: &KeyValueOptions) -> usize {
    // Who leads a cluster answers in base64; keys are escaped, and may be there twice.
    let value = options.value_bytes.div_ceil(3).saturating_mul(4);
    let keys = options.key_bytes.saturating_mul(8);
    value.saturating_add(keys).saturating_add(BESIDES)
}

pub(super) fn away() -> Fault {
    Fault::Unavailable("its server cannot be reached".to_owned())
}
