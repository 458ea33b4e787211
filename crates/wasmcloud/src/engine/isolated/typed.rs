//! Faster ways across for the types that interfaces use most: values of a type known here are copied whole, not one by one. What is
//! not here crosses in the general way, to the same effect.

use std::marker::PhantomData;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{
    Accessor, ComponentExportIndex, ComponentNamedList, Instance, Lift, LinkerInstance, Lower,
};

use super::call::{Counted, Crossing, Target, Way};
use super::failure::{Failed, report, trap};
use crate::instance::{OnInstance, StoreData};

/// A type that is known here.
trait Known: Lift + Lower + Send + Sync + 'static {
    /// Whether it is this type.
    fn is(ty: &Type) -> bool;

    /// The value that tells a caller of a failure.
    fn failed(reason: &str) -> Option<Self> {
        let _ = reason;
        None
    }

    /// What it has elsewhere, in bytes.
    fn elsewhere(&self) -> usize {
        0
    }
}

macro_rules! known {
    ($($rust:ty: $wit:ident),*) => {
        $(impl Known for $rust {
            fn is(ty: &Type) -> bool {
                matches!(ty, Type::$wit)
            }
        })*
    };
}

known!(bool: Bool, u32: U32, u64: U64);

impl Known for String {
    fn is(ty: &Type) -> bool {
        matches!(ty, Type::String)
    }

    fn elsewhere(&self) -> usize {
        self.len()
    }
}

impl Known for Vec<u8> {
    fn is(ty: &Type) -> bool {
        matches!(ty, Type::List(list) if matches!(list.ty(), Type::U8))
    }

    fn elsewhere(&self) -> usize {
        self.len()
    }
}

impl<T: Known> Known for Option<T> {
    fn is(ty: &Type) -> bool {
        matches!(ty, Type::Option(option) if T::is(&option.ty()))
    }

    fn elsewhere(&self) -> usize {
        self.as_ref().map_or(0, T::elsewhere)
    }
}

impl<T: Known> Known for Result<T, String> {
    fn is(ty: &Type) -> bool {
        let Type::Result(result) = ty else {
            return false;
        };
        result.ok().is_some_and(|ok| T::is(&ok)) && matches!(result.err(), Some(Type::String))
    }

    fn failed(reason: &str) -> Option<Self> {
        Some(Err(reason.to_owned()))
    }

    fn elsewhere(&self) -> usize {
        self.as_ref().map_or_else(String::len, T::elsewhere)
    }
}

impl Known for Result<(), String> {
    fn is(ty: &Type) -> bool {
        let Type::Result(result) = ty else {
            return false;
        };
        result.ok().is_none() && matches!(result.err(), Some(Type::String))
    }

    fn failed(reason: &str) -> Option<Self> {
        Some(Err(reason.to_owned()))
    }

    fn elsewhere(&self) -> usize {
        self.as_ref().map_or_else(String::len, |()| 0)
    }
}

/// Parameters or results that are known here.
trait KnownList: ComponentNamedList + Lift + Lower + Send + Sync + 'static {
    fn are(types: impl ExactSizeIterator<Item = Type>) -> bool;

    fn failed(reason: &str) -> Option<Self>;

    /// What they take of the host's memory, in bytes.
    fn size(&self) -> usize;
}

impl KnownList for () {
    fn are(types: impl ExactSizeIterator<Item = Type>) -> bool {
        types.len() == 0
    }

    fn failed(_: &str) -> Option<Self> {
        None
    }

    fn size(&self) -> usize {
        0
    }
}

impl<A: Known> KnownList for (A,) {
    fn are(mut types: impl ExactSizeIterator<Item = Type>) -> bool {
        types.len() == 1 && types.next().is_some_and(|ty| A::is(&ty))
    }

    fn failed(reason: &str) -> Option<Self> {
        A::failed(reason).map(|value| (value,))
    }

    fn size(&self) -> usize {
        size_of_val(self).saturating_add(self.0.elsewhere())
    }
}

impl<A: Known, B: Known> KnownList for (A, B) {
    fn are(mut types: impl ExactSizeIterator<Item = Type>) -> bool {
        types.len() == 2
            && types.next().is_some_and(|ty| A::is(&ty))
            && types.next().is_some_and(|ty| B::is(&ty))
    }

    fn failed(_: &str) -> Option<Self> {
        None
    }

    fn size(&self) -> usize {
        let elsewhere = self.0.elsewhere().saturating_add(self.1.elsewhere());
        size_of_val(self).saturating_add(elsewhere)
    }
}

/// Defines a function whose types are known here. False where they are not.
pub(super) fn define(
    linker: &mut LinkerInstance<'_, StoreData>,
    name: &str,
    ty: &ComponentFunc,
    (way, function): (&impl Way, usize),
) -> wasmtime::Result<bool> {
    let mut defining = Defining {
        linker,
        name,
        ty,
        way,
        function,
    };
    Ok(defining.taking::<()>()?
        || defining.taking::<(String,)>()?
        || defining.taking::<(Vec<u8>,)>()?
        || defining.taking::<(String, String)>()?
        || defining.taking::<(String, Vec<u8>)>()?
        || defining.taking::<(u32, u32)>()?)
}

/// A function that is being defined.
struct Defining<'a, 'l, W> {
    linker: &'a mut LinkerInstance<'l, StoreData>,
    name: &'a str,
    ty: &'a ComponentFunc,
    way: &'a W,
    function: usize,
}

impl<W: Way> Defining<'_, '_, W> {
    /// Defines it if it takes `P` and returns something known.
    fn taking<P: KnownList>(&mut self) -> wasmtime::Result<bool> {
        if !P::are(self.ty.params().map(|(_, ty)| ty)) {
            return Ok(false);
        }
        Ok(self.returning::<P, ()>()?
            || self.returning::<P, (bool,)>()?
            || self.returning::<P, (u32,)>()?
            || self.returning::<P, (u64,)>()?
            || self.returning::<P, (String,)>()?
            || self.returning::<P, (Vec<u8>,)>()?
            || self.returning::<P, (Option<String>,)>()?
            || self.returning::<P, (Option<Vec<u8>>,)>()?
            || self.returning::<P, (Result<(), String>,)>()?
            || self.returning::<P, (Result<String, String>,)>()?
            || self.returning::<P, (Result<Vec<u8>, String>,)>()?)
    }

    fn returning<P: KnownList, R: KnownList>(&mut self) -> wasmtime::Result<bool> {
        if !R::are(self.ty.results()) {
            return Ok(false);
        }
        let (way, function) = (self.way.clone(), self.function);
        let name = Arc::<str>::from(self.name);
        if self.ty.async_() {
            self.linker
                .func_wrap_concurrent(self.name, move |accessor, params: P| {
                    let (way, name) = (way.clone(), Arc::clone(&name));
                    Box::pin(async move {
                        let target = accessor
                            .with(|mut store| way.target(store.data_mut(), function, name))?;
                        deliver(target.call(Typed::<P, R>::new(), params).await, &target)
                    })
                })?;
        } else {
            self.linker
                .func_wrap_async(self.name, move |store, params: P| {
                    let (way, name) = (way.clone(), Arc::clone(&name));
                    Box::new(async move {
                        let target = way.target(store.data(), function, name)?;
                        deliver(target.call(Typed::<P, R>::new(), params).await, &target)
                    })
                })?;
        }
        Ok(true)
    }
}

fn deliver<R: KnownList>(
    answer: Result<Counted<R>, Failed>,
    target: &Target,
) -> wasmtime::Result<R> {
    match answer {
        Ok((results, _held)) => Ok(results),
        Err(error) => {
            let reason = report(&error, target);
            R::failed(&reason).ok_or_else(|| trap(&reason, target))
        }
    }
}

/// Values of known types.
struct Typed<P, R>(PhantomData<fn(P) -> R>);

impl<P, R> Typed<P, R> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<P, R> Clone for Typed<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for Typed<P, R> {}

impl<P: KnownList, R: KnownList> Crossing for Typed<P, R> {
    type Params = P;
    type Results = R;

    fn size_of_params(params: &P) -> usize {
        params.size()
    }

    fn size_of_results(results: &R) -> usize {
        results.size()
    }

    fn alone(
        self,
        store: &mut Store<StoreData>,
        instance: Instance,
        index: ComponentExportIndex,
        params: P,
    ) -> OnInstance<'_, R> {
        Box::pin(async move {
            let function = instance.get_typed_func::<P, R>(&mut *store, index)?;
            function.call_async(store, params).await
        })
    }

    fn together(
        self,
        accessor: &Accessor<StoreData>,
        instance: Instance,
        index: ComponentExportIndex,
        params: P,
    ) -> OnInstance<'_, R> {
        Box::pin(async move {
            let function = accessor.with(|store| instance.get_typed_func::<P, R>(store, index))?;
            function.call_concurrent(accessor, params).await
        })
    }
}
