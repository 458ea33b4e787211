//! WASI 0.3. What bears identity is answered here, the rest by `wasmtime-wasi`.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Access, Destination, FutureReader, HasSelf, LinkerInstance, Resource, Source as StreamSource,
    StreamConsumer, StreamProducer, StreamReader, StreamResult,
};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode;
use wasmtime_wasi::p3::bindings::{cli, clocks, filesystem, random};
use wasmtime_wasi::random::WasiRandom;

use super::filesystem::{Filesystem, FilesystemView, directories};
use super::lines::Lines;
use crate::plugin::{Import, Position, Role, Source, StoreData};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/p3",
        world: "wasmcloud:identity-p3/identity",
        imports: {
            "wasi:cli/stdin": store | trappable,
            "wasi:cli/stdout": store | trappable,
            "wasi:cli/stderr": store | trappable,
            default: trappable,
        },
        named_imports: {
            "wasi:cli/environment": crate::plugin::Position,
            "wasi:cli/stdin": crate::plugin::Position,
            "wasi:cli/stdout": crate::plugin::Position,
            "wasi:cli/stderr": crate::plugin::Position,
            "wasi:filesystem/preopens": crate::plugin::Position,
        },
        with: {
            "wasi:cli": wasmtime_wasi::p3::bindings::cli,
            "wasi:clocks": wasmtime_wasi::p3::bindings::clocks,
            "wasi:filesystem": wasmtime_wasi::p3::bindings::filesystem,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasi as named;

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    match import.interface.package.as_str() {
        "cli" => link_cli(import, linker),
        _ => link_rest(import, linker),
    }
}

fn link_cli(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    type Own = HasSelf<StoreData>;
    let position = import.position;
    match import.interface.name.as_str() {
        "environment" => {
            named::cli::environment::add_to_linker_instance::<S, Own>(linker, position, |s| s)
        }
        "stdin" => named::cli::stdin::add_to_linker_instance::<S, Own>(linker, position, |s| s),
        "stdout" => named::cli::stdout::add_to_linker_instance::<S, Own>(linker, position, |s| s),
        "stderr" => named::cli::stderr::add_to_linker_instance::<S, Own>(linker, position, |s| s),
        "types" => Ok(()),
        "exit" => cli::exit::add_to_linker_instance::<S, WasiCli>(linker, S::cli),
        "terminal-input" => {
            cli::terminal_input::add_to_linker_instance::<S, WasiCli>(linker, S::cli)
        }
        "terminal-output" => {
            cli::terminal_output::add_to_linker_instance::<S, WasiCli>(linker, S::cli)
        }
        "terminal-stdin" => {
            cli::terminal_stdin::add_to_linker_instance::<S, WasiCli>(linker, S::cli)
        }
        "terminal-stdout" => {
            cli::terminal_stdout::add_to_linker_instance::<S, WasiCli>(linker, S::cli)
        }
        "terminal-stderr" => {
            cli::terminal_stderr::add_to_linker_instance::<S, WasiCli>(linker, S::cli)
        }
        _ => Err(super::not_offered(import)),
    }
}

fn link_rest(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    let (package, name) = (
        import.interface.package.as_str(),
        import.interface.name.as_str(),
    );
    match (package, name) {
        ("clocks", "types") => Ok(()),
        ("clocks", "monotonic-clock") => {
            clocks::monotonic_clock::add_to_linker_instance::<S, WasiClocks>(linker, S::clocks)
        }
        ("clocks", "system-clock") => {
            clocks::system_clock::add_to_linker_instance::<S, WasiClocks>(linker, S::clocks)
        }
        ("random", "random") => {
            random::random::add_to_linker_instance::<S, WasiRandom>(linker, |s| {
                s.ctx().ctx.random()
            })
        }
        ("random", "insecure") => {
            random::insecure::add_to_linker_instance::<S, WasiRandom>(linker, |s| {
                s.ctx().ctx.random()
            })
        }
        ("random", "insecure-seed") => {
            random::insecure_seed::add_to_linker_instance::<S, WasiRandom>(linker, |s| {
                s.ctx().ctx.random()
            })
        }
        ("filesystem", "types") => {
            filesystem::types::add_to_linker_instance::<S, Filesystem>(linker, FilesystemView::of)
        }
        ("filesystem", "preopens") => named::filesystem::preopens::add_to_linker_instance::<
            S,
            HasSelf<S>,
        >(linker, import.position, |s| s),
        _ => Err(super::not_offered(import)),
    }
}

impl named::cli::environment::Host for StoreData {
    fn get_environment(&mut self, position: Position) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.caller(position)?.environment.clone())
    }

    fn get_arguments(&mut self, _: Position) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn get_initial_cwd(&mut self, _: Position) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

type Done = FutureReader<Result<(), ErrorCode>>;

impl named::cli::stdin::HostWithStore<StoreData> for HasSelf<StoreData> {
    /// Standard input is at its end; that of a service, when the service is asked to end.
    fn read_via_stream(
        mut store: Access<'_, StoreData, Self>,
        position: Position,
    ) -> wasmtime::Result<(StreamReader<u8>, Done)> {
        let data = store.get();
        let stream = match data.caller(position)?.role {
            Role::Component => StreamReader::new(&mut store, Vec::new())?,
            Role::Service => {
                let farewell = Box::pin(data.workload().farewell.hear());
                StreamReader::new(&mut store, UntilFarewell(farewell))?
            }
        };
        Ok((stream, succeeded(&mut store)?))
    }
}

impl named::cli::stdin::Host for StoreData {}

impl named::cli::stdout::HostWithStore<StoreData> for HasSelf<StoreData> {
    fn write_via_stream(
        store: Access<'_, StoreData, Self>,
        position: Position,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Done> {
        write_lines(store, position, Source::Stdout, data)
    }
}

impl named::cli::stdout::Host for StoreData {}

impl named::cli::stderr::HostWithStore<StoreData> for HasSelf<StoreData> {
    fn write_via_stream(
        store: Access<'_, StoreData, Self>,
        position: Position,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<Done> {
        write_lines(store, position, Source::Stderr, data)
    }
}

impl named::cli::stderr::Host for StoreData {}

impl named::filesystem::preopens::Host for StoreData {
    fn get_directories(
        &mut self,
        position: Position,
    ) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        directories(self, position)
    }
}

fn write_lines(
    mut store: Access<'_, StoreData, HasSelf<StoreData>>,
    position: Position,
    source: Source,
    data: StreamReader<u8>,
) -> wasmtime::Result<Done> {
    let (workload, component) = {
        let data = store.get();
        (data.workload().clone(), data.caller(position)?.clone())
    };
    data.pipe(
        &mut store,
        LinesConsumer(Lines::new(workload, component, source)),
    )?;
    succeeded(&mut store)
}

fn succeeded(store: &mut Access<'_, StoreData, HasSelf<StoreData>>) -> wasmtime::Result<Done> {
    FutureReader::new(store, std::future::ready(wasmtime::error::Ok(Ok(()))))
}

/// Nothing comes, and it ends when the service is asked to.
struct UntilFarewell(Pin<Box<WaitForCancellationFutureOwned>>);

impl<D> StreamProducer<D> for UntilFarewell {
    type Item = u8;
    type Buffer = bytes::Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'a, D>,
        _: Destination<'a, u8, bytes::Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if self.0.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        if finish {
            return Poll::Ready(Ok(StreamResult::Cancelled));
        }
        Poll::Pending
    }
}

/// Takes whatever it is given at once; lines are passed on where they end.
struct LinesConsumer(Lines);

impl<D> StreamConsumer<D> for LinesConsumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: StreamSource<'_, u8>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let taken = bytes.len();
        self.0.write(bytes);
        source.mark_read(taken);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
