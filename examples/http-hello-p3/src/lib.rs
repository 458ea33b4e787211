//! Answers HTTP requests with a greeting, on WASI 0.3: the handler is an `async fn` down to the component's edge.

use http::StatusCode;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::http_compat::{http_from_wasi_request, http_into_wasi_response};

struct Hello;

impl Guest for Hello {
    /// Called for every request. The conversions put the well-known `http` crate between us and the raw bindings.
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let request = http_from_wasi_request(request)?;
        let (status, text) = route(request.uri().path());
        let mut response = http::Response::new(text.to_owned());
        *response.status_mut() = status;
        http_into_wasi_response(response)
    }
}

wasip3::http::service::export!(Hello);

/// What to answer on a path. It touches nothing outside itself, so it can be tested without a host.
fn route(path: &str) -> (StatusCode, &'static str) {
    match path {
        "/" => (StatusCode::OK, "Hello from wasmCloud, on WASI 0.3!\n"),
        _ => (StatusCode::NOT_FOUND, "There is nothing here.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_greets() {
        assert_eq!(
            route("/"),
            (StatusCode::OK, "Hello from wasmCloud, on WASI 0.3!\n")
        );
    }

    #[test]
    fn every_other_path_is_not_found() {
        assert_eq!(route("/nowhere").0, StatusCode::NOT_FOUND);
    }
}
