//! The role of a host under load, in a process of its own: serves some workloads, and answers questions about them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use wasmcloud::assembly::Assembled;
use wasmcloud::host::{Host as _, StartRequest};

use super::{http_host, request, summed};
use crate::talk::{Copies, Question};
use crate::workers::WORKERS;

/// Serves the workloads of some manifests on a free port of 127.0.0.1, prints the URL in a line on stdout, and answers until
/// nobody can ask any more. The host has room for so many instances, if that is said.
pub(crate) fn serve(manifests: &[String], instances: Option<u32>) -> anyhow::Result<()> {
    let manifests: Vec<serde_json::Value> = manifests
        .iter()
        .map(|manifest| serde_json::from_str(manifest).context("a manifest is not JSON"))
        .collect::<anyhow::Result<_>>()?;
    let requests: Vec<StartRequest> = manifests
        .iter()
        .map(request)
        .collect::<anyhow::Result<_>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // On a worker, like the connections: the thread inside `block_on` is a third one.
        tokio::spawn(async move {
            let host = http_host(None, instances).await?;
            for request in &requests {
                host.host.start(request.clone()).await?;
            }
            let address = host.http.context("no HTTP server")?;
            writeln!(std::io::stdout().lock(), "http://{address}/")?;
            let first = requests.into_iter().next().context("nothing to serve")?;
            Serving {
                host,
                first,
                copies: 1,
            }
            .answer_all()
            .await
        })
        .await?
    })
}

/// A host that is asked.
struct Serving {
    host: Assembled,
    /// The workload that is copied.
    first: StartRequest,
    /// How many there are of it.
    copies: usize,
}

impl Serving {
    async fn answer_all(mut self) -> anyhow::Result<()> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            match serde_json::from_str(&line).with_context(|| format!("asked {line}"))? {
                Question::Usage(name) => {
                    let status = self.host.host.status(&name.parse()?).await?;
                    tell(&summed(&status.usage.unwrap_or_default()))?;
                }
                Question::Copies(wanted) => tell(&self.copy(wanted).await?)?,
            }
        }
        Ok(())
    }

    async fn copy(&mut self, wanted: usize) -> anyhow::Result<Copies> {
        let (before, mut spent) = (self.copies, Duration::ZERO);
        while self.copies < wanted {
            let request = copy_of(&self.first, self.copies)?;
            let began = Instant::now();
            self.host.host.start(request).await?;
            spent += began.elapsed();
            self.copies += 1;
        }
        Ok(Copies {
            started: self.copies - before,
            milliseconds: spent.as_secs_f64() * 1e3,
        })
    }
}

/// The workload under another name, for the host name `NAME.bench`.
fn copy_of(first: &StartRequest, number: usize) -> anyhow::Result<StartRequest> {
    let mut copy = first.clone();
    let name = format!("copy-{number}");
    copy.id = name.parse()?;
    copy.workload.name = name.parse()?;
    for entry in &mut copy.workload.host_interfaces {
        entry
            .config
            .insert("host".to_owned(), format!("{name}.bench"));
    }
    Ok(copy)
}

fn tell(answer: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(answer)?;
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_a_name_and_a_host_of_its_own() {
        let manifest = crate::manifest::Http {
            name: "live",
            image: std::path::Path::new("/hello.wasm"),
            fields: serde_json::json!({}),
            host: Some("live.bench"),
        };
        let first = request(&manifest.manifest()).unwrap();
        let copy = copy_of(&first, 7).unwrap();
        assert_eq!(copy.id.as_str(), "copy-7");
        assert_eq!(copy.workload.name.as_str(), "copy-7");
        let config = &copy.workload.host_interfaces.first().unwrap().config;
        assert_eq!(config.get("host").map(String::as_str), Some("copy-7.bench"));
        assert_eq!(copy.workload.components, first.workload.components);
    }
}
