//! Looks at bytes: what world a component has, and whether they are a component at all. Core modules are adapted on the way.

mod confined;
mod functions;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wac_graph::types::{InterfaceId, ItemKind, Package, Type, Types};
use wasmparser::{Encoding, Parser, Payload};

pub use confined::{Confined, ConfinedValue};

use super::adapt::adapt;
use super::modules::ModuleShape;
use crate::artifact::Digest;
use crate::workload::{Function, Interface};

/// A component that was looked at: valid, adapted if it was a core module.
#[derive(Clone)]
pub struct Inspected {
    /// The component; shared, never copied.
    pub bytes: Arc<[u8]>,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// What it imports and exports.
    pub world: Arc<World>,
    /// Whether it was a core module before.
    pub adapted: bool,
}

impl fmt::Debug for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspected")
            .field("digest", &self.digest)
            .field("world", &self.world)
            .finish_non_exhaustive()
    }
}

/// What a component imports and exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Its imports, in the order of the binary.
    pub imports: Vec<Extern>,
    /// Its exports, in the order of the binary.
    pub exports: Vec<Extern>,
    /// The functions among its exports and in the interfaces that it exports, in the order of the binary.
    pub functions: Vec<Function>,
    /// Whether it needs the async ABI of the component model.
    pub concurrent: bool,
    /// Its core modules, to tell from a backtrace which component trapped.
    pub modules: Vec<ModuleShape>,
}

/// One import or export of a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extern {
    /// The name as the binary has it: an interface, a label, or a function.
    pub name: String,
    /// What it is.
    pub kind: ExternKind,
}

/// What an import or export is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternKind {
    /// An interface; named by the extern itself or, for a label, by its `implements`.
    Interface {
        /// Which one.
        interface: Interface,
        /// Whether it holds nothing but plain types, so that nobody has to answer it.
        types_only: bool,
        /// What keeps it from being called across stores, if anything does.
        confined: Option<Confined>,
    },
    /// A function.
    Function,
    /// Anything else: a type, a module, a component, a value, or an instance without an interface name.
    Other,
}

impl Extern {
    /// The interface, if it is one.
    #[must_use]
    pub fn interface(&self) -> Option<&Interface> {
        match &self.kind {
            ExternKind::Interface { interface, .. } => Some(interface),
            ExternKind::Function | ExternKind::Other => None,
        }
    }

    /// What keeps it from being called across stores, if it is an interface and anything does.
    #[must_use]
    pub fn confined(&self) -> Option<&Confined> {
        match &self.kind {
            ExternKind::Interface { confined, .. } => confined.as_ref(),
            ExternKind::Function | ExternKind::Other => None,
        }
    }

    /// Whether it is an interface that holds nothing but types.
    #[must_use]
    pub const fn is_types_only(&self) -> bool {
        matches!(
            self.kind,
            ExternKind::Interface {
                types_only: true,
                ..
            }
        )
    }

    /// Whether it is an interface of WASI 0.3, whose host functions are async even where the guest uses none of them.
    fn is_wasi_0_3(&self) -> bool {
        self.interface().is_some_and(|interface| {
            interface.namespace == "wasi"
                && interface
                    .version
                    .as_ref()
                    .is_some_and(|version| (version.major, version.minor) == (0, 3))
        })
    }

    /// Whether it goes by a label of the component's own choice rather than by the interface's name.
    #[must_use]
    pub fn is_label(&self) -> bool {
        self.interface().is_some() && !self.name.contains(':')
    }
}

impl World {
    /// The export of an interface on the same version track, if there is one.
    #[must_use]
    pub fn exporting(&self, wanted: &Interface) -> Option<&Extern> {
        self.exports.iter().find(|export| {
            export
                .interface()
                .is_some_and(|interface| wanted.accepts(interface))
        })
    }
}

/// Why bytes are not a component that can run.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// They are something else.
    #[error("this is not a WebAssembly component: it is {found}")]
    NotWasm {
        /// What the bytes look like.
        found: String,
    },
    /// They begin like a component but break off or break the rules.
    #[error("the component is damaged or uses features that this version does not know: {reason}")]
    Invalid {
        /// What the validator says.
        reason: String,
    },
    /// A core module that cannot be made into a component.
    #[error("the core module cannot be adapted to a component: {reason}")]
    NotAdaptable {
        /// Why, with what to do.
        reason: String,
    },
}

/// Looks at bytes. This validates them, so it takes milliseconds for a large component: not for serving threads.
///
/// # Errors
/// When they are not a component and cannot be made into one.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, InspectError> {
    if Parser::is_component(bytes) {
        return inspect_component(bytes.into(), false);
    }
    if Parser::is_core_wasm(bytes) {
        return inspect_component(adapt(bytes)?.into(), true);
    }
    Err(InspectError::NotWasm {
        found: describe(bytes),
    })
}

fn inspect_component(bytes: Arc<[u8]>, adapted: bool) -> Result<Inspected, InspectError> {
    let invalid = |error: &dyn fmt::Display| InspectError::Invalid {
        reason: error.to_string(),
    };
    check_complete(&bytes)?;
    let (imports, exports, functions) = externals(&bytes).map_err(|error| invalid(&error))?;
    let modules = ModuleShape::all(&bytes).map_err(|error| invalid(&error))?;
    let concurrent =
        imports.iter().chain(&exports).any(Extern::is_wasi_0_3) || !validates_without_async(&bytes);
    let world = World {
        imports,
        exports,
        functions,
        concurrent,
        modules,
    };
    Ok(Inspected {
        digest: Digest::of(&bytes),
        bytes,
        world: Arc::new(world),
        adapted,
    })
}

/// The reader behind [`Package`] takes complete input for granted, so truncation is ruled out first.
fn check_complete(bytes: &[u8]) -> Result<(), InspectError> {
    let mut top = true;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::Version { encoding, .. }) if top => {
                top = false;
                if encoding != Encoding::Component {
                    return Err(InspectError::NotWasm {
                        found: "a core WebAssembly module".to_owned(),
                    });
                }
            }
            Ok(_) => {}
            Err(error) => {
                return Err(InspectError::Invalid {
                    reason: error.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// The imports, the exports, and the functions that are exported.
type Externals = (Vec<Extern>, Vec<Extern>, Vec<Function>);

/// Reads what a component imports and exports.
///
/// The reader behind [`Package`] asserts and leaves undone what a valid but unusual component can hold. Bytes come from anywhere, so
/// its panics are caught here, where nothing outlives them.
fn externals(bytes: &Arc<[u8]>) -> Result<Externals, String> {
    let world = || {
        let mut types = Types::default();
        let package = Package::from_bytes("component", None, bytes.to_vec(), &mut types)
            .map_err(|error| format!("{error:#}"))?;
        let world = &types[package.ty()];
        let read = |(name, kind): (&String, &ItemKind)| external(&types, name, *kind);
        let imports = world.imports.iter().map(read).collect();
        let exports = world.exports.iter().map(read).collect();
        Ok((imports, exports, functions::functions(&types, world)))
    };
    let crashed = |_| Err("its imports and exports have types that are not known".to_owned());
    std::panic::catch_unwind(world).unwrap_or_else(crashed)
}

fn external(types: &Types, name: &str, kind: ItemKind) -> Extern {
    let kind = match kind {
        ItemKind::Instance(id) => instance(types, name, id),
        ItemKind::Func(_) => ExternKind::Function,
        _ => ExternKind::Other,
    };
    Extern {
        name: name.to_owned(),
        kind,
    }
}

fn instance(types: &Types, name: &str, id: InterfaceId) -> ExternKind {
    let named = if name.contains(':') {
        Some(name)
    } else {
        types[id].id.as_deref()
    };
    match named.map(str::parse::<Interface>) {
        Some(Ok(interface)) => ExternKind::Interface {
            interface,
            types_only: is_types_only(types, id),
            confined: confined::confined(types, id),
        },
        _ => ExternKind::Other,
    }
}

fn is_types_only(types: &Types, id: InterfaceId) -> bool {
    types[id]
        .exports
        .values()
        .all(|kind| matches!(kind, ItemKind::Type(ty) if !matches!(ty, Type::Resource(_))))
}

fn validates_without_async(bytes: &[u8]) -> bool {
    let features = wasmparser::WasmFeatures::all().difference(
        wasmparser::WasmFeatures::CM_ASYNC
            | wasmparser::WasmFeatures::CM_MORE_ASYNC_BUILTINS
            | wasmparser::WasmFeatures::CM_ASYNC_STACKFUL
            | wasmparser::WasmFeatures::CM_THREADING
            | wasmparser::WasmFeatures::CM_ERROR_CONTEXT,
    );
    wasmparser::Validator::new_with_features(features)
        .validate_all(bytes)
        .is_ok()
}

/// What some bytes look like, for someone who expected a component. Nothing of them is repeated: a manifest may name any
/// file, one with secrets too.
fn describe(bytes: &[u8]) -> String {
    const KINDS: [(&[u8], &str); 7] = [
        (
            b"\x7fELF",
            "a native executable or a compiled artifact (ELF)",
        ),
        (b"\x1f\x8b", "a gzip archive"),
        (b"PK\x03\x04", "a zip archive"),
        (
            b"(component",
            "a component in text form (WAT); convert it to binary first",
        ),
        (
            b"(module",
            "a core module in text form (WAT); convert it to binary first",
        ),
        (b"\x00asm", "WebAssembly with an unknown or cut-off header"),
        (b"<", "an HTML or XML document"),
    ];
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    let text = bytes.trim_ascii_start();
    if let Some((_, kind)) = KINDS.iter().find(|(magic, _)| text.starts_with(magic)) {
        return (*kind).to_owned();
    }
    let head = bytes.get(..bytes.len().min(64)).unwrap_or(bytes);
    match text_of(head) {
        Some("") => "nothing but white space".to_owned(),
        Some(_) => "text".to_owned(),
        None => format!("binary data of {} bytes", bytes.len()),
    }
}

/// The head of a file as text, if it is text: a character that the end of the head cuts in two is no reason to think it is none.
fn text_of(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let binary = |c: char| c.is_control() && !c.is_whitespace();
    (!text.contains(binary)).then(|| text.trim())
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
