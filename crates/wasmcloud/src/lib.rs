//! Runs WebAssembly component workloads: an embeddable host.
//!
//! A workload is one or more components with their configuration. It is compiled, not interpreted: the [`engine`] decides who
//! answers each import before anything runs, fuses components that call each other into one, and shares what it compiled between
//! all workloads with the same components.
//!
//! [`assembly::assemble`] puts a host together; [`host::Host`] is what it can do.

pub mod artifact;
pub mod assembly;
pub mod capability;
pub mod config;
pub mod engine;
pub mod host;
pub mod instance;
pub mod plugin;
pub mod policy;
pub mod supervisor;
pub mod workload;

/// Compiles the README's example.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExample;
