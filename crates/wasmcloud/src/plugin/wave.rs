//! Calls with text: arguments and result in WAVE, for functions of any type that only become known when they are called.

use serde_json::{Map, Value, json};
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{ComponentExportIndex, Func, Instance, Val};
use wasmtime::{AsContextMut, component::wasm_wave};

use super::{CallError, Callee};
use crate::workload::{ArgumentError, Function, FunctionName, Outline, ValueType};

/// What a function returned.
#[derive(Clone, Debug)]
pub struct Answer {
    value: Option<Val>,
    wave: String,
}

impl Answer {
    /// The result in WAVE; nothing for a function that returns nothing.
    #[must_use]
    pub fn wave(&self) -> &str {
        &self.wave
    }

    /// The result in JSON, for tools: records are objects, `none` is `null`, and a result is an object of `ok` or `err`.
    #[must_use]
    pub fn json(&self) -> Value {
        self.value.as_ref().map_or(Value::Null, to_json)
    }

    /// Whether the function says that it failed: it returned `err`.
    #[must_use]
    pub fn is_err(&self) -> bool {
        matches!(self.value, Some(Val::Result(Err(_))))
    }
}

/// Why a call with text gave no result.
#[derive(Debug, thiserror::Error)]
pub enum WaveError {
    /// There is no such function in what was compiled.
    #[error("component `{component}` has no function `{function}`")]
    Missing {
        /// The component.
        component: String,
        /// The function.
        function: Box<FunctionName>,
    },
    /// The arguments are not what the function takes, or nothing that it takes can be written.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Arguments(Vec<ArgumentError>),
    /// The call came to no good end.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The result cannot be written.
    #[error("the result cannot be written as text: {0}")]
    Result(String),
}

impl WaveError {
    /// What is wrong, with everything that led to it.
    #[must_use]
    pub fn in_full(&self) -> String {
        in_full(self)
    }
}

/// An error with everything that led to it.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl Callee {
    /// Calls an exported function of whatever type, with arguments in WAVE. The name must be whole: with the interface as the
    /// component has it. Every limit is that of any other call.
    ///
    /// # Errors
    /// When there is no such function, when the arguments are not what it takes, and when the call comes to no good end.
    pub async fn call_wave(
        &self,
        function: &FunctionName,
        args: &[String],
    ) -> Result<Answer, WaveError> {
        let (ty, index) = self.find(function)?;
        let params = read(function, &ty, args).map_err(WaveError::Arguments)?;
        let results = ty.results().len();
        let value = if self.is_concurrent() {
            self.together(index, params, results).await?
        } else {
            self.alone_with(index, params, results).await?
        };
        let wave = match &value {
            Some(value) => {
                wasm_wave::to_string(value).map_err(|error| WaveError::Result(error.to_string()))?
            }
            None => String::new(),
        };
        Ok(Answer { value, wave })
    }

    fn find(
        &self,
        function: &FunctionName,
    ) -> Result<(ComponentFunc, ComponentExportIndex), WaveError> {
        let component = self.pre().component();
        let missing = || WaveError::Missing {
            component: self.root_name(),
            function: Box::new(function.clone()),
        };
        let interface = match &function.interface {
            Some(interface) => {
                let index = component.get_export_index(None, interface.to_string().as_str());
                Some(index.ok_or_else(missing)?)
            }
            None => None,
        };
        match component.get_export(interface.as_ref(), function.function.as_str()) {
            Some((ComponentItem::ComponentFunc(ty), index)) => Ok((ty, index)),
            _ => Err(missing()),
        }
    }

    fn root_name(&self) -> String {
        let root = self.context().members.first();
        root.map(|root| root.name.to_string()).unwrap_or_default()
    }

    async fn alone_with(
        &self,
        index: ComponentExportIndex,
        params: Vec<Val>,
        results: usize,
    ) -> Result<Option<Val>, CallError> {
        let called = self.invoke(move |lease| {
            Box::pin(async move {
                let (store, instance) = lease.parts()?;
                let function = function_at(&mut *store, instance, index)?;
                let mut results = vec![Val::Bool(false); results];
                function.call_async(store, &params, &mut results).await?;
                Ok(results.pop())
            })
        });
        called.await
    }

    async fn together(
        &self,
        index: ComponentExportIndex,
        params: Vec<Val>,
        results: usize,
    ) -> Result<Option<Val>, CallError> {
        let called = self.invoke_concurrent(
            move |accessor, instance| {
                Box::pin(async move {
                    let function = accessor.with(|store| function_at(store, instance, index))?;
                    let mut results = vec![Val::Bool(false); results];
                    function
                        .call_concurrent(accessor, &params, &mut results)
                        .await?;
                    Ok(results.pop())
                })
            },
            |_| {},
        );
        called.await
    }
}

fn function_at(
    mut store: impl AsContextMut,
    instance: Instance,
    index: ComponentExportIndex,
) -> wasmtime::Result<Func> {
    instance
        .get_func(&mut store, index)
        .ok_or_else(|| wasmtime::format_err!("the component has lost its function"))
}

/// The arguments as values.
fn read(
    name: &FunctionName,
    ty: &ComponentFunc,
    args: &[String],
) -> Result<Vec<Val>, Vec<ArgumentError>> {
    let function = outline(name, ty);
    function.check(args)?;
    let params = ty.params().zip(args);
    let read = params.map(|((param, ty), text)| {
        wasm_wave::from_str::<Val>(&ty, text).map_err(|error| {
            vec![ArgumentError {
                message: format!("argument `{param}` of `{name}` cannot be read: {error}"),
                hint: None,
                index: None,
            }]
        })
    });
    read.collect()
}

/// The function as it is told to people.
fn outline(name: &FunctionName, ty: &ComponentFunc) -> Function {
    let mut outline = Outline::new();
    let params = ty.params();
    let params = params
        .map(|(name, ty)| (name.to_owned(), value_type(&ty, &mut outline)))
        .collect();
    Function {
        name: name.clone(),
        params,
        result: ty.results().next().map(|ty| value_type(&ty, &mut outline)),
        is_async: ty.async_(),
    }
}

fn value_type(ty: &Type, outline: &mut Outline) -> ValueType {
    outline.within(|outline| written_out(ty, outline))
}

fn written_out(ty: &Type, outline: &mut Outline) -> ValueType {
    let mut part = |ty: Type| value_type(&ty, outline);
    match ty {
        Type::Bool => ValueType::Bool,
        Type::S8 => ValueType::S8,
        Type::U8 => ValueType::U8,
        Type::S16 => ValueType::S16,
        Type::U16 => ValueType::U16,
        Type::S32 => ValueType::S32,
        Type::U32 => ValueType::U32,
        Type::S64 => ValueType::S64,
        Type::U64 => ValueType::U64,
        Type::Float32 => ValueType::F32,
        Type::Float64 => ValueType::F64,
        Type::Char => ValueType::Char,
        Type::String => ValueType::String,
        Type::List(list) => ValueType::List(Box::new(part(list.ty()))),
        Type::Option(option) => ValueType::Option(Box::new(part(option.ty()))),
        Type::Result(result) => {
            let ok = result.ok().map(|ty| Box::new(part(ty)));
            ValueType::Result(ok, result.err().map(|ty| Box::new(part(ty))))
        }
        Type::Tuple(tuple) => ValueType::Tuple(tuple.types().map(part).collect()),
        Type::Record(record) => {
            let fields = record.fields();
            ValueType::Record(
                fields
                    .map(|field| (field.name.to_owned(), part(field.ty)))
                    .collect(),
            )
        }
        Type::Variant(variant) => {
            let cases = variant.cases();
            ValueType::Variant(
                cases
                    .map(|case| (case.name.to_owned(), case.ty.map(&mut part)))
                    .collect(),
            )
        }
        Type::Enum(words) => ValueType::Enum(words.names().map(str::to_owned).collect()),
        Type::Flags(words) => ValueType::Flags(words.names().map(str::to_owned).collect()),
        Type::Own(_) | Type::Borrow(_) => ValueType::Opaque("a resource".to_owned()),
        Type::Stream(_) => ValueType::Opaque("a stream".to_owned()),
        Type::Future(_) => ValueType::Opaque("a future".to_owned()),
        Type::ErrorContext => ValueType::Opaque("an error context".to_owned()),
        Type::Map(_) => ValueType::Opaque("a map".to_owned()),
        Type::FixedLengthList(_) => ValueType::Opaque("a list of fixed length".to_owned()),
    }
}

fn to_json(value: &Val) -> Value {
    let payload = |part: &Option<Box<Val>>| part.as_deref().map_or(Value::Null, to_json);
    match value {
        Val::Bool(value) => json!(value),
        Val::S8(value) => json!(value),
        Val::U8(value) => json!(value),
        Val::S16(value) => json!(value),
        Val::U16(value) => json!(value),
        Val::S32(value) => json!(value),
        Val::U32(value) => json!(value),
        Val::S64(value) => json!(value),
        Val::U64(value) => json!(value),
        Val::Float32(value) => float(f64::from(*value)),
        Val::Float64(value) => float(*value),
        Val::Char(value) => json!(value),
        Val::String(value) | Val::Enum(value) => json!(value),
        Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => {
            Value::Array(values.iter().map(to_json).collect())
        }
        Val::Record(fields) => {
            let fields = fields.iter();
            let fields: Map<String, Value> = fields
                .map(|(name, value)| (name.clone(), to_json(value)))
                .collect();
            Value::Object(fields)
        }
        Val::Variant(case, None) => json!(case),
        Val::Variant(case, part) => json!({case.as_str(): payload(part)}),
        Val::Option(part) => payload(part),
        Val::Result(Ok(part)) => json!({"ok": payload(part)}),
        Val::Result(Err(part)) => json!({"err": payload(part)}),
        Val::Flags(words) => json!(words),
        // None of these gets here: functions that return them are not called.
        Val::Map(_) | Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => {
            Value::Null
        }
    }
}

/// JSON has no words for what is not a number.
fn float(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(value.to_string())
    }
}
