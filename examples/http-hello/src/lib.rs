//! Answers HTTP requests with a greeting. Copy this folder to start a component of your own.

use wstd::http::{Body, Request, Response, Result, StatusCode};

/// Called for every request. Each call gets a fresh instance, so nothing from an earlier request is ever left behind.
#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>> {
    let (status, text) = route(request.uri().path());
    Ok(Response::builder().status(status).body(text.into())?)
}

/// What to answer on a path. It touches nothing outside itself, so it can be tested without a host.
fn route(path: &str) -> (StatusCode, &'static str) {
    match path {
        "/" => (StatusCode::OK, "Hello from wasmCloud!\n"),
        _ => (StatusCode::NOT_FOUND, "There is nothing here.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_greets() {
        assert_eq!(route("/"), (StatusCode::OK, "Hello from wasmCloud!\n"));
    }

    #[test]
    fn every_other_path_is_not_found() {
        assert_eq!(route("/nowhere").0, StatusCode::NOT_FOUND);
    }
}
