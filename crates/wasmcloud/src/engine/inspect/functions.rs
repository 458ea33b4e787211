//! The functions that a component exports, with their types written out.

use wac_graph::types::{
    DefinedType, FuncTypeId, ItemKind, PrimitiveType, Types, ValueType as Written, World,
};

use crate::workload::{Function, FunctionName, Interface, Outline, ValueType};

/// All that the world exports by the name of an interface or by their own, in the order of the binary.
pub(super) fn functions(types: &Types, world: &World) -> Vec<Function> {
    let mut found = Vec::new();
    for (name, kind) in &world.exports {
        match kind {
            ItemKind::Func(id) => found.push(function(types, None, name, *id)),
            ItemKind::Instance(id) => {
                let Ok(interface) = name.parse::<Interface>() else {
                    continue;
                };
                for (name, kind) in &types[*id].exports {
                    if let ItemKind::Func(id) = kind {
                        found.push(function(types, Some(interface.clone()), name, *id));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn function(types: &Types, interface: Option<Interface>, name: &str, id: FuncTypeId) -> Function {
    let mut outline = Outline::new();
    let ty = &types[id];
    let params = ty.params.iter();
    let params = params
        .map(|(name, ty)| (name.clone(), value(types, *ty, &mut outline)))
        .collect();
    Function {
        name: FunctionName {
            interface,
            function: name.to_owned(),
        },
        params,
        result: ty.result.map(|ty| value(types, ty, &mut outline)),
        is_async: ty.is_async,
    }
}

fn value(types: &Types, ty: Written, outline: &mut Outline) -> ValueType {
    outline.within(|outline| match ty {
        Written::Primitive(primitive) => plain(primitive),
        Written::Borrow(id) | Written::Own(id) => {
            ValueType::Opaque(format!("a resource (`{}`)", types[id].name))
        }
        Written::Defined(id) => defined(types, &types[id], outline),
    })
}

fn plain(ty: PrimitiveType) -> ValueType {
    match ty {
        PrimitiveType::U8 => ValueType::U8,
        PrimitiveType::S8 => ValueType::S8,
        PrimitiveType::U16 => ValueType::U16,
        PrimitiveType::S16 => ValueType::S16,
        PrimitiveType::U32 => ValueType::U32,
        PrimitiveType::S32 => ValueType::S32,
        PrimitiveType::U64 => ValueType::U64,
        PrimitiveType::S64 => ValueType::S64,
        PrimitiveType::F32 => ValueType::F32,
        PrimitiveType::F64 => ValueType::F64,
        PrimitiveType::Char => ValueType::Char,
        PrimitiveType::Bool => ValueType::Bool,
        PrimitiveType::String => ValueType::String,
        PrimitiveType::ErrorContext => ValueType::Opaque("an error context".to_owned()),
    }
}

fn defined(types: &Types, ty: &DefinedType, outline: &mut Outline) -> ValueType {
    let mut part = |ty: Written| value(types, ty, outline);
    match ty {
        DefinedType::Tuple(parts) => ValueType::Tuple(parts.iter().map(|ty| part(*ty)).collect()),
        DefinedType::List(ty) => ValueType::List(Box::new(part(*ty))),
        DefinedType::Option(ty) => ValueType::Option(Box::new(part(*ty))),
        DefinedType::Alias(ty) => part(*ty),
        DefinedType::Result { ok, err } => {
            let ok = ok.map(|ty| Box::new(part(ty)));
            ValueType::Result(ok, err.map(|ty| Box::new(part(ty))))
        }
        DefinedType::Variant(variant) => {
            let cases = variant.cases.iter();
            ValueType::Variant(
                cases
                    .map(|(name, ty)| (name.clone(), ty.map(&mut part)))
                    .collect(),
            )
        }
        DefinedType::Record(record) => {
            let fields = record.fields.iter();
            ValueType::Record(fields.map(|(name, ty)| (name.clone(), part(*ty))).collect())
        }
        DefinedType::Flags(flags) => ValueType::Flags(flags.0.iter().cloned().collect()),
        DefinedType::Enum(words) => ValueType::Enum(words.0.iter().cloned().collect()),
        DefinedType::FixedSizeList(..) => ValueType::Opaque("a list of fixed length".to_owned()),
        DefinedType::Map(..) => ValueType::Opaque("a map".to_owned()),
        DefinedType::Stream(_) => ValueType::Opaque("a stream".to_owned()),
        DefinedType::Future(_) => ValueType::Opaque("a future".to_owned()),
    }
}
