//! Calls a workload's handler with one request, in whichever dialect of `wasi:http` it speaks.
//!
//! The guest runs inside the future of its request and then inside the body of its answer, on the connection's task: there is no
//! hand-over between threads on the way to an answer, and a client that leaves drops the guest. Only what a guest does after all of
//! its answer runs on a task of its own.

use futures::FutureExt as _;
use http::{Request, Response};
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, Instance, InstancePre};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::bindings::{self as p2};
use wasmtime_wasi_http::p3::bindings as p3;
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _, p3 as wasi_p3};

use super::body::{self, Fate, Guarded, Rest, Tied};
use super::failure::{Failure, log_late};
use super::received::Received as Incoming;
use crate::plugin::{CallError, Entered, Entry, Invocation, OnInstance, StoreData};

/// Where a handler's function is found in an instance.
#[derive(Clone)]
pub(super) enum Handler {
    P2(p2::ProxyIndices),
    P3(p3::ServiceIndices),
}

impl Handler {
    pub(super) fn find(entry: &Entry, pre: &InstancePre<StoreData>) -> wasmtime::Result<Self> {
        let interface = entry.export.interface();
        if interface.is_some_and(|interface| interface.name == "handler") {
            p3::ServiceIndices::new(pre).map(Self::P3)
        } else {
            p2::ProxyIndices::new(pre).map(Self::P2)
        }
    }
}

type Answer = Result<Response<WasiBody>, Failure>;
/// A guest at work; its end is sealed by the time it ends.
type Running = Invocation<body::Running>;

/// Calls the handler and returns when the head of its answer is there. Who has entered is counted by the invocation from then on.
pub(super) async fn call(
    entry: &Entry,
    handler: &Handler,
    request: Request<Incoming>,
    entered: Option<Entered>,
) -> Answer {
    let (answer, mut answered) = oneshot::channel();
    let fate = Fate::default();
    let ask = Ask {
        request,
        answer,
        fate: fate.running(),
    };
    let mut running = match handler {
        Handler::P2(indices) => run_p2(entry, indices.clone(), ask),
        Handler::P3(indices) => run_p3(entry, indices.clone(), ask),
    };
    drop(entered);
    let response = tokio::select! {
        biased;
        result = &mut running => at_its_end(entry, result, answered.try_recv().ok(), fate),
        answer = &mut answered => match answer {
            Ok(Ok(response)) => Ok(go_on(entry, running, response, fate)),
            Ok(Err(failure)) => Err(failure),
            // Whoever was to answer is gone: how the guest ends says why.
            Err(_) => Err(running.await.map_or_else(Failure::Call, |_| Failure::NoAnswer)),
        },
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
    result: Result<body::Running, CallError>,
    answer: Option<Answer>,
    fate: Fate,
) -> Answer {
    match (answer, result) {
        (Some(Ok(response)), Err(error)) => {
            log_late(&error, entry);
            Ok(guarded(response, fate, None))
        }
        (_, Err(error)) => Err(Failure::Call(error)),
        (answer, Ok(_)) => answer.unwrap_or(Err(Failure::NoAnswer)),
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
        if let Err(error) = running.await {
            log_late(&error, &entry);
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

/// A request, and where its answer goes. Its fate is sealed before the guest's store is dropped, see [`Fate::running`].
struct Ask {
    request: Request<Incoming>,
    answer: oneshot::Sender<Answer>,
    fate: body::Running,
}

fn run_p2(entry: &Entry, indices: p2::ProxyIndices, ask: Ask) -> Running {
    entry.callee.invoke(move |lease| {
        Box::pin(async move {
            let Ask {
                request,
                answer,
                mut fate,
            } = ask;
            let (store, instance) = lease.parts()?;
            let mut http = store.data_mut().http();
            let request = http.new_incoming_request(Scheme::Http, request)?;
            let outparam = http.new_response_outparam_from_callback(move |result| {
                // The client may be gone; then nobody wants the answer.
                let _ = answer.send(result.map_err(|code| Failure::p2(&code)));
            })?;
            let proxy = indices.load(&mut *store, &instance)?;
            proxy
                .wasi_http_incoming_handler()
                .call_handle(&mut *store, request, outparam)
                .await?;
            fate.ended_well();
            Ok(fate)
        })
    })
}

fn run_p3(entry: &Entry, indices: p3::ServiceIndices, ask: Ask) -> Running {
    let shared = entry.callee.shares_instances();
    entry.callee.invoke_concurrent(
        move |accessor, instance| answer_p3(accessor, instance, indices, ask, shared),
        body::Running::ended_well,
    )
}

fn answer_p3<'a>(
    accessor: &'a Accessor<StoreData>,
    instance: Instance,
    indices: p3::ServiceIndices,
    ask: Ask,
    shared: bool,
) -> OnInstance<'a, body::Running> {
    Box::pin(async move {
        let Ask {
            request,
            answer,
            fate,
        } = ask;
        let (service, request, processed) = accessor.with(|mut store| {
            let service = indices.load(&mut store, &instance)?;
            let hooks = store.data_mut().http().hooks;
            let (request, processed) = wasi_p3::Request::from_http(hooks, request);
            // Boxed, it has forgotten the hooks that it never borrowed.
            wasmtime::error::Ok((service, request, processed.boxed()))
        })?;
        let result = match service.handle(accessor, request).await? {
            Ok(response) => accessor
                .with(|store| response.into_http(store, processed))
                .map_err(Failure::Unsendable),
            Err(code) => Err(Failure::p3(&code)),
        };
        let (tie, read) = oneshot::channel::<()>();
        let _ = answer.send(match result {
            Ok(response) if shared => Ok(response.map(|body| Tied::body(body, tie))),
            result => result,
        });
        // On an instance that others use as well, the body is all that tells when this request is done.
        if shared {
            let _ = read.await;
        }
        Ok(fate)
    })
}
