//! Finds what of an interface is confined to the store it lives in, so that it cannot be copied to a component in another one.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use wac_graph::types::{
    DefinedType, FuncTypeId, InterfaceId, ItemKind, PrimitiveType, Type, Types, ValueType,
};

/// Why an interface can be called only by a component in the same store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confined {
    /// A function that takes or returns something other than plain values, at any depth.
    Function {
        /// The function as the binary has it.
        name: String,
        /// Whether it returns it rather than takes it.
        returned: bool,
        /// What it takes or returns.
        value: ConfinedValue,
    },
    /// No function, but the interface defines a resource.
    Resource {
        /// The resource.
        name: String,
    },
}

/// A value that is a reference into the store it lives in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfinedValue {
    /// A resource, owned or borrowed, by its name.
    Resource(String),
    /// A stream.
    Stream,
    /// A future.
    Future,
    /// An error context.
    ErrorContext,
}

impl fmt::Display for ConfinedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(name) => write!(f, "a resource (`{name}`)"),
            Self::Stream => f.write_str("a stream"),
            Self::Future => f.write_str("a future"),
            Self::ErrorContext => f.write_str("an error context"),
        }
    }
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function {
                name,
                returned,
                value,
            } => {
                let verb = if *returned { "returns" } else { "takes" };
                write!(f, "function `{name}` {verb} {value}")
            }
            Self::Resource { name } => write!(f, "the interface defines a resource (`{name}`)"),
        }
    }
}

/// The first thing of an interface that is confined, in the order of the binary; functions before resources, because they tell more.
pub(super) fn confined(types: &Types, interface: InterfaceId) -> Option<Confined> {
    let exports = || types[interface].exports.iter();
    let function = exports().find_map(|(name, kind)| match kind {
        ItemKind::Func(id) => function(types, name, *id),
        _ => None,
    });
    let resource = || {
        exports().find_map(|(name, kind)| {
            let resource = matches!(kind, ItemKind::Type(Type::Resource(_)));
            resource.then(|| Confined::Resource { name: name.clone() })
        })
    };
    function.or_else(resource)
}

fn function(types: &Types, name: &str, id: FuncTypeId) -> Option<Confined> {
    let ty = &types[id];
    let found = |returned| {
        move |value| Confined::Function {
            name: name.to_owned(),
            returned,
            value,
        }
    };
    let taken = value(types, ty.params.values().copied().collect()).map(found(false));
    taken.or_else(|| value(types, ty.result.into_iter().collect()).map(found(true)))
}

/// Looks through types without recursion, each once: they may be nested as deep as a binary is long.
fn value(types: &Types, mut open: Vec<ValueType>) -> Option<ConfinedValue> {
    open.reverse();
    let mut seen = HashSet::new();
    while let Some(ty) = open.pop() {
        match ty {
            ValueType::Primitive(PrimitiveType::ErrorContext) => {
                return Some(ConfinedValue::ErrorContext);
            }
            ValueType::Primitive(_) => {}
            ValueType::Borrow(id) | ValueType::Own(id) => {
                return Some(ConfinedValue::Resource(types[id].name.clone()));
            }
            ValueType::Defined(id) => match &types[id] {
                DefinedType::Stream(_) => return Some(ConfinedValue::Stream),
                DefinedType::Future(_) => return Some(ConfinedValue::Future),
                plain if seen.insert(id) => open.extend(parts(plain).into_iter().rev()),
                _ => {}
            },
        }
    }
    None
}

fn parts(ty: &DefinedType) -> Vec<ValueType> {
    match ty {
        DefinedType::Tuple(parts) => parts.clone(),
        DefinedType::List(part)
        | DefinedType::FixedSizeList(part, _)
        | DefinedType::Option(part)
        | DefinedType::Alias(part) => vec![*part],
        DefinedType::Map(key, value) => vec![*key, *value],
        DefinedType::Result { ok, err } => ok.iter().chain(err).copied().collect(),
        DefinedType::Variant(variant) => variant.cases.values().flatten().copied().collect(),
        DefinedType::Record(record) => record.fields.values().copied().collect(),
        DefinedType::Stream(part) | DefinedType::Future(part) => part.iter().copied().collect(),
        DefinedType::Flags(_) | DefinedType::Enum(_) => Vec::new(),
    }
}
