//! The components that are measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The pair of the `call` bench.
pub(crate) struct Guests {
    /// Exports `run-add` and `run-greet`, which loop over calls of the callee.
    pub(crate) caller: PathBuf,
    /// Exports `add` and `greet`.
    pub(crate) callee: PathBuf,
}

/// The two components of the `call` bench.
pub(crate) fn calc() -> Guests {
    Guests {
        caller: test_guests::CALC_CALLER.into(),
        callee: test_guests::CALC_CALLEE.into(),
    }
}

/// A service instead of the caller: it calls when it is told to.
pub(crate) fn calc_service() -> Guests {
    Guests {
        caller: test_guests::CALC_SERVICE.into(),
        ..calc()
    }
}

/// Which WASI a guest speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// 0.2, through the standard library.
    P2,
    /// 0.3.
    P3,
}

impl Dialect {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::P2, Self::P3];

    /// What it is called on a command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P2 => "p2",
            Self::P3 => "p3",
        }
    }

    /// What the names of its cases end in.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::P2 => "",
            Self::P3 => "-p3",
        }
    }
}

/// The pair of the `network` bench.
pub(crate) struct Network {
    pub(crate) dialect: Dialect,
    /// Sends back what it is sent.
    pub(crate) server: PathBuf,
    /// Talks to it and takes the time.
    pub(crate) client: PathBuf,
}

/// An echo server and its client.
pub(crate) fn network(dialect: Dialect) -> Network {
    let (server, client) = match dialect {
        Dialect::P2 => (test_guests::NET_ECHO, test_guests::NET_DRIVE),
        Dialect::P3 => (test_guests::NET_ECHO_P3, test_guests::NET_DRIVE_P3),
    };
    Network {
        dialect,
        server: server.into(),
        client: client.into(),
    }
}

/// Keeps keys and values in a loop.
pub(crate) fn keyvalue(dialect: Dialect) -> PathBuf {
    match dialect {
        Dialect::P2 => test_guests::BENCH_KEYVALUE,
        Dialect::P3 => test_guests::BENCH_KEYVALUE_P3,
    }
    .into()
}

/// Has blobs flow through streams.
pub(crate) fn blobs(dialect: Dialect) -> PathBuf {
    match dialect {
        Dialect::P2 => test_guests::BENCH_BLOBS,
        Dialect::P3 => test_guests::BENCH_BLOBS_P3,
    }
    .into()
}

/// Sends messages in a loop, and handles them.
pub(crate) fn messages(dialect: Dialect) -> PathBuf {
    match dialect {
        Dialect::P2 => test_guests::BENCH_MESSAGES,
        Dialect::P3 => test_guests::BENCH_MESSAGES_P3,
    }
    .into()
}

/// Asks a database in a loop.
pub(crate) fn postgres(dialect: Dialect) -> PathBuf {
    match dialect {
        Dialect::P2 => test_guests::BENCH_POSTGRES,
        Dialect::P3 => test_guests::BENCH_POSTGRES_P3,
    }
    .into()
}

/// A service that waits until it is asked to end.
pub(crate) fn waiting() -> PathBuf {
    test_guests::NET_ECHO.into()
}

/// A WASI 0.2 handler that computes for good when it is asked for [`SPIN`].
pub(crate) fn spinner() -> PathBuf {
    test_guests::HTTP_P2.into()
}

/// The path under which [`spinner`] computes for good.
pub(crate) const SPIN: &str = "/spin";

/// The example `http-hello`: a WASI 0.2 handler.
pub(crate) fn http_p2() -> anyhow::Result<PathBuf> {
    example("http-hello", "http_hello.wasm")
}

/// The example `http-hello-p3`: the same for WASI 0.3.
pub(crate) fn http_p3() -> anyhow::Result<PathBuf> {
    example("http-hello-p3", "http_hello_p3.wasm")
}

/// Builds an example as a user would.
fn example(project: &str, artifact: &str) -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(project)
        .join("Cargo.toml");
    let target = crate::record::target_dir()?.join("bench-examples");
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            "wasm32-wasip2",
            "--manifest-path",
        ])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cargo did not start")?;
    ensure!(built.success(), "the example {project} does not build");
    Ok(target.join("wasm32-wasip2/release").join(artifact))
}
