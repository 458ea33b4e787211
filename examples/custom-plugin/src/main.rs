//! A program with a host inside, and a plugin of its own in the host. It starts the workloads of a manifest and lets guests in.

mod plugin;

use std::path::PathBuf;
use std::sync::Arc;

use wasmcloud::assembly::{HostConfig, assemble};
use wasmcloud::capability::direct::Direct;
use wasmcloud::host::Host as _;
use wasmcloud::supervisor::load;

use plugin::Guestbooks;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let manifest = args.next().unwrap_or("guest/workload.yaml".into());
    let books = args.next().unwrap_or("books".into());
    std::fs::create_dir_all(&books)?;
    let desk = Direct::new("demo:guestbook/desk@0.1.0".parse()?);
    let config = HostConfig {
        plugins: vec![Arc::new(Guestbooks(books)), Arc::new(desk.clone())],
        ..HostConfig::default()
    };
    let host = assemble(config).await?.host;
    for workload in load(&[manifest])? {
        let started = host.start(workload.request.clone()).await;
        let started = started.map_err(|error| workload.explain(&error))?;
        for guest in ["Ada", "Grace"] {
            let guest = (guest.to_owned(),);
            let (told,): (Result<String, String>,) =
                desk.call(&started.id, "welcome", guest).await?;
            println!("{}: {}", started.name, told.unwrap_or_else(|why| why));
        }
    }
    host.shutdown().await;
    Ok(())
}
