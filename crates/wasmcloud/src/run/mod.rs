//! `wasmcloud run`: resolves what the command line and the configuration file say, then runs workloads until a signal ends it.

mod check;
mod data;
mod log;
mod report;
mod settings;
mod signals;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use wasmcloud::assembly::{AssembleError, Assembled, assemble};
use wasmcloud::control::Control;
use wasmcloud::host::LocalHost;
use wasmcloud::supervisor::{Follower, Sources};
use wasmcloud::workload::{Diagnostic, Diagnostics};

use data::DataDir;
use report::Reporter;
use settings::Settings;
use signals::{Signals, Stop};

pub(crate) use settings::Args;

/// How a run ended that began well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Everything was as it should be.
    Well,
    /// Something was still being answered when the grace was over.
    CutShort,
    /// It only looked, and something is wrong.
    Unfit,
}

/// Runs, and says how it ended.
pub(crate) fn run(args: &Args) -> ExitCode {
    let reporter = match Reporter::new(args.output) {
        Ok(reporter) => Arc::new(reporter),
        Err(_) => return ExitCode::FAILURE,
    };
    let settings = match Settings::resolve(args) {
        Ok(settings) => settings,
        Err(errors) => return end(&reporter, Err(errors)),
    };
    let _writes_what_is_left = log::begin(&settings.log);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return end(&reporter, Err(plain(error))),
    };
    let ended = if args.check {
        runtime.block_on(check::check(settings, &reporter))
    } else {
        runtime.block_on(serve(settings, &reporter))
    };
    // Told while the runtime is there, so that a second signal still ends a process whose output nobody reads.
    let code = end(&reporter, ended);
    // A file that is still being read must not keep the process.
    runtime.shutdown_background();
    code
}

/// Tells how it ended, and waits until that is written.
fn end(reporter: &Reporter, ended: Result<Ended, Diagnostics>) -> ExitCode {
    if let Err(errors) = &ended {
        reporter.errors(errors);
    }
    reporter.finish();
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Unfit) | Err(_) => ExitCode::FAILURE,
        Ok(Ended::CutShort) => ExitCode::from(3),
    }
}

fn plain(error: impl std::fmt::Display) -> Diagnostics {
    Diagnostic::new(error.to_string()).into()
}

/// Serves until the first SIGINT or SIGTERM.
async fn serve(settings: Settings, reporter: &Arc<Reporter>) -> Result<Ended, Diagnostics> {
    let mut signals = Signals::listen().map_err(plain)?;
    let grace = settings.host.grace;
    let control = settings.data_dir.clone().filter(|_| settings.control);
    // Held to the end.
    let _data = settings
        .data_dir
        .as_deref()
        .map(DataDir::take)
        .transpose()?;
    let begun = tokio::select! {
        begun = begin(settings, reporter) => begun?,
        stop = signals.stop.wanted() => {
            reporter.stopping(stop, grace);
            reporter.stopped(true);
            return Ok(Ended::Well);
        }
    };
    // From here on somebody may be answered, also while others still start.
    let Begun {
        host,
        http,
        mut follower,
    } = begun;
    // Held to the end: whoever called something is answered.
    let _control = control.and_then(|folder| way_in(&host, http, &folder));
    let stop = tokio::select! {
        stop = signals.stop.wanted() => stop,
        never = async {
            follower.pass().await;
            reporter.ready(http, &follower.summary());
            follow(follower, &mut signals.hangup, reporter).await
        } => match never {},
    };
    reporter.stopping(stop, grace);
    let drained = host.shutdown().await;
    reporter.stopped(drained);
    Ok(if drained {
        Ended::Well
    } else {
        Ended::CutShort
    })
}

/// The way in for programs of this user. Without it, everything else works.
fn way_in(host: &Arc<LocalHost>, http: Option<SocketAddr>, folder: &Path) -> Option<Control> {
    let started = Control::start(Arc::clone(host), http, folder);
    started
        .inspect_err(
            |error| tracing::warn!(%error, "`wash call` and `wash status` cannot reach this host"),
        )
        .ok()
}

/// A host that listens and runs nothing yet.
struct Begun {
    host: Arc<LocalHost>,
    http: Option<SocketAddr>,
    follower: Follower,
}

/// Listens.
async fn begin(settings: Settings, reporter: &Arc<Reporter>) -> Result<Begun, Diagnostics> {
    let mut sources = Sources::new(settings.paths);
    let looked = tokio::task::spawn_blocking(move || (sources.look(), sources));
    let (look, sources) = looked.await.map_err(plain)?;
    if look.is_hopeless() {
        return Err(look.problems());
    }
    let Assembled { host, http, .. } = assemble(settings.host).await.map_err(cannot_assemble)?;
    let tell = Arc::clone(reporter);
    let follower = Follower::new(host.clone(), sources, move |news| tell.news(&news));
    Ok(Begun {
        host,
        http,
        follower,
    })
}

/// Never, when it is meant that way.
enum Never {}

async fn follow(
    mut follower: Follower,
    hangup: &mut signals::Hangup,
    reporter: &Reporter,
) -> Never {
    loop {
        let reload = tokio::select! {
            () = follower.changed() => false,
            () = hangup.wanted() => true,
        };
        follower.pass().await;
        if reload {
            reporter.reloaded();
        }
    }
}

fn cannot_assemble(error: AssembleError) -> Diagnostics {
    let hint = match &error {
        AssembleError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            "another program listens there: stop it, or choose another address with `--http-addr`; port 0 takes a free one"
        }
        AssembleError::Listen { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose another one with `--http-addr`"
        }
        AssembleError::Trust(_) => {
            "see `trust` and `extraCaFiles` under `http.client` in the configuration of the host"
        }
        #[cfg(feature = "servers")]
        AssembleError::Authorities(_) => {
            "see `extraCaFiles` under `backends` in the configuration of the host"
        }
        #[cfg(feature = "oci")]
        AssembleError::Images(_) => "see `images` in the configuration of the host",
        AssembleError::Plugin { .. } => "see `hostPlugins` in the configuration of the host",
        AssembleError::Listen { .. } => {
            "choose an address of this machine with `--http-addr`, such as 127.0.0.1:8000"
        }
    };
    Diagnostic::new(error.to_string()).with_hint(hint).into()
}
