//! Components in registries, through the library.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use wasmcloud::artifact::By;
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::host::Host as _;
use wasmcloud::registry::{ComponentFacts, ImageOptions, RegistrySettings};
use wasmcloud::workload::{Pull, Reference};

use super::compilations::compilations;
use super::{http_config, request};
use crate::manifest::of_image;

/// How many workloads start at once.
const AT_ONCE: usize = 16;

/// A registry that speaks HTTP, and a folder for what comes from it.
pub(crate) struct Place<'a> {
    /// Its host and port.
    pub(crate) address: String,
    /// The folder.
    pub(crate) cache: Option<&'a Path>,
}

impl Place<'_> {
    fn options(&self) -> ImageOptions {
        let mut options = ImageOptions {
            cache: self.cache.map(Path::to_owned),
            ..ImageOptions::default()
        };
        let plain = RegistrySettings {
            plain_http: true,
            ..RegistrySettings::default()
        };
        options
            .settings
            .registries
            .insert(self.address.clone(), plain);
        options
    }

    /// Pushes a component, and says how it is referred to.
    pub(crate) async fn push(&self, name: &str, component: &Bytes) -> anyhow::Result<String> {
        let text = format!("{}/bench/{name}:1", self.address);
        let reference: Reference = text.parse()?;
        let images = self.options().open_for_user()?;
        let config = ComponentFacts::default().config(component);
        let (annotations, access) = (BTreeMap::new(), images.access());
        images
            .registries()
            .push(&reference, component, &config, &annotations, &access)
            .await?;
        Ok(text)
    }

    /// Pulls a component into the folder, where it must not be.
    pub(crate) async fn pull(&self, reference: &str) -> anyhow::Result<Duration> {
        let reference: Reference = reference.parse()?;
        let begun = Instant::now();
        let images = self.options().open_for_user()?;
        let pulled = images
            .pull(&reference, &Pull::default(), By::Host, None)
            .await?;
        let time = begun.elapsed();
        ensure!(!pulled.from_cache, "it was in a cache that should be empty");
        Ok(time)
    }

    /// From the start request for a workload of one HTTP component to the end of its first response, by a host that has just been
    /// made and keeps its compiled code in `compiled`.
    pub(crate) async fn first_response(
        &self,
        reference: &str,
        compiled: &Path,
    ) -> anyhow::Result<Duration> {
        let host = self.host(compiled).await?;
        let address = host.http.context("no HTTP server")?;
        let request = request(&of_image("bench", reference, None))?;
        let start = Instant::now();
        host.host.start(request).await?;
        crate::http::get(address).await?;
        Ok(start.elapsed())
    }

    /// Starts so many workloads, each of one of these images in turn, and says how often something was compiled.
    pub(crate) async fn many(
        &self,
        images: &[String],
        count: usize,
        compiled: &Path,
    ) -> anyhow::Result<usize> {
        let host = self.host(compiled).await?;
        let start = |number: usize| {
            let host = host.host.clone();
            async move {
                let image = images.iter().cycle().nth(number).context("no images")?;
                let name = format!("w{number}");
                let manifest = of_image(&name, image, Some(&format!("{name}.localhost")));
                host.start(request(&manifest)?).await?;
                anyhow::Ok(())
            }
        };
        let before = compilations();
        let started: Vec<()> = stream::iter((0..count).map(start))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        ensure!(started.len() == count, "some workloads did not start");
        let compiled = compilations() - before;
        ensure!(compiled > 0, "something must have been compiled");
        Ok(compiled)
    }

    async fn host(&self, compiled: &Path) -> anyhow::Result<Assembled> {
        let config = HostConfig {
            images: self.options(),
            ..http_config(Some(compiled), None)
        };
        Ok(assemble(config).await?)
    }
}
