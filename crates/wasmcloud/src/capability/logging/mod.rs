//! `wasi:logging/logging@0.1.0-draft`: log lines, labelled with workload and component.

use wasmtime::component::{HasSelf, LinkerInstance};

use crate::plugin::{GuestLine, Import, LogLevel, Offer, Plugin, Position, Source, StoreData};
use crate::workload::Interface;

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/logging",
        world: "wasi:logging/imports",
        imports: { default: trappable },
        named_imports: { "wasi:logging/logging": crate::plugin::Position },
    });
}

use generated::named_imports::wasi::logging::logging;
use generated::wasi::logging::logging::Level;

/// The plugin for log lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logging;

impl Plugin for Logging {
    fn id(&self) -> &'static str {
        "wasi-logging"
    }

    fn offers(&self) -> Vec<Offer> {
        let version = semver::Version::parse("0.1.0-draft").ok();
        let interface = Interface {
            namespace: "wasi".to_owned(),
            package: "logging".to_owned(),
            name: "logging".to_owned(),
            version,
        };
        vec![Offer::identity(interface)]
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        logging::add_to_linker_instance::<StoreData, HasSelf<StoreData>>(
            linker,
            import.position,
            |s| s,
        )
    }
}

impl logging::Host for StoreData {
    /// A message of several lines is passed on as one.
    fn log(
        &mut self,
        position: Position,
        level: Level,
        context: String,
        message: String,
    ) -> wasmtime::Result<()> {
        let (workload, component) = (self.workload(), self.caller(position)?);
        workload.log.line(GuestLine {
            namespace: &workload.namespace,
            workload: &workload.name,
            component: &component.name,
            source: Source::Log(level.into()),
            context: &context,
            text: &message,
        });
        Ok(())
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error | Level::Critical => Self::Error,
        }
    }
}
