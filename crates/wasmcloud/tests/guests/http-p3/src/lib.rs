//! One path for each way a WASI 0.3 handler can behave; `paths` for what ordinary programs do, `misbehave` for the rest.

mod answer;
mod misbehave;
mod paths;
mod reach;

use wasip3::http::types::{ErrorCode, Request, Response};

// Sync imports only, so the async runtime of `wasip3` is the only one in here.
wit_bindgen::generate!({ path: "../wit", world: "observed", generate_all });

struct Handler;

impl wasip3::exports::http::handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/hello" | "/early" => Ok(answer::text("Hello from WASI 0.3\n")),
            "/echo" => Ok(paths::echo(request)),
            "/trailers" => Ok(paths::trailers()),
            "/events" => Ok(paths::events()),
            "/headers" => Ok(paths::headers(&request)),
            "/env" => Ok(paths::env()),
            "/config" => Ok(paths::config(query)),
            "/log" => Ok(paths::log().await),
            "/clock" => Ok(paths::clock()),
            "/random" => Ok(answer::text(&format!(
                "{}\n",
                wasip3::random::random::get_random_u64()
            ))),
            "/big" => Ok(paths::big(query)),
            "/status" => Ok(paths::status(query)),
            "/count" => Ok(paths::count()),
            "/http" => Ok(reach::http(query).await),
            "/relay" => Ok(reach::relay(request, query).await),
            "/half" => Ok(reach::half(query).await),
            "/files" => Ok(reach::files().await),
            "/sockets" => Ok(reach::sockets().await),
            "/fields" => Ok(misbehave::fields(query)),
            "/slurp" => Ok(paths::slurp(request).await),
            "/error" => Err(ErrorCode::InternalError(Some("told to fail".to_owned()))),
            "/trap-before" => misbehave::trap_before(),
            "/trap-after" => Ok(misbehave::trap_after()),
            "/never-ends" => Ok(misbehave::never_ends()),
            "/hang" => misbehave::hang().await,
            "/spin" => misbehave::spin(),
            _ => Ok(answer::with_status(404, "no such path\n")),
        }
    }
}

wasip3::http::service::export!(Handler);
