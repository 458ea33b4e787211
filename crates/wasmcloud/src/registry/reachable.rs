//! For whom a pull counts: what whoever runs the host has pulled is for workloads only if they could have gone there themselves.
//! Without that, the cache would be a way around the egress policy.

use std::time::Duration;

use tokio::time::timeout;

use super::access::{Credentials, Found};
use super::client::base;
use super::settings::Settings;
use super::store::{Proof, Store};
use crate::net::dial::{Dial, NamedBy};
use crate::workload::Reference;

/// Tells apart what the same credentials have fetched for the host alone.
const HOST: &[u8] = b"host";

/// For whom it counts that a registry gave an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everybody with the same credentials.
    Everybody,
    /// Whoever runs the host.
    Host,
}

/// Where workloads may be led to.
#[derive(Debug)]
pub(super) struct Reach(Dial);

impl Reach {
    pub(super) fn new(dial: Dial) -> Self {
        Self(dial)
    }

    /// For whom it counts that whoever runs the host was given an image by a registry. One of the settings may be asked by everybody,
    /// and so may its mirrors.
    pub(super) async fn whom(&self, registry: &str, settings: &Settings) -> Whom {
        let is_listed = settings.registries.contains_key(registry);
        match is_listed || self.is_open(registry, settings.silence).await {
            true => Whom::Everybody,
            false => Whom::Host,
        }
    }

    /// Whether the egress policy lets workloads go to a registry. Its name is looked up; nothing is connected to. What cannot be found
    /// out is not so.
    async fn is_open(&self, registry: &str, patience: Duration) -> bool {
        let Some(url) = base(registry, false) else {
            return false;
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return false;
        };
        let found = self.0.addresses(host, port, NamedBy::Workload);
        timeout(patience, found).await.is_ok_and(|it| it.is_ok())
    }
}

/// What shows later that somebody may have an image, which was had with these credentials.
pub(super) fn proof(
    store: &Store,
    reference: &Reference,
    with: Option<&Found>,
    whom: Whom,
) -> Proof {
    let registry = reference.registry();
    let credentials = with.map(|found| &found.credentials);
    match (credentials, whom) {
        (None | Some(Credentials::Anonymous), Whom::Everybody) => Proof::Anonymous,
        (None | Some(Credentials::Anonymous), Whom::Host) => Proof::Host,
        (Some(credentials), whom) => {
            let mark = credentials.mark(&[]);
            match whom {
                Whom::Everybody => store.fingerprint(registry, &[mark.as_bytes()]),
                Whom::Host => store.fingerprint(registry, &[mark.as_bytes(), HOST]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::net::resolve::{Resolve, ResolveError};
    use crate::policy::{EgressOptions, EgressPolicy};
    use crate::registry::settings::RegistrySettings;

    /// Knows a name on the internet, one inside, and where Docker's registry is.
    struct Fixed;

    #[async_trait]
    impl Resolve for Fixed {
        async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
            match name {
                "registry-1.docker.io" | "open.example" => Ok(vec![IpAddr::from([8, 8, 8, 8])]),
                "near.example" => Ok(vec![IpAddr::from([10, 0, 0, 1])]),
                _ => Err(ResolveError::NotFound),
            }
        }
    }

    #[tokio::test]
    async fn what_the_host_pulled_counts_for_all_who_may_go_there() {
        let policy = EgressPolicy::new(EgressOptions::default());
        let reach = Reach::new(Dial::new(policy, Arc::new(Fixed)));
        let mut settings = Settings::default();
        for open in ["docker.io", "open.example", "open.example:5000", "8.8.8.8"] {
            let whom = reach.whom(open, &settings).await;
            assert_eq!(whom, Whom::Everybody, "{open}");
        }
        for near in [
            "near.example",
            "127.0.0.1:5000",
            "[::1]:5000",
            "gone.example",
        ] {
            assert_eq!(reach.whom(near, &settings).await, Whom::Host, "{near}");
        }
        let listed = RegistrySettings::default();
        settings
            .registries
            .insert("near.example".to_owned(), listed);
        let whom = reach.whom("near.example", &settings).await;
        assert_eq!(whom, Whom::Everybody);
    }
}
