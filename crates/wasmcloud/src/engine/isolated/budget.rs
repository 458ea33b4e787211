//! How many bytes of a workload are on their way across isolated links. The host holds what a call carries while the callee waits
//! for room, and some of it while the callee works, so a thousand calls at once must not carry as much as each of them may.

use std::fmt;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Val;

use crate::instance::WorkloadContext;

/// What a permit stands for, in bytes.
const PERMIT: usize = 1 << 10;

/// Room for values on their way. It is free again when this is dropped.
pub(super) type Held = OwnedSemaphorePermit;

/// Which way values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// To the callee.
    Parameters,
    /// Back to the caller.
    Results,
}

/// Values that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) struct Full {
    carried: Carried,
    bytes: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.carried {
            Carried::Parameters => "parameters",
            Carried::Results => "results",
        };
        write!(
            f,
            "there is no room for the {} KiB of its {what}: at most {} KiB of a workload may be on their way across isolated \
             links at once",
            self.bytes.div_ceil(PERMIT).max(1),
            WorkloadContext::CROSSING
        )
    }
}

/// Takes room for so many bytes, and waits for none: whoever would give it back may be waiting, too. Every call takes some.
pub(super) fn hold(
    workload: &WorkloadContext,
    carried: Carried,
    bytes: usize,
) -> Result<Held, Full> {
    let permits = u32::try_from(bytes.div_ceil(PERMIT)).unwrap_or(u32::MAX);
    let room = Arc::clone(&workload.crossing);
    room.try_acquire_many_owned(permits.max(1))
        .map_err(|_| Full { carried, bytes })
}

/// What values take of the host's memory, in bytes.
pub(super) fn size(values: &[Val]) -> usize {
    let sizes = values.iter().map(of_value);
    sizes.fold(size_of_val(values), usize::saturating_add)
}

/// What a value takes besides itself.
fn of_value(value: &Val) -> usize {
    match value {
        Val::String(text) | Val::Enum(text) => text.len(),
        Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => size(values),
        Val::Map(entries) => sum(entries, |(key, value)| {
            of_value(key).saturating_add(of_value(value))
        }),
        Val::Record(fields) => sum(fields, |(name, value)| {
            name.len().saturating_add(of_value(value))
        }),
        Val::Flags(names) => sum(names, String::len),
        Val::Variant(case, value) => case.len().saturating_add(of_boxed(value.as_deref())),
        Val::Option(value) | Val::Result(Ok(value) | Err(value)) => of_boxed(value.as_deref()),
        // The rest is no larger than itself.
        _ => 0,
    }
}

fn of_boxed(value: Option<&Val>) -> usize {
    value.map_or(0, |value| size(std::slice::from_ref(value)))
}

/// What elements take, and what they have elsewhere.
fn sum<T>(elements: &[T], elsewhere: impl Fn(&T) -> usize) -> usize {
    let sizes = elements.iter().map(elsewhere);
    sizes.fold(size_of_val(elements), usize::saturating_add)
}
