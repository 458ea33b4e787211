//! Recognises core modules again: a backtrace names modules, and people want to know which component that is.

use std::sync::Arc;

use crate::plugin::{Attribution, Position};

use super::inspect::World;
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// What can be known of a core module both from a component's bytes and from a running module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModuleShape {
    /// The name that its toolchain gave it, if it was not stripped.
    pub name: Option<String>,
    /// The names of its exports, sorted.
    pub exports: Vec<String>,
}

impl ModuleShape {
    /// The shapes of all core modules in a component, at any depth.
    ///
    /// # Errors
    /// When the bytes cannot be parsed.
    pub fn all(component: &[u8]) -> wasmparser::Result<Vec<Self>> {
        let mut done = Vec::new();
        let mut open: Vec<Option<Self>> = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    let module = encoding == wasmparser::Encoding::Module;
                    open.push(module.then(|| Self {
                        name: None,
                        exports: Vec::new(),
                    }));
                }
                Payload::ExportSection(section) => {
                    if let Some(Some(shape)) = open.last_mut() {
                        for export in section {
                            shape.exports.push(export?.name.to_owned());
                        }
                    }
                }
                Payload::CustomSection(section) => {
                    if let (KnownCustom::Name(names), Some(Some(shape))) =
                        (section.as_known(), open.last_mut())
                    {
                        shape.name = shape.name.take().or_else(|| module_name(names));
                    }
                }
                Payload::End(_) => {
                    if let Some(Some(mut shape)) = open.pop() {
                        shape.exports.sort();
                        done.push(shape);
                    }
                }
                _ => {}
            }
        }
        Ok(done)
    }

    /// The shape of a module that runs.
    #[must_use]
    pub fn of_running(module: &wasmtime::Module) -> Self {
        let mut exports: Vec<String> = module
            .exports()
            .map(|export| export.name().to_owned())
            .collect();
        exports.sort();
        Self {
            name: module.name().map(ToOwned::to_owned),
            exports,
        }
    }
}

/// A damaged name section is no error: names are only a help.
fn module_name(names: wasmparser::NameSectionReader<'_>) -> Option<String> {
    names.into_iter().find_map(|name| match name {
        Ok(Name::Module { name, .. }) => Some(name.to_owned()),
        _ => None,
    })
}

/// Tells members of a fused component apart by the modules in a backtrace, from the innermost frame outwards until only one member
/// has them all. Where that cannot be told, nobody is named rather than somebody else.
#[must_use]
pub fn attribution(members: Vec<Arc<World>>) -> Attribution {
    Arc::new(move |error| {
        let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>()?;
        let mut suspects: Vec<usize> = (0..members.len()).collect();
        for frame in backtrace.frames() {
            if let [culprit] = suspects.as_slice() {
                return u32::try_from(*culprit).ok().map(Position);
            }
            // Code without a place of its own was inlined, maybe from another member into this module.
            frame.module_offset()?;
            let shape = ModuleShape::of_running(frame.module());
            suspects.retain(|member| {
                let world = members.get(*member);
                world.is_some_and(|world| world.modules.contains(&shape))
            });
        }
        match suspects.as_slice() {
            [culprit] => u32::try_from(*culprit).ok().map(Position),
            _ => None,
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
