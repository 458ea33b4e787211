//! What the `config` of an entry says about JetStream.

use std::time::Duration;

use super::place::{Keep, Place};
use crate::capability::messaging::handling::at_most;
use crate::capability::nats::NatsUrl;
use crate::capability::settings::Settings;
use crate::capability::tenant::Tenant;
use crate::workload::Workload;

/// How long a server waits for word of a message, unless the settings say otherwise, at least and at most.
const ACK_WAIT: Duration = Duration::from_secs(30);
const ACK_WAIT_LIMITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];
/// How much a stream may keep, and for how long: a minute to a year.
const LEAST_BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 1 << 40;
const AGE_LIMITS: [Duration; 2] = [
    Duration::from_secs(60),
    Duration::from_secs(366 * 24 * 60 * 60),
];

/// A place in JetStream, and how its messages are given out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Streams {
    pub(in super::super) url: NatsUrl,
    pub(in super::super) place: Place,
    pub(in super::super) ack_wait: Duration,
}

/// `None`: something is wrong.
pub(in super::super) fn streams(
    workload: &Workload,
    settings: &mut Settings<'_>,
) -> Option<Streams> {
    settings.required("url", "it says where the NATS server is")?;
    let url = settings.parse("url", str::parse);
    let place = match settings.text("stream") {
        Some(_) => settings.parse("stream", Place::existing),
        None => Some(Place::of(
            &Tenant::configured(workload, settings),
            keep(settings),
        )),
    };
    let ack_wait = settings.parse("ack_wait", |text| within(text, ACK_WAIT_LIMITS));
    Some(Streams {
        url: url?,
        place: place?,
        ack_wait: ack_wait.unwrap_or(ACK_WAIT),
    })
}

/// What a stream keeps that is made for the workload.
fn keep(settings: &mut Settings<'_>) -> Keep {
    let bytes = settings.parse("max_bytes", |text| {
        let bytes = crate::workload::size(text).map_err(|wanted| wanted.to_string())?;
        let fits = (LEAST_BYTES..=MOST_BYTES).contains(&bytes);
        fits.then_some(bytes)
            .ok_or("wanted from 1MiB to 1TiB".to_owned())
    });
    let age = settings.parse("max_age", |text| within(text, AGE_LIMITS));
    let replicas = settings.number("replicas", 1..=5);
    Keep {
        bytes,
        age,
        replicas: replicas.and_then(|it| usize::try_from(it).ok()),
    }
}

/// A length of time between two others.
fn within(text: &str, [least, most]: [Duration; 2]) -> Result<Duration, String> {
    let time = at_most(text, most)?;
    if time < least {
        return Err(format!("wanted at least {}s", least.as_secs()));
    }
    Ok(time)
}
