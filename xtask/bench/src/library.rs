//! The library's side of every comparison: the only file here that uses the crate `wasmcloud`.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::capability::direct::Direct;
use wasmcloud::capability::http::HttpOptions;
use wasmcloud::engine::EngineOptions;
use wasmcloud::engine::config::{Allocation, Flavour, config};
use wasmcloud::host::{Host as _, StartRequest};
use wasmcloud::workload::{Manifest, WorkloadId};
use wasmtime::Config;

use crate::call::Caller;
use crate::guests::Guests;

/// The interface of the caller, through which the loops are entered.
pub(crate) const DRIVE: &str = "bench:calc/drive@0.1.0";

/// A fused workload whose caller can be called directly.
pub(crate) struct FusedCaller {
    direct: Direct,
    id: WorkloadId,
    _host: Assembled,
}

impl Caller for FusedCaller {
    async fn run_add(&mut self, n: u32) -> anyhow::Result<u32> {
        let (sum,) = self.direct.call(&self.id, "run-add", (n,)).await?;
        Ok(sum)
    }

    async fn run_greet(&mut self, n: u32) -> anyhow::Result<u32> {
        let (sum,) = self.direct.call(&self.id, "run-greet", (n,)).await?;
        Ok(sum)
    }
}

/// The settings that the library compiles and runs with, for the baseline to share.
pub(crate) fn engine_config() -> Config {
    config(Flavour::Plain, Allocation::for_machine())
}

/// The two guests as a workload: planned, fused, compiled and called through the library.
pub(crate) async fn caller(guests: &Guests) -> anyhow::Result<FusedCaller> {
    let direct = Direct::new(DRIVE.parse()?);
    let host = assemble(HostConfig {
        plugins: vec![Arc::new(direct.clone())],
        ..HostConfig::default()
    })
    .await?;
    let components = format!(
        "[{{name: caller, image: {}}}, {{name: callee, image: {}}}]",
        guests.caller.display(),
        guests.callee.display()
    );
    let grant = "{namespace: bench, package: calc, interfaces: [drive]}";
    let started = host.host.start(request(&components, grant)?).await?;
    Ok(FusedCaller {
        direct,
        id: started.id,
        _host: host,
    })
}

/// Serves one component on a free port of 127.0.0.1, prints the URL in a line on stdout, and runs
/// until the process is ended.
pub(crate) fn serve(component: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // On a worker, like the connections: the thread inside `block_on` is a third one.
        let component = component.to_owned();
        let host = tokio::spawn(async move {
            let host = http_host(None).await?;
            host.host.start(http_request(&component)?).await?;
            anyhow::Ok(host)
        })
        .await??;
        let address = host.http.context("no HTTP server")?;
        writeln!(std::io::stdout().lock(), "http://{address}/")?;
        std::future::pending::<()>().await;
        Ok(())
    })
}

/// From the start request for a workload of one HTTP component to the end of its first response,
/// by a host that has just been made and keeps its compiled code in `cache`.
pub(crate) async fn first_response(component: &Path, cache: &Path) -> anyhow::Result<Duration> {
    let host = http_host(Some(cache)).await?;
    let address = host.http.context("no HTTP server")?;
    let request = http_request(component)?;
    let start = Instant::now();
    host.host.start(request).await?;
    crate::http::get(address).await?;
    Ok(start.elapsed())
}

async fn http_host(cache: Option<&Path>) -> anyhow::Result<Assembled> {
    let engine = EngineOptions {
        cache_dir: cache.map(Path::to_owned),
        ..EngineOptions::default()
    };
    let http = Some(HttpOptions::new(([127, 0, 0, 1], 0).into()));
    Ok(assemble(HostConfig {
        engine,
        http,
        ..HostConfig::default()
    })
    .await?)
}

fn http_request(component: &Path) -> anyhow::Result<StartRequest> {
    let components = format!("[{{name: main, image: {}}}]", component.display());
    request(
        &components,
        "{namespace: wasi, package: http, interfaces: [incoming-handler]}",
    )
}

fn request(components: &str, grant: &str) -> anyhow::Result<StartRequest> {
    let manifest = format!(
        "{{apiVersion: runtime.wasmcloud.dev/v1alpha1, kind: Workload, metadata: {{name: bench}}, \
         spec: {{components: {components}, hostInterfaces: [{grant}]}}}}"
    );
    let manifests = wasmcloud::workload::manifest::parse(&manifest, Path::new("bench.yaml"))?;
    let Some(Manifest { workload, .. }) = manifests.into_iter().next() else {
        anyhow::bail!("no workload in the manifest");
    };
    Ok(StartRequest {
        id: "bench".parse()?,
        workload,
        base: "/".into(),
        replaces: None,
    })
}
