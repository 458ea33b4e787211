//! What the generated bindings want of an interface without functions: there is nothing to link.
#![expect(
    dead_code,
    unreachable_pub,
    reason = "the generated bindings name them, and use them for whole worlds only"
)]

use wasmtime::component::{HasData, Linker};

/// It answers nothing.
pub trait Host {}

/// It answers nothing.
pub trait HostWithStore<T>: HasData {}

/// Adds nothing.
pub fn add_to_linker<T: 'static, D: HostWithStore<T>>(
    _: &mut Linker<T>,
    _: fn(&mut T) -> D::Data<'_>,
) -> wasmtime::Result<()> {
    Ok(())
}
