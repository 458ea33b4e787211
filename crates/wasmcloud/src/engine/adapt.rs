//! Makes components out of core modules that were built for WASI preview 1.

use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{ExternalKind, Parser, Payload};
use wit_component::ComponentEncoder;

use super::inspect::InspectError;

/// Adapts a core module.
///
/// A command (a module that exports `_start`) becomes a component that exports `wasi:cli/run`. A reactor exports what the world
/// embedded in it says.
///
/// # Errors
/// When the module breaks the rules, embeds no world and is no command, or imports something that no adapter answers.
pub(super) fn adapt(module: &[u8]) -> Result<Vec<u8>, InspectError> {
    let refuse = |reason: String| InspectError::NotAdaptable { reason };
    let shape = Shape::of(module).map_err(|error| InspectError::Invalid {
        reason: error.to_string(),
    })?;
    shape.check().map_err(refuse)?;
    let adapter_bytes = if shape.is_command {
        adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter_bytes)
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| refuse(format!("{error:#}")))
}

/// What matters of a module for adapting it.
struct Shape {
    is_command: bool,
    embeds_world: bool,
    imports: Vec<String>,
}

impl Shape {
    fn of(module: &[u8]) -> wasmparser::Result<Self> {
        let mut shape = Self {
            is_command: false,
            embeds_world: false,
            imports: Vec::new(),
        };
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        shape.imports.push(import?.module.to_owned());
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        shape.is_command |=
                            export.name == "_start" && export.kind == ExternalKind::Func;
                    }
                }
                Payload::CustomSection(section) => {
                    shape.embeds_world |= section.name().starts_with("component-type")
                }
                _ => {}
            }
        }
        shape.imports.sort();
        shape.imports.dedup();
        Ok(shape)
    }

    fn check(&self) -> Result<(), String> {
        if self.embeds_world {
            return Ok(());
        }
        let unknown: Vec<&str> = self
            .imports
            .iter()
            .map(String::as_str)
            .filter(|m| *m != adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME)
            .collect();
        if let [first, ..] = unknown.as_slice() {
            return Err(format!(
                "it imports from `{}`, for which there is no adapter (there is one for `{}`); build it for the target wasm32-wasip2 instead",
                if unknown.contains(&"env") {
                    "env"
                } else {
                    first
                },
                adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME
            ));
        }
        if self.is_command && !self.imports.is_empty() {
            return Ok(());
        }
        if self.is_command {
            return Err("it imports nothing of WASI, so there is nothing to adapt; build it for the target wasm32-wasip2 instead".to_owned());
        }
        Err("it embeds no component world and exports no `_start`, so nothing says what it would export; build it for the target \
             wasm32-wasip2, or embed a world with `wasm-tools component embed`"
            .to_owned())
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
