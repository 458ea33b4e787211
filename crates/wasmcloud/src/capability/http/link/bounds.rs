//! How much of the head of a request a guest may have the host keep. The library takes methods and authorities of any length, and
//! a guest can make as many requests as it may have handles. Paths and schemes it bounds itself.

use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types as p3;

use crate::plugin::StoreData;

/// The longest method, in bytes.
const METHOD: usize = 64;

/// The longest authority, in bytes.
const AUTHORITY: usize = 64 << 10;

/// What a setter says: it has no words for why not.
type Set = Result<(), ()>;

/// Puts setters with bounds in the place of those of `wasi:http/types@0.2`.
pub(super) fn bound_p2(linker: &mut LinkerInstance<'_, StoreData>) -> wasmtime::Result<()> {
    type Request = Resource<p2::OutgoingRequest>;
    linker.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store, (request, method): (Request, p2::Method)| -> wasmtime::Result<(Set,)> {
            if matches!(&method, p2::Method::Other(name) if name.len() > METHOD) {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            Ok((p2::HostOutgoingRequest::set_method(
                &mut http, request, method,
            )?,))
        },
    )?;
    linker.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store, (request, authority): (Request, Option<String>)| -> wasmtime::Result<(Set,)> {
            if is_too_long(authority.as_deref()) {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            let set = p2::HostOutgoingRequest::set_authority(&mut http, request, authority)?;
            Ok((set,))
        },
    )
}

/// Puts setters with bounds in the place of those of `wasi:http/types@0.3`.
pub(super) fn bound_p3(linker: &mut LinkerInstance<'_, StoreData>) -> wasmtime::Result<()> {
    type Request = Resource<p3::Request>;
    linker.func_wrap(
        "[method]request.set-method",
        |mut store, (request, method): (Request, p3::Method)| -> wasmtime::Result<(Set,)> {
            if matches!(&method, p3::Method::Other(name) if name.len() > METHOD) {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            Ok((p3::HostRequest::set_method(&mut http, request, method)?,))
        },
    )?;
    linker.func_wrap(
        "[method]request.set-authority",
        |mut store, (request, authority): (Request, Option<String>)| -> wasmtime::Result<(Set,)> {
            if is_too_long(authority.as_deref()) {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            let set = p3::HostRequest::set_authority(&mut http, request, authority)?;
            Ok((set,))
        },
    )
}

fn is_too_long(authority: Option<&str>) -> bool {
    authority.is_some_and(|authority| authority.len() > AUTHORITY)
}
