//! The capabilities that keep what they are given, or pass it on: those that a configuration has a say in besides HTTP, sockets and
//! WASI.

use std::sync::Arc;

use super::{AssembleError, HostConfig};
#[cfg(feature = "blobstore")]
use crate::capability::blobstore::{BlobOptions, Blobstore};
#[cfg(feature = "keyvalue")]
use crate::capability::keyvalue::{KeyValue, KeyValueOptions};
#[cfg(feature = "messaging")]
use crate::capability::messaging::Messaging;
#[cfg(feature = "postgres")]
use crate::capability::postgres::Postgres;
#[cfg(feature = "secrets")]
use crate::capability::secrets::Secrets;
#[cfg(feature = "servers")]
use crate::net::dial::Dial;
#[cfg(all(feature = "keyvalue", feature = "servers"))]
use crate::net::resolve::SystemResolver;
#[cfg(feature = "servers")]
use crate::net::trust::Authorities;
use crate::plugin::Plugin;
#[cfg(feature = "servers")]
use crate::policy::EgressPolicy;

/// Those of a host. They do nothing yet.
pub(super) fn configured(config: &HostConfig) -> Result<Vec<Arc<dyn Plugin>>, AssembleError> {
    Ok(plugins(
        config,
        #[cfg(feature = "servers")]
        authorities(config)?,
    ))
}

/// Those of a host that is not to be. What keeps one from having them is told where the configuration is checked.
pub(super) fn examined(config: &HostConfig) -> Vec<Arc<dyn Plugin>> {
    plugins(
        config,
        #[cfg(feature = "servers")]
        authorities(config).unwrap_or_default(),
    )
}

#[cfg_attr(
    not(any(
        feature = "blobstore",
        feature = "keyvalue",
        feature = "messaging",
        feature = "postgres",
        feature = "secrets"
    )),
    expect(unused_variables, reason = "no such plugin")
)]
fn plugins(
    config: &HostConfig,
    #[cfg(feature = "servers")] authorities: Authorities,
) -> Vec<Arc<dyn Plugin>> {
    #[cfg(feature = "servers")]
    let dial = Dial::new(
        EgressPolicy::new(config.egress.clone()),
        Arc::clone(&config.resolver),
    );
    #[cfg(feature = "servers")]
    let dial = dial.trusting(authorities);
    #[cfg(feature = "messaging")]
    let messaging = Messaging::new(config.messaging);
    #[cfg(feature = "messaging-nats")]
    let messaging = messaging.with_dial(dial.clone());
    #[cfg(feature = "blobstore")]
    let blobstore = Blobstore::new(config.blobstore.clone(), config.data_dir.as_deref());
    #[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
    let blobstore = blobstore.with_dial(dial.clone());
    let plugins: Vec<Arc<dyn Plugin>> = vec![
        #[cfg(feature = "blobstore")]
        Arc::new(blobstore),
        #[cfg(feature = "messaging")]
        Arc::new(messaging),
        #[cfg(feature = "postgres")]
        Arc::new(Postgres::new(config.postgres.clone(), dial.clone())),
        #[cfg(feature = "secrets")]
        Arc::new(Secrets::new(
            config.secrets.clone(),
            config.data_dir.as_deref(),
        )),
    ];
    #[cfg(feature = "keyvalue")]
    let plugins = {
        let both = KeyValue::both(
            config.keyvalue.clone(),
            config.data_dir.clone(),
            #[cfg(feature = "servers")]
            dial,
        );
        with(plugins, both)
    };
    plugins
}

/// Who may certify the servers that the plugins connect to.
#[cfg(feature = "servers")]
pub(super) fn authorities(config: &HostConfig) -> Result<Authorities, AssembleError> {
    Authorities::load(&config.backend_authorities).map_err(AssembleError::Authorities)
}

/// Those of no host in particular: they say only what is wrong on every host.
pub(super) fn unconfigured() -> Vec<Arc<dyn Plugin>> {
    let plugins: Vec<Arc<dyn Plugin>> = vec![
        #[cfg(feature = "blobstore")]
        Arc::new(Blobstore::new(BlobOptions::default(), None)),
        #[cfg(feature = "messaging")]
        Arc::new(Messaging::default()),
        #[cfg(feature = "postgres")]
        Arc::new(Postgres::default()),
        #[cfg(feature = "secrets")]
        Arc::new(Secrets::default()),
    ];
    #[cfg(feature = "keyvalue")]
    let plugins = {
        let both = KeyValue::both(
            KeyValueOptions::default(),
            None,
            #[cfg(feature = "servers")]
            Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default())),
        );
        with(plugins, both)
    };
    plugins
}

#[cfg(feature = "keyvalue")]
fn with(mut plugins: Vec<Arc<dyn Plugin>>, both: [KeyValue; 2]) -> Vec<Arc<dyn Plugin>> {
    plugins.extend(both.map(|plugin| Arc::new(plugin) as Arc<dyn Plugin>));
    plugins
}
