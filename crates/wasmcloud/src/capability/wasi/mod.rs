//! WASI 0.2 and 0.3: environment and standard streams of the asking component, clocks, random numbers, I/O.
//!
//! Files and sockets link too, because components in the wild import more than they use, but nothing is granted: a component sees
//! no directories, and sockets and name lookups fail with the interface's own error.

mod lines;
mod p2;
mod p3;

use wasmtime::component::LinkerInstance;

use crate::plugin::{Import, Offer, Plugin, StoreData};
use crate::workload::Interface;

/// The plugin for WASI's basics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wasi;

impl Plugin for Wasi {
    fn id(&self) -> &'static str {
        "wasi"
    }

    fn offers(&self) -> Vec<Offer> {
        let shared =
            |package: &str, names: &[&str], version| offers(package, names, version, Offer::shared);
        let identity = |package: &str, names: &[&str], version| {
            offers(package, names, version, Offer::identity)
        };
        [
            shared("io", &["error", "poll", "streams"], P2),
            shared("clocks", &["monotonic-clock", "wall-clock"], P2),
            shared("random", &["insecure", "insecure-seed", "random"], P2),
            shared(
                "cli",
                &[
                    "exit",
                    "terminal-input",
                    "terminal-output",
                    "terminal-stderr",
                    "terminal-stdin",
                    "terminal-stdout",
                ],
                P2,
            ),
            identity("cli", &["environment", "stderr", "stdin", "stdout"], P2),
            shared("filesystem", &["types"], P2),
            identity("filesystem", &["preopens"], P2),
            shared(
                "sockets",
                &[
                    "ip-name-lookup",
                    "network",
                    "tcp",
                    "tcp-create-socket",
                    "udp",
                    "udp-create-socket",
                ],
                P2,
            ),
            identity("sockets", &["instance-network"], P2),
            shared("clocks", &["monotonic-clock", "system-clock", "types"], P3),
            shared("random", &["insecure", "insecure-seed", "random"], P3),
            shared(
                "cli",
                &[
                    "exit",
                    "types",
                    "terminal-input",
                    "terminal-output",
                    "terminal-stderr",
                    "terminal-stdin",
                    "terminal-stdout",
                ],
                P3,
            ),
            identity("cli", &["environment", "stderr", "stdin", "stdout"], P3),
            shared("filesystem", &["types"], P3),
            identity("filesystem", &["preopens"], P3),
            shared("sockets", &["ip-name-lookup", "types"], P3),
        ]
        .concat()
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        match import
            .interface
            .version
            .as_ref()
            .map(|version| (version.major, version.minor))
        {
            Some((0, 3)) => p3::link(import, linker),
            _ => p2::link(import, linker),
        }
    }
}

/// The version of WASI 0.2 that is implemented.
const P2: (u64, u64, u64) = (0, 2, 12);
/// The version of WASI 0.3 that is implemented.
const P3: (u64, u64, u64) = (0, 3, 0);

fn offers(
    package: &str,
    names: &[&str],
    (major, minor, patch): (u64, u64, u64),
    offer: fn(Interface) -> Offer,
) -> Vec<Offer> {
    names
        .iter()
        .map(|name| {
            offer(Interface {
                namespace: "wasi".to_owned(),
                package: package.to_owned(),
                name: (*name).to_owned(),
                version: Some(semver::Version::new(major, minor, patch)),
            })
        })
        .collect()
}

fn not_offered(import: &Import<'_>) -> wasmtime::Error {
    wasmtime::format_err!("`{}` is not offered", import.interface)
}
