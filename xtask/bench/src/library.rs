//! The library's side of every comparison: the only file here that uses the crate `wasmcloud`.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use wasmtime::Config;

use crate::call::Caller;
use crate::guests::Guests;

/// A fused workload whose caller can be called directly.
pub(crate) enum FusedCaller {}

impl Caller for FusedCaller {
    async fn run_add(&mut self, _n: u32) -> anyhow::Result<u32> {
        match *self {}
    }

    async fn run_greet(&mut self, _n: u32) -> anyhow::Result<u32> {
        match *self {}
    }
}

/// The settings that the library compiles and runs with, for the baseline to share.
pub(crate) fn engine_config() -> anyhow::Result<Config> {
    bail!("the library does not hand out its engine settings yet")
}

/// The two guests as a workload: planned, fused, compiled and instantiated by the library.
pub(crate) async fn caller(_guests: &Guests) -> anyhow::Result<FusedCaller> {
    bail!("the library does not fuse workloads yet")
}

/// Serves one component on a free port of 127.0.0.1, prints the URL in a line on stdout, and runs
/// until the process is ended.
pub(crate) fn serve(_component: &Path) -> anyhow::Result<()> {
    bail!("the library does not serve workloads yet")
}

/// From the start request for a workload of one HTTP component to the end of its first response,
/// by a host that has just been made and keeps its compiled code in `cache`.
pub(crate) async fn first_response(_component: &Path, _cache: &Path) -> anyhow::Result<Duration> {
    bail!("the library does not start workloads yet")
}
