//! WASI 0.2. What bears identity is answered here, the rest by `wasmtime-wasi`.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::{HasData, HasSelf, LinkerInstance, Resource, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError,
    StreamResult, pipe,
};
use wasmtime_wasi::random::WasiRandom;

use super::filesystem::{Filesystem, FilesystemView, directories};
use super::lines::Lines;
use crate::plugin::{Import, Position, Role, Source, StoreData, WorkloadContext};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/p2",
        world: "wasmcloud:identity-p2/identity",
        imports: { default: trappable },
        named_imports: {
            "wasi:cli/environment": crate::plugin::Position,
            "wasi:cli/stdin": crate::plugin::Position,
            "wasi:cli/stdout": crate::plugin::Position,
            "wasi:cli/stderr": crate::plugin::Position,
            "wasi:filesystem/preopens": crate::plugin::Position,
        },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:cli": wasmtime_wasi::p2::bindings::cli,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:filesystem": wasmtime_wasi::p2::bindings::filesystem,
        },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasi as named;

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    match import.interface.package.as_str() {
        "cli" => link_cli(import, linker),
        "filesystem" => link_filesystem(import, linker),
        _ => link_basics(import, linker),
    }
}

fn link_basics(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    let (package, name) = (
        import.interface.package.as_str(),
        import.interface.name.as_str(),
    );
    match (package, name) {
        ("io", "error") => {
            io::error::add_to_linker_instance::<S, HasTable>(linker, |s| s.ctx().table)
        }
        ("io", "poll") => {
            io::poll::add_to_linker_instance::<S, HasTable>(linker, |s| s.ctx().table)
        }
        ("io", "streams") => {
            io::streams::add_to_linker_instance::<S, HasTable>(linker, |s| s.ctx().table)
        }
        ("clocks", "monotonic-clock") => {
            clocks::monotonic_clock::add_to_linker_instance::<S, WasiClocks>(linker, S::clocks)
        }
        ("clocks", "wall-clock") => {
            clocks::wall_clock::add_to_linker_instance::<S, WasiClocks>(linker, S::clocks)
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
        _ => Err(super::not_offered(import)),
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

fn link_filesystem(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    match import.interface.name.as_str() {
        "types" => {
            filesystem::types::add_to_linker_instance::<S, Filesystem>(linker, FilesystemView::of)
        }
        "preopens" => named::filesystem::preopens::add_to_linker_instance::<S, HasSelf<S>>(
            linker,
            import.position,
            |s| s,
        ),
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

    fn initial_cwd(&mut self, _: Position) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl named::cli::stdin::Host for StoreData {
    fn get_stdin(&mut self, position: Position) -> wasmtime::Result<Resource<DynInputStream>> {
        let stream: DynInputStream = match self.caller(position)?.role {
            Role::Component => Box::new(pipe::ClosedInputStream),
            Role::Service => Box::new(UntilFarewell(Arc::clone(self.workload()))),
        };
        Ok(self.table().push(stream)?)
    }
}

impl named::cli::stdout::Host for StoreData {
    fn get_stdout(&mut self, position: Position) -> wasmtime::Result<Resource<DynOutputStream>> {
        lines_stream(self, position, Source::Stdout)
    }
}

impl named::cli::stderr::Host for StoreData {
    fn get_stderr(&mut self, position: Position) -> wasmtime::Result<Resource<DynOutputStream>> {
        lines_stream(self, position, Source::Stderr)
    }
}

impl named::filesystem::preopens::Host for StoreData {
    fn get_directories(
        &mut self,
        position: Position,
    ) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        directories(self, position)
    }
}

fn lines_stream(
    store: &mut StoreData,
    position: Position,
    source: Source,
) -> wasmtime::Result<Resource<DynOutputStream>> {
    let lines = Lines::new(
        store.workload().clone(),
        store.caller(position)?.clone(),
        source,
    );
    let stream: DynOutputStream = Box::new(LinesStream(lines));
    Ok(store.table().push(stream)?)
}

/// The standard input of a service: nothing comes, and it ends when the service is asked to.
struct UntilFarewell(Arc<WorkloadContext>);

#[async_trait::async_trait]
impl Pollable for UntilFarewell {
    async fn ready(&mut self) {
        self.0.farewell.hear().await;
    }
}

impl InputStream for UntilFarewell {
    fn read(&mut self, _: usize) -> StreamResult<Bytes> {
        if self.0.farewell.is_said() {
            return Err(StreamError::Closed);
        }
        Ok(Bytes::new())
    }
}

/// Takes whatever it is given at once; lines are passed on where they end.
struct LinesStream(Lines);

#[async_trait::async_trait]
impl Pollable for LinesStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LinesStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}
