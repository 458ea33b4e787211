//! The host's configuration file: YAML or JSON in, settings for [`HostConfig`] out. Strict: what would be ignored is an error.
//!
//! A section is a file with three things: the shape as it is written, the settings, and `read` from one to the other.

mod backends;
mod blobstore;
mod egress;
mod engine;
#[cfg(any(feature = "postgres", feature = "secrets"))]
mod grants;
mod host_plugins;
mod http;
mod http_client;
mod http_limits;
#[cfg(feature = "oci")]
mod images;
mod keyvalue;
mod limits;
mod log;
#[cfg(feature = "postgres")]
mod postgres;
mod reader;
#[cfg(feature = "secrets")]
mod secrets;
mod services;
mod sockets;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

pub use backends::BackendsSection;
pub use blobstore::BlobstoreSection;
pub use egress::EgressSection;
pub use engine::EngineSection;
pub use host_plugins::HostPlugins;
pub use http::HttpSection;
pub use http_client::{HttpClientSection, TrustSection};
pub use http_limits::HttpLimitsSection;
#[cfg(feature = "oci")]
pub use images::{ImagesSection, MirrorSection, RegistrySection, WrittenImages};
pub use keyvalue::KeyValueSection;
pub use limits::{AllowanceSection, LimitsSection};
pub use log::{LogFormat, LogSection};
#[cfg(feature = "postgres")]
pub use postgres::PostgresSection;
use reader::{Reader, Text};
#[cfg(feature = "secrets")]
pub use secrets::SecretsSection;
pub use services::ServicesSection;
pub use sockets::{NetworkSection, SocketsSection};
pub use volumes::VolumesSection;

use crate::artifact::{FetchErrorKind, Files};
use crate::assembly::HostConfig;
use crate::host::PluginComponent;
use crate::workload::{Diagnostic, Diagnostics, MAX_BYTES, decode_yaml};

/// What a configuration file says. What it leaves out is up to the reader.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostFile {
    /// A name for people.
    pub name: Option<String>,
    /// What a scheduler may select by.
    pub labels: BTreeMap<String, String>,
    /// How long what is being answered may take when the host or a workload stops.
    pub grace: Option<Duration>,
    /// How long it may take when a new version took over.
    pub replaced_grace: Option<Duration>,
    /// Where everything is kept that the host keeps.
    pub data_dir: Option<PathBuf>,
    /// Where compiled components are kept, if not there.
    pub cache_dir: Option<PathBuf>,
    /// The HTTP server and client.
    pub http: HttpSection,
    /// What guests may use.
    pub limits: LimitsSection,
    /// Which addresses workloads may reach.
    pub egress: EgressSection,
    /// Where the sockets of workloads may lead.
    pub sockets: SocketsSection,
    /// What volumes workloads may have.
    pub volumes: VolumesSection,
    /// How much workloads may keep as keys and values.
    pub keyvalue: KeyValueSection,
    /// What blobs workloads may keep, and where.
    pub blobstore: BlobstoreSection,
    /// How servers that manifests name are spoken to.
    pub backends: BackendsSection,
    /// How services that crashed come back.
    pub services: ServicesSection,
    /// What databases workloads may have.
    #[cfg(feature = "postgres")]
    pub postgres: PostgresSection,
    /// What secrets workloads may read of the machine.
    #[cfg(feature = "secrets")]
    pub secrets: SecretsSection,
    /// How images are come by, and what is demanded of them.
    #[cfg(feature = "oci")]
    pub images: ImagesSection,
    /// Components whose exports are offered to all workloads.
    pub host_plugins: Vec<PluginComponent>,
    /// How components are compiled and instantiated.
    pub engine: EngineSection,
    /// What is logged, and how.
    pub log: LogSection,
    /// Whether programs of the same user may ask and call the host through its data folder.
    pub control: Option<bool>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    name: Text,
    labels: Option<BTreeMap<String, Spanned<String>>>,
    grace: Text,
    replaced_grace: Text,
    data_dir: Text,
    cache_dir: Text,
    http: Option<http::Raw>,
    limits: Option<limits::Raw>,
    egress: Option<egress::Raw>,
    sockets: Option<sockets::Raw>,
    volumes: Option<volumes::Raw>,
    keyvalue: Option<keyvalue::Raw>,
    blobstore: Option<blobstore::Raw>,
    backends: Option<backends::Raw>,
    services: Option<services::Raw>,
    #[cfg(feature = "postgres")]
    postgres: Option<postgres::Raw>,
    #[cfg(feature = "secrets")]
    secrets: Option<secrets::Raw>,
    #[cfg(feature = "oci")]
    images: Option<images::Raw>,
    host_plugins: Option<host_plugins::Raw>,
    engine: Option<engine::Raw>,
    log: Option<log::Raw>,
    control: Option<bool>,
}

impl HostFile {
    /// Reads a file of at most 1 MiB.
    ///
    /// # Errors
    /// Everything that is wrong with it, with line and column.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        let problem = |message: String| Diagnostic::new(message).in_file(path);
        let files = Files {
            limit: MAX_BYTES as u64,
        };
        let bytes = files.read_now(path).map_err(|error| {
            let hint = match error {
                FetchErrorKind::NotFound => "check the path given with `--config`",
                _ => "name a configuration file, YAML or JSON, that can be read",
            };
            problem(format!("cannot be read: {error}")).with_hint(hint)
        })?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| problem("this is no text in UTF-8".to_owned()))?;
        Self::parse(text, path)
    }

    /// Reads a text. `file` is for messages, and relative paths in the text begin at its folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, with line and column.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Diagnostics> {
        let raw: Document = decode_yaml(text, file)?;
        let mut reader = Reader::new(text, file);
        let read = Self {
            name: reader.filled(raw.name),
            labels: reader.labels(raw.labels.unwrap_or_default()),
            grace: reader.duration(raw.grace),
            replaced_grace: reader.duration(raw.replaced_grace),
            data_dir: reader.path(raw.data_dir),
            cache_dir: reader.path(raw.cache_dir),
            http: raw
                .http
                .map(|raw| http::read(&mut reader, raw))
                .unwrap_or_default(),
            limits: raw
                .limits
                .map(|raw| limits::read(&mut reader, raw))
                .unwrap_or_default(),
            egress: raw
                .egress
                .map(|raw| egress::read(&mut reader, raw))
                .unwrap_or_default(),
            sockets: raw
                .sockets
                .map(|raw| sockets::read(&mut reader, raw))
                .unwrap_or_default(),
            volumes: raw
                .volumes
                .map(|raw| volumes::read(&mut reader, raw))
                .unwrap_or_default(),
            keyvalue: raw
                .keyvalue
                .map(|raw| keyvalue::read(&mut reader, raw))
                .unwrap_or_default(),
            blobstore: raw
                .blobstore
                .map(|raw| blobstore::read(&mut reader, raw))
                .unwrap_or_default(),
            backends: raw
                .backends
                .map(|raw| backends::read(&mut reader, raw))
                .unwrap_or_default(),
            services: raw
                .services
                .map(|raw| services::read(&mut reader, raw))
                .unwrap_or_default(),
            #[cfg(feature = "postgres")]
            postgres: raw
                .postgres
                .map(|raw| postgres::read(&mut reader, raw))
                .unwrap_or_default(),
            #[cfg(feature = "secrets")]
            secrets: raw
                .secrets
                .map(|raw| secrets::read(&mut reader, raw))
                .unwrap_or_default(),
            #[cfg(feature = "oci")]
            images: raw
                .images
                .map(|raw| images::read(&mut reader, raw))
                .unwrap_or_default(),
            host_plugins: raw
                .host_plugins
                .map(|raw| host_plugins::read(&mut reader, raw))
                .unwrap_or_default(),
            engine: raw
                .engine
                .map(|raw| engine::read(&mut reader, raw))
                .unwrap_or_default(),
            log: raw
                .log
                .map(|raw| log::read(&mut reader, raw))
                .unwrap_or_default(),
            control: raw.control,
        };
        reader.finish(read)
    }

    /// Where a host with this file keeps compiled components, if anywhere; `data` is its data folder.
    #[must_use]
    pub fn compiled_in(&self, data: Option<&Path>) -> Option<PathBuf> {
        let in_data = || data.map(|data| data.join("cache"));
        self.cache_dir.clone().or_else(in_data)
    }

    /// Where it keeps images.
    #[cfg(feature = "oci")]
    #[must_use]
    pub fn images_in(&self, data: Option<&Path>) -> Option<PathBuf> {
        let in_data = || data.map(|data| data.join("images"));
        self.images.cache_dir.clone().or_else(in_data)
    }

    /// Puts what the file says over a configuration. Folders and the log are for whoever runs the host.
    pub fn apply(&self, config: &mut HostConfig) {
        if self.name.is_some() {
            config.friendly_name.clone_from(&self.name);
        }
        config.labels.extend(self.labels.clone());
        config.grace = self.grace.unwrap_or(config.grace);
        config.replaced_grace = self.replaced_grace.unwrap_or(config.replaced_grace);
        self.engine.apply(&mut config.engine);
        #[cfg(feature = "http")]
        self.http.apply(config);
        self.limits.apply(&mut config.limits);
        self.egress.apply(&mut config.egress);
        self.sockets.apply(&mut config.sockets);
        self.volumes.apply(&mut config.volumes);
        #[cfg(feature = "keyvalue")]
        self.keyvalue.apply(&mut config.keyvalue);
        #[cfg(feature = "blobstore")]
        self.blobstore.apply(&mut config.blobstore);
        #[cfg(feature = "servers")]
        self.backends.apply(config);
        self.services.apply(&mut config.restarts);
        #[cfg(feature = "postgres")]
        self.postgres.apply(&mut config.postgres);
        #[cfg(feature = "secrets")]
        self.secrets.apply(&mut config.secrets);
        #[cfg(feature = "oci")]
        self.images.apply(&mut config.images);
        config.component_plugins.extend(self.host_plugins.clone());
    }
}
