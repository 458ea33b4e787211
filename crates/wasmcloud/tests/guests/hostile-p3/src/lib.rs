//! One path for each thing that a hostile WASI 0.3 handler can try, and a few that tell one instance from another. Those that meet
//! can only do so on an instance that they share.

use std::future::Future;
use std::mem::forget;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::{wit_future, wit_stream};

use crate::wasi::logging::logging::{Level, log as log_line};

// Sync imports only, so the async runtime of `wasip3` is the only one in here.
wit_bindgen::generate!({ path: "../wit", world: "observed", generate_all });

const MILLISECOND: u64 = 1_000_000;

struct Handler;

impl wasip3::exports::http::handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let n = query.parse().unwrap_or(1);
        let said = match path {
            "/hello" => "hello\n".to_owned(),
            "/count" => format!("{}\n", misdeeds::count()),
            "/secret" => format!("found {:?}\n", misdeeds::leave_secret(query)),
            "/env" => format!("{:?}\n", std::env::var("NAME")),
            "/spin" => misdeeds::spin(),
            "/compute" => misdeeds::compute(n),
            "/sleep" => sleep().await,
            "/nap" => {
                wait_for(n as u64 * MILLISECOND).await;
                "slept\n".to_owned()
            }
            "/recurse" => misdeeds::recurse(),
            "/trap" => panic!("told to trap"),
            "/grow" => format!("granted {}\n", misdeeds::grow(n)),
            "/hoard" => misdeeds::hoard(),
            "/fields" => keep(n, Fields::new),
            "/streams" => keep(n, wit_stream::new::<u8>),
            "/method" => said_of(request.set_method(&Method::Other("A".repeat(n)))),
            "/path" => said_of(request.set_path_with_query(Some(&"/a".repeat(n / 2)))),
            "/authority" => said_of(request.set_authority(Some(&"a".repeat(n)))),
            "/drop-streams" => drop_all(n, || drop(wit_stream::new::<u8>())),
            "/drop-futures" => drop_all(n, drop_future),
            "/drop-sleeps" => drop_sleeps(n).await,
            "/string" => {
                log_line(Level::Info, "long", misdeeds::long_text(n));
                "logged\n".to_owned()
            }
            "/flood" => flood(n),
            "/meet" => meet(n).await,
            "/meet-and-trap" => {
                meet(n).await;
                panic!("told to trap");
            }
            "/meet-and-spin" => {
                meet(n).await;
                misdeeds::spin()
            }
            "/goes-on" => {
                spawn_local(async { sleep().await });
                "went on\n".to_owned()
            }
            "/spins-on" => {
                spawn_local(async {
                    wait_for(MILLISECOND).await;
                    misdeeds::spin()
                });
                "spins on\n".to_owned()
            }
            _ => "no such path\n".to_owned(),
        };
        Ok(answer(said))
    }
}

wasip3::http::service::export!(Handler);

/// Status 200 and a text.
fn answer(text: String) -> Response {
    let (mut body, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    spawn_local(async move {
        body.write_all(text.into_bytes()).await;
        drop(body);
        // Nobody listens any more when the client is gone.
        let _ = end.write(Ok(None)).await;
    });
    response
}

/// Sleeps for good.
async fn sleep() -> ! {
    loop {
        wait_for(1000 * MILLISECOND).await;
    }
}

/// Waits until so many have come here, of all who ever came to this instance.
async fn meet(wanted: usize) -> String {
    static CAME: AtomicUsize = AtomicUsize::new(0);
    CAME.fetch_add(1, Ordering::Relaxed);
    while CAME.load(Ordering::Relaxed) < wanted {
        wait_for(MILLISECOND).await;
    }
    format!("met {wanted}\n")
}

/// Whether something could be put into the head of the request.
fn said_of(set: Result<(), ()>) -> String {
    format!("set {}\n", set.is_ok())
}

/// Makes so many things and drops none.
fn keep<T>(count: usize, make: impl Fn() -> T) -> String {
    for _ in 0..count {
        forget(make());
    }
    format!("kept {count}\n")
}

/// Makes so many things and drops each.
fn drop_all(count: usize, make: impl Fn()) -> String {
    (0..count).for_each(|_| make());
    format!("dropped {count}\n")
}

/// Both ends of a future that nobody ever writes.
fn drop_future() {
    let (writer, reader) = wit_future::new::<Result<Option<Fields>, ErrorCode>>(|| Ok(None));
    drop(reader);
    drop(writer);
}

/// Begins calls of the host and gives each up.
async fn drop_sleeps(count: usize) -> String {
    for _ in 0..count {
        let mut sleep = Box::pin(wait_for(1_000_000 * MILLISECOND));
        std::future::poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    format!("gave up {count}\n")
}

/// Writes so many lines each way there is.
fn flood(count: usize) -> String {
    let line = "x".repeat(1000);
    for _ in 0..count {
        println!("{line}");
        eprintln!("{line}");
        log_line(Level::Info, "flood", &line);
    }
    format!("wrote {count}\n")
}
