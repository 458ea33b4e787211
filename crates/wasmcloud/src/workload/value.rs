//! Types of values that cross a component's border, and values of them as text: WAVE, the text form of the component model.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasm_wave::value::{Type, Value};

/// How deep an example goes.
const EXAMPLE_DEPTH: usize = 4;

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueType {
    /// `true` or `false`.
    Bool,
    /// A signed byte.
    S8,
    /// A byte.
    U8,
    /// A signed number of 16 bits.
    S16,
    /// A number of 16 bits.
    U16,
    /// A signed number of 32 bits.
    S32,
    /// A number of 32 bits.
    U32,
    /// A signed number of 64 bits.
    S64,
    /// A number of 64 bits.
    U64,
    /// A floating-point number of 32 bits.
    F32,
    /// A floating-point number of 64 bits.
    F64,
    /// One Unicode scalar value.
    Char,
    /// A text.
    String,
    /// Any number of values of one type.
    List(Box<Self>),
    /// A value or nothing.
    Option(Box<Self>),
    /// Success or failure, each with a value or without one.
    Result(Option<Box<Self>>, Option<Box<Self>>),
    /// Values by position.
    Tuple(Vec<Self>),
    /// Values by name.
    Record(Vec<(String, Self)>),
    /// One of several cases, each with a value or without one.
    Variant(Vec<(String, Option<Self>)>),
    /// One of several words.
    Enum(Vec<String>),
    /// Some of several words.
    Flags(Vec<String>),
    /// Something that cannot be written as text, such as "a stream".
    Opaque(String),
}

impl ValueType {
    /// What in it cannot be written as text, if anything.
    #[must_use]
    pub fn opaque(&self) -> Option<&str> {
        match self {
            Self::Opaque(what) => Some(what),
            Self::List(part) | Self::Option(part) => part.opaque(),
            Self::Result(ok, err) => [ok, err]
                .into_iter()
                .flatten()
                .find_map(|part| part.opaque()),
            Self::Tuple(parts) => parts.iter().find_map(Self::opaque),
            Self::Record(fields) => fields.iter().find_map(|(_, part)| part.opaque()),
            Self::Variant(cases) => cases
                .iter()
                .find_map(|(_, part)| part.as_ref().and_then(Self::opaque)),
            _ => None,
        }
    }

    /// Whether a text in WAVE is a value of the type.
    ///
    /// # Errors
    /// When it is not: half a sentence that says why.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let ty = self.to_wave().ok_or("it cannot be written as text")?;
        let read: Result<Value, _> = wasm_wave::from_str(&ty, text);
        match read {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn to_wave(&self) -> Option<Type> {
        let all =
            |parts: &[Self]| -> Option<Vec<Type>> { parts.iter().map(Self::to_wave).collect() };
        let part = |part: &Option<Box<Self>>| match part {
            Some(part) => part.to_wave().map(Some),
            None => Some(None),
        };
        match self {
            Self::Bool => Some(Type::BOOL),
            Self::S8 => Some(Type::S8),
            Self::U8 => Some(Type::U8),
            Self::S16 => Some(Type::S16),
            Self::U16 => Some(Type::U16),
            Self::S32 => Some(Type::S32),
            Self::U32 => Some(Type::U32),
            Self::S64 => Some(Type::S64),
            Self::U64 => Some(Type::U64),
            Self::F32 => Some(Type::F32),
            Self::F64 => Some(Type::F64),
            Self::Char => Some(Type::CHAR),
            Self::String => Some(Type::STRING),
            Self::List(part) => Some(Type::list(part.to_wave()?)),
            Self::Option(part) => Some(Type::option(part.to_wave()?)),
            Self::Result(ok, err) => Some(Type::result(part(ok)?, part(err)?)),
            Self::Tuple(parts) => Type::tuple(all(parts)?),
            Self::Record(fields) => {
                let fields = fields.iter();
                let fields: Option<Vec<(String, Type)>> = fields
                    .map(|(name, part)| Some((name.clone(), part.to_wave()?)))
                    .collect();
                Type::record(fields?)
            }
            Self::Variant(cases) => {
                let mut types: Vec<(String, Option<Type>)> = Vec::new();
                for (name, part) in cases {
                    let part = match part {
                        Some(part) => Some(part.to_wave()?),
                        None => None,
                    };
                    types.push((name.clone(), part));
                }
                Type::variant(types)
            }
            Self::Enum(words) => Type::enum_ty(words.iter().map(String::as_str)),
            Self::Flags(words) => Type::flags(words.iter().map(String::as_str)),
            Self::Opaque(_) => None,
        }
    }

    /// A value of the type as it is written in WAVE, to copy from.
    #[must_use]
    pub fn example(&self) -> String {
        self.example_to(EXAMPLE_DEPTH)
    }

    fn example_to(&self, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return "…".to_owned();
        };
        let payload = |name: &str, part: Option<&Self>| match part {
            Some(part) => format!("{name}({})", part.example_to(depth)),
            None => name.to_owned(),
        };
        match self {
            Self::Bool => "true".to_owned(),
            Self::S8 | Self::S16 | Self::S32 | Self::S64 => "-42".to_owned(),
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => "42".to_owned(),
            Self::F32 | Self::F64 => "1.5".to_owned(),
            Self::Char => "'x'".to_owned(),
            Self::String => "\"text\"".to_owned(),
            Self::List(part) => format!("[{}]", part.example_to(depth)),
            Self::Option(part) => payload("some", Some(part)),
            Self::Result(ok, _) => payload("ok", ok.as_deref()),
            Self::Tuple(parts) => {
                let parts = parts.iter().map(|part| part.example_to(depth));
                format!("({})", parts.collect::<Vec<_>>().join(", "))
            }
            Self::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, part)| format!("{name}: {}", part.example_to(depth)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            Self::Variant(cases) => cases
                .first()
                .map(|(name, part)| payload(name, part.as_ref()))
                .unwrap_or_default(),
            Self::Enum(words) => words.first().cloned().unwrap_or_default(),
            Self::Flags(words) => {
                format!("{{{}}}", words.first().cloned().unwrap_or_default())
            }
            Self::Opaque(what) => what.clone(),
        }
    }
}

impl fmt::Display for ValueType {
    /// As WIT writes it; types that have names there are written out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S8 => f.write_str("s8"),
            Self::U8 => f.write_str("u8"),
            Self::S16 => f.write_str("s16"),
            Self::U16 => f.write_str("u16"),
            Self::S32 => f.write_str("s32"),
            Self::U32 => f.write_str("u32"),
            Self::S64 => f.write_str("s64"),
            Self::U64 => f.write_str("u64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::List(part) => write!(f, "list<{part}>"),
            Self::Option(part) => write!(f, "option<{part}>"),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Self::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Self::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            Self::Tuple(parts) => {
                f.write_str("tuple<")?;
                list(f, parts.iter())?;
                f.write_str(">")
            }
            Self::Record(fields) => {
                f.write_str("record { ")?;
                list(
                    f,
                    fields.iter().map(|(name, part)| format!("{name}: {part}")),
                )?;
                f.write_str(" }")
            }
            Self::Variant(cases) => {
                f.write_str("variant { ")?;
                let case = |(name, part): &(String, Option<Self>)| match part {
                    Some(part) => format!("{name}({part})"),
                    None => name.clone(),
                };
                list(f, cases.iter().map(case))?;
                f.write_str(" }")
            }
            Self::Enum(words) => {
                f.write_str("enum { ")?;
                list(f, words.iter())?;
                f.write_str(" }")
            }
            Self::Flags(words) => {
                f.write_str("flags { ")?;
                list(f, words.iter())?;
                f.write_str(" }")
            }
            Self::Opaque(what) => write!(f, "<{what}>"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, parts: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    for (index, part) in parts.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        part.fmt(f)?;
    }
    Ok(())
}

/// Bounds what becomes of a type when it is written out: types are shared, and a small component can have one of a size that is
/// beyond measure.
#[derive(Debug)]
pub(crate) struct Outline {
    left: usize,
    depth: usize,
}

impl Outline {
    /// How many types one function may have in all.
    const MOST: usize = 2_000;
    /// How deep they may be nested. What is kept of them on disk is read with a bound on nesting.
    const DEEPEST: usize = 24;

    /// For one function.
    pub(crate) fn new() -> Self {
        Self {
            left: Self::MOST,
            depth: 0,
        }
    }

    /// Writes a type out with `write`, unless that is too much.
    pub(crate) fn within(&mut self, write: impl FnOnce(&mut Self) -> ValueType) -> ValueType {
        if self.depth == Self::DEEPEST || self.left == 0 {
            return ValueType::Opaque("a type that is too large to be written out".to_owned());
        }
        self.left -= 1;
        self.depth += 1;
        let written = write(self);
        self.depth -= 1;
        written
    }
}
