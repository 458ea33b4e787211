//! The library's side of every comparison: nothing outside this folder uses the crate `wasmcloud`.

pub(crate) mod capabilities;
mod compilations;
pub(crate) mod images;
pub(crate) mod network;
mod serve;
pub(crate) mod turns;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::capability::direct::Direct;
use wasmcloud::capability::http::HttpOptions;
use wasmcloud::engine::EngineOptions;
use wasmcloud::engine::config::{Allocation, Flavour, config};
use wasmcloud::host::{Host as _, StartRequest, WorkloadUsage};
use wasmcloud::workload::{Manifest, WorkloadId};
use wasmtime::Config;

use crate::call::{Caller, Kind};
use crate::guests::Guests;
use crate::manifest::{self, Http, Link};
use crate::talk::Usage;

pub(crate) use serve::serve;

/// The interface of the caller, through which the loops are entered.
pub(crate) const DRIVE: &str = "bench:calc/drive@0.1.0";

/// A workload whose caller can be called directly.
pub(crate) struct LinkedCaller {
    direct: Direct,
    id: WorkloadId,
    host: Assembled,
}

impl Caller for LinkedCaller {
    async fn run(&mut self, kind: Kind, n: u32) -> anyhow::Result<Option<u32>> {
        let function = match kind {
            Kind::Add => "run-add",
            Kind::Greet => "run-greet",
        };
        let (sum,) = self.direct.call(&self.id, function, (n,)).await?;
        Ok(Some(sum))
    }
}

impl LinkedCaller {
    /// The part of the calls that found a warm instance of the callee.
    pub(crate) async fn hit_rate(&self) -> anyhow::Result<f64> {
        hit_rate(&self.host, &self.id).await
    }
}

/// The part of the calls of a component `callee` that found a warm instance.
async fn hit_rate(host: &Assembled, id: &WorkloadId) -> anyhow::Result<f64> {
    let status = host.host.status(id).await?;
    let mut usage = status.usage.unwrap_or_default();
    usage
        .pools
        .retain(|pool| pool.component.as_str() == "callee");
    summed(&usage)
        .hit_rate()
        .context("the callee has no instances of its own")
}

/// The settings that the library compiles and runs with, for the baseline to share.
pub(crate) fn engine_config() -> Config {
    config(Flavour::Plain, Allocation::for_machine())
}

/// The two guests as a workload: planned, linked, compiled and called through the library.
pub(crate) async fn caller(guests: &Guests, link: Link) -> anyhow::Result<LinkedCaller> {
    let direct = Direct::new(DRIVE.parse()?);
    let host = assemble(HostConfig {
        plugins: vec![Arc::new(direct.clone())],
        ..HostConfig::default()
    })
    .await?;
    let started = host.host.start(request(&manifest::calc(guests, link))?);
    let id = started.await?.id;
    Ok(LinkedCaller { direct, id, host })
}

/// From the start request for a workload of one HTTP component to the end of its first response,
/// by a host that has just been made and keeps its compiled code in `cache`.
pub(crate) async fn first_response(component: &Path, cache: &Path) -> anyhow::Result<Duration> {
    let host = http_host(Some(cache), None).await?;
    let address = host.http.context("no HTTP server")?;
    let manifest = Http {
        name: "bench",
        image: component,
        fields: json!({}),
        host: None,
    };
    let request = request(&manifest.manifest())?;
    let start = Instant::now();
    host.host.start(request).await?;
    crate::http::get(address).await?;
    Ok(start.elapsed())
}

async fn http_host(cache: Option<&Path>, instances: Option<u32>) -> anyhow::Result<Assembled> {
    Ok(assemble(http_config(cache, instances)).await?)
}

fn http_config(cache: Option<&Path>, instances: Option<u32>) -> HostConfig {
    let mut engine = EngineOptions {
        cache_dir: cache.map(Path::to_owned),
        ..EngineOptions::default()
    };
    if let Some(instances) = instances {
        engine.allocation = Allocation::Pooled { instances };
    }
    let http = Some(HttpOptions::new(([127, 0, 0, 1], 0).into()));
    HostConfig {
        engine,
        http,
        ..HostConfig::default()
    }
}

/// What starts a workload, under its own name.
fn request(manifest: &Value) -> anyhow::Result<StartRequest> {
    let text = manifest.to_string();
    let manifests = wasmcloud::workload::manifest::parse(&text, Path::new("bench.json"))?;
    ensure!(manifests.len() < 2, "several workloads in one manifest");
    let Some(Manifest { workload, .. }) = manifests.into_iter().next() else {
        bail!("no workload in the manifest");
    };
    Ok(StartRequest {
        id: workload.name.as_str().parse()?,
        workload,
        base: "/".into(),
        replaces: None,
    })
}

/// What a workload uses, over all its entries.
fn summed(usage: &WorkloadUsage) -> Usage {
    let pools = || usage.pools.iter().map(|pool| pool.usage);
    Usage {
        invocations: usage.invocations,
        hits: pools().map(|pool| pool.hits).sum(),
        misses: pools().map(|pool| pool.misses).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_of_the_cases_are_understood() {
        let guests = crate::guests::calc();
        for link in [Link::Fused, Link::IsolatedFresh, Link::IsolatedPooled] {
            let request = request(&manifest::calc(&guests, link)).unwrap();
            assert_eq!(request.id.as_str(), "calc");
        }
        let http = Http {
            name: "busy",
            image: Path::new("/spin.wasm"),
            fields: json!({ "poolSize": 4, "localResources": { "cpuLimit": "none" } }),
            host: Some("busy.bench"),
        };
        let request = request(&http.manifest()).unwrap();
        let config = &request.workload.host_interfaces.first().unwrap().config;
        assert_eq!(config.get("host").map(String::as_str), Some("busy.bench"));
    }
}
