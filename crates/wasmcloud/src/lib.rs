//! Runs WebAssembly component workloads: an embeddable host.
//!
//! A workload is one or more components with their configuration. It is compiled, not interpreted: the [`engine`] decides who
//! answers each import before anything runs, fuses components that call each other into one, and shares what it compiled between
//! all workloads with the same components.
//!
//! [`assembly::assemble`] puts a host together; [`host::Host`] is what it can do. This is a walk through a program with a host
//! inside; `examples/embed` is the same in one piece, with its component.
//!
//! # A host
//!
//! A [`HostConfig`](assembly::HostConfig) says everything about a host. The default denies whatever can be denied and listens
//! nowhere: its components compute, and that is all. A host lives until its last handle is dropped; dropping it ends what it runs,
//! and `shutdown` does so gently.
//!
//! ```no_run
//! use wasmcloud::assembly::{HostConfig, assemble};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let host = assemble(HostConfig::default()).await?.host;
//! // …
//! host.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # A workload
//!
//! A manifest names the components, what they run with, and what the outside may call. [`supervisor::load`] reads manifests from
//! files; [`workload::manifest::parse`] takes a text from anywhere. [`host::Host::start`] returns when the workload runs, or says why
//! it cannot; `explain` adds file, line and column.
//!
//! ```no_run
//! use wasmcloud::host::Host as _;
//! use wasmcloud::supervisor::load;
//!
//! # async fn run(host: &wasmcloud::host::LocalHost) -> Result<(), Box<dyn std::error::Error>> {
//! for workload in load(&["workload.yaml".into()])? {
//!     let started = host.start(workload.request.clone()).await;
//!     let status = started.map_err(|error| workload.explain(&error))?;
//!     println!("{} is {:?}", status.name, status.state);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A call
//!
//! Somebody has to call components. The HTTP server is one way, [`Direct`](capability::direct::Direct) is another: for one interface
//! that components export, it calls any function with values of Rust types. One clone goes to the host as a plugin, the other makes
//! the calls. Every call gets a fresh instance, unless the manifest asks for a pool, and is held to the component's limits.
//!
//! ```no_run
//! use std::sync::Arc;
//! use wasmcloud::assembly::{HostConfig, assemble};
//! use wasmcloud::capability::direct::Direct;
//! use wasmcloud::workload::WorkloadId;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let orders = Direct::new("demo:shop/orders@0.1.0".parse()?);
//! let host = assemble(HostConfig {
//!     plugins: vec![Arc::new(orders.clone())],
//!     ..HostConfig::default()
//! })
//! .await?
//! .host;
//! // … start a workload that lists `demo:shop/orders` in its `hostInterfaces`, and then:
//! let shop: WorkloadId = "default:shop".parse()?;
//! let (total,): (Result<u32, String>,) = orders.call(&shop, "total", ("pear".to_owned(), 3_u32)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`LocalHost::call`](host::LocalHost::call) calls any function that any component exports, listed or not, with arguments and result as
//! text: `wash call` does so. For workloads that are there for nothing else, [`calls_only`](assembly::HostConfig::calls_only) makes a
//! host that lets nobody else in.
//!
//! # A capability of the program's own
//!
//! What a component imports and no other component exports, a plugin answers. [`plugin::Plugin`] is one trait: `offers` says which
//! interfaces, `link` puts their functions into a linker. What a workload needs of its own, `bind` acquires.
//!
//! ```no_run
//! use wasmcloud::plugin::{Import, Offer, Plugin, StoreData};
//! use wasmtime::{StoreContextMut, component::LinkerInstance};
//!
//! struct Prices;
//!
//! impl Plugin for Prices {
//!     fn id(&self) -> &'static str {
//!         "shop-prices"
//!     }
//!
//!     fn offers(&self) -> Vec<Offer> {
//!         let interface = "demo:shop/prices@0.1.0".parse();
//!         interface.map(Offer::shared).into_iter().collect()
//!     }
//!
//!     fn link(
//!         &self,
//!         _: &Import<'_>,
//!         linker: &mut LinkerInstance<'_, StoreData>,
//!     ) -> wasmtime::Result<()> {
//!         let price = |_: StoreContextMut<'_, StoreData>, (item,): (String,)| {
//!             Ok(((item == "pear").then_some(45_u32),))
//!         };
//!         linker.func_wrap("price", price)
//!     }
//! }
//! ```
//!
//! # Going on
//!
//! `HostConfig::http` makes the host listen. [`policy::GuestLimits`] is what guests may use. `HostConfig::egress` is what they may
//! reach, and nothing is the default. [`host::Host::status`] tells what a workload uses, and who answers each of its imports.

pub mod artifact;
pub mod assembly;
pub mod capability;
pub mod config;
pub mod control;
pub mod engine;
pub mod host;
pub mod instance;
pub mod net;
pub mod plugin;
pub mod policy;
#[cfg(feature = "oci")]
pub mod registry;
pub mod supervisor;
pub mod workload;

/// Compiles the README's example.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExample;
