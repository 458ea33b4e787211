//! Calls a workload's handler with one request, in whichever dialect of `wasi:http` it speaks.
//!
//! The guest runs inside the future of its request and then inside the body of its answer, on the connection's task: there is no
//! hand-over between threads on the way to an answer, and a client that leaves drops the guest. Only what a guest does after all of
//! its answer runs on a task of its own.

use std::future::poll_fn;
use std::pin::Pin;

use http::{Request, Response};
use tokio::sync::oneshot;
use wasmtime::component::InstancePre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::bindings::{self as p2};
use wasmtime_wasi_http::p3::bindings as p3;
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _, p3 as wasi_p3};

use super::body::{self, Fate, Guarded, Rest};
use super::failure::{Failure, log_late};
use super::received::Received as Incoming;
use crate::plugin::{Entry, Lease, StoreData};

/// Where a handler's function is found in an instance.
#[derive(Clone)]
pub(super) enum Handler {
    P2(p2::ProxyIndices),
    P3(p3::ServiceIndices),
}

impl Handler {
    pub(super) fn find(entry: &Entry, pre: &InstancePre<StoreData>) -> wasmtime::Result<Self> {
        if entry.export.name == "handler" {
            p3::ServiceIndices::new(pre).map(Self::P3)
        } else {
            p2::ProxyIndices::new(pre).map(Self::P2)
        }
    }
}

type Answer = Result<Response<WasiBody>, Failure>;
type Running = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>;

/// Calls the handler and returns when the head of its answer is there.
pub(super) async fn call(entry: &Entry, handler: &Handler, request: Request<Incoming>) -> Answer {
    let lease = entry.callee.lease().await.map_err(Failure::Instance)?;
    let (answer, mut answered) = oneshot::channel();
    let fate = Fate::default();
    let guest = Guest {
        lease,
        fate: fate.running(),
        answer,
    };
    let mut running = match handler {
        Handler::P2(indices) => run_p2(indices, guest, request)?,
        Handler::P3(indices) => run_p3(indices, guest, request)?,
    };
    let response = tokio::select! {
        biased;
        result = &mut running => at_its_end(entry, result, answered.try_recv().ok(), fate),
        answer = &mut answered => match answer {
            Ok(Ok(response)) => Ok(go_on(entry, running, response, fate)),
            Ok(Err(failure)) => Err(failure),
            // Whoever was to answer is gone: how the guest ends says why.
            Err(_) => Err(running.await.map_or_else(Failure::Trap, |()| Failure::NoAnswer)),
        },
        () = entry.callee.stopped() => Err(Failure::Stopped),
    }?;
    if response.status().is_informational() {
        return Err(Failure::Interim(response.status()));
    }
    Ok(response)
}

/// What comes of a guest that has ended. One that failed after it answered has answered all the same: whether the host saw the
/// answer before the failure is a matter of chance.
fn at_its_end(
    entry: &Entry,
    result: wasmtime::Result<()>,
    answer: Option<Answer>,
    fate: Fate,
) -> Answer {
    match (answer, result) {
        (Some(Ok(response)), Err(error)) => {
            log_late(&error, entry);
            Ok(guarded(response, fate, None))
        }
        (_, Err(error)) => Err(Failure::Trap(error)),
        (answer, Ok(())) => answer.unwrap_or(Err(Failure::NoAnswer)),
    }
}

/// The guest goes on behind its answer: it writes the body, and may have something left to do after that.
fn go_on(
    entry: &Entry,
    running: Running,
    response: Response<WasiBody>,
    fate: Fate,
) -> Response<WasiBody> {
    let entry = entry.clone();
    let rest = async move {
        tokio::select! {
            biased;
            result = running => if let Err(error) = result { log_late(&error, &entry) },
            () = entry.callee.stopped() => {}
        }
    };
    guarded(response, fate, Some(Box::pin(rest)))
}

fn guarded(response: Response<WasiBody>, fate: Fate, guest: Option<Rest>) -> Response<WasiBody> {
    let length = response
        .headers()
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    response.map(|body| WasiBody::new(Guarded::new(body, length, fate, guest)))
}

/// An instance that answers one request. Its fate must be sealed before its store is dropped, see [`Fate::running`].
struct Guest {
    lease: Lease,
    fate: body::Running,
    answer: oneshot::Sender<Answer>,
}

fn run_p2(
    indices: &p2::ProxyIndices,
    guest: Guest,
    request: Request<Incoming>,
) -> Result<Running, Failure> {
    let Guest {
        mut lease,
        fate,
        answer,
    } = guest;
    let mut http = lease.store.data_mut().http();
    let request = http
        .new_incoming_request(Scheme::Http, request)
        .map_err(Failure::Trap)?;
    let outparam = http
        .new_response_outparam_from_callback(move |result| {
            // The client may be gone; then nobody wants the answer.
            let _ = answer.send(result.map_err(|code| Failure::p2(&code)));
        })
        .map_err(Failure::Trap)?;
    let proxy = indices
        .load(&mut lease.store, &lease.instance)
        .map_err(Failure::Trap)?;
    Ok(Box::pin(async move {
        let (mut lease, fate) = (lease, fate);
        let result = proxy
            .wasi_http_incoming_handler()
            .call_handle(&mut lease.store, request, outparam)
            .await;
        fate.ended(&result);
        result
    }))
}

fn run_p3(
    indices: &p3::ServiceIndices,
    guest: Guest,
    request: Request<Incoming>,
) -> Result<Running, Failure> {
    let Guest {
        mut lease,
        fate,
        answer,
    } = guest;
    let service = indices
        .load(&mut lease.store, &lease.instance)
        .map_err(Failure::Trap)?;
    let (request, processed) =
        wasi_p3::Request::from_http(lease.store.data_mut().http().hooks, request);
    Ok(Box::pin(async move {
        let (mut lease, fate) = (lease, fate);
        let result = lease
            .store
            .run_concurrent(async move |accessor| {
                let result = match service.handle(accessor, request).await? {
                    Ok(response) => accessor
                        .with(|store| response.into_http(store, processed))
                        .map_err(Failure::Trap),
                    Err(code) => Err(Failure::p3(&code)),
                };
                let _ = answer.send(result);
                poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                wasmtime::error::Ok(())
            })
            .await
            .flatten();
        fate.ended(&result);
        result
    }))
}
